"""The localizer's file says what the reconstruction knows, in fewer descriptors."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic_scene import CAMERA, Scene, make_scene

from hloc_localizer.geometry.covariance import unpacked_symmetric
from hloc_localizer.mapping.compilation import compile_map, covisibility
from hloc_localizer.mapping.options import CompilationOptions
from hloc_localizer.mapping.tracks import Tracks
from hloc_localizer.maps.quantisation import restore_descriptors
from hloc_localizer.maps.runtime import RuntimeMap


@pytest.fixture(scope='module')
def scene() -> Scene:
    return make_scene(images=8, points=120)


@pytest.fixture(scope='module')
def tracks(scene: Scene) -> Tracks:
    """Return the true tracks, of all points but those that nobody sees."""
    table = np.array(
        sorted(
            (image, keypoint, int(point))
            for image, seen in enumerate(scene.point_of)
            for keypoint, point in enumerate(seen)
        ),
        np.int32,
    )
    used, point = np.unique(table[:, 2], return_inverse=True)
    return Tracks(scene.points[used], table[:, 0], table[:, 1], point.astype(np.int32))


def compiled(scene: Scene, tracks: Tracks, **options: float) -> RuntimeMap:
    return compile_map(
        scene.images,
        [CAMERA],
        scene.poses,
        tracks,
        np.tile(np.diag([1.0, 2.0, 3.0]), (len(tracks.points), 1, 1)),
        global_descriptors=np.eye(8, dtype=np.float32),
        retrieval_arrays={'words': np.zeros((4, 128), np.float16)},
        options=CompilationOptions(**options),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ('cap', 'distance'), [(1, 0.35), (3, 0.2), (4, 0.35), (100, 0.3), (5, 2.0)]
)
def test_every_observation_is_near_its_descriptor_or_its_point_has_all_it_may(
    scene: Scene, tracks: Tracks, cap: int, distance: float
) -> None:
    runtime = compiled(
        scene, tracks, max_descriptors_per_point=cap, min_descriptor_distance=distance
    )
    observed = np.concatenate(
        [
            scene.images[image].features.descriptors[tracks.keypoint[tracks.image == image]]
            for image in range(8)
        ]
    )
    stored = restore_descriptors(runtime.descriptors)
    shared = runtime.observation_descriptor
    off = np.linalg.norm(observed - stored[shared], axis=1)
    counts = np.bincount(runtime.descriptor_point, minlength=len(tracks.points))
    assert counts.min() == 1
    assert counts.max() <= cap
    rounding = 0.02  # the descriptors are stored in bytes
    assert np.all((off <= distance + rounding) | (counts[tracks.point] == cap))
    # Of the descriptors of its point each observation has the nearest.
    for observation in range(0, len(off), 7):
        own = stored[runtime.descriptor_point == tracks.point[observation]]
        nearest = np.linalg.norm(observed[observation] - own, axis=1).min()
        assert off[observation] <= nearest + rounding
    np.testing.assert_array_equal(runtime.descriptor_point[shared], tracks.point)
    assert np.all(np.diff(runtime.descriptor_point) >= 0)


def test_descriptors_are_shared_where_views_are_alike(scene: Scene, tracks: Tracks) -> None:
    one = compiled(scene, tracks, min_descriptor_distance=2.0)
    assert len(one.descriptors) == len(tracks.points)
    every = compiled(scene, tracks, min_descriptor_distance=0.0, max_descriptors_per_point=100)
    assert len(every.descriptors) == len(tracks.point)


def test_observations_are_those_of_the_tracks(scene: Scene, tracks: Tracks) -> None:
    runtime = compiled(scene, tracks)
    assert runtime.image_names == tuple(image.name for image in scene.images)
    for image, seen in enumerate(scene.images):
        begin, end = runtime.observation_offsets[image : image + 2]
        assert end - begin == len(seen.features)
        np.testing.assert_array_equal(
            runtime.observation_keypoint[begin:end], seen.features.keypoints
        )
        points = runtime.points[runtime.observation_point[begin:end]]
        np.testing.assert_allclose(points, scene.points[scene.point_of[image]], rtol=1e-6)
        colors = runtime.point_colors[runtime.observation_point[begin:end], 0]
        np.testing.assert_array_equal(colors, scene.point_of[image] % 256)
    assert runtime.observation_offsets[-1] == len(tracks.point)
    np.testing.assert_array_equal(runtime.map_from_camera, scene.poses)
    known = np.tile(np.diag([1.0, 2.0, 3.0]), (len(tracks.points), 1, 1))
    np.testing.assert_array_equal(unpacked_symmetric(runtime.point_covariance), known)


def test_covisibility_counts_shared_points(tracks: Tracks) -> None:
    random = np.random.default_rng(0)
    kept = random.random(len(tracks.point)) < 0.2
    sparse = Tracks(tracks.points, tracks.image[kept], tracks.keypoint[kept], tracks.point[kept])
    offsets, images, counts = covisibility(sparse, 9)  # the last image sees nothing
    sees = [set(sparse.point[sparse.image == image].tolist()) for image in range(9)]
    assert offsets[-1] == len(images) == len(counts)
    for image in range(9):
        found = dict(
            zip(
                images[offsets[image] : offsets[image + 1]].tolist(),
                counts[offsets[image] : offsets[image + 1]].tolist(),
                strict=True,
            )
        )
        shared = {other: len(sees[image] & sees[other]) for other in range(9) if other != image}
        assert found == {other: count for other, count in shared.items() if count}
        assert list(found.values()) == sorted(found.values(), reverse=True)
    assert offsets[8] == offsets[9]
