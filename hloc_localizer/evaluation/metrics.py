"""How well images were localized: errors, recall, false fixes, latency, NEES."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.evaluation.nees import pose_error, pose_nees
from hloc_localizer.localization.result import Localization

Array = NDArray[np.float64]

RECALL_THRESHOLDS = ((0.05, 5.0), (0.10, 2.0), (0.25, 2.0), (0.50, 5.0))
"""Metres and degrees; both must hold."""
FALSE_FIX_M = 0.5
FALSE_FIX_DEG = 10.0


@dataclass(frozen=True)
class EvaluatedFrame:
    """One localized or refused image beside its reference pose."""

    name: str
    stamp_ns: int
    localization: Localization
    reference: Array
    """(4, 4) ``map_from_camera``."""
    latency_ms: float
    state: str = ''
    """State of the tracker after this image; empty for an image that was localized alone."""


@dataclass(frozen=True)
class Evaluation:
    """The judgement of all frames; :meth:`as_dict` is what ``evaluate --json`` writes."""

    frames: tuple[EvaluatedFrame, ...]
    map_bytes: int
    errors: Array
    """(L, 6) of the L localized frames: x y z in metres, rotation vector in radians, map axes."""
    nees: Array
    """(L, 3): normalised estimation error squared of translation, rotation and pose."""

    @staticmethod
    def of(frames: Sequence[EvaluatedFrame], map_bytes: int) -> Evaluation:
        """
        Compare all frames with their references.

        :param map_bytes: size of what the localizer reads.
        """
        errors, nees = [], []
        for frame in frames:
            found = frame.localization
            if found.map_from_camera is not None:
                errors.append(pose_error(found.map_from_camera, frame.reference))
                nees.append(pose_nees(errors[-1], found.covariance))
        return Evaluation(
            frames=tuple(frames),
            map_bytes=map_bytes,
            errors=np.array(errors).reshape(-1, 6),
            nees=np.array(nees).reshape(-1, 3),
        )

    @property
    def localized(self) -> tuple[EvaluatedFrame, ...]:
        """The frames with a pose, in the order of :attr:`errors`."""
        return tuple(f for f in self.frames if f.localization.map_from_camera is not None)

    @property
    def translation_error_m(self) -> Array:
        """(L,) distances."""
        return np.asarray(np.linalg.norm(self.errors[:, :3], axis=1))

    @property
    def rotation_error_deg(self) -> Array:
        """(L,) angles."""
        return np.asarray(np.rad2deg(np.linalg.norm(self.errors[:, 3:], axis=1)))

    @property
    def false_fixes(self) -> NDArray[np.bool_]:
        """(L,) which poses were published and wrong."""
        wrong = self.translation_error_m > FALSE_FIX_M
        return np.asarray(wrong | (self.rotation_error_deg > FALSE_FIX_DEG))

    def as_dict(self) -> dict[str, Any]:
        """Return the object of ``evaluate --json``; what cannot be known is None."""
        localized = len(self.errors)
        return {
            'frames': len(self.frames),
            'localized': localized,
            'refused': len(self.frames) - localized,
            'refused_by_reason': self._refused_by_reason(),
            'false_fixes': int(np.count_nonzero(self.false_fixes)),
            'translation_error_m': _spread(self.translation_error_m),
            'rotation_error_deg': _spread(self.rotation_error_deg),
            'recall': self._recall(len(self.frames)),
            **self._tracking(),
            'latency_ms': self._latency(),
            'nees': {
                name: _mean(self.nees[:, column])
                for column, name in enumerate(('translation', 'rotation', 'pose'))
            },
            'map_bytes': self.map_bytes,
        }

    def _refused_by_reason(self) -> dict[str, int]:
        reasons = Counter(
            frame.localization.reason.value
            for frame in self.frames
            if frame.localization.map_from_camera is None
        )
        return dict(sorted(reasons.items()))

    def _recall(self, among: int) -> dict[str, float | None]:
        recall: dict[str, float | None] = {}
        for metres, degrees in RECALL_THRESHOLDS:
            near = self.translation_error_m <= metres
            hits = np.count_nonzero(near & (self.rotation_error_deg <= degrees))
            recall[f'{metres:.2f}m_{degrees:.0f}deg'] = float(hits) / among if among else None
        return recall

    def _tracking(self) -> dict[str, Any]:
        """Count the states of a stream, and its recall since there was a pose at all."""
        states = Counter(frame.state for frame in self.frames if frame.state)
        if not states:
            return {}
        posed = [frame.localization.map_from_camera is not None for frame in self.frames]
        since = len(posed) - posed.index(True) if any(posed) else 0
        return {
            'states': dict(sorted(states.items())),
            'frames_from_first_fix': since,
            'recall_from_first_fix': self._recall(since),
        }

    def _latency(self) -> dict[str, Any]:
        latencies = np.array([frame.latency_ms for frame in self.frames])
        stages = [frame.localization.stage_ms for frame in self.frames]
        names = dict.fromkeys(name for stage in stages for name in stage)
        return {
            'median': _percentile(latencies, 50),
            'p95': _percentile(latencies, 95),
            'stages': {
                name: _percentile(np.array([stage[name] for stage in stages if name in stage]), 50)
                for name in names
            },
        }


def _spread(values: Array) -> dict[str, float | None]:
    return {
        'median': _percentile(values, 50),
        'p90': _percentile(values, 90),
        'max': _percentile(values, 100),
    }


def _percentile(values: Array, percent: float) -> float | None:
    return float(np.percentile(values, percent)) if len(values) else None


def _mean(values: Array) -> float | None:
    return float(np.mean(values)) if len(values) and bool(np.all(np.isfinite(values))) else None
