"""Moves a map into a frame that exists already: of TF, of a file of poses, or of another map."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hloc_localizer.errors import HlocLocalizerError, InputError
from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.geometry.pose_alignment import PoseAlignment, align_poses
from hloc_localizer.mapping.align_options import AlignOptions
from hloc_localizer.mapping.time_offset import synchronised
from hloc_localizer.mapping.transform_map import transform_map
from hloc_localizer.maps import Manifest, Map
from hloc_localizer.maps.manifest import MANIFEST_NAME
from hloc_localizer.progress import Progress, SilentProgress
from hloc_localizer.sources import Source, SourceOptions, open_sources
from hloc_localizer.sources.options import NONE
from hloc_localizer.sources.recorded_poses import recorded_poses

Array = NDArray[np.float64]

_TF = 'tf:'
_LEAST_POSES = 5
_LEAST_SHARE = 0.5
_LARGEST_SCALE_SIGMA = 0.05


@dataclass(frozen=True)
class AlignReport:
    """How well a map lies in its new frame."""

    target: str
    images: int
    """Images of the map."""
    poses: int
    """Those of them with a pose in the new frame."""
    alignment: PoseAlignment

    @property
    def inliers(self) -> int:
        """Poses that agree."""
        return int(np.count_nonzero(self.alignment.inliers))

    @property
    def tilt_deg(self) -> float:
        """Angle between the old z axis and the new one."""
        cosine = float(np.clip(self.alignment.rotation[2, 2], -1.0, 1.0))
        return float(np.degrees(np.arccos(cosine)))

    def residuals(self) -> dict[str, float]:
        """Return what the manifest keeps, by name with unit."""
        positions = self.alignment.position_residuals[self.alignment.inliers]
        rotations = np.degrees(self.alignment.rotation_residuals[self.alignment.inliers])
        return {
            'aligned_poses': float(self.poses),
            'aligned_inliers': float(self.inliers),
            'aligned_position_median_m': float(np.median(positions)),
            'aligned_position_p90_m': float(np.quantile(positions, 0.9)),
            'aligned_rotation_median_deg': float(np.median(rotations)),
            'aligned_scale': self.alignment.scale,
            'aligned_tilt_deg': self.tilt_deg,
        }

    def transform_text(self) -> str:
        """Return the transform from the old frame: ``tx ty tz qx qy qz qw scale``."""
        quaternion = transforms.quaternion_from_rotation(self.alignment.rotation)
        numbers = (*self.alignment.translation, *quaternion, self.alignment.scale)
        return ' '.join(f'{number:.9g}' for number in numbers)

    def lines(self) -> list[str]:
        """Return the report for a terminal."""
        told = self.residuals()
        return [
            f'aligned to {self.target}: {self.inliers} of {self.poses} poses agree '
            f'({self.images} images in the map)',
            f'residuals {told["aligned_position_median_m"] * 100:.1f} cm and '
            f'{told["aligned_rotation_median_deg"]:.2f} deg (median), '
            f'{told["aligned_position_p90_m"] * 100:.1f} cm (90 %)',
            f'transform {self.transform_text()} (x y z qx qy qz qw scale); '
            f'z axis turned by {self.tilt_deg:.2f} deg',
        ]


@dataclass(frozen=True)
class Target:
    """Poses of a map's images in the new frame, and what that frame is."""

    text: str
    poses: Mapping[str, Array]
    """``target_from_camera`` by image name."""
    problem: str
    """Why some have none."""
    frame: str
    metric: bool
    level: bool


def align_map(
    loaded: Map,
    target: str,
    output: Path,
    *,
    recordings: Sequence[Path] = (),
    source_options: SourceOptions | None = None,
    options: AlignOptions | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> AlignReport:
    """
    Write a map as it lies in another frame.

    :param target: ``tf:FRAME``, poses of a localizer in the recording's TF; a TUM file, or one with
        lines ``image tx ty tz qx qy qz qw``; or the folder of another map.
    :param recordings: what the map was built from; empty: what it says itself.
    :raises InputError: when the target or the recording cannot be read.
    :raises HlocLocalizerError: when the poses do not agree on where the map lies.
    """
    options = options or AlignOptions()
    options.check()
    progress = progress or SilentProgress()
    recordings = recordings or _recordings_of(loaded)
    found = _find_target(
        loaded, target, recordings, source_options or SourceOptions(), options, progress
    )
    alignment = find_alignment(loaded, found, options)
    report = AlignReport(found.text, len(loaded.runtime.image_names), len(found.poses), alignment)
    transform_map(loaded, alignment, _manifest(loaded, found, report), output, overwrite=overwrite)
    return report


def _recordings_of(loaded: Map) -> list[Path]:
    told = loaded.manifest.provenance.source.get('path', '')
    paths = [Path(path) for path in told.split('; ') if path]
    if not paths or not all(path.exists() for path in paths):
        raise InputError(
            f"{loaded.path}: the recording that it was built from is not at '{told}'; give it with "
            '--source'
        )
    return paths


def check_target(target: str, recordings: Sequence[Path], source_options: SourceOptions) -> None:
    """
    Tell before a long build whether its map can be aligned at all.

    :raises InputError: when the target does not exist or cannot be read.
    """
    if _is_map(target):
        Map.load(Path(target).expanduser())
    else:
        _open(target, recordings, source_options)


def _is_map(target: str) -> bool:
    return (Path(target).expanduser() / MANIFEST_NAME).is_file()


def _open(
    target: str, recordings: Sequence[Path], source_options: SourceOptions
) -> tuple[Source, str]:
    """Open the recordings such that their poses are those of a target, and name its frame."""
    options = _with_target(target, source_options)
    # It is enough that one of several recordings knows the frame.
    blind = dataclasses.replace(options, poses='none', poses_file='')
    return open_sources(recordings, options, otherwise=blind), options.map_frame


def _with_target(target: str, source_options: SourceOptions) -> SourceOptions:
    """Return options by which a recording's poses are those of a frame of TF or of a file."""
    # Without odometry it is these poses whose clock is compared with that of the images.
    options = dataclasses.replace(source_options.for_localizing(), odom_topic=NONE)
    path = Path(target).expanduser()
    if target.startswith(_TF) and len(target) > len(_TF):
        return dataclasses.replace(options, poses='tf', map_frame=target[len(_TF) :])
    if path.is_file():
        return dataclasses.replace(options, poses='file', poses_file=str(path))
    raise InputError(
        f"'{target}' is no frame to align to; give tf:FRAME, a TUM file that exists, or the folder "
        'of a map'
    )


def _find_target(
    loaded: Map,
    target: str,
    recordings: Sequence[Path],
    source_options: SourceOptions,
    options: AlignOptions,
    progress: Progress,
) -> Target:
    if not _is_map(target):
        names = loaded.runtime.image_names
        opened, frame = _open(target, recordings, source_options)
        source = synchronised(opened, progress, refuse=False)
        poses, problem = recorded_poses(source, names)
        # Frames of a robot's map have z up by REP-103, as building assumes too.
        return Target(target, poses, problem, frame, metric=True, level=True)
    path = Path(target).expanduser()
    other = Map.load(path)
    source = open_sources(recordings, source_options.for_localizing())
    return Target(
        text=f'map {path}',
        poses=_localized(loaded, other, source, options, progress),
        problem=f'the other images of the recording were not localized in {path}',
        frame=other.manifest.map_frame,
        metric=other.manifest.metric,
        level=other.manifest.gravity_aligned,
    )


def _localized(
    loaded: Map, other: Map, source: Source, options: AlignOptions, progress: Progress
) -> dict[str, Array]:
    """Localize images of a map's recording, evenly spread, in another map."""
    from hloc_localizer.localization import Localizer

    names = loaded.runtime.image_names
    chosen = np.unique(
        np.linspace(0, len(names) - 1, min(options.localized_images, len(names))).round()
    )
    wanted = {names[int(index)] for index in chosen}
    localizer = Localizer(other)
    cameras = {
        name: _best_calibration(camera, loaded.manifest.cameras.get(name), other.manifest)
        for name, camera in source.cameras.items()
    }
    poses: dict[str, Array] = {}
    progress.stage('localize', len(wanted))
    for frame in source.frames():
        if frame.name not in wanted:
            continue
        result = localizer.localize(frame.image, cameras[frame.camera_name])
        if result.map_from_camera is not None:
            poses[frame.name] = result.map_from_camera
        progress.advance()
    return poses


def _best_calibration(recorded: Camera, refined: Camera | None, other: Manifest) -> Camera:
    """Return the recorded calibration where the other map has refined that, else our refined."""
    known = any(recorded.is_close_to(each) for each in other.recorded_cameras.values())
    return recorded if known or refined is None else refined


def find_alignment(loaded: Map, target: Target, options: AlignOptions) -> PoseAlignment:
    """
    Find how a map lies in another frame.

    :raises HlocLocalizerError: when too few poses say so, or they do not agree.
    """
    runtime, manifest = loaded.runtime, loaded.manifest
    if len(target.poses) < _LEAST_POSES:
        raise HlocLocalizerError(
            f'{loaded.path}: only {len(target.poses)} of its {len(runtime.image_names)} images '
            f'have a pose in {target.text}, {_LEAST_POSES} are needed: {target.problem}'
        )
    rows = [row for row, name in enumerate(runtime.image_names) if name in target.poses]
    goals = np.stack([target.poses[runtime.image_names[row]] for row in rows])
    with_scale = not (manifest.metric and target.metric)
    try:
        found = align_poses(
            runtime.map_from_camera[rows],
            goals,
            max_error=options.max_error_m,
            max_angle=np.radians(options.max_angle_deg),
            with_scale=with_scale,
        )
    except ValueError as error:
        raise HlocLocalizerError(
            f'{loaded.path}: cannot be aligned to {target.text}: {error}; {_ABSURD}'
        ) from error
    agreed = int(np.count_nonzero(found.inliers))
    if agreed < max(_LEAST_POSES, _LEAST_SHARE * len(rows)):
        raise HlocLocalizerError(
            f'{loaded.path}: only {agreed} of {len(rows)} poses in {target.text} agree with the '
            f'map within {options.max_error_m:g} m and {options.max_angle_deg:g} deg; {_ABSURD}'
        )
    if found.scale_sigma > _LARGEST_SCALE_SIGMA:
        raise HlocLocalizerError(
            f'{loaded.path}: the poses in {target.text} leave its scale open by '
            f'{100 * found.scale_sigma:.0f} %; give poses on a longer part of the way'
        )
    return found


_ABSURD = 'check that they are of this recording, and of what source.poses_child says'


def _manifest(loaded: Map, target: Target, report: AlignReport) -> Manifest:
    manifest = loaded.manifest
    source = {
        **manifest.provenance.source,
        'map_frame': target.frame,
        'aligned_to': target.text,
        'aligned_by': report.transform_text(),
    }
    return dataclasses.replace(
        manifest,
        map_frame=target.frame,
        metric=target.metric,
        gravity_aligned=target.level,
        alignment={**manifest.alignment, **report.residuals()},
        provenance=dataclasses.replace(manifest.provenance, source=source),
    )
