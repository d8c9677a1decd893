"""Renders textured quads into a camera with a lens: z-buffer, mip maps, four samples a pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from hloc_localizer.demo.surfaces import Surface, Texture
from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.camera import Camera

Array = NDArray[np.float64]

_NEAR_M = 0.05
_TILE_M = 1.2
_SUPERSAMPLING = 2
_SMALLEST_LEVEL = 2


@dataclass(frozen=True)
class _Tile:
    """A part of a surface, small enough for one level of its texture."""

    surface: int
    low: tuple[float, float]
    high: tuple[float, float]


@dataclass
class _Canvas:
    """What has been drawn so far."""

    colour: Texture
    inverse_depth: NDArray[np.float32]


class Renderer:
    """Renders one scene through one camera. The pose alone decides the image."""

    def __init__(self, surfaces: Sequence[Surface], camera: Camera) -> None:
        """
        Prepare levels of detail and the lens.

        :param surfaces: with their light baked into their textures.
        :param camera: of the images; any model.
        """
        self._surfaces = surfaces
        self._levels = [_levels(surface.texture) for surface in surfaces]
        self._tiles = [tile for index, one in enumerate(surfaces) for tile in _tiles(index, one)]
        self._corners = np.stack([_tile_corners(surfaces[t.surface], t) for t in self._tiles])
        self._ideal, self._lens = _lens(camera)

    def render(self, map_from_camera: Array) -> Texture:
        """Return the image (H, W, 3), RGB, taken from a pose of the optical frame."""
        camera_from_map = transforms.invert(map_from_camera)
        size = self._ideal.height, self._ideal.width
        canvas = _Canvas(np.zeros((*size, 3), np.uint8), np.full(size, 1e-6, np.float32))
        corners = transforms.apply(camera_from_map, self._corners.reshape(-1, 3)).reshape(-1, 4, 3)
        ahead = np.flatnonzero(corners[:, :, 2].max(axis=1) > _NEAR_M)
        # Near ones first: what they hide need not be drawn.
        order = ahead[np.argsort(np.linalg.norm(corners[ahead].mean(axis=1), axis=1))]
        for index in order:
            box = self._bounding_box(corners[index])
            if box is not None:
                self._draw(self._tiles[index], camera_from_map, box, canvas)
        smooth = cv2.sepFilter2D(canvas.colour, -1, *[np.array([0.25, 0.5, 0.25])] * 2)
        return np.asarray(cv2.remap(smooth, *self._lens, cv2.INTER_LINEAR), np.uint8)

    def _bounding_box(self, corners: Array) -> tuple[int, int, int, int] | None:
        """Return columns and rows (begin, end, begin, end) that hold a polygon, or None."""
        polygon = _clip_near(corners) if corners[:, 2].min() < _NEAR_M else corners
        pixels = self._ideal.project(polygon)
        low = np.maximum(np.floor(pixels.min(axis=0)), 0)
        high = np.minimum(np.ceil(pixels.max(axis=0)) + 1, self._ideal.image_size)
        if np.any(high <= low):
            return None
        return int(low[0]), int(high[0]), int(low[1]), int(high[1])

    def _draw(
        self, tile: _Tile, camera_from_map: Array, box: tuple[int, int, int, int], canvas: _Canvas
    ) -> None:
        surface = self._surfaces[tile.surface]
        forms = self._linear_forms(surface, camera_from_map)
        if forms is None:
            return
        left, right, top, bottom = box
        x, y = np.arange(left, right), np.arange(top, bottom)
        (u0, v0), (u1, v1) = tile.low, tile.high
        by_u, by_v, by_one = forms
        inverse_depth = _evaluate(by_one, x, y)
        depths = canvas.inverse_depth[top:bottom, left:right]
        visible = inverse_depth > depths
        for edge in (
            by_u - u0 * by_one,
            u1 * by_one - by_u,
            by_v - v0 * by_one,
            v1 * by_one - by_v,
        ):
            visible &= _evaluate(edge, x, y) >= -1e-7
        if not visible.any():
            return
        colours = self._sample(tile, forms, box)
        if colours.shape[2] == 4:
            visible &= colours[..., 3] > 127
            colours = np.ascontiguousarray(colours[..., :3])
        mask = visible.view(np.uint8)
        cv2.copyTo(inverse_depth, mask, depths)
        cv2.copyTo(colours, mask, canvas.colour[top:bottom, left:right])

    def _linear_forms(self, surface: Surface, camera_from_map: Array) -> Array | None:
        """
        Return B (3, 3) with ``B (x, y, 1) = (u, v, 1) / depth`` for pixels of the ideal image.

        With E1, E2 the surface's edges and O its corner in the camera, a point of it is
        ``E1 u + E2 v + O = depth K^-1 (x, y, 1)``. None for a surface seen from behind or edge-on.
        """
        rotation = camera_from_map[:3, :3]
        corner = rotation @ surface.corner + camera_from_map[:3, 3]
        across, down = rotation @ surface.across, rotation @ surface.down
        edges = np.stack([across, down, corner], axis=1)
        # The triple product is positive in front of the surface: it counts the depth of its plane.
        facing = np.dot(np.cross(across, down), corner)
        if abs(facing) < 1e-7 or (facing < 0.0 and not surface.two_sided):
            return None
        return np.asarray(np.linalg.inv(self._ideal.matrix @ edges))

    def _sample(self, tile: _Tile, forms: Array, box: tuple[int, int, int, int]) -> Texture:
        levels = self._levels[tile.surface]
        height, width = levels[0].shape[:2]
        centre = (np.array(tile.low) + tile.high) / 2.0
        texels = _texels_a_pixel(forms, (*centre, 1.0), width, height)
        level = int(np.clip(round(np.log2(max(texels, 1e-6)) - 0.2), 0, len(levels) - 1))
        texture = levels[level]
        rows, columns = texture.shape[:2]
        left, right, top, bottom = box
        to_texels = np.array([[columns, 0.0, -0.5], [0.0, rows, -0.5], [0.0, 0.0, 1.0]])
        to_image = np.array([[1.0, 0.0, left], [0.0, 1.0, top], [0.0, 0.0, 1.0]])
        return np.asarray(
            cv2.warpPerspective(
                texture,
                to_texels @ forms @ to_image,
                (right - left, bottom - top),
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REPLICATE,
            ),
            np.uint8,
        )


def _lens(camera: Camera) -> tuple[Camera, tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Return an ideal camera of finer pixels that sees as much, and where its pixels end up."""
    u, v = np.meshgrid(np.arange(camera.width, dtype=float), np.arange(camera.height, dtype=float))
    plane = camera.normalise(np.stack([u.ravel(), v.ravel()], axis=1))
    focal = camera.focal_px * _SUPERSAMPLING
    low, high = np.floor(plane.min(axis=0) * focal) - 2.0, np.ceil(plane.max(axis=0) * focal) + 2.0
    width, height = (int(size) for size in high - low + 1)
    ideal = Camera('PINHOLE', width, height, (focal, focal, -float(low[0]), -float(low[1])))
    pixels = (plane * focal - low).astype(np.float32).reshape(camera.height, camera.width, 2)
    return ideal, (np.ascontiguousarray(pixels[..., 0]), np.ascontiguousarray(pixels[..., 1]))


def _levels(texture: Texture) -> list[Texture]:
    levels = [np.ascontiguousarray(texture)]
    while min(levels[-1].shape[:2]) >= 2 * _SMALLEST_LEVEL:
        height, width = levels[-1].shape[:2]
        half = (max(width // 2, 1), max(height // 2, 1))
        levels.append(np.asarray(cv2.resize(levels[-1], half, interpolation=cv2.INTER_AREA)))
    return levels


def _tiles(index: int, surface: Surface) -> list[_Tile]:
    columns, rows = (
        max(1, int(np.ceil(np.linalg.norm(edge) / _TILE_M)))
        for edge in (surface.across, surface.down)
    )
    return [
        _Tile(index, (c / columns, r / rows), ((c + 1) / columns, (r + 1) / rows))
        for r in range(rows)
        for c in range(columns)
    ]


def _tile_corners(surface: Surface, tile: _Tile) -> Array:
    (u0, v0), (u1, v1) = tile.low, tile.high
    uv = np.array([[u0, v0], [u1, v0], [u1, v1], [u0, v1]])
    return np.asarray(surface.corner + uv[:, :1] * surface.across + uv[:, 1:] * surface.down)


def _clip_near(polygon: Array) -> Array:
    """Cut off what lies nearer than the near plane (Sutherland and Hodgman, 1974)."""
    kept = []
    for first, second in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if first[2] >= _NEAR_M:
            kept.append(first)
        if (first[2] >= _NEAR_M) != (second[2] >= _NEAR_M):
            share = (_NEAR_M - first[2]) / (second[2] - first[2])
            kept.append(first + share * (second - first))
    return np.array(kept)


def _evaluate(form: Array, x: NDArray[np.int64], y: NDArray[np.int64]) -> NDArray[np.float32]:
    row = (form[0] * x).astype(np.float32)
    column = (form[1] * y + form[2]).astype(np.float32)
    return np.asarray(column[:, None] + row[None, :])


def _texels_a_pixel(
    forms: Array, place: tuple[float, float, float], width: int, height: int
) -> float:
    """Return how many texels of the finest level a pixel covers at a place (u, v, 1)."""
    depth = np.linalg.solve(forms, np.array(place))[2]
    u, v, _ = place
    jacobian = depth * np.array(
        [
            (forms[0, :2] - u * forms[2, :2]) * width,
            (forms[1, :2] - v * forms[2, :2]) * height,
        ]
    )
    stretch = np.linalg.svd(jacobian, compute_uv=False)
    return float(max(np.sqrt(stretch[0] * stretch[1]), 0.5 * stretch[0]))
