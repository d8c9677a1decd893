"""Diagnostics: counts, rates and levels of what happened to the images."""

from __future__ import annotations

import dataclasses

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2')
import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus

from hloc_localizer.geometry.transforms import rotation_from_rotvec, transform_from
from hloc_localizer.localization.result import Alternative, Reason, refused
from hloc_localizer.localization.tracking import State
from hloc_localizer.ros.diagnostics import Diagnostics, frame_status
from hloc_localizer.ros.frame_result import CameraPart, FrameResult

GOOD = FrameResult(10, map_from_base=np.eye(4), covariance=np.eye(6), stage_ms={'extract': 20.0})
BRIDGED = FrameResult(
    12,
    reason=Reason.FEW_INLIERS,
    detail='few inliers',
    map_from_base=np.eye(4),
    covariance=np.eye(6),
    state=State.DEGRADED,
    bridged=True,
)
REFUSED = FrameResult(11, reason=Reason.FEW_INLIERS, detail='few inliers: 9 matches, 3 inliers')


class _Watched:
    def __init__(self) -> None:
        self.now = 50.0
        self.topics = ['/image']
        self.diagnostics = Diagnostics(name='node', stale_after_s=2.0, clock=lambda: self.now)

    def report(self) -> dict[str, DiagnosticStatus]:
        array = self.diagnostics.array(
            stamp_ns=5, image_topics=self.topics, dropped=7, facts={'points': 12}
        )
        return {status.name.removeprefix('node: '): status for status in array.status}


@pytest.fixture
def watched() -> _Watched:
    return _Watched()


def _values(status: DiagnosticStatus) -> dict[str, str]:
    return {v.key: v.value for v in status.values}


def test_before_any_image_it_asks_the_right_questions(watched: _Watched) -> None:
    assert watched.report()['images'].level == DiagnosticStatus.OK
    watched.now += 3.0
    images = watched.report()['images']
    assert images.level == DiagnosticStatus.ERROR
    assert images.message.startswith('no image yet on /image')
    assert watched.report()['localization'].level == DiagnosticStatus.STALE


def test_rate_and_age_follow_the_images(watched: _Watched) -> None:
    for _ in range(11):
        watched.diagnostics.image_received()
        watched.now += 0.2
    values = _values(watched.report()['images'])
    assert float(values['rate_hz']) == pytest.approx(10 / 2.2, abs=1e-3)
    assert float(values['age_s']) == pytest.approx(0.2)
    assert (values['received'], values['dropped']) == ('11', '7')
    watched.now += 3.0
    images = watched.report()['images']
    assert images.level == DiagnosticStatus.ERROR
    assert images.message == 'no image for 3.2 s on /image'


def test_refusals_are_counted_by_reason_and_the_last_one_is_told(watched: _Watched) -> None:
    for result, latency_ms in ((GOOD, 80.0), (REFUSED, 40.0), (REFUSED, 60.0)):
        watched.diagnostics.frame_done(result, latency_ms)
    localization = watched.report()['localization']
    values = _values(localization)
    assert localization.level == DiagnosticStatus.WARN
    assert localization.message == f'refused: {REFUSED.detail}'
    assert (values['answered'], values['localized'], values['refused']) == ('3', '1', '2')
    assert values['refused.few inliers'] == '2'
    assert values['latency_ms.median'] == '60.000'
    assert values['stage_ms.extract'] == '20.000'
    watched.diagnostics.frame_done(GOOD, 80.0)
    assert watched.report()['localization'].level == DiagnosticStatus.OK


def test_a_pose_that_odometry_carries_is_no_fix(watched: _Watched) -> None:
    for result in (GOOD, BRIDGED, REFUSED):
        watched.diagnostics.frame_done(result, 50.0)
    watched.diagnostics.frame_done(BRIDGED, 50.0)
    localization = watched.report()['localization']
    values = _values(localization)
    assert localization.level == DiagnosticStatus.WARN
    assert localization.message == 'bridged: few inliers'
    assert (values['localized'], values['bridged'], values['refused']) == ('1', '2', '1')
    assert values['state'] == 'degraded'
    status = _values(frame_status('node', BRIDGED, 1.0))
    assert (status['status'], status['state']) == ('bridged', 'degraded')


def test_problems_of_the_inputs_stay_until_they_are_gone(watched: _Watched) -> None:
    watched.diagnostics.problem('tf', 'odom is missing')
    watched.diagnostics.problem('clock', 'late')
    inputs = watched.report()['inputs']
    assert inputs.level == DiagnosticStatus.ERROR
    assert inputs.message == 'odom is missing; late'
    watched.diagnostics.problem('tf', '')
    watched.diagnostics.problem('clock', '')
    assert watched.report()['inputs'].level == DiagnosticStatus.OK


def test_status_of_a_frame_carries_stamp_reason_and_times() -> None:
    good, refused = frame_status('node', GOOD, 81.25), frame_status('node', REFUSED, 1.0)
    assert (good.level, refused.level) == (DiagnosticStatus.OK, DiagnosticStatus.WARN)
    assert (good.message, refused.message) == ('localized', 'few inliers')
    assert _values(good)['stamp'] == '0.000000010'
    assert _values(good)['latency_ms'] == '81.250'
    assert _values(good)['stage_ms.extract'] == '20.000'
    assert _values(refused)['detail'] == REFUSED.detail


def test_status_tells_the_probability_and_the_poses_of_an_ambiguous_place() -> None:
    pose = transform_from(rotation_from_rotvec([0.0, 0.0, np.pi / 2]), [1.0, 2.0, 3.0])
    poses = (Alternative(pose, np.eye(6), 40), Alternative(np.eye(4), np.eye(6), 35))
    localization = dataclasses.replace(
        refused(Reason.AMBIGUOUS, {}), success_probability=0.875, alternatives=poses
    )
    result = FrameResult(11, reason=Reason.AMBIGUOUS, localization=localization, alternatives=poses)
    values = _values(frame_status('node', result, 3.0))
    assert values['success_probability'] == '0.875'
    assert values['alternatives'] == '2'
    assert values['alternative.0'] == '1.0000 2.0000 3.0000 0.0000 0.0000 0.7071 0.7071'
    assert (values['alternative.0.distinct'], values['alternative.1.distinct']) == ('40', '35')
    watched = _Watched()
    watched.diagnostics.frame_done(result, 3.0)
    summary = _values(watched.report()['localization'])
    assert (summary['success_probability'], summary['alternatives']) == ('0.875', '2')
    assert _values(frame_status('node', REFUSED, 3.0))['success_probability'] == ''


def test_each_of_several_cameras_is_watched(watched: _Watched) -> None:
    watched.topics = ['/left', '/right']
    for _ in range(5):
        watched.now += 1.0
        watched.diagnostics.image_received(0)
    images = watched.report()['images']
    assert images.level == DiagnosticStatus.WARN
    assert images.message == 'no image for 5.0 s on /right; the others go on'
    assert float(_values(images)['rate_hz./left']) == pytest.approx(1.0)
    watched.diagnostics.image_received(1)
    assert watched.report()['images'].level == DiagnosticStatus.OK
    parts = (CameraPart('/left', 30), CameraPart('/right', problem='no transform'))
    values = _values(frame_status('node', dataclasses.replace(GOOD, parts=parts), 3.0))
    assert (values['inliers./left'], values['inliers./right']) == ('30', '0')
    assert values['not_used./right'] == 'no transform'
    assert 'not_used./left' not in values
