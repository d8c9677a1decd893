"""New images reconstructed around those of a map that stay where they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pycolmap
from numpy.typing import NDArray

from hloc_localizer.geometry.camera import Camera
from hloc_localizer.mapping.colmap_scene import cameras_of, poses_of
from hloc_localizer.mapping.matching import MapImage, PairMatches, verify_matches
from hloc_localizer.mapping.options import ReconstructionOptions
from hloc_localizer.mapping.reconstruction import (
    MIN_IMAGES_TO_CALIBRATE,
    MIN_POINTS_TO_MOVE,
    adjustment_options,
    drop_bad_points,
    prior_options,
    triangulate,
)
from hloc_localizer.mapping.tracks import tracks_of

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Extension:
    """Images of a map and new ones, with what is known of their matches."""

    images: Sequence[MapImage]
    cameras: Sequence[Camera]
    is_new: NDArray[np.bool_]
    """(I,)."""
    known: PairMatches
    """Matches that a map was made of: they are not verified again."""
    found: PairMatches
    new_cameras: frozenset[int]
    """Cameras that only new images have."""
    prior_sigma_m: Array
    """(I,) standard deviations of the positions; of no meaning for images of the map."""
    keep_all: bool = True
    """Whether new images are kept that show little but points of the map."""
    refine_map: bool = False
    """Whether in the end the map's images, and its cameras, may move too."""


def reconstruct_around(
    extension: Extension,
    options: ReconstructionOptions,
    *,
    workspace: Path,
    threads: int,
) -> tuple[pycolmap.Reconstruction, NDArray[np.intp]]:
    """
    Triangulate all images and refine the new ones; those of the map do not move until the end.

    Done twice, as when a map is built: the first pass lets in what poses a few centimetres off make
    of a match, the second sees sharply. New images that join nothing are dropped between the two.

    :param workspace: an existing folder for scratch files.
    :returns: the reconstruction, and the images that it holds, in its order.
    """
    given = [image.map_from_camera for image in extension.images]
    verified = verify_matches(
        extension.images,
        given,
        extension.cameras,
        extension.found,
        max_error_px=options.max_epipolar_error_px,
    )
    reconstruction = triangulate(
        extension.images,
        extension.cameras,
        given,
        {**extension.known, **verified},
        options,
        workspace,
    )
    _adjust_new(reconstruction, extension, given, options, threads)
    drop_bad_points(reconstruction, options)
    kept = _joined(reconstruction, extension)
    poses, cameras = poses_of(reconstruction), cameras_of(reconstruction)
    extension = _of_kept(extension, kept, cameras)
    poses, given = [poses[index] for index in kept], [given[index] for index in kept]
    verified = verify_matches(
        extension.images,
        poses,
        cameras,
        extension.found,
        max_error_px=options.refined_epipolar_error_px,
    )
    reconstruction = triangulate(
        extension.images, cameras, poses, {**extension.known, **verified}, options, workspace
    )
    _adjust_new(reconstruction, extension, given, options, threads)
    if extension.refine_map:
        _adjust_new(reconstruction, extension, given, options, threads, hold_map=False)
    drop_bad_points(reconstruction, options)
    drop_points_of_neither(reconstruction, extension.is_new, options.min_track_length)
    return reconstruction, kept


def drop_points_of_neither(
    reconstruction: pycolmap.Reconstruction, is_new: NDArray[np.bool_], least: int
) -> None:
    """
    Drop points that neither the images of the map nor the new ones see often enough by themselves.

    The more images look at a place, the easier is it for a poor point to be seen three times in
    all. The localizer would expect it in its image, seldom find it, and doubt the pose.

    :param least: how many images of one side have to see a point.
    """
    poor = []
    for point_id, point in reconstruction.points3D.items():
        new = sum(bool(is_new[element.image_id - 1]) for element in point.track.elements)
        if max(new, point.track.length() - new) < least:
            poor.append(point_id)
    manager = pycolmap.ObservationManager(reconstruction)
    for point_id in poor:
        manager.delete_point3D(point_id)


def _joined(reconstruction: pycolmap.Reconstruction, extension: Extension) -> NDArray[np.intp]:
    """Return the images of the map, and the new ones that see enough points, or new ones."""
    points = np.array(
        [reconstruction.images[index].num_points3D for index in sorted(reconstruction.images)]
    )
    joined = points >= MIN_POINTS_TO_MOVE
    if not extension.keep_all:
        joined &= _known_share(reconstruction, extension) <= _KNOWN_SHARE
    return np.flatnonzero(~extension.is_new | joined)


_KNOWN_SHARE = 0.5
"""An image of whose points the map has more than this shows nothing new."""


def _known_share(
    reconstruction: pycolmap.Reconstruction, extension: Extension
) -> NDArray[np.float64]:
    """Return which share (I,) of the points that each image sees the map had before."""
    in_map = [np.zeros(len(image.features), np.bool_) for image in extension.images]
    for (first, second), indices in extension.known.items():
        in_map[first][indices[:, 0]] = True
        in_map[second][indices[:, 1]] = True
    tracks = tracks_of(reconstruction)
    ends = np.searchsorted(tracks.image, np.arange(len(extension.images) + 1))
    of_map = np.concatenate(
        [
            known[tracks.keypoint[ends[index] : ends[index + 1]]]
            for index, known in enumerate(in_map)
        ]
    ) & (~extension.is_new[tracks.image])
    old = np.bincount(tracks.point, of_map, minlength=len(tracks.points)) > 0
    seen = np.bincount(tracks.image, minlength=len(extension.images))
    return np.bincount(tracks.image, old[tracks.point], len(seen)) / np.maximum(seen, 1)


def _of_kept(extension: Extension, kept: NDArray[np.intp], cameras: Sequence[Camera]) -> Extension:
    """Return the extension of some of its images, with cameras as they were refined."""
    number = np.full(len(extension.images), -1)
    number[kept] = np.arange(len(kept))

    def renumbered(matches: PairMatches) -> PairMatches:
        return {
            (int(number[first]), int(number[second])): indices
            for (first, second), indices in matches.items()
            if number[first] >= 0 and number[second] >= 0
        }

    images = []
    for index in kept.tolist():
        image = extension.images[index]
        plane = cameras[image.camera].normalise(image.features.keypoints)
        images.append(dataclasses.replace(image, plane=plane))
    return dataclasses.replace(
        extension,
        images=images,
        cameras=cameras,
        is_new=extension.is_new[kept],
        prior_sigma_m=extension.prior_sigma_m[kept],
        known=renumbered(extension.known),
        found=renumbered(extension.found),
    )


def _adjust_new(
    reconstruction: pycolmap.Reconstruction,
    extension: Extension,
    given: Sequence[Array],
    options: ReconstructionOptions,
    threads: int,
    *,
    hold_map: bool = True,
) -> None:
    """
    Adjust the new images and all points.

    :param given: the I poses that the positions of images are drawn to.
    :param hold_map: whether the map's images, and its cameras, are held.
    """
    if not options.refine_poses or reconstruction.num_points3D() == 0:
        return
    config = pycolmap.BundleAdjustmentConfig()
    priors = []
    for index, image in sorted(reconstruction.images.items()):
        config.add_image(index)
        is_new = extension.is_new[index - 1]
        held = hold_map and not is_new
        if held or image.num_points3D < MIN_POINTS_TO_MOVE:
            config.set_constant_rig_from_world_pose(image.frame_id)
        of_map = _HELD_SIGMA_M if hold_map else options.prior_position_sigma_m
        sigma = extension.prior_sigma_m[index - 1] if is_new else of_map
        priors.append(
            pycolmap.PosePrior(
                pose_prior_id=index,
                corr_data_id=image.data_id,
                position=given[index - 1][:3, 3],
                position_covariance=np.eye(3) * sigma**2,
                coordinate_system=pycolmap.PosePriorCoordinateSystem.CARTESIAN,
            )
        )
    for camera_id in reconstruction.cameras:
        count = sum(image.camera == camera_id - 1 for image in extension.images)
        refined = options.refine_intrinsics and count >= MIN_IMAGES_TO_CALIBRATE
        if (hold_map and camera_id - 1 not in extension.new_cameras) or not refined:
            config.set_constant_cam_intrinsics(camera_id)
    # Making the adjuster moves the whole already.
    before = np.stack(poses_of(reconstruction))
    adjuster = pycolmap.create_pose_prior_bundle_adjuster(
        adjustment_options(hold_rotations=options.rotations == 'held', threads=threads),
        prior_options(),
        config,
        priors,
        reconstruction,
    )
    adjuster.solve()
    _put_back(reconstruction, before, np.flatnonzero(~extension.is_new))


_HELD_SIGMA_M = 1e-3
"""Of the priors of images that are held: they only tell COLMAP in which frame they are."""


def _put_back(
    reconstruction: pycolmap.Reconstruction, before: Array, held: NDArray[np.intp]
) -> None:
    """
    Undo the motion of the whole by which COLMAP's adjuster aligns it with the priors.

    Relative to each other the images that were held have not moved, so they tell it exactly. Where
    they may move, the frame of the map is where they lie on average.
    """
    after = np.stack(poses_of(reconstruction))[held]
    goals = before[held]
    centres = [poses[:, :3, 3] - poses[:, :3, 3].mean(axis=0) for poses in (after, goals)]
    spreads = [float(np.linalg.norm(each)) for each in centres]
    scale = spreads[1] / spreads[0] if min(spreads) > 1e-9 else 1.0
    turns = goals[:, :3, :3] @ np.swapaxes(after[:, :3, :3], 1, 2)
    left, _, right = np.linalg.svd(turns.sum(axis=0))
    rotation = left @ np.diag([1.0, 1.0, np.linalg.det(left @ right)]) @ right
    shift = goals[:, :3, 3].mean(axis=0) - scale * rotation @ after[:, :3, 3].mean(axis=0)
    reconstruction.transform(pycolmap.Sim3d(np.column_stack([scale * rotation, shift])))
