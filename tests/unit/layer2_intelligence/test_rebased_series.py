"""A live series lets go of its oldest candles: what is found in the rest is as if nothing had fallen off."""

import gc
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import TypeVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.config import DivergenceSettings, ValidationSettings
from bot.errors import DataError
from bot.instruments import default_registry
from bot.layer2_intelligence.features import BatchFeatures, LiveFeatures
from bot.layer2_intelligence.indicators.confluence import CandleShapes, ShapeStream
from bot.layer2_intelligence.indicators.gaps import LIVE_GAPS_KEPT, GapStream
from bot.layer2_intelligence.indicators.rebasing import candles_dropped, moved_setup
from bot.layer2_intelligence.strategies.divergence import DivergenceStrategy
from bot.layer2_intelligence.structure_events import BreakEvent, ConfluenceChange, GapEvent, GapFact, SweepEvent
from bot.layer2_intelligence.validator import judge
from bot.models import (
    CandleSeries,
    Direction,
    DivergenceSetup,
    Endorsed,
    FeatureColumns,
    FeatureSet,
    Finding,
    Floats,
    StrategyTask,
    Vetoed,
)
from tests.unit.layer2_intelligence import made_series

DEFAULT = DivergenceSettings()
EAGER = DivergenceSettings(left=1, right=2, confirm=2, min_sep=2, osc_turn=False, min_price_atr=0, min_swing_atr=0.2)
NAMES = tuple(each.name for each in fields(FeatureColumns))
LEAST_LEFT = 200  # more than anything here looks back on

# (candles fallen off, candles there are) of each series that is shown, in order
Window = tuple[int, int]


def cut_off(draw: st.DrawFn, count: int) -> list[Window]:
    """How a series of `count` candles may come to be known: in steps, with its front falling off now and then."""
    windows = [(0, draw(st.integers(LEAST_LEFT, count)))]
    while windows[-1][1] < count:
        first, stop = windows[-1]
        if stop - first > LEAST_LEFT and draw(st.booleans()):
            first = draw(st.integers(first, stop - LEAST_LEFT))
        windows.append((first, min(count, stop + draw(st.sampled_from([1, 2, 3, 20, 150])))))
    return windows


@st.composite
def rebased(draw: st.DrawFn) -> tuple[CandleSeries, list[Window]]:
    series = made_series.walk(
        draw(st.integers(0, 10_000)),
        draw(st.integers(400, 900)),
        grid=draw(st.sampled_from([2.0**-10, 0.25, 0.5])),
        pull=draw(st.sampled_from([0.0, 0.05])),
        flat_share=draw(st.sampled_from([0.0, 0.3])),
        idle_share=draw(st.sampled_from([0.0, 0.5])),
        holes=draw(st.integers(0, 4)),
    )
    return series, cut_off(draw, len(series))


def moved(setups: tuple[DivergenceSetup, ...], dropped: int) -> tuple[DivergenceSetup | None, ...]:
    return tuple(moved_setup(each, dropped) for each in setups)


def assert_same_from(first: int, live: FeatureSet, whole: FeatureSet) -> None:
    """The same candle, setups, and values of each candle that both have, to the last bit."""
    assert (live.k + first, live.closed_at) == (whole.k, whole.closed_at)
    assert live.setups == moved(whole.setups, first)
    for name in NAMES:
        ours, theirs = getattr(live.columns, name)[: live.k + 1], getattr(whole.columns, name)[first : whole.k + 1]
        np.testing.assert_array_equal(ours, theirs, err_msg=f"{name} at {whole.k}")


# ------------------------------------------------------------------------------------------------------------ features


@settings(max_examples=30, deadline=None)
@given(shown=rebased(), divergence=st.sampled_from([DEFAULT, EAGER]), lookback=st.sampled_from([20, 100]))
def test_features_of_a_series_that_loses_its_front_are_those_of_the_whole(
    shown: tuple[CandleSeries, list[Window]], divergence: DivergenceSettings, lookback: int
) -> None:
    series, windows = shown
    batch, live = BatchFeatures(series, divergence, lookback), LiveFeatures(divergence, lookback)

    for before, (first, stop) in zip([(0, 0), *windows], windows, strict=False):
        assert_same_from(first, live.advance(series.slice(first, stop)), batch.at(stop - 1))
        for k in range(before[1], stop):  # each new candle, as the supervisor asks for them
            assert live.at(k - first).setups == moved(batch.at(k).setups, first)


def test_setups_that_stand_on_candles_still_there_are_told_and_no_others() -> None:
    series = made_series.walk(51, 3_000)
    batch, live = BatchFeatures(series, DEFAULT, 100), LiveFeatures(DEFAULT, 100)
    live.advance(series.slice(0, 2_900))

    live.advance(series.slice(1_000, 3_000))

    told = [live.at(k).setups for k in range(2_000)]
    expected = [[each for each in moved(batch.at(k + 1_000).setups, 1_000) if each] for k in range(2_000)]
    assert [list(each) for each in told] == expected
    assert sum(map(len, expected)) > 50
    assert all(each.p1 >= 0 for found in told for each in found)


def test_many_candles_at_once_after_others_fell_off_go_on_from_all_that_were_ever_shown() -> None:
    series = made_series.walk(60, 3_500)
    batch, live = BatchFeatures(series, DEFAULT, 100), LiveFeatures(DEFAULT, 100)
    live.advance(series.slice(0, 2_000))

    answer = live.advance(series.slice(1_000, 3_500))

    assert_same_from(1_000, answer, batch.at(3_499))


def test_answers_given_before_candles_fell_off_stay_as_they_were() -> None:
    series = made_series.walk(52, 1_200)
    live = LiveFeatures(DEFAULT, 100)
    early = live.advance(series.slice(0, 600))
    before = {name: getattr(early.columns, name).copy() for name in NAMES}

    for stop in range(601, 1_200):
        live.advance(series.slice((stop - 400) // 100 * 100, stop))

    for name in NAMES:
        np.testing.assert_array_equal(getattr(early.columns, name), before[name], err_msg=name)
    assert (len(early.series), early.series.close[0]) == (600, series.close[0])


def test_a_series_of_which_nothing_known_is_left_is_a_new_one() -> None:
    series = made_series.walk(53, 900)
    live, later = LiveFeatures(DEFAULT, 100), series.slice(400, 900)
    live.advance(series.slice(0, 300))

    answer = live.advance(later)

    assert_same_from(0, answer, BatchFeatures(later, DEFAULT, 100).at(499))


def test_a_series_of_which_too_little_is_left_to_go_on_is_a_new_one() -> None:
    series = made_series.walk(54, 900)
    live, later = LiveFeatures(DEFAULT, 100), series.slice(290, 900)
    live.advance(series.slice(0, 300))

    answer = live.advance(later)

    assert_same_from(0, answer, BatchFeatures(later, DEFAULT, 100).at(609))


def test_another_series_is_refused_and_the_message_says_what_was_expected() -> None:
    series = made_series.walk(55, 300)
    live = LiveFeatures(DEFAULT, 100)
    live.advance(series.slice(10, 250))
    shifted = replace(series, opened_at_s=series.opened_at_s + 60)

    with pytest.raises(DataError, match="candle 239 must open at 2024-01-11T09:00Z"):
        live.advance(series)  # begins before what was known
    with pytest.raises(DataError, match="candle 238 must"):
        live.advance(shifted.slice(10, 260))
    with pytest.raises(DataError, match="240 were known"):
        live.advance(series.slice(10, 249))


def test_dropped_candles_are_counted_by_time() -> None:
    series = made_series.walk(56, 100)

    assert candles_dropped(series.slice(0, 50), series.slice(0, 60)) == 0
    assert candles_dropped(series.slice(0, 50), series.slice(20, 60)) == 20
    assert candles_dropped(series.slice(0, 50), series.slice(50, 60)) == 50
    assert candles_dropped(series.slice(0, 50), series.slice(70, 90)) == 50
    with pytest.raises(DataError, match="0 candles, but 50 were known"):
        candles_dropped(series.slice(0, 50), series.slice(0, 0))


def test_what_live_features_hold_does_not_grow_with_the_candles_shown() -> None:
    series = made_series.walk(57, 6_000)
    live = LiveFeatures(DEFAULT, 100)
    held, first = [], 0

    for stop in range(1_000, 6_001):
        first = max(0, (stop - 500) // 500 * 500)
        live.advance(series.slice(first, stop))
        if stop % 1_000 == 0:
            gc.collect()
            held.append(sum(isinstance(each, DivergenceSetup) for each in gc.get_objects()))

    assert len(live.at(stop - first - 1).columns.rsi) == stop - first
    assert held[-1] <= 2 * held[0]
    assert held[0] > 10


# --------------------------------------------------------------------------------------------------------------- rules


def verdicts(snapshots: list[FeatureSet]) -> Iterator[tuple[Endorsed | Vetoed, tuple[Finding, ...]]]:
    divergence, validation = DivergenceSettings(), ValidationSettings()
    instrument = default_registry().get(snapshots[0].series.symbol)
    task = StrategyTask.of("divergence", instrument, snapshots[0].series.timeframe)
    for snapshot in snapshots:
        for signal in DivergenceStrategy(divergence).signals(task, snapshot, instrument):
            verdict = judge(signal, snapshot, None, instrument, validation, divergence)
            yield verdict, verdict.findings


def test_no_rule_notices_what_fell_off_while_a_thousand_candles_are_left() -> None:
    # Arrange
    series = made_series.walk(58, 4_000, step=0.5)
    batch, live = BatchFeatures(series, DEFAULT, 100), LiveFeatures(DEFAULT, 100)
    live.advance(series.slice(0, 1_999))
    seen = []

    # Act
    for stop in range(2_000, 4_001):
        first = (stop - 1_000) // 1_000 * 1_000
        seen.append(live.advance(series.slice(first, stop)))

    # Assert
    found = list(verdicts(seen))
    assert found == list(verdicts([batch.at(k) for k in range(1_999, 4_000)]))
    assert len(found) > 50
    assert {type(verdict) for verdict, _ in found} == {Endorsed, Vetoed}


# -------------------------------------------------------------------------------------------------------------- shapes

_Indexed = TypeVar("_Indexed")
_INDICES = ("known_at", "at", "middle", "pivot", "start", "k", "since", "expires")


def moved_back(event: _Indexed, dropped: int) -> _Indexed:
    """An event with indices of the whole series."""
    names = {each.name for each in fields(event)} & set(_INDICES)  # type: ignore[arg-type]
    return replace(event, **{name: getattr(event, name) + dropped for name in names})  # type: ignore[type-var]


def all_moved_back(shapes: CandleShapes, dropped: int) -> CandleShapes:
    return CandleShapes(
        [moved_back(each, dropped) for each in shapes.gaps],
        [moved_back(each, dropped) for each in shapes.structure],
        [moved_back(each, dropped) for each in shapes.sweeps],
        [moved_back(each, dropped) for each in shapes.confluence],
    )


@settings(max_examples=30, deadline=None)
@given(shown=rebased())
def test_shapes_of_a_series_that_loses_its_front_are_those_of_the_whole(
    shown: tuple[CandleSeries, list[Window]],
) -> None:
    # Arrange
    series, windows = shown
    atr = BatchFeatures(series, DEFAULT, 100).columns.atr
    stream, whole = ShapeStream(), ShapeStream()
    known = series.slice(0, windows[0][1])
    first, shown_until = 0, 0

    for start, stop in windows:
        # Act
        now = series.slice(start, stop)
        stream.let_go(candles_dropped(known, now))
        first, known = start, now
        answers = [stream.at(now, atr[start:stop], k - first) for k in range(shown_until, stop)]

        # Assert
        expected = [whole.at(series, atr, k) for k in range(shown_until, stop)]
        assert [all_moved_back(each, first) for each in answers] == expected
        shown_until = stop


def test_the_shapes_that_are_compared_are_of_every_kind_and_older_than_what_is_left() -> None:
    """What the property above relies on: chains, sweeps and breaks happen after candles fell off, and reach behind."""
    series = made_series.walk(59, 3_000, pull=0.01)
    atr = BatchFeatures(series, DEFAULT, 100).columns.atr
    stream, first = ShapeStream(), 0
    found = []

    for k in range(3_000):
        if k - first == 400:
            stream.let_go(200)
            first += 200
        found += [
            each for part in stream.at(series.slice(first, k + 1), atr[first : k + 1], k - first) for each in part
        ]

    kinds = {type(each) for each in found}
    assert {GapEvent, BreakEvent, SweepEvent, ConfluenceChange} <= kinds
    assert any(isinstance(each, GapEvent) and each.middle < 0 for each in found)


def test_of_thousands_of_gaps_alive_the_oldest_are_forgotten_and_the_rest_is_told() -> None:
    # Arrange: every candle leaves a gap below it, then one candle falls through all of them
    count = 2 * LIVE_GAPS_KEPT + 500
    steps: Floats = np.arange(count, dtype=np.float64)
    high, low, close = 10 + 2 * steps + 1, 10 + 2 * steps, 10 + 2 * steps + 0.75
    high, low, close = (np.append(column, end) for column, end in ((high, 20.0), (low, 1.0), (close, 1.0)))
    series = replace(made_series.series_of(high, low, close), open=np.append(low[:-1] + 0.25, 20.0))
    stream, atr = GapStream(), np.full(len(series), np.nan)

    # Act
    events = [stream.at(series, atr, k) for k in range(len(series))]

    # Assert
    formed = [each.middle for found in events for each in found if each.fact is GapFact.FORMED]
    ended = [each.middle for each in events[-1] if each.fact is GapFact.INVERTED and each.direction is Direction.LONG]
    assert formed[: count - 2] == list(range(1, count - 1))
    assert LIVE_GAPS_KEPT <= len(ended) < 2 * LIVE_GAPS_KEPT
    assert ended == formed[: count - 2][-len(ended) :]
    assert [each.fact for each in events[-1]].count(GapFact.TOUCHED) == len(ended)
