"""LightGlue: one image against several in one batched call (Lindenberger et al., ICCV 2023)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from hloc_localizer.features.learned.extraction import constant
from hloc_localizer.weights.torch_file import load_into

_MASKED = -1e4
"""Added to what must not be attended to; finite in half precision, where -inf would make NaN."""


@dataclass(frozen=True)
class LightGlueShape:
    """The size of a published LightGlue."""

    descriptor_size: int
    width: int = 256
    heads: int = 4
    layers: int = 9


class Prepared(NamedTuple):
    """What LightGlue needs of one image, computed without the other image."""

    states: Tensor
    """(N, width) after the self-attention of the first layer."""
    cosines: Tensor
    """(N, width / heads / 2) of the rotary position encoding."""
    sines: Tensor


class LightGlue(nn.Module):
    """
    The network of LightGlue, arranged for one query against B references.

    It computes what the authors' network computes without early exit and pruning (which would make
    the host wait for the device in every layer), from the same weights, rearranged once:

    - the rows of the query and key projections are ordered so that a rotation is two halves;
    - the projection of a message is multiplied into the first layer of the MLP that takes it;
    - scales are folded into weights.

    The first self-attention does not depend on the other image: :meth:`prepare` computes it, for a
    map's image once and for a query once for all its candidates.
    """

    def __init__(self, shape: LightGlueShape) -> None:
        super().__init__()
        self.shape = shape
        self._type = torch.float32
        width, head = shape.width, shape.width // shape.heads
        same = shape.descriptor_size == width
        self.input = nn.Identity() if same else nn.Linear(shape.descriptor_size, width)
        self.frequencies = nn.Linear(2, head // 2, bias=False)
        self.self_blocks = nn.ModuleList(_SelfBlock(shape) for _ in range(shape.layers))
        self.cross_blocks = nn.ModuleList(_CrossBlock(shape) for _ in range(shape.layers))
        self.final = nn.Linear(width, width)
        self.matchability = nn.Linear(width, 1)

    def use_type(self, dtype: torch.dtype) -> LightGlue:
        """Round the weights of the blocks and multiply in this type; states stay float32."""
        self._type = dtype
        for blocks in (self.self_blocks, self.cross_blocks):
            blocks.to(dtype)
        return self

    def prepare(self, keypoints: Tensor, descriptors: Tensor, size: tuple[int, int]) -> Prepared:
        """
        Do what can be done before the other image is known.

        :param keypoints: (N, 2) pixels.
        :param descriptors: (N, D) of unit length.
        :param size: (width, height) of the image in pixels.
        """
        centred = keypoints - constant((size[0] / 2, size[1] / 2), keypoints)
        angles = self.frequencies(centred / (max(size) / 2))
        cosines, sines = angles.cos(), angles.sin()
        states = self.input(descriptors.float())[None]
        block = self.self_blocks[0]
        context = block.attend(states, cosines[None, None], sines[None, None], None)
        return Prepared(block.update(states, context)[0], cosines, sines)

    def resident(self, prepared: Prepared) -> Prepared:
        """Return what is kept on the device of an image that is matched often."""
        return Prepared(*(tensor.half() for tensor in prepared))

    def forward(self, query: Prepared, references: Sequence[Prepared]) -> Tensor:
        """
        Match one query of M keypoints against B references.

        :return: (B, M, 2): index into the reference or -1, and the score of the match.
        """
        batch, count = len(references), len(query.states)
        lengths = [len(reference.states) for reference in references]
        states = torch.cat(
            [
                query.states.float().expand(batch, -1, -1),
                pad_sequence([r.states.float() for r in references], batch_first=True),
            ],
            dim=1,
        )
        rotations = [
            (query.cosines.to(self._type)[None, None], query.sines.to(self._type)[None, None]),
            (
                pad_sequence([r.cosines for r in references], batch_first=True)[:, None],
                pad_sequence([r.sines for r in references], batch_first=True)[:, None],
            ),
        ]
        rotations[1] = (rotations[1][0].to(self._type), rotations[1][1].to(self._type))
        mask = _padding_mask(lengths, states.device)
        typed_mask = None if mask is None else mask.to(self._type)[:, None]
        for layer in range(self.shape.layers):
            if layer > 0:
                states = self._attend_self(layer, states, count, rotations, typed_mask)
            block = self.cross_blocks[layer]
            states = block.update(states, block.attend(states, count, typed_mask))
        return self._assign(states[:, :count], states[:, count:], mask)

    def _attend_self(
        self,
        layer: int,
        states: Tensor,
        count: int,
        rotations: list[tuple[Tensor, Tensor]],
        mask: Tensor | None,
    ) -> Tensor:
        block = self.self_blocks[layer]
        context = torch.cat(
            [
                block.attend(states[:, :count], *rotations[0], None),
                block.attend(states[:, count:], *rotations[1], mask),
            ],
            dim=1,
        )
        updated: Tensor = block.update(states, context)
        return updated

    def _assign(self, query: Tensor, references: Tensor, mask: Tensor | None) -> Tensor:
        """Return the mutual best of the double softmax, weighted by matchability, (B, M, 2)."""
        scores = self.final(query) @ self.final(references).mT
        if mask is not None:
            scores += mask
        of_query = F.logsigmoid(self.matchability(query)) - scores.logsumexp(2, keepdim=True)
        of_reference = F.logsigmoid(self.matchability(references)).mT - scores.logsumexp(
            1, keepdim=True
        )
        scores.mul_(2.0).add_(of_query).add_(of_reference)
        best, index = scores.max(dim=2)
        # Comparing maxima is faster than searching the other way; of equals, the caller keeps one.
        mutual = best == scores.amax(dim=1).gather(1, index)
        return torch.stack([torch.where(mutual, index, -1).float(), best.exp()], dim=-1)


class _Block(nn.Module):
    """What self- and cross-attention share: an MLP takes the state and the message to it."""

    def __init__(self, shape: LightGlueShape, projections: int) -> None:
        super().__init__()
        width = shape.width
        self.heads = shape.heads
        self.projections = projections
        self.project = nn.Linear(width, projections * width)
        self.mix = nn.Linear(2 * width, 2 * width)
        self.norm = nn.LayerNorm(2 * width)
        self.output = nn.Linear(2 * width, width)

    def split(self, states: Tensor) -> tuple[Tensor, ...]:
        """Project (B, N, width) to tensors (B, heads, N, width / heads)."""
        projected = self.project(states.to(self.project.weight.dtype))
        parts = projected.unflatten(-1, (self.projections, self.heads, -1))
        return tuple(parts.permute(2, 0, 3, 1, 4))

    def update(self, states: Tensor, context: Tensor) -> Tensor:
        """Add the message of the attended values (B, N, width) to the states."""
        mixed = self.mix(torch.cat([states.to(context.dtype), context], dim=-1))
        return states + self.output(F.gelu(self.norm(mixed))).float()


class _SelfBlock(_Block):
    def __init__(self, shape: LightGlueShape) -> None:
        super().__init__(shape, 3)

    def attend(self, states: Tensor, cosines: Tensor, sines: Tensor, mask: Tensor | None) -> Tensor:
        """Gather from the same image: states (B, N, width), mask (B, 1, 1, N)."""
        query, key, value = self.split(states)
        cosines, sines = cosines.to(query.dtype), sines.to(query.dtype)
        return _merge(
            _attention(_rotate(query, cosines, sines), _rotate(key, cosines, sines), value, mask)
        )


class _CrossBlock(_Block):
    def __init__(self, shape: LightGlueShape) -> None:
        super().__init__(shape, 2)

    def attend(self, states: Tensor, count: int, mask: Tensor | None) -> Tensor:
        """Gather from the other image: the first ``count`` states are the query's."""
        key, value = self.split(states)
        key0, key1 = key[..., :count, :], key[..., count:, :]
        value0, value1 = value[..., :count, :], value[..., count:, :]
        if _fuses_attention(states):
            to_query = _attention(key0, key1, value1, mask)
            to_reference = _attention(key1, key0, value0, None)
        else:  # both directions from one product
            similarity = key0 @ key1.mT
            to_reference = similarity.softmax(-2).mT @ value0
            to_query = _softmax(similarity, mask) @ value1
        return torch.cat([_merge(to_query), _merge(to_reference)], dim=1)


def _fuses_attention(tensor: Tensor) -> bool:
    """Tell whether the device has a fused kernel that is faster than two products."""
    return bool(tensor.is_cuda)


def _attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """Return softmax(query key' + mask) value; the scale is in the weights."""
    if _fuses_attention(query) or query.dtype == torch.float32:
        if mask is not None:
            mask = mask.expand(-1, -1, query.shape[-2], -1)
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=1.0)
    # torch's fused kernel multiplies bfloat16 no faster than float32 on a CPU; matmul does.
    return _softmax(query @ key.mT, mask) @ value


def _softmax(similarity: Tensor, mask: Tensor | None) -> Tensor:
    return (similarity if mask is None else similarity.add_(mask)).softmax(-1)


def _merge(heads: Tensor) -> Tensor:
    """Turn (B, heads, N, D) into (B, N, heads * D)."""
    return heads.transpose(1, 2).flatten(2)


def _rotate(vectors: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Rotate the pairs (i, i + D/2) of (B, heads, N, D) by angles (B, 1, N, D/2)."""
    first, second = vectors.chunk(2, dim=-1)
    return torch.cat([first * cosines - second * sines, second * cosines + first * sines], dim=-1)


def _padding_mask(lengths: list[int], device: torch.device) -> Tensor | None:
    """Return (B, 1, N) with :data:`_MASKED` at padding, or None where nothing is padded."""
    longest = max(lengths)
    if min(lengths) == longest:
        return None
    mask = torch.zeros(len(lengths), 1, longest, device=device)
    for place, length in enumerate(lengths):  # a table of lengths would make the host wait
        mask[place, :, length:] = _MASKED
    return mask


def load_lightglue(shape: LightGlueShape, tensors: dict[str, Any], path: Path) -> LightGlue:
    """
    Build the network from the tensors of a published checkpoint.

    Known layouts: cvg's (``self_attn.0.Wqkv...``), kornia's (``transformers.0.self_attn...``), and
    LighterGlue's, which has the prefix ``matcher.`` and may come with its extractor.

    :raises InputError: for tensors of another model.
    """
    published = _PublishedLightGlue(shape)
    named = {_published_name(name): value for name, value in tensors.items()}
    load_into(published, named, path, ignored=_ignored(shape.layers))
    network = LightGlue(shape)
    network.load_state_dict(_rearranged(published.state_dict(), shape))
    return network.eval()


def _published_name(name: str) -> str:
    name = name.removeprefix('matcher.')
    return re.sub(r'^(self|cross)_attn\.(\d+)\.', r'transformers.\2.\1_attn.', name)


def _ignored(layers: int) -> Any:
    """Early exit, pruning and the assignments of layers before the last are never run."""
    pattern = re.compile(r'extractor\.|token_confidence\.|confidence_thresholds$')
    early = tuple(f'log_assignment.{layer}.' for layer in range(layers - 1))
    return lambda name: bool(pattern.match(name)) or name.startswith(early)


class _PublishedLightGlue(nn.Module):
    """The parameters by the names and shapes of the authors' files; never run."""

    def __init__(self, shape: LightGlueShape) -> None:
        super().__init__()
        width = shape.width
        if shape.descriptor_size != width:
            self.input_proj = nn.Linear(shape.descriptor_size, width)
        self.posenc = nn.ModuleDict({'Wr': nn.Linear(2, width // shape.heads // 2, bias=False)})
        layers: list[nn.Module] = []
        for _ in range(shape.layers):
            own = {'Wqkv': nn.Linear(width, 3 * width), 'out_proj': nn.Linear(width, width)}
            cross = {name: nn.Linear(width, width) for name in ('to_qk', 'to_v', 'to_out')}
            blocks = {'self_attn': own, 'cross_attn': cross}
            layers.append(
                nn.ModuleDict(
                    {
                        key: nn.ModuleDict({**block, 'ffn': _mlp(width)})
                        for key, block in blocks.items()
                    }
                )
            )
        self.transformers = nn.ModuleList(layers)
        last = {'matchability': nn.Linear(width, 1), 'final_proj': nn.Linear(width, width)}
        self.log_assignment = nn.ModuleDict({str(shape.layers - 1): nn.ModuleDict(last)})


def _mlp(width: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(2 * width, 2 * width), nn.LayerNorm(2 * width), nn.GELU(),
        nn.Linear(2 * width, width),
    )  # fmt: skip


def _rearranged(published: dict[str, Tensor], shape: LightGlueShape) -> dict[str, Tensor]:
    """Return the state of :class:`LightGlue` for that of the authors' network."""
    source = {name: value.double() for name, value in published.items()}
    head = shape.width // shape.heads
    state: dict[str, Tensor] = {'frequencies.weight': source['posenc.Wr.weight']}
    for kind in ('weight', 'bias'):
        if shape.descriptor_size != shape.width:
            state[f'input.{kind}'] = source[f'input_proj.{kind}']
        last = f'log_assignment.{shape.layers - 1}'
        state[f'matchability.{kind}'] = source[f'{last}.matchability.{kind}']
        state[f'final.{kind}'] = source[f'{last}.final_proj.{kind}'] / shape.width**0.25
        for layer in range(shape.layers):
            own, cross = f'transformers.{layer}.self_attn', f'transformers.{layer}.cross_attn'
            state[f'self_blocks.{layer}.project.{kind}'] = _split_self_projection(
                source[f'{own}.Wqkv.{kind}'], shape.heads
            )
            state[f'cross_blocks.{layer}.project.{kind}'] = torch.cat(
                [source[f'{cross}.to_qk.{kind}'] / head**0.25, source[f'{cross}.to_v.{kind}']]
            )
    for layer in range(shape.layers):
        for target, block, message in (
            (f'self_blocks.{layer}', f'transformers.{layer}.self_attn', 'out_proj'),
            (f'cross_blocks.{layer}', f'transformers.{layer}.cross_attn', 'to_out'),
        ):
            state |= _folded_mlp(source, target, block, message)
    return {name: value.float() for name, value in state.items()}


def _split_self_projection(rows: Tensor, heads: int) -> Tensor:
    """Reorder rows (heads, head / 2 pairs, 2, qkv) to (qkv, heads, head), pairs as halves."""
    parts = rows.unflatten(0, (heads, -1, 3))
    query, key, value = parts[:, :, 0], parts[:, :, 1], parts[:, :, 2]
    head = query.shape[1]
    halves = torch.cat([torch.arange(0, head, 2), torch.arange(1, head, 2)])
    return torch.cat(
        [
            (query[:, halves] / head**0.5).flatten(0, 1),
            key[:, halves].flatten(0, 1),
            value.flatten(0, 1),
        ]
    )


def _folded_mlp(
    source: dict[str, Tensor], target: str, block: str, message: str
) -> dict[str, Tensor]:
    """Multiply the projection of the message into the MLP's first layer."""
    weight, bias = source[f'{block}.ffn.0.weight'], source[f'{block}.ffn.0.bias']
    of_state, of_message = weight.chunk(2, dim=1)
    return {
        f'{target}.mix.weight': torch.cat(
            [of_state, of_message @ source[f'{block}.{message}.weight']], dim=1
        ),
        f'{target}.mix.bias': bias + of_message @ source[f'{block}.{message}.bias'],
        f'{target}.norm.weight': source[f'{block}.ffn.1.weight'],
        f'{target}.norm.bias': source[f'{block}.ffn.1.bias'],
        f'{target}.output.weight': source[f'{block}.ffn.3.weight'],
        f'{target}.output.bias': source[f'{block}.ffn.3.bias'],
    }
