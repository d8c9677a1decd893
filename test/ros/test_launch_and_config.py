"""Launch files and parameter files agree with the nodes' parameters."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
import yaml

from hloc_localizer.errors import InputError
from hloc_localizer.options import Options
from hloc_localizer.ros.environment import isolated
from hloc_localizer.ros.launching import given_parameters, log_arguments, parameter_arguments
from hloc_localizer.ros.map_builder_options import MapBuilderNodeOptions
from hloc_localizer.ros.options import LocalizerNodeOptions

NODES = {
    'localize.launch.py': ('localizer.yaml', LocalizerNodeOptions()),
    'build_map.launch.py': ('map_builder.yaml', MapBuilderNodeOptions()),
}
each_node = pytest.mark.parametrize('launch_file', NODES)


def _config(repository: Path, name: str) -> dict[str, Any]:
    text = (repository / 'config' / name).read_text(encoding='utf-8')
    parameters = yaml.safe_load(text)['/**']['ros__parameters']
    assert isinstance(parameters, dict)
    return parameters


@each_node
def test_parameter_files_hold_the_defaults(repository: Path, launch_file: str) -> None:
    name, options = NODES[launch_file]
    assert options.with_values(_config(repository, name)) == options


@each_node
def test_parameter_files_name_every_parameter_of_the_node(
    repository: Path, launch_file: str
) -> None:
    name, options = NODES[launch_file]
    own = {leaf.name for leaf in options.leaves() if '.' not in leaf.name}
    assert own - set(_config(repository, name)) == set()


@each_node
def test_launch_arguments_are_parameters_of_the_node(repository: Path, launch_file: str) -> None:
    names = _constants(repository / 'launch' / launch_file)
    arguments = list(parameter_arguments(NODES[launch_file][1], names))
    assert len(arguments) == len(names) >= 5
    assert len({argument['name'] for argument in arguments}) == len(names)
    assert all(len(argument['description']) > 20 for argument in arguments)


@each_node
def test_every_other_launch_argument_is_described(repository: Path, launch_file: str) -> None:
    declared = [
        {keyword.arg for keyword in call.keywords}
        for call in _calls(repository / 'launch' / launch_file, 'DeclareLaunchArgument')
    ]
    assert len(declared) >= 5
    assert all('description' in keywords for keywords in declared if None not in keywords)


@each_node
def test_launch_files_start_an_executable_of_the_package(
    repository: Path, launch_file: str
) -> None:
    setup = (repository / 'setup.py').read_text(encoding='utf-8')
    nodes = [
        {keyword.arg: getattr(keyword.value, 'value', None) for keyword in call.keywords}
        for call in _calls(repository / 'launch' / launch_file, 'Node')
    ]
    ours = [node for node in nodes if node['package'] == 'hloc_localizer']
    assert len(ours) == 1
    assert f"'{ours[0]['executable']} = hloc_localizer.ros." in setup


@pytest.mark.parametrize(
    ('config', 'node'), [('localize.rviz', 'hloc_localizer'), ('build_map.rviz', 'map_builder')]
)
def test_rviz_shows_topics_of_the_node(repository: Path, config: str, node: str) -> None:
    text = (repository / 'config' / config).read_text(encoding='utf-8')
    displays = yaml.safe_load(text)['Visualization Manager']['Displays']
    topics = {display['Topic']['Value'] for display in displays if 'Topic' in display}
    source = ''.join(path.read_text() for path in (repository / 'hloc_localizer/ros').glob('*.py'))
    assert f'/{node}/map_points' in topics
    for topic in topics:
        assert topic.startswith(f'/{node}/')
        assert f"'~/{topic.removeprefix(f'/{node}/')}'" in source


def test_arguments_that_are_not_given_leave_the_parameter_file_in_force() -> None:
    names = ('map', 'tf_rate_hz', 'autostart')
    arguments = {'map': '/maps/7', 'tf_rate_hz': '', 'autostart': ''}
    assert given_parameters(LocalizerNodeOptions(), names, arguments) == {'map': '/maps/7'}


def test_arguments_have_the_type_of_their_parameter() -> None:
    options: Options = LocalizerNodeOptions()
    names = ('map', 'tf_rate_hz', 'autostart', 'path_length')
    texts = {'map': '7', 'tf_rate_hz': '12.5', 'autostart': 'false', 'path_length': '3'}
    given = given_parameters(options, names, texts)
    assert given == {'map': '7', 'tf_rate_hz': 12.5, 'autostart': False, 'path_length': 3}
    assert {name: type(value) for name, value in given.items()} == {
        'map': str, 'tf_rate_hz': float, 'autostart': bool, 'path_length': int,
    }  # fmt: skip


@pytest.mark.parametrize(('name', 'text'), [('tf_mode', 'sideways'), ('autostart', 'perhaps')])
def test_an_argument_that_is_no_value_stops_the_launch(name: str, text: str) -> None:
    with pytest.raises(InputError, match=name):
        given_parameters(LocalizerNodeOptions(), (name,), {name: text})


@pytest.mark.parametrize(
    ('namespace', 'logger'), [('', 'node'), ('robot1', 'robot1.node'), ('/a/b', 'a.b.node')]
)
def test_the_log_level_is_that_of_the_node(namespace: str, logger: str) -> None:
    assert log_arguments(namespace, 'node', 'debug')[-1] == f'{logger}:=debug'


def _calls(path: Path, name: str) -> list[ast.Call]:
    tree = ast.parse(path.read_text(encoding='utf-8'))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == name]


def _constants(path: Path) -> list[str]:
    """Return the parameter names that a launch file lists."""
    tree = ast.parse(path.read_text(encoding='utf-8'))
    return [
        name
        for node in tree.body
        if isinstance(node, ast.Assign)
        and getattr(node.targets[0], 'id', '').endswith('PARAMETERS')
        for name in ast.literal_eval(node.value)
    ]


RECIPES = {'nav2.yaml': 'map_to_odom', 'robot_localization.yaml': 'none'}


@pytest.mark.parametrize('recipe', RECIPES)
def test_recipes_hold_parameters_that_the_node_takes(repository: Path, recipe: str) -> None:
    nodes = yaml.safe_load((repository / 'config' / recipe).read_text(encoding='utf-8'))
    assert all(set(node) == {'ros__parameters'} for node in nodes.values())
    (own,) = [name for name in nodes if name.endswith('hloc_localizer')]
    given = nodes[own]['ros__parameters']
    assert LocalizerNodeOptions().with_values(given).tf_mode == RECIPES[recipe]


def test_the_recipe_for_nav2_holds_in_every_namespace_and_leaves_the_start_to_the_launch_file(
    repository: Path,
) -> None:
    nodes = yaml.safe_load((repository / 'config' / 'nav2.yaml').read_text(encoding='utf-8'))
    assert set(nodes) == {'/**/map_server', '/**/hloc_localizer'}
    assert 'autostart' not in nodes['/**/hloc_localizer']['ros__parameters']
    described = _calls(repository / 'launch/nav2_localization.launch.py', 'DeclareLaunchArgument')
    assert all({keyword.arg for keyword in call.keywords} >= {'description'} for call in described)
    assert len(described) >= 6


def test_the_filters_hear_the_pose_and_each_transform_has_one_source(repository: Path) -> None:
    text = (repository / 'config' / 'robot_localization.yaml').read_text(encoding='utf-8')
    nodes = {name: node['ros__parameters'] for name, node in yaml.safe_load(text).items()}
    publishers = (repository / 'hloc_localizer/ros/publishers.py').read_text(encoding='utf-8')
    topic = nodes['ekf_map']['pose0'].removeprefix('/hloc_localizer/')
    assert f"PoseWithCovarianceStamped, '~/{topic}'" in publishers
    for name, world in (('ekf_odom', 'odom'), ('ekf_map', 'map')):
        parameters = nodes[name]
        assert parameters['world_frame'] == world
        configs = [value for key, value in parameters.items() if key.endswith('_config')]
        assert configs
        assert all(len(c) == 15 and set(map(type, c)) == {bool} for c in configs)
    assert 'pose0' not in nodes['ekf_odom']
    assert 'pose0_rejection_threshold' not in nodes['ekf_map']


def test_one_process_gets_another_domain_each_time() -> None:
    domains = []
    for _ in range(3):
        with isolated() as variables:
            domains.append(variables['ROS_DOMAIN_ID'])
    assert len(set(domains)) == 3
