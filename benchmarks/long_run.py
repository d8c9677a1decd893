"""Loops a recording through the node: is each image answered, does the memory stay."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from benchmarks.node_client import NodeClient
from hloc_localizer.sources import Frame

GROWTH_MB = 10.0
WARM_UP_IMAGES = 3000
STEP_NS = 200_000_000
"""Of the stamps, whatever the time that an image takes."""

_LAPS_PER_LOOP = 10
"""Laps to and fro, with steady odometry, before time jumps back as when a bag loops."""

_NEW_CAMERA_EVERY = 5000
"""Images after which the camera's publisher is made anew, as when its driver starts again."""

_JUMP_S = 0.1
"""After time has jumped the node hears of it before the next image."""

_READING_EVERY = 250
_LINE_EVERY = 2500
_LEAST_ANSWERED = 0.999


@dataclass
class LongRun:
    """What was seen of the node."""

    warm_up: int
    sent: int = 0
    answered: int = 0
    localized: int = 0
    readings: list[tuple[int, float]] = field(default_factory=list)
    """Number of images, megabytes of the process then."""

    @property
    def growth_mb(self) -> float:
        """From the first readings after the warm-up to the last ones; medians of five."""
        after = self._after()
        return float(np.median(after[-5:, 1]) - np.median(after[:5, 1]))

    @property
    def mb_per_10000(self) -> float:
        """Slope of a line through the readings after the warm-up."""
        after = self._after()
        return float(np.polyfit(after[:, 0], after[:, 1], 1)[0] * 1e4) if len(after) > 1 else 0.0

    @property
    def reached(self) -> bool:
        """Whether the memory stayed and the subscription was never lost."""
        return self.growth_mb < GROWTH_MB and self.answered >= _LEAST_ANSWERED * self.sent

    def line(self) -> str:
        """Return the numbers as text."""
        return (
            f'{self.sent} images, {self.answered} answered, {self.localized} localized; '
            f'{self.readings[-1][1]:.1f} MB, {self.growth_mb:+.1f} MB since image {self.warm_up} '
            f'(target < {GROWTH_MB:g}), {self.mb_per_10000:+.2f} MB per 10,000 images'
        )

    def _after(self) -> np.ndarray:
        after = [reading for reading in self.readings if reading[0] >= self.warm_up]
        return np.array(after or self.readings[-1:])


def reduced(frames: Sequence[Frame], share: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the images of a recording, made smaller, with the odometry of the camera."""
    smaller = []
    for frame in frames:
        size = (round(frame.image.shape[1] * share), round(frame.image.shape[0] * share))
        odom = frame.odom_from_camera
        assert odom is not None, f'{frame.name}: the recording has no odometry'
        smaller.append((cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA), odom))
    return smaller


def run(
    client: NodeClient,
    pid: int,
    views: Sequence[tuple[np.ndarray, np.ndarray]],
    images: int,
    say: Callable[[str], None] = lambda line: None,
) -> LongRun:
    """
    Send the images one by one, each when the one before is answered, and watch the process.

    :param client: of a node with ``use_sim_time``.
    :param views: images with their odometry.
    :param say: told about the progress.
    """
    done = LongRun(min(WARM_UP_IMAGES, images // 3))
    done.readings.append((0, resident_mb(pid)))
    # Close to the wall's time, as that of a recording; it runs faster when images are small.
    begin_ns = time.time_ns()
    for number, step, (pixels, odom) in _looped(views, images):
        if number and number % _NEW_CAMERA_EVERY == 0:
            client.restart_camera()
        stamp_ns = begin_ns + step * STEP_NS
        client.send_clock(stamp_ns)
        if step == 0:
            time.sleep(_JUMP_S)
        client.send_odometry(odom, stamp_ns)
        answer = client.send_and_wait(pixels, stamp_ns=stamp_ns)
        done.sent += 1
        done.answered += answer is not None
        done.localized += answer is not None and answer.localized
        if done.sent % _READING_EVERY == 0:
            done.readings.append((done.sent, resident_mb(pid)))
        if done.sent % _LINE_EVERY == 0:
            say(done.line())
    done.readings.append((done.sent, resident_mb(pid)))
    return done


def _looped(
    views: Sequence[tuple[np.ndarray, np.ndarray]], images: int
) -> Iterator[tuple[int, int, tuple[np.ndarray, np.ndarray]]]:
    """Yield number, step of time and view: to and fro, and from the start again in time."""
    lap = [*views, *views[-2:0:-1]]
    loop = [view for _ in range(_LAPS_PER_LOOP) for view in lap]
    for number, (step, view) in zip(range(images), itertools.cycle(enumerate(loop)), strict=False):
        yield number, step, view


def resident_mb(pid: int) -> float:
    """Return the memory of a process that is its own: anonymous pages, without mapped files."""
    text = Path(f'/proc/{pid}/status').read_text(encoding='ascii')
    found = re.search(r'RssAnon:\s+(\d+) kB', text)
    assert found is not None
    return int(found[1]) / 1024.0
