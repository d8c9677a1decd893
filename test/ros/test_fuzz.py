"""The fuzzers and long runs of the benchmarks, in small."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2')
from robot import NODE
from ros_process import node_process

from benchmarks import endurance, long_run
from benchmarks.fuzz import Truth, fuzz_maps, fuzz_messages
from benchmarks.node_client import Camera30, NodeClient
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.localization import Localizer
from hloc_localizer.maps import Map
from hloc_localizer.ros import environment
from hloc_localizer.sources import Frame


@pytest.fixture(scope='module')
def truth(shared_data: Path) -> Truth:
    return Truth.of(shared_data / 'data' / 'lounge' / 'query')


def test_mutated_messages_neither_crash_nor_mislead(lounge_map: Path, truth: Truth) -> None:
    outcome = fuzz_messages(Localizer(Map.load(lounge_map)), truth, 80, seed=100)
    assert outcome.failures == []
    assert sum(outcome.counts.values()) >= 80
    assert {'alone, localized', 'tracked, localized', 'alone, refused: no intrinsics'} <= {
        *outcome.counts
    }
    # Every fourth is of two cameras, of which one often has to do without the other.
    two = Counter({what: n for what, n in outcome.counts.items() if 'of two' in what})
    assert sum(two.values()) == 20
    assert sum(n for what, n in two.items() if '1 of two, localized' in what) >= 4
    assert sum(n for what, n in two.items() if '2 of two, localized' in what) >= 2


def test_mutated_maps_neither_crash_nor_mislead(lounge_map: Path, truth: Truth) -> None:
    outcome = fuzz_maps(lounge_map, truth, 40, seed=100)
    assert outcome.failures == []
    assert outcome.counts['refused'] > 15


def test_images_of_other_places_give_no_pose(lounge_map: Path, shared_data: Path) -> None:
    localizer = Localizer(Map.load(lounge_map))
    camera = localizer.map.runtime.cameras[0]
    photographs: Sequence[np.ndarray] = [
        cv2.imread(str(path)) for path in sorted((shared_data / 'data/facade/images').iterdir())[:5]
    ]
    for number in range(30):
        image = endurance.foreign_image(photographs, camera, number)
        assert not localizer.localize(image, camera).localized


def test_memory_stays_and_no_image_is_lost(
    lounge_map: Path, truth: Truth, frame_and_camera: tuple[Frame, Camera]
) -> None:
    _, camera = frame_and_camera
    frames = [frame for run in truth.runs[:2] for frame in run]
    views = long_run.reduced(frames, 0.4)
    height, width = views[0][0].shape[:2]
    with environment.isolated() as variables:
        parameters: dict[str, object] = {'map': lounge_map, 'use_sim_time': True}
        with (
            node_process(NODE, variables, parameters) as process,
            NodeClient(variables) as client,
        ):
            client.send_camera_info(camera.scaled(width, height))
            found = long_run.run(client, process.process.pid, views, 300)
    print(found.line())
    assert found.answered >= 299
    assert found.localized >= 150
    assert found.growth_mb < long_run.GROWTH_MB


@pytest.mark.alone
def test_the_newest_image_is_always_used(
    lounge_map: Path, frame_and_camera: tuple[Frame, Camera]
) -> None:
    frame, camera = frame_and_camera
    with environment.isolated() as variables:
        parameters: dict[str, object] = {'map': lounge_map, 'tf_mode': 'none', 'tf_timeout_s': 0.5}
        with node_process(NODE, variables, parameters), NodeClient(variables) as client:
            client.send_camera_info(camera)
            assert client.localized(frame.image, 10.0)
            report = Camera30(client, [(frame.image, np.eye(4))], 30.0).play(90)
            print('\n'.join(report.lines()))
            # With a backlog, in three seconds all but the first few would be late; on a busy
            # machine some are late although there is none.
            assert len(report.answers) >= 5
            assert report.late <= 0.5 * len(report.answers)


@pytest.mark.alone
def test_a_killed_node_is_localized_again_at_once(
    lounge_map: Path, frame_and_camera: tuple[Frame, Camera]
) -> None:
    frame, camera = frame_and_camera
    with environment.isolated() as variables:
        for kill in (True, False):
            with (
                node_process(NODE, variables, {'map': lounge_map, 'tf_mode': 'none'}) as process,
                NodeClient(variables) as client,
            ):
                client.send_camera_info(camera)
                begin = time.monotonic()
                assert client.localized(frame.image, 10.0)
                assert time.monotonic() - begin < 4.0  # 2 on a machine with time for it
                if kill:
                    assert process.stop(signal.SIGKILL) == -signal.SIGKILL
