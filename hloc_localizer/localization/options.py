"""The options of localizing one image."""

from __future__ import annotations

from dataclasses import dataclass

from hloc_localizer.geometry.absolute_pose import AbsolutePoseOptions
from hloc_localizer.options import Options, option


@dataclass(frozen=True)
class RetrievalOptions(Options):
    """Which map images a query is compared with."""

    candidates: int = option(12, 'Map images retrieved.', minimum=1, maximum=500)
    min_covisible: int = option(
        10, 'Points that two candidates share to be one place.', minimum=1, maximum=1000
    )
    max_places: int = option(
        4, 'Distinct places tried, the likeliest first.', minimum=1, maximum=50
    )


@dataclass(frozen=True)
class GuidedMatchingOptions(Options):
    """The second look: map points near a first pose are searched where they should appear."""

    max_images: int = option(24, 'Map images whose points are searched.', minimum=1, maximum=1000)
    radius_px: float = option(
        10.0, 'Search radius, for images 640 pixels wide.', minimum=1.0, maximum=100.0
    )
    min_similarity: float = option(
        0.8, 'Smallest cosine between descriptors.', minimum=-1.0, maximum=1.0
    )
    rounds: int = option(2, 'Searches, each from the pose of the one before.', minimum=0, maximum=5)


@dataclass(frozen=True)
class AcceptanceOptions(Options):
    """What a pose must show to be published."""

    min_inliers: int = option(16, 'Fewest matches that agree.', minimum=4, maximum=10000)
    min_inlier_cells: int = option(
        7, 'Fewest cells of an 8 x 6 grid on the image with an inlier.', minimum=1, maximum=48
    )
    min_visible_ratio: float = option(
        0.12,
        'Smallest share of the map points that should be seen which are.',
        minimum=0.0,
        maximum=1.0,
    )
    max_position_sigma_m: float = option(
        0.1, 'Largest standard deviation of the position.', minimum=1e-4, maximum=1000.0
    )
    max_rotation_sigma_deg: float = option(
        1.5, 'Largest standard deviation of the rotation.', minimum=1e-3, maximum=180.0
    )


@dataclass(frozen=True)
class LocalizerOptions(Options):
    """Everything about localizing one image."""

    retrieval: RetrievalOptions = option(RetrievalOptions, 'Retrieval.')
    absolute_pose: AbsolutePoseOptions = option(AbsolutePoseOptions, 'The first pose.')
    guided: GuidedMatchingOptions = option(GuidedMatchingOptions, 'The second look.')
    accept: AcceptanceOptions = option(AcceptanceOptions, 'What is published.')
    threads: int = option(
        0, 'Threads of the numeric libraries; 0: as they choose.', minimum=0, maximum=256
    )
