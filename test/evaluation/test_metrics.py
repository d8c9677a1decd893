"""The numbers of an evaluation, on cases computed by hand, and the NEES on sampled errors."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from hloc_localizer.evaluation import EvaluatedFrame, Evaluation, pose_error, pose_nees
from hloc_localizer.geometry.transforms import rotation_from_rotvec, transform_from
from hloc_localizer.localization.result import Localization, Reason, Status

REFERENCE = transform_from(rotation_from_rotvec([0.3, -1.2, 0.5]), [4.0, -2.0, 1.0])


def moved(metres: float, degrees: float) -> NDArray[np.float64]:
    """Return the reference displaced along x and turned about the map's z axis."""
    rotation = rotation_from_rotvec([0.0, 0.0, np.deg2rad(degrees)]) @ REFERENCE[:3, :3]
    return transform_from(rotation, REFERENCE[:3, 3] + [metres, 0.0, 0.0])


def localized(
    pose: NDArray[np.float64],
    *,
    latency_ms: float = 50.0,
    stage_ms: Mapping[str, float] | None = None,
    covariance: NDArray[np.float64] | None = None,
) -> EvaluatedFrame:
    covariance = np.diag([0.01**2] * 3 + [0.01**2] * 3) if covariance is None else covariance
    result = Localization(
        Status.LOCALIZED, Reason.NONE, pose, covariance, 80, 100, ('a',), stage_ms=stage_ms or {}
    )
    return EvaluatedFrame('frame', 0, result, REFERENCE, latency_ms)


def refused(reason: Reason, latency_ms: float = 20.0) -> EvaluatedFrame:
    result = Localization(Status.REFUSED, reason, None, None, 3, 9, ())
    return EvaluatedFrame('frame', 0, result, REFERENCE, latency_ms)


def test_counts_errors_and_recall_of_a_case_computed_by_hand() -> None:
    frames = [
        localized(moved(0.04, 1.0)),  # within all
        localized(moved(0.04, 4.0)),  # 0.05 m / 5 deg and 0.50 m / 5 deg
        localized(moved(0.08, 1.5)),  # all but 0.05 m
        localized(moved(0.40, 1.0)),  # 0.50 m / 5 deg only
        localized(moved(0.60, 1.0)),  # false: too far
        localized(moved(0.01, 11.0)),  # false: turned too far
        refused(Reason.FEW_INLIERS),
        refused(Reason.FEW_INLIERS),
        refused(Reason.NO_TEXTURE),
        refused(Reason.AMBIGUOUS),
    ]
    summary = Evaluation.of(frames, map_bytes=123).as_dict()
    assert (summary['frames'], summary['localized'], summary['refused']) == (10, 6, 4)
    assert summary['false_fixes'] == 2
    assert summary['refused_by_reason'] == {'ambiguous': 1, 'few inliers': 2, 'no texture': 1}
    assert summary['recall'] == {
        '0.05m_5deg': 0.2, '0.10m_2deg': 0.2, '0.25m_2deg': 0.2, '0.50m_5deg': 0.4,
    }  # fmt: skip
    # Sorted translations: 0.01 0.04 0.04 0.08 0.40 0.60; the 90th percentile is half way.
    assert summary['translation_error_m'] == pytest.approx(
        {'median': 0.06, 'p90': 0.5, 'max': 0.6}, abs=1e-12
    )
    assert summary['rotation_error_deg'] == pytest.approx(
        {'median': 1.25, 'p90': 7.5, 'max': 11.0}, abs=1e-9
    )
    assert summary['map_bytes'] == 123


def test_latency_counts_all_frames_and_stages_those_that_reached_them() -> None:
    frames = [
        localized(REFERENCE, latency_ms=float(ms), stage_ms={'extract': 10.0, 'match': float(ms)})
        for ms in range(1, 21)
    ]
    frames.append(refused(Reason.NO_TEXTURE, latency_ms=100.0))
    latency = Evaluation.of(frames, 0).as_dict()['latency_ms']
    assert latency['median'] == 11.0
    assert latency['p95'] == 20.0
    assert latency['stages'] == {'extract': 10.0, 'match': 10.5}


def test_the_nees_of_a_case_computed_by_hand() -> None:
    frames = [localized(moved(0.02, np.rad2deg(0.03)))]
    assert Evaluation.of(frames, 0).as_dict()['nees'] == pytest.approx(
        {'translation': 4.0, 'rotation': 9.0, 'pose': 13.0}
    )


def test_nothing_localized_is_told_by_null_and_zero_recall() -> None:
    summary = Evaluation.of([refused(Reason.NO_TEXTURE)], 5).as_dict()
    assert summary['recall']['0.50m_5deg'] == 0.0
    assert summary['translation_error_m'] == {'median': None, 'p90': None, 'max': None}
    assert summary['nees'] == {'translation': None, 'rotation': None, 'pose': None}
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_the_error_is_about_the_axes_of_the_map() -> None:
    error = pose_error(moved(0.02, 3.0), REFERENCE)
    np.testing.assert_allclose(error, [0.02, 0, 0, 0, 0, np.deg2rad(3.0)], atol=1e-12)


def test_errors_drawn_from_the_stated_covariance_have_the_means_of_chi_square() -> None:
    random = np.random.default_rng(5)
    root = random.normal(size=(6, 6)) * 0.01 + np.diag([0.02, 0.03, 0.01, 0.004, 0.01, 0.006])
    covariance = root @ root.T
    frames = []
    for _ in range(4000):
        error = root @ random.normal(size=6)
        rotation = rotation_from_rotvec(error[3:]) @ REFERENCE[:3, :3]
        pose = transform_from(rotation, REFERENCE[:3, 3] + error[:3])
        frames.append(localized(pose, covariance=covariance))
    nees = Evaluation.of(frames, 0).as_dict()['nees']
    # Standard errors of the means: sqrt(2 n / 4000), that is 0.039 and 0.055.
    assert nees['translation'] == pytest.approx(3.0, abs=0.15)
    assert nees['rotation'] == pytest.approx(3.0, abs=0.15)
    assert nees['pose'] == pytest.approx(6.0, abs=0.2)
    boastful = [
        localized(f.localization.map_from_camera, covariance=covariance / 4) for f in frames
    ]
    assert Evaluation.of(boastful, 0).as_dict()['nees']['pose'] == pytest.approx(24.0, abs=0.8)


@pytest.mark.parametrize('covariance', [None, np.zeros((6, 6)), np.diag([1.0] * 5 + [-1.0])])
def test_a_covariance_that_is_none_has_no_nees(covariance: NDArray[np.float64] | None) -> None:
    assert np.isnan(pose_nees(np.ones(6), covariance)[2])
