"""The parameters of the map builder node, as options."""

from __future__ import annotations

from dataclasses import dataclass

from hloc_localizer.mapping.options import BuildOptions
from hloc_localizer.options import Options, option


@dataclass(frozen=True)
class MapBuilderNodeOptions(Options):
    """Parameters of the map builder node."""

    bag: str = option(
        '',
        'Recording to build the map of: a bag, a video or a folder of images; several of one place '
        'separated by commas.',
    )
    record: str = option(
        '',
        'In place of bag: new bag that live topics are recorded into, until ~/finish is called.',
    )
    record_rate_hz: float = option(
        10.0, 'Most images a second that are recorded; 0: all.', minimum=0.0, maximum=1000.0
    )
    image_transport: str = option(
        'raw',
        'Record image as sensor_msgs/Image, stored as JPEG, or image/compressed as it comes.',
        choices=('raw', 'compressed'),
    )
    output: str = option('', 'Folder of the new map.')
    align_to: str = option(
        '',
        'Frame that exists and that the map is moved into: tf:FRAME, a file of poses, or the '
        'folder of another map.',
    )
    exit_when_done: bool = option(
        True, 'End the process after the build; false keeps publishing the finished map.'
    )
    build: BuildOptions = option(BuildOptions, 'How the map is built.')
