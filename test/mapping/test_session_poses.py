"""Poses of a new session: localized images that odometry confirms, the others by odometry."""

from __future__ import annotations

import numpy as np
import pytest

from hloc_localizer.errors import HlocLocalizerError, InputError
from hloc_localizer.geometry import transforms
from hloc_localizer.mapping.session_poses import check_recorded, place_by_localizing

COUNT = 60
STAMPS = np.arange(COUNT, dtype=np.int64) * 200_000_000
UNKNOWN = np.full((4, 4), np.nan)
MAP_FROM_ODOM = transforms.transform_from(
    transforms.rotation_from_rotvec([0.0, 0.0, 2.0]), [5.0, -3.0, 0.2]
)


def driven() -> tuple[np.ndarray, np.ndarray]:
    """Return true poses in the map and drifting ones in the odometry frame (2 % of the way)."""
    time = np.linspace(0.0, 6.0, COUNT)
    positions = np.stack([2.0 * np.cos(time), 2.0 * np.sin(time), 0.1 * time], axis=1)
    rotations = transforms.rotation_from_rotvec(np.outer(time, [0.0, 0.0, 1.0]))
    true = transforms.transform_from(rotations, positions)
    drift = transforms.transform_from(
        transforms.rotation_from_rotvec(np.outer(time, [0.0, 0.0, 0.01])),
        np.outer(time, [0.04, 0.0, 0.0]),
    )
    return true, transforms.invert(MAP_FROM_ODOM) @ drift @ true


def localized(true: np.ndarray, share: float = 0.6) -> np.ndarray:
    """Return the true poses with a centimetre of noise, some refused."""
    random = np.random.default_rng(1)
    found = true.copy()
    found[:, :3, 3] += random.normal(0.0, 0.01, (COUNT, 3))
    found[random.uniform(size=COUNT) > share] = UNKNOWN
    return found


def test_images_between_localized_ones_are_placed_by_odometry() -> None:
    true, odometry = driven()
    found = localized(true)
    found[20:35] = UNKNOWN
    placed = place_by_localizing(STAMPS, odometry, found)
    metres, radians = transforms.pose_distance(placed.poses, true)
    assert np.max(metres) < 0.06
    assert np.degrees(np.max(radians)) < 1.0
    believed = np.isfinite(found[:, 0, 0])
    assert np.all(placed.sigma_m[believed] == 0.03)
    assert np.all(placed.sigma_m[~believed] > 0.03)
    assert 0.05 < placed.sigma_m[27] < 0.1  # in the middle of the gap, 1.5 m wide
    assert placed.rejected == 0
    assert placed.localized + placed.by_odometry == COUNT
    assert f'{placed.by_odometry} more are placed by odometry' in placed.line()


def test_wrong_places_are_not_believed() -> None:
    true, odometry = driven()
    found = localized(true, share=1.0)
    wrong = [3, 17, 18, 40, 59]
    found[wrong, :3, 3] += [1.5, 0.5, 0.0]
    placed = place_by_localizing(STAMPS, odometry, found)
    assert placed.rejected == len(wrong)
    assert '5 of them contradict the odometry' in placed.line()
    assert np.max(transforms.pose_distance(placed.poses, true)[0]) < 0.06


def test_without_odometry_localized_images_are_all_there_is() -> None:
    true, _ = driven()
    found = localized(true)
    placed = place_by_localizing(STAMPS, np.tile(UNKNOWN, (COUNT, 1, 1)), found)
    np.testing.assert_array_equal(placed.poses, found)
    assert placed.by_odometry == 0


def test_a_session_of_another_place_is_refused() -> None:
    true, odometry = driven()
    random = np.random.default_rng(2)
    found = np.tile(UNKNOWN, (COUNT, 1, 1))
    found[::6] = true[::6]
    found[::6, :3, 3] += random.uniform(-4, 4, (COUNT // 6, 3))
    with pytest.raises(HlocLocalizerError, match=r'only 10 of 60 images .* 10 of these contradict'):
        place_by_localizing(STAMPS, odometry, found)


def test_recorded_poses_must_be_in_the_frame_of_the_map() -> None:
    true, _ = driven()
    found = localized(true)
    check_recorded(true, found)
    with pytest.raises(InputError, match=r'differ by \d\.\d\d m and 114\.6 deg .*source\.poses=n'):
        check_recorded(MAP_FROM_ODOM @ true, found)
    found[4:] = UNKNOWN
    with pytest.raises(HlocLocalizerError, match='5 are needed to join them'):
        check_recorded(true, found)
