"""What the localizer node holds while it is configured, and what localizes while it is active."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rclpy.node import Node

from hloc_localizer.errors import InputError
from hloc_localizer.maps import Map
from hloc_localizer.ros import tf
from hloc_localizer.ros.active_localizer import ActiveLocalizer
from hloc_localizer.ros.assembly import Parts, Surroundings, assemble
from hloc_localizer.ros.cameras import Cameras
from hloc_localizer.ros.diagnostics import Diagnostics
from hloc_localizer.ros.failure_recorder import failure_recorder
from hloc_localizer.ros.floors import Floors
from hloc_localizer.ros.initial_pose import read_initial_pose
from hloc_localizer.ros.map_loading import LoadedMap, MapLoading, load_maps
from hloc_localizer.ros.odometry_topic import transform_tree
from hloc_localizer.ros.options import LocalizerNodeOptions
from hloc_localizer.ros.publishers import LocalizerPublishers


class ConfiguredLocalizer:
    """Maps that are loaded and warm, and, between start and stop, what localizes in one of them."""

    def __init__(self, node: Node, options: LocalizerNodeOptions) -> None:
        """
        Load the maps, create the publishers; nothing is localized yet.

        :raises HlocLocalizerError: for parameters that name what is not there.
        """
        self._node = node
        self._options = options
        self.cameras = Cameras(options, node.resolve_topic_name)
        failure_recorder(options, '')  # fails now rather than at the first failure
        maps = load_maps(options)
        self._map_found = node.create_guard_condition(self._follow_images)
        self.floors = Floors(maps, found=self._map_found.trigger)
        self._broadcaster = tf.TransformBroadcaster(node)
        transforms = transform_tree(
            node,
            odom_topic=options.odom_topic,
            odom_frame=options.odom_frame,
            base_frame=options.base_frame,
        )
        self._around = Surroundings(
            node=node,
            cameras=self.cameras,
            transforms=transforms,
            publishers=LocalizerPublishers(
                node=node,
                runtime=self.map.runtime,
                map_frame=self._map_frame_of(self.map),
                path_length=options.path_length,
            ),
            diagnostics=self._new_diagnostics(),
            send_transform=transforms.rivals.watching(self._broadcaster.sendTransform),
        )
        self.parts: Parts | None = None
        self._log_maps()

    @property
    def map(self) -> Map:
        """The map that is localized in."""
        return self.floors.present.map

    @property
    def active(self) -> ActiveLocalizer | None:
        """What images are handed to; None while nothing is localized."""
        return None if self.parts is None else self.parts.active

    @property
    def diagnostics(self) -> Diagnostics:
        """What happened since the start."""
        return self._around.diagnostics

    def start(self) -> None:
        """Localize, without any knowledge of where the robot is."""
        self.floors.warm_up()
        self.floors.choose_anew()
        self._around = replace(self._around, diagnostics=self._new_diagnostics())
        self._around.publishers.publish_map()
        self._localize(self.floors, self._options, before=None)
        self._keep_failures()

    def stop(self) -> None:
        """Finish the image in work, and give the memory of devices back."""
        self.close()
        self.floors.close()

    def close(self) -> None:
        """Finish the image in work, and stop."""
        if self.parts is not None:
            self.parts.active.close()
            self.parts = None

    def destroy(self) -> None:
        """Remove from the node what was created."""
        self.stop()
        self.cameras.destroy()
        self._around.publishers.destroy()
        self._around.transforms.close()
        self._node.destroy_publisher(self._broadcaster.pub_tf)
        self._node.destroy_guard_condition(self._map_found)

    def kept_maps(
        self, options: LocalizerNodeOptions, *, named: bool
    ) -> tuple[LoadedMap, ...] | None:
        """
        Return the maps that need not be read again when maps or localizers are made anew.

        None where a change of the options asks for neither.

        :param named: whether the change names the maps: the same may have been built anew.
        """
        same = self._are_same_maps(options, named)
        if same and options.localization == self._options.localization:
            return None
        return self.floors.loaded if same else ()

    def _are_same_maps(self, options: LocalizerNodeOptions, named: bool) -> bool:
        if options.map != self._options.map:
            return False
        return not named or not any(one.has_changed() for one in self.floors.loaded)

    def change(self, options: LocalizerNodeOptions, loading: MapLoading, *, named: bool) -> None:
        """
        Take over options. Where the maps stay the same, so does what is known of the robot.

        :param loading: what has been loading new maps.
        :param named: as of :meth:`kept_maps`.
        :raises HlocLocalizerError: when they cannot be used; nothing has changed then.
        """
        failure_recorder(options, '')  # fails before anything has changed
        before = self._options
        kept = self.kept_maps(options, named=named)
        if kept is not None:
            self._change_maps(options, loading, kept)
        elif (options.track, options.tracking) != (before.track, before.tracking) and self.parts:
            self._localize(self.floors, options, before=self.parts)
        self._options = options
        self.diagnostics.stale_after_s = options.stale_after_s
        self._keep_failures()

    def _change_maps(
        self, options: LocalizerNodeOptions, loading: MapLoading, kept: tuple[LoadedMap, ...]
    ) -> None:
        before, same = self.floors, bool(kept)
        floors = Floors(
            loading.take(options, kept),
            found=self._map_found.trigger,
            before=before if same else None,
        )
        was_active = self.parts is not None
        if was_active:
            self._localize(floors, options, before=self.parts if same else None)
        else:
            floors.close()  # as the maps before are
        self.floors = floors
        before.close()
        if not same:
            self._show_map(was_active)
        self._log_maps()

    def suppose(self, message: Any) -> None:
        """
        Take an ``initialpose``: in the present map, or in the other one whose frame it names.

        :raises InputError: when it is none; nothing has changed then.
        """
        if self.parts is None:
            return
        frame, pose = read_initial_pose(message)
        frames = [self._map_frame_of(one.map) for one in self.floors.loaded]
        if frame not in frames:
            known = ' or '.join(f"'{one}'" for one in sorted(set(frames)))
            raise InputError(
                f"initialpose is in the frame '{frame}'; give it in {known} (in RViz: the fixed "
                'frame)'
            )
        if frame != self._map_frame_of(self.map):
            self._change_floor(frames.index(frame), 'initialpose is in another map')
        self.parts.initial_pose.set(pose)
        self.floors.settle()

    def _follow_images(self) -> None:
        """Localize in the map that images spoke for, if they still do."""
        number = self.floors.found_another
        if self.parts is not None and number is not None:
            self._change_floor(number, 'found in another map')

    def _change_floor(self, number: int, why: str) -> None:
        self.close()
        self.floors.change_to(number)
        self._localize(self.floors, self._options, before=None)
        self._show_map(was_active=True)
        self._keep_failures()
        self._node.get_logger().info(f'{why}: {self.map.path}')

    def _localize(
        self, floors: Floors, options: LocalizerNodeOptions, before: Parts | None
    ) -> None:
        """
        Localize in the present map of some, instead of what localizes now.

        :param before: what localizes now, to go on where it is: in the same map.
        """
        present = floors.present
        parts = assemble(
            self._around,
            options,
            present,
            self._map_frame_of(present.map),
            floors.look if len(floors.loaded) > 1 else None,
            before,
        )
        self.close()
        if before is not None:
            parts.take_over(before)
        self.parts = parts

    def _show_map(self, was_active: bool) -> None:
        self._around.publishers.change_map(self.map.runtime, self._map_frame_of(self.map))
        if was_active:
            self._around.publishers.publish_map()

    def _keep_failures(self) -> None:
        if self.active is None:
            return
        try:
            self.active.recorder = failure_recorder(self._options, str(self.map.path))
        except InputError as error:  # the folder has gone since it was checked
            self._node.get_logger().error(str(error))

    def broadcast(self) -> None:
        """Send ``map -> odom`` where that is wanted and known."""
        if self.parts is not None and self._options.tf_mode == 'map_to_odom':
            self.parts.map_to_odom.broadcast()

    def publish_diagnostics(self) -> None:
        """Tell how everything is."""
        if self.parts is None:
            return
        facts = self.floors.present.facts()
        facts.update(frame=self._map_frame_of(self.map), maps=len(self.floors.loaded))
        age_s = self.parts.map_to_odom.age_s
        if age_s is not None:
            facts['map_to_odom_age_s'] = age_s
        self.diagnostics.doubt('frames', self.cameras.strange_frames())
        self.diagnostics.problem('tf_rivals', self._around.transforms.rivals.problem())
        array = self.diagnostics.array(
            stamp_ns=self._node.get_clock().now().nanoseconds,
            image_topics=self.cameras.image_topics,
            dropped=self.parts.active.dropped,
            facts=facts,
        )
        self._around.publishers.publish_diagnostics(array)

    def _new_diagnostics(self) -> Diagnostics:
        return Diagnostics(name=self._node.get_name(), stale_after_s=self._options.stale_after_s)

    def _map_frame_of(self, loaded: Map) -> str:
        return self._options.map_frame or loaded.manifest.map_frame

    def _log_maps(self) -> None:
        for loaded in self.floors.loaded:
            self._node.get_logger().info(loaded.line())
