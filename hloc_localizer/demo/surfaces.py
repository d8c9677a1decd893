"""What a rendered scene is made of: textured quads, and boxes that cast shadows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Texture = NDArray[np.uint8]
Material = Callable[[float, float], Texture]
"""Gives the texture (H, W, 3) of a face of so many metres width and height."""


@dataclass(frozen=True)
class Surface:
    """A textured quad; seen from its front, rows run along `across` and columns along `down`."""

    corner: Array
    """(3,) the corner of the texture's first pixel, metres in the map frame."""
    across: Array
    """(3,) edge from there along the texture's first row."""
    down: Array
    """(3,) edge from there along the texture's first column."""
    texture: Texture
    """(H, W, 3) RGB, or (H, W, 4) with a mask of what is there."""
    glows: bool = False
    """Shows its texture as it is, whatever light falls on it: a screen, a lamp, the sky."""
    two_sided: bool = False

    @property
    def normal(self) -> Array:
        """(3,) unit vector towards those who see the front."""
        normal = np.cross(self.down, self.across)
        return np.asarray(normal / np.linalg.norm(normal))


@dataclass(frozen=True)
class Occluder:
    """A box that casts shadows, turned about the vertical."""

    centre: Array
    half_size: Array
    yaw: float


@dataclass
class SceneBuilder:
    """Collects surfaces and occluders; `at` gives a builder in the frame of a piece."""

    x: float = 0.0
    y: float = 0.0
    z: float = 0.0
    yaw: float = 0.0
    surfaces: list[Surface] = field(default_factory=list)
    occluders: list[Occluder] = field(default_factory=list)

    def at(self, x: float, y: float, yaw_deg: float = 0.0, z: float = 0.0) -> SceneBuilder:
        """Return a builder whose origin lies at (x, y, z) of this one, turned about z."""
        px, py, pz = self._point([x, y, z]).tolist()
        yaw = self.yaw + math.radians(yaw_deg)
        return SceneBuilder(px, py, pz, yaw, self.surfaces, self.occluders)

    def quad(
        self,
        corner: ArrayLike,
        across: ArrayLike,
        down: ArrayLike,
        texture: Texture,
        *,
        glows: bool = False,
        two_sided: bool = False,
    ) -> None:
        """Add a textured quad; see :class:`Surface`."""
        placed = self._point(corner), self._direction(across), self._direction(down)
        self.surfaces.append(Surface(*placed, texture, glows, two_sided))

    def box(
        self,
        low: ArrayLike,
        high: ArrayLike,
        material: Material,
        *,
        faces: Mapping[str, Texture] | None = None,
        without: str = 'bottom',
        casts_shadow: bool = True,
    ) -> None:
        """
        Add a box.

        :param low: (3,) least coordinates in this builder's frame.
        :param high: (3,) greatest coordinates.
        :param material: texture of the faces that have none of their own.
        :param faces: textures by face: front (-y), back, left (-x), right, top, bottom.
        :param without: names of the faces that nobody can see.
        """
        (x0, y0, z0), (x1, y1, z1) = np.asarray(low, float), np.asarray(high, float)
        dx, dy, dz = x1 - x0, y1 - y0, z1 - z0
        sides = {
            'front': ((x0, y0, z1), (dx, 0, 0), (0, 0, -dz)),
            'back': ((x1, y1, z1), (-dx, 0, 0), (0, 0, -dz)),
            'left': ((x0, y1, z1), (0, -dy, 0), (0, 0, -dz)),
            'right': ((x1, y0, z1), (0, dy, 0), (0, 0, -dz)),
            'top': ((x0, y1, z1), (dx, 0, 0), (0, -dy, 0)),
            'bottom': ((x0, y0, z0), (dx, 0, 0), (0, dy, 0)),
        }
        for name, (corner, across, down) in sides.items():
            if name in without.split():
                continue
            texture = (faces or {}).get(name)
            if texture is None:
                texture = material(float(np.linalg.norm(across)), float(np.linalg.norm(down)))
            self.quad(corner, across, down, texture)
        if casts_shadow:
            centre = self._point([(x0 + x1) / 2, (y0 + y1) / 2, (z0 + z1) / 2])
            self.occluders.append(Occluder(centre, np.array([dx, dy, dz]) / 2, self.yaw))

    def prism(
        self,
        centre: ArrayLike,
        radius: float,
        top_radius: float,
        height: float,
        material: Material,
        *,
        sides: int = 10,
        top: Texture | None = None,
        glows: bool = False,
    ) -> None:
        """
        Add an upright round body: a pot, a lamp shade, a cup.

        :param centre: (3,) centre of its foot.
        :param top: texture (H, W, 4) of its top, masked to a disc; None leaves it open.
        """
        x, y, z = np.asarray(centre, float)
        around = material(2 * math.pi * max(radius, top_radius), height)
        columns = np.linspace(0, around.shape[1], sides + 1).astype(int)
        for side in range(sides):
            first, second = (2 * math.pi * (side + step) / sides for step in (0, 1))
            upper, nearby = (
                np.array([x + r * math.cos(a), y + r * math.sin(a), level])
                for r, a, level in (
                    (top_radius, first, z + height),
                    (top_radius, second, z + height),
                )
            )
            lower = np.array([x + radius * math.cos(first), y + radius * math.sin(first), z])
            strip = around[:, columns[side] : max(columns[side + 1], columns[side] + 1)]
            self.quad(upper, nearby - upper, lower - upper, strip, glows=glows, two_sided=True)
        if top is not None:
            r, level = top_radius, z + height
            self.quad((x - r, y + r, level), (2 * r, 0, 0), (0, -2 * r, 0), top)
        # Inside the body all the way up, so that it does not shade itself.
        widest = min(radius, top_radius) * 0.7
        self.occluders.append(
            Occluder(
                self._point([x, y, z + height / 2]),
                np.array([widest, widest, height / 2]),
                self.yaw,
            )
        )

    def _point(self, point: ArrayLike) -> Array:
        return np.asarray(self._direction(point) + np.array([self.x, self.y, self.z]))

    def _direction(self, vector: ArrayLike) -> Array:
        x, y, z = np.asarray(vector, float)
        cosine, sine = math.cos(self.yaw), math.sin(self.yaw)
        return np.array([cosine * x - sine * y, sine * x + cosine * y, z])
