"""The covariance of a new map's poses, learned from its own images that were held out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.geometry.covariance import pose_error
from hloc_localizer.localization.inflation import MIN_FRAMES, learn_inflation, narrowed, nees_under
from hloc_localizer.localization.options import CovarianceOptions
from hloc_localizer.mapping.map_report.self_localization import Trial
from hloc_localizer.maps.calibration import Calibration


def self_calibration(trials: Sequence[Trial], truth: NDArray[np.float64]) -> Calibration | None:
    """
    Learn how far off the poses of held-out images were.

    :param truth: (I, 4, 4) ``map_from_camera`` of the map's images: as recorded, where they are.
    :returns: None where fewer than 20 were found.
    """
    errors, covariances = [], []
    for trial in trials:
        found = trial.localization
        if found is None or not trial.found or found.map_from_camera is None:
            continue
        errors.append(pose_error(found.map_from_camera, truth[trial.image]))
        covariances.append(narrowed(np.asarray(found.covariance), CovarianceOptions()))
    if len(errors) < MIN_FRAMES:
        return None
    inflation = learn_inflation(np.array(errors), np.array(covariances))
    return Calibration(
        sigma_scale=inflation.sigma_scale,
        position_floor_m=inflation.position_floor_m,
        rotation_floor_deg=inflation.rotation_floor_deg,
        frames=len(errors),
        mean_nees=float(np.mean(nees_under(inflation, np.array(errors), np.array(covariances)))),
        source='images of the map, held out',
    )
