"""The localizer node: images in, poses and transforms out."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
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
from hloc_localizer.localization.result import Reason
from hloc_localizer.maps import Map
from hloc_localizer.ros import tf
from hloc_localizer.ros.active_localizer import ActiveLocalizer
from hloc_localizer.ros.assembly import Parts, Surroundings, assemble
from hloc_localizer.ros.cameras import Cameras
from hloc_localizer.ros.diagnostics import Diagnostics
from hloc_localizer.ros.failure_recorder import failure_recorder
from hloc_localizer.ros.floors import Floors
from hloc_localizer.ros.map_loading import load_maps, load_meanwhile
from hloc_localizer.ros.odometry_topic import transform_tree
from hloc_localizer.ros.options import LocalizerNodeOptions
from hloc_localizer.ros.parameters import (
    changed_options,
    check_change,
    declare_options,
    read_options,
)
from hloc_localizer.ros.publishers import LocalizerPublishers
from hloc_localizer.ros.relocalization import NOT_ACTIVE, Relocalization, steady_clock
from hloc_localizer.ros.run_node import run_node

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
        self._around: Surroundings | None = None
        self._floors: Floors | None = None
        self._parts: Parts | None = None
        self._active_entities: list[tuple[Any, Any]] = []
        self._map_found = self.create_guard_condition(self._change_floor)
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
        cameras = Cameras(self._options, self.resolve_topic_name)
        failure_recorder(self._options, '')  # fails now rather than at the first failure
        begin = time.monotonic()
        floors = Floors(load_maps(self._options), found=self._map_found.trigger)
        present = floors.present.map
        self._broadcaster = tf.TransformBroadcaster(self)
        transforms = transform_tree(
            self,
            odom_topic=self._options.odom_topic,
            odom_frame=self._options.odom_frame,
            base_frame=self._options.base_frame,
        )
        self._around = Surroundings(
            node=self,
            cameras=cameras,
            transforms=transforms,
            publishers=LocalizerPublishers(
                node=self,
                runtime=present.runtime,
                map_frame=self._map_frame_of(present),
                path_length=self._options.path_length,
            ),
            diagnostics=self._new_diagnostics(),
            send_transform=transforms.rivals.watching(self._broadcaster.sendTransform),
        )
        self._floors = floors
        self._log_maps(floors, time.monotonic() - begin)

    def _new_diagnostics(self) -> Diagnostics:
        return Diagnostics(name=self.get_name(), stale_after_s=self._options.stale_after_s)

    def _activate(self) -> None:
        assert self._around is not None
        assert self._floors is not None
        self._floors.warm_up()
        self._floors.choose_anew()
        self._around = replace(self._around, diagnostics=self._new_diagnostics())
        self._around.publishers.publish_map()
        self._start_localizing(self._around, self._floors)
        self._create_active_entities(self._around)
        topics = ', '.join(self._around.cameras.image_topics)
        self.get_logger().info(f'localizing images on {topics}')

    def _start_localizing(self, around: Surroundings, floors: Floors) -> None:
        """Begin without any knowledge of where the robot is."""
        present = floors.present
        self._parts = assemble(
            around,
            self._options,
            present,
            self._map_frame_of(present.map),
            floors.look if len(floors.loaded) > 1 else None,
        )

    def _create_active_entities(self, around: Surroundings) -> None:
        around.cameras.listen(self, self._on_image)
        around.cameras.listen_to_calibrations(self, around.diagnostics.problem)
        self._add_timer(_ADAPT_PERIOD_S, around.cameras.adapt)
        self._subscribe(PoseWithCovarianceStamped, 'initialpose', self._on_initial_pose, 1)
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
        if self._around is not None:
            self._around.cameras.destroy()
        self.close()
        if self._floors is not None:
            self._floors.close()

    def _cleanup(self) -> None:
        self._deactivate()
        if self._around is not None:
            self._around.publishers.destroy()
            self._around.transforms.close()
            self.destroy_publisher(self._broadcaster.pub_tf)
        self._around, self._floors = None, None

    def close(self) -> None:
        """Stop the thread, whatever the state; the process is about to end."""
        if self._parts is not None:
            self._parts.active.close()
            self._parts = None

    # Changes at run time

    def _judge_parameters(self, parameters: list[Parameter[Any]]) -> SetParametersResult:
        """Refuse what cannot be, and do at once what can change while the node runs."""
        fixed = '' if self._floors is None else 'deactivate and clean up the node first'
        result = check_change(self, LocalizerNodeOptions(), parameters, fixed, _CHANGEABLE)
        if not result.successful or self._floors is None or self._around is None:
            return result
        try:
            options = changed_options(self, LocalizerNodeOptions(), parameters)
            self._change(options, self._around, self._floors)
        except HlocLocalizerError as error:
            self.get_logger().error(f'{error}; going on with {self._floors.present.map.path}')
            return SetParametersResult(successful=False, reason=str(error))
        except Exception as error:  # would end the process: nobody above catches it
            self.get_logger().error(traceback.format_exc())
            reason = f'{Reason.INTERNAL_ERROR.value}: {type(error).__name__}: {error}'
            return SetParametersResult(successful=False, reason=reason)
        return result

    def _change(self, options: LocalizerNodeOptions, around: Surroundings, floors: Floors) -> None:
        """Take over options; until a new map is loaded and warm the old one stays in use."""
        before = self._options
        failure_recorder(options, '')  # fails before anything has changed
        if options.map != before.map or options.localization != before.localization:
            begin = time.monotonic()
            again = floors.loaded if options.map == before.map else []
            maps = load_meanwhile(options, again, self._broadcast, 1.0 / before.tf_rate_hz)
            was_active = self._active is not None
            self.close()
            floors.close()
            self._options = options
            self._floors = Floors(maps, found=self._map_found.trigger)
            self._begin_in_map(around, self._floors, was_active)
            self._log_maps(self._floors, time.monotonic() - begin)
        elif (options.track, options.tracking) != (before.track, before.tracking):
            self._options = options
            if self._active is not None:
                self.close()
                self._start_localizing(around, floors)
        self._options = options
        around.diagnostics.stale_after_s = options.stale_after_s
        if self._active is not None and self._floors is not None:
            path = str(self._floors.present.map.path)
            self._active.recorder = failure_recorder(options, path)

    def _begin_in_map(self, around: Surroundings, floors: Floors, was_active: bool) -> None:
        """Show the present map, and localize in it."""
        present = floors.present.map
        around.publishers.change_map(present.runtime, self._map_frame_of(present))
        if was_active:
            around.publishers.publish_map()
            self._start_localizing(around, floors)
        else:
            floors.close()  # as deactivating left the maps before

    def _change_floor(self) -> None:
        """Localize in the map that images spoke for, if they still do."""
        if self._active is None or self._floors is None or self._around is None:
            return
        if not self._floors.found_another:
            return
        self.close()
        self._floors.change_over()
        self._begin_in_map(self._around, self._floors, was_active=True)
        self.get_logger().info(f'found in another map: {self._floors.present.map.path}')

    def _broadcast(self) -> None:
        if self._parts is not None and self._options.tf_mode == 'map_to_odom':
            self._parts.map_to_odom.broadcast()

    def _map_frame_of(self, loaded: Map) -> str:
        return self._options.map_frame or loaded.manifest.map_frame

    def _log_maps(self, floors: Floors, seconds: float) -> None:
        for loaded in floors.loaded:
            self.get_logger().info(loaded.line())
        self.get_logger().info(f'loaded and warm in {seconds:.2f} s; TF from {tf.IMPLEMENTATION}')

    # Callbacks

    def _on_image(self, message: Any, camera: int) -> None:
        if self._active is not None:
            self._active.receive(message, camera)

    def _on_jump(self, _: object) -> None:
        if self._active is not None:
            self._active.time_jumped_back()

    def _on_initial_pose(self, message: PoseWithCovarianceStamped) -> None:
        if self._parts is None or self._floors is None:
            return
        try:
            self._parts.initial_pose.set(message)
            self._floors.settle()
            self.get_logger().info('initialpose taken as a prior')
        except InputError as error:
            self.get_logger().warning(f'ignoring an initialpose: {error}')

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        """Stop and resume looking at images; the map stays, ``map -> odom`` until lost."""
        if self._active is None or self._around is None:
            response.success, response.message = False, NOT_ACTIVE
            return response
        cameras = self._around.cameras
        if not request.data:
            cameras.ignore()
        elif not cameras.listening:
            cameras.listen(self, self._on_image)
        response.success = True
        response.message = 'localizing' if request.data else 'images are not looked at'
        self._around.diagnostics.enabled = bool(request.data)
        self.get_logger().info(f'~/enable: {response.message}')
        return response

    def _on_diagnostics(self) -> None:
        if self._parts is None or self._around is None or self._floors is None:
            return
        present = self._floors.present
        facts = present.facts()
        facts.update(frame=self._map_frame_of(present.map), maps=len(self._floors.loaded))
        age_s = self._parts.map_to_odom.age_s
        if age_s is not None:
            facts['map_to_odom_age_s'] = age_s
        self._around.diagnostics.doubt('frames', self._around.cameras.strange_frames())
        self._around.diagnostics.problem('tf_rivals', self._around.transforms.rivals.problem())
        array = self._around.diagnostics.array(
            stamp_ns=self.get_clock().now().nanoseconds,
            image_topics=self._around.cameras.image_topics,
            dropped=self._parts.active.dropped,
            facts=facts,
        )
        self._around.publishers.publish_diagnostics(array)


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
