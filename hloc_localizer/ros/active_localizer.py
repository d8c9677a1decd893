"""What runs while the localizer node is active: from received images to published results."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import numpy as np
from geometry_msgs.msg import TransformStamped
from numpy.typing import NDArray
from rclpy.node import Node

from hloc_localizer.errors import InputError
from hloc_localizer.localization.tracking import State
from hloc_localizer.ros import messages, refusals
from hloc_localizer.ros.calibration_watch import CalibrationWatch
from hloc_localizer.ros.diagnostics import Diagnostics, frame_status
from hloc_localizer.ros.failure_recorder import FailureRecorder
from hloc_localizer.ros.frame_processor import FrameProcessor
from hloc_localizer.ros.frame_result import FrameResult
from hloc_localizer.ros.image_silence import ImageSilence
from hloc_localizer.ros.initial_pose import InitialPose
from hloc_localizer.ros.latest_moment import LatestMoment
from hloc_localizer.ros.map_to_odom import MapToOdom
from hloc_localizer.ros.options import LocalizerNodeOptions
from hloc_localizer.ros.publishers import LocalizerPublishers
from hloc_localizer.ros.received_image import Images, ReceivedImage, ms_since, received_at
from hloc_localizer.ros.stamp_times import StampTimes, Timing
from hloc_localizer.ros.transform_lookup import TransformTree

Array = NDArray[np.float64]

_CLOCK_DIFFERENCE_S = 5.0
_LOG_PERIOD_S = 5.0
_LOOK_PERIOD_S = 0.25
"""How often it is looked whether images still come."""

_ODOMETRY_NS = 500_000_000
"""How long after a moment its odometry is known."""

_CALIBRATION_PERIOD_S = 60.0


class ActiveLocalizer:
    """
    Localizes the newest images in a thread of its own and publishes what came of them.

    The executor's thread only calls :meth:`receive`, which never waits.
    """

    def __init__(
        self,
        *,
        node: Node,
        options: LocalizerNodeOptions,
        map_frame: str,
        processor: FrameProcessor,
        transforms: TransformTree,
        publishers: LocalizerPublishers,
        diagnostics: Diagnostics,
        initial_pose: InitialPose,
        map_to_odom: MapToOdom,
        send_transform: Callable[[TransformStamped], None],
        calibration: CalibrationWatch,
        look_elsewhere: Callable[[FrameResult], str] | None = None,
        recorder: FailureRecorder | None = None,
    ) -> None:
        """
        Tie the parts together and start the thread.

        :param look_elsewhere: asks other maps about an image, and returns why its pose is not to be
            believed; empty when it is.
        :param recorder: keeps refused and odd frames.
        """
        self._node = node
        self._options = options
        self._map_frame = map_frame
        self._processor = processor
        self._transforms = transforms
        self._publishers = publishers
        self._diagnostics = diagnostics
        self._initial_pose = initial_pose
        self._map_to_odom = map_to_odom
        self._send_transform = send_transform
        self._calibration = calibration
        self._look_elsewhere = look_elsewhere
        self.recorder = recorder
        self._queue: LatestMoment[ReceivedImage] = LatestMoment(
            cameras=processor.cameras,
            tolerance_s=options.tracking.moment_tolerance_s,
            wait_s=options.camera_wait_s,
        )
        self._waiting: list[tuple[float, Future[FrameResult]]] = []
        self._waiting_lock = threading.Lock()
        self._times = StampTimes()
        self._epoch = self._epoch_of_stream = 0
        self._epoch_lock = threading.Lock()
        """Held while anything of an epoch is published, so that none of it comes later. The
        executor waits for it: whoever holds it waits for nothing."""
        self._last_stamp_ns: int | None = None
        self._silence = ImageSilence(node)
        self._state: State | None = None
        self._thread = threading.Thread(target=self._run, name='localization', daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """How many images a newer one replaced before their turn."""
        return self._queue.dropped

    def receive(self, message: Any, camera: int = 0) -> None:
        """
        Take an image message; it waits until the one before is done, or a newer one comes.

        :param camera: the number of the camera that took it.
        """
        self._diagnostics.image_received(camera)
        stamp_ns = messages.stamp_to_ns(message.header.stamp)
        timing = self._times.judge(stamp_ns, camera)
        if timing is Timing.JUMPED_BACK:
            self.begin_anew('time jumped back')
            self._times.judge(stamp_ns, camera)
        elif timing is not Timing.PRESENT:
            behind_ns = self._times.behind_ns(stamp_ns, camera)
            self._tell(refusals.out_of_time(stamp_ns, behind_ns, self._name_of(camera)), 0.0)
            return
        self._diagnostics.doubt('stamps', self._late_cameras())
        image = ReceivedImage(message, time.monotonic(), self._epoch)
        self._queue.put(image, stamp_ns=stamp_ns, camera=camera)

    def next_result(self) -> Future[FrameResult]:
        """Search the whole map for the first image that is received from now on."""
        future: Future[FrameResult] = Future()
        with self._waiting_lock:
            self._waiting = [entry for entry in self._waiting if not entry[1].cancelled()]
            self._waiting.append((time.monotonic(), future))
        return future

    def begin_anew(self, why: str) -> None:
        """
        Forget what was learned of another time: one that is yet to come, or of another clock.

        :param why: for the log.
        """
        self._node.get_logger().warning(f'{why}: transforms and map -> odom start anew')
        with self._epoch_lock:
            self._epoch += 1
            self._times.reset()
            self._transforms.clear()
            self._map_to_odom.reset()
            self._initial_pose.clear()
            self._queue.clear()

    def take_over(self, before: ActiveLocalizer) -> None:
        """
        Go on with the stream of another one, which is closed: its images may have ended with it.

        No image may have been received yet.
        """
        with self._epoch_lock:
            self._times = before._times
            self._epoch, self._epoch_of_stream = before._epoch, before._epoch_of_stream
            self._last_stamp_ns = before._last_stamp_ns
            self._state = before._state
            self._silence = before._silence

    def close(self) -> None:
        """Finish the image in work and stop."""
        self._queue.close()
        self._thread.join()
        with self._waiting_lock:
            for _, future in self._waiting:
                future.cancel()
            self._waiting.clear()

    def _run(self) -> None:
        while not self._queue.closed:
            images = self._queue.get(_LOOK_PERIOD_S) or {}
            try:
                if images:
                    self._localize(images)
                if self._silence.seconds > self._diagnostics.stale_after_s:
                    self._carry_on(self._epoch)
            except Exception as error:
                if self._queue.closed or not self._node.context.ok():
                    return  # shut down while publishing
                self._report_bug(images, error)

    def _localize(self, images: Images) -> None:
        stamps = [image.stamp_ns for image in images.values()]
        received = received_at(images)
        epoch = next(iter(images.values())).epoch
        if epoch != self._epoch:
            self._tell(refusals.outlived(stamps[0]), ms_since(received))
            return
        self._begin_epoch(epoch)
        self._watch_clock(stamps[0])
        if self._last_stamp_ns is not None and min(stamps) <= self._last_stamp_ns:
            camera = self._name_of(min(images, key=lambda number: images[number].stamp_ns))
            refused = refusals.stale(min(stamps), self._last_stamp_ns, camera)
            self._finish(images, refused, ms_since(received))
            return
        self._last_stamp_ns = max(stamps)
        if self._is_asked_for(received):
            self._processor.search_next()
        result = self._processor.process(
            {camera: image.message for camera, image in images.items()},
            self._initial_pose.estimate(),
        )
        if result.localization is None:
            result = replace(result, state=self._carry_on(epoch))
        else:
            if self._options.odom_topic:
                self._diagnostics.doubt('odometry', result.odometry_problem)
            self._silence.end(result.stamp_ns)
        gave_pose = result.localization is not None and result.localization.localized
        if self._look_elsewhere is not None and gave_pose:
            result = refusals.in_doubt(result, self._look_elsewhere(result))
        result = refusals.with_doubt(result, self._calibration.doubt(result))
        result = self._with_odometry(result)
        if not self._publish(result, epoch):
            self._tell(refusals.outlived(result.stamp_ns), ms_since(received))
            return
        self._finish(images, result, ms_since(received))
        self._publishers.publish_on_demand(result)
        if self._look_elsewhere is not None and not gave_pose:
            self._look_elsewhere(result)  # which takes its time, now that the result is out
        self._watch_calibration(result)
        self._record(result)

    def _publish(self, result: FrameResult, epoch: int) -> bool:
        """Publish pose and transform; False, and nothing is, when time has jumped meanwhile."""
        with self._epoch_lock:
            if epoch != self._epoch:
                return False
            self._publishers.publish_pose(result)
            self._state = result.state
            taken = result.state is not None and result.localization is not None
            if result.localized or taken:
                self._initial_pose.done()  # it has led to a fix, or the tracker carries it on
            if result.localized:
                self._publish_transform(result)
            elif result.state is not None and not result.state.has_pose:
                self._map_to_odom.suspend()
            return True

    def _carry_on(self, epoch: int) -> State | None:
        """Let the pose become uncertain, and at last lost, while no image can be used."""
        now_ns = self._silence.stamp_ns
        if now_ns is None or self._state is None or not self._state.has_pose:
            return self._state
        state = self._processor.carry_on(now_ns - _ODOMETRY_NS)
        with self._epoch_lock:
            if epoch == self._epoch and state is not None:
                self._state = state
                self._diagnostics.carried_on(state)
                if not state.has_pose:
                    self._map_to_odom.suspend()
        return self._state

    def _name_of(self, camera: int) -> str:
        """Return the topic of a camera where there are several; else nothing."""
        return self._processor.names[camera] if self._processor.cameras > 1 else ''

    def _late_cameras(self) -> str:
        late = self._times.late_s()
        return '; '.join(
            f'images of {self._name_of(camera)} are {seconds:.1f} s older than those of the other '
            'cameras: synchronise the clocks'
            for camera, seconds in late.items()
        )

    def _watch_calibration(self, result: FrameResult) -> None:
        doubt = self._calibration.take(result)
        self._diagnostics.doubt('calibration', doubt)
        if doubt:
            self._node.get_logger().warning(doubt, throttle_duration_sec=_CALIBRATION_PERIOD_S)

    def _record(self, result: FrameResult) -> None:
        recorder, problem = self.recorder, ''
        if recorder is None:
            return
        try:
            recorder.record(result)
        except OSError as error:
            problem = f'record_failures: a frame could not be kept: {error}'
            self._node.get_logger().warning(problem, throttle_duration_sec=_LOG_PERIOD_S)
        self._diagnostics.problem('record_failures', problem)

    def _finish(self, images: Images, result: FrameResult, latency_ms: float) -> None:
        self._tell(result, latency_ms)
        self._answer(images, result)

    def _tell(self, result: FrameResult, latency_ms: float) -> None:
        """Say what became of an image; it answers nobody who waits for the next one."""
        self._diagnostics.frame_done(result, latency_ms)
        self._publishers.publish_status(frame_status(self._node.get_name(), result, latency_ms))
        if not result.localized:
            self._node.get_logger().warning(
                f'image refused: {result.detail}', throttle_duration_sec=_LOG_PERIOD_S
            )

    def _begin_epoch(self, epoch: int) -> None:
        """Forget the stream of images if time has jumped since the last one."""
        if epoch != self._epoch_of_stream:
            self._epoch_of_stream = epoch
            self._publishers.forget_path()
            self._last_stamp_ns = None
            self._silence.forget()
            self._state = None
            self._processor.reset()

    def _watch_clock(self, stamp_ns: int) -> None:
        behind_s = (self._node.get_clock().now().nanoseconds - stamp_ns) * 1e-9
        differs = abs(behind_s) > _CLOCK_DIFFERENCE_S
        self._diagnostics.problem(
            'clock',
            f"image stamps are {behind_s:.1f} s behind the node's clock: set use_sim_time when a "
            'bag is played, else synchronise the clocks'
            if differs
            else '',
        )

    def _publish_transform(self, result: FrameResult) -> None:
        assert result.map_from_base is not None
        if self._options.tf_mode == 'map_to_base':
            self._send_transform(
                messages.transform_message(
                    self._map_frame,
                    self._options.base_frame,
                    result.stamp_ns,
                    result.map_from_base,
                )
            )
        elif self._options.tf_mode == 'map_to_odom':
            self._update_map_to_odom(result)

    def _update_map_to_odom(self, result: FrameResult) -> None:
        assert result.map_from_base is not None
        problem = ''
        if result.odom_from_base is not None:
            self._map_to_odom.update(result.map_from_base, result.odom_from_base)
        else:
            problem = (
                f'{self._map_frame} -> {self._options.odom_frame} is not updated: '
                f'{result.odometry_problem}; publish odometry on TF or set tf_mode to map_to_base '
                'or none'
            )
            self._node.get_logger().warning(problem, throttle_duration_sec=_LOG_PERIOD_S)
        self._diagnostics.problem('tf', problem)

    def _with_odometry(self, result: FrameResult) -> FrameResult:
        """Look for the odometry that no tracker was given; TF may have to be waited for."""
        needs_it = self._options.tf_mode == 'map_to_odom' and result.localized
        if not needs_it or result.state is not None:
            return result
        try:
            found = self._transforms.lookup(
                self._options.odom_frame,
                self._options.base_frame,
                result.stamp_ns,
                self._options.tf_timeout_s,
            )
        except InputError as error:
            return replace(result, odometry_problem=str(error))
        return replace(result, odom_from_base=found)

    def _is_asked_for(self, received: float) -> bool:
        with self._waiting_lock:
            return any(asked <= received for asked, _ in self._waiting)

    def _answer(self, images: Images, result: FrameResult) -> None:
        received = received_at(images)
        with self._waiting_lock:
            due = [future for asked, future in self._waiting if asked <= received]
            self._waiting = [entry for entry in self._waiting if entry[0] > received]
        for future in due:
            if future.set_running_or_notify_cancel():
                future.set_result(result)

    def _report_bug(self, images: Images, error: Exception) -> None:
        """Survive an error that should not exist, and leave what is needed to find it."""
        self._node.get_logger().error(''.join(traceback.format_exception(error)))
        if not images:
            return
        result = refusals.internal_error(next(iter(images.values())).stamp_ns, error)
        self._finish(images, result, ms_since(received_at(images)))
