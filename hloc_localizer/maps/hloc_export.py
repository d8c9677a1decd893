"""A map as an hloc output folder: model, features, global features and pairs by hloc's names."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hloc_localizer.errors import MapError
from hloc_localizer.maps.container import camera_as_plain
from hloc_localizer.maps.hloc_confs import LOCAL_CONFS
from hloc_localizer.maps.hloc_files import FEATURES_NAME, GLOBAL_FEATURES_NAME
from hloc_localizer.maps.hloc_layout import ORIGIN_ATTRIBUTE
from hloc_localizer.maps.manifest import Component
from hloc_localizer.maps.map import Map

MODEL_FOLDER = 'sfm'
COVISIBLE_PAIRS = 20


def export_colmap(loaded: Map, folder: Path) -> None:
    """
    Write the COLMAP model into a new folder.

    :raises MapError: when the map holds none.
    """
    names = [name for name in loaded.manifest.files if name.startswith(f'{MODEL_FOLDER}/')]
    if not names:
        raise MapError(f"{loaded.path}: holds no '{MODEL_FOLDER}/', so it cannot be exported")
    for name in names:
        target = folder / name[len(MODEL_FOLDER) + 1 :]
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(loaded.path / name, target)


def export_hloc(loaded: Map, folder: Path) -> None:
    """
    Write a new folder that hloc's scripts read and :func:`import_hloc` takes back.

    :raises MapError: when the map holds no model, features or global features.
    """
    for name in (FEATURES_NAME, GLOBAL_FEATURES_NAME):
        if name not in loaded.manifest.files:
            raise MapError(f"{loaded.path}: holds no '{name}', so it cannot be exported for hloc")
    export_colmap(loaded, folder / MODEL_FOLDER)
    features = folder / f'{_features_stem(loaded)}.h5'
    global_features = folder / f'global-feats-{loaded.manifest.global_descriptor.name}.h5'
    pairs = folder / f'pairs-db-covis{COVISIBLE_PAIRS}.txt'
    _copy_features(loaded, features)
    shutil.copyfile(loaded.path / GLOBAL_FEATURES_NAME, global_features)
    pairs.write_text(''.join(f'{first} {second}\n' for first, second in covisible_pairs(loaded)),
                     encoding='utf-8')  # fmt: skip
    (folder / 'README.txt').write_text(
        _README.format(
            model=MODEL_FOLDER,
            features=features.name,
            global_features=global_features.name,
            pairs=pairs.name,
            count=COVISIBLE_PAIRS,
            front_end=loaded.manifest.front_end.name,
            descriptor=loaded.manifest.global_descriptor.name,
        ),
        encoding='utf-8',
    )


_README = """\
A map of hloc_localizer in the layout of hloc (github.com/cvg/Hierarchical-Localization).

{model}/
    COLMAP model: pass it as reference_sfm to hloc.localize_sfm, or open it in COLMAP's GUI
    (File, Import model). Point i of an image is keypoint i of its features.
{features}
    Local features '{front_end}', a group an image: keypoints (N, 2), the centre of the first pixel
    at (0, 0); descriptors (D, N); scores; scales; image_size (width, height).
{global_features}
    Global descriptors '{descriptor}', a group an image: global_descriptor.
{pairs}
    The {count} map images that share most points with each one: "image image" lines.

"hloc-localizer import hloc" makes a map of this folder again.
"""


def covisible_pairs(loaded: Map) -> list[tuple[str, str]]:
    """Return pairs of image names: each with those that share most points with it, most first."""
    runtime = loaded.runtime
    names = runtime.image_names
    pairs = []
    for index, name in enumerate(names):
        begin, end = runtime.covisible_offsets[index : index + 2]
        others = runtime.covisible_image[begin : min(int(end), int(begin) + COVISIBLE_PAIRS)]
        pairs += [(name, names[other]) for other in others]
    return pairs


def _features_stem(loaded: Map) -> str:
    """Take hloc's name where the front end does what one of its configurations does."""
    front_end = loaded.manifest.front_end
    for conf in LOCAL_CONFS:
        same = all(front_end.parameters.get(key) == value for key, value in conf.parameters.items())
        if conf.front_end == front_end.name and same and not conf.shift_px:
            return conf.output
    return f'feats-{front_end.name}'


def _copy_features(loaded: Map, target: Path) -> None:
    shutil.copyfile(loaded.path / FEATURES_NAME, target)
    try:
        with h5py.File(target, 'r+', libver='latest') as file:
            file.attrs[ORIGIN_ATTRIBUTE] = json.dumps(_origin(loaded), allow_nan=False)
    except (OSError, RuntimeError, KeyError) as error:
        raise MapError(
            f'{loaded.path / FEATURES_NAME}: not a readable HDF5 file; copy or build the map again'
        ) from error


def _origin(loaded: Map) -> dict[str, Any]:
    """Return what hloc's layout has no place for."""
    manifest = loaded.manifest
    recorded = [
        {
            'refined': camera_as_plain(camera),
            'recorded': camera_as_plain(manifest.recorded_cameras[name]),
        }
        for name, camera in manifest.cameras.items()
        if name in manifest.recorded_cameras
    ]
    return {
        'front_end': _component(manifest.front_end),
        'global_descriptor': _component(manifest.global_descriptor),
        'map_frame': manifest.map_frame,
        'metric': manifest.metric,
        'gravity_aligned': manifest.gravity_aligned,
        'recorded_cameras': recorded,
    }


def _component(component: Component) -> dict[str, Any]:
    return {'name': component.name, 'parameters': _plain(dict(component.parameters))}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value.item() if isinstance(value, np.generic) else value
