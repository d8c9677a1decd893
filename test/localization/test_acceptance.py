"""A pose is published when enough speaks for it; each kind of doubt has its reason."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from hloc_localizer.geometry.absolute_pose import RefinedPose
from hloc_localizer.geometry.camera import Camera
from hloc_localizer.localization.acceptance import Evidence, judge, weigh
from hloc_localizer.localization.options import AcceptanceOptions
from hloc_localizer.localization.result import Reason

CAMERA = Camera('PINHOLE', 640, 480, (500.0, 500.0, 319.5, 239.5))
OPTIONS = AcceptanceOptions()
GOOD = Evidence(
    inliers=120,
    distinct=60,
    spread=0.6,
    visible_ratio=0.3,
    position_sigma_m=0.02,
    rotation_sigma_deg=0.3,
)


def pose(covariance: np.ndarray) -> RefinedPose:
    return RefinedPose(np.eye(4), covariance)


def everywhere(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform([0, 0], [639, 479], (count, 2))


def weighed(inliers: np.ndarray, visible: np.ndarray, distinct: np.ndarray) -> Evidence:
    return weigh(
        CAMERA,
        pose(np.eye(6) * 1e-4),
        inlier_pixels=inliers,
        visible_pixels=visible,
        distinct_pixels=distinct,
    )


@pytest.mark.parametrize(
    ('change', 'reason'),
    [
        ({}, Reason.NONE),
        ({'inliers': OPTIONS.min_inliers}, Reason.NONE),
        ({'inliers': OPTIONS.min_inliers - 1}, Reason.FEW_INLIERS),
        ({'distinct': OPTIONS.min_distinct - 1}, Reason.FEW_INLIERS),
        ({'spread': OPTIONS.min_spread - 0.01}, Reason.POOR_SPREAD),
        ({'position_sigma_m': OPTIONS.max_position_sigma_m * 1.01}, Reason.UNCERTAIN),
        ({'rotation_sigma_deg': OPTIONS.max_rotation_sigma_deg * 1.01}, Reason.UNCERTAIN),
        ({'visible_ratio': OPTIONS.min_visible_ratio - 0.01}, Reason.CONTRADICTED),
    ],
)
def test_each_kind_of_doubt_has_its_reason(change: dict[str, float], reason: Reason) -> None:
    changed = dataclasses.replace(GOOD, **change)  # type: ignore[arg-type]
    verdict = judge(changed, OPTIONS, OPTIONS.min_visible_ratio)
    assert verdict is reason


def test_matches_of_a_network_must_show_more_of_the_map() -> None:
    between = (OPTIONS.min_visible_ratio + OPTIONS.min_visible_ratio_learned) / 2
    evidence = dataclasses.replace(GOOD, visible_ratio=between)
    assert OPTIONS.min_visible_ratio < OPTIONS.min_visible_ratio_learned
    assert judge(evidence, OPTIONS, OPTIONS.min_visible_ratio) is Reason.NONE
    assert judge(evidence, OPTIONS, OPTIONS.min_visible_ratio_learned) is Reason.CONTRADICTED


def test_nan_never_passes() -> None:
    for name in ('spread', 'visible_ratio', 'position_sigma_m', 'rotation_sigma_deg'):
        doubtful = dataclasses.replace(GOOD, **{name: float('nan')})
        assert judge(doubtful, OPTIONS, OPTIONS.min_visible_ratio) is not Reason.NONE, name


def test_spread_is_the_share_of_the_image_that_matches_cover() -> None:
    assert weighed(everywhere(9), everywhere(9), everywhere(5000)).spread == pytest.approx(
        1.0, abs=0.05
    )
    half = everywhere(5000) * [0.5, 1.0]
    assert weighed(half, half, half).spread == pytest.approx(0.5, abs=0.03)
    line = np.stack([np.linspace(0, 639, 50), np.full(50, 100.0)], axis=1)
    assert weighed(line, line, line).spread == pytest.approx(0.0, abs=1e-6)
    assert weighed(line, line, line[:2]).spread == 0.0


def test_visible_ratio_is_the_share_found_of_what_should_be_seen() -> None:
    visible = everywhere(4000)
    whole = weighed(visible, visible, visible)
    assert whole.visible_ratio == 1.0
    assert whole.inliers == whole.distinct == 4000
    quarter = weighed(visible[::4], visible, visible[::4])
    assert quarter.visible_ratio == pytest.approx(0.25, abs=0.03)
    assert weighed(visible[:50], np.zeros((0, 2)), visible[:50]).visible_ratio == 0.0


def test_a_poster_full_of_matches_is_one_part_of_the_image_only() -> None:
    poster = everywhere(3000) * [1 / 8, 1 / 6]  # within one cell of the grid
    visible = np.concatenate([poster, everywhere(600, seed=1)])
    evidence = weighed(poster, visible, poster)
    assert len(poster) / len(visible) > 0.8
    assert evidence.visible_ratio < 0.03
    assert evidence.spread < 0.03


def test_sigmas_are_those_of_the_worst_direction() -> None:
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))[0]
    covariance = np.zeros((6, 6))
    covariance[:3, :3] = turn @ np.diag([0.01, 0.02, 0.3]) ** 2 @ turn.T
    covariance[3:, 3:] = turn @ np.diag(np.radians([0.1, 2.5, 0.2])) ** 2 @ turn.T
    pixels = everywhere(10)
    evidence = weigh(
        CAMERA,
        pose(covariance),
        inlier_pixels=pixels,
        visible_pixels=pixels,
        distinct_pixels=pixels,
    )
    assert evidence.position_sigma_m == pytest.approx(0.3)
    assert evidence.rotation_sigma_deg == pytest.approx(2.5)
