"""Photographs of the room along a drive: rendered in parallel, then exposed as a camera would."""

from __future__ import annotations

import dataclasses
import multiprocessing
import multiprocessing.pool
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
from numpy.typing import NDArray

from hloc_localizer.demo.lighting import LightBaker
from hloc_localizer.demo.renderer import Renderer
from hloc_localizer.demo.room import AMBIENT, build_room
from hloc_localizer.demo.surfaces import Texture
from hloc_localizer.geometry.camera import Camera

Array = NDArray[np.float64]

_NOISE = 2.2
_VIGNETTING = 0.22


class Studio:
    """
    A lit room and a camera in it, with a process for each core.

    The seed and the poses decide every pixel.
    """

    def __init__(self, seed: int, camera: Camera) -> None:
        """Prepare the room; it is furnished and lit on entering the context."""
        self._seed = seed
        self._camera = camera

    def __enter__(self) -> Studio:
        """Start the processes and bake the light."""
        self._folder = tempfile.TemporaryDirectory(prefix='hloc_localizer_demo_')
        self._lit = str(Path(self._folder.name) / 'lit.npz')
        # Fresh processes: a forked one may inherit a lock of OpenCV's threads and wait for ever.
        self._pool = multiprocessing.get_context('spawn').Pool(
            len(os.sched_getaffinity(0)), _furnish, (self._seed, self._camera)
        )
        try:
            count = self._pool.apply(_surface_count)
            textures = self._pool.imap(_bake, range(count), chunksize=24)
            np.savez(self._lit, *textures)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def photographs(self, poses: Array, drive: int) -> Iterator[Texture]:
        """
        Yield one image (H, W, 3), RGB, for each pose, in order.

        :param poses: (N, 4, 4) ``map_from_camera``.
        :param drive: number of the drive, so that no two have the same noise.
        """
        tasks = [(self._lit, pose, drive, number) for number, pose in enumerate(poses)]
        yield from self._pool.imap(_photograph, tasks, chunksize=2)

    def _close(self) -> None:
        self._pool.terminate()
        self._pool.join()
        self._folder.cleanup()


class _Worker:
    """What one process knows of the room."""

    def __init__(self, seed: int, camera: Camera) -> None:
        self.seed = seed
        self.camera = camera
        self.room = build_room(seed)
        self.baker = LightBaker(self.room.lights, self.room.occluders, AMBIENT)
        self._renderer: Renderer | None = None

    def renderer(self, lit: str) -> Renderer:
        if self._renderer is None:
            with np.load(lit, allow_pickle=False) as textures:
                surfaces = [
                    dataclasses.replace(surface, texture=textures[f'arr_{index}'])
                    for index, surface in enumerate(self.room.surfaces)
                ]
            self._renderer = Renderer(surfaces, self.camera)
        return self._renderer


_worker: _Worker | None = None


def _furnish(seed: int, camera: Camera) -> None:
    global _worker
    cv2.setNumThreads(1)
    _worker = _Worker(seed, camera)


def _surface_count() -> int:
    assert _worker is not None
    return len(_worker.room.surfaces)


def _bake(index: int) -> Texture:
    assert _worker is not None
    return _worker.baker.bake(_worker.room.surfaces[index])


def _photograph(task: tuple[str, Array, int, int]) -> Texture:
    assert _worker is not None
    lit, pose, drive, number = task
    image = _worker.renderer(lit).render(pose)
    random = np.random.default_rng([_worker.seed, drive, number])
    return exposed(image, _worker.camera, random)


def exposed(image: Texture, camera: Camera, random: np.random.Generator) -> Texture:
    """Return an image as a small camera takes it: darker corners, uneven exposure, noise."""
    u, v = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    centre = camera.matrix[:2, 2]
    radius = np.hypot(u - centre[0], v - centre[1]) / np.hypot(*centre)
    gain = ((1.0 - _VIGNETTING * radius**2) * random.uniform(0.9, 1.08)).astype(np.float32)
    grain = random.standard_normal((camera.height, camera.width, 1), np.float32) * _NOISE
    blotches = random.standard_normal((camera.height // 2, camera.width // 2, 3), np.float32)
    noise = grain + cv2.resize(blotches * (0.7 * _NOISE), camera.image_size)
    return np.asarray(np.clip(image * gain[..., None] + noise, 0, 255).astype(np.uint8))
