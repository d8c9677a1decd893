"""
A localizer node among random transitions, parameters, calls and messages, good and bad.

``python -m benchmarks endurance chaos --map MAP [--images N]``: N random steps, among them damaged
map folders, jumps of ``/clock``, and images raw and compressed, damaged and good. The process must
not die, each call must be answered, and no pose and no ``map -> odom`` may be wrong. Every few
steps the node is brought up with the right map, must localize soon and broadcast ``map -> odom``.
"""

from __future__ import annotations

import itertools
import math
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped, TransformStamped
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rclpy.task import Future
from std_srvs.srv import SetBool, Trigger
from tf2_msgs.msg import TFMessage

from benchmarks.chaos_camera import ChaosCamera
from benchmarks.map_mutations import DamagedCopies
from hloc_localizer.evaluation.metrics import FALSE_FIX_DEG, FALSE_FIX_M
from hloc_localizer.geometry import transforms
from hloc_localizer.ros import messages

ANSWER_S = 20.0
AGAIN_S = 2.0
EPISODE = 10
"""Steps after which the node is brought up again."""

PARAMETERS: dict[str, object] = {
    'tf_mode': 'map_to_odom', 'use_sim_time': True, 'tf_timeout_s': 0.1,
}  # fmt: skip
"""Of the node that the robot of this module needs."""

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
    ('use_sim_time', False),
    ('use_sim_time', True),
    ('use_sim_time', 'perhaps'),
    ('nonsense', True),
)
_TRANSITIONS = (
    Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE,
    Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP,
)  # fmt: skip
_WAY_DOWN = _TRANSITIONS[2:]
_WAY_UP = {
    State.PRIMARY_STATE_UNCONFIGURED: _TRANSITIONS[0],
    State.PRIMARY_STATE_INACTIVE: _TRANSITIONS[1],
}


@dataclass
class ChaosReport:
    """What came of it."""

    steps: Counter[str] = field(default_factory=Counter)
    maps: Counter[str] = field(default_factory=Counter)
    """What became of damaged maps."""
    unanswered: list[str] = field(default_factory=list)
    poses: int = 0
    transforms: int = 0
    """How often ``map -> odom`` was heard."""
    wrong: int = 0
    """Poses and transforms."""
    died: bool = False
    again_s: list[float] = field(default_factory=list)
    """From a good image to being localized, each time that the node was brought up."""
    silent: int = 0
    """How often ``map -> odom`` was not heard then."""

    @property
    def reached(self) -> bool:
        """Whether all that is demanded holds."""
        good = not (self.died or self.unanswered or self.wrong or self.silent)
        return good and max(self.again_s, default=math.inf) < AGAIN_S

    def lines(self) -> list[str]:
        """Return the numbers as text."""
        lines = [
            f'{title}: ' + ', '.join(f'{count} {name}' for name, count in sorted(counts.items()))
            for title, counts in (('steps', self.steps), ('damaged maps', self.maps))
        ]
        again_s = self.again_s or [math.inf]
        again = f'{np.median(again_s):.2f} s, at most {max(again_s):.2f} s'
        return [
            *lines,
            f'died: {self.died}, calls not answered: {len(self.unanswered)} {self.unanswered[:3]}',
            f'poses: {self.poses}, map -> odom: {self.transforms}, wrong: {self.wrong}',
            f'brought up {len(self.again_s)} times, {self.silent} of them without map -> odom',
            f'localized after {again} (target < {AGAIN_S:g})',
        ]


class Chaos:
    """Steps of a seeded random sequence against one node."""

    def __init__(
        self, robot: ChaosCamera, process: subprocess.Popen[Any], maps: DamagedCopies,
        truth: np.ndarray, random: np.random.Generator,
    ) -> None:  # fmt: skip
        """
        Prepare.

        :param robot: publishes images; ``base_link`` is its camera, and ``odom`` is there, too.
        :param process: of the node.
        :param truth: (4, 4) where the image was taken in the map.
        """
        self._robot, self._process, self._maps, self._truth = robot, process, maps, truth
        self._random = random
        self._report = ChaosReport(robot.sent)
        self._transports = itertools.cycle(('compressed', 'raw'))
        self._pending: list[tuple[str, Future[Any]]] = []
        self._node = node = robot.client.node
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
        node.create_subscription(PoseStamped, f'{_NAME}/pose', self._on_pose, 100)
        node.create_subscription(TFMessage, '/tf', self._on_tf, 100)

    def run(self, steps: int) -> ChaosReport:
        """Do so many random steps; before, between and after them bring the node up, localize."""
        robot = self._robot
        actions = (
            self._transition, self._set, self._set, self._set_damaged_map, self._service,
            self._pose, robot.send_calibration, robot.jump, robot.send_bad, robot.send_bad,
        )  # fmt: skip
        for number in range(steps):
            if number % EPISODE == 0:
                self._bring_up()
            self._one_of(actions)()
            for _ in range(int(self._random.integers(4))):
                robot.send_good()
                time.sleep(float(self._random.uniform(0.0, 0.1)))
            if self._process.poll() is not None:
                break
        else:
            self._bring_up()
        self._report.died = self._process.poll() is not None
        return self._report

    def _bring_up(self) -> None:
        """Wait for all answers, bring the node up and localize."""
        for name, future in self._pending:
            self._wait(name, future)
        self._pending.clear()
        self._come_up()
        self._maps.remove()
        if self._process.poll() is None:
            self._localize()

    def _localize(self) -> None:
        """See how long it takes, and whether it leads to ``map -> odom``."""
        before = self._report.transforms
        self._report.again_s.append(self._robot.localized_after_s(ANSWER_S))
        deadline = time.monotonic() + AGAIN_S
        while self._report.transforms == before:
            if time.monotonic() > deadline:
                self._report.silent += 1
                return
            self._robot.send_good()
            time.sleep(0.1)

    def _come_up(self) -> None:
        if len(self._report.again_s) % 2:  # with the other transport, for which it must be down
            for transition in _WAY_DOWN:
                self._wait('down', self._ask_to_change(transition))
            transport = next(self._transports)
            self._wait('set', self._ask_to_set('image_transport', transport))
        for name, value in (
            ('map', str(self._maps.whole)), ('record_failures', ''), ('track', True),
            ('use_sim_time', True),
        ):  # fmt: skip
            self._wait('set', self._ask_to_set(name, value))
        for _ in range(3):
            found = self._wait('get_state', self._call('get_state', GetState.Request()))
            if found is None or found.current_state.id not in _WAY_UP:
                break
            self._wait('up', self._ask_to_change(_WAY_UP[found.current_state.id]))
        if self._wait('enable', self._call('enable', SetBool.Request(data=True))) is not None:
            self._robot.client.wait_for_subscription()

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

    def _set_damaged_map(self) -> None:
        path, damage = self._maps.make(self._random)
        future = self._ask_to_set('map', str(path))
        future.add_done_callback(lambda done: self._note(damage, done))
        self._pending.append((f'set map ({damage})', future))

    def _note(self, damage: str, done: Future[Any]) -> None:
        (found,) = done.result().results
        self._report.maps[f'{"taken" if found.successful else "refused"} ({damage})'] += 1

    def _pose(self) -> None:
        where = np.eye(4)
        where[0, 3] = self._one_of((0.0, 1e6, math.nan, 1e300))
        self._report.steps['initialpose'] += 1
        self._prior.publish(messages.pose_with_covariance_stamped('map', 0, where, np.eye(6)))

    def _on_pose(self, message: PoseStamped) -> None:
        self._report.poses += 1
        self._judge(messages.pose_from_message(message.pose))

    def _on_tf(self, message: TFMessage) -> None:
        one: TransformStamped
        for one in message.transforms:
            if one.child_frame_id == 'odom':
                self._report.transforms += 1
                self._judge(messages.transform_from_message(one.transform))

    def _judge(self, found: np.ndarray) -> None:
        metres, radians = transforms.pose_distance(self._truth, found)
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
