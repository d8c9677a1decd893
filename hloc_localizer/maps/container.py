"""The compiled map ``localizer.safetensors``: save, load and check a :class:`RuntimeMap`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.errors import InputError, MapError
from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.maps.runtime import RuntimeMap
from hloc_localizer.maps.safetensors_io import (
    Tensors,
    read_safetensors,
    safetensors_size,
    write_safetensors,
)

CONTAINER_VERSION = 1
_RETRIEVAL_PREFIX = 'retrieval.'

_SCHEMA: dict[str, tuple[tuple[str, ...], tuple[str | int, ...]]] = {
    # name: (types, shape); I images, P points, O observations, M descriptors, C covisible pairs
    'image_camera': (('int32',), ('I',)),
    'map_from_camera': (('float64',), ('I', 4, 4)),
    'points': (('float32',), ('P', 3)),
    'point_covariance': (('float32',), ('P', 6)),
    'point_colors': (('uint8',), ('P', 3)),
    'observation_offsets': (('int64',), ('I+1',)),
    'observation_point': (('int32',), ('O',)),
    'observation_keypoint': (('float32',), ('O', 2)),
    'observation_descriptor': (('int32',), ('O',)),
    'descriptors': (('uint8', 'float16', 'float32'), ('M', 'D')),
    'descriptor_point': (('int32',), ('M',)),
    'covisible_offsets': (('int64',), ('I+1',)),
    'covisible_image': (('int32',), ('C',)),
    'covisible_count': (('int32',), ('C',)),
    'global_descriptors': (('float16',), ('I', 'G')),
}


def save_runtime(path: Path, runtime: RuntimeMap) -> None:
    """
    Write the compiled map; the same map gives the same bytes.

    :raises MapError: when the arrays contradict each other, naming one.
    """
    arrays, metadata = _content(runtime)
    own = {name: arrays[name] for name in _SCHEMA}
    _check(path, own, len(runtime.image_names), len(runtime.cameras))
    for name, array in runtime.retrieval_arrays.items():
        _check_finite(path, _RETRIEVAL_PREFIX + name, array)
    write_safetensors(path, arrays, metadata)


def compiled_size(runtime: RuntimeMap) -> int:
    """Return how many bytes :func:`save_runtime` would write."""
    return safetensors_size(*_content(runtime))


def _content(runtime: RuntimeMap) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    arrays = {name: np.asarray(getattr(runtime, name)) for name in _SCHEMA}
    for name, array in runtime.retrieval_arrays.items():
        arrays[_RETRIEVAL_PREFIX + name] = array
    metadata = {
        'format': 'hloc_localizer.runtime',
        'version': str(CONTAINER_VERSION),
        'images': json.dumps(list(runtime.image_names)),
        'cameras': json.dumps([camera_as_plain(camera) for camera in runtime.cameras]),
    }
    return arrays, metadata


def load_runtime(path: Path) -> RuntimeMap:
    """
    Map the compiled map into memory and check it.

    :returns: a map whose arrays are read-only views of the file.
    :raises MapError: naming the array that is missing or wrong.
    """
    tensors = read_safetensors(path)
    _check_version(path, tensors.metadata)
    image_names = _image_names(path, tensors.metadata)
    cameras = _cameras(path, tensors.metadata)
    for name in _SCHEMA:
        if name not in tensors.arrays:
            raise MapError(f"{path}: array '{name}' is missing; build the map again")
    arrays = {name: tensors.arrays[name] for name in _SCHEMA}
    _check(path, arrays, len(image_names), len(cameras))
    return RuntimeMap(
        image_names=image_names,
        cameras=cameras,
        retrieval_arrays=_retrieval_arrays(path, tensors),
        **arrays,
    )


def camera_as_plain(camera: Camera) -> dict[str, Any]:
    """Return the fields of a camera as plain values, ready for JSON and YAML."""
    return {
        'model': camera.model,
        'width': camera.width,
        'height': camera.height,
        'params': list(camera.params),
    }


def _check_version(path: Path, metadata: dict[str, str]) -> None:
    if metadata.get('format') != 'hloc_localizer.runtime':
        raise MapError(f'{path}: not a compiled map of hloc_localizer; build the map again')
    version = metadata.get('version', '')
    if not (version.isascii() and version.isdigit() and len(version) < 9):
        raise MapError(f'{path}: has no valid version; build the map again')
    if int(version) > CONTAINER_VERSION:
        raise MapError(
            f'{path}: version {version} is newer than this release reads '
            f'({CONTAINER_VERSION}); update hloc_localizer'
        )


def _json_list(path: Path, metadata: dict[str, str], key: str) -> list[Any]:
    try:
        values = json.loads(metadata.get(key, ''))
    except (ValueError, RecursionError) as error:
        raise MapError(f"{path}: metadata '{key}' is missing or not JSON") from error
    if not isinstance(values, list) or not values:
        raise MapError(f"{path}: metadata '{key}' is not a list with something in it")
    return values


def _image_names(path: Path, metadata: dict[str, str]) -> tuple[str, ...]:
    names = _json_list(path, metadata, 'images')
    if not all(isinstance(name, str) and name for name in names) or len(set(names)) != len(names):
        raise MapError(f"{path}: metadata 'images' are not distinct names")
    return tuple(names)


def _cameras(path: Path, metadata: dict[str, str]) -> tuple[Camera, ...]:
    return tuple(camera_from_plain(path, entry) for entry in _json_list(path, metadata, 'cameras'))


def camera_from_plain(path: Path, entry: Any) -> Camera:
    """
    Make a camera of a mapping with model, width, height, params (pixel centres at (0, 0)).

    :param path: the file it was read from, for the error's line.
    """
    try:
        model, width, height = entry['model'], entry['width'], entry['height']
        params = tuple(float(value) for value in entry['params'])
    except (TypeError, KeyError, ValueError, OverflowError) as error:
        raise MapError(f'{path}: a camera lacks model, width, height or params') from error
    if not isinstance(model, str) or type(width) is not int or type(height) is not int:
        raise MapError(f'{path}: a camera has a model, width or height of the wrong type')
    try:
        return Camera(model, width, height, params)
    except InputError as error:
        raise MapError(f'{path}: {error}') from error


def _retrieval_arrays(path: Path, tensors: Tensors) -> dict[str, NDArray[Any]]:
    arrays = {
        name[len(_RETRIEVAL_PREFIX) :]: array
        for name, array in tensors.arrays.items()
        if name.startswith(_RETRIEVAL_PREFIX)
    }
    for name, array in arrays.items():
        _check_finite(path, _RETRIEVAL_PREFIX + name, array)
    return arrays


def _check(path: Path, arrays: dict[str, NDArray[Any]], images: int, cameras: int) -> None:
    sizes = _check_shapes(path, arrays, images)
    for name in ('map_from_camera', 'points', 'point_covariance', 'observation_keypoint',
                 'descriptors', 'global_descriptors'):  # fmt: skip
        _check_finite(path, name, arrays[name])
    _check_rigid(path, arrays['map_from_camera'])
    if np.any(arrays['point_covariance'][:, [0, 3, 5]] < 0.0):
        raise MapError(f"{path}: array 'point_covariance' holds negative variances")
    _check_offsets(path, 'observation_offsets', arrays, sizes['O'])
    _check_offsets(path, 'covisible_offsets', arrays, sizes['C'])
    _check_indices(path, 'image_camera', arrays, cameras)
    _check_indices(path, 'observation_point', arrays, sizes['P'])
    _check_indices(path, 'observation_descriptor', arrays, sizes['M'])
    _check_indices(path, 'descriptor_point', arrays, sizes['P'])
    _check_indices(path, 'covisible_image', arrays, images)
    if np.any(arrays['covisible_count'] < 0):
        raise MapError(f"{path}: array 'covisible_count' holds negative values")
    described = arrays['descriptor_point'][arrays['observation_descriptor']]
    if not np.array_equal(described, arrays['observation_point']):
        raise MapError(f"{path}: array 'observation_descriptor' names descriptors of other points")


def _check_shapes(path: Path, arrays: dict[str, NDArray[Any]], images: int) -> dict[str, int]:
    sizes = {'I': images, 'I+1': images + 1}
    for name, (types, shape) in _SCHEMA.items():
        array = arrays[name]
        if array.dtype.name not in types:
            allowed = ' or '.join(types)
            raise MapError(f"{path}: array '{name}' is of type {array.dtype.name}, not {allowed}")
        if array.ndim != len(shape):
            raise MapError(f"{path}: array '{name}' has shape {array.shape}, not {shape}")
        for size, expected in zip(array.shape, shape, strict=True):
            wanted = sizes.setdefault(expected, size) if isinstance(expected, str) else expected
            if size != wanted:
                raise MapError(
                    f"{path}: array '{name}' has shape {array.shape}: {size} where {wanted} belong"
                )
    for letter, what in (('P', 'points'), ('M', 'descriptors'), ('G', 'global_descriptors')):
        if sizes[letter] == 0:
            raise MapError(f"{path}: array '{what}' is empty; build the map again")
    return sizes


def _check_finite(path: Path, name: str, array: NDArray[Any]) -> None:
    if array.dtype.kind == 'f' and not np.all(np.isfinite(array)):
        raise MapError(f"{path}: array '{name}' holds values that are not finite")


def _check_rigid(path: Path, matrices: NDArray[np.float64]) -> None:
    if not transforms.are_rigid(matrices):
        raise MapError(f"{path}: array 'map_from_camera' holds matrices that are not rigid")


def _check_offsets(path: Path, name: str, arrays: dict[str, NDArray[Any]], total: int) -> None:
    offsets = arrays[name]
    if offsets[0] != 0 or offsets[-1] != total or np.any(offsets[1:] < offsets[:-1]):
        raise MapError(f"{path}: array '{name}' does not rise from 0 to {total}")


def _check_indices(path: Path, name: str, arrays: dict[str, NDArray[Any]], count: int) -> None:
    indices = arrays[name]
    if indices.size and (indices.min() < 0 or indices.max() >= count):
        raise MapError(f"{path}: array '{name}' holds indices outside 0..{count - 1}")
