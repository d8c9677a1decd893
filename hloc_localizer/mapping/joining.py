"""New images and a map become one map: matched, triangulated, compiled, tried out."""

from __future__ import annotations

import dataclasses
import datetime
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.errors import HlocLocalizerError
from hloc_localizer.features.local_features import FrontEnd
from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.geometry.covariance import keypoint_sigma_px
from hloc_localizer.mapping.build_stages import StageTimes
from hloc_localizer.mapping.checkpoints import Checkpoints, joining_keys, package_versions
from hloc_localizer.mapping.compilation import compile_map
from hloc_localizer.mapping.front_end import matches_by_network
from hloc_localizer.mapping.join_report import JoinReport
from hloc_localizer.mapping.joint_images import JointImages, join_images, stored_images_of
from hloc_localizer.mapping.known_tracks import colors_of_points
from hloc_localizer.mapping.map_report import Trial, localize_held_out, write_report
from hloc_localizer.mapping.matching import PairMatches, match_pairs
from hloc_localizer.mapping.model_files import write_model
from hloc_localizer.mapping.options import BuildOptions
from hloc_localizer.mapping.pairs import pairs_with_new
from hloc_localizer.mapping.point_knowledge import know_points
from hloc_localizer.mapping.recall import Recall
from hloc_localizer.mapping.session import Session
from hloc_localizer.mapping.stage_files import (
    read_array,
    read_matches,
    write_array,
    write_matches,
)
from hloc_localizer.mapping.stage_shares import joining_plan
from hloc_localizer.mapping.tracks import Tracks, move_points, tracks_of
from hloc_localizer.maps import Manifest, Map, MapWriter, RuntimeMap, Statistics
from hloc_localizer.maps.store import RUNTIME_NAME
from hloc_localizer.numeric_threads import NumericThreads
from hloc_localizer.progress import Progress


@dataclass(frozen=True)
class Joining:
    """Writes the map of an old one and new images; each stage goes on from what was written."""

    loaded: Map
    front_end: FrontEnd
    options: BuildOptions
    writer: MapWriter
    checkpoints: Checkpoints
    times: StageTimes
    title: str
    refine_map: bool
    """Whether the map's own images may move too; all new ones are kept then."""
    keep_all: bool
    """Whether new images are kept that show little but points of the map."""

    def run(self, session: Session, source: Mapping[str, str]) -> JoinReport:
        """
        Join new images.

        :param source: what the manifest says of where the map comes from.
        :raises HlocLocalizerError: when the new images share nothing with the map, or add nothing.
        """
        joint = join_images(self.loaded, session, self.checkpoints)
        if not self.checkpoints.done('match'):
            self._match(joint, session)
        if not self.checkpoints.done('reconstruct'):
            self._reconstruct(joint, session)
        return self._finished(joint, session, source)

    @property
    def _threads(self) -> int:
        return self.options.threads or os.cpu_count() or 1

    def _match(self, joint: JointImages, session: Session) -> None:
        cameras = list(session.cameras.values())
        pairs = pairs_with_new(
            [cameras[image.camera] for image in joint.images],
            np.stack([image.map_from_camera for image in joint.images]),
            joint.descriptors,
            joint.is_new,
            self.options.pairs.for_front_end(self.front_end),
            among_new=session.matches is None,
        )
        advance = self.times.begin('match', len(pairs))
        parallel = self.front_end.parallel
        numeric = NumericThreads.for_workers(parallel=parallel)
        with numeric, self.checkpoints.write('match') as folder:
            workers = self._threads if parallel else 1
            found = match_pairs(
                joint.images, pairs, self.front_end, threads=workers, advance=advance
            )
            write_matches(folder, found)

    def _reconstruct(self, joint: JointImages, session: Session) -> None:
        found = read_matches(self.checkpoints.folder('match'))
        self.times.begin('reconstruct')
        with self.checkpoints.write('reconstruct') as folder:
            with tempfile.TemporaryDirectory(dir=folder) as workspace:
                reconstruction, kept = self._reconstructed(joint, session, found, Path(workspace))
            if not joint.is_new[kept].any():
                raise HlocLocalizerError(
                    'the recording adds nothing: its images show what the map has, or too little '
                    'of it; give --keep-all to add them all the same'
                )
            reconstruction.write_binary(folder)
            write_array(folder, kept)

    def _reconstructed(
        self, joint: JointImages, session: Session, found: PairMatches, workspace: Path
    ) -> tuple[Any, NDArray[np.intp]]:
        """Return the ``pycolmap.Reconstruction`` and the images that it holds, in its order."""
        from hloc_localizer.mapping.extended_reconstruction import Extension, reconstruct_around

        cameras, options = list(session.cameras.values()), self.options.reconstruction
        old = {image.camera for image, new in zip(joint.images, joint.is_new, strict=True)
               if not new}  # fmt: skip
        extension = Extension(
            images=joint.images,
            cameras=cameras,
            is_new=joint.is_new,
            known=joint.known,
            found=found,
            new_cameras=frozenset(range(len(cameras))) - old,
            prior_sigma_m=np.concatenate(
                [np.zeros(np.count_nonzero(~joint.is_new)), session.prior_sigma_m]
            ),
            keep_all=self.keep_all or self.refine_map,
            refine_map=self.refine_map,
        )
        return reconstruct_around(extension, options, workspace=workspace, threads=self._threads)

    def _finished(
        self, joint: JointImages, session: Session, source: Mapping[str, str]
    ) -> JoinReport:
        """Compile, try out and write what was reconstructed."""
        import pycolmap

        folder = self.checkpoints.folder('reconstruct')
        reconstruction = pycolmap.Reconstruction(folder)
        self.times.begin('compile')
        left_out = len(joint.images)
        joint = joint.only(read_array(folder).astype(np.intp))
        left_out -= len(joint.images)
        runtime, tracks, cameras = self._compiled(joint, reconstruction)
        shared = _shared_points(tracks, joint.is_new)
        manifest = _manifest(self.loaded, session, runtime, reconstruction, cameras, source)
        recall = self._recall(Map(self.writer.path, manifest, runtime), joint, session)
        self.times.begin('write')
        write_model(
            self.writer.path,
            {image.name: image.features for image in joint.images},
            joint.descriptors,
            reconstruction,
        )
        written = self.writer.finish(manifest, runtime)
        self.times.end()
        before = np.stack([image.map_from_camera for image in joint.images])
        moved = transforms.pose_distance(before, runtime.map_from_camera)[0]
        return JoinReport(
            images_before=len(self.loaded.runtime.image_names),
            images=len(joint.images),
            left_out=left_out,
            points_before=len(self.loaded.runtime.points),
            points=len(runtime.points),
            shared_points=shared,
            moved_m=float(np.median(moved[joint.is_new])),
            map_moved_m=float(np.max(moved[~joint.is_new])),
            compiled_bytes=written.files[RUNTIME_NAME].size,
            recall=recall,
            notes=session.notes,
        )

    def _compiled(
        self, joint: JointImages, reconstruction: Any
    ) -> tuple[RuntimeMap, Tracks, list[Camera]]:
        from hloc_localizer.mapping.colmap_scene import cameras_of, poses_of

        cameras, poses = cameras_of(reconstruction), np.stack(poses_of(reconstruction))
        tracks, covariance = know_points(
            tracks_of(reconstruction),
            joint.images,
            cameras,
            poses,
            sigma_px=keypoint_sigma_px(reconstruction.compute_mean_reprojection_error()),
        )
        for each in joint.knowledge:
            tracks, covariance = each.joined(tracks, covariance)
        move_points(reconstruction, tracks)
        runtime = compile_map(
            joint.images,
            cameras,
            poses,
            tracks,
            covariance,
            global_descriptors=joint.descriptors,
            retrieval_arrays=self.loaded.runtime.retrieval_arrays,
            options=self.options.compilation,
        )
        colors = colors_of_points(joint.images, tracks)
        return dataclasses.replace(runtime, point_colors=colors), tracks, cameras

    def _recall(
        self, whole: Map, joint: JointImages, session: Session
    ) -> dict[str, tuple[Recall, Recall]]:
        """Write the report, and localize the same held-out images in the map as it was before."""
        count = min(self.options.report.held_out, len(joint.images))
        advance = self.times.begin('report', 2 * count)
        after = write_report(
            whole,
            joint.images,
            title=self.title,
            frames=session.frames,
            held_out=count,
            advance=advance,
            stage_s=lambda: dict(self.times.seconds),
        )
        before = localize_held_out(
            whole,
            [image.features for image in joint.images],
            np.array([image.stamp_ns for image in joint.images], np.int64),
            count=count,
            absent=joint.is_new,
            advance=advance,
        )

        def of(trials: Sequence[Trial], new: bool) -> Recall:
            return Recall.of([trial for trial in trials if joint.is_new[trial.image] == new])

        return {
            'the map': (of(before, False), of(after, False)),
            'the new ones': (of(before, True), of(after, True)),
        }


@contextmanager
def begin_joining(
    loaded: Map,
    front_end: FrontEnd,
    output: Path,
    options: BuildOptions,
    progress: Progress,
    *,
    stages: Sequence[str],
    inputs: Mapping[str, str],
    refine_map: bool,
    keep_all: bool,
    resumable: bool = True,
) -> Iterator[Joining]:
    """
    Begin to write a map and new images as one; leave it whole, or what the next attempt can use.

    Tells what is taken over from an interrupted attempt and how long the rest will take, and
    stores the images of the map for the stages that read them.

    :param front_end: that of the map.
    :param stages: of :func:`joining_keys`, as ``inputs``.
    :param resumable: whether results may be taken over, from earlier attempts and by later ones.
    """
    reconstructed = {'refine_map': refine_map, 'keep_all': keep_all}
    keys = joining_keys(stages, inputs, options, reconstructed)
    with MapWriter(output, overwrite=options.overwrite) as writer:
        checkpoints = Checkpoints(writer.stages, keys, resumable=resumable)
        with checkpoints.resumed(progress.note):
            done = [stage for stage in stages if checkpoints.done(stage)]
            if 'extract' not in stages:
                done.append('extract')  # nothing is to be extracted
            network = matches_by_network(loaded.manifest.front_end)
            progress.plan(joining_plan(by_network=network, done=done))
            stored_images_of(loaded, checkpoints, 'known')
            yield Joining(
                loaded=loaded,
                front_end=front_end,
                options=options,
                writer=writer,
                checkpoints=checkpoints,
                times=StageTimes(progress),
                title=output.name,
                refine_map=refine_map,
                keep_all=keep_all,
            )


def _shared_points(tracks: Tracks, is_new: NDArray[np.bool_]) -> int:
    count = len(tracks.points)
    new = np.bincount(tracks.point, is_new[tracks.image], minlength=count) > 0
    old = np.bincount(tracks.point, ~is_new[tracks.image], minlength=count) > 0
    shared = int(np.count_nonzero(new & old))
    if not shared:
        raise HlocLocalizerError(
            'no point of the map is seen by a new image; record more of the place that it shows'
        )
    return shared


def _manifest(
    loaded: Map,
    session: Session,
    runtime: RuntimeMap,
    reconstruction: Any,
    cameras: Sequence[Camera],
    source: Mapping[str, str],
) -> Manifest:
    manifest = loaded.manifest
    return dataclasses.replace(
        manifest,
        cameras=dict(zip(session.cameras, cameras, strict=True)),
        recorded_cameras={**manifest.recorded_cameras, **session.recorded_cameras},
        statistics=Statistics(
            images=len(runtime.image_names),
            points=len(runtime.points),
            observations=len(runtime.observation_point),
            mean_track_length=len(runtime.observation_point) / max(len(runtime.points), 1),
            mean_reprojection_error_px=reconstruction.compute_mean_reprojection_error(),
        ),
        provenance=dataclasses.replace(
            manifest.provenance,
            source=dict(source),
            packages=package_versions(),
            created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds'),
        ),
        files={},
    )


def grown_source(loaded: Map, *, path: str, **added: str) -> dict[str, str]:
    """
    Return the provenance of a map that something was added to: what was there, and what came.

    :param path: of the recordings of what was added.
    :param added: a line for the history of that name.
    """
    before = loaded.manifest.provenance.source
    parts = {'path': path, **added}
    return {
        **before,
        **{name: '; '.join(filter(None, [before.get(name, ''), parts[name]])) for name in parts},
    }
