"""The a-contrario test: chance does not pass it, agreement does."""

from __future__ import annotations

import numpy as np

from hloc_localizer.localization.tracking.chance import log10_false_alarms


def _uniform_in_disc(random: np.random.Generator, count: int, radius: float) -> np.ndarray:
    return np.asarray(radius * np.sqrt(random.uniform(size=count)))


def test_errors_by_chance_give_less_than_the_promised_number_of_alarms() -> None:
    random = np.random.default_rng(2)
    values = np.array(
        [log10_false_alarms(_uniform_in_disc(random, n, 30.0), 30.0)
         for n in random.integers(6, 400, 3000)]
    )  # fmt: skip
    # The number of false alarms bounds their expectation: 1 in 10 at most below -1.
    assert np.mean(values <= -1.0) <= 0.1
    assert not np.any(values <= -4.0)


def test_few_matches_that_agree_closely_convince() -> None:
    random = np.random.default_rng(2)
    wrong = _uniform_in_disc(random, 20, 30.0)
    right = np.full(12, 1.0)
    assert log10_false_alarms(np.concatenate([right, wrong]), 30.0) < -12.0
    # In a small disc the same agreement is no surprise.
    assert log10_false_alarms(np.concatenate([right, wrong / 15.0]), 2.0) > 0.0


def test_three_matches_prove_nothing_and_points_behind_the_camera_do_not_agree() -> None:
    assert log10_false_alarms(np.zeros(3), 30.0) == np.inf
    assert log10_false_alarms(np.full(50, np.inf), 30.0) == np.inf
    errors = np.concatenate([np.full(10, 1.0), np.full(10, np.inf)])
    assert log10_false_alarms(errors, 30.0) > log10_false_alarms(errors[:10], 30.0)
