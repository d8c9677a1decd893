"""The figures of the report: the map from above, coverage, histograms, residuals."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from hloc_localizer.geometry import transforms
from hloc_localizer.mapping.map_report.content import ReportContent
from hloc_localizer.mapping.map_report.self_localization import Trial, Verdict
from hloc_localizer.mapping.map_report.svg import Plot, round_step, sector, wedge
from hloc_localizer.maps.runtime import RuntimeMap

Array = NDArray[np.float64]

KINDS = {
    Verdict.PRECISE: 'good',
    Verdict.ROUGH: 'fair',
    Verdict.REFUSED: 'bad',
    Verdict.WRONG: 'wrong',
}
SECTORS = 8
_CLOUD_PX = 900
_POINT_PX = 3
_ABOVE_CAMERAS = 0.6
"""Points further above the cameras, in units of the map, would hide the rest: ceilings."""


@dataclass(frozen=True)
class Ground:
    """The plane that the map is seen from above in."""

    axes: Array
    """(2, 3) rows: directions of the plane's x and y in the map."""
    level: bool
    """Whether it is the map's own x and y: z is known to be up."""

    @staticmethod
    def of(content: ReportContent) -> Ground:
        """Take the map's x and y, or the plane in which its cameras moved most."""
        if content.manifest.gravity_aligned:
            return Ground(np.eye(3)[:2], True)
        positions = content.runtime.map_from_camera[:, :3, 3]
        return Ground(np.linalg.svd(positions - positions.mean(axis=0))[2][:2], False)

    def positions(self, poses: Array) -> Array:
        """Return where cameras (N, 4, 4) are, (N, 2)."""
        return np.asarray(poses[:, :3, 3] @ self.axes.T)

    def headings(self, poses: Array) -> Array:
        """Return where cameras (N, 4, 4) look to, (N,) radians counterclockwise from x."""
        looks = poses[:, :3, 2] @ self.axes.T
        return np.arctan2(looks[:, 1], looks[:, 0])


def from_above(content: ReportContent, ground: Ground, unit: str) -> str:
    """Draw points and the way of the cameras."""
    plot = _plan(content, ground, 'The map from above', first=True)
    poses = content.runtime.map_from_camera
    plot.polyline(_way(content, ground), 'way')
    for (x, y), heading in zip(ground.positions(poses), ground.headings(poses), strict=True):
        plot.add(f'<path class="view" d="{wedge(plot.x(x), plot.y(y), heading, 9.0)}"/>')
    plot.axes(f'x [{unit}]', f'y [{unit}]', grid=False)
    return str(plot)


def trials_from_above(content: ReportContent, ground: Ground, unit: str) -> str:
    """Draw where held-out images were found and where not."""
    plot = _plan(content, ground, 'Held-out images by where they were found')
    poses = content.runtime.map_from_camera
    plot.polyline(_way(content, ground), 'way faint')
    places, headings = ground.positions(poses), ground.headings(poses)
    worst_last = sorted(content.trials, key=lambda trial: list(KINDS).index(trial.verdict))
    for trial in worst_last:
        x, y = plot.x(places[trial.image, 0]), plot.y(places[trial.image, 1])
        kind = KINDS[trial.verdict]
        plot.add(f'<path class="field {kind}" d="{wedge(x, y, headings[trial.image], 24.0)}"/>')
        plot.add(f'<circle class="dot {kind}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>')
    plot.axes(f'x [{unit}]', f'y [{unit}]', grid=False)
    return str(plot)


def coverage(content: ReportContent, ground: Ground, unit: str) -> tuple[str, float]:
    """Draw a rose for every cell of a grid: which headings the map knows; return its size too."""
    plot = _plan(content, ground, 'Headings covered, by cell')
    poses = content.runtime.map_from_camera
    span = max(float(np.ptp(axis)) for axis in ground.positions(poses).T)
    cell = max(round_step(span / 12.0), round_step(34.0 / plot.scale))
    cells = np.floor(ground.positions(poses) / cell).astype(int)
    sectors = np.floor((ground.headings(poses) / (2 * np.pi) + 0.5 / SECTORS) * SECTORS)
    tried: dict[tuple[int, int, int], list[Trial]] = {}
    keys = [(int(i), int(j), int(s) % SECTORS) for (i, j), s in zip(cells, sectors, strict=True)]
    for trial in content.trials:
        tried.setdefault(keys[trial.image], []).append(trial)
    radius = 0.44 * cell * plot.scale
    for i, j in sorted({key[:2] for key in keys}):
        x, y = plot.x((i + 0.5) * cell), plot.y((j + 0.5) * cell)
        plot.add(f'<circle class="rose" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}"/>')
        for number in range(SECTORS):
            if (i, j, number) in keys:
                kind = _sector_kind(tried.get((i, j, number), []))
                middle = 2 * np.pi * number / SECTORS
                half = np.pi / SECTORS
                path = sector(x, y, middle - half, middle + half, radius)
                plot.add(f'<path class="petal {kind}" d="{path}"/>')
    plot.axes(f'x [{unit}]', f'y [{unit}]', grid=False)
    return str(plot), cell


def _sector_kind(trials: Sequence[Trial]) -> str:
    if not trials:
        return 'known'
    found = [trial.found for trial in trials]
    if all(found):
        return 'good'
    return 'fair' if any(found) else 'bad'


def track_lengths(runtime: RuntimeMap) -> str:
    """Draw how many images see a point."""
    lengths = np.bincount(runtime.observation_point, minlength=len(runtime.points))
    longest = int(np.clip(np.percentile(lengths, 99.5), 8, 60))
    counts = np.bincount(np.minimum(lengths, longest), minlength=longest + 1)
    plot = Plot((1.5, longest + 0.5), (0.0, counts.max() * 1.08), 460, 270, 'Track lengths')
    plot.axes(f'images that see a point (last bar: {longest} or more)', 'points')
    plot.bars(np.arange(1.5, longest + 1.0), counts[2:])
    plot.vertical(float(np.mean(lengths)), f'mean {np.mean(lengths):.1f}')
    return str(plot)


def reprojection_errors(runtime: RuntimeMap) -> tuple[NDArray[np.float64], str]:
    """Draw how far observations lie from where their points project to; return the errors too."""
    errors = observation_errors(runtime)
    finite = errors[np.isfinite(errors)]
    limit = max(float(np.percentile(finite, 99.0)), 0.5)
    counts, edges = np.histogram(np.minimum(finite, limit), bins=40, range=(0.0, limit))
    share = 100.0 * counts / max(len(finite), 1)
    plot = Plot((0.0, limit), (0.0, share.max() * 1.08), 460, 270, 'Reprojection errors')
    plot.axes('reprojection error [px] (last bar: and more)', 'observations [%]')
    plot.bars(edges, share)
    plot.vertical(float(np.median(finite)), f'median {np.median(finite):.2f} px')
    return finite, str(plot)


def observation_errors(runtime: RuntimeMap) -> NDArray[np.float64]:
    """Return the reprojection error of each observation (O,) in pixels; NaN behind the camera."""
    errors = np.full(len(runtime.observation_point), np.nan)
    for image, pose in enumerate(runtime.map_from_camera):
        seen = slice(*runtime.observation_offsets[image : image + 2])
        points = runtime.points[runtime.observation_point[seen]].astype(np.float64)
        camera = runtime.cameras[runtime.image_camera[image]]
        pixels = camera.project(transforms.apply(transforms.invert(pose), points))
        errors[seen] = np.linalg.norm(pixels - runtime.observation_keypoint[seen], axis=1)
    return errors


def residuals(content: ReportContent, moved: Array, turned: Array) -> tuple[str, str]:
    """
    Draw by how much building corrected each recorded pose.

    :param moved: (I,) in units of the map.
    :param turned: (I,) radians.
    """
    stamps = content.stamps_ns
    if stamps is None:
        time, title = np.arange(len(moved), dtype=np.float64), 'image'
    else:
        time, title = (stamps - stamps.min()) / 1e9, 'time [s]'
    order = np.argsort(time, kind='stable')
    plots = []
    for values, name in ((moved * 100.0, 'moved [cm]'), (np.degrees(turned), 'turned [deg]')):
        top = max(float(np.max(values)), 0.01) * 1.08
        plot = Plot((0.0, max(float(time.max()), 1e-3)), (0.0, top), 460, 220, name)
        plot.axes(title, name)
        plot.polyline(np.column_stack([time, values])[order], 'line')
        plots.append(str(plot))
    return plots[0], plots[1]


def stage_times(stage_s: dict[str, float]) -> str:
    """Draw the share of each stage in the time of the build."""
    total = max(sum(stage_s.values()), 1e-9)
    plot = Plot((0.0, 1.0), (0.0, 1.0), 940, 64, 'Time by stage')
    left = 0.0
    for number, (name, seconds) in enumerate(stage_s.items()):
        width = 940.0 * seconds / total
        plot.add(
            f'<rect class="stage s{number % 4}" x="{left:.1f}" y="4" width="{width:.1f}" '
            'height="26"/>'
        )
        if width > 62.0:
            plot.text(left + width / 2, 50, f'{name} {seconds:.1f} s', 'tick middle')
        left += width
    return str(plot)


def _plan(content: ReportContent, ground: Ground, label: str, *, first: bool = False) -> Plot:
    runtime = content.runtime
    places = ground.positions(runtime.map_from_camera)
    low, high = _extent(runtime.points @ ground.axes.T, places)
    plot = Plot.to_scale(low, high, width=940.0, height=640.0, label=label)
    plot.image(_cloud(runtime, ground, low, high) if first else '', 'cloud')
    return plot


def _extent(points: Array, places: Array) -> tuple[Array, Array]:
    """Show what matters: far stray points must not shrink the picture."""
    low = np.minimum(np.percentile(points, 3, axis=0), places.min(axis=0))
    high = np.maximum(np.percentile(points, 97, axis=0), places.max(axis=0))
    margin = 0.05 * float(np.max(high - low)) + 1e-3
    low, high = low - margin, high + margin
    # Neither a corridor nor a facade may become a sliver.
    least = 0.3 * float(np.max(high - low))
    grow = np.maximum(least - (high - low), 0.0) / 2.0
    return low - grow, high + grow


def _cloud(runtime: RuntimeMap, ground: Ground, low: Array, high: Array) -> str:
    """Return the points as a picture, what is higher over what is lower."""
    points = runtime.points.astype(np.float64)
    up = np.cross(ground.axes[0], ground.axes[1])
    height = points @ up
    if ground.level:
        top = float(np.max(runtime.map_from_camera[:, :3, 3] @ up)) + _ABOVE_CAMERAS
    else:
        top = np.inf
    scale = _CLOUD_PX / float(np.max(high - low))
    size = np.maximum(np.ceil((high - low) * scale).astype(int), 1)
    pixels = np.round((points @ ground.axes.T - low) * scale).astype(int)
    shown = (height <= top) & np.all((pixels >= 0) & (pixels < size), axis=1)
    order = np.flatnonzero(shown)[np.argsort(height[shown], kind='stable')]
    picture = np.zeros((size[1] + _POINT_PX, size[0] + _POINT_PX, 4), np.uint8)
    columns, rows = pixels[order, 0], size[1] - 1 - pixels[order, 1]
    color = np.column_stack([runtime.point_colors[order][:, ::-1], np.full(len(order), 255)])
    for down, right in np.ndindex(_POINT_PX, _POINT_PX):
        picture[rows + down, columns + right] = color
    picture = picture[: size[1], : size[0]]
    return data_uri('png', cv2.imencode('.png', picture)[1].tobytes())


def _way(content: ReportContent, ground: Ground) -> Array:
    """Return the way of the cameras, broken (NaN) where it leaps."""
    places = ground.positions(content.runtime.map_from_camera)
    if content.stamps_ns is not None:
        places = places[np.argsort(content.stamps_ns, kind='stable')]
    steps = np.linalg.norm(np.diff(places, axis=0), axis=1)
    typical = float(np.median(steps)) if len(steps) else 0.0
    leaps = np.flatnonzero(steps > 12.0 * max(typical, 1e-6)) + 1
    return np.insert(places, leaps, np.nan, axis=0)


def data_uri(kind: str, data: bytes) -> str:
    """Return an image within the page."""
    return f'data:image/{kind};base64,{base64.b64encode(data).decode()}'
