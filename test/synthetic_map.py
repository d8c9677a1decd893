"""A small consistent map for tests."""

from __future__ import annotations

import numpy as np

from hloc_localizer.geometry.camera import Camera
from hloc_localizer.geometry.transforms import rotation_from_rotvec, transform_from
from hloc_localizer.maps import Component, Manifest, Provenance, RuntimeMap, Statistics


def make_runtime(images: int = 4, points: int = 50, seed: int = 3) -> RuntimeMap:
    """Every image observes every second point; two observations share a descriptor."""
    random = np.random.default_rng(seed)
    seen = [np.arange(image % 2, points, 2) for image in range(images)]
    observation_point = np.concatenate(seen).astype(np.int32)
    others = [[other for other in range(images) if other % 2 == i % 2 and other != i]
              for i in range(images)]  # fmt: skip
    global_descriptors = random.normal(size=(images, 16))
    global_descriptors /= np.linalg.norm(global_descriptors, axis=1, keepdims=True)
    return RuntimeMap(
        image_names=tuple(f'camera/{1000 + image}.jpg' for image in range(images)),
        cameras=(Camera('OPENCV', 640, 480, (500.0, 501.0, 319.5, 239.5, 0.1, -0.02, 0.0, 0.0)),),
        image_camera=np.zeros(images, np.int32),
        map_from_camera=transform_from(
            rotation_from_rotvec(random.normal(size=(images, 3))), random.normal(size=(images, 3))
        ),
        points=random.normal(size=(points, 3)).astype(np.float32),
        point_covariance=np.tile(np.float32([1e-4, 0, 0, 1e-4, 0, 1e-4]), (points, 1)),
        point_colors=random.integers(0, 255, (points, 3), dtype=np.uint8),
        observation_offsets=np.cumsum([0, *(len(one) for one in seen)]).astype(np.int64),
        observation_point=observation_point,
        observation_keypoint=random.uniform(0, 480, (len(observation_point), 2)).astype(np.float32),
        observation_descriptor=observation_point.copy(),
        descriptors=random.integers(0, 255, (points, 128), dtype=np.uint8),
        descriptor_point=np.arange(points, dtype=np.int32),
        covisible_offsets=np.cumsum([0, *(len(one) for one in others)]).astype(np.int64),
        covisible_image=np.concatenate([np.asarray(one) for one in others]).astype(np.int32),
        covisible_count=np.full(sum(len(one) for one in others), points // 2, np.int32),
        global_descriptors=global_descriptors.astype(np.float16),
        retrieval_arrays={'vocabulary': random.normal(size=(8, 128)).astype(np.float32)},
    )


def make_manifest(runtime: RuntimeMap) -> Manifest:
    """Return a manifest in which every field holds something."""
    return Manifest(
        cameras={'camera': runtime.cameras[0]},
        front_end=Component('sift', {'max_keypoints': 1000, 'root': True}),
        global_descriptor=Component('vlad', {'words': 8}),
        map_frame='map',
        metric=True,
        gravity_aligned=True,
        alignment={'translation_rmse_m': 0.0123},
        statistics=Statistics(
            images=len(runtime.image_names),
            points=len(runtime.points),
            observations=len(runtime.observation_point),
            mean_track_length=2.0,
            mean_reprojection_error_px=0.75,
        ),
        provenance=Provenance(
            source={'path': 'lounge', 'image_topic': '/camera/image_raw'},
            options={'frames': {'min_translation_m': 0.1}, 'tags': ['a', 'b']},
            seed=7,
            packages={'numpy': '2.0'},
            created='2026-01-02T03:04:05Z',
        ),
    )
