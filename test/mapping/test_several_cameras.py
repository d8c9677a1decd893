"""Recordings of several cameras become metric maps, or are refused for what they lack."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from stereo_drive import LEFT_FROM_RIGHT, TOPICS, StereoDrive, stereo_drive

from hloc_localizer.errors import InputError
from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.alignment import align_points
from hloc_localizer.mapping import build_map
from hloc_localizer.mapping.enough_images import RecordingWatch
from hloc_localizer.mapping.options import BuildOptions
from hloc_localizer.mapping.prune import prune_map
from hloc_localizer.mapping.report import BuildReport
from hloc_localizer.maps import Map
from hloc_localizer.maps.colmap_model import read_colmap_model
from hloc_localizer.sources import open_source, open_sources
from hloc_localizer.sources.frame import Frame

STEREO = BuildOptions().with_values(
    {
        'source.image_topic': ','.join(TOPICS.values()),
        'sift.max_keypoints': 700,
        'vlad.clusters': 16,
        'pairs.covisible': 8,
        'report.held_out': 4,
    }
)


@pytest.fixture(scope='module')
def drive() -> StereoDrive:
    return stereo_drive(10)


def refused(path: Path, tmp_path: Path, options: BuildOptions = STEREO) -> str:
    output = tmp_path / 'map'
    with pytest.raises(InputError) as told:
        build_map(open_source(path, options.source), output, options)
    assert not output.exists()
    assert '\n' not in str(told.value)
    return str(told.value)


@pytest.fixture(scope='module')
def built(drive: StereoDrive, tmp_path_factory: pytest.TempPathFactory) -> tuple[Map, BuildReport]:
    folder = tmp_path_factory.mktemp('stereo')
    source = open_source(drive.write(folder / 'drive'), STEREO.source)
    report = build_map(source, folder / 'map', STEREO)
    return Map.load(folder / 'map'), report


def test_a_bag_of_a_stereo_camera_becomes_a_metric_map(
    drive: StereoDrive, built: tuple[Map, BuildReport]
) -> None:
    loaded, report = built
    assert loaded.manifest.metric
    assert loaded.manifest.methods['scale'] == 'rig'
    assert 'metric by rig (+-' in report.scale
    poses = dict(zip(loaded.runtime.image_names, loaded.runtime.map_from_camera, strict=True))
    truth = drive.truth()
    assert len(poses) == report.selected >= 14
    mine, theirs = (np.stack([known[name][:3, 3] for name in poses]) for known in (poses, truth))
    scale = align_points(mine, theirs, with_scale=True).scale
    assert scale == pytest.approx(1.0, abs=0.01)
    assert abs(scale - 1.0) < 3.0 * loaded.manifest.alignment['scale_relative_error']
    assert float(np.median(align_points(mine, theirs).residuals)) < 0.01
    for number in range(len(drive.stamps_ns)):
        left, right = (f'{n}/{drive.stamp_ns(n, number)}.jpg' for n in ('left', 'right'))
        assert (left in poses) == (right in poses)
        if left in poses:
            moved, _ = transforms.pose_distance(
                transforms.invert(poses[left]) @ poses[right], LEFT_FROM_RIGHT
            )
            assert moved < 1e-5
    model = read_colmap_model(loaded.path / 'sfm').reconstruction
    assert model.num_rigs() == 1
    assert model.num_frames() == len(poses) // 2


def test_pruning_takes_single_images_out_of_a_rig(
    built: tuple[Map, BuildReport], tmp_path: Path
) -> None:
    prune_map(built[0], tmp_path / 'pruned', images=9)
    names = set(Map.load(tmp_path / 'pruned').runtime.image_names)
    assert len(names) == 9
    model = read_colmap_model(tmp_path / 'pruned' / 'sfm')
    assert {image.name for image in model.images} == names
    before = {
        image.name: image.map_from_camera
        for image in read_colmap_model(built[0].path / 'sfm').images
    }
    assert all(np.allclose(image.map_from_camera, before[image.name]) for image in model.images)


def test_recorded_poses_are_held_to_the_mounting_too(drive: StereoDrive, tmp_path: Path) -> None:
    options = STEREO.with_values({'sift.max_keypoints': 400})
    source = open_source(drive.write(tmp_path / 'drive', posed=True), options.source)
    build_map(source, tmp_path / 'map', options)
    loaded = Map.load(tmp_path / 'map')
    assert loaded.manifest.methods == {'poses': 'recorded'}
    model = read_colmap_model(tmp_path / 'map' / 'sfm').reconstruction
    assert model.num_rigs() == 1
    assert 2 * model.num_frames() == len(loaded.runtime.image_names) >= 14
    truth = drive.truth()
    moved, _ = transforms.pose_distance(
        loaded.runtime.map_from_camera,
        np.stack([truth[name] for name in loaded.runtime.image_names]),
    )
    assert float(np.median(moved)) < 0.01


def test_cameras_of_unknown_mounting_are_refused(drive: StereoDrive, tmp_path: Path) -> None:
    path = drive.write(tmp_path / 'drive', left_from_right=None)
    line = refused(path, tmp_path)
    assert line.startswith(f"{path}: it is not known how the cameras 'left' and 'right' are")
    assert 'record /tf_static, or choose one camera with --set source.image_topic=TOPIC' in line


def test_odometry_of_each_camera_stands_in_for_a_mounting() -> None:
    def frames(odometry: bool) -> Iterator[Frame]:
        for number in range(8):
            yield Frame(
                name=f'{number}.jpg',
                stamp_ns=number * 300_000_000,
                image=np.zeros((30, 40), np.uint8),
                camera_name=('left', 'right')[number % 2],
                odom_from_camera=np.eye(4) if odometry else None,
            )

    class Moving:
        rig_problem = 'the right camera turns'
        pose_problem = ''

        def __init__(self, odometry: bool) -> None:
            self.frames = lambda: frames(odometry)

    assert len(list(RecordingWatch(Moving(True), posed=False).frames())) == 8
    with pytest.raises(InputError, match='the right camera turns'):
        list(RecordingWatch(Moving(False), posed=False).frames())


def test_bags_of_one_camera_each_are_no_rig(drive: StereoDrive, tmp_path: Path) -> None:
    first, second = (drive.write(tmp_path / name, left_from_right=None) for name in 'ab')
    one = STEREO.with_values({'source.image_topic': TOPICS['left']})
    other = STEREO.with_values({'source.image_topic': TOPICS['right']})
    assert open_sources([first, second], one.source).rig_problem == ''
    assert open_source(second, other.source).rig_problem == ''


def test_a_bag_of_a_tenth_of_a_second_is_too_short(shared_data: Path, tmp_path: Path) -> None:
    lenses = {
        'left.yaml': (284.468, 285.51, 424.355, 393.742, 0.0008, 0.031, -0.03, 0.005),
        'right.yaml': (283.999, 285.266, 417.246, 400.402, -0.002, 0.039, -0.038, 0.007),
    }
    for name, (fx, fy, cx, cy, *distortion) in lenses.items():
        values = {
            'image_width': 848,
            'image_height': 800,
            'camera_matrix': {'data': [fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0]},
            'distortion_model': 'equidistant',
            'distortion_coefficients': {'data': distortion},
        }
        (tmp_path / name).write_text(yaml.safe_dump(values))
    options = BuildOptions().with_values(
        {
            'source.image_topic': '/camera/fisheye1/image_raw,/camera/fisheye2/image_raw',
            'source.camera_info_file': ','.join(str(tmp_path / name) for name in lenses),
        }
    )
    path = shared_data / 'data' / 'bags' / 't265_ros1.bag'
    source = open_source(path, options.source)
    assert {camera.model for camera in source.cameras.values()} == {'OPENCV_FISHEYE'}
    assert refused(path, tmp_path, options) == (
        'the recording is too short for a map: 6 images in 0.1 s; record while moving, for as '
        'long as it takes to see every place from several sides'
    )
