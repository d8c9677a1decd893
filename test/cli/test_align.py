"""A recording becomes a map in a frame that exists, in one command or in two."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from test_commands import hloc_localizer, refused

from hloc_localizer.geometry.transforms import pose_distance
from hloc_localizer.maps import Map, verify_map
from hloc_localizer.sources.tum import read_tum


def test_a_map_of_odometry_alone_lies_on_the_frame_of_tf(shared_data: Path, tmp_path: Path) -> None:
    bag = shared_data / 'data/lounge/map'
    output = tmp_path / 'map'
    result = hloc_localizer(
        'build', bag, '--output', output, '--align-to', 'tf:map', '--set', 'source.duration_s=6',
        'sift.max_keypoints=1500',
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert 'aligned to tf:map: ' in result.stdout
    assert verify_map(output).ok
    built = Map.load(output)
    reference = read_tum(shared_data / 'data/lounge/map.camera.tum')
    stamps = [int(Path(name).stem) for name in built.runtime.image_names]
    expected = np.stack([reference.at(stamp) for stamp in stamps])
    metres, radians = pose_distance(built.runtime.map_from_camera, expected)
    assert np.median(metres) < 0.05
    assert np.degrees(np.median(radians)) < 1.0
    assert (built.manifest.metric, built.manifest.map_frame) == (True, 'map')
    assert built.manifest.provenance.source['poses'] == 'none'
    assert built.manifest.provenance.source['aligned_to'] == 'tf:map'

    moved = tmp_path / 'moved'
    poses = shared_data / 'data/lounge/map.camera.tum'
    result = hloc_localizer(
        'align', output, '--to', poses, '--output', moved, '--set', 'source.poses_child=camera'
    )
    assert result.returncode == 0, result.stderr
    assert 'residuals' in result.stdout
    assert Map.load(moved).manifest.provenance.source['aligned_to'] == str(poses)


def test_a_target_that_does_not_exist_is_told_before_the_build(
    shared_data: Path, tmp_path: Path
) -> None:
    bag = shared_data / 'data/lounge/map'
    build = ('build', bag, '--output', tmp_path / 'map', '--align-to')
    assert "TF has no frame 'floor'" in refused(*build, 'tf:floor')
    assert "'floor.tum' is no frame to align to" in refused(*build, 'floor.tum')
    assert not (tmp_path / 'map').exists()
