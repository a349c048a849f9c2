"""The market that goes on after a recording: reproducible, consistent, lively."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.errors import DataError
from bot.instruments import default_registry
from bot.layer1_data.feeds.seeded_market import BLOCK_CANDLES, SeededMarket, measured_volatility
from bot.models import CandleSeries, Timeframe, decimal_of

START: Final = datetime(2024, 3, 4, tzinfo=UTC)
SYMBOLS: Final = ("BTC/USDT", "DOGE/USDT", "EUR_USD", "USD_JPY", "SPX500_USD", "NVDA", "XRP/ETH")
FIRST_PRICE: Final = {"BTC/USDT": 60_000, "DOGE/USDT": 0.1, "EUR_USD": 1.1, "USD_JPY": 150, "SPX500_USD": 5_000}


def market(symbol: str = "EUR_USD", *, seed: int = 7, volatility: float = 0.002, price: float = 0) -> SeededMarket:
    return SeededMarket(
        seed=seed,
        instrument=default_registry().get(symbol),
        timeframe=Timeframe.H1,
        anchor_price=price or FIRST_PRICE.get(symbol, 100),
        volatility=volatility,
        start=START,
    )


def long_run(made: SeededMarket, blocks: int) -> CandleSeries:
    parts, anchor = [], made.anchor_price
    for number in range(blocks):
        parts.append(made.block(number, anchor))
        anchor = float(parts[-1].close[-1])
    columns = ("opened_at_s", "open", "high", "low", "close", "volume", "segment")
    joined = [np.concatenate([getattr(part, column) for part in parts]) for column in columns]
    return CandleSeries(parts[0].symbol, parts[0].timeframe, *joined)


def same(one: CandleSeries, other: CandleSeries) -> bool:
    columns = ("opened_at_s", "open", "high", "low", "close", "volume", "segment")
    return all(np.array_equal(getattr(one, column), getattr(other, column)) for column in columns)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32), number=st.integers(0, 10_000), symbol=st.sampled_from(SYMBOLS))
def test_the_same_seed_gives_the_same_candles(seed: int, number: int, symbol: str) -> None:
    anchor = float(FIRST_PRICE.get(symbol, 100))

    assert same(market(symbol, seed=seed).block(number, anchor), market(symbol, seed=seed).block(number, anchor))


def test_another_seed_symbol_or_block_gives_other_candles() -> None:
    blocks = [
        market(seed=7).block(0, 1.1),
        market(seed=8).block(0, 1.1),
        market("AUD_USD", price=1.1).block(0, 1.1),
        market(seed=7).block(1, 1.1),
    ]

    assert len({tuple(each.close) for each in blocks}) == 4


@settings(deadline=None, max_examples=10)
@given(cut=st.integers(1, 6), symbol=st.sampled_from(SYMBOLS))
def test_going_on_from_a_saved_block_and_close_equals_an_unbroken_run(cut: int, symbol: str) -> None:
    unbroken = long_run(market(symbol), 7)
    anchor = float(unbroken.close[cut * BLOCK_CANDLES - 1])

    resumed = market(symbol).block(cut, anchor)

    assert same(resumed, unbroken.slice(cut * BLOCK_CANDLES, (cut + 1) * BLOCK_CANDLES))


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 1_000),
    symbol=st.sampled_from(SYMBOLS),
    volatility=st.sampled_from([0.0, 0.0003, 0.002, 0.02, 5.0]),
)
def test_every_candle_is_consistent_positive_and_on_the_tick(seed: int, symbol: str, volatility: float) -> None:
    made = market(symbol, seed=seed, volatility=volatility)
    block = made.block(3, made.anchor_price)
    tick = default_registry().get(symbol).tick

    assert np.all(block.high >= np.maximum(block.open, block.close))
    assert np.all(block.low <= np.minimum(block.open, block.close))
    assert np.all(block.low > 0)
    assert np.all(block.volume >= 0)
    for column in (block.open, block.high, block.low, block.close):
        assert all(decimal_of(price) % tick == Decimal(0) for price in column)


def test_candles_follow_each_other_without_holes_and_each_opens_at_the_close_before() -> None:
    series = long_run(market(), 3)

    assert series.opened_at(0) == START
    assert set(np.diff(series.opened_at_s)) == {3_600}
    assert np.array_equal(series.open[1:], series.close[:-1])


def test_the_iterator_gives_the_blocks_in_order() -> None:
    series = long_run(market(), 2)
    candles = list(islice(market().candles(), 2 * BLOCK_CANDLES))

    assert [each.close for each in candles] == [decimal_of(price) for price in series.close]
    assert candles[-1].closed_at == START + timedelta(hours=2 * BLOCK_CANDLES)


@pytest.mark.parametrize("seed", range(5))
def test_the_market_is_as_volatile_as_told_clusters_and_stays_near_home_for_years(seed: int) -> None:
    series = long_run(market(seed=seed, volatility=0.002), 80)  # 20,480 hours
    returns = np.diff(np.log(series.close))
    sizes = np.abs(returns) - np.abs(returns).mean()
    clustering = float((sizes[1:] * sizes[:-1]).mean() / sizes.var())

    assert 0.0016 < measured_volatility(series) < 0.0026
    assert clustering > 0.05
    assert np.abs(returns).max() > 4 * 0.002  # shocks
    assert 0.6 < series.close.min() / 1.1 < 1 < series.close.max() / 1.1 < 1.6


def test_volume_is_highest_at_the_busy_hours_and_absent_where_the_instrument_has_none() -> None:
    series = long_run(market(), 30)
    hours = series.opened_at_s // 3_600 % 24
    by_hour = [float(series.volume[hours == hour].mean()) for hour in range(24)]

    silent = SeededMarket(
        seed=7,
        instrument=replace(default_registry().get("EUR_USD"), has_volume=False),
        timeframe=Timeframe.H1,
        anchor_price=1.1,
        volatility=0.002,
        start=START,
    )

    assert by_hour[15] > 1.5 * by_hour[3]
    assert not silent.block(0, 1.1).volume.any()


def test_an_anchor_that_is_no_price_is_refused() -> None:
    with pytest.raises(DataError, match=r"EUR_USD: anchor price -1\.0 must be above 0"):
        market(price=-1.0)


def test_a_recording_too_short_to_measure_is_refused() -> None:
    with pytest.raises(DataError, match="2 candles"):
        measured_volatility(market().block(0, 1.1).slice(0, 2))
