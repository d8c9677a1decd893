"""The calibration of the live camera: from a file, or from the newest camera_info."""

from __future__ import annotations

import threading

from sensor_msgs.msg import CameraInfo

from hloc_localizer.errors import InputError
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.localization.calibration_check import implausible
from hloc_localizer.ros.parameters import checked_path
from hloc_localizer.sources.camera_info import camera_from_file, camera_from_info


class CameraInput:
    """Holds the calibration; one thread sets it, another reads it."""

    def __init__(self, file: str, topic: str = 'camera_info', *, rectified_topic: str = '') -> None:
        """
        Begin with the calibration of a file, or with none.

        :param file: ROS calibration YAML; empty: camera_info tells it.
        :param topic: where camera_info is expected, for people.
        :param rectified_topic: of images that have no distortion, so that P is their calibration.
        :raises InputError: naming the file, when it cannot be used.
        """
        self.from_file = bool(file)
        self._rectified_topic = rectified_topic
        self.frame = ''
        """``frame_id`` of the newest calibration; empty when nobody said."""
        self._lock = threading.Lock()
        self._camera = camera_from_file(checked_path(file, 'camera_info_file')) if file else None
        self._error = (
            f'no camera_info has arrived on {topic}: publish it, remap camera_info, or set the '
            'parameter camera_info_file'
        )

    def update(self, message: CameraInfo) -> str:
        """
        Take over a calibration; a wrong one leaves none, for the old one may be as wrong.

        :returns: why it is wrong; empty when it is not.
        """
        self.frame = message.header.frame_id
        camera, error = None, ''
        try:
            camera = camera_from_info(message, rectified_topic=self._rectified_topic)
            if not message.roi.width and (wrong := implausible(camera)):
                camera, error = None, f'wrong camera_info: {wrong}'
        except (InputError, ValueError) as problem:
            error = f'wrong camera_info: {problem}'
        with self._lock:
            self._camera, self._error = camera, error
        return error

    def camera(self) -> Camera:
        """
        Return the present calibration.

        :raises InputError: when there is none, saying why.
        """
        with self._lock:
            if self._camera is None:
                raise InputError(self._error)
            return self._camera
