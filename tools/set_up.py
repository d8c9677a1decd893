"""Make `.venv`: dependencies, ROS 2 (the sourced one, else wheels), this package (editable)."""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = ('test', 'deep')
OLDEST, NEWEST_WITH_WHEELS = (3, 10), (3, 13)


class SetUpError(Exception):
    """The machine lacks something; the text says what and how to get it."""


class Environment:
    """
    A virtual environment that knows which steps of the set-up it has behind it.

    A finished step leaves a stamp, the hash of all that went into it; it is done again when that
    changes. A step that was interrupted left no stamp.

    :param folder: of the environment.
    :param system_ros: whether to see the packages of the ROS 2 that is sourced.
    """

    def __init__(self, folder: Path, *, system_ros: bool) -> None:
        self.folder = folder
        self.system_ros = system_ros
        self.python = folder / 'bin' / 'python'

    def create(self) -> None:
        """Make the environment; one of another Python or another ROS makes room for it."""
        distribution = os.environ['ROS_DISTRO'] if self.system_ros else 'wheels'
        inputs = f'{sys.version} {sys.base_prefix} {distribution}'
        if self._is_done('venv', inputs):
            return
        if self.folder.exists():
            shutil.rmtree(self.folder)
        _say(f'making {self.folder} with Python {platform.python_version()}')
        options = ['--system-site-packages'] if self.system_ros else []
        try:
            _call([sys.executable, '-m', 'venv', *options, self.folder])
        except subprocess.CalledProcessError as error:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise SetUpError(
                f'{sys.executable} cannot make a virtual environment; on Debian and Ubuntu: '
                f'sudo apt install python{sys.version_info[0]}.{sys.version_info[1]}-venv'
            ) from error
        self._mark('venv', inputs)

    def install(self, step: str, files: list[Path]) -> None:
        """Install the requirements of some files as one step."""
        names = [line for file in files for line in _requirements(file)]
        names = [name for name in names if not self._has_system_opencv(name)]
        pinned = self._system_pins()
        inputs = '\n'.join([*names, *pinned])
        if self._is_done(step, inputs):
            return
        _say(f'installing {", ".join(file.stem for file in files)} requirements')
        self._pip('install', *names, *pinned)
        self._mark(step, inputs)

    def install_tf2_msgs(self) -> None:
        """Generate and compile tf2_msgs, which has no wheel."""
        tool = ROOT / 'tools' / 'build_tf2_msgs.py'
        inputs = tool.read_text() + (ROOT / 'requirements' / 'ros.txt').read_text()
        if self._is_done('tf2_msgs', inputs):
            return
        _say('building tf2_msgs')
        for compiler in ('gcc', 'g++'):
            if shutil.which(compiler) is None:
                raise SetUpError(
                    f'{compiler} is missing; Debian and Ubuntu: apt install {compiler}'
                )
        _call([self.python, tool])
        self._mark('tf2_msgs', inputs)

    def install_package(self) -> None:
        """Install this package in editable form."""
        names = ('setup.py', 'setup.cfg', 'pyproject.toml', 'hloc_localizer/__init__.py')
        inputs = '\n'.join([str(ROOT), *((ROOT / name).read_text() for name in names)])
        if self._is_done('package', inputs):
            return
        _say('installing hloc_localizer')
        self._pip('install', '--no-deps', '--no-build-isolation', '--editable', ROOT)
        self._mark('package', inputs)

    def _pip(self, *arguments: str | Path) -> None:
        try:
            _call([self.python, '-m', 'pip', '--disable-pip-version-check', '-q', *arguments])
        except subprocess.CalledProcessError as error:
            raise SetUpError(
                'pip failed, see its message above; then run the same again'
            ) from error

    def _system_pins(self) -> list[str]:
        """Keep the numpy that the sourced ROS is compiled against."""
        if not self.system_ros:
            return []
        version = _probe(sys.executable, 'import numpy; print(numpy.__version__)')
        return [f'numpy=={version}'] if version else []

    def _has_system_opencv(self, requirement: str) -> bool:
        """Say whether it asks for the OpenCV that the system has, under a name pip doesn't see."""
        asks = requirement.startswith('opencv-python')
        return asks and self.system_ros and _probe(sys.executable, 'import cv2') is not None

    def _stamp(self, step: str) -> Path:
        return self.folder / f'.done-{step}'

    def _is_done(self, step: str, inputs: str) -> bool:
        stamp = self._stamp(step)
        return stamp.is_file() and stamp.read_text() == _hash(inputs)

    def _mark(self, step: str, inputs: str) -> None:
        self._stamp(step).write_text(_hash(inputs))


def set_up(folder: Path, extras: list[str]) -> None:
    """
    Bring an environment up to date; quick when it is.

    :param folder: of the environment.
    :param extras: names out of :data:`EXTRAS`.
    """
    system_ros = _ros_is_sourced()
    _check_machine(system_ros)
    requirements = ROOT / 'requirements'
    environment = Environment(folder, system_ros=system_ros)
    environment.create()
    ros = [] if system_ros else [requirements / 'ros.txt']
    environment.install('base', [requirements / 'base.txt', requirements / 'build.txt', *ros])
    if not system_ros:
        environment.install_tf2_msgs()
    environment.install_package()
    for extra in extras:
        environment.install(extra, [requirements / f'{extra}.txt'])


def _ros_is_sourced() -> bool:
    distribution = os.environ.get('ROS_DISTRO')
    if not distribution:
        return False
    if _probe(sys.executable, 'import rclpy') is None:
        raise SetUpError(
            f'ROS 2 {distribution} is sourced, but {sys.executable} cannot import its rclpy; '
            'name the Python it is made for (make PYTHON=/usr/bin/python3 ...) or use a shell '
            'without ROS'
        )
    _say(f'using ROS 2 {distribution}')
    return True


def _check_machine(system_ros: bool) -> None:
    version = sys.version_info[:2]
    if version < OLDEST:
        raise SetUpError(
            f'Python 3.10 or newer is needed, {sys.executable} is {platform.python_version()}; '
            'name another: make PYTHON=python3.12 ...'
        )
    wheels = platform.machine() == 'x86_64' and version <= NEWEST_WITH_WHEELS
    if not system_ros and not (wheels and sys.platform == 'linux'):
        raise SetUpError(
            f'without ROS 2 this runs on x86-64 Linux with Python 3.10 to 3.13, here is '
            f'{sys.platform} on {platform.machine()} with Python {platform.python_version()}; '
            'source a ROS 2 installation, or name another Python: make PYTHON=python3.12 ...'
        )


def _requirements(file: Path) -> list[str]:
    lines = (line.strip() for line in file.read_text().splitlines())
    return [line for line in lines if line and not line.startswith('#')]


def _clean_environment() -> dict[str, str]:
    """Forget the libraries of the virtual environment with ROS wheels that may have called us."""
    environment = dict(os.environ)
    if environment.pop('_ROS_WHEELS_BOOTSTRAP_COMPLETE', None):
        environment.pop('LD_LIBRARY_PATH', None)
    return environment


def _call(command: list[str | Path]) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, env=_clean_environment())


def _probe(python: str, code: str) -> str | None:
    result = subprocess.run([python, '-c', code], capture_output=True, text=True, check=False)
    return result.stdout.strip() if result.returncode == 0 else None


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _say(text: str) -> None:
    print(f'set-up: {text}', flush=True)


def main() -> int:
    """Run from the command line, with the Python that the environment is to have."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--venv', type=Path, default=ROOT / '.venv', help='the environment')
    parser.add_argument('--extra', action='append', default=[], choices=EXTRAS, help='may repeat')
    arguments = parser.parse_args()
    try:
        set_up(arguments.venv.absolute(), arguments.extra)
    except SetUpError as error:
        print(f'set-up: {error}', file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(f'set-up: {error.cmd[0]} failed, see its message above', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
