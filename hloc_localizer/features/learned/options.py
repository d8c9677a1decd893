"""Options of the learned front ends; importing them does not import torch."""

from __future__ import annotations

from dataclasses import dataclass

from hloc_localizer.features.local_features import NearestNeighbourOptions
from hloc_localizer.options import Options, option

MACHINE_OPTIONS = ('device', 'precision', 'threads')
"""Options that belong to a machine: a map does not record them."""


IMPLEMENTATIONS = ('built_in', 'lightglue', 'hloc')


@dataclass(frozen=True)
class LearnedOptions(Options):
    """What all learned front ends have in common."""

    matcher: str = option(
        'lightglue',
        'What matches: LightGlue finds more, nearest neighbour is faster.',
        choices=('lightglue', 'nearest_neighbour'),
    )
    implementation: str = option(
        'built_in',
        "Whose code runs: built_in, or cvg's own package lightglue or hloc where it is installed.",
        choices=IMPLEMENTATIONS,
    )
    max_keypoints: int = option(1024, 'Most keypoints an image.', minimum=16, maximum=16384)
    max_image_size: int = option(
        1024, 'Longest side in pixels; larger images are reduced.', minimum=64, maximum=8192
    )
    grayscale: bool = option(
        False, 'Turn colour images to grey first, as hloc does for SuperPoint.'
    )
    enlarge: bool = option(False, 'Enlarge images that are smaller than max_image_size to it.')
    resize_in_float: bool = option(
        False, "Resize floating-point pixels as hloc does: for maps of hloc's, a little slower."
    )
    min_match_score: float = option(
        0.1, 'Smallest confidence of a match of LightGlue.', minimum=0.0, maximum=1.0
    )
    nearest_neighbour: NearestNeighbourOptions = option(
        NearestNeighbourOptions, 'How descriptors match where nearest neighbour is chosen.'
    )
    device: str = option('auto', "Where it runs: 'auto', 'cpu', 'cuda' or 'cuda:N'.")
    precision: str = option(
        'auto',
        'Numbers of the matcher: auto is float16 on a GPU, and bfloat16 on a CPU that '
        'multiplies it natively, else float32.',
        choices=('auto', 'float32', 'bfloat16', 'float16'),
    )
    threads: int = option(
        0, 'CPU threads of torch in this whole process; 0 leaves them as they are.',
        minimum=0, maximum=1024,
    )  # fmt: skip


@dataclass(frozen=True)
class _XFeatNearestNeighbourOptions(NearestNeighbourOptions):
    """The authors' choice: XFeat's second best is too close to the best for a ratio test."""

    max_ratio: float = option(
        1.0,
        'Largest distance to the best match, relative to the second best (Lowe 2004); 1 is off.',
        minimum=0.1,
        maximum=1.0,
    )
    min_similarity: float = option(
        0.82, 'Smallest cosine between matching descriptors.', minimum=-1.0, maximum=1.0
    )


@dataclass(frozen=True)
class XFeatOptions(LearnedOptions):
    """XFeat."""

    nearest_neighbour: NearestNeighbourOptions = option(
        _XFeatNearestNeighbourOptions, 'How descriptors match where nearest neighbour is chosen.'
    )

    detection_threshold: float = option(
        0.05, 'Smallest keypoint probability.', minimum=0.0, maximum=1.0
    )
    subpixel: bool = option(True, 'Refine keypoints to parts of a pixel.')


@dataclass(frozen=True)
class AlikedOptions(LearnedOptions):
    """ALIKED."""

    weights: str = option(
        'aliked-n16',
        'Which weights: n16rot was trained with rotated images.',
        choices=('aliked-n16', 'aliked-n16rot'),
    )
    detection_threshold: float = option(
        0.0, 'Smallest detection score; 0 takes the strongest max_keypoints.',
        minimum=0.0, maximum=1.0,
    )  # fmt: skip


@dataclass(frozen=True)
class DiskOptions(LearnedOptions):
    """DISK."""

    detection_threshold: float = option(0.0, 'Smallest detection score.', minimum=0.0)


@dataclass(frozen=True)
class SuperPointOptions(LearnedOptions):
    """SuperPoint."""

    nms_radius: int = option(
        4, 'A keypoint is the maximum of its neighbourhood of this radius, in pixels.',
        minimum=1, maximum=32,
    )  # fmt: skip
    detection_threshold: float = option(
        0.005, 'Smallest keypoint probability.', minimum=0.0, maximum=1.0
    )
