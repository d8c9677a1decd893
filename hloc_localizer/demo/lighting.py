"""Light from windows and lamps, baked into the textures once for all frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from hloc_localizer.demo.surfaces import Occluder, Surface, Texture

Array32 = NDArray[np.float32]

_GRID_M = 0.14
_LARGEST_GRID = 64
_AMBIENT_REACH_M = 1.1
_AMBIENT_RAYS = 28
_GAMMA = 2.2


@dataclass(frozen=True)
class Light:
    """An area that shines: a parallelogram, sampled at its cell centres."""

    corner: tuple[float, float, float]
    first: tuple[float, float, float]
    second: tuple[float, float, float]
    normal: tuple[float, float, float]
    """Where it shines to; a lamp that shines all around has (0, 0, 0)."""
    power: tuple[float, float, float]
    """Linear RGB, in units of the light that shows an albedo as it is."""
    samples: tuple[int, int] = (1, 1)

    def points(self) -> Array32:
        """Return (S, 3) positions on it."""
        rows, columns = self.samples
        u, v = np.meshgrid((np.arange(rows) + 0.5) / rows, (np.arange(columns) + 0.5) / columns)
        spread = u.reshape(-1, 1) * np.array(self.first) + v.reshape(-1, 1) * np.array(self.second)
        return np.asarray(np.array(self.corner) + spread, np.float32)


class LightBaker:
    """Computes the light that falls on surfaces, with soft shadows of boxes."""

    def __init__(
        self,
        lights: Sequence[Light],
        occluders: Sequence[Occluder],
        ambient: tuple[float, float, float],
    ) -> None:
        self._lights = lights
        self._ambient = np.array(ambient, np.float32)
        self._occluders = [_BoxFrame(occluder) for occluder in occluders]
        self._hemisphere = _hemisphere(_AMBIENT_RAYS)

    def bake(self, surface: Surface) -> Texture:
        """Return the surface's texture as it looks under this light."""
        if surface.glows:
            return surface.texture
        light = self._light_on_grid(surface)
        height, width = surface.texture.shape[:2]
        gain = cv2.resize(light ** (1.0 / _GAMMA), (width, height), interpolation=cv2.INTER_LINEAR)
        lit = surface.texture.copy()
        lit[..., :3] = np.clip(surface.texture[..., :3] * gain, 0.0, 255.0).astype(np.uint8)
        return lit

    def _light_on_grid(self, surface: Surface) -> Array32:
        lengths = np.linalg.norm(surface.across), np.linalg.norm(surface.down)
        columns, rows = (int(np.clip(round(m / _GRID_M), 2, _LARGEST_GRID)) for m in lengths)
        u, v = np.meshgrid((np.arange(columns) + 0.5) / columns, (np.arange(rows) + 0.5) / rows)
        normal = surface.normal.astype(np.float32)
        points = (
            surface.corner
            + u.reshape(-1, 1) * surface.across
            + v.reshape(-1, 1) * surface.down
            + 0.012 * normal
        ).astype(np.float32)
        light = self._ambient_light(points, normal)
        for lamp in self._lights:
            light = light + self._direct_light(points, normal, lamp, surface.two_sided)
        return np.asarray(light.reshape(rows, columns, 3), np.float32)

    def _ambient_light(self, points: Array32, normal: Array32) -> Array32:
        rays = self._hemisphere @ _basis(normal)
        starts = np.repeat(points, len(rays), axis=0)
        directions = np.tile(rays * _AMBIENT_REACH_M, (len(points), 1))
        free = self._free_share(starts, directions).reshape(len(points), -1).mean(axis=1)
        # Ceilings and undersides get what the floor throws back.
        share = 0.85 + 0.15 * normal[2]
        return np.asarray(free[:, None] * share * self._ambient, np.float32)

    def _direct_light(
        self, points: Array32, normal: Array32, lamp: Light, two_sided: bool
    ) -> Array32:
        places = lamp.points()
        starts = np.repeat(points, len(places), axis=0)
        directions = np.tile(places, (len(points), 1)) - starts
        squared = np.maximum(np.einsum('ij,ij->i', directions, directions), 0.05)
        distance = np.sqrt(squared)
        cosine = directions @ normal / distance
        cosine = np.abs(cosine) if two_sided else np.maximum(cosine, 0.0)
        if any(lamp.normal):
            leaving = -(directions @ np.array(lamp.normal, np.float32)) / distance
            cosine = cosine * np.maximum(leaving, 0.0)
        strength = cosine / squared
        lit = strength > 1e-4
        strength[lit] *= self._free_share(starts[lit], directions[lit]) > 0.999
        strength = strength.reshape(len(points), -1).mean(axis=1)
        return np.asarray(strength[:, None] * np.array(lamp.power, np.float32), np.float32)

    def _free_share(self, starts: Array32, directions: Array32) -> Array32:
        """Return which share (0 to 1) of each way is free of boxes."""
        share = np.ones(len(starts), np.float32)
        low = np.minimum(starts, starts + directions).min(axis=0, initial=1e9)
        high = np.maximum(starts, starts + directions).max(axis=0, initial=-1e9)
        for box in self._occluders:
            if np.all(box.low < high) and np.all(box.high > low):
                np.minimum(share, box.entry(starts, directions), out=share)
        return share


class _BoxFrame:
    """One occluder, ready to be hit by rays."""

    def __init__(self, occluder: Occluder) -> None:
        cosine, sine = np.cos(occluder.yaw), np.sin(occluder.yaw)
        rotation = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
        self._rotation = None if occluder.yaw == 0.0 else rotation.astype(np.float32)
        self._centre = occluder.centre.astype(np.float32)
        # A little smaller, so that a face does not shade itself.
        self._half = np.maximum(occluder.half_size - 0.002, 0.001).astype(np.float32)
        reach = np.abs(rotation) @ occluder.half_size
        self.low, self.high = occluder.centre - reach, occluder.centre + reach

    def entry(self, starts: Array32, directions: Array32) -> Array32:
        """Return the share of each way before it enters the box; 1 where it does not."""
        local = starts - self._centre
        if self._rotation is not None:
            local, directions = local @ self._rotation, directions @ self._rotation
        with np.errstate(divide='ignore', invalid='ignore'):
            inverse = 1.0 / np.where(np.abs(directions) < 1e-9, np.float32(1e-9), directions)
            reach = self._half * np.abs(inverse)
            middle = -local * inverse
            enter, leave = (middle - reach).max(axis=1), (middle + reach).min(axis=1)
        hit = (enter < leave) & (leave > 0.0) & (enter < 1.0)
        return np.where(hit, np.maximum(enter, 0.0), 1.0).astype(np.float32)


def _hemisphere(count: int) -> Array32:
    """Return directions (count, 3) about +z, as dense as light counts (cosine-weighted)."""
    index = np.arange(count) + 0.5
    height = np.sqrt(1.0 - index / count)
    angle = index * np.pi * (3.0 - np.sqrt(5.0))
    radius = np.sqrt(1.0 - height**2)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), height], 1).astype(np.float32)


def _basis(normal: Array32) -> Array32:
    """Return a right-handed basis (rows) whose third vector is the normal."""
    helper = np.eye(3, dtype=np.float32)[int(np.argmin(np.abs(normal)))]
    first = np.cross(helper, normal)
    first /= np.linalg.norm(first)
    return np.stack([first, np.cross(normal, first), normal]).astype(np.float32)
