"""The options of building a map."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hloc_localizer.features.learned.options import (
    AlikedOptions,
    DiskOptions,
    SuperPointOptions,
    XFeatOptions,
)
from hloc_localizer.features.local_features import FrontEnd
from hloc_localizer.features.registry import front_end_names
from hloc_localizer.features.sift import SiftOptions
from hloc_localizer.options import Options, option
from hloc_localizer.retrieval.learned.options import LearnedDescriptorOptions
from hloc_localizer.retrieval.registry import global_descriptor_names
from hloc_localizer.retrieval.vlad import VladOptions
from hloc_localizer.sources.options import SourceOptions


@dataclass(frozen=True)
class FrameSelectionOptions(Options):
    """Which frames of a recording become map images."""

    min_translation_m: float = option(
        0.03, 'A frame nearer than this to the last one and ...', minimum=0.0
    )
    min_rotation_deg: float = option(
        2.0, '... turned by less than this from it is left out.', minimum=0.0, maximum=180.0
    )
    min_image_motion: float = option(
        0.03,
        'The same without poses and odometry: smallest motion, as a share of the image width.',
        minimum=0.0,
        maximum=1.0,
    )
    min_relative_sharpness: float = option(
        0.15,
        'A frame less sharp than this share of its neighbours is left out.',
        minimum=0.0,
        maximum=1.0,
    )
    max_images: int = option(5000, 'Most images in a map.', minimum=3, maximum=100000)


@dataclass(frozen=True)
class PairOptions(Options):
    """Which pairs of images are matched."""

    covisible: int = option(
        16, 'Partners of each image by overlap of their views.', minimum=1, maximum=500
    )
    retrieved: int = option(
        4, 'Partners of each image by likeness of their global descriptors.', minimum=0, maximum=500
    )
    learned_covisible: int = option(
        6,
        'Instead of covisible where a network matches, which takes longer for each pair.',
        minimum=1,
        maximum=500,
    )
    learned_retrieved: int = option(
        2, 'Instead of retrieved where a network matches.', minimum=0, maximum=500
    )
    sequential: int = option(
        8,
        'Without recorded poses: following images that each one is matched with.',
        minimum=1,
        maximum=500,
    )
    retrieved_without_poses: int = option(
        12,
        'Without recorded poses: partners of each image by likeness.',
        minimum=0,
        maximum=500,
    )
    min_overlap: float = option(
        0.15, 'Smallest share of the view that overlaps.', minimum=0.0, maximum=1.0
    )
    max_angle_deg: float = option(
        75.0, 'Largest angle between the optical axes.', minimum=5.0, maximum=180.0
    )

    def for_front_end(self, front_end: FrontEnd) -> PairOptions:
        """Return what holds for a front end."""
        if front_end.nearest is not None:
            return self
        return replace(self, covisible=self.learned_covisible, retrieved=self.learned_retrieved)


@dataclass(frozen=True)
class MetricOptions(Options):
    """How a map from images without poses gets its scale."""

    scale: str = option(
        'auto',
        'What tells the scale; auto: odometry, else a known distance, else the mounting of several '
        'cameras, else depth; none: nothing, the map is not metric.',
        choices=('auto', 'odometry', 'distance', 'rig', 'depth', 'none'),
    )
    known_distance_m: float = option(
        0.0, 'Measured distance between two camera positions; 0: not known.', minimum=0.0
    )
    distance_between: str = option(
        '',
        'Names of the two images of the known distance, separated by a comma; empty: the first '
        'and the last of the map.',
    )


@dataclass(frozen=True)
class ReconstructionOptions(Options):
    """How matches become points."""

    mapper: str = option(
        'auto',
        'How images without poses find their places; auto: global, and incremental where that '
        'leaves more than a tenth of them out.',
        choices=('auto', 'global', 'incremental'),
    )
    max_epipolar_error_px: float = option(
        8.0,
        'Largest distance of a match from its epipolar line under the recorded poses.',
        minimum=0.5,
        maximum=100.0,
    )
    refined_epipolar_error_px: float = option(
        4.0, 'The same under the refined poses.', minimum=0.5, maximum=100.0
    )
    max_reprojection_error_px: float = option(
        4.0, 'Largest error of an observation that stays.', minimum=0.5, maximum=50.0
    )
    min_triangulation_angle_deg: float = option(
        1.5, 'Smallest angle between the rays of a point.', minimum=0.1, maximum=30.0
    )
    min_track_length: int = option(3, 'Fewest images that see a point.', minimum=2, maximum=20)
    prior_position_sigma_m: float = option(
        0.005,
        'Standard deviation of the recorded positions, of one image relative to its neighbours.',
        minimum=1e-4,
        maximum=10.0,
    )
    refine_poses: bool = option(True, 'Refine the recorded poses by bundle adjustment.')
    rotations: str = option(
        'auto',
        'Whether bundle adjustment holds the recorded rotations; auto: when the images fit them '
        'nearly as well as rotations of their own.',
        choices=('auto', 'held', 'refined'),
    )
    refine_intrinsics: bool = option(
        True,
        'Refine focal length and principal point; queries of the same camera use the result.',
    )


@dataclass(frozen=True)
class CompilationOptions(Options):
    """What of the reconstruction the localizer's file keeps."""

    max_descriptors_per_point: int = option(
        4, 'Most distinct descriptors of a point.', minimum=1, maximum=100
    )
    min_descriptor_distance: float = option(
        0.35,
        'Views whose descriptors are nearer than this share one.',
        minimum=0.0,
        maximum=2.0,
    )


@dataclass(frozen=True)
class ReportOptions(Options):
    """What the report of the map tries out."""

    held_out: int = option(
        64,
        'Map images that are localized in the rest of the map, to tell where a robot would fail.',
        minimum=0,
        maximum=10000,
    )
    learned_held_out: int = option(
        32, 'Instead of held_out where a network matches.', minimum=0, maximum=10000
    )

    def tried(self, images: int, *, by_network: bool) -> int:
        """Return how many of a map's images are tried."""
        return min(self.learned_held_out if by_network else self.held_out, images)


@dataclass(frozen=True)
class BuildOptions(Options):
    """Everything about building a map."""

    source: SourceOptions = option(SourceOptions, 'The recording.')
    front_end: str = option(
        'sift',
        'Local features and their matcher; auto: the best whose weights and device are here.',
        choices=('auto', *front_end_names()),
    )
    sift: SiftOptions = option(SiftOptions, 'The front end sift.')
    xfeat: XFeatOptions = option(XFeatOptions, 'The front end xfeat.')
    aliked: AlikedOptions = option(AlikedOptions, 'The front end aliked.')
    disk: DiskOptions = option(DiskOptions, 'The front end disk.')
    superpoint: SuperPointOptions = option(SuperPointOptions, 'The front end superpoint.')
    global_descriptor: str = option(
        'vlad',
        'What finds the map images like a query: vlad is learned on the map, the others are '
        'networks with weights.',
        choices=global_descriptor_names(),
    )
    vlad: VladOptions = option(VladOptions, 'The global descriptor vlad.')
    image_descriptor: LearnedDescriptorOptions = option(
        LearnedDescriptorOptions, 'A global descriptor that is a network.'
    )
    frames: FrameSelectionOptions = option(FrameSelectionOptions, 'Frames that become images.')
    pairs: PairOptions = option(PairOptions, 'Pairs of images that are matched.')
    reconstruction: ReconstructionOptions = option(ReconstructionOptions, 'Points.')
    metric: MetricOptions = option(MetricOptions, 'Scale, where poses are not recorded.')
    compilation: CompilationOptions = option(CompilationOptions, "The localizer's file.")
    report: ReportOptions = option(ReportOptions, 'The report of the map.')
    threads: int = option(0, 'Worker threads; 0: one a core.', minimum=0, maximum=256)
    overwrite: bool = option(False, 'Replace an existing map.')
