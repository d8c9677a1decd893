"""The options of importing a map of hloc's or COLMAP's."""

from __future__ import annotations

from dataclasses import dataclass

from hloc_localizer.features.learned.options import (
    IMPLEMENTATIONS,
    AlikedOptions,
    DiskOptions,
    SuperPointOptions,
    XFeatOptions,
)
from hloc_localizer.features.registry import front_end_names
from hloc_localizer.features.sift import SiftOptions
from hloc_localizer.mapping.options import CompilationOptions, PairOptions, ReconstructionOptions
from hloc_localizer.options import Options, option
from hloc_localizer.retrieval.learned.options import LearnedDescriptorOptions
from hloc_localizer.retrieval.registry import global_descriptor_names
from hloc_localizer.retrieval.vlad import VladOptions


@dataclass(frozen=True)
class HeldPosesOptions(ReconstructionOptions):
    """How matches become points where the poses are a reconstruction's, good to a pixel."""

    max_epipolar_error_px: float = option(
        4.0, "Largest distance of a match from its epipolar line under the model's poses.",
        minimum=0.5, maximum=100.0,
    )  # fmt: skip
    refine_poses: bool = option(False, "Refine the model's poses by bundle adjustment.")


@dataclass(frozen=True)
class HlocImportOptions(Options):
    """How an hloc output folder becomes a map."""

    conf: str = option(
        '', "hloc's name of the configuration of the local features, where file names hide it."
    )
    model: str = option('', 'Folder of the COLMAP model within the hloc folder; empty: found.')
    features: str = option('', 'Features file within the hloc folder; empty: found.')
    matcher: str = option(
        'auto',
        'What matches queries; auto is LightGlue where its weights are installed.',
        choices=('auto', 'lightglue', 'nearest_neighbour'),
    )
    implementation: str = option(
        'built_in',
        "Whose code describes queries: built_in, or cvg's own package lightglue or hloc where it "
        'is installed.',
        choices=IMPLEMENTATIONS,
    )
    reconstruction: HeldPosesOptions = option(
        HeldPosesOptions, 'Points, where no model of the folder was made of its features.'
    )
    metric: bool = option(False, 'One unit of the model is one metre.')
    gravity_aligned: bool = option(False, "The model's z axis points up.")
    map_frame: str = option('map', "Name of the model's frame.")
    vlad: VladOptions = option(
        VladOptions, 'The global descriptor where that of the folder cannot be computed here.'
    )
    compilation: CompilationOptions = option(CompilationOptions, "The localizer's file.")
    overwrite: bool = option(False, 'Replace an existing map.')


@dataclass(frozen=True)
class ColmapImportOptions(Options):
    """How a COLMAP model and its images become a map."""

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
        'vlad', 'What finds the map images like a query.', choices=global_descriptor_names()
    )
    vlad: VladOptions = option(VladOptions, 'The global descriptor vlad.')
    image_descriptor: LearnedDescriptorOptions = option(
        LearnedDescriptorOptions, 'A global descriptor that is a network.'
    )
    pairs: PairOptions = option(PairOptions, 'Pairs of images that are matched.')
    reconstruction: HeldPosesOptions = option(HeldPosesOptions, 'Points.')
    compilation: CompilationOptions = option(CompilationOptions, "The localizer's file.")
    metric: bool = option(False, 'One unit of the model is one metre.')
    gravity_aligned: bool = option(False, "The model's z axis points up.")
    map_frame: str = option('map', "Name of the model's frame.")
    threads: int = option(0, 'Worker threads; 0: one a core.', minimum=0, maximum=256)
    overwrite: bool = option(False, 'Replace an existing map.')
