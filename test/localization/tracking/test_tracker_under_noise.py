"""The tracker among random events: its pose is right, smooth, and as certain as it says."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tracked_robot import OPTIONS, STEP, Robot, fix, pose

from hloc_localizer.geometry import transforms
from hloc_localizer.localization.tracking import (
    Fix,
    PoseEstimate,
    PoseTracker,
    State,
    TrackingOptions,
    Verdict,
)


def test_map_to_odom_is_filtered_not_copied() -> None:
    robot = Robot()
    random = np.random.default_rng(5)
    corrections, raw = [], []
    for _ in range(100):
        x = robot.x + 0.1
        noise = random.normal(size=3) * 0.02
        measured = transforms.transform_from(pose(x, 0.3 * x)[:3, :3], [x + noise[0], *noise[1:]])
        robot.step(fix(measured))
        assert robot.tracker.published is not None
        odom = transforms.invert(robot.map_from_odom) @ robot.truth
        corrections.append(robot.tracker.published.map_from_body @ transforms.invert(odom))
        raw.append(measured @ transforms.invert(odom))
    steps, _ = transforms.pose_distance(np.array(corrections[5:-1]), np.array(corrections[6:]))
    copied, _ = transforms.pose_distance(np.array(raw[5:-1]), np.array(raw[6:]))
    assert np.median(steps) < 0.35 * np.median(copied)


def test_covariance_says_how_wrong_the_pose_is() -> None:
    """Over many drives whose odometry errs as the options say, the NEES is that of 6 numbers."""
    random = np.random.default_rng(8)
    options = TrackingOptions(shared_errors=1.0)
    nees = []
    for _ in range(150):
        tracker, odom, truth = PoseTracker(options), np.eye(4), pose(1.0)
        for step in range(12):
            motion = pose(0.2, 6.0)
            truth = truth @ motion
            metres, radians, seconds = 0.2, np.radians(6.0), 0.2
            drift = options.drift
            extent = np.array([metres, radians, seconds])
            position = np.square([drift.position_after_1m, drift.position_after_1rad,
                                  drift.position_after_1s]) @ extent  # fmt: skip
            rotation = np.square(np.radians([drift.rotation_after_1m_deg,
                                             drift.rotation_after_1rad_deg,
                                             drift.rotation_after_1s_deg])) @ extent  # fmt: skip
            noise = random.normal(size=6) * np.sqrt(np.repeat([position, rotation], 3))
            odom = odom @ motion @ transforms.transform_from(
                transforms.rotation_from_rotvec(noise[3:]), noise[:3]
            )  # fmt: skip
            tracker.advance(step * STEP, odom)
            measured = None
            if step % 3 == 0:
                error = random.normal(size=6) * np.repeat([0.02, 0.01], 3)
                measured = Fix(
                    PoseEstimate(
                        transforms.transform_from(
                            transforms.rotation_from_rotvec(error[3:]) @ truth[:3, :3],
                            truth[:3, 3] + error[:3],
                        ),
                        np.diag(np.repeat([0.02, 0.01], 3) ** 2),
                    ),
                    searched_everywhere=True,
                    strong=True,
                )
            tracker.correct(measured)
        if tracker.published is not None:
            found = tracker.published
            nees.append(found.squared_distance(PoseEstimate(truth, np.zeros((6, 6)))))
    assert len(nees) > 140
    assert 5.0 < np.mean(nees) < 7.0


kinds = st.sampled_from(
    ['good', 'none', 'far', 'near', 'no odometry', 'late', 'jump', 'word', 'doubt']
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(kinds, st.floats(0.0, 1.0)), max_size=60), st.integers(0, 2**31))
def test_whatever_comes_the_rules_hold(events: list[tuple[str, float]], seed: int) -> None:
    robot, random = Robot(), np.random.default_rng(seed)
    for kind, metres in events:
        tracker = robot.tracker
        before = tracker.published
        x = robot.x + metres
        if kind == 'late' and tracker.stamp_ns is not None:
            assert not tracker.advance(robot.stamp_ns - 1, None)
            assert tracker.published is before
            continue
        if kind == 'word':
            tracker.suppose(PoseEstimate(pose(*random.uniform(-9.0, 9.0, 2)), np.eye(6) * 0.1))
            assert tracker.published is None
            continue
        if kind == 'doubt':
            tracker.doubt()
            assert tracker.published is None
        if kind == 'jump':
            robot.map_from_odom = pose(*random.uniform(-50.0, 50.0, 2))
        found = {
            'good': fix(pose(x, 0.3 * x)),
            'far': fix(pose(*random.uniform(-9.0, 9.0, 2)), strong=False),
            'near': fix(pose(x + random.uniform(-2.0, 2.0)), everywhere=False),
        }.get(kind)
        stamp_ns = tracker.stamp_ns
        verdict = robot.step(found, metres, odometry=kind != 'no odometry')
        assert stamp_ns is None or (tracker.stamp_ns or 0) > stamp_ns
        # Silent unless the state has a pose, and then the pose is known well enough.
        assert (tracker.published is not None) == tracker.state.has_pose
        if tracker.published is not None:
            published = tracker.published
            assert published.position_sigma_m <= OPTIONS.max_position_sigma_m + 1e-9
            assert published.rotation_sigma_deg <= OPTIONS.max_rotation_sigma_deg + 1e-9
            assert np.all(np.linalg.eigvalsh(published.covariance) > 0.0)
            rotation = published.map_from_body[:3, :3]
            np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)
        if verdict in (Verdict.DISAGREES, Verdict.WAITS):
            assert tracker.state is not State.LOCALIZED
        if tracker.state is State.LOCALIZED:
            assert verdict in (Verdict.ENTERED, Verdict.JUMPED)
