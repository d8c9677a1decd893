"""Frames of a video file, thinned to a number of images a second."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np

from hloc_localizer.errors import InputError
from hloc_localizer.geometry.trajectory import Trajectory
from hloc_localizer.sources import intrinsics
from hloc_localizer.sources.camera_info import camera_from_file, require_image_size
from hloc_localizer.sources.frame import Frame
from hloc_localizer.sources.identity import files_of_recording
from hloc_localizer.sources.one_camera import CAMERA_NAME, OneCamera
from hloc_localizer.sources.options import SourceOptions
from hloc_localizer.sources.tum import read_tum


class VideoSource(OneCamera):
    """
    The images of a video file, as one camera named ``camera``.

    Stamps are the presentation times of the video, from 0 at its start; a TUM file of camera
    poses counts the same way.
    """

    def __init__(self, path: Path, options: SourceOptions) -> None:
        """
        Open a video and read its calibration; where none is given, it is estimated.

        :raises InputError: when the video cannot be decoded or does not fit its calibration.
        """
        self._path = path
        self._options = options
        capture = _open(path)
        self._rate = float(capture.get(cv2.CAP_PROP_FPS))
        self._count = max(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0)
        readable, pixels = capture.read()
        capture.release()
        if not readable:
            raise InputError(f'{path}: the video holds no image that can be decoded')
        # Of the image itself: a phone's video may be turned when it is decoded.
        size = (pixels.shape[1], pixels.shape[0])
        self._origin, self._calibration_problem = intrinsics.FILE, ''
        if options.camera_info_file:
            self._camera = camera_from_file(Path(options.camera_info_file).expanduser())
            require_image_size(self._camera, *size, str(path))
        else:
            self._origin = intrinsics.ESTIMATED
            self._camera = intrinsics.estimated_camera(*size, options.field_of_view_deg)
            self._calibration_problem = (
                f'{path}: a video has no calibration; give one with '
                '--set source.camera_info_file=FILE'
            )
        self._poses = _poses(options)

    @property
    def description(self) -> Mapping[str, str]:
        """Path and rate."""
        origin = f'file {self._options.poses_file}' if self._poses is not None else 'none'
        return MappingProxyType(
            {
                'path': str(self._path),
                'kind': 'video',
                'rate_hz': f'{self._options.fps or self._rate:g}',
                'map_frame': self._options.map_frame,
                'poses': origin,
            }
        )

    @property
    def files(self) -> Sequence[Path]:
        """The video, and the files of calibration and poses."""
        return files_of_recording(self._path, self._options)

    @property
    def pose_problem(self) -> str:
        """Why no frame has a pose; empty where poses are given."""
        if self._poses is not None:
            return ''
        return f'{self._path}: a video has no poses; give --set source.poses_file=FILE.tum'

    @property
    def notes(self) -> Sequence[str]:
        """Nothing is left out."""
        return ()

    def __len__(self) -> int:
        """Return the number of images as the container tells it, thinned."""
        if self._options.fps and self._rate > self._options.fps:
            return int(self._count * self._options.fps / self._rate) + 1
        return self._count

    def frames(self) -> Iterator[Frame]:
        """
        Yield the images as RGB.

        :raises InputError: when the image size changes or nothing lies in the chosen time span.
        """
        capture = _open(self._path)
        gap_ns = round(self._options.max_pose_gap_s * 1e9)
        seen = 0
        try:
            for stamp_ns, pixels in self._chosen(capture):
                image = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
                height, width = image.shape[:2]
                require_image_size(self._camera, width, height, str(self._path))
                seen += 1
                yield Frame(
                    name=f'{CAMERA_NAME}/{stamp_ns:019d}.jpg',
                    stamp_ns=stamp_ns,
                    image=np.asarray(image, np.uint8),
                    camera_name=CAMERA_NAME,
                    map_from_camera=self._poses.at(stamp_ns, gap_ns) if self._poses else None,
                )
        finally:
            capture.release()
        if not seen:
            raise InputError(f'{self._path}: no image between source.start_s and its end')

    def _chosen(self, capture: Any) -> Iterator[tuple[int, Any]]:
        begin = round(self._options.start_s * 1e9)
        duration = round(self._options.duration_s * 1e9)
        step = round(1e9 / self._options.fps) if self._options.fps else 0
        # Half an image of tolerance, so that presentation times rounded down are not skipped.
        tolerance = min(step, round(1e9 / self._rate) if self._rate > 0 else 0) // 2
        due, last, number = begin, -1, -1
        while capture.grab():
            number += 1
            stamp_ns = self._stamp_ns(capture, number)
            if stamp_ns <= last or stamp_ns + tolerance < due:
                continue
            if duration and stamp_ns >= begin + duration:
                return
            decoded, pixels = capture.retrieve()
            if not decoded:
                continue
            due = max(due + step, stamp_ns + step - tolerance) if step else due
            last = stamp_ns
            yield stamp_ns, pixels

    def _stamp_ns(self, capture: Any, number: int) -> int:
        milliseconds = float(capture.get(cv2.CAP_PROP_POS_MSEC))
        if milliseconds > 0.0 or number == 0 or self._rate <= 0.0:
            return round(max(milliseconds, 0.0) * 1e6)
        return round(number / self._rate * 1e9)  # a container without presentation times


def _open(path: Path) -> Any:
    capture = cv2.VideoCapture(str(path))
    if not capture.isOpened():
        raise InputError(f'{path}: not a video, damaged, or of a codec OpenCV cannot decode')
    return capture


def _poses(options: SourceOptions) -> Trajectory | None:
    if options.poses in ('tf', 'topic') or (options.poses == 'file' and not options.poses_file):
        raise InputError(
            f'source.poses is {options.poses}, but a video has poses only from a file: '
            '--set source.poses_file=FILE.tum'
        )
    if options.poses == 'none' or not options.poses_file:
        return None
    return read_tum(Path(options.poses_file).expanduser())
