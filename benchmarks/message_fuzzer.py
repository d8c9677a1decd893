"""Sends mutated messages through the parts that the localizer node is made of."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

import numpy as np
import rclpy
from geometry_msgs.msg import TransformStamped
from rclpy.node import Node

from benchmarks.message_mutations import BASE_FRAME, ODOM_FRAME, Random, SentMoment
from benchmarks.virtual_rigs import BASE_FROM_CAMERA, Rig, View
from hloc_localizer.errors import InputError
from hloc_localizer.geometry import transforms
from hloc_localizer.localization import Localizer
from hloc_localizer.localization.tracking import TrackingLocalizer, TrackingOptions
from hloc_localizer.ros import environment, messages, tf
from hloc_localizer.ros.camera_input import CameraInput
from hloc_localizer.ros.frame_processor import CameraOnRobot, FrameProcessor
from hloc_localizer.ros.frame_result import FrameResult
from hloc_localizer.ros.initial_pose import InitialPose, read_initial_pose
from hloc_localizer.ros.latest_moment import LatestMoment
from hloc_localizer.ros.stream import Stream
from hloc_localizer.ros.transform_lookup import TransformTree
from hloc_localizer.sources import Frame, Source


class MessageFuzzer:
    """The parts of a node that messages go through; use as a context."""

    def __init__(self, localizer: Localizer, source: Source) -> None:
        """Make the parts as the node does."""
        self._localizer = localizer
        self._source = source
        self._stack = environment.isolated()

    def __enter__(self) -> MessageFuzzer:
        variables = self._stack.__enter__()
        self._context = rclpy.Context()
        rclpy.init(context=self._context, args=[], domain_id=int(variables['ROS_DOMAIN_ID']))
        self._node = Node('fuzzer', context=self._context)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)
        self._stack.__exit__(kind, error, trace)

    def send(self, run: Sequence[Frame], rig: Rig, random: Random, *, track: bool) -> Mutant:
        """
        Send moments with what belongs to them, something of the middle one mutated.

        :param run: frames that follow each other closely; without ``track`` the middle one is
            localized alone.
        :param rig: makes of them what the cameras see.
        """
        middle = len(run) // 2
        numbers = range(len(run)) if track else [middle]
        mutated, answers = '', []
        parts: _Parts | None = None
        for number in numbers:
            views = rig(run, number, self._source)
            parts = parts or _Parts(self._localizer, views, track=track)
            odometry = run[number].odom_from_camera
            assert odometry is not None
            odom_from_base = odometry @ transforms.invert(BASE_FROM_CAMERA)
            sent, said = SentMoment(views, run[number].stamp_ns, odom_from_base, random), ''
            if number == middle:
                said = mutated = sent.mutate(random)
            if track and 'initialpose' not in said:
                sent.initialpose = None  # a person's word would overrule the odometry
            answers.append(Answer(parts.process(sent), views, parts.mountings(sent, views)))
        return Mutant(mutated, answers)


@dataclass(frozen=True)
class Answer:
    """What the node's parts made of a moment."""

    result: FrameResult
    views: list[View]
    mountings: list[np.ndarray]
    """(4, 4) ``base_from_camera`` of each, as the messages said; the true one where they fail."""

    def cameras(self) -> list[tuple[Frame, np.ndarray]]:
        """Return the poses (4, 4) of cameras that it says, by what is known of their mountings."""
        base = self.result.map_from_base
        if base is None:
            return []
        true = [(view.frame, base @ view.base_from_camera) for view in self.views[:1]]
        said = zip(self.views, self.mountings, strict=True)
        return true + [(view.frame, base @ mounting) for view, mounting in said]


@dataclass(frozen=True)
class Mutant:
    """What was sent, and what was made of it."""

    mutated: str
    answers: list[Answer]

    @property
    def result(self) -> FrameResult:
        """Of the mutated one."""
        return self.answers[len(self.answers) // 2].result


class _Parts:
    """What a node makes when it becomes active."""

    def __init__(self, localizer: Localizer, views: Sequence[View], *, track: bool) -> None:
        self._tree = _Transforms()
        self._cameras = [CameraInput('') for _ in views]
        self._initial = InitialPose(
            transforms_lookup=self._tree, odom_frame=ODOM_FRAME, base_frame=BASE_FRAME,
            timeout_s=10.0,
        )  # fmt: skip
        stream = Stream(
            localizer=TrackingLocalizer(localizer), transforms_lookup=self._tree,
            odom_frame=ODOM_FRAME, base_frame=BASE_FRAME, timeout_s=0.0,
        )  # fmt: skip
        self._processor = FrameProcessor(
            localizer=localizer,
            transforms_lookup=self._tree,
            cameras=[
                CameraOnRobot(view.name, camera.camera)
                for view, camera in zip(views, self._cameras, strict=True)
            ],
            base_frame=BASE_FRAME,
            timeout_s=0.0,
            stream=stream if track else None,
        )

    def process(self, sent: SentMoment) -> FrameResult:
        """Take the messages as the node's callbacks do, and localize the newest moment."""
        for transform in (*sent.mountings, *sent.odometry):
            self._tree.take(transform)
        for camera, info in zip(self._cameras, sent.infos, strict=True):
            camera.update(info)
        if sent.initialpose is not None:
            with contextlib.suppress(InputError):  # which the node logs
                frame, pose = read_initial_pose(sent.initialpose)
                if frame == 'map':  # of the only map
                    self._initial.set(pose)
        images = _newest_moment(sent)
        result = self._processor.process(images, self._initial.estimate())
        if result.localized or result.state is not None:
            self._initial.done()
        return result

    def mountings(self, sent: SentMoment, views: Sequence[View]) -> list[np.ndarray]:
        """Return where the frames of the images are on the base."""
        found = []
        for image, view in zip(sent.images, views, strict=True):
            stamp_ns = messages.stamp_to_ns(image.header.stamp)
            try:
                found.append(self._tree.lookup(BASE_FRAME, image.header.frame_id, stamp_ns))
            except InputError:
                found.append(view.base_from_camera)
        return found


def _newest_moment(sent: SentMoment) -> dict[int, object]:
    """Gather the images as the node does: those that are of other times are dropped."""
    queue: LatestMoment[object] = LatestMoment(
        cameras=len(sent.images), tolerance_s=TrackingOptions().moment_tolerance_s
    )
    for number, image in enumerate(sent.images):
        queue.put(image, stamp_ns=messages.stamp_to_ns(image.header.stamp), camera=number)
    return queue.get() or {}


class _Transforms(TransformTree):
    """The node's tree, with the messages handed to it instead of coming by the network."""

    def __init__(self) -> None:
        self._buffer = tf.Buffer()

    def take(self, message: TransformStamped) -> None:
        """Remember a transform as the listener does."""
        self._buffer.set_transform(message, 'fuzzer')
