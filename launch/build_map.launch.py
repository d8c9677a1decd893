"""Build a map from a recording or live topics: the map builder node and, if asked for, RViz."""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.conditions import IfCondition
from launch.launch_description_entity import LaunchDescriptionEntity
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from hloc_localizer.ros.launching import given_parameters, log_arguments, parameter_arguments
from hloc_localizer.ros.map_builder_options import MapBuilderNodeOptions

SHARE = Path(get_package_share_directory('hloc_localizer'))

NODE_PARAMETERS = (
    'bag',
    'record',
    'record_rate_hz',
    'image_transport',
    'output',
    'align_to',
    'exit_when_done',
)

# Parameters of the build, whose arguments have the last part of their names.
BUILD_PARAMETERS = (
    'build.front_end',
    'build.overwrite',
    'build.threads',
    'build.source.image_topic',
    'build.source.camera_info_topic',
    'build.source.camera_info_file',
    'build.source.poses',
    'build.source.poses_topic',
    'build.source.poses_file',
    'build.source.map_frame',
    'build.source.odom_frame',
    'build.source.base_frame',
    'build.source.camera_frame',
)

# As in nav2: a robot in a namespace has its TF there, too.
TF_REMAPPINGS = [('/tf', 'tf'), ('/tf_static', 'tf_static')]


def generate_launch_description() -> LaunchDescription:
    parameters = parameter_arguments(
        MapBuilderNodeOptions(), NODE_PARAMETERS + BUILD_PARAMETERS, required=['output']
    )
    return LaunchDescription(
        [
            *(DeclareLaunchArgument(**argument) for argument in parameters),
            DeclareLaunchArgument(
                'image',
                default_value='camera/image_raw',
                description='Topic of the images to record; with image_transport:=compressed its '
                '"/compressed" is subscribed to',
            ),
            DeclareLaunchArgument(
                'camera_info',
                default_value='camera/camera_info',
                description='Topic of the calibration to record',
            ),
            DeclareLaunchArgument(
                'use_sim_time',
                default_value='false',
                choices=['true', 'false'],
                description='Take the time from /clock (simulation, bag played with --clock)',
            ),
            DeclareLaunchArgument(
                'params_file',
                default_value=str(SHARE / 'config' / 'map_builder.yaml'),
                description='Parameter file of the node; arguments that are given go before it',
            ),
            DeclareLaunchArgument(
                'namespace',
                default_value='',
                description='Namespace of the node and of its TF topics',
            ),
            DeclareLaunchArgument(
                'log_level', default_value='info', description='Log level of the node'
            ),
            DeclareLaunchArgument(
                'rviz',
                default_value='false',
                choices=['true', 'false'],
                description='Start RViz too (needs the package rviz2)',
            ),
            DeclareLaunchArgument(
                'rviz_config',
                default_value=str(SHARE / 'config' / 'build_map.rviz'),
                description='RViz configuration',
            ),
            OpaqueFunction(function=_map_builder),
            _rviz(),
        ]
    )


def _map_builder(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return the node; which parameters it is given depends on which arguments are."""
    arguments = context.launch_configurations
    names = NODE_PARAMETERS + BUILD_PARAMETERS
    parameters = given_parameters(MapBuilderNodeOptions(), names, arguments)
    parameters['use_sim_time'] = arguments['use_sim_time'] == 'true'
    node = Node(
        package='hloc_localizer',
        executable='map_builder',
        name='map_builder',
        namespace=arguments['namespace'],
        parameters=[arguments['params_file'], parameters],
        remappings=[
            ('image', arguments['image']),
            ('image/compressed', f'{arguments["image"]}/compressed'),
            ('camera_info', arguments['camera_info']),
            *TF_REMAPPINGS,
        ],
        arguments=log_arguments(arguments['namespace'], 'map_builder', arguments['log_level']),
        output='screen',
    )
    return [node]


def _rviz() -> Node:
    names = [f'map_builder/{topic}' for topic in ('map_points', 'map_cameras')]
    return Node(
        condition=IfCondition(LaunchConfiguration('rviz')),
        package='rviz2',
        executable='rviz2',
        namespace=LaunchConfiguration('namespace'),
        arguments=['-d', LaunchConfiguration('rviz_config')],
        remappings=[(f'/{name}', name) for name in names],
        output='screen',
    )
