"""A map whose unit is not the metre is localized in only by who says that units will do."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

pytest.importorskip('rclpy', reason='needs ROS 2')
from robot import NODE, STARTING_S, robot_with_node
from ros_process import node_process, wait_until

from hloc_localizer.geometry.camera import Camera
from hloc_localizer.maps import Map, write_map
from hloc_localizer.sources import Frame


@pytest.fixture(scope='module')
def unscaled_map(lounge_map: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    loaded = Map.load(lounge_map)
    output = tmp_path_factory.mktemp('maps') / 'unscaled'
    write_map(output, dataclasses.replace(loaded.manifest, metric=False), loaded.runtime)
    return output


def test_no_metres_come_of_a_map_without_scale(
    unscaled_map: Path, ros_environment: dict[str, str]
) -> None:
    with node_process(NODE, ros_environment, {'map': unscaled_map}) as process:
        assert process.wait(STARTING_S) == 2
    (line,) = process.output.strip().splitlines()
    assert 'the map is not metric: one unit of it is not one metre' in line
    assert line.endswith("or say that units will do: parameter 'allow_unscaled'")


def test_whoever_allows_it_gets_poses_in_units(
    unscaled_map: Path,
    frame_and_camera: tuple[Frame, Camera],
    ros_environment: dict[str, str],
) -> None:
    parameters: dict[str, object] = {'map': unscaled_map, 'allow_unscaled': True}
    with robot_with_node(ros_environment, *frame_and_camera, **parameters) as robot:
        assert robot.answer_to(robot.image())['status'] == 'localized'
        wait_until(lambda: len(robot.poses), 2.0, 'a pose')
