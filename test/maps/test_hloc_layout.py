"""An hloc output folder is recognised by what hloc calls its files."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from hloc_localizer.errors import InputError
from hloc_localizer.features.registry import front_end_options
from hloc_localizer.maps.hloc_confs import LOCAL_CONFS, conf_of_file, global_of_file
from hloc_localizer.maps.hloc_layout import find_hloc_folder
from hloc_localizer.maps.hloc_matches import read_all_matches

NAMES = ('db/1_a.jpg', 'db/2.jpg', 'db/3.jpg')
FEATURES = {name: range(5) for name in NAMES}


@pytest.mark.parametrize(('stem', 'conf'), [
    ('feats-superpoint-n4096-r1024', 'superpoint_aachen'),
    ('feats-superpoint-n4096-rmax1600', 'superpoint_max'),
    ('feats-superpoint-n4096-r1600', 'superpoint_inloc'),
    ('feats-disk', 'disk'),
    ('feats-aliked-n16', 'aliked-n16'),
    ('feats-sift', 'sift'),
    ('feats-sift_db', 'sift'),
    ('feats-aliked-n16rot', None),
    ('feats-r2d2-n5000-r1024', None),
])  # fmt: skip
def test_the_name_of_a_features_file_tells_its_configuration(stem: str, conf: str | None) -> None:
    found = conf_of_file(stem)
    assert (found.name if found else None) == conf


def test_the_name_of_a_global_features_file_tells_its_descriptor() -> None:
    names = {n: global_of_file(f'global-feats-{n}') for n in ('netvlad', 'megaloc', 'eigenplaces')}
    assert all(name == found for name, found in names.items())
    assert global_of_file('global-feats-dir') is None


def test_every_configuration_is_made_of_options_of_its_front_end() -> None:
    assert {conf.front_end for conf in LOCAL_CONFS} == {'superpoint', 'disk', 'aliked', 'sift'}
    for conf in LOCAL_CONFS:
        options = front_end_options(conf.front_end)().with_values(conf.parameters).as_dict()
        assert all(options[key] == value for key, value in conf.parameters.items())


def make_folder(path: Path) -> Path:
    model = path / 'sfm_superpoint+lightglue' / '0'
    model.mkdir(parents=True)
    for part in ('cameras', 'images', 'points3D', 'rigs', 'frames'):
        (model / f'{part}.bin').write_bytes(bytes(8))
    stem = 'feats-superpoint-n4096-r1024'
    for name in (stem, f'{stem}_matches-superpoint-lightglue_pairs', 'global-feats-netvlad'):
        with h5py.File(path / f'{name}.h5', 'w'):
            pass
    return model


def test_each_file_of_a_folder_is_found_in_its_role(tmp_path: Path) -> None:
    model = make_folder(tmp_path)
    folder = find_hloc_folder(tmp_path)
    assert folder.models == (model,)
    assert [file.conf.name for file in folder.features if file.conf] == ['superpoint_aachen']
    assert folder.global_features == ((tmp_path / 'global-feats-netvlad.h5', 'netvlad'),)
    assert [path.stem.split('_')[1] for path in folder.matches] == ['matches-superpoint-lightglue']


def test_features_of_a_name_that_tells_nothing_need_the_configuration(tmp_path: Path) -> None:
    make_folder(tmp_path)
    (tmp_path / 'feats-superpoint-n4096-r1024.h5').rename(tmp_path / 'features.h5')
    with pytest.raises(InputError, match=r'features\.h5 do not tell the configuration.*aliked-n16'):
        find_hloc_folder(tmp_path)
    file = find_hloc_folder(tmp_path, 'superpoint_max').features[0]
    assert file.conf is not None
    assert file.conf.name == 'superpoint_max'


@pytest.mark.parametrize(('missing', 'line'), [
    ('sfm_superpoint+lightglue/0/images.bin', 'holds no COLMAP model'),
    ('feats-superpoint-n4096-r1024.h5', 'holds no local features'),
])  # fmt: skip
def test_a_folder_without_model_or_features_is_refused(
    tmp_path: Path, missing: str, line: str
) -> None:
    make_folder(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(InputError, match=line):
        find_hloc_folder(tmp_path)


@pytest.mark.parametrize('separator', ['/', '_'])
@pytest.mark.parametrize('reverse', [False, True])
def test_pairs_are_found_by_the_new_and_the_old_names_in_both_orders(
    tmp_path: Path, separator: str, reverse: bool
) -> None:
    names = [name.replace('/', '-') for name in NAMES]
    first, second = (names[1], names[0]) if reverse else (names[0], names[1])
    with h5py.File(tmp_path / 'matches.h5', 'w') as file:
        file.create_group(f'{first}{separator}{second}').create_dataset(
            'matches0', data=np.array([-1, 3, -1, 0, 4], np.int16)
        )
        file.create_group(f'query.jpg{separator}{second}').create_dataset(
            'matches0', data=np.array([99], np.int16)
        )
    found = read_all_matches([tmp_path / 'matches.h5'], NAMES, FEATURES)
    pairs = np.array([[1, 3], [3, 0], [4, 4]])
    assert list(found) == [(0, 1)]
    np.testing.assert_array_equal(found[0, 1], pairs[:, ::-1] if reverse else pairs)


def test_matches_of_other_features_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / 'matches.h5', 'w') as file:
        file.create_group('db-2.jpg/db-3.jpg').create_dataset('matches0', data=np.array([5]))
    with pytest.raises(InputError, match=r"'db-2.jpg/db-3.jpg' matches keypoints that are not"):
        read_all_matches([tmp_path / 'matches.h5'], NAMES, FEATURES)
