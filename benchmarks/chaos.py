"""
A localizer node among random transitions, parameters, calls and messages, good and bad.

``python -m benchmarks endurance chaos --map MAP [--images N]``: N random steps. The process must
not die, each call must be answered, no pose may be wrong, and at the end the node localizes again.
"""

from __future__ import annotations

import math
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import SetParameters
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.task import Future
from std_srvs.srv import SetBool, Trigger

from benchmarks.node_client import NodeClient
from hloc_localizer.evaluation.metrics import FALSE_FIX_DEG, FALSE_FIX_M
from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.ros import messages
from hloc_localizer.sources import Frame

ANSWER_S = 20.0
AGAIN_S = 2.0
_NAME = '/hloc_localizer'
_CHANGES: tuple[tuple[str, object], ...] = (
    ('map', 'x' * 5000),
    ('map', '~nosuchuser/map'),
    ('map', '/nowhere'),
    ('map', 7),
    ('localization.accept.min_inliers', math.nan),
    ('localization.accept.min_inliers', 15),
    ('localization.accept.min_inliers', 14),
    ('tracking.gate', 'wide'),
    ('tracking.gate', 20.0),
    ('track', False),
    ('track', True),
    ('record_failures', '/proc/nowhere'),
    ('stale_after_s', -1.0),
    ('nonsense', True),
)
_TRANSITIONS = (
    Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE,
    Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP,
)  # fmt: skip
_WAY_UP = {
    State.PRIMARY_STATE_UNCONFIGURED: _TRANSITIONS[0],
    State.PRIMARY_STATE_INACTIVE: _TRANSITIONS[1],
}


@dataclass
class ChaosReport:
    """What came of it."""

    steps: Counter[str] = field(default_factory=Counter)
    unanswered: list[str] = field(default_factory=list)
    poses: int = 0
    wrong: int = 0
    died: bool = False
    again_s: float = math.inf
    """From a good image to being localized, at the end."""

    @property
    def reached(self) -> bool:
        """Whether all that is demanded holds."""
        return not (self.died or self.unanswered or self.wrong) and self.again_s < AGAIN_S

    def line(self) -> str:
        """Return the numbers as text."""
        steps = ', '.join(f'{count} {name}' for name, count in sorted(self.steps.items()))
        return (
            f'{steps}; died: {self.died}, calls not answered: {len(self.unanswered)} '
            f'{self.unanswered[:3]}, poses: {self.poses}, wrong: {self.wrong}; localized again '
            f'after {self.again_s:.2f} s (target < {AGAIN_S:g})'
        )


class Chaos:
    """Steps of a seeded random sequence against one node, one image of whose place is known."""

    def __init__(
        self, client: NodeClient, node: Node, process: subprocess.Popen[Any],
        frame: Frame, camera: Camera, truth: np.ndarray, seed: int = 0,
    ) -> None:  # fmt: skip
        """
        Prepare.

        :param client: publishes images; ``base_link`` is its camera.
        :param node: a node that is spun, for the calls.
        :param truth: (4, 4) where the frame was taken in the map.
        """
        self._client, self._node, self._process = client, node, process
        self._frame, self._camera, self._truth = frame, camera, truth
        self._random = np.random.default_rng(seed)
        self._report = ChaosReport()
        self._pending: list[tuple[str, Future[Any]]] = []
        self._clients = {
            name: node.create_client(kind, f'{_NAME}/{name}')
            for kind, name in (
                (ChangeState, 'change_state'), (GetState, 'get_state'),
                (SetParameters, 'set_parameters'), (Trigger, 'relocalize'), (SetBool, 'enable'),
            )
        }  # fmt: skip
        for one in self._clients.values():
            one.wait_for_service(timeout_sec=ANSWER_S)
        self._prior = node.create_publisher(PoseWithCovarianceStamped, 'initialpose', 1)
        node.create_subscription(PoseStamped, f'{_NAME}/pose', self._judge, 100)

    def run(self, steps: int, folder: Path) -> ChaosReport:
        """
        Do so many random steps, then bring the node up and localize.

        :param folder: of the map that is right.
        """
        actions = (self._transition, self._set, self._service, self._image, self._info, self._pose)
        for _ in range(steps):
            actions[int(self._random.integers(len(actions)))]()
            time.sleep(float(self._random.uniform(0.0, 0.1)))
            if self._process.poll() is not None:
                self._report.died = True
                return self._report
        for name, future in self._pending:
            self._wait(name, future)
        self._come_up(folder)
        self._client.send_camera_info(self._camera)
        begin = time.monotonic()
        if self._client.localized(self._frame.image, ANSWER_S):
            self._report.again_s = time.monotonic() - begin
        self._report.died = self._process.poll() is not None
        return self._report

    def _come_up(self, folder: Path) -> None:
        for name, value in (('map', str(folder)), ('track', True)):
            self._wait('set', self._ask_to_set(name, value))
        for _ in range(3):
            found = self._wait('get_state', self._call('get_state', GetState.Request()))
            if found is None or found.current_state.id not in _WAY_UP:
                break
            self._wait('up', self._ask_to_change(_WAY_UP[found.current_state.id]))
        self._wait('enable', self._call('enable', SetBool.Request(data=True)))
        self._client.wait_for_subscription()

    def _transition(self) -> None:
        future = self._ask_to_change(self._one_of(_TRANSITIONS))
        self._pending.append(('change_state', future))

    def _ask_to_change(self, transition: int) -> Future[Any]:
        request = ChangeState.Request(transition=Transition(id=transition))
        return self._call('change_state', request)

    def _set(self) -> None:
        name, value = self._one_of(_CHANGES)
        self._pending.append((f'set {name}', self._ask_to_set(name, value)))

    def _ask_to_set(self, name: str, value: object) -> Future[Any]:
        message = Parameter(name, value=value).to_parameter_msg()
        return self._call('set_parameters', SetParameters.Request(parameters=[message]))

    def _service(self) -> None:
        if self._random.integers(2):
            future = self._call('relocalize', Trigger.Request())
        else:
            future = self._call('enable', SetBool.Request(data=bool(self._random.integers(4))))
        self._pending.append(('service', future))

    def _image(self) -> None:
        kind = int(self._random.integers(5))
        now_ns = time.time_ns()
        stamp_ns = (now_ns, now_ns, 0, now_ns - 10**10, now_ns - 3 * 10**8)[kind]
        pixels = self._frame.image[: 100 if kind == 1 else None]
        self._report.steps['image'] += 1
        self._client.send(pixels, stamp_ns)

    def _info(self) -> None:
        wrong = self._camera.scaled(64, 48)
        self._report.steps['camera_info'] += 1
        self._client.send_camera_info(wrong if self._random.integers(2) else self._camera)

    def _pose(self) -> None:
        where = np.eye(4)
        where[0, 3] = self._one_of((0.0, 1e6, math.nan, 1e300))
        self._report.steps['initialpose'] += 1
        self._prior.publish(messages.pose_with_covariance_stamped('map', 0, where, np.eye(6)))

    def _judge(self, message: PoseStamped) -> None:
        self._report.poses += 1
        metres, radians = transforms.pose_distance(
            self._truth, messages.pose_from_message(message.pose)
        )
        self._report.wrong += bool(metres > FALSE_FIX_M or np.degrees(radians) > FALSE_FIX_DEG)

    def _call(self, name: str, request: Any) -> Future[Any]:
        self._report.steps[name] += 1
        return self._clients[name].call_async(request)

    def _wait(self, name: str, future: Future[Any]) -> Any:
        deadline = time.monotonic() + ANSWER_S
        while not future.done():
            if time.monotonic() > deadline or self._process.poll() is not None:
                self._report.unanswered.append(name)
                return None
            time.sleep(0.01)
        return future.result()

    def _one_of(self, values: Any) -> Any:
        return values[int(self._random.integers(len(values)))]
