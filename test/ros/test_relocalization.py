"""The service ``~/relocalize``: only what the whole map gives for a later image is a success."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

rclpy = pytest.importorskip('rclpy', reason='needs ROS 2')
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from robot import CAMERA_FRAME, Odometry, Robot, robot_with_node
from ros_process import wait_until
from sensor_msgs.msg import CameraInfo
from std_srvs.srv import Trigger

from hloc_localizer.geometry.camera import Camera
from hloc_localizer.ros import image_bridge, messages
from hloc_localizer.ros.active_localizer import ActiveLocalizer
from hloc_localizer.ros.frame_result import FrameResult
from hloc_localizer.ros.localizer import LocalizerNode
from hloc_localizer.sources import Frame
from hloc_localizer.sources.camera_info import ros_calibration


def test_what_is_found_only_near_the_prediction_is_no_success(
    lounge_map: Path, frame_and_camera: tuple[Frame, Camera], ros_environment: dict[str, str]
) -> None:
    with robot_with_node(ros_environment, *frame_and_camera, map=lounge_map) as robot:
        odometry = Odometry(robot.client)
        assert robot.answer_to(robot.image())['status'] == 'localized'
        answers: list[Any] = []
        for pixels, success, said in (
            (_piece_of(robot.frame.image), False, 'the whole map gave no pose; '),
            (robot.frame.image, True, 'localized with '),
        ):
            asking = threading.Thread(target=lambda: answers.append(_ask(robot)))
            asking.start()
            time.sleep(0.5)
            # The stream takes the pose, whatever the person who asked is told.
            assert robot.answer_to(robot.image(pixels))['status'] == 'localized'
            asking.join(5.0)
            assert answers[-1].success is success
            assert answers[-1].message.startswith(said)
        assert len(answers) == 2
        del odometry


def _ask(robot: Robot) -> Any:
    return robot.client.call(Trigger, '/hloc_localizer/relocalize', Trigger.Request())


def _piece_of(image: np.ndarray) -> np.ndarray:
    """Return the middle of an image on grey: too small a part to know a place by."""
    height, width = image.shape[:2]
    inner = np.s_[int(0.3 * height) : int(0.7 * height), int(0.3 * width) : int(0.7 * width)]
    piece = np.full_like(image, 128)
    piece[inner] = image[inner]
    return piece


class _Tracked:
    """A node in this process that nobody spins; images are handed to it, and can be held up."""

    def __init__(self, node: LocalizerNode, frame: Frame, camera: Camera) -> None:
        assert node._configured is not None
        assert node._active is not None
        calibration = ros_calibration(camera)
        info = CameraInfo(width=camera.width, height=camera.height, k=list(calibration.k))
        info.distortion_model, info.d = calibration.distortion_model, list(calibration.d)
        assert node._configured.cameras.inputs[0].update(info) == ''
        tree = node._configured._around.transforms
        tree.lookup = lambda *_: np.eye(4)  # type: ignore[method-assign]
        self.active: ActiveLocalizer = node._active
        self.results: list[FrameResult] = []
        self.begun = 0
        self.goes_on = threading.Event()
        self.goes_on.set()
        self._frame, self._stamp_ns = frame, time.time_ns()
        self._process = self.active._processor.process
        self.active._processor.process = self._watched  # type: ignore[method-assign]

    def _watched(self, *given: Any) -> FrameResult:
        self.begun += 1
        self.goes_on.wait(10.0)
        self.results.append(self._process(*given))
        return self.results[-1]

    def receive(self) -> None:
        """Hand over the image as one that was taken a little later than the last."""
        self._stamp_ns += 20_000_000
        header = messages.header(CAMERA_FRAME, self._stamp_ns)
        self.active.receive(image_bridge.encode_image(self._frame.image, header))

    def searched_everywhere(self, count: int) -> list[bool]:
        """Wait for so many results, and return for which the whole map was searched."""
        wait_until(lambda: len(self.results) == count, 10.0, f'result {count}')
        searches = [one.recorded.search for one in self.results if one.recorded is not None]
        assert all(one.localized for one in self.results)
        return [search.everywhere for search in searches if search is not None]


@pytest.fixture
def tracked(
    lounge_map: Path, frame_and_camera: tuple[Frame, Camera], ros_environment: dict[str, str]
) -> Iterator[_Tracked]:
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=int(ros_environment['ROS_DOMAIN_ID']))
    overrides = [Parameter('map', value=str(lounge_map))]
    node = LocalizerNode(context=context, parameter_overrides=overrides)
    try:
        for transition in (node.trigger_configure, node.trigger_activate):
            assert transition() == TransitionCallbackReturn.SUCCESS
        yield _Tracked(node, *frame_and_camera)
    finally:
        node.close()
        node.destroy_node()
        rclpy.shutdown(context=context)


def test_an_image_that_waits_when_the_call_comes_does_not_take_its_search(
    tracked: _Tracked,
) -> None:
    for count in (1, 2):
        tracked.receive()
        assert tracked.searched_everywhere(count) == [True, False][:count]
    tracked.goes_on.clear()
    tracked.receive()
    wait_until(lambda: tracked.begun == 3, 5.0, 'an image in work')
    tracked.receive()
    awaited = tracked.active.next_result()
    tracked.goes_on.set()
    assert tracked.searched_everywhere(4) == [True, False, False, False]
    assert not awaited.done()
    tracked.receive()
    assert tracked.searched_everywhere(5) == [True, False, False, False, True]
    reduced = [one.recorded.search.quick for one in tracked.results]
    assert reduced == [False, True, True, True, False]
    assert awaited.result(5.0) is not None
    assert awaited.result().stamp_ns == tracked.results[-1].stamp_ns
    tracked.receive()
    assert tracked.searched_everywhere(6)[-1] is False
