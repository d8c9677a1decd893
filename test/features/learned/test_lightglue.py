"""The batched LightGlue gives what the published one gives pair by pair."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hloc_localizer.errors import InputError

torch = pytest.importorskip('torch')
feature = pytest.importorskip('kornia.feature')

from hloc_localizer.features.learned import lightglue
from hloc_localizer.features.learned.lightglue import (
    LightGlueShape,
    load_lightglue,
)
from hloc_localizer.weights.torch_file import read_tensors

XFEAT = LightGlueShape(64, width=96, heads=1, layers=6)
SIZE = (640, 480)


def kornias(shape: LightGlueShape) -> Any:
    """Return kornia's network of that shape with seeded weights, early exit and pruning off."""
    torch.manual_seed(0)
    network = feature.LightGlue(
        None,
        input_dim=shape.descriptor_size,
        descriptor_dim=shape.width,
        num_heads=shape.heads,
        n_layers=shape.layers,
        flash=False,
        depth_confidence=-1,
        width_confidence=-1,
        filter_threshold=0.0,
    )
    return network.eval()


def features(count: int, dimensions: int, seed: int) -> tuple[Any, Any]:
    """Return noisy views of the same points: some of them match."""
    points = torch.Generator().manual_seed(0)
    noise = torch.Generator().manual_seed(seed)
    keypoints = torch.rand(400, 2, generator=points) * torch.tensor([639.0, 479.0])
    descriptors = torch.randn(400, dimensions, generator=points)
    chosen = torch.randperm(400, generator=noise)[:count]
    moved = keypoints[chosen] + torch.randn(count, 2, generator=noise)
    changed = descriptors[chosen] + 0.3 * torch.randn(count, dimensions, generator=noise)
    limits = torch.tensor([639.0, 479.0])
    return moved.clamp(min=0.0).minimum(limits), torch.nn.functional.normalize(changed, dim=1)


def published(network: Any, first: tuple[Any, Any], second: tuple[Any, Any]) -> Any:
    """Return kornia's assignment of one pair as ours is: (M, 2) index or -1, score."""
    size = torch.tensor([SIZE], dtype=torch.float32)
    sides = [
        {'keypoints': keypoints[None], 'descriptors': descriptors[None], 'image_size': size}
        for keypoints, descriptors in (first, second)
    ]
    found = network({'image0': sides[0], 'image1': sides[1]})
    return found['matches0'][0], found['matching_scores0'][0]


def assert_same(ours: Any, expected: tuple[Any, Any]) -> None:
    indices, scores = expected
    assert (indices >= 0).sum() > 20
    assert ((ours[:, 0] == indices).float().mean()) > 0.99
    both = (ours[:, 0] == indices) & (indices >= 0)
    torch.testing.assert_close(ours[both, 1], scores[both], atol=5e-3, rtol=1e-2)


@pytest.mark.parametrize(
    'shape',
    [LightGlueShape(256), LightGlueShape(128), XFEAT],
    ids=['superpoint', 'aliked and disk', 'xfeat'],
)
def test_a_batch_equals_the_published_network_pair_by_pair(
    tmp_path: Path, shape: LightGlueShape
) -> None:
    network = kornias(shape)
    tensors = network.state_dict()
    for layer in range(shape.layers):  # the names of the files that cvg publishes
        for kind in ('self', 'cross'):
            old, new = f'transformers.{layer}.{kind}_attn.', f'{kind}_attn.{layer}.'
            tensors = {name.replace(old, new): value for name, value in tensors.items()}
    path = tmp_path / 'lightglue.pth'
    torch.save(tensors, path)
    ours = load_lightglue(shape, read_tensors(path), path)
    query = features(250, shape.descriptor_size, 1)
    references = [features(count, shape.descriptor_size, count) for count in (300, 120, 41)]
    with torch.inference_mode():
        batch = ours(ours.prepare(*query, SIZE), [ours.prepare(*r, SIZE) for r in references])
        for row, reference in zip(batch, references, strict=True):
            assert_same(row, published(network, query, reference))


def test_padding_changes_nothing_with_real_weights(weights: Path) -> None:
    path = weights / 'xfeat-lighterglue.pt'
    network = load_lightglue(XFEAT, read_tensors(path), path)
    query = network.prepare(*features(200, 64, 1), SIZE)
    references = [network.prepare(*features(count, 64, count), SIZE) for count in (350, 90, 7)]
    with torch.inference_mode():
        together = network(query, references)
        alone = [network(query, [reference])[0] for reference in references]
    for row, expected in zip(together, alone, strict=True):
        assert (row[:, 0] == expected[:, 0]).float().mean() > 0.995
        torch.testing.assert_close(row[:, 1], expected[:, 1], atol=2e-3, rtol=1e-2)


def test_the_way_of_a_gpu_gives_the_same(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fused attention in both directions; a CPU computes it too, only slower."""
    path = weights / 'xfeat-lighterglue.pt'
    network = load_lightglue(XFEAT, read_tensors(path), path)
    sets = [features(count, 64, seed) for seed, count in enumerate((200, 150, 90))]
    with torch.inference_mode():
        query, *references = [network.prepare(*one, SIZE) for one in sets]
        expected = network(query, references)
        monkeypatch.setattr(lightglue, '_fuses_attention', lambda tensor: True)
        found = network(network.prepare(*sets[0], SIZE), references)
    assert (expected[..., 0] >= 0).sum() > 50
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-3)


def test_bfloat16_finds_the_same_matches(weights: Path) -> None:
    path = weights / 'xfeat-lighterglue.pt'
    exact = load_lightglue(XFEAT, read_tensors(path), path)
    rounded = load_lightglue(XFEAT, read_tensors(path), path).use_type(torch.bfloat16)
    query, reference = features(300, 64, 1), features(300, 64, 2)
    with torch.inference_mode():
        found, expected = (
            network(network.prepare(*query, SIZE), [network.prepare(*reference, SIZE)])[0]
            for network in (rounded, exact)
        )
    sure = (expected[:, 0] >= 0) & (expected[:, 1] > 0.2)
    assert sure.sum() > 100
    assert (found[sure, 0] == expected[sure, 0]).float().mean() > 0.95


def test_the_authors_file_of_lighterglue_carries_its_extractor(
    weights: Path, tmp_path: Path
) -> None:
    """The published file holds the extractor and the parts of early exit beside the matcher."""
    tensors = read_tensors(weights / 'xfeat-lighterglue.pt')
    extractor = read_tensors(weights / 'xfeat.pt')
    tensors |= {f'extractor.model.net.{name}': value for name, value in extractor.items()}
    tensors['matcher.token_confidence.0.token.0.weight'] = torch.zeros(1, 96)
    tensors['matcher.log_assignment.0.matchability.bias'] = torch.zeros(1)
    network = load_lightglue(XFEAT, tensors, tmp_path / 'xfeat-lighterglue.pt')
    assert network.shape == XFEAT


def test_the_weights_of_another_lightglue_are_refused(weights: Path) -> None:
    path = weights / 'xfeat-lighterglue.pt'
    with pytest.raises(InputError, match='another model'):
        load_lightglue(LightGlueShape(128), read_tensors(path), path)
    with pytest.raises(InputError, match='another model'):
        load_lightglue(XFEAT, read_tensors(weights / 'aliked-n16.pth'), path)
