"""Two maps of one place become one, in the frame of the first."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.errors import InputError
from hloc_localizer.geometry.pose_alignment import PoseAlignment
from hloc_localizer.localization import Localizer
from hloc_localizer.mapping.align_options import AlignOptions
from hloc_localizer.mapping.align_to import AlignReport, Target, find_alignment
from hloc_localizer.mapping.build_stages import StageTimes
from hloc_localizer.mapping.carried_knowledge import knowledge_of
from hloc_localizer.mapping.checkpoints import digest_of, map_digest
from hloc_localizer.mapping.join_report import JoinReport
from hloc_localizer.mapping.joining import begin_joining, grown_source
from hloc_localizer.mapping.joint_images import stored_images_of
from hloc_localizer.mapping.known_tracks import color_keypoints, matches_of_tracks, tracks_of_map
from hloc_localizer.mapping.matching import MapImage
from hloc_localizer.mapping.options import BuildOptions
from hloc_localizer.mapping.quiet_pycolmap import require_pycolmap
from hloc_localizer.mapping.session import (
    Session,
    front_end_of,
    global_descriptor_of,
    joined_cameras,
    unused_names,
)
from hloc_localizer.mapping.transform_map import transform_runtime
from hloc_localizer.maps import Map, check_output
from hloc_localizer.progress import Progress, SilentProgress
from hloc_localizer.retrieval.vlad import Vlad

STAGES = ('known', 'added', 'match', 'reconstruct')
"""The stages whose results an interrupted merge leaves to the next one, in their order."""
_ALIGNED_SIGMA_M = 0.03
"""Standard deviation of the positions that the second map's images have after the alignment."""


def merge_maps(
    loaded: Map,
    other: Map,
    output: Path,
    options: BuildOptions | None = None,
    align: AlignOptions | None = None,
    progress: Progress | None = None,
    *,
    refine_map: bool = False,
) -> tuple[AlignReport, JoinReport]:
    """
    Write the map of two, in the frame of the first.

    Images of the second are localized in the first by their stored features; the recordings are not
    needed. Its images, moved by what most of them agree on, then join the first like a new session.
    The stages that an interrupted merge of the same maps has finished are taken over.

    :param refine_map: whether the first map's images may move too.
    :raises InputError: for maps with different front ends or global descriptors.
    :raises HlocLocalizerError: when they do not show the same place.
    """
    options, align = options or BuildOptions(), align or AlignOptions()
    options.check()
    align.check()
    progress = progress or SilentProgress()
    require_pycolmap()
    check_output(output, overwrite=options.overwrite)
    _check_alike(loaded, other)
    with begin_joining(
        loaded,
        front_end_of(loaded, options),
        output,
        options,
        progress,
        stages=STAGES,
        inputs={
            'the first map': map_digest(loaded),
            'the second map': map_digest(other),
            'how they are aligned': digest_of(align.as_dict()),
        },
        refine_map=refine_map,
        keep_all=True,
    ) as joining:
        images = stored_images_of(other, joining.checkpoints, 'added')
        descriptors = _described(loaded, other, images, options)
        alignment = _aligned(loaded, other, images, descriptors, align, joining.times)
        told = joining.run(
            _session(loaded, other, images, descriptors, alignment.alignment),
            _source(loaded, other, alignment),
        )
    return alignment, told


def _source(loaded: Map, other: Map, alignment: AlignReport) -> dict[str, str]:
    """Return the provenance of both maps."""
    ours, theirs = len(loaded.runtime.image_names), len(other.runtime.image_names)
    path = other.manifest.provenance.source.get('path', '')
    added = f'{ours} images with {theirs} of {other.path}'
    return {
        **grown_source(loaded, path=path, merged=added),
        'merged_by': alignment.transform_text(),
    }


def _check_alike(loaded: Map, other: Map) -> None:
    if loaded.path.resolve() == other.path.resolve():
        raise InputError(f'{loaded.path}: is given twice; give two maps')
    for what in ('front_end', 'global_descriptor'):
        ours, theirs = getattr(loaded.manifest, what), getattr(other.manifest, what)
        learned_alike = what == 'global_descriptor' and ours.name == theirs.name == Vlad.name
        if not learned_alike and (
            ours.name != theirs.name or dict(ours.parameters) != dict(theirs.parameters)
        ):
            raise InputError(
                f'{loaded.path} and {other.path} differ in their {what.replace("_", " ")} '
                f"('{ours.name}' and '{theirs.name}', or its parameters): build one of them again "
                'as the other was built'
            )
    if other.manifest.metric and not loaded.manifest.metric:
        raise InputError(
            f'{loaded.path} has no scale and {other.path} has: give them in the other order'
        )


def _described(
    loaded: Map, other: Map, images: list[MapImage], options: BuildOptions
) -> NDArray[np.float32]:
    """Return the second map's images (I, G) in the first one's vocabulary."""
    if loaded.manifest.global_descriptor.name != Vlad.name:
        return other.runtime.global_descriptors.astype(np.float32)
    vlad = global_descriptor_of(loaded, options)
    blank = np.zeros((0, 0), np.uint8)
    return np.stack([vlad.describe(blank, image.features) for image in images])


def _aligned(
    loaded: Map,
    other: Map,
    images: list[MapImage],
    descriptors: NDArray[np.float32],
    align: AlignOptions,
    times: StageTimes,
) -> AlignReport:
    count = min(align.localized_images, len(images))
    tried = np.unique(np.linspace(0, len(images) - 1, count).round().astype(np.intp))
    advance = times.begin('localize', len(tried))
    localizer = Localizer(loaded)
    poses = {}
    for index in tried.tolist():
        image = images[index]
        camera = other.runtime.cameras[image.camera]
        result = localizer.localize_features(image.features, camera, descriptors[index])
        if result.map_from_camera is not None:
            poses[image.name] = result.map_from_camera
        advance(1)
    localizer.close()
    target = Target(
        text=f'map {loaded.path}',
        poses=poses,
        problem=f'of {len(tried)} that were tried, the others were not found there; the maps must '
        'show the same place in part',
        frame=loaded.manifest.map_frame,
        metric=loaded.manifest.metric,
        level=loaded.manifest.gravity_aligned,
    )
    found = find_alignment(other, target, align)
    return AlignReport(target.text, len(images), len(poses), found)


def _session(
    loaded: Map,
    other: Map,
    images: list[MapImage],
    descriptors: NDArray[np.float32],
    alignment: PoseAlignment,
) -> Session:
    runtime = transform_runtime(other.runtime, alignment)
    moved = dataclasses.replace(other, runtime=runtime)
    tracks = tracks_of_map(moved, [image.features for image in images])
    knowledge = knowledge_of(moved, images, tracks, runtime.map_from_camera)
    colors = color_keypoints(images, tracks, runtime.point_colors)
    recorded = {
        name: other.manifest.recorded_cameras.get(name, camera)
        for name, camera in other.manifest.cameras.items()
    }
    cameras, new, index_of = joined_cameras(loaded, recorded)
    refined = list(other.manifest.cameras.values())
    for camera, index in zip(refined, index_of, strict=True):
        name = list(cameras)[index]
        cameras[name] = camera if name in new else cameras[name]
    as_list = list(cameras.values())
    session = unused_names(loaded.runtime.image_names, [other.path.resolve().name])[0]
    placed = []
    for image, pose, color in zip(images, runtime.map_from_camera, colors, strict=True):
        index = index_of[image.camera]
        placed.append(
            dataclasses.replace(
                image,
                name=f'{session}/{image.name}',
                session=session,
                camera=index,
                map_from_camera=pose,
                plane=as_list[index].normalise(image.features.keypoints),
                colors=color,
            )
        )
    return Session(
        images=placed,
        cameras=cameras,
        recorded_cameras=new,
        descriptors=descriptors,
        prior_sigma_m=np.full(len(placed), _ALIGNED_SIGMA_M),
        description=other.manifest.provenance.source,
        frames=len(images),
        matches=matches_of_tracks(tracks),
        knowledge=knowledge,
    )
