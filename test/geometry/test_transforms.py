"""Properties of transforms, rotations and quaternions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hloc_localizer.geometry import transforms

vectors = arrays(np.float64, 3, elements=st.floats(-50.0, 50.0))
directions = arrays(np.float64, 3, elements=st.floats(-1.0, 1.0)).filter(
    lambda vector: np.linalg.norm(vector) > 1e-3
)
angles = st.one_of(
    st.floats(0.0, np.pi - 1e-6), st.sampled_from([0.0, 1e-12, 1e-8, 1e-6, np.pi - 1e-6])
)


@st.composite
def rotvecs(draw):
    direction = draw(directions)
    return direction / np.linalg.norm(direction) * draw(angles)


@st.composite
def poses(draw):
    rotation = transforms.rotation_from_rotvec(draw(rotvecs()))
    return transforms.transform_from(rotation, draw(vectors))


@given(rotvecs())
def test_exponential_map_gives_a_rotation(rotvec):
    rotation = transforms.rotation_from_rotvec(rotvec)
    assert np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1.0, abs=1e-12)


@given(poses(), st.integers(0, 15), st.sampled_from([3.0, 1e200, np.nan, np.inf]))
def test_what_is_no_rotation_and_translation_is_not_rigid(pose, place, more):
    assert transforms.are_rigid(pose)
    assert transforms.are_rigid(np.stack([pose, np.eye(4)]))
    changed = pose.copy()
    changed.flat[place] += more
    assert transforms.are_rigid(changed) == (place in (3, 7, 11) and bool(np.isfinite(more)))
    assert not transforms.are_rigid(np.zeros((4, 4)))
    assert not transforms.are_rigid(np.diag([1.0, 1.0, -1.0, 1.0]))
    assert not transforms.are_rigid(np.diag([1.0, 1.0, 1.0, 1.1]))


@given(rotvecs())
def test_logarithm_undoes_the_exponential_map(rotvec):
    again = transforms.rotvec_from_rotation(transforms.rotation_from_rotvec(rotvec))
    assert np.allclose(again, rotvec, atol=1e-8)


@given(directions)
def test_logarithm_of_half_turns_keeps_the_axis(direction):
    axis = direction / np.linalg.norm(direction)
    rotvec = transforms.rotvec_from_rotation(2.0 * np.outer(axis, axis) - np.eye(3))
    assert np.linalg.norm(rotvec) == pytest.approx(np.pi, abs=1e-7)
    assert abs(rotvec @ axis) == pytest.approx(np.pi, abs=1e-7)


@given(rotvecs())
def test_quaternions_make_the_same_rotation(rotvec):
    rotation = transforms.rotation_from_rotvec(rotvec)
    quaternion = transforms.quaternion_from_rotation(rotation)
    assert np.linalg.norm(quaternion) == pytest.approx(1.0, abs=1e-12)
    assert np.allclose(transforms.rotation_from_quaternion(quaternion), rotation, atol=1e-12)
    assert np.allclose(transforms.rotation_from_quaternion(-3.0 * quaternion), rotation, atol=1e-12)


def test_quaternion_order_is_xyzw():
    quarter_turn_about_z = transforms.rotation_from_quaternion(
        [0.0, 0.0, np.sqrt(0.5), np.sqrt(0.5)]
    )
    assert np.allclose(quarter_turn_about_z @ [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], atol=1e-12)


@pytest.mark.parametrize('quaternion', [[0.0] * 4, [np.nan, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 1e-9]])
def test_quaternion_without_direction_is_refused(quaternion):
    with pytest.raises(ValueError, match='no direction'):
        transforms.rotation_from_quaternion(quaternion)


@given(poses())
def test_inverse_composes_to_identity(pose):
    assert np.allclose(transforms.invert(pose) @ pose, np.eye(4), atol=1e-10)


@given(poses(), arrays(np.float64, (5, 3), elements=st.floats(-20.0, 20.0)))
def test_apply_agrees_with_homogeneous_multiplication(pose, points):
    homogeneous = np.concatenate([points, np.ones((5, 1))], axis=1)
    assert np.allclose(transforms.apply(pose, points), (homogeneous @ pose.T)[:, :3], atol=1e-10)


@given(vectors, vectors)
def test_hat_is_the_cross_product(first, second):
    assert np.allclose(transforms.hat(first) @ second, np.cross(first, second), atol=1e-9)


@given(poses(), poses(), st.floats(0.0, 1.0))
def test_interpolation_moves_in_proportion(start, end, fraction):
    between = transforms.interpolate(start, end, fraction)
    whole_distance, whole_angle = transforms.pose_distance(start, end)
    distance, angle = transforms.pose_distance(start, between)
    assert distance == pytest.approx(fraction * whole_distance, abs=1e-8)
    assert angle == pytest.approx(fraction * whole_angle, abs=1e-6)


@given(poses(), poses())
def test_interpolation_meets_both_ends(start, end):
    assert np.allclose(transforms.interpolate(start, end, 0.0), start, atol=1e-9)
    assert np.allclose(transforms.interpolate(start, end, 1.0), end, atol=1e-6)


@given(poses(), st.lists(rotvecs(), min_size=2, max_size=4))
def test_batches_agree_with_single_calls(pose, several):
    batch = transforms.rotation_from_rotvec(np.array(several))
    chained = transforms.invert(transforms.transform_from(batch, pose[:3, 3]))
    for rotvec, transform in zip(several, chained, strict=True):
        single = transforms.transform_from(transforms.rotation_from_rotvec(rotvec), pose[:3, 3])
        assert np.allclose(transform, transforms.invert(single), atol=1e-12)
