"""The localizer node as a process: the lounge query bag is played to it at its own rate."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2')
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped
from nav_msgs.msg import Path as PathMessage
from ros_process import Client, Heard, NodeProcess, node_process, wait_until
from sensor_msgs.msg import CompressedImage, PointCloud2
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import MarkerArray

from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.trajectory import Trajectory
from hloc_localizer.ros import messages
from hloc_localizer.ros.bag_player import BagPlayer, Playback
from hloc_localizer.ros.image_bridge import decode_compressed
from hloc_localizer.ros.publishers import LATCHED
from hloc_localizer.sources.tum import read_tum

pytestmark = pytest.mark.alone

IMAGES = 70
FALSE_FIX_M, FALSE_FIX_DEG = 0.5, 10.0
TOPICS: dict[str, Any] = {
    '~/pose': PoseStamped,
    '~/pose_with_covariance': PoseWithCovarianceStamped,
    '~/status': DiagnosticStatus,
    '~/path': PathMessage,
    '~/matches/compressed': CompressedImage,
    '/diagnostics': DiagnosticArray,
    '/tf': TFMessage,
}


@dataclass
class Run:
    """Everything that was heard while the bag was played."""

    heard: dict[str, Heard]
    reference: Trajectory
    client: Client
    process: NodeProcess
    published_at: dict[int, float] = field(default_factory=dict)
    """Steady time at which the image of a stamp was published."""

    def answered(self, stamp_ns: int) -> bool:
        """Tell whether the node has said what became of an image."""
        return any(status['stamp'].replace('.', '') == str(stamp_ns) for status in self.status)

    @property
    def status(self) -> list[dict[str, str]]:
        """The fields of every ``~/status``."""
        return [{v.key: v.value for v in m.values} for m in self.heard['~/status'].messages]


@pytest.fixture(scope='module')
def run(lounge_map: Path, shared_data: Path, module_environment: dict[str, str]) -> Iterator[Run]:
    """Play the query bag to a node of its own."""
    lounge, variables = shared_data / 'data' / 'lounge', module_environment
    parameters = {
        'map': lounge_map, 'image_transport': 'compressed', 'use_sim_time': True,
        'tf_smoothing_s': 0.0,  # so that each fix can be found among the broadcasts
    }  # fmt: skip
    remappings = ['image:=/camera/image_raw', 'camera_info:=/camera/camera_info']
    client = Client(variables)
    with node_process('hloc_localizer.ros.localizer', variables, parameters, remappings) as process:
        heard = {
            topic: client.listen(kind, topic.replace('~', '/hloc_localizer'))
            for topic, kind in TOPICS.items()
        }
        result = Run(heard, read_tum(lounge / 'query.base_link.tum'), client, process)

        def note(topic: str, time_ns: int, message: Any) -> None:
            if topic.endswith('/compressed'):
                result.published_at[messages.stamp_to_ns(message.header.stamp)] = time.monotonic()

        player = BagPlayer(
            node=client.node,
            bag=lounge / 'query',
            playback=Playback(clock=True, wait_for=('/camera/image_raw/compressed',)),
            on_published=note,
        )
        player.play()
        last_ns = max(result.published_at)
        wait_until(lambda: result.answered(last_ns), 10.0, 'an answer to the last image')
        player.close()
        yield result
    client.close()


def _poses(run: Run) -> dict[int, np.ndarray]:
    return {
        messages.stamp_to_ns(m.header.stamp): messages.pose_from_message(m.pose)
        for m in run.heard['~/pose'].messages
    }


def _errors(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Return metres and degrees between the published poses and the reference."""
    poses = _poses(run)
    references = [run.reference.at(stamp, 100_000_000) for stamp in poses]
    metres, radians = transforms.pose_distance(np.array(list(poses.values())), np.array(references))
    return metres, np.degrees(radians)


def test_every_image_is_answered_in_time(run: Run) -> None:
    stamps = [status['stamp'] for status in run.status]
    latencies = [float(status['latency_ms']) for status in run.status]
    print(f'{len(stamps)} of {IMAGES} images answered, reception to publication: median '
          f'{np.median(latencies):.0f} ms, p95 {np.percentile(latencies, 95):.0f} ms')  # fmt: skip
    assert len(stamps) == len(set(stamps)) == IMAGES
    assert np.median(latencies) <= 100.0


def test_poses_are_near_the_reference_and_none_is_false(run: Run) -> None:
    metres, degrees = _errors(run)
    print(f'{len(metres)} poses of {len(run.status)} answers, median {np.median(metres) * 100:.1f} '
          f'cm, {np.median(degrees):.2f} deg, worst {metres.max() * 100:.1f} cm')  # fmt: skip
    assert len(metres) >= 0.97 * len(run.status)
    assert not np.any((metres > FALSE_FIX_M) | (degrees > FALSE_FIX_DEG))
    assert np.median(metres) < 0.02
    assert np.median(degrees) < 0.35


def test_poses_carry_the_stamps_of_their_images_in_the_map_frame(run: Run) -> None:
    assert set(_poses(run)) <= set(run.published_at)
    assert {m.header.frame_id for m in run.heard['~/pose'].messages} == {'map'}
    localized = [status for status in run.status if status['status'] == 'localized']
    assert len(localized) == len(run.heard['~/pose'])


def test_covariance_comes_with_the_same_pose_and_is_one(run: Run) -> None:
    poses = run.heard['~/pose'].messages
    with_covariance = run.heard['~/pose_with_covariance'].messages
    assert len(poses) == len(with_covariance)
    for pose, other in zip(poses, with_covariance, strict=True):
        assert other.header == pose.header
        assert other.pose.pose == pose.pose
        covariance = np.array(other.pose.covariance).reshape(6, 6)
        np.testing.assert_allclose(covariance, covariance.T)
        assert np.all(np.linalg.eigvalsh(covariance) > 0.0)
        assert 1e-4 < np.sqrt(np.trace(covariance[:3, :3])) < 0.5


def _links(run: Run, parent: str, child: str) -> list[tuple[int, float, np.ndarray]]:
    """Return stamp, arrival and matrix of every transform of a link."""
    tf = run.heard['/tf']
    return [
        (
            messages.stamp_to_ns(t.header.stamp),
            arrival,
            messages.transform_from_message(t.transform),
        )
        for message, arrival in zip(tf.messages, tf.times, strict=True)
        for t in message.transforms
        if (t.header.frame_id, t.child_frame_id) == (parent, child)
    ]


def test_map_to_odom_times_odometry_at_the_image_stamp_is_the_pose(run: Run) -> None:
    odometry = _links(run, 'odom', 'base_link')
    trajectory = Trajectory(
        np.array([stamp for stamp, _, _ in odometry]), np.array([pose for _, _, pose in odometry])
    )
    corrections = np.array([matrix for _, _, matrix in _links(run, 'map', 'odom')])
    for stamp, pose in list(_poses(run).items())[:-1]:  # /clock ended with the last image
        odom_from_base = trajectory.at(stamp)
        assert odom_from_base is not None
        metres, radians = transforms.pose_distance(corrections @ odom_from_base, pose)
        assert np.min(metres + radians) < 1e-6  # one of the broadcasts is this fix


def test_map_to_odom_is_broadcast_steadily_with_growing_stamps(run: Run) -> None:
    broadcasts = _links(run, 'map', 'odom')
    stamps = np.array([stamp for stamp, _, _ in broadcasts])
    arrivals = np.array([arrival for _, arrival, _ in broadcasts])
    assert np.all(np.diff(stamps) > 0)
    rate = (len(arrivals) - 1) / (arrivals[-1] - arrivals[0])
    assert 18.0 < rate < 25.0
    assert np.percentile(np.diff(arrivals), 99) < 0.2


def test_map_is_latched_for_those_who_come_late(run: Run) -> None:
    points = run.client.listen(PointCloud2, '/hloc_localizer/map_points', LATCHED)
    cameras = run.client.listen(MarkerArray, '/hloc_localizer/map_cameras', LATCHED)
    wait_until(lambda: len(points) and len(cameras), 5.0, 'cloud and cameras')
    cloud, marker = points.messages[0], cameras.messages[0].markers[0]
    assert cloud.header.frame_id == marker.header.frame_id == 'map'
    assert cloud.width > 3000
    assert len(marker.points) % 16 == 0
    assert len(marker.points) > 16 * 50


def test_path_and_match_image_are_published_on_demand(run: Run) -> None:
    last = run.heard['~/path'].messages[-1]
    assert len(last.poses) > 0.8 * len(run.heard['~/pose'])
    picture = run.heard['~/matches/compressed'].messages[-1]
    assert decode_compressed(picture).shape == (360, 1080, 3)


def test_diagnostics_tell_rates_latency_and_that_the_camera_stopped(run: Run) -> None:
    heard = run.heard['/diagnostics']
    wait_until(
        lambda: heard.messages[-1].status[0].level == DiagnosticStatus.ERROR, 8.0,
        'word that the camera stopped',
    )  # fmt: skip
    images, localization = heard.messages[-1].status[:2]
    assert images.name == 'hloc_localizer: images'
    assert 'no image for' in images.message
    values = {v.key: v.value for v in images.values + localization.values}
    assert int(values['received']) == IMAGES
    assert int(values['answered']) + int(values['dropped']) == IMAGES
    assert 0.0 < float(values['stage_ms.extract']) < float(values['latency_ms.median'])


def test_the_node_ends_at_sigterm_without_a_traceback(run: Run) -> None:
    assert run.process.stop(signal.SIGTERM) == 0
    assert 'Traceback' not in run.process.output
