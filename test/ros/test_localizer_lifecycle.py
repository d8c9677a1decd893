"""What the localizer node holds, serves and lets go of in each state of its life cycle."""

from __future__ import annotations

import shutil
import weakref
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

rclpy = pytest.importorskip('rclpy', reason='needs ROS 2')
from changed_maps import other_floor
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from robot import NODE, STARTING_S
from ros_process import Client, clean_node_process, wait_until
from std_srvs.srv import SetBool, Trigger

from hloc_localizer.geometry.camera import Camera
from hloc_localizer.localization.mounted_image import MountedImage
from hloc_localizer.ros.frame_result import CameraView, FrameResult
from hloc_localizer.ros.localizer import LocalizerNode
from hloc_localizer.sources import Frame

RELOCALIZE, ENABLE = '/hloc_localizer/relocalize', '/hloc_localizer/enable'


@contextmanager
def _node(environment: dict[str, str], **values: object) -> Iterator[LocalizerNode]:
    """Make a node in this process; nobody spins it."""
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=int(environment['ROS_DOMAIN_ID']))
    overrides = [Parameter(name, value=str(value)) for name, value in values.items()]
    node = LocalizerNode(context=context, parameter_overrides=overrides)
    try:
        yield node
    finally:
        node.close()
        node.destroy_node()
        rclpy.shutdown(context=context)


def _bring_up(node: LocalizerNode) -> None:
    for transition in (node.trigger_configure, node.trigger_activate):
        assert transition() == TransitionCallbackReturn.SUCCESS


def test_cleaning_up_frees_the_map(lounge_map: Path, module_environment: dict[str, str]) -> None:
    with _node(module_environment, map=lounge_map) as node:
        for _ in range(2):
            _bring_up(node)
            assert node._configured is not None
            loaded = node._configured.floors.present
            held = [weakref.ref(loaded.localizer), weakref.ref(loaded.map.runtime)]
            del loaded
            assert all(one() is not None for one in held)
            assert node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
            assert node.trigger_cleanup() == TransitionCallbackReturn.SUCCESS
            assert [one() for one in held] == [None, None]


def test_an_inactive_node_keeps_no_network_also_after_another_map_was_loaded(
    lounge_map: Path,
    module_environment: dict[str, str],
    frame_and_camera: tuple[Frame, Camera],
    tmp_path: Path,
) -> None:
    """What a closed localizer lets go of is tested with the front ends."""
    other = tmp_path / 'other'
    shutil.copytree(lounge_map, other)
    frame, camera = frame_and_camera
    with _node(module_environment, map=lounge_map) as node:
        _bring_up(node)
        assert node._configured is not None
        first = node._configured.floors.present.localizer
        assert first.localize(frame.image, camera).localized
        assert node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
        assert first.closed
        assert node.set_parameters([Parameter('map', value=str(other))])[0].successful
        second = node._configured.floors.present.localizer
        assert second is not first
        assert second.closed
        assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
        assert not second.closed
        assert second.localize(frame.image, camera).localized


def test_maps_that_are_gone_are_not_changed_to(
    lounge_map: Path,
    module_environment: dict[str, str],
    frame_and_camera: tuple[Frame, Camera],
    tmp_path: Path,
) -> None:
    """Images speak for the second of two maps while a person asks for another one."""
    floors = (other_floor(lounge_map, tmp_path / 'floor_1', 'floor_1'), lounge_map)
    third = tmp_path / 'floor_3'
    shutil.copytree(lounge_map, third)
    with _node(module_environment, map=f'{floors[0]},{floors[1]}') as node:
        _bring_up(node)
        executor = SingleThreadedExecutor(context=node.context)
        executor.add_node(node)
        assert node._configured is not None
        before = node._configured.floors
        result = _result_in(before.present.localizer, frame_and_camera)
        for _ in range(4):
            before.look(result)
        assert before.found_another == 1
        assert node.set_parameters([Parameter('map', value=str(third))])[0].successful
        for _ in range(5):
            executor.spin_once(timeout_sec=0.05)
        executor.shutdown()
        assert node._configured.map.path == third
        assert node._active is not None


def _result_in(localizer: Any, frame_and_camera: tuple[Frame, Camera]) -> FrameResult:
    frame, camera = frame_and_camera
    mounted = MountedImage(frame.image, camera, np.eye(4), 'image')
    return FrameResult(
        frame.stamp_ns,
        localization=localizer.localize(frame.image, camera),
        views=(CameraView(mounted, 'camera'),),
    )


@pytest.fixture(scope='module')
def manager(
    lounge_map: Path, module_environment: dict[str, str]
) -> Iterator[tuple[Client, Callable[[int], bool]]]:
    """Yield a client and what changes the state of an unconfigured node."""
    # On a busy machine a call must not end by its own timeout before the node is stopped.
    parameters = {'map': lounge_map, 'autostart': False, 'relocalize_timeout_s': 60.0}
    with (
        closing(Client(module_environment)) as client,
        clean_node_process(NODE, module_environment, parameters),
    ):

        def change(transition: int) -> bool:
            request = ChangeState.Request(transition=Transition(id=transition))
            response = client.call(ChangeState, '/hloc_localizer/change_state', request, STARTING_S)
            return bool(response.success)

        yield client, change


def test_calls_of_a_node_that_is_not_active_are_answered(
    manager: tuple[Client, Callable[[int], bool]],
) -> None:
    client, change = manager
    for transition in (None, Transition.TRANSITION_CONFIGURE):
        assert transition is None or change(transition)
        for kind, name in ((Trigger, RELOCALIZE), (SetBool, ENABLE)):
            answer = client.call(kind, name, kind.Request(), STARTING_S)
            assert (answer.success, answer.message) == (False, 'the node is not active')
    assert change(Transition.TRANSITION_CLEANUP)


@pytest.mark.parametrize(
    'ending',
    [
        (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP),
        (Transition.TRANSITION_ACTIVE_SHUTDOWN,),
    ],
    ids=['deactivated', 'shut down'],
)
def test_a_call_that_waits_is_answered_when_the_node_stops(
    manager: tuple[Client, Callable[[int], bool]], ending: tuple[int, ...]
) -> None:
    client, change = manager
    assert change(Transition.TRANSITION_CONFIGURE)
    assert change(Transition.TRANSITION_ACTIVATE)
    asked = client.node.create_client(Trigger, RELOCALIZE)
    assert asked.wait_for_service(timeout_sec=STARTING_S)
    future = asked.call_async(Trigger.Request())
    enabled = client.call(SetBool, ENABLE, SetBool.Request(data=True))
    assert enabled.success  # so that the other call has arrived, too
    assert not future.done()
    for transition in ending:
        assert change(transition)
    wait_until(future.done, 2.0, 'the answer')
    assert not future.result().success
    assert future.result().message == 'the node was deactivated, or its map changed'
