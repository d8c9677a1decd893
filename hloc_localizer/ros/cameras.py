"""The cameras of the localizer node: topics, subscriptions, calibrations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from hloc_localizer.errors import InputError
from hloc_localizer.ros.camera_input import CameraInput
from hloc_localizer.ros.frame_processor import CameraOnRobot
from hloc_localizer.ros.image_subscription import ImageSubscription
from hloc_localizer.ros.latched_subscription import LatchedSubscription
from hloc_localizer.ros.options import LocalizerNodeOptions
from hloc_localizer.sources.bag_topics import info_topic_of, is_rectified

_COMPRESSED = '/compressed'


@dataclass(frozen=True)
class CameraTopics:
    """Where one camera's messages come from."""

    image: str
    """Full name of the topic that is subscribed to."""
    camera_info: str
    camera_info_file: str
    """Calibration that replaces the topic; empty: none."""
    frame: str
    """TF frame of the camera; empty takes that of each image."""


def camera_topics(
    options: LocalizerNodeOptions, resolve: Callable[[str], str]
) -> list[CameraTopics]:
    """
    Return the cameras that the parameters name.

    :param resolve: returns the full name of a topic, after remapping.
    :raises InputError: when there is not one value of a parameter for each image topic.
    """
    names = _split(options.image_topics)
    infos = _one_each(options.camera_info_topics, 'camera_info_topics', len(names))
    if not names:
        names, infos = ['image'], ['camera_info']
    files = _one_each(options.camera_info_file, 'camera_info_file', len(names))
    frames = _one_each(options.camera_frame, 'camera_frame', len(names))
    if len(set(names)) < len(names):
        raise InputError("parameter 'image_topics' names a topic twice")
    raw = options.image_transport == 'raw'
    return [
        CameraTopics(
            _image_topic(resolve(name), raw),
            resolve(info) if info else info_topic_of(resolve(name)),
            file,
            frame,
        )
        for name, info, file, frame in zip(names, infos, files, frames, strict=True)
    ]


def _split(names: str) -> list[str]:
    return [name.strip() for name in names.split(',') if name.strip()]


def _one_each(names: str, parameter: str, cameras: int) -> list[str]:
    values = _split(names)
    if values and len(values) != cameras:
        raise InputError(
            f"parameter '{parameter}' has {len(values)} values for {cameras or 1} image topics; "
            'give one each, separated by commas'
        )
    return values or [''] * cameras


def _image_topic(name: str, raw: bool) -> str:
    """Return the topic of a transport; a remapping holds for both."""
    return name if raw or name.endswith(_COMPRESSED) else name + _COMPRESSED


class Cameras:
    """Subscribes to images and calibrations, and holds the newest calibration of each camera."""

    def __init__(self, options: LocalizerNodeOptions, resolve: Callable[[str], str]) -> None:
        """
        Prepare; nothing is subscribed to yet.

        :raises InputError: for parameters that do not fit, or a calibration that cannot be read.
        """
        self.topics: Sequence[CameraTopics] = camera_topics(options, resolve)
        self.inputs = [
            CameraInput(
                topics.camera_info_file,
                topics.camera_info,
                rectified_topic=topics.image if is_rectified(topics.image) else '',
            )
            for topics in self.topics
        ]
        self._raw = options.image_transport == 'raw'
        self._frames = [''] * len(self.topics)
        self._images: list[ImageSubscription] = []
        self._infos: list[LatchedSubscription] = []

    @property
    def image_topics(self) -> list[str]:
        """The topics that images come on."""
        return [topics.image for topics in self.topics]

    def on_robot(self) -> list[CameraOnRobot]:
        """Return the cameras as what processes their images knows them."""
        return [
            CameraOnRobot(topics.image, held.camera, topics.frame)
            for topics, held in zip(self.topics, self.inputs, strict=True)
        ]

    @property
    def listening(self) -> bool:
        """Whether images are subscribed to."""
        return bool(self._images)

    def listen(self, node: Node, received: Callable[[Any, int], None]) -> None:
        """
        Subscribe to the images.

        :param received: called with each image and the number of its camera.
        """
        for number, topics in enumerate(self.topics):
            self._images.append(
                ImageSubscription(
                    node=node,
                    kind=Image if self._raw else CompressedImage,
                    topic=topics.image,
                    callback=partial(self._hand_on, received, number),
                )
            )

    def ignore(self) -> None:
        """End the subscriptions to the images."""
        while self._images:
            self._images.pop().destroy()

    def adapt(self) -> None:
        """Ask for what the publishers offer now."""
        for images in self._images:
            images.adapt()
        for infos in self._infos:
            infos.adapt()

    def listen_to_calibrations(self, node: Node, judged: Callable[[str, str], None]) -> None:
        """
        Subscribe to the calibrations that no file replaces.

        :param judged: called with the topic and what is wrong with a calibration, or nothing.
        """
        for topics, held in zip(self.topics, self.inputs, strict=True):
            if not held.from_file:
                take = partial(_take_calibration, topics.camera_info, held, judged)
                self._infos.append(
                    LatchedSubscription(
                        node=node, kind=CameraInfo, topic=topics.camera_info, callback=take
                    )
                )

    def strange_frames(self) -> str:
        """Return the cameras whose calibration is, by its frame, of another one; empty: none."""
        return '; '.join(
            f"images on {topics.image} are of the frame '{frame}', {topics.camera_info} is of "
            f"'{held.frame}': is it of the same camera?"
            for topics, held, frame in zip(self.topics, self.inputs, self._frames, strict=True)
            if frame and held.frame and frame.lstrip('/') != held.frame.lstrip('/')
        )

    def _hand_on(self, received: Callable[[Any, int], None], number: int, message: Any) -> None:
        self._frames[number] = message.header.frame_id
        received(message, number)

    def destroy(self) -> None:
        """End all subscriptions."""
        self.ignore()
        while self._infos:
            self._infos.pop().destroy()


def _take_calibration(
    topic: str, held: CameraInput, judged: Callable[[str, str], None], message: CameraInfo
) -> None:
    judged(topic, held.update(message))
