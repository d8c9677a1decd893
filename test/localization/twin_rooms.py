"""A map of two rooms that look alike in front and differ at the back, and images taken in them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from synthetic_map import make_manifest

from hloc_localizer.features.local_features import LocalFeatures
from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.localization import Localizer, LocalizerOptions
from hloc_localizer.maps import Component, Map, RuntimeMap
from hloc_localizer.maps.calibration import Calibration
from hloc_localizer.maps.quantisation import quantise_descriptors
from hloc_localizer.retrieval.vlad import VladOptions, learn_vlad

Array = NDArray[np.float64]

CAMERA = Camera('PINHOLE', 640, 480, (420.0, 420.0, 319.5, 239.5))
MAP_FROM_ROOM = (
    np.eye(4),
    transforms.transform_from(
        transforms.rotation_from_rotvec([0.0, 0.0, 0.7]), np.array([30.0, -12.0, 0.0])
    ),
)
"""Where the two rooms are."""

_POINTS = 900
_COMMON = np.radians(110.0)
"""Points up to this far to either side of a room's front are the same in both rooms."""
_OPTICAL = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
"""Axes of a camera that looks along x, z being up."""


def room_from_camera(yaw_deg: float, x: float = 0.0, y: float = 0.0) -> Array:
    """Return the pose of a camera in a room that looks away from its front by an angle."""
    turn = transforms.rotation_from_rotvec([0.0, 0.0, np.radians(yaw_deg)])
    return transforms.transform_from(turn @ _OPTICAL, [x, y, 0.0])


class TwinRooms:
    """The two rooms, each a wall of points around its middle."""

    def __init__(self, seed: int = 0) -> None:
        self._random = np.random.default_rng(seed)
        azimuth = self._random.uniform(-np.pi, np.pi, _POINTS)
        radius = self._random.uniform(4.0, 6.0, _POINTS)
        height = self._random.uniform(-2.0, 2.0, _POINTS)
        room = np.stack([radius * np.cos(azimuth), radius * np.sin(azimuth), height], axis=1)
        self.points = np.concatenate([transforms.apply(pose, room) for pose in MAP_FROM_ROOM])
        first, second = (self._described(_POINTS) for _ in range(2))
        self.descriptors = np.concatenate(
            [first, np.where((np.abs(azimuth) < _COMMON)[:, None], first, second)]
        )

    def _described(self, count: int) -> Array:
        descriptors = self._random.uniform(size=(count, 128)) ** 4
        return np.asarray(descriptors / np.linalg.norm(descriptors, axis=1, keepdims=True))

    def photograph(
        self, map_from_camera: Array, *, noise_px: float = 0.5
    ) -> tuple[LocalFeatures, NDArray[np.intp]]:
        """Return what a camera sees of the room it is in, and which points they are."""
        in_camera = transforms.apply(transforms.invert(map_from_camera), self.points)
        near = np.linalg.norm(in_camera, axis=1) < 10.0
        seen = np.flatnonzero(CAMERA.contains(CAMERA.project(in_camera), border=3.0) & near)
        pixels = CAMERA.project(in_camera[seen]) + self._random.normal(0, noise_px, (len(seen), 2))
        described = np.abs(self.descriptors[seen] + self._random.normal(0, 0.01, (len(seen), 128)))
        described /= np.linalg.norm(described, axis=1, keepdims=True)
        ones = np.ones(len(seen), np.float32)
        features = LocalFeatures(
            pixels.astype(np.float32), described.astype(np.float32), ones, ones, CAMERA.image_size
        )
        return features, seen

    def runtime(self) -> RuntimeMap:
        """Return a map of both rooms: twelve images all around in each."""
        poses = [
            map_from_room @ room_from_camera(yaw, 0.3 * np.cos(yaw), 0.3 * np.sin(yaw))
            for map_from_room in MAP_FROM_ROOM
            for yaw in range(0, 360, 30)
        ]
        images = [self.photograph(pose, noise_px=0.0) for pose in poses]
        seen = [points for _, points in images]
        shared = [[len(np.intersect1d(a, b)) if a is not b else 0 for b in seen] for a in seen]
        others = [np.flatnonzero(row) for row in shared]
        learned = learn_vlad([features for features, _ in images], VladOptions(clusters=16))
        return RuntimeMap(
            image_names=tuple(f'camera/{index}.jpg' for index in range(len(poses))),
            cameras=(CAMERA,),
            image_camera=np.zeros(len(poses), np.int32),
            map_from_camera=np.stack(poses),
            points=self.points.astype(np.float32),
            point_covariance=np.tile(
                np.float32([1e-5, 0, 0, 1e-5, 0, 1e-5]), (len(self.points), 1)
            ),
            point_colors=np.zeros((len(self.points), 3), np.uint8),
            observation_offsets=np.cumsum([0, *map(len, seen)]).astype(np.int64),
            observation_point=np.concatenate(seen).astype(np.int32),
            observation_keypoint=np.concatenate([features.keypoints for features, _ in images]),
            observation_descriptor=np.concatenate(seen).astype(np.int32),
            descriptors=quantise_descriptors(self.descriptors.astype(np.float32)),
            descriptor_point=np.arange(len(self.points), dtype=np.int32),
            covisible_offsets=np.cumsum([0, *map(len, others)]).astype(np.int64),
            covisible_image=np.concatenate(others).astype(np.int32),
            covisible_count=np.concatenate(
                [np.asarray(row)[other] for row, other in zip(shared, others, strict=True)]
            ).astype(np.int32),
            global_descriptors=np.stack(
                [learned.describe(features) for features, _ in images]
            ).astype(np.float16),
            retrieval_arrays=learned.arrays,
        )


class RoomLocalizer(Localizer):
    """A localizer whose images are poses: what it extracts is what is seen from there."""

    def __init__(
        self,
        rooms: TwinRooms,
        options: LocalizerOptions | None = None,
        calibration: Calibration | None = None,
    ) -> None:
        runtime = rooms.runtime()
        manifest = dataclasses.replace(
            make_manifest(runtime), front_end=Component('sift'), calibration=calibration
        )
        super().__init__(Map(Path('rooms'), manifest, runtime), options)
        self._front_end.extract = lambda _: self._seen  # type: ignore[method-assign]
        self._rooms = rooms

    def face(self, map_from_camera: Array) -> NDArray[np.uint8]:
        """Turn to where the next image is to be taken from, and return a stand-in for it."""
        self._seen, _ = self._rooms.photograph(map_from_camera)
        return np.zeros((CAMERA.height, CAMERA.width), np.uint8)
