"""The options of ``localize`` and ``evaluate``, as ``--set`` and ``--config`` see them."""

from __future__ import annotations

from dataclasses import dataclass

from hloc_localizer.localization.options import LocalizerOptions
from hloc_localizer.localization.tracking.options import TrackingOptions
from hloc_localizer.options import Options, option
from hloc_localizer.sources.options import SourceOptions


@dataclass(frozen=True)
class LocalizeCommandOptions(Options):
    """Options of ``localize`` and ``evaluate``."""

    source: SourceOptions = option(SourceOptions, 'How the recording is read.')
    localizer: LocalizerOptions = option(LocalizerOptions, 'How an image is localized.')
    tracking: TrackingOptions = option(
        TrackingOptions, 'How the images of a stream are tied together (with --track).'
    )


@dataclass(frozen=True)
class ReplayCommandOptions(Options):
    """Options of ``replay``."""

    localizer: LocalizerOptions = option(LocalizerOptions, 'How an image is localized.')
    tracking: TrackingOptions = option(
        TrackingOptions, 'How the images of a stream are tied together (with --track).'
    )
