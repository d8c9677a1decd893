"""``hloc-localizer localize``: the poses of a recording's images in a map."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hloc_localizer.cli.localizing import add_localizing_arguments, open_metric_map
from hloc_localizer.cli.options import options_from
from hloc_localizer.cli.output import check_file_output, whole_or_absent, write_text
from hloc_localizer.cli.progress import command_progress
from hloc_localizer.cli.source import require_calibration
from hloc_localizer.errors import InputError

if TYPE_CHECKING:
    from hloc_localizer.evaluation.run import LocalizedFrame


def add_parser(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        'localize',
        help='localize the images of a recording in a map',
        description='Localize the images of a recording in a map, each alone, or with --track '
        'as a stream.',
    )
    parser.add_argument('map', type=Path, metavar='MAP', help='folder of a map, or of hloc')
    parser.add_argument('source', type=Path, metavar='SOURCE', help='bag, video or folder')
    parser.add_argument(
        '-o', '--output', type=Path, required=True, metavar='FILE.tum',
        help='TUM file: stamp tx ty tz qx qy qz qw, map_from_camera',
    )  # fmt: skip
    parser.add_argument(
        '--json', type=Path, metavar='FILE.jsonl',
        help='one JSON object a frame: status, reason, pose, covariance, inliers, stage times',
    )  # fmt: skip
    add_localizing_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Localize all frames; status 1 when none could be localized."""
    from hloc_localizer.cli.localize_options import LocalizeCommandOptions
    from hloc_localizer.evaluation.run import localize_frames, track_frames
    from hloc_localizer.localization import Localizer
    from hloc_localizer.localization.tracking import TrackingLocalizer
    from hloc_localizer.sources import open_source

    options = options_from(arguments, LocalizeCommandOptions())
    check_file_output(arguments.output)
    check_file_output(arguments.json)
    loaded = open_metric_map(arguments)
    localizer = Localizer(loaded, options.localizer)
    source = open_source(arguments.source, options.source.for_localizing())
    if len(source.cameras) > 1:
        names = ', '.join(source.cameras)
        raise InputError(
            f'{arguments.source}: has several cameras ({names}), and a TUM file holds one '
            'trajectory; choose one with --set source.image_topic=TOPIC'
        )
    require_calibration(source, loaded.manifest)
    with command_progress() as progress:
        summary = _Summary()
        lines = []
        frames = (
            track_frames(TrackingLocalizer(localizer, options.tracking), source, progress)
            if arguments.track
            else localize_frames(localizer, source, progress)
        )
        for frame in frames:
            summary.add(frame)
            lines.append(json.dumps(frame_as_dict(frame), allow_nan=False))
    if arguments.json is not None:
        write_text(arguments.json, ''.join(f'{line}\n' for line in lines))
    return summary.finish(arguments.output)


def frame_as_dict(localized: LocalizedFrame) -> dict[str, Any]:
    """Return a frame and its result as plain values, ready for JSON."""
    from hloc_localizer.geometry.transforms import quaternion_from_rotation

    result = localized.localization
    pose, tracked = result.map_from_camera, localized.tracked
    of_stream = {} if tracked is None else {'state': tracked.state.value, 'fix': tracked.entered}
    return {
        'name': localized.frame.name,
        'stamp': localized.frame.stamp_ns / 1e9,
        'stamp_ns': localized.frame.stamp_ns,
        'status': result.status.value,
        'reason': result.reason.value,
        **of_stream,
        'pose': None
        if pose is None
        else {
            'translation': pose[:3, 3].tolist(),
            'quaternion_xyzw': quaternion_from_rotation(pose[:3, :3]).tolist(),
        },
        'covariance': None if result.covariance is None else result.covariance.tolist(),
        'success_probability': result.success_probability,
        'alternatives': [one.pose.tolist() for one in result.alternatives],
        'inliers': int(result.inliers),
        'matches': int(result.matches),
        'candidates': list(result.candidates),
        'retrieval_scores': [round(score, 4) for score in result.retrieval_scores],
        'retrieval_margin': result.retrieval_margin,
        'latency_ms': localized.latency_ms,
        'stage_ms': {stage: float(value) for stage, value in result.stage_ms.items()},
    }


class _Summary:
    """What was localized, and why the rest was not."""

    def __init__(self) -> None:
        self._poses: dict[int, Any] = {}
        self._refused: Counter[str] = Counter()
        self._latencies: list[float] = []

    def add(self, localized: LocalizedFrame) -> None:
        """Count one frame."""
        self._latencies.append(localized.latency_ms)
        result = localized.localization
        if result.map_from_camera is None:
            self._refused[result.reason.value] += 1
        else:
            self._poses[localized.frame.stamp_ns] = result.map_from_camera

    def finish(self, output: Path) -> int:
        """Write the trajectory and say how it went."""
        import numpy as np

        from hloc_localizer.geometry.trajectory import Trajectory
        from hloc_localizer.sources.tum import write_tum

        count = len(self._latencies)
        reasons = ', '.join(f'{reason} {n}' for reason, n in sorted(self._refused.items()))
        if not self._poses:
            why = f'refused: {reasons}' if count else 'the recording holds no images'
            print(f'hloc-localizer: none of {count} images was localized ({why})', file=sys.stderr)
            return 1
        stamps = sorted(self._poses)
        poses = np.stack([self._poses[stamp] for stamp in stamps])
        with whole_or_absent(output) as path:
            write_tum(path, Trajectory(np.array(stamps, np.int64), poses))
        refused = f', refused {count - len(stamps)} ({reasons})' if reasons else ''
        print(
            f'localized {len(stamps)} of {count} images{refused}, '
            f'median {np.median(self._latencies):.0f} ms; poses: {output}'
        )
        return 0
