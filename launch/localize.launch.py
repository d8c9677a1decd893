"""Localize a camera in a map: the localizer node and, if asked for, RViz."""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.conditions import IfCondition
from launch.launch_description_entity import LaunchDescriptionEntity
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from hloc_localizer.ros.launching import given_parameters, log_arguments, parameter_arguments
from hloc_localizer.ros.options import LocalizerNodeOptions

SHARE = Path(get_package_share_directory('hloc_localizer'))

NODE_PARAMETERS = (
    'map',
    'image_transport',
    'image_topics',
    'camera_info_topics',
    'camera_info_file',
    'camera_frame',
    'map_frame',
    'odom_frame',
    'odom_topic',
    'base_frame',
    'tf_mode',
    'autostart',
)

# RViz shows them by absolute names; these follow the node into its namespace.
SHOWN_TOPICS = (
    'map_points',
    'map_cameras',
    'path',
    'pose',
    'pose_with_covariance',
    'matches/compressed',
)

# As in nav2: a robot in a namespace has its TF there, too.
TF_REMAPPINGS = [('/tf', 'tf'), ('/tf_static', 'tf_static')]


def generate_launch_description() -> LaunchDescription:
    parameters = parameter_arguments(LocalizerNodeOptions(), NODE_PARAMETERS, required=['map'])
    return LaunchDescription(
        [
            *(DeclareLaunchArgument(**argument) for argument in parameters),
            DeclareLaunchArgument(
                'image',
                default_value='camera/image_raw',
                description='Topic of the images; with image_transport:=compressed its '
                '"/compressed" is subscribed to',
            ),
            DeclareLaunchArgument(
                'camera_info',
                default_value='camera/camera_info',
                description='Topic of the calibration; not used with camera_info_file',
            ),
            DeclareLaunchArgument(
                'params_file',
                default_value=str(SHARE / 'config' / 'localizer.yaml'),
                description='Parameter file of the node; arguments that are given go before it',
            ),
            DeclareLaunchArgument(
                'namespace',
                default_value='',
                description='Namespace of the node and of its TF topics',
            ),
            DeclareLaunchArgument(
                'use_sim_time',
                default_value='false',
                choices=['true', 'false'],
                description='Take the time from /clock (simulation, bag played with --clock)',
            ),
            DeclareLaunchArgument(
                'respawn',
                default_value='false',
                choices=['true', 'false'],
                description='Start the node again when it ends by itself',
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
                default_value=str(SHARE / 'config' / 'localize.rviz'),
                description='RViz configuration',
            ),
            OpaqueFunction(function=_localizer),
            _rviz(),
        ]
    )


def _localizer(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return the node; which parameters it is given depends on which arguments are."""
    arguments = context.launch_configurations
    parameters = given_parameters(LocalizerNodeOptions(), NODE_PARAMETERS, arguments)
    parameters['use_sim_time'] = arguments['use_sim_time'] == 'true'
    node = Node(
        package='hloc_localizer',
        executable='localizer',
        name='hloc_localizer',
        namespace=arguments['namespace'],
        parameters=[arguments['params_file'], parameters],
        remappings=[
            ('image', arguments['image']),
            ('image/compressed', f'{arguments["image"]}/compressed'),
            ('camera_info', arguments['camera_info']),
            *TF_REMAPPINGS,
        ],
        arguments=log_arguments(arguments['namespace'], 'hloc_localizer', arguments['log_level']),
        output='screen',
        respawn=arguments['respawn'] == 'true',
        respawn_delay=1.0,
    )
    return [node]


def _rviz() -> Node:
    names = [f'hloc_localizer/{topic}' for topic in SHOWN_TOPICS]
    return Node(
        condition=IfCondition(LaunchConfiguration('rviz')),
        package='rviz2',
        executable='rviz2',
        namespace=LaunchConfiguration('namespace'),
        arguments=['-d', LaunchConfiguration('rviz_config')],
        parameters=[{'use_sim_time': LaunchConfiguration('use_sim_time')}],
        remappings=[*((f'/{name}', name) for name in names), *TF_REMAPPINGS],
        output='screen',
    )
