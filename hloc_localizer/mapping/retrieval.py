"""Global descriptors of map images: learned on them, or made by a network as they are read."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.errors import InputError
from hloc_localizer.mapping.matching import MapImage
from hloc_localizer.maps import Component
from hloc_localizer.retrieval.learned.options import LearnedDescriptorOptions
from hloc_localizer.retrieval.registry import CHECKSUM, create_global_descriptor
from hloc_localizer.retrieval.vlad import Vlad, VladOptions, learn_vlad


@dataclass(frozen=True)
class Retrieval:
    """What a map stores to find images like a query."""

    component: Component
    descriptors: NDArray[np.float32]
    """(I, G)."""
    arrays: Mapping[str, NDArray[Any]]
    """What was learned on the map."""


class ImageDescriber:
    """A network that describes images while they are read, one at a time."""

    def __init__(self, name: str, options: LearnedDescriptorOptions) -> None:
        """
        Read the network.

        :raises InputError: for missing or wrong weights, or an absent device.
        """
        self.component = Component(name, _recorded(name, options))
        self._found = create_global_descriptor(
            name, {}, self.component.parameters, device=options.device
        )
        self._one_at_a_time = threading.Lock()

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the descriptor (G,) of an image (H, W) grey or (H, W, 3) RGB."""
        with self._one_at_a_time:
            return self._found.describe(image, None)

    def release(self) -> None:
        """Give the memory of the network back."""
        self._found.release()


def image_describer(name: str, options: LearnedDescriptorOptions) -> ImageDescriber | None:
    """Return the network of that name; None for VLAD, which needs all images first."""
    return None if name == Vlad.name else ImageDescriber(name, options)


def retrieval_of(
    images: Sequence[MapImage],
    describer: ImageDescriber | None,
    options: VladOptions,
    *,
    what: str = 'the images',
) -> Retrieval:
    """
    Collect what the network made of the images and let go of it, or learn VLAD on them.

    :param what: what the images are called when they have too few features.
    :raises InputError: when the images have too few features to learn from.
    """
    if describer is not None:
        describer.release()
        described = [image.global_descriptor for image in images]
        return Retrieval(
            describer.component, np.stack([one for one in described if one is not None]), {}
        )
    try:
        vlad = learn_vlad([image.features for image in images], options)
    except ValueError as error:
        raise InputError(f'{what} have too little texture for a map: {error}') from error
    return Retrieval(
        Component(vlad.name, options.as_dict()),
        np.stack([vlad.describe(image.features) for image in images]),
        vlad.arrays,
    )


def _recorded(name: str, options: LearnedDescriptorOptions) -> dict[str, Any]:
    """Return what the localizer must do alike, and with which weights."""
    from hloc_localizer.weights.catalogue import find_checkpoint
    from hloc_localizer.weights.store import checksum, require

    checkpoint = find_checkpoint(name)
    require(checkpoint)
    return {'max_image_size': options.max_image_size, CHECKSUM: checksum(checkpoint)}
