"""Failures are kept: not too many, not too large, and nothing else is touched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2')
from hloc_localizer.errors import InputError
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.geometry.transforms import transform_from
from hloc_localizer.localization.bundle import RecordedMoment, read_bundle
from hloc_localizer.localization.mounted_image import MountedImage
from hloc_localizer.localization.result import Localization, Reason, Status
from hloc_localizer.ros.failure_recorder import FailureRecorder
from hloc_localizer.ros.frame_result import CameraView, FrameResult

CAMERA = Camera('PINHOLE', 64, 48, (50.0, 50.0, 31.5, 23.5))
IMAGE = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
MOUNTED = MountedImage(IMAGE, CAMERA)


class _Recorder(FailureRecorder):
    def __init__(self, folder: Path, most: int = 5, most_mb: float = 1.0) -> None:
        self.now = 0.0
        super().__init__(
            folder=str(folder), most=most, most_mb=most_mb, map_path='m', clock=lambda: self.now
        )

    def refuse(self, stamp_ns: int, reason: Reason = Reason.FEW_INLIERS) -> Path | None:
        self.now += 2.0
        return self.record(
            FrameResult(
                stamp_ns,
                reason=reason,
                detail='why',
                views=(CameraView(MOUNTED, 'camera'),),
                recorded=RecordedMoment(stamp_ns, (MOUNTED,)),
            )
        )


def _fix(prior_off_m: float | None) -> FrameResult:
    pose = transform_from(np.eye(3), [1.0, 2.0, 3.0])
    localization = Localization(Status.LOCALIZED, Reason.NONE, pose, np.eye(6), 50, 60, ())
    prior = None if prior_off_m is None else transform_from(np.eye(3), [1.0 + prior_off_m, 2, 3])
    return FrameResult(
        7, localization=localization, map_from_base=pose, covariance=np.eye(6),
        views=(CameraView(MOUNTED, 'camera', localization, localization),),
        recorded=RecordedMoment(7, (MOUNTED,), prior),
    )  # fmt: skip


def test_a_refused_frame_is_kept_with_its_reason(tmp_path: Path) -> None:
    path = _Recorder(tmp_path / 'new' / 'folder').refuse(5, Reason.CONTRADICTED)
    assert path is not None
    assert path.name == 'frame_0000000000000000005_contradicted_by_the_map'
    bundle = read_bundle(path)
    assert (bundle.reason, bundle.detail, bundle.moment.stamp_ns) == (
        'contradicted by the map',
        'why',
        5,
    )
    np.testing.assert_array_equal(bundle.moment.images[0].image, IMAGE)


@pytest.mark.parametrize(('off_m', 'kept'), [(None, False), (0.2, False), (3.0, True)])
def test_a_pose_far_from_its_prior_is_odd(tmp_path: Path, off_m: float | None, kept: bool) -> None:
    path = _Recorder(tmp_path).record(_fix(off_m))
    assert (path is not None) == kept
    if path is not None:
        assert read_bundle(path).map_from_body is not None


def test_frames_without_an_image_and_rows_of_the_same_failure_are_not_kept(tmp_path: Path) -> None:
    recorder = _Recorder(tmp_path)
    assert recorder.record(FrameResult(1, reason=Reason.STALE)) is None
    kept = []
    for stamp in range(100):
        recorder.now += 0.1 - 2.0
        kept.append(recorder.refuse(stamp))
    assert sum(path is not None for path in kept) == pytest.approx(10, abs=1)


def test_the_oldest_leave_and_other_files_stay(tmp_path: Path) -> None:
    (tmp_path / 'holiday').mkdir()
    (tmp_path / 'frame_1_x').mkdir()
    recorder = _Recorder(tmp_path, most=3)
    for stamp in range(8):
        recorder.refuse(stamp)
    names = sorted(path.name for path in tmp_path.iterdir())
    kept = [f'frame_{stamp:019d}_few_inliers' for stamp in (5, 6, 7)]
    assert names == sorted([*kept, 'frame_1_x', 'holiday'])


def test_they_take_no_more_than_they_may(tmp_path: Path) -> None:
    recorder = _Recorder(tmp_path, most=1000, most_mb=0.1)
    for stamp in range(40):
        recorder.refuse(stamp)
    total = sum(file.stat().st_size for file in tmp_path.rglob('*') if file.is_file())
    assert 50_000 < total <= 100_000


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / 'file').write_text('x')
    for folder in (str(tmp_path / 'file'), '/proc/x', 'a\0b'):
        with pytest.raises(InputError, match='record_failures'):
            _Recorder(Path(folder)) if '\0' not in folder else FailureRecorder(
                folder=folder, most=1, most_mb=1.0, map_path=''
            )
