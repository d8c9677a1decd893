"""Pictures of an evaluation: trajectory from above, errors over time, distributions, NEES."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import chi2

from hloc_localizer.evaluation.metrics import Evaluation

Array = NDArray[Any]

_REFERENCE, _ESTIMATE, _WRONG, _REFUSED = '#4c566a', '#1f77b4', '#d62728', '#e0a030'
_POINTS = '#c3c9d2'
_MOST_POINTS = 40_000


def draw_all(evaluation: Evaluation, points: Array, folder: Path) -> list[tuple[str, str]]:
    """
    Draw every picture.

    :param points: (P, 3) points of the map.
    :returns: (file name, caption) of each.
    """
    pictures = [
        ('trajectory.png', 'Estimated and reference positions from above, over the map points',
         draw_trajectory(evaluation, points)),
        ('errors.png', 'Errors over time', draw_errors(evaluation)),
        ('distribution.png', 'Share of all frames below an error', draw_distribution(evaluation)),
        ('nees.png', 'Calibration of the covariance: measured NEES beside chi-square',
         draw_nees(evaluation)),
    ]  # fmt: skip
    for name, _, figure in pictures:
        FigureCanvasAgg(figure)
        figure.savefig(folder / name, dpi=110)
    return [(name, caption) for name, caption, _ in pictures]


def draw_trajectory(evaluation: Evaluation, points: Array) -> Figure:
    """Draw positions over the map's points, seen along the map's z axis."""
    figure, (axes,) = _figure(1, (8.0, 7.0))
    points = points[:: max(1, len(points) // _MOST_POINTS), :2]
    reference = np.array([frame.reference[:2, 3] for frame in evaluation.frames])
    axes.scatter(*points.T, s=2.0, c=_POINTS, linewidths=0, label='map points', rasterized=True)
    axes.plot(*_broken(evaluation, reference), '-', color=_REFERENCE, lw=1.0, label='reference')
    axes.scatter(*reference.T, s=14, facecolors='none', edgecolors=_REFERENCE, linewidths=0.8)
    refused = _refused(evaluation)
    axes.scatter(*refused.T, s=18, c=_REFUSED, marker='s', label='refused')
    estimates = _estimates(evaluation)
    good = ~evaluation.false_fixes
    axes.scatter(*estimates[good].T, s=9, c=_ESTIMATE, label='localized', zorder=3)
    if not np.all(good):
        axes.scatter(*estimates[~good].T, s=40, c=_WRONG, marker='x', label='false fix', zorder=4)
    _frame_view(axes, np.concatenate([points, reference]))
    axes.set(xlabel='x [m]', ylabel='y [m]', aspect='equal')
    axes.legend(loc='best', fontsize=8, markerscale=2)
    return figure


def draw_errors(evaluation: Evaluation) -> Figure:
    """Draw translation and rotation error over time, refused frames marked below."""
    figure, rows = _figure(2, (9.0, 5.5), sharex=True)
    begin = min(frame.stamp_ns for frame in evaluation.frames)
    stamps = np.array([(frame.stamp_ns - begin) / 1e9 for frame in evaluation.localized])
    refused = [
        (frame.stamp_ns - begin) / 1e9
        for frame in evaluation.frames
        if frame.localization.map_from_camera is None
    ]
    values = (evaluation.translation_error_m, evaluation.rotation_error_deg)
    sigmas = _sigmas(evaluation)
    labels = ('translation error [m]', 'rotation error [deg]')
    for axes, error, sigma, label in zip(rows, values, sigmas, labels, strict=True):
        axes.plot(stamps, error, 'o', ms=3, color=_ESTIMATE, label='error')
        axes.plot(stamps, sigma, '_', ms=6, color='#2ca02c', label='its stated sigma')
        if np.any(error > 0.0):
            axes.set_yscale('log')
        for stamp in refused:
            axes.axvline(stamp, color='#e8d5b5', lw=2, zorder=0)
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
    rows[0].legend(fontsize=8, loc='upper right')
    rows[0].set_title(f'{len(refused)} frames refused (shaded)', fontsize=9)
    rows[1].set_xlabel('time [s]')
    return figure


def draw_distribution(evaluation: Evaluation) -> Figure:
    """Draw the cumulative distribution of both errors over all frames."""
    figure, columns = _figure(2, (9.0, 3.8), across=True)
    values = (evaluation.translation_error_m, evaluation.rotation_error_deg)
    labels = ('translation error [m]', 'rotation error [deg]')
    for axes, error, label in zip(columns, values, labels, strict=True):
        share = np.arange(1, len(error) + 1) / len(evaluation.frames) * 100.0
        axes.step(np.sort(error), share, where='post', color=_ESTIMATE)
        axes.set(xlabel=label, ylim=(0, 102))
        if np.any(error > 0.0):
            axes.set_xscale('log')
        axes.grid(alpha=0.3, which='both')
    columns[0].set_ylabel('frames [%]')
    return figure


def draw_nees(evaluation: Evaluation) -> Figure:
    """Draw histograms of the NEES with the density that an honest covariance gives."""
    figure, columns = _figure(3, (10.5, 3.6), across=True)
    kinds = (('translation', 3), ('rotation', 3), ('pose', 6))
    for column, (axes, (name, freedom)) in enumerate(zip(columns, kinds, strict=True)):
        nees = evaluation.nees[:, column]
        nees = nees[np.isfinite(nees)]
        limit = 5.0 * freedom
        shown = np.minimum(nees, limit)
        bins = np.linspace(0, limit, 26)
        if len(shown):
            axes.hist(shown, bins=bins, density=True, color=_ESTIMATE, alpha=0.6)
        grid = np.linspace(0.0, limit, 200)
        axes.plot(grid, chi2.pdf(grid, freedom), color=_REFERENCE, label=f'chi2({freedom})')
        mean = f'{np.mean(nees):.1f}' if len(nees) else '-'
        axes.set_title(f'{name}: mean {mean}, honest {freedom}', fontsize=9)
        axes.set_xlabel(f'NEES (last bin: >= {limit - limit / 25:.1f})')
        axes.legend(fontsize=8)
    return figure


def _figure(
    panels: int, size: tuple[float, float], *, across: bool = False, sharex: bool = False
) -> tuple[Figure, list[Any]]:
    figure = Figure(figsize=size, layout='constrained')
    shape = (1, panels) if across else (panels, 1)
    return figure, list(figure.subplots(*shape, squeeze=False, sharex=sharex).flat)


def _estimates(evaluation: Evaluation) -> NDArray[np.float64]:
    poses = [frame.localization.map_from_camera for frame in evaluation.localized]
    return np.array([pose[:2, 3] for pose in poses if pose is not None]).reshape(-1, 2)


def _refused(evaluation: Evaluation) -> NDArray[np.float64]:
    """Return where the refused images were taken, (R, 2)."""
    refused = [f for f in evaluation.frames if f.localization.map_from_camera is None]
    return np.array([frame.reference[:2, 3] for frame in refused]).reshape(-1, 2)


def _broken(evaluation: Evaluation, positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Break the line (NaN) where the recording has a gap, so that it does not cross the picture."""
    stamps = np.array([frame.stamp_ns for frame in evaluation.frames])
    steps = np.diff(stamps)
    typical = np.median(steps) if len(steps) else 0
    gaps = np.flatnonzero(steps > 3 * typical) + 1
    return np.asarray(np.insert(positions, gaps, np.nan, axis=0).T)


def _sigmas(evaluation: Evaluation) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the root of the covariances' traces: metres, degrees; NaN where there is none."""
    nothing = np.full((6, 6), np.nan)
    covariances = [frame.localization.covariance for frame in evaluation.localized]
    stacked = np.array([nothing if one is None else one for one in covariances]).reshape(-1, 6, 6)
    variances = np.diagonal(stacked, axis1=1, axis2=2)
    translation = np.sqrt(variances[:, :3].sum(axis=1))
    return translation, np.rad2deg(np.sqrt(variances[:, 3:].sum(axis=1)))


def _frame_view(axes: Any, positions: NDArray[Any]) -> None:
    """Show what matters: far stray points must not shrink the picture."""
    low, high = np.percentile(positions, [1, 99], axis=0)
    margin = 0.08 * float(np.max(high - low)) + 0.1
    axes.set_xlim(low[0] - margin, high[0] + margin)
    axes.set_ylim(low[1] - margin, high[1] + margin)
