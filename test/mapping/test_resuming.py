"""An interrupted build is taken up where it stopped, and gives the map it would have given."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import pytest
from same_map import assert_same_map

from hloc_localizer.errors import HlocLocalizerError
from hloc_localizer.geometry.transforms import quaternion_from_rotation
from hloc_localizer.mapping import build_map
from hloc_localizer.mapping.checkpoints import STAGES
from hloc_localizer.mapping.options import BuildOptions
from hloc_localizer.maps import verify_map
from hloc_localizer.progress import SilentProgress
from hloc_localizer.sources import open_source
from hloc_localizer.sources.frame import Frame

ROOT = Path(__file__).parents[2]
SMALL = {'sift.max_keypoints': 600, 'vlad.clusters': 16, 'pairs.covisible': 4, 'threads': 1}
KILLS = 4


class Listener(SilentProgress):
    """Remembers stages and notes; interrupts at the beginning of one stage."""

    def __init__(self, interrupt_at: str = '') -> None:
        self.stages: list[str] = []
        self.notes: list[str] = []
        self._interrupt_at = interrupt_at

    def stage(self, name: str, total: int | None = None) -> None:
        self.stages.append(name)
        if name == self._interrupt_at:
            raise KeyboardInterrupt

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(scope='module')
def photographs(lounge_frames: Sequence[Frame], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of images with calibration and poses, which every build here reads."""
    folder = tmp_path_factory.mktemp('recording') / 'images'
    folder.mkdir()
    poses = []
    for index, frame in enumerate(lounge_frames[:12]):
        name = f'{index:02d}.png'
        cv2.imwrite(str(folder / name), cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR))
        pose = frame.map_from_camera
        assert pose is not None
        values = [*pose[:3, 3], *quaternion_from_rotation(pose[:3, :3])]
        poses.append(f'{name} ' + ' '.join(f'{value:.9f}' for value in values))
    (folder.parent / 'poses.txt').write_text('\n'.join(poses) + '\n', encoding='utf-8')
    (folder.parent / 'camera.yaml').write_text(
        'image_width: 540\nimage_height: 360\ndistortion_model: plumb_bob\n'
        'distortion_coefficients: {rows: 1, cols: 5, data: [0, 0, 0, 0, 0]}\n'
        'camera_matrix: {rows: 3, cols: 3, data: [495.5, 0, 269.5, 0, 495.5, 179.5, 0, 0, 1]}\n',
        encoding='utf-8',
    )
    return folder


def options_for(photographs: Path, **changes: object) -> BuildOptions:
    poses = {'source.poses_file': str(photographs.parent / 'poses.txt')}
    return BuildOptions().with_values({**SMALL, **poses, **changes})


def build(photographs: Path, output: Path, interrupt_at: str = '', **changes: object) -> Listener:
    listener = Listener(interrupt_at)
    options = options_for(photographs, **changes)
    source = open_source(photographs, options.source)
    if interrupt_at:
        with pytest.raises(KeyboardInterrupt):
            build_map(source, output, options, listener)
        assert not output.exists()
    else:
        build_map(source, output, options, listener)
    return listener


@pytest.fixture(scope='module')
def whole(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the map of a build that nothing interrupted."""
    output = tmp_path_factory.mktemp('maps') / 'whole'
    assert build(photographs, output).notes == []
    assert os.listdir(output.parent) == ['whole']
    return output


@pytest.mark.parametrize('stage', [*STAGES, 'compile', 'report', 'write'])
def test_only_the_stage_in_hand_is_lost_and_the_map_is_the_same(
    photographs: Path, whole: Path, tmp_path: Path, stage: str
) -> None:
    output = tmp_path / 'map'
    build(photographs, output, interrupt_at=stage)
    again = build(photographs, output)
    order = [*STAGES, 'compile', 'report', 'write']
    if stage == 'extract':
        assert again.notes == []
        assert again.stages == order
    else:
        finished = [name for name in STAGES if order.index(name) < order.index(stage)]
        assert again.notes == [f"resuming after '{finished[-1]}' of an interrupted build"]
        assert again.stages == [name for name in order if name not in finished]
    assert_same_map(output, whole)
    assert verify_map(output).ok
    assert os.listdir(tmp_path) == ['map']


def test_a_recording_without_poses_goes_on_with_the_places_that_were_found(
    photographs: Path, tmp_path: Path
) -> None:
    blind = {'source.poses': 'none', 'source.poses_file': ''}
    build(photographs, tmp_path / 'whole', **blind)
    output = tmp_path / 'map'
    build(photographs, output, interrupt_at='reconstruct', **blind)
    again = build(photographs, output, **blind)
    assert again.notes[0] == "resuming after 'place' of an interrupted build"
    assert any('NOT METRIC' in note for note in again.notes)
    assert again.stages[0] == 'reconstruct'
    assert_same_map(output, tmp_path / 'whole')


def test_changed_options_take_over_only_what_they_do_not_touch(
    photographs: Path, tmp_path: Path
) -> None:
    output = tmp_path / 'map'
    build(photographs, output, interrupt_at='compile')
    again = build(photographs, output, interrupt_at='compile', **{'pairs.covisible': 5})
    assert again.notes == [
        "resuming after 'describe' of an interrupted build (the options changed)"
    ]
    assert again.stages[0] == 'match'
    again = build(photographs, output, interrupt_at='match', **{'sift.max_keypoints': 500})
    assert again.notes == [
        'starting anew, not where an interrupted build stopped (the options changed)'
    ]
    assert again.stages[0] == 'extract'
    changed = build(photographs, output, interrupt_at='compile', threads=2)
    assert 'the options changed' in changed.notes[0]
    again = build(photographs, output, threads=1)
    assert again.notes == ["resuming after 'reconstruct' of an interrupted build"]


def test_a_changed_recording_is_read_anew(photographs: Path, tmp_path: Path) -> None:
    images = tmp_path / 'images'
    shutil.copytree(photographs, images)
    for name in ('poses.txt', 'camera.yaml'):
        shutil.copy(photographs.parent / name, tmp_path)
    output = tmp_path / 'map'
    for changed in (images / '03.png', tmp_path / 'poses.txt', tmp_path / 'camera.yaml'):
        build(images, output, interrupt_at='match')
        os.utime(changed, ns=(0, 0))
        again = build(images, output, interrupt_at='match')
        assert again.notes == [
            'starting anew, not where an interrupted build stopped (the recording changed)'
        ]


@pytest.mark.parametrize('damage', ['flipped', 'cut', 'missing', 'seal'])
def test_a_damaged_result_is_made_again(
    photographs: Path, whole: Path, tmp_path: Path, damage: str
) -> None:
    output = tmp_path / 'map'
    build(photographs, output, interrupt_at='compile')
    result = tmp_path / '.map.building' / 'stages' / 'match'
    file = result / ('seal.json' if damage == 'seal' else 'matches.safetensors')
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    if damage == 'missing':
        file.unlink()
    else:
        file.write_bytes(content[: len(content) // 2] if damage != 'flipped' else content)
    again = build(photographs, output)
    assert again.notes == [
        "resuming after 'describe' of an interrupted build (the result of 'match' is damaged)"
    ]
    assert_same_map(output, whole)


def test_what_a_killed_process_was_writing_is_not_taken_for_whole(
    photographs: Path, tmp_path: Path
) -> None:
    output = tmp_path / 'map'
    build(photographs, output, interrupt_at='match')
    stages = tmp_path / '.map.building' / 'stages'
    (stages / 'describe').rename(stages / 'describe.part')
    again = build(photographs, output)
    assert again.notes == ["resuming after 'extract' of an interrupted build"]
    assert os.listdir(tmp_path) == ['map']


def test_a_build_that_cannot_succeed_leaves_nothing(photographs: Path, tmp_path: Path) -> None:
    with pytest.raises(HlocLocalizerError, match='no map could be built'):
        build(photographs, tmp_path / 'map', **{'pairs.min_overlap': 1.0, 'pairs.retrieved': 0})
    assert list(tmp_path.iterdir()) == []


def test_a_build_killed_at_random_moments_gives_the_same_map(
    photographs: Path, whole: Path, tmp_path: Path
) -> None:
    output = tmp_path / 'map'
    options = options_for(photographs)
    settings = [f'{name}={value}' for name, value in SMALL.items()]
    command = [
        sys.executable, '-m', 'hloc_localizer', 'build', photographs, '-o', output, '--set',
        *settings, f'source.poses_file={options.source.poses_file}',
    ]  # fmt: skip
    moments, kills, notes = random.Random(4), 0, ''
    while kills < KILLS or not output.exists():
        if output.exists():  # it was quicker than the kill
            assert_same_map(output, whole)
            shutil.rmtree(output)
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        last = moments.choice(['extract', 'match', 'reconstruct']) if kills < KILLS else ''
        for line in process.stderr:
            notes += line
            if last and line.startswith(last):  # this stage has ended, the next one goes on
                time.sleep(moments.uniform(0.0, 0.05))
                process.kill()
        kills += process.wait(60.0) < 0
    assert 'Traceback' not in notes
    assert "resuming after '" in notes
    assert_same_map(output, whole)
    assert verify_map(output).ok
