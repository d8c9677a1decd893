"""Write a map folder: built beside the target and renamed at the end, so it is whole or absent."""

from __future__ import annotations

import dataclasses
import errno
import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO

from hloc_localizer.errors import HlocLocalizerError, InputError
from hloc_localizer.maps.checksums import file_record, relative_files
from hloc_localizer.maps.container import save_runtime
from hloc_localizer.maps.manifest import MANIFEST_NAME, Manifest
from hloc_localizer.maps.runtime import RuntimeMap

RUNTIME_NAME = 'localizer.safetensors'
_LOCK_NAME = 'lock'
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def check_output(output: Path, *, overwrite: bool = False) -> None:
    """
    Tell early whether a map can be written there.

    :raises InputError: when it exists (remedy: overwrite), is no map, or has no parent folder.
    """
    if output.exists() or output.is_symlink():
        if not overwrite:
            raise InputError(f'{output}: already exists; choose another output or add --overwrite')
        if not output.is_dir() or output.is_symlink():
            raise InputError(f'{output}: exists and is not a map folder; choose another output')
        if any(output.iterdir()) and not (output / MANIFEST_NAME).is_file():
            raise InputError(
                f'{output}: exists and is not a map (no {MANIFEST_NAME}), so it is not '
                'overwritten; choose another output'
            )
    parent = output.absolute().parent
    if not parent.is_dir():
        raise InputError(f'{parent}: there is no such folder; create it or choose another output')
    if not os.access(parent, os.W_OK | os.X_OK):
        raise InputError(f'{parent}: may not be written to; choose another output')


def unfinished_build(output: Path) -> str:
    """Say what a build of a map that did not finish has left, or that one is at work; else ''."""
    staging = _staging_of(output.absolute())
    if not staging.is_dir():
        return ''
    if _is_locked(staging / _LOCK_NAME):
        return 'a build of this map is at work'
    size = sum(path.stat().st_size for path in staging.rglob('*') if path.is_file())
    return (
        f'a build of this map was interrupted; {staging} ({size / 1e6:.0f} MB) keeps the stages '
        'that it finished: the same command resumes it, or remove that folder'
    )


def _staging_of(output: Path) -> Path:
    return output.with_name(f'.{output.name}.building')


def _is_locked(path: Path) -> bool:
    try:
        with path.open('rb') as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def write_map(
    output: Path,
    manifest: Manifest,
    runtime: RuntimeMap,
    *,
    overwrite: bool = False,
    add_files: Callable[[Path], None] | None = None,
) -> Manifest:
    """
    Write a whole map folder at once.

    :param manifest: its ``files`` are filled in here.
    :param add_files: called with the staging folder; writes ``sfm/``, ``features.h5`` and others.
    :returns: the manifest as written, with the files.
    """
    with MapWriter(output, overwrite=overwrite) as writer:
        if add_files is not None:
            add_files(writer.path)
        return writer.finish(manifest, runtime)


def replace_manifest(map_path: Path, manifest: Manifest) -> None:
    """
    Put another manifest into a finished map, at once: a reader sees the old one or the new one.

    The other files and their checksums, which the manifest holds, stay as they are.

    :raises InputError: when the map cannot be written.
    """
    target = map_path / MANIFEST_NAME
    beside = (
        map_path.absolute().parent / f'.{map_path.absolute().name}.{MANIFEST_NAME}.{os.getpid()}'
    )
    try:
        try:
            with beside.open('w', encoding='utf-8') as file:
                file.write(manifest.to_yaml())
                file.flush()
                os.fsync(file.fileno())
            beside.chmod(target.stat().st_mode & 0o777)
            beside.replace(target)
        finally:
            beside.unlink(missing_ok=True)
        _sync(map_path)
    except OSError as error:
        raise InputError(f'{target}: cannot be written ({error.strerror})') from error


class MapWriter:
    """
    A map in the making: use as a context, put files under :attr:`path`, then :meth:`finish`.

    Beside the target ``maps/office`` lies the staging folder ``maps/.office.building`` with
    ``map/``, which becomes the map, and ``stages/`` for results that a later build may take up.
    ``map/`` is removed when the context ends without :meth:`finish`; ``stages/`` is kept if it
    holds something.
    """

    def __init__(self, output: Path, *, overwrite: bool = False) -> None:
        check_output(output, overwrite=overwrite)
        self._output = output.absolute()
        self._overwrite = overwrite
        self._staging = _staging_of(self._output)
        self._lock: IO[bytes] | None = None

    @property
    def path(self) -> Path:
        """The folder that becomes the map."""
        return self._staging / 'map'

    @property
    def stages(self) -> Path:
        """The folder of results of stages, for a build that takes up where one stopped."""
        return self._staging / 'stages'

    def __enter__(self) -> MapWriter:
        try:
            self.stages.mkdir(parents=True, exist_ok=True)
            self._take_lock()
        except OSError as error:
            self._explain(error)
            raise InputError(f'{self._staging}: cannot be written ({error.strerror})') from error
        try:
            self._put_back()
            shutil.rmtree(self.path, ignore_errors=True)
            self.path.mkdir()
        except BaseException as error:
            self._clean_up(finished=False)
            self._explain(error)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._clean_up(finished=error is None)
        self._explain(error)

    def _clean_up(self, *, finished: bool) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        if finished or not any(self.stages.iterdir()):
            shutil.rmtree(self._staging, ignore_errors=True)
        if self._lock is not None:
            self._lock.close()

    def finish(self, manifest: Manifest, runtime: RuntimeMap) -> Manifest:
        """
        Write the compiled map, hash everything, write the manifest last and put the map in place.

        :returns: the manifest as written, with its files.
        """
        save_runtime(self.path / RUNTIME_NAME, runtime)
        records = {}
        for name in relative_files(self.path):
            _sync(self.path / name)
            records[name] = file_record(self.path / name)
        manifest = dataclasses.replace(manifest, files=records)
        with (self.path / MANIFEST_NAME).open('w', encoding='utf-8') as file:
            file.write(manifest.to_yaml())
            file.flush()
            os.fsync(file.fileno())
        _sync(self.path)
        self._put_in_place()
        return manifest

    def _take_lock(self) -> None:
        lock = (self._staging / _LOCK_NAME).open('wb')
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.close()
            raise InputError(
                f'{self._output}: another build is writing this map; wait for it or '
                'choose another output'
            ) from error
        self._lock = lock

    @property
    def _replaced(self) -> Path:
        return self._staging / 'replaced'

    def _put_in_place(self) -> None:
        # Looked at again: much may have happened beside a long build.
        check_output(self._output, overwrite=self._overwrite)
        shutil.rmtree(self._replaced, ignore_errors=True)
        if self._output.exists():
            self._output.rename(self._replaced)
        try:
            self.path.rename(self._output)
        except OSError:
            self._put_back()
            raise
        _sync(self._output.parent)

    def _put_back(self) -> None:
        """Restore the old map, should the work end between moving it away and its replacement."""
        if self._replaced.exists() and not self._output.exists():
            self._replaced.rename(self._output)
            check_output(self._output, overwrite=self._overwrite)

    def _explain(self, error: BaseException | None) -> None:
        """Raise the line for a full disk, whichever library noticed it."""
        if not isinstance(error, OSError):
            return
        if error.errno in _DISK_FULL or 'No space left' in str(error):
            raise HlocLocalizerError(
                f'{self._output.parent}: no space left on the device for the map; free some space '
                'or choose another output'
            ) from error


def _sync(path: Path) -> None:
    """Have the system put a file or a folder's entries on the disk now."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
