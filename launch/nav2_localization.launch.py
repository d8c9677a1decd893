"""Localization for nav2: map server, lifecycle manager, and this node in the place of AMCL."""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_entity import LaunchDescriptionEntity
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import Node

SHARE = Path(get_package_share_directory('hloc_localizer'))

PASSED_ON = ('map', 'image', 'camera_info', 'params_file', 'namespace', 'use_sim_time')


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                'grid', description="YAML file of nav2's occupancy grid, in the frame of the map"
            ),
            DeclareLaunchArgument('map', description='Folder of the map to localize in'),
            DeclareLaunchArgument(
                'image', default_value='camera/image_raw', description='Topic of the images'
            ),
            DeclareLaunchArgument(
                'camera_info',
                default_value='camera/camera_info',
                description='Topic of the calibration',
            ),
            DeclareLaunchArgument(
                'params_file',
                default_value=str(SHARE / 'config' / 'nav2.yaml'),
                description='Parameter file of all three; arguments that are given go before it',
            ),
            DeclareLaunchArgument(
                'managed',
                default_value='false',
                choices=['true', 'false'],
                description="Let nav2's lifecycle manager start, pause and stop the node, too. It "
                'then comes back after a crash only when the manager is told to start it again. '
                'Otherwise the node starts by itself, and again one second after it has ended, '
                'which a parameter that it refuses makes it do, too',
            ),
            DeclareLaunchArgument(
                'namespace', default_value='', description='Namespace of the nodes and their TF'
            ),
            DeclareLaunchArgument(
                'use_sim_time',
                default_value='false',
                choices=['true', 'false'],
                description='Take the time from /clock',
            ),
            OpaqueFunction(function=_nodes),
        ]
    )


def _nodes(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    arguments = context.launch_configurations
    managed = arguments['managed'] == 'true'
    common = {
        'namespace': arguments['namespace'],
        'output': 'screen',
        'remappings': [('/tf', 'tf'), ('/tf_static', 'tf_static')],
    }
    clock = {'use_sim_time': arguments['use_sim_time'] == 'true'}
    manager = {'node_names': ['map_server', 'hloc_localizer'] if managed else ['map_server']}
    if managed:
        manager['bond_timeout'] = 0.0  # a node in Python has no bond
    return [
        Node(
            package='nav2_map_server',
            executable='map_server',
            name='map_server',
            parameters=[arguments['params_file'], {'yaml_filename': arguments['grid'], **clock}],
            **common,
        ),
        Node(
            package='nav2_lifecycle_manager',
            executable='lifecycle_manager',
            name='lifecycle_manager_localization',
            parameters=[arguments['params_file'], {'autostart': True, **manager, **clock}],
            **common,
        ),
        IncludeLaunchDescription(
            PythonLaunchDescriptionSource(str(SHARE / 'launch' / 'localize.launch.py')),
            launch_arguments={
                **{name: arguments[name] for name in PASSED_ON},
                'autostart': str(not managed).lower(),
                'respawn': str(not managed).lower(),
            }.items(),
        ),
    ]
