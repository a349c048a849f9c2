"""The quality score: golden example 13 and its bounds."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.layer2_intelligence.scoring import magnitude, quality


def test_golden_example_13_with_volume() -> None:
    score = quality(
        families=3,
        magnitudes=[0.5],
        swing_bars=14,
        swing_minimum=10,
        price_atr=0.8,
        reward_risk=2.5,
        volume_ratio=1.2,
    )

    assert score == pytest.approx(6.0375, abs=1e-12)


def test_golden_example_13_without_volume_drops_the_dimension() -> None:
    score = quality(
        families=3,
        magnitudes=[0.5],
        swing_bars=14,
        swing_minimum=10,
        price_atr=0.8,
        reward_risk=2.5,
        volume_ratio=None,
    )

    assert score == pytest.approx(5.4375 / 9 * 10, abs=1e-12)


def test_golden_example_13_of_a_weak_setup_is_below_the_gate() -> None:
    score = quality(
        families=2,
        magnitudes=[0.3],
        swing_bars=10,
        swing_minimum=10,
        price_atr=0.4,
        reward_risk=2.0,
        volume_ratio=0.8,
    )

    assert score == pytest.approx(3.65, abs=1e-12)


def test_missing_facts_score_nothing() -> None:
    score = quality(
        families=0,
        magnitudes=[],
        swing_bars=math.nan,
        swing_minimum=7,
        price_atr=math.nan,
        reward_risk=math.nan,
        volume_ratio=math.nan,
    )

    assert score == 0.0


@pytest.mark.parametrize(
    ("magnitudes", "expected"), [([0.2], 0.2), ([0.2, 0.6], 0.4), ([0.9, 0.1, 0.3], 0.3), ([0.1, 0.8, 0.4, 0.2], 0.3)]
)
def test_the_magnitude_dimension_is_a_median(magnitudes: list[float], expected: float) -> None:
    score = quality(
        families=0,
        magnitudes=magnitudes,
        swing_bars=0,
        swing_minimum=7,
        price_atr=0,
        reward_risk=0,
        volume_ratio=0,
    )

    assert score == pytest.approx(2.0 * expected)


@pytest.mark.parametrize(
    ("difference", "least", "expected"),
    [(6.0, 3.0, 0.5), (-6.0, 3.0, 0.5), (13.0, 3.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0.0, 1.0), (math.nan, 3.0, 0.0)],
)
def test_a_magnitude_is_full_at_four_times_the_least_difference(
    difference: float, least: float, expected: float
) -> None:
    assert magnitude(difference, least) == expected


@settings(deadline=None)
@given(
    families=st.integers(0, 4),
    magnitudes=st.lists(st.floats(0, 1), max_size=6),
    facts=st.tuples(*[st.floats()] * 3),
    minimum=st.integers(0, 500),
    volume=st.none() | st.floats(),
)
def test_the_score_stays_between_0_and_10(
    families: int, magnitudes: list[float], facts: tuple[float, float, float], minimum: int, volume: float | None
) -> None:
    score = quality(
        families=families,
        magnitudes=magnitudes,
        swing_bars=facts[0],
        swing_minimum=minimum,
        price_atr=facts[1],
        reward_risk=facts[2],
        volume_ratio=volume,
    )

    assert 0.0 <= score <= 10.0 + 1e-12
