"""Reading a COLMAP model that somebody else wrote."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.errors import InputError
from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.maps.hloc_layout import is_colmap_model

_SMALLEST_RECORD = {'cameras.bin': 24, 'images.bin': 64, 'points3D.bin': 43}
"""Bytes of the shortest camera, image and point (COLMAP documentation, "Output Format")."""
_IMAGE_HEADER = 64
"""Bytes of an image before its name."""
_KEYPOINT_RECORD = 24
_BASE_MEMORY = 16 << 30
"""Address space in bytes that a process with pycolmap may take before it reads anything."""


@dataclass(frozen=True)
class ModelImage:
    """A registered image of a COLMAP model."""

    image_id: int
    name: str
    camera_id: int
    map_from_camera: NDArray[np.float64]
    """(4, 4)."""


@dataclass(frozen=True)
class ColmapModel:
    """A model's cameras and posed images; points stay in pycolmap's own structure."""

    path: Path
    cameras: Mapping[int, Camera]
    """By COLMAP's id, those that posed images use."""
    images: tuple[ModelImage, ...]
    """By name."""
    reconstruction: Any
    """``pycolmap.Reconstruction``."""


def read_colmap_model(path: Path) -> ColmapModel:
    """
    Read a model of three or five files, binary or text.

    :raises InputError: when it is missing, damaged, has no posed image, or a camera model that is
        not known.
    """
    if not is_colmap_model(path):
        raise InputError(f'{path}: not a COLMAP model (cameras, images, points3D as .bin or .txt)')
    reconstruction = _read(path)
    try:
        images = sorted(
            (_image(path, reconstruction.images[i]) for i in reconstruction.reg_image_ids()),
            key=lambda image: image.name,
        )
    except UnicodeDecodeError as error:
        raise InputError(f'{path}: the name of an image is not UTF-8; rename it') from error
    if not images:
        raise InputError(f'{path}: the model has no image with a pose')
    if len({image.name for image in images}) < len(images):
        raise InputError(f'{path}: the model has several images of one name')
    used = {image.camera_id for image in images}
    cameras = {i: _camera(path, i, reconstruction.cameras[i]) for i in sorted(used)}
    return ColmapModel(path, cameras, tuple(images), reconstruction)


def _read(path: Path) -> Any:
    try:
        import pycolmap
    except ImportError as error:
        raise InputError(
            'reading a COLMAP model needs pycolmap, which has no package for this machine; import '
            'the map on a desktop (pip install pycolmap) and copy the folder'
        ) from error
    pycolmap.logging.minloglevel = pycolmap.logging.Level.FATAL.value
    _check_counts(path)
    _check_images(path)
    _check_by_trying(path)
    try:
        return pycolmap.Reconstruction(path)
    except (RuntimeError, ValueError, IndexError, KeyError, TypeError, MemoryError) as error:
        raise InputError(f'{path}: the COLMAP model is damaged; copy or build it again') from error


def _check_counts(path: Path) -> None:
    """Refuse binary files that promise more records than they can hold."""
    for name, smallest in _SMALLEST_RECORD.items():
        file = path / name
        if not file.is_file():
            continue
        with file.open('rb') as stream:
            count = int.from_bytes(stream.read(8), 'little')
        if count * smallest > file.stat().st_size:
            raise InputError(
                f'{file}: {count} records do not fit into it; copy or build the model again'
            )


def _check_images(path: Path) -> None:
    """Refuse an image that promises more keypoints than its file holds; COLMAP would read on."""
    file = path / 'images.bin'
    if not file.is_file():
        return
    data = file.read_bytes()
    place = 8
    for _ in range(int.from_bytes(data[:8], 'little')):
        end_of_name = data.find(b'\0', place + _IMAGE_HEADER)
        counted = end_of_name + 9
        points = int.from_bytes(data[end_of_name + 1 : counted], 'little')
        place = counted + _KEYPOINT_RECORD * points
        if end_of_name < 0 or place > len(data):
            raise InputError(
                f'{file}: an image does not fit into it; copy or build the model again'
            )


def _check_by_trying(path: Path) -> None:
    """Have another process read the model first: some damage lets COLMAP end the process."""
    size = sum(file.stat().st_size for file in path.iterdir() if file.is_file())
    code = (
        'import resource, sys, pycolmap; '
        'resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[2]),) * 2); '
        'pycolmap.Reconstruction(sys.argv[1])'
    )
    arguments = [sys.executable, '-c', code, str(path), str(_BASE_MEMORY + 40 * size)]
    try:
        result = subprocess.run(
            arguments, capture_output=True, check=False, timeout=20.0 + size / 1e6
        )
    except subprocess.TimeoutExpired as error:
        raise InputError(f'{path}: the COLMAP model is damaged; copy or build it again') from error
    if result.returncode != 0:
        raise InputError(f'{path}: the COLMAP model is damaged; copy or build it again')


def _image(path: Path, image: Any) -> ModelImage:
    matrix = np.vstack([image.cam_from_world().matrix(), [0.0, 0.0, 0.0, 1.0]])
    if not np.all(np.isfinite(matrix)):
        raise InputError(f"{path}: the pose of image '{image.name}' is not finite")
    return ModelImage(image.image_id, image.name, image.camera_id, transforms.invert(matrix))


def _camera(path: Path, camera_id: int, camera: Any) -> Camera:
    try:
        return Camera.from_colmap(camera.model.name, camera.width, camera.height, camera.params)
    except InputError as error:
        raise InputError(f'{path}: camera {camera_id}: {error}') from error
