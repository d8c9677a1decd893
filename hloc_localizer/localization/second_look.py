"""A second look at an observation: map points are sought where its image should show them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.pose_chain import View
from hloc_localizer.localization.hypothesis import PoseSolver
from hloc_localizer.localization.observation import Observation
from hloc_localizer.localization.options import GuidedMatchingOptions
from hloc_localizer.localization.places import neighbours_of
from hloc_localizer.localization.point_matching import PointIndex, PointMatches, match_near_pose
from hloc_localizer.localization.window import MountedObservation
from hloc_localizer.maps.runtime import RuntimeMap

Array = NDArray[np.float64]

_KEPT = 6
_PROBES = 200
_SAME_LOOK_PX = 1.0
"""Points that move by less leave a look as it was."""


@dataclass(frozen=True)
class SecondLook:
    """What was found in one image from one pose."""

    mounted: MountedObservation
    matches: PointMatches
    """Those of before that agree with the pose, and those found near it."""
    view: View
    visible: Array
    """(V, 2) pixels where points should be."""
    map_from_camera: Array
    radius_px: float
    probes: Array
    """(Q, 3) some of the points that were searched."""

    def serves(self, map_from_camera: Array) -> bool:
        """Tell whether a pose would show the points where this look had them."""
        camera = self.view.camera
        here, there = (
            camera.project(transforms.apply(transforms.invert(pose), self.probes))
            for pose in (self.map_from_camera, map_from_camera)
        )
        inside = camera.contains(here) | camera.contains(there)
        shifts = np.linalg.norm(here[inside] - there[inside], axis=1)
        return bool(np.all(shifts < _SAME_LOOK_PX))


class SecondLooks:
    """Looks at observations again; what was seen from almost the same pose is not sought anew."""

    def __init__(
        self,
        runtime: RuntimeMap,
        index: PointIndex,
        solver: PoseSolver,
        options: GuidedMatchingOptions,
    ) -> None:
        self._runtime = runtime
        self._index = index
        self._solver = solver
        self._options = options
        self._everywhere = np.arange(len(runtime.image_names))
        self._kept: WeakKeyDictionary[Observation, list[SecondLook]] = WeakKeyDictionary()

    def look(
        self, mounted: MountedObservation, first: PointMatches, map_from_rig: Array, radius: float
    ) -> SecondLook:
        """
        Match the points that an image should show from a pose to the keypoints near them.

        :param first: the matches found before a pose was known; those that agree with it stay.
        :param radius: how far to search, in pixels of an image 640 wide.
        """
        pose = map_from_rig @ mounted.rig_from_camera
        kept = self._kept.setdefault(mounted.observation, [])
        for look in kept:
            same_mounting = np.array_equal(look.mounted.rig_from_camera, mounted.rig_from_camera)
            if look.radius_px == radius and same_mounting and look.serves(pose):
                return dataclasses.replace(look, mounted=mounted)
        look = self._new(mounted, first, pose, radius)
        kept.insert(0, look)
        del kept[_KEPT:]
        return look

    def _new(
        self, mounted: MountedObservation, first: PointMatches, pose: Array, radius: float
    ) -> SecondLook:
        observation, options = mounted.observation, self._options
        camera, features = observation.camera, observation.features
        near = neighbours_of(self._runtime, self._everywhere, pose, options.max_images)
        points = self._index.surest_points_of(near, options.max_points)
        guided, visible = match_near_pose(
            features,
            observation.tree,
            self._runtime,
            self._index,
            points,
            camera,
            pose,
            min_similarity=options.min_similarity,
            radius_px=radius * camera.width / 640.0,
        )
        agreeing = first.subset(self._solver.agreeing(features, camera, first, pose))
        matches = agreeing.joined(guided)
        probes = self._runtime.points[points[:: max(len(points) // _PROBES, 1)]]
        return SecondLook(
            mounted=mounted,
            matches=matches,
            view=self.view(mounted, matches, pose),
            visible=visible,
            map_from_camera=pose,
            radius_px=radius,
            probes=probes.astype(np.float64),
        )

    def view(
        self,
        mounted: MountedObservation,
        matches: PointMatches,
        map_from_camera: Array | None = None,
    ) -> View:
        """Return matches for solving; the points' own errors count once a pose is known."""
        observation = mounted.observation
        return View(
            camera=observation.camera,
            rig_from_camera=mounted.rig_from_camera,
            keypoints=observation.features.keypoints[matches.keypoint].astype(np.float64),
            points=self._runtime.points[matches.point].astype(np.float64),
            noise_px=self._solver.noise.covariance_px(
                observation.features, observation.camera, matches, map_from_camera
            ),
        )

    def agreeing(
        self, mounted: MountedObservation, matches: PointMatches, map_from_rig: Array
    ) -> PointMatches:
        """Return those of some matches that agree with a pose of the rig."""
        observation = mounted.observation
        pose = map_from_rig @ mounted.rig_from_camera
        return matches.subset(
            self._solver.agreeing(observation.features, observation.camera, matches, pose)
        )
