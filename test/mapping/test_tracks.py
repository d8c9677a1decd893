"""Tracks of a reconstruction."""

from __future__ import annotations

import numpy as np
import pytest

from hloc_localizer.geometry.camera import Camera
from hloc_localizer.mapping.tracks import tracks_of

CAMERA = Camera('PINHOLE', 640, 480, (500.0, 500.0, 319.5, 239.5))


def test_tracks_of_a_reconstruction_are_sorted_and_complete() -> None:
    pycolmap = pytest.importorskip('pycolmap')
    from synthetic_scene import make_scene

    from hloc_localizer.mapping.colmap_scene import posed_reconstruction

    scene = make_scene(images=3, points=40)
    reconstruction = posed_reconstruction(scene.images, [CAMERA], list(scene.poses))
    expected = []
    for index, point in enumerate((7, 3, 20)):
        track = pycolmap.Track()
        for image in (2, 0, 1):
            keypoint = int(np.flatnonzero(scene.point_of[image] == point)[0])
            track.add_element(image + 1, keypoint)
            expected.append((image, keypoint, index))
        reconstruction.add_point3D(scene.points[point], track)
    tracks = tracks_of(reconstruction)
    np.testing.assert_array_equal(tracks.points, scene.points[[7, 3, 20]])
    found = list(zip(tracks.image, tracks.keypoint, tracks.point, strict=True))
    assert found == sorted(expected)
    empty = tracks_of(posed_reconstruction(scene.images, [CAMERA], list(scene.poses)))
    assert empty.points.shape == (0, 3)
    assert len(empty.image) == 0
