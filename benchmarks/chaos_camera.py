"""The camera of a robot among chaos: images good and bad, at the times of a clock that jumps."""

from __future__ import annotations

import math
import time
from collections import Counter
from typing import Any

import numpy as np

from benchmarks.message_mutations import mutate_image
from benchmarks.node_client import CAMERA_FRAME, NodeClient
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.sources import Frame

_SECOND = 1_000_000_000
_BEGIN_NS = 1_700_000_000 * _SECOND
_END_NS = 2_000_000_000 * _SECOND
_JUMPS_S = (-0.5, -10.0, -1000.0, 5.0, 100.0, 1000.0, 31_536_000.0, -31_536_000.0)


class JumpingClock:
    """Runs like a steady clock, until it jumps."""

    def __init__(self) -> None:
        """Begin at a time of day."""
        self._offset_ns = _BEGIN_NS - time.monotonic_ns()

    @property
    def now_ns(self) -> int:
        """The time."""
        return time.monotonic_ns() + self._offset_ns

    def jump(self, random: np.random.Generator) -> str:
        """Jump back or ahead, or begin anew as simulators do; return which."""
        seconds = (*_JUMPS_S, None)[int(random.integers(len(_JUMPS_S) + 1))]
        before_ns, now_ns = self.now_ns, 5 * _SECOND
        if seconds is not None:
            now_ns = before_ns + round(seconds * _SECOND)
        if not 0 < now_ns < _END_NS:
            now_ns = _BEGIN_NS
        self._offset_ns += now_ns - before_ns
        return 'back' if now_ns < before_ns else 'ahead'


class ChaosCamera:
    """Publishes what a robot sees that stands still, raw or compressed as the node wants it."""

    def __init__(
        self, client: NodeClient, frame: Frame, camera: Camera, random: np.random.Generator
    ) -> None:
        """Prepare; :param client: publishes the messages."""
        self.client = client
        self.clock = JumpingClock()
        self.sent: Counter[str] = Counter()
        self._pixels, self._camera, self._random = frame.image, camera, random

    def localized_after_s(self, timeout_s: float) -> float:
        """Send good images until one is localized; return how long that took."""
        self.client.send_camera_info(self._camera)
        begin = time.monotonic()
        while time.monotonic() - begin < timeout_s:
            stamp_ns = self._tell_time()
            answer = self.client.send_and_wait(self._pixels, stamp_ns=stamp_ns)
            if answer is not None and answer.localized:
                return time.monotonic() - begin
        return math.inf

    def send_good(self) -> None:
        """Send an image that can be localized."""
        self._publish('good image', self._good(self._tell_time()))

    def send_bad(self) -> None:
        """Send an image that is damaged, of another time, or of nothing."""
        now_ns = self._tell_time()
        name, shift_s = self._one_of(
            (
                ('damaged', 0.0), ('damaged', 0.0), ('damaged', 0.0), ('cut', 0.0), ('black', 0.0),
                ('late', -0.3), ('of the past', -10.0), ('of the past', -1000.0),
                ('of the future', 1000.0), ('of an unknown frame', 0.0), ('without stamp', None),
            )
        )  # fmt: skip
        image = self._good(0 if shift_s is None else now_ns + round(shift_s * _SECOND))
        if name == 'damaged':
            mutate_image(image, self._random)
            # A known frame that is not that of the camera would be believed.
            image.header.frame_id = CAMERA_FRAME
        elif name in ('cut', 'black'):
            pixels = self._pixels[:100] if name == 'cut' else np.zeros_like(self._pixels)
            image = self.client.encode(pixels, now_ns)
        elif name == 'of an unknown frame':
            image.header.frame_id = 'camera_on_the_moon'
        self._publish(f'image {name}', image)

    def send_calibration(self) -> None:
        """Send the calibration, or one for another size."""
        good = bool(self._random.integers(2))
        self.sent['camera_info' if good else 'camera_info of another size'] += 1
        self.client.send_camera_info(self._camera if good else self._camera.scaled(64, 48))

    def jump(self) -> None:
        """Let time jump; most often the clock tells it before the next image does."""
        self.sent[f'jump {self.clock.jump(self._random)}'] += 1
        if self._random.integers(4):
            self.client.send_clock(self.clock.now_ns)

    def _tell_time(self) -> int:
        """Publish clock and odometry, and return the time."""
        now_ns = self.clock.now_ns
        self.client.send_clock(now_ns)
        self.client.send_odometry(np.eye(4), now_ns)
        return now_ns

    def _good(self, stamp_ns: int) -> Any:
        return self.client.encode(self._pixels, stamp_ns)

    def _publish(self, name: str, image: Any) -> None:
        kind = 'compressed' if self.client.wants_compressed else 'raw'
        self.sent[f'{name}, {kind}'] += 1
        self.client.publish(image)

    def _one_of(self, values: Any) -> Any:
        return values[int(self._random.integers(len(values)))]
