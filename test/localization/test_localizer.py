"""A camera is localized in a real room, and never where it is not."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

from hloc_localizer.geometry.camera import Camera
from hloc_localizer.geometry.trajectory import Trajectory
from hloc_localizer.geometry.transforms import pose_distance
from hloc_localizer.localization import Localizer
from hloc_localizer.localization.options import LocalizerOptions
from hloc_localizer.localization.result import Localization, Reason
from hloc_localizer.maps import Map
from hloc_localizer.sources import open_source
from hloc_localizer.sources.frame import Frame
from hloc_localizer.sources.options import SourceOptions
from hloc_localizer.sources.tum import read_tum

QUERIES = slice(0, 70, 10)


@pytest.fixture(scope='module')
def room(lounge_map: Path) -> Map:
    return Map.load(lounge_map)


@pytest.fixture(scope='module')
def localizer(room: Map) -> Localizer:
    return Localizer(room, LocalizerOptions(threads=1))


@pytest.fixture(scope='module')
def queries(shared_data: Path) -> list[Frame]:
    """Return every tenth frame of the seconds that the map was not made of."""
    source = open_source(shared_data / 'data' / 'lounge' / 'query', SourceOptions(poses='none'))
    return list(source.frames())[QUERIES]


@pytest.fixture(scope='module')
def camera(shared_data: Path) -> Camera:
    source = open_source(shared_data / 'data' / 'lounge' / 'query', SourceOptions(poses='none'))
    return next(iter(source.cameras.values()))


@pytest.fixture(scope='module')
def truth(shared_data: Path) -> Trajectory:
    return read_tum(shared_data / 'data' / 'lounge' / 'query.camera.tum')


def posed(result: Localization) -> np.ndarray:
    assert result.map_from_camera is not None, result.reason
    return result.map_from_camera


def assert_refused(result: Localization) -> None:
    """Check that nothing of a refused pose gets out."""
    assert not result.localized
    assert result.map_from_camera is None
    assert result.covariance is None
    assert result.reason is not Reason.NONE


def test_frames_between_the_mapped_ones_are_localized(
    localizer: Localizer, queries: list[Frame], camera: Camera, truth: Trajectory
) -> None:
    distances, angles, deviations = [], [], []
    for frame in queries:
        result = localizer.localize(frame.image, camera)
        expected = truth.at(frame.stamp_ns)
        assert expected is not None
        distance, angle = pose_distance(posed(result), expected)
        assert distance < 0.05, frame.name
        assert np.degrees(angle) < 2.0, frame.name
        distances.append(distance)
        angles.append(np.degrees(angle))
        assert result.covariance is not None
        off = posed(result)[:3, 3] - expected[:3, 3]
        deviations.append(off @ np.linalg.solve(result.covariance[:3, :3], off) / 3.0)
    assert np.median(distances) < 0.025
    assert np.median(angles) < 0.6
    # The reference itself is off by a few centimetres now and then.
    assert np.median(deviations) < 4.0


def test_result_tells_what_the_pose_was_made_of(
    localizer: Localizer, queries: list[Frame], camera: Camera, room: Map
) -> None:
    result = localizer.localize(queries[0].image, camera)
    assert result.reason is Reason.NONE
    assert result.inliers == result.inlier_mask.sum() >= 50
    assert result.matches == len(result.keypoints) == len(result.points)
    assert set(result.candidates) <= set(room.runtime.image_names)
    assert list(result.retrieval_scores) == sorted(result.retrieval_scores, reverse=True)
    assert result.retrieval_margin is not None
    assert 0.0 < result.retrieval_margin < result.retrieval_scores[0] + 1.0
    calibration = room.manifest.cameras[queries[0].camera_name]
    pose = posed(result)
    in_camera = (result.points - pose[:3, 3]) @ pose[:3, :3]
    errors = np.linalg.norm(calibration.project(in_camera) - result.keypoints, axis=1)
    assert np.median(errors[result.inlier_mask]) < 1.5
    assert {'extract', 'retrieve', 'match', 'pose', 'refine', 'total'} <= set(result.stage_ms)
    parts = sum(value for name, value in result.stage_ms.items() if name != 'total')
    assert 0.5 * result.stage_ms['total'] < parts <= result.stage_ms['total']


def test_same_image_gives_the_same_pose(
    localizer: Localizer, room: Map, queries: list[Frame], camera: Camera
) -> None:
    first = localizer.localize(queries[2].image, camera)
    localizer.localize(queries[4].image, camera)  # what came before leaves no trace
    for other in (localizer, Localizer(room, LocalizerOptions(threads=1))):
        again = other.localize(queries[2].image, camera)
        np.testing.assert_array_equal(posed(again), posed(first))
        np.testing.assert_array_equal(again.covariance, first.covariance)


def test_grey_image_is_localized_like_its_colour_image(
    localizer: Localizer, queries: list[Frame], camera: Camera
) -> None:
    grey = cv2.cvtColor(queries[1].image, cv2.COLOR_RGB2GRAY)
    np.testing.assert_array_equal(
        posed(localizer.localize(grey, camera)), posed(localizer.localize(queries[1].image, camera))
    )


def test_camera_of_the_recording_is_used_with_its_refined_calibration(
    localizer: Localizer, room: Map, queries: list[Frame], camera: Camera
) -> None:
    (name,) = room.manifest.cameras
    refined = room.manifest.cameras[name]
    assert camera.is_close_to(room.manifest.recorded_cameras[name])
    assert not camera.is_close_to(refined)
    by_recorded = posed(localizer.localize(queries[0].image, camera))
    by_refined = posed(localizer.localize(queries[0].image, refined))
    np.testing.assert_array_equal(by_recorded, by_refined)
    # A camera of its own keeps its own calibration.
    other = Camera(camera.model, *camera.image_size, (*np.multiply(camera.params, 1.02),))
    by_other = posed(localizer.localize(queries[0].image, other))
    assert pose_distance(by_recorded, by_other)[0] > 0.005


def test_other_camera_with_its_own_calibration_is_localized(
    localizer: Localizer, queries: list[Frame], camera: Camera, truth: Trajectory
) -> None:
    frame = queries[0]
    size = (810, 540)
    image = cv2.resize(frame.image, size, interpolation=cv2.INTER_LINEAR)
    result = localizer.localize(image, camera.scaled(*size))
    expected = truth.at(frame.stamp_ns)
    assert expected is not None
    assert pose_distance(posed(result), expected)[0] < 0.06


@pytest.mark.parametrize('number', [0, 6, 12, 18, 24])
def test_images_of_another_place_are_refused(
    localizer: Localizer, shared_data: Path, camera: Camera, number: int
) -> None:
    path = shared_data / 'data' / 'facade' / 'images' / f'{number:04d}.jpg'
    image = cv2.resize(cv2.imread(str(path))[..., ::-1], camera.image_size)
    result = localizer.localize(np.ascontiguousarray(image), camera)
    assert_refused(result)
    assert result.candidates  # it was compared with something
    assert result.reason in (Reason.NOTHING_RETRIEVED, Reason.FEW_MATCHES, Reason.FEW_INLIERS)


def test_a_blurred_image_is_called_so(
    localizer: Localizer, queries: list[Frame], camera: Camera
) -> None:
    blurred = np.asarray(cv2.GaussianBlur(queries[0].image, (0, 0), 16.0), np.uint8)
    result = localizer.localize(blurred, camera)
    assert_refused(result)
    assert result.reason is Reason.BLURRED


def test_images_that_show_nothing_are_refused(localizer: Localizer, camera: Camera) -> None:
    shape = (camera.height, camera.width)
    black = localizer.localize(np.zeros(shape, np.uint8), camera)
    assert_refused(black)
    assert black.reason is Reason.BADLY_EXPOSED
    assert localizer.localize(np.full(shape, 130, np.uint8), camera).reason is Reason.NO_TEXTURE
    noise = np.random.default_rng(0).integers(0, 255, (*shape, 3), np.uint8)
    assert_refused(localizer.localize(noise, camera))


def test_mirrored_image_is_refused_and_a_camera_upside_down_localized(
    localizer: Localizer, queries: list[Frame], camera: Camera, truth: Trajectory
) -> None:
    mirrored = localizer.localize(np.ascontiguousarray(queries[0].image[:, ::-1]), camera)
    assert_refused(mirrored)
    # A camera that hangs upside down is real: rolled by half a turn about its optical axis.
    turned = localizer.localize(np.ascontiguousarray(queries[0].image[::-1, ::-1]), camera)
    expected = truth.at(queries[0].stamp_ns)
    assert expected is not None
    upside_down = expected @ np.diag([-1.0, -1.0, 1.0, 1.0])
    assert pose_distance(posed(turned), upside_down)[0] < 0.05


@pytest.mark.parametrize('size', [(300, 540), (720, 1080), (540, 360)])
def test_image_of_another_size_than_its_camera_is_refused(
    localizer: Localizer, camera: Camera, size: tuple[int, int]
) -> None:
    result = localizer.localize(np.zeros(size, np.uint8), camera)
    assert_refused(result)
    assert result.reason is Reason.CAMERA_DIFFERS


def test_prior_finds_the_place_where_retrieval_fails(
    room: Map, queries: list[Frame], camera: Camera, truth: Trajectory
) -> None:
    # Global descriptors of other images: retrieval proposes the wrong end of the room.
    wrong = np.roll(room.runtime.global_descriptors, len(room.runtime.image_names) // 2, axis=0)
    confused = dataclasses.replace(
        room, runtime=dataclasses.replace(room.runtime, global_descriptors=wrong)
    )
    options = LocalizerOptions(threads=1).with_values({'retrieval.candidates': 4})
    localizer = Localizer(confused, options)
    alone = [localizer.localize(frame.image, camera).localized for frame in queries]
    found = []
    for frame in queries:
        expected = truth.at(frame.stamp_ns)
        assert expected is not None
        prior = expected.copy()
        prior[:3, 3] += [0.3, -0.2, 0.0]
        result = localizer.localize(frame.image, camera, prior)
        found.append(result.localized and pose_distance(posed(result), expected)[0] < 0.05)
    assert sum(found) >= sum(alone) + 3
    assert sum(found) >= len(queries) - 1


def test_wrong_prior_harms_nothing(
    localizer: Localizer, queries: list[Frame], camera: Camera
) -> None:
    prior = np.eye(4)
    prior[:3, 3] = [40.0, -30.0, 5.0]
    for frame in queries[:3]:
        without = posed(localizer.localize(frame.image, camera))
        result = localizer.localize(frame.image, camera, prior)
        assert pose_distance(posed(result), without)[0] < 0.01
    black = localizer.localize(np.zeros((camera.height, camera.width), np.uint8), camera, prior)
    assert_refused(black)


def test_stricter_acceptance_refuses_with_its_reason(
    room: Map, queries: list[Frame], camera: Camera
) -> None:
    for name, value, reason in (
        ('min_inliers', 5000, Reason.FEW_INLIERS),
        ('min_spread', 1.0, Reason.POOR_SPREAD),
        ('max_position_sigma_m', 1e-4, Reason.UNCERTAIN),
        ('min_visible_ratio', 1.0, Reason.CONTRADICTED),
    ):
        options = LocalizerOptions(threads=1).with_values({f'accept.{name}': value})
        result = Localizer(room, options).localize(queries[3].image, camera)
        assert_refused(result)
        assert result.reason is reason, name


def test_warming_up_changes_no_result(room: Map, queries: list[Frame], camera: Camera) -> None:
    cold, warm = (Localizer(room, LocalizerOptions(threads=1)) for _ in range(2))
    warm.warm_up()
    np.testing.assert_array_equal(
        posed(warm.localize(queries[0].image, camera)),
        posed(cold.localize(queries[0].image, camera)),
    )
