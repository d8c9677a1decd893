"""The map folder: whole or absent, verified, never overwritten by accident."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from time import process_time

import pytest
from synthetic_map import make_manifest, make_runtime

from hloc_localizer.errors import HlocLocalizerError, InputError, MapError
from hloc_localizer.maps import Map, MapWriter, verify_map, write_map

RUNTIME = make_runtime()


def add_files(folder: Path) -> None:
    (folder / 'sfm').mkdir()
    (folder / 'sfm' / 'points3D.bin').write_bytes(b'points')
    (folder / 'features.h5').write_bytes(b'features')


@pytest.fixture
def built(tmp_path: Path) -> Path:
    write_map(tmp_path / 'office', make_manifest(RUNTIME), RUNTIME, add_files=add_files)
    return tmp_path / 'office'


def test_a_written_map_loads_and_verifies_and_nothing_else_is_left(built: Path) -> None:
    loaded = Map.load(built)
    assert loaded.runtime.image_names == RUNTIME.image_names
    assert sorted(loaded.manifest.files) == [
        'features.h5', 'localizer.safetensors', 'sfm/points3D.bin',
    ]  # fmt: skip
    assert loaded.manifest.files['features.h5'].size == 8
    assert loaded.compiled_bytes == (built / 'localizer.safetensors').stat().st_size
    assert loaded.bytes == loaded.compiled_bytes + 8 + 6
    assert verify_map(built).ok
    assert [path.name for path in built.parent.iterdir()] == ['office']


def test_two_builds_of_one_map_are_equal_in_every_byte(tmp_path: Path) -> None:
    for name in ('first', 'second'):
        write_map(tmp_path / name, make_manifest(RUNTIME), RUNTIME, add_files=add_files)
    for path in sorted((tmp_path / 'first').rglob('*')):
        if path.is_file():
            twin = tmp_path / 'second' / path.relative_to(tmp_path / 'first')
            assert path.read_bytes() == twin.read_bytes(), path


def test_missing_changed_and_unexpected_files_are_all_listed(built: Path) -> None:
    (built / 'features.h5').write_bytes(b'FEATURES')
    (built / 'sfm' / 'points3D.bin').unlink()
    (built / 'sfm' / 'notes.txt').write_text('mine', encoding='utf-8')
    verification = verify_map(built)
    assert verification.missing == ('sfm/points3D.bin',)
    assert verification.changed == ('features.h5',)
    assert verification.unexpected == ('sfm/notes.txt',)
    assert verification.lines() == [
        'missing: sfm/points3D.bin', 'changed: features.h5', 'unexpected: sfm/notes.txt',
    ]  # fmt: skip


def test_loading_names_a_missing_file_and_one_of_another_size(built: Path) -> None:
    (built / 'features.h5').write_bytes(b'longer than before')
    with pytest.raises(MapError, match=r"'features.h5' has 18 bytes instead of 8; copy or build"):
        Map.load(built)
    (built / 'features.h5').unlink()
    with pytest.raises(MapError, match=r"'features.h5' is missing; copy or build"):
        Map.load(built)


def test_a_file_that_became_a_link_out_of_the_map_is_refused(built: Path, tmp_path: Path) -> None:
    (tmp_path / 'elsewhere').write_bytes(b'features')
    (built / 'features.h5').unlink()
    (built / 'features.h5').symlink_to(tmp_path / 'elsewhere')
    with pytest.raises(MapError, match='link out of the map'):
        Map.load(built)
    assert verify_map(built).changed == ('features.h5',)


def test_a_linked_folder_is_not_followed(built: Path, tmp_path: Path) -> None:
    (built / 'report').symlink_to('/usr')
    begin = process_time()
    assert verify_map(built).unexpected == ('report',)
    assert process_time() - begin < 5.0


def test_an_output_that_exists_is_kept(built: Path) -> None:
    before = (built / 'map.yaml').read_bytes()
    with pytest.raises(InputError, match=r'already exists; .* --overwrite'):
        write_map(built, make_manifest(RUNTIME), RUNTIME)
    assert (built / 'map.yaml').read_bytes() == before


def test_overwriting_replaces_a_map_but_only_when_the_new_one_is_whole(built: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / 'half').write_text('half', encoding='utf-8')
        raise RuntimeError('lens cap on')

    with pytest.raises(RuntimeError, match='lens cap on'):
        write_map(built, make_manifest(RUNTIME), RUNTIME, overwrite=True, add_files=fail)
    assert verify_map(built).ok
    assert 'features.h5' in Map.load(built).manifest.files
    write_map(built, make_manifest(RUNTIME), RUNTIME, overwrite=True)
    assert list(Map.load(built).manifest.files) == ['localizer.safetensors']
    assert [path.name for path in built.parent.iterdir()] == ['office']


def test_overwriting_spares_a_folder_that_is_no_map(tmp_path: Path) -> None:
    (tmp_path / 'thesis').mkdir()
    (tmp_path / 'thesis' / 'thesis.tex').write_text('years', encoding='utf-8')
    with pytest.raises(InputError, match='is not a map'):
        write_map(tmp_path / 'thesis', make_manifest(RUNTIME), RUNTIME, overwrite=True)
    assert (tmp_path / 'thesis' / 'thesis.tex').read_text(encoding='utf-8') == 'years'


def test_an_output_without_a_parent_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match='no such folder; create it'):
        MapWriter(tmp_path / 'no' / 'map')


def _fail_after(output: Path, name: str) -> None:
    with MapWriter(output) as writer:
        (writer.path / 'half').touch()
        (writer.path.parent / name).touch()
        raise RuntimeError


def test_failed_work_leaves_nothing_but_the_results_of_its_stages(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        _fail_after(tmp_path / 'map', 'map/more')
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(RuntimeError):
        _fail_after(tmp_path / 'map', 'stages/features')
    with MapWriter(tmp_path / 'map') as writer:
        assert (writer.stages / 'features').is_file()
        assert list(writer.path.iterdir()) == []
        writer.finish(make_manifest(RUNTIME), RUNTIME)
    assert [path.name for path in tmp_path.iterdir()] == ['map']


def _build_and_die(output: Path) -> None:
    with MapWriter(output) as writer:
        (writer.path / 'half').touch()
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_build_leaves_no_map_and_the_next_one_succeeds(tmp_path: Path) -> None:
    process = multiprocessing.get_context('spawn').Process(
        target=_build_and_die, args=(tmp_path / 'map',)
    )
    process.start()
    process.join(30)
    assert process.exitcode == -signal.SIGKILL
    assert not (tmp_path / 'map').exists()
    write_map(tmp_path / 'map', make_manifest(RUNTIME), RUNTIME)
    assert verify_map(tmp_path / 'map').ok
    assert [path.name for path in tmp_path.iterdir()] == ['map']


def test_a_map_lost_between_two_renames_is_put_back_by_the_next_build(built: Path) -> None:
    staging = built.with_name('.office.building')
    staging.mkdir()
    built.rename(staging / 'replaced')  # where a build killed at that moment leaves it
    with pytest.raises(InputError, match='already exists'):
        write_map(built, make_manifest(RUNTIME), RUNTIME)
    assert verify_map(built).ok
    assert [path.name for path in built.parent.iterdir()] == ['office']


def test_an_output_that_appears_during_the_build_is_kept(tmp_path: Path) -> None:
    def appear(folder: Path) -> None:
        (tmp_path / 'map').mkdir()
        (tmp_path / 'map' / 'map.yaml').write_text('another build', encoding='utf-8')

    with pytest.raises(InputError, match='already exists'):
        write_map(tmp_path / 'map', make_manifest(RUNTIME), RUNTIME, add_files=appear)
    assert (tmp_path / 'map' / 'map.yaml').read_text(encoding='utf-8') == 'another build'
    assert [path.name for path in tmp_path.iterdir()] == ['map']


def test_two_builds_do_not_write_one_map(tmp_path: Path) -> None:
    with MapWriter(tmp_path / 'map') as writer:
        with pytest.raises(InputError, match='another build is writing this map'):
            MapWriter(tmp_path / 'map').__enter__()
        writer.finish(make_manifest(RUNTIME), RUNTIME)
    assert verify_map(tmp_path / 'map').ok


def test_a_file_that_cannot_grow_is_reported_as_a_full_disk(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(HlocLocalizerError, match='no space left') as error:
            write_map(tmp_path / 'map', make_manifest(RUNTIME), RUNTIME)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)
    assert error.value.exit_status == 1
    assert list(tmp_path.iterdir()) == []


def test_loading_a_map_needs_neither_opencv_nor_pycolmap_nor_hdf5(built: Path) -> None:
    script = (
        'import sys, json; from hloc_localizer.maps import Map; from pathlib import Path;'
        f'Map.load(Path({str(built)!r})); print(json.dumps(list(sys.modules)))'
    )
    loaded = subprocess.run(
        [sys.executable, '-c', script], check=True, capture_output=True, text=True
    )
    assert not {'pycolmap', 'cv2', 'h5py', 'torch', 'scipy'} & set(json.loads(loaded.stdout))


def test_a_manifest_without_the_compiled_file_is_refused(built: Path) -> None:
    manifest = Map.load(built).manifest
    files = {k: v for k, v in manifest.files.items() if k != 'localizer.safetensors'}
    text = dataclasses.replace(manifest, files=files).to_yaml()
    (built / 'map.yaml').write_text(text, encoding='utf-8')
    with pytest.raises(MapError, match=r'lists no localizer.safetensors'):
        Map.load(built)
