"""Poses of images by their names, without decoding them where a bag is read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.sources.frame import Source
from hloc_localizer.sources.joined import JoinedSource

Poses = dict[str, NDArray[np.float64]]


def recorded_poses(source: Source, names: Sequence[str]) -> tuple[Poses, str]:
    """
    Find the poses in the map frame of images of a recording.

    :param names: names of frames of this source.
    :returns: ``map_from_camera`` (4, 4) by name, and why others have none (or empty).
    """
    from hloc_localizer.sources.bag import BagSource

    if isinstance(source, JoinedSource):
        return _of_sessions(source, names)
    if isinstance(source, BagSource):
        return source.poses_of(names)
    wanted = set(names)
    poses = {
        frame.name: frame.map_from_camera
        for frame in source.frames()
        if frame.name in wanted and frame.map_from_camera is not None
    }
    return poses, source.pose_problem or 'the file has no pose for them'


def _of_sessions(source: JoinedSource, names: Sequence[str]) -> tuple[Poses, str]:
    poses: Poses = {}
    problem = ''
    for session, part in source.sessions.items():
        prefix = f'{session}/'
        own = [name[len(prefix) :] for name in names if name.startswith(prefix)]
        found, why = recorded_poses(part, own)
        poses.update({prefix + name: pose for name, pose in found.items()})
        problem = problem or why
    return poses, problem
