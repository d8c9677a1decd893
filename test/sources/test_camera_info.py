"""Calibrations of messages and files: models, ROS 1 names, crops, and what is refused."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

from hloc_localizer.errors import InputError
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.sources.camera_info import (
    camera_from_file,
    camera_from_info,
    require_image_size,
    ros_calibration,
)

K = [500.0, 0.0, 320.0, 0.0, 510.0, 240.0, 0.0, 0.0, 1.0]


def info(**changes: Any) -> SimpleNamespace:
    """Make a message with the fields of ROS 2."""
    fields = {
        'width': 640,
        'height': 480,
        'k': K,
        'd': [0.0] * 5,
        'p': [400.0, 0.0, 300.0, 0.0, 0.0, 410.0, 200.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        'distortion_model': 'plumb_bob',
        'binning_x': 0,
        'binning_y': 0,
        'roi': SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0, do_rectify=False),
    }
    return SimpleNamespace(**{**fields, **changes})


@pytest.mark.parametrize(
    ('distortion_model', 'd', 'model'),
    [
        ('plumb_bob', [0.0] * 5, 'PINHOLE'),
        ('plumb_bob', [], 'PINHOLE'),
        ('', [], 'PINHOLE'),
        ('plumb_bob', [0.1, -0.2, 0.001, 0.002, 0.0], 'OPENCV'),
        ('plumb_bob', [0.1, -0.2, 0.001, 0.002, 0.05], 'FULL_OPENCV'),
        ('rational_polynomial', [0.1, 0.2, 0.0, 0.0, 0.3, 0.4, 0.5, 0.6], 'FULL_OPENCV'),
        ('equidistant', [0.1, 0.2, 0.3, 0.4], 'OPENCV_FISHEYE'),
    ],
)
def test_every_distortion_model_is_understood(
    distortion_model: str, d: list[float], model: str
) -> None:
    camera = camera_from_info(info(distortion_model=distortion_model, d=d))
    assert camera.model == model
    assert camera.image_size == (640, 480)
    assert camera.params[:4] == (500.0, 510.0, 320.0, 240.0)
    assert list(camera.params[4 : 4 + len(d)]) == (d if any(d) else [])[: len(camera.params) - 4]


def test_the_names_of_ros_1_are_understood() -> None:
    message = info(distortion_model='plumb_bob')
    for name in 'kdp':
        setattr(message, name.upper(), message.__dict__.pop(name))
    assert camera_from_info(message) == camera_from_info(info())
    camera = camera_from_info(message, rectified_topic='image_rect')
    assert camera.params == (400.0, 410.0, 300.0, 200.0)


def test_rectified_images_have_the_calibration_p() -> None:
    message = info(d=[0.1, 0.2, 0.0, 0.0, 0.0])
    camera = camera_from_info(message, rectified_topic='image_rect')
    assert (camera.model, camera.params) == ('PINHOLE', (400.0, 410.0, 300.0, 200.0))


@pytest.mark.parametrize('p', [[0.0] * 12, [], [float('nan')] * 12])
def test_rectified_images_without_p_are_told_what_they_lack(p: list[float]) -> None:
    assert camera_from_info(info(p=p)).focal_px == 505.0
    with pytest.raises(
        InputError, match=r"P is empty or wrong.* on '/left/image_rect'.*send P, or"
    ):
        camera_from_info(info(p=p), rectified_topic='/left/image_rect')


def test_a_crop_moves_the_principal_point() -> None:
    roi = SimpleNamespace(x_offset=100, y_offset=40, width=320, height=240, do_rectify=False)
    camera = camera_from_info(info(roi=roi))
    assert camera.image_size == (320, 240)
    assert camera.params == (500.0, 510.0, 220.0, 200.0)


def test_binning_scales_about_the_corner_of_the_first_pixel() -> None:
    camera = camera_from_info(info(binning_x=2, binning_y=2))
    assert camera.image_size == (320, 240)
    assert camera.params == (250.0, 255.0, 159.75, 119.75)


@pytest.mark.parametrize(
    ('changes', 'problem'),
    [
        ({'k': [0.0] * 9}, 'focal length is zero'),
        ({'k': [float('nan')] * 9}, 'not finite'),
        ({'k': []}, 'missing'),
        ({'d': [float('nan')] * 5}, 'not finite'),
        ({'width': 0}, '0x480'),
        ({'distortion_model': 'wobbly', 'd': [0.1] * 4}, "'wobbly' is not known"),
        ({'distortion_model': 'plumb_bob', 'd': [0.1, 0.1]}, 'takes 4 to 5'),
        (
            {'roi': SimpleNamespace(x_offset=600, y_offset=0, width=100, height=480)},
            'roi 100x480 at (600, 0) is not inside the image of 640x480',
        ),
    ],
)
def test_a_message_that_makes_no_camera_is_refused(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError) as caught:
        camera_from_info(info(**changes))
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ('model', 'coefficients'),
    [
        ('PINHOLE', ()),
        ('OPENCV', (0.1, -0.2, 0.001, 0.002)),
        ('FULL_OPENCV', (0.1, -0.2, 0.001, 0.002, 0.3, 0.1, 0.2, 0.05)),
        ('OPENCV_FISHEYE', (0.01, 0.02, 0.003, 0.004)),
    ],
)
def test_a_camera_survives_the_message(model: str, coefficients: tuple[float, ...]) -> None:
    camera = Camera(model, 640, 480, (500.0, 510.0, 320.5, 240.25, *coefficients))
    fields = ros_calibration(camera)
    message = info(k=fields.k, d=fields.d, p=fields.p, distortion_model=fields.distortion_model)
    assert camera_from_info(message) == camera


def test_one_coefficient_models_keep_their_projection() -> None:
    camera = Camera('SIMPLE_RADIAL', 640, 480, (500.0, 320.0, 240.0, 0.1))
    fields = ros_calibration(camera)
    again = camera_from_info(
        info(k=fields.k, d=fields.d, p=fields.p, distortion_model=fields.distortion_model)
    )
    points = np.array([[0.3, -0.2, 1.0], [0.0, 0.4, 2.0]])
    np.testing.assert_allclose(again.project(points), camera.project(points), atol=1e-9)


def test_a_model_unknown_to_ros_is_refused() -> None:
    with pytest.raises(InputError, match='FOV has no distortion model'):
        ros_calibration(Camera('FOV', 640, 480, (500.0, 500.0, 320.0, 240.0, 0.9)))


def test_the_calibration_file_of_the_facade(shared_data: Path) -> None:
    camera = camera_from_file(shared_data / 'data/facade/camera.yaml')
    assert camera == Camera('PINHOLE', 1536, 1024, (1379.74, 1382.08, 760.345, 503.405))


def calibration() -> dict[str, Any]:
    return {
        'image_width': 640,
        'image_height': 480,
        'camera_matrix': {'rows': 3, 'cols': 3, 'data': K},
        'distortion_model': 'equidistant',
        'distortion_coefficients': {'rows': 1, 'cols': 4, 'data': [0.1, 0.2, 0.3, 0.4]},
    }


def test_a_fisheye_calibration_file(tmp_path: Path) -> None:
    file = tmp_path / 'camera.yaml'
    file.write_text(yaml.safe_dump(calibration()))
    assert camera_from_file(file).model == 'OPENCV_FISHEYE'


@pytest.mark.parametrize(
    ('change', 'problem'),
    [
        (lambda c: c.pop('camera_matrix'), "no field 'camera_matrix'"),
        (lambda c: c.update(image_width='wide'), 'not a number'),
        (lambda c: c.update(image_width=-1), 'not positive'),
        (lambda c: c['camera_matrix'].update(data=[0.0] * 9), 'focal length is zero'),
        (lambda c: c['camera_matrix'].update(data=[float('nan')] * 9), 'not finite'),
        (lambda c: c.update(distortion_model='odd'), "'odd' is not known"),
    ],
)
def test_a_wrong_calibration_file_is_named(tmp_path: Path, change: Any, problem: str) -> None:
    values = calibration()
    change(values)
    file = tmp_path / 'camera.yaml'
    file.write_text(yaml.safe_dump(values))
    with pytest.raises(InputError) as caught:
        camera_from_file(file)
    assert str(caught.value).startswith(f'{file}: ')
    assert problem in str(caught.value)


@pytest.mark.parametrize('content', [b'', b'- 1\n', b'{', b'\xff\xfe\x00', b'a: !!python/none x'])
def test_a_file_that_is_no_calibration_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / 'camera.yaml'
    file.write_bytes(content)
    with pytest.raises(InputError, match=r'camera\.yaml: not a'):
        camera_from_file(file)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r'absent\.yaml: cannot be read: No such file'):
        camera_from_file(tmp_path / 'absent.yaml')


def test_another_image_size_names_both() -> None:
    camera = camera_from_info(info())
    require_image_size(camera, 640, 480, 'images')
    with pytest.raises(InputError, match='images are 320x240 but the calibration is for 640x480'):
        require_image_size(camera, 320, 240, "topic '/a'")
