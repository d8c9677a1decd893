"""The map builder node: a recording or live topics in, a map folder out, progress on the wire."""

from __future__ import annotations

import sys
import threading
import traceback
from dataclasses import replace
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from numpy.typing import NDArray
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import PointCloud2
from std_srvs.srv import Trigger
from visualization_msgs.msg import MarkerArray

from hloc_localizer.errors import HlocLocalizerError, InputError
from hloc_localizer.mapping.build_aligned import build_aligned
from hloc_localizer.maps import Map, check_output
from hloc_localizer.ros.build_progress import BuildProgress
from hloc_localizer.ros.live_recorder import LiveRecorder
from hloc_localizer.ros.map_builder_options import MapBuilderNodeOptions
from hloc_localizer.ros.map_messages import map_cameras, map_point_cloud, point_cloud
from hloc_localizer.ros.parameters import checked_path, declare_options, paths_of
from hloc_localizer.ros.publishers import LATCHED
from hloc_localizer.ros.run_node import run_node

NODE_NAME = 'map_builder'

_PROGRESS_QOS = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
"""Whoever comes late reads how it went so far."""


class MapBuilderNode(Node):
    """Builds one map in a thread of its own, publishing how far it is."""

    def __init__(self, *, node_name: str = NODE_NAME, **kwargs: Any) -> None:
        """
        Check the parameters and create the publishers; :meth:`begin` starts the build.

        :raises InputError: for a parameter that is missing or not allowed.
        """
        super().__init__(node_name, automatically_declare_parameters_from_overrides=True, **kwargs)
        self.exit_status = 1  # until the map is there
        self._options = declare_options(self, MapBuilderNodeOptions())
        self._check_paths()
        self._output = checked_path(self._options.output, 'output')
        check_output(self._output, overwrite=self._options.build.overwrite)
        self._map_frame = self._options.build.source.map_frame
        self._points = self.create_publisher(PointCloud2, '~/map_points', LATCHED)
        self._cameras = self.create_publisher(MarkerArray, '~/map_cameras', LATCHED)
        self._progress = self.create_publisher(DiagnosticStatus, '~/progress', _PROGRESS_QOS)
        self.progress = _CloudProgress(
            name=node_name,
            publish=self._progress.publish,
            log=lambda line: self.get_logger().info(line),
            publish_cloud=self._publish_cloud,
        )
        self._thread = threading.Thread(target=self._run, name='build')
        self._recorder: LiveRecorder | None = None

    def _check_paths(self) -> None:
        options = self._options
        if bool(options.bag) == bool(options.record):
            raise InputError(
                "parameters 'bag' and 'record' are both set; give a bag to read, or one to record"
                if options.bag
                else "parameter 'bag' is not set; give a recording, or 'record' to record one"
            )
        if not options.output:
            raise InputError("parameter 'output' is not set; give a path")

    def begin(self) -> None:
        """Start the build, or the recording that it waits for."""
        if self._options.bag:
            self._thread.start()
            return
        self._recorder = LiveRecorder(
            node=self, options=self._options, recorded=self.progress.advance
        )
        self.create_service(Trigger, '~/finish', self._finish)
        self.progress.stage('record')
        self.get_logger().info(f'recording into {self._recorder.path}; ~/finish builds the map')

    def _finish(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Answer the service: end the recording and build."""
        recorder = self._recorder
        assert recorder is not None
        if self._thread.ident is not None:
            response.message = 'the map is being built already'
        elif not recorder.images:
            response.message = f'no image was recorded: {recorder.problem or recorder.awaited}'
        else:
            recorder.close()
            self._thread.start()
            response.success = True
            response.message = (
                f'{recorder.images} images recorded in {recorder.path}; building {self._output}'
            )
        self.get_logger().info(response.message)
        return response

    def close(self) -> None:
        """Finish the recording, interrupt the build if it still runs, and wait for it to end."""
        if self._recorder is not None:
            self._recorder.close()
            if self._thread.ident is None and self._recorder.images:
                self.get_logger().info(
                    f'{self._recorder.images} images are kept in {self._recorder.path}; '
                    'give it as bag to build the map'
                )
        self.progress.stop()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            self._build()
        except HlocLocalizerError as error:
            self._fail(str(error), error.exit_status)
        except Exception as error:
            if not self.context.ok():
                return  # interrupted while publishing
            self.get_logger().error(traceback.format_exc())
            self._fail(f'{type(error).__name__}: {error}', 1)
        if self._options.exit_when_done or self.exit_status:
            self._wait_for_subscribers()
            self.context.try_shutdown()

    def _build(self) -> None:
        build = self._options.build
        if self._recorder is None:
            recordings = paths_of(self._options.bag, 'bag')
        else:
            build = replace(build, source=self._recorder.source_options())
            recordings = [self._recorder.path]
        build_aligned(
            recordings,
            self._output,
            build,
            self.progress,
            align_to=self._options.align_to,
            tell=lambda line: self.get_logger().info(line),
        )
        self._publish_map(Map.load(self._output))
        self.progress.finish(DiagnosticStatus.OK, 'done', {'map': self._output})
        self.get_logger().info(f'map: {self._output}')
        self.exit_status = 0

    def _wait_for_subscribers(self) -> None:
        """Let the last messages arrive before the process ends."""
        if self.context.ok():
            for publisher in (self._points, self._cameras, self._progress):
                publisher.wait_for_all_acked(Duration(seconds=1))

    def _fail(self, line: str, exit_status: int) -> None:
        self.exit_status = exit_status
        if self.context.ok():
            self.get_logger().error(line)
            self.progress.finish(DiagnosticStatus.ERROR, line, {})

    def _publish_cloud(self, points: NDArray[np.floating], colors: NDArray[np.uint8]) -> None:
        now_ns = self.get_clock().now().nanoseconds
        self._points.publish(point_cloud(self._map_frame, now_ns, points, colors))

    def _publish_map(self, built: Map) -> None:
        frame, now_ns = built.manifest.map_frame, self.get_clock().now().nanoseconds
        self._points.publish(map_point_cloud(frame, now_ns, built.runtime))
        self._cameras.publish(map_cameras(frame, now_ns, built.runtime))


class _CloudProgress(BuildProgress):
    """Also takes the points that a build has so far."""

    def __init__(self, *, publish_cloud: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._publish_cloud = publish_cloud

    def cloud(self, points: NDArray[np.floating], colors: NDArray[np.uint8]) -> None:
        """Publish points (N, 3), metres, with colours (N, 3) RGB."""
        self._publish_cloud(points, colors)


def _start(node: MapBuilderNode) -> int | None:
    node.begin()
    return None


def main(args: list[str] | None = None) -> int:
    """Build one map; return the exit status."""
    return run_node(MapBuilderNode, name=NODE_NAME, start=_start, args=args)


if __name__ == '__main__':
    sys.exit(main())
