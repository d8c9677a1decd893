"""The options of moving a map into another frame."""

from __future__ import annotations

from dataclasses import dataclass

from hloc_localizer.options import Options, option
from hloc_localizer.sources.options import SourceOptions


@dataclass(frozen=True)
class AlignOptions(Options):
    """When poses in two frames agree."""

    max_error_m: float = option(
        0.5, 'A pose further than this from where the alignment puts it is wrong.', minimum=0.001
    )
    max_angle_deg: float = option(
        10.0, 'So is one that is turned by more than this.', minimum=0.1, maximum=90.0
    )
    localized_images: int = option(
        60, 'Images of the recording that are looked for in another map.', minimum=5, maximum=10000
    )


@dataclass(frozen=True)
class AlignCommandOptions(Options):
    """Options of ``align``."""

    source: SourceOptions = option(SourceOptions, 'How the recording of the map is read.')
    align: AlignOptions = option(AlignOptions, 'When poses agree.')
