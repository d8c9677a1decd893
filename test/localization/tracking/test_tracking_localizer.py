"""A walk through a real room as one stream, with odometry that drifts, and with other places."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

from hloc_localizer.evaluation import Evaluation, References
from hloc_localizer.evaluation.run import evaluate_source, track_frames
from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.localization import Localizer
from hloc_localizer.localization.options import LocalizerOptions
from hloc_localizer.localization.result import Reason
from hloc_localizer.localization.tracking import State, TrackingLocalizer
from hloc_localizer.maps import Map
from hloc_localizer.sources import Source, open_source
from hloc_localizer.sources.frame import Frame
from hloc_localizer.sources.options import SourceOptions

STEP_NS = 200_000_000


@pytest.fixture(scope='module')
def localizer(lounge_map: Path) -> Localizer:
    return Localizer(Map.load(lounge_map), LocalizerOptions(threads=1))


def bag(shared_data: Path, name: str) -> Source:
    return open_source(shared_data / 'data' / 'lounge' / name, SourceOptions(poses='none'))


def evaluation(localizer: Localizer, shared_data: Path, name: str) -> Evaluation:
    references = References.read(shared_data / 'data' / 'lounge' / f'{name}.camera.tum')
    return evaluate_source(
        TrackingLocalizer(localizer), bag(shared_data, name), references, map_bytes=0
    )


@pytest.fixture(scope='module')
def revisit(localizer: Localizer, shared_data: Path) -> Evaluation:
    return evaluation(localizer, shared_data, 'revisit')


@pytest.fixture(scope='module')
def frames(shared_data: Path) -> list[Frame]:
    return list(bag(shared_data, 'revisit').frames())


@pytest.fixture(scope='module')
def camera(shared_data: Path) -> Camera:
    return next(iter(bag(shared_data, 'revisit').cameras.values()))


def test_a_walk_that_leaves_the_map_is_followed_to_its_end(revisit: Evaluation) -> None:
    summary = revisit.as_dict()
    print(summary['states'], summary['recall_from_first_fix'], summary['nees'])
    assert summary['frames'] == 73
    assert summary['false_fixes'] == 0
    assert summary['frames_from_first_fix'] >= 70
    assert summary['recall_from_first_fix']['0.25m_2deg'] >= 0.95
    assert summary['states']['degraded'] > 10  # half of it looks where the map never looked


def test_images_near_the_mapped_ones_are_all_localized(
    localizer: Localizer, shared_data: Path
) -> None:
    summary = evaluation(localizer, shared_data, 'query').as_dict()
    assert summary['recall']['0.05m_5deg'] == 1.0
    assert summary['translation_error_m']['median'] < 0.015
    assert summary['states'] == {'localized': 70}


def test_the_same_stream_gives_the_same_poses(
    localizer: Localizer, shared_data: Path, revisit: Evaluation
) -> None:
    again = track_frames(TrackingLocalizer(localizer), bag(shared_data, 'revisit'))
    for index, (one, first) in enumerate(zip(again, revisit.frames, strict=False)):
        assert one.tracked is not None
        assert one.tracked.state.value == first.state
        np.testing.assert_array_equal(
            one.localization.map_from_camera, first.localization.map_from_camera
        )
        if index == 30:
            break


def test_another_place_black_and_noise_give_no_pose(
    localizer: Localizer, shared_data: Path, camera: Camera
) -> None:
    folder = shared_data / 'data' / 'facade' / 'images'
    images = [cv2.imread(str(path))[..., ::-1] for path in sorted(folder.iterdir())[::2]]
    images = [cv2.resize(image, camera.image_size) for image in images]
    shape = (camera.height, camera.width)
    images += [np.zeros(shape, np.uint8), np.full(shape, 128, np.uint8)]
    images += [np.random.default_rng(1).integers(0, 255, shape, np.uint8)]
    stream = TrackingLocalizer(localizer)
    for number, image in enumerate(images):
        odom = np.eye(4)
        odom[0, 3] = 0.1 * number
        tracked = stream.localize(
            np.ascontiguousarray(image), camera, number * STEP_NS, odom_from_body=odom
        )
        assert tracked.state is State.UNINITIALIZED
        assert tracked.body is None
        assert not tracked.localization.localized


def test_once_localized_another_place_is_bridged_and_never_entered(
    localizer: Localizer, shared_data: Path, frames: list[Frame], camera: Camera
) -> None:
    """A poster is held before the camera, or a bus passes: the prediction is not led astray."""
    path = next((shared_data / 'data' / 'facade' / 'images').iterdir())
    poster = cv2.resize(cv2.imread(str(path))[..., ::-1], camera.image_size)
    stream = TrackingLocalizer(localizer)
    for frame in frames[52:55]:
        tracked = stream.localize(
            frame.image, camera, frame.stamp_ns, odom_from_body=frame.odom_from_camera
        )
    assert tracked.state is State.LOCALIZED
    for frame in frames[55:65]:
        tracked = stream.localize(
            np.ascontiguousarray(poster), camera, frame.stamp_ns,
            odom_from_body=frame.odom_from_camera,
        )  # fmt: skip
        assert tracked.state is State.DEGRADED
        assert not tracked.entered


def test_without_odometry_a_stream_is_still_localized(
    localizer: Localizer, shared_data: Path, frames: list[Frame], camera: Camera
) -> None:
    references = References.read(shared_data / 'data' / 'lounge' / 'revisit.camera.tum')
    stream, errors = TrackingLocalizer(localizer), []
    for frame in frames[50:65]:
        tracked = stream.localize(frame.image, camera, frame.stamp_ns)
        if tracked.camera is not None:
            pose = tracked.camera.map_from_body
            errors.append(transforms.pose_distance(pose, references.find(frame))[0])
    assert len(errors) >= 13
    assert np.max(errors) < 0.1


@pytest.mark.parametrize('period_ms', [33, 150])
def test_without_odometry_slow_and_fast_cameras_are_localized(
    localizer: Localizer, frames: list[Frame], camera: Camera, period_ms: int
) -> None:
    """At 30 Hz it is searched near the prediction, at 7 Hz that is too uncertain."""
    stream = TrackingLocalizer(localizer)
    for number in range(5):
        stamp_ns = number * period_ms * 1_000_000
        tracked = stream.localize(frames[55].image, camera, stamp_ns)
        assert tracked.entered, tracked.reason
        assert ('retrieve' in tracked.image.stage_ms) == (number == 0 or period_ms > 100)


def test_a_camera_beside_the_body_gives_the_same_poses_of_the_body(
    localizer: Localizer, frames: list[Frame], camera: Camera
) -> None:
    body_from_camera = transforms.transform_from(
        transforms.rotation_from_rotvec([0.4, -1.2, 0.7]), [0.2, -0.1, 1.1]
    )
    plain, mounted = TrackingLocalizer(localizer), TrackingLocalizer(localizer)
    for frame in frames[52:57]:
        assert frame.odom_from_camera is not None
        first = plain.localize(
            frame.image, camera, frame.stamp_ns, odom_from_body=frame.odom_from_camera
        )
        second = mounted.localize(
            frame.image, camera, frame.stamp_ns,
            odom_from_body=frame.odom_from_camera @ transforms.invert(body_from_camera),
            body_from_camera=body_from_camera,
        )  # fmt: skip
        assert first.camera is not None
        assert second.body is not None
        assert second.camera is not None
        np.testing.assert_allclose(
            second.body.map_from_body @ body_from_camera, second.camera.map_from_body, atol=1e-9
        )
        metres, radians = transforms.pose_distance(
            second.camera.map_from_body, first.camera.map_from_body
        )
        # The drift is put at another point of the same rigid body.
        assert metres < 0.01
        assert radians < 0.01


def test_a_late_or_repeated_image_is_stale_and_changes_nothing(
    localizer: Localizer, frames: list[Frame], camera: Camera
) -> None:
    stream = TrackingLocalizer(localizer)
    for frame in frames[52:54]:
        tracked = stream.localize(
            frame.image, camera, frame.stamp_ns, odom_from_body=frame.odom_from_camera
        )
    for frame in (frames[52], frames[53], dataclasses.replace(frames[60], stamp_ns=5)):
        late = stream.localize(
            frame.image, camera, frame.stamp_ns, odom_from_body=frame.odom_from_camera
        )
        assert late.reason is Reason.STALE
        assert late.body is None
        assert stream.tracker.published is tracked.body
    stream.reset()
    assert stream.localize(frames[52].image, camera, 7).state is State.LOCALIZED


def test_an_image_that_comes_late_undoes_what_was_carried_on_without_it(
    localizer: Localizer, frames: list[Frame], camera: Camera
) -> None:
    found = []
    for seconds_without in (0, 3):
        stream = TrackingLocalizer(localizer)
        for frame in frames[52:54]:
            if frame is frames[53]:
                for number in range(seconds_without):
                    stamp_ns = frame.stamp_ns + number * 10**9
                    state = stream.carry_on(stamp_ns, frames[52].odom_from_camera)
                    assert state is State.DEGRADED
            tracked = stream.localize(
                frame.image, camera, frame.stamp_ns, odom_from_body=frame.odom_from_camera
            )
        assert tracked.body is not None
        found.append(tracked.body)
    np.testing.assert_array_equal(found[0].map_from_body, found[1].map_from_body)
    np.testing.assert_array_equal(found[0].covariance, found[1].covariance)
    assert stream.carry_on(frames[53].stamp_ns + 5 * 10**9) is State.LOST
    assert stream.tracker.state is State.LOCALIZED  # odometry may still come and tell better
