"""Signals interrupt once, and what is cleaned up is not interrupted again."""

from __future__ import annotations

import signal

import pytest

from hloc_localizer.interruptible import interruptible

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@pytest.mark.parametrize('number', SIGNALS)
def test_the_first_signal_interrupts_and_later_ones_do_not(number):
    before = [signal.getsignal(each) for each in SIGNALS]
    with interruptible():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
        for each in SIGNALS:
            signal.raise_signal(each)
    assert [signal.getsignal(each) for each in SIGNALS] == before


def test_nothing_is_left_behind_without_a_signal():
    before = [signal.getsignal(each) for each in SIGNALS]
    with interruptible():
        assert [signal.getsignal(each) for each in SIGNALS] != before
    assert [signal.getsignal(each) for each in SIGNALS] == before
