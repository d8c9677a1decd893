"""From a COLMAP model and its images to a map: new features, the model's own poses."""

from __future__ import annotations

import datetime
import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from hloc_localizer.errors import InputError
from hloc_localizer.features.local_features import FrontEnd
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.geometry.covariance import keypoint_sigma_px
from hloc_localizer.mapping.compilation import compile_map
from hloc_localizer.mapping.enough_points import require_points
from hloc_localizer.mapping.extraction import counted, extract_images
from hloc_localizer.mapping.front_end import component_of, open_front_end
from hloc_localizer.mapping.import_options import ColmapImportOptions
from hloc_localizer.mapping.import_report import ImportReport
from hloc_localizer.mapping.matching import MapImage, PairMatches, match_pairs
from hloc_localizer.mapping.model_files import write_model
from hloc_localizer.mapping.options import PairOptions
from hloc_localizer.mapping.pairs import Pairs, pairs_from_poses, pairs_from_retrieval
from hloc_localizer.mapping.point_knowledge import know_points
from hloc_localizer.mapping.retrieval import Retrieval, image_describer, retrieval_of
from hloc_localizer.mapping.tracks import tracks_of
from hloc_localizer.maps import Manifest, MapWriter, Provenance, RuntimeMap, Statistics
from hloc_localizer.maps.colmap_model import ColmapModel, read_colmap_model
from hloc_localizer.maps.hloc_layout import is_colmap_model
from hloc_localizer.progress import Progress, SilentProgress
from hloc_localizer.sources import image_codec
from hloc_localizer.sources.frame import Frame

_LARGEST_IMAGE_FILE = 1 << 28
_MODEL_FOLDERS = ('.', 'sparse/0', 'sparse', 'sfm', '0')
"""Where COLMAP and its users put a model within a project."""


def import_colmap(
    path: Path,
    images: Path | None,
    output: Path,
    options: ColmapImportOptions | None = None,
    progress: Progress | None = None,
) -> ImportReport:
    """
    Make a map of a COLMAP model.

    :param images: what the model's image names are relative to; None: ``images`` in the folder
        of the model or in one of the two above.
    :param output: the folder to create; it appears whole or not at all.
    :raises InputError: naming the model or the image that is missing or damaged.
    :raises HlocLocalizerError: when no points could be triangulated.
    """
    options = options or ColmapImportOptions()
    options.check()
    progress = progress or SilentProgress()
    model = read_colmap_model(_model_folder(path))
    folder = images or _image_folder(model.path)
    _check_images(folder, model)
    work = _Import(
        model=model,
        folder=folder,
        cameras={f'camera_{camera_id}': camera for camera_id, camera in model.cameras.items()},
        front_end=open_front_end(options, progress),
        options=options,
        progress=progress,
    )
    with MapWriter(output, overwrite=options.overwrite) as writer:
        map_images, retrieval = work.described(f'{path}: the images')
        matches = work.matched(map_images, retrieval)
        reconstruction, refined = work.triangulated(map_images, matches, writer.stages)
        runtime = work.compiled(map_images, retrieval, reconstruction, refined)
        progress.stage('write')
        features = {image.name: image.features for image in map_images}
        write_model(writer.path, features, retrieval.descriptors, reconstruction)
        manifest = work.manifest(retrieval, runtime, reconstruction, refined)
        return ImportReport(writer.finish(manifest, runtime), ())


@dataclass(frozen=True)
class _Import:
    """The steps from a model and its images to a map."""

    model: ColmapModel
    folder: Path
    """What the names of the images are relative to."""
    cameras: Mapping[str, Camera]
    front_end: FrontEnd
    options: ColmapImportOptions
    progress: Progress

    @property
    def _threads(self) -> int:
        return self.options.threads or os.cpu_count() or 1

    @property
    def _workers(self) -> int:
        return self._threads if self.front_end.parallel else 1

    def described(self, what: str) -> tuple[list[MapImage], Retrieval]:
        """
        Extract the features of the images, and describe them.

        :param what: what the images are called when they have too little texture.
        """
        options = self.options
        describer = image_describer(options.global_descriptor, options.image_descriptor)
        self.progress.stage('extract', len(self.model.images))
        images = list(
            extract_images(
                counted(_frames(self.folder, self.model), self.progress.advance),
                self.cameras,
                self.front_end,
                threads=self._workers,
                max_images=len(self.model.images),
                describe=describer,
            )
        )
        self.progress.stage('describe')
        return images, retrieval_of(images, describer, options.vlad, what=what)

    def matched(self, images: Sequence[MapImage], retrieval: Retrieval) -> PairMatches:
        """Match the pairs that share points of the model, and those that look alike."""
        partners = self.options.pairs.for_front_end(self.front_end)
        poses = np.stack([image.map_from_camera for image in images])
        alike = pairs_from_retrieval(retrieval.descriptors, poses, partners)
        pairs = sorted({*_pairs_of_model(self.model, partners), *alike})
        self.progress.stage('match', len(pairs))
        return match_pairs(
            images, pairs, self.front_end, threads=self._workers, advance=self.progress.advance
        )

    def triangulated(
        self, images: Sequence[MapImage], matches: PairMatches, scratch: Path
    ) -> tuple[Any, list[Camera]]:
        """Return the ``pycolmap.Reconstruction``, and its cameras as they were refined."""
        from hloc_localizer.mapping.reconstruction import reconstruct

        self.progress.stage('triangulate')
        with tempfile.TemporaryDirectory(dir=scratch) as workspace:
            reconstruction, refined = reconstruct(
                images,
                list(self.cameras.values()),
                matches,
                self.options.reconstruction,
                workspace=Path(workspace),
                threads=self._threads,
            )
        require_points(reconstruction, 'check that the images are those that the model was made of')
        return reconstruction, refined

    def compiled(
        self,
        images: Sequence[MapImage],
        retrieval: Retrieval,
        reconstruction: Any,
        refined: Sequence[Camera],
    ) -> RuntimeMap:
        """Arrange the reconstruction for localizing."""
        from hloc_localizer.mapping.colmap_scene import poses_of

        self.progress.stage('compile')
        poses = np.stack(poses_of(reconstruction))
        error_px = reconstruction.compute_mean_reprojection_error()
        tracks, covariance = know_points(
            tracks_of(reconstruction),
            images,
            refined,
            poses,
            sigma_px=keypoint_sigma_px(error_px),
        )
        return compile_map(
            images,
            refined,
            poses,
            tracks,
            covariance,
            global_descriptors=retrieval.descriptors,
            retrieval_arrays=retrieval.arrays,
            options=self.options.compilation,
        )

    def manifest(
        self,
        retrieval: Retrieval,
        runtime: RuntimeMap,
        reconstruction: Any,
        refined: Sequence[Camera],
    ) -> Manifest:
        """Say what the map is and where it comes from."""
        options = self.options
        return Manifest(
            cameras=dict(zip(self.cameras, refined, strict=True)),
            recorded_cameras=dict(self.cameras),
            front_end=component_of(self.front_end, options),
            global_descriptor=retrieval.component,
            map_frame=options.map_frame,
            metric=options.metric,
            gravity_aligned=options.gravity_aligned,
            statistics=Statistics(
                images=len(runtime.image_names),
                points=len(runtime.points),
                observations=len(runtime.observation_point),
                mean_track_length=len(runtime.observation_point) / len(runtime.points),
                mean_reprojection_error_px=reconstruction.compute_mean_reprojection_error(),
            ),
            provenance=_provenance(self.model, self.folder, options),
        )


def _model_folder(path: Path) -> Path:
    for part in _MODEL_FOLDERS:
        if is_colmap_model(path / part):
            return path / part
    raise InputError(
        f'{path}: not a COLMAP model (cameras, images, points3D as .bin or .txt), nor a folder '
        'with one in sparse/0'
    )


def _image_folder(model: Path) -> Path:
    model = model.absolute()
    for folder in (model, *model.parents[:2]):
        if (folder / 'images').is_dir():
            return folder / 'images'
    raise InputError(f'{model}: no folder images/ beside the model; name it with --images DIR')


def _check_images(folder: Path, model: ColmapModel) -> None:
    """Find out before the long work whether all images are there."""
    missing = [
        image.name for image in model.images if not _image_file(folder, image.name).is_file()
    ]
    if missing:
        raise InputError(
            f'{folder}: {len(missing)} of the {len(model.images)} images of {model.path} are not '
            f"there (first: '{missing[0]}'); name their folder with --images DIR"
        )


def _image_file(folder: Path, name: str) -> Path:
    file = folder / name
    if not Path(os.path.realpath(file)).is_relative_to(os.path.realpath(folder)):
        raise InputError(f"{folder}: image '{name}' of the model lies outside of this folder")
    return file


def _frames(folder: Path, model: ColmapModel) -> Iterator[Frame]:
    for image in model.images:
        pixels = _read_image(_image_file(folder, image.name))
        size = model.cameras[image.camera_id].image_size
        if (pixels.shape[1], pixels.shape[0]) != size:
            raise InputError(
                f'{folder / image.name}: is {pixels.shape[1]}x{pixels.shape[0]}, but the model '
                f'has {size[0]}x{size[1]}; give the images that it was made of'
            )
        yield Frame(
            name=image.name,
            stamp_ns=0,
            image=pixels,
            camera_name=f'camera_{image.camera_id}',
            map_from_camera=image.map_from_camera,
        )


def _read_image(file: Path) -> Any:
    try:
        if file.stat().st_size > _LARGEST_IMAGE_FILE:
            raise InputError('larger than 256 MiB')
        return image_codec.decode_compressed(file.read_bytes())
    except OSError as error:
        raise InputError(f'{file}: cannot be read: {error.strerror}') from error
    except InputError as error:
        raise InputError(f'{file}: {error}') from error


def _pairs_of_model(model: ColmapModel, options: PairOptions) -> Pairs:
    """Pair images that share points of the model; by their views where it has no points."""
    index_of = {image.image_id: index for index, image in enumerate(model.images)}
    shared: Counter[tuple[int, int]] = Counter()
    for point in model.reconstruction.points3D.values():
        seen = sorted(
            {index_of[e.image_id] for e in point.track.elements if e.image_id in index_of}
        )
        shared.update(combinations(seen, 2))
    if not shared:
        cameras = [model.cameras[image.camera_id] for image in model.images]
        return pairs_from_poses(
            cameras, np.stack([image.map_from_camera for image in model.images]), options
        )
    partners: dict[int, list[tuple[int, int]]] = {}
    for (first, second), count in shared.items():
        partners.setdefault(first, []).append((-count, second))
        partners.setdefault(second, []).append((-count, first))
    return sorted({
        (min(index, other), max(index, other))
        for index, others in partners.items()
        for _, other in sorted(others)[: options.covisible]
    })  # fmt: skip


def _provenance(model: ColmapModel, images: Path, options: ColmapImportOptions) -> Provenance:
    return Provenance(
        source={'kind': 'colmap', 'path': str(model.path), 'images': str(images)},
        options=options.as_dict(),
        seed=options.vlad.seed,
        created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds'),
    )
