"""From frames to map images: features of the selected frames, several at a time, none held."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import cv2
import numpy as np
from numpy.typing import NDArray

from hloc_localizer.errors import InputError
from hloc_localizer.features.local_features import FrontEnd
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.mapping.matching import MapImage
from hloc_localizer.sources.frame import Frame

_THUMBNAIL_PX = 240


def extract_images(
    frames: Iterable[Frame],
    cameras: Mapping[str, Camera],
    front_end: FrontEnd,
    *,
    threads: int,
    max_images: int,
    describe: Callable[[NDArray[np.uint8]], NDArray[np.float32]] | None = None,
) -> Iterator[MapImage]:
    """
    Yield map images in the order of their frames.

    No more frames are decoded than the workers are busy with: a long recording never lies in
    memory as a whole.

    :param cameras: by the frames' camera names; the index in this order becomes
        :attr:`MapImage.camera`.
    :param describe: makes :attr:`MapImage.global_descriptor`, where a network does.
    :raises InputError: for more images than allowed.
    """
    indices = {name: index for index, name in enumerate(cameras)}

    def work(frame: Frame) -> MapImage:
        camera, index = cameras[frame.camera_name], indices[frame.camera_name]
        image = map_image(frame, camera, index, front_end)
        if describe is None:
            return image
        return dataclasses.replace(image, global_descriptor=describe(frame.image))

    pending: deque[Future[MapImage]] = deque()
    count = 0
    with ThreadPoolExecutor(threads) as pool:
        for frame in frames:
            count += 1
            if count > max_images:
                raise InputError(
                    f'more than {max_images} images; raise frames.max_images, or '
                    'frames.min_translation_m and frames.min_rotation_deg to take fewer'
                )
            pending.append(pool.submit(work, frame))
            if len(pending) > 2 * threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def counted(frames: Iterable[Frame], advance: Callable[[int], None]) -> Iterator[Frame]:
    """Count the frames of a recording as they are read, whether they are chosen or not."""
    for frame in frames:
        yield frame
        advance(1)


def map_image(frame: Frame, camera: Camera, camera_index: int, front_end: FrontEnd) -> MapImage:
    """Extract the features of one frame."""
    features = front_end.extract(frame.image)
    pixels = np.round(features.keypoints).astype(np.intp)
    height, width = frame.image.shape[:2]
    colors = frame.image[np.clip(pixels[:, 1], 0, height - 1), np.clip(pixels[:, 0], 0, width - 1)]
    if colors.ndim == 1:
        colors = np.repeat(colors[:, None], 3, axis=1)
    pose = frame.map_from_camera
    return MapImage(
        name=frame.name,
        stamp_ns=frame.stamp_ns,
        camera=camera_index,
        map_from_camera=np.full((4, 4), np.nan) if pose is None else pose,
        features=features,
        plane=camera.normalise(features.keypoints),
        colors=colors,
        depths=None if frame.depth_m is None else depths_at(features.keypoints, frame.depth_m),
        thumbnail=thumbnail(frame.image),
        odom_from_camera=frame.odom_from_camera,
        up_in_camera=frame.up_in_camera,
        session=frame.session,
    )


def thumbnail(image: NDArray[np.uint8]) -> bytes:
    """Return a small JPEG of an image (H, W) grey or (H, W, 3) RGB."""
    scale = min(_THUMBNAIL_PX / max(image.shape[:2]), 1.0)
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    if small.ndim == 3:
        small = cv2.cvtColor(small, cv2.COLOR_RGB2BGR)
    return bytes(cv2.imencode('.jpg', small, [cv2.IMWRITE_JPEG_QUALITY, 70])[1])


def depths_at(keypoints: NDArray[np.float32], depth_m: NDArray[np.float32]) -> NDArray[np.float32]:
    """
    Return the depth (N,) at keypoints, NaN where it is unknown or jumps.

    :param keypoints: (N, 2) pixels.
    :param depth_m: (H, W) metres, NaN where unknown.
    """
    height, width = depth_m.shape
    column = np.clip(np.round(keypoints[:, 0]).astype(np.intp), 1, width - 2)
    row = np.clip(np.round(keypoints[:, 1]).astype(np.intp), 1, height - 2)
    around = np.stack(
        [depth_m[row + down, column + right] for down in (-1, 0, 1) for right in (-1, 0, 1)], axis=1
    )
    nearest, farthest = around.min(axis=1, initial=np.inf), around.max(axis=1, initial=0.0)
    # At the edge of an object nobody knows on which side of it the keypoint lies.
    smooth = farthest - nearest <= _LARGEST_JUMP * nearest
    return np.where(smooth & (nearest > 0.0), np.median(around, axis=1), np.nan).astype(np.float32)


_LARGEST_JUMP = 0.06
