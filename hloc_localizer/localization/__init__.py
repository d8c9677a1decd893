"""From a map and one or several images to a pose."""

from hloc_localizer.localization.joint import JointLocalizer
from hloc_localizer.localization.localizer import Localizer
from hloc_localizer.localization.options import LocalizerOptions
from hloc_localizer.localization.result import (
    Alternative,
    JointLocalization,
    Localization,
    Reason,
    Status,
)
from hloc_localizer.localization.window import Moment, MountedObservation, Window

__all__ = [
    'Alternative',
    'JointLocalization',
    'JointLocalizer',
    'Localization',
    'Localizer',
    'LocalizerOptions',
    'Moment',
    'MountedObservation',
    'Reason',
    'Status',
    'Window',
]
