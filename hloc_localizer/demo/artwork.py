"""Procedural pictures: paintings, posters, a whiteboard, book spines, screens, the view outside."""

from __future__ import annotations

import cv2
import numpy as np

from hloc_localizer.demo.materials import Colour, Materials
from hloc_localizer.demo.surfaces import Texture

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_SERIF = cv2.FONT_HERSHEY_COMPLEX
_SCRIPT = cv2.FONT_HERSHEY_SCRIPT_SIMPLEX

_WORDS = (
    'robot', 'drives', 'once', 'through', 'room', 'keeps', 'what', 'camera', 'has', 'seen',
    'later', 'any', 'looks', 'same', 'walls', 'knows', 'where', 'corners', 'shelves', 'print',
    'poster', 'grain', 'floor', 'says', 'when', 'does', 'not', 'know', 'light', 'map',
)  # fmt: skip


class Artwork:
    """Draws pictures whose details come from the random generator of the materials."""

    def __init__(self, materials: Materials) -> None:
        self._materials = materials
        self._random = materials.random

    def landscape(self, width: int, height: int) -> Texture:
        """Paint hills under an evening sky, in visible strokes."""
        warm, cool = np.array([240, 176, 110.0]), np.array([70, 96, 150.0])
        fade = np.linspace(0, 1, height)[:, None, None]
        image = cool * (1 - fade) + warm * fade
        image = image + 18 * self._materials.clouds(height, width, width / 5)[..., None]
        image = np.repeat(image, 1, axis=1).astype(np.float32)
        sun = int(width * self._random.uniform(0.2, 0.8)), int(height * 0.42)
        cv2.circle(image, sun, height // 10, (255, 232, 170), -1, cv2.LINE_AA)
        for layer in range(5):
            ridge = self._materials.clouds(1, width, width / (2 + layer), 4)[0]
            level = height * (0.45 + 0.12 * layer) + ridge * height * 0.12
            tone = np.array([60, 84, 96.0]) * (1.25 - 0.2 * layer) + self._random.uniform(0, 40, 3)
            below = np.arange(height)[:, None] > level[None, :]
            image[below] = tone
        return self._strokes(image)

    def abstract(self, width: int, height: int) -> Texture:
        """Paint overlapping shapes in a few colours."""
        palette = self._palette()
        image = np.full((height, width, 3), palette[0], np.float32)
        for _ in range(26):
            colour = [float(c) for c in palette[int(self._random.integers(len(palette)))]]
            x, y = int(self._random.integers(0, width)), int(self._random.integers(0, height))
            reach = int(self._random.uniform(0.05, 0.28) * width)
            kind = int(self._random.integers(4))
            if kind == 0:
                cv2.circle(image, (x, y), reach // 2, colour, -1, cv2.LINE_AA)
            elif kind == 1:
                corner = x + reach, y + int(reach * self._random.uniform(0.3, 1.4))
                cv2.rectangle(image, (x, y), corner, colour, -1)
            elif kind == 2:
                shape = self._random.integers(-reach, reach + 1, (3, 2)) + np.array([x, y])
                cv2.fillPoly(image, [shape.astype(np.int32)], colour, cv2.LINE_AA)
            else:
                end = int(self._random.integers(0, width)), int(self._random.integers(0, height))
                cv2.line(image, (x, y), end, colour, max(2, reach // 12), cv2.LINE_AA)
        return self._strokes(image)

    def still_life(self, width: int, height: int) -> Texture:
        """Paint fruit on a table."""
        image = np.full((height, width, 3), (58, 52, 60), np.float32)
        image[int(height * 0.62) :] = (136, 96, 62)
        for _ in range(9):
            x = int(self._random.uniform(0.12, 0.88) * width)
            y = int(self._random.uniform(0.5, 0.72) * height)
            size = int(self._random.uniform(0.07, 0.13) * width)
            hue = np.array([(206, 64, 46), (222, 168, 52), (128, 160, 62), (120, 50, 92)])
            colour = hue[int(self._random.integers(4))] * self._random.uniform(0.8, 1.1)
            for step in range(8):
                shade = [float(c) for c in colour * (0.55 + 0.08 * step)]
                centre = x - step * size // 22, y - step * size // 18
                cv2.circle(image, centre, int(size * (1 - step / 9)), shade, -1, cv2.LINE_AA)
        return self._strokes(image)

    def poster(self, width: int, height: int, title: str, ink: Colour, paper: Colour) -> Texture:
        """Print a title, a diagram and columns of small text."""
        image = np.full((height, width, 3), paper, np.uint8)
        cv2.rectangle(image, (0, 0), (width, int(height * 0.16)), ink, -1)
        self._text(image, title, (int(width * 0.06), int(height * 0.115)), paper, width * 0.88)
        left, right = int(width * 0.07), int(width * 0.93)
        top, bottom = int(height * 0.22), int(height * 0.55)
        self._diagram(image, (left, top, right, bottom), ink)
        for column in range(2):
            x = left + column * (right - left + 12) // 2
            self._paragraph(image, (x, int(height * 0.62)), (right - left) // 2 - 8, ink, height)
        return image

    def _diagram(self, image: Texture, box: tuple[int, int, int, int], ink: Colour) -> None:
        left, top, right, bottom = box
        cv2.rectangle(image, (left, top), (right, bottom), (250, 250, 246), -1)
        cv2.rectangle(image, (left, top), (right, bottom), ink, 2)
        for colour in self._palette()[1:4]:
            x = np.linspace(left + 6, right - 6, 40)
            y = np.cumsum(self._random.normal(0, 1, 40))
            y = (y - y.min()) / max(float(np.ptp(y)), 1e-6) * (bottom - top - 16) + top + 8
            line = np.stack([x, y], axis=1).astype(np.int32)
            cv2.polylines(image, [line], False, colour, 2, cv2.LINE_AA)
        for share in (0.25, 0.5, 0.75):
            level = int(top + share * (bottom - top))
            cv2.line(image, (left, level), (right, level), (200, 200, 196), 1)

    def _paragraph(
        self, image: Texture, start: tuple[int, int], width: int, ink: Colour, height: int
    ) -> None:
        step = max(9, height // 38)
        for row in range(8):
            words = ' '.join(self._random.choice(_WORDS, 6))
            place = start[0], start[1] + row * step
            self._text(image, words, place, ink, width, 1)

    def whiteboard(self, width: int, height: int) -> Texture:
        """Write a plan: boxes with arrows, a sketch, a list, all in marker pens."""
        image = np.full((height, width, 3), (243, 245, 244), np.uint8)
        smear = 5 * self._materials.clouds(height, width, width / 4)[..., None]
        image = np.asarray(np.clip(image + smear, 0, 255).astype(np.uint8))
        blue, red, green, black = (36, 66, 160), (190, 44, 40), (30, 128, 70), (40, 40, 44)
        names = ['bag', 'map', 'pose', 'nav']
        for number, name in enumerate(names):
            x = int(width * (0.05 + 0.15 * number))
            y = int(height * (0.2 + 0.05 * (number % 2)))
            corner = x + int(width * 0.1), y + int(height * 0.16)
            cv2.rectangle(image, (x, y), corner, blue, 3, cv2.LINE_AA)
            self._text(image, name, (x + 8, corner[1] - 16), black, width * 0.085, 2, _SCRIPT)
            if number < 3:
                begin = corner[0] + 4, (y + corner[1]) // 2
                cv2.arrowedLine(image, begin, (begin[0] + int(width * 0.04), begin[1]), red, 3)
        self._text(
            image, 'x = R X + t', (int(width * 0.06), int(height * 0.62)), green, 240, 3, _SCRIPT
        )
        curve = np.linspace(0, 1, 60)
        bell = np.exp(-(((curve - 0.5) / 0.16) ** 2))
        line = np.stack([width * (0.08 + 0.3 * curve), height * (0.92 - 0.22 * bell)], axis=1)
        cv2.polylines(image, [line.astype(np.int32)], False, red, 3, cv2.LINE_AA)
        cv2.line(image, *[(int(width * x), int(height * 0.93)) for x in (0.06, 0.4)], black, 2)
        for row, item in enumerate(['ship demo', 'calibrate cam 2', 'coffee!', 'call Ana 14:30']):
            y = int(height * (0.2 + 0.15 * row))
            cv2.rectangle(image, (int(width * 0.68), y - 16), (int(width * 0.7), y), black, 2)
            self._text(image, item, (int(width * 0.72), y), blue, width * 0.22, 2, _SCRIPT)
        for colour in ((250, 226, 92), (250, 160, 170), (150, 220, 150)):
            x = int(self._random.uniform(0.45, 0.6) * width)
            y = int(self._random.uniform(0.45, 0.8) * height)
            cv2.rectangle(image, (x, y), (x + 46, y + 46), colour, -1)
            for row in range(3):
                cv2.line(image, (x + 6, y + 12 + 11 * row), (x + 38, y + 12 + 11 * row), black, 1)
        return image

    def book_spines(self, width: int, height: int) -> Texture:
        """Stand books of many sizes on a shelf, with gaps and leaning ones."""
        image = np.full((height, width, 3), (46, 38, 32), np.uint8)
        x = 2
        while x < width - 10:
            thick = int(self._random.uniform(0.09, 0.24) * height)
            tall = int(self._random.uniform(0.62, 0.94) * height)
            if self._random.random() < 0.08:
                x += int(thick * 1.5)
                continue
            right = min(x + thick, width - 2)
            self._spine(image, x, right, height - tall, height)
            x = right + 1
        return image

    def _spine(self, image: Texture, left: int, right: int, top: int, bottom: int) -> None:
        colours = self._palette()
        cover = np.array(colours[int(self._random.integers(len(colours)))], float)
        cover *= self._random.uniform(0.6, 1.05)
        columns = np.linspace(-1, 1, max(right - left, 2))
        rounding = 1.0 - 0.3 * columns**2
        block = np.clip(cover * rounding[None, :, None], 0, 255)
        block = np.repeat(block, bottom - top, axis=0).astype(np.uint8)
        tall, wide = block.shape[:2]
        ink = (240, 226, 180) if cover.mean() < 130 else (40, 34, 30)
        for share in self._random.choice([0.08, 0.14, 0.82, 0.9], 2, replace=False):
            y = int(share * tall)
            cv2.line(block, (0, y), (wide, y), ink, 2)
        if wide > 11:
            label = np.zeros((wide, int(tall * 0.6), 3), np.uint8)
            words = ' '.join(self._random.choice(_WORDS, 2)).upper()
            self._text(label, words, (2, int(wide * 0.7)), (255, 255, 255), tall * 0.58, 1)
            mask = np.rot90(label, 3)[: int(tall * 0.6), :wide, :1] / 255.0
            top_row = int(tall * 0.18)
            part = block[top_row : top_row + mask.shape[0]]
            part[:] = part * (1 - mask) + np.array(ink) * mask
        image[top:bottom, left : left + wide] = block[:, : image.shape[1] - left]

    def framed(self, picture: Texture, frame: Colour, mount: int = 0) -> Texture:
        """Put a picture into a frame, with a mount of so many pixels."""
        if mount:
            edge = [mount] * 4
            picture = cv2.copyMakeBorder(picture, *edge, cv2.BORDER_CONSTANT, value=(238, 234, 224))
        dark = tuple(int(channel * 0.6) for channel in frame)
        picture = cv2.copyMakeBorder(picture, *[3] * 4, cv2.BORDER_CONSTANT, value=dark)
        return np.asarray(
            cv2.copyMakeBorder(picture, *[12] * 4, cv2.BORDER_CONSTANT, value=frame), np.uint8
        )

    def outside(self, width: int, height: int) -> Texture:
        """Look out on a street: sky, a row of houses, trees, a lawn."""
        fade = np.linspace(0, 1, height)[:, None, None]
        sky = np.array([150, 190, 236.0]) * (1 - fade) + np.array([236, 240, 246.0]) * fade
        sky = np.repeat(sky, width, axis=1)
        cloud = np.clip(self._materials.clouds(height, width, width / 6, 5), 0, 1)[..., None]
        image: Texture = np.clip(sky * (1 - cloud) + 255 * cloud, 0, 255).astype(np.uint8)
        x = 0
        while x < width:
            wide = int(self._random.uniform(0.09, 0.17) * width)
            self._house(image, x, min(x + wide, width), height)
            x += wide
        lawn = int(height * 0.8)
        image[lawn:] = (104, 140, 76)
        image[int(height * 0.88) : int(height * 0.95)] = (120, 120, 124)
        for _ in range(12):
            self._tree(image, int(self._random.uniform(0, width)), lawn)
        return image

    def _house(self, image: Texture, left: int, right: int, height: int) -> None:
        top = int(height * self._random.uniform(0.3, 0.55))
        walls = [(198, 170, 140), (176, 96, 76), (214, 206, 190), (150, 158, 166), (222, 186, 120)]
        wall = walls[int(self._random.integers(len(walls)))]
        cv2.rectangle(image, (left, top), (right - 2, int(height * 0.82)), wall, -1)
        roof = np.array(
            [[left - 6, top], [(left + right) // 2, top - height // 12], [right + 4, top]]
        )
        cv2.fillPoly(image, [roof.astype(np.int32)], (112, 62, 52), cv2.LINE_AA)
        wide, high = max(10, (right - left) // 6), height // 14
        for y in range(top + 10, int(height * 0.76), int(high * 1.7)):
            for x in range(left + 8, right - wide, int(wide * 1.6)):
                pane = (70, 84, 100) if self._random.random() < 0.7 else (240, 214, 150)
                cv2.rectangle(image, (x, y), (x + wide, y + high), (236, 234, 230), -1)
                cv2.rectangle(image, (x + 2, y + 2), (x + wide - 2, y + high - 2), pane, -1)

    def _tree(self, image: Texture, x: int, ground: int) -> None:
        tall = int(image.shape[0] * self._random.uniform(0.16, 0.34))
        cv2.line(image, (x, ground + 8), (x, ground - tall // 2), (84, 62, 46), 6)
        for _ in range(60):
            place = self._random.normal(0, [tall * 0.2, tall * 0.22]) + np.array(
                [x, ground - tall * 0.7]
            )
            green = self._random.uniform(0.6, 1.2) * np.array([84, 128, 62])
            size = int(self._random.uniform(4, 13))
            cv2.circle(image, tuple(place.astype(int).tolist()), size, green.tolist(), -1)

    def leaves(self, width: int, height: int) -> Texture:
        """Draw a house plant on a transparent ground: stems with pointed leaves."""
        image = np.zeros((height, width, 4), np.uint8)
        image[..., :3] = (62, 104, 54)
        for _ in range(34):
            angle = self._random.uniform(-1.1, 1.1)
            reach = self._random.uniform(0.45, 0.97) * height
            steps = np.linspace(0, 1, 12)
            bend = angle * (0.4 + 0.8 * steps)
            x = width / 2 + np.cumsum(np.sin(bend)) * reach / 12 * 0.75
            y = height - np.cumsum(np.cos(bend)) * reach / 12
            stem = np.stack([x, y], axis=1).astype(np.int32)
            green = self._random.uniform(0.65, 1.35) * np.array([70, 122, 58])
            cv2.polylines(image, [stem], False, (*(green * 0.7).tolist(), 255), 3)
            for step in range(4, 12):
                for side in (-1, 1):
                    self._leaf(image, stem[step], bend[step] + side * 0.9, green)
        return image

    def _leaf(self, image: Texture, root: np.ndarray, angle: float, green: np.ndarray) -> None:
        length = image.shape[0] * self._random.uniform(0.05, 0.1)
        along = np.array([np.sin(angle), -np.cos(angle)]) * length
        side = np.array([-along[1], along[0]]) * 0.26
        shape = np.array([root, root + along * 0.5 + side, root + along, root + along * 0.5 - side])
        tone = (green * self._random.uniform(0.8, 1.25)).clip(0, 255)
        cv2.fillPoly(image, [shape.astype(np.int32)], (*tone.tolist(), 255), cv2.LINE_AA)
        end = tuple((root + along).astype(int).tolist())
        cv2.line(image, tuple(root.tolist()), end, (*(tone * 0.75).tolist(), 255), 1)

    def screen(self, width: int, height: int) -> Texture:
        """Show a text editor beside a plot on a monitor."""
        image = np.full((height, width, 3), (30, 32, 40), np.uint8)
        cv2.rectangle(image, (0, 0), (width, height // 14), (58, 62, 76), -1)
        colours = [
            (130, 200, 250),
            (240, 190, 110),
            (170, 220, 140),
            (220, 220, 226),
            (230, 130, 150),
        ]
        for row in range(24):
            y = int(height * (0.12 + 0.035 * row))
            x = int(width * (0.03 + 0.03 * self._random.integers(0, 4)))
            for _ in range(int(self._random.integers(1, 5))):
                wide = int(self._random.uniform(0.03, 0.12) * width)
                if x + wide > width * 0.55:
                    break
                colour = colours[int(self._random.integers(len(colours)))]
                cv2.line(image, (x, y), (x + wide, y), colour, max(2, height // 110))
                x += wide + int(0.012 * width)
        self._diagram(
            image,
            (int(width * 0.6), int(height * 0.14), int(width * 0.97), int(height * 0.6)),
            (90, 96, 110),
        )
        return image

    def sign(self, width: int, height: int, text: str, ink: Colour, ground: Colour) -> Texture:
        """Print a sign."""
        image = np.full((height, width, 3), ground, np.uint8)
        cv2.rectangle(image, (4, 4), (width - 5, height - 5), ink, 2)
        self._text(image, text, (int(width * 0.1), int(height * 0.68)), ink, width * 0.8, 3)
        return image

    def clock(self, size: int) -> Texture:
        """Draw a wall clock on a transparent ground."""
        image = np.zeros((size, size, 4), np.uint8)
        centre = (size // 2, size // 2)
        cv2.circle(image, centre, size // 2 - 1, (40, 42, 46, 255), -1, cv2.LINE_AA)
        cv2.circle(image, centre, int(size * 0.44), (246, 244, 238, 255), -1, cv2.LINE_AA)
        for hour in range(12):
            angle = hour * np.pi / 6
            outer, inner = (
                (int(size / 2 + r * size * np.sin(angle)), int(size / 2 - r * size * np.cos(angle)))
                for r in (0.41, 0.35)
            )
            cv2.line(image, inner, outer, (30, 30, 30, 255), 3, cv2.LINE_AA)
        for angle, reach, thick in ((5.2, 0.24, 5), (1.9, 0.35, 3)):
            tip = (
                int(size / 2 + reach * size * np.sin(angle)),
                int(size / 2 - reach * size * np.cos(angle)),
            )
            cv2.line(image, centre, tip, (30, 30, 30, 255), thick, cv2.LINE_AA)
        return image

    def curtain(self, width: int, height: int, colour: Colour) -> Texture:
        """Hang cloth in folds, with a woven border."""
        folds = np.cumsum(self._random.uniform(0.05, 0.2, width))
        shade = 0.8 + 0.2 * np.sin(folds)
        image = np.array(colour) * shade[None, :, None]
        image = np.repeat(image, height, axis=0)
        image[int(height * 0.86) : int(height * 0.9)] *= 0.72
        image += self._random.normal(0, 4, (height, width, 1))
        return np.asarray(np.clip(image, 0, 255).astype(np.uint8))

    def carton(self, width: int, height: int, text: str) -> Texture:
        """Print a label and tape on corrugated cardboard."""
        flutes = 4 * np.sin(np.arange(width) * 1.3)[None, :, None]
        stains = 10 * self._materials.clouds(height, width, width / 3)[..., None]
        image = np.asarray(
            np.clip(np.array([178, 138, 94]) + flutes + stains, 0, 255).astype(np.uint8)
        )
        cv2.rectangle(
            image, (0, int(height * 0.44)), (width, int(height * 0.54)), (198, 172, 128), -1
        )
        self._text(
            image, text, (int(width * 0.1), int(height * 0.36)), (60, 46, 34), width * 0.7, 3
        )
        corner = int(width * 0.6), int(height * 0.62)
        cv2.rectangle(image, corner, (int(width * 0.94), int(height * 0.92)), (240, 240, 236), -1)
        for bar in range(corner[0] + 4, int(width * 0.92), 5):
            thick = int(self._random.integers(1, 4))
            cv2.line(image, (bar, corner[1] + 4), (bar, int(height * 0.8)), (30, 30, 30), thick)
        return image

    def _palette(self) -> list[Colour]:
        choices: list[list[Colour]] = [
            [(232, 222, 200), (188, 64, 48), (34, 70, 110), (222, 166, 60), (40, 42, 48)],
            [(240, 234, 226), (46, 110, 104), (214, 120, 84), (90, 62, 92), (238, 196, 120)],
            [(28, 44, 66), (230, 90, 60), (246, 214, 150), (110, 170, 180), (240, 240, 236)],
            [(222, 210, 216), (120, 40, 60), (64, 96, 60), (200, 150, 90), (60, 60, 90)],
        ]
        return choices[int(self._random.integers(len(choices)))]

    def _strokes(self, image: np.ndarray) -> Texture:
        height, width = image.shape[:2]
        across = cv2.resize(self._materials.clouds(height, width // 8 + 2, 5.0, 2), (width, height))
        return np.asarray(
            np.clip(image * (1.0 + 0.12 * across[..., None]), 0, 255).astype(np.uint8)
        )

    @staticmethod
    def _text(
        image: Texture,
        text: str,
        place: tuple[int, int],
        colour: Colour,
        width: float,
        thickness: int = 2,
        font: int = _FONT,
    ) -> None:
        (natural, _), _ = cv2.getTextSize(text, font, 1.0, thickness)
        scale = width / max(natural, 1)
        limit = image.shape[0] / 60.0 if thickness > 1 else 0.42
        cv2.putText(image, text, place, font, min(scale, limit), colour, thickness, cv2.LINE_AA)
