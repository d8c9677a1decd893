"""The options of reading a recording: topics, frames, calibration and pose files, time span."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hloc_localizer.options import Options, option

NONE = 'none'
"""In place of a topic: it is not read even if there is one."""


@dataclass(frozen=True)
class SourceOptions(Options):
    """How images, calibration and poses are found in a bag, a video or a folder of images."""

    image_topic: str = option(
        '',
        'Topic of the colour or grey images; several cameras separated by commas; empty: the only '
        'one in the bag.',
    )
    camera_info_topic: str = option(
        '', 'Topic of the calibration, one for each image topic; empty: the one beside the images.'
    )
    camera_info_file: str = option(
        '',
        'ROS calibration file (YAML) that replaces the calibration of the recording; one for each '
        'image topic, separated by commas.',
    )
    field_of_view_deg: float = option(
        65.0,
        'Field of view along the longer side that building assumes at first for a camera without '
        'any calibration.',
        minimum=5.0,
        maximum=150.0,
    )
    camera_frame: str = option(
        '',
        'TF frame of the camera, one for each image topic; empty: the frame_id in the header of '
        'the images.',
    )
    poses: str = option(
        'auto',
        'Where camera poses come from; auto: the file or topic that is given, else TF if it has '
        'the map frame, else none, and the images tell them.',
        choices=('auto', 'tf', 'topic', 'file', 'none'),
    )
    poses_topic: str = option(
        '', 'Topic of Odometry, PoseStamped or PoseWithCovarianceStamped messages with the poses.'
    )
    poses_file: str = option('', 'TUM file with the poses, or lines "image tx ty tz qx qy qz qw".')
    poses_child: str = option(
        'base',
        'What the poses of a topic or of a TUM file are of: the base frame or the camera.',
        choices=('base', 'camera'),
    )
    map_frame: str = option('map', 'TF frame of the map.')
    odom_frame: str = option('odom', 'TF frame of the odometry.')
    base_frame: str = option('base_link', "TF frame of the robot's base.")
    odom_topic: str = option(
        '',
        "Topic of the odometry; empty: TF, else the only Odometry topic of the bag; 'none': no "
        'odometry is read.',
    )
    imu_topic: str = option(
        '',
        'Topic of the IMU, or two of accelerations and rates; empty: the ones in the bag, read '
        "where the poses are unknown; 'none': no IMU is read.",
    )
    clock: str = option(
        'auto',
        'auto: a constant offset between the clocks of images and poses is found by how both turn, '
        'and corrected when a map is built; trusted: there is none.',
        choices=('auto', 'trusted'),
    )
    max_pose_gap_s: float = option(
        0.5, 'Longest interval between two poses that is interpolated across.', minimum=0.0
    )
    start_s: float = option(0.0, 'Skip this much of the recording.', minimum=0.0, maximum=1e9)
    duration_s: float = option(
        0.0, 'Read this much of the recording; 0: to its end.', minimum=0.0, maximum=1e9
    )
    fps: float = option(
        0.0, 'Images a second taken from a video; 0: all of them.', minimum=0.0, maximum=1000.0
    )
    depth_topic: str = option(
        '',
        "Topic of depth images; empty: the only one in the bag; 'none': no depth is read.",
    )

    def for_localizing(self) -> SourceOptions:
        """Return these options without what only building needs."""
        return replace(self, poses='none', depth_topic=NONE, imu_topic=NONE)
