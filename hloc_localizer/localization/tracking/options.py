"""The options of localizing a stream of images."""

from __future__ import annotations

from dataclasses import dataclass

from hloc_localizer.options import Options, option


@dataclass(frozen=True)
class DriftOptions(Options):
    """
    How odometry errs: a random walk, whose variance grows with the way, the turning and the time.

    A standard deviation "after 1 m" is therefore twice as large after 4 m.
    """

    position_after_1m: float = option(
        0.02, 'Standard deviation of the position after 1 m of way, in metres.',
        minimum=0.0, maximum=10.0,
    )  # fmt: skip
    position_after_1rad: float = option(
        0.01, 'Standard deviation of the position after 1 rad of turning, in metres.',
        minimum=0.0, maximum=10.0,
    )  # fmt: skip
    position_after_1s: float = option(
        0.005, 'Standard deviation of the position after 1 s, in metres.',
        minimum=0.0, maximum=10.0,
    )  # fmt: skip
    rotation_after_1m_deg: float = option(
        0.2, 'Standard deviation of the rotation after 1 m of way.', minimum=0.0, maximum=180.0
    )
    rotation_after_1rad_deg: float = option(
        0.8, 'Standard deviation of the rotation after 1 rad of turning.',
        minimum=0.0, maximum=180.0,
    )  # fmt: skip
    rotation_after_1s_deg: float = option(
        0.1, 'Standard deviation of the rotation after 1 s.', minimum=0.0, maximum=180.0
    )
    unknown_position_after_1s: float = option(
        0.5, 'The same without odometry: how far a robot may go in 1 s, in metres.',
        minimum=1e-3, maximum=100.0,
    )  # fmt: skip
    unknown_rotation_after_1s_deg: float = option(
        30.0, 'The same without odometry: how far it may turn in 1 s.', minimum=0.01, maximum=720.0
    )
    max_speed: float = option(
        10.0, 'Odometry that moves faster, in m/s, has jumped and is not believed.',
        minimum=0.01, maximum=1000.0,
    )  # fmt: skip
    max_turn_rate_deg: float = option(
        720.0, 'Odometry that turns faster, in degrees a second, has jumped.',
        minimum=1.0, maximum=36000.0,
    )  # fmt: skip


@dataclass(frozen=True)
class GuidedSearchOptions(Options):
    """How an image is localized near the predicted pose."""

    seed_images: int = option(
        8, 'Map images nearest to the prediction; those covisible with them take part.',
        minimum=1, maximum=1000,
    )  # fmt: skip
    max_images: int = option(16, 'Map images whose points are searched.', minimum=1, maximum=1000)
    max_points: int = option(
        1200, 'Map points searched, the surest first.', minimum=50, maximum=100000
    )
    min_radius_px: float = option(
        6.0, 'Search radius around a certain prediction, for images 640 pixels wide.',
        minimum=1.0, maximum=100.0,
    )  # fmt: skip
    max_radius_px: float = option(
        100.0, 'With a larger one the whole map is searched instead.', minimum=1.0, maximum=1000.0
    )
    min_similarity: float = option(
        0.8, 'Smallest cosine between descriptors.', minimum=-1.0, maximum=1.0
    )
    max_iterations: int = option(200, 'Most hypotheses tried.', minimum=10, maximum=1000000)
    min_matches: int = option(6, 'Fewest matches that agree.', minimum=4, maximum=10000)
    max_log10_false_alarms: float = option(
        -4.0,
        'Largest logarithm of the number of such agreements that chance would give in an image.',
        minimum=-100.0,
        maximum=0.0,
    )


@dataclass(frozen=True)
class TrackingOptions(Options):
    """How poses of single images become the pose of a stream."""

    gate: float = option(
        22.5,
        'Largest squared Mahalanobis distance of a pose that agrees; 22.5: 1 in 1000 good ones is '
        'refused.',
        minimum=1.0,
        maximum=1000.0,
    )
    confirmations: int = option(
        3, 'Poses in a row that must agree with each other to overrule the prediction.',
        minimum=2, maximum=100,
    )  # fmt: skip
    first_confirmations: int = option(
        2, 'The same where there is no prediction, for poses that are not strong by themselves.',
        minimum=1, maximum=100,
    )  # fmt: skip
    first_position_sigma_m: float = option(
        0.1, 'A first pose, or what several make together, is published when it is so certain ...',
        minimum=1e-3, maximum=100.0,
    )  # fmt: skip
    first_rotation_sigma_deg: float = option(
        1.0, '... and its rotation so certain.', minimum=0.01, maximum=180.0
    )
    confirm_after_m: float = option(
        0.05, 'A pose confirms another one when taken so far from it, or ...',
        minimum=0.0, maximum=100.0,
    )  # fmt: skip
    confirm_after_deg: float = option(
        2.0, '... turned by so much: one view twice is no second witness.',
        minimum=0.0, maximum=180.0,
    )  # fmt: skip
    strong_inliers: int = option(
        50, 'A first pose with so many inliers is published at once, unless a network matched.',
        minimum=4, maximum=100000,
    )  # fmt: skip
    shared_errors: float = option(
        1.0,
        'Factor on the covariance of a pose before it is filtered. Images from nearly one place '
        'share the errors of the map; what a map has learned of its covariance holds them already.',
        minimum=1.0,
        maximum=1000.0,
    )
    network_errors: float = option(
        4.0,
        'Where a network matched, factor on the covariance of a first pose when it is asked how '
        'certain it is: with little of the map in view such a pose can be off by more.',
        minimum=1.0,
        maximum=1000.0,
    )
    max_position_sigma_m: float = option(
        0.25, 'The pose is lost when its standard deviation is larger.', minimum=1e-3, maximum=100.0
    )
    max_rotation_sigma_deg: float = option(
        5.0, 'The pose is lost when that of its rotation is larger.', minimum=0.01, maximum=180.0
    )
    moment_tolerance_s: float = option(
        0.02,
        'Images of several cameras whose stamps differ by no more are of one moment.',
        minimum=0.0,
        maximum=1.0,
    )
    supposed_for_s: float = option(
        10.0, "How long a person's word (initialpose) is believed without a pose that agrees.",
        minimum=0.0, maximum=3600.0,
    )  # fmt: skip
    check_period_s: float = option(
        1.0, 'While all goes well, the whole map is searched as often as this, as a check.',
        minimum=0.0, maximum=3600.0,
    )  # fmt: skip
    retry_period_s: float = option(
        0.3, 'While images give no pose, the whole map is searched as often as this.',
        minimum=0.0, maximum=3600.0,
    )  # fmt: skip
    use_window: bool = option(
        True,
        'While there is no pose, or it is about to be lost, solve the images of the last seconds '
        'together, tied by odometry (localization.window).',
    )
    max_image_size: int = option(
        400,
        'Longest side to which images are reduced that are sought near a prediction (sift).',
        minimum=64,
        maximum=20000,
    )
    guided: GuidedSearchOptions = option(GuidedSearchOptions, 'The search near the predicted pose.')
    drift: DriftOptions = option(DriftOptions, 'How odometry errs.')
