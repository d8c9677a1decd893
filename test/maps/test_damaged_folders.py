"""Map folders damaged in every way: loaded, or refused with one line; never anything else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from synthetic_map import make_manifest, make_runtime

from hloc_localizer.errors import MapError
from hloc_localizer.maps import Map, verify_map, write_map
from hloc_localizer.maps.manifest import MANIFEST_NAME

Random = np.random.Generator


def _flip(path: Path, random: Random) -> None:
    content = bytearray(path.read_bytes())
    content[int(random.integers(len(content)))] ^= int(random.integers(1, 256))
    path.write_bytes(bytes(content))


def _truncate(path: Path, random: Random) -> None:
    os.truncate(path, int(random.integers(path.stat().st_size)))


def _lengthen(path: Path, random: Random) -> None:
    with path.open('ab') as file:
        file.write(random.bytes(int(random.integers(1, 100))))


def _remove(path: Path, random: Random) -> None:
    path.unlink()


def _make_folder(path: Path, random: Random) -> None:
    path.unlink()
    path.mkdir()


def _make_pipe(path: Path, random: Random) -> None:
    path.unlink()
    os.mkfifo(path)


def _link_out(path: Path, random: Random) -> None:
    path.unlink()
    path.symlink_to('/etc/hostname')


def _link_to_itself(path: Path, random: Random) -> None:
    path.unlink()
    path.symlink_to(path.name)


DAMAGES: list[Callable[[Path, Random], None]] = [
    _flip, _flip, _truncate, _lengthen, _remove, _make_folder, _make_pipe, _link_out,
    _link_to_itself,
]  # fmt: skip


@pytest.fixture(scope='module')
def office(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def add_files(folder: Path) -> None:
        (folder / 'sfm').mkdir()
        (folder / 'sfm' / 'points3D.bin').write_bytes(b'points')
        (folder / 'features.h5').write_bytes(b'features')

    runtime = make_runtime()
    path = tmp_path_factory.mktemp('maps') / 'office'
    write_map(path, make_manifest(runtime), runtime, add_files=add_files)
    return path


@pytest.mark.parametrize('seed', range(300))
def test_a_damaged_map_is_noticed_by_verify_and_never_crashes(
    office: Path, tmp_path: Path, seed: int
) -> None:
    random = np.random.default_rng(seed)
    damaged = tmp_path / 'office'
    shutil.copytree(office, damaged)
    files = sorted(path for path in damaged.rglob('*') if path.is_file())
    victim = files[int(random.integers(len(files)))]
    before = victim.read_bytes()
    DAMAGES[int(random.integers(len(DAMAGES)))](victim, random)
    messages = []
    for use in (Map.load, verify_map):
        try:
            use(damaged)
        except MapError as error:
            messages.append(str(error))
    assert all('\n' not in message and str(damaged) in message for message in messages)
    whole = victim.is_file() and not victim.is_symlink() and victim.read_bytes() == before
    assert not whole
    if victim.name != MANIFEST_NAME:
        assert not verify_map(damaged).ok
