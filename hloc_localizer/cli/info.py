"""``hloc-localizer info``: what a map is and how it was made."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hloc_localizer.errors import InputError

if TYPE_CHECKING:
    from hloc_localizer.maps import Map


def add_parser(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        'info', help='describe a map', description='Describe a map: size, quality, origin.'
    )
    parser.add_argument('map', type=Path, metavar='MAP', help='folder of the map')
    parser.add_argument('--json', action='store_true', help='print one JSON object instead')
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the description."""
    from hloc_localizer.maps import Map, unfinished_build

    unfinished = unfinished_build(arguments.map)
    if unfinished and not arguments.map.exists():
        raise InputError(f'{arguments.map}: there is no map yet; {unfinished}')
    loaded = Map.load(arguments.map)
    if arguments.json:
        print(json.dumps(_as_dict(loaded, unfinished), indent=2, default=str))
    else:
        print('\n'.join(_lines(loaded)))
        if unfinished:
            print(f'beside it    {unfinished}')
    return 0


def _as_dict(loaded: Map, unfinished: str) -> dict[str, Any]:
    return {
        **loaded.manifest.as_dict(),
        'unfinished_build': unfinished,
        'bytes': loaded.bytes,
        'compiled_bytes': loaded.compiled_bytes,
    }


def _lines(loaded: Map) -> list[str]:
    from hloc_localizer.maps.manifest import scale_line

    manifest = loaded.manifest
    statistics, provenance = manifest.statistics, manifest.provenance
    lines = [
        f'map          {loaded.path}',
        f"frame        '{manifest.map_frame}', {scale_line(manifest)}",
        f'images       {statistics.images}',
        f'points       {statistics.points}, {statistics.observations} observations, mean track '
        f'{statistics.mean_track_length:.2f}, '
        f'reprojection error {statistics.mean_reprojection_error_px:.2f} px',
        f'front end    {_component(manifest.front_end)}',
        f'retrieval    {_component(manifest.global_descriptor)}',
        f'size         {loaded.compiled_bytes / 1e6:.2f} MB compiled, '
        f'{loaded.bytes / 1e6:.2f} MB in all',
    ]
    for name, camera in manifest.cameras.items():
        lines.append(
            f"camera       '{name}' {camera.model} {camera.width}x{camera.height}, "
            f'f = {camera.focal_px:.1f} px'
        )
    lines += [f'alignment    {name} = {value:.4g}' for name, value in manifest.alignment.items()]
    lines += [f'source       {name}: {value}' for name, value in provenance.source.items()]
    return [*lines, f'built        {provenance.created or "unknown"}, seed {provenance.seed}']


def _component(component: Any) -> str:
    parameters = ', '.join(f'{name}={value}' for name, value in component.parameters.items())
    return f'{component.name} ({parameters})' if parameters else str(component.name)
