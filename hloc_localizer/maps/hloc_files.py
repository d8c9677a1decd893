"""
Local and global features in HDF5 files of hloc's layout: one group an image, named after it.

hloc keeps the centre of the first pixel at (0, 0), as we do, and adds 0.5 where it writes into a
COLMAP database (hloc/extract_features.py, hloc/triangulation.py); keypoints go in unchanged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from hloc_localizer.errors import MapError
from hloc_localizer.features.local_features import LocalFeatures

FEATURES_NAME = 'features.h5'
GLOBAL_FEATURES_NAME = 'global-features.h5'
_MOST_KEYPOINTS = 1 << 20
_LONGEST_DESCRIPTOR = 1 << 16


def write_features(
    path: Path, features: Mapping[str, LocalFeatures], *, uncertainty_px: float = 1.0
) -> None:
    """
    Write ``features.h5``.

    :param features: by image name.
    :param uncertainty_px: standard deviation of a keypoint of scale 1, hloc's ``uncertainty``.
    """
    with h5py.File(path, 'w', libver='latest') as file:
        for name, local in sorted(features.items()):
            write_image_features(file, name, local, uncertainty_px=uncertainty_px)


def write_image_features(
    file: h5py.File, name: str, local: LocalFeatures, *, uncertainty_px: float = 1.0
) -> None:
    """Add the features of one image to an open file."""
    group = file.create_group(name)
    keypoints = group.create_dataset('keypoints', data=local.keypoints.astype(np.float32))
    keypoints.attrs['uncertainty'] = float(uncertainty_px)
    group.create_dataset(
        'descriptors', data=np.ascontiguousarray(local.descriptors.T.astype(np.float16))
    )
    group.create_dataset('scores', data=local.scores.astype(np.float32))
    group.create_dataset('scales', data=local.scales.astype(np.float32))
    group.create_dataset('image_size', data=np.asarray(local.image_size, np.int64))


def read_all_features(path: Path) -> dict[str, LocalFeatures]:
    """Read the features of all images, by image name."""
    with _opened(path) as file:
        names = _image_names(file, 'keypoints')
        return {name: _local_features(path, file, name) for name in names}


def read_features_of(path: Path, names: Iterable[str]) -> dict[str, LocalFeatures]:
    """
    Read the features of some images, by image name.

    :raises MapError: naming the first image whose features are missing or damaged.
    """
    names = list(names)
    return dict(zip(names, each_features(path, names), strict=True))


def each_features(path: Path, names: Iterable[str]) -> Iterator[LocalFeatures]:
    """
    Read the features of some images one after the other, in their order.

    :raises MapError: naming the first image whose features are missing or damaged.
    """
    with _opened(path) as file:
        for name in names:
            yield _local_features(path, file, name)


def missing_features(path: Path, names: Iterable[str]) -> list[str]:
    """Return those of the images that the file has no keypoints of."""
    with _opened(path) as file:
        return [name for name in names if f'{name}/keypoints' not in file]


def write_global_features(path: Path, descriptors: Mapping[str, NDArray[Any]]) -> None:
    """Write ``global-features.h5``; descriptors (G,) by image name."""
    with h5py.File(path, 'w', libver='latest') as file:
        for name, descriptor in sorted(descriptors.items()):
            file.create_group(name).create_dataset('global_descriptor', data=descriptor)


def read_global_features(path: Path) -> dict[str, NDArray[np.float32]]:
    """
    Read ``global-features.h5``.

    :returns: (G,) float32 by image name, all of one length.
    :raises MapError: when the file is missing or damaged.
    """
    with _opened(path) as file:
        descriptors = {
            name: _array(path, file, f'{name}/global_descriptor', 1, _MOST_KEYPOINTS)
            for name in _image_names(file, 'global_descriptor')
        }
    if len({len(descriptor) for descriptor in descriptors.values()}) > 1:
        raise MapError(f'{path}: the global descriptors differ in length')
    return {name: value.astype(np.float32) for name, value in descriptors.items()}


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    if not path.is_file():
        raise MapError(f'{path}: there is no such file')
    try:
        with h5py.File(path, 'r') as file:
            yield file
    except (OSError, RuntimeError, KeyError) as error:
        raise MapError(f'{path}: not a readable HDF5 file; copy or build the map again') from error


def _image_names(file: h5py.File, dataset: str) -> list[str]:
    names: list[str] = []

    def visit(name: str, thing: Any) -> None:
        parent, _, last = name.rpartition('/')
        if last == dataset and parent and isinstance(thing, h5py.Dataset):
            names.append(parent)

    file.visititems(visit)
    return sorted(names)


def _local_features(path: Path, file: h5py.File, name: str) -> LocalFeatures:
    keypoints = _array(path, file, f'{name}/keypoints', 2, _MOST_KEYPOINTS)
    descriptors = _array(path, file, f'{name}/descriptors', 2, _MOST_KEYPOINTS).T
    count = len(keypoints)
    size = _array(path, file, f'{name}/image_size', 1, 2)
    # hloc's newer extractors call the scores keypoint_scores.
    scored = 'scores' if f'{name}/scores' in file else 'keypoint_scores'
    scores = _optional(path, file, f'{name}/{scored}', count)
    scales = _optional(path, file, f'{name}/scales', count)
    if keypoints.shape[1] < 2 or len(descriptors) != count or len(size) != 2:
        raise MapError(f"{path}: the features of '{name}' contradict each other in size")
    return LocalFeatures(
        keypoints=np.ascontiguousarray(keypoints[:, :2], np.float32),
        descriptors=np.ascontiguousarray(descriptors),
        scores=scores,
        scales=scales,
        image_size=(int(size[0]), int(size[1])),
    )


def _optional(path: Path, file: h5py.File, key: str, count: int) -> NDArray[np.float32]:
    if key not in file:
        return np.ones(count, np.float32)
    values = _array(path, file, key, 1, _MOST_KEYPOINTS).astype(np.float32)
    if len(values) != count:
        raise MapError(f"{path}: '{key}' holds {len(values)} values for {count} keypoints")
    return values


def _array(path: Path, file: h5py.File, key: str, ndim: int, longest: int) -> NDArray[Any]:
    dataset = file.get(key)
    if not isinstance(dataset, h5py.Dataset):
        raise MapError(f"{path}: '{key}' is missing; copy or build the map again")
    if dataset.ndim != ndim or dataset.dtype.kind not in 'fiu' or max(dataset.shape) > longest:
        raise MapError(f"{path}: '{key}' has the wrong type or shape {dataset.shape}")
    # A damaged shape may promise far more than the file holds.
    if dataset.size > 1 << 28 or min(dataset.shape, default=0) > _LONGEST_DESCRIPTOR:
        raise MapError(f"{path}: '{key}' is too large: {dataset.shape}")
    values: NDArray[Any] = dataset[()]
    if values.dtype.kind == 'f' and not np.all(np.isfinite(values)):
        raise MapError(f"{path}: '{key}' holds values that are not finite")
    return values
