"""The room of the demonstration: living room, kitchen and office under one roof, 10 x 7 m."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from hloc_localizer.demo.artwork import Artwork
from hloc_localizer.demo.furniture import Furniture
from hloc_localizer.demo.lighting import Light
from hloc_localizer.demo.materials import Colour, Materials, fixed
from hloc_localizer.demo.surfaces import Occluder, SceneBuilder, Surface, Texture

LENGTH, WIDTH, HEIGHT = 10.0, 7.0, 2.75
"""Inner size along x, y and z in metres."""

AMBIENT = (0.47, 0.49, 0.52)

_WALL: Colour = (222, 214, 200)
_ACCENT: Colour = (104, 132, 130)
_WINDOWS = ((1.3, 3.5), (5.2, 7.6))
_SILL, _LINTEL = 0.85, 2.3


@dataclass(frozen=True)
class Room:
    """A scene: what is seen and what shines."""

    surfaces: list[Surface]
    occluders: list[Occluder]
    lights: list[Light]


def build_room(seed: int) -> Room:
    """Furnish the room. The seed decides every grain, book and picture, but not the plan."""
    materials = Materials(seed)
    artwork = Artwork(materials)
    builder = SceneBuilder()
    _shell(builder, materials)
    _openings(builder, materials, artwork)
    _decoration(builder, materials, artwork)
    _furnish(builder, materials, Furniture(materials, artwork))
    return Room(builder.surfaces, builder.occluders, _lights())


def _lights() -> list[Light]:
    windows = [
        Light(
            corner=(left, 0.02, _SILL),
            first=(right - left, 0, 0),
            second=(0, 0, _LINTEL - _SILL),
            normal=(0, 1, 0),
            power=(6.2, 6.5, 7.0),
            samples=(3, 2),
        )
        for left, right in _WINDOWS
    ]
    lamps = [
        Light(
            (x - 0.3, y - 0.3, 2.7), (0.6, 0, 0), (0, 0.6, 0), (0, 0, -1), (2.8, 2.35, 1.7), (2, 2)
        )
        for x, y in ((2.4, 5.2), (7.2, 4.4), (8.4, 1.6))
    ]
    reading = Light((3.95, 6.1, 1.5), (0, 0, 0), (0, 0, 0), (0, 0, 0), (0.8, 0.6, 0.35))
    return [*windows, *lamps, reading]


def _shell(builder: SceneBuilder, materials: Materials) -> None:
    wall, accent = materials.plaster(_WALL), materials.plaster(_ACCENT)
    floor = materials.planks((176, 132, 88))(LENGTH, WIDTH)
    builder.quad((0, WIDTH, 0), (LENGTH, 0, 0), (0, -WIDTH, 0), floor)
    ceiling = materials.plaster((232, 230, 226), 90.0)(LENGTH, WIDTH)
    builder.quad((0, 0, HEIGHT), (LENGTH, 0, 0), (0, WIDTH, 0), ceiling)
    builder.quad((0, WIDTH, HEIGHT), (LENGTH, 0, 0), (0, 0, -HEIGHT), wall(LENGTH, HEIGHT))
    builder.quad((LENGTH, WIDTH, HEIGHT), (0, -WIDTH, 0), (0, 0, -HEIGHT), wall(WIDTH, HEIGHT))
    builder.quad((0, 0, HEIGHT), (0, WIDTH, 0), (0, 0, -HEIGHT), accent(WIDTH, HEIGHT))
    south = materials.plaster(_WALL)(LENGTH, HEIGHT)
    builder.quad((LENGTH, 0, HEIGHT), (-LENGTH, 0, 0), (0, 0, -HEIGHT), _with_windows(south))
    _skirting(builder, materials)
    # The wall between living room and kitchen.
    builder.box((5.0, 5.3, 0), (5.14, WIDTH, HEIGHT), accent, without='bottom top back')
    for x in (4.988, 5.14):
        builder.box((x, 5.29, 0), (x + 0.012, WIDTH, 0.09), materials.plain((238, 236, 230)))


def _with_windows(wall: Texture) -> Texture:
    """Cut the windows out of the south wall, whose texture begins at its eastern end."""
    rows, columns = wall.shape[:2]
    mask = np.full((rows, columns, 1), 255, np.uint8)
    for left, right in _WINDOWS:
        begin, end = (int((LENGTH - x) / LENGTH * columns) for x in (right, left))
        top, bottom = (int((HEIGHT - z) / HEIGHT * rows) for z in (_LINTEL, _SILL))
        mask[top:bottom, begin:end] = 0
    return np.concatenate([wall, mask], axis=2)


def _skirting(builder: SceneBuilder, materials: Materials) -> None:
    white = materials.plain((238, 236, 230))
    thick, high = 0.015, 0.09
    builder.box((0, WIDTH - thick, 0), (LENGTH, WIDTH, high), white, casts_shadow=False)
    builder.box((0, 0, 0), (LENGTH, thick, high), white, casts_shadow=False)
    builder.box((0, 0, 0), (thick, WIDTH, high), white, casts_shadow=False)
    builder.box((LENGTH - thick, 0, 0), (LENGTH, WIDTH, high), white, casts_shadow=False)


def _openings(builder: SceneBuilder, materials: Materials, artwork: Artwork) -> None:
    for corner, across in (((19, -9), (-28, 0)), ((-9, -9), (0, 10)), ((19, 1), (0, -10))):
        street = artwork.outside(int(56 * np.hypot(*across)), 780)
        builder.quad((*corner, 12.0), (*across, 0), (0, 0, -14.0), street, glows=True)
    for left, right in _WINDOWS:
        _window(builder, materials, left, right)
        for x in (left - 0.42, right + 0.02):
            cloth = artwork.curtain(90, 420, (196, 182, 150))
            builder.quad((x + 0.4, 0.09, 2.5), (-0.4, 0, 0), (0, 0, -2.42), cloth, two_sided=True)
        pole = materials.brushed((90, 86, 80))
        builder.box((left - 0.5, 0.06, 2.5), (right + 0.5, 0.09, 2.53), pole, casts_shadow=False)
        _radiator(builder, (left + right) / 2)
    _door(builder.at(4.0, WIDTH - 0.02), materials, (150, 104, 66))
    _door(builder.at(LENGTH - 0.02, 4.0, -90), materials, (206, 204, 196))
    exit_sign = artwork.sign(220, 80, 'EXIT', (255, 255, 255), (24, 128, 74))
    builder.quad((4.25, WIDTH - 0.03, 2.4), (0.42, 0, 0), (0, 0, -0.15), exit_sign)
    number = artwork.sign(180, 80, 'LAB 2.14', (40, 44, 50), (232, 230, 222))
    builder.quad((LENGTH - 0.03, 2.98, 1.7), (0, -0.27, 0), (0, 0, -0.12), number)


def _window(builder: SceneBuilder, materials: Materials, left: float, right: float) -> None:
    frame = materials.plain((240, 240, 238))
    middle = (left + right) / 2
    for x in (left, middle - 0.04, right - 0.07):
        builder.box(
            (x, -0.12, _SILL), (x + 0.07, -0.05, _LINTEL), frame, without='', casts_shadow=False
        )
    for z in (_SILL, _LINTEL - 0.07):
        builder.box(
            (left, -0.12, z), (right, -0.05, z + 0.07), frame, without='', casts_shadow=False
        )
    plaster = materials.plaster(_WALL)
    builder.quad((left, 0, _LINTEL), (0, -0.2, 0), (0, 0, _SILL - _LINTEL), plaster(0.2, 1.45))
    builder.quad((right, -0.2, _LINTEL), (0, 0.2, 0), (0, 0, _SILL - _LINTEL), plaster(0.2, 1.45))
    builder.quad(
        (left, -0.2, _LINTEL), (right - left, 0, 0), (0, 0.2, 0), plaster(right - left, 0.2)
    )
    sill = materials.wood((214, 190, 150))
    builder.box((left - 0.05, -0.2, _SILL - 0.03), (right + 0.05, 0.12, _SILL), sill)


def _radiator(builder: SceneBuilder, middle: float) -> None:
    image = np.full((150, 360, 3), (236, 236, 232), np.uint8)
    for x in range(0, 360, 15):
        cv2.line(image, (x, 4), (x, 146), (176, 176, 172), 4)
        cv2.line(image, (x + 4, 4), (x + 4, 146), (250, 250, 248), 2)
    builder.box(
        (middle - 0.75, 0.03, 0.14), (middle + 0.75, 0.11, 0.74), fixed(image[:, :40]),
        faces={'back': image},
    )  # fmt: skip


def _door(place: SceneBuilder, materials: Materials, colour: Colour) -> None:
    """Hang a door of 0.9 m with its frame; the wall it stands before is at y = 0.02."""
    bare = min(colour) < 160
    board = materials.wood(colour, upright=True) if bare else materials.plain(colour, scale=200.0)
    leaf = board(0.9, 2.06)
    rows, columns = leaf.shape[:2]
    dark = tuple(int(channel * 0.6) for channel in colour)
    for top, bottom in ((0.06, 0.44), (0.52, 0.94)):
        for left, right in ((0.1, 0.46), (0.54, 0.9)):
            corners = [(int(columns * x), int(rows * y)) for x, y in ((left, top), (right, bottom))]
            cv2.rectangle(leaf, *corners, dark, 3)
            inner = [(corners[0][0] + 7, corners[0][1] + 7), (corners[1][0] - 7, corners[1][1] - 7)]
            cv2.rectangle(leaf, *inner, tuple(min(255, int(c * 1.15)) for c in colour), 2)
    handle = int(columns * 0.93), int(rows * 0.49)
    cv2.rectangle(
        leaf, (handle[0] - 7, handle[1] - 22), (handle[0] + 7, handle[1] + 30), (190, 186, 176), -1
    )
    cv2.line(leaf, handle, (handle[0] - 28, handle[1]), (120, 116, 108), 8)
    white = materials.plain((240, 238, 232))
    place.quad((0.05, 0.0, 2.06), (0.9, 0, 0), (0, 0, -2.06), leaf)
    for low, high in (((-0.03, 0.0), (0.05, 2.14)), ((0.95, 0.0), (1.03, 2.14))):
        place.box((low[0], -0.02, low[1]), (high[0], 0.02, high[1]), white, casts_shadow=False)
    place.box((-0.03, -0.02, 2.06), (1.03, 0.02, 2.14), white, casts_shadow=False)


def _hang(
    builder: SceneBuilder, picture: Texture, x: float, z: float, width: float, depth: float = 0.025
) -> None:
    """Hang a picture: its lower left corner at (x, z) on the wall at y = 0 behind it."""
    height = width * picture.shape[0] / picture.shape[1]
    edge = picture[2:6, 2:6].mean(axis=(0, 1))[:3].astype(np.uint8)
    builder.box(
        (x, -depth, z), (x + width, 0, z + height),
        fixed(np.broadcast_to(edge, (4, 4, 3)).copy()), faces={'front': picture}, without='back',
        casts_shadow=False,
    )  # fmt: skip


def _decoration(builder: SceneBuilder, materials: Materials, artwork: Artwork) -> None:
    north = builder.at(0, WIDTH)
    east = builder.at(LENGTH, WIDTH, -90)
    west = builder.at(0, 0, 90)
    gold, black, oak = (168, 132, 66), (36, 34, 36), (170, 128, 84)
    _hang(north, artwork.framed(artwork.abstract(300, 380), black, 26), 0.25, 1.15, 0.75)
    _hang(west, artwork.framed(artwork.landscape(520, 330), gold, 0), 4.2, 1.25, 1.3)
    _hang(west, artwork.framed(artwork.abstract(240, 300), oak, 22), 5.8, 1.2, 0.6)
    _hang(west, artwork.framed(artwork.still_life(260, 200), gold, 12), 0.35, 1.35, 0.7)
    # On the wall between living room and kitchen: its western side, eastern side and its end.
    _hang(
        builder.at(5.0, WIDTH, -90),
        artwork.framed(artwork.abstract(420, 300), black, 20),
        0.4,
        1.2,
        0.95,
    )
    poster = artwork.poster(420, 560, 'ROBOT FAIR', (176, 60, 40), (244, 232, 206))
    _hang(builder.at(5.14, 0, 90), poster, 5.55, 1.0, 0.75, 0.004)
    # East wall, from north (0) to south (7).
    board = artwork.framed(artwork.whiteboard(900, 540), (176, 178, 180))
    _hang(east, board, 4.15, 0.98, 1.75, 0.03)
    conference = artwork.poster(400, 540, 'MAP & POSE', (34, 66, 112), (236, 240, 242))
    _hang(east, conference, 6.15, 1.05, 0.7, 0.004)
    calendar = artwork.poster(300, 300, 'NOVEMBER', (40, 40, 44), (250, 250, 248))
    _hang(east, calendar, 2.35, 1.35, 0.42, 0.004)
    _hang(east, artwork.framed(artwork.landscape(300, 380), oak, 18), 1.0, 1.15, 0.75)
    south = builder.at(LENGTH, 0, 180)
    _hang(south, artwork.framed(artwork.still_life(280, 340), black, 24), 0.7, 1.15, 0.7)
    _hang(south, artwork.framed(artwork.abstract(200, 260), gold, 16), 5.45, 1.25, 0.5)
    _hang(
        south, artwork.poster(300, 420, 'BOOT 1969', (60, 44, 90), (240, 226, 200)), 9.15, 1.1, 0.5
    )
    clock = artwork.clock(220)
    north.quad((5.55, -0.02, 2.45), (0.42, 0, 0), (0, 0, -0.42), clock)
    _switches(builder)


def _switches(builder: SceneBuilder) -> None:
    plate = np.full((40, 40, 3), (248, 247, 243), np.uint8)
    cv2.rectangle(plate, (1, 1), (38, 38), (170, 168, 162), 1)
    cv2.rectangle(plate, (10, 7), (30, 33), (226, 224, 218), -1)
    cv2.rectangle(plate, (10, 7), (30, 33), (150, 148, 142), 1)
    for x, z in ((3.85, 1.1), (0.15, 0.3), (3.8, 0.3)):
        builder.quad((x, WIDTH - 0.006, z), (0.085, 0, 0), (0, 0, -0.085), plate)
    for y, z in ((4.2, 1.1), (2.9, 0.3), (5.6, 0.3)):
        builder.quad((LENGTH - 0.006, y, z), (0, -0.085, 0), (0, 0, -0.085), plate)


def _furnish(builder: SceneBuilder, materials: Materials, furniture: Furniture) -> None:
    _rugs(builder, materials)
    # Living room.
    furniture.bookshelf(builder.at(1.2, WIDTH - 0.34), 2.4, 1.95, 5)
    furniture.television(builder.at(0.45, 1.7, 90), 1.9)
    furniture.sofa(builder.at(2.75, 3.75, -90), 2.2, (92, 104, 122))
    furniture.table(builder.at(1.35, 2.1, 0), (0.6, 1.1, 0.42), (124, 84, 56))
    furniture.plant(builder.at(0.4, 6.55), 0.2, 0.36, 1.1)
    furniture.plant(builder.at(0.4, 0.5), 0.18, 0.34, 0.95)
    furniture.floor_lamp(builder.at(3.95, 6.1))
    furniture.carton(builder.at(4.35, 0.15, 8), 0.5, 0.36, 0.32, 'FRAGILE')
    furniture.carton(builder.at(4.42, 0.2, -5, 0.32), 0.36, 0.3, 0.24, 'CABLES')
    # Kitchen.
    furniture.kitchen(builder.at(5.9, WIDTH - 0.6), 3.0)
    furniture.fridge(builder.at(9.1, WIDTH - 0.64))
    furniture.table(builder.at(6.5, 3.75), (1.6, 0.9, 0.75))
    chairs = ((6.9, 3.55, 186), (7.7, 3.6, 172), (6.85, 4.85, 5), (7.75, 4.82, -9))
    for number, (x, y, yaw) in enumerate(chairs):
        colour: Colour = [(150, 104, 66), (190, 150, 104)][number % 2]
        furniture.chair(builder.at(x, y, yaw), colour)
    bowl = materials.plain((214, 206, 190), mottling=8)
    builder.prism((7.3, 4.2, 0.75), 0.07, 0.15, 0.09, bowl, sides=14)
    for dx, dy, tone in (
        (-0.05, 0.02, (196, 60, 44)),
        (0.05, -0.03, (220, 160, 50)),
        (0.02, 0.06, (120, 156, 60)),
    ):
        fruit = materials.plain(tone, mottling=10)
        builder.prism((7.3 + dx, 4.2 + dy, 0.8), 0.03, 0.04, 0.07, fruit, sides=8)
    # Office.
    furniture.desk(builder.at(LENGTH - 0.78, 2.45, -90), 1.8)
    furniture.office_chair(builder.at(8.75, 1.6, -115))
    furniture.low_shelf(builder.at(9.3, 0.36, 180), 1.4)
    furniture.plant(builder.at(9.65, 3.0), 0.17, 0.32, 0.85)
    furniture.carton(builder.at(9.45, 5.55, -80), 0.42, 0.34, 0.36, 'PARTS')


def _rugs(builder: SceneBuilder, materials: Materials) -> None:
    red = materials.rug(
        (132, 44, 46), [(224, 206, 168), (40, 56, 84), (176, 132, 70), (90, 30, 36)]
    )
    blue = materials.rug((62, 88, 104), [(226, 220, 204), (170, 96, 66), (36, 50, 62)])
    builder.quad((0.75, 4.15, 0.006), (1.95, 0, 0), (0, -3.0, 0), red(1.95, 3.0))
    builder.quad((6.0, 5.15, 0.006), (2.6, 0, 0), (0, -2.2, 0), blue(2.6, 2.2))
