"""One door to every kind of recording."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hloc_localizer.errors import InputError
from hloc_localizer.sources.frame import Source
from hloc_localizer.sources.options import SourceOptions

VIDEO_SUFFIXES = ('.mp4', '.m4v', '.mov', '.avi', '.mkv', '.webm', '.mpg', '.mpeg')


def open_source(path: Path, options: SourceOptions | None = None) -> Source:
    """
    Open a bag (``.bag``, rosbag2 folder, ``.mcap``, ``.db3``), a video, or a folder of images.

    :raises InputError: when the path does not exist, is of no known kind, or cannot be read.
    """
    options = options or SourceOptions()
    options.check()
    path = Path(path).expanduser()
    if not path.exists():
        raise InputError(f'{path}: does not exist; give a bag, a video or a folder of images')
    # Imported when used: a node that only needs the TF tree loads no bag reader.
    from hloc_localizer.sources.bag_reader import is_bag

    if is_bag(path):
        from hloc_localizer.sources.bag import BagSource

        return BagSource(path, options)
    if path.is_dir():
        from hloc_localizer.sources.image_folder import ImageFolderSource

        return ImageFolderSource(path, options)
    if path.suffix.lower() in VIDEO_SUFFIXES:
        from hloc_localizer.sources.video import VideoSource

        return VideoSource(path, options)
    raise InputError(
        f'{path}: not a known kind of recording; give a bag (.bag, .mcap, .db3 or a rosbag2 '
        f'folder), a video ({", ".join(VIDEO_SUFFIXES)}) or a folder of images'
    )


def open_sources(
    paths: Sequence[Path],
    options: SourceOptions | None = None,
    *,
    otherwise: SourceOptions | None = None,
) -> Source:
    """
    Open one recording, or several of one place as one source.

    :param otherwise: options for those that cannot be read with the first ones, where at least one
        can.
    :raises InputError: when one of them cannot be read, or comes twice.
    """
    if len(paths) == 1:
        return open_source(paths[0], options)
    seen: set[Path] = set()
    for path in paths:
        if path.expanduser().resolve() in seen:
            raise InputError(f'{path}: is given twice; give every recording once')
        seen.add(path.expanduser().resolve())
    from hloc_localizer.sources.joined import JoinedSource, session_names

    names = session_names([path.expanduser().resolve().stem for path in paths])
    opened: dict[str, Source] = {}
    problems: list[InputError] = []
    for name, path in zip(names, paths, strict=True):
        try:
            opened[name] = open_source(path, options)
        except InputError as error:
            problems.append(error)
            if otherwise is None or len(problems) == len(paths):
                raise problems[0] from error
            opened[name] = open_source(path, otherwise)
    return JoinedSource(opened)
