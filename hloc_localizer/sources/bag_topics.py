"""Which topics of a bag are the camera's: images, their calibration, and what to say if not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hloc_localizer.errors import InputError
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.sources import camera_info, image_codec, intrinsics, messages
from hloc_localizer.sources.bag_reader import (
    CAMERA_INFO,
    COMPRESSED_IMAGE,
    IMAGE,
    BagReader,
    Topic,
)
from hloc_localizer.sources.options import SourceOptions

_TRANSPORTS = ('/compressed', '/compressedDepth', '/theora', '/ffmpeg', '/zstd')


@dataclass(frozen=True)
class CameraStream:
    """One camera of a bag."""

    topic: str
    compressed: bool
    count: int
    camera: Camera
    frame: str
    """TF frame of the optical frame; may be empty."""
    origin: str = intrinsics.CAMERA_INFO
    """Where the calibration is from: a value of :mod:`.intrinsics`."""
    problem: str = ''
    """Why it is only estimated, with the remedy."""
    info_topic: str = ''
    """Topic that the calibration is from."""

    def decode(self, message: Any) -> image_codec.Image:
        """
        Decode an image of this camera.

        :raises InputError: when the image is damaged.
        :raises ImageSizeError: when it is of another size than the calibration.
        """
        image = decode_message(message, self.compressed)
        height, width = image.shape[:2]
        camera_info.require_image_size(self.camera, width, height, f"topic '{self.topic}'")
        return image


def decode_message(message: Any, compressed: bool) -> image_codec.Image:
    """Decode an Image or CompressedImage message: (H, W) grey or (H, W, 3) RGB."""
    if compressed:
        return image_codec.decode_compressed(message.data, message.format)
    return image_codec.decode_image(
        message.encoding,
        message.width,
        message.height,
        message.step,
        message.is_bigendian,
        message.data,
    )


def find_cameras(bag: BagReader, options: SourceOptions) -> list[CameraStream]:
    """
    Find the image topics, their calibrations and frames; decode the first image of each.

    :raises InputError: when topics are missing or ambiguous (listing them), without calibration,
        or when the images cannot be decoded or do not fit their calibration.
    """
    topics = _image_topics(bag, options)
    infos = _one_each(options.camera_info_topic, 'camera_info_topic', len(topics))
    files = _one_each(options.camera_info_file, 'camera_info_file', len(topics))
    frames = _one_each(options.camera_frame, 'camera_frame', len(topics))
    return [_camera(bag, *each, options) for each in zip(topics, infos, files, frames, strict=True)]


def _one_each(names: str, option: str, topics: int) -> list[str]:
    """Return the value of an option for each image topic, empty where it is not set."""
    values = _split(names)
    if values and len(values) != topics:
        raise InputError(
            f'{topics} image topics but {len(values)} values of source.{option}; give one each, '
            'separated by commas'
        )
    return values or [''] * topics


def _camera(
    bag: BagReader, topic: Topic, info_topic: str, file: str, frame: str, options: SourceOptions
) -> CameraStream:
    first = bag.first(topic.name)
    frame = frame or messages.frame_id(first.header.frame_id)
    compressed = topic.type == COMPRESSED_IMAGE
    try:
        image = decode_message(first, compressed)
    except InputError as error:
        raise InputError(f"{bag.path}: topic '{topic.name}': {error}") from error
    height, width = image.shape[:2]
    origin, problem = intrinsics.FILE if file else intrinsics.CAMERA_INFO, ''
    if file:
        info_topic, camera = '', camera_info.camera_from_file(Path(file).expanduser())
    else:
        info_topic, problem = _info_topic(bag, topic, info_topic, frame)
        if info_topic:
            camera = _calibration(bag, topic, info_topic)
        else:
            origin = intrinsics.ESTIMATED
            camera = intrinsics.estimated_camera(width, height, options.field_of_view_deg)
    what = f"{bag.path}: topic '{topic.name}'"
    camera_info.require_image_size(camera, width, height, what)
    return CameraStream(
        topic.name, compressed, topic.count, camera, frame, origin, problem, info_topic
    )


def _info_topic(bag: BagReader, topic: Topic, named: str, frame: str) -> tuple[str, str]:
    """Return the topic of a camera's calibration, or none and why."""
    if named:
        return bag.require(named, (CAMERA_INFO,), 'camera_info_topic').name, ''
    present = [each.name for each in bag.topics_of(CAMERA_INFO)]
    beside = info_topic_of(topic.name)
    if beside in present:
        return beside, ''
    same_frame = [
        name for name in present if messages.frame_id(bag.first(name).header.frame_id) == frame
    ]
    if frame and len(same_frame) == 1:
        return same_frame[0], ''
    return '', (
        f"{bag.path}: no camera_info for '{topic.name}' (camera_info topics: "
        f'{", ".join(present) or "none"}); give one with --set source.camera_info_topic=TOPIC or '
        'a calibration with --set source.camera_info_file=FILE'
    )


def _calibration(bag: BagReader, topic: Topic, info_topic: str) -> Camera:
    try:
        rectified = topic.name if is_rectified(topic.name) else ''
        return camera_info.camera_from_info(bag.first(info_topic), rectified_topic=rectified)
    except InputError as error:
        raise InputError(
            f"{bag.path}: topic '{info_topic}': {error}; or give a calibration with "
            '--set source.camera_info_file=FILE'
        ) from error


def _image_topics(bag: BagReader, options: SourceOptions) -> list[Topic]:
    kinds = (IMAGE, COMPRESSED_IMAGE)
    if options.image_topic:
        names = _split(options.image_topic)
        return [bag.require(name, kinds, 'image_topic') for name in names]
    present = bag.topics_of(*kinds)
    if not present:
        kept = ', '.join(bag.topics) or 'none'
        raise InputError(f'{bag.path}: no image topic with messages; topics: {kept}')
    colour = without_copies([topic for topic in present if not is_depth(bag, topic)])
    infos = {topic.name for topic in bag.topics_of(CAMERA_INFO)}
    calibrated = [topic for topic in colour if info_topic_of(topic.name) in infos]
    for candidates in (colour, calibrated):
        if len(candidates) == 1:
            return candidates
    raise InputError(
        f'{bag.path}: {"several image topics" if colour else "only depth images"}: '
        f'{", ".join(topic.name for topic in colour or present)}; choose one with '
        '--set source.image_topic=TOPIC, or several of one robot separated by commas'
    )


def _split(names: str) -> list[str]:
    return [name.strip() for name in names.split(',') if name.strip()]


def base_topic(name: str) -> str:
    """Return the topic of an image without the suffix of its transport."""
    for suffix in _TRANSPORTS:
        if name.endswith(suffix):
            return name[: -len(suffix)]
    return name


def is_rectified(name: str) -> bool:
    """
    Tell whether an image topic is, by its name, of images without distortion.

    ``image_proc`` calls them ``image_rect`` and ``image_rect_color``. Their calibration is P.
    """
    return base_topic(name).rpartition('/')[2].startswith('image_rect')


def info_topic_of(name: str) -> str:
    """Return the topic where image_transport puts the calibration of an image topic."""
    return f'{base_topic(name).rpartition("/")[0]}/camera_info'


def is_depth(bag: BagReader, topic: Topic) -> bool:
    """Tell whether a topic holds depth images, by its name or its first message."""
    if 'depth' in topic.name.lower():
        return True
    first = bag.first(topic.name)
    if topic.type == COMPRESSED_IMAGE:
        return 'compresseddepth' in first.format.lower()
    return str(first.encoding).upper() == '32FC1'


def without_copies(topics: list[Topic]) -> list[Topic]:
    """Leave out the compressed copy of a raw topic: it is the same camera with losses."""
    raw = {topic.name for topic in topics if topic.type == IMAGE}
    return [each for each in topics if each.name in raw or base_topic(each.name) not in raw]
