"""
Nothing between image and matches asks the device for a value.

On torch's meta device there are shapes but no values: ``item``, ``nonzero`` and selection by mask,
which make the host wait for a GPU, fail there.
"""

from __future__ import annotations

import pytest

from hloc_localizer.features.local_features import NearestNeighbourOptions
from hloc_localizer.features.registry import front_end_options

torch = pytest.importorskip('torch')
pytest.importorskip('kornia')

from hloc_localizer.features.learned.create import build_networks
from hloc_localizer.features.learned.nearest_neighbour import match_nearest

META = torch.device('meta')


@pytest.mark.parametrize('name', ['xfeat', 'aliked', 'disk', 'superpoint'])
def test_extracting_and_matching_need_no_values(name: str) -> None:
    options = front_end_options(name)().with_values({'max_keypoints': 50, 'precision': 'float32'})
    extractor, lightglue = build_networks(name, options, META, seeded=True)
    with torch.inference_mode():
        found = extractor(torch.empty(1, 3, 96, 128, device=META))
        assert found.keypoints.shape == (50, 2)
        assert found.scores.shape == (50,)
        assert found.descriptors.shape == (50, extractor.descriptor_size)
        query, shorter = (
            lightglue.prepare(found.keypoints[:count], found.descriptors[:count], (128, 96))
            for count in (50, 20)
        )
        assert lightglue(query, [query, shorter, query]).shape == (3, 50, 2)
        sets = [found.descriptors, found.descriptors[:7]]
        matches = match_nearest(found.descriptors, sets, NearestNeighbourOptions())
        assert matches.shape == (2, 50, 2)


def test_the_meta_device_notices_a_wait() -> None:
    with pytest.raises((RuntimeError, NotImplementedError)):
        torch.empty(3, device=META).nonzero()
