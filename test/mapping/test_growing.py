"""A map that grows: by a new recording of the place, and by another map of it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from same_map import assert_same_map

from hloc_localizer.cli import main
from hloc_localizer.errors import HlocLocalizerError, InputError
from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.pose_alignment import PoseAlignment
from hloc_localizer.geometry.trajectory import Trajectory
from hloc_localizer.localization import Localizer
from hloc_localizer.mapping import BuildOptions, build_map
from hloc_localizer.mapping.extend import extend_map
from hloc_localizer.mapping.join_report import JoinReport
from hloc_localizer.mapping.known_tracks import tracks_of_map
from hloc_localizer.mapping.map_images import features_of
from hloc_localizer.mapping.merge import merge_maps
from hloc_localizer.mapping.session import unused_names
from hloc_localizer.mapping.tracks import tracks_of
from hloc_localizer.mapping.transform_map import transform_map
from hloc_localizer.maps import Map, verify_map
from hloc_localizer.maps.colmap_model import read_colmap_model
from hloc_localizer.maps.hloc_files import read_all_features
from hloc_localizer.progress import SilentProgress
from hloc_localizer.sources import SourceOptions, open_source
from hloc_localizer.sources.tum import read_tum

ROOT = Path(__file__).parents[2]
QUICK_VALUES = {
    'sift.max_keypoints': 1000,
    'vlad.clusters': 16,
    'pairs.covisible': 5,
    'report.held_out': 24,
    'source.duration_s': 10.0,
    'threads': 1,
}
QUICK = BuildOptions().with_values(QUICK_VALUES)
"""The first ten seconds; the recording ``query`` has the fourth and eighth second of these."""


@pytest.fixture(scope='module')
def lounge(shared_data: Path) -> Path:
    return shared_data / 'data' / 'lounge'


@pytest.fixture(scope='module')
def base(lounge: Path, tmp_path_factory: pytest.TempPathFactory) -> Map:
    output = tmp_path_factory.mktemp('base') / 'map'
    build_map(open_source(lounge / 'map', QUICK.source), output, QUICK)
    return Map.load(output)


@pytest.fixture(scope='module')
def truth(lounge: Path) -> Trajectory:
    return read_tum(lounge / 'query.camera.tum')


def errors_of_new(grown: Map, truth: Trajectory, session: str) -> tuple[float, float]:
    """Return the median errors of the images of a session, metres and degrees."""
    found, expected = [], []
    for name, pose in zip(grown.runtime.image_names, grown.runtime.map_from_camera, strict=True):
        if name.startswith(f'{session}/'):
            near = int(np.argmin(np.abs(truth.stamps_ns - int(Path(name).stem))))
            assert abs(int(truth.stamps_ns[near]) - int(Path(name).stem)) < 1_000_000
            found.append(pose)
            expected.append(truth.poses[near])
    metres, radians = transforms.pose_distance(np.stack(found), np.stack(expected))
    return float(np.median(metres)), float(np.degrees(np.median(radians)))


def assert_grown(grown: Map, base: Map, session: str) -> None:
    """Check that the map is whole, and that the old one is in it as it was."""
    assert verify_map(grown.path).ok
    count = len(base.runtime.image_names)
    assert grown.runtime.image_names[:count] == base.runtime.image_names
    assert all(name.startswith(f'{session}/') for name in grown.runtime.image_names[count:])
    np.testing.assert_allclose(
        grown.runtime.map_from_camera[:count], base.runtime.map_from_camera, atol=1e-9
    )
    np.testing.assert_array_equal(
        grown.runtime.global_descriptors[:count], base.runtime.global_descriptors
    )
    for name, array in base.runtime.retrieval_arrays.items():
        np.testing.assert_array_equal(grown.runtime.retrieval_arrays[name], array)
    assert grown.manifest.cameras == base.manifest.cameras
    assert set(read_all_features(grown.path / 'features.h5')) == set(grown.runtime.image_names)
    model = read_colmap_model(grown.path / 'sfm')
    assert model.reconstruction.num_points3D() == len(grown.runtime.points)
    assert len(grown.runtime.points) > 1.05 * len(base.runtime.points)
    assert not np.any(np.all(grown.runtime.point_colors == 0, axis=1))


def test_the_tracks_of_a_map_are_those_of_its_model(base: Map) -> None:
    tracks = tracks_of_map(base, features_of(base))
    expected = tracks_of(read_colmap_model(base.path / 'sfm').reconstruction)
    np.testing.assert_array_equal(tracks.image, expected.image)
    same = tracks.keypoint == expected.keypoint
    # Of two keypoints at one place, a shared descriptor may be nearer to the wrong one.
    assert np.mean(same) > 0.99
    np.testing.assert_array_equal(tracks.point[same], expected.point[same])


@pytest.fixture(scope='module')
def added(
    base: Map, lounge: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Map, JoinReport]:
    """Return the map to which the recording `query` was added, without an interruption."""
    output = tmp_path_factory.mktemp('added') / 'grown'
    source = open_source(lounge / 'query', QUICK.source)
    report = extend_map(base, source, output, QUICK, keep_all=True)
    assert os.listdir(output.parent) == ['grown']
    return Map.load(output), report


def test_a_recording_is_added_by_localizing_it(
    base: Map, added: tuple[Map, JoinReport], lounge: Path, truth: Trajectory, tmp_path: Path
) -> None:
    source = open_source(lounge / 'query', QUICK.source)
    grown, report = added
    assert_grown(grown, base, 'query')
    metres, degrees = errors_of_new(grown, truth, 'query')
    assert metres < 0.025
    assert degrees < 0.6
    assert report.images - report.images_before >= 8
    assert report.map_moved_m < 1e-8
    assert report.shared_points > 200
    for before, after in report.recall.values():
        assert after.found >= before.found
        assert after.wrong == 0
    assert 'images were found in the map' in report.lines()[0]
    told = grown.manifest.provenance.source
    assert told['path'].endswith('lounge/query')
    assert 'images with' in told['extended']
    with pytest.raises(InputError, match=r'query: is in the map .* already; give another'):
        extend_map(grown, source, tmp_path / 'again', QUICK)
    assert not (tmp_path / 'again').exists()
    frame = next(open_source(lounge / 'map', SourceOptions(start_s=4.5)).frames())
    found = Localizer(grown).localize(frame.image, next(iter(source.cameras.values())))
    assert transforms.pose_distance(found.map_from_camera, frame.map_from_camera)[0] < 0.03


class Interrupted(SilentProgress):
    """Presses Ctrl-C at the beginning of a stage."""

    def __init__(self, at: str) -> None:
        self.notes: list[str] = []
        self.stages: list[str] = []
        self._at = at

    def stage(self, name: str, total: int | None = None) -> None:
        self.stages.append(name)
        if name == self._at:
            raise KeyboardInterrupt

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_adding_a_recording_goes_on_where_it_was_interrupted(
    base: Map, added: tuple[Map, JoinReport], lounge: Path, tmp_path: Path
) -> None:
    output = tmp_path / 'grown'
    before = {path: path.read_bytes() for path in base.path.rglob('*') if path.is_file()}
    command = [
        sys.executable, '-m', 'hloc_localizer', 'build', lounge / 'query', '-o', output, '--extend',
        base.path, '--keep-all', '--set',
        *(f'{name}={value}' for name, value in QUICK_VALUES.items()),
    ]  # fmt: skip
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith('localize'):  # it has ended, and matching has begun
            process.kill()
    assert process.wait(60.0) == -signal.SIGKILL
    assert not output.exists()
    source = open_source(lounge / 'query', QUICK.source)
    for at, after in (('reconstruct', 'localize'), ('report', 'match'), ('', 'reconstruct')):
        progress = Interrupted(at)
        with pytest.raises(KeyboardInterrupt) if at else contextlib.nullcontext():
            extend_map(base, source, output, QUICK, progress, keep_all=True)
        assert progress.notes[0] == f"resuming after '{after}' of an interrupted build"
        assert progress.stages[0] == ('match' if at == 'reconstruct' else
                                      'reconstruct' if at else 'compile')  # fmt: skip
    assert_same_map(output, added[0].path)
    assert os.listdir(tmp_path) == ['grown']
    assert {path: path.read_bytes() for path in base.path.rglob('*') if path.is_file()} == before


def test_what_was_added_otherwise_is_not_taken_over(
    base: Map, lounge: Path, tmp_path: Path
) -> None:
    source = open_source(lounge / 'query', QUICK.source)
    with pytest.raises(KeyboardInterrupt):
        extend_map(base, source, tmp_path / 'out', QUICK, Interrupted('localize'))
    manifest = dataclasses.replace(base.manifest, map_frame='another')
    progress = Interrupted('extract')
    other = dataclasses.replace(base, manifest=manifest)
    with pytest.raises(KeyboardInterrupt):
        extend_map(other, source, tmp_path / 'out', QUICK, progress)
    assert progress.notes == [
        'starting anew, not where an interrupted build stopped (the map changed)'
    ]


def test_recorded_poses_and_another_camera(
    base: Map, lounge: Path, truth: Trajectory, tmp_path: Path
) -> None:
    known = dataclasses.replace(
        QUICK.source,
        poses='file',
        poses_file=str(lounge / 'query.camera.tum'),
        poses_child='camera',
    )
    manifest = dataclasses.replace(
        base.manifest,
        recorded_cameras={
            name: dataclasses.replace(camera, params=(600.0, *camera.params[1:]))
            for name, camera in base.manifest.recorded_cameras.items()
        },
    )
    # The map was recorded by a camera that is not the one of the new recording.
    changed = dataclasses.replace(base, manifest=manifest)
    extend_map(
        changed, open_source(lounge / 'query', known), tmp_path / 'grown', QUICK, keep_all=True
    )
    grown = Map.load(tmp_path / 'grown')
    metres, degrees = errors_of_new(grown, truth, 'query')
    assert metres < 0.015
    assert degrees < 0.5
    assert len(grown.manifest.cameras) == 2
    assert len(grown.runtime.cameras) == 2
    new = grown.runtime.image_camera[len(base.runtime.image_names) :]
    assert set(new.tolist()) == {1}
    first, second = (camera.focal_px for camera in grown.runtime.cameras)
    assert second == pytest.approx(first, rel=0.02)


def test_a_map_in_another_frame_is_merged(
    base: Map, lounge: Path, truth: Trajectory, tmp_path: Path
) -> None:
    options = dataclasses.replace(
        QUICK,
        source=dataclasses.replace(
            QUICK.source,
            poses='file',
            poses_file=str(lounge / 'query.camera.tum'),
            poses_child='camera',
            duration_s=14.0,
        ),
    )
    build_map(open_source(lounge / 'query', options.source), tmp_path / 'there', options)
    there = Map.load(tmp_path / 'there')
    own = PoseAlignment(
        scale=0.37,
        rotation=transforms.rotation_from_rotvec([0.4, -1.0, 2.0]),
        translation=np.array([5.0, -3.0, 2.0]),
        position_residuals=np.zeros(0),
        rotation_residuals=np.zeros(0),
        inliers=np.zeros(0, np.bool_),
        scale_sigma=0.0,
    )
    unscaled = dataclasses.replace(there.manifest, metric=False, gravity_aligned=False)
    transform_map(there, own, unscaled, tmp_path / 'other')
    other = Map.load(tmp_path / 'other')
    with pytest.raises(KeyboardInterrupt):
        merge_maps(base, other, tmp_path / 'grown', QUICK, progress=Interrupted('reconstruct'))
    progress = Interrupted('')
    aligned, joined = merge_maps(base, other, tmp_path / 'grown', QUICK, progress=progress)
    assert progress.notes == ["resuming after 'match' of an interrupted build"]
    assert 'match' not in progress.stages
    grown = Map.load(tmp_path / 'grown')
    assert_grown(grown, base, 'other')
    assert aligned.alignment.scale == pytest.approx(1.0 / 0.37, rel=0.03)
    metres, degrees = errors_of_new(grown, truth, 'other')
    assert metres < 0.03
    assert degrees < 0.7
    assert joined.map_moved_m < 1e-8
    assert joined.images == joined.images_before + len(other.runtime.image_names)
    assert grown.manifest.metric
    assert 'images with' in grown.manifest.provenance.source['merged']
    with pytest.raises(InputError, match=r'has no scale and .* has: give them in the'):
        merge_maps(other, base, tmp_path / 'less', QUICK)


def test_maps_and_recordings_that_do_not_fit(base: Map, lounge: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match='is given twice'):
        merge_maps(base, base, tmp_path / 'out', QUICK)
    front_end = dataclasses.replace(base.manifest.front_end, parameters={'max_keypoints': 7})
    strange = dataclasses.replace(
        base,
        path=tmp_path / 'strange',
        manifest=dataclasses.replace(base.manifest, front_end=front_end),
    )
    with pytest.raises(InputError, match='differ in their front end'):
        merge_maps(base, strange, tmp_path / 'out', QUICK)
    # Another part of the room, which ten seconds of the map never saw.
    elsewhere = dataclasses.replace(QUICK.source, start_s=28.0, duration_s=2.0)
    with pytest.raises(HlocLocalizerError, match='images of the recording are found'):
        extend_map(base, open_source(lounge / 'query', elsewhere), tmp_path / 'out', QUICK)
    assert not (tmp_path / 'out').exists()


def test_sessions_get_names_of_their_own() -> None:
    taken = ['camera/1.jpg', 'query/camera/1.jpg', 'query-2/camera/1.jpg']
    assert unused_names(taken, ['query', 'camera', 'new']) == ['query-3', 'camera-2', 'new']


@pytest.mark.parametrize(
    ('options', 'complaint'),
    [
        (['--refine-map'], '--refine-map and --keep-all are for --extend MAP'),
        (['--extend', 'nowhere'], 'nowhere: there is no such map folder'),
        (['--extend', 'x', '--align-to', 'tf:map'], 'an extended map stays in its frame'),
    ],
)
def test_options_that_do_not_go_together(
    options: list[str], complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['build', str(tmp_path), '-o', str(tmp_path / 'out'), *options]) == 2
    assert complaint in capsys.readouterr().err
