"""Install the package: the same rules for colcon (ament_python) and for pip."""

import re
from glob import glob
from pathlib import Path

from setuptools import find_packages, setup

PACKAGE = 'hloc_localizer'
HERE = Path(__file__).resolve().parent


def requirements(name):
    """Return the requirements of one file in ``requirements/``."""
    lines = (HERE / 'requirements' / f'{name}.txt').read_text(encoding='utf-8').splitlines()
    return [line for line in lines if line.strip() and not line.startswith('#')]


def version():
    """Return the version that the package itself states."""
    text = (HERE / PACKAGE / '__init__.py').read_text(encoding='utf-8')
    return re.search(r"^__version__ = '(.+)'$", text, re.MULTILINE).group(1)


# Relative to this folder: setuptools demands it, colcon and pip both run from here.
setup(
    name=PACKAGE,
    version=version(),
    description='Visual localization for robots: maps built from bags, poses from camera images',
    license='Apache-2.0',
    maintainer='hloc_localizer maintainers',
    maintainer_email='maintainers@users.noreply.b-seed-d8fb18be.example',
    python_requires='>=3.10',
    packages=find_packages(include=[PACKAGE, f'{PACKAGE}.*']),
    package_data={PACKAGE: ['py.typed']},
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{PACKAGE}']),
        (f'share/{PACKAGE}', ['package.xml']),
        (f'share/{PACKAGE}/launch', sorted(glob('launch/*.launch.py'))),
        (f'share/{PACKAGE}/config', sorted(glob('config/*.yaml') + glob('config/*.rviz'))),
        (f'share/{PACKAGE}/config/front_ends', sorted(glob('config/front_ends/*.yaml'))),
    ],
    install_requires=requirements('base'),
    extras_require={'deep': requirements('deep'), 'test': requirements('test')},
    zip_safe=False,
    entry_points={
        'console_scripts': [
            'localizer = hloc_localizer.ros.localizer:main',
            'map_builder = hloc_localizer.ros.map_builder:main',
            'hloc-localizer = hloc_localizer.cli:main',
        ],
    },
)
