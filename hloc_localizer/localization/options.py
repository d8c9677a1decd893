"""The options of localizing one image."""

from __future__ import annotations

from dataclasses import dataclass

from hloc_localizer.geometry.absolute_pose import AbsolutePoseOptions
from hloc_localizer.options import Options, option


@dataclass(frozen=True)
class RetrievalOptions(Options):
    """Which map images a query is compared with, and how thoroughly."""

    first_candidates: int = option(
        4,
        'Map images tried first; the others only if these give no pose.',
        minimum=1,
        maximum=500,
    )
    candidates: int = option(
        14, 'Map images retrieved, of each recording in the map.', minimum=1, maximum=500
    )
    min_covisible: int = option(
        10, 'Points that two candidates share to be one place.', minimum=1, maximum=1000
    )
    learned_first_candidates: int = option(
        5,
        'Map images matched first where the matcher is a network, which takes longer for each.',
        minimum=1,
        maximum=500,
    )
    learned_first_keypoints: int = option(
        768,
        'Strongest keypoints that a network is given with the first; with the others it gets all.',
        minimum=50,
        maximum=50000,
    )
    learned_reference_keypoints: int = option(
        512,
        'Keypoints of each map image that a network is given, those of the longest tracks.',
        minimum=50,
        maximum=50000,
    )
    learned_candidates: int = option(
        10,
        'Map images matched where the matcher is a network and the first give no pose.',
        minimum=1,
        maximum=500,
    )
    max_keypoints: int = option(
        1024,
        'Strongest keypoints compared with the candidates; the second look uses all.',
        minimum=50,
        maximum=50000,
    )
    max_places: int = option(
        3, 'Distinct places tried, the likeliest first.', minimum=1, maximum=50
    )


@dataclass(frozen=True)
class GuidedMatchingOptions(Options):
    """The second look: map points near a first pose are searched where they should appear."""

    max_images: int = option(24, 'Map images whose points are searched.', minimum=1, maximum=1000)
    max_points: int = option(
        5000, 'Map points searched, the surest first.', minimum=50, maximum=100000
    )
    radius_px: float = option(
        8.0,
        'Search radius for images 640 pixels wide; half of it from the second round on.',
        minimum=1.0,
        maximum=100.0,
    )
    min_similarity: float = option(
        0.8, 'Smallest cosine between descriptors.', minimum=-1.0, maximum=1.0
    )
    rounds: int = option(2, 'Searches, each from the pose of the one before.', minimum=0, maximum=5)


@dataclass(frozen=True)
class CovarianceOptions(Options):
    """
    What the published covariance adds to that of the solution.

    What all matches of an image have in common, as an error of the map's own poses or of the
    calibration, shows neither in their scatter nor in how far parts of the scene disagree.
    """

    calibrated: bool = option(
        True, 'Take what calibrate stored in the map, where it did, in place of the three below.'
    )
    sigma_scale: float = option(
        2.0, 'Factor on the standard deviations of the solution.', minimum=0.1, maximum=100.0
    )
    position_floor_m: float = option(
        0.005, 'Standard deviation added to each axis of the position.', minimum=0.0, maximum=10.0
    )
    rotation_floor_deg: float = option(
        0.1, 'Standard deviation added to each axis of the rotation.', minimum=0.0, maximum=90.0
    )


@dataclass(frozen=True)
class AcceptanceOptions(Options):
    """What a pose must show to be published."""

    min_inliers: int = option(14, 'Fewest matches that agree.', minimum=4, maximum=10000)
    min_distinct: int = option(
        10,
        'Fewest matches that agree and stood out from all others before a pose was known.',
        minimum=4,
        maximum=10000,
    )
    min_spread: float = option(
        0.15,
        'Smallest area that those cover, relative to the image: a poster alone is no proof.',
        minimum=0.0,
        maximum=1.0,
    )
    min_visible_ratio: float = option(
        0.08,
        'Smallest share of the map points that should be seen which are.',
        minimum=0.0,
        maximum=1.0,
    )
    min_visible_ratio_learned: float = option(
        0.15,
        'The same for learned front ends, which find matches at wrong places too.',
        minimum=0.0,
        maximum=1.0,
    )
    max_position_sigma_m: float = option(
        0.2, 'Largest standard deviation of the position.', minimum=1e-4, maximum=1000.0
    )
    max_rotation_sigma_deg: float = option(
        5.0, 'Largest standard deviation of the rotation.', minimum=1e-3, maximum=180.0
    )
    max_rival: float = option(
        0.5,
        'Largest share of the matches of a pose that another one may have without making the '
        'place ambiguous.',
        minimum=0.05,
        maximum=1.0,
    )


@dataclass(frozen=True)
class WindowOptions(Options):
    """Several frames solved as one, tied by odometry; the uncertainty of the ties adds up."""

    duration_s: float = option(
        4.0, 'How far back frames are solved together with the newest.', minimum=0.0, maximum=60.0
    )
    max_moments: int = option(10, 'Most frames solved together.', minimum=1, maximum=100)
    min_translation_m: float = option(
        0.05, 'A frame nearer than this to the one before replaces it.', minimum=0.0, maximum=10.0
    )
    min_rotation_deg: float = option(
        3.0, 'Unless it is turned by more than this.', minimum=0.0, maximum=180.0
    )
    position_drift: float = option(
        0.03,
        'Standard deviation of odometry in each axis, relative to the way between two frames.',
        minimum=0.0,
        maximum=1.0,
    )
    rotation_drift: float = option(
        0.03, 'The same about each axis, relative to the turn.', minimum=0.0, maximum=1.0
    )
    rotation_drift_deg_per_m: float = option(
        0.5, 'What the way adds to it.', minimum=0.0, maximum=90.0
    )
    position_floor_m: float = option(
        0.002, 'What is added to the position between two frames.', minimum=1e-4, maximum=1.0
    )
    rotation_floor_deg: float = option(
        0.05, 'What is added to the rotation between two frames.', minimum=1e-3, maximum=45.0
    )


@dataclass(frozen=True)
class LocalizerOptions(Options):
    """Everything about localizing one image."""

    retrieval: RetrievalOptions = option(RetrievalOptions, 'Retrieval.')
    absolute_pose: AbsolutePoseOptions = option(AbsolutePoseOptions, 'The first pose.')
    guided: GuidedMatchingOptions = option(GuidedMatchingOptions, 'The second look.')
    covariance: CovarianceOptions = option(CovarianceOptions, 'The published covariance.')
    accept: AcceptanceOptions = option(AcceptanceOptions, 'What is published.')
    window: WindowOptions = option(WindowOptions, 'Several frames as one.')
    device: str = option(
        'auto', "Where a learned front end runs: 'auto', 'cpu', 'cuda' or 'cuda:N'."
    )
    threads: int = option(
        0,
        'Threads of the numeric libraries; 0: all cores for images, half of them for matrices.',
        minimum=0,
        maximum=256,
    )
