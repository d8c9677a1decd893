"""Write a coloured point cloud as PLY (binary, little endian)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_VERTEX = np.dtype(
    [('x', '<f4'), ('y', '<f4'), ('z', '<f4'), ('red', 'u1'), ('green', 'u1'), ('blue', 'u1')]
)
_TYPES = {'<f4': 'float', '|u1': 'uchar'}


def write_ply(path: Path, points: NDArray[np.float32], colors: NDArray[np.uint8]) -> None:
    """
    Write points.

    :param points: (P, 3) metres.
    :param colors: (P, 3) RGB.
    """
    vertices = np.empty(len(points), _VERTEX)
    for column, name in enumerate(('x', 'y', 'z')):
        vertices[name] = points[:, column]
    for column, name in enumerate(('red', 'green', 'blue')):
        vertices[name] = colors[:, column]
    properties = [f'property {_TYPES[_VERTEX[name].str]} {name}' for name in _VERTEX.names or ()]
    lines = ['ply', 'format binary_little_endian 1.0', f'element vertex {len(points)}']
    with path.open('wb') as file:
        file.write('\n'.join([*lines, *properties, 'end_header', '']).encode('ascii'))
        file.write(vertices.tobytes())
