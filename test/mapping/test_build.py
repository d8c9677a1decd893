"""A recording becomes a whole map, the same one every time, or none with a line that says why."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from same_map import assert_same_map

from hloc_localizer.errors import HlocLocalizerError, InputError
from hloc_localizer.geometry.alignment import align_points
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.mapping import build_map
from hloc_localizer.mapping.options import BuildOptions
from hloc_localizer.mapping.report import BuildReport
from hloc_localizer.maps import Map, verify_map
from hloc_localizer.sources import open_source
from hloc_localizer.sources.frame import Frame
from hloc_localizer.sources.options import SourceOptions
from hloc_localizer.sources.rig import Rig

SMALL = BuildOptions().with_values(
    {'sift.max_keypoints': 800, 'vlad.clusters': 16, 'pairs.covisible': 5, 'threads': 2}
)
FILES = ('localizer.safetensors', 'features.h5', 'global-features.h5')


@dataclasses.dataclass
class Recording:
    """Frames at hand, as a source."""

    all_frames: Sequence[Frame]
    cameras: Mapping[str, Camera]
    pose_problem: str = ''
    intrinsics: Mapping[str, str] = dataclasses.field(default_factory=dict)
    calibration_problem: str = ''
    rigs: Sequence[Rig] = ()
    rig_problem: str = ''
    notes: Sequence[str] = ()
    description: Mapping[str, str] = dataclasses.field(default_factory=dict)
    files: Sequence[Path] = ()

    def __len__(self) -> int:
        return len(self.all_frames)

    def frames(self) -> Iterator[Frame]:
        return iter(self.all_frames)


class Listener:
    """Remembers what a build tells."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.steps: dict[str, int] = {}
        self.notes: list[str] = []
        self.clouds: list[tuple[str, int]] = []

    def plan(self, stages: Sequence[tuple[str, float]]) -> None:
        self.planned = [name for name, _ in stages]

    def stage(self, name: str, total: int | None = None) -> None:
        self.stages.append(name)
        self.steps[name] = 0

    def advance(self, steps: int = 1) -> None:
        self.steps[self.stages[-1]] += steps

    def note(self, text: str) -> None:
        self.notes.append(text)

    def cloud(self, points: np.ndarray, colors: np.ndarray) -> None:
        assert points.shape == colors.shape == (len(points), 3)
        self.clouds.append((self.stages[-1], len(points)))


@pytest.fixture(scope='module')
def camera(shared_data: Path) -> Mapping[str, Camera]:
    return open_source(shared_data / 'data' / 'lounge' / 'map', SourceOptions()).cameras


@pytest.fixture(scope='module')
def walk(lounge_frames: list[Frame], camera: Mapping[str, Camera]) -> Recording:
    return Recording(lounge_frames, camera, description={'path': 'lounge/map'})


@pytest.fixture(scope='module')
def built(
    walk: Recording, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, BuildReport, Listener]:
    output, listener = tmp_path_factory.mktemp('maps') / 'walk', Listener()
    report = build_map(walk, output, SMALL, listener)
    return output, report, listener


def refused(source: Recording, tmp_path: Path, options: BuildOptions = SMALL) -> str:
    """Build a map that cannot be; check that nothing of it is left; return the error's line."""
    output = tmp_path / 'map'
    with pytest.raises(HlocLocalizerError) as told:
        build_map(source, output, options)
    assert list(tmp_path.iterdir()) == []
    assert '\n' not in str(told.value)
    return str(told.value)


def changed(source: Recording, change: Callable[[Frame], Frame]) -> Recording:
    return dataclasses.replace(source, all_frames=[change(one) for one in source.all_frames])


def test_manifest_tells_what_the_map_holds(built: tuple[Path, BuildReport, Listener]) -> None:
    output, report, _ = built
    assert verify_map(output).ok
    loaded = Map.load(output)
    manifest, runtime = loaded.manifest, loaded.runtime
    told = manifest.statistics
    assert told.images == report.images == len(runtime.image_names) >= 10
    assert told.points == report.points == len(runtime.points) > 300
    assert told.observations == report.observations == len(runtime.observation_point)
    assert told.mean_track_length == pytest.approx(told.observations / told.points)
    assert told.mean_track_length >= 3.0
    assert 0.1 < told.mean_reprojection_error_px < 1.2
    assert manifest.front_end.name == 'sift'
    assert manifest.front_end.parameters['max_keypoints'] == 800
    assert manifest.global_descriptor.name == 'vlad'
    assert manifest.metric
    assert manifest.provenance.options['pairs']['covisible'] == 5
    assert manifest.provenance.source == {'path': 'lounge/map'}
    assert set(FILES) <= set(manifest.files)
    assert report.frames == 15
    assert report.compiled_bytes == (output / 'localizer.safetensors').stat().st_size
    assert report.moved_m == manifest.alignment['position_median_m'] < 0.03
    assert report.turned_deg < 0.5


def test_refined_calibration_stands_beside_the_recorded_one(
    built: tuple[Path, BuildReport, Listener], camera: Mapping[str, Camera]
) -> None:
    manifest = Map.load(built[0]).manifest
    ((name, recorded),) = camera.items()
    assert manifest.recorded_cameras[name].is_close_to(recorded)
    ratio = manifest.cameras[name].focal_px / recorded.focal_px
    assert 0.95 < ratio < 1.05
    assert ratio != 1.0


def test_stages_are_told_and_timed(
    walk: Recording, built: tuple[Path, BuildReport, Listener]
) -> None:
    _, report, listener = built
    assert listener.stages == [
        'extract', 'describe', 'match', 'reconstruct', 'compile', 'report', 'write',
    ]  # fmt: skip
    assert list(report.stage_s) == listener.stages
    assert listener.steps['extract'] == len(walk)
    assert listener.planned == listener.stages
    assert listener.steps['match'] > report.images
    assert listener.notes == []
    lines = '\n'.join(report.lines())
    assert f'{report.images} images of 15 frames, {report.points} points' in lines


def test_points_are_shown_while_the_build_goes_on(
    built: tuple[Path, BuildReport, Listener],
) -> None:
    _, report, listener = built
    assert [stage for stage, _ in listener.clouds] == ['reconstruct']
    assert listener.clouds[0][1] > 0.5 * report.points


def test_same_recording_gives_the_same_map_read_from_its_bag_again(
    built: tuple[Path, BuildReport, Listener], shared_data: Path, tmp_path: Path
) -> None:
    bag = open_source(shared_data / 'data' / 'lounge' / 'map', SourceOptions(duration_s=4.0))
    build_map(bag, tmp_path / 'again', SMALL)
    source = Map.load(tmp_path / 'again').manifest.provenance.source
    assert source['path'].endswith('lounge/map')
    assert_same_map(built[0], tmp_path / 'again')


def without_poses(walk: Recording) -> Recording:
    blind = changed(walk, lambda one: dataclasses.replace(one, map_from_camera=None))
    blind.pose_problem = 'no transform from map to camera; give poses_file'
    return blind


def test_a_recording_with_odometry_alone_becomes_a_metric_map(
    walk: Recording, built: tuple[Path, BuildReport, Listener], tmp_path: Path
) -> None:
    listener = Listener()
    report = build_map(without_poses(walk), tmp_path / 'map', SMALL, listener)
    assert listener.notes == [
        'poses are found from the images (no transform from map to camera; give poses_file)'
    ]
    assert listener.stages == [
        'extract', 'describe', 'match', 'verify', 'place', 'match', 'reconstruct', 'compile',
        'report', 'write',
    ]  # fmt: skip
    loaded, known = Map.load(tmp_path / 'map'), Map.load(built[0])
    manifest = loaded.manifest
    assert manifest.metric
    assert manifest.gravity_aligned
    assert manifest.methods == {
        'poses': 'global mapper',
        'scale': 'odometry',
        'gravity': 'odometry',
    }
    assert manifest.alignment['scale_relative_error'] < 0.02
    assert 'metric by odometry (+-' in report.scale
    assert report.images == report.selected == len(known.runtime.image_names)
    positions, truth = (each.runtime.map_from_camera[:, :3, 3] for each in (loaded, known))
    found = align_points(positions, truth)
    assert float(np.median(found.residuals)) < 0.01
    assert align_points(positions, truth, with_scale=True).scale == pytest.approx(1.0, abs=0.02)
    assert np.degrees(np.arccos(found.rotation[2, 2])) < 0.7


def test_a_recording_of_images_alone_becomes_a_map_that_is_not_metric(
    walk: Recording, tmp_path: Path
) -> None:
    blind = changed(
        without_poses(walk), lambda one: dataclasses.replace(one, odom_from_camera=None)
    )
    blind.pose_problem = 'none'
    listener = Listener()
    report = build_map(blind, tmp_path / 'map', SMALL, listener)
    assert not Map.load(tmp_path / 'map').manifest.metric
    assert report.scale.startswith('NOT METRIC')
    assert any(note.startswith('the map is NOT METRIC: nothing tells') for note in listener.notes)


def test_too_few_frames_are_refused_with_a_remedy(walk: Recording, tmp_path: Path) -> None:
    short = dataclasses.replace(walk, all_frames=walk.all_frames[::10])
    line = refused(short, tmp_path)
    assert line.startswith('only 2 usable images')
    assert 'record longer' in line
    standing = dataclasses.replace(
        walk,
        all_frames=[
            dataclasses.replace(walk.all_frames[0], stamp_ns=one.stamp_ns)
            for one in walk.all_frames
        ],
    )
    assert refused(standing, tmp_path).startswith('only 1 usable images')


def test_too_many_images_are_refused(walk: Recording, tmp_path: Path) -> None:
    options = SMALL.with_values({'frames.max_images': 5})
    assert refused(walk, tmp_path, options).startswith('more than 5 images')


@pytest.mark.parametrize(('level', 'why'), [(0, 'too dark or too bright'), (128, 'no texture')])
def test_images_without_texture_are_refused(
    walk: Recording, tmp_path: Path, level: int, why: str
) -> None:
    blank = changed(
        walk, lambda one: dataclasses.replace(one, image=np.full_like(one.image, level))
    )
    assert why in refused(blank, tmp_path)


def test_images_with_next_to_no_texture_are_refused(walk: Recording, tmp_path: Path) -> None:
    def dotted(dots: int) -> Recording:
        image = np.full((360, 540), 128, np.uint8)
        for dot in range(dots):
            cv2.circle(image, (60 + 70 * dot, 180), 9, 255, -1)
        return changed(walk, lambda one: dataclasses.replace(one, image=image))

    many_words = SMALL.with_values({'vlad.clusters': 1024})
    assert 'too little texture' in refused(dotted(1), tmp_path, many_words)
    # Enough to describe an image by, but not to build on.
    assert refused(dotted(5), tmp_path).startswith('no map could be built')


def test_images_that_never_overlap_are_refused(walk: Recording, tmp_path: Path) -> None:
    def apart(one: Frame) -> Frame:
        pose = np.eye(4)
        pose[0, 3] = 1000.0 * (one.stamp_ns % 10**12) / 10**9
        return dataclasses.replace(one, map_from_camera=pose)

    options = SMALL.with_values({'pairs.retrieved': 0})
    assert refused(changed(walk, apart), tmp_path, options).startswith('no two images overlap')


@pytest.mark.parametrize('off_m', [1.0, 5.0])
def test_poses_that_are_not_the_cameras_make_no_map(
    walk: Recording, tmp_path: Path, off_m: float
) -> None:
    random = np.random.default_rng(0)

    def moved(one: Frame) -> Frame:
        assert one.map_from_camera is not None
        pose = one.map_from_camera.copy()
        pose[:3, 3] += random.uniform(-off_m, off_m, 3)
        return dataclasses.replace(one, map_from_camera=pose)

    assert refused(changed(walk, moved), tmp_path).startswith('no map could be built')


def test_interrupted_build_leaves_nothing(walk: Recording, tmp_path: Path) -> None:
    class Interrupting(Listener):
        def advance(self, steps: int = 1) -> None:
            if self.stages[-1] == 'match':
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_map(walk, tmp_path / 'map', SMALL, Interrupting())
    assert list(tmp_path.iterdir()) == []


def test_source_that_fails_midway_leaves_nothing(walk: Recording, tmp_path: Path) -> None:
    class Damaged(Recording):
        def frames(self) -> Iterator[Frame]:
            yield from self.all_frames[:5]
            raise InputError('map.mcap: ends in the middle of a message; record it again')

    damaged = Damaged(walk.all_frames, walk.cameras)
    assert refused(damaged, tmp_path).startswith('map.mcap: ends in the middle')


def test_existing_map_stays_unless_it_may_be_replaced(
    built: tuple[Path, BuildReport, Listener], walk: Recording
) -> None:
    output = built[0]
    before = (output / 'map.yaml').read_bytes()
    with pytest.raises(InputError, match='already exists'):
        build_map(walk, output, SMALL)
    failing = dataclasses.replace(walk, all_frames=walk.all_frames[::10])
    with pytest.raises(InputError, match='only 2 usable images'):
        build_map(failing, output, SMALL.with_values({'overwrite': True}))
    assert (output / 'map.yaml').read_bytes() == before
    assert verify_map(output).ok
    assert os.listdir(output.parent) == [output.name]
