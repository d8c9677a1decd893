"""New images and a map become one map: matched, triangulated, compiled, tried out."""

from __future__ import annotations

import dataclasses
import datetime
import os
import tempfile
from collections.abc import Mapping, Sequence
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
from hloc_localizer.mapping.carried_knowledge import Knowledge, knowledge_of
from hloc_localizer.mapping.checkpoints import package_versions
from hloc_localizer.mapping.compilation import compile_map
from hloc_localizer.mapping.join_report import JoinReport
from hloc_localizer.mapping.known_tracks import (
    color_keypoints,
    colors_of_points,
    images_of,
    matches_of_tracks,
    tracks_of_map,
)
from hloc_localizer.mapping.map_report import Trial, localize_held_out, write_report
from hloc_localizer.mapping.matching import MapImage, PairMatches, match_pairs
from hloc_localizer.mapping.model_files import write_model
from hloc_localizer.mapping.options import BuildOptions
from hloc_localizer.mapping.pairs import pairs_with_new
from hloc_localizer.mapping.point_knowledge import know_points
from hloc_localizer.mapping.recall import Recall
from hloc_localizer.mapping.session import Session
from hloc_localizer.mapping.tracks import Tracks, move_points, tracks_of
from hloc_localizer.maps import Manifest, Map, MapWriter, RuntimeMap, Statistics
from hloc_localizer.numeric_threads import NumericThreads
from hloc_localizer.progress import Progress

Array = NDArray[np.float64]


@dataclass(frozen=True)
class _Joint:
    """A map and new images, before and after they were reconstructed as one."""

    images: Sequence[MapImage]
    is_new: NDArray[np.bool_]
    descriptors: NDArray[np.float32]
    known: PairMatches
    knowledge: Sequence[Knowledge]


def join(
    loaded: Map,
    session: Session,
    output: Path,
    front_end: FrontEnd,
    options: BuildOptions,
    progress: Progress,
    *,
    refine_map: bool,
    keep_all: bool,
    source: Mapping[str, str],
) -> JoinReport:
    """
    Write the map of an old one and new images.

    :param refine_map: whether the map's own images may move too; all new ones are kept then.
    :param keep_all: whether new images are kept that show little but points of the map.
    :param source: what the manifest says of where the map comes from.
    :raises HlocLocalizerError: when the new images share nothing with the map, or add nothing.
    """
    threads = options.threads or os.cpu_count() or 1
    joint = _joint(loaded, session)
    cameras = list(session.cameras.values())
    found = _matched(joint, session, cameras, front_end, options, threads, progress)
    progress.stage('reconstruct')
    with tempfile.TemporaryDirectory(prefix='hloc_localizer_') as workspace:
        reconstruction, kept = _reconstructed(
            joint,
            session,
            found,
            options,
            Path(workspace),
            threads,
            refine_map=refine_map,
            keep_all=keep_all,
        )
    progress.stage('compile')
    left_out = len(joint.images) - len(kept)
    joint = _of_kept(joint, kept)
    if not joint.is_new.any():
        raise HlocLocalizerError(
            'the recording adds nothing: its images show what the map has, or too little of it; '
            'give --keep-all to add them all the same'
        )
    with MapWriter(output, overwrite=options.overwrite) as writer:
        runtime, tracks, cameras = _compiled(joint, reconstruction, loaded, options)
        shared = _shared_points(tracks, joint.is_new)
        manifest = _manifest(loaded, session, runtime, reconstruction, cameras, source)
        whole = Map(writer.path, manifest, runtime)
        recall = _recall(whole, joint, session, output.name, options, progress)
        progress.stage('write')
        write_model(
            writer.path,
            {image.name: image.features for image in joint.images},
            joint.descriptors,
            reconstruction,
        )
        written = writer.finish(manifest, runtime)
    before = np.stack([image.map_from_camera for image in joint.images])
    moved = transforms.pose_distance(before, runtime.map_from_camera)[0]
    return JoinReport(
        images_before=len(loaded.runtime.image_names),
        images=len(joint.images),
        left_out=left_out,
        points_before=len(loaded.runtime.points),
        points=len(runtime.points),
        shared_points=shared,
        moved_m=float(np.median(moved[joint.is_new])),
        map_moved_m=float(np.max(moved[~joint.is_new])),
        compiled_bytes=Map(output, written, runtime).compiled_bytes,
        recall=recall,
        notes=session.notes,
    )


def _joint(loaded: Map, session: Session) -> _Joint:
    images = images_of(loaded)
    tracks = tracks_of_map(loaded, [image.features for image in images])
    colors = color_keypoints(images, tracks, loaded.runtime.point_colors)
    images = [
        dataclasses.replace(image, colors=color)
        for image, color in zip(images, colors, strict=True)
    ]
    count = len(images)
    knowledge = [knowledge_of(loaded, images, tracks, loaded.runtime.map_from_camera)]
    known = matches_of_tracks(tracks)
    if session.matches is not None:
        known |= {(a + count, b + count): each for (a, b), each in session.matches.items()}
    if session.knowledge is not None:
        theirs = session.knowledge.tracks
        tracks = dataclasses.replace(theirs, image=theirs.image + np.int32(count))
        knowledge.append(dataclasses.replace(session.knowledge, tracks=tracks))
    return _Joint(
        images=[*images, *session.images],
        is_new=np.arange(count + len(session.images)) >= count,
        descriptors=np.concatenate(
            [loaded.runtime.global_descriptors.astype(np.float32), session.descriptors]
        ),
        known=known,
        knowledge=knowledge,
    )


def _matched(
    joint: _Joint,
    session: Session,
    cameras: Sequence[Camera],
    front_end: FrontEnd,
    options: BuildOptions,
    threads: int,
    progress: Progress,
) -> PairMatches:
    pairs = pairs_with_new(
        [cameras[image.camera] for image in joint.images],
        np.stack([image.map_from_camera for image in joint.images]),
        joint.descriptors,
        joint.is_new,
        options.pairs.for_front_end(front_end),
        among_new=session.matches is None,
    )
    progress.stage('match', len(pairs))
    workers = threads if front_end.parallel else 1
    numeric = NumericThreads.for_workers(parallel=front_end.parallel)
    with numeric:
        return match_pairs(
            joint.images, pairs, front_end, threads=workers, advance=progress.advance
        )


def _reconstructed(
    joint: _Joint,
    session: Session,
    found: PairMatches,
    options: BuildOptions,
    workspace: Path,
    threads: int,
    *,
    refine_map: bool,
    keep_all: bool,
) -> tuple[Any, NDArray[np.intp]]:
    """Return the ``pycolmap.Reconstruction`` and the images that it holds, in its order."""
    from hloc_localizer.mapping.extended_reconstruction import Extension, reconstruct_around
    from hloc_localizer.mapping.reconstruction import reconstruct

    cameras = list(session.cameras.values())
    if refine_map:
        reconstruction, _ = reconstruct(
            joint.images,
            cameras,
            {**joint.known, **found},
            options.reconstruction,
            workspace=workspace,
            threads=threads,
        )
        return reconstruction, np.arange(len(joint.images))
    old_cameras = {image.camera for image in np.array(joint.images, object)[~joint.is_new]}
    extension = Extension(
        images=joint.images,
        cameras=cameras,
        is_new=joint.is_new,
        known=joint.known,
        found=found,
        new_cameras=frozenset(range(len(cameras))) - old_cameras,
        prior_sigma_m=session.prior_sigma_m,
        keep_all=keep_all,
    )
    return reconstruct_around(
        extension, options.reconstruction, workspace=workspace, threads=threads
    )


def _of_kept(joint: _Joint, kept: NDArray[np.intp]) -> _Joint:
    """Return the joint of some images; those that are left out have no observations."""
    number = np.full(len(joint.images), -1, np.int32)
    number[kept] = np.arange(len(kept))
    knowledge = []
    for each in joint.knowledge:
        # What an image saw that is left out belongs to none of the others.
        tracks = each.tracks
        stays = number[tracks.image] >= 0
        knowledge.append(
            dataclasses.replace(
                each,
                tracks=Tracks(
                    tracks.points,
                    number[tracks.image[stays]],
                    tracks.keypoint[stays],
                    tracks.point[stays],
                ),
            )
        )
    return dataclasses.replace(
        joint,
        images=[joint.images[index] for index in kept.tolist()],
        is_new=joint.is_new[kept],
        descriptors=joint.descriptors[kept],
        knowledge=knowledge,
    )


def _compiled(
    joint: _Joint, reconstruction: Any, loaded: Map, options: BuildOptions
) -> tuple[RuntimeMap, Tracks, list[Camera]]:
    from hloc_localizer.mapping.reconstruction import cameras_of, poses_of

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
        retrieval_arrays=loaded.runtime.retrieval_arrays,
        options=options.compilation,
    )
    colors = colors_of_points(joint.images, tracks)
    return dataclasses.replace(runtime, point_colors=colors), tracks, cameras


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


def _recall(
    whole: Map,
    joint: _Joint,
    session: Session,
    title: str,
    options: BuildOptions,
    progress: Progress,
) -> dict[str, tuple[Recall, Recall]]:
    """Write the report, and localize the same held-out images in the map as it was before."""
    count = min(options.report.held_out, len(joint.images))
    progress.stage('report', 2 * count)
    after = write_report(
        whole,
        joint.images,
        title=title,
        frames=session.frames,
        held_out=count,
        advance=progress.advance,
        stage_s=dict,
    )
    before = localize_held_out(
        whole,
        [image.features for image in joint.images],
        np.array([image.stamp_ns for image in joint.images], np.int64),
        count=count,
        absent=joint.is_new,
        advance=progress.advance,
    )

    def of(trials: Sequence[Trial], new: bool) -> Recall:
        return Recall.of([trial for trial in trials if joint.is_new[trial.image] == new])

    return {
        'the map': (of(before, False), of(after, False)),
        'the new ones': (of(before, True), of(after, True)),
    }


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
