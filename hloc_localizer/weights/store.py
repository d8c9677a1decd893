"""The directory of weights: find, verify and fetch checkpoints."""

from __future__ import annotations

import contextlib
import enum
import hashlib
import os
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from hloc_localizer.errors import HlocLocalizerError, InputError
from hloc_localizer.weights.catalogue import Checkpoint

DIRECTORY_VARIABLE = 'HLOC_LOCALIZER_WEIGHTS'
"""Environment variable that names the directory."""

_BLOCK = 1 << 20


class Condition(enum.Enum):
    """What is known of a weights file."""

    VERIFIED = 'verified'
    UNVERIFIED = 'unverified (no checksum is published)'
    WRONG = 'wrong checksum'
    MISSING = 'missing'


def weights_directory() -> Path:
    """Return the directory of weights, which need not exist."""
    chosen = os.environ.get(DIRECTORY_VARIABLE)
    return Path(chosen).expanduser() if chosen else Path.home() / '.cache' / 'hloc_localizer'


def weights_path(checkpoint: Checkpoint) -> Path:
    """Return where the file of a checkpoint belongs."""
    return weights_directory() / checkpoint.file_name


def condition(checkpoint: Checkpoint) -> Condition:
    """Hash the file of a checkpoint and compare it with what is published."""
    path = weights_path(checkpoint)
    if not path.is_file():
        return Condition.MISSING
    if path.stat().st_size > checkpoint.max_bytes:
        return Condition.WRONG
    if not checkpoint.sha256:
        return Condition.UNVERIFIED
    return Condition.VERIFIED if _sha256(path) in checkpoint.sha256 else Condition.WRONG


def checksum(checkpoint: Checkpoint) -> str:
    """
    Return the SHA-256 of the file of a checkpoint that is there.

    :raises InputError: when it cannot be read.
    """
    try:
        return _sha256(weights_path(checkpoint))
    except OSError as error:
        raise InputError(f'weights {weights_path(checkpoint)}: {error.strerror}') from error


def require(checkpoint: Checkpoint) -> Path:
    """
    Return the path of a file that is there and, where a checksum is published, is the right one.

    :raises InputError: naming the file, its origin and where to put it.
    """
    path = weights_path(checkpoint)
    state = condition(checkpoint)
    if state is Condition.MISSING:
        raise InputError(
            f"weights '{checkpoint.file_name}' ({checkpoint.model}) are missing: run "
            f"'hloc-localizer weights fetch {checkpoint.name}', or put {checkpoint.url} at {path}"
        )
    if state is Condition.WRONG:
        raise InputError(
            f'weights {path}: the checksum is not that of {checkpoint.model}; delete the file and '
            f"run 'hloc-localizer weights fetch {checkpoint.name}'"
        )
    return path


def fetch(checkpoint: Checkpoint, report: Callable[[int], None] | None = None) -> Path:
    """
    Download a checkpoint into the directory, whole and verified or not at all.

    :param report: called with the number of bytes that have come so far.
    :raises HlocLocalizerError: when the download fails or brings something else.
    """
    target = weights_path(checkpoint)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f'.{target.name}.', dir=target.parent)
    except OSError as error:
        raise InputError(f'weights directory {target.parent}: {error.strerror}') from error
    part = Path(name)
    try:
        with os.fdopen(handle, 'wb') as stream:
            digest = _download(checkpoint, stream.write, report)
        if checkpoint.sha256 and digest not in checkpoint.sha256:
            raise HlocLocalizerError(
                f'{checkpoint.url}: the download has another checksum ({digest}) than '
                f'{checkpoint.model}; nothing was kept'
            )
        part.chmod(0o644)
        part.replace(target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            part.unlink()
    return target


def _download(
    checkpoint: Checkpoint,
    write: Callable[[bytes], object],
    report: Callable[[int], None] | None,
) -> str:
    digest = hashlib.sha256()
    count = 0
    try:
        with urllib.request.urlopen(checkpoint.url, timeout=30) as response:
            while block := response.read(_BLOCK):
                count += len(block)
                if count > checkpoint.max_bytes:
                    raise HlocLocalizerError(
                        f'{checkpoint.url}: more than {checkpoint.max_bytes} bytes; not this model'
                    )
                digest.update(block)
                write(block)
                if report is not None:
                    report(count)
    except (urllib.error.URLError, OSError, ValueError) as error:
        reason = getattr(error, 'reason', error)
        raise HlocLocalizerError(
            f'{checkpoint.url}: download failed ({reason}); bring the file to '
            f'{weights_path(checkpoint)} some other way'
        ) from error
    return digest.hexdigest()


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open('rb') as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
