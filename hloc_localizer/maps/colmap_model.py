"""Reading a COLMAP model that somebody else wrote."""

from __future__ import annotations

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
    images = sorted(
        (_image(path, reconstruction.images[i]) for i in reconstruction.reg_image_ids()),
        key=lambda image: image.name,
    )
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
