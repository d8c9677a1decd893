"""Pieces of furniture, each drawn in its own frame: its front looks towards -y."""

from __future__ import annotations

import cv2
import numpy as np

from hloc_localizer.demo.artwork import Artwork
from hloc_localizer.demo.materials import Colour, Materials, fixed
from hloc_localizer.demo.surfaces import Material, SceneBuilder, Texture

_WALNUT: Colour = (124, 84, 56)
_OAK: Colour = (190, 150, 104)
_WHITE: Colour = (226, 224, 218)


class Furniture:
    """Places furniture into a scene."""

    def __init__(self, materials: Materials, artwork: Artwork) -> None:
        self._materials = materials
        self._art = artwork
        self._random = materials.random

    def bookshelf(self, place: SceneBuilder, width: float, height: float, shelves: int) -> None:
        """Put up a shelf against a wall at y = 0.35, full of books; its front at y = 0."""
        wood = self._materials.wood(_WALNUT)
        upright = self._materials.wood(_WALNUT, upright=True)
        depth, board = 0.32, 0.025
        for x in (0.0, width / 2 - board / 2, width - board):
            place.box((x, 0, 0), (x + board, depth, height), upright, without='bottom back')
        step = (height - 0.08) / shelves
        for shelf in range(shelves + 1):
            level = 0.06 + shelf * step
            place.box((0, 0, level - board), (width, depth, level), wood, without='back left right')
        for shelf in range(shelves):
            for half in range(2):
                left = board + half * width / 2
                right = left + width / 2 - 1.5 * board
                level = 0.06 + shelf * step
                recess = 0.06 + 0.04 * self._random.random()
                pixels = int((right - left) * 420), int((step - board) * 420)
                spines = self._art.book_spines(*pixels)
                top = level + step - board
                place.quad((left, recess, top), (right - left, 0, 0), (0, 0, level - top), spines)
        place.box(
            (0, 0.28, 0), (width, depth, height), wood, without='bottom front back left right'
        )
        self._clutter(place, width, height, depth)

    def _clutter(self, place: SceneBuilder, width: float, height: float, depth: float) -> None:
        self.carton(place.at(width * 0.12, depth * 0.2, 4, height), 0.34, 0.2, 0.22, 'SLIDES')
        self.plant(place.at(width * 0.72, depth * 0.5, 0, height), 0.09, 0.14, 0.42)

    def sofa(self, place: SceneBuilder, width: float, colour: Colour) -> None:
        """Place a sofa; its seat opens towards -y, its back stands at y = 0.9."""
        cloth = self._materials.fabric(colour)
        seats = self._materials.fabric(colour, seams=3)
        place.box((0.0, 0.05, 0.08), (width, 0.9, 0.28), cloth)
        place.box((0.2, 0.0, 0.28), (width - 0.2, 0.68, 0.45), seats)
        place.box((0.0, 0.68, 0.28), (width, 0.9, 0.86), seats)
        for left in (0.0, width - 0.2):
            place.box((left, 0.0, 0.28), (left + 0.2, 0.7, 0.62), cloth)
        accents: list[Colour] = [(206, 142, 54), (64, 108, 118), (186, 82, 66)]
        for number, accent in enumerate(accents):
            x = 0.25 + number * (width - 0.9) / 2
            turned = place.at(x, 0.52, float(self._random.uniform(-8, 8)))
            cushion = self._materials.rug(accent, [_WHITE, _WALNUT], scale=160.0)
            cushion_face = cushion(0.42, 0.40)
            turned.box(
                (0, 0, 0.45), (0.42, 0.13, 0.83), self._materials.fabric(accent),
                faces={'front': cushion_face},
            )  # fmt: skip
        blanket = self._materials.rug((150, 160, 150), [(96, 110, 104), _WHITE, (186, 82, 66)])
        place.quad((width * 0.62, 0.905, 0.865), (-0.5, 0, 0), (0, 0.004, -0.5), blanket(0.5, 0.5))
        place.quad(
            (width * 0.62 - 0.5, 0.905, 0.865), (0.5, 0, 0), (0, -0.225, 0), blanket(0.5, 0.22)
        )

    def table(
        self, place: SceneBuilder, size: tuple[float, float, float], colour: Colour = _OAK
    ) -> None:
        """Place a table of (width, depth, height) on four legs."""
        width, depth, height = size
        top = self._materials.wood(colour)
        legs = self._materials.wood(colour, upright=True)
        place.box((0, 0, height - 0.04), (width, depth, height), top, without='')
        inner = self._materials.wood(colour)
        place.box(
            (0.08, 0.08, height - 0.11), (width - 0.08, depth - 0.08, height - 0.04), inner,
            without='top', casts_shadow=False,
        )  # fmt: skip
        for x in (0.05, width - 0.11):
            for y in (0.05, depth - 0.11):
                place.box(
                    (x, y, 0), (x + 0.06, y + 0.06, height - 0.04), legs, without='top bottom'
                )

    def chair(self, place: SceneBuilder, colour: Colour) -> None:
        """Place a wooden chair centred on the origin, its back at y = 0.2."""
        wood = self._materials.wood(colour)
        upright = self._materials.wood(colour, upright=True)
        place.box((-0.21, -0.21, 0.43), (0.21, 0.21, 0.46), wood)
        pad = self._materials.fabric((108, 122, 128))
        place.box((-0.19, -0.19, 0.46), (0.19, 0.17, 0.485), pad, casts_shadow=False)
        for x in (-0.2, 0.165):
            place.box((x, -0.2, 0), (x + 0.035, -0.165, 0.43), upright, without='top bottom')
            place.box((x, 0.175, 0), (x + 0.035, 0.21, 0.92), upright, without='bottom')
        for level in (0.58, 0.7, 0.82):
            place.box(
                (-0.165, 0.183, level), (0.165, 0.203, level + 0.075), wood, casts_shadow=False
            )

    def plant(
        self, place: SceneBuilder, radius: float, pot_height: float, leaf_height: float
    ) -> None:
        """Place a pot with a plant: three crossed pictures of leaves."""
        pot = self._materials.terracotta()
        soil = _disc((64, 48, 38), 64)
        place.prism((0, 0, 0), radius * 0.75, radius, pot_height, pot, sides=12, top=soil)
        spread = leaf_height * 0.85
        for number in range(3):
            turned = place.at(0, 0, 60.0 * number + 10.0)
            picture = self._art.leaves(int(260 * 0.85), 260)
            top = pot_height + leaf_height - 0.03
            turned.quad(
                (-spread / 2, 0, top), (spread, 0, 0), (0, 0, -leaf_height), picture, two_sided=True
            )

    def floor_lamp(self, place: SceneBuilder) -> None:
        """Place a lamp with a glowing shade."""
        metal = self._materials.brushed((60, 58, 56))
        place.prism((0, 0, 0), 0.15, 0.15, 0.03, metal, top=_disc((70, 68, 66), 64))
        place.prism((0, 0, 0.03), 0.013, 0.013, 1.45, metal, sides=6)
        shade = np.full((64, 256, 3), (250, 226, 176), np.uint8)
        shade = np.clip(shade * np.linspace(0.78, 1.0, 64)[:, None, None], 0, 255).astype(np.uint8)
        shade[:3] = shade[-3:] = (170, 140, 96)
        place.prism((0, 0, 1.35), 0.21, 0.15, 0.3, fixed(shade), sides=16, glows=True)

    def kitchen(self, place: SceneBuilder, width: float) -> None:
        """Place base units, worktop, tiles, an oven and wall units; wall at y = 0.6."""
        front = self._cabinet((58, 84, 96))
        place.box(
            (0, 0.04, 0), (width, 0.6, 0.1), self._materials.plain((48, 48, 50)), without='top'
        )
        units = int(width / 0.6)
        for unit in range(units):
            x = unit * width / units
            face = self._oven() if unit == 2 else front(width / units, 0.77)
            place.box(
                (x, 0, 0.1), (x + width / units, 0.6, 0.87), self._materials.plain((58, 84, 96)),
                faces={'front': face}, without='bottom back top' + ('' if unit else ' none'),
                casts_shadow=unit == 0,
            )  # fmt: skip
        place.box(
            (0, 0, 0.1), (width, 0.6, 0.87), front, without='front back left right top bottom'
        )
        stone = self._materials.granite()
        place.box((-0.02, -0.03, 0.87), (width + 0.02, 0.6, 0.91), stone)
        splash = self._materials.tiles((214, 222, 214))
        place.quad((0, 0.595, 1.45), (width, 0, 0), (0, 0, -0.54), splash(width, 0.54))
        for unit in range(units):
            if unit == 2:
                continue
            x = unit * width / units
            door = self._cabinet((222, 216, 202))(width / units, 0.7)
            place.box(
                (x, 0.26, 1.45), (x + width / units, 0.6, 2.15), self._materials.plain(_WHITE),
                faces={'front': door}, without='back',
            )  # fmt: skip
        self._hood(place, 2.5 * width / units)
        self._worktop_things(place, width)

    def _hood(self, place: SceneBuilder, x: float) -> None:
        steel = self._materials.brushed((168, 170, 172))
        place.box((x - 0.3, 0.15, 1.5), (x + 0.3, 0.6, 1.58), steel, without='back')
        place.box((x - 0.14, 0.3, 1.58), (x + 0.14, 0.6, 2.8), steel, without='back top')

    def _worktop_things(self, place: SceneBuilder, width: float) -> None:
        steel = self._materials.brushed((176, 178, 180))
        place.quad((0.66, 0.5, 0.912), (0.5, 0, 0), (0, -0.38, 0), steel(0.5, 0.38))
        place.prism((0.91, 0.5, 0.91), 0.015, 0.015, 0.26, steel, sides=6)
        place.box((0.9, 0.34, 1.15), (0.92, 0.51, 1.17), steel, casts_shadow=False)
        kettle = self._materials.plain((176, 48, 42))
        place.prism(
            (0.25, 0.3, 0.91), 0.085, 0.06, 0.2, kettle, sides=14, top=_disc((40, 40, 42), 48)
        )
        for number in range(5):
            colours: list[Colour] = [(206, 160, 60), (72, 100, 62), (150, 70, 50), (230, 226, 214)]
            jar = self._materials.plain(colours[number % 4], mottling=12)
            x = 2.1 + 0.14 * number
            height = 0.12 + 0.05 * (number % 3)
            lid = _disc((120, 92, 64), 48)
            place.prism((x, 0.45, 0.91), 0.055, 0.05, height, jar, sides=10, top=lid)
        board = self._materials.wood(_OAK, upright=True)
        place.box((width - 0.55, 0.52, 0.91), (width - 0.2, 0.55, 1.3), board)

    def _cabinet(self, colour: Colour) -> Material:
        def make(width: float, height: float) -> Texture:
            image = self._materials.plain(colour, mottling=4, scale=220.0)(width, height)
            rows, columns = image.shape[:2]
            dark = tuple(int(channel * 0.55) for channel in colour)
            light = tuple(min(255, int(channel * 1.15)) for channel in colour)
            cv2.rectangle(image, (1, 1), (columns - 2, rows - 2), dark, 2)
            inset = int(0.05 * 220)
            cv2.rectangle(image, (inset, inset), (columns - inset, rows - inset), dark, 2)
            corner = columns - inset - 3, rows - inset - 3
            cv2.rectangle(image, (inset + 3, inset + 3), corner, light, 1)
            x = columns - inset - 8 if self._random.random() < 0.5 else inset + 2
            cv2.line(image, (x, int(rows * 0.42)), (x, int(rows * 0.56)), (206, 198, 180), 5)
            return image

        return make

    def _oven(self) -> Texture:
        image = self._materials.brushed((150, 152, 154), scale=220.0)(0.6, 0.77)
        rows, columns = image.shape[:2]
        corner = int(columns * 0.9), int(rows * 0.86)
        cv2.rectangle(image, (int(columns * 0.1), int(rows * 0.3)), corner, (26, 26, 30), -1)
        line = [(int(columns * share), int(rows * 0.24)) for share in (0.1, 0.9)]
        cv2.line(image, *line, (226, 226, 226), 5)
        for knob in range(5):
            centre = int(columns * (0.18 + 0.16 * knob)), int(rows * 0.1)
            cv2.circle(image, centre, 7, (40, 40, 44), -1, cv2.LINE_AA)
            cv2.line(image, centre, (centre[0] + 3, centre[1] - 5), (240, 240, 240), 2)
        return image

    def fridge(self, place: SceneBuilder) -> None:
        """Place a fridge with notes and magnets; its back at y = 0.62."""
        door = self._materials.plain((228, 230, 232), mottling=3, scale=300.0)(0.62, 1.8)
        rows, columns = door.shape[:2]
        cv2.line(door, (0, int(rows * 0.36)), (columns, int(rows * 0.36)), (120, 122, 124), 4)
        for share in (0.16, 0.5):
            start = int(columns * 0.9), int(rows * share)
            cv2.line(door, start, (start[0], start[1] + int(rows * 0.12)), (90, 92, 96), 7)
        papers: list[Colour] = [(250, 232, 120), (250, 250, 246), (178, 220, 240), (248, 186, 190)]
        for number in range(11):
            wide, high = (int(v) for v in self._random.integers(30, 66, 2))
            x = int(self._random.uniform(0.06, 0.62) * columns)
            y = int(self._random.uniform(0.05, 0.7) * rows)
            note = self._art.poster(wide * 2, high * 2, 'memo', (60, 60, 90), papers[number % 4])
            small = cv2.resize(note, (wide, high), interpolation=cv2.INTER_AREA)
            door[y : y + high, x : x + wide] = small
            magnet: Colour = [(200, 40, 40), (40, 90, 180), (40, 150, 80)][number % 3]
            cv2.circle(door, (x + wide // 2, y + 4), 5, magnet, -1, cv2.LINE_AA)
        body = self._materials.plain((214, 216, 218))
        place.box((0, 0, 0.02), (0.62, 0.62, 1.82), body, faces={'front': door}, without='bottom')
        self.carton(place.at(0.1, 0.12, -6, 1.82), 0.36, 0.3, 0.24, 'CEREAL')

    def desk(self, place: SceneBuilder, width: float) -> None:
        """Place a desk with two screens, a lamp, papers and a keyboard; wall at y = 0.75."""
        self.table(place, (width, 0.72, 0.74), (206, 196, 180))
        black = self._materials.plain((34, 34, 38), mottling=2)
        for left, yaw in ((0.25, 8.0), (0.95, -6.0)):
            screen = place.at(left, 0.42, yaw, 0.74)
            shown = cv2.copyMakeBorder(
                self._art.screen(560, 330), 9, 12, 9, 9, cv2.BORDER_CONSTANT, value=(22, 22, 24)
            )
            screen.box((0, 0.03, 0.12), (0.62, 0.07, 0.5), black, casts_shadow=True)
            screen.quad((0, 0.028, 0.5), (0.62, 0, 0), (0, 0, -0.38), shown, glows=True)
            screen.box((0.27, 0.05, 0), (0.35, 0.1, 0.14), black)
            screen.box((0.18, -0.02, 0), (0.44, 0.18, 0.012), black, casts_shadow=False)
        place.quad((0.5, 0.28, 0.745), (0.45, 0, 0), (0, -0.15, 0), self._keyboard())
        for number, x in enumerate((0.06, width - 0.45, width - 0.3)):
            paper = self._art.poster(140, 196, 'notes', (70, 70, 80), (246, 244, 238))
            sheet = place.at(x, 0.1, 12.0 * (number - 1), 0.743 + 0.002 * number)
            sheet.quad((0, 0.3, 0), (0.21, 0, 0), (0, -0.297, 0), paper)
        mug = self._materials.plain((226, 120, 60))
        place.prism((1.2, 0.2, 0.74), 0.04, 0.043, 0.1, mug, top=_disc((60, 38, 26), 32))
        drawers = self._cabinet((206, 204, 198))
        place.box((width - 0.5, 0.1, 0.05), (width - 0.1, 0.65, 0.62), drawers)

    def _keyboard(self) -> Texture:
        image = np.full((100, 300, 3), (52, 54, 58), np.uint8)
        for row in range(5):
            for key in range(15):
                x, y = 8 + key * 19 + (row * 4) % 9, 8 + row * 17
                cv2.rectangle(image, (x, y), (x + 14, y + 12), (212, 212, 208), -1)
        return image

    def office_chair(self, place: SceneBuilder) -> None:
        """Place a swivel chair centred on the origin, its back at y = 0.25."""
        cloth = self._materials.fabric((56, 70, 92))
        dark = self._materials.plain((38, 38, 42))
        place.box((-0.24, -0.24, 0.44), (0.24, 0.24, 0.52), cloth, without='')
        place.box((-0.22, 0.22, 0.58), (0.22, 0.28, 1.05), cloth, without='')
        place.box((-0.03, 0.24, 0.46), (0.03, 0.27, 0.62), dark, casts_shadow=False)
        place.prism((0, 0, 0.1), 0.03, 0.03, 0.34, dark, sides=6)
        for leg in range(5):
            turned = place.at(0, 0, 72.0 * leg)
            turned.box((0, -0.025, 0.05), (0.3, 0.025, 0.1), dark, casts_shadow=False)
            turned.box((0.26, -0.02, 0), (0.31, 0.02, 0.05), dark, casts_shadow=False)

    def television(self, place: SceneBuilder, width: float) -> None:
        """Place a low cabinet with a television; wall at y = 0.45."""
        place.box(
            (0, 0, 0.08), (width, 0.42, 0.5), self._materials.wood(_OAK),
            faces={'front': self._drawers(width, 0.42)},
        )  # fmt: skip
        black = self._materials.plain((20, 20, 22), mottling=2)
        left = width * 0.16
        right = width * 0.84
        place.box((left, 0.28, 0.56), (right, 0.33, 0.56 + (right - left) * 0.58), black)
        picture = cv2.copyMakeBorder(
            self._art.landscape(640, 352), 10, 10, 10, 10, cv2.BORDER_CONSTANT, value=(12, 12, 14)
        )
        place.quad(
            (left, 0.278, 0.56 + (right - left) * 0.58), (right - left, 0, 0),
            (0, 0, -(right - left) * 0.58), picture, glows=True,
        )  # fmt: skip
        place.box((width / 2 - 0.2, 0.2, 0.5), (width / 2 + 0.2, 0.4, 0.56), black)
        for x in (0.02, width - 0.2):
            speaker = self._materials.plain((44, 42, 44), scale=240.0)(0.18, 0.36)
            for share, size in ((0.3, 0.2), (0.68, 0.36)):
                centre = speaker.shape[1] // 2, int(speaker.shape[0] * share)
                cv2.circle(speaker, centre, int(size * 43), (96, 94, 92), -1, cv2.LINE_AA)
                cv2.circle(speaker, centre, int(size * 26), (30, 30, 32), -1, cv2.LINE_AA)
            place.box((x, 0.1, 0.5), (x + 0.18, 0.34, 0.86), black, faces={'front': speaker})

    def _drawers(self, width: float, height: float) -> Texture:
        image = self._materials.wood(_OAK)(width, height)
        rows, columns = image.shape[:2]
        for number in range(3):
            left, right = (int(columns * (number + step) / 3) for step in (0, 1))
            cv2.rectangle(image, (left + 4, 6), (right - 4, rows - 6), (96, 70, 46), 3)
            middle = (left + right) // 2
            cv2.line(image, (middle - 18, rows // 3), (middle + 18, rows // 3), (40, 38, 36), 5)
        return image

    def carton(
        self, place: SceneBuilder, width: float, depth: float, height: float, text: str
    ) -> None:
        """Put down a cardboard box with a printed label."""
        face = self._art.carton(int(width * 500), int(height * 500), text)
        side = self._art.carton(int(depth * 500), int(height * 500), text)
        lid = self._materials.plain((184, 146, 100), mottling=8)
        place.box(
            (0, 0, 0), (width, depth, height), lid,
            faces={'front': face, 'back': face, 'left': side, 'right': side},
        )  # fmt: skip

    def low_shelf(self, place: SceneBuilder, width: float) -> None:
        """Place a low shelf with folders, a plant and a small picture; wall at y = 0.35."""
        wood = self._materials.plain((216, 212, 204))
        place.box((0, 0.3, 0), (width, 0.34, 0.8), wood, without='bottom back')
        for x in (0.0, width - 0.03):
            place.box((x, 0, 0), (x + 0.03, 0.34, 0.8), wood, without='bottom back')
        for level in (0.04, 0.42, 0.8):
            place.box((0, 0, level - 0.03), (width, 0.34, level), wood, without='back left right')
        for level in (0.04, 0.42):
            folders = self._art.book_spines(int(width * 380), 132)
            place.quad((0.03, 0.05, level + 0.34), (width - 0.06, 0, 0), (0, 0, -0.34), folders)
        self.plant(place.at(0.2, 0.18, 0, 0.8), 0.1, 0.13, 0.38)
        photo = self._art.framed(self._art.still_life(220, 160), (40, 36, 34), 14)
        place.quad((0.5, 0.2, 1.1), (0.4, 0, 0), (0, 0.06, -0.3), photo, two_sided=True)
        bowl = self._materials.plain((70, 110, 128), mottling=10)
        place.prism((width - 0.25, 0.16, 0.8), 0.06, 0.13, 0.1, bowl, top=_disc((52, 84, 98), 48))


def _disc(colour: Colour, size: int) -> Texture:
    image = np.zeros((size, size, 4), np.uint8)
    image[..., :3] = colour
    cv2.circle(image, (size // 2, size // 2), size // 2, (*colour, 255), -1)
    return image
