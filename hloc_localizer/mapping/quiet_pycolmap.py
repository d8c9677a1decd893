"""pycolmap, where it is installed, without its log."""

from __future__ import annotations

from hloc_localizer.errors import InputError


def require_pycolmap() -> None:
    """
    Import pycolmap, and have it keep its log to itself.

    :raises InputError: where there is no pycolmap.
    """
    try:
        import pycolmap
    except ImportError as error:
        raise InputError(
            'building a map needs pycolmap, which has no package for this machine; build the map '
            'on a desktop (pip install pycolmap) and copy the folder'
        ) from error
    # COLMAP's own log would drown ours; its errors still come through.
    pycolmap.logging.minloglevel = pycolmap.logging.Level.ERROR.value
