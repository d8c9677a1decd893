"""What joining new images to a map gave, for a reader."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hloc_localizer.mapping.recall import Recall


@dataclass(frozen=True)
class JoinReport:
    """What was added to a map, and what that changed."""

    images_before: int
    images: int
    left_out: int
    """New images that see too few points to be of use, or little but those of the map."""
    points_before: int
    points: int
    shared_points: int
    """Points that images of both see."""
    moved_m: float
    """Median distance of the new images from where they were thought to be."""
    map_moved_m: float
    """Largest distance by which an image of the map moved."""
    compiled_bytes: int
    recall: Mapping[str, tuple[Recall, Recall]]
    """Of held-out images of the map and of the new ones, before and after."""
    notes: tuple[str, ...]

    def lines(self) -> list[str]:
        """Return the report for a terminal."""
        dropped = f' ({self.left_out} that add nothing are left out)' if self.left_out else ''
        lines = [
            *self.notes,
            f'{self.images} images, {self.images - self.images_before} of them new{dropped}; '
            f'{self.points} points, {self.points_before} before; {self.shared_points} are seen by '
            'both',
            f'new images moved by {self.moved_m * 100:.1f} cm (median) from where they were '
            f'thought to be, those of the map by {self.map_moved_m * 100:.1f} cm at most',
        ]
        for what, (before, after) in self.recall.items():
            lines.append(f'held-out images of {what} found before: {before}')
            lines.append(f'held-out images of {what} found after:  {after}')
        return [*lines, f'{self.compiled_bytes / 1e6:.1f} MB for the localizer']
