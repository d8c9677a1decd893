"""Learned front ends on real frames, and what they say when they cannot run."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hloc_localizer.errors import HlocLocalizerError, InputError
from hloc_localizer.features.local_features import LocalFeatures, NearestNeighbourOptions
from hloc_localizer.features.nearest_neighbour import match_nearest
from hloc_localizer.features.registry import create_front_end
from hloc_localizer.weights.store import DIRECTORY_VARIABLE

torch = pytest.importorskip('torch')

from hloc_localizer.features.learned import choose
from hloc_localizer.features.learned import nearest_neighbour as on_device
from hloc_localizer.features.learned.create import create_learned
from hloc_localizer.features.learned.device import memory_guard, resolve_device
from hloc_localizer.features.learned.options import SuperPointOptions

LIGHTGLUE = {'max_keypoints': 512, 'precision': 'float32'}


def epipolar_errors(camera: Any, first: Any, second: Any, pixels: Any) -> Any:
    """Return the Sampson errors in pixels of matches, by the recorded poses of two frames."""
    second_from_first = np.linalg.inv(second.map_from_camera) @ first.map_from_camera
    x, y, z = second_from_first[:3, 3]
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    fx, fy, cx, cy = camera.params
    inverse = np.array([[1 / fx, 0, -cx / fx], [0, 1 / fy, -cy / fy], [0, 0, 1]])
    fundamental = inverse.T @ cross @ second_from_first[:3, :3] @ inverse
    a, b = (np.column_stack([side, np.ones(len(side))]) for side in pixels)
    lines, back = a @ fundamental.T, b @ fundamental
    slope = np.sqrt((lines[:, :2] ** 2).sum(axis=1) + (back[:, :2] ** 2).sum(axis=1))
    return np.abs((b * lines).sum(axis=1)) / slope


@pytest.mark.parametrize(
    ('name', 'values', 'least', 'share'),
    [
        ('xfeat', LIGHTGLUE, 180, 0.85),
        ('xfeat', {'max_keypoints': 512, 'matcher': 'nearest_neighbour'}, 150, 0.75),
        ('aliked', {'max_keypoints': 512, 'matcher': 'nearest_neighbour'}, 180, 0.85),
    ],
)
def test_neighbouring_frames_match_by_their_recorded_poses(
    weights: Path, lounge: Any, name: str, values: dict[str, Any], least: int, share: float
) -> None:
    camera, frames = lounge
    front_end = create_front_end(name, values)
    first, second = (front_end.extract(frame.image) for frame in (frames[0], frames[2]))
    (matches,) = front_end.match(first, [second])
    pixels = (
        first.keypoints[matches.indices[:, 0]],
        second.keypoints[matches.indices[:, 1]],
    )
    good = epipolar_errors(camera, frames[0], frames[2], pixels) < 2.0
    assert good.sum() >= least
    assert good.mean() >= share
    assert (matches.scores > 0.0).all()
    assert (matches.scores <= 1.0).all()


def test_extraction_keeps_the_contract_of_features(weights: Path, lounge: Any) -> None:
    image = lounge[1][0].image
    front_end = create_front_end('xfeat', {'max_keypoints': 300, 'matcher': 'nearest_neighbour'})
    for picture in (image, image[..., 1], np.zeros((97, 61), np.uint8)):
        found = front_end.extract(picture)
        assert found.image_size == (picture.shape[1], picture.shape[0])
        assert found.keypoints.dtype == np.float32
        assert found.descriptors.shape == (len(found), front_end.descriptor_size)
        np.testing.assert_allclose(np.linalg.norm(found.descriptors, axis=1), 1.0, atol=1e-4)
        assert (np.diff(found.scores) <= 0.0).all()
        assert (found.keypoints >= 0.0).all()
        assert (found.keypoints <= np.array(found.image_size) - 1.0).all()
    assert len(front_end.extract(image)) == 300
    assert len(found) == 0


def test_large_images_are_reduced_and_keypoints_brought_back(weights: Path, lounge: Any) -> None:
    image = lounge[1][0].image
    doubled = image.repeat(2, axis=0).repeat(2, axis=1)
    values = {'max_keypoints': 300, 'max_image_size': 540, 'matcher': 'nearest_neighbour'}
    front_end = create_front_end('xfeat', values)
    small, large = front_end.extract(image), front_end.extract(doubled)
    assert large.image_size == (1080, 720)
    np.testing.assert_allclose(large.keypoints, small.keypoints * 2.0 + 0.5, atol=0.01)
    np.testing.assert_allclose(large.scales, 2.0)


@pytest.mark.parametrize('matcher', ['lightglue', 'nearest_neighbour'])
def test_prepared_references_match_as_plain_ones(weights: Path, lounge: Any, matcher: str) -> None:
    front_end = create_front_end('xfeat', {**LIGHTGLUE, 'matcher': matcher})
    query, *references = (front_end.extract(frame.image) for frame in lounge[1][:4])
    references.append(part_of(references[0], 0))
    plain = front_end.match(query, references)
    prepared = front_end.match(query, [front_end.prepare(r) for r in references])
    assert len(plain) == 4
    assert len(plain[3]) == 0
    for one, other in zip(plain[:3], prepared[:3], strict=True):
        same = set(map(tuple, one.indices)) & set(map(tuple, other.indices))
        assert len(same) > 0.97 * max(len(one), len(other)) > 50
    assert front_end.match(part_of(query, 0), references)[0].indices.shape == (0, 2)
    assert front_end.match(query, []) == []


def part_of(features: LocalFeatures, count: int) -> LocalFeatures:
    arrays = (features.keypoints, features.descriptors, features.scores, features.scales)
    return LocalFeatures(*(array[:count] for array in arrays), image_size=features.image_size)


@pytest.mark.parametrize('max_ratio', [0.9, 1.0])
def test_neighbours_on_the_device_are_those_of_the_arrays(max_ratio: float) -> None:
    random = np.random.default_rng(0)
    points = random.normal(size=(300, 32))

    def view(count: int) -> LocalFeatures:
        seen = points[random.permutation(300)[:count]] + random.normal(size=(count, 32)) * 0.4
        seen /= np.linalg.norm(seen, axis=1, keepdims=True)
        zeros = np.zeros(count, np.float32)
        keypoints = np.zeros((count, 2), np.float32)
        return LocalFeatures(keypoints, seen.astype(np.float32), zeros, zeros, (64, 64))

    query, references = view(200), [view(count) for count in (250, 100, 1)]
    options = NearestNeighbourOptions(max_ratio=max_ratio, min_similarity=0.5)
    found = on_device.match_nearest(
        torch.from_numpy(query.descriptors),
        [torch.from_numpy(reference.descriptors) for reference in references],
        options,
    ).numpy()
    for pairs, expected in zip(found, match_nearest(query, references, options), strict=True):
        rows = np.flatnonzero(pairs[:, 0] >= 0)
        np.testing.assert_array_equal(expected.indices[:, 0], rows)
        np.testing.assert_array_equal(expected.indices[:, 1], pairs[rows, 0])
        np.testing.assert_allclose(expected.scores, pairs[rows, 1], atol=1e-5)
    assert (found[0, :, 0] >= 0).sum() > 50


def test_auto_takes_xfeat_on_a_cpu_and_says_why(
    weights: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        front_end = create_front_end('auto', {'device': 'cpu'})
    assert front_end.name == 'xfeat'
    assert "front end auto: 'xfeat', because its weights are there" in caplog.text
    assert 'the device is cpu; aliked is too slow on cpu' in caplog.text


@pytest.mark.parametrize(
    ('there', 'values', 'chosen', 'reason'),
    [
        ({'aliked-n16', 'aliked-lightglue', 'disk', 'disk-lightglue'}, {}, 'aliked',
         'its weights are there and the device is cuda:0'),
        ({'aliked-n16', 'xfeat', 'xfeat-lighterglue', 'superpoint', 'superpoint-lightglue'}, {},
         'xfeat', 'device is cuda:0; aliked lacks the weights aliked-lightglue; disk lacks'),
        ({'aliked-n16rot', 'aliked-lightglue'}, {'aliked': {'weights': 'aliked-n16rot'}},
         'aliked', 'its weights are there'),
        # The device of each front end counts, not that of one for all.
        ({'aliked-n16', 'aliked-lightglue', 'xfeat', 'xfeat-lighterglue'},
         {'aliked': {'device': 'cpu'}}, 'xfeat', 'aliked is too slow on cpu'),
        ({'xfeat'}, {'xfeat': {'matcher': 'nearest_neighbour'}}, 'xfeat', 'its weights are there'),
        (set(), {}, 'sift', 'xfeat lacks the weights xfeat and xfeat-lighterglue'),
    ],
)  # fmt: skip
def test_auto_on_a_gpu_takes_the_best_whose_weights_are_there(
    monkeypatch: pytest.MonkeyPatch,
    there: set[str],
    values: dict[str, Any],
    chosen: str,
    reason: str,
) -> None:
    def resolve(device: str) -> Any:
        return torch.device('cuda:0' if device == 'auto' else device)

    monkeypatch.setattr(choose, '_usable', lambda name: name in there)
    monkeypatch.setattr('hloc_localizer.features.learned.device.resolve_device', resolve)
    name, why = choose.choose_front_end(values)
    assert name == chosen
    assert reason in why


def test_auto_takes_sift_without_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path))
    with caplog.at_level(logging.INFO):
        assert create_front_end('auto').name == 'sift'
    assert 'xfeat lacks the weights xfeat and xfeat-lighterglue' in caplog.text


def test_superpoint_says_its_licence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path))
    with pytest.raises(InputError, match=r"'superpoint_v1\.pth' .* are missing"):
        create_learned('superpoint', SuperPointOptions())
    assert 'non-commercial' in caplog.text


def test_missing_weights_are_one_line_with_origin_and_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path))
    with pytest.raises(InputError) as caught:
        create_front_end('xfeat')
    text = str(caught.value)
    assert '\n' not in text
    for part in ("'xfeat.pt'", 'https://github.com/verlab', str(tmp_path), 'weights fetch xfeat'):
        assert part in text


@pytest.mark.parametrize('name', ['tpu', 'cuda:77', 'mps', ''])
def test_devices_that_are_not_there_are_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"device '{name}'"):
        resolve_device(name)


def test_a_full_gpu_is_one_line_with_the_setting_that_helps() -> None:
    with (
        pytest.raises(HlocLocalizerError, match='cuda:0 is out of memory: lower max_keypoints'),
        memory_guard(torch.device('cuda', 0), 'lower max_keypoints'),
    ):
        raise torch.cuda.OutOfMemoryError('CUDA out of memory. Tried to allocate 20 GiB')


class Full:
    """A network on a GPU whose memory is full."""

    def __call__(self, *_: Any) -> Any:
        raise torch.cuda.OutOfMemoryError('CUDA out of memory. Tried to allocate 20 GiB')

    prepare = __call__


def test_a_gpu_that_is_too_small_names_the_options_of_this_front_end(
    weights: Path, lounge: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    emptied = []
    monkeypatch.setattr(torch.cuda, 'empty_cache', lambda: emptied.append(True))
    front_end = create_front_end('xfeat', LIGHTGLUE)
    features = front_end.extract(lounge[1][0].image)
    front_end._matcher = Full()
    with pytest.raises(HlocLocalizerError, match='is out of memory') as caught:
        front_end.match(features, [features])
    assert 'lower retrieval.learned_candidates, or build' in str(caught.value)
    front_end._extractor = Full()
    with pytest.raises(HlocLocalizerError, match='is out of memory') as caught:
        front_end.extract(lounge[1][0].image)
    assert 'lower xfeat.max_image_size or xfeat.max_keypoints, or set device to cpu' in str(
        caught.value
    )
    assert len(emptied) == 2
    assert '\n' not in str(caught.value)


def test_a_released_front_end_keeps_no_network(weights: Path, lounge: Any) -> None:
    front_end = create_front_end('xfeat', LIGHTGLUE)
    front_end.warm_up((128, 96), references=2)
    features = front_end.extract(lounge[1][0].image)
    front_end.release()
    with pytest.raises(HlocLocalizerError, match='released'):
        front_end.match(features, [features])
    with pytest.raises(HlocLocalizerError, match='released'):
        front_end.extract(lounge[1][0].image)


def test_knowing_the_front_ends_does_not_import_torch() -> None:
    script = (
        'import sys, hloc_localizer.features.registry as r; '
        "assert 'aliked' in r.front_end_names(); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, '-c', script], check=False).returncode == 0
