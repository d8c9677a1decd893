"""A moment with all that its result depends on, as a small folder that can be localized again."""

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
from hloc_localizer.localization.bundle_fields import (
    FORMAT,
    SearchContext,
    count,
    image_dict,
    image_from,
    in_present_format,
    matrix_list,
    search_dict,
    search_from,
    some,
    transform,
)
from hloc_localizer.localization.mounted_image import MountedImage
from hloc_localizer.sources import image_codec

__all__ = ['Bundle', 'RecordedMoment', 'SearchContext', 'read_bundle', 'write_bundle']

Array = NDArray[np.float64]

FRAME_NAME = 'frame.json'
_OLD_IMAGE_NAME = 'image.png'
"""Of the one image that format 1 knew."""
_LARGEST_FRAME = 1 << 20
_LARGEST_IMAGES = 1 << 28
_MOST_PIXELS = 1 << 29
_MOST_MOMENTS, _MOST_CAMERAS = 100, 32


@dataclass(frozen=True, eq=False)
class RecordedMoment:
    """The images that the cameras of a body took at one time, and how they were searched for."""

    stamp_ns: int
    images: tuple[MountedImage, ...]
    """At least one."""
    prior: Array | None = None
    """(4, 4) ``map_from_body`` that the localizer was given."""
    search: SearchContext | None = None
    """Present when it was part of a stream."""
    odom_from_body: Array | None = None
    """(4, 4) in the drifting frame of the odometry, where it ties several moments."""


@dataclass(frozen=True, eq=False)
class Bundle:
    """A moment, those that were solved together with it, and what became of it."""

    moment: RecordedMoment
    reason: str
    """Why it was refused; ``none`` when it was localized."""
    detail: str
    map_from_body: Array | None
    """(4, 4) as the images gave it, present when they did."""
    map_path: str
    """The map that it was localized in, for people."""
    images: int = 1
    """How many images were solved together."""
    earlier: tuple[RecordedMoment, ...] = ()
    """The moments that were solved together with it, oldest first."""
    whole: bool = True
    """Whether those are all: false where their images were too large to be kept."""

    @property
    def moments(self) -> tuple[RecordedMoment, ...]:
        """All moments, the newest last."""
        return (*self.earlier, self.moment)


def image_name(moment: int, camera: int) -> str:
    """Return the file that an image is in, by the number of its moment and its camera there."""
    return f'image_{moment}_{camera}.png'


def write_bundle(path: Path, bundle: Bundle) -> None:
    """
    Write a bundle as a new folder, whole or not at all; pixels are kept exactly.

    :raises OSError: when it cannot be written.
    """
    staging = path.with_name(f'.{path.name}.{os.getpid()}.part')
    try:
        staging.mkdir(parents=True)
        for number, moment in enumerate(bundle.moments):
            for camera, one in enumerate(moment.images):
                (staging / image_name(number, camera)).write_bytes(_png(one.image))
        text = json.dumps(_as_dict(bundle), indent=1, allow_nan=False)
        (staging / FRAME_NAME).write_text(text + '\n', encoding='utf-8')
        staging.rename(path)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _png(pixels: NDArray[np.uint8]) -> bytes:
    if pixels.ndim == 3:
        pixels = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), np.uint8)
    # Fast rather than small: this may happen between two images of a running robot.
    written, data = cv2.imencode('.png', pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not written:
        raise OSError(f'an image of shape {pixels.shape} cannot be written')
    return bytes(data)


def read_bundle(path: Path) -> Bundle:
    """
    Read a bundle.

    :raises InputError: naming the folder, when it is none or was changed into none.
    """
    try:
        values = json.loads(_bytes(path / FRAME_NAME, _LARGEST_FRAME))
        return _from_dict(in_present_format(values), _Images(path, values['format']))
    except OSError as error:
        name = FRAME_NAME if error.filename is None else Path(error.filename).name
        raise InputError(f'{path}: is not a bundle ({error.strerror}: {name})') from error
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise InputError(f'{path}: {FRAME_NAME} is not that of a bundle ({error})') from error
    except InputError as error:
        raise InputError(f'{path}: {error}') from error


class _Images:
    """Reads the images of a bundle, all of them together of bounded size."""

    def __init__(self, path: Path, kept_as: int) -> None:
        self._path = path
        self._old = kept_as != FORMAT
        self._left = _LARGEST_IMAGES
        self._pixels_left = _MOST_PIXELS

    def __call__(self, moment: int, camera: int) -> NDArray[np.uint8]:
        name = _OLD_IMAGE_NAME if self._old else image_name(moment, camera)
        data = _bytes(self._path / name, self._left)
        self._left -= len(data)
        image = image_codec.decode_compressed(data, 'png')
        self._pixels_left -= image.size
        if self._pixels_left < 0:
            raise ValueError('its images are too large')
        return image


def _as_dict(bundle: Bundle) -> dict[str, Any]:
    return {
        'format': FORMAT,
        'reason': bundle.reason,
        'detail': bundle.detail,
        'map_from_body': matrix_list(bundle.map_from_body),
        'map': bundle.map_path,
        'images': bundle.images,
        'whole': bundle.whole,
        'moments': [
            {
                'stamp_ns': moment.stamp_ns,
                'prior': matrix_list(moment.prior),
                'odom_from_body': matrix_list(moment.odom_from_body),
                'search': search_dict(moment.search),
                'images': [image_dict(one) for one in moment.images],
            }
            for moment in bundle.moments
        ],
    }


def _from_dict(values: dict[str, Any], images: _Images) -> Bundle:
    recorded = some(values['moments'], _MOST_MOMENTS, 'moments')
    *earlier, newest = (_moment(one, number, images) for number, one in enumerate(recorded))
    return Bundle(
        moment=newest,
        reason=str(values['reason']),
        detail=str(values['detail']),
        map_from_body=transform(values['map_from_body'], 'pose'),
        map_path=str(values['map']),
        images=count(values['images'], 'images'),
        earlier=tuple(earlier),
        whole=bool(values['whole']),
    )


def _moment(values: dict[str, Any], number: int, images: _Images) -> RecordedMoment:
    mounted = some(values['images'], _MOST_CAMERAS, 'images')
    return RecordedMoment(
        stamp_ns=int(values['stamp_ns']),
        images=tuple(image_from(one, images(number, camera)) for camera, one in enumerate(mounted)),
        prior=transform(values['prior'], 'pose'),
        search=search_from(values['search']),
        odom_from_body=transform(values['odom_from_body'], 'pose'),
    )


def _bytes(path: Path, limit: int) -> bytes:
    if not path.is_file():
        raise FileNotFoundError(2, 'no such file', str(path))
    if path.stat().st_size > limit:
        raise ValueError(f'{path.name} is larger than {limit} bytes')
    return path.read_bytes()
