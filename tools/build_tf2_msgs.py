"""
Generate, compile and install tf2_msgs into a virtual environment that holds the ROS wheels.

Every ROS interface package has a wheel except this one. The rosidl generators do; what CMake does
with them in a ROS workspace is done here for one message, in C only, with gcc, g++ and Python.h.
"""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy
from rosidl_adapter.msg import convert_msg_to_idl
from rosidl_generator_c import generate_c
from rosidl_generator_py import generate_py
from rosidl_generator_type_description import generate_type_hash
from rosidl_typesupport_c import generate_c as generate_typesupport_c
from rosidl_typesupport_fastrtps_c import generate_typesupport_fastrtps_c
from rosidl_typesupport_introspection_c import generate_c as generate_introspection_c

PACKAGE = 'tf2_msgs'
MESSAGE = 'msg/TFMessage'
DEFINITION = 'geometry_msgs/TransformStamped[] transforms\n'
NEEDED_PACKAGES = ('geometry_msgs', 'std_msgs', 'builtin_interfaces')
TYPESUPPORTS = ('rosidl_typesupport_fastrtps_c', 'rosidl_typesupport_introspection_c')

PREFIX = Path(sys.prefix)
SHARE, LIBRARIES, HEADERS = PREFIX / 'share', PREFIX / 'lib', PREFIX / 'include'
MODULE = Path(sysconfig.get_path('purelib')) / PACKAGE


@dataclass(frozen=True)
class Generator:
    """One rosidl generator: the name of its package, what to call, where its files go."""

    name: str
    generate: Callable[[str], object]
    output: Path


def main() -> None:
    """Install the definition, the Python module, the type supports and the index entries."""
    with tempfile.TemporaryDirectory() as folder:
        build = Path(folder)
        _write_definition()
        generators = _generators(build)
        for generator in generators:
            _run(generator, build)
        library = build / 'library.so'
        _compile(generators, library)
        _install(library)
        _register()


def _generators(build: Path) -> list[Generator]:
    """Return the generators in the order in which one needs the files of another."""
    c_generators = [
        ('rosidl_generator_c', generate_c),
        ('rosidl_typesupport_fastrtps_c', generate_typesupport_fastrtps_c),
        ('rosidl_typesupport_introspection_c', generate_introspection_c),
        ('rosidl_typesupport_c', lambda path: generate_typesupport_c(path, list(TYPESUPPORTS))),
    ]
    return [
        Generator('rosidl_generator_type_description', generate_type_hash, SHARE / PACKAGE),
        *(Generator(name, generate, build / name / PACKAGE) for name, generate in c_generators),
        Generator(
            'rosidl_generator_py',
            lambda path: generate_py(path, ['rosidl_typesupport_c']),
            MODULE,
        ),
    ]


def _write_definition() -> None:
    share = SHARE / PACKAGE
    (share / 'msg').mkdir(parents=True, exist_ok=True)
    (share / f'{MESSAGE}.msg').write_text(DEFINITION)
    convert_msg_to_idl(share, PACKAGE, Path(f'{MESSAGE}.msg'), share / 'msg')


def _run(generator: Generator, build: Path) -> None:
    templates = SHARE / generator.name / 'resource'
    (generator.output / 'msg').mkdir(parents=True, exist_ok=True)
    arguments = build / 'arguments.json'
    arguments.write_text(json.dumps(_arguments(generator, templates)))
    generator.generate(str(arguments))
    for header in templates.glob('*__visibility_control.h.in'):
        text = header.read_text().replace('@PROJECT_NAME@', PACKAGE)
        text = text.replace('@PROJECT_NAME_UPPER@', PACKAGE.upper())
        (generator.output / 'msg' / header.stem).write_text(text)


def _arguments(generator: Generator, templates: Path) -> dict[str, object]:
    share = SHARE / PACKAGE
    arguments: dict[str, object] = {
        'package_name': PACKAGE,
        'output_dir': str(generator.output),
        'target_dependencies': [],
        'template_dir': str(templates),
        'idl_tuples': [f'{share}:{MESSAGE}.idl'],
        'ros_interface_files': [str(share / f'{MESSAGE}.msg')],
        'include_paths': [f'{path.parent.name}:{path.parent}' for path in SHARE.glob('*/msg')],
    }
    if generator.output != share:  # all but the one that writes the description
        arguments['type_description_tuples'] = [f'{MESSAGE}.idl:{share / MESSAGE}.json']
    return arguments


def _compile(generators: list[Generator], library: Path) -> None:
    """Put all generated C and C++ files into one shared library."""
    outputs = [generator.output for generator in generators if generator.output != SHARE / PACKAGE]
    sources = [file for output in outputs for file in output.rglob('*.c*')]
    sources = [file for file in sources if file.suffix in ('.c', '.cpp')]
    includes = [output.parent for output in outputs if output != MODULE]
    includes += [*HEADERS.iterdir(), HEADERS]
    includes += [Path(numpy.get_include()), Path(sysconfig.get_path('include'))]
    names = [f'{package}__{g.name}' for package in NEEDED_PACKAGES for g in generators]
    names += [generator.name for generator in generators]
    names = [name for name in names if (LIBRARIES / f'lib{name}.so').exists()]
    names += ['rosidl_runtime_c', 'rcutils', 'fastcdr', 'stdc++']
    command = ['gcc', '-w', '-O1', '-shared', '-fPIC', '-o', str(library), *map(str, sources)]
    command += [f'-I{folder}' for folder in includes]
    command += [f'-L{LIBRARIES}', f'-Wl,-rpath,{LIBRARIES}', '-Wl,--as-needed']
    command += [f'-l{name}' for name in names]
    subprocess.run(command, check=True)


def _install(library: Path) -> None:
    """Install the library under each of the names that rclpy and rosidl_typesupport_c ask for."""
    names = [LIBRARIES / f'lib{PACKAGE}__{typesupport}.so' for typesupport in TYPESUPPORTS]
    names.append(MODULE / f'{PACKAGE}_s__rosidl_typesupport_c.so')
    for name in names:
        name.unlink(missing_ok=True)
    names[0].write_bytes(library.read_bytes())
    for name in names[1:]:
        name.symlink_to(names[0])


def _register() -> None:
    (MODULE / '__init__.py').touch()
    index = SHARE / 'ament_index' / 'resource_index'
    (index / 'packages' / PACKAGE).touch()
    (index / 'rosidl_interfaces' / PACKAGE).write_text(f'{MESSAGE}.msg\n')


if __name__ == '__main__':
    main()
