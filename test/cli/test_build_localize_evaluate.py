"""The main job through the command line: a recording becomes a map that localizes a camera."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import cv2
import numpy as np
import pytest
from test_commands import hloc_localizer, refused

from hloc_localizer.geometry.transforms import pose_distance
from hloc_localizer.maps import Map, verify_map
from hloc_localizer.sources.tum import read_tum

FIRST_SECONDS = 7
Run = Callable[..., CompletedProcess[str]]


@pytest.fixture(scope='module')
def lounge(shared_data: Path) -> Path:
    return shared_data / 'data' / 'lounge'


@pytest.fixture(scope='module')
def corner(lounge: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a map of the first seconds of the lounge; seconds 3 to 4 are left out of it."""
    output = tmp_path_factory.mktemp('maps') / 'corner'
    result = hloc_localizer(
        'build', lounge / 'map', '--output', output, '--set', f'source.duration_s={FIRST_SECONDS}'
    )
    assert result.returncode == 0, result.stderr
    assert 'Traceback' not in result.stderr
    assert str(output) in result.stdout
    return output


def test_a_built_map_is_whole_and_says_where_it_comes_from(corner: Path) -> None:
    assert verify_map(corner).ok
    manifest = Map.load(corner).manifest
    assert manifest.metric
    assert 15 <= manifest.statistics.images <= 36
    assert manifest.statistics.points > 1000
    assert manifest.statistics.mean_reprojection_error_px < 2.0
    assert manifest.provenance.source['path'].endswith('lounge/map')
    assert manifest.provenance.options['source']['duration_s'] == FIRST_SECONDS
    assert set(manifest.files) >= {'localizer.safetensors', 'features.h5', 'global-features.h5'}
    assert any(name.startswith('sfm/') for name in manifest.files)
    assert [path.name for path in corner.parent.iterdir()] == ['corner']


def test_localize_writes_poses_of_the_images_it_localized(
    corner: Path, lounge: Path, tmp_path: Path
) -> None:
    poses, frames = tmp_path / 'poses.tum', tmp_path / 'frames.jsonl'
    result = hloc_localizer(
        'localize', corner, lounge / 'query', '--output', poses, '--json', frames,
        '--set', 'source.duration_s=1.5',
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    told = [json.loads(line) for line in frames.read_text(encoding='utf-8').splitlines()]
    localized = [frame for frame in told if frame['status'] == 'localized']
    assert len(told) == 5
    assert len(localized) >= 4
    trajectory, reference = read_tum(poses), read_tum(lounge / 'query.camera.tum')
    assert [frame['stamp_ns'] for frame in localized] == trajectory.stamps_ns.tolist()
    for stamp, pose in zip(trajectory.stamps_ns, trajectory.poses, strict=True):
        metres, radians = pose_distance(pose, reference.at(int(stamp)))
        assert metres < 0.1
        assert np.rad2deg(radians) < 2.0
    frame = localized[0]
    assert np.array(frame['covariance']).shape == (6, 6)
    assert frame['inliers'] >= 12
    assert frame['candidates'][0] in Map.load(corner).runtime.image_names
    assert len(frame['retrieval_scores']) == len(frame['candidates'])
    margin = frame['retrieval_margin']
    assert margin is None or -1.0 < margin < frame['retrieval_scores'][0] + 1.0
    assert frame['stage_ms']['total'] > 0
    refused_frames = [frame for frame in told if frame['status'] == 'refused']
    assert all(f['pose'] is None and f['reason'] != 'none' for f in refused_frames)
    assert f'localized {len(localized)} of 5 images' in result.stdout


@pytest.mark.parametrize('child', ['camera', 'base'])
def test_evaluate_compares_with_reference_poses_of_camera_and_base(
    corner: Path, lounge: Path, tmp_path: Path, child: str
) -> None:
    truth = lounge / ('query.camera.tum' if child == 'camera' else 'query.base_link.tum')
    result = hloc_localizer(
        'evaluate', corner, lounge / 'query', '--ground-truth', truth,
        '--ground-truth-child', child, '--json', tmp_path / 'report.json',
        '--report', tmp_path / 'report', '--set', 'source.duration_s=1.5',
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    numbers = json.loads((tmp_path / 'report.json').read_text(encoding='utf-8'))
    assert numbers['frames'] == 5
    assert numbers['localized'] >= 4
    assert numbers['false_fixes'] == 0
    assert numbers['recall']['0.10m_2deg'] >= 0.8
    assert numbers['translation_error_m']['median'] < 0.05
    assert numbers['map_bytes'] == Map.load(corner).compiled_bytes
    assert 0 < numbers['latency_ms']['median'] < 5000
    assert numbers['nees']['pose'] > 0
    page = (tmp_path / 'report' / 'report.html').read_text(encoding='utf-8')
    assert 'query in corner' in page
    assert 'recall 0.10m, 2deg' in result.stdout


def test_localizing_where_the_map_never_was_fails_with_the_reasons(
    corner: Path, shared_data: Path, tmp_path: Path
) -> None:
    facade = shared_data / 'data' / 'facade'
    line = refused(
        'localize', corner, facade / 'images', '--output', tmp_path / 'poses.tum', '--set',
        f'source.camera_info_file={facade / "camera.yaml"}', 'source.duration_s=3',
        status=1,
    )  # fmt: skip
    assert 'none of 3 images was localized (refused: ' in line
    assert list(tmp_path.iterdir()) == []


def test_reference_poses_of_another_recording_are_noticed(corner: Path, lounge: Path) -> None:
    line = refused(
        'evaluate', corner, lounge / 'query', '--ground-truth', lounge / 'revisit.camera.tum',
        '--set', 'source.duration_s=1',
    )  # fmt: skip
    assert 'no pose within 1 ms of any of the' in line


def test_an_interrupted_build_says_how_to_go_on_and_so_does_info(
    lounge: Path, tmp_path: Path
) -> None:
    output = tmp_path / 'map'
    command = [sys.executable, '-m', 'hloc_localizer', 'build', lounge / 'map', '-o', output]
    command += ['--set', 'source.duration_s=4']
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        # Who runs the tests in the background has them, and what they start, ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stderr is not None
    said = process.stderr.readline()  # extract is done
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert said.startswith('extract: ')
    assert errors.strip().splitlines()[-1] == 'hloc-localizer: interrupted'
    assert 'a build of this map was interrupted; ' in errors
    assert 'Traceback' not in errors
    assert os.listdir(tmp_path) == ['.map.building']
    assert 'there is no map yet; a build of this map was interrupted' in refused('info', output)
    result = subprocess.run(
        command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False
    )
    assert result.returncode == 0, result.stderr
    assert "resuming after 'extract' of an interrupted build" in result.stderr
    assert os.listdir(tmp_path) == ['map']
    assert 'beside it' not in hloc_localizer('info', output).stdout


def test_a_recording_of_nothing_makes_no_map_and_leaves_nothing(tmp_path: Path) -> None:
    images = tmp_path / 'grey'
    images.mkdir()
    poses = []
    for index in range(6):
        cv2.imwrite(str(images / f'{index}.png'), np.full((120, 160), 128, np.uint8))
        poses.append(f'{index}.png {index * 0.5} 0 0 0 0 0 1\n')
    (tmp_path / 'poses.txt').write_text(''.join(poses), encoding='utf-8')
    (images / 'camera.yaml').write_text(
        'image_width: 160\nimage_height: 120\ndistortion_model: plumb_bob\n'
        'distortion_coefficients: {rows: 1, cols: 5, data: [0, 0, 0, 0, 0]}\n'
        'camera_matrix: {rows: 3, cols: 3, data: [100, 0, 80, 0, 100, 60, 0, 0, 1]}\n',
        encoding='utf-8',
    )
    line = refused(
        'build', images, '--output', tmp_path / 'map', '--set',
        f'source.poses_file={tmp_path / "poses.txt"}', 'source.poses=file',
    )  # fmt: skip
    assert 'the images have no texture' in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ['grey', 'poses.txt']
