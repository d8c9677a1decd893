"""Plots as SVG whose colours follow the page, light or dark: axes, bars, lines, points."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

_LEFT, _RIGHT, _TOP, _BOTTOM = 56.0, 14.0, 14.0, 44.0


@dataclass
class Plot:
    """
    A plot of data between two corners; elements are drawn in the order they are added.

    CSS classes (``good``, ``bad``, ``line`` ...) give the colours, see the page's style sheet.
    """

    x_range: tuple[float, float]
    y_range: tuple[float, float]
    width: float = 640.0
    height: float = 300.0
    label: str = ''
    """What a screen reader says of it."""
    _elements: list[str] = field(default_factory=list)

    @staticmethod
    def to_scale(
        low: NDArray[np.float64],
        high: NDArray[np.float64],
        *,
        width: float,
        height: float,
        label: str,
    ) -> Plot:
        """Return a plot in which a metre is as long in x as in y, as large as there is room."""
        across, along = (float(size) for size in high - low)
        scale = min((width - _LEFT - _RIGHT) / across, (height - _TOP - _BOTTOM) / along)
        ranges = [(float(low[axis]), float(high[axis])) for axis in (0, 1)]
        room = (scale * across + _LEFT + _RIGHT, scale * along + _TOP + _BOTTOM)
        return Plot(ranges[0], ranges[1], *room, label)

    @property
    def scale(self) -> float:
        """Return the length of one unit of x."""
        return (self.width - _LEFT - _RIGHT) / (self.x_range[1] - self.x_range[0])

    def x(self, value: float) -> float:
        """Return the place of a value of x."""
        return _LEFT + (value - self.x_range[0]) * self.scale

    def y(self, value: float) -> float:
        """Return the place of a value of y."""
        share = (value - self.y_range[0]) / (self.y_range[1] - self.y_range[0])
        return self.height - _BOTTOM - share * (self.height - _TOP - _BOTTOM)

    def axes(self, x_title: str, y_title: str, *, grid: bool = True) -> None:
        """Draw ticks at round values, with grid lines and titles."""
        bottom = self.height - _BOTTOM
        for value, text in ticks(*self.x_range, most=max(int(self.width // 80), 2)):
            if grid:
                self.add(f'<path class="grid" d="M{self.x(value):.1f} {_TOP}V{bottom:.1f}"/>')
            self.text(self.x(value), bottom + 16, text, 'tick middle')
        for value, text in ticks(*self.y_range, most=max(int(self.height // 50), 2)):
            if grid:
                self.add(
                    f'<path class="grid" d="M{_LEFT} {self.y(value):.1f}H{self.width - _RIGHT}"/>'
                )
            self.text(_LEFT - 7, self.y(value) + 4, text, 'tick end')
        self.text((_LEFT + self.width - _RIGHT) / 2, self.height - 8, x_title, 'title middle')
        middle = (_TOP + bottom) / 2
        self.add(
            f'<text class="title middle" transform="translate(14 {middle:.1f}) rotate(-90)">'
            f'{html.escape(y_title)}</text>'
        )

    def bars(self, edges: ArrayLike, values: ArrayLike, kind: str = 'bar') -> None:
        """Draw a histogram with N values between N + 1 edges."""
        edges, values = np.asarray(edges, np.float64), np.asarray(values, np.float64)
        for left, right, value in zip(edges[:-1], edges[1:], values, strict=True):
            gap = min(0.12 * (self.x(right) - self.x(left)), 2.0)
            top, bottom = self.y(float(value)), self.y(0.0)
            if bottom - top > 0.0:
                self.add(
                    f'<rect class="{kind}" x="{self.x(left) + gap:.1f}" y="{top:.1f}" '
                    f'width="{self.x(right) - self.x(left) - 2 * gap:.1f}" '
                    f'height="{bottom - top:.1f}"/>'
                )

    def polyline(self, points: ArrayLike, kind: str) -> None:
        """Draw a line through points (N, 2), broken where they are not finite."""
        points = np.asarray(points, np.float64)
        path, pen = '', 'M'
        for x, y in points:
            if not np.isfinite(x + y):
                pen = 'M'
                continue
            path += f'{pen}{self.x(x):.1f} {self.y(y):.1f}'
            pen = 'L'
        if path:
            self.add(f'<path class="{kind}" d="{path}"/>')

    def vertical(self, value: float, text: str) -> None:
        """Mark a value of x."""
        x = self.x(value)
        self.add(f'<path class="mark" d="M{x:.1f} {_TOP}V{self.height - _BOTTOM:.1f}"/>')
        side = 'end' if x > self.width * 0.7 else 'start'
        self.text(x - 6 if side == 'end' else x + 6, _TOP + 12, text, f'tick {side}')

    def text(self, x: float, y: float, text: str, kind: str) -> None:
        """Write a text at a place, not a value."""
        self.add(f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{html.escape(text)}</text>')

    def add(self, element: str) -> None:
        """Add an element; its coordinates are places."""
        self._elements.append(element)

    def image(self, png: str, name: str) -> None:
        """
        Fill the frame with a picture.

        :param png: a data URI; empty: the picture of that name that another plot of the page has.
        """
        left, right = self.x(self.x_range[0]), self.x(self.x_range[1])
        top, bottom = self.y(self.y_range[1]), self.y(self.y_range[0])
        if not png:
            self.add(f'<use href="#{name}"/>')
            return
        self.add(
            f'<image id="{name}" x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" '
            f'height="{bottom - top:.1f}" preserveAspectRatio="none" href="{png}"/>'
        )

    def __str__(self) -> str:
        """Return the element ``svg``."""
        return (
            f'<svg viewBox="0 0 {self.width:.0f} {self.height:.0f}" '
            f'style="max-width: {self.width:.0f}px" role="img" '
            f'aria-label="{html.escape(self.label)}">{"".join(self._elements)}</svg>'
        )


def wedge(x: float, y: float, angle: float, size: float, spread: float = 0.5) -> str:
    """Return the path of a field of view from a place, ``angle`` counterclockwise from x."""
    ends = [
        (x + size * np.cos(angle + turn), y - size * np.sin(angle + turn))
        for turn in (-spread, spread)
    ]
    return f'M{x:.1f} {y:.1f}' + ''.join(f'L{px:.1f} {py:.1f}' for px, py in ends) + 'Z'


def sector(x: float, y: float, begin: float, end: float, radius: float) -> str:
    """Return the path of a sector of a circle between two angles, counterclockwise from x."""
    x0, y0 = x + radius * np.cos(begin), y - radius * np.sin(begin)
    x1, y1 = x + radius * np.cos(end), y - radius * np.sin(end)
    return f'M{x:.1f} {y:.1f}L{x0:.1f} {y0:.1f}A{radius:.1f} {radius:.1f} 0 0 0 {x1:.1f} {y1:.1f}Z'


def ticks(low: float, high: float, most: int) -> list[tuple[float, str]]:
    """Return round values between two, at most so many, and their texts."""
    step = round_step((high - low) / max(most, 1))
    digits = max(0, -int(np.floor(np.log10(step) + 1e-9)))
    first = int(np.ceil(low / step - 1e-9))
    last = int(np.floor(high / step + 1e-9))
    return [(number * step, f'{number * step:.{digits}f}') for number in range(first, last + 1)]


def round_step(least: float, steps: Sequence[float] = (1.0, 2.0, 5.0)) -> float:
    """Return the smallest of 1, 2, 5, 10, 20 ... that is at least so large."""
    least = max(least, 1e-9)
    power = 10.0 ** np.floor(np.log10(least))
    for factor in (*steps, 10.0):
        if factor * power >= least * (1.0 - 1e-9):
            return float(factor * power)
    return float(10.0 * power)
