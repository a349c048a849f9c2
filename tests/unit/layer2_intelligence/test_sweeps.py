"""Liquidity sweeps: the hand-made examples, the laws, and a naive second implementation event by event."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from bot.errors import ConfigError
from bot.layer2_intelligence.indicators.sweeps import Level, SweepSettings, SweepStream, sweeps
from bot.layer2_intelligence.indicators.talib_bridge import average_true_range
from bot.layer2_intelligence.structure_events import SweepEvent, SweepOutcome, SwingSide, sweep_json
from bot.models import CandleSeries, Direction, Floats
from tests.unit.layer2_intelligence import made_series
from tests.unit.layer2_intelligence import naive_structure as naive

GOLDEN_LOWS = (10.0, 9, 8, 9, 10, 9.5, 7.6, 8.5, 9)
NEAR = SweepSettings(swing_length=2)

SHAPES = {
    "walk": made_series.walk(61, 2_500),
    "range": made_series.walk(62, 2_500, pull=0.05),
    "ties": made_series.walk(63, 2_500, grid=0.5, pull=0.02),
    "flats and holes": made_series.walk(64, 2_500, grid=0.25, flat_share=0.4, holes=40),
}
EAGER = SweepSettings(swing_length=1, max_age=25, reclaim=2, max_depth=0.8, equal_within=0.3)


def golden(*closes: float) -> CandleSeries:
    """Golden example 7, with other closes from candle 6 on."""
    low = np.array(GOLDEN_LOWS)
    close = low + 0.7
    close[6 : 6 + len(closes)] = closes
    return made_series.series_of(low + 1, low, close)


def ones(series: CandleSeries) -> Floats:
    return np.ones(len(series))


def atr_of(series: CandleSeries) -> Floats:
    if not len(series):
        return np.empty(0)
    return average_true_range(series.high, series.low, series.close, period=14)


def streamed(series: CandleSeries, atr: Floats, settings: SweepSettings, *more: Level) -> list[SweepEvent]:
    """Events candle by candle; each candle is shown without those after it."""
    stream = SweepStream(settings)
    return [
        event
        for k in range(len(series))
        for event in stream.at(
            series.slice(0, k + 1), atr[: k + 1], k, more=[each for each in more if each.known_at == k]
        )
    ]


def lows_at(price: float, count: int, **at: float) -> CandleSeries:
    """Candles whose lows are at `price` and closes 0.5 above; `low7=` and `close7=` set those of a candle."""
    low, close = np.full(count, price), np.full(count, price + 0.5)
    for name, value in at.items():
        column = low if name.startswith("low") else close
        column[int(name.removeprefix("low").removeprefix("close"))] = value
    return made_series.series_of(np.maximum(low, close) + 1, low, close)


def test_the_golden_low_is_swept_on_the_candle_that_goes_through_it() -> None:
    series = golden()

    assert sweeps(series, ones(series), NEAR) == [
        SweepEvent(
            known_at=6,
            outcome=SweepOutcome.SWEPT,
            side=SwingSide.LOW,
            level=8.0,
            pivot=2,
            start=6,
            extreme=7.6,
        )
    ]
    assert sweeps(series, ones(series), NEAR)[0].direction is Direction.LONG


def test_closes_that_stay_beyond_break_the_golden_low_on_the_last_chance() -> None:
    series = golden(7.7, 7.8, 7.9)

    [event] = sweeps(series, ones(series), NEAR)

    assert (event.outcome, event.known_at, event.start) == (SweepOutcome.BROKEN, 8, 6)
    assert sweeps(series.slice(0, 8), ones(series)[:8], NEAR) == []


def test_a_close_at_the_level_has_not_come_back() -> None:
    series = golden(7.7, 8.0, 8.0)

    [event] = sweeps(series, ones(series), NEAR)

    assert event.outcome is SweepOutcome.BROKEN


@pytest.mark.parametrize(
    ("atr", "outcome"),
    [(0.5, SweepOutcome.SWEPT), (0.499, SweepOutcome.BROKEN), (float("nan"), SweepOutcome.BROKEN)],
    ids=["as deep as allowed", "deeper", "without an ATR"],
)
def test_a_sweep_may_be_as_deep_as_its_limit(atr: float, outcome: SweepOutcome) -> None:
    low = np.array([10.0, 9, 8, 9, 10, 9.5, 7.25, 8.5])  # 0.75 beyond
    series = made_series.series_of(low + 1, low, np.maximum(low, 8) + 0.5)

    [event] = sweeps(series, np.full(len(low), atr), NEAR)

    assert (event.outcome, event.known_at) == (outcome, 6)


def test_the_atr_of_the_first_candle_beyond_decides() -> None:
    series = golden(7.7, 8.3)
    atr = np.array([9.0, 9, 9, 9, 9, 9, 0.1, 9, 9])

    [event] = sweeps(series, atr, NEAR)

    assert (event.outcome, event.known_at) == (SweepOutcome.BROKEN, 7)


def test_a_level_can_be_swept_on_the_last_candle_of_its_life_and_not_later() -> None:
    settings = SweepSettings(swing_length=2, max_age=6)
    on_time = lows_at(10.0, 12, low3=9.0, low9=8.5)
    too_late = lows_at(10.0, 12, low3=9.0, low10=8.5)

    assert [each.start for each in sweeps(on_time, ones(on_time), settings)] == [9]
    assert sweeps(too_late, ones(too_late), settings) == []


def test_a_sweep_that_spans_a_hole_is_void() -> None:
    series = golden(7.7, 8.3)  # pivot 2, start 6, known 7
    found = {
        cut: len(sweeps(replace(series, segment=(np.arange(9) >= cut).astype(np.int64)), ones(series), NEAR))
        for cut in (5, 6, 7, 8)
    }

    assert found == {5: 0, 6: 0, 7: 0, 8: 1}


def test_strength_counts_the_untouched_levels_that_are_nearly_equal() -> None:
    # Lows of 9.00, 9.08 and 9.16 are one cluster by steps of 0.08, 9.40 is not of it; one candle goes through all.
    series = lows_at(10.0, 24, low3=9.0, low8=9.08, low13=9.16, low18=9.40, low22=8.5, close22=9.8)

    found = sweeps(series, ones(series), NEAR)

    assert [(each.pivot, each.strength) for each in found] == [(3, 3), (8, 3), (13, 3), (18, 1)]


def test_levels_as_far_apart_as_allowed_are_of_one_cluster() -> None:
    series = lows_at(10.0, 16, low3=9.0, low8=9.125, low13=8.5)

    strengths = [
        [each.strength for each in sweeps(series, ones(series), replace(NEAR, equal_within=within))]
        for within in (0.125, 0.124)
    ]

    assert strengths == [[2, 2], [1, 1]]


def test_a_touched_level_no_longer_adds_to_the_strength_of_its_neighbours() -> None:
    series = lows_at(10.0, 24, low3=9.0, low8=9.08, low13=9.04, low18=8.9)

    found = sweeps(series, ones(series), NEAR)

    assert [(each.pivot, each.start, each.strength) for each in found] == [(8, 13, 2), (3, 18, 2), (13, 18, 2)]


def test_a_level_that_a_consumer_names_is_swept_like_a_pivot() -> None:
    series = lows_at(10.0, 12, low8=9.5)
    yesterday = Level(side=SwingSide.LOW, price=9.75, pivot=1, known_at=4)

    [event] = sweeps(series, ones(series), NEAR, more=[yesterday])

    assert (event.pivot, event.level, event.start, event.known_at) == (1, 9.75, 8, 8)
    assert streamed(series, ones(series), NEAR, yesterday) == [event]
    cut = replace(series, segment=(np.arange(12) >= 2).astype(np.int64))
    assert sweeps(cut, ones(cut), NEAR, more=[yesterday]) == streamed(cut, ones(cut), NEAR, yesterday) == []


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("settings", [SweepSettings(), NEAR, EAGER], ids=["default", "near", "eager"])
def test_events_are_those_of_the_text(shape: str, settings: SweepSettings) -> None:
    series = SHAPES[shape]
    atr = atr_of(series)

    events = sweeps(series, atr, settings)

    assert len(events) > 50
    assert [sweep_json(each) for each in events] == naive.sweeps(
        series,
        atr.tolist(),
        settings.swing_length,
        max_age=settings.max_age,
        reclaim=settings.reclaim,
        max_depth=settings.max_depth,
        equal=settings.equal_within,
    )


def test_both_outcomes_and_clusters_occur_in_the_compared_series() -> None:
    found = [each for series in SHAPES.values() for each in sweeps(series, atr_of(series), EAGER)]

    assert {(each.side, each.outcome) for each in found} == {(a, b) for a in SwingSide for b in SweepOutcome}
    assert max(each.strength for each in found) > 2


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("settings", [SweepSettings(), EAGER], ids=["default", "eager"])
def test_candle_by_candle_the_same_events_in_the_same_order(shape: str, settings: SweepSettings) -> None:
    series = SHAPES[shape]
    atr = atr_of(series)

    assert streamed(series, atr, settings) == sweeps(series, atr, settings)


made = st.builds(
    made_series.walk,
    st.integers(0, 10_000),
    st.integers(0, 250),
    grid=st.sampled_from([2.0**-10, 0.25]),
    pull=st.sampled_from([0.0, 0.1]),
    flat_share=st.sampled_from([0.0, 0.4]),
    holes=st.sampled_from([0, 4]),
)


@hypothesis_settings(max_examples=60, deadline=None)
@given(series=made, cut=st.integers(0, 250))
def test_a_shorter_series_has_the_events_known_by_its_end(series: CandleSeries, cut: int) -> None:
    atr = atr_of(series)
    whole = sweeps(series, atr, EAGER)

    assert sweeps(series.slice(0, cut), atr[:cut], EAGER) == [each for each in whole if each.known_at < cut]
    assert streamed(series, atr, EAGER) == whole


@hypothesis_settings(max_examples=40, deadline=None)
@given(series=made, power=st.integers(-30, 30))
def test_a_change_of_scale_scales_the_prices_and_nothing_else(series: CandleSeries, power: int) -> None:
    factor = 2.0**power
    bigger = made_series.scaled(series, factor)

    assert sweeps(bigger, atr_of(bigger), EAGER) == [
        replace(each, level=each.level * factor, extreme=each.extreme * factor)
        for each in sweeps(series, atr_of(series), EAGER)
    ]


@hypothesis_settings(max_examples=40, deadline=None)
@given(series=made)
def test_a_mirrored_series_has_the_mirrored_events(series: CandleSeries) -> None:
    atr, top = atr_of(series), 4_096.0
    other = {SwingSide.HIGH: SwingSide.LOW, SwingSide.LOW: SwingSide.HIGH}
    expected = [
        replace(each, side=other[each.side], level=top - each.level, extreme=top - each.extreme)
        for each in sweeps(series, atr, EAGER)
    ]

    seen = sweeps(made_series.mirrored(series, top), atr, EAGER)

    assert seen == sorted(expected, key=lambda each: (each.known_at, each.side, each.pivot))


@pytest.mark.parametrize("name", ["swing_length", "max_age", "reclaim"])
def test_a_count_of_no_candles_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} 0 is below 1"):
        replace(SweepSettings(), **{name: 0})


def test_a_negative_depth_is_refused() -> None:
    with pytest.raises(ConfigError, match="max_depth -1"):
        SweepSettings(max_depth=-1)
