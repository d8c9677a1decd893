"""The localizer node keeps running through what goes wrong on robots, and says what it is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2')
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import PoseWithCovarianceStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from robot import BASE_FROM_CAMERA, NODE, STARTING_S, Robot, robot_with_node
from ros_process import Client, clean_node_process, node_process, wait_until
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.ros import messages, tf
from hloc_localizer.sources import Frame


@pytest.fixture(scope='module')
def robot(
    lounge_map: Path,
    frame_and_camera: tuple[Frame, Camera],
    module_environment: dict[str, str],
) -> Iterator[Robot]:
    times: dict[str, object] = {'tf_timeout_s': 0.05, 'relocalize_timeout_s': 2.0}
    with robot_with_node(module_environment, *frame_and_camera, map=lounge_map, **times) as robot:
        yield robot


@pytest.fixture(autouse=True)
def _good_calibration(request: pytest.FixtureRequest) -> None:
    if 'robot' in request.fixturenames:
        request.getfixturevalue('robot').send_info()


def _truncated(image: Image) -> None:
    image.data = image.data[: len(image.data) // 2]


def _of_unknown_encoding(image: Image) -> None:
    image.encoding = 'rgb7'


def _of_absurd_size(image: Image) -> None:
    image.width = image.height = 2**31


def _without_frame(image: Image) -> None:
    image.header.frame_id = ''


def _of_an_unknown_camera(image: Image) -> None:
    image.header.frame_id = 'camera_on_the_moon'


@pytest.mark.parametrize(
    ('damage', 'reason', 'named'),
    [
        (_truncated, 'corrupt image', 'image'),
        (_of_unknown_encoding, 'corrupt image', 'rgb7'),
        (_of_absurd_size, 'corrupt image', '2147483648'),
        (_without_frame, 'transform missing', 'camera_frame'),
        (_of_an_unknown_camera, 'transform missing', 'camera_on_the_moon'),
    ],
)
def test_a_message_that_cannot_be_used_is_refused_and_the_next_is_localized(
    robot: Robot, damage: Callable[[Image], None], reason: str, named: str
) -> None:
    image = robot.image()
    damage(image)
    answer = robot.answer_to(image)
    assert (answer['status'], answer['reason']) == ('refused', reason)
    assert named in answer['detail']
    assert '\n' not in answer['detail']
    localization = robot.diagnosis('localization')
    assert localization.level == DiagnosticStatus.WARN
    assert named in localization.message
    assert robot.answer_to(robot.image())['status'] == 'localized'


@pytest.mark.parametrize(('grey', 'reason'), [(0, 'too dark or too bright'), (130, 'no texture')])
def test_an_image_that_shows_nothing_is_not_localized(robot: Robot, grey: int, reason: str) -> None:
    before = len(robot.poses)
    answer = robot.answer_to(robot.image(np.full_like(robot.frame.image, grey)))
    # Soon after a fix the odometry carries the pose on; later nothing is published.
    assert answer['status'] in ('bridged', 'refused')
    assert answer['reason'] == reason
    assert len(robot.poses) - before == (1 if answer['status'] == 'bridged' else 0)


def test_a_calibration_for_another_size_is_noticed_and_named(robot: Robot) -> None:
    robot.send_info(robot.camera.scaled(1080, 720))
    answer = robot.answer_to(robot.image())
    assert (answer['status'], answer['reason']) == ('refused', 'camera differs from the image')
    assert '540x360' in answer['detail']
    assert '1080x720' in answer['detail']


@pytest.mark.parametrize(
    'changes',
    [
        {'k': [300.0, 0.0, 0.0, 0.0, 300.0, 180.0, 0.0, 0.0, 1.0]},
        {'k': [0.0] * 9},
        {'k': [float('nan')] * 9},
        {'distortion_model': 'x', 'd': [1.0]},
    ],
)
def test_a_wrong_camera_info_stops_poses_until_a_right_one_comes(
    robot: Robot, changes: dict[str, Any]
) -> None:
    robot.send_info(**changes)
    answer = robot.answer_to(robot.image())
    assert (answer['status'], answer['reason']) == ('refused', 'no intrinsics')
    inputs = robot.diagnosis('inputs')
    assert inputs.level == DiagnosticStatus.ERROR
    assert 'wrong camera_info' in inputs.message
    robot.send_info()
    assert robot.answer_to(robot.image())['status'] == 'localized'
    assert 'camera_info:' not in robot.diagnosis('inputs').message


def test_a_focal_length_off_by_a_tenth_is_noticed_twice(robot: Robot) -> None:
    """It differs from the map's camera, and from what the images show."""
    camera = robot.camera
    wrong = (camera.params[0] * 1.1, camera.params[1] * 1.1, *camera.params[2:])
    robot.send_info(Camera(camera.model, camera.width, camera.height, wrong))
    for _ in range(9):
        answer = robot.answer_to(robot.image())
        assert answer['status'] == 'localized'
        assert '% more than the' in answer['calibration']
        time.sleep(0.5)
    black = robot.answer_to(robot.image(np.zeros_like(robot.frame.image)))
    assert black['reason'] == 'too dark or too bright'
    assert '% more than the' in black['detail']
    doubt = {v.key: v.value for v in robot.diagnosis('inputs').values}['calibration']
    compared, estimated = doubt.split('; ')[0], doubt.split('; ')[-1]
    assert '% more than the' in compared
    words = estimated.split()
    assert ' '.join(words[1:7]) == 'localized images fit a focal length'
    assert float(words[8]) == pytest.approx(camera.focal_px, rel=0.03)
    robot.send_info()
    assert robot.answer_to(robot.image())['calibration'] == ''
    assert 'focal length' not in robot.diagnosis('inputs').message


def test_without_odometry_the_pose_is_published_and_the_missing_link_is_named(
    robot: Robot,
) -> None:
    before = len(robot.poses)
    assert robot.answer_to(robot.image())['status'] == 'localized'
    wait_until(lambda: len(robot.poses) > before, 2.0, 'a pose')
    inputs = robot.diagnosis('inputs')
    assert inputs.level == DiagnosticStatus.ERROR
    assert 'map -> odom is not updated' in inputs.message


def test_stamps_of_another_time_are_reported(robot: Robot) -> None:
    def answers(seconds: int) -> list[str]:
        found = []
        for _ in range(5):  # fewer are no other time, but wrong
            image = robot.image()
            image.header.stamp.sec -= seconds
            found.append(robot.answer_to(image)['status'])
        return found

    assert robot.answer_to(robot.image())['status'] == 'localized'
    assert answers(1000) == ['refused'] * 4 + ['localized']
    assert "behind the node's clock" in robot.diagnosis('inputs').message
    assert answers(0) == ['refused'] * 4 + ['localized']
    assert "behind the node's clock" not in robot.diagnosis('inputs').message


def test_a_mounting_that_jumps_is_named_and_no_pose_is_published_for_it(robot: Robot) -> None:
    broadcaster = tf.StaticTransformBroadcaster(robot.client.node)
    turned = transforms.transform_from(
        transforms.rotation_from_rotvec([0.0, 0.0, np.pi / 2]) @ BASE_FROM_CAMERA[:3, :3],
        BASE_FROM_CAMERA[:3, 3],
    )
    broadcaster.sendTransform(messages.transform_message('base_link', 'turned', 0, turned))
    time.sleep(0.3)
    assert robot.answer_to(robot.image())['status'] == 'localized'
    image = robot.image()
    image.header.frame_id = 'turned'
    answer = robot.answer_to(image)
    assert (answer['status'], answer['state']) == ('refused', 'lost')
    assert 'mounting of /image jumped by 0.00 m, 90 deg' in answer['detail']
    assert robot.answer_to(robot.image())['status'] == 'localized'


def test_a_camera_that_stops_is_reported_and_may_come_back(robot: Robot) -> None:
    robot.answer_to(robot.image())
    time.sleep(2.2)
    images = robot.diagnosis('images')
    assert images.level == DiagnosticStatus.ERROR
    assert 'no image for' in images.message
    robot.answer_to(robot.image())
    assert robot.diagnosis('images').level == DiagnosticStatus.OK


@pytest.mark.parametrize(('late_ms', 'named'), [(0, 'came before'), (300, '300 ms older')])
def test_an_image_that_comes_twice_or_late_is_stale(robot: Robot, late_ms: int, named: str) -> None:
    image = robot.image()
    assert robot.answer_to(image)['status'] == 'localized'
    before = len(robot.poses)
    stamp_ns = messages.stamp_to_ns(image.header.stamp) - late_ms * 1_000_000
    image.header.stamp = messages.stamp_from_ns(stamp_ns)
    answer = robot.answer_to(image)
    assert (answer['status'], answer['reason']) == ('refused', 'stale')
    assert named in answer['detail']
    assert robot.answer_to(robot.image())['status'] == 'localized'
    assert len(robot.poses) == before + 1


@pytest.mark.parametrize('black', [False, True])
def test_relocalize_answers_with_the_result_of_the_next_image(robot: Robot, black: bool) -> None:
    pixels = np.zeros_like(robot.frame.image) if black else None
    answers: list[Any] = []
    name = '/hloc_localizer/relocalize'
    asking = threading.Thread(
        target=lambda: answers.append(robot.client.call(Trigger, name, Trigger.Request()))
    )
    asking.start()
    time.sleep(0.5)
    assert not answers
    robot.answer_to(robot.image(pixels))
    asking.join(5.0)
    assert answers[0].success is not black
    assert ('too dark' if black else 'inliers') in answers[0].message


def test_relocalize_says_so_when_no_image_comes(robot: Robot) -> None:
    response = robot.client.call(Trigger, '/hloc_localizer/relocalize', Trigger.Request())
    assert not response.success
    assert response.message == 'no image was answered within 2 s'


def test_an_initialpose_is_a_prior_and_a_broken_one_is_ignored(robot: Robot) -> None:
    publisher = robot.client.node.create_publisher(PoseWithCovarianceStamped, 'initialpose', 1)
    wait_until(publisher.get_subscription_count, 5.0, 'the subscription of initialpose')
    assert robot.answer_to(robot.image())['status'] == 'localized'
    wait_until(lambda: len(robot.poses), 2.0, 'a pose')
    fix = messages.pose_from_message(robot.poses.messages[-1].pose)
    for frame_id, pose in (('map', fix), ('elsewhere', np.eye(4))):
        publisher.publish(messages.pose_with_covariance_stamped(frame_id, 0, pose, np.eye(6) * 0.1))
        time.sleep(0.1)
        assert robot.answer_to(robot.image())['status'] == 'localized'
    again = messages.pose_from_message(robot.poses.messages[-1].pose)
    metres, radians = transforms.pose_distance(fix, again)
    assert metres < 0.02
    assert radians < 0.01


def test_a_lifecycle_manager_can_bring_the_node_up_down_and_up_again(
    lounge_map: Path, frame_and_camera: tuple[Frame, Camera], ros_environment: dict[str, str]
) -> None:
    parameters = {'map': lounge_map, 'autostart': False}
    with (
        closing(Client(ros_environment)) as client,
        clean_node_process(NODE, ros_environment, parameters),
    ):
        robot = Robot(client, *frame_and_camera)

        def change(transition: int) -> bool:
            request = ChangeState.Request(transition=Transition(id=transition))
            response = client.call(ChangeState, '/hloc_localizer/change_state', request, STARTING_S)
            return bool(response.success)

        for _ in range(2):
            assert change(Transition.TRANSITION_CONFIGURE)
            assert change(Transition.TRANSITION_ACTIVATE)
            robot.wait_for_node()
            robot.send_info()
            assert robot.answer_to(robot.image())['status'] == 'localized'
            assert change(Transition.TRANSITION_DEACTIVATE)
            assert change(Transition.TRANSITION_CLEANUP)
            wait_until(
                lambda: not client.node.count_subscribers('/image'), 5.0, 'the end of listening'
            )


@pytest.mark.parametrize(
    ('parameters', 'named'),
    [
        ({}, "parameter 'map' is not set"),
        ({'map': '/nowhere'}, '/nowhere: there is no such map folder'),
        ({'map': '/tmp'}, 'not a map'),
        ({'map': '/tmp', 'tf_mode': 'sideways'}, "parameter 'tf_mode': 'sideways' is not one of"),
        ({'map': '/tmp', 'tf_rate_hz': -1.0}, "parameter 'tf_rate_hz': -1.0 is not allowed"),
        ({'map': '/tmp', 'camera_info_file': '/no.yaml'}, '/no.yaml: cannot be read'),
    ],
)
def test_what_a_user_gets_wrong_ends_with_one_line_and_status_2(
    parameters: dict[str, object], named: str, ros_environment: dict[str, str]
) -> None:
    with node_process(NODE, ros_environment, parameters) as process:
        assert process.wait(STARTING_S) == 2
    assert named in process.output
    assert len(process.output.strip().splitlines()) == 1, process.output
