"""Learned global descriptors, read from files of the published layout with seeded values."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hloc_localizer.errors import InputError
from hloc_localizer.weights.store import DIRECTORY_VARIABLE

torch = pytest.importorskip('torch')
pytest.importorskip('kornia')
scipy_io = pytest.importorskip('scipy.io')

from hloc_localizer.features.learned.extraction import image_tensor
from hloc_localizer.retrieval.learned import megaloc
from hloc_localizer.retrieval.learned.describe import LearnedDescriptor, create_learned_descriptor
from hloc_localizer.retrieval.learned.eigenplaces import EigenPlaces, read_eigenplaces
from hloc_localizer.retrieval.learned.netvlad import read_netvlad
from hloc_localizer.retrieval.learned.options import LearnedDescriptorOptions
from hloc_localizer.retrieval.learned.vision_transformer import (
    VisionTransformer,
    VisionTransformerShape,
)

F = torch.nn.functional
VGG = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512)
"""Channels of the convolutions of VGG-16; 0 is a pooling."""


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def image() -> Any:
    return np.random.default_rng(0).integers(0, 255, (70, 90, 3), np.uint8)


def matlab_network(words: int = 8, length: int = 16) -> dict[str, Any]:
    """Return a network as hloc's export has it: 34 layers, kernels as S x S x IN x OUT."""
    random = np.random.default_rng(0)
    layers: list[dict[str, Any]] = []
    channels = 3
    for width in VGG:
        if width == 0:
            layers.append({'type': 'pool'})
            continue
        kernel = random.normal(size=(3, 3, channels, width)) * np.sqrt(2.0 / (9 * channels))
        layers.append({'weights': cells(kernel, random.normal(size=(width, 1)) * 0.1)})
        layers.append({'type': 'relu'})
        channels = width
    layers = [*layers[:29], {'type': 'normalize'}]
    words_weights = random.normal(size=(512, words)), random.normal(size=(512, words)) * 0.05
    layers.append({'weights': cells(*words_weights)})
    layers += [{'type': 'normalize'}, {'type': 'normalize'}]
    whitening = random.normal(size=(1, 1, 512 * words, length))
    layers.append({'weights': cells(whitening, random.normal(size=(length, 1)))})
    listed = np.empty(len(layers), object)
    listed[:] = layers
    average = np.tile(np.array([123.0, 117.0, 104.0], np.float32), (4, 4, 1))
    return {'layers': listed, 'meta': {'normalization': {'averageImage': average}}}


def cells(first: Any, second: Any) -> Any:
    pair = np.empty(2, object)
    pair[:] = [first.astype(np.float32), second.astype(np.float32)]
    return pair


def netvlad_by_hand(network: dict[str, Any], image: Any) -> Any:
    """Compute NetVLAD as the paper's equations (3) and (4) say, one word at a time."""
    layers = network['layers']
    mean = network['meta']['normalization']['averageImage'][0, 0]
    states = torch.from_numpy(image.astype(np.float32) - mean).permute(2, 0, 1)[None]
    for place in range(29):
        layer = layers[place]
        if layer.get('type') == 'relu':
            states = states.relu()
        elif layer.get('type') == 'pool':
            states = F.max_pool2d(states, 2)
        else:
            kernel, bias = (torch.from_numpy(part) for part in layer['weights'])
            states = F.conv2d(states, kernel.permute(3, 2, 0, 1), bias[:, 0], padding=1)
    local = F.normalize(states[0].flatten(1), dim=0).numpy()
    scores, centres = layers[30]['weights']
    weights = np.exp(scores.T @ local)
    weights /= weights.sum(axis=0)
    vlad = np.zeros_like(centres)
    for word in range(centres.shape[1]):
        residuals = local + centres[:, word : word + 1]  # MATLAB stores minus the centres
        vlad[:, word] = (weights[word] * residuals).sum(axis=1)
    vlad /= np.linalg.norm(vlad, axis=0)
    flat = vlad.reshape(-1) / np.linalg.norm(vlad)
    kernel, bias = layers[33]['weights']
    whitened = flat @ kernel[0, 0] + bias[:, 0]
    return whitened / np.linalg.norm(whitened)


def test_netvlad_of_a_matlab_file_equals_the_papers_equations(tmp_path: Path, image: Any) -> None:
    network = matlab_network()
    path = tmp_path / 'VGG16-NetVLAD-Pitts30K.mat'
    scipy_io.savemat(path, {'net': network})
    descriptor = described(read_netvlad(path), 'netvlad', image)
    np.testing.assert_allclose(descriptor, netvlad_by_hand(network, image), atol=2e-4)


def described(network: Any, name: str, image: Any) -> Any:
    wrapper = LearnedDescriptor(
        name=name, network=network, options=LearnedDescriptorOptions(), device=torch.device('cpu')
    )
    descriptor = wrapper.describe_image(image)
    assert descriptor.shape == (wrapper.size,)
    assert np.linalg.norm(descriptor) == pytest.approx(1.0, abs=1e-5)
    return descriptor


def torchvision_names(tensors: dict[str, Any]) -> dict[str, Any]:
    """Rename the tensors of transformers' ResNet to those of a list of torchvision's children."""
    renamed = {}
    for name, value in tensors.items():
        parts = name.split('.')
        norm = parts[-2] == 'normalization'
        if parts[0] == 'embedder':
            place = f'{int(norm)}'
        elif 'shortcut' in parts:
            place = f'{int(parts[2]) + 4}.{parts[4]}.downsample.{int(norm)}'
        else:
            layer = f'{"bn" if norm else "conv"}{int(parts[6]) + 1}'
            place = f'{int(parts[2]) + 4}.{parts[4]}.{layer}'
        renamed[f'backbone.{place}.{parts[-1]}'] = value
    return renamed


def test_eigenplaces_equals_transformers_resnet(tmp_path: Path, image: Any) -> None:
    transformers = pytest.importorskip('transformers')
    torch.manual_seed(0)
    resnet = transformers.ResNetModel(transformers.ResNetConfig(depths=[2, 1, 2, 1])).eval()
    for name, buffer in resnet.named_buffers():
        if name.endswith('running_mean'):
            buffer.normal_(std=0.1)
    linear = torch.nn.Linear(2048, 32)
    tensors = torchvision_names(resnet.state_dict())
    tensors |= {f'aggregation.3.{name}': value for name, value in linear.state_dict().items()}
    tensors['aggregation.1.p'] = torch.tensor([2.5])
    path = tmp_path / 'ResNet50_32_eigenplaces.pth'
    torch.save(tensors, path)
    network = read_eigenplaces(path)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    with torch.inference_mode():
        pixels = image_tensor(image, torch.device('cpu'))
        normal = (pixels - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
        local = F.normalize(resnet(normal).last_hidden_state, dim=1)
        pooled = local.clamp(min=1e-6).pow(2.5).mean(dim=(2, 3)).pow(1 / 2.5)
        expected = F.normalize(linear(pooled), dim=1)[0].numpy()
    np.testing.assert_allclose(described(network, 'eigenplaces', image), expected, atol=1e-5)


def test_eigenplaces_reads_every_depth_and_length(tmp_path: Path) -> None:
    path = tmp_path / 'eigenplaces.pth'
    torch.save(EigenPlaces((3, 4, 23, 3), 16).state_dict(), path)
    network = read_eigenplaces(path)
    assert network.size == 16
    assert sum(name.endswith('conv2.weight') for name in network.state_dict()) == 33


def test_the_vision_transformer_equals_that_of_transformers() -> None:
    transformers = pytest.importorskip('transformers')
    torch.manual_seed(0)
    config = transformers.Dinov2Config(
        hidden_size=48, num_hidden_layers=2, num_attention_heads=4, image_size=70, patch_size=14,
        layerscale_value=0.3,
    )  # fmt: skip
    reference = transformers.Dinov2Model(config).eval()
    with torch.no_grad():
        for parameter in reference.parameters():
            parameter.normal_(std=0.2)
    ours = VisionTransformer(VisionTransformerShape(48, 2, 4, 14, 5))
    ours.load_state_dict(facebook_names(reference.state_dict()))
    pixels = torch.randn(1, 3, 70, 70)
    with torch.inference_mode():
        expected = reference(pixels).last_hidden_state
        local, token = ours(pixels)
    torch.testing.assert_close(token, expected[:, 0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(local.flatten(2).mT, expected[:, 1:], atol=1e-4, rtol=1e-4)


def facebook_names(tensors: dict[str, Any]) -> dict[str, Any]:
    """Rename transformers' tensors to those of the published DINOv2."""
    changes = (
        ('embeddings.cls_token', 'cls_token'),
        ('embeddings.mask_token', 'mask_token'),
        ('embeddings.position_embeddings', 'pos_embed'),
        ('embeddings.patch_embeddings.projection', 'patch_embed.proj'),
        ('encoder.layer.', 'blocks.'),
        ('attention.o_proj', 'attn.proj'),
        ('layer_scale1.lambda1', 'ls1.gamma'),
        ('layer_scale2.lambda1', 'ls2.gamma'),
        ('layernorm.', 'norm.'),
    )
    renamed = {}
    for name, value in tensors.items():
        for old, new in changes:
            name = name.replace(old, new)
        renamed[name] = value[None] if name == 'mask_token' and value.ndim == 1 else value
    for name in [name for name in renamed if '.q_proj.' in name]:
        parts = [renamed.pop(name.replace('q_proj', f'{part}_proj')) for part in 'qkv']
        renamed[name.replace('attention.q_proj', 'attn.qkv')] = torch.cat(parts)
    return renamed


SMALL = megaloc.MegaLocShape(
    backbone=VisionTransformerShape(24, 2, 2, 14, 5), clusters=6, cluster_size=5, token_size=7,
    hidden=10, size=12,
)  # fmt: skip


def test_megaloc_in_the_published_layout_equals_the_papers_equations(
    tmp_path: Path, image: Any
) -> None:
    torch.manual_seed(0)
    source = megaloc.MegaLoc(SMALL).eval()
    with torch.no_grad():
        for parameter in source.parameters():
            parameter.normal_(std=0.3)
    names = set(source.state_dict())
    assert {
        'backbone.model.blocks.1.attn.qkv.weight',
        'backbone.model.patch_embed.proj.bias',
        'aggregator.agg.cluster_features.3.weight',
        'aggregator.agg.token_features.2.bias',
        'aggregator.agg.dust_bin',
        'aggregator.linear.weight',
    } <= names
    path = tmp_path / 'megaloc.torch'
    torch.save(source.state_dict(), path)
    network = megaloc.read_megaloc(path, SMALL)
    picture = image[:70, :84]
    with torch.inference_mode():
        pixels = image_tensor(picture, torch.device('cpu'))
        mean, std = (torch.tensor(v)[:, None, None] for v in (megaloc._MEAN, megaloc._STD))
        local, token = network.backbone['model']((pixels - mean) / std)
        expected = salad_by_hand(network.aggregator['agg'], local, token)
        expected = F.normalize(network.aggregator['linear'](expected), dim=0)
    np.testing.assert_allclose(described(network, 'megaloc', picture), expected, atol=1e-5)
    described(network, 'megaloc', image)  # any size is brought to whole patches


def salad_by_hand(salad: Any, local: Any, token: Any) -> Any:
    """Aggregate with plain Sinkhorn: scale rows, then columns, of the kernel, three times."""
    kernel = salad.score(local)[0].flatten(1).double().exp()
    clusters, count = kernel.shape
    kernel = torch.cat([kernel, salad.dust_bin.double().exp().expand(1, count)])
    mass = torch.cat([torch.ones(clusters), torch.tensor([float(count - clusters)])]).double()
    columns = torch.ones(count).double()
    for _ in range(3):
        rows = mass / (kernel @ columns)
        columns = 1.0 / (rows @ kernel)
    plan = (rows[:, None] * kernel * columns)[:clusters].float()
    features = salad.cluster_features(local)[0].flatten(1)
    sums = F.normalize(features @ plan.T, dim=0)
    whole = F.normalize(salad.token_features(token)[0], dim=0)
    return F.normalize(torch.cat([whole, sums.flatten()]), dim=0)


def test_files_of_other_models_are_refused(tmp_path: Path) -> None:
    path = tmp_path / 'other.pth'
    torch.save({'weight': torch.zeros(3)}, path)
    with pytest.raises(InputError, match='not EigenPlaces'):
        read_eigenplaces(path)
    with pytest.raises(InputError, match='another model, it lacks'):
        megaloc.read_megaloc(path, SMALL)
    with pytest.raises(InputError, match="not hloc's NetVLAD"):
        read_netvlad(path)
    network = matlab_network()
    network['layers'][0]['weights'][0] = np.zeros((3, 3, 3, 7), np.float32)
    scipy_io.savemat(tmp_path / 'bad.mat', {'net': network})
    with pytest.raises(InputError, match=r"not hloc's NetVLAD \(a convolution has another shape"):
        read_netvlad(tmp_path / 'bad.mat')


def test_missing_weights_say_where_to_put_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path))
    with pytest.raises(InputError, match=r"'megaloc\.torch' .* are missing: run"):
        create_learned_descriptor('megaloc')
    with pytest.raises(InputError, match="'cosplace' is not known; known: netvlad"):
        create_learned_descriptor('cosplace')


def test_large_images_are_reduced_as_hloc_does() -> None:
    sizes: list[tuple[int, ...]] = []

    class Network(torch.nn.Module):
        size = 2

        def forward(self, image: Any) -> Any:
            sizes.append(tuple(image.shape))
            return torch.ones(1, 2)

    options = dataclasses.replace(LearnedDescriptorOptions(), max_image_size=100)
    wrapper = LearnedDescriptor(
        name='netvlad', network=Network(), options=options, device=torch.device('cpu')
    )
    wrapper.describe_image(np.zeros((75, 150), np.uint8))
    wrapper.describe_image(np.zeros((30, 40, 3), np.uint8))
    assert sizes == [(1, 3, 50, 100), (1, 3, 30, 40)]
