"""The parameters of the nodes, as options."""

from __future__ import annotations

from dataclasses import dataclass

from hloc_localizer.localization import LocalizerOptions
from hloc_localizer.localization.tracking import TrackingOptions
from hloc_localizer.options import Options, option


@dataclass(frozen=True)
class LocalizerNodeOptions(Options):
    """Parameters of the localizer node."""

    map: str = option(
        '',
        'Folder of the map to localize in; several, as of floors, separated by commas: the right '
        'one is found.',
    )
    allow_unscaled: bool = option(
        False,
        'Take a map whose scale is unknown, and publish its units as if they were metres.',
    )
    autostart: bool = option(
        True, 'Configure and activate at start; false leaves that to a lifecycle manager.'
    )
    image_transport: str = option(
        'raw',
        'Subscribe to image as sensor_msgs/Image or to image/compressed as CompressedImage.',
        choices=('raw', 'compressed'),
    )
    image_topics: str = option(
        '',
        'Image topics of several cameras, separated by commas, that are localized together; empty: '
        'one camera, on image.',
    )
    camera_info_topics: str = option(
        '', 'Their calibrations, one for each image topic; empty: camera_info beside the images.'
    )
    camera_wait_s: float = option(
        0.05,
        'How long the images of the other cameras are waited for, whose stamps must be within '
        'tracking.moment_tolerance_s.',
        minimum=0.0,
        maximum=5.0,
    )
    camera_info_file: str = option(
        '',
        'ROS calibration YAML to use instead of the topic camera_info; one for each of several '
        'cameras, separated by commas.',
    )
    camera_frame: str = option(
        '',
        "The camera's optical frame, one for each of several cameras; empty takes frame_id of the "
        "image's header.",
    )
    map_frame: str = option('', "Frame of the published poses; empty takes the map's own.")
    odom_frame: str = option('odom', 'Frame in which odometry is smooth.')
    odom_topic: str = option(
        '', 'Topic of nav_msgs/Odometry that tells how the base moves; empty takes it from TF.'
    )
    base_frame: str = option('base_link', 'Frame whose pose is published.')
    tf_mode: str = option(
        'map_to_odom',
        'Transform to broadcast: map -> odom (needs odometry), map -> base, or none.',
        choices=('map_to_odom', 'map_to_base', 'none'),
    )
    tf_rate_hz: float = option(
        20.0, 'How often map -> odom is broadcast.', minimum=0.1, maximum=1000.0
    )
    tf_tolerance_s: float = option(
        0.1,
        'How far into the future the stamp of map -> odom is put, so that it can be looked up '
        'until the next broadcast.',
        minimum=0.0,
        maximum=10.0,
    )
    tf_smoothing_s: float = option(
        0.2,
        'How long map -> odom takes to reach a new correction, so that it makes no visible step; '
        'with more images a second than fit into it, three times as long; 0: at once, as is what '
        'moves the base by more than 0.5 m or 10 degrees.',
        minimum=0.0,
        maximum=10.0,
    )
    tf_max_age_s: float = option(
        60.0,
        'map -> odom is not broadcast any longer when no image has confirmed or carried it on for '
        'so long; 0: for ever.',
        minimum=0.0,
    )
    tf_timeout_s: float = option(
        0.1,
        'How long to wait for a transform or a camera_info at the stamp of an image.',
        minimum=0.0,
        maximum=5.0,
    )
    prior_timeout_s: float = option(
        10.0,
        'How long after an initialpose it is used as a prior, at most until the first fix.',
        minimum=0.0,
    )
    relocalize_timeout_s: float = option(
        5.0, 'How long ~/relocalize waits for the result of the next image.', minimum=0.1
    )
    stale_after_s: float = option(
        2.0, 'Diagnostics call images stale after this time without one.', minimum=0.1
    )
    path_length: int = option(
        1000, 'Number of poses kept in ~/path; the oldest leave.', minimum=0, maximum=1_000_000
    )
    record_failures: str = option(
        '',
        'Folder to keep refused and odd frames in, for hloc-localizer replay; empty keeps none.',
    )
    record_failures_most: int = option(
        100, 'Number of frames kept there; the oldest leave.', minimum=1, maximum=100_000
    )
    record_failures_mb: float = option(
        200.0, 'Megabytes that they may take.', minimum=0.1, maximum=1e6
    )
    track: bool = option(
        True,
        'Take the images as one stream: predict with odometry, filter, bridge images that cannot '
        'be localized, and tell the state. False localizes each image alone.',
    )
    tracking: TrackingOptions = option(
        TrackingOptions, 'How the images of a stream are tied together.'
    )
    localization: LocalizerOptions = option(
        LocalizerOptions, 'How an image is localized in the map.'
    )
