"""The covariance of poses is learned from their errors, and so is which of them are right."""

from __future__ import annotations

import numpy as np
import pytest

from hloc_localizer.errors import HlocLocalizerError
from hloc_localizer.evaluation.calibration import (
    CalibrationSamples,
    is_right,
    learn_calibration,
)
from hloc_localizer.localization.acceptance import Evidence
from hloc_localizer.localization.hypothesis import widened
from hloc_localizer.localization.inflation import fit_inflation, nees_under, widened_to_contain
from hloc_localizer.localization.options import CovarianceOptions
from hloc_localizer.localization.success import features_of, learn_success, success_probability

Array = np.ndarray
TRUE = CovarianceOptions(sigma_scale=2.5, position_floor_m=0.01, rotation_floor_deg=0.2)


def errors_under(
    options: CovarianceOptions, count: int, seed: int = 0, freedom: float | None = None
) -> tuple[Array, Array]:
    """Draw covariances of solutions and errors that are wider, with long tails if wanted."""
    random = np.random.default_rng(seed)
    shapes = random.normal(0.0, 1.0, (count, 6, 6)) * ([0.004] * 3 + [0.0015] * 3)
    covariances = shapes.transpose(0, 2, 1) @ shapes + np.diag([1e-6] * 3 + [1e-8] * 3)
    roots = np.linalg.cholesky(widened(covariances, options))
    errors = (roots @ random.normal(0.0, 1.0, (count, 6, 1)))[:, :, 0]
    if freedom is not None:
        errors /= np.sqrt(random.chisquare(freedom, (count, 1)) / freedom)
    return errors, covariances


def evidence(inliers: int, distinct: int, ratio: float) -> Evidence:
    return Evidence(inliers, distinct, 0.5, ratio, 0.02, 0.3)


def test_inflation_is_recovered_from_errors() -> None:
    errors, covariances = errors_under(TRUE, 800)
    found = fit_inflation(errors, covariances)
    assert found.sigma_scale == pytest.approx(2.5, rel=0.1)
    assert found.position_floor_m == pytest.approx(0.01, rel=0.2)
    assert found.rotation_floor_deg == pytest.approx(0.2, rel=0.2)
    # What it says of errors that it has not seen.
    nees = nees_under(found, *errors_under(TRUE, 800, seed=1))
    assert nees.mean() == pytest.approx(6.0, rel=0.1)


def test_long_tails_are_contained() -> None:
    errors, covariances = errors_under(TRUE, 600, freedom=4.0)
    likeliest = fit_inflation(errors, covariances)
    contained = widened_to_contain(likeliest, errors, covariances)
    inside = [(nees_under(o, errors, covariances) < 12.592).mean() for o in (likeliest, contained)]
    assert inside[0] < 0.93
    assert inside[1] == pytest.approx(0.95, abs=0.005)
    # Errors without long tails are left as they are likeliest.
    errors, covariances = errors_under(TRUE, 600)
    likeliest = fit_inflation(errors, covariances)
    widening = widened_to_contain(likeliest, errors, covariances).sigma_scale
    assert widening < 1.1 * likeliest.sigma_scale


def test_success_is_told_by_the_evidence() -> None:
    random = np.random.default_rng(2)
    good = [
        evidence(int(i), int(i * 0.5), float(r))
        for i, r in zip(random.integers(30, 400, 200), random.uniform(0.1, 0.6, 200), strict=True)
    ]
    bad = [
        evidence(int(i), int(i * 0.3), float(r))
        for i, r in zip(random.integers(10, 80, 100), random.uniform(0.01, 0.12, 100), strict=True)
    ]
    features = np.array([features_of(one) for one in (*good, *bad)])
    right = np.arange(300) < 200
    model = learn_success(features, right)
    assert model is not None
    probabilities = np.array([success_probability(model, one) for one in (*good, *bad)])
    assert ((probabilities > 0.5) == right).mean() > 0.93
    # As many are right as it says: the residuals of a logistic fit sum to nothing.
    assert probabilities.sum() == pytest.approx(200.0, abs=0.5)
    assert success_probability(model, evidence(500, 300, 0.7)) > 0.99
    assert success_probability(model, evidence(8, 5, 0.005)) < 0.01


def test_success_is_not_learned_from_one_side_alone() -> None:
    features = np.array([features_of(evidence(100 + i, 50, 0.3)) for i in range(10)])
    assert learn_success(features, np.ones(10, np.bool_)) is None
    assert learn_success(features[:0], np.zeros(0, np.bool_)) is None


def test_calibration_needs_enough_images() -> None:
    errors, covariances = errors_under(TRUE, 40)
    samples = CalibrationSamples(list(errors[:19]), list(covariances[:19]))
    with pytest.raises(HlocLocalizerError, match='19 images were localized, and 20 are needed'):
        learn_calibration(samples, 'walk')
    learned = learn_calibration(CalibrationSamples(list(errors), list(covariances)), 'walk')
    assert learned.frames == 40
    assert learned.success is None
    assert 3.0 < learned.mean_nees <= 6.5


def test_right_is_what_is_not_a_false_fix() -> None:
    assert is_right(np.array([0.3, 0.0, 0.3, 0.1, 0.0, 0.0]))
    assert not is_right(np.array([0.4, 0.0, 0.4, 0.0, 0.0, 0.0]))
    assert not is_right(np.array([0.0, 0.0, 0.0, 0.0, 0.2, 0.0]))
