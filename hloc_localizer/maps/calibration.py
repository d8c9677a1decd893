"""What ``calibrate`` learned about a map: how far off its poses are, and which are right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class SuccessModel:
    """A logistic model of whether a pose is right, by the evidence for it."""

    weights: Mapping[str, float]
    """By name of the evidence."""
    bias: float


@dataclass(frozen=True)
class Calibration:
    """The inflation of the covariance of a pose, and the probability of its success."""

    sigma_scale: float
    """Factor on the standard deviations of the solution."""
    position_floor_m: float
    """Standard deviation added to each axis of the position."""
    rotation_floor_deg: float
    """Standard deviation added to each axis of the rotation."""
    frames: int
    """How many localized images it was learned from."""
    mean_nees: float
    """Of these images, afterwards; 6 is honest."""
    source: str
    """The recording."""
    success: SuccessModel | None = None
    """None where no pose was wrong, or none right."""

    def as_plain(self) -> dict[str, Any]:
        """Return plain values for the manifest."""
        success = self.success
        return {
            **{name: value for name, value in vars(self).items() if name != 'success'},
            'success': None
            if success is None
            else {'bias': success.bias, 'weights': dict(success.weights)},
        }
