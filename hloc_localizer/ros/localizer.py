"""The localizer node: images in, poses and transforms out."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

from geometry_msgs.msg import PoseWithCovarianceStamped
from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import JumpThreshold
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from std_srvs.srv import SetBool, Trigger

from hloc_localizer.errors import HlocLocalizerError, InputError
from hloc_localizer.localization.map_choice import MapChoice
from hloc_localizer.localization.result import Reason
from hloc_localizer.maps import Map
from hloc_localizer.ros import tf
from hloc_localizer.ros.active_localizer import ActiveLocalizer
from hloc_localizer.ros.assembly import Parts, Surroundings, assemble
from hloc_localizer.ros.cameras import Cameras
from hloc_localizer.ros.diagnostics import Diagnostics
from hloc_localizer.ros.failure_recorder import failure_recorder
from hloc_localizer.ros.frame_result import FrameResult
from hloc_localizer.ros.map_loading import LoadedMap, load_maps, load_meanwhile
from hloc_localizer.ros.options import LocalizerNodeOptions
from hloc_localizer.ros.parameters import (
    changed_options,
    check_change,
    declare_options,
    read_options,
)
from hloc_localizer.ros.publishers import LocalizerPublishers
from hloc_localizer.ros.relocalization import Relocalization, steady_clock
from hloc_localizer.ros.run_node import run_node
from hloc_localizer.ros.transform_lookup import TransformTree

NODE_NAME = 'hloc_localizer'

_CHANGEABLE = (
    'map', 'localization.', 'track', 'relocalize_timeout_s', 'stale_after_s', 'record_failures',
)  # fmt: skip
"""Parameters, and beginnings of their names, that may change while the node is configured."""

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
        self._loaded: list[LoadedMap] = []
        self._present = self._found = 0
        self._parts: Parts | None = None
        self._active_entities: list[tuple[Any, Any]] = []
        self._map_found = self.create_guard_condition(self._change_floor)
        self.add_on_set_parameters_callback(self._judge_parameters)

    @property
    def _map(self) -> Map | None:
        return self._loaded[self._present].map if self._loaded else None

    @property
    def _active(self) -> ActiveLocalizer | None:
        return None if self._parts is None else self._parts.active

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
        return self._transition(self._activate)

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
        self._cameras = Cameras(self._options, self.resolve_topic_name)
        failure_recorder(self._options, '')  # fails now rather than at the first failure
        begin = time.monotonic()
        maps = load_maps(self._options)
        loaded = maps[0].map
        self._outputs = LocalizerPublishers(
            node=self,
            runtime=loaded.runtime,
            map_frame=self._map_frame_of(loaded),
            path_length=self._options.path_length,
        )
        self._broadcaster = tf.TransformBroadcaster(self)
        self._transforms = TransformTree(self)
        self._loaded, self._present = maps, 0
        self._log_maps(time.monotonic() - begin)

    def _activate(self) -> None:
        for loaded in self._loaded:
            if loaded.localizer.closed:
                loaded.localizer.warm_up()
        self._diagnostics = Diagnostics(
            name=self.get_name(), stale_after_s=self._options.stale_after_s
        )
        self._outputs.publish_map()
        self._start_localizing()
        self._create_active_entities()
        topics = ', '.join(self._cameras.image_topics)
        self.get_logger().info(f'localizing images on {topics}')

    def _start_localizing(self) -> None:
        """Begin without any knowledge of where the robot is."""
        around = Surroundings(
            node=self,
            cameras=self._cameras,
            transforms=self._transforms,
            publishers=self._outputs,
            diagnostics=self._diagnostics,
            send_transform=self._broadcaster.sendTransform,
        )
        present = self._loaded[self._present]
        self._choice = MapChoice([one.localizer for one in self._loaded], self._present)
        self._parts = assemble(
            around,
            self._options,
            present,
            self._map_frame_of(present.map),
            self._look_elsewhere if len(self._loaded) > 1 else None,
        )

    def _create_active_entities(self) -> None:
        self._cameras.listen(self, self._on_image)
        self._cameras.listen_to_calibrations(self, self._on_calibration)
        self._add_timer(_ADAPT_PERIOD_S, self._cameras.adapt)
        self._subscribe(PoseWithCovarianceStamped, 'initialpose', self._on_initial_pose, 1)
        # A group of its own: the answer waits for an image, which must be received meanwhile.
        group = ReentrantCallbackGroup()
        relocalization = Relocalization(
            node=self,
            active=lambda: self._active,
            timeout_s=lambda: self._options.relocalize_timeout_s,
        )
        for kind, name, callback in (
            (Trigger, '~/relocalize', relocalization.answer),
            (SetBool, '~/enable', self._on_enable),
        ):
            service = self.create_service(kind, name, callback, callback_group=group)
            self._active_entities.append((self.destroy_service, service))
        self._add_timer(_DIAGNOSTICS_PERIOD_S, self._on_diagnostics)
        if self._options.tf_mode == 'map_to_odom':
            timer = self.create_timer(1.0 / self._options.tf_rate_hz, self._broadcast)
            self._active_entities.append((self.destroy_timer, timer))
        threshold = JumpThreshold(
            min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=False
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
        if self._loaded:
            self._cameras.destroy(self)
        self.close()
        for loaded in self._loaded:
            loaded.localizer.close()

    def _cleanup(self) -> None:
        self._deactivate()
        if self._map is not None:
            self._outputs.destroy()
            self._transforms.close()
            self.destroy_publisher(self._broadcaster.pub_tf)
        self._loaded = []

    def close(self) -> None:
        """Stop the thread, whatever the state; the process is about to end."""
        if self._parts is not None:
            self._parts.active.close()
            self._parts = None

    # Changes at run time

    def _judge_parameters(self, parameters: list[Parameter[Any]]) -> SetParametersResult:
        """Refuse what cannot be, and do at once what can change while the node runs."""
        fixed = '' if self._map is None else 'deactivate and clean up the node first'
        result = check_change(self, LocalizerNodeOptions(), parameters, fixed, _CHANGEABLE)
        if not result.successful or self._map is None:
            return result
        try:
            self._change(changed_options(self, LocalizerNodeOptions(), parameters))
        except HlocLocalizerError as error:
            self.get_logger().error(f'{error}; going on with {self._map.path}')
            return SetParametersResult(successful=False, reason=str(error))
        except Exception as error:  # would end the process: nobody above catches it
            self.get_logger().error(traceback.format_exc())
            reason = f'{Reason.INTERNAL_ERROR.value}: {type(error).__name__}: {error}'
            return SetParametersResult(successful=False, reason=reason)
        return result

    def _change(self, options: LocalizerNodeOptions) -> None:
        """Take over options; until a new map is loaded and warm the old one stays in use."""
        assert self._map is not None
        before = self._options
        recorder = failure_recorder(options, str(self._map.path))
        if options.map != before.map or options.localization != before.localization:
            begin = time.monotonic()
            again = self._loaded if options.map == before.map else []
            maps = load_meanwhile(options, again, self._broadcast, 1.0 / before.tf_rate_hz)
            was_active = self._active is not None
            self.close()
            for old in self._loaded:
                old.localizer.close()
            self._options, self._loaded, self._present = options, maps, 0
            self._begin_in_map(was_active)
            self._log_maps(time.monotonic() - begin)
        elif (options.track, options.tracking) != (before.track, before.tracking):
            self._options = options
            if self._active is not None:
                self.close()
                self._start_localizing()
        self._options = options
        if self._active is not None:
            self._diagnostics.stale_after_s = options.stale_after_s
            self._active.recorder = recorder

    def _begin_in_map(self, was_active: bool) -> None:
        """Show the present map, and localize in it."""
        assert self._map is not None
        self._outputs.change_map(self._map.runtime, self._map_frame_of(self._map))
        if was_active:
            self._outputs.publish_map()
            self._start_localizing()

    def _look_elsewhere(self, result: FrameResult) -> str:
        """Ask the other maps, in the localizing thread; the executor's thread then changes over."""
        if result.localization is None:
            return ''
        images = [view.mounted for view in result.views]
        verdict = self._choice.look(images, result.localization, has_pose=result.localized)
        if verdict.change_to is not None:
            self._found = verdict.change_to
            self._map_found.trigger()
        return verdict.doubt

    def _change_floor(self) -> None:
        if self._active is None or self._found == self._present:
            return
        self.close()
        self._present = self._found
        self._begin_in_map(True)
        assert self._map is not None
        self.get_logger().info(f'found in another map: {self._map.path}')

    def _broadcast(self) -> None:
        if self._parts is not None and self._options.tf_mode == 'map_to_odom':
            self._parts.map_to_odom.broadcast()

    def _map_frame_of(self, loaded: Map) -> str:
        return self._options.map_frame or loaded.manifest.map_frame

    def _log_maps(self, seconds: float) -> None:
        for loaded in self._loaded:
            self.get_logger().info(loaded.line())
        self.get_logger().info(f'loaded and warm in {seconds:.2f} s; TF from {tf.IMPLEMENTATION}')

    # Callbacks

    def _on_image(self, message: Any, camera: int) -> None:
        if self._active is not None:
            self._active.receive(message, camera)

    def _on_jump(self, _: object) -> None:
        if self._active is not None:
            self._active.time_jumped_back()

    def _on_calibration(self, topic: str, problem: str) -> None:
        self._diagnostics.problem(topic, problem)

    def _on_initial_pose(self, message: PoseWithCovarianceStamped) -> None:
        if self._parts is None:
            return
        try:
            self._parts.initial_pose.set(message)
            self._choice.settle()
            self.get_logger().info('initialpose taken as a prior')
        except InputError as error:
            self.get_logger().warning(f'ignoring an initialpose: {error}')

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        """Stop and resume looking at images; the map stays loaded, ``map -> odom`` goes on."""
        if not request.data:
            self._cameras.ignore()
        elif not self._cameras.listening:
            self._cameras.listen(self, self._on_image)
        response.success = True
        response.message = 'localizing' if request.data else 'images are not looked at'
        self._diagnostics.enabled = bool(request.data)
        self.get_logger().info(f'~/enable: {response.message}')
        return response

    def _on_diagnostics(self) -> None:
        if self._parts is None or self._map is None:
            return
        facts = self._loaded[self._present].facts()
        facts.update(frame=self._map_frame_of(self._map), maps=len(self._loaded))
        age_s = self._parts.map_to_odom.age_s
        if age_s is not None:
            facts['map_to_odom_age_s'] = age_s
        array = self._diagnostics.array(
            stamp_ns=self.get_clock().now().nanoseconds,
            image_topics=self._cameras.image_topics,
            dropped=self._parts.active.dropped,
            facts=facts,
        )
        self._outputs.publish_diagnostics(array)


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
