"""Pivots: the hand-made examples, the text read naively, and the streaming form."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.layer2_intelligence.indicators.pivots import pivot_known_at, pivot_lows
from bot.models import Floats, Ints
from tests.unit.layer2_intelligence import naive_divergence as naive


def found(values: list[float], *, high: bool = False, left: int = 2, right: int = 2) -> list[tuple[int, int]]:
    """(position, known at) of each pivot in one segment."""
    column: Floats = np.array(values, dtype=np.float64) * (-1.0 if high else 1.0)
    pivots = pivot_lows(column, one_segment(values), left=left, right=right)
    return list(zip(pivots.at.tolist(), pivots.known_at.tolist(), strict=True))


def one_segment(values: list[float]) -> Ints:
    return np.zeros(len(values), dtype=np.int64)


def test_the_golden_walk_has_one_low_and_two_highs() -> None:
    walk = [5.0, 4, 3, 4, 5, 4, 4, 5, 6, 6, 6, 5, 4]

    assert found(walk) == [(2, 4)]
    assert found(walk, high=True) == [(4, 6), (8, 12)]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([3, 4, 5, 5, 5, 5, 6, 7], []),
        ([1, 2, 3, 2, 3, 2, 1], [(2, 4)]),
        ([7] * 9, []),
        ([1, 2, 3, np.nan, 2, 1], []),
        ([], []),
        ([1], []),
    ],
    ids=["a rise that pauses", "a double top", "a constant", "a NaN", "nothing", "one value"],
)
def test_highs_of_the_golden_examples(values: list[float], expected: list[tuple[int, int]]) -> None:
    assert found(values, high=True) == expected


def test_a_pivot_window_over_two_segments_is_void() -> None:
    values: Floats = np.array([5.0, 4, 3, 4, 5, 6])
    for cut in range(1, len(values)):
        segment = (np.arange(len(values)) >= cut).astype(np.int64)
        assert len(pivot_lows(values, segment, left=2, right=2).at) == (0 if 0 < cut <= 4 else 1)


values_with_ties = st.lists(st.sampled_from([1.0, 2.0, 3.0, 4.0, np.nan]), max_size=60)
reaches = st.integers(1, 3)


@settings(max_examples=200, deadline=None)
@given(values=values_with_ties, left=reaches, right=reaches, cut=st.integers(0, 60))
def test_pivots_are_those_of_the_text(values: list[float], left: int, right: int, cut: int) -> None:
    segment = (np.arange(len(values)) >= cut).astype(np.int64)
    expected = [
        (p, known)
        for p in range(len(values))
        if (known := naive.pivot_low(values, p, left, right, segment.tolist())) is not None
    ]

    pivots = pivot_lows(np.array(values), segment, left=left, right=right)

    assert list(zip(pivots.at.tolist(), pivots.known_at.tolist(), strict=True)) == expected


@settings(max_examples=200, deadline=None)
@given(values=values_with_ties, left=reaches, right=reaches, cut=st.integers(0, 60), sign=st.sampled_from([1, -1]))
def test_candle_by_candle_the_same_pivots_become_known(
    values: list[float], left: int, right: int, cut: int, sign: int
) -> None:
    column = np.array(values, dtype=np.float64)
    segment = (np.arange(len(values)) >= cut).astype(np.int64)
    streamed = [
        (pivot, k)
        for k in range(len(values))
        if (pivot := pivot_known_at(column, segment, k, left=left, right=right, sign=sign)) is not None
    ]

    pivots = pivot_lows(sign * column, segment, left=left, right=right)

    assert streamed == list(zip(pivots.at.tolist(), pivots.known_at.tolist(), strict=True))
