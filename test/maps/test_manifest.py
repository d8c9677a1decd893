"""The manifest: round trip, versions, types, hostile content."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from synthetic_map import make_manifest, make_runtime

from hloc_localizer.errors import MapError
from hloc_localizer.maps import FileRecord, Manifest, read_manifest
from hloc_localizer.maps.manifest import require_metric, scale_line

FILES = {
    'localizer.safetensors': FileRecord(12, 'ab' * 32),
    'sfm/points3D.bin': FileRecord(0, 'c' * 64),
}


def manifest() -> Manifest:
    return dataclasses.replace(make_manifest(make_runtime()), files=FILES)


def write(folder: Path, values: Any) -> Path:
    (folder / 'map.yaml').write_text(yaml.safe_dump(values), encoding='utf-8')
    return folder


def values() -> dict[str, Any]:
    loaded = yaml.safe_load(manifest().to_yaml())
    assert isinstance(loaded, dict)
    return loaded


def test_what_is_written_is_read(tmp_path: Path) -> None:
    (tmp_path / 'map.yaml').write_text(manifest().to_yaml(), encoding='utf-8')
    assert read_manifest(tmp_path) == manifest()


def test_a_newer_version_says_to_update(tmp_path: Path) -> None:
    write(tmp_path, {'format_version': 2, 'everything': 'else'})
    with pytest.raises(MapError, match=r'version 2 is newer .* update hloc_localizer'):
        read_manifest(tmp_path)


def test_keys_that_are_not_known_are_passed_over(tmp_path: Path) -> None:
    changed = {**values(), 'colour': 'blue'}
    changed['statistics']['doors'] = 3
    assert read_manifest(write(tmp_path, changed)) == manifest()


def test_methods_are_read_and_may_be_missing_in_older_maps(tmp_path: Path) -> None:
    found = dataclasses.replace(
        manifest(),
        methods={'scale': 'odometry', 'gravity': 'imu'},
        alignment={'scale_relative_error': 0.0037, 'gravity_spread_deg': 0.2},
    )
    (tmp_path / 'map.yaml').write_text(found.to_yaml(), encoding='utf-8')
    assert read_manifest(tmp_path) == found
    assert scale_line(found) == 'metric by odometry (+-0.37%), z up by imu (+-0.2 deg)'
    older = values()
    del older['methods']
    assert read_manifest(write(tmp_path, older)).methods == {}


def test_a_map_that_is_not_metric_is_refused_unless_units_will_do() -> None:
    require_metric(manifest(), allow_unscaled=False, remedy='--x')
    unscaled = dataclasses.replace(manifest(), metric=False)
    assert scale_line(unscaled).startswith('NOT METRIC: one unit is not one metre')
    with pytest.raises(MapError, match=r'the map is not metric.*say that units will do: --x$'):
        require_metric(unscaled, allow_unscaled=False, remedy='--x')
    require_metric(unscaled, allow_unscaled=True, remedy='--x')


FIELDS = {
    ('format_version',): int, ('map_frame',): str, ('metric',): bool, ('gravity_aligned',): bool,
    ('cameras',): dict, ('cameras', 'camera'): dict, ('cameras', 'camera', 'model'): str,
    ('cameras', 'camera', 'width'): int, ('cameras', 'camera', 'params'): list,
    ('front_end',): dict, ('front_end', 'name'): str, ('global_descriptor', 'parameters'): dict,
    ('alignment',): dict, ('alignment', 'translation_rmse_m'): float,
    ('statistics', 'images'): int, ('statistics', 'mean_track_length'): float,
    ('provenance',): dict, ('provenance', 'seed'): int, ('provenance', 'source', 'path'): str,
    ('provenance', 'packages', 'numpy'): str, ('provenance', 'created'): str, ('files',): dict,
    ('files', 'sfm/points3D.bin'): dict, ('files', 'sfm/points3D.bin', 'size'): int,
    ('files', 'sfm/points3D.bin', 'sha256'): str,
}  # fmt: skip
WRONG = (None, True, 2, 2.5, float('nan'), float('inf'), 'text', ['a'], {'a': {'b': ['c']}})


def _of_type(value: Any, kind: type) -> bool:
    if kind is float:
        return isinstance(value, (int, float)) and value is not True
    return type(value) is kind


@pytest.mark.parametrize('field', FIELDS, ids='.'.join)
def test_a_value_of_the_wrong_type_is_named(tmp_path: Path, field: tuple[str, ...]) -> None:
    wrong = [value for value in WRONG if not _of_type(value, FIELDS[field])]
    assert len(wrong) >= 5
    for value in wrong:
        changed: Any = values()
        inner = changed
        for key in field[:-1]:
            inner = inner[key]
        inner[field[-1]] = value
        with pytest.raises(MapError, match=r'map\.yaml: ') as error:
            read_manifest(write(tmp_path, changed))
        assert '\n' not in str(error.value)


@pytest.mark.parametrize(
    ('field', 'value'),
    [
        (('format_version',), 0),
        (('alignment', 'translation_rmse_m'), float('nan')),
        (('statistics', 'mean_track_length'), float('inf')),
        (('statistics', 'mean_track_length'), 10**400),
        (('files', 'sfm/points3D.bin', 'size'), -1),
        (('files', 'sfm/points3D.bin', 'sha256'), 'AB' * 32),
        (('files', 'sfm/points3D.bin', 'sha256'), 'ab'),
        (('cameras', 'camera', 'params'), [1.0, 2.0]),
        (('cameras', 'camera', 'width'), -640),
    ],
)
def test_a_value_out_of_range_is_refused(
    tmp_path: Path, field: tuple[str, ...], value: Any
) -> None:
    changed: Any = values()
    inner = changed
    for key in field[:-1]:
        inner = inner[key]
    inner[field[-1]] = value
    with pytest.raises(MapError, match=r'map\.yaml: '):
        read_manifest(write(tmp_path, changed))


@pytest.mark.parametrize('name', ['../../etc/passwd', '/etc/passwd', 'sfm/../../x', '', 'a\\..\\b'])
def test_a_file_name_that_leads_out_of_the_map_is_refused(tmp_path: Path, name: str) -> None:
    changed = values()
    changed['files'][name] = {'size': 1, 'sha256': 'ab' * 32}
    with pytest.raises(MapError, match='leads out of the map'):
        read_manifest(write(tmp_path, changed))


@pytest.mark.parametrize(
    'text',
    [
        '',
        '- a\n- b\n',
        'format_version: [',
        '!!python/object/apply:os.system ["true"]',
        'a: &a [1, 2]\nb: *a\n',
        '[' * 5000,
        '1: 2\n',
        '\x00',
    ],
)
def test_hostile_yaml_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / 'map.yaml').write_text(text, encoding='utf-8')
    with pytest.raises(MapError):
        read_manifest(tmp_path)


def test_a_folder_that_is_no_map_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(MapError, match=r'no such map folder; build one with hloc-localizer build'):
        read_manifest(tmp_path / 'nowhere')
    with pytest.raises(MapError, match=r'not a map \(it has no map.yaml\)'):
        read_manifest(tmp_path)


@settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_a_damaged_manifest_is_read_or_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(manifest().to_yaml().encode())
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, len(content) - 1))
        content[position : position + data.draw(st.integers(0, 2))] = data.draw(
            st.one_of(st.binary(max_size=3), st.sampled_from([b'\n', b': ', b'-', b'[', b'&a ']))
        )
    folder = tmp_path_factory.getbasetemp()
    (folder / 'map.yaml').write_bytes(bytes(content))
    message = ''
    try:
        assert isinstance(read_manifest(folder), Manifest)
    except MapError as error:
        message = str(error)
    assert '\n' not in message
