"""The launch file for nav2 starts each node once, and says by whom; with stand-ins for launch."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest


class _Described:
    """A launch entity that only remembers how it was made."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        self.arguments, self.keywords = arguments, keywords

    def __getitem__(self, name: str) -> Any:
        return self.keywords[name]


@pytest.fixture
def launch_file(repository: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run the launch file, as ``launch`` does."""
    names = {
        'launch': ('LaunchContext', 'LaunchDescription'),
        'launch.actions': ('DeclareLaunchArgument', 'IncludeLaunchDescription', 'OpaqueFunction'),
        'launch.launch_description_entity': ('LaunchDescriptionEntity',),
        'launch.launch_description_sources': ('PythonLaunchDescriptionSource',),
        'launch_ros': (),
        'launch_ros.actions': ('Node',),
        'ament_index_python': (),
        'ament_index_python.packages': (),
    }
    for name, members in names.items():
        module = ModuleType(name)
        for member in members:
            setattr(module, member, _Described)
        monkeypatch.setitem(sys.modules, name, module)
    share: Any = sys.modules['ament_index_python.packages']
    share.get_package_share_directory = lambda package: str(repository)
    return runpy.run_path(str(repository / 'launch' / 'nav2_localization.launch.py'))


def _started(launch_file: dict[str, Any], **given: str) -> tuple[Any, Any, Any]:
    described = launch_file['generate_launch_description']().arguments[0]
    arguments = {
        one.arguments[0]: one.keywords.get('default_value') for one in described if one.arguments
    }
    context = SimpleNamespace(launch_configurations={**arguments, 'grid': 'g', 'map': 'm', **given})
    server, manager, localizer = launch_file['_nodes'](context)
    return server, manager, localizer


def _parameters(node: Any) -> dict[str, Any]:
    parameters = node['parameters'][1]
    assert isinstance(parameters, dict)
    return parameters


@pytest.mark.parametrize('managed', ['false', 'true'])
def test_each_node_is_started_once_by_the_manager_or_by_itself(
    launch_file: dict[str, Any], managed: str
) -> None:
    server, manager, localizer = _started(launch_file, managed=managed)
    given = dict(localizer['launch_arguments'])
    names = _parameters(manager)['node_names']
    assert (server['executable'], manager['executable']) == ('map_server', 'lifecycle_manager')
    assert ('hloc_localizer' in names) == (managed == 'true')
    assert 'map_server' in names
    assert given['autostart'] == given['respawn'] == ('false' if managed == 'true' else 'true')
    # Without a bond, which a node in Python has not, the manager must not wait for one.
    assert _parameters(manager).get('bond_timeout') == (0.0 if managed == 'true' else None)


def test_all_get_the_namespace_the_clock_and_the_file(launch_file: dict[str, Any]) -> None:
    server, manager, localizer = _started(
        launch_file, namespace='robot1', use_sim_time='true', image='/front'
    )
    given = dict(localizer['launch_arguments'])
    for node in (server, manager):
        assert node['namespace'] == 'robot1'
        assert _parameters(node)['use_sim_time'] is True
        assert node['parameters'][0] == given['params_file']
    assert (given['namespace'], given['use_sim_time']) == ('robot1', 'true')
    assert (given['map'], given['image']) == ('m', '/front')
    assert _parameters(server)['yaml_filename'] == 'g'
