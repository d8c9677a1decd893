"""Writes ``report/index.html`` of a map that was just built."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from hloc_localizer.mapping.map_report.content import ReportContent
from hloc_localizer.mapping.map_report.page import report_page
from hloc_localizer.mapping.map_report.self_localization import Trial, localize_held_out
from hloc_localizer.mapping.matching import MapImage
from hloc_localizer.maps.map import Map

REPORT_NAME = 'report/index.html'


def write_report(
    whole: Map,
    images: Sequence[MapImage],
    *,
    title: str,
    frames: int,
    held_out: int,
    advance: Callable[[int], None],
    stage_s: Callable[[], Mapping[str, float]],
) -> Sequence[Trial]:
    """
    Localize images of a map in the rest of it, and write the page into its folder.

    :param whole: the map, not on disk yet but for its folder.
    :param images: its images as they were built from.
    :param frames: images of the recording.
    :param held_out: how many images to localize.
    :param stage_s: gives the seconds of the build by stage, at the end.
    :returns: what came of them.
    """
    stamps_ns = np.array([image.stamp_ns for image in images], np.int64)
    features = [image.features for image in images]
    trials = localize_held_out(whole, features, stamps_ns, count=held_out, advance=advance)
    content = ReportContent(
        title=title,
        manifest=whole.manifest,
        runtime=whole.runtime,
        trials=trials,
        frames=frames,
        selected=len(images),
        recorded=np.stack([image.map_from_camera for image in images]),
        stamps_ns=stamps_ns,
        thumbnails=[image.thumbnail for image in images],
        stage_s=stage_s(),
    )
    path = whole.path / REPORT_NAME
    path.parent.mkdir()
    path.write_text(report_page(content), encoding='utf-8')
    return trials
