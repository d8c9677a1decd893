"""Records a drive as a ROS 2 bag: images, calibration, odometry and transforms."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.demo.drives import CAMERA, Drive, base_from_camera
from hloc_localizer.demo.photographs import Studio
from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.trajectory import Trajectory
from hloc_localizer.progress import Progress
from hloc_localizer.sources.bag_writer import BagWriter
from hloc_localizer.sources.tum import write_tum

Array = NDArray[np.float64]

IMAGE_TOPIC = '/camera/image_raw/compressed'
CAMERA_INFO_TOPIC = '/camera/camera_info'
ODOMETRY_TOPIC = '/odom'
MAP, ODOM, BASE, CAMERA_FRAME = 'map', 'odom', 'base_link', 'camera_optical_frame'

_MAP_TO_ODOM_EVERY = 5
_INFO_DELAY_NS = 1


def record(
    path: Path,
    drive: Drive,
    studio: Studio,
    progress: Progress,
    *,
    number: int,
    with_map_frame: bool,
) -> None:
    """
    Write a bag, and beside it the true poses of base and camera at the image stamps (TUM).

    :param path: the bag's folder, ``NAME``; the poses go to ``NAME.base_link.tum`` and
        ``NAME.camera.tum``.
    :param number: of the drive, for the noise of its images.
    :param with_map_frame: write ``map -> odom``, as a robot that knows where it is does; without
        it the bag says nothing about the map.
    """
    truth = np.stack([_at(drive.map_from_base, int(stamp)) for stamp in drive.image_stamps_ns])
    camera_poses = truth @ base_from_camera()
    images = studio.photographs(camera_poses, number)
    with BagWriter(path) as bag:
        first = int(drive.map_from_base.stamps_ns[0])
        bag.write_tf(first, BASE, CAMERA_FRAME, base_from_camera(), static=True)
        for stamp_ns, index, is_image in _events(drive):
            if is_image:
                progress.advance()
                bag.write_image(IMAGE_TOPIC, stamp_ns, CAMERA_FRAME, next(images))
                bag.write_camera_info(CAMERA_INFO_TOPIC, stamp_ns, CAMERA_FRAME, CAMERA)
                continue
            odom_from_base = drive.odom_from_base.poses[index]
            bag.write_tf(stamp_ns, ODOM, BASE, odom_from_base)
            bag.write_odometry(ODOMETRY_TOPIC, stamp_ns, ODOM, BASE, odom_from_base)
            if with_map_frame and index % _MAP_TO_ODOM_EVERY == 0:
                map_from_base = drive.map_from_base.poses[index]
                bag.write_tf(stamp_ns, MAP, ODOM, map_from_base @ transforms.invert(odom_from_base))
    for child, poses in ((BASE, truth), ('camera', camera_poses)):
        write_tum(
            path.with_name(f'{path.name}.{child}.tum'), Trajectory(drive.image_stamps_ns, poses)
        )


def _events(drive: Drive) -> Iterator[tuple[int, int, bool]]:
    """Yield (stamp, index, whether an image) of odometry and images in the order of time."""
    odometry = [(int(stamp), i, False) for i, stamp in enumerate(drive.odom_from_base.stamps_ns)]
    images = [(int(stamp), i, True) for i, stamp in enumerate(drive.image_stamps_ns)]
    yield from sorted([*odometry, *images])


def _at(trajectory: Trajectory, stamp_ns: int) -> Array:
    pose = trajectory.at(stamp_ns)
    assert pose is not None, 'images are taken while the robot drives'
    return pose
