"""A map in a frame of its own, moved into that of TF, of a file of poses, or of another map."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hloc_localizer.errors import HlocLocalizerError, InputError
from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.covariance import unpacked_symmetric
from hloc_localizer.geometry.pose_alignment import PoseAlignment
from hloc_localizer.geometry.trajectory import Trajectory
from hloc_localizer.localization import Localizer
from hloc_localizer.mapping import build_map
from hloc_localizer.mapping.align_to import AlignReport, align_map
from hloc_localizer.mapping.options import BuildOptions
from hloc_localizer.mapping.transform_map import transform_map
from hloc_localizer.maps import Map, verify_map
from hloc_localizer.maps.colmap_model import read_colmap_model
from hloc_localizer.sources import SourceOptions, open_source
from hloc_localizer.sources.tum import read_tum, write_tum

OWN_FROM_MAP = PoseAlignment(
    scale=0.37,
    rotation=transforms.rotation_from_rotvec([0.4, -1.0, 2.0]),
    translation=np.array([5.0, -3.0, 2.0]),
    position_residuals=np.zeros(0),
    rotation_residuals=np.zeros(0),
    inliers=np.zeros(0, np.bool_),
    scale_sigma=0.0,
)
OPTIONS = BuildOptions().with_values(
    {
        'sift.max_keypoints': 1000,
        'vlad.clusters': 16,
        'pairs.covisible': 5,
        'source.duration_s': 6.0,
        'threads': 1,
    }
)
Align = Callable[..., tuple[AlignReport, Map]]


@pytest.fixture(scope='module')
def recorded(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Map:
    """Return a map of six seconds of the lounge in the frame of its recording."""
    output = tmp_path_factory.mktemp('recorded') / 'map'
    build_map(open_source(shared_data / 'data/lounge/map', OPTIONS.source), output, OPTIONS)
    return Map.load(output)


@pytest.fixture(scope='module')
def own(recorded: Map, tmp_path_factory: pytest.TempPathFactory) -> Map:
    """Return the same map in a frame of its own, without scale."""
    output = tmp_path_factory.mktemp('own') / 'map'
    manifest = dataclasses.replace(
        recorded.manifest, metric=False, gravity_aligned=False, map_frame='own'
    )
    transform_map(recorded, OWN_FROM_MAP, manifest, output)
    return Map.load(output)


@pytest.fixture
def align(own: Map, tmp_path: Path) -> Align:
    def run(target: str, **values: object) -> tuple[AlignReport, Map]:
        options = SourceOptions().with_values({'clock': 'trusted', **values})
        report = align_map(own, target, tmp_path / 'aligned', source_options=options)
        return report, Map.load(tmp_path / 'aligned')

    return run


def median_errors(first: Map, second: Map) -> tuple[float, float]:
    metres, radians = transforms.pose_distance(
        first.runtime.map_from_camera, second.runtime.map_from_camera
    )
    return float(np.median(metres)), float(np.degrees(np.median(radians)))


def test_a_map_without_scale_comes_into_the_frame_of_tf(align: Align, recorded: Map) -> None:
    report, aligned = align('tf:map')
    metres, degrees = median_errors(aligned, recorded)
    assert metres < 0.01
    assert degrees < 0.5
    assert report.alignment.scale == pytest.approx(1.0 / 0.37, rel=0.005)
    assert report.inliers == report.poses == len(recorded.runtime.image_names)
    assert verify_map(aligned.path).ok
    manifest = aligned.manifest
    assert (manifest.metric, manifest.gravity_aligned, manifest.map_frame) == (True, True, 'map')
    assert manifest.alignment['aligned_position_median_m'] < 0.03
    assert manifest.provenance.source['aligned_to'] == 'tf:map'
    numbers = [float(word) for word in manifest.provenance.source['aligned_by'].split()]
    assert len(numbers) == 8
    assert numbers[-1] == pytest.approx(report.alignment.scale)


def test_points_their_sigma_and_the_model_move_together(own: Map, recorded: Map) -> None:
    expected = 0.37 * recorded.runtime.points @ OWN_FROM_MAP.rotation.T + OWN_FROM_MAP.translation
    np.testing.assert_allclose(own.runtime.points, expected, atol=1e-4)
    sigmas = [
        np.sqrt(np.linalg.eigvalsh(unpacked_symmetric(each.runtime.point_covariance)))
        for each in (own, recorded)
    ]
    np.testing.assert_allclose(sigmas[0], 0.37 * sigmas[1], rtol=1e-3)
    model, before = (read_colmap_model(each.path / 'sfm') for each in (own, recorded))
    after = model.reconstruction.compute_mean_reprojection_error()
    assert after == pytest.approx(before.reconstruction.compute_mean_reprojection_error(), abs=1e-6)
    by_name = dict(zip(own.runtime.image_names, own.runtime.map_from_camera, strict=True))
    for image in model.images:
        np.testing.assert_allclose(image.map_from_camera, by_name[image.name], atol=1e-6)


def test_an_image_localizes_in_the_moved_map(own: Map, recorded: Map, shared_data: Path) -> None:
    source = open_source(shared_data / 'data/lounge/map', SourceOptions(start_s=1.5))
    frame = next(source.frames())
    camera = source.cameras[frame.camera_name]
    found = Localizer(own).localize(frame.image, camera)
    expected = OWN_FROM_MAP.apply_to_poses(frame.map_from_camera)
    metres, radians = transforms.pose_distance(found.map_from_camera, expected)
    assert metres < 0.03 * 0.37
    assert np.degrees(radians) < 1.0


@pytest.mark.parametrize('child', ['camera', 'base'])
def test_poses_on_a_part_of_the_way_are_enough(
    align: Align, recorded: Map, shared_data: Path, tmp_path: Path, child: str
) -> None:
    name = 'map.camera.tum' if child == 'camera' else 'map.base_link.tum'
    whole = read_tum(shared_data / 'data/lounge' / name)
    part = tmp_path / 'part.tum'
    write_tum(part, Trajectory(whole.stamps_ns[6:20], whole.poses[6:20]))
    report, aligned = align(str(part), poses_child=child)
    metres, degrees = median_errors(aligned, recorded)
    assert metres < 0.03
    assert degrees < 0.7
    assert 8 <= report.poses <= 14 < report.images


def test_poses_by_another_clock(
    align: Align, recorded: Map, shared_data: Path, tmp_path: Path
) -> None:
    whole = read_tum(shared_data / 'data/lounge/map.camera.tum')
    write_tum(tmp_path / 'late.tum', Trajectory(whole.stamps_ns + 300_000_000, whole.poses))
    values = {'poses_child': 'camera', 'duration_s': 15.0}
    _, wrong = align(str(tmp_path / 'late.tum'), **values)
    shutil.rmtree(wrong.path)
    _, right = align(str(tmp_path / 'late.tum'), clock='auto', **values)
    assert median_errors(right, recorded)[0] < 0.02 < median_errors(wrong, recorded)[0]


def test_wrong_poses_among_the_right_ones(
    align: Align, recorded: Map, shared_data: Path, tmp_path: Path
) -> None:
    whole = read_tum(shared_data / 'data/lounge/map.camera.tum')
    poses = whole.poses.copy()
    poses[::3, :3, 3] += [3.0, -2.0, 0.5]
    write_tum(tmp_path / 'poses.tum', Trajectory(whole.stamps_ns, poses))
    report, aligned = align(str(tmp_path / 'poses.tum'), poses_child='camera')
    assert median_errors(aligned, recorded)[0] < 0.02
    assert 0.6 < report.inliers / report.poses < 0.75


def test_a_map_comes_into_the_frame_of_another_map(align: Align, recorded: Map) -> None:
    report, aligned = align(str(recorded.path))
    metres, degrees = median_errors(aligned, recorded)
    assert metres < 0.02
    assert degrees < 0.3
    assert report.inliers > 0.9 * report.images
    assert aligned.manifest.metric
    assert aligned.manifest.gravity_aligned
    assert any('residuals' in line for line in report.lines())


def test_poses_of_another_recording_are_refused(
    align: Align, own: Map, shared_data: Path, tmp_path: Path
) -> None:
    whole = read_tum(shared_data / 'data/lounge/map.camera.tum')
    file = tmp_path / 'poses.tum'
    write_tum(file, Trajectory(whole.stamps_ns, whole.poses[np.argsort(np.sin(whole.stamps_ns))]))
    with pytest.raises(HlocLocalizerError, match=r'agree|residual') as told:
        align(str(file), poses_child='camera')
    assert told.value.exit_status == 1
    assert 'check that they are of this recording' in str(told.value)
    assert not (tmp_path / 'aligned').exists()
    query = shared_data / 'data/lounge/query.camera.tum'
    with pytest.raises(HlocLocalizerError, match=r'images have a pose in .*query\.camera\.tum, 5'):
        align(str(query), poses_child='camera')


def test_targets_that_do_not_exist(align: Align) -> None:
    with pytest.raises(InputError, match="TF has no frame 'floor'"):
        align('tf:floor')
    with pytest.raises(InputError, match=r"'nowhere' is no frame to align to; give tf:FRAME"):
        align('nowhere')


def test_a_map_whose_recording_is_gone(own: Map, tmp_path: Path) -> None:
    provenance = dataclasses.replace(own.manifest.provenance, source={'path': '/gone/bag'})
    lost = dataclasses.replace(
        own, manifest=dataclasses.replace(own.manifest, provenance=provenance)
    )
    with pytest.raises(InputError, match="is not at '/gone/bag'; give it with --source"):
        align_map(lost, 'tf:map', tmp_path / 'aligned')
