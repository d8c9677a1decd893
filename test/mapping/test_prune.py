"""A smaller map: what is kept covers what was there, and the folder stays whole."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest
from synthetic_map import make_manifest, make_runtime

from hloc_localizer.cli.prune import _bytes
from hloc_localizer.errors import InputError, MapError
from hloc_localizer.geometry import transforms
from hloc_localizer.localization import Localizer
from hloc_localizer.mapping import BuildOptions, build_map
from hloc_localizer.mapping.image_choice import order_by_coverage
from hloc_localizer.mapping.map_images import features_of, stamps_of
from hloc_localizer.mapping.prune import prune_map
from hloc_localizer.maps import Map, verify_map, write_map
from hloc_localizer.maps.colmap_model import read_colmap_model
from hloc_localizer.maps.container import compiled_size, save_runtime
from hloc_localizer.maps.hloc_files import read_all_features, read_global_features
from hloc_localizer.sources import SourceOptions, open_source

OPTIONS = BuildOptions().with_values(
    {
        'sift.max_keypoints': 1000,
        'vlad.clusters': 16,
        'pairs.covisible': 5,
        'report.held_out': 0,
        'source.duration_s': 6.0,
        'threads': 1,
    }
)


@pytest.fixture(scope='module')
def short_map(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Map:
    """Return a map of six seconds of the lounge."""
    output = tmp_path_factory.mktemp('short') / 'map'
    build_map(open_source(shared_data / 'data/lounge/map', OPTIONS.source), output, OPTIONS)
    return Map.load(output)


def test_every_place_is_covered_before_any_gets_much() -> None:
    # Images with even numbers share one half of the points, odd ones the other.
    order = order_by_coverage(make_runtime(images=10, points=60))
    assert sorted(order.tolist()) == list(range(10))
    assert sorted(order[:4] % 2) == [0, 0, 1, 1]


def test_the_size_of_the_compiled_file_is_known_before(tmp_path: Path) -> None:
    runtime = make_runtime(images=5)
    save_runtime(tmp_path / 'map', runtime)
    assert compiled_size(runtime) == (tmp_path / 'map').stat().st_size


@pytest.mark.parametrize(
    ('text', 'expected'),
    [('8MB', 8_000_000), ('1.5 gb', 1_500_000_000), ('300kB', 300_000), ('77', 77)],
)
def test_sizes_as_people_write_them(text: str, expected: int) -> None:
    assert _bytes(text) == expected


@pytest.mark.parametrize('text', ['', '-1MB', '8TB', 'MB', '1e9', 'nan'])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match='not a size'):
        _bytes(text)


def test_stamps_are_those_in_the_names() -> None:
    assert stamps_of(['camera/12.jpg', 'session/camera/7.png']).tolist() == [12, 7]
    assert stamps_of(['b.jpg', 'a.jpg', '3.jpg']).tolist() == [400_000_000, 200_000_000, 0]


def test_half_of_the_images_make_a_whole_map(
    short_map: Map, shared_data: Path, tmp_path: Path
) -> None:
    count = len(short_map.runtime.image_names)
    report = prune_map(short_map, tmp_path / 'pruned', images=count // 2)
    pruned = Map.load(tmp_path / 'pruned')
    assert verify_map(pruned.path).ok
    names = set(pruned.runtime.image_names)
    assert len(names) == report.images == count // 2
    assert names < set(short_map.runtime.image_names)
    assert set(read_all_features(pruned.path / 'features.h5')) == names
    assert set(read_global_features(pruned.path / 'global-features.h5')) == names
    model = read_colmap_model(pruned.path / 'sfm')
    assert {image.name for image in model.images} == names
    assert model.reconstruction.num_points3D() == len(pruned.runtime.points) == report.points
    assert report.points > 0.6 * report.points_before
    assert report.bytes < 0.8 * report.bytes_before
    assert report.recall_before
    assert report.recall
    assert report.recall.images == report.recall_before.images == count
    assert report.recall.wrong == report.recall_before.wrong == 0
    assert 'images kept' in pruned.manifest.provenance.source['pruned']
    assert 'held-out images found after' in '\n'.join(report.lines())
    source = open_source(shared_data / 'data/lounge/map', SourceOptions(start_s=1.5))
    frame = next(source.frames())
    found = Localizer(pruned).localize(frame.image, source.cameras[frame.camera_name])
    metres, radians = transforms.pose_distance(found.map_from_camera, frame.map_from_camera)
    assert metres < 0.04
    assert np.degrees(radians) < 1.0


def test_as_many_images_as_fit_are_kept(short_map: Map, tmp_path: Path) -> None:
    limit = round(0.7 * short_map.compiled_bytes)
    report = prune_map(short_map, tmp_path / 'pruned', size=limit)
    assert 0.55 * short_map.compiled_bytes < report.bytes <= limit
    assert 3 <= report.images < report.images_before
    with pytest.raises(InputError, match=r'0\.01 MB are too few for this map: 3 images and'):
        prune_map(short_map, tmp_path / 'less', size=10_000)
    with pytest.raises(InputError, match='at least 3 images, not 2'):
        prune_map(short_map, tmp_path / 'less', images=2)
    with pytest.raises(InputError, match=r'images, 999 cannot be kept'):
        prune_map(short_map, tmp_path / 'less', images=999)
    assert not (tmp_path / 'less').exists()


def test_a_map_without_features_is_pruned_untried(tmp_path: Path) -> None:
    runtime = make_runtime(images=8)
    write_map(tmp_path / 'bare', make_manifest(runtime), runtime)
    bare = Map.load(tmp_path / 'bare')
    with pytest.raises(MapError, match=r'has no features\.h5, which this needs'):
        features_of(bare)
    report = prune_map(bare, tmp_path / 'pruned', images=4)
    assert 'the cost in recall is not known' in report.lines()[1]
    assert len(Map.load(tmp_path / 'pruned').runtime.points) == 50
