"""Frames of a ROS bag: images with calibration and poses, streamed without a replay."""

from __future__ import annotations

import copy
import heapq
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.errors import InputError
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.sources import bag_poses, messages
from hloc_localizer.sources.bag_poses import CameraPoses
from hloc_localizer.sources.bag_reader import BagReader
from hloc_localizer.sources.bag_topics import CameraStream, find_cameras
from hloc_localizer.sources.camera_info import ImageSizeError
from hloc_localizer.sources.depth import DepthImages, DepthStream, find_depth
from hloc_localizer.sources.frame import Frame
from hloc_localizer.sources.identity import files_of_recording
from hloc_localizer.sources.imu import Gravity, read_gravity
from hloc_localizer.sources.options import SourceOptions
from hloc_localizer.sources.pose_finder import PoseFinder
from hloc_localizer.sources.rig import Rig, find_rig
from hloc_localizer.sources.stream_watch import StreamWatch, info_topics

_UNPOSED = 'frames without a pose'
_REORDERED = 8
"""Images a camera that are held back, so that those received out of order come in order."""


class BagSource:
    """
    The images of one or several cameras of a ROS bag.

    Transforms, poses and the first calibration are read when the source is made; images are
    streamed by every pass over :meth:`frames`.
    """

    def __init__(self, path: Path, options: SourceOptions) -> None:
        """
        Read everything of a bag but its images.

        :raises InputError: naming what is missing or wrong in the bag, and the remedy.
        """
        self._path = path
        self._options = options
        self._notes: list[str] = []
        self._offset_ns = 0
        with BagReader(path) as bag:
            self._cut = bag.cut
            self._streams = {stream.topic: stream for stream in find_cameras(bag, options)}
            self._names = _camera_names(list(self._streams.values()))
            self._span = _span(bag, options)
            tree = bag_poses.read_tf(bag, max_gap_s=options.max_pose_gap_s)
            frames = {stream.topic: stream.frame for stream in self._streams.values()}
            finder = PoseFinder(bag=bag, tree=tree, camera_frames=frames, options=options)
            self._poses, origin, self._pose_problem = finder.poses()
            self._odometry = finder.odometry()
            rig, self._rig_problem = find_rig(
                tree, {self._names[topic]: frame for topic, frame in frames.items()}
            )
            self._tree = tree
            self._depth, depth_problem = self._find_depth(bag)
            self._gravity, imu_problem = self._find_gravity(bag)
            # Poses that are known make it needless to know how the cameras are mounted.
            rig_problem = self._rig_problem if self._poses is None else ''
            self._problems = [each for each in (rig_problem, depth_problem, imu_problem) if each]
            self._rigs = () if rig is None else (rig,)
        self._description = MappingProxyType(
            {
                'path': str(path),
                'kind': 'bag',
                'image_topics': ', '.join(self._streams),
                'camera_frames': ', '.join(each.frame for each in self._streams.values()),
                'map_frame': options.map_frame,
                'poses': origin,
            }
        )

    def _find_depth(self, bag: BagReader) -> tuple[DepthStream | None, str]:
        """Find the depth images: they tell the scale, and how far the points are."""
        return find_depth(bag, list(self._streams.values()), self._tree, self._options)

    def _find_gravity(self, bag: BagReader) -> tuple[Gravity | None, str]:
        """Read the IMU; one that nobody named only where it tells which way is up."""
        if self._poses is not None and not self._options.imu_topic:
            return None, ''
        frames = [stream.frame for stream in self._streams.values()]
        return read_gravity(bag, self._tree, frames, self._options)

    @property
    def cameras(self) -> Mapping[str, Camera]:
        """The cameras by the name of their frame (of their topic, where frames are not unique)."""
        return {self._names[stream.topic]: stream.camera for stream in self._streams.values()}

    @property
    def intrinsics(self) -> Mapping[str, str]:
        """Where the calibration of each camera is from."""
        return {self._names[stream.topic]: stream.origin for stream in self._streams.values()}

    @property
    def calibration_problem(self) -> str:
        """Why some camera's calibration is only estimated; empty otherwise."""
        return next((each.problem for each in self._streams.values() if each.problem), '')

    @property
    def rigs(self) -> Sequence[Rig]:
        """How several cameras are mounted, by the static transforms."""
        return self._rigs

    @property
    def rig_problem(self) -> str:
        """Why it is not known how several cameras are mounted; else empty."""
        return f'{self._path}: {self._rig_problem}' if self._rig_problem else ''

    @property
    def description(self) -> Mapping[str, str]:
        """Path, topics and frames."""
        return self._description

    @property
    def files(self) -> Sequence[Path]:
        """The bag, and the files of calibration and poses."""
        return files_of_recording(self._path, self._options)

    @property
    def pose_problem(self) -> str:
        """Why no frame has a pose in the map frame; empty where poses are known."""
        return self._pose_problem

    @property
    def notes(self) -> Sequence[str]:
        """What the last pass left out and why."""
        return tuple(self._notes)

    def __len__(self) -> int:
        """Return the number of images in the whole bag."""
        return sum(stream.count for stream in self._streams.values())

    def frames(self) -> Iterator[Frame]:
        """
        Yield the frames in the order of their stamps.

        Images that are damaged or come twice are left out and counted in :attr:`notes`; frames
        where a pose is missing (a gap in TF) come without it, and are counted too.

        :raises InputError: when the bag breaks off, when the image size changes, and at the end
            when no image could be read, or none has a pose although ``source.poses`` asks for
            them (with ``auto`` that is told by :attr:`pose_problem`).
        """
        left_out = _LeftOut()
        seen = posed = 0
        for stamp_ns, topic, message, depth_m in self._ordered_messages(left_out):
            stream = self._streams[topic]
            try:
                image = stream.decode(message)
            except ImageSizeError:
                raise
            except InputError as error:
                left_out.count('damaged images', str(error))
                continue
            map_from_camera = self._pose(self._poses, stamp_ns, stream, left_out)
            seen += 1
            posed += map_from_camera is not None
            yield Frame(
                name=_frame_name(self._names[topic], stamp_ns),
                stamp_ns=stamp_ns,
                image=image,
                camera_name=self._names[topic],
                map_from_camera=map_from_camera,
                odom_from_camera=self._pose(self._odometry, stamp_ns, stream, None),
                depth_m=depth_m,
                up_in_camera=self._up(stamp_ns, stream),
            )
        self._notes = left_out.lines()
        self._notes += self._problems
        if self._cut:
            self._notes.append(f'{self._path} is cut off: read up to its last whole record')
        self._require_frames(seen, posed, left_out)

    def poses_of(self, names: Sequence[str]) -> tuple[dict[str, NDArray[np.float64]], str]:
        """
        Return the poses in the map frame of frames by their names, without reading images.

        :returns: ``map_from_camera`` (4, 4) by name, and why others have none (or empty).
        """
        streams = {_folder(self._names[each.topic]): each for each in self._streams.values()}
        left_out = _LeftOut()
        poses = {}
        for name in names:
            folder, _, file = name.rpartition('/')
            stamp = file.partition('.')[0]
            if folder not in streams or not (stamp.isascii() and stamp.isdigit()):
                left_out.count(_UNPOSED, f"'{name}' is no image of {self._path}")
                continue
            pose = self._pose(self._poses, int(stamp), streams[folder], left_out)
            if pose is not None:
                poses[name] = pose
        return poses, self._pose_problem or left_out.reason(_UNPOSED)

    @property
    def checks_clock(self) -> bool:
        """Whether the options ask for the clocks of images and poses to be compared."""
        return self._options.clock == 'auto'

    @property
    def knows_motion(self) -> bool:
        """Whether there is odometry, or poses in the map frame."""
        return self._odometry is not None or self._poses is not None

    def motion_at(self, camera_name: str, stamp_ns: int) -> NDArray[np.float64] | None:
        """Return the pose (4, 4) of a camera in the odometry frame, or else in the map frame."""
        for stream in self._streams.values():
            if self._names[stream.topic] == camera_name:
                return self._pose(self._odometry or self._poses, stamp_ns, stream, None)
        return None

    def shifted(self, offset_ns: int) -> BagSource:
        """
        Return this source with poses and odometry looked up later than the images' stamps.

        :param offset_ns: what to add to the stamp of an image to have it by the clock of the poses.
        """
        other = copy.copy(self)
        other._offset_ns = self._offset_ns + offset_ns
        other._notes = []
        shift = f'{other._offset_ns / 1e9:.3f}'
        other._description = MappingProxyType({**self._description, 'clock_offset_s': shift})
        return other

    def _require_frames(self, seen: int, posed: int, left_out: _LeftOut) -> None:
        if not seen:
            reason = left_out.first or 'no image between source.start_s and its end'
            raise InputError(f'{self._path}: no image could be read: {reason}')
        if self._poses is None:
            return
        self._pose_problem = ''
        if not posed:
            self._pose_problem = (
                f'{self._path}: none of {seen} images has a pose: {left_out.reason(_UNPOSED)}; '
                'record the transforms with the images, or raise source.max_pose_gap_s'
            )
            if self._options.poses != 'auto':
                raise InputError(self._pose_problem)

    def _ordered_messages(
        self, left_out: _LeftOut
    ) -> Iterator[tuple[int, str, Any, NDArray[np.float32] | None]]:
        depths = DepthImages(self._depth)
        with BagReader(self._path) as bag:
            infos = info_topics(self._streams)
            topics = [*self._streams, *infos, *([depths.topic] if depths.topic else [])]
            received = bag.messages(topics, *self._span)
            watch = StreamWatch(self._path, bag.start_ns, one_frame=not self._options.camera_frame)
            last: dict[str, int] = {}
            for stamp_ns, topic, message in _by_stamp(
                self._watched(received, watch, depths), _REORDERED * len(self._streams)
            ):
                if stamp_ns <= last.get(topic, -1):
                    left_out.count(
                        'images of an earlier or the same stamp',
                        f"topic '{topic}' steps back to {stamp_ns / 1e9:.3f}",
                    )
                    continue
                last[topic] = stamp_ns
                yield stamp_ns, topic, message, _depth(depths, stamp_ns, topic, left_out)

    def _watched(
        self, received: Iterator[tuple[str, int, Any]], watch: StreamWatch, depths: DepthImages
    ) -> Iterator[tuple[int, str, Any]]:
        """Yield the images of a pass; look at everything, and put depth images aside."""
        for topic, received_ns, message in received:
            # A driver that does not stamp its images leaves zero; the receive time is next best.
            stamp_ns = messages.stamp_ns(message.header.stamp) or received_ns
            if topic == depths.topic:
                depths.put(stamp_ns, message)
            elif topic in self._streams:
                watch.image(self._streams[topic], stamp_ns, received_ns, message)
                yield stamp_ns, topic, message
            else:
                watch.calibration(topic, message)

    def _up(self, stamp_ns: int, stream: CameraStream) -> NDArray[np.float64] | None:
        up = None if self._gravity is None else self._gravity.up_at(stamp_ns)
        if up is None or self._gravity is None:
            return None
        camera_from_imu = self._tree.lookup(stream.frame, self._gravity.frame, 0)
        return np.asarray(camera_from_imu[:3, :3] @ up)

    def _pose(
        self,
        poses: CameraPoses | None,
        stamp_ns: int,
        stream: CameraStream,
        left_out: _LeftOut | None,
    ) -> NDArray[np.float64] | None:
        if poses is None:
            return None
        try:
            return poses.at(stamp_ns + self._offset_ns, stream.frame)
        except InputError as error:
            if left_out is not None:
                left_out.count(_UNPOSED, str(error))
            return None


class _LeftOut:
    """Counts what a pass leaves out, with the first reason of each kind."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._reasons: dict[str, str] = {}

    def count(self, kind: str, reason: str) -> None:
        self._counts[kind] += 1
        self._reasons.setdefault(kind, reason)

    def reason(self, kind: str) -> str:
        return self._reasons.get(kind, '')

    @property
    def first(self) -> str:
        return next(iter(self._reasons.values()), '')

    def lines(self) -> list[str]:
        return [
            f'{count} {kind} (first: {self._reasons[kind]})' for kind, count in self._counts.items()
        ]


def _by_stamp(images: Iterator[tuple[int, str, Any]], held: int) -> Iterator[tuple[int, str, Any]]:
    """Yield images by stamp: a few are held back."""
    waiting: list[tuple[int, int, str, Any]] = []
    for number, (stamp_ns, topic, message) in enumerate(images):
        heapq.heappush(waiting, (stamp_ns, number, topic, message))
        if len(waiting) > held:
            stamp_ns, _, topic, message = heapq.heappop(waiting)
            yield stamp_ns, topic, message
    while waiting:
        stamp_ns, _, topic, message = heapq.heappop(waiting)
        yield stamp_ns, topic, message


def _depth(
    depths: DepthImages, stamp_ns: int, topic: str, left_out: _LeftOut
) -> NDArray[np.float32] | None:
    try:
        return depths.at(stamp_ns, topic)
    except InputError as error:
        left_out.count('damaged depth images', str(error))
        return None


def _camera_names(streams: list[CameraStream]) -> dict[str, str]:
    frames = Counter(stream.frame for stream in streams)
    return {
        stream.topic: stream.frame
        if stream.frame and frames[stream.frame] == 1
        else stream.topic.strip('/')
        for stream in streams
    }


def _frame_name(camera_name: str, stamp_ns: int) -> str:
    return f'{_folder(camera_name)}/{stamp_ns}.jpg'


def _folder(camera_name: str) -> str:
    return re.sub(r'[^A-Za-z0-9_-]+', '_', camera_name)


def _span(bag: BagReader, options: SourceOptions) -> tuple[int | None, int | None]:
    start = bag.start_ns + round(options.start_s * 1e9)
    stop = start + round(options.duration_s * 1e9) if options.duration_s else None
    return (start if options.start_s else None), stop
