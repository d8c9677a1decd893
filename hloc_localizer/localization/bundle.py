"""A frame with all that its result depends on, as a small folder that can be localized again."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hloc_localizer.errors import InputError
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.sources import image_codec

Array = NDArray[np.float64]

FRAME_NAME, IMAGE_NAME = 'frame.json', 'image.png'
_FORMAT = 1
_LARGEST_FRAME = 1 << 20
_LARGEST_IMAGE = 1 << 28


@dataclass(frozen=True)
class SearchContext:
    """How an image of a stream was searched for, beside the prior: enough to do it again."""

    covariance: Array | None
    """(6, 6) of the prior, as the tracker predicted it; None where the prior had no part."""
    quick: bool
    """Whether the image was reduced for a quick look."""
    everywhere: bool
    """Whether the whole map was searched."""


@dataclass(frozen=True)
class Bundle:
    """One image with its camera and prior, and what became of it."""

    stamp_ns: int
    image: NDArray[np.uint8]
    """(H, W) grey or (H, W, 3) RGB."""
    camera: Camera
    prior: Array | None
    """(4, 4) ``map_from_camera`` that the localizer was given."""
    reason: str
    """Why it was refused; ``none`` when it was localized."""
    detail: str
    map_from_camera: Array | None
    """(4, 4), present when it was localized."""
    map_path: str
    """The map that it was localized in, for people."""
    tracked: SearchContext | None = None
    """Present when it was part of a stream."""
    images: int = 1
    """How many images were solved together; of more than one the bundle holds only the newest."""


def write_bundle(path: Path, bundle: Bundle) -> None:
    """
    Write a bundle as a new folder, whole or not at all; pixels are kept exactly.

    :raises OSError: when it cannot be written.
    """
    staging = path.with_name(f'.{path.name}.{os.getpid()}.part')
    try:
        staging.mkdir(parents=True)
        pixels = bundle.image
        if pixels.ndim == 3:
            pixels = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), np.uint8)
        # Fast rather than small: this may happen between two images of a running robot.
        written, data = cv2.imencode('.png', pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        if not written:
            raise OSError(f'an image of shape {pixels.shape} cannot be written')
        (staging / IMAGE_NAME).write_bytes(data.tobytes())
        text = json.dumps(_as_dict(bundle), indent=1, allow_nan=False)
        (staging / FRAME_NAME).write_text(text + '\n', encoding='utf-8')
        staging.rename(path)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def read_bundle(path: Path) -> Bundle:
    """
    Read a bundle.

    :raises InputError: naming the folder, when it is none or was changed into none.
    """
    try:
        values = json.loads(_bytes(path / FRAME_NAME, _LARGEST_FRAME))
        image = image_codec.decode_compressed(_bytes(path / IMAGE_NAME, _LARGEST_IMAGE), 'png')
        return _from_dict(values, image)
    except OSError as error:
        raise InputError(f'{path}: is not a bundle ({error.strerror}: {FRAME_NAME})') from error
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise InputError(f'{path}: {FRAME_NAME} is not that of a bundle ({error})') from error
    except InputError as error:
        raise InputError(f'{path}: {error}') from error


def _as_dict(bundle: Bundle) -> dict[str, Any]:
    camera = bundle.camera
    return {
        'format': _FORMAT,
        'stamp_ns': bundle.stamp_ns,
        'camera': {
            'model': camera.model,
            'width': camera.width,
            'height': camera.height,
            'params': list(camera.params),
        },
        'prior': None if bundle.prior is None else bundle.prior.tolist(),
        'reason': bundle.reason,
        'detail': bundle.detail,
        'map_from_camera': (
            None if bundle.map_from_camera is None else bundle.map_from_camera.tolist()
        ),
        'map': bundle.map_path,
        'images': bundle.images,
        'tracked': None if bundle.tracked is None else _context_as_dict(bundle.tracked),
    }


def _context_as_dict(context: SearchContext) -> dict[str, Any]:
    covariance = None if context.covariance is None else context.covariance.tolist()
    return {'covariance': covariance, 'quick': context.quick, 'everywhere': context.everywhere}


def _from_dict(values: dict[str, Any], image: NDArray[np.uint8]) -> Bundle:
    if values['format'] != _FORMAT:
        raise ValueError(f'format {values["format"]!r} instead of {_FORMAT}')
    camera = values['camera']
    return Bundle(
        stamp_ns=int(values['stamp_ns']),
        image=image,
        camera=Camera(
            str(camera['model']),
            int(camera['width']),
            int(camera['height']),
            tuple(float(value) for value in camera['params']),
        ),
        prior=_pose(values['prior']),
        reason=str(values['reason']),
        detail=str(values['detail']),
        map_from_camera=_pose(values['map_from_camera']),
        map_path=str(values['map']),
        tracked=_context(values.get('tracked')),
        images=int(values.get('images', 1)),
    )


def _context(values: Any) -> SearchContext | None:
    if values is None:
        return None
    covariance = _matrix(values['covariance'], 6, 'covariance')
    return SearchContext(covariance, bool(values['quick']), bool(values['everywhere']))


def _pose(values: Any) -> Array | None:
    return _matrix(values, 4, 'pose')


def _matrix(values: Any, size: int, what: str) -> Array | None:
    if values is None:
        return None
    matrix = np.asarray(values, np.float64)
    if matrix.shape != (size, size) or not np.all(np.isfinite(matrix)):
        raise ValueError(f'a {what} is not {size}x{size} finite numbers')
    return matrix


def _bytes(path: Path, limit: int) -> bytes:
    if not path.is_file():
        raise FileNotFoundError(2, 'no such file', str(path))
    if path.stat().st_size > limit:
        raise ValueError(f'{path.name} is larger than {limit} bytes')
    return path.read_bytes()
