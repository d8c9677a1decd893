"""Draws the outcome: the map from above with both trajectories, beside what the camera saw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use('Agg')

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hloc_localizer.demo.outcome import Outcome
from hloc_localizer.demo.query import Query
from hloc_localizer.maps.runtime import RuntimeMap

Array = NDArray[np.float64]

_VIEWS = 3
_BACKGROUND, _INK, _QUIET = '#14171c', '#e8eaed', '#8a919c'
_TRUTH, _POSE, _ODOMETRY, _MAPPING = '#f2f2f2', '#2ec4ff', '#ff8a3d', '#7d8899'


def draw(path: Path, runtime: RuntimeMap, outcome: Outcome, query: Query) -> None:
    """
    Write a PNG.

    :param runtime: the map whose points and cameras are drawn.
    """
    shown = _views(outcome)
    figure = plt.figure(figsize=(15.0, 8.2), facecolor=_BACKGROUND)
    grid = figure.add_gridspec(
        _VIEWS, 2, width_ratios=(2.75, 1.0), left=0.045, right=0.99, top=0.89, bottom=0.07,
        wspace=0.05, hspace=0.08,
    )  # fmt: skip
    above = figure.add_subplot(grid[:, 0])
    _draw_map(above, runtime)
    _draw_trajectories(above, outcome)
    _mark_views(above, outcome, shown)
    images = query.images([int(outcome.stamps_ns[index]) for index in shown])
    for row, image in enumerate(images):
        axes = figure.add_subplot(grid[row, 1])
        axes.imshow(image, cmap='gray')
        axes.set_axis_off()
        axes.text(
            0.02, 0.95, f'{row + 1}', transform=axes.transAxes, color=_BACKGROUND, weight='bold',
            va='top', bbox={'boxstyle': 'circle', 'facecolor': _POSE, 'edgecolor': 'none'},
        )  # fmt: skip
    _title(figure, outcome)
    figure.savefig(path, dpi=110, facecolor=_BACKGROUND)
    plt.close(figure)


def _draw_map(axes: Axes, runtime: RuntimeMap) -> None:
    points, colors = _seen_from_above(runtime)
    axes.scatter(points[:, 0], points[:, 1], s=5.0, c=colors / 255.0, linewidths=0, rasterized=True)
    cameras = runtime.map_from_camera[:, :2, 3]
    axes.plot(cameras[:, 0], cameras[:, 1], '.', color=_MAPPING, ms=3, label='images of the map')
    everything = np.concatenate([points[:, :2], cameras])
    low, high = np.percentile(everything, [0.3, 99.7], axis=0)
    margin = 0.04 * float(np.max(high - low))
    axes.set_xlim(low[0] - margin, high[0] + margin)
    axes.set_ylim(low[1] - margin, high[1] + margin)
    axes.set_aspect('equal')
    axes.set_facecolor(_BACKGROUND)
    axes.tick_params(colors=_QUIET)
    for spine in axes.spines.values():
        spine.set_color(_MAPPING)
    axes.set_xlabel('x, m', color=_QUIET)
    axes.set_ylabel('y, m', color=_QUIET)


def _seen_from_above(runtime: RuntimeMap) -> tuple[Array, NDArray[np.uint8]]:
    """Leave out the ceiling and what is far outside; the upper points are drawn last."""
    points = runtime.points.astype(np.float64)
    cameras = runtime.map_from_camera[:, :3, 3]
    away = np.min([np.linalg.norm(points - camera, axis=1) for camera in cameras], axis=0)
    kept = away < 1.6 * np.percentile(away, 85)
    kept &= points[:, 2] < np.median(cameras[:, 2]) + 1.5
    order = np.flatnonzero(kept)[np.argsort(points[kept, 2])]
    return points[order], runtime.point_colors[order]


def _draw_trajectories(axes: Axes, outcome: Outcome) -> None:
    lines: list[tuple[str, Array, dict[str, Any]]] = [
        ('odometry alone', outcome.placed_odometry(), {'color': _ODOMETRY, 'ls': '--', 'lw': 1.6}),
        ('truth', outcome.references, {'color': _TRUTH, 'ls': '-', 'lw': 3.4, 'alpha': 0.85}),
    ]
    for name, poses, style in lines:
        if np.isfinite(poses[:, 0, 3]).any():
            x, y = _interrupted(poses, outcome.stamps_ns)
            axes.plot(x, y, label=name, **style)
    poses = outcome.poses[outcome.localized]
    axes.plot(
        poses[:, 0, 3], poses[:, 1, 3], 'o', color=_POSE, ms=4.5, mec=_BACKGROUND, mew=0.6,
        label='published by the node',
    )  # fmt: skip
    axes.legend(
        loc='lower left', bbox_to_anchor=(0.0, 1.0), ncol=4, facecolor=_BACKGROUND,
        edgecolor='none', labelcolor=_INK, borderaxespad=0.2,
    )  # fmt: skip


def _interrupted(poses: Array, stamps_ns: NDArray[np.int64]) -> tuple[Array, Array]:
    """Return x and y with a break wherever no image was taken for a second."""
    pauses = np.flatnonzero(np.diff(stamps_ns) > 1_000_000_000) + 1
    x, y = (np.insert(poses[:, axis, 3], pauses, np.nan) for axis in (0, 1))
    return x, y


def _mark_views(axes: Axes, outcome: Outcome, shown: list[int]) -> None:
    for number, index in enumerate(shown):
        pose = outcome.poses[index]
        x, y = pose[:2, 3]
        ahead = pose[:2, 0] / max(float(np.linalg.norm(pose[:2, 0])), 1e-9)
        axes.annotate(
            '', xy=(x + 0.6 * ahead[0], y + 0.6 * ahead[1]), xytext=(x, y),
            arrowprops={'arrowstyle': '-|>', 'color': _POSE, 'lw': 2},
        )  # fmt: skip
        axes.annotate(
            f'{number + 1}', xy=(x, y), xytext=(-14, 10), textcoords='offset points',
            color=_BACKGROUND, weight='bold', fontsize=11,
            bbox={'boxstyle': 'circle', 'facecolor': _POSE, 'edgecolor': 'none'},
        )  # fmt: skip


def _views(outcome: Outcome) -> list[int]:
    """Choose localized images, evenly over the drive."""
    localized = np.flatnonzero(outcome.localized)
    if not len(localized):
        return []
    shares = (np.arange(_VIEWS) + 0.5) / _VIEWS
    return sorted({int(localized[int(share * len(localized))]) for share in shares})


def _title(figure: Figure, outcome: Outcome) -> None:
    s = outcome.summary()
    text = f'{s["localized"]} of {s["images"]} images localized'
    if s['translation_error_m']['median'] is not None:
        metres, degrees = s['translation_error_m']['median'], s['rotation_error_deg']['median']
        text += f'   ·   median error {metres * 100:.1f} cm, {degrees:.2f}°'
    if s['latency_ms']['median'] is not None:
        text += f'   ·   image to pose {s["latency_ms"]["median"]:.0f} ms'
    figure.suptitle(text, color=_INK, fontsize=15, x=0.045, y=0.975, ha='left')
