"""Our images, poses and cameras as COLMAP's, and back; COLMAP adds half a pixel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pycolmap
from numpy.typing import NDArray

from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.mapping.matching import MapImage
from hloc_localizer.mapping.rigs import CameraRig, moments_of, rig_of_camera, rig_pose

Poses = list[NDArray[np.float64]]


def cameras_of(reconstruction: pycolmap.Reconstruction) -> list[Camera]:
    """Return the cameras in the order of their ids, without COLMAP's half pixel."""
    return [
        Camera.from_colmap(camera.model.name, camera.width, camera.height, camera.params)
        for _, camera in sorted(reconstruction.cameras.items())
    ]


def posed_reconstruction(
    images: Sequence[MapImage],
    cameras: Sequence[Camera],
    poses: Sequence[NDArray[np.float64]],
    rigs: Sequence[CameraRig] = (),
) -> pycolmap.Reconstruction:
    """Make a reconstruction of posed images without points. Image ``i`` has the id ``i + 1``."""
    reconstruction = pycolmap.Reconstruction()
    for index, camera in enumerate(cameras):
        reconstruction.add_camera(colmap_camera(camera, index + 1))
    for rig in _colmap_rigs(len(cameras), rigs):
        reconstruction.add_rig(rig)
    made = [
        pycolmap.Image(
            name=image.name,
            camera_id=image.camera + 1,
            image_id=index + 1,
            keypoints=_colmap_keypoints(image),
        )
        for index, image in enumerate(images)
    ]
    for number, members in enumerate(moments_of(images, rigs)):
        frame = _colmap_frame(number, [made[index] for index in members], rigs)
        rig_of_it = rig_of_camera(images[members[0]].camera, rigs)
        frame.rig_from_world = rigid3d(
            transforms.invert(rig_pose(images, members, poses, rig_of_it))
        )
        reconstruction.add_frame(frame)
        for index in members:
            made[index].frame_id = frame.frame_id
            reconstruction.add_image(made[index])
        reconstruction.register_frame(frame.frame_id)
    return reconstruction


def _colmap_rigs(cameras: int, rigs: Sequence[CameraRig]) -> list[pycolmap.Rig]:
    """Return a rig for the cameras of each rig, and for each other one; named by the first."""
    made = []
    for camera in range(cameras):
        mounted = rig_of_camera(camera, rigs)
        reference, *others = mounted
        if camera != reference:
            continue
        rig = pycolmap.Rig(rig_id=camera + 1)
        rig.add_ref_sensor(pycolmap.sensor_t(pycolmap.SensorType.CAMERA, camera + 1))
        for other in others:
            camera_from_rig = transforms.invert(mounted[other]) @ mounted[reference]
            sensor = pycolmap.sensor_t(pycolmap.SensorType.CAMERA, other + 1)
            rig.add_sensor(sensor, rigid3d(camera_from_rig))
        made.append(rig)
    return made


def _colmap_frame(
    number: int, images: Sequence[pycolmap.Image], rigs: Sequence[CameraRig]
) -> pycolmap.Frame:
    reference = next(iter(rig_of_camera(images[0].camera_id - 1, rigs)))
    frame = pycolmap.Frame(frame_id=number + 1, rig_id=reference + 1)
    for image in images:
        frame.add_data_id(image.data_id)
    return frame


def colmap_camera(camera: Camera, camera_id: int) -> pycolmap.Camera:
    """Translate a camera, adding COLMAP's half pixel."""
    return pycolmap.Camera(
        camera_id=camera_id,
        model=camera.model,
        width=camera.width,
        height=camera.height,
        params=camera.colmap_params(),
    )


def rigid3d(transform: NDArray[np.float64]) -> pycolmap.Rigid3d:
    """Translate a transform (4, 4)."""
    return pycolmap.Rigid3d(transform[:3])


def poses_of(reconstruction: pycolmap.Reconstruction) -> Poses:
    """Return ``map_from_camera`` of the images 1 to I of a reconstruction."""
    return [
        transforms.invert(
            np.vstack([reconstruction.images[index].cam_from_world().matrix(), [0, 0, 0, 1]])
        )
        for index in sorted(reconstruction.images)
    ]


def write_database(
    path: Path,
    images: Sequence[MapImage],
    cameras: Sequence[pycolmap.Camera],
    geometries: Mapping[tuple[int, int], pycolmap.TwoViewGeometry],
    rigs: Sequence[CameraRig] = (),
) -> None:
    """
    Write a database for COLMAP's mappers. Image ``i`` gets the id ``i + 1``.

    :param cameras: camera ``c`` has the id ``c + 1``.
    :param geometries: of pairs of image indices.
    """
    database = pycolmap.Database.open(path)
    with pycolmap.DatabaseTransaction(database):
        for camera in cameras:
            database.write_camera(camera, use_camera_id=True)
        for rig in _colmap_rigs(len(cameras), rigs):
            database.write_rig(rig, use_rig_id=True)
        made = []
        for index, image in enumerate(images):
            made.append(
                pycolmap.Image(name=image.name, camera_id=image.camera + 1, image_id=index + 1)
            )
            database.write_image(made[-1], use_image_id=True)
            database.write_keypoints(index + 1, _colmap_keypoints(image).astype(np.float32))
        for number, members in enumerate(moments_of(images, rigs)):
            frame = _colmap_frame(number, [made[index] for index in members], rigs)
            database.write_frame(frame, use_frame_id=True)
        for (first, second), geometry in geometries.items():
            database.write_two_view_geometry(first + 1, second + 1, geometry)
    database.close()


def _colmap_keypoints(image: MapImage) -> NDArray[np.float64]:
    return image.features.keypoints.astype(np.float64) + 0.5
