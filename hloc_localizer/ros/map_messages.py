"""A map as messages for RViz: its points as a cloud, its cameras as frusta."""

from __future__ import annotations

import array

import numpy as np
from geometry_msgs.msg import Point
from numpy.typing import NDArray
from sensor_msgs.msg import PointCloud2, PointField
from visualization_msgs.msg import Marker, MarkerArray

from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.maps.runtime import RuntimeMap
from hloc_localizer.ros import messages

_POINT = np.dtype([('x', '<f4'), ('y', '<f4'), ('z', '<f4'), ('rgb', '<u4')])
_CORNERS = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))


def point_cloud(
    frame_id: str, stamp_ns: int, points: NDArray[np.floating], colors: NDArray[np.uint8]
) -> PointCloud2:
    """
    Return points (N, 3), metres, with colours (N, 3) RGB, as RViz reads them: x y z rgb.

    ``rgb`` is 0x00RRGGBB in the bits of a float32 (pcl::PointXYZRGB).
    """
    packed = np.zeros(len(points), _POINT)
    packed['x'], packed['y'], packed['z'] = np.asarray(points, np.float32).reshape(-1, 3).T
    red, green, blue = np.asarray(colors, np.uint32).reshape(-1, 3).T
    packed['rgb'] = (red << 16) | (green << 8) | blue
    fields = [
        PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1)
        for i, name in enumerate(('x', 'y', 'z', 'rgb'))
    ]
    return PointCloud2(
        header=messages.header(frame_id, stamp_ns),
        height=1,
        width=len(packed),
        fields=fields,
        is_bigendian=False,
        point_step=_POINT.itemsize,
        row_step=_POINT.itemsize * len(packed),
        data=array.array('B', packed.tobytes()),
        is_dense=True,
    )


def map_point_cloud(frame_id: str, stamp_ns: int, runtime: RuntimeMap) -> PointCloud2:
    """Return the points of a map."""
    return point_cloud(frame_id, stamp_ns, runtime.points, runtime.point_colors)


def map_cameras(
    frame_id: str, stamp_ns: int, runtime: RuntimeMap, size_m: float = 0.15
) -> MarkerArray:
    """
    Return the frusta of the map's images, all of them as one list of lines.

    :param size_m: depth of a frustum.
    """
    corners = [frustum(camera, size_m) for camera in runtime.cameras]
    marker = Marker(
        header=messages.header(frame_id, stamp_ns),
        ns='map_cameras',
        id=0,
        type=Marker.LINE_LIST,
        action=Marker.ADD,
    )
    marker.pose.orientation.w = 1.0
    marker.scale.x = 0.005
    marker.color.r, marker.color.g, marker.color.b, marker.color.a = 0.2, 0.6, 1.0, 0.8
    for camera, map_from_camera in zip(runtime.image_camera, runtime.map_from_camera, strict=True):
        lines = transforms.apply(map_from_camera, corners[int(camera)])
        marker.points.extend(Point(x=float(x), y=float(y), z=float(z)) for x, y, z in lines)
    return MarkerArray(markers=[marker])


def frustum(camera: Camera, size_m: float) -> NDArray[np.float64]:
    """Return the ends of eight lines (16, 3) in the optical frame."""
    pixels = np.array(_CORNERS) * [camera.width - 1, camera.height - 1]
    plane = camera.normalise(pixels)
    reachable = np.where(np.isfinite(plane), plane, np.sign(np.array(_CORNERS) - 0.5) * 2.0)
    ring = np.column_stack([np.clip(reachable, -2.0, 2.0), np.ones(4)]) * size_m
    centre = np.zeros(3)
    lines = [(centre, corner) for corner in ring]
    lines += [(ring[i], ring[(i + 1) % 4]) for i in range(4)]
    return np.array(lines).reshape(-1, 3)
