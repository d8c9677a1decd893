"""Chooses where the camera poses of a bag come from: TF, a topic, or a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hloc_localizer.errors import InputError
from hloc_localizer.geometry.trajectory import Trajectory
from hloc_localizer.sources.bag_poses import (
    CameraPoses,
    TfPoses,
    TrajectoryPoses,
    read_pose_topic,
)
from hloc_localizer.sources.bag_reader import ODOMETRY, BagReader
from hloc_localizer.sources.options import NONE, SourceOptions
from hloc_localizer.sources.tf_tree import TfTree
from hloc_localizer.sources.tum import read_tum


class PoseFinder:
    """Finds the poses of the cameras of a bag in the map frame and in the odometry frame."""

    def __init__(
        self,
        *,
        bag: BagReader,
        tree: TfTree,
        camera_frames: Mapping[str, str],
        options: SourceOptions,
    ) -> None:
        """
        Look at a bag.

        :param tree: the transforms of the bag.
        :param camera_frames: TF frame of each image topic, empty where the images name none.
        """
        self._bag = bag
        self._tree = tree
        self._camera_frames = camera_frames
        self._options = options

    def poses(self) -> tuple[CameraPoses | None, str, str]:
        """
        Find the poses in the map frame.

        :returns: the poses, where they come from in words, and why there are none (or empty).
        :raises InputError: when the options ask for poses that the bag does not have.
        """
        options = self._options
        if options.poses == 'none':
            return None, 'none', 'source.poses is none; set it to auto'
        if options.poses in ('auto', 'file') and options.poses_file:
            return self._of_file(), f'file {options.poses_file}', ''
        if options.poses in ('auto', 'topic') and options.poses_topic:
            return self._of_topic(), f'topic {options.poses_topic}', ''
        if options.poses in ('file', 'topic'):
            raise InputError(
                f'source.poses is {options.poses}, but no {options.poses} is given: '
                f'--set source.poses_{options.poses}=...'
            )
        problem = self._disconnected(options.map_frame)
        if not problem:
            return TfPoses(self._tree, options.map_frame), f'tf {options.map_frame}', ''
        problem = f'{self._bag.path}: {problem}; or give --set source.poses_file=FILE.tum'
        if options.poses == 'tf':
            raise InputError(problem)
        return None, 'none', problem

    def odometry(self) -> CameraPoses | None:
        """
        Find the poses in the odometry frame: of TF, or of the only Odometry topic.

        :raises InputError: when the topic that the options name cannot serve.
        """
        topic = self._options.odom_topic
        if topic == NONE:
            return None
        if topic:
            return self._odometry_of(topic)
        if not self._disconnected(self._options.odom_frame):
            return TfPoses(self._tree, self._options.odom_frame)
        present = self._bag.topics_of(ODOMETRY)
        if len(present) != 1:
            return None
        try:
            return self._odometry_of(present[0].name)
        except InputError:
            return None  # nobody asked for it: an odometry of a frame that TF does not know

    def _disconnected(self, reference: str) -> str:
        """Return why TF does not join a frame with the cameras, empty if it does."""
        for topic, frame in self._camera_frames.items():
            if not frame:
                return (
                    f"images of '{topic}' have no frame_id; give the camera's TF frame with "
                    '--set source.camera_frame=FRAME'
                )
            try:
                self._tree.latest_stamp(reference, frame)
            except InputError as error:
                return str(error)
        return ''

    def _of_file(self) -> CameraPoses:
        path = Path(self._options.poses_file).expanduser()
        return self._joined(read_tum(path), str(path), self._child(''))

    def _of_topic(self) -> CameraPoses:
        topic = self._options.poses_topic
        trajectory, child = read_pose_topic(self._bag, topic, 'poses_topic')
        return self._joined(trajectory, f"topic '{topic}'", self._child(child))

    def _odometry_of(self, topic: str) -> CameraPoses:
        trajectory, child = read_pose_topic(self._bag, topic, 'odom_topic')
        return self._joined(trajectory, f"topic '{topic}'", child or self._options.base_frame)

    def _child(self, named: str) -> str:
        """Return the frame that poses are of: empty for the camera, else the one they name."""
        if self._options.poses_child == 'camera':
            return ''
        return named or self._options.base_frame

    def _joined(self, trajectory: Trajectory, name: str, child: str) -> CameraPoses:
        poses = TrajectoryPoses(
            trajectory,
            child=child,
            name=name,
            tree=self._tree,
            max_gap_s=self._options.max_pose_gap_s,
        )
        for frame in self._camera_frames.values():
            poses.require_mounting(frame)
        return poses
