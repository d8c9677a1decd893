"""From a map and an image to a pose."""

from hloc_localizer.localization.localizer import Localizer
from hloc_localizer.localization.options import LocalizerOptions
from hloc_localizer.localization.result import Localization, Reason, Status

__all__ = ['Localization', 'Localizer', 'LocalizerOptions', 'Reason', 'Status']
