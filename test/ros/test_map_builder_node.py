"""The map builder node as a process: a bag in, a verified map out, its progress on the wire."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2')
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros_process import Client, node_process, wait_until
from sensor_msgs.msg import PointCloud2
from visualization_msgs.msg import MarkerArray

from hloc_localizer.geometry.transforms import pose_distance
from hloc_localizer.maps import Map, verify_map
from hloc_localizer.ros.publishers import LATCHED
from hloc_localizer.sources.tum import read_tum

NODE = 'hloc_localizer.ros.map_builder'
PROGRESS = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
STARTING_S = 20.0


def _parameters(shared_data: Path, output: Path) -> dict[str, object]:
    return {
        'bag': shared_data / 'data' / 'lounge' / 'map',
        'output': output,
        'build.source.duration_s': 12,
        'build.threads': 1,
    }


def test_a_bag_becomes_a_map_and_the_progress_is_told(
    shared_data: Path, tmp_path: Path, ros_environment: dict[str, str]
) -> None:
    client = Client(ros_environment)
    progress = client.listen(DiagnosticStatus, '/map_builder/progress', PROGRESS)
    clouds = client.listen(PointCloud2, '/map_builder/map_points', LATCHED)
    cameras = client.listen(MarkerArray, '/map_builder/map_cameras', LATCHED)
    output = tmp_path / 'lounge'
    with node_process(NODE, ros_environment, _parameters(shared_data, output)) as process:
        assert process.wait(120.0) == 0, process.output
    client_saw = [(m.message, {v.key: v.value for v in m.values}) for m in progress.messages]
    client.close()
    built = Map.load(output)
    assert verify_map(output).ok
    assert len(built.runtime.image_names) > 15
    assert client_saw[-1][0] == 'done'
    assert client_saw[-1][1]['map'] == str(output)
    numbers = [int(values['stage_number']) for _, values in client_saw[:-1]]
    assert numbers == sorted(numbers)
    assert numbers[-1] >= 4
    assert any(values.get('percent') == '100.000' for _, values in client_saw)
    assert clouds.messages[-1].width == len(built.runtime.points)
    assert len(cameras.messages[-1].markers[0].points) == 16 * len(built.runtime.image_names)
    assert 'Traceback' not in process.output


def test_several_bags_become_one_map_in_a_frame_that_exists(
    shared_data: Path, tmp_path: Path, ros_environment: dict[str, str]
) -> None:
    lounge = shared_data / 'data' / 'lounge'
    output = tmp_path / 'lounge'
    parameters = {
        **_parameters(shared_data, output),
        'bag': f'{lounge / "map"},{lounge / "query"}',
        'align_to': 'tf:map',  # which only one of them knows
        'build.source.duration_s': 6,
        'build.sift.max_keypoints': 1000,
    }
    with node_process(NODE, ros_environment, parameters) as process:
        assert process.wait(180.0) == 0, process.output
    assert 'aligned to tf:map: ' in process.output
    built = Map.load(output)
    assert verify_map(output).ok
    sessions = {name.partition('/')[0] for name in built.runtime.image_names}
    assert sessions == {'map', 'query'}
    assert built.manifest.provenance.source['aligned_to'] == 'tf:map'
    for session in sessions:
        truth = read_tum(lounge / f'{session}.camera.tum')
        errors = [
            pose_distance(pose, truth.at(int(Path(name).stem)))[0]
            for name, pose in zip(
                built.runtime.image_names, built.runtime.map_from_camera, strict=True
            )
            if name.startswith(session)
        ]
        assert np.median(errors) < 0.06


def test_an_interrupted_build_ends_soon_and_leaves_no_map(
    shared_data: Path, tmp_path: Path, ros_environment: dict[str, str]
) -> None:
    client = Client(ros_environment)
    progress = client.listen(DiagnosticStatus, '/map_builder/progress', PROGRESS)
    output = tmp_path / 'lounge'
    with node_process(NODE, ros_environment, _parameters(shared_data, output)) as process:
        wait_until(lambda: len(progress) > 2, STARTING_S, 'progress')
        assert process.stop(signal.SIGINT, 30.0) == 1
    client.close()
    assert not output.exists()
    assert 'Traceback' not in process.output, process.output


@pytest.mark.parametrize(
    ('changes', 'named'),
    [
        ({'bag': ''}, "parameter 'bag' is not set"),
        ({'bag': '/nowhere.mcap'}, '/nowhere.mcap'),
        ({'output': '/nowhere/map'}, '/nowhere: there is no such folder'),
        ({'bag': '/nowhere.mcap, /elsewhere'}, '/nowhere.mcap: does not exist'),
        ({'align_to': 'floor.tum'}, "'floor.tum' is no frame to align to"),
        ({'output': '/tmp'}, '/tmp: already exists'),
        ({'build.source.image_topic': '/cam'}, '/cam'),
        ({'build.pairs.covisible': 0}, "parameter 'build.pairs.covisible': 0 is not allowed"),
    ],
)
def test_what_a_user_gets_wrong_ends_with_one_line_and_status_2(
    changes: dict[str, object],
    named: str,
    shared_data: Path,
    tmp_path: Path,
    ros_environment: dict[str, str],
) -> None:
    parameters = {**_parameters(shared_data, tmp_path / 'map'), **changes}
    parameters = {name: value for name, value in parameters.items() if value != ''}
    with node_process(NODE, ros_environment, parameters) as process:
        assert process.wait(STARTING_S) == 2, process.output
    lines = [line for line in process.output.splitlines() if 'ERROR' in line]
    assert len(lines) == 1, process.output
    assert named in lines[0]
    assert 'Traceback' not in process.output
    assert not (tmp_path / 'map').exists()
