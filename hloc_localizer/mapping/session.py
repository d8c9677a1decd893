"""A new recording as images of a map that exists: extracted, described and placed."""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.errors import InputError
from hloc_localizer.features.learned.options import MACHINE_OPTIONS
from hloc_localizer.features.local_features import FrontEnd
from hloc_localizer.features.registry import create_front_end
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.localization import Localizer
from hloc_localizer.mapping.build_stages import StageTimes
from hloc_localizer.mapping.carried_knowledge import Knowledge
from hloc_localizer.mapping.checkpoints import Checkpoints
from hloc_localizer.mapping.extraction import counted, extract_images
from hloc_localizer.mapping.frame_selection import select_frames
from hloc_localizer.mapping.matching import MapImage, PairMatches
from hloc_localizer.mapping.options import BuildOptions
from hloc_localizer.mapping.placement import odometry_of
from hloc_localizer.mapping.session_poses import check_recorded, place_by_localizing
from hloc_localizer.mapping.stage_files import read_array, read_images, write_array, write_images
from hloc_localizer.maps import Map
from hloc_localizer.numeric_threads import NumericThreads
from hloc_localizer.retrieval.registry import GlobalDescriptor, create_global_descriptor
from hloc_localizer.retrieval.vlad import Vlad
from hloc_localizer.sources.frame import Source
from hloc_localizer.sources.joined import session_names

Array = NDArray[np.float64]

_CHECKED = 40
"""Images that are localized to check recorded poses."""


@dataclass(frozen=True)
class Session:
    """Images to be added to a map."""

    images: Sequence[MapImage]
    """With poses in the map's frame, named unlike all of the map, and cameras as below."""
    cameras: Mapping[str, Camera]
    """Those of the map, then new ones."""
    recorded_cameras: Mapping[str, Camera]
    """Calibrations of new cameras before refining."""
    descriptors: NDArray[np.float32]
    """(K, G) by the map's global descriptor."""
    prior_sigma_m: NDArray[np.float64]
    """(K,) standard deviations of the positions."""
    description: Mapping[str, str]
    frames: int
    """Images of the recording."""
    notes: tuple[str, ...] = ()
    matches: PairMatches | None = None
    """Among these images, where they are known."""
    knowledge: Knowledge | None = None
    """Of their points, where they come from a map."""


def front_end_of(loaded: Map, options: BuildOptions) -> FrontEnd:
    """
    Make the front end of a map, on the device that the options choose.

    :raises InputError: for missing weights or an absent device.
    """
    recorded = loaded.manifest.front_end
    here = dict(options.as_dict()[recorded.name])
    machine = {name: here[name] for name in MACHINE_OPTIONS if name in here}
    return create_front_end(recorded.name, {**recorded.parameters, **machine})


def global_descriptor_of(loaded: Map, options: BuildOptions) -> GlobalDescriptor:
    """Make the global descriptor of a map with what it learned there."""
    recorded = loaded.manifest.global_descriptor
    return create_global_descriptor(
        recorded.name,
        loaded.runtime.retrieval_arrays,
        recorded.parameters,
        device=options.image_descriptor.device,
    )


def read_session(
    loaded: Map,
    source: Source,
    front_end: FrontEnd,
    options: BuildOptions,
    checkpoints: Checkpoints,
    times: StageTimes,
) -> Session:
    """
    Extract the images of a recording and find their poses in a map.

    Recorded poses in the map's frame are checked by localizing some images. Without, all images are
    localized, and believed where odometry agrees.

    :param checkpoints: of the stages ``extract`` and ``localize``, among others.
    :raises InputError: for a recording without usable images, or with poses in another frame.
    :raises HlocLocalizerError: when it does not show the place of the map.
    """
    if source.calibration_problem:
        raise InputError(source.calibration_problem)
    posed = loaded.manifest.metric and not source.pose_problem
    cameras, recorded, index_of = joined_cameras(loaded, source.cameras)
    if not checkpoints.done('extract'):
        with checkpoints.write('extract') as folder:
            _extract(folder, loaded, source, front_end, options, times, posed=posed)
    images = read_images(checkpoints.folder('extract'))
    images = _named([_with_camera(each, cameras, index_of) for each in images], loaded, source)
    described = [image.global_descriptor for image in images]
    descriptors = np.stack([one for one in described if one is not None])
    if not checkpoints.done('localize'):
        with checkpoints.write('localize') as folder:
            found = _localized(loaded, images, list(cameras.values()), descriptors, posed, times)
            write_array(folder, found)
    localized = read_array(checkpoints.folder('localize'))
    notes = [*source.notes]
    sigma_m = np.full(len(images), options.reconstruction.prior_position_sigma_m)
    if posed:
        check_recorded(np.stack([each.map_from_camera for each in images]), localized)
        kept = np.arange(len(images))
    else:
        poses, sigma_m, lines = _placed(images, localized, use_odometry=loaded.manifest.metric)
        notes += lines
        kept = np.flatnonzero(np.isfinite(poses).all(axis=(1, 2)))
        images = [dataclasses.replace(images[i], map_from_camera=poses[i]) for i in kept.tolist()]
    return Session(
        images=images,
        cameras=cameras,
        recorded_cameras=recorded,
        descriptors=descriptors[kept],
        prior_sigma_m=sigma_m[kept],
        description=source.description,
        frames=len(source),
        notes=tuple(notes),
    )


def unused_names(taken: Iterable[str], stems: Sequence[str]) -> list[str]:
    """Return names for sessions, like those given, that no image's name begins with."""
    folders = sorted({name.split('/')[0] for name in taken})
    return session_names([*folders, *stems])[len(folders) :]


def joined_cameras(
    loaded: Map, recording: Mapping[str, Camera]
) -> tuple[dict[str, Camera], dict[str, Camera], list[int]]:
    """
    Return the cameras of map and recording, the new ones as recorded, and the index of each.

    A camera with the calibration that one of the map was recorded with is that one.
    """
    cameras = dict(loaded.manifest.cameras)
    recorded: dict[str, Camera] = {}
    index_of = []
    for name, camera in recording.items():
        same = [
            known
            for known in loaded.manifest.cameras
            if camera.is_close_to(loaded.manifest.recorded_cameras.get(known, cameras[known]))
        ]
        if same:
            index_of.append(list(cameras).index(same[0]))
            continue
        new, number = name, 2
        while new in cameras:
            new, number = f'{name}-{number}', number + 1
        cameras[new] = recorded[new] = camera
        index_of.append(len(cameras) - 1)
    return cameras, recorded, index_of


def _extract(
    folder: Path,
    loaded: Map,
    source: Source,
    front_end: FrontEnd,
    options: BuildOptions,
    times: StageTimes,
    *,
    posed: bool,
) -> None:
    """Write the images of a recording with their features and global descriptors."""
    describer = global_descriptor_of(loaded, options)
    network = describer.name != Vlad.name
    workers = (options.threads or os.cpu_count() or 1) if front_end.parallel else 1
    frames = counted(source.frames(), times.begin('extract', len(source)))
    with NumericThreads.for_workers(parallel=front_end.parallel):
        images = extract_images(
            select_frames(frames, options.frames, posed=posed),
            source.cameras,
            front_end,
            threads=workers,
            max_images=options.frames.max_images,
            describe=_one_at_a_time(describer) if network else None,
        )
        write_images(folder, images if network else _described(images, describer))
    describer.release()
    if not read_images(folder):
        raise InputError('the recording has no usable image; record longer, or while moving')


def _one_at_a_time(
    describer: GlobalDescriptor,
) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    lock = threading.Lock()

    def describe(image: NDArray[np.uint8]) -> NDArray[np.float32]:
        with lock:
            return describer.describe(image, None)

    return describe


def _described(images: Iterable[MapImage], describer: GlobalDescriptor) -> Iterator[MapImage]:
    """Describe images by their features."""
    blank = np.zeros((0, 0), np.uint8)
    for image in images:
        descriptor = describer.describe(blank, image.features)
        yield dataclasses.replace(image, global_descriptor=descriptor)


def _with_camera(
    image: MapImage, cameras: Mapping[str, Camera], index_of: Sequence[int]
) -> MapImage:
    """Return an image with its camera's number among those of the map, as refined there."""
    index = index_of[image.camera]
    plane = list(cameras.values())[index].normalise(image.features.keypoints)
    return dataclasses.replace(image, camera=index, plane=plane)


def _named(images: Sequence[MapImage], loaded: Map, source: Source) -> list[MapImage]:
    """Name the images after their session, unlike any image of the map."""
    alone = Path(source.description.get('path', '') or 'session').stem
    sessions = list(dict.fromkeys(image.session or alone for image in images))
    names = unused_names(loaded.runtime.image_names, sessions)
    renamed = dict(zip(sessions, names, strict=True))
    return [
        dataclasses.replace(
            image,
            name=f'{renamed[image.session or alone]}/'
            + image.name[len(image.session) + 1 if image.session else 0 :],
            session=renamed[image.session or alone],
        )
        for image in images
    ]


def _localized(
    loaded: Map,
    images: Sequence[MapImage],
    cameras: Sequence[Camera],
    descriptors: NDArray[np.float32],
    posed: bool,
    times: StageTimes,
) -> Array:
    """Return ``map_from_camera`` (I, 4, 4) as localized in the map, NaN where refused."""
    count = min(_CHECKED, len(images)) if posed else len(images)
    tried = np.unique(np.linspace(0, len(images) - 1, count).round().astype(np.intp))
    found = np.full((len(images), 4, 4), np.nan)
    advance = times.begin('localize', len(tried))
    localizer = Localizer(loaded)
    for index in tried.tolist():
        image = images[index]
        result = localizer.localize_features(
            image.features, cameras[image.camera], descriptors[index]
        )
        if result.map_from_camera is not None:
            found[index] = result.map_from_camera
        advance(1)
    localizer.close()
    return found


def _placed(
    images: Sequence[MapImage], localized: Array, *, use_odometry: bool
) -> tuple[Array, Array, list[str]]:
    """Place each session by itself: odometry says nothing between two of them."""
    odometry = odometry_of(images)
    if not use_odometry:
        odometry = np.full_like(odometry, np.nan)
    stamps = np.array([image.stamp_ns for image in images], np.int64)
    sessions = np.array([image.session for image in images])
    poses, sigma_m = np.full_like(localized, np.nan), np.zeros(len(images))
    lines = []
    for name in dict.fromkeys(sessions.tolist()):
        own = sessions == name
        placed = place_by_localizing(stamps[own], odometry[own], localized[own])
        poses[own], sigma_m[own] = placed.poses, placed.sigma_m
        lines.append(f'{name}: {placed.line()}')
    return poses, sigma_m, lines
