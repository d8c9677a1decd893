"""The map on disk and in memory."""

from hloc_localizer.maps.manifest import (
    Component,
    FileRecord,
    Manifest,
    Provenance,
    Statistics,
    read_manifest,
)
from hloc_localizer.maps.map import Map
from hloc_localizer.maps.runtime import RuntimeMap
from hloc_localizer.maps.store import MapWriter, check_output, unfinished_build, write_map
from hloc_localizer.maps.verify import Verification, verify_map

__all__ = [
    'Component',
    'FileRecord',
    'Manifest',
    'Map',
    'MapWriter',
    'Provenance',
    'RuntimeMap',
    'Statistics',
    'Verification',
    'check_output',
    'read_manifest',
    'unfinished_build',
    'verify_map',
    'write_map',
]
