"""Candles are stale where a market was open and none came; a closed market makes nothing stale."""

from datetime import UTC, datetime, timedelta

from bot.instruments import BINANCE, IG, OANDA, Symbol, default_registry
from bot.layer1_data.feed_ages import feed_ages
from bot.models import Timeframe

WEDNESDAY = datetime(2025, 3, 5, 15, 0, tzinfo=UTC)
SUNDAY = datetime(2025, 3, 9, 12, 0, tzinfo=UTC)
BITCOIN, EURO, APPLE = Symbol("BTC/USDT"), Symbol("EUR_USD"), Symbol("AAPL")


def test_the_age_is_that_of_the_newest_candle_of_any_symbol() -> None:
    newest = {
        (BITCOIN, Timeframe.H1): WEDNESDAY - timedelta(hours=1, minutes=5),
        (Symbol("ETH/USDT"), Timeframe.H1): WEDNESDAY - timedelta(hours=2, minutes=5),
        (BITCOIN, Timeframe.H4): WEDNESDAY - timedelta(hours=5),
    }

    found = feed_ages(newest, default_registry(), WEDNESDAY)

    assert [(each.broker_id, each.timeframe, each.age_s, each.symbols) for each in found] == [
        (BINANCE, Timeframe.H1, 300, 2),
        (BINANCE, Timeframe.H4, 3_600, 1),
    ]
    assert not any(each.stale for each in found)


def test_a_symbol_without_candles_in_open_market_is_stale_and_the_others_are_not() -> None:
    newest = {
        (BITCOIN, Timeframe.H1): WEDNESDAY - timedelta(hours=9),
        (Symbol("ETH/USDT"), Timeframe.H1): WEDNESDAY - timedelta(hours=1),
    }

    (found,) = feed_ages(newest, default_registry(), WEDNESDAY)

    assert found.stale == (BITCOIN,)


def test_at_the_weekend_only_markets_that_never_close_are_stale() -> None:
    friday = datetime(2025, 3, 7, 20, 0, tzinfo=UTC)
    newest = dict.fromkeys([(each, Timeframe.H1) for each in (BITCOIN, EURO, APPLE)], friday)

    found = feed_ages(newest, default_registry(), SUNDAY)

    assert {each.broker_id: each.stale for each in found} == {BINANCE: (BITCOIN,), OANDA: (), IG: ()}


def test_a_feed_that_never_gave_a_candle_has_no_age_and_is_stale() -> None:
    (found,) = feed_ages({(EURO, Timeframe.H1): None}, default_registry(), WEDNESDAY)

    assert (found.age_s, found.stale) == (None, (EURO,))
