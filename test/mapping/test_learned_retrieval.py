"""A map whose images a network described: recorded at building, followed when localizing."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from hloc_localizer.errors import HlocLocalizerError, InputError
from hloc_localizer.localization import Localizer
from hloc_localizer.mapping import build_map
from hloc_localizer.mapping.import_hloc import import_hloc
from hloc_localizer.mapping.options import BuildOptions
from hloc_localizer.maps import Component, Map
from hloc_localizer.maps.hloc_export import export_hloc
from hloc_localizer.progress import SilentProgress
from hloc_localizer.sources import open_source
from hloc_localizer.sources.frame import Frame
from hloc_localizer.weights.catalogue import find_checkpoint
from hloc_localizer.weights.store import DIRECTORY_VARIABLE, checksum

torch = pytest.importorskip('torch')

from hloc_localizer.retrieval.learned.eigenplaces import EigenPlaces

OPTIONS = BuildOptions().with_values(
    {
        'source.duration_s': 4.0,
        'sift.max_keypoints': 600,
        'global_descriptor': 'eigenplaces',
        'image_descriptor.max_image_size': 160,
    }
)


def write_weights(folder: Path, seed: int, size: int = 64) -> None:
    """Write a small network in the published layout with seeded values."""
    folder.mkdir(exist_ok=True)
    torch.manual_seed(seed)
    network = EigenPlaces((1, 1, 1, 1), size)
    torch.save(network.state_dict(), folder / find_checkpoint('eigenplaces').file_name)


@pytest.fixture(scope='module')
def weights_of_building(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('weights')
    write_weights(folder, seed=0)
    return folder


@pytest.fixture(autouse=True)
def _weights(weights_of_building: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(weights_of_building))


@pytest.fixture(scope='module')
def corner(
    shared_data: Path, weights_of_building: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    output = tmp_path_factory.mktemp('corner') / 'map'
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(DIRECTORY_VARIABLE, str(weights_of_building))
        source = open_source(shared_data / 'data' / 'lounge' / 'map', OPTIONS.source)
        build_map(source, output, OPTIONS, SilentProgress())
    return output


def test_the_map_records_descriptor_and_weights_and_the_localizer_follows(
    corner: Path, lounge_frames: list[Frame]
) -> None:
    loaded = Map.load(corner)
    assert loaded.manifest.global_descriptor.name == 'eigenplaces'
    assert loaded.manifest.global_descriptor.parameters == {
        'max_image_size': 160,
        'weights_sha256': checksum(find_checkpoint('eigenplaces')),
    }
    assert loaded.runtime.global_descriptors.shape[1] == 64
    localizer = Localizer(loaded)
    camera = loaded.manifest.recorded_cameras[lounge_frames[0].camera_name]
    for frame in lounge_frames[1::6]:
        result = localizer.localize(frame.image, camera)
        assert result.localized, result.reason
        # The image itself is in the map, and like nothing more than itself.
        assert result.candidates[0] == frame.name
        assert result.retrieval_scores[0] > 0.99


def test_a_closed_localizer_says_so_and_warming_up_opens_it(
    corner: Path, lounge_frames: list[Frame]
) -> None:
    loaded = Map.load(corner)
    localizer = Localizer(loaded)
    camera = loaded.manifest.recorded_cameras[lounge_frames[0].camera_name]
    before = localizer.localize(lounge_frames[0].image, camera)
    localizer.close()
    localizer.close()
    with pytest.raises(HlocLocalizerError, match='the localizer is closed'):
        localizer.localize(lounge_frames[0].image, camera)
    localizer.warm_up()
    after = localizer.localize(lounge_frames[0].image, camera)
    np.testing.assert_array_equal(after.map_from_camera, before.map_from_camera)


def test_other_weights_than_those_of_building_are_refused(
    corner: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path))
    with pytest.raises(InputError, match=r"'ResNet101_2048_eigenplaces\.pth' .* are missing: run"):
        Localizer(Map.load(corner))
    write_weights(tmp_path, seed=1)
    with pytest.raises(InputError, match="others than the map's images were described") as caught:
        Localizer(Map.load(corner))
    assert '\n' not in str(caught.value)


def test_missing_weights_stop_a_build_before_it_begins(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path / 'none'))
    options = dataclasses.replace(OPTIONS, global_descriptor='netvlad')
    source = open_source(shared_data / 'data' / 'lounge' / 'map', options.source)
    with pytest.raises(InputError, match=r"'VGG16-NetVLAD-Pitts30K\.mat' .* are missing"):
        build_map(source, tmp_path / 'map', options, SilentProgress())
    assert not (tmp_path / 'map').exists()


@pytest.fixture(scope='module')
def hloc_folder(corner: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('exported') / 'hloc'
    folder.mkdir()
    export_hloc(Map.load(corner), folder)
    return folder


def test_a_folder_of_hlocs_keeps_its_global_descriptor(
    corner: Path, hloc_folder: Path, tmp_path: Path, lounge_frames: list[Frame]
) -> None:
    assert (hloc_folder / 'global-feats-eigenplaces.h5').is_file()
    report = import_hloc(hloc_folder, tmp_path / 'map')
    assert report.manifest.global_descriptor.name == 'eigenplaces'
    assert report.notes == ()
    native, imported = Map.load(corner), Map.load(tmp_path / 'map')
    recorded = imported.manifest.global_descriptor.parameters
    assert recorded == native.manifest.global_descriptor.parameters
    camera = native.manifest.recorded_cameras[lounge_frames[0].camera_name]
    before, after = (
        Localizer(loaded).localize(lounge_frames[1].image, camera) for loaded in (native, imported)
    )
    assert before.localized
    assert after.localized
    assert after.candidates == before.candidates
    np.testing.assert_allclose(after.retrieval_scores, before.retrieval_scores, atol=1e-3)


def test_a_file_of_hlocs_own_says_nothing_of_weights_and_is_taken(
    hloc_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / 'hloc'
    shutil.copytree(hloc_folder, folder)
    with h5py.File(folder / 'feats-sift.h5', 'r+') as file:
        del file.attrs['hloc_localizer']
    report = import_hloc(folder, tmp_path / 'map')
    assert report.manifest.global_descriptor == Component('eigenplaces')


def test_descriptors_of_another_length_give_way_to_vlad(
    hloc_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path / 'weights'))
    write_weights(tmp_path / 'weights', seed=0, size=32)
    report = import_hloc(hloc_folder, tmp_path / 'map')
    assert report.manifest.global_descriptor.name == 'vlad'
    # The exported folder says which weights it needs; one of hloc's own only shows the length.
    assert "is not used: weights 'ResNet101_2048_eigenplaces.pth' are others" in report.notes[0]
    folder = tmp_path / 'hloc'
    shutil.copytree(hloc_folder, folder)
    with h5py.File(folder / 'feats-sift.h5', 'r+') as file:
        del file.attrs['hloc_localizer']
    assert import_hloc(folder, tmp_path / 'other').notes == (
        'global-feats-eigenplaces.h5 is not used: its descriptors have 64 numbers, '
        "'eigenplaces' here makes 32",
    )


def test_global_features_that_lack_an_image_are_not_used(hloc_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / 'hloc'
    shutil.copytree(hloc_folder, folder)
    with h5py.File(folder / 'global-feats-eigenplaces.h5', 'r+') as file:
        names: list[str] = []
        file.visit(lambda name: names.append(name) if name.endswith('global_descriptor') else None)
        del file[names[0]]
    report = import_hloc(folder, tmp_path / 'map')
    assert report.manifest.global_descriptor.name == 'vlad'
    assert 'is not used: 1 images have none' in report.notes[0]
