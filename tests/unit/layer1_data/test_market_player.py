"""Dev mode's market: what is played, when, and that a restart changes nothing."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.clock import ManualClock
from bot.errors import BrokerUnavailable, DataError
from bot.instruments import BINANCE, Currency, Instrument, Spread, Symbol, default_registry
from bot.layer1_data.brokers.simulated.adapter import SimulatedBroker
from bot.layer1_data.feeds.market_player import DEV_EPOCH, MarketPlayer, Track, start_of
from bot.layer1_data.feeds.played_history import PlayedHistory, resampled
from bot.layer1_data.feeds.tape import QUOTES_PER_CANDLE, quote_path
from bot.models import CandleSeries, Quote, Timeframe, decimal_of

HOUR: Final = timedelta(hours=1)
BTC: Final = replace(default_registry().get("BTC/USDT"), typical_spread=Spread())
ETH: Final = default_registry().get("ETH/USDT")
Seen = tuple[Symbol, Decimal, Decimal, datetime, bool]


class Tapped:
    """A venue that keeps what it was shown."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []

    def observe(self, symbol: Symbol, *, bid: Decimal, ask: Decimal, at: datetime, gap: bool) -> bool:
        self.seen.append((symbol, bid, ask, at, gap))
        return False


def recording(length: int, instrument: Instrument = BTC, timeframe: Timeframe = Timeframe.H1) -> CandleSeries:
    """Made candles with a hole after each tenth, as a weekend makes one."""
    number = np.arange(length)
    opened = 1_500_000_000 // timeframe.seconds * timeframe.seconds + timeframe.seconds * (number + 48 * (number // 10))
    close = np.round(100 + 5 * np.sin(number / 7) + 0.5 * np.cos(number * 2.1), 2)
    opens = np.round(np.concatenate(([100.0], close[:-1])) + 0.1, 2)
    return CandleSeries(
        instrument.symbol,
        timeframe,
        opened.astype(np.int64),
        opens,
        np.round(np.maximum(opens, close) + 0.7, 2),
        np.round(np.minimum(opens, close) - 0.6, 2),
        close,
        (10.0 + number % 24).astype(np.float64),
        number.astype(np.int64) // 10,
    )


class Played:
    """A player over one tapped venue, with a clock that stands where the run starts."""

    def __init__(
        self,
        *tracks: tuple[Instrument, int, Timeframe],
        warmup: int = 20,
        kept: int = 100,
        resume: Mapping[str, Any] | None = None,
    ) -> None:
        self.venue = Tapped()
        self.history = PlayedHistory(kept)
        self.clock = ManualClock(start_of(resume))
        self.told: list[str] = []
        self.player = MarketPlayer(
            [
                Track(broker=self.venue, instrument=each, recording=recording(length, each, timeframe), seed=7)
                for each, length, timeframe in tracks or [(BTC, 40, Timeframe.H1)]
            ],
            self.clock,
            self.history,
            warmup=warmup,
            resume=resume,
            on_quote=lambda quote: self.told.append(f"quote {quote.symbol} {quote.at:%H:%M:%S}"),
            on_candle=lambda symbol, timeframe, at: self.told.append(f"close {symbol} {timeframe} {at:%H:%M:%S}"),
        )

    def play(self, instants: int) -> Sequence[Seen]:
        """What the venue was shown in the next `instants`."""
        before = len(self.venue.seen)
        for _ in range(instants):
            self.player.play_next()
        return self.venue.seen[before:]

    def series(self, timeframe: Timeframe = Timeframe.H1, symbol: Symbol = BTC.symbol) -> CandleSeries:
        return self.history.series(symbol, timeframe)


def columns(series: CandleSeries) -> list[list[float]]:
    names = ("opened_at_s", "open", "high", "low", "close", "volume", "segment")
    return [getattr(series, name).tolist() for name in names]


# --------------------------------------------------------------------------------------------------------- the candles


def test_the_warm_up_is_history_before_the_first_quote_and_ends_at_the_epoch() -> None:
    played = Played()

    series = played.series()
    assert len(series) == 20
    assert series.closed_at(19) == DEV_EPOCH == played.player.next_at
    assert series.close.tolist() == recording(40).close[:20].tolist()
    assert played.venue.seen == []


async def test_a_venue_fed_by_the_player_has_candles_before_quotes() -> None:
    history, clock = PlayedHistory(), ManualClock(DEV_EPOCH)
    venue = SimulatedBroker(
        broker_id=BINANCE,
        instruments=(BTC,),
        clock=clock,
        currency=Currency("USD"),
        balance=Decimal(1),
        history=history,
    )
    track = Track(broker=venue, instrument=BTC, recording=recording(500), seed=7)
    player = MarketPlayer([track], clock, history)

    with pytest.raises(BrokerUnavailable):
        await venue.quote(BTC.symbol)
    assert len(await venue.candles(BTC.symbol, Timeframe.H4, since=None, limit=500)) == 100
    player.play_next()
    assert (await venue.quote(BTC.symbol)).at == DEV_EPOCH


def test_candles_are_re_dated_to_follow_each_other_without_holes() -> None:
    played = Played()
    played.play(8 * 19 + 19)

    assert set(np.diff(played.series().opened_at_s)) == {3_600}
    assert set(played.series().segment) == {0}


def test_a_candle_becomes_history_at_its_close_and_not_before() -> None:
    played = Played()
    played.play(QUOTES_PER_CANDLE)
    assert len(played.series()) == 20

    assert played.player.play_next() == DEV_EPOCH + HOUR
    assert columns(played.series().slice(20, 21))[1:6] == [
        [getattr(recording(40), name)[20]] for name in ("open", "high", "low", "close", "volume")
    ]


def test_at_one_instant_every_candle_closes_before_any_quote_is_shown() -> None:
    played = Played((BTC, 40, Timeframe.H1), (ETH, 40, Timeframe.H1))
    played.play(QUOTES_PER_CANDLE)
    played.told.clear()
    played.play(1)

    assert played.told == [
        "close BTC/USDT 1h 01:00:00",
        "close ETH/USDT 1h 01:00:00",
        "quote BTC/USDT 01:00:00",
        "quote ETH/USDT 01:00:00",
    ]


# ---------------------------------------------------------------------------------------------------------- the quotes


def test_a_candle_is_played_from_its_open_through_both_extremes_to_its_close() -> None:
    rising, falling = (10.0, 14.0, 8.0, 12.0, 1.0), (12.0, 14.0, 8.0, 10.0, 1.0)

    assert quote_path(rising) == (10.0, 9.0, 8.0, 10.0, 12.0, 14.0, 13.0, 12.0)
    assert quote_path(falling) == (12.0, 13.0, 14.0, 12.0, 10.0, 8.0, 9.0, 10.0)


@pytest.mark.parametrize("number", [20, 27, 33])
def test_the_quotes_of_a_candle_show_exactly_its_prices_and_only_the_open_is_a_jump(number: int) -> None:
    played = Played()
    played.play((number - 20) * QUOTES_PER_CANDLE)
    quotes = played.play(QUOTES_PER_CANDLE)[-QUOTES_PER_CANDLE:]
    candle = recording(40).candle(number)
    bids = [bid for _, bid, _, _, _ in quotes]

    assert (bids[0], max(bids), min(bids), bids[-1]) == (candle.open, candle.high, candle.low, candle.close)
    assert [gap for *_, gap in quotes] == [True] + [False] * 7
    assert [at for *_, at, _ in quotes] == [
        DEV_EPOCH + (number - 20) * HOUR + part * HOUR / QUOTES_PER_CANDLE for part in range(QUOTES_PER_CANDLE)
    ]


def test_bid_and_ask_stand_half_the_spread_from_the_mid_on_the_tick() -> None:
    played = Played((ETH, 40, Timeframe.H1))
    row = recording(40).slice(20, 21)
    candle = (float(row.open[0]), float(row.high[0]), float(row.low[0]), float(row.close[0]), 0.0)
    for (_, bid, ask, _, _), mid in zip(played.play(8), quote_path(candle), strict=True):
        half = decimal_of(mid) * Decimal("0.0001")
        assert bid % ETH.tick == ask % ETH.tick == 0
        assert decimal_of(mid) - half - ETH.tick < bid <= decimal_of(mid) - half
        assert decimal_of(mid) + half <= ask < decimal_of(mid) + half + ETH.tick


def test_tracks_of_different_timeframes_advance_together() -> None:
    played = Played((BTC, 40, Timeframe.H1), (ETH, 40, Timeframe.M15))
    quotes = played.play(60)
    instants = [at for *_, at, _ in quotes]

    assert instants == sorted(instants)
    shown = [symbol for symbol, _, _, at, _ in quotes if at < DEV_EPOCH + HOUR]
    assert (shown.count(BTC.symbol), shown.count(ETH.symbol)) == (8, 32)


# --------------------------------------------------------------------------------------------- longer, and without end


def test_longer_timeframes_are_made_of_closed_candles_only_and_align_to_the_epoch() -> None:
    played = Played(warmup=18)
    assert len(played.series(Timeframe.H4)) == 4  # 18 h before midnight: the first two hours make no 4h candle
    played.play(3 * (QUOTES_PER_CANDLE + 0) + 1)
    assert len(played.series(Timeframe.H4)) == 4
    played.play(QUOTES_PER_CANDLE)

    base, longer = played.series(), played.series(Timeframe.H4)
    last = base.slice(len(base) - 4, len(base))
    assert len(longer) == 5
    assert columns(longer.slice(4, 5)) == [
        [int(DEV_EPOCH.timestamp())],
        [last.open[0]],
        [last.high.max()],
        [last.low.min()],
        [last.close[3]],
        [last.volume.sum()],
        [0],
    ]


def test_a_timeframe_shorter_than_the_base_and_an_unknown_symbol_have_no_candles() -> None:
    played = Played()

    assert len(played.series(Timeframe.M15)) == 0
    assert len(played.series(symbol=Symbol("XYZ"))) == 0


def test_resampling_leaves_out_empty_buckets() -> None:
    base = recording(12)
    hole = resampled(base, Timeframe.H4)

    assert all(opened % 14_400 == 0 for opened in hole.opened_at_s)
    assert len(hole) < 12


def test_when_the_recording_ends_the_market_goes_on_and_says_so() -> None:
    played = Played()
    played.play(8 * 19)
    assert played.player.source(BTC.symbol) == "recorded"
    played.play(8 * 2)
    assert played.player.source(BTC.symbol) == "seeded"
    played.play(8 * 600)

    series = played.series()
    assert len(series) == 100  # bounded
    assert set(np.diff(series.opened_at_s)) == {3_600}
    assert series.close.std() > 0
    assert np.array_equal(series.open[1:], series.close[:-1])


def test_the_saved_position_stays_small_however_long_the_market_goes_on() -> None:
    played = Played()
    played.play(8 * 2_000)

    (track,) = played.player.position()["tracks"].values()
    assert len(track["anchors"]) <= 6


def test_a_series_handed_out_never_changes() -> None:
    played = Played()
    taken = played.series()
    before = columns(taken)
    played.play(8 * 500)

    assert columns(taken) == before


# -------------------------------------------------------------------------------------------------------------- restart


@settings(deadline=None, max_examples=25)
@given(cut=st.one_of(st.integers(0, 400), st.integers(4_600, 4_620)), after=st.integers(1, 60))
def test_going_on_after_a_restart_equals_an_unbroken_run(cut: int, after: int) -> None:
    tracks = ((BTC, 40, Timeframe.H1), (ETH, 30, Timeframe.M30))
    unbroken = Played(*tracks)
    unbroken.play(cut)
    saved = json.loads(json.dumps(unbroken.player.position()))

    resumed = Played(*tracks, resume=saved)

    for symbol, timeframe in ((BTC.symbol, Timeframe.H1), (BTC.symbol, Timeframe.H4), (ETH.symbol, Timeframe.M30)):
        assert columns(resumed.series(timeframe, symbol)) == columns(unbroken.series(timeframe, symbol))
    unbroken.told.clear()
    assert resumed.play(after) == unbroken.play(after)
    assert resumed.told == unbroken.told
    assert columns(resumed.series()) == columns(unbroken.series())
    assert resumed.player.position()["tracks"] == unbroken.player.position()["tracks"]


def test_time_does_not_go_back_over_a_restart() -> None:
    played = Played()
    played.play(3)  # played at 00:00, 00:07:30 and 00:15:00 while the clock still showed midnight
    assert start_of(played.player.position()) == DEV_EPOCH + HOUR / 4

    played.clock.advance(1_000)  # between two quotes: the clock has gone on
    assert start_of(played.player.position()) == DEV_EPOCH + timedelta(seconds=1_000)


def test_a_track_added_at_a_restart_begins_at_its_next_candle_with_full_history() -> None:
    first = Played()
    first.play(12)

    both = Played((BTC, 40, Timeframe.H1), (ETH, 40, Timeframe.H1), resume=first.player.position())
    both.play(8)

    added = [each for each in both.venue.seen if each[0] == ETH.symbol]
    assert (added[0][3], added[0][4]) == (DEV_EPOCH + 2 * HOUR, True)
    assert both.series(symbol=ETH.symbol).closed_at(-1) == DEV_EPOCH + 2 * HOUR


def test_a_position_of_another_recording_or_version_is_refused_with_the_way_out() -> None:
    position = Played().player.position()

    with pytest.raises(DataError, match=r"BTC/USDT.*remove the saved run state"):
        Played((BTC, 41, Timeframe.H1), resume=position)
    with pytest.raises(DataError, match=r"version 99.*remove the saved run state"):
        Played(resume={**position, "version": 99})


def test_an_empty_recording_is_refused() -> None:
    with pytest.raises(DataError, match="recording of BTC/USDT is empty"):
        Played((BTC, 0, Timeframe.H1))


# ---------------------------------------------------------------------------------------------------------- the clock


async def test_the_player_follows_the_clock_and_ends_when_told() -> None:
    played, stop = Played(), asyncio.Event()
    running = asyncio.create_task(played.player.run(stop))

    await played.clock.run_for(3_599)
    assert len(played.venue.seen) == 8
    await played.clock.run_for(1)
    assert (len(played.venue.seen), len(played.series())) == (9, 21)

    stop.set()
    await running
    assert len(played.venue.seen) == 9


async def test_a_player_that_falls_behind_skips_no_quote_and_lets_others_run() -> None:
    played, stop = Played(), asyncio.Event()
    unbroken = Played()
    turns = 0

    async def somebody_else() -> None:
        nonlocal turns
        while len(played.venue.seen) < 80:
            turns += 1
            await played.clock.sleep(0)

    played.clock.advance(10 * 3_600 - 1)  # ten hours at once: the machine was asleep
    assert played.player.behind_s == 10 * 3_600 - 1
    running = asyncio.create_task(played.player.run(stop))
    await somebody_else()
    stop.set()
    await running

    assert played.venue.seen == unbroken.play(80)
    assert turns > 10
    assert played.player.behind_s == 0


async def test_quotes_of_the_player_reach_a_stream_reader() -> None:
    clock = ManualClock(DEV_EPOCH)
    venue = SimulatedBroker(
        broker_id=BINANCE, instruments=(BTC,), clock=clock, currency=Currency("USD"), balance=Decimal(1)
    )
    track = Track(broker=venue, instrument=BTC, recording=recording(500), seed=7)
    player = MarketPlayer([track], clock, PlayedHistory())
    seen: list[Quote] = []

    async def read() -> None:
        async for quote in venue.quotes([BTC.symbol]):
            seen.append(quote)

    reading = asyncio.create_task(read())
    await clock.sleep(0)
    for _ in range(70):  # more than a reader's queue holds: the oldest are lost, the market is not delayed
        player.play_next()
    await clock.sleep(0)
    await venue.close()
    await reading

    assert len(seen) == 64
    assert seen[-1].at == player.next_at - HOUR / QUOTES_PER_CANDLE
