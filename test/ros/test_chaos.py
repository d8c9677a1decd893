"""The node among random transitions, parameters, calls and messages; in full by a benchmark."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2')
from robot import NODE
from ros_process import node_process

from benchmarks.chaos import Chaos
from benchmarks.node_client import NodeClient
from hloc_localizer.evaluation import References
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.sources import Frame


def test_the_node_survives_chaos_and_localizes_again(
    lounge_map: Path,
    shared_data: Path,
    frame_and_camera: tuple[Frame, Camera],
    ros_environment: dict[str, str],
) -> None:
    frame, camera = frame_and_camera
    truth = References.read(shared_data / 'data' / 'lounge' / 'query.camera.tum').find(frame)
    assert truth is not None
    parameters: dict[str, object] = {'map': lounge_map, 'tf_mode': 'none'}
    with (
        node_process(NODE, ros_environment, parameters) as node,
        NodeClient(ros_environment) as client,
    ):
        chaos = Chaos(client, client.node, node.process, frame, camera, truth)
        report = chaos.run(60, lounge_map)
    print(report.line())
    assert (report.died, report.unanswered, report.wrong) == (False, [], 0)
    assert report.again_s < 4.0  # 2 on a machine with time for it
