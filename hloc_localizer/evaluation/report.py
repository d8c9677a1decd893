"""The report of an evaluation: a folder with numbers, pictures and one self-contained page."""

from __future__ import annotations

import base64
import html
import json
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from hloc_localizer.evaluation.metrics import Evaluation
from hloc_localizer.evaluation.plots import draw_all

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; }
td, th { border: 1px solid #ccc; padding: .25rem .7rem; text-align: left; }
td + td { text-align: right; font-variant-numeric: tabular-nums; }
img { max-width: 100%; } figure { margin: 2rem 0; } figcaption { color: #555; }
"""


def write_report(evaluation: Evaluation, points: NDArray[Any], folder: Path, title: str) -> None:
    """
    Write ``report.html``, ``report.json`` and the pictures.

    :param points: (P, 3) points of the map, drawn beneath the trajectory.
    :param folder: made when it does not exist.
    :param title: what was evaluated, for the page's heading.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pictures = draw_all(evaluation, points, folder)
    summary = evaluation.as_dict()
    text = json.dumps(summary, indent=2, allow_nan=False)
    (folder / 'report.json').write_text(text + '\n', encoding='utf-8')
    (folder / 'report.html').write_text(_page(summary, pictures, folder, title), encoding='utf-8')


def summary_rows(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """
    Return the numbers a reader looks for first, as (name, text).

    :param summary: of :meth:`Evaluation.as_dict`.
    """
    translation, rotation = summary['translation_error_m'], summary['rotation_error_deg']
    latency, nees = summary['latency_ms'], summary['nees']
    reasons = ', '.join(f'{name} {count}' for name, count in summary['refused_by_reason'].items())
    rows = [
        ('frames', str(summary['frames'])),
        ('localized', str(summary['localized'])),
        ('refused', f'{summary["refused"]}' + (f' ({reasons})' if reasons else '')),
        ('false fixes', str(summary['false_fixes'])),
        ('translation error, median / 90 % / max [m]', _three(translation, '.4f')),
        ('rotation error, median / 90 % / max [deg]', _three(rotation, '.3f')),
    ]
    for name, share in summary['recall'].items():
        rows.append((f'recall {name.replace("_", ", ")} [%]', _text(share, '.1f', 100.0)))
    for name, share in summary.get('recall_from_first_fix', {}).items():
        label = f'from the first fix on: {name.replace("_", ", ")} [%]'
        rows.append((label, _text(share, '.1f', 100.0)))
    if 'states' in summary:
        rows.append(('states', ', '.join(f'{k} {n}' for k, n in summary['states'].items())))
    latencies = ' / '.join(_text(latency[name], '.1f') for name in ('median', 'p95'))
    rows.append(('latency, median / p95 [ms]', latencies))
    for stage, milliseconds in latency['stages'].items():
        rows.append((f'  {stage} [ms]', _text(milliseconds, '.1f')))
    texts = ' / '.join(_text(nees[name], '.2f') for name in ('translation', 'rotation', 'pose'))
    rows.append(('NEES, translation / rotation / pose (honest 3 / 3 / 6)', texts))
    rows.append(('compiled map [MB]', _text(summary['map_bytes'], '.2f', 1e-6)))
    return rows


def _three(spread: dict[str, float | None], form: str) -> str:
    return ' / '.join(_text(spread[name], form) for name in ('median', 'p90', 'max'))


def _text(value: float | None, form: str, factor: float = 1.0) -> str:
    return '-' if value is None else format(value * factor, form)


def _page(
    summary: dict[str, Any], pictures: list[tuple[str, str]], folder: Path, title: str
) -> str:
    rows = ''.join(
        f'<tr><td>{html.escape(name)}</td><td>{html.escape(text)}</td></tr>\n'
        for name, text in summary_rows(summary)
    )
    figures = ''.join(_figure(folder / name, caption) for name, caption in pictures)
    heading = html.escape(title)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{heading}</title>'
        f'<style>{_STYLE}</style></head>\n<body><h1>{heading}</h1>\n'
        f'<table>\n{rows}</table>\n{figures}</body></html>\n'
    )


def _figure(path: Path, caption: str) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    caption = html.escape(caption)
    return (
        f'<figure><img alt="{caption}" src="data:image/png;base64,{data}">'
        f'<figcaption>{caption}</figcaption></figure>\n'
    )
