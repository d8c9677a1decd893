"""Procedural materials: wood, plaster, fabric, tiles, carpet, metal, all from one seed."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from hloc_localizer.demo.surfaces import Material, Texture

Colour = tuple[int, int, int]
Array32 = NDArray[np.float32]


class Materials:
    """Makes materials whose details come from one random generator."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)

    def clouds(self, height: int, width: int, grain: float, octaves: int = 4) -> Array32:
        """Return smooth noise (height, width) of about -1 to 1; grain is its largest blob, px."""
        total = np.zeros((height, width), np.float32)
        for octave in range(octaves):
            cell = max(grain / 2**octave, 1.0)
            shape = int(height / cell) + 3, int(width / cell) + 3
            noise = self.random.uniform(-1, 1, shape).astype(np.float32)
            size = int(shape[1] * cell) + 1, int(shape[0] * cell) + 1
            total += cv2.resize(noise, size, interpolation=cv2.INTER_CUBIC)[:height, :width] / (
                1.7**octave
            )
        return total * 0.55

    def plain(self, colour: Colour, *, mottling: float = 3.0, scale: float = 120.0) -> Material:
        """Paint or lacquer, with a little unevenness."""

        def make(width_m: float, height_m: float) -> Texture:
            rows, columns = _size(width_m, height_m, scale)
            shade = mottling * self.clouds(rows, columns, 0.3 * scale)
            return _clip(np.array(colour) + shade[..., None])

        return make

    def plaster(self, colour: Colour, scale: float = 200.0) -> Material:
        """Roll wall paint on: fine bumps, faint stains, a few scuffs."""

        def make(width_m: float, height_m: float) -> Texture:
            rows, columns = _size(width_m, height_m, scale)
            shade = 3.5 * self.clouds(rows, columns, 1.2 * scale, 5)
            shade += 2.6 * self.clouds(rows, columns, 7.0, 3)
            image = _clip(np.array(colour) + shade[..., None])
            for _ in range(int(width_m * 3)):
                x, y = self.random.integers(0, columns), self.random.integers(rows // 3, rows)
                dx, dy = self.random.integers(-25, 26), self.random.integers(-6, 7)
                tone = [int(channel * self.random.uniform(0.84, 0.95)) for channel in colour]
                cv2.line(image, (int(x), int(y)), (int(x + dx), int(y + dy)), tone, 1, cv2.LINE_AA)
            return image

        return make

    def wood(self, colour: Colour, *, scale: float = 200.0, upright: bool = False) -> Material:
        """Veneer with grain along its length (along its height when upright)."""

        def make(width_m: float, height_m: float) -> Texture:
            along, across = (height_m, width_m) if upright else (width_m, height_m)
            rows, columns = _size(along, across, scale)
            board = self._grain(rows, columns, colour)
            return np.ascontiguousarray(np.rot90(board)) if upright else board

        return make

    def planks(self, colour: Colour, *, scale: float = 210.0) -> Material:
        """Lay a floor of staggered planks, each of its own tone."""

        def make(width_m: float, height_m: float) -> Texture:
            rows, columns = _size(width_m, height_m, scale)
            image = np.zeros((rows, columns, 3), np.uint8)
            thickness = int(0.145 * scale)
            for top in range(0, rows, thickness):
                bottom = min(top + thickness, rows)
                left = -int(self.random.uniform(0.0, 1.6) * scale)
                while left < columns:
                    right = left + int(self.random.uniform(0.9, 1.9) * scale)
                    begin, end = max(left, 0), min(right, columns)
                    if end - begin > 1:
                        tone = self.random.uniform(0.74, 1.12) * np.array(colour)
                        tone += self.random.uniform(-7, 7) * np.array([1.0, 0.2, -0.8])
                        board = self._grain(bottom - top, end - begin, _colour(tone))
                        board[:1] = board[:1] * 0.5
                        board[:, :2] = board[:, :2] * 0.5
                        image[top:bottom, begin:end] = board
                    left = right
            return image

        return make

    def _grain(self, rows: int, columns: int, colour: Colour) -> Texture:
        stretched = self.clouds(rows, columns // 16 + 2, 14.0, 4)
        bands = cv2.resize(stretched, (columns, rows), interpolation=cv2.INTER_CUBIC)
        wave = cv2.resize(self.clouds(rows // 3 + 2, columns // 50 + 2, 9.0, 2), (columns, rows))
        rings = np.sin(np.arange(rows)[:, None] * 0.33 + 7.0 * wave)
        shade = 1.0 + 0.13 * bands + 0.055 * rings + 0.03 * self.clouds(rows, columns, 3.0, 1)
        image = _clip(np.array(colour) * shade[..., None])
        for _ in range(int(self.random.poisson(columns * rows / 26000))):
            centre = int(self.random.integers(0, columns)), int(self.random.integers(0, rows))
            dark = [int(channel * 0.55) for channel in colour]
            size = int(self.random.integers(3, 7))
            cv2.ellipse(image, centre, (size * 2, size), 0, 0, 360, dark, -1, cv2.LINE_AA)
            ring = [int(channel * 0.75) for channel in colour]
            cv2.ellipse(image, centre, (size * 3, size + 3), 0, 0, 360, ring, 1, cv2.LINE_AA)
        return image

    def fabric(
        self, colour: Colour, *, weave: float = 9.0, scale: float = 220.0, seams: int = 0
    ) -> Material:
        """Woven upholstery with seams that split it into so many cushions."""

        def make(width_m: float, height_m: float) -> Texture:
            rows, columns = _size(width_m, height_m, scale)
            threads = self.random.normal(0.0, 1.0, (rows, columns)).astype(np.float32)
            threads = cv2.blur(threads, (5, 1)) + cv2.blur(threads[::-1], (1, 5))
            shade = weave * threads + 9.0 * self.clouds(rows, columns, 0.35 * scale, 3)
            image = np.array(colour) + shade[..., None]
            for seam in range(seams + 1):
                x = int(seam * (columns - 1) / max(seams, 1))
                away = np.abs(np.arange(columns) - x)
                image *= (1.0 - 0.35 * np.exp(-((away / 5.0) ** 2)))[None, :, None]
            edge = np.minimum(np.arange(rows), np.arange(rows)[::-1])
            image *= (1.0 - 0.25 * np.exp(-edge / 6.0))[:, None, None]
            return _clip(image)

        return make

    def tiles(
        self, colour: Colour, *, tile_m: tuple[float, float] = (0.15, 0.075), scale: float = 260.0
    ) -> Material:
        """Glazed wall tiles in bond, with grout."""

        def make(width_m: float, height_m: float) -> Texture:
            rows, columns = _size(width_m, height_m, scale)
            image = np.full((rows, columns, 3), 196, np.uint8)
            wide, high = int(tile_m[0] * scale), int(tile_m[1] * scale)
            for number, top in enumerate(range(0, rows, high)):
                for left in range(-(wide // 2) * (number % 2), columns, wide):
                    tone = np.array(colour) + self.random.normal(0, 7) + self.random.normal(0, 3, 3)
                    lower, right = min(top + high - 2, rows), min(left + wide - 2, columns)
                    cv2.rectangle(image, (left, top), (right, lower), _colour(tone), -1)
                    shine = _colour(tone + 14)
                    cv2.line(image, (left + 2, top + 2), (right - 3, top + 2), shine, 1)
            return image

        return make

    def rug(self, base: Colour, accents: list[Colour], *, scale: float = 200.0) -> Material:
        """Knot a rug of nested borders, diamonds and small figures."""

        def make(width_m: float, height_m: float) -> Texture:
            rows, columns = _size(width_m, height_m, scale)
            image = np.full((rows, columns, 3), base, np.uint8)
            inset = 0
            for number, width in enumerate([0.05, 0.03, 0.10, 0.03, 0.04]):
                inset += int(width * scale)
                colour = accents[number % len(accents)] if number % 2 == 0 else base
                corner = columns - inset, rows - inset
                cv2.rectangle(image, (inset, inset), corner, colour, -1)
                if number == 2:
                    self._figures(image, inset - int(0.05 * scale), accents)
            cv2.rectangle(
                image, (inset + 4, inset + 4), (columns - inset - 4, rows - inset - 4), base, -1
            )
            self._diamonds(image, inset, accents, scale)
            knots = self.random.normal(0, 9, (rows, columns, 1)).astype(np.float32)
            worn = 12 * self.clouds(rows, columns, 0.5 * scale, 3)[..., None]
            return _clip(image + knots + worn)

        return make

    def _figures(self, image: Texture, inset: int, accents: list[Colour]) -> None:
        rows, columns = image.shape[:2]
        for x in range(inset, columns - inset, 18):
            for y in (inset, rows - inset):
                colour = accents[int(self.random.integers(len(accents)))]
                cv2.circle(image, (x, y), int(self.random.integers(3, 7)), colour, -1, cv2.LINE_AA)
        for y in range(inset, rows - inset, 18):
            for x in (inset, columns - inset):
                colour = accents[int(self.random.integers(len(accents)))]
                cv2.circle(image, (x, y), int(self.random.integers(3, 7)), colour, -1, cv2.LINE_AA)

    def _diamonds(self, image: Texture, inset: int, accents: list[Colour], scale: float) -> None:
        rows, columns = image.shape[:2]
        pitch = int(0.33 * scale)
        for row, y in enumerate(range(inset + pitch // 2, rows - inset - pitch // 3, pitch)):
            for column, x in enumerate(
                range(inset + pitch // 2, columns - inset - pitch // 3, pitch)
            ):
                for ring, size in enumerate((0.46, 0.33, 0.18)):
                    reach = int(size * pitch)
                    shape = np.array(
                        [[x - reach, y], [x, y - reach], [x + reach, y], [x, y + reach]]
                    )
                    pick = int(self.random.integers(len(accents))) if ring else row + column
                    cv2.fillPoly(image, [shape], accents[pick % len(accents)], cv2.LINE_AA)

    def brushed(self, colour: Colour, *, scale: float = 150.0) -> Material:
        """Brushed metal with a soft gradient."""

        def make(width_m: float, height_m: float) -> Texture:
            rows, columns = _size(width_m, height_m, scale)
            lines = self.random.normal(0, 6, (rows, 1)).astype(np.float32)
            sheen = 14 * np.sin(np.linspace(0.3, 2.8, columns))[None, :]
            return _clip(np.array(colour) + (lines + sheen)[..., None])

        return make

    def terracotta(self, colour: Colour = (176, 98, 66)) -> Material:
        """Burnt clay with chalky stains."""

        def make(width_m: float, height_m: float) -> Texture:
            rows, columns = _size(width_m, height_m, 260.0)
            stains = 16 * self.clouds(rows, columns, 40.0, 4)
            image = np.array(colour) + stains[..., None]
            image[: rows // 6] *= 1.1
            return _clip(image)

        return make

    def granite(self, colour: Colour = (92, 90, 88)) -> Material:
        """Speckled worktop stone."""

        def make(width_m: float, height_m: float) -> Texture:
            rows, columns = _size(width_m, height_m, 220.0)
            grains = self.random.normal(0, 20, (rows, columns)).astype(np.float32)
            shade = cv2.GaussianBlur(grains, (0, 0), 1.0) * 2 + 7 * self.clouds(rows, columns, 60.0)
            return _clip(np.array(colour) + shade[..., None])

        return make


def fixed(texture: Texture) -> Material:
    """Return a material that is this texture, whatever the face's size."""
    return lambda width_m, height_m: texture


def _size(width_m: float, height_m: float, scale: float) -> tuple[int, int]:
    return max(4, round(height_m * scale)), max(4, round(width_m * scale))


def _clip(image: NDArray[np.floating]) -> Texture:
    return np.asarray(np.clip(image, 0, 255).astype(np.uint8))


def _colour(tone: NDArray[np.floating]) -> Colour:
    red, green, blue = np.clip(tone, 0, 255).astype(int).tolist()
    return red, green, blue
