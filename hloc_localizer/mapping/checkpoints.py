"""Finished stages of a build on disk, so that an interrupted build takes up where it stopped."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hloc_localizer.errors import BuildInterruptedError, HlocLocalizerError
from hloc_localizer.mapping.options import BuildOptions
from hloc_localizer.maps import Map
from hloc_localizer.maps.checksums import file_record, relative_files
from hloc_localizer.sources.frame import Source
from hloc_localizer.sources.identity import recording_digest

STAGES = ('extract', 'describe', 'match', 'reconstruct')
"""The stages whose results are kept, in their order; each needs the results of those before."""
STAGES_WITHOUT_POSES = ('extract', 'describe', 'match', 'place', 'reconstruct')
"""The same for a recording without poses, whose images find their places first."""

_WITHOUT_EFFECT = ('threads', 'overwrite', 'compilation', 'report')
"""Options that change no result of any of these stages."""
_FIRST_USED = {
    'vlad': 'describe',
    'pairs': 'match',
    'metric': 'place',
    'reconstruction': 'place',
}
"""Options that change nothing before a stage; all others count from the first one on."""
_FIRST_USED_IN_JOINING = {'pairs': 'match', 'reconstruction': 'reconstruct'}
"""The same where new images join a map."""
_SEAL = 'seal.json'
_LARGEST_SEAL = 1 << 20

Key = Mapping[str, str]
"""What a result depends on, as digests by the name that a user is told: recording, options, ..."""


def stage_keys(source: Source, options: BuildOptions, front_end: str) -> dict[str, Key]:
    """
    Return on what the results of each stage depend.

    :param front_end: what ``auto`` has turned out to be.
    """
    recording = recording_digest(source.files)
    values = {**options.as_dict(), 'front_end': front_end}
    packages = digest_of(package_versions())
    keys: dict[str, Key] = {}
    order = STAGES_WITHOUT_POSES
    for stage in order if source.pose_problem else STAGES:
        number = order.index(stage)
        later = [name for name, first in _FIRST_USED.items() if order.index(first) > number]
        kept = {key: v for key, v in values.items() if key not in (*_WITHOUT_EFFECT, *later)}
        keys[stage] = {
            'the recording': recording,
            'the options': digest_of(kept),
            'the version of a package': packages,
        }
    return keys


def joining_keys(
    stages: Sequence[str],
    inputs: Mapping[str, str],
    options: BuildOptions,
    reconstructed: Mapping[str, bool],
) -> dict[str, Key]:
    """
    Return on what the results of each stage depend when new images join a map.

    :param stages: in their order, the last two being ``match`` and ``reconstruct``.
    :param inputs: digests of the maps, recordings and so on, by what a user is told.
    :param reconstructed: further options of the last stage.
    """
    packages = digest_of(package_versions())
    keys: dict[str, Key] = {}
    for number, stage in enumerate(stages):
        later = [
            name for name, first in _FIRST_USED_IN_JOINING.items() if stages.index(first) > number
        ]
        values = {
            name: value
            for name, value in options.as_dict().items()
            if name not in (*_WITHOUT_EFFECT, *later)
        }
        if stage == 'reconstruct':
            values.update(reconstructed)
        keys[stage] = {
            **inputs,
            'the options': digest_of(values),
            'the version of a package': packages,
        }
    return keys


def map_digest(loaded: Map) -> str:
    """Return a digest that changes with a map: its manifest has the checksums of its files."""
    return hashlib.sha256(loaded.manifest.to_yaml().encode()).hexdigest()


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that make a map what it is."""
    versions = {}
    for package in ('hloc_localizer', 'numpy', 'opencv-python-headless', 'pycolmap'):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def digest_of(value: Any) -> str:
    """Return a digest of a plain value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


class Checkpoints:
    """
    A folder of results by stage.

    A result is a folder with a seal: what it depends on, and size and SHA-256 of its files. It is
    written beside its place and renamed, the seal last, so that one that was being written when
    the process was killed is never taken for whole.
    """

    def __init__(self, folder: Path, keys: Mapping[str, Key], *, resumable: bool = True) -> None:
        """
        Look at what an earlier build has left, and remove what this one cannot use.

        :param keys: of :func:`stage_keys`.
        :param resumable: whether results may be taken over, from earlier builds and by later ones.
        """
        self._folder = folder
        self._keys = keys
        self._resumable = resumable
        self._done: list[str] = []
        self.note = self._take_over()
        """One line for the user on what is taken over, or why nothing is; empty without need."""

    def done(self, stage: str) -> bool:
        """Return whether the result of a stage is there."""
        return stage in self._done

    def folder(self, stage: str) -> Path:
        """Return the folder with the result of a stage."""
        return self._folder / stage

    @contextmanager
    def write(self, stage: str) -> Iterator[Path]:
        """Give the folder to write the result of a stage to; it counts when the context ends."""
        staging = self._folder / f'{stage}.part'
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        try:
            yield staging
            _seal(staging, self._keys[stage])
            staging.rename(self.folder(stage))
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        self._done.append(stage)

    def discard(self) -> None:
        """Remove all results."""
        for path in list(self._folder.iterdir()):
            _remove(path)
        self._done.clear()

    def end(self, error: BaseException) -> None:
        """
        Tidy up after a build that ended with an error.

        What a recording or the options made impossible will be so again; whatever else happened
        (Ctrl-C, a full disk, a fault), the next build may go on from here.
        """
        final = isinstance(error, HlocLocalizerError)
        if not self._resumable or (final and not isinstance(error, BuildInterruptedError)):
            self.discard()

    @contextmanager
    def resumed(self, note: Callable[[str], None]) -> Iterator[None]:
        """
        Say what is taken over, and tidy up if the work in this context fails.

        :param note: says a line to the user.
        """
        if self.note:
            note(self.note)
        try:
            yield
        except BaseException as error:
            self.end(error)
            raise

    def _take_over(self) -> str:
        problem = ''
        left = sorted(path.name for path in self._folder.iterdir())
        for stage in self._keys if self._resumable else ():
            problem = _problem(self.folder(stage), self._keys[stage])
            if problem:
                break
            self._done.append(stage)
        for path in list(self._folder.iterdir()):
            if path.name not in self._done:
                _remove(path)
        return self._note(problem) if any(not name.endswith('.part') for name in left) else ''

    def _note(self, problem: str) -> str:
        why = '' if problem in ('', _MISSING) else f' ({problem})'
        if self._done:
            return f"resuming after '{self._done[-1]}' of an interrupted build{why}"
        return f'starting anew, not where an interrupted build stopped{why}'


_MISSING = 'missing'


def _problem(folder: Path, key: Key) -> str:
    """Return why a result cannot be used; empty when it can."""
    path = folder / _SEAL
    if not path.is_file():
        return _MISSING
    damaged = f"the result of '{folder.name}' is damaged"
    try:
        if path.stat().st_size > _LARGEST_SEAL:
            return damaged
        seal = json.loads(path.read_text(encoding='utf-8'))
        sealed_key, files = dict(seal['key']), dict(seal['files'])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return damaged
    if sealed_key != dict(key):
        changed = [name for name, digest in key.items() if sealed_key.get(name) != digest]
        return f'{" and ".join(changed) or "what it depends on"} changed'
    return '' if files == _records(folder) else damaged


def _seal(folder: Path, key: Key) -> None:
    text = json.dumps({'key': dict(key), 'files': _records(folder)}, indent=1)
    (folder / _SEAL).write_text(text, encoding='utf-8')


def _records(folder: Path) -> dict[str, list[Any]]:
    records = {}
    for name in relative_files(folder):
        if name != _SEAL:
            record = file_record(folder / name)
            records[name] = [record.size, record.sha256]
    return records


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
