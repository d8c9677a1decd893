"""The last seconds of a stream solved together: earlier fixes, ambiguity resolved by motion."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))
from twin_rooms import CAMERA, MAP_FROM_ROOM, RoomLocalizer, TwinRooms, room_from_camera

from hloc_localizer.geometry import transforms
from hloc_localizer.localization import (
    JointLocalizer,
    LocalizerOptions,
    Moment,
    MountedObservation,
    Window,
)
from hloc_localizer.localization.result import Reason
from hloc_localizer.localization.tracking import State, TrackedFrame, TrackingLocalizer

Array = NDArray[np.float64]
STEP_NS = 200_000_000
ODOM_FROM_MAP = transforms.transform_from(
    transforms.rotation_from_rotvec([0.0, 0.0, -1.1]), np.array([3.0, 8.0, 0.2])
)


@pytest.fixture(scope='module')
def localizer() -> RoomLocalizer:
    made = RoomLocalizer(TwinRooms(), LocalizerOptions(threads=1))
    # What it extracts is what is seen from where it was turned to, whatever the size of the image.
    made.quick_front_end = lambda _: made._front_end  # type: ignore[method-assign]
    return made


def turn(room: int, yaws: list[float]) -> list[Array]:
    """Return the poses of a camera that turns in a room and moves a little."""
    return [
        MAP_FROM_ROOM[room] @ room_from_camera(yaw, 0.02 * index, 0.1)
        for index, yaw in enumerate(yaws)
    ]


def follow(
    localizer: RoomLocalizer, poses: list[Array], jump: Array | None = None, after: int = 0
) -> list[TrackedFrame]:
    """Track a drive; from one of its images on, odometry may have jumped."""
    stream, frames = TrackingLocalizer(localizer), []
    for index, pose in enumerate(poses):
        odometry = ODOM_FROM_MAP @ pose
        if jump is not None and index >= after:
            odometry = jump @ odometry
        image = localizer.face(pose)
        frames.append(
            stream.localize(image, CAMERA, (index + 1) * STEP_NS, odom_from_body=odometry)
        )
    return frames


@pytest.mark.parametrize('room', [0, 1])
def test_an_ambiguous_place_is_told_with_its_poses_until_motion_resolves_it(
    localizer: RoomLocalizer, room: int
) -> None:
    poses = turn(room, [0.0, 20.0, 40.0, 60.0, 80.0, 100.0, 120.0, 140.0, 160.0])
    frames = follow(localizer, poses)
    first = next(index for index, frame in enumerate(frames) if frame.body is not None)
    assert first >= 3
    for frame, pose in zip(frames[:first], poses, strict=False):
        assert frame.state is State.UNINITIALIZED
        assert frame.reason is Reason.AMBIGUOUS
        alternatives = frame.localization.alternatives
        assert len(alternatives) == 2
        distances = [transforms.pose_distance(one.pose, pose)[0] for one in alternatives]
        assert min(distances) < 0.1
        assert max(distances) > 10.0
    for frame, pose in zip(frames[first:], poses[first:], strict=True):
        assert frame.state is State.LOCALIZED
        assert frame.body is not None
        metres, radians = transforms.pose_distance(frame.body.map_from_body, pose)
        assert metres < 0.05
        assert np.degrees(radians) < 0.5


@pytest.mark.parametrize('fit', [True, False])
def test_the_moments_that_were_solved_together_are_told_if_their_images_fit(
    localizer: RoomLocalizer, monkeypatch: pytest.MonkeyPatch, fit: bool
) -> None:
    size = CAMERA.width * CAMERA.height
    most = (3 if fit else 2) * size
    monkeypatch.setattr('hloc_localizer.localization.tracking.recent_moments._MOST_BYTES', most)
    frames = follow(localizer, turn(0, [0.0, 20.0, 40.0]))
    assert [frame.images for frame in frames] == [1, 2, 3]
    assert len(frames[1].earlier or ()) == 1
    if fit:
        assert [moment.stamp_ns for moment in frames[2].earlier or ()] == [STEP_NS, 2 * STEP_NS]
    else:
        assert frames[2].earlier is None


def window_of(
    localizer: RoomLocalizer, poses: list[Array], jump: Array, after: int
) -> tuple[Window, Array]:
    window = Window(localizer.options.window)
    for index, pose in enumerate(poses):
        _, observation = localizer.observe(localizer.face(pose), CAMERA)
        assert observation is not None
        odometry = ODOM_FROM_MAP @ pose
        odometry = jump @ odometry if index >= after else odometry
        window.add(Moment(index * STEP_NS, odometry, (MountedObservation(observation),)))
    return window, poses[-1]


@pytest.mark.parametrize('metres', [0.0, 0.08, 0.3, 3.0])
def test_a_window_is_cut_where_odometry_jumped(localizer: RoomLocalizer, metres: float) -> None:
    jump = transforms.transform_from(np.eye(3), [metres, 0.0, 0.0])
    poses = turn(1, [150.0, 158.0, 166.0, 174.0, 182.0, 190.0])
    window, truth = window_of(localizer, poses, jump, after=3)
    result = JointLocalizer(localizer).localize(window)
    assert result.map_from_rig is not None
    distance, angle = transforms.pose_distance(result.map_from_rig, truth)
    assert distance < 0.02
    assert np.degrees(angle) < 0.3
    assert len(window.moments) == (6 if metres == 0.0 else 3)


def test_a_jump_of_odometry_gives_no_false_pose(localizer: RoomLocalizer) -> None:
    poses = turn(0, [0.0, 20.0, 40.0, 60.0, 80.0, 100.0, 120.0, 140.0, 160.0, 170.0])
    for metres in (0.3, 5.0):
        jump = transforms.transform_from(
            transforms.rotation_from_rotvec([0.0, 0.0, 0.4]), [metres, -metres, 0.0]
        )
        for frame, pose in zip(follow(localizer, poses, jump, after=4), poses, strict=True):
            if frame.entered:
                assert frame.body is not None
                distance, angle = transforms.pose_distance(frame.body.map_from_body, pose)
                assert distance < 0.1
                assert np.degrees(angle) < 1.0
    assert frame.state is State.LOCALIZED
