"""A finished reconstruction, and what the manifest and the report say of it."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.mapping.checkpoints import package_versions
from hloc_localizer.mapping.map_report import Trial
from hloc_localizer.mapping.matching import MapImage
from hloc_localizer.mapping.options import BuildOptions
from hloc_localizer.mapping.placement import Placement
from hloc_localizer.mapping.report import BuildReport
from hloc_localizer.mapping.retrieval import Retrieval
from hloc_localizer.maps import Component, Manifest, Provenance, RuntimeMap, Statistics
from hloc_localizer.maps.manifest import scale_line
from hloc_localizer.maps.store import RUNTIME_NAME
from hloc_localizer.sources.frame import Source


@dataclass(frozen=True)
class Model:
    """A finished reconstruction with what it was made of."""

    images: Sequence[MapImage]
    recorded_cameras: Mapping[str, Camera]
    cameras: Mapping[str, Camera]
    """With their refined calibration."""
    front_end: Component
    retrieval: Retrieval
    reconstruction: Any
    """``pycolmap.Reconstruction``."""
    poses: NDArray[np.float64]
    """(I, 4, 4) refined."""
    selected: int
    """How many images were selected from the recording."""
    placement: Placement | None = None
    """How the images found their places, where no poses were recorded."""


def manifest_of(
    source: Source, options: BuildOptions, model: Model, runtime: RuntimeMap
) -> Manifest:
    """Say what the map is, how good it is, and where it comes from."""
    moved, turned = _correction(model)
    placement = model.placement
    found = dict(placement.alignment) if placement else {}
    return Manifest(
        cameras=dict(model.cameras),
        recorded_cameras=dict(model.recorded_cameras),
        front_end=model.front_end,
        global_descriptor=model.retrieval.component,
        map_frame=options.source.map_frame,
        # Recorded poses are in the map frame of the robot: metres, and z is up by REP-103.
        metric=placement.metric if placement else True,
        gravity_aligned=placement.gravity_aligned if placement else True,
        alignment={'position_median_m': moved, 'rotation_median_deg': turned, **found},
        methods=dict(placement.methods) if placement else {'poses': 'recorded'},
        statistics=Statistics(
            images=len(model.images),
            points=len(runtime.points),
            observations=len(runtime.observation_point),
            mean_track_length=len(runtime.observation_point) / max(len(runtime.points), 1),
            mean_reprojection_error_px=model.reconstruction.compute_mean_reprojection_error(),
        ),
        provenance=Provenance(
            source=dict(source.description),
            options=options.as_dict(),
            seed=options.vlad.seed,
            packages=package_versions(),
            created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds'),
        ),
    )


def _correction(model: Model) -> tuple[float, float]:
    """Return by how many metres and degrees refining moved the recorded poses (medians)."""
    recorded = np.stack([image.map_from_camera for image in model.images])
    moved, turned = transforms.pose_distance(recorded, model.poses)
    return float(np.median(moved)), float(np.degrees(np.median(turned)))


def report_of(
    source: Source,
    model: Model,
    manifest: Manifest,
    trials: Sequence[Trial],
    seconds: Mapping[str, float],
) -> BuildReport:
    """Sum the build up."""
    statistics = manifest.statistics
    return BuildReport(
        images=statistics.images,
        selected=model.selected,
        frames=len(source),
        points=statistics.points,
        observations=statistics.observations,
        mean_track_length=statistics.mean_track_length,
        mean_reprojection_error_px=statistics.mean_reprojection_error_px,
        moved_m=manifest.alignment['position_median_m'],
        turned_deg=manifest.alignment['rotation_median_deg'],
        compiled_bytes=manifest.files[RUNTIME_NAME].size,
        stage_s=dict(seconds),
        scale=scale_line(manifest),
        held_out=len(trials),
        found=sum(trial.found for trial in trials),
    )
