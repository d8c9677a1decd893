"""What error to expect of a match: that of its keypoint and, seen from the camera, of its point."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.features.local_features import LocalFeatures
from hloc_localizer.geometry.absolute_pose import reprojection_jacobian
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.geometry.covariance import unpacked_symmetric
from hloc_localizer.localization.point_matching import PointMatches
from hloc_localizer.maps.runtime import RuntimeMap

_LARGEST_POINT_SIGMA_PX = 50.0


class MatchNoise:
    """
    The covariance of the residuals of matches, in the query's pixels.

    A point that few images saw from nearly the same side is known well across their rays and badly
    along them. Seen from there again it is as good as any other; seen from the side it says little.
    """

    def __init__(self, runtime: RuntimeMap, keypoint_sigma_px: float) -> None:
        """
        Prepare for a map.

        :param keypoint_sigma_px: standard deviation of a keypoint of scale 1.
        """
        self._runtime = runtime
        self._keypoint_sigma_px = keypoint_sigma_px

    def covariance_px(
        self,
        features: LocalFeatures,
        camera: Camera,
        matches: PointMatches,
        map_from_camera: NDArray[np.float64] | None,
    ) -> NDArray[np.float64]:
        """
        Return the covariance (M, 2, 2) of the residuals of matches.

        :param map_from_camera: the pose; without one nothing is expected of the points.
        """
        of_keypoint = self.of_keypoints(features, matches)[:, None, None] ** 2 * np.eye(2)
        if map_from_camera is None:
            return np.asarray(of_keypoint)
        points = self._runtime.points[matches.point].astype(np.float64)
        by_position = reprojection_jacobian(camera, map_from_camera, points)[:, :, :3]
        known = unpacked_symmetric(self._runtime.point_covariance[matches.point])
        of_point = by_position @ known @ by_position.transpose(0, 2, 1)
        total = of_point + of_keypoint
        # Behind the camera there is no projection; such a match is an outlier whatever its noise.
        hopeless = ~np.isfinite(total).all(axis=(1, 2))
        total[hopeless] = _LARGEST_POINT_SIGMA_PX**2 * np.eye(2)
        return np.asarray(total)

    def of_keypoints(self, features: LocalFeatures, matches: PointMatches) -> NDArray[np.float64]:
        """Return the standard deviation (M,) of the keypoints alone, in pixels each axis."""
        scales = np.maximum(features.scales[matches.keypoint], 1.0)
        return np.asarray(self._keypoint_sigma_px * np.sqrt(scales), np.float64)
