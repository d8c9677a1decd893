"""Recorded failures are localized again, and a recording gives the same poses each time."""

from __future__ import annotations

import dataclasses
import weakref
from pathlib import Path

import cv2
import numpy as np
import pytest

from hloc_localizer.cli import main
from hloc_localizer.geometry.trajectory import Trajectory
from hloc_localizer.localization import Localizer
from hloc_localizer.localization.bundle import Bundle, RecordedMoment, read_bundle, write_bundle
from hloc_localizer.localization.mounted_image import MountedImage
from hloc_localizer.localization.tracking import TrackedFrame, TrackingLocalizer
from hloc_localizer.maps import Map
from hloc_localizer.sources import SourceOptions, open_source
from hloc_localizer.sources.tum import read_tum, write_tum


@pytest.fixture(scope='module')
def bundles(lounge_map: Path, shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return two bundles: an image that is localized, recorded as such, and a black one."""
    folder = tmp_path_factory.mktemp('bundles')
    source = open_source(shared_data / 'data' / 'lounge' / 'query')
    frame = next(iter(source.frames()))
    camera = source.cameras[frame.camera_name]
    localizer = Localizer(Map.load(lounge_map))
    for name, image in (('good', frame.image), ('black', np.zeros_like(frame.image))):
        result = localizer.localize(image, camera)
        moment = RecordedMoment(frame.stamp_ns, (MountedImage(image, camera),))
        bundle = Bundle(moment, result.reason.value, '', result.map_from_camera, str(lounge_map))
        write_bundle(folder / name, bundle)
    return folder


def test_a_frame_gives_the_result_that_was_recorded(
    bundles: Path, lounge_map: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [str(bundles / 'good'), str(bundles / 'black')]
    assert main(['replay', *paths, '--map', str(lounge_map), '--check']) == 0
    good, black, summary = capsys.readouterr().out.splitlines()
    assert good.startswith('good: localized (')
    assert good.endswith('; 0.000000 m, 0.000000 rad from the recorded pose')
    assert black == 'black: too dark or too bright (0 matches, 0 inliers); as recorded'
    assert summary == '2 frames, 0 with another result than recorded'


def test_another_result_is_told_and_fails_a_check(
    bundles: Path, lounge_map: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ['replay', str(bundles / 'good'), '--map', str(lounge_map)]
    command += ['--set', 'localizer.accept.min_inliers=9999']
    assert main(command) == 0
    assert main([*command, '--check']) == 1
    assert '; recorded: localized' in capsys.readouterr().out


def test_what_is_no_bundle_is_named(
    tmp_path: Path, lounge_map: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['replay', str(tmp_path), '--map', str(lounge_map)]) == 2
    assert f'{tmp_path}: is not a bundle' in capsys.readouterr().err


def test_only_one_bundle_is_in_memory_and_none_is_localized_when_one_is_damaged(
    bundles: Path,
    lounge_map: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[weakref.ref[Bundle]] = []
    alive = []

    def watched(path: Path) -> Bundle:
        alive.append(sum(one() is not None for one in read))
        bundle = read_bundle(path)
        read.append(weakref.ref(bundle))
        return bundle

    monkeypatch.setattr('hloc_localizer.localization.bundle.read_bundle', watched)
    good = [str(bundles / 'good')] * 3
    assert main(['replay', *good, '--map', str(lounge_map), '--check']) == 0
    assert len(alive) >= 3
    assert max(alive) == 0
    capsys.readouterr()
    assert main(['replay', *good, str(bundles / 'none'), '--map', str(lounge_map)]) == 2
    assert capsys.readouterr().out == ''


def test_a_recording_gives_the_same_poses_to_the_last_bit_and_changes_are_found(
    lounge_map: Path, shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = str(shared_data / 'data' / 'lounge' / 'query')
    few = ['--set', 'source.duration_s=6']
    poses = tmp_path / 'poses.tum'
    exact = ['--tolerance-m', '0', '--tolerance-deg', '0']
    command = ['regress', str(lounge_map), bag, *few]
    assert main([*command, '--write', str(poses), *exact]) == 0
    assert 'all as expected' in capsys.readouterr().out
    assert main([*command, '--expect', str(poses)]) == 0
    before = read_tum(poses)
    moved = before.poses.copy()
    moved[2, 0, 3] += 0.01
    write_tum(poses, Trajectory(before.stamps_ns[1:], moved[1:]))
    capsys.readouterr()
    assert main([*command, '--expect', str(poses)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].endswith('not expected to be localized')
    assert 'moved by 0.010000 m' in lines[1]


def test_times_that_no_recording_has_are_refused(
    lounge_map: Path, shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = str(shared_data / 'data' / 'lounge' / 'query')
    for option in ('source.start_s', 'source.duration_s'):
        assert main(['regress', str(lounge_map), bag, '--set', f'{option}=1e300']) == 2
        assert f"'{option}': 1e+300 is above" in capsys.readouterr().err


def test_images_without_calibration_are_refused_as_by_localize(
    lounge_map: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cv2.imwrite(str(tmp_path / 'image.png'), np.zeros((48, 64), np.uint8))
    assert main(['regress', str(lounge_map), str(tmp_path)]) == 2
    assert 'no calibration; put camera.yaml' in capsys.readouterr().err


@pytest.fixture(scope='module')
def stream(
    lounge_map: Path, shared_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[tuple[Path, TrackedFrame]]:
    """Return bundles of all images of a tracked walk, and what the tracker said of each."""
    folder = tmp_path_factory.mktemp('stream')
    options = SourceOptions(poses='none', start_s=9.0, duration_s=2.4)
    source = open_source(shared_data / 'data' / 'lounge' / 'revisit', options)
    (camera,) = source.cameras.values()
    tracking = TrackingLocalizer(Localizer(Map.load(lounge_map)))
    kept = []
    for number, frame in enumerate(source.frames()):
        # Darkness in between, so that the whole map is searched again.
        image = np.zeros_like(frame.image) if number == 4 else frame.image
        tracked = tracking.localize(
            image, camera, frame.stamp_ns, odom_from_body=frame.odom_from_camera
        )
        path = folder / f'frame_{number:02d}'
        assert tracked.recorded is not None
        write_bundle(
            path,
            Bundle(
                tracked.recorded, tracked.reason.value, '', tracked.image.map_from_camera,
                str(lounge_map), images=tracked.images, earlier=tracked.earlier or (),
            ),
        )  # fmt: skip
        kept.append((path, tracked))
    return kept


def test_frames_of_a_stream_are_searched_for_as_they_were(
    stream: list[tuple[Path, TrackedFrame]], lounge_map: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded = [tracked.recorded for _, tracked in stream if tracked.recorded is not None]
    searches = [one.search for one in recorded if one.search is not None]
    assert {search.everywhere for search in searches} == {True, False}
    assert {search.quick for search in searches} == {True, False}
    together = [path for path, tracked in stream if tracked.images > 1]
    assert len(together) >= 2
    assert max(len(read_bundle(path).earlier) for path in together) >= 2
    paths = [str(path) for path, _ in stream]
    assert main(['replay', *paths, '--map', str(lounge_map), '--track', '--check']) == 0
    *lines, summary = capsys.readouterr().out.splitlines()
    assert summary == f'{len(stream)} frames, 0 with another result than recorded'
    assert sum('; 0.000000 m, 0.000000 rad from' in line for line in lines) >= 10
    assert sum(' images); 0.000000 m, 0.000000 rad from' in line for line in lines) >= 2
    # Alone, an image that was reduced for a quick look gives another pose.
    assert main(['replay', *paths, '--map', str(lounge_map), '--check']) == 1


def test_what_was_solved_together_and_not_kept_is_told_and_not_compared(
    stream: list[tuple[Path, TrackedFrame]],
    tmp_path: Path,
    lounge_map: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bundle = dataclasses.replace(
        read_bundle(stream[0][0]), images=3, whole=False, map_from_body=None
    )
    write_bundle(tmp_path / 'one', bundle)
    command = ['replay', str(tmp_path / 'one'), '--map', str(lounge_map), '--track', '--check']
    assert main(command) == 0
    assert 'with 3 images together, which were not kept' in capsys.readouterr().out


def test_a_tracked_recording_gives_the_same_poses_to_the_last_bit(
    lounge_map: Path, shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = str(shared_data / 'data' / 'lounge' / 'revisit')
    command = ['regress', str(lounge_map), bag, '--track', '--set', 'source.duration_s=2.4']
    exact = ['--tolerance-m', '0', '--tolerance-deg', '0']
    tracked = tmp_path / 'tracked.tum'
    assert main([*command, *exact, '--write', str(tracked)]) == 0
    said = capsys.readouterr()
    assert 'all as expected' in said.out
    assert 'no odometry' not in said.err
    blind = ['--set', 'source.odom_topic=none', '--set', 'source.duration_s=0.7']
    main([*command, *blind, '--expect', str(tracked)])
    assert '4 of 4 images have no odometry, and were tracked without' in capsys.readouterr().err
    # Odometry carries the pose where images alone give none.
    command.remove('--track')
    assert main([*command, '--expect', str(tracked)]) == 1
    assert 'no longer localized' in capsys.readouterr().out
