"""A picture that explains a localization: each image beside the map image it resembles most."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage

from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.localization.result import Localization
from hloc_localizer.maps.runtime import RuntimeMap
from hloc_localizer.ros import image_bridge, messages
from hloc_localizer.ros.frame_result import CameraView, FrameResult

Image = NDArray[np.uint8]

_INLIER = (60, 220, 60)
_OUTLIER = (60, 60, 235)
_PROJECTION = (255, 200, 40)
_TEXT = (255, 255, 255)
_JPEG_QUALITY = 80
_SHIFT = 3
"""Fractional bits of OpenCV's drawing coordinates."""


def match_image_message(result: FrameResult, runtime: RuntimeMap) -> CompressedImage:
    """
    Return the picture as JPEG.

    :param result: one with an image; the header is that of the first.
    """
    picture = np.asarray(cv2.cvtColor(draw_matches(result, runtime), cv2.COLOR_BGR2RGB), np.uint8)
    header = messages.header(result.views[0].frame, result.stamp_ns)
    return image_bridge.encode_compressed(picture, header, quality=_JPEG_QUALITY)


def draw_matches(result: FrameResult, runtime: RuntimeMap) -> Image:
    """
    Draw a row for each camera: its image, and beside it the best candidate as points of the map.

    Query keypoints are green when they agree with the pose and red when they do not; small blue
    crosses are the matched map points projected by the pose. A map stores no images, so the
    candidate is drawn as its observed points in their colours; green lines tie the matches.

    :returns: (H1 + H2 + ..., W, 3) BGR, as OpenCV writes files, as wide as the widest row.
    """
    return _stacked([_draw_row(view, result, runtime) for view in result.views])


def _draw_row(view: CameraView, result: FrameResult, runtime: RuntimeMap) -> Image:
    query, seen = _as_bgr(view.mounted.image), view.seen
    name = f'{view.mounted.name}: ' if len(result.views) > 1 else ''
    if seen is None:
        return _titled(query, name + 'too few features')
    _draw_keypoints(query, seen)
    if seen.map_from_camera is not None:
        _draw_projections(query, seen, seen.map_from_camera, view.mounted.camera)
    verdict = 'localized' if result.localized else result.reason.value
    own = int(np.count_nonzero(seen.inlier_mask))
    of_all = f' ({own} of this camera)' if name else ''
    title = f'{name}{verdict}: {seen.inliers} inliers{of_all} of {seen.matches} matches'
    if not seen.candidates or seen.candidates[0] not in runtime.image_names:
        return _titled(query, title)
    index = runtime.image_names.index(seen.candidates[0])
    candidate, scale = _candidate(runtime, index, query.shape[0])
    picture = np.concatenate([query, candidate], axis=1)
    _draw_ties(picture, seen, runtime, index, query.shape[1], scale)
    return _titled(picture, title)


def _stacked(rows: Sequence[Image]) -> Image:
    """Put pictures below each other, the narrower ones filled up with black."""
    width = max(row.shape[1] for row in rows)
    return np.concatenate(
        [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in rows]
    )


def _as_bgr(image: Image) -> Image:
    conversion = cv2.COLOR_GRAY2BGR if image.ndim == 2 else cv2.COLOR_RGB2BGR
    return np.asarray(cv2.cvtColor(image, conversion), np.uint8)


def _draw_keypoints(picture: Image, localization: Localization) -> None:
    order = np.argsort(localization.inlier_mask, kind='stable')  # inliers on top
    for index in order:
        color = _INLIER if localization.inlier_mask[index] else _OUTLIER
        cv2.circle(
            picture, _fixed(localization.keypoints[index]), 3 << _SHIFT, color, 1, cv2.LINE_AA,
            _SHIFT,
        )  # fmt: skip


def _draw_projections(
    picture: Image, localization: Localization, map_from_camera: NDArray[np.float64], camera: Camera
) -> None:
    seen = localization.points[localization.inlier_mask]
    pixels = camera.project(transforms.apply(transforms.invert(map_from_camera), seen))
    for pixel in pixels[camera.contains(pixels)]:
        u, v = round(float(pixel[0])), round(float(pixel[1]))
        cv2.drawMarker(picture, (u, v), _PROJECTION, cv2.MARKER_CROSS, 4, 1)


def _candidate(runtime: RuntimeMap, index: int, height: int) -> tuple[Image, float]:
    """Draw the map points that an image observes; also return the scale of its pixels."""
    camera = runtime.cameras[int(runtime.image_camera[index])]
    scale = height / camera.height
    picture = np.full((height, max(1, round(camera.width * scale)), 3), 32, np.uint8)
    observed = _observations(runtime, index)
    colors = runtime.point_colors[runtime.observation_point[observed]]
    for pixel, (red, green, blue) in zip(
        runtime.observation_keypoint[observed] * scale, colors, strict=True
    ):
        cv2.circle(
            picture, _fixed(pixel), 2 << _SHIFT, (int(blue), int(green), int(red)), -1,
            cv2.LINE_AA, _SHIFT,
        )  # fmt: skip
    return picture, scale


def _draw_ties(
    picture: Image,
    localization: Localization,
    runtime: RuntimeMap,
    index: int,
    offset: int,
    scale: float,
) -> None:
    observed = _observations(runtime, index)
    points = runtime.points[runtime.observation_point[observed]]
    at = {
        point.tobytes(): pixel
        for point, pixel in zip(
            points.astype(np.float64), runtime.observation_keypoint[observed], strict=True
        )
    }
    mask = localization.inlier_mask
    for keypoint, point in zip(
        localization.keypoints[mask], localization.points[mask], strict=True
    ):
        pixel = at.get(np.asarray(point, np.float64).tobytes())
        if pixel is not None:
            end = _fixed(pixel * scale + [offset, 0])
            cv2.line(picture, _fixed(keypoint), end, _INLIER, 1, cv2.LINE_AA, _SHIFT)


def _observations(runtime: RuntimeMap, index: int) -> slice:
    begin, end = runtime.observation_offsets[index : index + 2]
    return slice(int(begin), int(end))


def _fixed(pixel: NDArray[np.floating]) -> tuple[int, int]:
    return round(float(pixel[0]) * (1 << _SHIFT)), round(float(pixel[1]) * (1 << _SHIFT))


def _titled(picture: Image, title: str) -> Image:
    for color, thickness in (((0, 0, 0), 3), (_TEXT, 1)):
        cv2.putText(
            picture, title, (8, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, color, thickness, cv2.LINE_AA
        )
    return picture
