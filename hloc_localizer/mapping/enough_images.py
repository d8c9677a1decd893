"""Refuses recordings that cannot become a map: too short, too still, mounted nobody knows how."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from hloc_localizer.errors import InputError
from hloc_localizer.localization.image_quality import why_few_features
from hloc_localizer.localization.result import Reason
from hloc_localizer.mapping.matching import MapImage
from hloc_localizer.sources.frame import Frame, Source

MIN_IMAGES = 3
_SHORT_S = 1.0
"""No camera sees enough of a place in less."""
_LOOK_EVERY_NS = 500_000_000
_FEW_KEYPOINTS = 100
"""Sharp images of rooms have several hundred; maps of fewer are found again by nobody."""
_REMEDIES = {
    Reason.BLURRED: 'move more slowly, focus, or expose for a shorter time',
    Reason.BADLY_EXPOSED: 'record with more light, or another exposure',
}


class RecordingWatch:
    """Looks at the frames that a build reads, and tells what is missing for a map."""

    def __init__(self, source: Source, *, posed: bool) -> None:
        """
        Begin a pass.

        :param posed: whether the recording knows the poses in the map frame.
        """
        self._source = source
        self._posed = posed
        self._count = 0
        self._first_ns = self._last_ns = 0
        self._apart = ''
        """Why nothing holds the cameras together; empty while something does."""
        self._seen: Counter[Reason] = Counter()
        """What the quality of some images of the whole recording would explain."""
        self._look_ns = -_LOOK_EVERY_NS

    def frames(self) -> Iterator[Frame]:
        """
        Yield the frames of the recording.

        :raises InputError: as soon as it is longer than a second, when nothing tells how its
            cameras are mounted; a shorter one has another fault, see :meth:`require`.
        """
        for frame in self._source.frames():
            if not self._count:
                self._first_ns = frame.stamp_ns
            self._count += 1
            self._last_ns = max(self._last_ns, frame.stamp_ns)
            if abs(frame.stamp_ns - self._look_ns) >= _LOOK_EVERY_NS:
                self._look_ns = frame.stamp_ns
                self._seen[why_few_features(frame.image)] += 1
            if not self._posed and frame.odom_from_camera is None:
                self._apart = self._source.rig_problem
            if self._apart and self._seconds >= _SHORT_S:
                raise InputError(self._apart)
            yield frame

    def require(self, images: Sequence[MapImage]) -> None:
        """
        Check that there is enough to begin with.

        :param images: the selected ones.
        :raises InputError: saying what there is too little of.
        """
        if not images and self._posed and self._source.pose_problem:
            raise InputError(
                f'{self._source.pose_problem}; or find poses from the images: '
                '--set source.poses=none'
            )
        most = max((self._of_camera(images, camera) for camera in {i.camera for i in images}),
                   default=0)  # fmt: skip
        if self._count and self._seconds < _SHORT_S and most <= MIN_IMAGES:
            raise InputError(
                f'the recording is too short for a map: {self._count} images in '
                f'{self._seconds:.1f} s; record while moving, for as long as it takes to see every '
                'place from several sides'
            )
        if len(images) < MIN_IMAGES:
            raise InputError(self._too_few(len(images)))
        if self._apart:
            raise InputError(self._apart)
        keypoints = float(np.median([len(image.features) for image in images]))
        if self.quality and keypoints < _FEW_KEYPOINTS:
            raise InputError(
                f'{self.quality} (half of them have at most {keypoints:.0f} keypoints)'
            )
        if not any(len(image.features) for image in images):
            raise InputError('the images have no texture: no keypoint was found in any of them')

    @property
    def quality(self) -> str:
        """What is wrong with most images, with the remedy; empty where they are good enough."""
        for reason, remedy in _REMEDIES.items():
            count, total = self._seen[reason], self._seen.total()
            if 2 * count > total:
                return f'the images are {reason.value} ({count} of {total} looked at); {remedy}'
        return ''

    @property
    def _seconds(self) -> float:
        return (self._last_ns - self._first_ns) / 1e9

    def _of_camera(self, images: Sequence[MapImage], camera: int) -> int:
        return sum(image.camera == camera for image in images)

    def _too_few(self, count: int) -> str:
        if self._posed:
            return (
                f'only {count} usable images with poses that differ; a map needs at least '
                f'{MIN_IMAGES}: record longer, or lower frames.min_translation_m'
            )
        return (
            f'the camera hardly moved: only {count} of {self._count} images in '
            f'{self._seconds:.1f} s differ, and a map needs at least {MIN_IMAGES}; record while '
            'moving, or lower frames.min_image_motion and frames.min_translation_m'
        )
