"""Maps of hloc's and COLMAP's localize as well as the map that they were made of."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import h5py
import numpy as np
import pycolmap
import pytest

from hloc_localizer.errors import HlocLocalizerError, InputError
from hloc_localizer.features.registry import create_front_end
from hloc_localizer.geometry.transforms import pose_distance
from hloc_localizer.localization import Localizer
from hloc_localizer.mapping import build_map
from hloc_localizer.mapping.import_colmap import import_colmap
from hloc_localizer.mapping.import_hloc import import_hloc
from hloc_localizer.mapping.import_options import ColmapImportOptions, HlocImportOptions
from hloc_localizer.mapping.options import BuildOptions
from hloc_localizer.maps import Map, verify_map
from hloc_localizer.maps.colmap_model import read_colmap_model
from hloc_localizer.maps.hloc_export import export_hloc
from hloc_localizer.maps.hloc_files import read_all_features
from hloc_localizer.progress import SilentProgress
from hloc_localizer.sources import open_source
from hloc_localizer.sources.options import SourceOptions
from hloc_localizer.sources.tum import read_tum

OPTIONS = BuildOptions().with_values({'source.duration_s': 8.0})


@pytest.fixture(scope='module')
def corner(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the map of the first seconds of the lounge."""
    output = tmp_path_factory.mktemp('corner') / 'map'
    source = open_source(shared_data / 'data' / 'lounge' / 'map', OPTIONS.source)
    build_map(source, output, OPTIONS, SilentProgress())
    return output


@pytest.fixture(scope='module')
def exported(corner: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return that map as an hloc folder."""
    folder = tmp_path_factory.mktemp('exported') / 'hloc'
    folder.mkdir()
    export_hloc(Map.load(corner), folder)
    return folder


@pytest.fixture(scope='module')
def errors_of(shared_data: Path) -> Callable[[Path], tuple[float, list[float]]]:
    """Return a function that localizes query frames: recall at 5 cm and 5 degrees, metres off."""
    lounge = shared_data / 'data' / 'lounge'
    options = SourceOptions(poses='none', duration_s=4.0)
    frames = list(open_source(lounge / 'query', options).frames())
    camera = next(iter(open_source(lounge / 'query', options).cameras.values()))
    truth = read_tum(lounge / 'query.camera.tum')

    def errors(path: Path) -> tuple[float, list[float]]:
        localizer = Localizer(Map.load(path))
        metres, good = [], 0
        for frame in frames:
            pose = localizer.localize(frame.image, camera).map_from_camera
            if pose is None:
                continue
            off, turned = pose_distance(pose, truth.at(frame.stamp_ns))
            metres.append(float(off))
            good += bool(off < 0.05 and np.degrees(turned) < 5.0)
        return good / len(frames), metres

    return errors


def copied(folder: Path, target: Path, *, as_hloc: bool = False) -> Path:
    """Copy an hloc folder; on request without what only we write."""
    shutil.copytree(folder, target)
    if as_hloc:
        with h5py.File(target / 'feats-sift.h5', 'r+') as file:
            del file.attrs['hloc_localizer']
    return target


def test_a_map_that_went_through_hlocs_layout_localizes_as_before(
    corner: Path, exported: Path, tmp_path: Path, errors_of: Callable[[Path], tuple[float, list]]
) -> None:
    report = import_hloc(exported, tmp_path / 'map')
    assert verify_map(tmp_path / 'map').ok
    native, imported = Map.load(corner).manifest, report.manifest
    assert imported.statistics.points == native.statistics.points
    assert imported.statistics.observations == native.statistics.observations
    assert imported.front_end.parameters == native.front_end.parameters
    assert imported.metric
    assert imported.gravity_aligned
    before, after = errors_of(corner), errors_of(tmp_path / 'map')
    assert before[0] >= 0.8
    assert after[0] == before[0]
    assert abs(np.median(after[1]) - np.median(before[1])) < 0.001


def test_hloc_and_colmap_read_what_was_exported(corner: Path, exported: Path) -> None:
    model = pycolmap.Reconstruction(exported / 'sfm')
    runtime = Map.load(corner).runtime
    assert model.num_reg_images() == len(runtime.image_names)
    with h5py.File(exported / 'feats-sift.h5', 'r', libver='latest') as file:
        for image in model.images.values():
            group = file[image.name]
            keypoints = group['keypoints'].__array__()
            assert group['descriptors'].shape == (128, len(keypoints))
            assert group['scores'].shape == (len(keypoints),)
            assert group['image_size'].__array__().tolist() == [540, 360]
            places = np.array([point.xy for point in image.points2D])
            np.testing.assert_allclose(places, keypoints + 0.5, atol=1e-3)
    with h5py.File(exported / 'global-feats-vlad.h5', 'r', libver='latest') as file:
        assert all(file[name]['global_descriptor'].ndim == 1 for name in runtime.image_names)
    lines = (exported / 'pairs-db-covis20.txt').read_text(encoding='utf-8').splitlines()
    pairs = [line.split() for line in lines]
    assert len(pairs) > len(runtime.image_names)
    assert {name for pair in pairs for name in pair} <= set(runtime.image_names)
    readme = (exported / 'README.txt').read_text(encoding='utf-8')
    named = [path.name for path in exported.iterdir() if path.name != 'README.txt']
    assert all(name in readme for name in named)


def test_features_of_hlocs_sift_lose_colmaps_half_pixel(exported: Path, tmp_path: Path) -> None:
    folder = copied(exported, tmp_path / 'hloc', as_hloc=True)
    manifest = import_hloc(folder, tmp_path / 'map').manifest
    assert manifest.front_end.parameters['max_keypoints'] == 8192
    assert not manifest.metric
    assert manifest.provenance.source['conf'] == 'sift'
    before = read_all_features(exported / 'feats-sift.h5')
    after = read_all_features(tmp_path / 'map' / 'features.h5')
    name = next(iter(before))
    np.testing.assert_allclose(after[name].keypoints, before[name].keypoints - 0.5, atol=1e-4)


@pytest.mark.parametrize('suffix', ['.bin', '.txt'])
def test_models_of_three_and_of_five_files_are_the_same(
    exported: Path, tmp_path: Path, suffix: str
) -> None:
    folder = copied(exported, tmp_path / 'hloc')
    assert len(list((folder / 'sfm').glob('*.bin'))) == 5
    if suffix == '.txt':
        model = pycolmap.Reconstruction(folder / 'sfm')
        shutil.rmtree(folder / 'sfm')
        (folder / 'sfm').mkdir()
        model.write_text(folder / 'sfm')
    five = import_hloc(folder, tmp_path / 'five').manifest
    for part in ('rigs', 'frames'):  # as before COLMAP 3.12
        (folder / 'sfm' / f'{part}{suffix}').unlink()
    three = import_hloc(folder, tmp_path / 'three').manifest
    assert three.statistics == five.statistics
    assert three.statistics.points > 1000
    before, after = (Map.load(tmp_path / name).runtime for name in ('five', 'three'))
    np.testing.assert_allclose(after.map_from_camera, before.map_from_camera, atol=1e-9)
    np.testing.assert_array_equal(after.observation_point, before.observation_point)


@pytest.mark.parametrize('separator', ['/', '_'])
def test_matches_are_triangulated_where_the_model_has_only_poses(
    exported: Path,
    tmp_path: Path,
    separator: str,
    errors_of: Callable[[Path], tuple[float, list]],
) -> None:
    folder = copied(exported, tmp_path / 'hloc')
    model = pycolmap.Reconstruction(folder / 'sfm')
    poses = {image.name: image.cam_from_world().matrix() for image in model.images.values()}
    for point_id in list(model.points3D):
        model.delete_point3D(point_id)
    model.write_text(folder / 'sfm')
    for path in (folder / 'sfm').glob('*.bin'):
        path.unlink()
    features = read_all_features(folder / 'feats-sift.h5')
    front_end = create_front_end('sift')
    with h5py.File(folder / 'feats-sift_matches-NN-ratio_pairs-db-covis20.h5', 'w') as file:
        for line in (folder / 'pairs-db-covis20.txt').read_text(encoding='utf-8').splitlines():
            first, second = line.split()
            if first > second:
                continue
            partner = np.full(len(features[first]), -1, np.int16)
            found = front_end.match(features[first], [features[second]])[0].indices
            partner[found[:, 0]] = found[:, 1]
            key = separator.join(name.replace('/', '-') for name in (first, second))
            file.create_group(key).create_dataset('matches0', data=partner)
    report = import_hloc(folder, tmp_path / 'map')
    assert report.manifest.statistics.points > 1000
    for image in read_colmap_model(tmp_path / 'map' / 'sfm').reconstruction.images.values():
        np.testing.assert_allclose(image.cam_from_world().matrix(), poses[image.name], atol=1e-9)
    recall, metres = errors_of(tmp_path / 'map')
    assert recall >= 0.8
    assert np.median(metres) < 0.03


def test_a_colmap_model_keeps_its_poses_and_gets_features(
    corner: Path,
    shared_data: Path,
    tmp_path: Path,
    errors_of: Callable[[Path], tuple[float, list]],
) -> None:
    model = pycolmap.Reconstruction(corner / 'sfm')
    project = tmp_path / 'project'
    (project / 'sparse' / '0').mkdir(parents=True)
    model.write_text(project / 'sparse' / '0')
    (project / 'sparse' / '0' / 'rigs.txt').unlink()  # three files, as before COLMAP 3.12
    (project / 'sparse' / '0' / 'frames.txt').unlink()
    names = {image.name: image for image in model.images.values()}
    for frame in open_source(shared_data / 'data' / 'lounge' / 'map', OPTIONS.source).frames():
        if frame.name in names:
            file = project / 'images' / frame.name
            file.parent.mkdir(parents=True, exist_ok=True)
            pixels = frame.image if frame.image.ndim == 2 else frame.image[..., ::-1]
            file.write_bytes(cv2.imencode('.png', pixels)[1].tobytes())
    options = ColmapImportOptions(metric=True)
    report = import_colmap(project, None, tmp_path / 'map', options)
    assert report.manifest.metric
    assert report.manifest.statistics.images == len(names)
    assert report.manifest.statistics.points > 1000
    runtime = Map.load(tmp_path / 'map').runtime
    for name, pose in zip(runtime.image_names, runtime.map_from_camera, strict=True):
        matrix = names[name].cam_from_world().inverse().matrix()
        np.testing.assert_allclose(pose[:3], matrix, atol=1e-6)
    recall, metres = errors_of(tmp_path / 'map')
    assert recall >= 0.8
    assert np.median(metres) < 0.03
    (project / 'images' / runtime.image_names[0]).unlink()
    with pytest.raises(InputError, match=r'1 of the \d+ images .* are not there'):
        import_colmap(project, None, tmp_path / 'again', options)
    assert not (tmp_path / 'again').exists()


def test_maps_are_opened_without_pycolmap_and_folders_of_hloc_say_what_they_need(
    corner: Path, exported: Path, tmp_path: Path
) -> None:
    """A Jetson has no package of pycolmap."""
    code = (
        "import sys; sys.modules['pycolmap'] = None; from pathlib import Path; "
        'from hloc_localizer.errors import InputError; '
        'from hloc_localizer.mapping.open_map import open_map; '
        'print(len(open_map(Path(sys.argv[1])).runtime.points) > 1000)\n'
        'try:\n    open_map(Path(sys.argv[2]))\n'
        'except InputError as error:\n    print(error)'
    )
    root = str(Path(__file__).parents[2])
    result = subprocess.run(
        [sys.executable, '-c', code, corner, exported],
        env={**os.environ, 'PYTHONPATH': root, 'HLOC_LOCALIZER_WEIGHTS': str(tmp_path)},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == 'True'
    assert lines[1].startswith('reading a COLMAP model needs pycolmap')


def _first_name(file: h5py.File) -> str:
    names: list[str] = []
    file.visit(lambda key: names.append(key[:-10]) if key.endswith('/keypoints') else None)
    return names[0]


def without_descriptors(folder: Path) -> None:
    with h5py.File(folder / 'feats-sift.h5', 'r+') as file:
        del file[f'{_first_name(file)}/descriptors']


def without_an_image(folder: Path) -> None:
    with h5py.File(folder / 'feats-sift.h5', 'r+') as file:
        del file[_first_name(file)]


def with_fewer_keypoints(folder: Path) -> None:
    with h5py.File(folder / 'feats-sift.h5', 'r+') as file:
        group = file[_first_name(file)]
        for key, axis in (('keypoints', 0), ('descriptors', 1), ('scores', 0), ('scales', 0)):
            values = np.delete(group[key][()], 0, axis=axis)
            del group[key]
            group.create_dataset(key, data=values)


def with_moved_keypoints(folder: Path) -> None:
    with h5py.File(folder / 'feats-sift.h5', 'r+') as file:
        file[_first_name(file)]['keypoints'][...] += 5.0


def with_longer_descriptors(folder: Path) -> None:
    with h5py.File(folder / 'feats-sift.h5', 'r+') as file:
        file[_first_name(file)]['descriptors'][...] *= 4.0


def with_a_broken_features_file(folder: Path) -> None:
    data = (folder / 'feats-sift.h5').read_bytes()
    (folder / 'feats-sift.h5').write_bytes(data[: len(data) // 2])


def without_any_image(folder: Path) -> None:
    with h5py.File(folder / 'feats-sift.h5', 'r+') as file:
        for name in list(file):
            del file[name]


def with_a_handful_of_points(folder: Path) -> None:
    model = pycolmap.Reconstruction(folder / 'sfm')
    for point_id in sorted(model.points3D)[10:]:
        model.delete_point3D(point_id)
    model.write_binary(folder / 'sfm')


def with_the_name_of_another_configuration(folder: Path) -> None:
    (folder / 'feats-sift.h5').rename(folder / 'feats-superpoint-n4096-r1024.h5')


def with_half_a_model(folder: Path) -> None:
    data = (folder / 'sfm' / 'images.bin').read_bytes()
    (folder / 'sfm' / 'images.bin').write_bytes(data[: len(data) // 2])


def with_a_model_that_promises_too_much(folder: Path) -> None:
    data = bytearray((folder / 'sfm' / 'points3D.bin').read_bytes())
    data[:8] = b'\xff' * 8
    (folder / 'sfm' / 'points3D.bin').write_bytes(data)


@pytest.mark.parametrize(('damage', 'line'), [
    (without_descriptors, "/descriptors' is missing"),
    (without_an_image, r'has no features of 1 of the \d+ images'),
    (without_any_image, r'has no features of (\d+) of the \1 images'),
    (with_a_handful_of_points, r'no image sees more than \d+ points; check .*sfm'),
    (with_fewer_keypoints, r'has \d+ keypoints, but \d+ in .*sfm'),
    (with_moved_keypoints, 'has keypoints at other places than in'),
    (with_longer_descriptors, r'has descriptors of length 4\.00 instead of 1'),
    (with_a_broken_features_file, 'not a readable HDF5 file'),
    (with_the_name_of_another_configuration, "not features of 'superpoint_aachen'"),
    (with_half_a_model, 'an image does not fit into it'),
    (with_a_model_that_promises_too_much, 'records do not fit into it'),
])  # fmt: skip
def test_a_damaged_folder_is_refused_by_name_and_nothing_is_written(
    exported: Path, tmp_path: Path, damage: Callable[[Path], None], line: str
) -> None:
    folder = copied(exported, tmp_path / 'hloc', as_hloc=True)
    damage(folder)
    with pytest.raises(HlocLocalizerError, match=line) as caught:
        import_hloc(folder, tmp_path / 'map')
    assert '\n' not in str(caught.value)
    assert str(folder) in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ['hloc']


def test_a_descriptor_that_cannot_be_computed_here_gives_way_to_vlad(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('HLOC_LOCALIZER_WEIGHTS', str(tmp_path / 'weights'))
    folder = copied(exported, tmp_path / 'hloc')
    (folder / 'global-feats-vlad.h5').rename(folder / 'global-feats-netvlad.h5')
    report = import_hloc(folder, tmp_path / 'map')
    assert report.manifest.global_descriptor.name == 'vlad'
    assert 'global-feats-netvlad.h5 is not used' in report.notes[0]


def test_an_implementation_is_recorded_where_the_features_have_it(
    exported: Path, tmp_path: Path
) -> None:
    folder = copied(exported, tmp_path / 'hloc')
    options = HlocImportOptions(implementation='hloc')
    with pytest.raises(InputError, match="'sift', which has no implementation 'hloc'"):
        import_hloc(folder, tmp_path / 'map', options)
    with h5py.File(folder / 'feats-sift.h5', 'r+') as file:
        origin = {'front_end': {'name': 'aliked', 'parameters': {}}}
        file.attrs['hloc_localizer'] = json.dumps(origin)
    manifest = import_hloc(folder, tmp_path / 'map', options).manifest
    assert manifest.front_end.parameters['implementation'] == 'hloc'


def test_an_origin_with_unknown_options_is_refused(exported: Path, tmp_path: Path) -> None:
    folder = copied(exported, tmp_path / 'hloc')
    with h5py.File(folder / 'feats-sift.h5', 'r+') as file:
        origin = {'front_end': {'name': 'sift', 'parameters': {'wings': 2}}}
        file.attrs['hloc_localizer'] = json.dumps(origin)
    with pytest.raises(InputError, match="unknown option 'wings'"):
        import_hloc(folder, tmp_path / 'map', HlocImportOptions())
    assert not (tmp_path / 'map').exists()
