"""A map grows: a new recording is registered into it."""

from __future__ import annotations

from pathlib import Path

from hloc_localizer.errors import InputError
from hloc_localizer.mapping.checkpoints import map_digest
from hloc_localizer.mapping.join_report import JoinReport
from hloc_localizer.mapping.joining import begin_joining, grown_source
from hloc_localizer.mapping.options import BuildOptions
from hloc_localizer.mapping.quiet_pycolmap import require_pycolmap
from hloc_localizer.mapping.session import front_end_of, read_session
from hloc_localizer.mapping.time_offset import synchronised
from hloc_localizer.maps import Map, check_output
from hloc_localizer.progress import Progress, SilentProgress
from hloc_localizer.sources.frame import Source
from hloc_localizer.sources.identity import recording_digest

STAGES = ('known', 'extract', 'localize', 'match', 'reconstruct')
"""The stages whose results an interrupted extension leaves to the next one, in their order."""


def extend_map(
    loaded: Map,
    source: Source,
    output: Path,
    options: BuildOptions | None = None,
    progress: Progress | None = None,
    *,
    refine_map: bool = False,
    keep_all: bool = False,
) -> JoinReport:
    """
    Write the map of an old one and a new recording of the place, in the old one's frame.

    Front end, global descriptor and its vocabulary are those of the map. The stages that an
    interrupted extension of the same map by the same recording has finished are taken over.

    :param refine_map: whether the map's own images may move too; all new ones are kept then.
    :param keep_all: whether new images are kept that show little but points of the map.
    :raises InputError: for a recording that is in the map already, or without usable images.
    :raises HlocLocalizerError: when it does not show the place of the map.
    """
    options = options or BuildOptions()
    options.check()
    progress = progress or SilentProgress()
    require_pycolmap()
    check_output(output, overwrite=options.overwrite)
    _check_new(loaded, source)
    front_end = front_end_of(loaded, options)
    source = synchronised(source, progress)
    path = source.description.get('path', '')
    with begin_joining(
        loaded,
        front_end,
        output,
        options,
        progress,
        stages=STAGES,
        inputs={'the map': map_digest(loaded), 'the recording': recording_digest(source.files)},
        refine_map=refine_map,
        keep_all=keep_all,
        resumable=bool(source.files),
    ) as joining:
        session = read_session(
            loaded, source, front_end, options, joining.checkpoints, joining.times
        )
        added = f'{len(loaded.runtime.image_names)} images with {len(session.images)} of {path}'
        return joining.run(session, grown_source(loaded, path=path, extended=added))


def _check_new(loaded: Map, source: Source) -> None:
    known = loaded.manifest.provenance.source.get('path', '').split('; ')
    for path in source.description.get('path', '').split('; '):
        if path and path in known:
            raise InputError(f'{path}: is in the map {loaded.path} already; give another recording')
