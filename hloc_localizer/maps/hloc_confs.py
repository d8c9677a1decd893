"""hloc's configurations as data: what its output files are called and how they were made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hloc_localizer.errors import InputError

_PIXELS_OF_HLOC = {'resize_in_float': True}
"""hloc reduces images as floating-point numbers, so that nothing is rounded in between."""
_SUPERPOINT = {'max_keypoints': 4096, 'grayscale': True, **_PIXELS_OF_HLOC}


@dataclass(frozen=True)
class LocalConf:
    """One of ``hloc.extract_features.confs`` for local features."""

    name: str
    """hloc's name of it."""
    output: str
    """Name of the features file without ``.h5``."""
    front_end: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Options of our front end that do what hloc does."""
    descriptor_size: int = 128
    max_keypoints: int = 1 << 20
    """Most keypoints an image can have under this configuration."""
    shift_px: float = 0.0
    """What to add to hloc's keypoints for the centre of the first pixel to be (0, 0)."""


LOCAL_CONFS = (
    LocalConf(
        'superpoint_aachen', 'feats-superpoint-n4096-r1024', 'superpoint',
        {**_SUPERPOINT, 'max_image_size': 1024, 'nms_radius': 3}, 256, 4096,
    ),
    LocalConf(
        'superpoint_max', 'feats-superpoint-n4096-rmax1600', 'superpoint',
        {**_SUPERPOINT, 'max_image_size': 1600, 'enlarge': True, 'nms_radius': 3}, 256, 4096,
    ),
    LocalConf(
        'superpoint_inloc', 'feats-superpoint-n4096-r1600', 'superpoint',
        {**_SUPERPOINT, 'max_image_size': 1600, 'nms_radius': 4}, 256, 4096,
    ),
    LocalConf(
        'disk', 'feats-disk', 'disk',
        {'max_keypoints': 5000, 'max_image_size': 1600, **_PIXELS_OF_HLOC}, 128, 5000,
    ),
    LocalConf(
        'aliked-n16', 'feats-aliked-n16', 'aliked',
        {'weights': 'aliked-n16', 'max_keypoints': 16384, 'detection_threshold': 0.2,
         'max_image_size': 1024, **_PIXELS_OF_HLOC},
    ),
    # COLMAP's detector, which puts (0.5, 0.5) at the centre of the first pixel; hloc does not
    # take that off. Its peak threshold of 0.01 is compared with single layers, OpenCV's with the
    # contrast of an octave of three.
    LocalConf(
        'sift', 'feats-sift', 'sift',
        {'max_keypoints': 8192, 'max_image_size': 1600, 'contrast_threshold': 0.02},
        shift_px=-0.5,
    ),
)  # fmt: skip

GLOBAL_OUTPUTS = {
    'global-feats-netvlad': 'netvlad',
    'global-feats-megaloc': 'megaloc',
    'global-feats-eigenplaces': 'eigenplaces',
    'global-feats-vlad': 'vlad',
}
"""Names of global features files without ``.h5``, and the descriptors in them; the last is ours."""


def local_conf(name: str) -> LocalConf:
    """
    Return the configuration of hloc's name.

    :raises InputError: for a name that is not known.
    """
    for conf in LOCAL_CONFS:
        if conf.name == name:
            return conf
    raise InputError(f"hloc configuration '{name}' is not known; known: {', '.join(conf_names())}")


def conf_names() -> tuple[str, ...]:
    """Return hloc's names of the known configurations of local features."""
    return tuple(conf.name for conf in LOCAL_CONFS)


def conf_of_file(stem: str) -> LocalConf | None:
    """Recognise a features file by its name without ``.h5``."""
    longest_first = sorted(LOCAL_CONFS, key=lambda conf: -len(conf.output))
    for conf in longest_first:
        rest = stem[len(conf.output) :]
        # "r1600" must not be taken for "r160", nor n16rot for n16.
        if stem.startswith(conf.output) and not rest[:1].isalnum():
            return conf
    return None


def global_of_file(stem: str) -> str | None:
    """Recognise a global features file by its name without ``.h5``; None for another."""
    for output, name in GLOBAL_OUTPUTS.items():
        if stem.startswith(output) and not stem[len(output) :][:1].isalnum():
            return name
    return None
