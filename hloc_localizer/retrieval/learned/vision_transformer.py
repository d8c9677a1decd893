"""The vision transformer of DINOv2 (Oquab et al., TMLR 2024), named as in its published files."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_OFFSET = 0.1
"""DINOv2 adds this to the number of patches when it stretches its position embedding."""


@dataclass(frozen=True)
class VisionTransformerShape:
    """ViT-B/14 at 518 pixels, unless said otherwise."""

    width: int = 768
    layers: int = 12
    heads: int = 12
    patch: int = 14
    patches: int = 37
    """Along a side of the image that the position embedding was trained for."""


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        parts = self.qkv(tokens).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        context = F.scaled_dot_product_attention(parts[0], parts[1], parts[2])
        return self.proj(context.transpose(1, 2).flatten(2))


class _Scale(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens * self.gamma


class _Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = _Attention(width, heads)
        self.ls1 = _Scale(width)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.ModuleDict(
            {'fc1': nn.Linear(width, 4 * width), 'fc2': nn.Linear(4 * width, width)}
        )
        self.ls2 = _Scale(width)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.ls1(self.attn(self.norm1(tokens)))
        hidden = F.gelu(self.mlp['fc1'](self.norm2(tokens)))
        return tokens + self.ls2(self.mlp['fc2'](hidden))


class VisionTransformer(nn.Module):
    """Patches to normalised features and a class token."""

    def __init__(self, shape: VisionTransformerShape) -> None:
        super().__init__()
        self.shape = shape
        width = shape.width
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, shape.patches**2 + 1, width))
        self.mask_token = nn.Parameter(torch.zeros(1, width))  # of training; never used
        self.patch_embed = nn.ModuleDict({'proj': nn.Conv2d(3, width, shape.patch, shape.patch)})
        self.blocks = nn.ModuleList(_Block(width, shape.heads) for _ in range(shape.layers))
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """
        Encode a normalised image (1, 3, H, W), H and W multiples of the patch.

        :return: features (1, width, H / patch, W / patch) and the class token (1, width).
        """
        patches = self.patch_embed['proj'](image)
        height, width = patches.shape[-2:]
        tokens = torch.cat([self.cls_token, patches.flatten(2).mT], dim=1)
        tokens = tokens + self._positions(height, width)
        for block in self.blocks:
            tokens = block(tokens)
        tokens = self.norm(tokens)
        return tokens[:, 1:].mT.unflatten(2, (height, width)), tokens[:, 0]

    def _positions(self, height: int, width: int) -> Tensor:
        """Return the position embedding (1, 1 + height * width, C) for that many patches."""
        trained = self.shape.patches
        if height == width == trained:
            return self.pos_embed
        grid = self.pos_embed[:, 1:].mT.unflatten(2, (trained, trained))
        factors = ((height + _OFFSET) / trained, (width + _OFFSET) / trained)
        stretched = F.interpolate(grid, scale_factor=factors, mode='bicubic')
        return torch.cat([self.pos_embed[:, :1], stretched.flatten(2).mT], dim=1)
