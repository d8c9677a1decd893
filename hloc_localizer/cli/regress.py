"""``hloc-localizer regress``: the same recording, the same seed, the same poses."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hloc_localizer.cli.options import add_option_arguments, options_from
from hloc_localizer.cli.output import check_file_output, whole_or_absent
from hloc_localizer.cli.progress import command_progress
from hloc_localizer.cli.source import require_calibration
from hloc_localizer.errors import HlocLocalizerError

if TYPE_CHECKING:
    from hloc_localizer.cli.localize_options import LocalizeCommandOptions
    from hloc_localizer.geometry.trajectory import Trajectory
    from hloc_localizer.maps import Map


def add_parser(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        'regress',
        help='check that a recording gives the poses that it gave before',
        description='Localize a recording and compare with the poses of an earlier run: which '
        'images were localized, and where. Without --expect it is localized twice.',
    )
    parser.add_argument('map', type=Path, metavar='MAP', help='folder of a map, or of hloc')
    parser.add_argument('source', type=Path, metavar='SOURCE', help='bag, video or folder')
    parser.add_argument(
        '--expect', type=Path, metavar='FILE.tum', help='poses of "hloc-localizer localize"'
    )
    parser.add_argument('--write', type=Path, metavar='FILE.tum', help='write the present poses')
    parser.add_argument(
        '--tolerance-m', type=float, default=1e-6,
        help='largest distance of two poses that count as the same (default: %(default)s)',
    )  # fmt: skip
    parser.add_argument(
        '--tolerance-deg', type=float, default=1e-4,
        help='largest angle between them (default: %(default)s)',
    )  # fmt: skip
    parser.add_argument(
        '--track', action='store_true', help='take the images as one stream (docs/tracking.md)'
    )
    add_option_arguments(parser, 'hloc_localizer.cli.localize_options:LocalizeCommandOptions')
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Localize and compare; status 1 when something differs."""
    from hloc_localizer.cli.localize_options import LocalizeCommandOptions
    from hloc_localizer.mapping.open_map import open_map
    from hloc_localizer.sources.tum import read_tum, write_tum

    options = options_from(arguments, LocalizeCommandOptions())
    check_file_output(arguments.write)
    expected = read_tum(arguments.expect) if arguments.expect is not None else None
    loaded = open_map(arguments.map)
    present = _poses(loaded, arguments.source, options, track=arguments.track)
    if expected is None:
        expected = _poses(loaded, arguments.source, options, track=arguments.track)
    if arguments.write is not None:
        with whole_or_absent(arguments.write) as path:
            write_tum(path, present)
    lines = differences(expected, present, arguments.tolerance_m, arguments.tolerance_deg)
    print('\n'.join(lines) if lines else f'{len(present)} poses, all as expected')
    return 1 if lines else 0


def differences(
    expected: Trajectory, present: Trajectory, tolerance_m: float, tolerance_deg: float
) -> list[str]:
    """Return a line for each image that was localized in one run only, or elsewhere."""
    import numpy as np

    from hloc_localizer.geometry.transforms import pose_distance

    before = dict(zip(expected.stamps_ns.tolist(), expected.poses, strict=True))
    now = dict(zip(present.stamps_ns.tolist(), present.poses, strict=True))
    gone, new = sorted(set(before) - set(now)), sorted(set(now) - set(before))
    lines = [f'{_seconds(stamp)}: no longer localized' for stamp in gone]
    lines += [f'{_seconds(stamp)}: not expected to be localized' for stamp in new]
    for stamp in sorted(set(before) & set(now)):
        metres, radians = pose_distance(before[stamp], now[stamp])
        degrees = np.degrees(radians)
        if not (metres <= tolerance_m and degrees <= tolerance_deg):
            lines.append(f'{_seconds(stamp)}: moved by {metres:.6f} m, {degrees:.5f} deg')
    return lines


def _poses(
    loaded: Map, source: Path, options: LocalizeCommandOptions, *, track: bool
) -> Trajectory:
    import numpy as np

    from hloc_localizer.evaluation.run import localize_frames, track_frames
    from hloc_localizer.geometry.trajectory import Trajectory
    from hloc_localizer.localization import Localizer
    from hloc_localizer.localization.tracking import TrackingLocalizer
    from hloc_localizer.sources import open_source

    localizer = Localizer(loaded, options.localizer)
    frames = open_source(source, options.source.for_localizing())
    require_calibration(frames, loaded.manifest)
    poses = {}
    with command_progress() as progress:
        localized = (
            track_frames(TrackingLocalizer(localizer, options.tracking), frames, progress)
            if track
            else localize_frames(localizer, frames, progress)
        )
        for one in localized:
            if one.localization.map_from_camera is not None:
                poses[one.frame.stamp_ns] = one.localization.map_from_camera
    if not poses:
        raise HlocLocalizerError(f'{source}: none of its images was localized; nothing to compare')
    stamps = sorted(poses)
    return Trajectory(np.array(stamps, np.int64), np.stack([poses[stamp] for stamp in stamps]))


def _seconds(stamp_ns: int) -> str:
    return f'{stamp_ns // 10**9}.{stamp_ns % 10**9:09d}'
