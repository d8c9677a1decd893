"""Building a map from a recording, stage by stage."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.geometry.covariance import keypoint_sigma_px
from hloc_localizer.mapping.build_stages import BuildStages, StageTimes
from hloc_localizer.mapping.built import Model, manifest_of, report_of
from hloc_localizer.mapping.checkpoints import Checkpoints, stage_keys
from hloc_localizer.mapping.compilation import compile_map
from hloc_localizer.mapping.front_end import matches_by_network, open_front_end
from hloc_localizer.mapping.map_report import write_report
from hloc_localizer.mapping.model_files import write_model
from hloc_localizer.mapping.options import BuildOptions
from hloc_localizer.mapping.point_knowledge import know_points
from hloc_localizer.mapping.quiet_pycolmap import require_pycolmap
from hloc_localizer.mapping.report import BuildReport
from hloc_localizer.mapping.self_calibration import self_calibration
from hloc_localizer.mapping.time_offset import synchronised
from hloc_localizer.mapping.tracks import Tracks, move_points, tracks_of
from hloc_localizer.maps import Map, MapWriter
from hloc_localizer.progress import Progress, SilentProgress
from hloc_localizer.sources.frame import Source


def build_map(
    source: Source,
    output: Path,
    options: BuildOptions | None = None,
    progress: Progress | None = None,
) -> BuildReport:
    """
    Build a map folder from a recording, finding poses from its images where it has none.

    The stages that an interrupted build of the same recording has finished are taken over.

    :param output: the folder to create; it appears whole or not at all.
    :raises InputError: for a source with too few images.
    :raises HlocLocalizerError: when the images do not join, or no points could be triangulated.
    """
    options = options or BuildOptions()
    options.check()
    require_pycolmap()
    stages = StageTimes(progress or SilentProgress())
    source = synchronised(source, stages.progress)
    with MapWriter(output, overwrite=options.overwrite) as writer:
        model = _resumed(source, options, stages, writer.stages)
        stages.begin('compile')
        tracks, point_covariance = _known_points(model)
        runtime = compile_map(
            model.images,
            list(model.cameras.values()),
            model.poses,
            tracks,
            point_covariance,
            global_descriptors=model.retrieval.descriptors,
            retrieval_arrays=model.retrieval.arrays,
            options=options.compilation,
        )
        manifest = manifest_of(source, options, model, runtime)
        held_out = options.report.tried(
            len(model.images), by_network=matches_by_network(model.front_end)
        )
        trials = write_report(
            Map(writer.path, manifest, runtime),
            model.images,
            title=output.name,
            frames=len(source),
            held_out=held_out,
            advance=stages.begin('report', held_out),
            stage_s=stages.ended,
        )
        recorded = np.stack([image.map_from_camera for image in model.images])
        truth = recorded if model.placement is None else model.poses
        manifest = dataclasses.replace(manifest, calibration=self_calibration(trials, truth))
        stages.begin('write')
        write_model(
            writer.path,
            {image.name: image.features for image in model.images},
            model.retrieval.descriptors,
            model.reconstruction,
        )
        manifest = writer.finish(manifest, runtime)
        stages.end()
        return report_of(source, model, manifest, trials, stages.seconds)


def _known_points(model: Model) -> tuple[Tracks, NDArray[np.float64]]:
    """Put the points where rays and depths together say they are; return how sure that is."""
    reconstruction = model.reconstruction
    images = model.images
    if model.placement is not None and not model.placement.metric:
        images = [dataclasses.replace(image, depths=None) for image in images]  # not its unit
    tracks, covariance = know_points(
        tracks_of(reconstruction),
        images,
        list(model.cameras.values()),
        model.poses,
        sigma_px=keypoint_sigma_px(reconstruction.compute_mean_reprojection_error()),
    )
    move_points(reconstruction, tracks)
    return tracks, covariance


def _resumed(source: Source, options: BuildOptions, stages: StageTimes, folder: Path) -> Model:
    """Reconstruct, beginning after the stages that an interrupted build has finished."""
    front_end = open_front_end(options, stages.progress)
    checkpoints = Checkpoints(
        folder, stage_keys(source, options, front_end.name), resumable=bool(source.files)
    )
    with checkpoints.resumed(stages.progress.note):
        return BuildStages(source, options, front_end, stages, checkpoints).run()
