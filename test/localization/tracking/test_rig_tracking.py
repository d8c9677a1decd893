"""Several cameras on one body are tracked as one generalized camera; one that fails stays out."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hloc_localizer.evaluation.run import moments, track_frames
from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.geometry.trajectory import Trajectory
from hloc_localizer.localization import JointLocalizer, Localizer
from hloc_localizer.localization.options import LocalizerOptions
from hloc_localizer.localization.result import Reason
from hloc_localizer.localization.tracking import MountedImage, State, TrackingLocalizer
from hloc_localizer.maps import Map
from hloc_localizer.sources import open_source
from hloc_localizer.sources.frame import Frame, Source
from hloc_localizer.sources.options import SourceOptions
from hloc_localizer.sources.rig import Rig
from hloc_localizer.sources.tum import read_tum

Array = NDArray[np.float64]
BODY_FROM_LEFT = transforms.transform_from(
    transforms.rotation_from_rotvec([0.4, -1.2, 0.7]), [0.2, -0.1, 1.1]
)
APART = 8
"""Frames between two images that play the two cameras of a rig."""


class Walk:
    """The walk `query`, seen by cameras that it never had."""

    def __init__(self, folder: Path, name: str) -> None:
        self.source = open_source(folder / name, SourceOptions(poses='none', duration_s=12.0))
        self.frames = list(self.source.frames())
        self.truth: Trajectory = read_tum(folder / f'{name}.camera.tum')
        (self.camera,) = self.source.cameras.values()

    def pose(self, index: int) -> Array:
        found = self.truth.at(self.frames[index].stamp_ns, 100_000_000)
        assert found is not None
        return found

    def half(self, image: NDArray[np.uint8], side: int) -> tuple[NDArray[np.uint8], Camera]:
        """Return one half of an image, and the camera that would have taken it."""
        width = self.camera.width // 2
        params = list(self.camera.params)
        params[2] -= side * width  # the principal point, which lies outside the right half
        cut = np.ascontiguousarray(image[:, side * width : (side + 1) * width])
        camera = dataclasses.replace(self.camera, width=width, params=tuple(params))
        return cut, camera


@pytest.fixture(scope='module')
def localizer(lounge_map: Path) -> Localizer:
    return Localizer(Map.load(lounge_map), LocalizerOptions(threads=1))


@pytest.fixture(scope='module')
def walk(shared_data: Path) -> Walk:
    return Walk(shared_data / 'data' / 'lounge', 'query')


def halves(walk: Walk, index: int) -> list[MountedImage]:
    """Return the two halves of an image as two cameras of a body that is elsewhere."""
    images = []
    for side, name in enumerate(('left', 'right')):
        pixels, camera = walk.half(walk.frames[index].image, side)
        images.append(MountedImage(pixels, camera, BODY_FROM_LEFT, name))
    return images


def odometry(frame: Frame) -> Array:
    assert frame.odom_from_camera is not None
    return frame.odom_from_camera @ transforms.invert(BODY_FROM_LEFT)


def error(pose: Array, truth: Array) -> tuple[float, float]:
    metres, radians = transforms.pose_distance(pose, truth)
    return float(metres), float(np.degrees(radians))


def test_two_halves_of_a_view_are_tracked_as_one(localizer: Localizer, walk: Walk) -> None:
    stream, errors = TrackingLocalizer(localizer), []
    for index, frame in enumerate(walk.frames[:12]):
        tracked = stream.localize_moment(
            halves(walk, index), frame.stamp_ns, odom_from_body=odometry(frame)
        )
        assert tracked.entered, tracked.reason
        assert tracked.body is not None
        # Searched everywhere or near the prediction: both images are used.
        assert min(tracked.inliers['left'], tracked.inliers['right']) >= 20
        errors.append(error(tracked.body.map_from_body @ BODY_FROM_LEFT, walk.pose(index)))
    metres, degrees = np.array(errors).T
    print(f'median {np.median(metres):.3f} m, {np.median(degrees):.2f} degrees')
    assert metres.max() < 0.05
    assert degrees.max() < 1.0


def test_cameras_apart_on_a_body_are_solved_together(localizer: Localizer, walk: Walk) -> None:
    """Two images taken elsewhere on a walk are a rig with the mounting between their poses."""
    mounting = transforms.invert(walk.pose(0)) @ walk.pose(APART)
    assert np.linalg.norm(mounting[:3, 3]) > 0.1
    images = [
        MountedImage(walk.frames[0].image, walk.camera, np.eye(4), 'front'),
        MountedImage(walk.frames[APART].image, walk.camera, mounting, 'side'),
    ]
    stream = TrackingLocalizer(localizer)
    first, again = (stream.localize_moment(images, stamp_ns) for stamp_ns in (10, 20))
    for tracked in (first, again):  # the whole map, then near the prediction
        assert tracked.entered
        assert tracked.body is not None
        assert min(tracked.inliers.values()) >= 50
        metres, degrees = error(tracked.body.map_from_body, walk.pose(0))
        assert metres < 0.03
        assert degrees < 0.5
    assert 'retrieve' in first.image.stage_ms
    assert 'retrieve' not in again.image.stage_ms
    alone = JointLocalizer(localizer).localize_rig(
        [one.image for one in images], [walk.camera] * 2, [np.eye(4), mounting]
    )
    assert alone.map_from_rig is not None
    assert min(len(pixels) for pixels in alone.keypoints) >= 50


@pytest.mark.parametrize('blind', [0, 1])
def test_a_camera_that_sees_nothing_stays_out_and_the_other_goes_on(
    localizer: Localizer, walk: Walk, blind: int
) -> None:
    stream = TrackingLocalizer(localizer)
    for index, frame in enumerate(walk.frames[:4]):
        images = halves(walk, index)
        images[blind] = dataclasses.replace(images[blind], image=np.zeros_like(images[blind].image))
        tracked = stream.localize_moment(images, frame.stamp_ns, odom_from_body=odometry(frame))
        assert tracked.entered, tracked.reason
        assert list(tracked.inliers) == [images[1 - blind].name]
        assert tracked.body is not None
        pose = tracked.body.map_from_body @ BODY_FROM_LEFT
        assert error(pose, walk.pose(index))[0] < 0.06
    dark = [dataclasses.replace(one, image=np.zeros_like(one.image)) for one in images]
    stamp_ns = frame.stamp_ns + 200_000_000
    tracked = stream.localize_moment(dark, stamp_ns, odom_from_body=odometry(frame))
    assert tracked.state is State.DEGRADED
    assert tracked.reason is Reason.BADLY_EXPOSED


def test_a_wrong_mounting_is_no_pose(localizer: Localizer, walk: Walk) -> None:
    """Cameras that contradict each other are not averaged."""
    images = halves(walk, 0)
    off = transforms.transform_from(transforms.rotation_from_rotvec([0, 0.5, 0]), [0.5, 0, 0])
    images[1] = dataclasses.replace(images[1], body_from_camera=BODY_FROM_LEFT @ off)
    tracked = TrackingLocalizer(localizer).localize_moment(images, 10)
    if tracked.body is not None:
        assert min(tracked.inliers.values()) < 10
        pose = tracked.body.map_from_body @ (
            BODY_FROM_LEFT if tracked.inliers['left'] > 10 else BODY_FROM_LEFT @ off
        )
        assert error(pose, walk.pose(0))[0] < 0.06


class _TwoCameras:
    """A recording of both halves, the right one taken a little later."""

    def __init__(self, walk: Walk, later_ns: int) -> None:
        self.notes: list[str] = []
        self.rig_problem = ''
        self._walk, self._later_ns = walk, later_ns
        cameras = [walk.half(walk.frames[0].image, side)[1] for side in (0, 1)]
        self.cameras = dict(zip(('left', 'right'), cameras, strict=True))
        self.rigs = [Rig({'left': np.eye(4), 'right': np.eye(4)})]

    def __len__(self) -> int:
        return 12

    def frames(self) -> list[Frame]:
        return [
            dataclasses.replace(
                frame,
                image=self._walk.half(frame.image, side)[0],
                camera_name=name,
                stamp_ns=frame.stamp_ns + side * self._later_ns,
            )
            for frame in self._walk.frames[:6]
            for side, name in enumerate(('left', 'right'))
        ]


@pytest.mark.parametrize(('later_ms', 'together'), [(5, True), (60, False)])
def test_frames_of_a_recording_are_gathered_by_their_stamps(
    localizer: Localizer, walk: Walk, later_ms: int, together: bool
) -> None:
    recording = _TwoCameras(walk, later_ms * 1_000_000)
    gathered = list(moments(recording.frames(), 20_000_000))
    assert [len(frames) for frames in gathered] == ([2] * 6 if together else [1] * 12)
    source: Source = recording  # type: ignore[assignment]
    tracked = list(track_frames(TrackingLocalizer(localizer), source))
    assert len(tracked) == 12
    for index, one in enumerate(tracked):
        assert one.localization.map_from_camera is not None
        assert error(one.localization.map_from_camera, walk.pose(index // 2))[0] < 0.06
        assert one.tracked is not None
        assert len(one.tracked.inliers) == (2 if together else 1)
