"""Brings depth images onto the pixels of another camera."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from hloc_localizer.errors import InputError
from hloc_localizer.geometry.camera import Camera


@dataclass(frozen=True)
class Registration:
    """How the depth image of one camera becomes that of another."""

    depth_size: tuple[int, int]
    """(width, height) of what comes in."""
    image_size: tuple[int, int]
    """(width, height) of what comes out."""
    camera: Camera | None = None
    """The camera of the image; None where both have the same view."""
    rays: NDArray[np.float64] | None = None
    """(N, 3) with z = 1, of the depth pixels, row by row, in the optical frame of the image."""
    origin: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
    """(3,) where the depth camera is, in the optical frame of the image."""

    @staticmethod
    def of_size(depth_size: tuple[int, int], image_size: tuple[int, int]) -> Registration:
        """Return the registration of depth that has the view of the image already."""
        return Registration(depth_size, image_size)

    @staticmethod
    def between(
        depth: Camera, image: Camera, image_from_depth: NDArray[np.float64]
    ) -> Registration:
        """
        Return the registration between two calibrated cameras.

        :param image_from_depth: (4, 4) between their optical frames, metres.
        """
        same_place = np.allclose(image_from_depth, np.eye(4), atol=1e-6)
        if same_place and depth.scaled(*image.image_size).is_close_to(image):
            return Registration.of_size(depth.image_size, image.image_size)
        columns, rows = np.meshgrid(np.arange(depth.width), np.arange(depth.height))
        plane = depth.normalise(np.column_stack([columns.ravel(), rows.ravel()]))
        rays = np.column_stack([plane, np.ones(len(plane))]) @ image_from_depth[:3, :3].T
        return Registration(
            depth.image_size, image.image_size, image, rays, image_from_depth[:3, 3]
        )

    def __call__(self, depth_m: NDArray[np.float32]) -> NDArray[np.float32]:
        """
        Return the depth along the optical axis of the image's camera.

        Of several depths on one pixel the nearest counts; where the depth image is the coarser
        one, only the pixels that its own fall on get a value.

        :param depth_m: (h, w) metres.
        :returns: (H, W) metres, NaN where unknown.
        :raises InputError: when it is not of the expected size.
        """
        height, width = depth_m.shape
        if (width, height) != self.depth_size:
            raise InputError(
                f'depth image is {width}x{height}, the first one was '
                f'{self.depth_size[0]}x{self.depth_size[1]}'
            )
        if self.rays is None or self.camera is None:
            if self.depth_size == self.image_size:
                return depth_m
            resized = cv2.resize(depth_m, self.image_size, interpolation=cv2.INTER_NEAREST)
            return np.asarray(resized, np.float32)
        return self._projected(depth_m.ravel(), self.camera, self.rays)

    def _projected(
        self, depth_m: NDArray[np.float32], camera: Camera, rays: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        known = np.isfinite(depth_m) & np.isfinite(rays[:, 0])
        points = rays[known] * depth_m[known, None] + self.origin
        with np.errstate(invalid='ignore'):
            pixels = camera.project(points)
            inside = camera.contains(pixels, border=-0.49)
        columns, rows = np.rint(pixels[inside]).astype(np.intp).T
        result = np.full((camera.height, camera.width), np.inf, np.float32)
        np.minimum.at(result, (rows, columns), points[inside, 2].astype(np.float32))
        result[np.isinf(result)] = np.nan
        return result
