"""The node among random transitions, parameters, calls and messages; in full by a benchmark."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2')
from robot import NODE
from ros_process import node_process

from benchmarks.chaos import PARAMETERS, Chaos
from benchmarks.chaos_camera import ChaosCamera
from benchmarks.map_mutations import DamagedCopies
from benchmarks.node_client import NodeClient
from hloc_localizer.evaluation import References
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.sources import Frame


def test_the_node_survives_chaos_and_localizes_again(
    lounge_map: Path,
    shared_data: Path,
    frame_and_camera: tuple[Frame, Camera],
    ros_environment: dict[str, str],
    tmp_path: Path,
) -> None:
    frame, camera = frame_and_camera
    truth = References.read(shared_data / 'data' / 'lounge' / 'query.camera.tum').find(frame)
    assert truth is not None
    random = np.random.default_rng(0)
    maps = DamagedCopies(lounge_map, tmp_path)
    with (
        node_process(NODE, ros_environment, {'map': lounge_map, **PARAMETERS}) as node,
        NodeClient(ros_environment) as client,
    ):
        robot = ChaosCamera(client, frame, camera, random)
        report = Chaos(robot, node.process, maps, truth, random).run(40)
        assert node.stop() == 0
    print('\n'.join(report.lines()))
    assert 'Traceback' not in node.output, node.output
    assert (report.died, report.unanswered, report.wrong, report.silent) == (False, [], 0, 0)
    assert max(report.again_s) < 4.0  # 2 on a machine with time for it
    assert len(report.again_s) == 5
    assert report.poses >= 10
    assert report.transforms >= 10
    kinds = {name.rsplit(', ')[-1] for name in report.steps if name.startswith('good image')}
    assert kinds == {'raw', 'compressed'}
    assert report.maps
