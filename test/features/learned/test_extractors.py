"""Extractors give what the networks they are made of give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hloc_localizer.errors import InputError
from hloc_localizer.features.learned.options import (
    AlikedOptions,
    DiskOptions,
    SuperPointOptions,
    XFeatOptions,
)

torch = pytest.importorskip('torch')
feature = pytest.importorskip('kornia.feature')

from hloc_localizer.features.learned.aliked import Aliked
from hloc_localizer.features.learned.disk import Disk
from hloc_localizer.features.learned.extraction import image_tensor, local_maxima
from hloc_localizer.features.learned.superpoint import SuperPoint
from hloc_localizer.features.learned.xfeat import XFeat
from hloc_localizer.weights.torch_file import read_tensors

CPU = torch.device('cpu')
KEYPOINTS = 500


def rows_of(found: Any, wanted: Any, tolerance: float = 1e-2) -> Any:
    """Return for each of the wanted keypoints its row in the found, and check that it is there."""
    distances = np.linalg.norm(found.numpy()[None] - wanted.numpy()[:, None], axis=-1)
    assert distances.min(axis=1).max() < tolerance
    return distances.argmin(axis=1)


def test_xfeat_equals_kornias_on_a_photograph(weights: Path, lounge: Any) -> None:
    tensors = read_tensors(weights / 'xfeat.pt')
    reference = feature.XFeat(top_k=KEYPOINTS)
    reference.net.load_state_dict(tensors)
    options = XFeatOptions(max_keypoints=KEYPOINTS, subpixel=False)
    ours = XFeat.from_tensors(tensors, weights / 'xfeat.pt', options, CPU)
    image = image_tensor(lounge[1][0].image, CPU)
    with torch.inference_mode():
        expected = reference.eval().detectAndCompute(image)[0]
        found = ours(image)
    # kornia scales the corner of a pixel, we its centre: the same pixel of the resized image.
    ratio = torch.tensor([540 / 512, 360 / 352])
    pixels = ((found.keypoints + 0.5) / ratio - 0.5).round()
    rows = rows_of(pixels, expected['keypoints'] / ratio)
    assert len(set(rows)) == KEYPOINTS
    torch.testing.assert_close(found.scores[rows], expected['scores'], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(
        found.descriptors[rows], expected['descriptors'], atol=1e-4, rtol=1e-3
    )


def test_xfeat_refines_keypoints_within_their_pixel(weights: Path, lounge: Any) -> None:
    tensors = read_tensors(weights / 'xfeat.pt')
    image = image_tensor(lounge[1][0].image, CPU)
    with torch.inference_mode():
        whole, parts = (
            XFeat.from_tensors(tensors, weights, XFeatOptions(subpixel=subpixel), CPU)(image)
            for subpixel in (False, True)
        )
    moved = (parts.keypoints - whole.keypoints).norm(dim=1)
    assert moved.max() < 1.5
    assert 0.02 < moved.mean() < 0.6


@pytest.mark.parametrize('name', ['aliked-n16', 'aliked-n16rot'])
def test_aliked_equals_kornias_on_a_photograph(weights: Path, lounge: Any, name: str) -> None:
    path = weights / f'{name}.pth'
    tensors = read_tensors(path)
    reference = feature.ALIKED(name, max_num_keypoints=KEYPOINTS, detection_threshold=-1)
    reference.load_state_dict(tensors, strict=False)
    options = AlikedOptions(weights=name, max_keypoints=KEYPOINTS)
    ours = Aliked.from_tensors(tensors, path, options, CPU)
    image = image_tensor(lounge[1][0].image, CPU)
    with torch.inference_mode():
        expected = reference.eval()(image)[0]
        found = ours(image)
    rows = rows_of(found.keypoints, expected.keypoints)
    assert len(set(rows)) == KEYPOINTS
    torch.testing.assert_close(found.scores[rows], expected.keypoint_scores, atol=1e-3, rtol=0)
    torch.testing.assert_close(found.descriptors[rows], expected.descriptors, atol=1e-3, rtol=1e-3)
    assert (found.scores.diff() <= 0.0).all()


def test_disk_in_the_published_layout_equals_kornias(tmp_path: Path, lounge: Any) -> None:
    torch.manual_seed(0)
    reference = feature.DISK().eval()
    path = tmp_path / 'depth-save.pth'
    torch.save({'extractor': reference.state_dict()}, path)
    ours = Disk.from_tensors(read_tensors(path), path, DiskOptions(max_keypoints=KEYPOINTS), CPU)
    image = image_tensor(lounge[1][0].image[:150, :200], CPU)
    with torch.inference_mode():
        expected = reference(image, n=KEYPOINTS, pad_if_not_divisible=True)[0]
        found = ours(image)
    count = int((found.scores > 0).sum())
    assert count == len(expected.keypoints) > 100
    rows = rows_of(found.keypoints[:count], expected.keypoints)
    torch.testing.assert_close(found.scores[rows], expected.detection_scores, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(found.descriptors[rows], expected.descriptors, atol=1e-4, rtol=1e-3)


def test_superpoint_in_the_published_layout_equals_transformers(
    tmp_path: Path, lounge: Any
) -> None:
    transformers = pytest.importorskip('transformers')
    torch.manual_seed(1)
    config = transformers.SuperPointConfig(keypoint_threshold=0.0)
    reference = transformers.SuperPointForKeypointDetection(config).eval()
    path = tmp_path / 'superpoint_v1.pth'
    torch.save(magic_leap_names(reference.state_dict()), path)
    options = SuperPointOptions(max_keypoints=KEYPOINTS, detection_threshold=0.0)
    ours = SuperPoint.from_tensors(read_tensors(path), path, options, CPU)
    grey = np.ascontiguousarray(lounge[1][0].image[:160, :240, 1])
    image = image_tensor(grey, CPU)
    with torch.inference_mode():
        expected = reference(image.expand(-1, 3, -1, -1))
        found = ours(image)
    count = int((found.scores > 0).sum())
    assert count > 50
    # transformers adds flanks of stronger peaks to the maxima, so ours are a part of theirs.
    pixels = expected.keypoints[0] * torch.tensor([240, 160])
    rows = rows_of(pixels, found.keypoints[:count])
    torch.testing.assert_close(expected.scores[0][rows], found.scores[:count], atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(
        expected.descriptors[0][rows], found.descriptors[:count], atol=1e-4, rtol=1e-3
    )


def magic_leap_names(tensors: dict[str, Any]) -> dict[str, Any]:
    """Rename transformers' tensors to those of superpoint_v1.pth."""
    renamed = {}
    for name, value in tensors.items():
        *_, layer, kind = name.split('.')
        letter = layer[-1]
        if name.startswith('encoder'):
            block = int(name.split('.')[2]) + 1
            renamed[f'conv{block}{letter}.{kind}'] = value
        else:
            head = 'P' if name.startswith('keypoint') else 'D'
            renamed[f'conv{head}{letter}.{kind}'] = value
    return renamed


def test_weights_of_another_model_are_refused_by_name(weights: Path) -> None:
    path = weights / 'aliked-n16.pth'
    with pytest.raises(InputError, match=r'aliked-n16\.pth: another model, it lacks'):
        XFeat.from_tensors(read_tensors(path), path, XFeatOptions(), CPU)
    with pytest.raises(InputError, match='another model'):
        Disk.from_tensors(read_tensors(path), path, DiskOptions(), CPU)


def test_maxima_are_whole_windows_only() -> None:
    scores = torch.zeros(1, 1, 9, 9)
    scores[0, 0, 4, 4] = 2.0
    scores[0, 0, 4, 6] = 1.0  # in the window of the one before
    scores[0, 0, 0, 0] = 3.0  # at the border
    marked = local_maxima(scores, 2) & (scores > 0.0)
    assert marked.nonzero().tolist() == [[0, 0, 4, 4]]
