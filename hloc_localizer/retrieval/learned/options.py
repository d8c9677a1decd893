"""Options of the learned global descriptors; importing them does not import torch."""

from __future__ import annotations

from dataclasses import dataclass

from hloc_localizer.options import Options, option


@dataclass(frozen=True)
class LearnedDescriptorOptions(Options):
    """What all learned global descriptors have in common."""

    max_image_size: int = option(
        1024, 'Longest side in pixels; larger images are reduced.', minimum=64, maximum=8192
    )
    device: str = option('auto', "Where it runs: 'auto', 'cpu', 'cuda' or 'cuda:N'.")
