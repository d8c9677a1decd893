"""A map moved into another frame: poses, points, their uncertainty, and the COLMAP model."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np

from hloc_localizer.geometry.covariance import packed_symmetric, unpacked_symmetric
from hloc_localizer.geometry.pose_alignment import PoseAlignment
from hloc_localizer.maps import Manifest, Map, RuntimeMap, write_map
from hloc_localizer.maps.colmap_model import read_colmap_model
from hloc_localizer.maps.hloc_export import MODEL_FOLDER
from hloc_localizer.maps.store import RUNTIME_NAME

_REPORT_FOLDER = 'report'


def transform_map(
    loaded: Map,
    alignment: PoseAlignment,
    manifest: Manifest,
    output: Path,
    *,
    overwrite: bool = False,
) -> Manifest:
    """
    Write a map as it lies in another frame.

    Features and descriptors do not depend on the frame and are copied. The report is left out: its
    pictures show the old frame.

    :param alignment: from the map's frame into the other.
    :param manifest: what the new map says of itself; its files are filled in.
    :returns: the manifest as written.
    """

    def add_files(folder: Path) -> None:
        model = False
        for name in loaded.manifest.files:
            first = name.partition('/')[0]
            model = model or first == MODEL_FOLDER
            if name == RUNTIME_NAME or first in (MODEL_FOLDER, _REPORT_FOLDER):
                continue
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(loaded.path / name, folder / name)
        if model:
            _write_model(loaded, alignment, folder / MODEL_FOLDER)

    runtime = transform_runtime(loaded.runtime, alignment)
    return write_map(output, manifest, runtime, overwrite=overwrite, add_files=add_files)


def transform_runtime(runtime: RuntimeMap, alignment: PoseAlignment) -> RuntimeMap:
    """Return the compiled map in another frame."""
    turned = alignment.scale * runtime.points.astype(np.float64) @ alignment.rotation.T
    stretched = alignment.scale * alignment.rotation
    covariance = stretched @ unpacked_symmetric(runtime.point_covariance) @ stretched.T
    return dataclasses.replace(
        runtime,
        map_from_camera=alignment.apply_to_poses(runtime.map_from_camera),
        points=(turned + alignment.translation).astype(np.float32),
        point_covariance=packed_symmetric(covariance).astype(np.float32),
    )


def _write_model(loaded: Map, alignment: PoseAlignment, folder: Path) -> None:
    reconstruction = read_colmap_model(loaded.path / MODEL_FOLDER).reconstruction
    import pycolmap

    reconstruction.transform(pycolmap.Sim3d(alignment.target_from_source[:3]))
    folder.mkdir()
    reconstruction.write_binary(folder)
