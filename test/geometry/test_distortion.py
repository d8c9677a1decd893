"""Undoing distortion: wide fisheyes, folds and pixels that nothing projects to."""

import numpy as np
import pytest
from cameras import CAMERAS, T265
from hypothesis import given
from hypothesis import strategies as st

from hloc_localizer.geometry.camera import Camera
from hloc_localizer.geometry.distortion import Distortion

pytestmark = pytest.mark.filterwarnings('error')

finite = st.floats(-1e6, 1e6, allow_nan=False)


def fisheye(*coefficients: float) -> Distortion:
    return Distortion.of('fisheye', np.array(coefficients))


@given(st.floats(0.0, 89.9), st.floats(0.0, 360.0))
def test_wide_fisheye_returns_the_angle_it_was_given(off_axis, around):
    distortion = fisheye(*T265.params[4:])
    radius = np.tan(np.radians(off_axis))
    plane = radius * np.array([[np.cos(np.radians(around)), np.sin(np.radians(around))]])
    back = distortion.undo(distortion.apply(plane))
    assert np.degrees(np.arctan(np.linalg.norm(back))) == pytest.approx(off_axis, abs=1e-6)
    assert np.allclose(back, plane, rtol=1e-5, atol=1e-9)


def test_all_corners_of_a_t265_are_either_solved_or_given_up():
    u, v = np.meshgrid(np.arange(T265.width), np.arange(T265.height))
    pixels = np.stack([u.ravel(), v.ravel()], axis=1).astype(float)
    rays = T265.rays(pixels)
    solved = np.isfinite(rays).all(axis=1)
    # 90 degrees off the axis fall on a circle of 1.45 focal lengths.
    off_centre = np.linalg.norm((pixels - [424.355, 393.742]) / [284.468, 285.51], axis=1)
    quarter = 0.5 * np.pi
    limit = quarter * (1 + 0.0008 * quarter**2 + 0.031 * quarter**4 - 0.03 * quarter**6
                       + 0.005 * quarter**8)  # fmt: skip
    assert solved[off_centre < limit - 1e-3].all()
    assert not solved[off_centre > limit + 1e-3].any()
    assert solved.mean() > 0.78
    assert np.abs(T265.project(rays[solved]) - pixels[solved]).max() < 1e-6


def test_ninety_degrees_off_the_axis_has_no_point_on_the_plane():
    quarter = 0.5 * np.pi
    result = fisheye(0.0).undo(np.array([[quarter - 1e-3, 0.0], [quarter, 0.0], [2.0, 0.0]]))
    assert result[0, 0] == pytest.approx(np.tan(quarter - 1e-3), rel=1e-9)
    assert np.isnan(result[1:]).all()


def test_fisheye_beyond_its_fold_has_no_solution():
    # angle - 0.25 angle^3 turns back where 1 - 0.75 angle^2 = 0.
    turn = np.sqrt(1.0 / 0.75)
    peak = turn - 0.25 * turn**3
    result = fisheye(-0.25).undo(np.array([[peak - 1e-4, 0.0], [peak + 1e-4, 0.0]]))
    assert 0.0 < np.arctan(result[0, 0]) < turn
    assert np.isnan(result[1]).all()


def test_barrel_distortion_beyond_its_fold_has_no_solution():
    # radius - 0.3 radius^3 turns back at radius 1.054, where it is 0.703.
    distortion = Distortion.of('radial', np.array([-0.3]))
    result = distortion.undo(np.array([[0.70, 0.0], [0.71, 0.0], [0.0, -3.0]]))
    assert 0.9 < result[0, 0] < 1.0541
    assert np.isnan(result[1:]).all()


def test_a_second_branch_beyond_the_fold_is_not_taken():
    # radius - 0.3 radius^3 + 0.025 radius^5 turns back at 1.17 and grows again from 2.3 on.
    distortion = Distortion.of('radial', np.array([-0.3, 0.025]))
    assert np.isnan(distortion.undo(np.array([[4.0 - 0.3 * 4.0**3 + 0.025 * 4.0**5, 0.0]]))).all()
    assert np.isnan(distortion.apply(np.array([[4.0, 0.0]]))).all()


def test_a_pole_of_the_rational_model_is_not_crossed():
    # 1 / (1 - 0.5 radius^2) has its pole at radius 1.414.
    distortion = Distortion.of('brown', np.array([0.0, 0.0, 0.0, 0.0, 0.0, -0.5, 0.0, 0.0]))
    assert distortion.undo(np.array([[2.0, 0.0]]))[0, 0] == pytest.approx(1.0, abs=1e-9)
    beyond = np.array([[-3.0 / (1.0 - 0.5 * 3.0**2), 0.0]])
    assert 0.0 < distortion.undo(beyond)[0, 0] < 1.414
    assert np.isnan(distortion.apply(np.array([[-3.0, 0.0]]))).all()


@pytest.mark.parametrize(
    ('kind', 'coefficients', 'fold'),
    [
        ('radial', [-0.3], 1.0541),
        ('radial', [-0.3, 0.025], 1.1717),
        ('brown', [-0.3, 0.025, 1e-3, -1e-3], 1.1717),
        ('brown', [0.0, 0.0, 0.0, 0.0, 0.0, -0.5, 0.0, 0.0], np.sqrt(2.0)),
        ('fisheye', [-0.25], np.tan(np.sqrt(1.0 / 0.75))),
        ('thin_prism_fisheye', [-0.25, 0, 0, 0, 0, 0, 0, 0], np.tan(np.sqrt(1.0 / 0.75))),
    ],
)
def test_points_beyond_the_fold_are_not_projected(kind, coefficients, fold):
    distortion = Distortion.of(kind, np.array(coefficients))
    assert distortion.fold == pytest.approx(fold, abs=1e-4)
    radius = np.linspace(0.0, 2.0 * fold, 2001)
    for direction in ([1.0, 0.0], [-0.6, 0.8]):
        found = np.linalg.norm(distortion.apply(radius[:, None] * direction), axis=1)
        assert np.isnan(found[radius > fold]).all()
        values, derivatives = distortion.apply_with_jacobian(radius[:, None] * direction)
        np.testing.assert_allclose(np.linalg.norm(values, axis=1), found, atol=1e-9)
        assert np.isnan(derivatives[radius > fold]).all()
        assert np.isfinite(derivatives[radius < 0.99 * fold]).all()
        assert np.all(np.diff(found[radius < 0.99 * fold]) > 0.0)


@pytest.mark.parametrize(
    ('kind', 'coefficients'),
    [('radial', [0.2]), ('fisheye', [0.0]), ('fisheye', T265.params[4:]), ('fov', [0.92])],
)
def test_a_distortion_that_always_grows_has_no_fold(kind, coefficients):
    distortion = Distortion.of(kind, np.array(coefficients))
    assert distortion.fold == np.inf
    assert np.isfinite(distortion.apply(np.array([[1000.0, 0.0], [-3.0, 4.0]]))).all()


@pytest.mark.parametrize('model', CAMERAS)
@given(x=finite, y=finite)
def test_any_pixel_is_solved_or_given_up_in_silence(model, x, y):
    camera = CAMERAS[model]
    plane = camera.normalise([[x, y]])
    if np.isfinite(plane).all():
        again = camera.project(np.append(plane, 1.0)[None])
        assert np.allclose(again, [[x, y]], rtol=1e-6, atol=1e-2)
    else:
        assert np.isnan(plane).all()


@pytest.mark.parametrize('model', CAMERAS)
def test_a_pixel_that_is_not_a_number_does_not_spoil_its_neighbours(model):
    camera = CAMERAS[model]
    pixels = np.array([[100.0, 200.0], [np.nan, 10.0], [320.0, 240.0]])
    plane = camera.normalise(pixels)
    assert np.isnan(plane[1]).any()
    assert np.allclose(plane[[0, 2]], camera.normalise(pixels[[0, 2]]), atol=1e-12)


@pytest.mark.parametrize('model', CAMERAS)
def test_the_principal_point_looks_straight_ahead(model):
    camera = CAMERAS[model]
    assert np.allclose(camera.rays([camera.matrix[:2, 2]]), [[0.0, 0.0, 1.0]], atol=1e-12)


def test_a_coefficient_next_to_nothing_is_nothing():
    params = (500.0, 500.0, 319.5, 239.5, 0.1, 1e-300, 0.0, 0.0)
    with_it = Camera('OPENCV', 640, 480, params)
    without = Camera('OPENCV', 640, 480, (*params[:5], 0.0, 0.0, 0.0))
    pixels = [[0.0, 0.0], [300.0, 200.0]]
    np.testing.assert_array_equal(with_it.rays(pixels), without.rays(pixels))


@pytest.mark.parametrize('model', CAMERAS)
def test_points_beside_the_camera_are_projected_in_silence(model):
    beside = np.array([[1e60, -1e60, 1e-8], [3.0, 2.0, 1e-8], [0.0, 1e200, 1e-8], [0.0, 0.0, 1.0]])
    assert CAMERAS[model].contains(CAMERAS[model].project(beside))[3]
