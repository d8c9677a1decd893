"""The localizer node: images in, poses and transforms out."""

from __future__ import annotations

import gc
import sys
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from geometry_msgs.msg import PoseWithCovarianceStamped
from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import ClockChange, JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from std_srvs.srv import SetBool, Trigger

from hloc_localizer.errors import HlocLocalizerError, InputError
from hloc_localizer.freed_memory import return_freed_memory
from hloc_localizer.localization.result import Reason
from hloc_localizer.ros import tf
from hloc_localizer.ros.active_localizer import ActiveLocalizer
from hloc_localizer.ros.configured_localizer import ConfiguredLocalizer
from hloc_localizer.ros.map_loading import LoadedMap, MapLoading
from hloc_localizer.ros.options import LocalizerNodeOptions
from hloc_localizer.ros.parameters import (
    changed_options,
    check_change,
    declare_options,
    read_options,
)
from hloc_localizer.ros.relocalization import NOT_ACTIVE, Relocalization, steady_clock
from hloc_localizer.ros.run_node import run_node
from hloc_localizer.ros.setting_service import SettingService

NODE_NAME = 'hloc_localizer'

_CHANGEABLE = (
    'map', 'localization.', 'track', 'tracking.', 'relocalize_timeout_s', 'stale_after_s',
    'record_failures', 'record_failures_most', 'record_failures_mb',
)  # fmt: skip
"""Parameters, and groups of them (with a dot), that may change while the node is configured."""

_DIAGNOSTICS_PERIOD_S = 1.0
_ADAPT_PERIOD_S = 0.5


class LocalizerNode(LifecycleNode):
    """
    A managed node: configure loads the map, activate starts localizing.

    Errors of a user end a transition with ``FAILURE`` and stay in :attr:`failure`.
    """

    def __init__(self, *, node_name: str = NODE_NAME, **kwargs: Any) -> None:
        """
        Declare the parameters.

        :param kwargs: handed to :class:`rclpy.node.Node`.
        :raises InputError: for a parameter whose value is not allowed.
        """
        super().__init__(node_name, automatically_declare_parameters_from_overrides=True, **kwargs)
        self.exit_status = 0
        self.failure: HlocLocalizerError | None = None
        self._options = declare_options(self, LocalizerNodeOptions())
        self._configured: ConfiguredLocalizer | None = None
        self._active_entities: list[tuple[Any, Any]] = []
        self._loading = MapLoading()
        self._create_services()
        self.add_on_set_parameters_callback(self._judge_parameters)

    def _create_services(self) -> None:
        """Serve in every state: a call must not wait for ever, nor its answer lose its service."""
        # A group of its own: the answer waits for an image, which must be received meanwhile.
        group = ReentrantCallbackGroup()
        relocalization = Relocalization(
            node=self,
            active=lambda: self._active,
            timeout_s=lambda: self._options.relocalize_timeout_s,
        )
        self.create_service(Trigger, '~/relocalize', relocalization.answer, callback_group=group)
        self.create_service(SetBool, '~/enable', self._on_enable, callback_group=group)
        SettingService(self, prepare=self._prepare, done=self._loading.forget)

    @property
    def _active(self) -> ActiveLocalizer | None:
        return None if self._configured is None else self._configured.active

    @property
    def autostart(self) -> bool:
        """Whether the node is to become active by itself."""
        return self._options.autostart

    # Transitions

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the map, warm up, create the publishers."""
        return self._transition(self._configure)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe, serve, localize."""
        result = self._transition(self._activate)
        if result != TransitionCallbackReturn.SUCCESS:
            self._deactivate()
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop localizing and give a GPU's memory back; the map stays loaded."""
        return self._transition(self._deactivate)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of the map."""
        return self._transition(self._cleanup)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of everything."""
        return self._transition(self._cleanup)

    def _transition(self, work: Any) -> TransitionCallbackReturn:
        try:
            work()
        except HlocLocalizerError as error:
            self.failure = error
            self.get_logger().error(str(error))
            return TransitionCallbackReturn.FAILURE
        except Exception:  # rclpy would swallow it without a word
            self.get_logger().error(traceback.format_exc())
            return TransitionCallbackReturn.ERROR
        return TransitionCallbackReturn.SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Clear up after an unexpected error, so that configure can be tried again."""
        self._cleanup()
        return TransitionCallbackReturn.SUCCESS

    def _configure(self) -> None:
        self._options = read_options(self, LocalizerNodeOptions())
        begin = time.monotonic()
        self._configured = ConfiguredLocalizer(self, self._options)
        seconds = time.monotonic() - begin
        self.get_logger().info(f'loaded and warm in {seconds:.2f} s; TF from {tf.IMPLEMENTATION}')

    def _activate(self) -> None:
        assert self._configured is not None
        self._configured.start()
        self._create_active_entities(self._configured)
        topics = ', '.join(self._configured.cameras.image_topics)
        self.get_logger().info(f'localizing images on {topics}')

    def _create_active_entities(self, configured: ConfiguredLocalizer) -> None:
        cameras = configured.cameras
        cameras.listen(self, self._on_image)
        cameras.listen_to_calibrations(self, configured.diagnostics.problem)
        self._add_timer(_ADAPT_PERIOD_S, cameras.adapt)
        self._subscribe(PoseWithCovarianceStamped, 'initialpose', self._on_initial_pose, 1)
        self._add_timer(_DIAGNOSTICS_PERIOD_S, configured.publish_diagnostics)
        if self._options.tf_mode == 'map_to_odom':
            timer = self.create_timer(1.0 / self._options.tf_rate_hz, configured.broadcast)
            self._active_entities.append((self.destroy_timer, timer))
        threshold = JumpThreshold(
            min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=True
        )
        jump = self.get_clock().create_jump_callback(threshold, post_callback=self._on_jump)
        self._active_entities.append((lambda handle: handle.unregister(), jump))

    def _add_timer(self, period_s: float, callback: Callable[[], None]) -> None:
        """Call in steady time, so that a stopped clock is reported too."""
        timer = self.create_timer(period_s, callback, clock=steady_clock())
        self._active_entities.append((self.destroy_timer, timer))

    def _subscribe(self, kind: Any, topic: str, callback: Any, qos: Any) -> None:
        subscription = self.create_subscription(kind, topic, callback, qos)
        self._active_entities.append((self.destroy_subscription, subscription))

    def _deactivate(self) -> None:
        while self._active_entities:
            destroy, entity = self._active_entities.pop()
            destroy(entity)
        if self._configured is not None:
            self._configured.cameras.destroy()
            self._configured.stop()

    def _cleanup(self) -> None:
        self._deactivate()
        if self._configured is not None:
            self._configured.destroy()
        self._configured = None
        gc.collect()  # it is part of circles, and a map is too large to wait until they are found
        return_freed_memory()

    def close(self) -> None:
        """Stop the thread, whatever the state; the process is about to end."""
        if self._configured is not None:
            self._configured.close()

    # Changes at run time

    def _judge_parameters(self, parameters: list[Parameter[Any]]) -> SetParametersResult:
        """Refuse what cannot be, and do at once what can change while the node runs."""
        result = self._check(parameters)
        if not result.successful or self._configured is None:
            return result
        try:
            options = changed_options(self, LocalizerNodeOptions(), parameters)
            self._configured.change(options, self._loading, named=_names_maps(parameters))
            self._options = options
        except HlocLocalizerError as error:
            self.get_logger().error(f'{error}; going on with {self._configured.map.path}')
            return SetParametersResult(successful=False, reason=str(error))
        except Exception as error:  # would end the process: nobody above catches it
            self.get_logger().error(traceback.format_exc())
            reason = f'{Reason.INTERNAL_ERROR.value}: {type(error).__name__}: {error}'
            return SetParametersResult(successful=False, reason=reason)
        return result

    def _check(self, parameters: list[Parameter[Any]]) -> SetParametersResult:
        fixed = '' if self._configured is None else 'deactivate and clean up the node first'
        return check_change(self, LocalizerNodeOptions(), parameters, fixed, _CHANGEABLE)

    def _prepare(self, parameters: list[Parameter[Any]]) -> Future[list[LoadedMap]] | None:
        """Begin to load the maps that a change asks for; None when it asks for none."""
        if self._configured is None or not self._check(parameters).successful:
            return None
        options = changed_options(self, LocalizerNodeOptions(), parameters)
        kept = self._configured.kept_maps(options, named=_names_maps(parameters))
        return None if kept is None else self._loading.begin(options, kept)

    # Callbacks

    def _on_image(self, message: Any, camera: int) -> None:
        if self._active is not None:
            self._active.receive(message, camera)

    def _on_jump(self, jump: TimeJump) -> None:
        if self._active is not None:
            same = jump.clock_change == ClockChange.ROS_TIME_NO_CHANGE
            self._active.begin_anew('time jumped back' if same else 'use_sim_time was changed')

    def _on_initial_pose(self, message: PoseWithCovarianceStamped) -> None:
        if self._active is None:
            return
        assert self._configured is not None
        try:
            self._configured.suppose(message)
            self.get_logger().info('initialpose taken as a prior')
        except InputError as error:
            self.get_logger().warning(f'ignoring an initialpose: {error}')

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        """Stop and resume looking at images; the map stays, ``map -> odom`` until lost."""
        if self._configured is None or self._configured.active is None:
            response.success, response.message = False, NOT_ACTIVE
            return response
        cameras = self._configured.cameras
        if not request.data:
            cameras.ignore()
        elif not cameras.listening:
            cameras.listen(self, self._on_image)
        response.success = True
        response.message = 'localizing' if request.data else 'images are not looked at'
        self._configured.diagnostics.enabled = bool(request.data)
        self.get_logger().info(f'~/enable: {response.message}')
        return response


def _names_maps(parameters: list[Parameter[Any]]) -> bool:
    return any(parameter.name == 'map' for parameter in parameters)


def _start(node: LocalizerNode) -> int | None:
    """Bring the node up if it is to start by itself; an exit status if that fails."""
    if not node.autostart:
        return None
    for transition in (node.trigger_configure, node.trigger_activate):
        if transition() != TransitionCallbackReturn.SUCCESS:
            return node.failure.exit_status if node.failure else 1
    return None


def main(args: list[str] | None = None) -> int:
    """Run the node until it is told to stop; return the exit status."""
    return run_node(LocalizerNode, name=NODE_NAME, start=_start, args=args)


if __name__ == '__main__':
    sys.exit(main())
