"""The rules of the tracker: what enters, what is published, and when it is silent."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from tracked_robot import OPTIONS, SECOND, STEP, Robot, fix, pose

from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.covariance import pose_error
from hloc_localizer.localization.tracking import (
    Fix,
    PoseEstimate,
    State,
    TrackingOptions,
    Verdict,
)


def test_a_strong_first_pose_is_published_at_once() -> None:
    robot = Robot()
    assert robot.tracker.state is State.UNINITIALIZED
    assert robot.tracker.published is None
    assert robot.good() is Verdict.ENTERED
    assert robot.tracker.state is State.LOCALIZED
    assert robot.error_m() < 1e-9


def test_a_weak_first_pose_waits_for_one_that_agrees_from_elsewhere() -> None:
    robot = Robot()
    first = robot.step(fix(pose(0.1, 0.03), strong=False))
    assert first is Verdict.WAITS
    assert robot.tracker.published is None
    # The same view again is no second witness.
    assert robot.step(fix(pose(0.1, 0.03), strong=False), metres=0.0) is Verdict.WAITS
    assert robot.tracker.published is None
    assert robot.step(fix(pose(0.2, 0.06), strong=False)) is Verdict.ENTERED
    assert robot.error_m() < 1e-3


def test_a_pose_of_several_images_counts_as_many_witnesses() -> None:
    robot = Robot()
    together = dataclasses.replace(fix(pose(0.1, 0.03), strong=False), witnesses=2)
    assert robot.step(together) is Verdict.ENTERED
    robot = Robot()
    robot.good()
    wrong = dataclasses.replace(fix(pose(4.0, 90.0)), witnesses=2)
    assert robot.step(wrong) is Verdict.DISAGREES
    assert robot.step(dataclasses.replace(wrong, witnesses=3)) is Verdict.JUMPED


def test_poses_of_a_network_must_be_more_certain_to_begin_with() -> None:
    for by_network, verdict in ((False, Verdict.ENTERED), (True, Verdict.WAITS)):
        robot = Robot()
        for certain in (0.035, 0.035):
            where = pose(robot.x + 0.1, 0.3 * (robot.x + 0.1))
            weak = fix(where, strong=False, sigma=certain)
            last = robot.step(dataclasses.replace(weak, by_network=by_network))
        assert last is verdict
    where = pose(robot.x + 0.1, 0.3 * (robot.x + 0.1))
    sure = dataclasses.replace(fix(where, strong=False, sigma=0.01), by_network=True)
    assert robot.step(sure) is Verdict.ENTERED
    # Once there is a pose, it counts as what its covariance says.
    assert robot.tracker.published is not None
    assert robot.tracker.published.position_sigma_m < 0.01


def test_no_image_bears_witness_twice() -> None:
    robot = Robot()
    assert robot.step(fix(pose(0.1, 0.03), strong=False)) is Verdict.WAITS
    counted_ns = robot.stamp_ns
    for _ in range(3):  # windows that hold the image that was counted
        where = pose(robot.x + 0.1, 0.3 * (robot.x + 0.1))
        held = dataclasses.replace(fix(where, strong=False), since_ns=counted_ns)
        assert robot.step(held) is Verdict.WAITS
        assert robot.tracker.published is None
        counted_ns = robot.stamp_ns
    where = pose(robot.x + 0.1, 0.3 * (robot.x + 0.1))
    others = dataclasses.replace(fix(where, strong=False), since_ns=robot.stamp_ns + 1)
    assert robot.step(others) is Verdict.ENTERED


def test_weak_first_poses_that_disagree_are_never_published() -> None:
    robot = Robot()
    for index in range(50):
        where = pose(3.0 * (index % 7), 40.0 * (index % 5))
        assert robot.step(fix(where, strong=False)) is Verdict.WAITS
        assert robot.tracker.published is None


def test_images_without_a_pose_are_bridged_with_growing_uncertainty_until_lost() -> None:
    robot = Robot()
    robot.good()
    sigmas = []
    while robot.tracker.published is not None:
        robot.step(None)
        if robot.tracker.published is not None:
            assert robot.tracker.state is State.DEGRADED
            assert robot.error_m() < 1e-6  # perfect odometry
            sigmas.append(robot.tracker.published.position_sigma_m)
    assert robot.tracker.state is State.LOST
    assert np.all(np.diff(sigmas) > 0.0)
    assert sigmas[-1] <= OPTIONS.max_position_sigma_m
    # Mostly by the lever: 1.1 degrees of heading are 0.25 m after 13 m straight on.
    assert 8.0 < robot.x < 20.0


def test_without_odometry_the_pose_is_lost_within_a_second() -> None:
    robot = Robot()
    robot.good()
    steps = 0
    while robot.tracker.published is not None:
        robot.step(None, odometry=False)
        steps += 1
    assert steps * STEP <= SECOND


def test_a_fix_that_agrees_ends_degraded_and_lost() -> None:
    robot = Robot()
    robot.good()
    robot.step(None)
    assert robot.tracker.state is State.DEGRADED
    robot.good()
    assert robot.tracker.state is State.LOCALIZED
    while robot.tracker.published is not None:
        robot.step(None, metres=1.0)
    assert robot.good() is Verdict.ENTERED
    assert robot.tracker.state is State.LOCALIZED
    assert robot.error_m() < 0.02


def test_one_pose_that_disagrees_changes_nothing_but_the_state() -> None:
    robot = Robot()
    for _ in range(3):
        robot.good()
    assert robot.step(fix(pose(robot.x + 2.0))) is Verdict.DISAGREES
    assert robot.tracker.state is State.DEGRADED
    assert robot.error_m() < 1e-6
    assert robot.tracker.doubted
    assert robot.good() is Verdict.ENTERED
    assert not robot.tracker.doubted


def test_several_in_a_row_that_agree_with_each_other_overrule_the_prediction() -> None:
    robot = Robot()
    for _ in range(3):
        robot.good()
    robot.x += 5.0  # carried away; odometry did not notice
    robot.map_from_odom = robot.truth @ transforms.invert(
        transforms.invert(robot.map_from_odom) @ pose(robot.x - 5.0, 0.3 * (robot.x - 5.0))
    )
    verdicts = [robot.good() for _ in range(OPTIONS.confirmations)]
    assert verdicts == [Verdict.DISAGREES] * (OPTIONS.confirmations - 1) + [Verdict.JUMPED]
    assert robot.tracker.state is State.LOCALIZED
    assert robot.error_m() < 0.01


def test_what_was_searched_near_the_prediction_cannot_overrule_it() -> None:
    robot = Robot()
    robot.good()
    for _ in range(20):
        away = fix(pose(robot.x + 0.1 + 1.5, 0.3 * robot.x), everywhere=False)
        assert robot.step(away) is Verdict.DISAGREES
    assert robot.error_m() < 1e-6


def test_odometry_that_jumps_is_not_followed() -> None:
    robot = Robot()
    robot.good()
    before = robot.tracker.published
    assert before is not None
    robot.map_from_odom = pose(-40.0, 120.0)  # odometry begins anew
    robot.step(None, metres=0.0)
    prediction = robot.tracker.prediction
    assert prediction is not None
    np.testing.assert_allclose(prediction.map_from_body, before.map_from_body)
    assert prediction.position_sigma_m > 0.05
    assert robot.good() is Verdict.ENTERED


@pytest.mark.parametrize(
    ('metres', 'yaw_deg', 'state'),
    [(0.8, 0.0, State.LOST), (0.0, 90.0, State.LOST), (0.2, 1.0, State.DEGRADED)],
)
def test_odometry_that_begins_anew_nearby_makes_a_robot_that_stands_silent(
    metres: float, yaw_deg: float, state: State
) -> None:
    """Too little for a jump. One view is no reason to believe it, but to doubt what it denies."""
    robot = Robot()
    for _ in range(3):
        robot.good()
    moved = robot.truth @ pose(metres, yaw_deg) @ transforms.invert(robot.truth)
    robot.map_from_odom = transforms.invert(moved) @ robot.map_from_odom
    states = []
    for _ in range(20):
        assert robot.step(fix(robot.truth), metres=0.0) is Verdict.DISAGREES
        states.append(robot.tracker.state)
    assert states == [State.DEGRADED] * 5 + [state] * 15  # a second
    assert (robot.tracker.published is None) == (state is State.LOST)
    verdicts = [robot.good() for _ in range(OPTIONS.confirmations)]
    assert verdicts[-1] in (Verdict.JUMPED, Verdict.ENTERED)
    assert robot.tracker.state is State.LOCALIZED
    assert robot.error_m() < 0.02


def test_what_is_published_covers_the_poses_that_contradict_it() -> None:
    robot = Robot()
    for _ in range(3):
        robot.good()
    slid = robot.truth @ pose(0.2, 1.0) @ transforms.invert(robot.truth)
    robot.map_from_odom = transforms.invert(slid) @ robot.map_from_odom
    truth = fix(robot.truth)
    robot.step(truth, metres=0.0)
    before = robot.tracker.published
    assert before is not None
    assert before.position_sigma_m < 0.05  # one alone may be just wrong
    for _ in range(20):
        robot.step(truth, metres=0.0)
        published = robot.tracker.published
        assert published is not None
        error = pose_error(published.map_from_body, robot.truth)
        assert np.linalg.norm(error[:3]) > 0.15
        assert error @ np.linalg.solve(published.covariance, error) <= 1.0
        assert np.linalg.eigvalsh(published.covariance)[0] > 0.0
    believed = robot.tracker.prediction
    assert believed is not None
    robot.step(Fix(believed, searched_everywhere=True), metres=0.0)  # they were wrong
    assert robot.tracker.published is not None
    assert robot.tracker.published.position_sigma_m < 0.05


def test_poses_elsewhere_that_do_not_agree_with_each_other_leave_the_prediction() -> None:
    robot = Robot()
    robot.good()
    for index in range(20):
        where = pose(3.0 + index % 2, 40.0 * (index % 2))
        assert robot.step(fix(where), metres=0.0) is Verdict.DISAGREES
        assert robot.tracker.state is State.DEGRADED


def test_an_older_stamp_changes_nothing() -> None:
    robot = Robot()
    robot.good()
    before = robot.tracker.published
    assert not robot.tracker.advance(robot.stamp_ns - 1, pose(50.0))
    assert robot.tracker.published is before
    assert robot.tracker.stamp_ns == robot.stamp_ns


def test_a_second_camera_without_a_pose_does_not_degrade_the_same_moment() -> None:
    robot = Robot()
    robot.good()
    odom = transforms.invert(robot.map_from_odom) @ robot.truth
    assert robot.tracker.advance(robot.stamp_ns, odom)
    robot.tracker.correct(None)
    assert robot.tracker.state is State.LOCALIZED


def test_the_word_of_a_person_is_not_published_but_makes_a_weak_fix_enough() -> None:
    robot = Robot()
    spread = np.diag([0.25, 0.25, 0.25, 0.07, 0.07, 0.07])
    robot.step(None)
    robot.tracker.suppose(PoseEstimate(pose(robot.x + 0.3), spread))
    assert robot.tracker.published is None
    assert robot.tracker.prediction is not None
    assert not robot.tracker.proven
    entered = robot.step(fix(pose(robot.x + 0.1, 0.3 * (robot.x + 0.1)), strong=False))
    assert entered is Verdict.ENTERED
    assert robot.error_m() < 0.02


def test_a_wrong_word_of_a_person_is_overruled() -> None:
    robot = Robot()
    robot.good()
    robot.tracker.suppose(PoseEstimate(pose(30.0, 90.0), np.eye(6) * 0.05))
    assert robot.tracker.state is State.UNINITIALIZED
    for _ in range(OPTIONS.first_confirmations):
        robot.good()
    assert robot.tracker.state is State.LOCALIZED
    assert robot.error_m() < 0.01


def test_the_word_of_a_person_is_forgotten_after_a_while() -> None:
    robot = Robot()
    robot.step(None)
    robot.tracker.suppose(PoseEstimate(pose(30.0), np.eye(6) * 0.05))
    for _ in range(round(OPTIONS.supposed_for_s * SECOND / STEP)):
        assert robot.tracker.prediction is not None
        robot.step(None, metres=0.01)
    robot.step(None, metres=0.01)
    assert robot.tracker.prediction is None


@pytest.mark.parametrize('options', [{'gate': 0.0}, {'confirmations': 1}, {'drift.max_speed': 0}])
def test_options_out_of_range_are_refused(options: dict[str, float]) -> None:
    from hloc_localizer.errors import InputError

    with pytest.raises(InputError, match=next(iter(options))):
        TrackingOptions().with_values(options)
