"""Cameras from ``sensor_msgs/CameraInfo`` messages and from ROS calibration files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from hloc_localizer.errors import InputError
from hloc_localizer.geometry.camera import COLMAP_MODELS, Camera

_MAX_FILE_BYTES = 1 << 20

_ROS_COEFFICIENTS = {
    # COLMAP model: (distortion model of ROS, number of coefficients)
    'SIMPLE_PINHOLE': ('plumb_bob', 5),
    'PINHOLE': ('plumb_bob', 5),
    'SIMPLE_RADIAL': ('plumb_bob', 5),
    'RADIAL': ('plumb_bob', 5),
    'OPENCV': ('plumb_bob', 5),
    'FULL_OPENCV': ('rational_polynomial', 8),
    'SIMPLE_FISHEYE': ('equidistant', 4),
    'FISHEYE': ('equidistant', 4),
    'SIMPLE_RADIAL_FISHEYE': ('equidistant', 4),
    'RADIAL_FISHEYE': ('equidistant', 4),
    'OPENCV_FISHEYE': ('equidistant', 4),
}


class ImageSizeError(InputError):
    """Images are not of the size that their calibration is for."""


def camera_from_info(message: Any, *, rectified_topic: str = '') -> Camera:
    """
    Make a camera of a ``sensor_msgs/CameraInfo`` of ROS 1 or ROS 2.

    A binned or cropped image (``binning_x``, ``roi``) gets the calibration of its own pixels:
    the message describes the full sensor, see the comments in sensor_msgs/CameraInfo.

    :param message: anything with the fields of the message.
    :param rectified_topic: of images that are rectified: their calibration is P, without
        distortion, instead of K and D.
    :raises InputError: for values that make no camera.
    """
    width, height = int(message.width), int(message.height)
    if rectified_topic:
        k_of_p = _matrix_of_p(message, rectified_topic)
        camera = Camera.from_ros(width, height, k_of_p, '', [])
    else:
        k = message.k if hasattr(message, 'k') else message.K
        d = message.d if hasattr(message, 'd') else message.D
        camera = Camera.from_ros(width, height, list(k), message.distortion_model, list(d))
    return _binned(_cropped(camera, message), message)


def _matrix_of_p(message: Any, topic: str) -> list[float]:
    p = [float(value) for value in (message.p if hasattr(message, 'p') else message.P)]
    if not (len(p) == 12 and np.all(np.isfinite(p)) and p[0] > 0.0 and p[5] > 0.0):
        raise InputError(
            f"camera_info: P is empty or wrong, and it is the calibration of images on '{topic}', "
            'which are rectified by that name: send P, or name the topic otherwise if they are not'
        )
    return [*p[0:3], *p[4:7], *p[8:11]]


def _cropped(camera: Camera, message: Any) -> Camera:
    roi = getattr(message, 'roi', None)
    if roi is None or not (roi.width or roi.height or roi.x_offset or roi.y_offset):
        return camera
    width = int(roi.width) or camera.width - int(roi.x_offset)
    height = int(roi.height) or camera.height - int(roi.y_offset)
    fits = roi.x_offset + width <= camera.width and roi.y_offset + height <= camera.height
    if not fits or width <= 0 or height <= 0:
        raise InputError(
            f'camera_info: roi {width}x{height} at ({roi.x_offset}, {roi.y_offset}) is not inside '
            f'the image of {camera.width}x{camera.height}'
        )
    params = list(camera.params)  # from_ros gives fx, fy, cx, cy, ...
    params[2] -= float(roi.x_offset)
    params[3] -= float(roi.y_offset)
    return Camera(camera.model, width, height, tuple(params))


def _binned(camera: Camera, message: Any) -> Camera:
    x = int(getattr(message, 'binning_x', 0)) or 1
    y = int(getattr(message, 'binning_y', 0)) or 1
    if (x, y) == (1, 1):
        return camera
    return camera.scaled(max(camera.width // x, 1), max(camera.height // y, 1))


def camera_from_file(path: Path) -> Camera:
    """
    Read a ROS calibration file (camera_calibration_parsers YAML).

    :raises InputError: naming the file and what is wrong in it.
    """
    values = _read_yaml(path)
    try:
        width, height = int(values['image_width']), int(values['image_height'])
        k = _matrix(values['camera_matrix'])
        d = _matrix(values.get('distortion_coefficients', []))
        model = str(values.get('distortion_model', ''))
    except KeyError as error:
        raise InputError(
            f'{path}: no field {error}; expected a ROS calibration file (image_width, '
            'image_height, camera_matrix, distortion_model, distortion_coefficients)'
        ) from error
    except (TypeError, ValueError) as error:
        raise InputError(f'{path}: a field is not a number: {error}') from error
    try:
        return Camera.from_ros(width, height, k, model, d)
    except InputError as error:
        raise InputError(f'{path}: {error}') from error


@dataclass(frozen=True)
class RosCalibration:
    """The calibration fields of a ``sensor_msgs/CameraInfo``."""

    distortion_model: str
    d: tuple[float, ...]
    k: tuple[float, ...]
    p: tuple[float, ...]


def ros_calibration(camera: Camera) -> RosCalibration:
    """
    Return the fields of a ``sensor_msgs/CameraInfo`` for a camera.

    :raises InputError: when ROS has no distortion model for it.
    """
    if camera.model not in _ROS_COEFFICIENTS:
        raise InputError(f'camera model {camera.model} has no distortion model in ROS')
    distortion_model, size = _ROS_COEFFICIENTS[camera.model]
    d = camera.params[COLMAP_MODELS[camera.model][0] + 2 :]
    k = camera.matrix
    projection = np.hstack([k, np.zeros((3, 1))])
    return RosCalibration(
        distortion_model,
        (d + (0.0,) * size)[:size],
        tuple(k.ravel().tolist()),
        tuple(projection.ravel().tolist()),
    )


def require_image_size(camera: Camera, width: int, height: int, what: str) -> None:
    """
    Check that images are of the size that their calibration is for.

    :param what: what the images and the calibration are, for the message.
    :raises ImageSizeError: naming both sizes.
    """
    if (width, height) != camera.image_size:
        raise ImageSizeError(
            f'{what}: images are {width}x{height} but the calibration is for '
            f'{camera.width}x{camera.height}; give the calibration of these images with '
            '--set source.camera_info_file=FILE'
        )


def _matrix(value: Any) -> list[float]:
    data = value['data'] if isinstance(value, dict) else value
    return [float(number) for number in data]


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise InputError(f'{path}: too large for a calibration file')
        text = path.read_text(encoding='utf-8')
        # OpenCV writes the directive %YAML:1.0, which YAML does not know.
        values = yaml.safe_load(text.replace('%YAML:1.0', '', 1))
    except OSError as error:
        raise InputError(f'{path}: cannot be read: {error.strerror}') from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f'{path}: not a YAML file') from error
    if not isinstance(values, dict):
        raise InputError(f'{path}: not a ROS calibration file')
    return values
