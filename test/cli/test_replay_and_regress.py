"""Recorded failures are localized again, and a recording gives the same poses each time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hloc_localizer.cli import main
from hloc_localizer.geometry.trajectory import Trajectory
from hloc_localizer.localization import Localizer
from hloc_localizer.localization.bundle import Bundle, write_bundle
from hloc_localizer.maps import Map
from hloc_localizer.sources import open_source
from hloc_localizer.sources.tum import read_tum, write_tum


@pytest.fixture(scope='module')
def bundles(lounge_map: Path, shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return two bundles: an image that is localized, recorded as such, and a black one."""
    folder = tmp_path_factory.mktemp('bundles')
    source = open_source(shared_data / 'data' / 'lounge' / 'query')
    frame = next(iter(source.frames()))
    camera = source.cameras[frame.camera_name]
    localizer = Localizer(Map.load(lounge_map))
    for name, image in (('good', frame.image), ('black', np.zeros_like(frame.image))):
        result = localizer.localize(image, camera)
        bundle = Bundle(
            frame.stamp_ns, image, camera, None, result.reason.value, '', result.map_from_camera,
            str(lounge_map),
        )  # fmt: skip
        write_bundle(folder / name, bundle)
    return folder


def test_a_frame_gives_the_result_that_was_recorded(
    bundles: Path, lounge_map: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [str(bundles / 'good'), str(bundles / 'black')]
    assert main(['replay', *paths, '--map', str(lounge_map), '--check']) == 0
    good, black, summary = capsys.readouterr().out.splitlines()
    assert good.startswith('good: localized (')
    assert good.endswith('; 0.000000 m, 0.000000 rad from the recorded pose')
    assert black == 'black: too dark or too bright (0 matches, 0 inliers); as recorded'
    assert summary == '2 frames, 0 with another result than recorded'


def test_another_result_is_told_and_fails_a_check(
    bundles: Path, lounge_map: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ['replay', str(bundles / 'good'), '--map', str(lounge_map)]
    command += ['--set', 'localizer.accept.min_inliers=9999']
    assert main(command) == 0
    assert main([*command, '--check']) == 1
    assert '; recorded: localized' in capsys.readouterr().out


def test_what_is_no_bundle_is_named(
    tmp_path: Path, lounge_map: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['replay', str(tmp_path), '--map', str(lounge_map)]) == 2
    assert f'{tmp_path}: is not a bundle' in capsys.readouterr().err


def test_a_recording_gives_the_same_poses_to_the_last_bit_and_changes_are_found(
    lounge_map: Path, shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = str(shared_data / 'data' / 'lounge' / 'query')
    few = ['--set', 'source.duration_s=6']
    poses = tmp_path / 'poses.tum'
    exact = ['--tolerance-m', '0', '--tolerance-deg', '0']
    command = ['regress', str(lounge_map), bag, *few]
    assert main([*command, '--write', str(poses), *exact]) == 0
    assert 'all as expected' in capsys.readouterr().out
    assert main([*command, '--expect', str(poses)]) == 0
    before = read_tum(poses)
    moved = before.poses.copy()
    moved[2, 0, 3] += 0.01
    write_tum(poses, Trajectory(before.stamps_ns[1:], moved[1:]))
    capsys.readouterr()
    assert main([*command, '--expect', str(poses)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].endswith('not expected to be localized')
    assert 'moved by 0.010000 m' in lines[1]
