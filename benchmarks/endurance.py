"""
Long runs: images of other places, memory over many images, a camera faster than the localizer.

``python -m benchmarks endurance foreign|memory|stream --map MAP [--images N]``. Status 1 when a
target is missed. ``memory`` and ``stream`` start the node as a process of its own.
"""

from __future__ import annotations

import argparse
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from benchmarks.node_client import Camera30, NodeClient
from benchmarks.recordings import add_data_argument, recordings
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.localization import Localizer
from hloc_localizer.maps import Map
from hloc_localizer.ros import environment
from hloc_localizer.sources import Frame, open_source

Image = np.ndarray

GROWTH_MB = 10.0
WARM_UP_IMAGES = 3000
SMALL = (160, 107)
"""Size of the images of ``memory``: small enough that 50,000 take minutes."""

STREAM_HZ = 30.0


def main(given: Sequence[str] | None = None) -> int:
    """Run one of them."""
    arguments = _arguments(given)
    data = recordings(arguments)
    if data is None:
        return 2
    run = {'foreign': _foreign, 'memory': _memory, 'stream': _stream}[arguments.what]
    return run(data, arguments)


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks endurance',
        description=(__doc__ or '').strip().splitlines()[0],
    )
    parser.add_argument('what', choices=('foreign', 'memory', 'stream'))
    add_data_argument(parser)
    parser.add_argument('--map', type=Path, required=True, help='map of the lounge')
    parser.add_argument('--images', type=int, default=0, help='0: 2,000, 50,000 and 900')
    return parser.parse_args(given)


def _foreign(data: Path, arguments: argparse.Namespace) -> int:
    """Count the poses found for images of other places; each would be a false one."""
    localizer = Localizer(Map.load(arguments.map))
    camera = localizer.map.runtime.cameras[0]
    photographs = [cv2.imread(str(path)) for path in sorted((data / 'facade/images').iterdir())]
    outcomes: Counter[str] = Counter()
    for number in range(arguments.images or 2000):
        image = foreign_image(photographs, camera, number)
        outcomes[localizer.localize(image, camera).reason.value] += 1
    poses = outcomes.pop('none', 0)
    print('\n'.join(f'{count:6d}  {reason}' for reason, count in outcomes.most_common()))
    print(f'poses: {poses} (target 0) of {poses + sum(outcomes.values())} images')
    return 1 if poses else 0


def foreign_image(photographs: Sequence[Image], camera: Camera, number: int) -> Image:
    """Return an image that does not show the mapped place: mostly pieces of a church front."""
    random = np.random.default_rng(number)
    size = (camera.width, camera.height)
    shape = (camera.height, camera.width, 3)
    kind = number % 10
    if kind == 0:
        return random.integers(0, 255, shape, np.uint8)
    if kind == 1:
        return np.full(shape, int(random.integers(256)), np.uint8)
    if kind == 2:
        v, u = np.mgrid[0 : shape[0], 0 : shape[1]]
        slope = random.normal(0.0, 0.2, 2)
        wall = 128 + slope[0] * (u - 270) + slope[1] * (v - 180) + random.normal(0, 3, u.shape)
        return np.repeat(np.clip(wall, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)
    photograph = photographs[int(random.integers(len(photographs)))]
    height, width = photograph.shape[:2]
    share = random.uniform(0.3, 1.0)
    w, h = int(width * share), int(height * share)
    x, y = int(random.integers(width - w + 1)), int(random.integers(height - h + 1))
    piece = cv2.resize(photograph[y : y + h, x : x + w], size, interpolation=cv2.INTER_AREA)
    if random.integers(2):
        piece = piece[:, ::-1]
    return np.ascontiguousarray(piece[:, :, ::-1])


def _memory(data: Path, arguments: argparse.Namespace) -> int:
    """Send many small images, an image that is localized now and then, and watch the process."""
    images = arguments.images or 50000
    frame, camera = _first_frame(data)
    small = camera.scaled(*SMALL)
    pixels = [cv2.resize(frame.image, SMALL, interpolation=cv2.INTER_AREA)]
    pixels += [np.ascontiguousarray(np.roll(pixels[0], shift, axis=1)) for shift in range(1, 20)]
    with _node(arguments.map) as (process, variables), NodeClient(variables) as client:
        client.send_camera_info(small)
        growth, answered = watch_memory(client, process.pid, pixels, images)
        client.send_camera_info(camera)
        heard = client.localized(frame.image, timeout_s=10.0)
    print(
        f'memory: {growth:+.1f} MB (target < {GROWTH_MB:g}) over {answered} answers after a '
        f'warm-up of {min(WARM_UP_IMAGES, images // 3)}; localizing at the end: {heard}'
    )
    return 0 if growth < GROWTH_MB and heard else 1


def watch_memory(
    client: NodeClient, pid: int, pixels: Sequence[Image], images: int
) -> tuple[float, int]:
    """Return the growth of a process in megabytes after the warm-up, and the answers heard."""
    warm_up = min(WARM_UP_IMAGES, images // 3)
    before = 0.0
    begin = client.answers
    for number in range(images):
        if number == warm_up:
            before, begin = resident_mb(pid), client.answers
        client.send_and_wait(pixels[number % len(pixels)])
    return resident_mb(pid) - before, client.answers - begin


def resident_mb(pid: int) -> float:
    """Return the memory of a process that is its own: anonymous pages, without mapped files."""
    text = Path(f'/proc/{pid}/status').read_text(encoding='ascii')
    found = re.search(r'RssAnon:\s+(\d+) kB', text)
    assert found is not None
    return int(found[1]) / 1024.0


def _stream(data: Path, arguments: argparse.Namespace) -> int:
    """Publish at 30 Hz whatever the localizer can do; see how old its output is."""
    frames = list(open_source(data / 'lounge' / 'query').frames())
    _, camera = _first_frame(data)
    with _node(arguments.map) as (_, variables), NodeClient(variables) as client:
        client.send_camera_info(camera)
        client.localized(frames[0].image, timeout_s=30.0)
        run = Camera30(client, [frame.image for frame in frames], STREAM_HZ)
        report = run.play(arguments.images or 900)
    print('\n'.join(report.lines()))
    return 0 if report.reached else 1


def _first_frame(data: Path) -> tuple[Frame, Camera]:
    source = open_source(data / 'lounge' / 'query')
    frame = next(iter(source.frames()))
    return frame, source.cameras[frame.camera_name]


@contextmanager
def _node(path: Path) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, str]]]:
    """Run the localizer node in a ROS domain of its own."""
    with environment.isolated() as variables:
        command = [sys.executable, '-m', 'hloc_localizer.ros.localizer', '--ros-args',
                   '-p', f'map:={path.resolve()}', '-p', 'tf_timeout_s:=0.5',
                   '-p', 'tf_mode:=none', '--log-level', 'error']  # fmt: skip
        process = subprocess.Popen(command, env=variables)
        try:
            yield process, variables
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(10.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            time.sleep(0.1)
