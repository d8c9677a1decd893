"""The map builder records live topics and builds the map of them when it is told to finish."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2')
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros_process import Client, Heard, NodeProcess, node_process, wait_until
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2, RegionOfInterest
from std_srvs.srv import Trigger

from hloc_localizer.maps import Map, verify_map
from hloc_localizer.ros.bag_player import BagPlayer, Playback
from hloc_localizer.ros.image_bridge import decode_compressed, encode_image
from hloc_localizer.ros.live_recorder import LiveRecorder
from hloc_localizer.ros.map_builder_options import MapBuilderNodeOptions
from hloc_localizer.ros.publishers import LATCHED
from hloc_localizer.sources import open_source
from hloc_localizer.sources.bag_reader import CAMERA_INFO, BagReader
from hloc_localizer.sources.options import SourceOptions

NODE = 'hloc_localizer.ros.map_builder'
PROGRESS = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
IMAGES = '/camera/image_raw/compressed'
REMAPPINGS = (
    'image:=/camera/image_raw',
    'image/compressed:=/camera/image_raw/compressed',
    'camera_info:=/camera/camera_info',
)
SECONDS = 8.0
RATE = 4.0


def parameters(tmp_path: Path, **changes: object) -> dict[str, object]:
    return {
        'record': tmp_path / 'drive',
        'output': tmp_path / 'lounge',
        'image_transport': 'compressed',
        'build.threads': 1,
        **changes,
    }


def play(client: Client, shared_data: Path, wait_for: str = IMAGES) -> int:
    """Play the first seconds of the lounge, four times as fast; return its images."""
    bag = shared_data / 'data' / 'lounge' / 'map'
    playback = Playback(rate=RATE, duration_s=SECONDS, wait_for=(wait_for, '/tf', '/tf_static'))
    player = BagPlayer(node=client.node, bag=bag, playback=playback)
    player.play()
    player.close()
    source = open_source(bag, SourceOptions(duration_s=SECONDS))
    return sum(1 for _ in source.frames())


def values_of(progress: Heard) -> dict[str, str]:
    return {value.key: value.value for value in progress.messages[-1].values}


def recorded(progress: Heard) -> int:
    return int(values_of(progress)['done']) if len(progress) else 0


def finished(client: Client, process: NodeProcess, heard: Heard, images: int) -> Trigger.Response:
    wait_until(lambda: recorded(heard) >= images - 1, 20.0, 'the images are recorded')
    answer: Trigger.Response = client.call(Trigger, '/map_builder/finish', Trigger.Request())
    assert process.wait(120.0) == 0, process.output
    return answer


def test_live_topics_are_recorded_and_become_a_map(
    shared_data: Path, tmp_path: Path, ros_environment: dict[str, str]
) -> None:
    client = Client(ros_environment)
    progress = client.listen(DiagnosticStatus, '/map_builder/progress', PROGRESS)
    clouds = client.listen(PointCloud2, '/map_builder/map_points', LATCHED)
    with node_process(NODE, ros_environment, parameters(tmp_path), REMAPPINGS) as process:
        early = client.call(Trigger, '/map_builder/finish', Trigger.Request(), 20.0)
        assert not early.success
        assert early.message == f'no image was recorded: none arrived on {IMAGES}'
        sent = play(client, shared_data)
        answer = finished(client, process, progress, sent)
    stages = [message.message for message in progress.messages]
    client.close()
    assert answer.success
    assert f'images recorded in {tmp_path / "drive"}; building {tmp_path / "lounge"}' in (
        answer.message
    )
    kept = open_source(tmp_path / 'drive', SourceOptions())
    frames = list(kept.frames())
    assert sent - 1 <= len(frames) <= sent
    assert all(frame.map_from_camera is not None for frame in frames[1:-1])
    built = Map.load(tmp_path / 'lounge')
    assert verify_map(tmp_path / 'lounge').ok
    assert len(built.runtime.image_names) > 15
    assert built.manifest.provenance.source['image_topics'] == IMAGES
    assert list(dict.fromkeys(stages))[:2] == ['record', 'extract']
    assert stages[-1] == 'done'
    assert clouds.messages[-1].width == len(built.runtime.points)
    assert 'Traceback' not in process.output


def test_raw_images_are_thinned_and_kept_as_jpeg(
    shared_data: Path, tmp_path: Path, ros_environment: dict[str, str]
) -> None:
    client = Client(ros_environment)
    progress = client.listen(DiagnosticStatus, '/map_builder/progress', PROGRESS)
    raw = client.node.create_publisher(Image, '/camera/image_raw', 10)

    def forward(message: CompressedImage) -> None:
        raw.publish(encode_image(decode_compressed(message), message.header))

    client.node.create_subscription(CompressedImage, IMAGES, forward, 100)
    settings = parameters(tmp_path, image_transport='raw', record_rate_hz=2.5)
    with node_process(NODE, ros_environment, settings, REMAPPINGS) as process:
        wait_until(lambda: raw.get_subscription_count() > 0, 20.0, 'the node listens')
        sent = play(client, shared_data)
        wait_until(lambda: recorded(progress) >= sent // 2 - 4, 20.0, 'images are recorded')
        assert process.stop(signal.SIGINT) == 1  # no map was built
    client.close()
    frames = list(open_source(tmp_path / 'drive', SourceOptions()).frames())
    assert 0.4 * sent <= len(frames) <= 0.6 * sent
    assert frames[0].image.shape == (360, 540, 3)
    assert f'images are kept in {tmp_path / "drive"}; give it as bag' in process.output
    assert not (tmp_path / 'lounge').exists()
    assert 'Traceback' not in process.output


def test_every_calibration_that_differs_is_recorded_once(
    tmp_path: Path, ros_environment: dict[str, str]
) -> None:
    client = Client(ros_environment)
    options = MapBuilderNodeOptions(record=str(tmp_path / 'drive'), output=str(tmp_path / 'map'))
    recorder = LiveRecorder(node=client.node, options=options, recorded=lambda _: None)
    infos = client.node.create_publisher(CameraInfo, 'camera_info', 10)
    wait_until(infos.get_subscription_count, 5.0, 'the recorder')
    message = CameraInfo(width=640, height=480, k=[500.0] * 9)
    for name, value in (
        ('width', 640),
        ('p', [400.0] * 12),  # all that differs for rectified images
        ('binning_x', 2),
        ('roi', RegionOfInterest(width=320, height=240)),
    ):
        setattr(message, name, value)
        for _ in range(2):
            infos.publish(message)
            time.sleep(0.1)
    recorder.close()
    client.close()
    with BagReader(tmp_path / 'drive') as bag:
        recorded = [info for _, _, info in bag.messages([bag.topics_of(CAMERA_INFO)[0].name])]
    assert [(info.p[0], info.binning_x, info.roi.width) for info in recorded] == [
        (0.0, 0, 0),
        (400.0, 0, 0),
        (400.0, 2, 0),
        (400.0, 2, 320),
    ]


@pytest.mark.parametrize(
    ('changes', 'named'),
    [
        ({'bag': '/bags/drive'}, "parameters 'bag' and 'record' are both set"),
        ({'record': '/nowhere/drive'}, '/nowhere: there is no such folder'),
        ({'record': '/tmp'}, '/tmp: bag cannot be written'),
        ({'image_transport': 'theora'}, "parameter 'image_transport'"),
    ],
)
def test_what_cannot_be_recorded_is_said_at_once(
    changes: dict[str, object], named: str, tmp_path: Path, ros_environment: dict[str, str]
) -> None:
    settings = parameters(tmp_path, **changes)
    with node_process(NODE, ros_environment, settings, REMAPPINGS) as process:
        assert process.wait(20.0) == 2, process.output
    lines = [line for line in process.output.splitlines() if 'ERROR' in line]
    assert len(lines) == 1, process.output
    assert named in lines[0]
    assert 'Traceback' not in process.output
