"""Every camera model against itself, OpenCV and COLMAP."""

import cv2
import numpy as np
import pycolmap
import pytest
from cameras import CAMERAS, T265
from hypothesis import given
from hypothesis import strategies as st

from hloc_localizer.errors import InputError
from hloc_localizer.geometry.camera import COLMAP_MODELS, Camera

ROS_CAMERAS = {
    'pinhole': ('plumb_bob', []),
    'plumb_bob of four': ('plumb_bob', [-0.28, 0.07, 0.0011, -0.0007]),
    'plumb_bob': ('plumb_bob', [-0.28, 0.09, 0.0011, -0.0007, -0.012]),
    'rational_polynomial': (
        'rational_polynomial',
        [0.42, -0.3, 0.0006, -0.0004, 0.05, 0.6, -0.22, -0.02],
    ),
    'equidistant': ('equidistant', [0.0008, 0.031, -0.03, 0.005]),
}
K = [520.0, 0.0, 318.0, 0.0, 523.0, 242.0, 0.0, 0.0, 1.0]


def ros_camera(name: str) -> Camera:
    model, coefficients = ROS_CAMERAS[name]
    return Camera.from_ros(640, 480, K, model, coefficients)


ALL = {**CAMERAS, **{f'ros {name}': ros_camera(name) for name in ROS_CAMERAS}}
every_camera = pytest.mark.parametrize('camera', ALL.values(), ids=ALL.keys())


def grid(camera: Camera, steps: int = 25) -> np.ndarray:
    """Pixels all over the image, corners included."""
    u, v = np.meshgrid(
        np.linspace(0.0, camera.width - 1.0, steps), np.linspace(0.0, camera.height - 1.0, steps)
    )
    return np.stack([u.ravel(), v.ravel()], axis=1)


def points_in_view(camera: Camera) -> np.ndarray:
    """Points at 0.3 to 20 m that the camera sees less than 85 degrees off its axis."""
    rays = camera.rays(grid(camera))
    rays = rays[np.isfinite(rays).all(axis=1)]
    rays = rays[rays[:, 2] > np.cos(np.radians(85.0))]
    return rays * np.geomspace(0.3, 20.0, len(rays))[:, None]


def test_there_is_a_camera_of_every_model():
    assert set(CAMERAS) == set(COLMAP_MODELS)


@every_camera
@pytest.mark.filterwarnings('error')
def test_every_pixel_unprojects_and_projects_back(camera):
    pixels = grid(camera)
    plane = camera.normalise(pixels)
    seen = np.isfinite(plane).all(axis=1)
    # Only the T265 images a circle: its corners lie beyond 90 degrees.
    assert seen.mean() > (0.73 if camera is T265 else 0.98)
    points = np.concatenate([plane[seen], np.ones((seen.sum(), 1))], axis=1)
    assert np.abs(camera.project(points) - pixels[seen]).max() < 1e-6


@every_camera
@given(depth=st.floats(0.05, 500.0))
def test_projection_does_not_depend_on_depth_along_the_ray(camera, depth):
    rays = points_in_view(camera)[::17]
    rays = rays / rays[:, 2:]
    assert np.allclose(camera.project(rays * depth), camera.project(rays), atol=1e-7)


@every_camera
def test_jacobian_agrees_with_differences(camera):
    points = points_in_view(camera)
    pixels, jacobian = camera.project_with_jacobian(points)
    assert np.allclose(pixels, camera.project(points), atol=1e-9)
    step = 1e-6 * points[:, 2:]
    for axis in range(3):
        offset = np.eye(3)[axis] * step
        difference = camera.project(points + offset) - camera.project(points - offset)
        numeric = difference / (2.0 * step)
        scale = np.abs(jacobian).max(axis=(1, 2))[:, None]
        assert np.abs(jacobian[:, :, axis] - numeric).max() < 1e-2 * scale.max()
        assert (np.abs(jacobian[:, :, axis] - numeric) / scale).max() < 1e-5


@every_camera
def test_points_behind_the_camera_have_no_pixel(camera):
    behind = np.array([[0.1, 0.2, -1.0], [0.0, 0.0, 0.0], [0.0, 0.0, np.nan]])
    assert np.isnan(camera.project(behind)).all()


@pytest.mark.parametrize(
    'name', ['pinhole', 'plumb_bob of four', 'plumb_bob', 'rational_polynomial']
)
def test_projection_agrees_with_opencv(name):
    camera = ros_camera(name)
    points = points_in_view(camera)
    coefficients = np.array(ROS_CAMERAS[name][1] or [0.0] * 4)
    theirs, _ = cv2.projectPoints(
        points, np.zeros(3), np.zeros(3), np.array(K).reshape(3, 3), coefficients
    )
    assert np.abs(camera.project(points) - theirs[:, 0]).max() < 1e-8


def test_equidistant_agrees_with_opencv_fisheye():
    points = points_in_view(T265)
    matrix, coefficients = T265.matrix, np.array(T265.params[4:])
    theirs, _ = cv2.fisheye.projectPoints(
        points[:, None], np.zeros(3), np.zeros(3), matrix, coefficients
    )
    assert np.abs(T265.project(points) - theirs[:, 0]).max() < 1e-8


def test_normalising_agrees_with_opencv():
    camera = ros_camera('plumb_bob')
    pixels = grid(camera)
    theirs = cv2.undistortPoints(
        pixels[:, None], camera.matrix, np.array(ROS_CAMERAS['plumb_bob'][1])
    )
    ours = camera.normalise(pixels)
    # OpenCV stops after five fixed-point steps, which suffice near the centre.
    inner = np.abs(pixels - [318.0, 242.0]).max(axis=1) < 150.0
    assert np.abs(ours - theirs[:, 0])[inner].max() < 1e-5


@pytest.mark.parametrize('model', CAMERAS)
def test_projection_agrees_with_colmap_half_a_pixel_away(model):
    camera = CAMERAS[model]
    if not hasattr(pycolmap.CameraModelId, model):
        pytest.skip(f'this pycolmap does not know {model}')
    theirs = pycolmap.Camera(
        model=model, width=camera.width, height=camera.height, params=camera.colmap_params()
    )
    points = points_in_view(camera)
    pixels = np.asarray(theirs.img_from_cam(points)).reshape(-1, 2)
    assert np.abs(camera.project(points) + 0.5 - pixels).max() < 1e-6


@pytest.mark.parametrize('model', CAMERAS)
def test_colmap_parameters_come_back(model):
    camera = CAMERAS[model]
    again = Camera.from_colmap(model, camera.width, camera.height, camera.colmap_params())
    assert np.allclose(again.params, camera.params, atol=1e-12)


@every_camera
def test_scaled_camera_sees_the_resized_image(camera):
    half = camera.scaled(camera.width // 2, camera.height // 2)
    points = points_in_view(camera)
    expected = (camera.project(points) + 0.5) * 0.5 - 0.5
    assert np.abs(half.project(points) - expected).max() < 1e-8


def test_single_focal_length_is_not_stretched():
    with pytest.raises(InputError, match='SIMPLE_RADIAL cannot be scaled'):
        CAMERAS['SIMPLE_RADIAL'].scaled(320, 480)


def test_contains_keeps_a_border():
    camera = CAMERAS['PINHOLE']
    pixels = [[0, 0], [639, 479], [639.1, 0], [4.9, 100], [5, 100], [np.nan, 5]]
    assert camera.contains(pixels).tolist() == [True, True, False, True, True, False]
    assert camera.contains(pixels, border=5).tolist() == [False, False, False, False, True, False]


def test_plumb_bob_without_k3_becomes_the_smaller_model():
    assert ros_camera('plumb_bob of four').model == 'OPENCV'
    assert ros_camera('plumb_bob').model == 'FULL_OPENCV'
    assert ros_camera('pinhole').model == 'PINHOLE'


@pytest.mark.parametrize(
    ('k', 'model', 'd', 'message'),
    [
        ([0.0] * 9, 'plumb_bob', [0.0] * 5, 'focal length is zero'),
        ([np.nan] * 9, 'plumb_bob', [0.0] * 5, 'not finite'),
        (K[:6], 'plumb_bob', [0.0] * 5, 'missing'),
        (K, 'plumb_bob', [0.1, np.nan, 0.0, 0.0], 'not finite'),
        (K, 'plumb_bob', [0.1, 0.1], 'takes 4 to 5 coefficients, got 2'),
        (K, 'bend', [0.1] * 4, "'bend' is not known; known: plumb_bob"),
        (K, 'rational_polynomial', [0.1] * 12, 'thin-prism'),
    ],
)
def test_camera_info_that_makes_no_camera_is_refused(k, model, d, message):
    with pytest.raises(InputError, match=message):
        Camera.from_ros(640, 480, k, model, d)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('TOY', 640, 480, (1.0,)), "'TOY' is not known; known: SIMPLE_PINHOLE"),
        (('PINHOLE', 640, 480, (500.0, 320.0, 240.0)), 'takes 4 parameters, got 3'),
        (('PINHOLE', 640, 480, (500.0, np.inf, 320.0, 240.0)), 'not finite'),
        (('PINHOLE', 640, 480, (500.0, 1e300, 320.0, 240.0)), 'absurdly large'),
        (('PINHOLE', 640, 480, (500.0, -1.0, 320.0, 240.0)), 'not positive'),
        (('PINHOLE', 0, 480, (500.0, 500.0, 320.0, 240.0)), '0x480'),
        (('PINHOLE', 40_000, 480, (500.0, 500.0, 320.0, 240.0)), '40000x480 is more than'),
        (('PINHOLE', 30_000, 30_000, (5e3, 5e3, 320.0, 240.0)), '30000x30000 is more than'),
    ],
)
def test_values_that_make_no_camera_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        Camera(*arguments)
