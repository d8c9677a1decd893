"""The compiled map: round trip, reproducible bytes, other readers, damaged files."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from synthetic_map import make_runtime

from hloc_localizer.errors import MapError
from hloc_localizer.maps.container import load_runtime, save_runtime
from hloc_localizer.maps.runtime import RuntimeMap
from hloc_localizer.maps.safetensors_io import read_safetensors, write_safetensors


def assert_equal(first: RuntimeMap, second: RuntimeMap) -> None:
    assert first.image_names == second.image_names
    assert first.cameras == second.cameras
    arrays = 0
    for field in dataclasses.fields(RuntimeMap):
        one, other = getattr(first, field.name), getattr(second, field.name)
        if isinstance(one, np.ndarray):
            arrays += 1
            assert one.dtype == other.dtype, field.name
            np.testing.assert_array_equal(one, other)
    assert arrays == 15
    assert first.retrieval_arrays.keys() == second.retrieval_arrays.keys()
    for name, array in first.retrieval_arrays.items():
        np.testing.assert_array_equal(array, second.retrieval_arrays[name])


@pytest.mark.parametrize('descriptors', ['uint8', 'float16', 'float32'])
def test_a_saved_map_loads_unchanged(tmp_path: Path, descriptors: str) -> None:
    runtime = make_runtime()
    runtime = dataclasses.replace(runtime, descriptors=runtime.descriptors.astype(descriptors))
    save_runtime(tmp_path / 'map', runtime)
    assert_equal(runtime, load_runtime(tmp_path / 'map'))


def test_arrays_are_views_of_the_file_and_cannot_be_written(tmp_path: Path) -> None:
    save_runtime(tmp_path / 'map', make_runtime())
    loaded = load_runtime(tmp_path / 'map')
    assert not loaded.points.flags.owndata
    assert loaded.points.flags.aligned
    with pytest.raises(ValueError, match='read-only'):
        loaded.points[0, 0] = 1.0


def test_a_loaded_map_survives_that_another_is_copied_over_its_file(tmp_path: Path) -> None:
    runtime = make_runtime()
    save_runtime(tmp_path / 'map', runtime)
    loaded = load_runtime(tmp_path / 'map')
    with (tmp_path / 'map').open('wb'):  # as cp begins
        assert_equal(runtime, loaded)


def test_the_same_map_gives_the_same_bytes(tmp_path: Path) -> None:
    save_runtime(tmp_path / 'first', make_runtime())
    save_runtime(tmp_path / 'second', make_runtime())
    assert (tmp_path / 'first').read_bytes() == (tmp_path / 'second').read_bytes()


def test_a_map_of_twelve_megabytes_loads_in_a_fifth_of_a_second(tmp_path: Path) -> None:
    save_runtime(tmp_path / 'map', make_runtime(images=100, points=20_000))
    assert (tmp_path / 'map').stat().st_size > 12e6
    times = []
    for _ in range(3):
        begin = process_time()
        load_runtime(tmp_path / 'map')
        times.append(process_time() - begin)
    assert min(times) < 0.2


def test_the_reference_reader_of_safetensors_reads_it(tmp_path: Path) -> None:
    reference = pytest.importorskip('safetensors.numpy', reason='safetensors is not installed')
    runtime = make_runtime()
    save_runtime(tmp_path / 'map', runtime)
    arrays = reference.load_file(tmp_path / 'map')
    np.testing.assert_array_equal(arrays['points'], runtime.points)
    np.testing.assert_array_equal(arrays['descriptors'], runtime.descriptors)
    assert len(arrays) == 16


def test_files_of_the_reference_writer_are_read(tmp_path: Path) -> None:
    reference = pytest.importorskip('safetensors.numpy', reason='safetensors is not installed')
    arrays = {
        'a': np.arange(6, dtype=np.float32).reshape(2, 3),
        'empty': np.zeros((0, 4), np.int32),
    }
    reference.save_file(arrays, tmp_path / 'file', metadata={'key': 'value'})
    tensors = read_safetensors(tmp_path / 'file')
    np.testing.assert_array_equal(tensors.arrays['a'], arrays['a'])
    assert tensors.arrays['empty'].shape == (0, 4)
    assert tensors.metadata == {'key': 'value'}


def _with(runtime: RuntimeMap, name: str, index: Any, value: Any) -> RuntimeMap:
    array = getattr(runtime, name).copy()
    array[index] = value
    return dataclasses.replace(runtime, **{name: array})


@pytest.mark.parametrize(
    ('name', 'index', 'value'),
    [
        ('points', (3, 1), np.nan),
        ('point_covariance', (2, 3), -1.0),
        ('point_covariance', (2, 1), np.inf),
        ('map_from_camera', (0, 0, 0), 3.0),
        ('map_from_camera', (0, 3, 3), 0.0),
        ('map_from_camera', (1, 0, 3), np.inf),
        ('image_camera', 1, 1),
        ('image_camera', 1, -1),
        ('observation_offsets', 1, 10_000),
        ('observation_offsets', 0, 1),
        ('observation_offsets', -1, 0),
        ('observation_point', 0, 50),
        ('observation_point', 0, 7),
        ('observation_keypoint', (0, 0), np.nan),
        ('observation_descriptor', 0, -1),
        ('descriptor_point', 0, 50),
        ('covisible_offsets', 2, -5),
        ('covisible_image', 0, 4),
        ('covisible_count', 0, -1),
        ('global_descriptors', (0, 0), np.nan),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_by_the_name_of_its_array(
    tmp_path: Path, name: str, index: Any, value: Any
) -> None:
    broken = _with(make_runtime(), name, index, value)
    with pytest.raises(MapError, match=r'array') as saving:
        save_runtime(tmp_path / 'map', broken)
    assert not (tmp_path / 'map').exists()
    arrays = {f.name: getattr(broken, f.name) for f in dataclasses.fields(broken)}
    arrays = {name: array for name, array in arrays.items() if isinstance(array, np.ndarray)}
    save_runtime(tmp_path / 'good', make_runtime())
    metadata = read_safetensors(tmp_path / 'good').metadata
    write_safetensors(tmp_path / 'map', arrays, metadata)
    with pytest.raises(MapError) as loading:
        load_runtime(tmp_path / 'map')
    assert str(loading.value) == str(saving.value)
    related = {'observation_point': 'observation_descriptor'}
    assert name in str(loading.value) or related.get(name, '!') in str(loading.value)


@pytest.mark.parametrize('name', ['points', 'descriptors', 'covisible_count', 'observation_point'])
def test_an_array_of_the_wrong_shape_or_type_is_refused(tmp_path: Path, name: str) -> None:
    runtime = make_runtime()
    shorter = dataclasses.replace(runtime, **{name: getattr(runtime, name)[:-1]})
    with pytest.raises(MapError, match='shape'):
        save_runtime(tmp_path / 'map', shorter)
    other = dataclasses.replace(runtime, **{name: getattr(runtime, name).astype(np.float64)})
    with pytest.raises(MapError, match=f"'{name}' is of type float64"):
        save_runtime(tmp_path / 'map', other)


def test_a_newer_container_says_to_update(tmp_path: Path) -> None:
    save_runtime(tmp_path / 'map', make_runtime())
    tensors = read_safetensors(tmp_path / 'map')
    write_safetensors(tmp_path / 'new', tensors.arrays, {**tensors.metadata, 'version': '2'})
    with pytest.raises(MapError, match=r'version 2 is newer .* update hloc_localizer'):
        load_runtime(tmp_path / 'new')


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        ('images', '["a", "a", "b", "c"]'),
        ('images', '[1, 2, 3, 4]'),
        ('images', '[]'),
        ('images', '[' * 100_000),
        ('cameras', '[]'),
        ('cameras', '[{"model": "PINHOLE"}]'),
        ('cameras', '[{"model": "PINHOLE", "width": 4, "height": 4, "params": [NaN, 1, 1, 1]}]'),
        ('cameras', '[{"model": "PINHOLE", "width": "4", "height": 4, "params": [1, 1, 1, 1]}]'),
        ('cameras', 'null'),
        ('version', 'one'),
        ('format', 'other'),
    ],
)
def test_metadata_that_make_no_sense_are_refused(tmp_path: Path, key: str, value: str) -> None:
    save_runtime(tmp_path / 'map', make_runtime())
    tensors = read_safetensors(tmp_path / 'map')
    write_safetensors(tmp_path / 'new', tensors.arrays, {**tensors.metadata, key: value})
    with pytest.raises(MapError):
        load_runtime(tmp_path / 'new')


def _raw(header: Any, data: bytes = b'') -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, 'little') + text + data


@pytest.mark.parametrize(
    'content',
    [
        b'',
        b'short',
        (1 << 63).to_bytes(8, 'little') + b'{}',
        _raw(b'{'),
        _raw(b'[]'),
        _raw(b'{"a":' * 50_000),
        _raw(b'\xff\xfe'),
        _raw({'a': None}),
        _raw({'a': {'dtype': 'F99', 'shape': [1], 'data_offsets': [0, 4]}}, bytes(4)),
        _raw({'a': {'dtype': 'F32', 'shape': [-1], 'data_offsets': [0, -4]}}),
        _raw({'a': {'dtype': 'F32', 'shape': [1 << 70], 'data_offsets': [0, 4 << 70]}}),
        _raw({'a': {'dtype': 'F32', 'shape': [2], 'data_offsets': [0, 4]}}, bytes(4)),
        _raw({'a': {'dtype': 'F32', 'shape': [2], 'data_offsets': [0, 8]}}, bytes(4)),
        _raw({'a': {'dtype': 'F32', 'shape': [1], 'data_offsets': [4, 8]}}, bytes(8)),
        _raw({'a': {'dtype': 'F32', 'shape': [1.0], 'data_offsets': [0, 4]}}, bytes(4)),
        _raw({'a': {'dtype': ['F32'], 'shape': [1], 'data_offsets': [0, 4]}}, bytes(4)),
        _raw({'__metadata__': {'a': 1}}),
        _raw({'a': {'dtype': 'U8', 'shape': [1] * 40, 'data_offsets': [0, 1]}}, bytes(1)),
        _raw({'a': {'dtype': 'U8', 'shape': [1 << 61, 1 << 61, 0], 'data_offsets': [0, 0]}}),
        _raw({'a': {'dtype': 'F64', 'shape': [0, 1 << 59], 'data_offsets': [0, 0]}}),
        _raw({'a': {'dtype': 'U8', 'shape': [0, 1 << 62], 'data_offsets': [0, 0]}}),
    ],
)
def test_a_file_of_another_layout_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / 'file').write_bytes(content)
    with pytest.raises(MapError):
        read_safetensors(tmp_path / 'file')


@settings(
    max_examples=400,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_a_damaged_file_gives_a_map_or_one_clear_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.getbasetemp()
    if not (folder / 'fuzzed').exists():
        save_runtime(folder / 'fuzzed', make_runtime())
    content = bytearray((folder / 'fuzzed').read_bytes())
    header = 8 + int.from_bytes(content[:8], 'little')
    # Half of the damage goes into the header, where it is most telling.
    end = data.draw(st.sampled_from([header, len(content)]))
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, end - 1))
        content[position] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))]
    damaged = folder / 'damaged'
    damaged.write_bytes(bytes(content))
    loaded, message = None, str(damaged)
    try:
        loaded = load_runtime(damaged)
    except MapError as error:
        message = str(error)
    assert '\n' not in message
    assert str(damaged) in message
    if loaded is not None:
        assert len(loaded.image_names) == 4
        assert loaded.observation_point.max() < len(loaded.points)
