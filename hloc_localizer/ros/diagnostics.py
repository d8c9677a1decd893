"""What the localizer node knows of its own health, as the messages of ``/diagnostics``."""

from __future__ import annotations

import statistics
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from numpy.typing import NDArray

from hloc_localizer.geometry import transforms
from hloc_localizer.localization.tracking import State
from hloc_localizer.ros import messages
from hloc_localizer.ros.frame_result import FrameResult

_WINDOW = 100
"""Frames that rates and medians are taken over."""


def status_message(
    name: str, level: bytes, message: str, values: Mapping[str, object], hardware_id: str = ''
) -> DiagnosticStatus:
    """Return a DiagnosticStatus; numbers are written with three decimals."""
    pairs = [KeyValue(key=key, value=_text(value)) for key, value in values.items()]
    return DiagnosticStatus(
        name=name, level=level, message=message, hardware_id=hardware_id, values=pairs
    )


def frame_status(name: str, result: FrameResult, latency_ms: float) -> DiagnosticStatus:
    """
    Return the content of ``~/status`` for one image.

    :param latency_ms: from the reception of the image to the publication of its result.
    """
    localization = result.localization
    values: dict[str, object] = {
        'stamp': f'{result.stamp_ns // 10**9}.{result.stamp_ns % 10**9:09d}',
        'status': _status(result),
        'state': '' if result.state is None else result.state.value,
        'reason': result.reason.value,
        'detail': result.detail,
        'calibration': result.calibration_doubt,
        'inliers': result.inliers,
        'images': result.images,
        'matches': 0 if localization is None else localization.matches,
        'candidates': '' if localization is None else ' '.join(localization.candidates),
        'success_probability': _probability(result),
        'alternatives': len(result.alternatives),
        'latency_ms': latency_ms,
    }
    for number, one in enumerate(result.alternatives):
        values[f'alternative.{number}'] = _pose_text(one.pose)
        values[f'alternative.{number}.distinct'] = one.distinct
    for part in result.parts:
        values[f'inliers.{part.name}'] = part.inliers
        if part.problem:
            values[f'not_used.{part.name}'] = part.problem
    values.update({f'stage_ms.{stage}': ms for stage, ms in result.stage_ms.items()})
    fixed = _status(result) == 'localized'
    level = DiagnosticStatus.OK if fixed else DiagnosticStatus.WARN
    message = 'localized' if fixed else result.reason.value
    return status_message(name, level, message, values)


def _probability(result: FrameResult) -> float | str:
    """Return how probable the best pose is right; empty where that is not known."""
    probability = result.localization.success_probability if result.localization else None
    return '' if probability is None else probability


def _pose_text(pose: NDArray[np.float64]) -> str:
    """Return x y z and the quaternion x y z w."""
    numbers = [*pose[:3, 3], *transforms.quaternion_from_rotation(pose[:3, :3])]
    return ' '.join(f'{number:.4f}' for number in numbers)


def _status(result: FrameResult) -> str:
    """Tell whether the image gave the pose, odometry carried it on, or there is none."""
    if result.bridged:
        return 'bridged'
    return 'localized' if result.localized else 'refused'


class Diagnostics:
    """Count what happens to the images and say it once a second; safe from several threads."""

    def __init__(
        self, *, name: str, stale_after_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """
        Start counting.

        :param name: node name, the first part of every status.
        :param stale_after_s: silence longer than this is reported as a camera that stopped.
        :param clock: seconds that never jump.
        """
        self._name = name
        self.stale_after_s = stale_after_s
        self.enabled = True
        """Whether images are looked at."""
        self._clock = clock
        self._lock = threading.Lock()
        self._begin = clock()
        self._received = 0
        self._received_at: dict[int, deque[float]] = {}
        self._localized = 0
        self._bridged = 0
        self._reasons: Counter[str] = Counter()
        self._latencies: deque[float] = deque(maxlen=_WINDOW)
        self._stages: deque[Mapping[str, float]] = deque(maxlen=_WINDOW)
        self._last: FrameResult | None = None
        self._state: State | None = None
        self._last_refusal = ''
        self._localized_at: float | None = None
        self._problems: dict[str, str] = {}
        self._doubts: dict[str, str] = {}

    def image_received(self, camera: int = 0) -> None:
        """Count an image that arrived from one of the cameras."""
        with self._lock:
            self._received += 1
            times = self._received_at.setdefault(camera, deque(maxlen=_WINDOW))
            times.append(self._clock())

    def frame_done(self, result: FrameResult, latency_ms: float) -> None:
        """Count an image that was answered."""
        with self._lock:
            self._last = result
            if result.state is not None:
                self._state = result.state
            self._latencies.append(latency_ms)
            if result.stage_ms:
                self._stages.append(result.stage_ms)
            if _status(result) == 'localized':
                self._localized += 1
                self._localized_at = self._clock()
            else:
                self._bridged += result.bridged
                self._reasons[result.reason.value] += 1
                self._last_refusal = result.detail

    def carried_on(self, state: State) -> None:
        """Take the state of the tracker while no image can be used."""
        with self._lock:
            self._state = state

    def problem(self, topic: str, text: str) -> None:
        """Set what is wrong with ``tf``, ``camera_info`` or ``clock``; empty: all is well again."""
        with self._lock:
            self._problems[topic] = text

    def doubt(self, topic: str, text: str) -> None:
        """Set what may be wrong with an input, as :meth:`problem` what is."""
        with self._lock:
            self._doubts[topic] = text

    def array(
        self,
        *,
        stamp_ns: int,
        image_topics: Sequence[str],
        dropped: int,
        facts: Mapping[str, object],
    ) -> DiagnosticArray:
        """
        Return the present state.

        :param stamp_ns: the node's time.
        :param image_topics: one for each camera.
        :param dropped: images that a newer one replaced before their turn.
        :param facts: values that describe the map.
        """
        with self._lock:
            statuses = [
                self._images(image_topics, dropped),
                self._localization(),
                self._inputs(),
                status_message(f'{self._name}: map', DiagnosticStatus.OK, 'loaded', facts),
            ]
        return DiagnosticArray(header=messages.header('', stamp_ns), status=statuses)

    def _images(self, topics: Sequence[str], dropped: int) -> DiagnosticStatus:
        now, topic = self._clock(), ', '.join(topics)
        ages = [self._age_s(camera, now) for camera in range(len(topics))]
        rates = [_rate(self._received_at.get(camera, ()), now) for camera in range(len(topics))]
        values: dict[str, object] = {
            'topic': topic,
            'rate_hz': max(rates),
            'age_s': min(ages),
            'received': self._received,
            'dropped': dropped,
        }
        silent = [
            f'no image for {age:.1f} s on {name}'
            for name, age in zip(topics, ages, strict=True)
            if age > self.stale_after_s
        ]
        if len(topics) > 1:
            values.update({f'rate_hz.{n}': rate for n, rate in zip(topics, rates, strict=True)})
            values.update({f'age_s.{n}': age for n, age in zip(topics, ages, strict=True)})
        level, message = DiagnosticStatus.OK, 'images arrive'
        if not self.enabled:
            message = 'not listened to: ~/enable was called with false'
        elif len(silent) == len(topics):
            level = DiagnosticStatus.ERROR
            message = (
                f'no image for {min(ages):.1f} s on {topic}' if self._received
                else f'no image yet on {topic}: is the camera on, the topic remapped, '
                'image_transport right?'
            )  # fmt: skip
        elif silent:
            level, message = DiagnosticStatus.WARN, f'{"; ".join(silent)}; the others go on'
        return status_message(f'{self._name}: images', level, message, values)

    def _age_s(self, camera: int, now: float) -> float:
        times = self._received_at.get(camera)
        return now - (times[-1] if times else self._begin)

    def _localization(self) -> DiagnosticStatus:
        answered = self._localized + sum(self._reasons.values())
        values: dict[str, object] = {
            'answered': answered,
            'localized': self._localized,
            'bridged': self._bridged,
            'refused': answered - self._localized - self._bridged,
        }
        values.update({f'refused.{reason}': n for reason, n in self._reasons.items()})
        if self._localized_at is not None:
            values['age_of_fix_s'] = self._clock() - self._localized_at
        if self._latencies:
            values['latency_ms.median'] = statistics.median(self._latencies)
            values['latency_ms.max'] = max(self._latencies)
        values.update(_median_stages(self._stages))
        values['last_refusal'] = self._last_refusal
        if self._last is None:
            return status_message(
                f'{self._name}: localization', DiagnosticStatus.STALE, 'no image answered', values
            )
        values['inliers'] = self._last.inliers
        values['success_probability'] = _probability(self._last)
        values['alternatives'] = len(self._last.alternatives)
        if self._state is not None:
            values['state'] = self._state.value
        message = self._what_is_wrong(self._last)
        level = DiagnosticStatus.WARN if message else DiagnosticStatus.OK
        return status_message(f'{self._name}: localization', level, message or 'localized', values)

    def _what_is_wrong(self, last: FrameResult) -> str:
        """Return what is wrong with the pose; empty when nothing is."""
        status = _status(last)
        texts = [] if status == 'localized' else [f'{status}: {last.detail}']
        age_s = 0.0 if self._localized_at is None else self._clock() - self._localized_at
        if age_s > self.stale_after_s:
            state = '' if self._state is None else f'{self._state.value}: '
            texts.insert(0, f'{state}the last pose that an image gave is {age_s:.1f} s old')
        return '; '.join(texts)

    def _inputs(self) -> DiagnosticStatus:
        wrong = {topic: text for topic, text in self._problems.items() if text}
        doubts = {topic: text for topic, text in self._doubts.items() if text}
        level = DiagnosticStatus.WARN if doubts else DiagnosticStatus.OK
        level = DiagnosticStatus.ERROR if wrong else level
        texts = [*wrong.values(), *doubts.values()]
        message = '; '.join(texts) or 'transforms, camera_info and clock are well'
        return status_message(f'{self._name}: inputs', level, message, {**doubts, **wrong})


def _rate(times: Sequence[float], now: float) -> float:
    """Return the mean rate over the window, falling while nothing arrives."""
    if len(times) < 2:
        return 0.0
    return (len(times) - 1) / max(now - times[0], 1e-9)


def _median_stages(stages: Iterable[Mapping[str, float]]) -> dict[str, object]:
    by_name: dict[str, list[float]] = {}
    for frame in stages:
        for stage, ms in frame.items():
            by_name.setdefault(stage, []).append(ms)
    return {f'stage_ms.{stage}': statistics.median(ms) for stage, ms in by_name.items()}


def _text(value: object) -> str:
    return f'{value:.3f}' if isinstance(value, float) else str(value)
