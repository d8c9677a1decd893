"""Depth images: which topic they are on, and the one of the same moment as a colour image."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.errors import InputError
from hloc_localizer.sources import camera_info, image_codec, messages
from hloc_localizer.sources.bag_reader import CAMERA_INFO, COMPRESSED_IMAGE, IMAGE, BagReader, Topic
from hloc_localizer.sources.bag_topics import CameraStream, info_topic_of, is_depth, without_copies
from hloc_localizer.sources.depth_registration import Registration
from hloc_localizer.sources.options import NONE, SourceOptions
from hloc_localizer.sources.tf_tree import TfError, TfTree

_KEPT = 32
_LARGEST_OFFSET_NS = 20_000_000
"""
Registered depth has the stamp of its colour image; a sensor that runs at 30 Hz beside the colour
camera has an exposure at most half a period away.
"""
_REMEDY = 'or switch it off with --set source.depth_topic=none'


@dataclass(frozen=True)
class DepthStream:
    """The depth images of a bag."""

    topic: str
    color_topic: str
    """Topic of the images that they belong to."""
    registration: Registration

    def decode(self, message: Any) -> NDArray[np.float32]:
        """
        Return the depth (H, W) in metres on the pixels of the colour image, NaN where unknown.

        :raises InputError: when the message is damaged or of another size than the first one.
        """
        return self.registration(decode_depth_message(message))


def decode_depth_message(message: Any) -> NDArray[np.float32]:
    """Decode an Image or CompressedImage message of depth: (H, W) metres, NaN where unknown."""
    if hasattr(message, 'format'):
        return image_codec.decode_compressed_depth(message.data, message.format)
    return image_codec.decode_depth(
        message.encoding,
        message.width,
        message.height,
        message.step,
        message.is_bigendian,
        message.data,
    )


def find_depth(
    bag: BagReader, streams: Sequence[CameraStream], tree: TfTree, options: SourceOptions
) -> tuple[DepthStream | None, str]:
    """
    Find the depth images of a bag.

    :returns: the stream, and why there is none although the bag has depth images (or empty).
    :raises InputError: when the topic that the options name cannot serve.
    """
    if options.depth_topic == NONE:
        return None, ''
    if options.depth_topic:
        topic = bag.require(options.depth_topic, (IMAGE, COMPRESSED_IMAGE), 'depth_topic')
        return _depth_stream(bag, topic, streams, tree), ''
    present = [topic for topic in bag.topics_of(IMAGE, COMPRESSED_IMAGE) if is_depth(bag, topic)]
    topics = _of_same_frame(bag, without_copies(present), streams)
    if len(topics) != 1:
        names = ', '.join(topic.name for topic in topics)
        choose = 'choose one with --set source.depth_topic=TOPIC'
        return None, f'depth is not read: several depth topics: {names}; {choose}' if names else ''
    try:
        return _depth_stream(bag, topics[0], streams, tree), ''
    except InputError as error:
        return None, f'depth is not read: {error}'


def _of_same_frame(
    bag: BagReader, topics: list[Topic], streams: Sequence[CameraStream]
) -> list[Topic]:
    """Prefer, of several depth topics, those in the frame of a camera: registered ones."""
    if len(topics) < 2:
        return topics
    frames = {stream.frame for stream in streams}
    same = [each for each in topics if _frame_of(bag.first(each.name)) in frames]
    return same or topics


def _frame_of(message: Any) -> str:
    return messages.frame_id(message.header.frame_id)


def _depth_stream(
    bag: BagReader, topic: Topic, streams: Sequence[CameraStream], tree: TfTree
) -> DepthStream:
    first = bag.first(topic.name)
    frame = _frame_of(first)
    try:
        height, width = decode_depth_message(first).shape
    except InputError as error:
        raise InputError(f"{bag.path}: topic '{topic.name}': {error}; {_REMEDY}") from error
    color = next((stream for stream in streams if stream.frame == frame), streams[0])
    info = info_topic_of(topic.name)
    has_info = info in bag.topics and info != info_topic_of(color.topic)
    if not has_info or info not in {each.name for each in bag.topics_of(CAMERA_INFO)}:
        return DepthStream(topic.name, color.topic, _by_size(bag, topic, color, width, height))
    camera = camera_info.camera_from_info(bag.first(info))
    if (width, height) != camera.image_size:
        raise InputError(
            f"{bag.path}: topic '{topic.name}': images are {width}x{height} but '{info}' is for "
            f'{camera.width}x{camera.height}; record depth with its own calibration, {_REMEDY}'
        )
    try:
        color_from_depth = tree.lookup(color.frame, frame, 0)
    except TfError as error:
        raise InputError(
            f"{bag.path}: depth of '{topic.name}' cannot be brought onto the images of "
            f"'{color.topic}': {error}; record /tf_static or registered depth, {_REMEDY}"
        ) from error
    return DepthStream(
        topic.name, color.topic, Registration.between(camera, color.camera, color_from_depth)
    )


def _by_size(
    bag: BagReader, topic: Topic, color: CameraStream, width: int, height: int
) -> Registration:
    """Take depth without a calibration for registered, if it has the shape of the image."""
    across, down = color.camera.width / width, color.camera.height / height
    if abs(across / down - 1.0) > 0.01:
        raise InputError(
            f"{bag.path}: depth of '{topic.name}' is {width}x{height}, images of '{color.topic}' "
            f'are {color.camera.width}x{color.camera.height}, and there is no '
            f"'{info_topic_of(topic.name)}'; record it, or registered depth, {_REMEDY}"
        )
    return Registration.of_size((width, height), color.camera.image_size)


class DepthImages:
    """The last depth messages of a stream, by stamp."""

    def __init__(self, stream: DepthStream | None) -> None:
        self._stream = stream
        self._messages: OrderedDict[int, Any] = OrderedDict()

    @property
    def topic(self) -> str:
        """The topic they are on; empty where there is none."""
        return self._stream.topic if self._stream is not None else ''

    def put(self, stamp_ns: int, message: Any) -> None:
        """Keep an Image or CompressedImage message; the oldest goes when there are many."""
        self._messages[stamp_ns] = message
        if len(self._messages) > _KEPT:
            self._messages.popitem(last=False)

    def at(self, stamp_ns: int, topic: str) -> NDArray[np.float32] | None:
        """
        Return the depth (H, W) in metres of a colour image, None where there is none.

        :param topic: of the colour image.
        :raises InputError: when the depth image cannot be decoded.
        """
        if self._stream is None or topic != self._stream.color_topic:
            return None
        nearest = min(self._messages, key=lambda each: abs(each - stamp_ns), default=None)
        if nearest is None or abs(nearest - stamp_ns) > _LARGEST_OFFSET_NS:
            return None
        return self._stream.decode(self._messages[nearest])
