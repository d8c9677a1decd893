"""Poses of the camera in a bag: from TF, from a topic of poses, or from a TUM file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.errors import InputError
from hloc_localizer.geometry.trajectory import Trajectory
from hloc_localizer.sources import messages
from hloc_localizer.sources.bag_reader import ODOMETRY, POSE, POSE_COVARIANCE, TF, BagReader
from hloc_localizer.sources.tf_tree import ExtrapolationError, TfError, TfTree

Array = NDArray[np.float64]


class CameraPoses(Protocol):
    """Something that knows where a camera was."""

    def at(self, stamp_ns: int, camera_frame: str) -> Array:
        """
        Return the (4, 4) pose of a camera frame in the reference frame.

        :raises TfError: naming the link or the gap.
        """
        ...


class TfPoses:
    """Poses of cameras in one frame of a TF tree."""

    def __init__(self, tree: TfTree, reference: str) -> None:
        self._tree = tree
        self._reference = reference

    def at(self, stamp_ns: int, camera_frame: str) -> Array:
        """Look the camera up in the tree."""
        return self._tree.lookup(self._reference, camera_frame, stamp_ns)


class TrajectoryPoses:
    """A trajectory of the base or of the camera itself, joined with TF up to the camera."""

    def __init__(
        self, trajectory: Trajectory, *, child: str, name: str, tree: TfTree, max_gap_s: float
    ) -> None:
        """
        Join a trajectory with the TF tree of its recording.

        :param child: frame whose poses these are; empty: the camera's.
        :param name: where the trajectory comes from, for messages.
        :param tree: holds the mounting of the camera on ``child``.
        """
        self._trajectory = trajectory
        self._child = child
        self._name = name
        self._tree = tree
        self._max_gap_ns = round(max_gap_s * 1e9)

    def at(self, stamp_ns: int, camera_frame: str) -> Array:
        """Interpolate the trajectory and append the mounting of the camera."""
        pose = self._trajectory.at(stamp_ns, self._max_gap_ns)
        if pose is None:
            raise self._missing(stamp_ns)
        if self._child in ('', camera_frame):
            return pose
        return np.asarray(pose @ self._tree.lookup(self._child, camera_frame, stamp_ns))

    def require_mounting(self, camera_frame: str) -> None:
        """
        Check that TF knows where the camera is on the frame whose poses these are.

        :raises TfError: with the remedy when it does not.
        """
        if self._child in ('', camera_frame):
            return
        try:
            self._tree.latest_stamp(self._child, camera_frame)
        except TfError as error:
            raise TfError(
                f'{self._name}: poses of {self._child} need its transform to the camera frame '
                f"'{camera_frame}': {error}; if they are poses of the camera itself: "
                '--set source.poses_child=camera'
            ) from error

    def _missing(self, stamp_ns: int) -> ExtrapolationError:
        stamps = self._trajectory.stamps_ns
        nearest = int(stamps[np.argmin(np.abs(stamps - stamp_ns))])
        if stamps[0] <= stamp_ns <= stamps[-1]:
            state = 'has a gap around'
        else:
            state = 'begins after' if stamp_ns < stamps[0] else 'ends before'
        return ExtrapolationError(
            f'{self._name} {state} the stamp {stamp_ns / 1e9:.3f}; the nearest pose is '
            f'{abs(stamp_ns - nearest) / 1e9:.3f} s away',
            link=(self._name, self._child or 'camera'),
            by_ns=stamp_ns - nearest,
        )


def read_tf(bag: BagReader, *, max_gap_s: float) -> TfTree:
    """
    Read all transforms of a bag.

    Transforms that are not finite or join a frame with itself are left out, as tf2 does.
    """
    tree = TfTree(max_gap_s=max_gap_s)
    static = {topic.name for topic in bag.topics_of(*TF) if topic.name.endswith('tf_static')}
    for topic, received_ns, message in bag.messages([each.name for each in bag.topics_of(*TF)]):
        for transform in message.transforms:
            try:
                tree.add(
                    messages.frame_id(transform.header.frame_id),
                    messages.frame_id(transform.child_frame_id),
                    messages.stamp_ns(transform.header.stamp) or received_ns,
                    messages.matrix_of_transform(transform.transform),
                    static=topic in static,
                )
            except (TfError, ValueError):
                continue
    return tree


def read_pose_topic(bag: BagReader, topic: str, option: str) -> tuple[Trajectory, str]:
    """
    Read a topic of Odometry, PoseStamped or PoseWithCovarianceStamped messages.

    :param option: the option that names the topic, for messages.
    :returns: the trajectory and its child frame (empty where the type has none).
    :raises InputError: when the topic is missing, of another type, or without a valid pose.
    """
    kind = bag.require(topic, (ODOMETRY, POSE, POSE_COVARIANCE), option).type
    pose_of: Callable[[Any], Any] = (lambda m: m.pose) if kind == POSE else (lambda m: m.pose.pose)
    poses: dict[int, Array] = {}
    child = ''
    for _, received_ns, message in bag.messages([topic]):
        try:
            pose = messages.matrix_of_pose(pose_of(message))
        except ValueError:
            continue
        poses[messages.stamp_ns(message.header.stamp) or received_ns] = pose
        child = messages.frame_id(message.child_frame_id) if kind == ODOMETRY else ''
    if not poses:
        raise InputError(f"{bag.path}: topic '{topic}' holds no valid pose")
    stamps = sorted(poses)
    matrices = np.stack([poses[stamp] for stamp in stamps])
    return Trajectory(np.array(stamps, np.int64), matrices), child
