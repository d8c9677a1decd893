"""What an installation puts where ROS looks for it."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

import hloc_localizer


@pytest.fixture(scope='module')
def installed(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install a copy of the package, as pip does it for a user, into an empty folder."""
    source, target = tmp_path_factory.mktemp('source'), tmp_path_factory.mktemp('target')
    listing = subprocess.run(
        ['git', 'ls-files', '--cached', '--others', '--exclude-standard'],
        cwd=repository, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    for name in listing:
        if (repository / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((repository / name).read_bytes())
    command = [sys.executable, '-m', 'pip', 'install', '-q', '--no-deps', '--no-build-isolation']
    subprocess.run([*command, '--target', str(target), str(source)], check=True)
    return target


def test_launch_files_and_configuration_are_installed(repository: Path, installed: Path) -> None:
    share = installed / 'share' / 'hloc_localizer'
    for folder, pattern in (
        ('launch', '*.launch.py'),
        ('config', '*.*'),
        ('config/front_ends', '*.*'),
    ):
        names = sorted(path.name for path in (repository / folder).glob(pattern))
        assert names
        assert sorted(path.name for path in (share / folder).glob(pattern)) == names
    assert (share / 'launch' / 'localize.launch.py').is_file()
    assert (share / 'launch' / 'build_map.launch.py').is_file()


def test_ament_index_knows_the_package(installed: Path) -> None:
    index = installed / 'share' / 'ament_index' / 'resource_index' / 'packages'
    assert (index / 'hloc_localizer').is_file()
    assert (installed / 'share' / 'hloc_localizer' / 'package.xml').is_file()


def test_command_line_starts(installed: Path) -> None:
    result = _run_installed(installed, str(installed / 'bin' / 'hloc-localizer'), '--help')
    for command in ('build', 'localize', 'evaluate', 'info', 'verify', 'demo'):
        assert command in result.stdout


@pytest.mark.parametrize('name', ['localizer', 'map_builder'])
def test_node_executables_lead_to_a_main_function(installed: Path, name: str) -> None:
    assert os.access(installed / 'bin' / name, os.X_OK)
    code = (
        'import importlib.metadata as m, sys; '
        "scripts = m.distribution('hloc_localizer').entry_points.select(group='console_scripts'); "
        'main = scripts[sys.argv[1]].load(); print(main.__code__.co_filename)'
    )
    result = _run_installed(installed, '-c', code, name)
    assert Path(result.stdout.strip()) == installed / 'hloc_localizer' / 'ros' / f'{name}.py'


def _run_installed(installed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, 'PYTHONPATH': str(installed)},
        cwd=installed, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return result


def test_every_module_is_installed(repository: Path, installed: Path) -> None:
    package = repository / 'hloc_localizer'
    modules = {path.relative_to(repository) for path in package.rglob('*.py')}
    assert {path for path in modules if not (installed / path).is_file()} == set()
    assert (installed / 'hloc_localizer' / 'py.typed').is_file()


def test_ros_run_finds_the_executables(repository: Path, tmp_path: Path) -> None:
    """Colcon installs with setup.cfg in force: executables belong into lib/hloc_localizer."""
    code = (
        'import sys; from distutils.core import run_setup; '
        "setup = run_setup('setup.py', ['install'], stop_after='commandline'); "
        "install = setup.get_command_obj('install'); "
        'install.prefix = sys.argv[1]; install.ensure_finalized(); print(install.install_scripts)'
    )
    result = subprocess.run(
        [sys.executable, '-c', 'import setuptools; ' + code, str(tmp_path)],
        cwd=repository, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert Path(result.stdout.splitlines()[-1]) == tmp_path / 'lib' / 'hloc_localizer'


def test_version_is_the_same_everywhere(repository: Path) -> None:
    package = ElementTree.parse(repository / 'package.xml').getroot()
    assert package.findtext('version') == hloc_localizer.__version__
    assert package.findtext('name') == 'hloc_localizer'


def test_every_import_of_a_ros_package_is_a_declared_dependency(repository: Path) -> None:
    package = ElementTree.parse(repository / 'package.xml').getroot()
    declared = {element.text for element in package.findall('exec_depend')}
    modules = {'tf2_ros': 'tf2_ros_py'}
    ros = {'cv_bridge', 'rclpy', 'tf2_ros', 'launch', 'launch_ros', 'rcl_interfaces'}
    imported: set[str] = set()
    for folder in ('hloc_localizer', 'launch'):
        for path in (repository / folder).rglob('*.py'):
            imported |= _imports(path)
    used = {name for name in imported if name in ros or name.endswith(('_msgs', '_interfaces'))}
    used |= {name for name in imported if name == 'std_srvs'}
    assert {modules.get(name, name) for name in used} - declared == set()
    assert 'rclpy' in used


def _imports(path: Path) -> set[str]:
    words = (line.split() for line in path.read_text(encoding='utf-8').splitlines())
    return {
        line[1].split('.')[0] for line in words if len(line) > 1 and line[0] in ('import', 'from')
    }
