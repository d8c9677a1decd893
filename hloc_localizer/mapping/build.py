"""Building a map from a recording, stage by stage."""

from __future__ import annotations

import dataclasses
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.errors import InputError
from hloc_localizer.features.local_features import FrontEnd
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.geometry.covariance import keypoint_sigma_px
from hloc_localizer.mapping.built import Model, manifest_of, report_of
from hloc_localizer.mapping.checkpoints import Checkpoints, stage_keys
from hloc_localizer.mapping.compilation import compile_map, point_colors
from hloc_localizer.mapping.enough_points import require_points
from hloc_localizer.mapping.extraction import extract_images
from hloc_localizer.mapping.frame_selection import select_frames
from hloc_localizer.mapping.front_end import component_of, matches_by_network, open_front_end
from hloc_localizer.mapping.map_report import write_report
from hloc_localizer.mapping.matching import MapImage, PairMatches, match_pairs
from hloc_localizer.mapping.options import BuildOptions
from hloc_localizer.mapping.pairs import pairs_from_poses, pairs_from_retrieval
from hloc_localizer.mapping.point_knowledge import know_points
from hloc_localizer.mapping.quiet_pycolmap import require_pycolmap
from hloc_localizer.mapping.report import BuildReport
from hloc_localizer.mapping.retrieval import (
    ImageDescriber,
    Retrieval,
    image_describer,
    retrieval_of,
)
from hloc_localizer.mapping.self_calibration import self_calibration
from hloc_localizer.mapping.stage_files import (
    read_images,
    read_matches,
    read_placement,
    read_retrieval,
    write_images,
    write_matches,
    write_placement,
    write_retrieval,
)
from hloc_localizer.mapping.time_offset import synchronised
from hloc_localizer.mapping.tracks import Tracks, move_points, tracks_of
from hloc_localizer.maps import Map, MapWriter
from hloc_localizer.maps.hloc_files import (
    FEATURES_NAME,
    GLOBAL_FEATURES_NAME,
    write_features,
    write_global_features,
)
from hloc_localizer.numeric_threads import NumericThreads
from hloc_localizer.progress import Progress, SilentProgress
from hloc_localizer.sources.frame import Source
from hloc_localizer.sources.intrinsics import needs_refining

MIN_IMAGES = 3


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
    stages = _Stages(progress or SilentProgress())
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
        _write_files(writer.path, model)
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


class _Stages:
    """Tells the progress which stage begins, and keeps the time of each."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.seconds: dict[str, float] = {}
        self._name = ''
        self._begin = 0.0

    def begin(self, name: str, total: int | None = None) -> Callable[[int], None]:
        """Begin a stage; return the function that counts its steps."""
        self.end()
        self._name, self._begin = name, time.perf_counter()
        self.progress.stage(name, total)
        return self.progress.advance

    def ended(self) -> dict[str, float]:
        """End the present stage; return the seconds of all."""
        self.end()
        return dict(self.seconds)

    def end(self) -> None:
        """End the present stage."""
        if self._name:
            elapsed = time.perf_counter() - self._begin
            self.seconds[self._name] = self.seconds.get(self._name, 0.0) + elapsed
        self._name = ''


def _resumed(source: Source, options: BuildOptions, stages: _Stages, folder: Path) -> Model:
    """Reconstruct, beginning after the stages that an interrupted build has finished."""
    front_end = open_front_end(options, stages.progress)
    checkpoints = Checkpoints(
        folder, stage_keys(source, options, front_end.name), resumable=bool(source.files)
    )
    if checkpoints.note:
        stages.progress.note(checkpoints.note)
    try:
        return _reconstruct(source, options, front_end, stages, checkpoints)
    except BaseException as error:
        checkpoints.end(error)
        raise


def _reconstruct(
    source: Source,
    options: BuildOptions,
    front_end: FrontEnd,
    stages: _Stages,
    checkpoints: Checkpoints,
) -> Model:
    """
    Run the stages whose results are not there yet.

    Each goes on from what was written, never from what is in memory: so a build that was resumed
    gives the same map as one that was not.
    """
    import pycolmap

    from hloc_localizer.mapping.calibration_check import check_focal_lengths
    from hloc_localizer.mapping.reconstruction import cameras_of, poses_of
    from hloc_localizer.mapping.unknown_poses import UnknownPoses, placed_images

    threads = options.threads or os.cpu_count() or 1
    cameras = dict(source.cameras)
    workers = threads if front_end.parallel else 1
    numeric = (
        NumericThreads.for_workers() if front_end.parallel else NumericThreads(opencv=0, blas=0)
    )
    if not checkpoints.done('describe'):
        describer = image_describer(options.global_descriptor, options.image_descriptor)
    if not checkpoints.done('extract'):
        with numeric, checkpoints.write('extract') as folder:
            _extract(folder, source, cameras, front_end, describer, options, workers, stages)
    images = read_images(checkpoints.folder('extract'))
    if not checkpoints.done('describe'):
        stages.begin('describe')
        with checkpoints.write('describe') as folder:
            write_retrieval(folder, retrieval_of(images, describer, options.vlad))
    retrieval = read_retrieval(checkpoints.folder('describe'))
    refine = tuple(needs_refining(source.intrinsics.get(name, '')) for name in cameras)
    unknown = UnknownPoses(
        images=images,
        cameras=tuple(cameras.values()),
        refine=refine,
        rig_from_camera=_rig_from_camera(source, list(cameras)),
        front_end=front_end,
        options=options,
        threads=threads,
        begin=stages.begin,
    )
    posed = not source.pose_problem
    if not checkpoints.done('match'):
        with numeric, checkpoints.write('match') as folder:
            if posed:
                found = _matched(images, cameras, retrieval, front_end, options, workers, stages)
            else:
                found = unknown.match(retrieval.descriptors)
            check_focal_lengths(
                images,
                list(cameras.values()),
                refine,
                found,
                seed=options.vlad.seed,
                threads=threads,
            )
            write_matches(folder, found)
    matches = read_matches(checkpoints.folder('match'))
    placement, refined, selected = None, cameras, len(images)
    if not posed:
        if not checkpoints.done('place'):
            with numeric, checkpoints.write('place') as folder:
                with tempfile.TemporaryDirectory(dir=folder) as workspace:
                    placement, found = unknown.place(matches, Path(workspace))
                write_placement(folder, placement)
                write_matches(folder, found)
        placement = read_placement(checkpoints.folder('place'))
        matches = read_matches(checkpoints.folder('place'))
        for note in placement.notes:
            stages.progress.note(note)
        images = placed_images(images, placement)
        retrieval = dataclasses.replace(
            retrieval, descriptors=retrieval.descriptors[placement.images]
        )
        refined = dict(zip(cameras, placement.cameras, strict=True))
    if not checkpoints.done('reconstruct'):
        stages.begin('reconstruct')
        with checkpoints.write('reconstruct') as folder:
            made = _triangulated(images, refined, matches, options, threads, folder, stages)
            made.write_binary(folder)
    reconstruction = pycolmap.Reconstruction(checkpoints.folder('reconstruct'))
    return Model(
        images=images,
        recorded_cameras=cameras,
        cameras=dict(zip(cameras, cameras_of(reconstruction), strict=True)),
        front_end=component_of(front_end, options),
        retrieval=retrieval,
        reconstruction=reconstruction,
        poses=np.stack(poses_of(reconstruction)),
        selected=selected,
        placement=placement,
    )


def _rig_from_camera(source: Source, names: Sequence[str]) -> dict[int, NDArray[np.float64]]:
    """Return the mounting of the cameras of the first rig, by the index of the camera."""
    for rig in source.rigs:
        return {names.index(name): pose for name, pose in rig.rig_from_camera.items()}
    return {}


def _matched(
    images: Sequence[MapImage],
    cameras: Mapping[str, Camera],
    retrieval: Retrieval,
    front_end: FrontEnd,
    options: BuildOptions,
    workers: int,
    stages: _Stages,
) -> PairMatches:
    """Match images whose poses are recorded."""
    image_cameras = [list(cameras.values())[image.camera] for image in images]
    poses = np.stack([image.map_from_camera for image in images])
    partners = options.pairs.for_front_end(front_end)
    pairs = sorted(
        {
            *pairs_from_poses(image_cameras, poses, partners),
            *pairs_from_retrieval(retrieval.descriptors, poses, partners),
        }
    )
    if not pairs:
        raise InputError('no two images overlap; record with more overlap or a slower camera')
    advance = stages.begin('match', len(pairs))
    return match_pairs(images, pairs, front_end, threads=workers, advance=advance)


def _triangulated(
    images: Sequence[MapImage],
    cameras: Mapping[str, Camera],
    matches: PairMatches,
    options: BuildOptions,
    threads: int,
    folder: Path,
    stages: _Stages,
) -> Any:
    """Reconstruct (``pycolmap.Reconstruction``), and refuse what nobody could localize in."""
    from hloc_localizer.mapping.reconstruction import reconstruct

    with tempfile.TemporaryDirectory(dir=folder) as workspace:
        reconstruction, _ = reconstruct(
            images,
            list(cameras.values()),
            matches,
            options.reconstruction,
            workspace=Path(workspace),
            threads=threads,
            show=lambda grown: _show(grown, images, stages.progress),
        )
    require_points(
        reconstruction,
        'check that the poses are those of this camera, and that the images have texture and '
        'overlap',
    )
    return reconstruction


def _show(reconstruction: Any, images: Sequence[MapImage], progress: Progress) -> None:
    """Show the points so far to who listens."""
    tracks = tracks_of(reconstruction)
    progress.cloud(tracks.points, point_colors(images, tracks))


def _extract(
    folder: Path,
    source: Source,
    cameras: Mapping[str, Camera],
    front_end: FrontEnd,
    describer: ImageDescriber | None,
    options: BuildOptions,
    threads: int,
    stages: _Stages,
) -> None:
    """Write the features of the selected frames, and refuse a recording that cannot do."""
    posed = not source.pose_problem
    if posed and source.calibration_problem:
        raise InputError(source.calibration_problem)
    if not posed:
        why = '' if options.source.poses == 'none' else f' ({source.pose_problem})'
        stages.progress.note(f'poses are found from the images{why}')
    advance = stages.begin('extract', len(source))
    write_images(
        folder,
        extract_images(
            select_frames(source.frames(), options.frames, posed=posed),
            cameras,
            front_end,
            threads=threads,
            max_images=options.frames.max_images,
            advance=advance,
            describe=describer,
        ),
    )
    images = read_images(folder)
    for note in source.notes:
        stages.progress.note(note)
    if not images and posed and source.pose_problem:
        raise InputError(
            f'{source.pose_problem}; or find poses from the images: --set source.poses=none'
        )
    if len(images) < MIN_IMAGES:
        raise InputError(_too_few(len(images), len(source), posed=posed))
    if not any(len(image.features) for image in images):
        raise InputError('the images have no texture: no keypoint was found in any of them')


def _too_few(count: int, frames: int, *, posed: bool) -> str:
    if posed:
        return (
            f'only {count} usable images with poses that differ; a map needs at least '
            f'{MIN_IMAGES}: record longer, or lower frames.min_translation_m'
        )
    return (
        f'the camera hardly moved: only {count} of {frames} images differ, and a map needs at '
        f'least {MIN_IMAGES}; record while moving, or lower frames.min_image_motion and '
        'frames.min_translation_m'
    )


def _write_files(folder: Path, model: Model) -> None:
    (folder / 'sfm').mkdir()
    model.reconstruction.write_binary(folder / 'sfm')
    write_features(folder / FEATURES_NAME, {image.name: image.features for image in model.images})
    write_global_features(
        folder / GLOBAL_FEATURES_NAME,
        {
            image.name: descriptor
            for image, descriptor in zip(model.images, model.retrieval.descriptors, strict=True)
        },
    )
