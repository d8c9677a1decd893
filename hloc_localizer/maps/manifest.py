"""The manifest of a map, ``map.yaml``: what the map is, how it was made, and its files."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import yaml

from hloc_localizer.errors import MapError
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.maps.calibration import Calibration, SuccessModel
from hloc_localizer.maps.container import camera_as_plain, camera_from_plain

FORMAT_VERSION = 1
MANIFEST_NAME = 'map.yaml'
_LARGEST_MANIFEST = 16 << 20

_T = TypeVar('_T')


@dataclass(frozen=True)
class Component:
    """A front end or a global descriptor: its name in the registry and its parameters."""

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FileRecord:
    """Size and checksum of one file of the map."""

    size: int
    """Bytes."""
    sha256: str
    """64 lower-case hexadecimal digits."""


@dataclass(frozen=True)
class Statistics:
    """How large and how good the reconstruction is."""

    images: int = 0
    points: int = 0
    observations: int = 0
    mean_track_length: float = 0.0
    """Observations a point."""
    mean_reprojection_error_px: float = 0.0


@dataclass(frozen=True)
class Provenance:
    """Where the map comes from; enough to build it again, byte for byte."""

    source: Mapping[str, str] = field(default_factory=dict)
    """Path, topics, frames: the source's own description."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """The build options, nested."""
    seed: int = 0
    packages: Mapping[str, str] = field(default_factory=dict)
    """Versions of the packages that took part."""
    created: str = ''
    """UTC, ISO 8601. Two equal builds differ in it, and in the report, which tells their times."""


@dataclass(frozen=True)
class Manifest:
    """Everything that ``map.yaml`` says."""

    cameras: Mapping[str, Camera]
    front_end: Component
    global_descriptor: Component
    recorded_cameras: Mapping[str, Camera] = field(default_factory=dict)
    """The calibration that the recording gave, where building refined it, by the same names."""
    map_frame: str = 'map'
    metric: bool = True
    """Whether one unit is one metre."""
    gravity_aligned: bool = False
    """Whether the map's z axis points up (REP-103)."""
    alignment: Mapping[str, float] = field(default_factory=dict)
    """Residuals of the alignment to the known poses, by name with unit."""
    methods: Mapping[str, str] = field(default_factory=dict)
    """How ``poses``, ``scale`` and ``gravity`` were found, in a word or two each."""
    statistics: Statistics = field(default_factory=Statistics)
    provenance: Provenance = field(default_factory=Provenance)
    calibration: Calibration | None = None
    """What ``calibrate`` learned, where it was run."""
    files: Mapping[str, FileRecord] = field(default_factory=dict)
    """By path relative to the map, with forward slashes; all files but ``map.yaml`` itself."""

    def as_dict(self) -> dict[str, Any]:
        """Return what ``map.yaml`` holds, as plain values."""
        return _as_plain(self)

    def to_yaml(self) -> str:
        """Return the text of ``map.yaml``."""
        plain = self.as_dict()
        return yaml.dump(plain, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def read_manifest(map_path: Path) -> Manifest:
    """
    Read and check ``map.yaml`` of a map folder; keys that are not known are passed over.

    :raises MapError: when it is missing, damaged or of a newer format version.
    """
    path = map_path / MANIFEST_NAME
    if not map_path.is_dir():
        raise MapError(
            f'{map_path}: there is no such map folder; build one with hloc-localizer build'
        )
    if not path.is_file():
        raise MapError(f'{map_path}: not a map (it has no {MANIFEST_NAME}); build one with '
                       'hloc-localizer build')  # fmt: skip
    try:
        if path.stat().st_size > _LARGEST_MANIFEST:
            raise MapError(f'{path}: too large for a manifest; copy or build the map again')
        values = yaml.load(path.read_text(encoding='utf-8'), Loader=_Loader)
    except OSError as error:
        raise MapError(f'{path}: cannot be read ({error.strerror})') from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise MapError(f'{path}: not valid YAML; copy or build the map again') from error
    return _manifest(_Reader(path, values, ''))


def scale_line(manifest: Manifest) -> str:
    """Say in one line whether a map is metric and level, and what tells it."""
    methods, numbers = manifest.methods, manifest.alignment
    scale = 'metric' if manifest.metric else 'NOT METRIC: one unit is not one metre'
    if manifest.metric and methods.get('scale'):
        error = numbers.get('scale_relative_error')
        scale += f' by {methods["scale"]}' + ('' if error is None else f' (+-{error:.2%})')
    level = 'z up' if manifest.gravity_aligned else 'which way is up is unknown'
    if manifest.gravity_aligned and methods.get('gravity'):
        spread = numbers.get('gravity_spread_deg')
        level += f' by {methods["gravity"]}' + ('' if spread is None else f' (+-{spread:.1f} deg)')
    return f'{scale}, {level}'


def require_metric(manifest: Manifest, *, allow_unscaled: bool, remedy: str) -> None:
    """
    Check that poses in this map are in metres.

    :param allow_unscaled: whether the user knows that they are not.
    :param remedy: how the user says so.
    :raises MapError: when they are not, and nobody said so.
    """
    if manifest.metric or allow_unscaled:
        return
    raise MapError(
        'the map is not metric: one unit of it is not one metre, so its poses would be wrong '
        'distances; build it with odometry, depth or a known distance (docs/mapping.md), or say '
        f'that units will do: {remedy}'
    )


class _Loader(yaml.SafeLoader):
    """Plain values only, and no aliases: a few lines of them expand without bound."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError('aliases are not allowed')
        return super().compose_node(parent, index)


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _as_plain(manifest: Manifest) -> dict[str, Any]:
    provenance, statistics = manifest.provenance, manifest.statistics
    return {
        'format_version': FORMAT_VERSION,
        'map_frame': manifest.map_frame,
        'metric': manifest.metric,
        'gravity_aligned': manifest.gravity_aligned,
        'statistics': dict(vars(statistics)),
        'alignment': dict(manifest.alignment),
        'methods': dict(manifest.methods),
        'front_end': _component_as_plain(manifest.front_end),
        'global_descriptor': _component_as_plain(manifest.global_descriptor),
        'cameras': {name: camera_as_plain(camera) for name, camera in manifest.cameras.items()},
        'recorded_cameras': {
            name: camera_as_plain(camera) for name, camera in manifest.recorded_cameras.items()
        },
        'provenance': {
            'created': provenance.created,
            'source': dict(provenance.source),
            'seed': provenance.seed,
            'packages': dict(provenance.packages),
            'options': dict(provenance.options),
        },
        **({'calibration': manifest.calibration.as_plain()} if manifest.calibration else {}),
        'files': {name: dict(vars(record)) for name, record in sorted(manifest.files.items())},
    }


def _component_as_plain(component: Component) -> dict[str, Any]:
    return {'name': component.name, 'parameters': dict(component.parameters)}


def _manifest(reader: _Reader) -> Manifest:
    version = reader.get('format_version', int)
    if version > FORMAT_VERSION:
        raise MapError(
            f'{reader.path}: format version {version} is newer than this release reads '
            f'({FORMAT_VERSION}); update hloc_localizer'
        )
    if version < 1:
        raise MapError(f'{reader.path}: format_version {version} does not exist')
    return Manifest(
        map_frame=reader.get('map_frame', str),
        metric=reader.get('metric', bool),
        gravity_aligned=reader.get('gravity_aligned', bool),
        cameras=reader.mapping('cameras', lambda value: camera_from_plain(reader.path, value)),
        recorded_cameras=reader.mapping(
            'recorded_cameras', lambda value: camera_from_plain(reader.path, value)
        ),
        front_end=_component(reader.inside('front_end')),
        global_descriptor=_component(reader.inside('global_descriptor')),
        alignment=reader.mapping('alignment', reader.number),
        methods=reader.mapping('methods', reader.text) if 'methods' in reader.values else {},
        statistics=_statistics(reader.inside('statistics')),
        provenance=_provenance(reader.inside('provenance')),
        calibration=_calibration(reader.inside('calibration'))
        if reader.values.get('calibration') is not None
        else None,
        files=_files(reader.inside('files')),
    )


def _component(reader: _Reader) -> Component:
    return Component(reader.get('name', str), reader.mapping('parameters', lambda value: value))


def _statistics(reader: _Reader) -> Statistics:
    return Statistics(
        images=reader.get('images', int),
        points=reader.get('points', int),
        observations=reader.get('observations', int),
        mean_track_length=reader.real('mean_track_length'),
        mean_reprojection_error_px=reader.real('mean_reprojection_error_px'),
    )


def _provenance(reader: _Reader) -> Provenance:
    return Provenance(
        source=reader.mapping('source', reader.text),
        options=reader.mapping('options', lambda value: value),
        seed=reader.get('seed', int),
        packages=reader.mapping('packages', reader.text),
        created=reader.get('created', str),
    )


def _calibration(reader: _Reader) -> Calibration:
    success = None
    if reader.values.get('success') is not None:
        model = reader.inside('success')
        success = SuccessModel(model.mapping('weights', model.number), model.real('bias'))
    return Calibration(
        sigma_scale=reader.positive('sigma_scale'),
        position_floor_m=reader.positive('position_floor_m'),
        rotation_floor_deg=reader.positive('rotation_floor_deg'),
        frames=reader.get('frames', int),
        mean_nees=reader.real('mean_nees'),
        source=reader.get('source', str),
        success=success,
    )


def _files(reader: _Reader) -> dict[str, FileRecord]:
    files = {}
    for name in reader.values:
        _check_file_name(reader.path, name)
        entry = reader.inside(name)
        record = FileRecord(size=entry.get('size', int), sha256=entry.get('sha256', str))
        if record.size < 0 or len(record.sha256) != 64 or set(record.sha256) - _HEX:
            raise MapError(f"{reader.path}: file '{name}' has no valid size or sha256")
        files[name] = record
    return files


_HEX = set('0123456789abcdef')


def _check_file_name(path: Path, name: str) -> None:
    parts = PurePosixPath(name).parts
    if not parts or name.startswith('/') or '\\' in name or '\0' in name or '..' in parts:
        raise MapError(f"{path}: file name '{name}' leads out of the map; do not use this map")


class _Reader:
    """Typed access to one mapping of the manifest; errors name the key with its full path."""

    def __init__(self, path: Path, values: Any, prefix: str) -> None:
        if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
            what = f"'{prefix}' is" if prefix else 'it is'
            raise MapError(f'{path}: {what} not a mapping; copy or build the map again')
        self.path = path
        self.values: dict[str, Any] = values
        self._prefix = prefix

    def _full(self, key: str) -> str:
        return f'{self._prefix}.{key}' if self._prefix else key

    def _value(self, key: str) -> Any:
        if key not in self.values:
            raise MapError(f"{self.path}: '{self._full(key)}' is missing")
        return self.values[key]

    def get(self, key: str, kind: type[_T]) -> _T:
        value = self._value(key)
        if not isinstance(value, kind) or type(value) is not kind:
            raise MapError(f"{self.path}: '{self._full(key)}' is not a {kind.__name__}")
        return value

    def real(self, key: str) -> float:
        return self.number(self._value(key))

    def positive(self, key: str) -> float:
        value = self.real(key)
        if not 0.0 < value <= 100.0:
            raise MapError(
                f"{self.path}: '{self._full(key)}' is {value}, not above 0 and at most 100"
            )
        return value

    def inside(self, key: str) -> _Reader:
        return _Reader(self.path, self._value(key), self._full(key))

    def mapping(self, key: str, convert: Callable[[Any], _T]) -> dict[str, _T]:
        return {name: convert(value) for name, value in self.inside(key).values.items()}

    def text(self, value: Any) -> str:
        if not isinstance(value, str):
            raise MapError(f"{self.path}: '{value}' in '{self._prefix}' is not a text")
        return value

    def number(self, value: Any) -> float:
        if type(value) not in (int, float) or not math.isfinite(_finite_float(value)):
            raise MapError(f"{self.path}: '{value}' in '{self._prefix}' is not a number")
        return float(value)


def _finite_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf
