"""The topics that the localizer node publishes."""

from __future__ import annotations

import time
from collections import deque

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped
from nav_msgs.msg import Path
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CompressedImage, PointCloud2
from visualization_msgs.msg import MarkerArray

from hloc_localizer.maps.runtime import RuntimeMap
from hloc_localizer.ros import messages
from hloc_localizer.ros.frame_result import FrameResult
from hloc_localizer.ros.map_messages import map_cameras, map_point_cloud
from hloc_localizer.ros.match_image import match_image_message

_PATH_PERIOD_S = 0.5
"""A path is sent whole; often would cost more than localizing."""

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
"""For what changes rarely and is wanted by those who come later."""


class LocalizerPublishers:
    """Creates the publishers of a node and turns results into messages."""

    def __init__(
        self, *, node: Node, runtime: RuntimeMap, map_frame: str, path_length: int
    ) -> None:
        """
        Create the publishers.

        :param runtime: the map, for the cloud, the frusta and the match image.
        :param path_length: how many poses ``~/path`` keeps.
        """
        self._node = node
        self._runtime = runtime
        self._map_frame = map_frame
        self._poses: deque[PoseStamped] = deque(maxlen=path_length)
        self._path_due = 0.0
        create = node.create_publisher
        self._pose = create(PoseStamped, '~/pose', 10)
        self._pose_with_covariance = create(PoseWithCovarianceStamped, '~/pose_with_covariance', 10)
        self._path = create(Path, '~/path', 1)
        self._status = create(DiagnosticStatus, '~/status', 10)
        self._diagnostics = create(DiagnosticArray, '/diagnostics', 10)
        self._map_points = create(PointCloud2, '~/map_points', LATCHED)
        self._map_cameras = create(MarkerArray, '~/map_cameras', LATCHED)
        self._matches = create(CompressedImage, '~/matches/compressed', 1)

    def change_map(self, runtime: RuntimeMap, map_frame: str) -> None:
        """Publish in another map from now on; the path begins anew."""
        self._runtime = runtime
        self._map_frame = map_frame
        self._poses.clear()

    def publish_map(self) -> None:
        """Publish cloud and cameras of the map, latched."""
        now_ns = self._node.get_clock().now().nanoseconds
        self._map_points.publish(map_point_cloud(self._map_frame, now_ns, self._runtime))
        self._map_cameras.publish(map_cameras(self._map_frame, now_ns, self._runtime))

    def publish_pose(self, result: FrameResult) -> None:
        """Publish the pose of a localized image, stamped with its capture time."""
        if result.map_from_base is None or result.covariance is None:
            return
        pose = messages.pose_stamped(self._map_frame, result.stamp_ns, result.map_from_base)
        self._pose.publish(pose)
        self._pose_with_covariance.publish(
            messages.pose_with_covariance_stamped(
                self._map_frame, result.stamp_ns, result.map_from_base, result.covariance
            )
        )
        self._poses.append(pose)

    def publish_status(self, status: DiagnosticStatus) -> None:
        """Publish what became of one image."""
        self._status.publish(status)

    def publish_diagnostics(self, diagnostics: DiagnosticArray) -> None:
        """Publish the state of the node."""
        self._diagnostics.publish(diagnostics)

    def publish_on_demand(self, result: FrameResult) -> None:
        """Publish what is made only for those who look: the path and the match image."""
        if self._path.get_subscription_count() and time.monotonic() >= self._path_due:
            self._path_due = time.monotonic() + _PATH_PERIOD_S
            header = messages.header(self._map_frame, result.stamp_ns)
            self._path.publish(Path(header=header, poses=list(self._poses)))
        if result.views and self._matches.get_subscription_count():
            self._matches.publish(match_image_message(result, self._runtime))

    def forget_path(self) -> None:
        """Begin the path anew."""
        self._poses.clear()

    def destroy(self) -> None:
        """Remove the publishers from the node."""
        for publisher in (
            self._pose, self._pose_with_covariance, self._path, self._status, self._diagnostics,
            self._map_points, self._map_cameras, self._matches,
        ):  # fmt: skip
            self._node.destroy_publisher(publisher)
