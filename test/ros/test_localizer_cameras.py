"""The localizer node with two cameras: localized together, and each without the other."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2')
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseStamped
from robot import NODE, STARTING_S
from ros_process import Client, clean_node_process, wait_until
from sensor_msgs.msg import CameraInfo, CompressedImage

from hloc_localizer.errors import InputError
from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.localization.bundle import read_bundle
from hloc_localizer.ros import image_bridge, messages, tf
from hloc_localizer.ros.cameras import CameraTopics, camera_topics
from hloc_localizer.ros.options import LocalizerNodeOptions
from hloc_localizer.sources import open_source
from hloc_localizer.sources.camera_info import ros_calibration
from hloc_localizer.sources.options import SourceOptions
from hloc_localizer.sources.tum import read_tum

TOPICS = ('/front/image_raw/compressed', '/side/image_raw/compressed')
FRAMES = ('front_optical_frame', 'side_optical_frame')
APART = 8
"""Images between the two of a walk that play the two cameras of a robot."""
BASE_FROM_FRONT = transforms.transform_from(
    transforms.rotation_from_quaternion([0.5, -0.5, 0.5, -0.5]), [0.1, 0.0, 0.3]
)


class TwoCameras:
    """A robot that stands still, with two cameras apart; publishes what they see."""

    def __init__(self, client: Client, lounge: Path) -> None:
        """Say where the cameras are."""
        source = open_source(lounge / 'query', SourceOptions(poses='none', duration_s=12.0))
        frames = list(source.frames())
        truth = read_tum(lounge / 'query.camera.tum')
        first, second = (truth.at(frames[n].stamp_ns, 10**8) for n in (0, APART))
        assert first is not None
        assert second is not None
        self.images = [frames[0].image, frames[APART].image]
        self.camera: Camera = source.cameras[frames[0].camera_name]
        self.map_from_base = first @ transforms.invert(BASE_FROM_FRONT)
        mountings = [BASE_FROM_FRONT, transforms.invert(self.map_from_base) @ second]
        self.client = client
        create = client.node.create_publisher
        self._images = [create(CompressedImage, topic, 1) for topic in TOPICS]
        self._infos = [
            create(CameraInfo, topic.replace('image_raw/compressed', 'camera_info'), 1)
            for topic in TOPICS
        ]
        self._static = tf.StaticTransformBroadcaster(client.node)
        self._static.sendTransform(
            [
                messages.transform_message('base_link', frame, 0, mounting)
                for frame, mounting in zip(FRAMES, mountings, strict=True)
            ]
        )
        self.status = client.listen(DiagnosticStatus, '/hloc_localizer/status')
        self.poses = client.listen(PoseStamped, '/hloc_localizer/pose')
        self.diagnostics = client.listen(DiagnosticArray, '/diagnostics')
        self.matches = client.listen(CompressedImage, '/hloc_localizer/matches/compressed')
        self.failures = Path()

    def wait_for_node(self) -> None:
        """Wait until all topics are connected."""
        publishers = [*self._images, *self._infos]
        wait_until(
            lambda: all(p.get_subscription_count() for p in publishers) and self.diagnostics,
            STARTING_S,
            'the node to become active',
        )

    def send_infos(self, numbers: tuple[int, ...] = (0, 1), focal: float = 1.0) -> None:
        """Publish calibrations, with a factor on the focal lengths."""
        params = self.camera.params
        scaled = (params[0] * focal, params[1] * focal, *params[2:])
        calibration = ros_calibration(dataclasses.replace(self.camera, params=scaled))
        for number in numbers:
            message = CameraInfo(width=self.camera.width, height=self.camera.height)
            message.distortion_model = calibration.distortion_model
            message.d, message.k = list(calibration.d), list(calibration.k)
            self._infos[number].publish(message)
        time.sleep(0.1)

    def send(self, number: int, stamp_ns: int, frame: str = '', black: bool = False) -> None:
        """Publish an image of one camera."""
        pixels = np.zeros_like(self.images[number]) if black else self.images[number]
        header = messages.header(frame or FRAMES[number], stamp_ns)
        self._images[number].publish(image_bridge.encode_compressed(pixels, header))

    def answer(self, stamp_ns: int) -> dict[str, str]:
        """Wait for what the node says about a moment."""

        def values() -> list[dict[str, str]]:
            answers = [{v.key: v.value for v in m.values} for m in self.status.messages]
            return [one for one in answers if one['stamp'].replace('.', '') == str(stamp_ns)]

        wait_until(values, 10.0, 'an answer')
        return values()[-1]

    def error(self, stamp_ns: int) -> tuple[float, float]:
        """Return metres and degrees of the pose of a stamp."""
        found = [m for m in self.poses.messages if messages.stamp_to_ns(m.header.stamp) == stamp_ns]
        pose = messages.pose_from_message(found[-1].pose)
        metres, radians = transforms.pose_distance(pose, self.map_from_base)
        return float(metres), float(np.degrees(radians))


@pytest.fixture(scope='module', params=[True, False], ids=['tracked', 'each moment alone'])
def robot(
    request: pytest.FixtureRequest,
    lounge_map: Path,
    shared_data: Path,
    module_environment: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[TwoCameras]:
    failures = tmp_path_factory.mktemp('failures')
    parameters = {
        'map': lounge_map,
        'image_topics': ','.join(TOPICS),
        'image_transport': 'compressed',
        'camera_wait_s': 0.4,  # of a busy machine
        'tf_timeout_s': 0.05,
        'track': request.param,
        'record_failures': failures,
    }
    with (
        closing(Client(module_environment)) as client,
        clean_node_process(NODE, module_environment, parameters),
    ):
        robot = TwoCameras(client, shared_data / 'data' / 'lounge')
        robot.failures = failures
        robot.wait_for_node()
        robot.send_infos()
        yield robot


def test_two_cameras_are_localized_together(robot: TwoCameras) -> None:
    for _ in range(3):
        stamp_ns = time.time_ns()
        robot.send(1, stamp_ns + 5_000_000)  # five milliseconds later, and published first
        robot.send(0, stamp_ns)
        answer = robot.answer(stamp_ns)
        assert answer['status'] == 'localized'
        inliers = [int(answer[f'inliers.{topic}']) for topic in TOPICS]
        assert min(inliers) >= 50
        assert int(answer['inliers']) > max(inliers)
        metres, degrees = robot.error(stamp_ns)
        assert metres < 0.03
        assert degrees < 0.5


@pytest.mark.parametrize('number', [0, 1])
def test_a_camera_that_is_missing_keeps_nobody_waiting_long(robot: TwoCameras, number: int) -> None:
    stamp_ns = time.time_ns()
    robot.send(number, stamp_ns)
    answer = robot.answer(stamp_ns)
    assert answer['status'] == 'localized'
    assert f'inliers.{TOPICS[1 - number]}' not in answer
    assert robot.error(stamp_ns)[0] < 0.06
    robot.send(1 - number, stamp_ns)  # too late
    wait_until(lambda: robot.answer(stamp_ns)['reason'] == 'stale', 5.0, 'the late image')


def test_a_camera_that_sees_nothing_leaves_it_to_the_other(robot: TwoCameras) -> None:
    stamp_ns = time.time_ns()
    robot.send(0, stamp_ns, black=True)
    robot.send(1, stamp_ns)
    answer = robot.answer(stamp_ns)
    assert answer['status'] == 'localized'
    assert int(answer[f'inliers.{TOPICS[1]}']) >= 50
    assert answer[f'inliers.{TOPICS[0]}'] == '0'


def test_a_camera_that_is_not_in_tf_stays_out_and_is_named(robot: TwoCameras) -> None:
    stamp_ns = time.time_ns()
    robot.send(0, stamp_ns)
    robot.send(1, stamp_ns, frame='nowhere')
    answer = robot.answer(stamp_ns)
    assert answer['status'] == 'localized'
    assert 'nowhere' in answer[f'not_used.{TOPICS[1]}']
    assert int(answer[f'inliers.{TOPICS[0]}']) >= 50
    stamp_ns = time.time_ns()
    for number in (0, 1):
        robot.send(number, stamp_ns, frame='nowhere')
    answer = robot.answer(stamp_ns)
    assert (answer['status'], answer['reason']) == ('refused', 'transform missing')


def test_the_picture_shows_both_cameras(robot: TwoCameras) -> None:
    height, width = robot.images[0].shape[:2]
    before, stamp_ns = len(robot.matches), time.time_ns()
    for number in (0, 1):
        robot.send(number, stamp_ns)
    wait_until(lambda: len(robot.matches) > before, 5.0, 'a picture')
    picture = robot.matches.messages[-1]
    assert messages.stamp_to_ns(picture.header.stamp) == stamp_ns
    assert image_bridge.decode_compressed(picture).shape == (2 * height, 2 * width, 3)


def test_a_refused_moment_is_kept_with_both_images(robot: TwoCameras) -> None:
    stamp_ns = time.time_ns()
    for number in (0, 1):
        robot.send(number, stamp_ns, black=True)
    reason = robot.answer(stamp_ns)['reason']
    path = robot.failures / f'frame_{stamp_ns:019d}_{reason.replace(" ", "_")}'
    wait_until(path.exists, 5.0, 'a bundle')
    bundle = read_bundle(path)
    assert tuple(one.name for one in bundle.moment.images) == TOPICS
    assert bundle.reason == 'too dark or too bright'


def test_a_wrong_focal_length_of_the_second_camera_is_named(robot: TwoCameras) -> None:
    robot.send_infos((1,), focal=1.1)
    stamp_ns = time.time_ns()
    for number in (0, 1):
        robot.send(number, stamp_ns)
    robot.answer(stamp_ns)

    def doubt() -> str:
        values = {v.key: v.value for v in robot.diagnostics.messages[-1].status[2].values}
        return values.get('calibration', '')

    wait_until(doubt, 5.0, 'a doubt')
    assert doubt().startswith(f'{TOPICS[1]}: focal length ')
    assert '10.' in doubt().split('%')[0]
    robot.send_infos((1,))


def test_a_camera_that_falls_silent_is_named_in_diagnostics(robot: TwoCameras) -> None:
    def told() -> bool:
        robot.send(0, time.time_ns())
        time.sleep(0.3)
        images = robot.diagnostics.messages[-1].status[0]
        values = {v.key: v.value for v in images.values}
        return (
            images.level == DiagnosticStatus.WARN
            and f'on {TOPICS[1]}; the others go on' in images.message
            and float(values[f'age_s.{TOPICS[1]}']) > 2.0
            and float(values[f'rate_hz.{TOPICS[0]}']) > 1.0
        )

    wait_until(told, 10.0, 'word of the silent camera, and of the one that goes on')


def test_a_camera_whose_stamps_are_late_neither_resets_nor_stops_the_other(
    robot: TwoCameras,
) -> None:
    late_ns, statuses = 1_500_000_000, []
    for _ in range(6):
        stamp_ns = time.time_ns()
        robot.send(0, stamp_ns)
        statuses.append(robot.answer(stamp_ns)['status'])
        robot.send(1, stamp_ns - late_ns)
        answer = robot.answer(stamp_ns - late_ns)
        assert answer['reason'] == 'stale'
        assert f'of {TOPICS[1]} is' in answer['detail']
    assert statuses == ['localized'] * 6
    before = len(robot.diagnostics)
    wait_until(lambda: len(robot.diagnostics) > before, 5.0, 'diagnostics')
    inputs = robot.diagnostics.messages[-1].status[2]
    assert f'images of {TOPICS[1]} are 1.' in inputs.message
    assert 'synchronise the clocks' in inputs.message


@pytest.mark.parametrize(
    ('parameters', 'named'),
    [
        (
            {'image_topics': 'a/image,b/image', 'camera_info_topics': 'a/camera_info'},
            "parameter 'camera_info_topics' has 1 values for 2 image topics",
        ),
        ({'image_topics': 'a/image,a/image'}, "parameter 'image_topics' names a topic twice"),
        ({'camera_frame': 'left,right'}, "parameter 'camera_frame' has 2 values for 1 image"),
    ],
)
def test_cameras_that_do_not_fit_together_are_named(parameters: dict[str, str], named: str) -> None:
    with pytest.raises(InputError, match=named):
        camera_topics(LocalizerNodeOptions().with_values(parameters), lambda name: f'/{name}')


def test_topics_and_files_of_cameras_are_taken_in_order() -> None:
    values = {
        'image_topics': 'front/image_raw, side/image_raw/compressed',
        'image_transport': 'compressed',
        'camera_info_file': 'front.yaml,side.yaml',
        'camera_frame': 'f,s',
    }
    found = camera_topics(LocalizerNodeOptions().with_values(values), lambda name: f'/{name}')
    assert found == [
        CameraTopics('/front/image_raw/compressed', '/front/camera_info', 'front.yaml', 'f'),
        CameraTopics('/side/image_raw/compressed', '/side/camera_info', 'side.yaml', 's'),
    ]
    (alone,) = camera_topics(LocalizerNodeOptions(), lambda name: f'/robot/{name}')
    assert alone == CameraTopics('/robot/image', '/robot/camera_info', '', '')
