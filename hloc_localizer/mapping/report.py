"""What a build achieved, for a reader and for the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class BuildReport:
    """Numbers of a finished build."""

    images: int
    selected: int
    """Images that were selected; fewer have a place where no poses were recorded."""
    frames: int
    """Frames of the recording."""
    points: int
    observations: int
    mean_track_length: float
    mean_reprojection_error_px: float
    moved_m: float
    """Median distance of the refined from the recorded positions."""
    turned_deg: float
    """Median angle between the refined and the recorded rotations."""
    compiled_bytes: int
    stage_s: Mapping[str, float]
    """Seconds by stage."""
    scale: str
    """Whether the map is metric and level, and what tells it."""
    held_out: int = 0
    """Map images that were localized in the rest of the map."""
    found: int = 0
    """Those of them that were found."""

    def lines(self) -> list[str]:
        """Return the report for a terminal."""
        images = f'{self.images} images'
        if self.selected > self.images:
            images = f'{self.images} of {self.selected} selected images'
        total = sum(self.stage_s.values())
        stages = ', '.join(f'{name} {seconds:.1f}' for name, seconds in self.stage_s.items())
        held_out = (
            f'; {self.found} of {self.held_out} map images are found in the rest of the map'
            if self.held_out
            else ''
        )
        return [
            f'{images} of {self.frames} frames, {self.points} points in '
            f'{self.observations} observations (mean track {self.mean_track_length:.1f})',
            f'mean reprojection error {self.mean_reprojection_error_px:.2f} px; poses moved by '
            f'{self.moved_m * 100:.1f} cm and {self.turned_deg:.2f} deg (median){held_out}',
            self.scale,
            f'{self.compiled_bytes / 1e6:.1f} MB for the localizer; {total:.1f} s ({stages})',
        ]
