"""Points for a model of hloc's that has only poses: its matches, triangulated."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hloc_localizer.features.local_features import LocalFeatures
from hloc_localizer.mapping.enough_points import require_points
from hloc_localizer.mapping.matching import MapImage, PairMatches
from hloc_localizer.mapping.options import ReconstructionOptions
from hloc_localizer.maps.colmap_model import ColmapModel, ModelImage


def triangulated(
    model: ColmapModel,
    features: Mapping[str, LocalFeatures],
    matches: PairMatches,
    options: ReconstructionOptions,
) -> ColmapModel:
    """
    Triangulate matches from the poses of a model.

    :param matches: by indices of the model's images.
    :returns: a model of the same images, cameras and poses, numbered from 1, with these points.
    :raises HlocLocalizerError: when nothing could be triangulated.
    """
    from hloc_localizer.mapping.colmap_scene import cameras_of, poses_of
    from hloc_localizer.mapping.reconstruction import reconstruct

    cameras = list(model.cameras.values())
    camera_index = {camera_id: index for index, camera_id in enumerate(model.cameras)}
    images = [
        MapImage(
            name=image.name,
            stamp_ns=0,
            camera=camera_index[image.camera_id],
            map_from_camera=image.map_from_camera,
            features=features[image.name],
            plane=model.cameras[image.camera_id].normalise(features[image.name].keypoints),
            colors=np.zeros((len(features[image.name]), 3), np.uint8),
        )
        for image in model.images
    ]
    with tempfile.TemporaryDirectory() as workspace:
        reconstruction, _ = reconstruct(
            images,
            cameras,
            matches,
            options,
            workspace=Path(workspace),
            threads=os.cpu_count() or 1,
        )
    require_points(
        reconstruction, f'check that the poses of {model.path} and the matches are of one scene'
    )
    poses = poses_of(reconstruction)
    return ColmapModel(
        path=model.path,
        cameras={index + 1: camera for index, camera in enumerate(cameras_of(reconstruction))},
        images=tuple(
            ModelImage(index + 1, image.name, image.camera + 1, poses[index])
            for index, image in enumerate(images)
        ),
        reconstruction=reconstruction,
    )
