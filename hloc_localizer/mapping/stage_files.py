"""The results of build stages as files: features in shards that are mapped, not held; matches."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.features.local_features import LocalFeatures
from hloc_localizer.mapping.matching import MapImage, PairMatches
from hloc_localizer.mapping.placement import Placement
from hloc_localizer.mapping.retrieval import Retrieval
from hloc_localizer.maps import Component
from hloc_localizer.maps.container import camera_as_plain, camera_from_plain
from hloc_localizer.maps.safetensors_io import read_safetensors, write_safetensors

_IMAGES_A_SHARD = 64
_MATCHES_NAME = 'matches.safetensors'
_RETRIEVAL_NAME = 'retrieval.safetensors'
_ARRAY_NAME = 'array.safetensors'
_PLACEMENT_NAME = 'placement.safetensors'
_LEARNED = 'learned.'


def write_images(folder: Path, images: Iterable[MapImage]) -> None:
    """Write images as they come; no more than one shard of them is in memory."""
    remaining = iter(images)
    for number in itertools.count():
        shard = list(itertools.islice(remaining, _IMAGES_A_SHARD))
        if not shard:
            return
        _write_shard(folder / f'images-{number:05d}.safetensors', shard)


def read_images(folder: Path) -> list[MapImage]:
    """Return the images; their arrays are read-only views of the files, read when they are used."""
    shards = sorted(folder.glob('images-*.safetensors'))
    return [image for shard in shards for image in _read_shard(shard)]


def _write_shard(path: Path, images: Sequence[MapImage]) -> None:
    features = [image.features for image in images]
    arrays: dict[str, NDArray[Any]] = {
        'count': np.array([len(each) for each in features], np.int64),
        'stamp_ns': np.array([image.stamp_ns for image in images], np.int64),
        'camera': np.array([image.camera for image in images], np.int32),
        'map_from_camera': np.stack([image.map_from_camera for image in images]),
        'image_size': np.array([each.image_size for each in features], np.int64),
        'keypoints': np.concatenate([each.keypoints for each in features]),
        'descriptors': np.concatenate([each.descriptors for each in features]),
        'scores': np.concatenate([each.scores for each in features]),
        'scales': np.concatenate([each.scales for each in features]),
        'plane': np.concatenate([image.plane for image in images]),
        'colors': np.concatenate([image.colors for image in images]),
        'thumbnail_size': np.array([len(image.thumbnail) for image in images], np.int64),
        'thumbnails': np.array(bytearray(b''.join(image.thumbnail for image in images))),
    }
    described = [image.global_descriptor for image in images]
    if described[0] is not None:
        arrays['global_descriptor'] = np.stack([one for one in described if one is not None])
    if any(image.depths is not None for image in images):
        arrays['depths'] = np.concatenate([_depths(image) for image in images])
    arrays.update(_measured(images))
    metadata = {
        'names': json.dumps([image.name for image in images]),
        'sessions': json.dumps([image.session for image in images]),
    }
    write_safetensors(path, arrays, metadata, sync=False)


def _measured(images: Sequence[MapImage]) -> dict[str, NDArray[Any]]:
    """Return what only some images have, NaN where it is missing."""
    arrays: dict[str, NDArray[Any]] = {}
    for name, unknown in (
        ('odom_from_camera', np.full((4, 4), np.nan)),
        ('up_in_camera', np.full(3, np.nan)),
    ):
        values = [getattr(image, name) for image in images]
        arrays[name] = np.stack([unknown if each is None else each for each in values])
    return arrays


def _or_none(array: NDArray[Any]) -> NDArray[Any] | None:
    return array if np.isfinite(array).any() else None


def _depths(image: MapImage) -> NDArray[np.float32]:
    unknown = np.full(len(image.features), np.nan, np.float32)
    return unknown if image.depths is None else image.depths


def _read_shard(path: Path) -> Iterator[MapImage]:
    tensors = read_safetensors(path, mapped=True)
    arrays = tensors.arrays
    names = json.loads(tensors.metadata['names'])
    sessions = json.loads(tensors.metadata['sessions'])
    described = arrays.get('global_descriptor')
    ends = np.concatenate([[0], np.cumsum(arrays['count'])])
    thumbnails = np.concatenate([[0], np.cumsum(arrays['thumbnail_size'])])
    for index, (begin, end) in enumerate(itertools.pairwise(ends)):
        own = slice(int(begin), int(end))
        width, height = arrays['image_size'][index]
        yield MapImage(
            name=names[index],
            stamp_ns=int(arrays['stamp_ns'][index]),
            camera=int(arrays['camera'][index]),
            map_from_camera=arrays['map_from_camera'][index],
            features=LocalFeatures(
                keypoints=arrays['keypoints'][own],
                descriptors=arrays['descriptors'][own],
                scores=arrays['scores'][own],
                scales=arrays['scales'][own],
                image_size=(int(width), int(height)),
            ),
            plane=arrays['plane'][own],
            colors=arrays['colors'][own],
            depths=arrays['depths'][own] if 'depths' in arrays else None,
            global_descriptor=described[index] if described is not None else None,
            thumbnail=arrays['thumbnails'][slice(*thumbnails[index : index + 2])].tobytes(),
            odom_from_camera=_or_none(arrays['odom_from_camera'][index]),
            up_in_camera=_or_none(arrays['up_in_camera'][index]),
            session=sessions[index],
        )


def write_array(folder: Path, array: NDArray[Any]) -> None:
    """Write one array beside whatever else the stage has."""
    write_safetensors(folder / _ARRAY_NAME, {'array': array}, {}, sync=False)


def read_array(folder: Path) -> NDArray[Any]:
    """Return what :func:`write_array` wrote."""
    return read_safetensors(folder / _ARRAY_NAME, mapped=True).arrays['array']


def write_matches(folder: Path, matches: PairMatches) -> None:
    """Write the matches of pairs of images, in their order."""
    indices = [np.zeros((0, 2), np.int32), *matches.values()]
    arrays: dict[str, NDArray[Any]] = {
        'pair': np.array(list(matches), np.int32).reshape(-1, 2),
        'count': np.array([len(found) for found in matches.values()], np.int64),
        'indices': np.concatenate(indices),
    }
    write_safetensors(folder / _MATCHES_NAME, arrays, {}, sync=False)


def read_matches(folder: Path) -> PairMatches:
    """Return what :func:`write_matches` wrote, as views of the file."""
    arrays = read_safetensors(folder / _MATCHES_NAME, mapped=True).arrays
    parts = np.split(arrays['indices'], np.cumsum(arrays['count'])[:-1])
    return {
        (int(first), int(second)): part
        for (first, second), part in zip(arrays['pair'], parts, strict=True)
    }


def write_retrieval(folder: Path, retrieval: Retrieval) -> None:
    """Write the global descriptors, and what was learned to make them."""
    component = {
        'name': retrieval.component.name,
        'parameters': dict(retrieval.component.parameters),
    }
    arrays = {_LEARNED + name: array for name, array in retrieval.arrays.items()}
    write_safetensors(
        folder / _RETRIEVAL_NAME,
        {'descriptors': retrieval.descriptors, **arrays},
        {'component': json.dumps(component)},
        sync=False,
    )


def read_retrieval(folder: Path) -> Retrieval:
    """Return what :func:`write_retrieval` wrote, as views of the file."""
    tensors = read_safetensors(folder / _RETRIEVAL_NAME, mapped=True)
    descriptors = tensors.arrays.pop('descriptors')
    learned = {name[len(_LEARNED) :]: array for name, array in tensors.arrays.items()}
    return Retrieval(Component(**json.loads(tensors.metadata['component'])), descriptors, learned)


def write_placement(folder: Path, placement: Placement) -> None:
    """Write where images found their places."""
    told = {
        'cameras': [camera_as_plain(camera) for camera in placement.cameras],
        'metric': placement.metric,
        'gravity_aligned': placement.gravity_aligned,
        'alignment': dict(placement.alignment),
        'methods': dict(placement.methods),
        'notes': list(placement.notes),
    }
    arrays = {'images': placement.images.astype(np.int64), 'poses': placement.poses}
    write_safetensors(folder / _PLACEMENT_NAME, arrays, {'told': json.dumps(told)}, sync=False)


def read_placement(folder: Path) -> Placement:
    """Return what :func:`write_placement` wrote."""
    path = folder / _PLACEMENT_NAME
    tensors = read_safetensors(path, mapped=True)
    told = json.loads(tensors.metadata['told'])
    return Placement(
        images=tensors.arrays['images'].astype(np.intp),
        poses=tensors.arrays['poses'],
        cameras=tuple(camera_from_plain(path, camera) for camera in told['cameras']),
        metric=told['metric'],
        gravity_aligned=told['gravity_aligned'],
        alignment=told['alignment'],
        methods=told['methods'],
        notes=tuple(told['notes']),
    )
