"""What an import gave, for a reader."""

from __future__ import annotations

from dataclasses import dataclass

from hloc_localizer.maps import Manifest


@dataclass(frozen=True)
class ImportReport:
    """The manifest of the new map, and what a user should know beside it."""

    manifest: Manifest
    notes: tuple[str, ...]

    def lines(self) -> list[str]:
        """Return the report for a terminal."""
        manifest = self.manifest
        statistics = manifest.statistics
        scale = 'metric' if manifest.metric else 'of unknown scale'
        return [
            f'{statistics.images} images, {statistics.points} points in '
            f'{statistics.observations} observations (mean track '
            f'{statistics.mean_track_length:.1f}), {scale}',
            f"front end '{manifest.front_end.name}', retrieval by "
            f"'{manifest.global_descriptor.name}'",
            *self.notes,
        ]
