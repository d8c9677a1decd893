"""The node as a process follows a walk that leaves the map, and falls silent when it is lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2')
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import PoseWithCovarianceStamped
from ros_process import Client, Heard, node_process, wait_until
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage
from tf2_msgs.msg import TFMessage

from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.trajectory import Trajectory
from hloc_localizer.ros import image_bridge, messages
from hloc_localizer.ros.bag_player import BagPlayer, Playback
from hloc_localizer.sources.tum import read_tum

pytestmark = pytest.mark.alone

IMAGES = 73
STEP_NS = 200_000_000
FALSE_FIX_M, FALSE_FIX_DEG = 0.5, 10.0
TOPIC = '/camera/image_raw/compressed'


@dataclass
class Run:
    """What was heard while the later walk through the lounge was played."""

    client: Client
    poses: Heard
    status: Heard
    tf: Heard
    reference: Trajectory
    published: list[int]

    def states(self) -> list[dict[str, str]]:
        """Return the fields of every ``~/status``."""
        return [{v.key: v.value for v in m.values} for m in self.status.messages]

    def answered(self) -> list[int]:
        """Return the stamps of the images that were answered; a busy machine drops some."""
        return [int(value['stamp'].replace('.', '')) for value in self.states()]

    def errors(self) -> dict[int, tuple[float, float]]:
        """Return metres and degrees of every published pose, by stamp."""
        found = {}
        for message in self.poses.messages:
            stamp_ns = messages.stamp_to_ns(message.header.stamp)
            pose = messages.pose_from_message(message.pose.pose)
            expected = self.reference.at(stamp_ns, 100_000_000)
            metres, radians = transforms.pose_distance(pose, expected)
            found[stamp_ns] = (float(metres), float(np.degrees(radians)))
        return found

    def corrections(self) -> list[np.ndarray]:
        """Return every ``map -> odom`` that was broadcast."""
        return [
            messages.transform_from_message(transform.transform)
            for message in self.tf.messages
            for transform in message.transforms
            if (transform.header.frame_id, transform.child_frame_id) == ('map', 'odom')
        ]


@pytest.fixture(scope='module')
def run(lounge_map: Path, shared_data: Path, module_environment: dict[str, str]) -> Iterator[Run]:
    lounge = shared_data / 'data' / 'lounge'
    parameters = {'map': lounge_map, 'image_transport': 'compressed', 'use_sim_time': True}
    remappings = ['image:=/camera/image_raw', 'camera_info:=/camera/camera_info']
    client = Client(module_environment)
    with node_process('hloc_localizer.ros.localizer', module_environment, parameters, remappings):
        result = Run(
            client,
            client.listen(PoseWithCovarianceStamped, '/hloc_localizer/pose_with_covariance'),
            client.listen(DiagnosticStatus, '/hloc_localizer/status'),
            client.listen(TFMessage, '/tf'),
            read_tum(lounge / 'revisit.base_link.tum'),
            [],
        )

        def note(topic: str, time_ns: int, message: Any) -> None:
            if topic == TOPIC:
                result.published.append(messages.stamp_to_ns(message.header.stamp))

        player = BagPlayer(
            node=client.node,
            bag=lounge / 'revisit',
            playback=Playback(clock=True, wait_for=(TOPIC,)),
            on_published=note,
        )
        player.play()
        last_ns = max(result.published)
        wait_until(lambda: last_ns in result.answered(), 10.0, 'an answer to the last image')
        player.close()
        yield result
    client.close()


def test_every_image_from_the_first_fix_on_has_a_pose_and_none_is_false(run: Run) -> None:
    errors = run.errors()
    answered = run.answered()
    due = [stamp for stamp in answered if min(errors) <= stamp <= max(run.published)]
    none = (np.inf, np.inf)
    near = [stamp for stamp in due if np.all(np.array(errors.get(stamp, none)) <= (0.25, 2.0))]
    metres, degrees = np.array(list(errors.values())).T
    print(f'{len(near)} of {len(due)} frames within 0.25 m and 2 degrees, worst '
          f'{metres.max():.3f} m, {degrees.max():.2f} degrees')  # fmt: skip
    assert len(run.published) == IMAGES
    assert len(due) >= 0.6 * IMAGES
    assert len(near) >= 0.95 * len(due)
    assert not np.any((metres > FALSE_FIX_M) | (degrees > FALSE_FIX_DEG))


def test_status_tells_the_state_and_what_is_bridged(run: Run) -> None:
    values = [
        v for v, n in zip(run.states(), run.answered(), strict=True) if n <= max(run.published)
    ]
    states = {value['state'] for value in values}
    assert {'localized', 'degraded'} <= states <= {'uninitialized', 'localized', 'degraded'}
    for value in values:
        if value['state'] == 'localized':
            assert value['status'] == 'localized'
        if value['state'] == 'degraded':
            assert value['status'] == 'bridged'
            assert value['reason'] != 'none'
    posed = [value for value in values if value['state'] != 'uninitialized']
    assert len(posed) == len(run.errors())
    latencies = [float(value['latency_ms']) for value in values]
    print(f'latency median {np.median(latencies):.0f} ms, p95 {np.percentile(latencies, 95):.0f}')


def test_uncertainty_grows_while_odometry_carries_the_pose(run: Run) -> None:
    # Of the rotation: that of the position also swings with the lever to where it was last seen.
    covariances = [np.array(m.pose.covariance).reshape(6, 6) for m in run.poses.messages]
    sizes = [np.trace(covariance[3:, 3:]) for covariance in covariances]
    bridged = [v['status'] == 'bridged' for v in run.states() if v['status'] != 'refused']
    growing = [
        sizes[index] > sizes[index - 1]
        for index in range(1, len(sizes))
        if bridged[index] and bridged[index - 1]
    ]
    assert len(growing) > 10
    assert all(growing)


def test_map_to_odom_makes_no_jumps(run: Run) -> None:
    corrections = np.array(run.corrections())
    metres, radians = transforms.pose_distance(corrections[:-1], corrections[1:])
    print(f'largest step {metres.max():.3f} m, {np.degrees(radians.max()):.2f} degrees')
    assert len(corrections) > 200
    # Seconds without a fix end with a way of centimetres, which is gone in steps.
    assert metres.max() < 0.025
    assert np.degrees(radians.max()) < 0.5


def test_lost_the_node_is_silent(run: Run) -> None:
    """Odometry and the room are gone: darkness, and nothing that says how the robot moves."""
    clock = run.client.node.create_publisher(Clock, '/clock', 10)
    images = run.client.node.create_publisher(CompressedImage, TOPIC, 10)
    black = np.zeros((360, 540), np.uint8)
    frame = 'camera_optical_frame'
    wait_until(lambda: images.get_subscription_count() > 0, 5.0, 'the node to listen')
    begin, answered = max(run.published), len(run.status)
    for index in range(1, 11):
        stamp_ns = begin + index * STEP_NS
        clock.publish(Clock(clock=messages.header('', stamp_ns).stamp))
        images.publish(image_bridge.encode_compressed(black, messages.header(frame, stamp_ns)))
        expected = answered + index
        wait_until(lambda: len(run.status) >= expected, 5.0, 'an answer')  # noqa: B023
    states = [value['state'] for value in run.states()[answered:]]
    assert states[-1] == 'lost'
    poses, corrections = len(run.poses), len(run.corrections())
    lost = begin + 11 * STEP_NS
    for index in range(10):
        clock.publish(Clock(clock=messages.header('', lost + index * STEP_NS // 4).stamp))
        time.sleep(0.05)
    assert len(run.poses) == poses
    assert len(run.corrections()) == corrections
    last = messages.stamp_to_ns(run.poses.messages[-1].header.stamp)
    assert last < begin + states.index('lost') * STEP_NS + STEP_NS
