"""What a bundle's ``frame.json`` holds, as plain values; nothing that is read is trusted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.geometry.camera import Camera
from hloc_localizer.geometry.transforms import are_rigid
from hloc_localizer.localization.mounted_image import MountedImage

Array = NDArray[np.float64]

FORMAT = 2


@dataclass(frozen=True, eq=False)
class SearchContext:
    """How the images of a stream were searched for, beside the prior: enough to do it again."""

    covariance: Array | None
    """(6, 6) of the prior, as the tracker predicted it; None where the prior had no part."""
    quick: bool
    """Whether the images were reduced for a quick look."""
    everywhere: bool
    """Whether the whole map was searched."""


def in_present_format(values: Any) -> dict[str, Any]:
    """
    Return what was read, as it would be written today.

    Format 1 knew one image, with its camera in place of the body.

    :raises ValueError: for a format that is not known.
    """
    if values['format'] == FORMAT:
        return dict(values)
    if values['format'] != 1:
        raise ValueError(f'format {values["format"]!r} is neither 1 nor {FORMAT}')
    moment = {
        'stamp_ns': values['stamp_ns'],
        'prior': values['prior'],
        'odom_from_body': None,
        'search': values.get('tracked'),
        'images': [
            {'name': '', 'camera': values['camera'], 'body_from_camera': np.eye(4).tolist()}
        ],
    }
    images = values.get('images', 1)
    return {
        'reason': values['reason'],
        'detail': values['detail'],
        'map_from_body': values['map_from_camera'],
        'map': values['map'],
        'images': images,
        'whole': images == 1,
        'moments': [moment],
    }


def image_dict(one: MountedImage) -> dict[str, Any]:
    """Return all of an image but its pixels."""
    camera = one.camera
    return {
        'name': one.name,
        'camera': {
            'model': camera.model,
            'width': camera.width,
            'height': camera.height,
            'params': list(camera.params),
        },
        'body_from_camera': one.body_from_camera.tolist(),
    }


def image_from(values: dict[str, Any], pixels: NDArray[np.uint8]) -> MountedImage:
    """Return an image with its pixels."""
    camera = values['camera']
    mounting = transform(values['body_from_camera'], 'mounting')
    if mounting is None:
        raise ValueError('an image has no mounting')
    return MountedImage(
        image=pixels,
        camera=Camera(
            str(camera['model']),
            int(camera['width']),
            int(camera['height']),
            tuple(float(value) for value in camera['params']),
        ),
        body_from_camera=mounting,
        name=str(values['name']),
    )


def search_dict(context: SearchContext | None) -> dict[str, Any] | None:
    """Return how images were searched for."""
    if context is None:
        return None
    covariance = matrix_list(context.covariance)
    return {'covariance': covariance, 'quick': context.quick, 'everywhere': context.everywhere}


def search_from(values: Any) -> SearchContext | None:
    """Return what :func:`search_dict` wrote."""
    if values is None:
        return None
    covariance = matrix(values['covariance'], 6, 'covariance')
    return SearchContext(covariance, bool(values['quick']), bool(values['everywhere']))


def matrix_list(values: Array | None) -> list[list[float]] | None:
    """Return a matrix as lists."""
    return None if values is None else values.tolist()


def transform(values: Any, what: str) -> Array | None:
    """
    Return a rigid transform.

    :raises ValueError: when it is none.
    """
    found = matrix(values, 4, what)
    if found is not None and not are_rigid(found):
        raise ValueError(f'a {what} is not a rotation and a translation')
    return found


def count(value: Any, what: str) -> int:
    """
    Return a number of things.

    :raises ValueError: when it is none, or zero.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f'{what} are not a number from 1')
    return value


def matrix(values: Any, size: int, what: str) -> Array | None:
    """
    Return a square matrix.

    :raises ValueError: when it is none of finite numbers, of this size.
    """
    if values is None:
        return None
    found = np.asarray(values, np.float64)
    if found.shape != (size, size) or not np.all(np.isfinite(found)):
        raise ValueError(f'a {what} is not {size}x{size} finite numbers')
    return found


def some(values: Any, most: int, what: str) -> list[Any]:
    """
    Return a list.

    :raises ValueError: when it is empty, too long, or no list.
    """
    if not isinstance(values, list) or not 1 <= len(values) <= most:
        raise ValueError(f'{what} are not a list of 1 to {most}')
    return values
