"""Watches what one pass over a bag reads: clocks that jump, topics that two cameras share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hloc_localizer.errors import InputError
from hloc_localizer.sources import messages
from hloc_localizer.sources.bag_topics import CameraStream

_LARGEST_STEP_BACK_NS = 1_000_000_000
"""Images out of order are less apart than this; a clock that is set back steps further."""
_LARGEST_STEP_AHEAD_NS = 2_000_000_000
_LARGEST_CHANGE_OF_FOCUS = 0.05


@dataclass
class _Clock:
    """The stamps of one topic against the times of receipt."""

    first: tuple[int, int]
    """(stamp, receive time)."""
    last: tuple[int, int]
    ahead_ns: int
    """By how much the stamps have been ahead of the times of receipt, at most."""

    @property
    def live(self) -> bool:
        """Whether the bag was recorded at the pace of its stamps, not from a fast replay."""
        received = self.last[1] - self.first[1]
        passed = self.last[0] - self.first[0]
        return received >= 1_000_000_000 and 0.7 < passed / received < 1.5


class StreamWatch:
    """
    Refuses recordings in which images and poses cannot belong together.

    Give it every message of a pass, in the order of receipt.
    """

    def __init__(self, path: Path, start_ns: int, *, one_frame: bool) -> None:
        """
        Begin a pass.

        :param start_ns: receive time of the first message of the bag.
        :param one_frame: whether all images of a topic must name the same TF frame.
        """
        self._path = path
        self._start_ns = start_ns
        self._one_frame = one_frame
        self._clocks: dict[str, _Clock] = {}
        self._calibrations: dict[str, tuple[int, int, float]] = {}

    def image(self, stream: CameraStream, stamp_ns: int, received_ns: int, message: Any) -> None:
        """
        Look at an image message.

        :raises InputError: when it is of another camera than the first one, or of another time.
        """
        frame = messages.frame_id(message.header.frame_id)
        if self._one_frame and frame != stream.frame:
            raise InputError(
                f"{self._path}: topic '{stream.topic}' carries images of two cameras (frame_id "
                f"'{stream.frame}' and '{frame}'); record each on a topic of its own, or, if it is "
                'one camera, name its frame with --set source.camera_frame=FRAME'
            )
        self._clock(stream.topic, stamp_ns, received_ns)

    def calibration(self, topic: str, message: Any) -> None:
        """
        Look at a camera_info message.

        :raises InputError: when it is for other images than the first one.
        """
        k = message.k if hasattr(message, 'k') else message.K
        now = (int(message.width), int(message.height), float(k[0]))
        first = self._calibrations.setdefault(topic, now)
        if now[:2] == first[:2] and abs(now[2] - first[2]) <= _LARGEST_CHANGE_OF_FOCUS * first[2]:
            return
        raise InputError(
            f"{self._path}: topic '{topic}' carries calibrations of two cameras, "
            f'{first[0]}x{first[1]} with f = {first[2]:.1f} px and {now[0]}x{now[1]} with '
            f'f = {now[2]:.1f} px; record each on a topic of its own, or give the calibration with '
            '--set source.camera_info_file=FILE'
        )

    def _clock(self, topic: str, stamp_ns: int, received_ns: int) -> None:
        now = (stamp_ns, received_ns)
        clock = self._clocks.setdefault(topic, _Clock(now, now, stamp_ns - received_ns))
        step = stamp_ns - clock.last[0]
        ahead = stamp_ns - received_ns - clock.ahead_ns
        if step < -_LARGEST_STEP_BACK_NS:
            raise self._jump(topic, step, received_ns)
        if clock.live and ahead > _LARGEST_STEP_AHEAD_NS:
            raise self._jump(topic, ahead, received_ns)
        clock.last = now
        clock.ahead_ns = max(clock.ahead_ns, stamp_ns - received_ns)

    def _jump(self, topic: str, by_ns: int, received_ns: int) -> InputError:
        into = (received_ns - self._start_ns) / 1e9
        return InputError(
            f"{self._path}: the clock of topic '{topic}' jumps by {by_ns / 1e9:+.1f} s, {into:.1f} "
            f's into the bag; read the part before it with --set source.duration_s='
            f'{max(into - 0.1, 0.0):.1f}, or the part after it with --set source.start_s='
            f'{into + 0.1:.1f}'
        )


def info_topics(streams: Mapping[str, CameraStream]) -> list[str]:
    """Return the topics of calibrations that streams of images rely on."""
    return sorted({stream.info_topic for stream in streams.values() if stream.info_topic})
