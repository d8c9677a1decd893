"""A scene whose truth is known: points before twelve cameras, seen with noise."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from hloc_localizer.features.local_features import LocalFeatures
from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.mapping.matching import MapImage, PairMatches

CAMERA = Camera('OPENCV', 640, 480, (500.0, 501.0, 318.0, 241.0, -0.1, 0.02, 0.0005, -0.0003))


@dataclass(frozen=True)
class Scene:
    """What a build would know of the scene, and the truth."""

    images: list[MapImage]
    """With their recorded poses."""
    point_of: list[np.ndarray]
    """For each image (N,) the true point of each keypoint."""
    points: np.ndarray
    """(P, 3)."""
    poses: np.ndarray
    """(I, 4, 4) true ``map_from_camera``."""

    def matches(self) -> PairMatches:
        """Return all true matches of all pairs."""
        found = {}
        for first in range(len(self.images)):
            for second in range(first + 1, len(self.images)):
                _, a, b = np.intersect1d(
                    self.point_of[first], self.point_of[second], return_indices=True
                )
                found[first, second] = np.stack([a, b], axis=1).astype(np.int32)
        return found

    def recorded(self, poses: np.ndarray, camera: Camera = CAMERA) -> Scene:
        """Return the scene with other recorded poses, and keypoints undone by another camera."""
        images = [
            dataclasses.replace(
                image, map_from_camera=pose, plane=camera.normalise(image.features.keypoints)
            )
            for image, pose in zip(self.images, poses, strict=True)
        ]
        return dataclasses.replace(self, images=images)


def make_stereo(scene: Scene, left_from_right: np.ndarray, *, apart_ns: int = 0) -> Scene:
    """Return the scene as seen by two cameras: images 0, 2, 4 ... are left, the others right."""
    random = np.random.default_rng(7)
    images, point_of = [], []
    for index, (left, seen) in enumerate(zip(scene.images, scene.point_of, strict=True)):
        stamp_ns = index * 200_000_000
        pose = scene.poses[index] @ left_from_right
        pixels = CAMERA.project(transforms.apply(transforms.invert(pose), scene.points))
        also = random.permutation(np.flatnonzero(CAMERA.contains(pixels, border=3.0)))
        keypoints = pixels[also] + random.normal(0.0, 0.3, (len(also), 2))
        features = LocalFeatures(
            keypoints=keypoints.astype(np.float32),
            descriptors=random.uniform(size=(len(also), 128)).astype(np.float32),
            scores=np.ones(len(also), np.float32),
            scales=np.ones(len(also), np.float32),
            image_size=CAMERA.image_size,
        )
        right = dataclasses.replace(
            left,
            name=f'right/{index}.jpg',
            camera=1,
            stamp_ns=stamp_ns + apart_ns,
            map_from_camera=pose,
            features=features,
            plane=CAMERA.normalise(features.keypoints),
            colors=np.zeros((len(also), 3), np.uint8),
        )
        images += [dataclasses.replace(left, stamp_ns=stamp_ns), right]
        point_of += [seen, also]
    poses = np.stack([image.map_from_camera for image in images])
    return Scene(images, point_of, scene.points, poses)


def make_scene(
    *, images: int = 12, points: int = 300, noise_px: float = 0.3, seed: int = 0
) -> Scene:
    """Put cameras on a bent path before a wall with depth; all see most of the points."""
    random = np.random.default_rng(seed)
    world = random.uniform([-2.5, -1.8, 4.0], [2.5, 1.8, 7.0], (points, 3))
    along = np.linspace(-1.0, 1.0, images)
    centres = np.stack([along, 0.3 * np.sin(3 * along), 0.4 * np.cos(2 * along)], axis=1)
    rotvecs = np.stack([0.05 * np.cos(4 * along), -0.15 * along, 0.05 * along], axis=1)
    poses = transforms.transform_from(transforms.rotation_from_rotvec(rotvecs), centres)
    descriptors = random.uniform(size=(points, 128)) ** 4
    seen, made = [], []
    for index, pose in enumerate(poses):
        pixels = CAMERA.project(transforms.apply(transforms.invert(pose), world))
        point_of = random.permutation(np.flatnonzero(CAMERA.contains(pixels, border=3.0)))
        keypoints = pixels[point_of] + random.normal(0.0, noise_px, (len(point_of), 2))
        described = np.abs(descriptors[point_of] + random.normal(0, 0.05, (len(point_of), 128)))
        described /= np.linalg.norm(described, axis=1, keepdims=True)
        features = LocalFeatures(
            keypoints=keypoints.astype(np.float32),
            descriptors=described.astype(np.float32),
            scores=np.ones(len(point_of), np.float32),
            scales=np.ones(len(point_of), np.float32),
            image_size=CAMERA.image_size,
        )
        seen.append(point_of)
        made.append(
            MapImage(
                name=f'camera/{index}.jpg',
                stamp_ns=index,
                camera=0,
                map_from_camera=pose,
                features=features,
                plane=CAMERA.normalise(features.keypoints),
                colors=np.stack([point_of % 256] * 3, axis=1).astype(np.uint8),
            )
        )
    return Scene(made, seen, world, poses)
