"""The picture, the watch over calibrations, the choice of a map and kept failures: all cameras."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2')
from hloc_localizer.cli import main
from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.localization import Localizer
from hloc_localizer.localization.bundle import read_bundle
from hloc_localizer.localization.map_choice import MapChoice
from hloc_localizer.localization.result import Reason
from hloc_localizer.localization.tracking import MountedImage, TrackingLocalizer
from hloc_localizer.maps import Map
from hloc_localizer.ros import image_bridge, messages
from hloc_localizer.ros.calibration_watch import CalibrationWatch
from hloc_localizer.ros.failure_recorder import FailureRecorder
from hloc_localizer.ros.frame_processor import CameraOnRobot, FrameProcessor
from hloc_localizer.ros.frame_result import FrameResult
from hloc_localizer.ros.match_image import draw_matches
from hloc_localizer.ros.stream import Stream
from hloc_localizer.sources import open_source
from hloc_localizer.sources.options import SourceOptions
from hloc_localizer.sources.tum import read_tum

APART = 8
"""Images between the two of a walk that play the two cameras of a robot."""
PERIOD_NS = 1_100_000_000
"""Longer than the tracker goes on without a look at the whole map."""


class TwoCameras:
    """A robot that stands still; its messages go through the parts of a node."""

    def __init__(self, lounge: Path) -> None:
        """Say where the cameras are."""
        source = open_source(lounge / 'query', SourceOptions(poses='none', duration_s=12.0))
        frames = list(source.frames())
        truth = read_tum(lounge / 'query.camera.tum')
        first, second = (truth.at(frames[n].stamp_ns, 10**8) for n in (0, APART))
        assert first is not None
        assert second is not None
        self.map_from_base = first
        self.images = [frames[0].image, frames[APART].image]
        self.camera = source.cameras[frames[0].camera_name]
        self.mountings = [np.eye(4), transforms.invert(first) @ second]

    def lookup(self, target: str, source: str, stamp_ns: int, timeout_s: float) -> np.ndarray:
        """Return mountings; odometry stands still."""
        return self.mountings[('front', 'side').index(source)] if target == 'base' else np.eye(4)

    def processor(
        self, localizer: Localizer, cameras: Sequence[Camera] | None = None, *, track: bool = False
    ) -> FrameProcessor:
        """Return what processes the images of both."""
        known = cameras or [self.camera] * 2
        stream = Stream(
            localizer=TrackingLocalizer(localizer), transforms_lookup=self, odom_frame='odom',
            base_frame='base', timeout_s=0.0,
        )  # fmt: skip
        return FrameProcessor(
            localizer=localizer,
            transforms_lookup=self,
            cameras=[
                CameraOnRobot(name, lambda one=one: one, name)  # type: ignore[misc]
                for name, one in zip(('front', 'side'), known, strict=True)
            ],
            base_frame='base',
            stream=stream if track else None,
        )

    def process(
        self, processor: FrameProcessor, stamp_ns: int, *, blind: Sequence[int] = ()
    ) -> FrameResult:
        """Process the images of both at a time."""
        images = {}
        for number, pixels in enumerate(self.images):
            seen = np.zeros_like(pixels) if number in blind else pixels
            images[number] = image_bridge.encode_image(seen, messages.header('', stamp_ns))
        return processor.process(images)

    def mounted(self, blind: Sequence[int] = ()) -> list[MountedImage]:
        """Return the images as the localizer takes them."""
        return [
            MountedImage(
                np.zeros_like(pixels) if number in blind else pixels,
                self.camera, self.mountings[number], str(number),
            )
            for number, pixels in enumerate(self.images)
        ]  # fmt: skip


@pytest.fixture(scope='module')
def robot(shared_data: Path) -> TwoCameras:
    return TwoCameras(shared_data / 'data' / 'lounge')


@pytest.fixture(scope='module')
def localizer(lounge_map: Path) -> Localizer:
    return Localizer(Map.load(lounge_map))


def test_the_picture_has_a_row_for_each_camera(robot: TwoCameras, localizer: Localizer) -> None:
    height, width = robot.images[0].shape[:2]
    runtime = localizer.map.runtime
    processor = robot.processor(localizer, track=True)
    for number in range(3):  # in the whole map, then twice near the prediction
        result = robot.process(processor, (number + 1) * 10**8)
        picture = draw_matches(result, runtime)
        assert picture.shape == (2 * height, 2 * width, 3)
        # Green marks and ties in both rows, beside both candidates.
        green = np.all(picture == (60, 220, 60), axis=2)
        for row in (green[:height], green[height:]):
            assert np.count_nonzero(row[:, :width]) > 200
            assert np.count_nonzero(row[:, width:]) > 20
    dark = draw_matches(robot.process(processor, 10**9, blind=[1]), runtime)
    assert dark.shape == (2 * height, 2 * width, 3)
    assert not np.any(np.all(dark[height:] == (60, 220, 60), axis=2))


@pytest.mark.parametrize('track', [False, True])
def test_a_wrong_focal_length_of_the_second_camera_is_noticed_and_named(
    robot: TwoCameras, localizer: Localizer, track: bool
) -> None:
    camera = robot.camera
    params = (camera.params[0] * 1.1, camera.params[1] * 1.1, *camera.params[2:])
    wrong = dataclasses.replace(camera, params=params)
    processor = robot.processor(localizer, [camera, wrong], track=track)
    now = 0.0
    by_sight = CalibrationWatch((), several=True, clock=lambda: now)
    compared = CalibrationWatch(localizer.map.runtime.cameras, several=True, clock=lambda: now)
    for number in range(9):
        now += 0.6
        result = robot.process(processor, (number + 1) * PERIOD_NS)
        lines = by_sight.take(result), compared.take(result)
    assert lines[1].startswith('side: focal length ')
    assert not any(line.startswith('front') for line in lines[1].split('; '))
    name, *words = lines[0].split()
    assert name == 'side:'
    assert ' '.join(words[1:7]) == 'localized images fit a focal length'
    assert float(words[8]) == pytest.approx(camera.focal_px, rel=0.05)
    right = CalibrationWatch((), several=True, clock=lambda: now)
    processor = robot.processor(localizer, track=track)
    for number in range(9):
        now += 0.6
        assert right.take(robot.process(processor, (number + 1) * PERIOD_NS)) == ''


@pytest.mark.parametrize(
    ('metres', 'degrees', 'noticed'), [(0.0, 0.0, False), (0.3, 20.0, True), (0.0, 4.0, True)]
)
def test_a_camera_that_is_not_mounted_as_tf_says_is_noticed_and_named(
    robot: TwoCameras, localizer: Localizer, metres: float, degrees: float, noticed: bool
) -> None:
    off = transforms.transform_from(
        transforms.rotation_from_rotvec([0.0, np.radians(degrees), 0.0]), [metres, 0.0, 0.0]
    )
    moved = copy.copy(robot)
    moved.mountings = [robot.mountings[0], robot.mountings[1] @ off]
    now = 0.0
    watch = CalibrationWatch((), several=True, clock=lambda: now)
    for number in range(9):
        now += 0.6
        result = moved.process(moved.processor(localizer), number + 1)
        said = watch.take(result)
        if metres:  # each camera says another place, and nothing tells which is right
            assert result.reason is Reason.AMBIGUOUS
            errors = [
                float(transforms.pose_distance(one.pose, robot.map_from_base)[0])
                for one in result.alternatives
            ]
            assert min(errors) < 0.05
            assert max(errors) > 0.2
    assert bool(said) == noticed
    if noticed:
        words = said.split()
        assert ' '.join(words[:5]) == 'side: 9 moments put it'
        assert float(words[5]) == pytest.approx(metres, abs=0.05)
        assert float(words[8]) == pytest.approx(degrees, abs=0.6)


@pytest.mark.parametrize('blind', [[], [0]])
def test_the_map_is_chosen_by_all_cameras(
    robot: TwoCameras, localizer: Localizer, blind: list[int]
) -> None:
    """Also by the second one, where the first sees nothing."""
    order = np.random.default_rng(0).permutation(len(localizer.map.runtime.descriptors))
    runtime = dataclasses.replace(
        localizer.map.runtime, descriptors=localizer.map.runtime.descriptors[order]
    )
    other = Localizer(dataclasses.replace(localizer.map, runtime=runtime))
    choice = MapChoice([other, localizer])
    images = robot.mounted(blind)
    verdicts = []
    for number in range(4):
        result = robot.process(robot.processor(other), number + 1, blind=blind)
        assert result.localization is not None
        verdicts.append(choice.look(images, result.localization, has_pose=False).change_to)
    assert verdicts == [None, None, 1, 1]


def test_maps_that_one_camera_cannot_tell_apart_are_told_apart_by_both(
    robot: TwoCameras, localizer: Localizer
) -> None:
    """What the second camera sees is in one of the maps only."""
    runtime = localizer.map.runtime
    seen = localizer.localize(robot.images[0], robot.camera)
    assert seen.map_from_camera is not None
    known = {point.tobytes() for point in seen.points.astype(np.float32)}
    described = runtime.points[runtime.descriptor_point]
    others = np.flatnonzero([point.tobytes() not in known for point in described])
    descriptors = np.array(runtime.descriptors)
    descriptors[others] = descriptors[np.random.default_rng(0).permutation(others)]
    floor = dataclasses.replace(runtime, descriptors=descriptors)
    alike = Localizer(dataclasses.replace(localizer.map, runtime=floor))
    images = robot.mounted()
    assert alike.localize(robot.images[0], robot.camera).localized
    assert not alike.localize(robot.images[1], robot.camera).localized
    found = robot.process(robot.processor(localizer), 1).localization
    assert found is not None
    first_only = MapChoice([localizer, alike]).look(images[:1], seen, has_pose=True)
    assert first_only.doubt
    choice = MapChoice([localizer, alike])
    verdicts = [choice.look(images, found, has_pose=True) for _ in range(2)]
    assert verdicts[-1].doubt == ''
    assert verdicts[-1].change_to is None


@pytest.mark.parametrize('track', [False, True])
def test_a_kept_failure_holds_all_images_and_is_localized_again(
    robot: TwoCameras,
    localizer: Localizer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    track: bool,
) -> None:
    now = 0.0
    recorder = FailureRecorder(
        folder=str(tmp_path), most=9, most_mb=50.0, map_path='m', clock=lambda: now
    )
    processor = robot.processor(localizer, track=track)
    paths = []
    for number, blind in enumerate(([], [], [0, 1], [1])):
        now += 2.0
        result = robot.process(processor, (number + 1) * 10**8, blind=blind)
        if not blind or len(blind) == 1:  # as if it had been refused
            assert result.localized
            result = dataclasses.replace(
                result, reason=Reason.UNCONFIRMED, map_from_base=None, covariance=None
            )
        path = recorder.record(result)
        assert path is not None
        bundle = read_bundle(path)
        assert [one.name for one in bundle.moment.images] == ['front', 'side']
        for one, mounting in zip(bundle.moment.images, robot.mountings, strict=True):
            np.testing.assert_array_equal(one.body_from_camera, mounting)
        assert (bundle.moment.prior is not None) == (track and number > 0)
        paths.append(str(path))
    command = ['replay', *paths, '--map', str(localizer.map.path), '--check']
    assert main([*command, *(['--track'] if track else [])]) == 0
    both, again, dark, one = capsys.readouterr().out.splitlines()[:4]
    for line in (both, again):
        assert 'inliers in 2 images); 0.000000 m, 0.000000 rad from' in line
    assert dark.endswith('too dark or too bright (0 matches, 0 inliers); as recorded')
    assert one.endswith('; 0.000000 m, 0.000000 rad from the recorded pose')
