"""Poses and points from verified pairs alone, with COLMAP's global or incremental mapper."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pycolmap
from numpy.typing import NDArray

from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.mapping.colmap_scene import colmap_camera, write_database
from hloc_localizer.mapping.matching import MapImage
from hloc_localizer.mapping.rigs import CameraRig
from hloc_localizer.mapping.tracks import Tracks, tracks_of
from hloc_localizer.mapping.two_view import Geometries

_ENOUGH = 0.9
"""Share of the images in one model with which ``auto`` is content after the first mapper."""
_MIN_MODEL = 3


@dataclass(frozen=True)
class Model:
    """A connected reconstruction in a frame and a unit of its own."""

    images: NDArray[np.intp]
    """(K,) indices of its images, increasing."""
    poses: NDArray[np.float64]
    """(K, 4, 4) ``model_from_camera``."""
    cameras: tuple[Camera, ...]
    """All cameras; those of its images as this model sees them."""
    tracks: Tracks
    """Its points; ``tracks.image`` are indices of all images, not of its own."""
    error_px: float
    """Mean reprojection error."""
    mapper: str


@dataclass(frozen=True)
class Calibration:
    """What is known of the cameras."""

    cameras: tuple[Camera, ...]
    refine: tuple[bool, ...]
    """Of each, whether reconstruction is to change it."""
    trusted: tuple[bool, ...]
    """Of each, whether the focal length is good enough for the geometry of two views."""

    def translated(self) -> list[pycolmap.Camera]:
        """Return the cameras for COLMAP; camera ``c`` has the id ``c + 1``."""
        cameras = []
        for index, camera in enumerate(self.cameras):
            translated = colmap_camera(camera, index + 1)
            translated.has_prior_focal_length = self.trusted[index]
            cameras.append(translated)
        return cameras


def find_models(
    images: Sequence[MapImage],
    calibration: Calibration,
    geometries: Geometries,
    *,
    mapper: str,
    workspace: Path,
    seed: int,
    threads: int,
    rigs: Sequence[CameraRig] = (),
) -> list[Model]:
    """
    Reconstruct; return the models without overlap, the largest first.

    ``auto`` tries the global mapper, which bridges weak stretches, and the incremental one where
    that leaves more than a tenth of the images out; the larger result counts.

    :param mapper: ``auto``, ``global`` or ``incremental``.
    :param workspace: an existing folder for scratch files.
    :param rigs: cameras that are mounted together: their images of one moment are placed as one.
    :returns: empty when nothing could be reconstructed.
    """
    # COLMAP reports as errors what the caller tells in one line: that no model came out.
    pycolmap.logging.minloglevel = pycolmap.logging.Level.FATAL.value
    run = _Run(images, calibration, geometries, workspace, seed, threads, rigs)
    if mapper != 'auto':
        return run.models(mapper)
    models = run.models('global')
    if _largest(models) >= _ENOUGH * len(images):
        return models
    others = run.models('incremental')
    return others if _largest(others) > _largest(models) else models


def _largest(models: Sequence[Model]) -> int:
    return len(models[0].images) if models else 0


@dataclass(frozen=True)
class _Run:
    """What all mappers work on."""

    images: Sequence[MapImage]
    calibration: Calibration
    geometries: Geometries
    workspace: Path
    seed: int
    threads: int
    rigs: Sequence[CameraRig]

    def models(self, mapper: str) -> list[Model]:
        """Run one mapper on a fresh database."""
        path = self.workspace / 'database.db'
        path.unlink(missing_ok=True)
        write_database(path, self.images, self.calibration.translated(), self.geometries, self.rigs)
        found = _MAPPERS[mapper](self, path)
        path.unlink()
        models = [self._model(each, mapper) for each in found.values()]
        return _without_overlap([each for each in models if len(each.images) >= _MIN_MODEL])

    def globally(self, path: Path) -> Mapping[int, pycolmap.Reconstruction]:
        """Run GLOMAP (Pan et al. 2024)."""
        trusted = all(self.calibration.trusted)
        if not trusted and not pycolmap.calibrate_view_graph(path):
            return {}
        options = pycolmap.GlobalPipelineOptions()
        options.num_threads = self.threads
        options.random_seed = self.seed
        options.min_model_size = _MIN_MODEL
        for part in (
            options.mapper,
            options.mapper.rotation_averaging,
            options.mapper.global_positioning,
            options.mapper.bundle_adjustment,
        ):
            part.refine_sensor_from_rig = False
        adjustment = options.mapper.bundle_adjustment
        adjustment.refine_focal_length = any(self.calibration.refine)
        adjustment.refine_extra_params = any(self.calibration.refine)
        return dict(pycolmap.global_mapping(path, self.workspace, self.workspace, options))

    def incrementally(self, path: Path) -> Mapping[int, pycolmap.Reconstruction]:
        """Run COLMAP's incremental mapper (Schoenberger and Frahm 2016)."""
        options = pycolmap.IncrementalPipelineOptions()
        options.num_threads = self.threads
        options.random_seed = self.seed
        options.min_model_size = _MIN_MODEL
        options.extract_colors = False
        options.ba_refine_sensor_from_rig = False
        options.ba_refine_focal_length = any(self.calibration.refine)
        options.ba_refine_extra_params = any(self.calibration.refine)
        options.constant_cameras = {
            index + 1 for index, refine in enumerate(self.calibration.refine) if not refine
        }
        # A hand-held or driving camera seldom has two views 16 degrees apart that share much.
        options.mapper.init_min_tri_angle = 8.0
        return dict(pycolmap.incremental_mapping(path, self.workspace, self.workspace, options))

    def _model(self, reconstruction: pycolmap.Reconstruction, mapper: str) -> Model:
        registered = {
            image_id: transforms.invert(
                np.vstack([image.cam_from_world().matrix(), [0.0, 0.0, 0.0, 1.0]])
            )
            for image_id, image in sorted(reconstruction.images.items())
            if image.has_pose
        }
        seen = reconstruction.cameras
        cameras = list(self.calibration.cameras)
        for index, refine in enumerate(self.calibration.refine):
            if refine and index + 1 in seen:
                found = seen[index + 1]
                cameras[index] = Camera.from_colmap(
                    found.model.name, found.width, found.height, found.params.tolist()
                )
        return Model(
            images=np.array([image_id - 1 for image_id in registered], np.intp),
            poses=np.stack([*registered.values()]) if registered else np.zeros((0, 4, 4)),
            cameras=tuple(cameras),
            tracks=tracks_of(reconstruction),
            error_px=float(reconstruction.compute_mean_reprojection_error()),
            mapper=mapper,
        )


_MAPPERS: Mapping[str, Callable[[_Run, Path], Mapping[int, pycolmap.Reconstruction]]] = {
    'global': _Run.globally,
    'incremental': _Run.incrementally,
}


def _without_overlap(models: Sequence[Model]) -> list[Model]:
    """Leave each image to the largest model that has it: the incremental mapper shares some."""
    kept: list[Model] = []
    taken: set[int] = set()
    for model in sorted(models, key=lambda each: -len(each.images)):
        own = np.array([index not in taken for index in model.images.tolist()], bool)
        if np.count_nonzero(own) < _MIN_MODEL:
            continue
        taken.update(model.images[own].tolist())
        kept.append(_restricted(model, own))
    return sorted(kept, key=lambda each: -len(each.images))


def _restricted(model: Model, own: NDArray[np.bool_]) -> Model:
    if own.all():
        return model
    images = model.images[own]
    tracks = model.tracks
    inside = np.isin(tracks.image, images)
    reduced = Tracks(
        tracks.points, tracks.image[inside], tracks.keypoint[inside], tracks.point[inside]
    )
    return Model(images, model.poses[own], model.cameras, reduced, model.error_px, model.mapper)
