"""The stages of a build, each going on from what the one before has written."""

from __future__ import annotations

import dataclasses
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.errors import InputError
from hloc_localizer.features.local_features import FrontEnd
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.mapping.built import Model
from hloc_localizer.mapping.checkpoints import STAGES_WITHOUT_POSES, Checkpoints
from hloc_localizer.mapping.compilation import point_colors
from hloc_localizer.mapping.doubtful_images import (
    doubtful_images,
    matches_among,
    note_of_doubtful,
    points_seen,
)
from hloc_localizer.mapping.enough_images import MIN_IMAGES, RecordingWatch
from hloc_localizer.mapping.enough_points import require_points
from hloc_localizer.mapping.extraction import counted, extract_images
from hloc_localizer.mapping.frame_selection import select_frames
from hloc_localizer.mapping.front_end import component_of, matches_by_network
from hloc_localizer.mapping.matching import MapImage, PairMatches, match_pairs
from hloc_localizer.mapping.options import BuildOptions
from hloc_localizer.mapping.pairs import pairs_from_poses, pairs_from_retrieval
from hloc_localizer.mapping.placement import Placement
from hloc_localizer.mapping.retrieval import (
    ImageDescriber,
    Retrieval,
    image_describer,
    retrieval_of,
)
from hloc_localizer.mapping.rigs import CameraRig, held_rigs
from hloc_localizer.mapping.stage_files import (
    read_array,
    read_images,
    read_matches,
    read_placement,
    read_retrieval,
    write_array,
    write_images,
    write_matches,
    write_placement,
    write_retrieval,
)
from hloc_localizer.mapping.stage_shares import build_plan
from hloc_localizer.mapping.tracks import tracks_of
from hloc_localizer.numeric_threads import NumericThreads
from hloc_localizer.progress import Progress
from hloc_localizer.sources.frame import Source
from hloc_localizer.sources.intrinsics import needs_refining


class StageTimes:
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


class BuildStages:
    """
    Runs the stages whose results are not there yet.

    Each goes on from what was written, never from what is in memory: so a build that was resumed
    gives the same map as one that was not.
    """

    def __init__(
        self,
        source: Source,
        options: BuildOptions,
        front_end: FrontEnd,
        times: StageTimes,
        checkpoints: Checkpoints,
    ) -> None:
        self._source = source
        self._options = options
        self._front_end = front_end
        self._times = times
        self._checkpoints = checkpoints
        self._cameras = dict(source.cameras)
        self._threads = options.threads or os.cpu_count() or 1
        self._workers = self._threads if front_end.parallel else 1
        self._numeric = NumericThreads.for_workers(parallel=front_end.parallel)
        self._refine = tuple(
            needs_refining(source.intrinsics.get(name, '')) for name in self._cameras
        )
        self._rigs = _rigs(source, list(self._cameras))
        self._posed = not source.pose_problem

    def run(self) -> Model:
        """Return the finished reconstruction."""
        component = component_of(self._front_end, self._options)
        plan = build_plan(
            posed=self._posed,
            by_network=matches_by_network(component),
            done=[stage for stage in STAGES_WITHOUT_POSES if self._checkpoints.done(stage)],
        )
        self._times.progress.plan(plan)
        self._describe()
        if not self._checkpoints.done('match'):
            self._match()
        placement = None if self._posed else self._place()
        return self._reconstruct(placement)

    def _describe(self) -> None:
        """Extract the features of the selected frames, and describe the images."""
        if self._checkpoints.done('describe'):
            return
        options = self._options
        describer = image_describer(options.global_descriptor, options.image_descriptor)
        if not self._checkpoints.done('extract'):
            with self._numeric, self._checkpoints.write('extract') as folder:
                self._extract(folder, describer)
        self._times.begin('describe')
        with self._checkpoints.write('describe') as folder:
            write_retrieval(folder, retrieval_of(self._images(), describer, options.vlad))

    def _images(self) -> Sequence[MapImage]:
        return read_images(self._checkpoints.folder('extract'))

    def _extract(self, folder: Path, describer: ImageDescriber | None) -> None:
        """Write the features of the selected frames, and refuse a recording that cannot do."""
        source, options = self._source, self._options
        if self._posed and source.calibration_problem:
            raise InputError(source.calibration_problem)
        if not self._posed:
            why = '' if options.source.poses == 'none' else f' ({source.pose_problem})'
            self._times.progress.note(f'poses are found from the images{why}')
        watch = RecordingWatch(source, posed=self._posed)
        advance = self._times.begin('extract', len(source))
        write_images(
            folder,
            extract_images(
                select_frames(
                    counted(watch.frames(), advance),
                    options.frames,
                    posed=self._posed,
                    together=[rig.cameras for rig in source.rigs],
                ),
                self._cameras,
                self._front_end,
                threads=self._workers,
                max_images=options.frames.max_images,
                describe=describer,
            ),
        )
        for note in source.notes:
            self._times.progress.note(note)
        watch.require(read_images(folder))
        if watch.quality:
            self._times.progress.note(watch.quality)

    def _match(self) -> None:
        """Match pairs of images, and look whether the matches fit the calibration."""
        from hloc_localizer.mapping.calibration_check import check_focal_lengths

        images = self._images()
        with self._numeric, self._checkpoints.write('match') as folder:
            if self._posed:
                found = self._matched_by_poses(images)
            else:
                found = self._unknown().match(self._retrieval().descriptors)
            check_focal_lengths(
                images,
                list(self._cameras.values()),
                self._refine,
                found,
                seed=self._options.vlad.seed,
                threads=self._threads,
            )
            write_matches(folder, found)

    def _matched_by_poses(self, images: Sequence[MapImage]) -> PairMatches:
        """Match images whose poses are recorded."""
        cameras = list(self._cameras.values())
        poses = np.stack([image.map_from_camera for image in images])
        partners = self._options.pairs.for_front_end(self._front_end)
        pairs = sorted(
            {
                *pairs_from_poses([cameras[image.camera] for image in images], poses, partners),
                *pairs_from_retrieval(self._retrieval().descriptors, poses, partners),
            }
        )
        if not pairs:
            raise InputError('no two images overlap; record with more overlap or a slower camera')
        advance = self._times.begin('match', len(pairs))
        return match_pairs(images, pairs, self._front_end, threads=self._workers, advance=advance)

    def _place(self) -> Placement:
        """Find the poses of images that have none."""
        if not self._checkpoints.done('place'):
            matches = read_matches(self._checkpoints.folder('match'))
            with self._numeric, self._checkpoints.write('place') as folder:
                with tempfile.TemporaryDirectory(dir=folder) as workspace:
                    placement, found = self._unknown().place(matches, Path(workspace))
                write_placement(folder, placement)
                write_matches(folder, found)
        placement = read_placement(self._checkpoints.folder('place'))
        for note in placement.notes:
            self._times.progress.note(note)
        return placement

    def _unknown(self) -> Any:
        from hloc_localizer.mapping.unknown_poses import UnknownPoses

        return UnknownPoses(
            images=self._images(),
            cameras=tuple(self._cameras.values()),
            refine=self._refine,
            rigs=self._rigs,
            front_end=self._front_end,
            options=self._options,
            threads=self._threads,
            begin=self._times.begin,
        )

    def _retrieval(self) -> Retrieval:
        return read_retrieval(self._checkpoints.folder('describe'))

    def _reconstruct(self, placement: Placement | None) -> Model:
        """Triangulate the images where they are known to be, and refine."""
        import pycolmap

        from hloc_localizer.mapping.colmap_scene import cameras_of, poses_of
        from hloc_localizer.mapping.unknown_poses import placed_images

        images, retrieval = self._images(), self._retrieval()
        selected, cameras, stage = len(images), list(self._cameras.values()), 'match'
        if placement is not None:
            stage, cameras = 'place', list(placement.cameras)
            images = placed_images(images, placement)
            descriptors = retrieval.descriptors[placement.images]
            retrieval = dataclasses.replace(retrieval, descriptors=descriptors)
        if not self._checkpoints.done('reconstruct'):
            matches = read_matches(self._checkpoints.folder(stage))
            self._times.begin('reconstruct')
            with self._checkpoints.write('reconstruct') as folder:
                made, kept = self._believed(images, cameras, matches, folder, placement)
                made.write_binary(folder)
                write_array(folder, kept)
        folder = self._checkpoints.folder('reconstruct')
        reconstruction, kept = pycolmap.Reconstruction(folder), read_array(folder)
        if note := note_of_doubtful(images, kept):
            self._times.progress.note(note)
        retrieval = dataclasses.replace(retrieval, descriptors=retrieval.descriptors[kept])
        return Model(
            images=[images[index] for index in kept.tolist()],
            recorded_cameras=self._cameras,
            cameras=dict(zip(self._cameras, cameras_of(reconstruction), strict=True)),
            front_end=component_of(self._front_end, self._options),
            retrieval=retrieval,
            reconstruction=reconstruction,
            poses=np.stack(poses_of(reconstruction)),
            selected=selected,
            placement=placement,
        )

    def _believed(
        self,
        images: Sequence[MapImage],
        cameras: Sequence[Camera],
        matches: PairMatches,
        folder: Path,
        placement: Placement | None,
    ) -> tuple[Any, NDArray[np.intp]]:
        """Reconstruct, and once more without images whose places turn out to be doubtful."""
        from hloc_localizer.mapping.colmap_scene import poses_of

        metric = placement is None or placement.metric
        made = self._triangulated(images, cameras, matches, folder, metric=metric)
        kept = np.arange(len(images))
        if placement is not None:
            by_odometry = placement.methods.get('scale') == 'odometry'
            doubtful = doubtful_images(
                images, np.stack(poses_of(made)), points_seen(made), by_odometry=by_odometry
            )
            if np.count_nonzero(~doubtful) >= MIN_IMAGES:
                kept = np.flatnonzero(~doubtful)
        if len(kept) < len(images):
            matches = matches_among(matches, kept)
            images = [images[index] for index in kept.tolist()]
            made = self._triangulated(images, cameras, matches, folder, metric=metric)
        return made, kept

    def _triangulated(
        self,
        images: Sequence[MapImage],
        cameras: Sequence[Camera],
        matches: PairMatches,
        folder: Path,
        *,
        metric: bool,
    ) -> Any:
        """Reconstruct (``pycolmap.Reconstruction``), and refuse what nobody could localize in."""
        from hloc_localizer.mapping.reconstruction import reconstruct

        poses = [image.map_from_camera for image in images]
        rigs = held_rigs(images, poses, self._rigs) if metric else []
        with tempfile.TemporaryDirectory(dir=folder) as workspace:
            reconstruction, _ = reconstruct(
                images,
                cameras,
                matches,
                self._options.reconstruction,
                workspace=Path(workspace),
                threads=self._threads,
                rigs=rigs,
                show=lambda grown: _show(grown, images, self._times.progress),
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


def _rigs(source: Source, names: Sequence[str]) -> list[CameraRig]:
    """Return the rigs by the indices of their cameras."""
    return [
        {names.index(name): pose for name, pose in rig.rig_from_camera.items()}
        for rig in source.rigs
    ]
