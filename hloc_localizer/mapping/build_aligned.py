"""Recordings become a map, in a frame of its own or in one that exists: for command and node."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from hloc_localizer.errors import HlocLocalizerError
from hloc_localizer.mapping.align_to import align_map, check_target
from hloc_localizer.mapping.build import build_map
from hloc_localizer.mapping.options import BuildOptions
from hloc_localizer.maps import Map
from hloc_localizer.progress import Progress
from hloc_localizer.sources import SourceOptions, open_sources


def build_aligned(
    recordings: Sequence[Path],
    output: Path,
    options: BuildOptions,
    progress: Progress,
    *,
    align_to: str,
    tell: Callable[[str], object],
) -> None:
    """
    Build a map of one or several recordings; move it into a frame that exists, if one is given.

    :param align_to: a target of :func:`.align_map`; empty: the map stays in its own frame.
    :param tell: takes the lines of the summaries, those of the map before it is moved.
    :raises HlocLocalizerError: as :func:`.build_map` and :func:`.align_map` do. A map that was
        built but could not be moved stays, and the error says so.
    """
    building = options
    if align_to:
        check_target(align_to, recordings, options.source)
        source = _without_target(align_to, options.source)
        building = dataclasses.replace(options, source=source)
    report = build_map(open_sources(recordings, building.source), output, building, progress)
    for line in report.lines():
        tell(line)
    if align_to:
        _align(recordings, output, options.source, progress, align_to, tell)


def _without_target(target: str, source: SourceOptions) -> SourceOptions:
    """Leave the poses that the map is to be aligned to out of the build itself."""
    if Path(target).expanduser().is_dir() or source.poses != 'auto':
        return source
    return dataclasses.replace(source, poses='none')


def _align(
    recordings: Sequence[Path],
    output: Path,
    source: SourceOptions,
    progress: Progress,
    target: str,
    tell: Callable[[str], object],
) -> None:
    try:
        report = align_map(
            Map.load(output),
            target,
            output,
            recordings=recordings,
            source_options=source,
            overwrite=True,
            progress=progress,
        )
    except HlocLocalizerError as error:
        kept = (
            f'the map is at {output}, in a frame of its own: align it with "hloc-localizer align"'
        )
        raise type(error)(f'{error}; {kept}') from error
    for line in report.lines():
        tell(line)
