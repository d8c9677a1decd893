"""Frames of a folder of images, with poses by image name or by stamp."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.errors import InputError
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.geometry.trajectory import Trajectory
from hloc_localizer.sources import image_codec, intrinsics
from hloc_localizer.sources.camera_info import camera_from_file, require_image_size
from hloc_localizer.sources.exif import focal_length_px
from hloc_localizer.sources.frame import Frame
from hloc_localizer.sources.identity import files_of_recording
from hloc_localizer.sources.one_camera import CAMERA_NAME, OneCamera
from hloc_localizer.sources.options import SourceOptions
from hloc_localizer.sources.tum import read_poses_by_image, read_tum

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.webp', '.bmp')
_CALIBRATIONS = ('camera.yaml', 'camera_info.yaml')
_LARGEST_FILE = 1 << 28
_DEFAULT_STEP_NS = 1_000_000_000


class ImageFolderSource(OneCamera):
    """
    The images below a folder in the order of their names, as one camera named ``camera``.

    A file named by a number of nanoseconds (16 digits or more) or of seconds with a fraction has
    that stamp; other images are numbered, one second apart.
    """

    def __init__(self, path: Path, options: SourceOptions) -> None:
        """
        List a folder, read its calibration and poses.

        The calibration is ``source.camera_info_file``, or ``camera.yaml`` in the folder or above,
        or the focal length in the EXIF of the first image; else it is estimated.

        :raises InputError: when there is no image, or calibration or poses cannot be read.
        """
        self._path = path
        self._options = options
        self._files = _image_files(path)
        self._notes: list[str] = []
        stamps = [_stamp_of(file) for file in self._files]
        if None in stamps or len(set(stamps)) != len(stamps):
            stamps = [number * _DEFAULT_STEP_NS for number in range(len(stamps))]
        self._stamps = [stamp or 0 for stamp in stamps]
        self._files = [file for _, file in sorted(zip(self._stamps, self._files, strict=True))]
        self._stamps.sort()
        self._camera, self._origin, self._calibration_problem = self._calibration()
        self._by_name: dict[str, NDArray[np.float64]] = {}
        self._by_stamp: Trajectory | None = None
        self._read_poses()

    @property
    def description(self) -> Mapping[str, str]:
        """Path and origin of the poses."""
        posed = bool(self._by_name) or self._by_stamp is not None
        return MappingProxyType(
            {
                'path': str(self._path),
                'kind': 'images',
                'map_frame': self._options.map_frame,
                'poses': f'file {self._options.poses_file}' if posed else 'none',
            }
        )

    @property
    def files(self) -> Sequence[Path]:
        """The folder, and the files of calibration and poses."""
        beside = (self._path.absolute().parent / name for name in _CALIBRATIONS)
        return files_of_recording(self._path, self._options, *beside)

    @property
    def pose_problem(self) -> str:
        """Why no frame has a pose; empty where poses are given."""
        if self._by_name or self._by_stamp is not None:
            return ''
        return (
            f'{self._path}: images have no poses; give --set source.poses_file=FILE with lines '
            '"image tx ty tz qx qy qz qw"'
        )

    @property
    def notes(self) -> Sequence[str]:
        """Images without a pose in the last pass."""
        return tuple(self._notes)

    def __len__(self) -> int:
        """Return the number of image files."""
        return len(self._files)

    def frames(self) -> Iterator[Frame]:
        """
        Yield the images.

        :raises InputError: naming an image that is damaged or not of the size of the calibration.
        """
        begin = self._stamps[0] + round(self._options.start_s * 1e9)
        end = begin + round(self._options.duration_s * 1e9) if self._options.duration_s else None
        unposed: list[str] = []
        seen = 0
        for stamp_ns, file in zip(self._stamps, self._files, strict=True):
            if stamp_ns < begin or (end is not None and stamp_ns >= end):
                continue
            name = file.relative_to(self._path).as_posix()
            pose = self._pose(name, stamp_ns)
            seen += 1
            if pose is None:
                unposed.append(name)
            yield Frame(
                name=name,
                stamp_ns=stamp_ns,
                image=self._read(file),
                camera_name=CAMERA_NAME,
                map_from_camera=pose,
            )
        posed = bool(self._by_name) or self._by_stamp is not None
        self._notes = (
            [f'{len(unposed)} images without a pose (first: {unposed[0]})']
            if posed and unposed
            else []
        )
        if not seen:
            raise InputError(f'{self._path}: no image between source.start_s and its end')
        if posed and len(unposed) == seen:
            raise InputError(
                f'{self._path}: none of {seen} images has a pose in {self._options.poses_file}; '
                f'it has no line for {unposed[0]}'
            )

    def _calibration(self) -> tuple[Camera, str, str]:
        """Return the camera, where it is from, and why it is only estimated."""
        file = _calibration_file(self._path, self._options)
        if file is not None:
            return camera_from_file(file), intrinsics.FILE, ''
        data, image = _decoded(self._files[0])
        height, width = image.shape[:2]
        focal = focal_length_px(data, width, height)
        if focal is not None:
            camera = intrinsics.uncalibrated_camera(width, height, focal)
            return camera, intrinsics.EXIF, ''
        camera = intrinsics.estimated_camera(width, height, self._options.field_of_view_deg)
        problem = (
            f'{self._path}: no calibration; put camera.yaml (a ROS calibration file) beside the '
            'images or give one with --set source.camera_info_file=FILE'
        )
        return camera, intrinsics.ESTIMATED, problem

    def _read(self, file: Path) -> image_codec.Image:
        image = _decoded(file)[1]
        height, width = image.shape[:2]
        require_image_size(self._camera, width, height, str(file))
        return image

    def _pose(self, name: str, stamp_ns: int) -> NDArray[np.float64] | None:
        if self._by_stamp is not None:
            return self._by_stamp.at(stamp_ns, round(self._options.max_pose_gap_s * 1e9))
        pose = self._by_name.get(name)
        return pose if pose is not None else self._by_name.get(Path(name).name)

    def _read_poses(self) -> None:
        options = self._options
        if options.poses in ('tf', 'topic') or (options.poses == 'file' and not options.poses_file):
            raise InputError(
                f'source.poses is {options.poses}, but images have poses only from a file: '
                '--set source.poses_file=FILE'
            )
        if options.poses == 'none' or not options.poses_file:
            return
        path = Path(options.poses_file).expanduser()
        by_name = read_poses_by_image(path)
        known = {file.name for file in self._files}
        if any(Path(name).name in known for name in by_name):
            self._by_name = by_name
            return
        try:
            self._by_stamp = read_tum(path)
        except InputError as error:
            raise InputError(
                f'{path}: lines begin neither with the name of an image of {self._path} (as '
                f"'{self._files[0].name}') nor with a stamp (but with '{next(iter(by_name))}')"
            ) from error


def _decoded(file: Path) -> tuple[bytes, image_codec.Image]:
    """Return the bytes of an image file and its image."""
    try:
        if file.stat().st_size > _LARGEST_FILE:
            raise InputError('larger than 256 MiB')
        data = file.read_bytes()
        return data, image_codec.decode_compressed(data)
    except OSError as error:
        raise InputError(f'{file}: cannot be read: {error.strerror}') from error
    except InputError as error:
        raise InputError(f'{file}: {error}') from error


def _image_files(path: Path) -> list[Path]:
    files = sorted(
        file for file in path.rglob('*') if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file()
    )
    if not files:
        raise InputError(
            f'{path}: neither a bag (no metadata.yaml, .mcap or .db3) nor a folder of images '
            f'({", ".join(IMAGE_SUFFIXES)})'
        )
    return files


def _calibration_file(path: Path, options: SourceOptions) -> Path | None:
    if options.camera_info_file:
        return Path(options.camera_info_file).expanduser()
    for folder in (path, path.absolute().parent):
        for name in _CALIBRATIONS:
            if (folder / name).is_file():
                return folder / name
    return None


def _stamp_of(file: Path) -> int | None:
    stem = file.stem
    if re.fullmatch(r'\d{16,19}', stem):
        return int(stem)
    match = re.fullmatch(r'(\d{1,10})[._](\d{1,9})', stem)
    if match is None:
        return None
    return int(match[1]) * 1_000_000_000 + int(match[2].ljust(9, '0'))
