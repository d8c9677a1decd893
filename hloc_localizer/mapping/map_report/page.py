"""The page of the report, whole in one file; every text that is not ours is escaped."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from hloc_localizer.geometry import transforms
from hloc_localizer.localization.result import Reason
from hloc_localizer.mapping.map_report import figures
from hloc_localizer.mapping.map_report.content import ReportContent
from hloc_localizer.mapping.map_report.figures import KINDS, Ground, data_uri
from hloc_localizer.mapping.map_report.self_localization import Trial, Verdict
from hloc_localizer.mapping.map_report.style import STYLE

_MOST_SHOTS = 18
_MOST_FAILURES = 12
_HELD_RAD = 1e-6


def report_page(content: ReportContent) -> str:
    """Return the page; it asks nothing of any other file or host."""
    ground, unit = Ground.of(content), 'm' if content.manifest.metric else 'units'
    title = _text(f'Map {content.title}')
    sections = [
        _from_above(content, ground, unit),
        *_self_localization(content, ground, unit),
        _quality(content),
        *_residuals(content),
        *_shots(content),
        _origin(content),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        # Nothing may be fetched and nothing run, whatever got into a name.
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "img-src data:; style-src 'unsafe-inline'\">"
        f'<title>{title}</title><style>{STYLE}</style></head>\n<body><main>'
        f'{_header(content, title)}{_verdict(content)}{_tiles(content)}\n'
        + '\n'.join(sections)
        + '\n</main></body></html>\n'
    )


def _header(content: ReportContent, title: str) -> str:
    manifest = content.manifest
    badges = [
        _badge(f'frame {manifest.map_frame}'),
        _badge('metric') if manifest.metric else _badge('scale unknown: not in metres', 'bad'),
        _badge('z up') if manifest.gravity_aligned else _badge('gravity unknown', 'bad'),
        _badge(f'{manifest.front_end.name} + {manifest.global_descriptor.name}'),
    ]
    source = manifest.provenance.source.get('path', 'unknown')
    created = manifest.provenance.created or 'unknown'
    return (
        f'<header><h1>{title}</h1><p>from {_text(source)}, built {_text(created)}</p>'
        f'<div class="badges">{"".join(badges)}</div></header>'
    )


def _badge(text: str, kind: str = '') -> str:
    return f'<span class="badge {kind}">{_text(text)}</span>'


def _verdict(content: ReportContent) -> str:
    """Say in one sentence what to expect."""
    counts = Counter(trial.verdict for trial in content.trials)
    total = len(content.trials)
    if not total:
        return ''
    share = sum(trial.found for trial in content.trials) / total
    text = (
        f'<b>{100 * share:.0f} %</b> of {total} map images are found in the rest of the map, when '
        'the second around them is taken out of it.'
    )
    if counts[Verdict.WRONG]:
        text += (
            f' <b>{counts[Verdict.WRONG]}</b> came out at a wrong place: places look alike here.'
        )
    elif share < 1.0:
        text += ' Where the others are, a robot would lose sight of the map; see below.'
    kind = 'bad' if counts[Verdict.WRONG] or share < 0.7 else 'fair' if share < 0.9 else 'good'
    return f'<p class="verdict {kind}">{text}</p>'


def _tiles(content: ReportContent) -> str:
    statistics = content.manifest.statistics
    images = len(content.runtime.image_names)
    registered = 100.0 * images / max(content.selected, 1)
    tiles = [
        (f'{registered:.0f} %', f'registered: {images} of {content.selected} selected images'),
        (f'{content.frames}', 'frames in the recording'),
        (f'{statistics.points:,}'.replace(',', ' '), 'points'),
        (f'{statistics.mean_track_length:.1f}', 'images that see a point, mean'),
        (f'{statistics.mean_reprojection_error_px:.2f} px', 'reprojection error, mean'),
    ]
    errors = [t.translation_m for t in content.trials if np.isfinite(t.translation_m)]
    if errors and content.manifest.metric:
        tiles.append((f'{100 * np.median(errors):.1f} cm', 'error of held-out images, median'))
    shown = ''.join(f'<div class="tile"><b>{_text(a)}</b><span>{_text(b)}</span></div>'
                    for a, b in tiles)  # fmt: skip
    return f'<div class="tiles">{shown}</div>'


def _from_above(content: ReportContent, ground: Ground, unit: str) -> str:
    lead = (
        'Points in their colours, and the way of the camera with the direction it looked to. A '
        'robot is found where its camera sees points that the map has from a similar side.'
    )
    if not ground.level:
        lead += ' Which way is up is not known; this is the plane that the camera moved in.'
    return _section(
        'The map from above',
        lead,
        _figure(
            figures.from_above(content, ground, unit),
            'Points far above the cameras are left out.' if ground.level else '',
        ),
    )


def _self_localization(content: ReportContent, ground: Ground, unit: str) -> Iterable[str]:
    if not content.trials:
        return
    legend = _legend([(KINDS[verdict], verdict.value) for verdict in Verdict])
    roses, cell = figures.coverage(content, ground, unit)
    covered = _legend([
        ('good', 'all held-out images found'), ('fair', 'some found'), ('bad', 'none found'),
        ('known', 'images, none tried'), ('none', 'never looked this way: expect no pose'),
    ])  # fmt: skip
    yield _section(
        'Where a robot would fail',
        'Map images spread over the recording, each localized as a robot would be, in the map '
        'without the second around it. What is not found here, a robot will hardly find; drive '
        'there again, slower, or looking from other sides.',
        '<div class="plans"><figure><h3>By image</h3>'
        + f'{legend}{figures.trials_from_above(content, ground, unit)}</figure>'
        + f'<figure><h3>By position and heading</h3>{covered}{roses}<figcaption>'
        + (
            f'Each rose is a cell of {cell:g} {unit}; its petals point to where the camera '
            'looked. A robot that looks into a gap gets no pose there, and should turn.'
        )
        + '</figcaption></figure></div>'
        + _reasons(content.trials, unit)
        + _failures(content, ground, unit),
    )


def _reasons(trials: Sequence[Trial], unit: str) -> str:
    def share(count: int) -> str:
        return f'{100 * count / len(trials):.0f} %'

    verdicts = Counter(trial.verdict for trial in trials)
    reasons = Counter(trial.reason for trial in trials if trial.reason is not Reason.NONE)
    rows = [[verdict.value, str(verdicts[verdict]), share(verdicts[verdict])] for verdict in KINDS]
    rows += [[f'because: {one.value}', str(n), share(n)] for one, n in reasons.most_common()]
    table = _table(['held-out images', '', ''], rows, numbers=(1, 2))
    errors = np.array([(t.translation_m, t.rotation_deg) for t in trials])
    errors = errors[np.isfinite(errors[:, 0])]
    if len(errors):
        shares = np.percentile(errors, [50, 90, 100], axis=0)
        rows = [
            [name, f'{translation:.3f} {unit}', f'{rotation:.2f} deg']
            for name, (translation, rotation) in zip(('median', '90 %', 'largest'), shares,
                                                     strict=True)
        ]  # fmt: skip
        table += _table(['error of those found', '', ''], rows, numbers=(1, 2))
    return f'<h3>In numbers</h3><div class="two">{table}</div>'


def _failures(content: ReportContent, ground: Ground, unit: str) -> str:
    failed = [t for t in content.trials if t.verdict in (Verdict.REFUSED, Verdict.WRONG)]
    if not failed:
        return ''
    poses = content.runtime.map_from_camera
    places, headings = ground.positions(poses), np.degrees(ground.headings(poses))
    shots = []
    for trial in failed[:_MOST_FAILURES]:
        x, y = places[trial.image]
        why = trial.reason.value if trial.verdict is Verdict.REFUSED else trial.verdict.value
        caption = f'({x:.1f}, {y:.1f}) {unit}, looking to {headings[trial.image]:.0f}°: {why}'
        shots.append(_shot(content, trial.image, caption))
    more = len(failed) - _MOST_FAILURES
    lead = f'{more} more are not shown.' if more > 0 else ''
    return (
        '<h3>What the camera saw where it was not found</h3>'
        f'<p class="lead">Headings are counterclockwise from x. {lead}</p>'
        f'<div class="shots">{"".join(shots)}</div>'
    )


def _quality(content: ReportContent) -> str:
    errors, plot = figures.reprojection_errors(content.runtime)
    large = 100.0 * float(np.mean(errors > 2.0)) if len(errors) else 0.0
    return _section(
        'How well the points are known',
        'A point that many images see is placed better, and recognised from more sides.',
        '<div class="two">'
        + _figure(
            figures.track_lengths(content.runtime),
            'Mostly short tracks: little overlap, blur, or a texture that repeats.',
        )
        + _figure(
            plot,
            f'{large:.1f} % of the observations are off by more than 2 px. A broad hump instead of '
            'a steep fall speaks of a wrong calibration or of a rolling shutter.',
        )
        + '</div>',
    )


def _residuals(content: ReportContent) -> Iterable[str]:
    if content.recorded is None:
        return
    moved, turned = transforms.pose_distance(content.recorded, content.runtime.map_from_camera)
    held = float(np.max(turned)) < _HELD_RAD
    position, rotation = figures.residuals(content, moved, turned)
    yield _section(
        'Against the recorded poses',
        'By how much building corrected the pose of each image. Small and even is well; a jump is '
        'a fault of the recorded poses, a slope their drift.',
        '<div class="two">'
        + _figure(position, f'Position: median {100 * np.median(moved):.1f} cm.')
        + (
            '<p class="lead">The rotations are held as recorded: the images agree with them.</p>'
            if held
            else _figure(rotation, f'Rotation: median {np.degrees(np.median(turned)):.2f} deg.')
        )
        + '</div>',
    )


def _shots(content: ReportContent) -> Iterable[str]:
    there = [index for index, data in enumerate(content.thumbnails) if data]
    if not there:
        return
    chosen = np.unique(np.linspace(0, len(there) - 1, _MOST_SHOTS).round().astype(int))
    shots = [_shot(content, there[index], _when(content, there[index])) for index in chosen]
    yield _section(
        'Images of the map',
        f'{len(chosen)} of {len(content.runtime.image_names)}, evenly spread.',
        f'<div class="shots">{"".join(shots)}</div>',
    )


def _when(content: ReportContent, image: int) -> str:
    if content.stamps_ns is None:
        return content.runtime.image_names[image]
    return f'{(content.stamps_ns[image] - content.stamps_ns.min()) / 1e9:.1f} s'


def _shot(content: ReportContent, image: int, caption: str) -> str:
    data = content.thumbnails[image] if image < len(content.thumbnails) else b''
    picture = f'<img alt="" src="{data_uri("jpeg", data)}">' if data else ''
    return f'<figure>{picture}<figcaption>{_text(caption)}</figcaption></figure>'


def _origin(content: ReportContent) -> str:
    manifest = content.manifest
    rows = [[name, value] for name, value in manifest.provenance.source.items()]
    rows += [[f'alignment: {name}', f'{value:.4g}'] for name, value in manifest.alignment.items()]
    for name, camera in manifest.cameras.items():
        recorded = manifest.recorded_cameras.get(name)
        before = f' (recorded: {recorded.focal_px:.1f} px)' if recorded else ''
        rows.append([
            f'camera {name}',
            f'{camera.model} {camera.width}x{camera.height}, focal length '
            f'{camera.focal_px:.1f} px{before}',
        ])  # fmt: skip
    rows += [[name, version] for name, version in manifest.provenance.packages.items()]
    times = ''
    if content.stage_s:
        total = sum(content.stage_s.values())
        each = ', '.join(f'{name} {seconds:.1f}' for name, seconds in content.stage_s.items())
        plot = figures.stage_times(dict(content.stage_s))
        times = _figure(plot, _text(f'{total:.1f} s in all: {each}.'))
    return _section('How it was built', '', times + _table([], rows))


def _section(title: str, lead: str, body: str) -> str:
    lead = f'<p class="lead">{lead}</p>' if lead else ''
    return f'<section><h2>{title}</h2>{lead}{body}</section>'


def _figure(plot: str, caption: str) -> str:
    return f'<figure>{plot}<figcaption>{caption}</figcaption></figure>'


def _legend(entries: Sequence[tuple[str, str]]) -> str:
    items = ''.join(f'<span><i class="{kind}"></i>{_text(what)}</span>' for kind, what in entries)
    return f'<div class="legend">{items}</div>'


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    def row(cells: Sequence[str], tag: str) -> str:
        return '<tr>' + ''.join(
            f'<{tag} class="number">{_text(cell)}</{tag}>'
            if column in numbers
            else f'<{tag}>{_text(cell)}</{tag}>'
            for column, cell in enumerate(cells)
        ) + '</tr>'  # fmt: skip

    lines = [row(head, 'th')] if any(head) else []
    lines += [row(cells, 'td') for cells in rows]
    return f'<div class="scroll"><table>{"".join(lines)}</table></div>'


def _text(value: str) -> str:
    return html.escape(value)
