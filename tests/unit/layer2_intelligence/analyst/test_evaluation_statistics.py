"""Shares with their uncertainty, and the calibration of stated confidence."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.layer2_intelligence.analyst.evaluation.statistics import Forecast, Share, calibration


def test_wilson_interval_of_a_share_agrees_with_a_published_example() -> None:
    # Newcombe (1998), table I: 81 of 263 gives 0.2553 to 0.3662 by the score method without correction
    share = Share(81, 263)

    assert (share.low, share.high) == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_nothing_counted_leaves_every_share_possible() -> None:
    share = Share(0, 0)

    assert (share.value, share.low, share.high) == (None, 0.0, 1.0)


@given(of=st.integers(1, 10_000), data=st.data())
def test_interval_holds_the_share_and_stays_between_0_and_1(of: int, data: st.DataObject) -> None:
    share = Share(data.draw(st.integers(0, of)), of)

    assert share.value is not None
    assert 0.0 <= share.low <= share.value <= share.high <= 1.0


@given(of=st.integers(1, 500), data=st.data())
def test_interval_is_mirrored_with_its_share(of: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, of))

    assert Share(hits, of).low == pytest.approx(1.0 - Share(of - hits, of).high, abs=1e-12)


def test_interval_covers_the_true_share_in_about_19_of_20_samples() -> None:
    dice = random.Random(7)
    true, samples = 0.2, 2_000

    covered = sum(
        share.low <= true <= share.high
        for share in (Share(sum(dice.random() < true for _ in range(50)), 50) for _ in range(samples))
    )

    assert 0.93 <= covered / samples <= 0.97


def test_brier_score_is_the_mean_squared_error_of_the_confidence() -> None:
    found = calibration([Forecast(0.9, True), Forecast(0.6, False), Forecast(0.2, False)])

    assert found.brier == pytest.approx((0.01 + 0.36 + 0.04) / 3)


def test_confidence_that_always_says_the_base_rate_gains_nothing() -> None:
    found = calibration([Forecast(0.25, each % 4 == 0) for each in range(400)])

    assert found.gain == pytest.approx(0.0)
    assert found.error == pytest.approx(0.0)


def test_honest_confidence_gains_over_the_base_rate_and_its_steps_hold() -> None:
    dice = random.Random(3)
    said = [dice.random() for _ in range(3_000)]

    found = calibration([Forecast(each, dice.random() < each) for each in said])

    assert found.gain_low is not None
    assert found.gain_low > 0.05
    assert found.error is not None
    assert found.error < 0.04
    assert len(found.bins) == 10


def test_confidence_without_knowledge_loses_to_the_base_rate() -> None:
    dice = random.Random(4)

    found = calibration([Forecast(dice.random(), dice.random() < 0.5) for _ in range(1_000)])

    assert found.gain_high is not None
    assert found.gain_high < 0.0


def test_a_step_that_says_more_than_happens_does_not_hold() -> None:
    found = calibration([Forecast(0.95, each % 2 == 0) for each in range(100)])

    assert [each.holds for each in found.bins] == [False]
    assert found.error == pytest.approx(0.45)


def test_full_confidence_belongs_to_the_highest_step() -> None:
    found = calibration([Forecast(1.0, True), Forecast(0.91, True)])

    assert [each.happened.of for each in found.bins] == [2]


def test_calibration_of_nothing_is_not_known() -> None:
    found = calibration([])

    assert (found.count, found.brier, found.gain, found.bins) == (0, None, None, ())
