"""The set-up does each step once, and says what a machine lacks."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def tool(repository: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location('set_up', repository / 'tools' / 'set_up.py')
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _run(
    repository: Path, *arguments: object, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the tool with a bare Python that sees neither ROS nor this environment's packages."""
    python = Path(sys.base_prefix) / 'bin' / f'python3.{sys.version_info.minor}'
    hidden = ('ROS_DISTRO', 'PYTHONPATH', '_ROS_WHEELS_BOOTSTRAP_COMPLETE')
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    return subprocess.run(
        [python, repository / 'tools' / 'set_up.py', *map(str, arguments)],
        env={**environment, **variables}, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


@pytest.mark.alone
def test_a_step_is_done_once_and_again_when_its_inputs_change(
    tool: ModuleType, tmp_path: Path
) -> None:
    requirements = tmp_path / 'nothing.txt'
    requirements.write_text('# none\npip\n')  # pip is there already: nothing is downloaded
    environment = tool.Environment(tmp_path / 'venv', system_ros=False)
    environment.create()
    environment.install('step', [requirements])
    stamp = tmp_path / 'venv' / '.done-step'
    first = stamp.stat().st_mtime_ns
    begin = time.monotonic()
    environment.create()
    environment.install('step', [requirements])
    assert time.monotonic() - begin < 2.0
    assert stamp.stat().st_mtime_ns == first
    requirements.write_text('pip>=1\n')
    environment.install('step', [requirements])
    assert stamp.stat().st_mtime_ns > first


def test_an_environment_of_another_python_is_made_anew(tool: ModuleType, tmp_path: Path) -> None:
    environment = tool.Environment(tmp_path / 'venv', system_ros=False)
    environment.create()
    (tmp_path / 'venv' / 'left_over').touch()
    (tmp_path / 'venv' / '.done-venv').write_text('of another Python')
    environment.create()
    assert not (tmp_path / 'venv' / 'left_over').exists()
    assert (tmp_path / 'venv' / 'bin' / 'python').exists()


def test_a_failed_step_is_not_marked_as_done(tool: ModuleType, tmp_path: Path) -> None:
    requirements = tmp_path / 'wrong.txt'
    requirements.write_text('/no/such/folder\n')
    environment = tool.Environment(tmp_path / 'venv', system_ros=False)
    environment.create()
    with pytest.raises(tool.SetUpError, match='pip failed'):
        environment.install('step', [requirements])
    assert not (tmp_path / 'venv' / '.done-step').exists()


def test_a_ros_for_another_python_is_said(repository: Path, tmp_path: Path) -> None:
    result = _run(repository, '--venv', tmp_path / 'venv', ROS_DISTRO='humble')
    assert result.returncode == 1
    assert 'ROS 2 humble is sourced, but' in result.stderr
    assert result.stderr.count('\n') == 1
    assert not (tmp_path / 'venv').exists()


def test_a_machine_without_wheels_is_told_to_source_ros(
    tool: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool.platform, 'machine', lambda: 'aarch64')
    with pytest.raises(tool.SetUpError, match='source a ROS 2 installation'):
        tool._check_machine(system_ros=False)
    tool._check_machine(system_ros=True)


def test_requirements_are_read_without_comments(tool: ModuleType, repository: Path) -> None:
    base = tool._requirements(repository / 'requirements' / 'base.txt')
    assert 'scipy>=1.8' in base
    assert not [line for line in base if line.startswith('#')]
    assert not [line for line in base if line.startswith('torch')]
    deep = tool._requirements(repository / 'requirements' / 'deep.txt')
    assert deep[0].startswith('torch==')
