"""A camera whose place on the robot jumps makes the pose doubtful; one that is moved does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tracked_robot import Robot, fix, pose

from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.localization import Localizer
from hloc_localizer.localization.mounted_image import MountedImage
from hloc_localizer.localization.options import LocalizerOptions
from hloc_localizer.localization.tracking import State, TrackingLocalizer, Verdict
from hloc_localizer.localization.tracking.mountings import Mountings
from hloc_localizer.maps import Map
from hloc_localizer.sources import open_source
from hloc_localizer.sources.options import SourceOptions

SECOND = 1_000_000_000
CAMERA = Camera('PINHOLE', 8, 6, (8.0, 8.0, 3.5, 2.5))
PIXELS = np.zeros((6, 8), np.uint8)


def _image(mounting: np.ndarray, name: str = '') -> MountedImage:
    return MountedImage(PIXELS, CAMERA, mounting, name)


def _jump(*, turn_deg: float = 0.0, metres: float = 0.0, seconds: float = 0.2) -> str:
    mountings = Mountings()
    assert not mountings.jump([_image(np.eye(4))], SECOND)
    moved = _image(pose(metres, turn_deg))
    return mountings.jump([moved], SECOND + round(seconds * SECOND))


def test_a_camera_that_is_moved_on_the_robot_has_not_jumped() -> None:
    assert not _jump()
    assert not _jump(turn_deg=12.0)  # a head that turns by 60 degrees a second
    assert not _jump(metres=0.1)  # an arm
    assert not _jump(turn_deg=170.0, seconds=5.0)


def test_a_mounting_that_no_motor_can_reach_has_jumped() -> None:
    assert '0.00 m, 30 deg' in _jump(turn_deg=30.0)
    assert _jump(metres=0.4)
    assert _jump(turn_deg=8.0, seconds=0.0)


def test_each_camera_is_compared_with_itself() -> None:
    mountings = Mountings()
    both = [_image(pose(0.0), 'front'), _image(pose(0.0, 180.0), 'rear')]
    assert not mountings.jump(both, SECOND)
    assert not mountings.jump(both[1:], SECOND + 1)
    jump = mountings.jump([both[0], _image(pose(0.0, 90.0), 'rear')], SECOND + 2)
    assert 'rear' in jump
    assert 'front' not in jump
    mountings.reset()
    assert not mountings.jump(both, SECOND + 3)


def test_a_doubtful_pose_is_silent_until_an_image_agrees() -> None:
    robot = Robot()
    robot.good()
    robot.tracker.doubt()
    assert robot.tracker.state is State.LOST
    assert robot.tracker.published is None
    assert robot.step(None) is None
    assert robot.tracker.published is None
    assert robot.good() is Verdict.ENTERED
    assert robot.error_m() < 0.01


def test_a_doubtful_pose_is_overruled_by_several() -> None:
    robot = Robot()
    robot.step(fix(pose(0.1, 80.0)))
    robot.tracker.doubt()
    for expected in (Verdict.DISAGREES, Verdict.DISAGREES, Verdict.JUMPED):
        assert robot.tracker.published is None
        assert robot.good() is expected
    assert robot.error_m() < 0.01


@pytest.mark.parametrize('wrong', [0, 1])
def test_a_mounting_that_was_wrong_for_one_image_puts_the_robot_nowhere(
    lounge_map: Path, shared_data: Path, wrong: int
) -> None:
    """As if the joints of a pan-tilt head were heard of late, or a message were damaged."""
    localizer = Localizer(Map.load(lounge_map), LocalizerOptions(threads=1))
    source = open_source(shared_data / 'data' / 'lounge' / 'query', SourceOptions(poses='none'))
    frames, camera = list(source.frames())[:8], next(iter(source.cameras.values()))
    right = localizer.localize(frames[-1].image, camera).map_from_camera
    assert right is not None
    tracking = TrackingLocalizer(localizer)
    answers = []
    for number, frame in enumerate(frames):
        mounting = pose(0.0, 70.0) if number == wrong else np.eye(4)
        answers.append(
            tracking.localize(
                frame.image, camera, frame.stamp_ns,
                odom_from_body=frame.odom_from_camera, body_from_camera=mounting,
            )
        )  # fmt: skip
    published = [answer.body is not None for answer in answers]
    assert published[0]  # nothing contradicts the first
    assert published[-3:] == [True] * 3
    for number, (answer, frame) in enumerate(zip(answers, frames, strict=True)):
        assert ('jumped' in answer.doubt) == (number in {wrong, wrong + 1} - {0})
        if answer.body is None or number == wrong:
            continue
        alone = localizer.localize(frame.image, camera).map_from_camera
        assert alone is not None
        metres, radians = transforms.pose_distance(answer.body.map_from_body, alone)
        assert (metres < 0.1, np.degrees(radians) < 3.0) == (True, True), number
    if wrong == 1:
        assert published[2]  # the old pose was right, and the next image agrees with it
