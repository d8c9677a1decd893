"""
Measure which keypoints of the map images LightGlue should be given; print a Markdown table.

    python -m benchmarks references MAP          # a map of the lounge's bag `map`, with LightGlue

``points, shared`` is what the localizer does: the keypoints that have a 3D point, with descriptors
that views share. ``points, own`` has the descriptors of the image itself. ``all`` are all keypoints
of the image; matches to those without a point are of no use and left out. Every frame is matched
in one batch with the images retrieved for it, and solved from these matches alone, without the
localizer's second look and without acceptance. A match is right when its point projects within 4
pixels at the recorded pose.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.recordings import add_data_argument
from hloc_localizer.errors import HlocLocalizerError, InputError
from hloc_localizer.evaluation import References
from hloc_localizer.features.local_features import FrontEnd, LocalFeatures, Matches
from hloc_localizer.features.registry import create_front_end
from hloc_localizer.geometry.absolute_pose import (
    AbsolutePoseOptions,
    estimate_absolute_pose,
    refine_absolute_pose,
    reprojection_residuals,
)
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.geometry.transforms import pose_distance
from hloc_localizer.localization.places import retrieve
from hloc_localizer.maps import Map, RuntimeMap
from hloc_localizer.maps.hloc_files import FEATURES_NAME, read_all_features
from hloc_localizer.maps.quantisation import restore_descriptors
from hloc_localizer.retrieval.registry import create_global_descriptor
from hloc_localizer.sources import SourceOptions, open_source
from hloc_localizer.sources.frame import Frame

_RIGHT_PX = 4.0
_WARM_UP = 3
_HEADING = (
    'keypoints of the map images', 'each', 'right matches', 'wrong', '0.05 m, 5 deg',
    '0.25 m, 2 deg', 'median within 0.5 m', 'match ms',
)  # fmt: skip


@dataclass(frozen=True)
class Reference:
    """A map image as the matcher sees it."""

    features: LocalFeatures
    point: NDArray[np.int32]
    """(N,) the 3D point of each keypoint, -1 without one."""


@dataclass(frozen=True)
class Query:
    """A frame before matching."""

    features: LocalFeatures
    images: NDArray[np.intp]
    """Map images retrieved."""
    camera: Camera
    map_from_camera: NDArray[np.float64]


def main(given: Sequence[str] | None = None) -> int:
    """Measure every kind of reference on the frames of a bag."""
    arguments = _arguments(given)
    try:
        _measure(arguments)
    except HlocLocalizerError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks references',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('map', type=Path, metavar='MAP', help='a map of the lounge')
    add_data_argument(parser)
    parser.add_argument('--bag', default='query', choices=('query', 'revisit'))
    parser.add_argument('--candidates', type=int, default=5)
    parser.add_argument('--every', type=int, default=1, help='take every Nth frame')
    return parser.parse_args(given)


def _measure(arguments: argparse.Namespace) -> None:
    loaded = Map.load(arguments.map)
    front_end = create_front_end(
        loaded.manifest.front_end.name, loaded.manifest.front_end.parameters
    )
    if front_end.nearest is not None:
        raise InputError(f'{arguments.map}: matches nearest neighbours, not with LightGlue')
    data = arguments.data.resolve() / 'data' / 'lounge'
    queries = list(_queries(loaded, front_end, data, arguments))
    print('| ' + ' | '.join(_HEADING) + ' |\n' + '|---' * len(_HEADING) + '|')
    for kind, make in _kinds(loaded).items():
        print(_row(kind, make, loaded, front_end, queries), flush=True)


def _queries(
    loaded: Map, front_end: FrontEnd, data: Path, arguments: argparse.Namespace
) -> Iterator[Query]:
    recorded = loaded.manifest.global_descriptor
    descriptor = create_global_descriptor(
        recorded.name, loaded.runtime.retrieval_arrays, recorded.parameters
    )
    stored = loaded.runtime.global_descriptors.astype(np.float32)
    source = open_source(data / arguments.bag, SourceOptions(poses='none'))
    references = References.read(data / f'{arguments.bag}.camera.tum')
    for index, frame in enumerate(source.frames()):
        truth = references.find(frame)
        if truth is None or index % arguments.every:
            continue
        features = front_end.extract(frame.image)
        described = descriptor.describe(frame.image, features)
        images = retrieve(described, stored, arguments.candidates).images
        yield Query(features, images, _camera(loaded, frame), truth)


def _camera(loaded: Map, frame: Frame) -> Camera:
    """Return the refined calibration: the bags are all of one camera."""
    return loaded.manifest.cameras[frame.camera_name]


def _kinds(loaded: Map) -> dict[str, Callable[[int], Reference]]:
    runtime = loaded.runtime
    stored = read_all_features(loaded.path / FEATURES_NAME)

    def everything(image: int) -> Reference:
        features = stored[runtime.image_names[image]]
        return Reference(features, _points_of(runtime, image, features))

    def own(image: int) -> Reference:
        reference = everything(image)
        return _subset(reference, reference.point >= 0)

    def shared(image: int) -> Reference:
        reference = own(image)
        begin, end = runtime.observation_offsets[image : image + 2]
        rows = runtime.observation_descriptor[begin:end]
        by_point = dict(zip(runtime.observation_point[begin:end].tolist(), rows, strict=True))
        chosen = np.array([by_point[point] for point in reference.point.tolist()], np.intp)
        descriptors = restore_descriptors(runtime.descriptors[chosen])
        return replace(reference, features=replace(reference.features, descriptors=descriptors))

    return {'points, shared': shared, 'points, own': own, 'all': everything}


def _points_of(runtime: RuntimeMap, image: int, features: LocalFeatures) -> NDArray[np.int32]:
    """Find the keypoints that have a point by their place, which both files hold unchanged."""
    begin, end = runtime.observation_offsets[image : image + 2]
    place = {tuple(pixel): row for row, pixel in enumerate(features.keypoints.tolist())}
    points = np.full(len(features), -1, np.int32)
    for pixel, point in zip(
        runtime.observation_keypoint[begin:end].tolist(),
        runtime.observation_point[begin:end],
        strict=True,
    ):
        points[place[tuple(pixel)]] = point
    return points


def _subset(reference: Reference, mask: NDArray[np.bool_]) -> Reference:
    features = reference.features
    kept = replace(
        features,
        keypoints=features.keypoints[mask],
        descriptors=features.descriptors[mask],
        scores=features.scores[mask],
        scales=features.scales[mask],
    )
    return Reference(kept, reference.point[mask])


def _row(
    kind: str,
    make: Callable[[int], Reference],
    loaded: Map,
    front_end: FrontEnd,
    queries: Sequence[Query],
) -> str:
    wanted = sorted({int(image) for query in queries for image in query.images})
    references = {image: make(image) for image in wanted}
    prepared = {image: front_end.prepare(one.features) for image, one in references.items()}
    for query in queries[:_WARM_UP]:
        front_end.match(query.features, [prepared[int(image)] for image in query.images])
    right, wrong, milliseconds, errors = [], [], [], []
    for query in queries:
        images = [int(image) for image in query.images]
        begin = time.perf_counter()
        found = front_end.match(query.features, [prepared[image] for image in images])
        milliseconds.append(1e3 * (time.perf_counter() - begin))
        keypoint, point = _joined(found, [references[image].point for image in images])
        good, error = _judged(query, loaded.runtime, keypoint, point)
        right.append(good)
        wrong.append(len(keypoint) - good)
        errors.append(error)
    metres, degrees = np.array(errors).T
    shares = [
        np.mean((metres <= limit) & (degrees <= turn)) * 100.0
        for limit, turn in ((0.05, 5.0), (0.25, 2.0))
    ]
    near = metres <= 0.5
    off, turned = (
        np.median(values[near]) if near.any() else np.inf for values in (metres, degrees)
    )
    each = np.mean([len(reference.features) for reference in references.values()])
    cells = [
        kind,
        f'{each:.0f}',
        f'{np.median(right):.0f}',
        f'{np.median(wrong):.0f}',
        *(f'{share:.1f} %' for share in shares),
        f'{off * 100:.2f} cm, {turned:.2f} deg',
        f'{np.median(milliseconds):.0f}',
    ]
    return '| ' + ' | '.join(cells) + ' |'


def _joined(
    found: Sequence[Matches], points: Sequence[NDArray[np.int32]]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return keypoints and points of all matches that lead to a point, the surest first."""
    rows = [
        (score, keypoint, point_of[other])
        for matches, point_of in zip(found, points, strict=True)
        for (keypoint, other), score in zip(matches.indices, matches.scores, strict=True)
        if point_of[other] >= 0
    ]
    rows.sort(key=lambda row: -row[0])
    kept: dict[int, int] = {}
    used = set()
    for _, keypoint, point in rows:
        if keypoint not in kept and point not in used:
            kept[int(keypoint)] = int(point)
            used.add(point)
    return np.array(list(kept), np.intp), np.array(list(kept.values()), np.intp)


def _judged(
    query: Query, runtime: RuntimeMap, keypoint: NDArray[np.intp], point: NDArray[np.intp]
) -> tuple[int, tuple[float, float]]:
    """Return how many matches are right, and the error of their pose in metres and degrees."""
    if len(keypoint) < 4:
        return 0, (np.inf, np.inf)
    pixels = query.features.keypoints[keypoint].astype(np.float64)
    points = runtime.points[point].astype(np.float64)
    off = reprojection_residuals(query.camera, query.map_from_camera, pixels, points)
    with np.errstate(invalid='ignore'):
        good = int((np.linalg.norm(off, axis=1) < _RIGHT_PX).sum())
    estimate = estimate_absolute_pose(query.camera, pixels, points, AbsolutePoseOptions())
    if estimate is None:
        return good, (np.inf, np.inf)
    pose, inliers = estimate
    noise = np.tile(np.eye(2), (int(inliers.sum()), 1, 1))
    refined = refine_absolute_pose(
        query.camera, pose, pixels[inliers], points[inliers], noise_px=noise
    )
    pose = pose if refined is None else refined.map_from_camera
    metres, radians = pose_distance(pose, query.map_from_camera)
    return good, (float(metres), float(np.degrees(radians)))


if __name__ == '__main__':
    sys.exit(main())
