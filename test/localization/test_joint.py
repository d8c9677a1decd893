"""Several images localized as one: a window with odometry, a rig, and places that look alike."""

from __future__ import annotations

import numpy as np
import pytest
from twin_rooms import CAMERA, MAP_FROM_ROOM, RoomLocalizer, TwinRooms, room_from_camera

from hloc_localizer.errors import InputError
from hloc_localizer.geometry import transforms
from hloc_localizer.localization import (
    JointLocalizer,
    LocalizerOptions,
    Moment,
    MountedObservation,
    Reason,
    Window,
)
from hloc_localizer.localization.options import WindowOptions
from hloc_localizer.maps.calibration import Calibration, SuccessModel

ODOM_FROM_MAP = transforms.transform_from(
    transforms.rotation_from_rotvec([0.0, 0.0, -1.1]), np.array([3.0, 8.0, 0.2])
)


@pytest.fixture(scope='module')
def localizer() -> RoomLocalizer:
    return RoomLocalizer(TwinRooms(), LocalizerOptions(threads=1))


def drive(localizer: RoomLocalizer, room: int, yaws: list[float]) -> tuple[Window, np.ndarray]:
    """Turn in a room, a frame every 0.2 s; return the window and the last true pose."""
    window = Window(localizer.options.window)
    pose = np.eye(4)
    for index, yaw in enumerate(yaws):
        pose = MAP_FROM_ROOM[room] @ room_from_camera(yaw, 0.02 * index, 0.1)
        _, observation = localizer.observe(localizer.face(pose), CAMERA)
        assert observation is not None
        window.add(
            Moment(index * 200_000_000, ODOM_FROM_MAP @ pose, (MountedObservation(observation),))
        )
    return window, pose


@pytest.mark.parametrize('room', [0, 1])
def test_places_that_look_alike_are_reported_with_both_poses(
    localizer: RoomLocalizer, room: int
) -> None:
    window, truth = drive(localizer, room, [0.0, 10.0, 20.0])
    result = JointLocalizer(localizer).localize(window)
    assert result.reason is Reason.AMBIGUOUS
    assert result.map_from_rig is None
    assert len(result.alternatives) == 2
    in_room = transforms.invert(MAP_FROM_ROOM[room]) @ truth
    expected = [map_from_room @ in_room for map_from_room in MAP_FROM_ROOM]
    for pose in expected:
        distances = [transforms.pose_distance(one.pose, pose) for one in result.alternatives]
        assert min(float(distance) for distance, _ in distances) < 0.05
    assert all(one.distinct > 50 for one in result.alternatives)


@pytest.mark.parametrize('room', [0, 1])
def test_motion_resolves_which_of_two_alike_places_it_is(
    localizer: RoomLocalizer, room: int
) -> None:
    window, truth = drive(localizer, room, [0.0, 20.0, 40.0, 60.0, 80.0, 100.0, 120.0, 140.0])
    result = JointLocalizer(localizer).localize(window)
    assert result.reason is Reason.NONE
    assert result.map_from_rig is not None
    distance, angle = transforms.pose_distance(result.map_from_rig, truth)
    assert distance < 0.02
    assert np.degrees(angle) < 0.3
    assert not result.alternatives


def test_rig_that_looks_both_ways_is_not_ambiguous(localizer: RoomLocalizer) -> None:
    map_from_rig = MAP_FROM_ROOM[1] @ room_from_camera(5.0, 0.2, -0.1)
    mountings = [np.eye(4), transforms.invert(room_from_camera(0.0)) @ room_from_camera(175.0, 0.3)]
    joint = JointLocalizer(localizer)
    # The stand-ins are told apart by their order: a rig is observed camera by camera.
    faces = iter([map_from_rig @ mounting for mounting in mountings])
    original = localizer.observe
    localizer.observe = lambda image, camera, prior=None: original(  # type: ignore[method-assign]
        localizer.face(next(faces)), camera, prior
    )
    blank = np.zeros((CAMERA.height, CAMERA.width), np.uint8)
    try:
        result = joint.localize_rig([blank, blank], [CAMERA, CAMERA], mountings)
    finally:
        localizer.observe = original  # type: ignore[method-assign]
    assert result.reason is Reason.NONE
    assert result.images == 2
    assert result.map_from_rig is not None
    distance, angle = transforms.pose_distance(result.map_from_rig, map_from_rig)
    assert distance < 0.02
    assert np.degrees(angle) < 0.2


def test_rig_without_a_mounting_for_each_camera_is_refused(localizer: RoomLocalizer) -> None:
    with pytest.raises(InputError, match='1 images, 1 cameras and 0 mountings'):
        JointLocalizer(localizer).localize_rig([np.zeros((480, 640), np.uint8)], [CAMERA], [])


def test_window_keeps_what_is_recent_and_apart() -> None:
    options = WindowOptions(duration_s=1.0, max_moments=4, min_translation_m=0.1)
    window = Window(options)

    def stamps() -> list[int]:
        return [moment.stamp_ns for moment in window.moments]

    def go(stamp_ms: int, x: float) -> None:
        window.add(
            Moment(stamp_ms * 1_000_000, transforms.transform_from(np.eye(3), [x, 0, 0]), ())
        )

    go(0, 0.0)
    go(100, 0.05)
    go(200, 0.08)  # hardly moved since the first: the second is replaced
    assert stamps() == [0, 200_000_000]
    go(300, 0.3)
    assert len(window.ties()) == len(window.moments) - 1
    for step in range(4, 9):
        go(100 * step, 0.2 * step)
    assert stamps() == [500_000_000, 600_000_000, 700_000_000, 800_000_000]
    go(1650, 5.0)
    assert stamps() == [700_000_000, 800_000_000, 1_650_000_000]
    go(50, 0.0)  # the recording starts anew
    assert stamps() == [50_000_000]
    window.clear()
    assert not window.moments


def test_window_without_any_image_is_refused(localizer: RoomLocalizer) -> None:
    window = Window(WindowOptions())
    assert JointLocalizer(localizer).localize(window).reason is Reason.NO_TEXTURE
    window.add(Moment(0, np.eye(4), ()))
    assert not JointLocalizer(localizer).localize(window).localized


def test_one_image_of_a_place_that_has_a_twin_is_refused(localizer: RoomLocalizer) -> None:
    pose = MAP_FROM_ROOM[1] @ room_from_camera(15.0, 0.1, 0.2)
    result = localizer.localize(localizer.face(pose), CAMERA)
    assert result.reason is Reason.AMBIGUOUS
    assert result.map_from_camera is None
    assert len(result.alternatives) == 2
    distances = [transforms.pose_distance(one.pose, pose)[0] for one in result.alternatives]
    assert min(distances) < 0.05
    assert max(distances) > 20.0
    unique = MAP_FROM_ROOM[1] @ room_from_camera(180.0, 0.1, 0.2)
    result = localizer.localize(localizer.face(unique), CAMERA)
    assert result.reason is Reason.NONE
    assert not result.alternatives


def test_learned_covariance_and_success_are_used() -> None:
    learned = Calibration(4.0, 0.02, 0.3, 50, 6.0, 'walk', SuccessModel({'log_inliers': 2.0}, -6.0))
    pose = MAP_FROM_ROOM[0] @ room_from_camera(180.0, 0.1, 0.2)
    sigmas = []
    for calibrated in (True, False):
        options = LocalizerOptions(threads=1).with_values({'covariance.calibrated': calibrated})
        localizer = RoomLocalizer(TwinRooms(), options, calibration=learned)
        result = localizer.localize(localizer.face(pose), CAMERA)
        assert result.covariance is not None
        sigmas.append(np.sqrt(result.covariance.diagonal()))
        assert result.success_probability == pytest.approx(
            1.0 / (1.0 + np.exp(6.0 - 2.0 * np.log1p(result.inliers)))
        )
    assert (sigmas[0][:3] > 0.02).all()
    assert (sigmas[1][:3] < 0.02).all()
    plain = RoomLocalizer(TwinRooms(), LocalizerOptions(threads=1))
    assert plain.localize(plain.face(pose), CAMERA).success_probability is None
