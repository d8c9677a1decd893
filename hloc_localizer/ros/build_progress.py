"""How far a build is, as ``~/progress`` and lines in the log."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from diagnostic_msgs.msg import DiagnosticStatus

from hloc_localizer.errors import BuildInterruptedError
from hloc_localizer.forecast import Forecast, Plan
from hloc_localizer.ros.diagnostics import status_message

_PERIOD_S = 0.5


class BuildProgress:
    """A listener of the build that publishes; it is also the place where a build can be stopped."""

    def __init__(
        self,
        *,
        name: str,
        publish: Callable[[DiagnosticStatus], None],
        log: Callable[[str], None],
    ) -> None:
        """
        Begin before the first stage.

        :param name: node name, of the status.
        """
        self._name = name
        self._publish = publish
        self._log = log
        self._stage = 'starting'
        self._stages = 0
        self._done = 0
        self._total: int | None = None
        self._begin = time.monotonic()
        self._due = 0.0
        self._stop = threading.Event()
        self._forecast = Forecast()

    def plan(self, stages: Plan) -> None:
        """Hear what is to come."""
        self._forecast.plan(stages)

    def stage(self, name: str, total: int | None = None) -> None:
        """Begin a stage of so many steps."""
        self._check_stop()
        self._stage, self._total, self._done = name, total, 0
        self._stages += 1
        self._forecast.stage(name, total)
        steps = '' if total is None else f' ({total})'
        self._log(f'{self._elapsed_s():.1f} s: {name}{steps}')
        self._say()

    def advance(self, steps: int = 1) -> None:
        """Count finished steps of the present stage."""
        self._check_stop()
        self._done += steps
        self._forecast.advance(steps)
        if time.monotonic() >= self._due or self._done == self._total:
            self._say()

    def note(self, text: str) -> None:
        """Log a line."""
        self._log(text)

    def finish(self, level: bytes, message: str, values: dict[str, object]) -> None:
        """Publish how the build ended."""
        values = {'elapsed_s': self._elapsed_s(), **values}
        self._publish(status_message(self._name, level, message, values))

    def stop(self) -> None:
        """Let the build end at its next step with :class:`BuildInterruptedError`."""
        self._stop.set()

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise BuildInterruptedError(
                'the build was interrupted; no map was written, the same command takes it up again'
            )

    def _elapsed_s(self) -> float:
        return time.monotonic() - self._begin

    def _say(self) -> None:
        self._due = time.monotonic() + _PERIOD_S
        values: dict[str, object] = {
            'stage': self._stage,
            'stage_number': self._stages,
            'done': self._done,
            'elapsed_s': self._elapsed_s(),
        }
        if self._total:
            values['total'] = self._total
            values['percent'] = 100.0 * min(self._done / self._total, 1.0)
        for name, seconds in (
            ('stage_left_s', self._forecast.stage_left_s),
            ('left_s', self._forecast.left_s),
        ):
            if seconds is not None:
                values[name] = seconds
        self._publish(status_message(self._name, DiagnosticStatus.OK, self._stage, values))
