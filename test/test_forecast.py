"""What is left of long work is told by its own pace and by what stages usually take."""

from __future__ import annotations

import pytest

from hloc_localizer.forecast import Forecast, duration_text


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


def test_later_stages_take_what_their_shares_say() -> None:
    clock = Clock()
    forecast = Forecast(clock)
    forecast.plan([('extract', 10.0), ('match', 30.0), ('reconstruct', 20.0)])
    forecast.stage('extract', 100)
    assert forecast.left_s is None  # nothing is known yet
    clock.now += 10.0
    forecast.advance(50)
    assert forecast.stage_left_s == pytest.approx(10.0)
    assert forecast.left_s == pytest.approx(10.0 + 2.0 * 50.0)
    clock.now += 10.0
    forecast.advance(50)
    forecast.stage('match')
    assert forecast.stage_left_s is None  # its steps are not counted
    assert forecast.left_s == pytest.approx(100.0)
    clock.now += 45.0
    assert forecast.left_s == pytest.approx(55.0)
    clock.now += 45.0  # it takes longer than usual
    assert forecast.left_s == pytest.approx(40.0)
    forecast.stage('reconstruct')
    assert forecast.left_s == pytest.approx(110.0 / 40.0 * 20.0)


def test_stages_may_be_skipped_repeated_or_unplanned() -> None:
    clock = Clock()
    forecast = Forecast(clock)
    forecast.plan([('match', 4.0), ('verify', 2.0), ('match', 1.0), ('write', 1.0)])
    forecast.stage('synchronise', 3)
    clock.now += 100.0
    forecast.advance(1)
    assert forecast.left_s is None
    forecast.stage('match')
    clock.now += 8.0
    forecast.stage('match')  # the second one: there was nothing to verify
    assert forecast.left_s == pytest.approx(4.0)
    forecast.end()
    forecast.stage('write')
    clock.now += 5.0
    assert forecast.left_s == 0.0


@pytest.mark.parametrize(
    ('seconds', 'text'), [(0.4, '0:00'), (59.6, '1:00'), (110.0, '1:50'), (3725.0, '1:02:05')]
)
def test_durations_are_read_at_a_glance(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text
