"""A drive of two cameras on one mast through the rendered room, as a bag without any pose."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hloc_localizer.demo.drives import base_from_camera, mapping_drive
from hloc_localizer.demo.renderer import Renderer
from hloc_localizer.demo.room import build_room
from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.sources.bag_writer import BagWriter

CAMERAS = {
    'left': Camera('OPENCV', 400, 300, (262.0, 263.0, 198.2, 151.7, -0.06, 0.012, 0.0006, -0.0004)),
    'right': Camera('OPENCV', 400, 300, (264.0, 264.5, 201.0, 148.8, -0.05, 0.01, -0.0003, 0.0002)),
}
LEFT_FROM_RIGHT = transforms.transform_from(
    transforms.rotation_from_rotvec([0.004, -0.02, 0.006]), [0.16, 0.002, -0.004]
)
TOPICS = {name: f'/{name}/image_raw/compressed' for name in CAMERAS}
_RIGHT_LATER_NS = 400_000
_NOISE = 2.5


@dataclass(frozen=True)
class StereoDrive:
    """The images of the drive, and where each camera was."""

    stamps_ns: list[int]
    poses: dict[str, np.ndarray]
    """(N, 4, 4) true ``map_from_camera`` of each camera."""
    images: dict[str, list[np.ndarray]]

    def truth(self) -> dict[str, np.ndarray]:
        """Return the true poses by the names that frames of the bag get."""
        return {
            f'{name}/{self.stamp_ns(name, number)}.jpg': pose
            for name, poses in self.poses.items()
            for number, pose in enumerate(poses)
        }

    def stamp_ns(self, name: str, number: int) -> int:
        """Return the stamp of an image: the right camera answers a little later."""
        return self.stamps_ns[number] + (_RIGHT_LATER_NS if name == 'right' else 0)

    def write(
        self,
        path: Path,
        *,
        left_from_right: np.ndarray | None = LEFT_FROM_RIGHT,
        posed: bool = False,
    ) -> Path:
        """
        Write the bag.

        :param left_from_right: the mounting that it tells; None: it tells nothing.
        :param posed: whether it tells the true poses, as transforms ``map -> left``.
        """
        with BagWriter(path) as bag:
            if left_from_right is not None:
                bag.write_tf(self.stamps_ns[0], 'left', 'right', left_from_right, static=True)
            for number in range(len(self.stamps_ns)):
                if posed:  # to the end of the moment: the right camera answers later
                    for stamp_ns in (self.stamp_ns(name, number) for name in CAMERAS):
                        bag.write_tf(stamp_ns, 'map', 'left', self.poses['left'][number])
                for name, camera in CAMERAS.items():
                    stamp_ns = self.stamp_ns(name, number)
                    bag.write_image(TOPICS[name], stamp_ns, name, self.images[name][number])
                    bag.write_camera_info(f'/{name}/camera_info', stamp_ns, name, camera)
        return path


def stereo_drive(moments: int, *, every: int = 1, start: int = 20) -> StereoDrive:
    """Drive past the furniture, 0.2 s between images."""
    drive = mapping_drive(1)
    chosen = drive.image_stamps_ns[start : start + every * moments : every]
    base = [drive.map_from_base.at(int(stamp)) for stamp in chosen]
    left = np.stack([pose for pose in base if pose is not None]) @ base_from_camera()
    poses = {'left': left, 'right': left @ LEFT_FROM_RIGHT}
    room = build_room(1)
    random = np.random.default_rng(0)
    images = {}
    for name, camera in CAMERAS.items():
        renderer = Renderer(room.surfaces, camera)
        rendered = [renderer.render(pose).astype(np.float32) for pose in poses[name]]
        images[name] = [
            np.clip(one + random.normal(0.0, _NOISE, one.shape), 0, 255).astype(np.uint8)
            for one in rendered
        ]
    return StereoDrive([int(stamp) for stamp in chosen], poses, images)
