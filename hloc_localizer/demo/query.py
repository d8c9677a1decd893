"""What a recording says about how it is to be localized: topics, frames, reference poses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.errors import InputError
from hloc_localizer.geometry import transforms
from hloc_localizer.sources import bag_poses, messages
from hloc_localizer.sources.bag_poses import CameraPoses
from hloc_localizer.sources.bag_reader import CAMERA_INFO, BagReader, is_bag
from hloc_localizer.sources.bag_topics import CameraStream, base_topic, find_cameras, info_topic_of
from hloc_localizer.sources.options import SourceOptions
from hloc_localizer.sources.pose_finder import PoseFinder
from hloc_localizer.sources.tf_tree import TfTree

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Query:
    """A bag with the images of one camera, and what is known of where they were taken."""

    path: Path
    stream: CameraStream
    info_topic: str
    base_frame: str
    """The robot's base; the camera itself where TF does not tell how it is mounted."""
    options: SourceOptions
    tree: TfTree
    truth: CameraPoses | None
    """Reference poses ``map_from_camera``; None where nothing is known."""
    truth_origin: str

    @staticmethod
    def of(path: Path, options: SourceOptions) -> Query:
        """
        Look into a bag.

        :param options: topics and frames, and where reference poses come from.
        :raises InputError: when it is no bag, or what a localizer needs is not in it.
        """
        if not is_bag(path):
            raise InputError(f'{path}: not a bag that could be played; give a ROS 1 or ROS 2 bag')
        with BagReader(path) as bag:
            stream, *others = find_cameras(bag, options)
            if others:
                raise InputError(
                    f'{path}: images of {len(others) + 1} cameras; choose one with '
                    '--set source.image_topic=TOPIC'
                )
            tree = bag_poses.read_tf(bag, max_gap_s=options.max_pose_gap_s)
            finder = PoseFinder(
                bag=bag, tree=tree, camera_frames={stream.topic: stream.frame}, options=options
            )
            truth, origin, _ = finder.poses()
            info_topic = options.camera_info_topic or _info_topic(bag, stream)
        mounted = tree.can_connect(options.base_frame, stream.frame)
        return Query(
            path=path,
            stream=stream,
            info_topic=info_topic,
            base_frame=options.base_frame if mounted else stream.frame,
            options=options,
            tree=tree,
            truth=truth,
            truth_origin=origin,
        )

    @property
    def has_odometry(self) -> bool:
        """Whether TF has the odometry frame, so that ``map -> odom`` can be published."""
        return self.tree.can_connect(self.options.odom_frame, self.base_frame)

    @property
    def image_topic(self) -> str:
        """The topic as the node's ``image`` is remapped to: without the transport's suffix."""
        return base_topic(self.stream.topic)

    def map_from_base(self, stamp_ns: int) -> Array | None:
        """Return the reference pose (4, 4) of the base at a stamp, None where it is not known."""
        if self.truth is None:
            return None
        try:
            map_from_camera = self.truth.at(stamp_ns, self.stream.frame)
            return map_from_camera @ transforms.invert(self._mounting(stamp_ns))
        except InputError:
            return None

    def odom_from_base(self, stamp_ns: int) -> Array | None:
        """Return the odometry (4, 4) at a stamp, None where there is none."""
        try:
            return self.tree.lookup(self.options.odom_frame, self.base_frame, stamp_ns)
        except InputError:
            return None

    def images(self, stamps_ns: list[int]) -> list[NDArray[np.uint8]]:
        """Return the images of the stamps that are in the bag, in the order of time."""
        wanted, found = set(stamps_ns), []
        with BagReader(self.path) as bag:
            for _, received_ns, message in bag.messages([self.stream.topic]):
                if (messages.stamp_ns(message.header.stamp) or received_ns) in wanted:
                    found.append(self.stream.decode(message))
        return found

    def _mounting(self, stamp_ns: int) -> Array:
        if self.base_frame == self.stream.frame:
            return np.eye(4)
        return self.tree.lookup(self.base_frame, self.stream.frame, stamp_ns)


def _info_topic(bag: BagReader, stream: CameraStream) -> str:
    """Return the topic of the camera's calibration: the one beside, or the one of its frame."""
    beside, present = info_topic_of(stream.topic), [t.name for t in bag.topics_of(CAMERA_INFO)]
    same = [t for t in present if messages.frame_id(bag.first(t).header.frame_id) == stream.frame]
    return beside if beside in present or not same else same[0]
