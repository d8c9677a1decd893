"""A map whose front end is a network grows by a recording, and by another map."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from hloc_localizer.geometry import transforms
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.mapping import BuildOptions, build_map
from hloc_localizer.mapping.extend import extend_map
from hloc_localizer.mapping.merge import merge_maps
from hloc_localizer.maps import Map, verify_map
from hloc_localizer.sources import SourceOptions, open_source
from hloc_localizer.sources.frame import Frame
from hloc_localizer.sources.rig import Rig
from hloc_localizer.weights.catalogue import find_checkpoint
from hloc_localizer.weights.store import DIRECTORY_VARIABLE

pytest.importorskip('torch')

OPTIONS = BuildOptions().with_values(
    {
        'front_end': 'xfeat',
        'xfeat.max_keypoints': 512,
        'xfeat.device': 'cpu',
        'vlad.clusters': 16,
        'pairs.learned_covisible': 4,
        'pairs.learned_retrieved': 1,
        'report.held_out': 3,
        'report.learned_held_out': 3,
        'threads': 1,
    }
)


@dataclasses.dataclass
class Recording:
    """Frames at hand, as a source."""

    all_frames: Sequence[Frame]
    cameras: Mapping[str, Camera]
    pose_problem: str = ''
    description: Mapping[str, str] = dataclasses.field(default_factory=dict)
    intrinsics: Mapping[str, str] = dataclasses.field(default_factory=dict)
    calibration_problem: str = ''
    rigs: Sequence[Rig] = ()
    rig_problem: str = ''
    notes: Sequence[str] = ()
    files: Sequence[Path] = ()

    def __len__(self) -> int:
        return len(self.all_frames)

    def frames(self) -> Iterator[Frame]:
        return iter(self.all_frames)


@pytest.fixture(autouse=True)
def _weights(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shared_data / 'weights'
    if not (folder / find_checkpoint('xfeat').file_name).is_file():
        pytest.skip(f'no weights of XFeat in {folder}')
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(folder))


def errors_of(grown: Map, session: str, truth: Mapping[int, np.ndarray]) -> np.ndarray:
    """Return how far (N,) the images of a session are from where they were taken, metres."""
    pairs = [
        (pose, truth[int(Path(name).stem)])
        for name, pose in zip(grown.runtime.image_names, grown.runtime.map_from_camera, strict=True)
        if name.startswith(f'{session}/')
    ]
    found, expected = (np.stack(each) for each in zip(*pairs, strict=True))
    return transforms.pose_distance(found, expected)[0]


def test_a_map_of_xfeat_grows(
    lounge_frames: Sequence[Frame], shared_data: Path, tmp_path: Path
) -> None:
    cameras = open_source(shared_data / 'data' / 'lounge' / 'map', SourceOptions()).cameras
    truth = {int(Path(frame.name).stem): frame.map_from_camera for frame in lounge_frames}
    build_map(Recording(lounge_frames[::2], cameras), tmp_path / 'base', OPTIONS)
    base = Map.load(tmp_path / 'base')
    count = len(base.runtime.image_names)
    others = Recording(lounge_frames[1::2], cameras, description={'path': 'evening'})
    unknown = [dataclasses.replace(one, map_from_camera=None) for one in others.all_frames]
    blind = dataclasses.replace(others, all_frames=unknown, pose_problem='not recorded')
    report = extend_map(base, blind, tmp_path / 'grown', OPTIONS, keep_all=True)
    grown = Map.load(tmp_path / 'grown')
    assert verify_map(grown.path).ok
    assert grown.manifest.front_end == base.manifest.front_end
    assert report.images - count >= len(unknown) - 1
    assert report.shared_points > 100
    assert report.map_moved_m < 1e-8
    assert np.median(errors_of(grown, 'evening', truth)) < 0.03
    build_map(others, tmp_path / 'other', OPTIONS)
    aligned, joined = merge_maps(base, Map.load(tmp_path / 'other'), tmp_path / 'both', OPTIONS)
    both = Map.load(tmp_path / 'both')
    assert verify_map(both.path).ok
    assert aligned.inliers >= 5
    assert joined.shared_points > 100
    assert np.median(errors_of(both, 'other', truth)) < 0.03
