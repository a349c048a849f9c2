"""The shared columns of closed candles."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.errors import ConfigError, UnknownSymbol
from bot.instruments import Symbol, default_registry
from bot.interfaces import CandleSource
from bot.layer1_data.candle_cache import CandleCache
from bot.models import Candle, CandleSeries, Timeframe

BTC = Symbol("BTC/USDT")
START = datetime(2024, 3, 1, tzinfo=UTC)


def candle(hour: int, close: str = "101.25") -> Candle:
    opened_at = START + timedelta(hours=hour)
    return Candle(
        opened_at=opened_at,
        closed_at=opened_at + timedelta(hours=1),
        open=Decimal("100"),
        high=Decimal("102.5"),
        low=Decimal("99.1"),
        close=Decimal(close),
        volume=Decimal("7"),
    )


def empty_cache() -> CandleCache:
    return CandleCache(default_registry())


def hours(series: CandleSeries) -> list[int]:
    return [(each - int(START.timestamp())) // 3_600 for each in series.opened_at_s.tolist()]


def test_a_series_nobody_filled_is_empty_but_an_unregistered_symbol_is_refused() -> None:
    source: CandleSource = empty_cache()

    assert len(source.series(BTC, Timeframe.H1)) == 0
    with pytest.raises(UnknownSymbol, match="BTC/USTD"):
        source.series(Symbol("BTC/USTD"), Timeframe.H1)


def test_appended_candles_come_back_as_they_were() -> None:
    cache = empty_cache()

    assert cache.append(BTC, Timeframe.H1, [candle(0), candle(1, "99.9")]) == 2

    series = cache.series(BTC, Timeframe.H1)
    assert (series.symbol, series.timeframe) == (BTC, Timeframe.H1)
    assert series.candle(1) == candle(1, "99.9")


def test_only_what_is_newer_than_everything_known_counts_and_the_first_version_stays() -> None:
    cache = empty_cache()
    cache.append(BTC, Timeframe.H1, [candle(0), candle(2)])

    assert cache.append(BTC, Timeframe.H1, [candle(1), candle(2, "50"), candle(3), candle(3, "50")]) == 1

    series = cache.series(BTC, Timeframe.H1)
    assert hours(series) == [0, 2, 3]
    assert series.close.tolist() == [101.25] * 3


def test_timeframes_and_symbols_are_kept_apart() -> None:
    cache = empty_cache()
    cache.append(BTC, Timeframe.H1, [candle(0)])
    cache.append(Symbol("ETH/USDT"), Timeframe.H1, [candle(0), candle(1)])

    assert [len(cache.series(BTC, each)) for each in (Timeframe.H1, Timeframe.H4)] == [1, 0]
    assert len(cache.series(Symbol("ETH/USDT"), Timeframe.H1)) == 2


def test_a_series_that_was_handed_out_never_changes_and_cannot_be_written_to() -> None:
    cache = empty_cache()
    cache.append(BTC, Timeframe.H1, [candle(0), candle(1)])
    early = cache.series(BTC, Timeframe.H1)

    for hour in range(2, 5_000):  # the columns move several times, and the oldest candles fall off
        cache.append(BTC, Timeframe.H1, [candle(hour)])

    assert hours(early) == [0, 1]
    assert early.close.tolist() == [101.25, 101.25]
    assert hours(cache.series(BTC, Timeframe.H1)) == list(range(2_000, 5_000))
    with pytest.raises(ValueError, match="read-only"):
        early.close[0] = 1.0


def test_a_series_shares_memory_with_the_cache_and_is_made_once_between_appends() -> None:
    cache = empty_cache()
    cache.append(BTC, Timeframe.H1, [candle(0)])
    first = cache.series(BTC, Timeframe.H1)

    assert cache.series(BTC, Timeframe.H1) is first
    cache.append(BTC, Timeframe.H1, [candle(1)])
    assert np.shares_memory(first.close, cache.series(BTC, Timeframe.H1).close)


def test_the_columns_take_at_most_112_bytes_per_candle() -> None:
    cache = empty_cache()
    cache.append(BTC, Timeframe.H1, [candle(hour) for hour in range(1_030)])

    series = cache.series(BTC, Timeframe.H1)
    blocks = {id(each.base): each.base.nbytes for each in (series.close, series.opened_at_s) if each.base is not None}

    assert sum(blocks.values()) <= 112 * 1_030


def test_a_long_run_needs_no_more_memory_than_twice_what_is_kept() -> None:
    cache = CandleCache(default_registry(), keep=1_000)
    sizes, lengths = set(), []

    for hour in range(0, 10_000, 2):
        cache.append(BTC, Timeframe.H1, [candle(hour), candle(hour + 1)])
        series = cache.series(BTC, Timeframe.H1)
        blocks = {
            id(each.base): each.base.nbytes for each in (series.close, series.opened_at_s) if each.base is not None
        }
        sizes.add(sum(blocks.values()))
        lengths.append(len(series))

    assert max(sizes) == 56 * 2_000
    assert (min(lengths[500:]), max(lengths)) == (1_002, 2_000)


def test_nothing_falls_off_in_the_call_that_brought_it() -> None:
    cache = CandleCache(default_registry(), keep=1_000)
    cache.append(BTC, Timeframe.H1, [candle(hour) for hour in range(1_999)])

    assert cache.append(BTC, Timeframe.H1, [candle(hour) for hour in range(1_999, 5_000)]) == 3_001
    assert hours(cache.series(BTC, Timeframe.H1)) == list(range(5_000))

    cache.append(BTC, Timeframe.H1, [candle(5_000)])
    assert hours(cache.series(BTC, Timeframe.H1)) == list(range(4_000, 5_001))


def test_segments_go_on_counting_when_the_candles_of_the_first_have_gone() -> None:
    cache = CandleCache(default_registry(), keep=1_000)
    cache.append(BTC, Timeframe.H1, [candle(hour) for hour in range(500)])
    cache.append(BTC, Timeframe.H1, [candle(hour) for hour in range(600, 2_200)])

    cache.append(BTC, Timeframe.H1, [candle(2_300)])

    assert set(cache.series(BTC, Timeframe.H1).segment.tolist()) == {1, 2}


def test_a_cache_that_rules_could_notice_is_refused() -> None:
    with pytest.raises(ConfigError, match="keep is 999 candles; rules and detectors need at least 1000"):
        CandleCache(default_registry(), keep=999)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.sampled_from([1, 7, 400, 999, 1_000, 1_001, 2_500]), max_size=12), st.data())
def test_the_newest_are_always_there_whatever_the_pieces(pieces: list[int], data: st.DataObject) -> None:
    cache, whole = CandleCache(default_registry(), keep=1_000), CandleCache(default_registry(), keep=100_000)
    count = 0
    for piece in pieces:
        fresh = [candle(hour) for hour in range(count, count + piece)]
        whole.append(BTC, Timeframe.H1, fresh)
        if data.draw(st.booleans()):
            cache.load(whole.series(BTC, Timeframe.H1))
        else:
            cache.append(BTC, Timeframe.H1, fresh)
        count += piece

        series = cache.series(BTC, Timeframe.H1)

        assert min(count, 1_000 + piece) <= len(series) <= 2_000 + piece
        assert hours(series) == list(range(count - len(series), count))


def test_loading_a_series_continues_what_is_known() -> None:
    source, cache = empty_cache(), empty_cache()
    source.append(BTC, Timeframe.H1, [candle(hour) for hour in (0, 1, 2, 9, 10)])
    cache.append(BTC, Timeframe.H1, [candle(0), candle(1, "99.5")])

    assert cache.load(source.series(BTC, Timeframe.H1)) == 3
    assert cache.load(source.series(BTC, Timeframe.H1)) == 0

    series = cache.series(BTC, Timeframe.H1)
    assert hours(series) == [0, 1, 2, 9, 10]
    assert series.close.tolist() == [101.25, 99.5, 101.25, 101.25, 101.25]
    assert series.segment.tolist() == [0, 0, 0, 1, 1]


@settings(deadline=None, max_examples=80)
@given(st.lists(st.integers(1, 7), min_size=1, max_size=40), st.data())
def test_one_by_one_in_pieces_and_at_once_give_the_same_columns(steps: list[int], data: st.DataObject) -> None:
    # Arrange
    candles = [candle(hour) for hour in np.cumsum(steps).tolist()]
    cut = data.draw(st.integers(0, len(candles)))
    at_once, one_by_one, loaded = empty_cache(), empty_cache(), empty_cache()

    # Act
    at_once.append(BTC, Timeframe.H1, candles)
    for each in candles:
        one_by_one.append(BTC, Timeframe.H1, [each])
    loaded.append(BTC, Timeframe.H1, candles[:cut])
    loaded.load(at_once.series(BTC, Timeframe.H1))

    # Assert
    expected = at_once.series(BTC, Timeframe.H1)
    assert expected.segment[-1] == sum(step > 4 for step in steps[1:])
    for other in (one_by_one, loaded):
        series = other.series(BTC, Timeframe.H1)
        assert series.opened_at_s.tolist() == expected.opened_at_s.tolist()
        assert series.segment.tolist() == expected.segment.tolist()
        assert series.close.tolist() == expected.close.tolist()
