"""The files of a map that hloc and COLMAP read: the model and the features."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.features.local_features import LocalFeatures
from hloc_localizer.maps.hloc_export import MODEL_FOLDER
from hloc_localizer.maps.hloc_files import (
    FEATURES_NAME,
    GLOBAL_FEATURES_NAME,
    write_features,
    write_global_features,
)


def write_model(
    folder: Path,
    features: Mapping[str, LocalFeatures],
    descriptors: NDArray[np.float32],
    reconstruction: Any,
) -> None:
    """
    Write the model and the features of a map that is being built.

    :param features: by the names of the I images, in their order.
    :param descriptors: (I, G) global ones.
    :param reconstruction: ``pycolmap.Reconstruction``.
    """
    (folder / MODEL_FOLDER).mkdir()
    reconstruction.write_binary(folder / MODEL_FOLDER)
    write_features(folder / FEATURES_NAME, features)
    write_global_features(
        folder / GLOBAL_FEATURES_NAME, dict(zip(features, descriptors, strict=True))
    )
