"""Which model and which features of an hloc folder belong together, checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from hloc_localizer.errors import InputError
from hloc_localizer.features.local_features import LocalFeatures
from hloc_localizer.mapping.import_options import HlocImportOptions
from hloc_localizer.mapping.import_triangulation import triangulated
from hloc_localizer.maps.colmap_model import ColmapModel, read_colmap_model
from hloc_localizer.maps.hloc_files import missing_features, read_features_of
from hloc_localizer.maps.hloc_layout import FeaturesFile, HlocFolder
from hloc_localizer.maps.hloc_matches import read_all_matches
from hloc_localizer.progress import Progress

_KEYPOINT_TOLERANCE_PX = 2.5
"""hloc rounds keypoints to half floats, twice: up to a pixel each beyond 2048 pixels."""
_UNIT_TOLERANCE = 0.1


def agreeing_parts(
    folder: HlocFolder, options: HlocImportOptions, progress: Progress
) -> tuple[FeaturesFile, ColmapModel, dict[str, LocalFeatures]]:
    """
    Return the first features file and model that belong together, with the features.

    Where no model was made of these features, as with a reference model of hloc's, its poses are
    taken and the matches of the folder triangulated from them.
    """
    models = _chosen(folder, options.model, folder.models, 'model')
    files = _chosen(folder, options.features, [file.path for file in folder.features], 'features')
    reasons = []
    posed = []
    for model_path in models:
        model = read_colmap_model(model_path)
        for file in folder.features:
            if file.path not in files:
                continue
            try:
                features = _features_of(file, model)
                posed.append((file, model, features))
                _check_observations(file, model, features)
                return file, model, _unshifted(file, features)
            except InputError as error:
                reasons.append(error)
    for file, model, features in posed:
        matches = [path for path in folder.matches if path.stem.startswith(file.path.stem)]
        if matches or len(folder.features) == 1:
            features = _unshifted(file, features)
            found = read_all_matches(
                matches or folder.matches, [image.name for image in model.images], features
            )
            if found:
                progress.stage('triangulate')
                return file, triangulated(model, features, found, options.reconstruction), features
    raise reasons[0]


def _chosen(folder: HlocFolder, wanted: str, found: Sequence[Path], what: str) -> list[Path]:
    if not wanted:
        return list(found)
    kept = [path for path in found if path == folder.path / wanted]
    if not kept:
        names = ', '.join(str(path.relative_to(folder.path)) for path in found)
        raise InputError(f"{folder.path}: has no {what} '{wanted}'; it has {names}")
    return kept


def _features_of(file: FeaturesFile, model: ColmapModel) -> dict[str, LocalFeatures]:
    """
    Read the features of a model's images and check that the model was made of them.

    :raises InputError: naming the first image that contradicts the model.
    """
    names = [image.name for image in model.images]
    missing = missing_features(file.path, names)
    if missing:
        raise InputError(
            f'{file.path}: has no features of {len(missing)} of the {len(names)} images of '
            f"{model.path} (first: '{missing[0]}'); extract them with hloc"
        )
    features = read_features_of(file.path, names)
    for image in model.images:
        where = f"{file.path}: image '{image.name}'"
        size = model.cameras[image.camera_id].image_size
        if features[image.name].image_size != size:
            raise InputError(
                f'{where} is of {features[image.name].image_size} pixels, but of {size} in '
                f'{model.path}'
            )
        _check_conf(file, where, features[image.name])
    return features


def _check_observations(
    file: FeaturesFile, model: ColmapModel, features: Mapping[str, LocalFeatures]
) -> None:
    """Check that the points of the model were seen at these keypoints."""
    if not model.reconstruction.points3D:
        raise InputError(f'{model.path}: the model has no points; triangulate them with hloc')
    for image in model.images:
        where = f"{file.path}: image '{image.name}'"
        seen = model.reconstruction.images[image.image_id].points2D
        keypoints = features[image.name].keypoints
        if len(seen) != len(keypoints):
            raise InputError(
                f'{where} has {len(keypoints)} keypoints, but {len(seen)} in {model.path}: these '
                'are not the features that the model was made of'
            )
        places = np.array([point.xy for point in seen]).reshape(-1, 2) - 0.5
        if np.any(np.abs(places - keypoints) > _KEYPOINT_TOLERANCE_PX):
            raise InputError(
                f'{where} has keypoints at other places than in {model.path}: these are not the '
                'features that the model was made of'
            )


def _unshifted(
    file: FeaturesFile, features: Mapping[str, LocalFeatures]
) -> dict[str, LocalFeatures]:
    """Bring the keypoints of an extractor that puts the first pixel elsewhere to (0, 0)."""
    shift = np.float32(file.conf.shift_px if file.conf else 0.0)
    return {
        name: dataclasses.replace(local, keypoints=local.keypoints + shift)
        for name, local in features.items()
    }


def _check_conf(file: FeaturesFile, where: str, features: LocalFeatures) -> None:
    if len(features) == 0:
        return
    length = float(np.median(np.linalg.norm(features.descriptors.astype(np.float32), axis=1)))
    if abs(length - 1.0) > _UNIT_TOLERANCE:
        raise InputError(f'{where} has descriptors of length {length:.2f} instead of 1')
    if file.conf is None:
        return
    size = features.descriptors.shape[1]
    if size != file.conf.descriptor_size or len(features) > file.conf.max_keypoints:
        raise InputError(
            f'{where} has {len(features)} keypoints with {size} values each, which are not '
            f"features of '{file.conf.name}'"
        )
