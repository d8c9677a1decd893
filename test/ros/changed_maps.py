"""Copies of a map that differ from it in one thing."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np

from hloc_localizer.maps import Map, write_map
from hloc_localizer.maps.manifest import MANIFEST_NAME


def copy_in_frame(lounge_map: Path, path: Path, frame: str) -> Path:
    """Copy the lounge's map, with another frame."""
    return copy_with(lounge_map, path, {'map_frame: map\n': f'map_frame: {frame}\n'})


def copy_with(lounge_map: Path, path: Path, changes: dict[str, str]) -> Path:
    """Copy the lounge's map with changes of the text of its manifest."""
    shutil.copytree(lounge_map, path)
    manifest = path / MANIFEST_NAME
    text = manifest.read_text(encoding='utf-8')
    for before, after in changes.items():
        assert before in text
        text = text.replace(before, after)
    manifest.write_text(text, encoding='utf-8')
    return path


def other_floor(lounge_map: Path, path: Path, frame: str) -> Path:
    """Write a map like the lounge's in which nothing is where it looks to be."""
    loaded = Map.load(lounge_map)
    order = np.random.default_rng(0).permutation(len(loaded.runtime.descriptors))
    runtime = dataclasses.replace(loaded.runtime, descriptors=loaded.runtime.descriptors[order])
    write_map(path, dataclasses.replace(loaded.manifest, map_frame=frame, files={}), runtime)
    return path
