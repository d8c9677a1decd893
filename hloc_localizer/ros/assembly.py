"""Ties together the parts that work while the localizer node is active in one map."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from geometry_msgs.msg import TransformStamped
from rclpy.node import Node

from hloc_localizer.localization import Localizer
from hloc_localizer.localization.tracking import TrackingLocalizer
from hloc_localizer.ros.active_localizer import ActiveLocalizer
from hloc_localizer.ros.calibration_watch import CalibrationWatch
from hloc_localizer.ros.cameras import Cameras
from hloc_localizer.ros.diagnostics import Diagnostics
from hloc_localizer.ros.frame_processor import FrameProcessor
from hloc_localizer.ros.frame_result import FrameResult
from hloc_localizer.ros.initial_pose import InitialPose
from hloc_localizer.ros.map_loading import LoadedMap
from hloc_localizer.ros.map_to_odom import MapToOdom
from hloc_localizer.ros.options import LocalizerNodeOptions
from hloc_localizer.ros.publishers import LocalizerPublishers
from hloc_localizer.ros.stream import Stream
from hloc_localizer.ros.transform_lookup import TransformTree


@dataclass(frozen=True)
class Surroundings:
    """What the node lends to the parts: it outlives changes of the map."""

    node: Node
    cameras: Cameras
    transforms: TransformTree
    publishers: LocalizerPublishers
    diagnostics: Diagnostics
    send_transform: Callable[[TransformStamped], None]


@dataclass(frozen=True)
class Parts:
    """What knows where the robot is."""

    active: ActiveLocalizer
    initial_pose: InitialPose
    map_to_odom: MapToOdom
    stream: Stream | None
    """None when each image is localized alone."""

    def take_over(self, before: Parts) -> None:
        """Go on where others, which are closed now, were in the same map."""
        if self.stream is not None and before.stream is not None:
            self.active.take_over(before.active)
            self.stream.take_over(before.stream)


def assemble(
    around: Surroundings,
    options: LocalizerNodeOptions,
    loaded: LoadedMap,
    map_frame: str,
    look_elsewhere: Callable[[FrameResult], str] | None,
    before: Parts | None = None,
) -> Parts:
    """
    Begin without any knowledge of where the robot is.

    :param look_elsewhere: asks other maps about an image.
    :param before: parts of the same map, whose ``map -> odom`` and ``initialpose`` go on.
    """
    stream = _stream(around, options, loaded.localizer) if options.track else None
    initial_pose = before.initial_pose if before else _initial_pose(around, options)
    map_to_odom = before.map_to_odom if before else _map_to_odom(around, options, map_frame)
    processor = FrameProcessor(
        localizer=loaded.localizer,
        transforms_lookup=around.transforms,
        cameras=around.cameras.on_robot(),
        base_frame=options.base_frame,
        timeout_s=options.tf_timeout_s,
        stream=stream,
    )
    active = ActiveLocalizer(
        node=around.node,
        options=options,
        map_frame=map_frame,
        processor=processor,
        transforms=around.transforms,
        publishers=around.publishers,
        diagnostics=around.diagnostics,
        initial_pose=initial_pose,
        map_to_odom=map_to_odom,
        send_transform=around.send_transform,
        look_elsewhere=look_elsewhere,
        calibration=CalibrationWatch(
            loaded.map.runtime.cameras, several=len(around.cameras.topics) > 1
        ),
    )
    return Parts(active, initial_pose, map_to_odom, stream)


def _initial_pose(around: Surroundings, options: LocalizerNodeOptions) -> InitialPose:
    return InitialPose(
        transforms_lookup=around.transforms,
        odom_frame=options.odom_frame,
        base_frame=options.base_frame,
        timeout_s=options.prior_timeout_s,
    )


def _map_to_odom(around: Surroundings, options: LocalizerNodeOptions, map_frame: str) -> MapToOdom:
    return MapToOdom(
        send=around.send_transform,
        now_ns=lambda: int(around.node.get_clock().now().nanoseconds),
        map_frame=map_frame,
        odom_frame=options.odom_frame,
        tolerance_s=options.tf_tolerance_s,
        max_age_s=options.tf_max_age_s,
        smoothing_s=options.tf_smoothing_s,
    )


def _stream(around: Surroundings, options: LocalizerNodeOptions, localizer: Localizer) -> Stream:
    return Stream(
        localizer=TrackingLocalizer(localizer, options.tracking),
        transforms_lookup=around.transforms,
        odom_frame=options.odom_frame,
        base_frame=options.base_frame,
        timeout_s=options.tf_timeout_s,
    )
