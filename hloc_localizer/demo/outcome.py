"""What the localizer node answered, beside what is true: numbers and a table."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.demo.query import Query
from hloc_localizer.evaluation.metrics import FALSE_FIX_DEG, FALSE_FIX_M
from hloc_localizer.geometry import transforms

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Outcome:
    """All images that were played and all that came back."""

    stamps_ns: NDArray[np.int64]
    """(N,) of the images."""
    poses: Array
    """(N, 4, 4) published ``map_from_base``; NaN where the image was not localized."""
    latencies_ms: Array
    """(N,) from an image leaving the player to its pose coming back; NaN where none came."""
    published_s: Array
    """(N,) when the images left the player, steady time."""
    references: Array
    """(N, 4, 4) true ``map_from_base``; NaN where it is not known."""
    odometry: Array
    """(N, 4, 4) ``odom_from_base``; NaN where there is none."""
    tf_errors_m: Array
    """(T,) errors of the base through the broadcast ``map -> odom``."""
    tf_count: int
    refusals: dict[str, int]
    answered: int
    """How many images the node answered, with a pose or a refusal."""

    @staticmethod
    def of(recorded: dict[str, Any], query: Query) -> Outcome:
        """Join what :mod:`hloc_localizer.ros.replay` wrote with what the recording knows."""
        nothing = np.full((4, 4), np.nan)
        images = recorded['images']
        stamps = [image['stamp_ns'] for image in images]
        answers = Counter(answer['message'] for answer in recorded['answers'])
        answers.pop('localized', None)
        through_tf = [_tf_error(transform, query) for transform in recorded['transforms']]
        return Outcome(
            stamps_ns=np.array(stamps, np.int64),
            poses=_stack([image.get('pose', nothing) for image in images]),
            latencies_ms=np.array(
                [(image.get('heard', np.nan) - image['published']) * 1e3 for image in images]
            ),
            published_s=np.array([image['published'] for image in images]),
            references=_stack([_or(query.map_from_base(stamp), nothing) for stamp in stamps]),
            odometry=_stack([_or(query.odom_from_base(stamp), nothing) for stamp in stamps]),
            tf_errors_m=np.array([error for error in through_tf if error is not None]),
            tf_count=len(through_tf),
            refusals=dict(answers),
            answered=len(recorded['answers']),
        )

    @property
    def localized(self) -> NDArray[np.bool_]:
        """(N,) which images came back with a pose."""
        return np.isfinite(self.poses[:, 0, 3])

    def errors(self) -> tuple[Array, Array]:
        """Return metres and degrees of the localized images whose reference is known."""
        judged = self.localized & np.isfinite(self.references[:, 0, 3])
        metres, radians = transforms.pose_distance(self.poses[judged], self.references[judged])
        return metres, np.rad2deg(radians)

    def placed_odometry(self) -> Array:
        """Return the odometry (N, 4, 4), laid on the reference's first pose: where it drifts to."""
        known = np.isfinite(self.odometry[:, 0, 3]) & np.isfinite(self.references[:, 0, 3])
        if not known.any():
            return np.full_like(self.odometry, np.nan)
        first = int(np.argmax(known))
        map_from_odom = self.references[first] @ transforms.invert(self.odometry[first])
        return np.asarray(map_from_odom @ self.odometry)

    def summary(self) -> dict[str, Any]:
        """Return the numbers, ready for JSON; what cannot be known is None."""
        metres, degrees = self.errors()
        judged = len(metres) > 0
        wrong = (metres > FALSE_FIX_M) | (degrees > FALSE_FIX_DEG)
        seconds = float(np.ptp(self.published_s)) if len(self.published_s) > 1 else 0.0
        return {
            'images': len(self.stamps_ns),
            'localized': int(self.localized.sum()),
            'refused': self.refusals,
            'not_answered': len(self.stamps_ns) - self.answered,
            'false_fixes': int(wrong.sum()) if judged else None,
            'translation_error_m': _spread(metres),
            'rotation_error_deg': _spread(degrees),
            'odometry_error_at_end_m': self._odometry_error(),
            'tf_transforms': self.tf_count,
            'tf_error_m': _spread(self.tf_errors_m),
            'image_rate_hz': (len(self.stamps_ns) - 1) / seconds if seconds else None,
            'pose_rate_hz': max(int(self.localized.sum()) - 1, 0) / seconds if seconds else None,
            'latency_ms': _spread(self.latencies_ms[self.localized]),
        }

    def lines(self) -> list[str]:
        """Return the table that a user reads."""
        s = self.summary()
        share = 100.0 * s['localized'] / max(s['images'], 1)
        rows = [
            ('images', f'{s["images"]}' + _optional(', {:.1f} a second', s['image_rate_hz'])),
            ('localized', f'{s["localized"]}  ({share:.1f} %)'),
            ('refused', ', '.join(f'{n} {why}' for why, n in s['refused'].items()) or '0'),
        ]
        if s['not_answered'] > 0:
            late = 'a newer image came before their turn: this machine is too slow or busy'
            rows.append(('not answered', f'{s["not_answered"]}  ({late})'))
        if s['false_fixes'] is None:
            rows.append(('errors', 'not known: the recording has no reference poses'))
        else:
            limits = f'more than {FALSE_FIX_M:g} m or {FALSE_FIX_DEG:g} deg off'
            rows += [
                ('false fixes', f'{s["false_fixes"]}  ({limits})'),
                ('translation error', _spread_text(s['translation_error_m'], 100.0, 'cm')),
                ('rotation error', _spread_text(s['rotation_error_deg'], 1.0, 'deg')),
            ]
        if s['tf_error_m']['median'] is not None:
            text = f'{s["tf_transforms"]} transforms, '
            rows.append(('TF map -> odom', text + _spread_text(s['tf_error_m'], 100.0, 'cm')))
        if s['odometry_error_at_end_m'] is not None:
            rows.append(
                ('odometry alone', f'{s["odometry_error_at_end_m"] * 100:.0f} cm off at the end')
            )
        rows += [
            ('poses', _optional('{:.1f} a second', s['pose_rate_hz'])),
            ('image to pose', _spread_text(s['latency_ms'], 1.0, 'ms')),
        ]
        return [f'  {name:<18} {text}' for name, text in rows if text]

    def _odometry_error(self) -> float | None:
        off = np.linalg.norm((self.placed_odometry() - self.references)[:, :3, 3], axis=1)
        known = off[np.isfinite(off)]
        return float(known[-1]) if len(known) > 1 else None


def read_outcome(path: Path, query: Query) -> Outcome:
    """Read what the replay wrote."""
    return Outcome.of(json.loads(path.read_text(encoding='utf-8')), query)


def _tf_error(transform: dict[str, Any], query: Query) -> float | None:
    """Return how far the base is off through a broadcast transform, None if it cannot be said."""
    stamp_ns = transform['stamp_ns']
    reference = query.map_from_base(stamp_ns)
    on_top: Array | None = np.eye(4)
    if transform['child'] == query.options.odom_frame:
        on_top = query.odom_from_base(stamp_ns)
    if reference is None or on_top is None:
        return None
    return float(np.linalg.norm((np.array(transform['pose']) @ on_top - reference)[:3, 3]))


def _stack(poses: list[Any]) -> Array:
    return np.array(poses, np.float64).reshape(-1, 4, 4)


def _or(pose: Array | None, otherwise: Array) -> Array:
    return otherwise if pose is None else pose


def _spread(values: Array) -> dict[str, float | None]:
    if not len(values):
        return {'median': None, 'p90': None, 'max': None}
    return {
        'median': float(np.median(values)),
        'p90': float(np.percentile(values, 90)),
        'max': float(np.max(values)),
    }


def _spread_text(spread: dict[str, float | None], factor: float, unit: str) -> str:
    median, p90, largest = (spread[key] for key in ('median', 'p90', 'max'))
    if median is None or p90 is None or largest is None:
        return ''
    digits = 0 if unit == 'ms' else 2 if unit == 'deg' else 1
    median, p90, largest = (round(value * factor, digits) for value in (median, p90, largest))
    return f'{median:.{digits}f} {unit} median, {p90:.{digits}f} 90 %, {largest:.{digits}f} largest'


def _optional(text: str, value: float | None) -> str:
    return '' if value is None else text.format(value)
