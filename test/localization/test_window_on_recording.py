"""Frames of a real walk that are refused one by one are localized together."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hloc_localizer.geometry.transforms import pose_distance
from hloc_localizer.localization import (
    JointLocalizer,
    Localizer,
    LocalizerOptions,
    Moment,
    MountedObservation,
    Reason,
    Window,
)
from hloc_localizer.maps import Map
from hloc_localizer.sources import open_source
from hloc_localizer.sources.options import SourceOptions
from hloc_localizer.sources.tum import read_tum

WEAK = slice(3, 9)
"""Frames of `revisit` right after the first three, too poor to be localized alone."""
POSTERS = 42
"""A frame of `revisit` that shows little of the map but two posters in a corner."""


def test_refused_frames_are_localized_together(lounge_map: Path, shared_data: Path) -> None:
    folder = shared_data / 'data' / 'lounge'
    source = open_source(folder / 'revisit', SourceOptions(poses='none', duration_s=2.0))
    truth = read_tum(folder / 'revisit.camera.tum')
    (camera,) = source.cameras.values()
    localizer = Localizer(Map.load(lounge_map), LocalizerOptions(threads=1))
    joint, window = JointLocalizer(localizer), Window(localizer.options.window)
    localized = 0
    for frame in list(source.frames())[WEAK]:
        alone, observation = localizer.observe(frame.image, camera)
        assert observation is not None
        assert frame.odom_from_camera is not None
        window.add(
            Moment(frame.stamp_ns, frame.odom_from_camera, (MountedObservation(observation),))
        )
        together = joint.localize(window)
        if together.map_from_rig is not None:
            expected = truth.at(frame.stamp_ns)
            assert expected is not None
            distance, angle = pose_distance(together.map_from_rig, expected)
            assert distance < 0.15
            assert np.degrees(angle) < 2.5
            localized += not alone.localized
    assert localized >= 2
    # With one weak frame there is nothing to add up.
    window.clear()
    window.add(Moment(0, np.eye(4), (MountedObservation(observation),)))
    assert not joint.localize(window).localized


def test_posters_in_a_corner_are_no_proof_for_a_window_either(
    lounge_map: Path, shared_data: Path
) -> None:
    folder = shared_data / 'data' / 'lounge'
    source = open_source(folder / 'revisit', SourceOptions(poses='none', duration_s=8.7))
    (camera,) = source.cameras.values()
    localizer = Localizer(Map.load(lounge_map), LocalizerOptions(threads=1))
    frame = list(source.frames())[POSTERS]
    alone, observation = localizer.observe(frame.image, camera)
    assert observation is not None
    assert alone.reason is Reason.POOR_SPREAD
    together = JointLocalizer(localizer).localize_moment([MountedObservation(observation)])
    assert together.reason is Reason.POOR_SPREAD
