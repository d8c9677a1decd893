"""The renderer puts a point of the scene where the camera model says it is."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from hloc_localizer.demo.drives import CAMERA, base_from_camera, query_drive
from hloc_localizer.demo.photographs import exposed
from hloc_localizer.demo.renderer import Renderer
from hloc_localizer.demo.surfaces import SceneBuilder, Surface
from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.camera import Camera

SQUARE_M = 0.25


def board(columns: int = 8, rows: int = 6) -> tuple[Surface, np.ndarray]:
    """Return a chessboard on the wall x = 3, and its inner corners (N, 3) by rows."""
    odd = np.add.outer(np.arange(rows), np.arange(columns)) % 2
    texture = np.kron(np.where(odd, 230, 25), np.ones((40, 40))).astype(np.uint8)
    corner = np.array([3.0, 0.8, 1.9])
    across, down = np.array([0, -1.0, 0]), np.array([0, 0, -1.0])
    inner = [
        corner + SQUARE_M * (c * across + r * down)
        for r in range(1, rows)
        for c in range(1, columns)
    ]
    size = SQUARE_M * np.array([columns, rows])
    surface = Surface(
        corner, across * size[0], down * size[1], np.dstack([texture] * 3), glows=True
    )
    return surface, np.array(inner)


def looking_along_x(yaw_deg: float = 0.0, x: float = 0.5, y: float = 0.0) -> np.ndarray:
    turn = transforms.rotation_from_rotvec([0.0, 0.0, np.radians(yaw_deg)])
    base = transforms.transform_from(turn, [x, y, 0.2])
    return base @ base_from_camera()


CAMERAS = {
    'webcam': CAMERA,
    'pinhole': Camera('PINHOLE', 640, 480, (500.0, 500.0, 319.5, 239.5)),
    'fisheye': Camera(
        'OPENCV_FISHEYE', 640, 480, (330.0, 330.0, 320.0, 240.0, 0.02, -0.01, 0.0, 0.0)
    ),
}


@pytest.mark.parametrize('camera', CAMERAS.values(), ids=CAMERAS.keys())
@pytest.mark.parametrize(('yaw', 'x', 'y'), [(0.0, 0.3, 0.0), (18.0, 0.6, -0.5), (-20.0, 0.0, 0.6)])
def test_corners_are_where_the_camera_model_projects_them(camera, yaw, x, y):
    surface, corners = board()
    pose = looking_along_x(yaw, x, y)
    image = cv2.cvtColor(Renderer([surface], camera).render(pose), cv2.COLOR_RGB2GRAY)
    expected = camera.project(transforms.apply(transforms.invert(pose), corners))
    expected = expected[camera.contains(expected, border=12)]
    assert len(expected) > 20
    start = expected.astype(np.float32)[:, None].copy()
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 50, 1e-4)
    found = cv2.cornerSubPix(image, start, (5, 5), (-1, -1), criteria)[:, 0]
    errors = np.linalg.norm(found - expected, axis=1)
    assert np.median(errors) < 0.1
    assert errors.max() < 0.2


def test_the_nearer_surface_hides_the_farther():
    def wall(x: float, tone: int) -> Surface:
        colour = np.full((8, 8, 3), tone, np.uint8)
        edges = np.array([0, -4.0, 0]), np.array([0, 0, -4.0])
        return Surface(np.array([x, 2.0, 3.0]), *edges, colour, glows=True)

    pose = looking_along_x()
    for order in ([wall(3.0, 200), wall(2.0, 90)], [wall(2.0, 90), wall(3.0, 200)]):
        assert Renderer(order, CAMERA).render(pose)[240, 320].tolist() == [90, 90, 90]


def test_backs_are_not_seen_and_near_surfaces_are_cut():
    colour = np.full((8, 8, 3), 120, np.uint8)
    behind = Surface(
        np.array([3.0, -2.0, 3.0]), np.array([0, 4.0, 0]), np.array([0, 0, -4.0]), colour
    )
    assert Renderer([behind], CAMERA).render(looking_along_x()).max() == 0
    # A floor that reaches from behind the camera to far ahead fills the lower half.
    floor = Surface(
        np.array([-5.0, 9.0, 0.0]), np.array([30.0, 0, 0]), np.array([0, -18.0, 0]), colour
    )
    image = Renderer([floor], CAMERA).render(looking_along_x())
    assert (image[300:] == 120).all()
    assert (image[:150] == 0).all()


def test_masked_texels_are_not_there():
    texture = np.full((64, 64, 4), 255, np.uint8)
    texture[:, :32, 3] = 0
    surface = Surface(
        np.array([3.0, 2.0, 3.0]), np.array([0, -4.0, 0]), np.array([0, 0, -4.0]), texture,
        glows=True,
    )  # fmt: skip
    image = Renderer([surface], CAMERA).render(looking_along_x())
    assert image[240, 300].max() == 0
    assert image[240, 340].min() == 255


def test_fine_textures_far_away_become_grey_instead_of_shimmering():
    # Five texels a pixel, black and white by turns.
    fine = (np.indices((2048, 2048)).sum(axis=0) % 2 * 255).astype(np.uint8)
    surface = Surface(
        np.array([6.0, 3.0, 4.0]), np.array([0, -6.0, 0]), np.array([0, 0, -6.0]),
        np.dstack([fine] * 3), glows=True,
    )  # fmt: skip
    image = Renderer([surface], CAMERA).render(looking_along_x())
    assert abs(float(image[100:380, 200:440].mean()) - 127.5) < 6
    assert image[100:380, 200:440].std() < 20


def test_a_box_shows_the_texture_of_the_side_that_is_looked_at():
    builder = SceneBuilder()
    names = ['front', 'back', 'left', 'right', 'top', 'bottom']
    faces = {
        name: np.full((4, 4, 3), 20 + 30 * number, np.uint8) for number, name in enumerate(names)
    }
    builder.at(3.0, 0.0, 90.0).box(
        (-0.5, -0.5, 0), (0.5, 0.5, 2.0), lambda w, h: faces['front'], faces=faces, without=''
    )
    # Turned by 90 degrees its left side (-x) looks towards -y and its back (+y) towards -x.
    image = Renderer(builder.surfaces, CAMERA).render(looking_along_x(x=0.0))
    assert image[240, 318].tolist() == faces['back'][0, 0].tolist()


def test_the_same_pose_gives_the_same_photograph():
    surface, _ = board()
    renderer = Renderer([surface], CAMERA)
    first, second = (renderer.render(looking_along_x(3.0)) for _ in range(2))
    assert np.array_equal(first, second)
    photographs = [exposed(first, CAMERA, np.random.default_rng([1, 0, n])) for n in (4, 4, 5)]
    assert np.array_equal(photographs[0], photographs[1])
    assert not np.array_equal(photographs[0], photographs[2])


def test_the_camera_looks_ahead_and_a_little_down():
    forward = base_from_camera()[:3, 2]
    assert forward[0] > 0.99
    assert -0.1 < forward[2] < 0.0
    assert np.linalg.det(base_from_camera()[:3, :3]) == pytest.approx(1.0)


def test_odometry_drifts_but_moves_as_the_robot_does():
    drive = query_drive(1)
    truth, odometry = drive.map_from_base.poses, drive.odom_from_base.poses
    assert np.allclose(odometry[0], np.eye(4))
    relative = transforms.invert(truth[0]) @ truth[-1]
    drift, _ = transforms.pose_distance(relative, odometry[-1])
    assert 0.1 < drift < 2.0
    steps = [transforms.invert(poses[:-1]) @ poses[1:] for poses in (truth, odometry)]
    distance, angle = transforms.pose_distance(*steps)
    assert distance.max() < 0.01
    assert np.degrees(angle).max() < 0.1
