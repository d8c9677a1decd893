"""Commands as a user runs them: output, exit status, one clear line for every mistake."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from synthetic_map import make_manifest, make_runtime

from hloc_localizer.maps import write_map
from hloc_localizer.maps.hloc_files import write_features, write_global_features

COMMANDS = ['build', 'localize', 'evaluate', 'info', 'verify', 'import', 'export']


def hloc_localizer(*arguments: object, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parents[2]
    return subprocess.run(
        [sys.executable, '-m', 'hloc_localizer', *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={**os.environ, 'PYTHONPATH': str(root)},
    )


def refused(*arguments: object, status: int = 2) -> str:
    """Run a command that must fail with one line, after those of its progress; return it."""
    result = hloc_localizer(*arguments)
    assert result.returncode == status, result.stderr
    lines = result.stderr.strip().splitlines()
    stage = re.compile(r'\w+: (\d+, )?\d+\.\d s(, in all about \d+:\d\d left)?')
    assert all(stage.fullmatch(line) for line in lines[:-1]), result.stderr
    assert lines[-1].startswith('hloc-localizer: ')
    return lines[-1]


@pytest.fixture
def office(tmp_path: Path) -> Path:
    def add_files(folder: Path) -> None:
        (folder / 'sfm').mkdir()
        (folder / 'sfm' / 'points3D.bin').write_bytes(b'points')
        write_features(folder / 'features.h5', {})
        write_global_features(folder / 'global-features.h5', {'1.jpg': np.ones(4, np.float32)})

    runtime = make_runtime()
    write_map(tmp_path / 'office', make_manifest(runtime), runtime, add_files=add_files)
    return tmp_path / 'office'


def _processor_time_of_children() -> float:
    """Return seconds; unlike those of a clock they hardly grow on a busy machine."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def test_help_lists_every_command_and_is_quick() -> None:
    times = []
    for _ in range(3):
        begin = _processor_time_of_children()
        result = hloc_localizer('--help')
        times.append(_processor_time_of_children() - begin)
    assert result.returncode == 0
    assert all(f'\n    {command} ' in result.stdout for command in COMMANDS)
    assert min(times) < 0.3


@pytest.mark.parametrize('command', COMMANDS)
def test_every_command_has_help(command: str) -> None:
    result = hloc_localizer(command, '--help')
    assert result.returncode == 0
    assert result.stdout.startswith(f'usage: hloc-localizer {command}')


@pytest.mark.parametrize('arguments', [[], ['fly'], ['build', '/tmp'], ['export', 'a', '-o', 'b']])
def test_wrong_usage_has_status_2(arguments: list[str]) -> None:
    result = hloc_localizer(*arguments)
    assert result.returncode == 2
    assert result.stderr.startswith('usage: ')
    assert 'Traceback' not in result.stderr


@pytest.mark.parametrize(('command', 'name'), [
    ('build', 'reconstruction.max_reprojection_error_px'),
    ('localize', 'localizer.accept.min_inliers'),
    ('evaluate', 'source.image_topic'),
])  # fmt: skip
def test_options_are_listed_with_default_range_and_meaning(command: str, name: str) -> None:
    result = hloc_localizer(command, '--help-options')
    assert result.returncode == 0
    lines = result.stdout.splitlines()
    named, described = lines[::2], lines[1::2]
    assert len(named) == len(described) > 15
    assert any(line.startswith(f'{name} = ') for line in named)
    assert all(line.startswith('    ') and len(line) > 12 for line in described)
    assert any('to' in line.partition('(')[2] for line in named)


def test_info_tells_what_the_map_is(office: Path) -> None:
    result = hloc_localizer('info', office)
    assert result.returncode == 0
    assert "'map', metric, z up" in result.stdout
    assert 'OPENCV 640x480' in result.stdout
    assert '/camera/image_raw' in result.stdout
    told = json.loads(hloc_localizer('info', office, '--json').stdout)
    assert told['statistics']['points'] == 50
    assert told['compiled_bytes'] == (office / 'localizer.safetensors').stat().st_size


def test_verify_lists_every_problem_and_fails(office: Path) -> None:
    assert hloc_localizer('verify', office).returncode == 0
    (office / 'features.h5').write_bytes(b'FEATURES')
    (office / 'sfm' / 'points3D.bin').unlink()
    result = hloc_localizer('verify', office)
    assert result.returncode == 1
    assert result.stdout.splitlines() == ['missing: sfm/points3D.bin', 'changed: features.h5']
    assert '2 problems' in result.stderr


def test_a_map_of_a_newer_version_says_to_update(office: Path) -> None:
    values = yaml.safe_load((office / 'map.yaml').read_text(encoding='utf-8'))
    values['format_version'] = 99
    (office / 'map.yaml').write_text(yaml.safe_dump(values), encoding='utf-8')
    for command in ('info', 'verify'):
        assert 'version 99 is newer than this release reads (1)' in refused(command, office)


@pytest.mark.parametrize('command', ['localize', 'evaluate'])
def test_poses_in_a_map_without_scale_are_no_metres_unless_one_says_so(
    command: str, tmp_path: Path, shared_data: Path
) -> None:
    runtime = make_runtime()
    manifest = dataclasses.replace(make_manifest(runtime), metric=False)
    write_map(tmp_path / 'office', manifest, runtime)
    images = tmp_path / 'nothing'
    arguments: list[object] = [command, tmp_path / 'office', images]
    arguments += {
        'localize': ['--output', tmp_path / 'poses.tum'],
        'evaluate': ['--ground-truth', shared_data / 'data/lounge/query.camera.tum'],
    }[command]
    line = refused(*arguments)
    assert 'the map is not metric: one unit of it is not one metre' in line
    assert line.endswith('or say that units will do: --allow-unscaled')
    assert not (tmp_path / 'poses.tum').exists()
    # Allowed, it goes on to the next thing that is wrong with this made-up map.
    assert 'not metric' not in refused(*arguments, '--allow-unscaled')


def test_export_writes_each_format_once(office: Path, tmp_path: Path) -> None:
    assert hloc_localizer('export', office, '--format', 'ply', '-o', tmp_path / 'c.ply').stdout
    assert (tmp_path / 'c.ply').read_bytes().startswith(b'ply\n')
    hloc_localizer('export', office, '--format', 'colmap', '--output', tmp_path / 'colmap')
    assert [path.name for path in (tmp_path / 'colmap').iterdir()] == ['points3D.bin']
    assert hloc_localizer(
        'export', office, '--format', 'hloc', '--output', tmp_path / 'hloc'
    ).stdout  # fmt: skip
    names = sorted(path.relative_to(tmp_path / 'hloc').as_posix()
                   for path in (tmp_path / 'hloc').rglob('*') if path.is_file())  # fmt: skip
    assert names == ['README.txt', 'feats-sift.h5', 'global-feats-vlad.h5', 'pairs-db-covis20.txt',
                     'sfm/points3D.bin']  # fmt: skip
    line = refused('export', office, '--format', 'ply', '-o', tmp_path / 'c.ply')
    assert 'already exists' in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ['c.ply', 'colmap', 'hloc', 'office']


def test_an_export_of_what_the_map_lacks_leaves_nothing(tmp_path: Path) -> None:
    runtime = make_runtime()
    write_map(tmp_path / 'bare', make_manifest(runtime), runtime)
    line = refused('export', tmp_path / 'bare', '--format', 'colmap', '-o', tmp_path / 'out')
    assert "holds no 'sfm/'" in line
    assert [path.name for path in tmp_path.iterdir()] == ['bare']


def test_mistakes_get_one_line_with_the_remedy(office: Path, tmp_path: Path) -> None:
    bag = tmp_path / 'nothing.mcap'
    gt = tmp_path / 'gt.tum'
    gt.write_text('1.0 0 0 0 0 0 0 1\n', encoding='utf-8')
    out = tmp_path / 'out'
    assert 'there is no such map folder' in refused('info', tmp_path / 'nowhere')
    assert 'does not exist' in refused('build', bag, '--output', out)
    assert '--overwrite' in refused('build', bag, '--output', office)
    assert 'no such folder; create it' in refused('build', bag, '-o', tmp_path / 'a' / 'b')
    assert 'no such folder' in refused('localize', office, bag, '-o', tmp_path / 'a' / 'b.tum')
    assert 'is a folder; name a file' in refused('localize', office, bag, '-o', tmp_path)
    assert 'gt2.tum: cannot be read' in refused(
        'evaluate', office, bag, '--ground-truth', tmp_path / 'gt2.tum'
    )
    assert not out.exists()


def test_wrong_options_are_named_with_what_is_near(office: Path, tmp_path: Path) -> None:
    def set_option(*assignments: str) -> str:
        return refused('build', tmp_path, '--output', tmp_path / 'out', '--set', *assignments)

    assert "did you mean 'pairs.covisible'" in set_option('pairs.covisibel=3')
    assert 'expected name=value' in set_option('pairs.covisible')
    assert 'is not of type int' in set_option('pairs.covisible=many')
    assert 'is below 1' in set_option('threads=1', 'pairs.covisible=0')
    config = tmp_path / 'config.yaml'
    for text, expected in (
        ('pairs: {covisible: 0}', 'is below 1'),
        ('pairs: [', 'not valid YAML'),
        ('- a', 'expected "name: value" lines'),
        ('!!python/object:os.system {}', 'not valid YAML'),
    ):
        config.write_text(text, encoding='utf-8')
        line = refused('build', tmp_path, '-o', tmp_path / 'out', '--config', config)
        assert str(config) in line
        assert expected in line
    line = refused('build', tmp_path, '-o', tmp_path / 'out', '--config', tmp_path / 'none.yaml')
    assert 'No such file' in line


def test_verbose_adds_the_traceback_to_the_line(tmp_path: Path) -> None:
    result = hloc_localizer('info', tmp_path, '--verbose')
    assert result.returncode == 2
    assert 'Traceback' in result.stderr
    assert result.stderr.strip().splitlines()[-1].startswith('hloc-localizer: ')


def test_a_reader_that_leaves_early_is_no_error() -> None:
    root = Path(__file__).parents[2]
    result = subprocess.run(
        f'{sys.executable} -m hloc_localizer build --help-options | head -n 1',
        shell=True,
        capture_output=True,
        text=True,
        check=True,
        cwd=root,
    )
    assert len(result.stdout.splitlines()) == 1
    assert result.stderr == ''
