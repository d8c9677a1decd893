"""Several recordings read as one: sessions of one place, each with a name of its own."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from hloc_localizer.geometry.camera import Camera
from hloc_localizer.sources.frame import Frame, Source
from hloc_localizer.sources.rig import Rig


class JoinedSource:
    """
    Recordings one after the other.

    Names of frames begin with the name of their session. Cameras of one name, calibration and
    mounting are one camera; others get the name of their session too.
    """

    def __init__(self, sessions: Mapping[str, Source]) -> None:
        """Join recordings by the names of their sessions, see :func:`session_names`."""
        self.sessions = MappingProxyType(dict(sessions))
        self._cameras: dict[str, Camera] = {}
        self._intrinsics: dict[str, str] = {}
        self._names: dict[tuple[str, str], str] = {}
        mountings: dict[frozenset[str], Rig] = {}
        for session, source in sessions.items():
            moved = {
                name
                for rig in source.rigs
                if not mountings.setdefault(frozenset(rig.cameras), rig).is_close_to(rig)
                for name in rig.cameras
            }
            for name, camera in source.cameras.items():
                known = self._cameras.get(name)
                same = known is None or (camera.is_close_to(known) and name not in moved)
                joined = name if same else f'{session}/{name}'
                self._names[session, name] = joined
                self._cameras.setdefault(joined, camera)
                self._intrinsics.setdefault(joined, source.intrinsics[name])

    @property
    def cameras(self) -> Mapping[str, Camera]:
        """The cameras of all recordings by name."""
        return self._cameras

    @property
    def intrinsics(self) -> Mapping[str, str]:
        """Where the calibration of each camera is from."""
        return self._intrinsics

    @property
    def calibration_problem(self) -> str:
        """Why some camera's calibration is only estimated; empty otherwise."""
        return next(filter(None, (each.calibration_problem for each in self.sessions.values())), '')

    @property
    def rigs(self) -> Sequence[Rig]:
        """The rigs of all recordings; one that was used in several comes once."""
        rigs: dict[tuple[str, ...], Rig] = {}
        for session, source in self.sessions.items():
            for rig in source.rigs:
                named = {self._names[session, n]: pose for n, pose in rig.rig_from_camera.items()}
                rigs.setdefault(tuple(named), Rig(named))
        return tuple(rigs.values())

    @property
    def rig_problem(self) -> str:
        """Why it is not known how several cameras are mounted; else empty."""
        return next(filter(None, (each.rig_problem for each in self.sessions.values())), '')

    @property
    def description(self) -> Mapping[str, str]:
        """What the recordings say of themselves, joined where they differ."""
        parts = [source.description for source in self.sessions.values()]
        keys = {key: None for part in parts for key in part}
        joined = {'sessions': ', '.join(self.sessions)}
        for key in keys:
            values = dict.fromkeys(part[key] for part in parts if key in part)
            joined[key] = '; '.join(values)
        return MappingProxyType(joined)

    @property
    def files(self) -> Sequence[Path]:
        """The files of all recordings."""
        return tuple(file for source in self.sessions.values() for file in source.files)

    @property
    def pose_problem(self) -> str:
        """Why the frames of some recording have no pose in the map frame; empty if all have."""
        return next(filter(None, (each.pose_problem for each in self.sessions.values())), '')

    @property
    def notes(self) -> Sequence[str]:
        """What the last pass left out, by recording."""
        return tuple(
            f'{session}: {note}' for session, each in self.sessions.items() for note in each.notes
        )

    def __len__(self) -> int:
        """Return the number of images of all recordings."""
        return sum(len(source) for source in self.sessions.values())

    def frames(self) -> Iterator[Frame]:
        """Yield the frames of one recording after the other, each in the order of its stamps."""
        for session, source in self.sessions.items():
            for frame in source.frames():
                yield dataclasses.replace(
                    frame,
                    name=f'{session}/{frame.name}',
                    camera_name=self._names[session, frame.camera_name],
                    session=session,
                )


def session_names(stems: Sequence[str]) -> list[str]:
    """Return distinct names, safe as names of folders, for recordings called so."""
    names: list[str] = []
    for stem in stems:
        safe = re.sub(r'[^A-Za-z0-9_-]+', '_', stem).strip('_') or 'session'
        number = 1
        while (name := safe if number == 1 else f'{safe}-{number}') in names:
            number += 1
        names.append(name)
    return names
