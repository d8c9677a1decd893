"""A map made smaller: fewer of its images, chosen so that no place is lost."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.errors import InputError
from hloc_localizer.features.local_features import LocalFeatures
from hloc_localizer.mapping.image_choice import order_by_coverage
from hloc_localizer.mapping.map_images import features_of, stamps_of
from hloc_localizer.mapping.recall import Recall, compare
from hloc_localizer.maps import Manifest, Map, RuntimeMap, Statistics, write_map
from hloc_localizer.maps.container import compiled_size
from hloc_localizer.maps.hloc_export import MODEL_FOLDER
from hloc_localizer.maps.hloc_files import (
    FEATURES_NAME,
    GLOBAL_FEATURES_NAME,
    read_global_features,
    write_features,
    write_global_features,
)
from hloc_localizer.maps.subset import without_images
from hloc_localizer.progress import Progress, SilentProgress

HELD_OUT = 64
"""Images whose recall is compared."""
MIN_IMAGES = 3


@dataclass(frozen=True)
class PruneReport:
    """What was kept, and what it cost."""

    images_before: int
    images: int
    points_before: int
    points: int
    bytes_before: int
    bytes: int
    """Of the compiled file, all that the localizer reads."""
    recall_before: Recall | None
    recall: Recall | None
    """Of the same held-out images; None where the map has no features to try it with."""

    def lines(self) -> list[str]:
        """Return the report for a terminal."""
        lines = [
            f'{self.images} of {self.images_before} images, {self.points} of '
            f'{self.points_before} points, {self.bytes / 1e6:.1f} of '
            f'{self.bytes_before / 1e6:.1f} MB for the localizer'
        ]
        if self.recall_before and self.recall:
            lines.append(f'held-out images found before: {self.recall_before}')
            lines.append(f'held-out images found after:  {self.recall}')
        else:
            lines.append(f'the cost in recall is not known: the map has no {FEATURES_NAME}')
        return lines


def prune_map(
    loaded: Map,
    output: Path,
    *,
    images: int | None = None,
    size: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> PruneReport:
    """
    Write a map with fewer of its images.

    :param images: how many to keep.
    :param size: bytes that the compiled file may have; as many images as fit are kept.
    :raises InputError: when so few images, or so few bytes, do not make a map.
    """
    progress = progress or SilentProgress()
    progress.stage('choose')
    order = order_by_coverage(loaded.runtime)
    kept = len(order) if images is None else images
    if kept > len(order):
        raise InputError(f'{loaded.path}: has {len(order)} images, {kept} cannot be kept')
    if size is not None:
        kept = min(kept, _fitting(loaded.runtime, order, size))
    if kept < MIN_IMAGES:
        raise InputError(f'a map needs at least {MIN_IMAGES} images, not {kept}')
    gone = _without_all_but(order, kept)
    runtime = without_images(loaded.runtime, gone)
    if len(runtime.points) == 0:
        raise InputError(f'{loaded.path}: no two of {kept} images share a point; keep more')
    features = features_of(loaded) if FEATURES_NAME in loaded.manifest.files else None
    before, after = _recall(loaded, features, gone, progress)
    progress.stage('write')
    manifest = _manifest(loaded, runtime, (before, after))

    def add_files(folder: Path) -> None:
        _add_files(folder, loaded, features, gone)

    written = write_map(output, manifest, runtime, overwrite=overwrite, add_files=add_files)
    return PruneReport(
        images_before=len(order),
        images=kept,
        points_before=len(loaded.runtime.points),
        points=len(runtime.points),
        bytes_before=loaded.compiled_bytes,
        bytes=Map(output, written, runtime).compiled_bytes,
        recall_before=before,
        recall=after,
    )


def _without_all_but(order: NDArray[np.intp], kept: int) -> NDArray[np.bool_]:
    gone = np.ones(len(order), np.bool_)
    gone[order[:kept]] = False
    return gone


def _fitting(runtime: RuntimeMap, order: NDArray[np.intp], size: int) -> int:
    """Return how many of the first images make a compiled file of at most so many bytes."""
    fits, too_many = 0, len(order) + 1
    while too_many - fits > 1:
        tried = (fits + too_many) // 2
        if compiled_size(without_images(runtime, _without_all_but(order, tried))) <= size:
            fits = tried
        else:
            too_many = tried
    if fits < MIN_IMAGES:
        least = compiled_size(without_images(runtime, _without_all_but(order, MIN_IMAGES)))
        raise InputError(
            f'{size / 1e6:g} MB are too few for this map: {MIN_IMAGES} images and the vocabulary '
            f'take {least / 1e6:.2f} MB'
        )
    return fits


def _recall(
    loaded: Map,
    features: Sequence[LocalFeatures] | None,
    gone: NDArray[np.bool_],
    progress: Progress,
) -> tuple[Recall | None, Recall | None]:
    if features is None:
        return None, None
    progress.stage('try out', 2 * min(HELD_OUT, len(gone)))
    whole, pruned = compare(
        loaded,
        features,
        stamps_of(loaded.runtime.image_names),
        gone,
        count=HELD_OUT,
        advance=progress.advance,
    )
    return Recall.of(whole), Recall.of(pruned)


def _manifest(
    loaded: Map, runtime: RuntimeMap, recall: tuple[Recall | None, Recall | None]
) -> Manifest:
    manifest, (before, after) = loaded.manifest, recall
    statistics = Statistics(
        images=len(runtime.image_names),
        points=len(runtime.points),
        observations=len(runtime.observation_point),
        mean_track_length=len(runtime.observation_point) / max(len(runtime.points), 1),
        mean_reprojection_error_px=manifest.statistics.mean_reprojection_error_px,
    )
    told = f'{len(runtime.image_names)} of {len(loaded.runtime.image_names)} images kept'
    if before and after:
        told += f'; of {after.images} held-out images {before.found} found before, '
        told += f'{after.found} after'
    # A map may be pruned more than once.
    told = '; '.join(filter(None, [manifest.provenance.source.get('pruned', ''), told]))
    source = {**manifest.provenance.source, 'pruned': told}
    return dataclasses.replace(
        manifest,
        statistics=statistics,
        provenance=dataclasses.replace(manifest.provenance, source=source),
    )


def _add_files(
    folder: Path,
    loaded: Map,
    features: Sequence[LocalFeatures] | None,
    gone: NDArray[np.bool_],
) -> None:
    """Write what hloc and COLMAP read. The report is left out: it shows the larger map."""
    names = [name for name, out in zip(loaded.runtime.image_names, gone, strict=True) if not out]
    files = loaded.manifest.files
    if features is not None:
        by_name = dict(zip(loaded.runtime.image_names, features, strict=True))
        write_features(folder / FEATURES_NAME, {name: by_name[name] for name in names})
    if GLOBAL_FEATURES_NAME in files:
        described = read_global_features(loaded.path / GLOBAL_FEATURES_NAME)
        write_global_features(
            folder / GLOBAL_FEATURES_NAME, {name: described[name] for name in names}
        )
    if any(name.startswith(f'{MODEL_FOLDER}/') for name in files):
        _write_model(loaded.path / MODEL_FOLDER, folder / MODEL_FOLDER, set(names))


def _write_model(source: Path, target: Path, names: set[str]) -> None:
    from hloc_localizer.maps.colmap_model import read_colmap_model

    reconstruction = read_colmap_model(source).reconstruction
    _separate(reconstruction)
    frames = {image.frame_id for image in reconstruction.images.values() if image.name not in names}
    for frame in sorted(frames):
        reconstruction.deregister_frame(frame)
    target.mkdir()
    reconstruction.write_binary(target)


def _separate(reconstruction: Any) -> None:
    """Give each image a frame of its own: with one of a rig, COLMAP takes the others out too."""
    import pycolmap

    rigs, frames = [], []
    for camera_id in reconstruction.cameras:
        rig = pycolmap.Rig(rig_id=camera_id)
        rig.add_ref_sensor(pycolmap.sensor_t(pycolmap.SensorType.CAMERA, camera_id))
        rigs.append(rig)
    for image_id, image in sorted(reconstruction.images.items()):
        frame = pycolmap.Frame(frame_id=image_id, rig_id=image.camera_id)
        frame.add_data_id(image.data_id)
        frame.rig_from_world = image.cam_from_world()
        frames.append(frame)
    reconstruction.set_rigs_and_frames(rigs, frames)
