"""The sharpest frame of every stretch without motion becomes a map image."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

from hloc_localizer.geometry import transforms
from hloc_localizer.mapping.frame_selection import select_frames, sharpness
from hloc_localizer.mapping.options import FrameSelectionOptions
from hloc_localizer.sources.frame import Frame

OPTIONS = FrameSelectionOptions(min_translation_m=0.1, min_rotation_deg=5.0)
SHARP = np.random.default_rng(0).integers(0, 255, (60, 80), np.uint8)


def blurred(sigma: float) -> np.ndarray:
    return np.asarray(cv2.GaussianBlur(SHARP, (0, 0), sigma), np.uint8)


def frame(
    number: int,
    x: float = 0.0,
    yaw_deg: float = 0.0,
    image: np.ndarray = SHARP,
    camera: str = 'camera',
) -> Frame:
    rotation = transforms.rotation_from_rotvec([0.0, 0.0, np.radians(yaw_deg)])
    return Frame(
        name=f'{camera}/{number}.jpg',
        stamp_ns=number,
        image=image,
        camera_name=camera,
        map_from_camera=transforms.transform_from(rotation, [x, 0.0, 0.0]),
    )


def selected(frames: list[Frame], options: FrameSelectionOptions = OPTIONS) -> list[int]:
    return [one.stamp_ns for one in select_frames(frames, options)]


def test_sharpness_falls_with_blur_and_not_with_light(lounge_frames: list[Frame]) -> None:
    image = lounge_frames[0].image
    values = [sharpness(cv2.GaussianBlur(image, (0, 0), sigma)) for sigma in (0.5, 2.0, 4.0, 8.0)]
    assert np.all(np.diff(values) < 0.0)
    assert values[0] > 5.0 * values[2]
    dim = sharpness(cv2.convertScaleAbs(image, alpha=0.5))
    assert dim == pytest.approx(sharpness(image), rel=0.1)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    assert sharpness(grey) == sharpness(image)
    assert sharpness(np.full((60, 80), 77, np.uint8)) == 0.0


def test_a_standing_camera_gives_one_image() -> None:
    assert selected([frame(number, x=0.001 * number) for number in range(30)]) == [0]


def test_a_moving_camera_gives_an_image_every_so_far() -> None:
    chosen = selected([frame(number, x=0.03 * number) for number in range(40)])
    assert chosen == list(range(0, 40, 4))


def test_a_turning_camera_gives_an_image_every_so_many_degrees() -> None:
    chosen = selected([frame(number, yaw_deg=2.0 * number) for number in range(30)])
    assert chosen == list(range(0, 30, 3))


def test_of_frames_from_one_spot_the_sharpest_is_taken() -> None:
    images = [blurred(1.2), SHARP, blurred(1.0)]
    frames = [frame(number, image=image) for number, image in enumerate(images)]
    frames += [frame(3 + n, x=1.0, image=image) for n, image in enumerate(images[::-1])]
    options = FrameSelectionOptions(min_relative_sharpness=0.0)
    assert selected(frames, options) == [1, 4]


def test_frames_far_less_sharp_than_those_around_are_left_out() -> None:
    images = [SHARP] * 6 + [blurred(6.0)] + [SHARP] * 3
    frames = [frame(number, x=float(number), image=image) for number, image in enumerate(images)]
    assert selected(frames) == [0, 1, 2, 3, 4, 5, 7, 8, 9]
    assert 6 in selected(frames, FrameSelectionOptions(min_relative_sharpness=0.0))


def test_frames_without_a_pose_are_passed_over() -> None:
    lost = Frame('camera/1.jpg', 1, SHARP, 'camera')
    assert selected([frame(0), lost, frame(2, x=1.0)]) == [0, 2]
    assert selected([lost]) == []


def test_each_camera_is_weighed_by_itself() -> None:
    frames = [
        frame(2 * number + side, x=0.05 * number, yaw_deg=180.0 * side, camera=camera)
        for number in range(4)
        for side, camera in enumerate(['left', 'right'])
    ]
    chosen = [(one.camera_name, one.stamp_ns) for one in select_frames(frames, OPTIONS)]
    assert sorted(chosen) == [('left', 0), ('left', 4), ('right', 1), ('right', 5)]


def test_cameras_of_a_rig_are_chosen_together() -> None:
    soft = blurred(0.5)
    images = {(0, 'left'): soft, (3, 'right'): soft, (4, 'left'): soft, (4, 'right'): soft}
    frames = [
        dataclasses.replace(
            frame(number, 0.06 * number, 180.0 * side, images.get((number, camera), SHARP), camera),
            stamp_ns=200_000_000 * number + side,
        )
        for number in range(8)
        for side, camera in enumerate(['left', 'right'])
        if (number, camera) != (5, 'left')
    ]
    chosen = [
        (one.camera_name, one.stamp_ns // 200_000_000)
        for one in select_frames(frames, OPTIONS, together=[('left', 'right')])
    ]
    # Of 0 and 1, and of 2 and 3, the moment that is sharper in all; 5 is sharp, but lacks a camera.
    assert chosen == [(camera, number) for number in (1, 2, 4, 6) for camera in ('left', 'right')]


def test_frames_of_a_real_walk_are_thinned_and_stay_in_order(lounge_frames: list[Frame]) -> None:
    chosen = list(select_frames(lounge_frames, FrameSelectionOptions()))
    assert 8 <= len(chosen) <= 20
    assert np.all(np.diff([one.stamp_ns for one in chosen]) > 0)
    sparse = FrameSelectionOptions(min_translation_m=0.3, min_rotation_deg=20.0)
    assert 2 <= len(list(select_frames(lounge_frames, sparse))) < len(chosen)


def unposed(frames: list[Frame], **known: object) -> list[Frame]:
    return [dataclasses.replace(one, map_from_camera=None, **known) for one in frames]


def selected_blind(frames: list[Frame], options: FrameSelectionOptions = OPTIONS) -> list[int]:
    return [one.stamp_ns for one in select_frames(frames, options, posed=False)]


def test_without_poses_the_motion_of_the_odometry_counts() -> None:
    posed = [frame(number, x=0.03 * number) for number in range(40)]
    driven = [
        dataclasses.replace(one, map_from_camera=None, odom_from_camera=one.map_from_camera)
        for one in posed
    ]
    assert selected_blind(driven) == selected(posed)


def test_without_poses_and_odometry_the_motion_of_the_image_counts() -> None:
    scene = cv2.GaussianBlur(
        np.random.default_rng(1).integers(0, 255, (240, 900), np.uint8), (0, 0), 2.0
    )
    moving = [
        frame(number, image=np.ascontiguousarray(scene[:, 3 * number : 3 * number + 320]))
        for number in range(60)
    ]
    # 3 % of 320 pixels are 9.6: every fourth image.
    chosen = selected_blind(unposed(moving))
    assert len(chosen) == pytest.approx(60 / 4, abs=2)
    standing = unposed([frame(number, image=moving[0].image) for number in range(30)])
    assert len(selected_blind(standing)) == 1
    # Photographs, taken one by one, are left out only where they show the same.
    taken = [
        dataclasses.replace(one, stamp_ns=number * 1_000_000_000)
        for number, one in enumerate(unposed(moving[::2]))
    ]
    assert len(selected_blind(taken)) == len(taken)


def test_a_view_without_any_corner_found_again_has_moved() -> None:
    random = np.random.default_rng(2)
    others = [
        frame(number, image=random.integers(0, 255, (240, 320), np.uint8)) for number in range(4)
    ]
    assert selected_blind(unposed(others)) == [0, 1, 2, 3]
