"""From an hloc output folder to a map, without its images: features, model and descriptors."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.errors import InputError
from hloc_localizer.features.local_features import LocalFeatures
from hloc_localizer.features.registry import front_end_options
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.geometry.covariance import keypoint_sigma_px
from hloc_localizer.mapping.compilation import compile_map
from hloc_localizer.mapping.enough_points import require_points
from hloc_localizer.mapping.import_choice import agreeing_parts
from hloc_localizer.mapping.import_options import HlocImportOptions
from hloc_localizer.mapping.import_report import ImportReport
from hloc_localizer.mapping.matching import MapImage
from hloc_localizer.mapping.model_files import write_model
from hloc_localizer.mapping.point_knowledge import know_points
from hloc_localizer.mapping.retrieval import Retrieval, retrieval_of
from hloc_localizer.mapping.tracks import Tracks
from hloc_localizer.maps import Component, Manifest, MapWriter, Provenance, Statistics
from hloc_localizer.maps.colmap_model import ColmapModel, ModelImage
from hloc_localizer.maps.hloc_files import (
    read_global_features,
)
from hloc_localizer.maps.hloc_layout import FeaturesFile, HlocFolder, find_hloc_folder
from hloc_localizer.progress import Progress, SilentProgress
from hloc_localizer.retrieval.registry import create_global_descriptor
from hloc_localizer.retrieval.vlad import Vlad


def import_hloc(
    path: Path,
    output: Path,
    options: HlocImportOptions | None = None,
    progress: Progress | None = None,
) -> ImportReport:
    """
    Make a map of an hloc output folder.

    The points and poses stay as they are; the localizer extracts and matches as hloc did.

    :param output: the folder to create; it appears whole or not at all.
    :raises InputError: naming what is missing, damaged or contradicts itself.
    """
    options = options or HlocImportOptions()
    options.check()
    progress = progress or SilentProgress()
    progress.stage('read')
    folder = find_hloc_folder(path, options.conf)
    file, model, features = agreeing_parts(folder, options, progress)
    component, notes = _front_end(file, features, options)
    with MapWriter(output, overwrite=options.overwrite) as writer:
        require_points(
            model.reconstruction, f'check {model.path}, or triangulate its points with hloc'
        )
        images = _map_images(model, features)
        tracks = _tracks(model)
        progress.stage('describe')
        retrieval, retrieval_notes = _retrieval(folder, file, images, options)
        progress.stage('compile')
        tracks, point_covariance = know_points(
            tracks,
            images,
            list(model.cameras.values()),
            np.stack([image.map_from_camera for image in images]),
            sigma_px=keypoint_sigma_px(_reprojection_error(model)),
        )
        runtime = compile_map(
            images,
            list(model.cameras.values()),
            np.stack([image.map_from_camera for image in images]),
            tracks,
            point_covariance,
            global_descriptors=retrieval.descriptors,
            retrieval_arrays=retrieval.arrays,
            options=options.compilation,
        )
        progress.stage('write')
        write_model(writer.path, features, retrieval.descriptors, model.reconstruction)
        manifest = _manifest(folder, file, model, tracks, component, retrieval, options)
        written = writer.finish(manifest, runtime)
    return ImportReport(written, tuple(note for note in (*notes, *retrieval_notes) if note))


def _front_end(
    file: FeaturesFile, features: Mapping[str, LocalFeatures], options: HlocImportOptions
) -> tuple[Component, list[str]]:
    """Return what the localizer shall extract and match with."""
    if file.conf is None:
        stated = file.origin['front_end']
        name, values = str(stated.get('name', '')), stated.get('parameters', {})
        if not isinstance(values, dict):
            raise InputError(f'{file.path}: the parameters of its front end are damaged')
    else:
        name, values = file.conf.front_end, dict(file.conf.parameters)
    notes = []
    defaults = front_end_options(name)()
    if hasattr(defaults, 'matcher') and (options.matcher != 'auto' or file.conf is not None):
        values['matcher'], note = _matcher(name, options.matcher)
        notes.append(note)
    if options.implementation != 'built_in':
        if not hasattr(defaults, 'implementation'):
            raise InputError(
                f"{file.path}: are features of '{name}', which has no implementation "
                f"'{options.implementation}'"
            )
        values['implementation'] = options.implementation
    return Component(name, defaults.with_values(values).as_dict()), notes


def _matcher(front_end: str, wanted: str) -> tuple[str, str]:
    from hloc_localizer.weights.catalogue import find_checkpoint
    from hloc_localizer.weights.store import weights_path

    if wanted != 'auto':
        return wanted, ''
    path = weights_path(find_checkpoint(f'{front_end}-lightglue'))
    if path.is_file():
        return 'lightglue', ''
    return 'nearest_neighbour', f'{path}: not there, so that the map matches nearest neighbours'


def _map_images(model: ColmapModel, features: Mapping[str, LocalFeatures]) -> list[MapImage]:
    cameras = {camera_id: index for index, camera_id in enumerate(model.cameras)}
    return [
        MapImage(
            name=image.name,
            stamp_ns=0,
            camera=cameras[image.camera_id],
            map_from_camera=image.map_from_camera,
            features=features[image.name],
            plane=np.zeros((0, 2)),  # matching uses it, and nothing is matched here
            colors=_colors(model, image),
        )
        for image in model.images
    ]


def _colors(model: ColmapModel, image: ModelImage) -> NDArray[np.uint8]:
    """Return the colours (N, 3) of the points behind an image's keypoints; black without one."""
    seen = model.reconstruction.images[image.image_id].points2D
    colors = np.zeros((len(seen), 3), np.uint8)
    for index, point in enumerate(seen):
        if point.has_point3D():
            colors[index] = model.reconstruction.points3D[point.point3D_id].color
    return colors


def _tracks(model: ColmapModel) -> Tracks:
    """Collect the observations of the posed images."""
    index_of = {image.image_id: index for index, image in enumerate(model.images)}
    points: list[NDArray[np.float64]] = []
    observations: list[tuple[int, int, int]] = []
    for _, point in sorted(model.reconstruction.points3D.items()):
        track = [
            (index_of[element.image_id], element.point2D_idx, len(points))
            for element in point.track.elements
            if element.image_id in index_of
        ]
        if track and np.all(np.isfinite(point.xyz)):
            points.append(point.xyz)
            observations += track
    if not points:
        raise InputError(f'{model.path}: the model has no points; triangulate them with hloc')
    table = np.array(sorted(observations), np.int32)
    return Tracks(np.array(points), table[:, 0], table[:, 1], table[:, 2])


def _retrieval(
    folder: HlocFolder,
    file: FeaturesFile,
    images: Sequence[MapImage],
    options: HlocImportOptions,
) -> tuple[Retrieval, list[str]]:
    """Take the folder's global descriptor if queries can be described by it here, else VLAD."""
    notes: list[str] = []
    for path, name in folder.global_features:
        if name == Vlad.name:  # learned on a map, and learned again here
            continue
        try:
            descriptors = _global_descriptors(path, images)
            component = Component(name, _parameters_of(file, name))
            _check_computable(component, descriptors)
            return Retrieval(component, descriptors, {}), notes
        except InputError as error:
            notes.append(f'{path.name} is not used: {error}')
    return retrieval_of(images, None, options.vlad, what=f'{folder.path}: the images'), notes


def _parameters_of(file: FeaturesFile, name: str) -> dict[str, Any]:
    """Return how the images were described, which maps exported by us say and hloc's do not."""
    stated = file.origin.get('global_descriptor')
    if not isinstance(stated, dict) or stated.get('name') != name:
        return {}
    parameters = stated.get('parameters')
    if not isinstance(parameters, dict):
        raise InputError(f'{file.path}: the parameters of its global descriptor are damaged')
    return parameters


def _check_computable(component: Component, descriptors: NDArray[np.float32]) -> None:
    """Check that queries can be described as the images of the folder were."""
    name = component.name
    computed = create_global_descriptor(name, {}, component.parameters, device='cpu')
    computed.release()
    if computed.size != descriptors.shape[1]:
        raise InputError(
            f"its descriptors have {descriptors.shape[1]} numbers, '{name}' here makes "
            f'{computed.size}'
        )


def _global_descriptors(path: Path, images: Sequence[MapImage]) -> NDArray[np.float32]:
    by_name = read_global_features(path)
    missing = [image.name for image in images if image.name not in by_name]
    if missing:
        raise InputError(f"{len(missing)} images have none (first: '{missing[0]}')")
    descriptors = np.stack([by_name[image.name] for image in images])
    lengths = np.linalg.norm(descriptors, axis=1, keepdims=True)
    return np.asarray(descriptors / np.maximum(lengths, 1e-9), np.float32)


def _manifest(
    folder: HlocFolder,
    file: FeaturesFile,
    model: ColmapModel,
    tracks: Tracks,
    component: Component,
    retrieval: Retrieval,
    options: HlocImportOptions,
) -> Manifest:
    count = len(tracks.points)
    origin = file.origin
    return Manifest(
        cameras={f'camera_{camera_id}': camera for camera_id, camera in model.cameras.items()},
        recorded_cameras=_recorded_cameras(file, model),
        front_end=component,
        global_descriptor=retrieval.component,
        map_frame=str(origin.get('map_frame', options.map_frame)),
        metric=options.metric or origin.get('metric') is True,
        gravity_aligned=options.gravity_aligned or origin.get('gravity_aligned') is True,
        statistics=Statistics(
            images=len(model.images),
            points=count,
            observations=len(tracks.point),
            mean_track_length=len(tracks.point) / count,
            mean_reprojection_error_px=_reprojection_error(model),
        ),
        provenance=Provenance(
            source={
                'kind': 'hloc',
                'path': str(folder.path),
                'model': str(model.path.relative_to(folder.path)),
                'features': str(file.path.relative_to(folder.path)),
                'conf': file.conf.name if file.conf else 'exported by hloc_localizer',
            },
            options=options.as_dict(),
            seed=options.vlad.seed,
            created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds'),
        ),
    )


def _recorded_cameras(file: FeaturesFile, model: ColmapModel) -> dict[str, Camera]:
    """Return the calibrations from before building, which maps exported by us keep."""
    from hloc_localizer.maps.container import camera_from_plain

    pairs = file.origin.get('recorded_cameras', [])
    if not isinstance(pairs, list) or not all(isinstance(pair, dict) for pair in pairs):
        raise InputError(f'{file.path}: its recorded cameras are damaged')
    recorded = {}
    for pair in pairs:
        refined = camera_from_plain(file.path, pair.get('refined'))
        for camera_id, camera in model.cameras.items():
            if camera.is_close_to(refined):
                name = f'camera_{camera_id}'
                recorded[name] = camera_from_plain(file.path, pair.get('recorded'))
    return recorded


def _reprojection_error(model: ColmapModel) -> float:
    error = float(model.reconstruction.compute_mean_reprojection_error())
    return error if np.isfinite(error) else 0.0
