"""The feed against venues that are late, repeat themselves, answer in disorder, fail and show forming candles."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.clock import ManualClock
from bot.errors import BrokerUnavailable, ConfigError, DataError, UnknownSymbol
from bot.instruments import BINANCE, OANDA, BrokerId, Symbol, default_registry
from bot.layer1_data.broker_interface import BrokerInterface
from bot.layer1_data.broker_router import BrokerRouter
from bot.layer1_data.candle_cache import CandleCache
from bot.layer1_data.feeds.candle_feed import CandleFeed, FeedReport, Subscription
from bot.models import Candle, Timeframe

BTC, ETH, EUR = Symbol("BTC/USDT"), Symbol("ETH/USDT"), Symbol("EUR_USD")
START = datetime(2024, 3, 5, tzinfo=UTC)  # a Tuesday
HOUR = timedelta(hours=1)
H1, H4 = Timeframe.H1, Timeframe.H4


def candle(opened_at: datetime, timeframe: Timeframe = H1, *, low: str = "99") -> Candle:
    hours = int(opened_at.timestamp()) // 3_600
    return Candle(
        opened_at=opened_at,
        closed_at=opened_at + timeframe.duration,
        open=Decimal(100),
        high=Decimal(10**7),
        low=Decimal(low),
        close=Decimal(hours),
        volume=Decimal(1),
    )


class Venue(BrokerInterface):
    """Candles at every full step since 2024, with the habits of real venues switched on one by one.

    `late_s`: a closed candle appears that much later. `forming`: the unfinished candle comes along (Binance).
    `newest_first` (Coinbase). `repeats`: each row twice, and the one before `since`. `page`: most rows per answer.
    `missing`: opens without a candle. `broken`: opens whose candle has a low above its open. `outage`: raised instead,
    if `outage_at` is given by that question only. `gate`: answers wait for it.
    """

    def __init__(self, broker_id: BrokerId, clock: ManualClock) -> None:
        self._broker_id = broker_id
        self._clock = clock
        self.asked: list[tuple[Symbol, Timeframe, datetime | None, int]] = []
        self.late_s = 0.0
        self.forming = False
        self.newest_first = False
        self.repeats = False
        self.page = 10_000
        self.missing: set[datetime] = set()
        self.broken: set[datetime] = set()
        self.closed_from: datetime | None = None
        self.outage: Exception | None = None
        self.outage_at: int | None = None
        self.gate: asyncio.Event | None = None

    @property
    def broker_id(self) -> BrokerId:
        return self._broker_id

    async def candles(
        self, symbol: Symbol, timeframe: Timeframe, *, since: datetime | None, limit: int
    ) -> Sequence[Candle]:
        self.asked.append((symbol, timeframe, since, limit))
        if self.gate:
            await self.gate.wait()
        if self.outage and self.outage_at in (None, len(self.asked)):
            raise self.outage
        rows = self._rows(timeframe, since, min(limit, self.page))
        if self.repeats:
            earlier = [candle(since - timeframe.duration, timeframe)] if since else []
            rows = [*earlier, *(each for row in rows for each in (row, row))]
        return rows[::-1] if self.newest_first else rows

    def _rows(self, timeframe: Timeframe, since: datetime | None, limit: int) -> list[Candle]:
        step, now = timeframe.duration, self._clock.now()
        end = START + (now - timedelta(seconds=self.late_s) - START) // step * step
        first = since or end - step * limit
        closed = [first + step * index for index in range(limit) if first + step * (index + 1) <= end]
        closed = [each for each in closed if each not in self.missing and each < (self.closed_from or now)]
        if self.forming and (since is None or len(closed) < limit):
            closed = [*closed, START + (now - START) // step * step][-limit:]
        return [candle(each, timeframe, low="101" if each in self.broken else "99") for each in closed]


# Orders and accounts are not what this file is about.
Venue.__abstractmethods__ = frozenset()


class Scene:
    """A feed over two venues and a clock that the test moves."""

    def __init__(self, cache: CandleCache | None = None) -> None:
        self.clock = ManualClock(START)
        self.binance = Venue(BINANCE, self.clock)  # type: ignore[abstract]
        self.oanda = Venue(OANDA, self.clock)  # type: ignore[abstract]
        self.registry = default_registry()
        self.cache = cache or CandleCache(self.registry)
        router = BrokerRouter([self.oanda, self.binance], self.registry)
        self.feed = CandleFeed(router, self.cache, self.clock, keep_history=300)

    async def seeded(self, *subscriptions: Subscription) -> FeedReport:
        for symbol, timeframe in subscriptions:
            self.feed.subscribe(symbol, timeframe)
        return await self.feed.poll()

    async def poll_after(self, **passed: float) -> FeedReport:
        self.clock.advance(timedelta(**passed).total_seconds())
        return await self.feed.poll()

    def opens(self, symbol: Symbol, first: int, timeframe: Timeframe = H1) -> list[datetime]:
        series = self.cache.series(symbol, timeframe)
        return [series.opened_at(index) for index in range(first, len(series))]


async def test_the_first_poll_seeds_history_that_is_not_new() -> None:
    scene = Scene()

    report = await scene.seeded((BTC, H1))

    assert report.seeded == {(BTC, H1): 300}
    assert (report.new, report.errors, report.quarantined) == ({}, (), ())
    assert scene.binance.asked == [(BTC, H1, None, 300)]
    assert scene.opens(BTC, 299) == [START - HOUR]


async def test_nobody_is_asked_before_a_candle_should_have_closed_and_it_is_delivered_once() -> None:
    scene = Scene()
    await scene.seeded((BTC, H1))

    early = await scene.poll_after(minutes=59)
    on_time = await scene.poll_after(minutes=1, seconds=4)
    again = await scene.poll_after(minutes=5)

    assert (early.asked, again.asked) == ((), ())
    assert on_time.asked == ((BTC, H1),)
    assert on_time.new == {(BTC, H1): 300}
    assert on_time.delays_s == {(BTC, H1): (4.0,)}
    assert scene.binance.asked[1:] == [(BTC, H1, START, 500)]
    assert scene.opens(BTC, 300) == [START]


async def test_longer_timeframes_come_first_and_then_the_order_of_the_registry() -> None:
    scene = Scene()
    wanted = ((EUR, H1), (ETH, H1), (BTC, H4), (BTC, H1), (EUR, H4))
    await scene.seeded(*wanted)

    report = await scene.poll_after(hours=4)

    assert list(report.new) == [(BTC, H4), (EUR, H4), (BTC, H1), (ETH, H1), (EUR, H1)]
    assert report.delays_s[BTC, H1] == (10_800.0, 7_200.0, 3_600.0, 0.0)


async def test_a_candle_that_the_venue_publishes_late_is_asked_for_again_and_delivered_with_its_delay() -> None:
    scene = Scene()
    await scene.seeded((BTC, H1))
    scene.binance.late_s = 90

    empty = await scene.poll_after(hours=1)
    late = await scene.poll_after(minutes=5)

    assert (empty.asked, empty.new) == (((BTC, H1),), {})
    assert (late.new, late.delays_s) == ({(BTC, H1): 300}, {(BTC, H1): (300.0,)})


async def test_a_closed_market_is_asked_once_per_candle_after_a_while_and_goes_on_when_it_opens() -> None:
    scene = Scene()
    await scene.seeded((EUR, H1))
    scene.oanda.closed_from = START
    asked_at = []

    for _ in range(36):  # three hours of polls each five minutes
        if (await scene.poll_after(minutes=5)).asked:
            asked_at.append(round((scene.clock.now() - START).total_seconds() / 60))
    scene.oanda.closed_from = None
    opened = await scene.poll_after(hours=1)

    assert asked_at == [60, 65, 70, 75, 120, 125, 130, 135, 180]
    assert opened.new == {(EUR, H1): 300}
    assert scene.opens(EUR, 300) == [START + HOUR * index for index in range(4)]


async def test_a_forming_candle_is_quarantined_once_and_delivered_when_it_has_closed() -> None:
    scene = Scene()
    scene.binance.forming = True
    seeded = await scene.seeded((BTC, H1))
    scene.binance.late_s = 600

    late = await scene.poll_after(hours=1)
    still_late = await scene.poll_after(minutes=5)
    there = await scene.poll_after(minutes=5)
    closed = await scene.poll_after(hours=1)

    assert seeded.seeded == {(BTC, H1): 299}
    assert [each.reason for each in seeded.quarantined] == ["not closed yet: closes at 2024-03-05T01:00:00Z"]
    assert [each.reason for each in late.quarantined] == ["not closed yet: closes at 2024-03-05T02:00:00Z"]
    assert (still_late.asked, still_late.quarantined, there.quarantined) == (((BTC, H1),), (), ())
    assert [late.new, still_late.new, there.new, closed.new] == [{}, {}, {(BTC, H1): 299}, {(BTC, H1): 300}]
    assert scene.opens(BTC, 299) == [START, START + HOUR]


async def test_rows_in_disorder_and_repeated_are_delivered_once_and_in_order() -> None:
    scene = Scene()
    await scene.seeded((BTC, H1))
    scene.binance.newest_first = scene.binance.repeats = True

    report = await scene.poll_after(hours=3)

    assert report.new == {(BTC, H1): 300}
    assert scene.opens(BTC, 299) == [START + HOUR * index for index in (-1, 0, 1, 2)]
    assert {each.reason.split(":")[0] for each in report.quarantined} == {"duplicate"}


async def test_a_quarantined_candle_is_told_once_left_out_and_followed_by_the_next_one() -> None:
    scene = Scene()
    await scene.seeded((BTC, H1))
    scene.binance.broken = {START}

    bad = await scene.poll_after(hours=1)
    same = await scene.poll_after(minutes=5)
    after = await scene.poll_after(minutes=55)

    assert [(each.symbol, each.candle.opened_at, each.reason) for each in bad.quarantined] == [
        (BTC, START, "low 101 is above open 100")
    ]
    assert (same.asked, same.quarantined) == (((BTC, H1),), ())
    assert (after.new, after.quarantined) == ({(BTC, H1): 300}, ())
    assert scene.opens(BTC, 300) == [START + HOUR]


async def test_a_venue_that_corrects_a_bad_candle_in_time_leaves_no_hole() -> None:
    scene = Scene()
    await scene.seeded((BTC, H1))
    scene.binance.broken = {START}
    await scene.poll_after(hours=1)
    scene.binance.broken = set()

    report = await scene.poll_after(minutes=5)

    assert report.new == {(BTC, H1): 300}
    assert scene.opens(BTC, 300) == [START]


@pytest.mark.parametrize("outage", [BrokerUnavailable("oanda: 503 after 3 tries"), DataError("oanda: no JSON")])
async def test_an_outage_of_one_broker_is_told_keeps_no_other_waiting_and_is_backfilled(outage: Exception) -> None:
    scene = Scene()
    await scene.seeded((BTC, H1), (EUR, H1))
    scene.oanda.outage = outage

    broken = await scene.poll_after(hours=1)
    retried = await scene.poll_after(minutes=5)
    scene.oanda.outage = None
    healed = await scene.poll_after(hours=2)

    assert [(each.symbol, each.timeframe, each.broker_id, each.text) for each in broken.errors] == [
        (EUR, H1, OANDA, str(outage))
    ]
    assert broken.new == {(BTC, H1): 300}
    assert retried.asked == ((EUR, H1),)
    assert list(healed.new) == [(BTC, H1), (EUR, H1)]
    assert scene.opens(EUR, 300) == [START + HOUR * index for index in range(3)]


async def test_an_outage_while_seeding_seeds_later_and_still_counts_as_history() -> None:
    scene = Scene()
    scene.binance.outage = BrokerUnavailable("binance: 418")

    broken = await scene.seeded((BTC, H1))
    scene.binance.outage = None
    seeded = await scene.poll_after(minutes=5)

    assert (len(broken.errors), broken.seeded) == (1, {})
    assert (seeded.seeded, seeded.new) == ({(BTC, H1): 300}, {})


async def test_a_long_gap_is_backfilled_page_by_page() -> None:
    scene = Scene()
    await scene.seeded((BTC, H1))
    scene.binance.page = 100

    report = await scene.poll_after(hours=350)

    assert report.new == {(BTC, H1): 300}
    assert len(report.delays_s[BTC, H1]) == 350
    assert [since for _, _, since, _ in scene.binance.asked[1:]] == [START + HOUR * each for each in (0, 100, 200, 300)]
    assert scene.opens(BTC, 300) == [START + HOUR * index for index in range(350)]


async def test_an_outage_in_the_middle_of_a_backfill_keeps_what_came_before_it() -> None:
    scene = Scene()
    await scene.seeded((BTC, H1))
    scene.binance.page = 2
    scene.binance.outage, scene.binance.outage_at = BrokerUnavailable("binance: reset"), 3

    broken = await scene.poll_after(hours=5)
    kept = scene.opens(BTC, 300)
    healed = await scene.feed.poll()

    assert [each.text for each in broken.errors] == ["binance: reset"]
    assert kept == [START, START + HOUR]
    assert (broken.new, healed.new) == ({(BTC, H1): 300}, {(BTC, H1): 302})
    assert scene.opens(BTC, 300) == [START + HOUR * index for index in range(5)]


async def test_all_brokers_are_asked_at_the_same_time() -> None:
    scene = Scene()
    scene.oanda.gate = asyncio.Event()
    scene.feed.subscribe(EUR, H1)
    scene.feed.subscribe(BTC, H1)
    scene.feed.subscribe(ETH, H4)

    polling = asyncio.create_task(scene.feed.poll())
    await scene.clock.run_for(0)

    assert len(scene.binance.asked) == 2  # although oanda has not answered
    scene.oanda.gate.set()
    assert len((await polling).seeded) == 3


async def test_two_polls_at_once_deliver_each_candle_once() -> None:
    scene = Scene()
    await scene.seeded((BTC, H1))
    scene.clock.advance(3_600)

    first, second = await asyncio.gather(scene.feed.poll(), scene.feed.poll())

    assert (first.new, second.new) == ({(BTC, H1): 300}, {})
    assert second.quarantined == ()


async def test_a_bug_in_an_adapter_ends_the_poll_before_anything_is_delivered() -> None:
    scene = Scene()
    await scene.seeded((BTC, H1), (EUR, H1))
    scene.oanda.outage = ZeroDivisionError("bug")

    with pytest.raises(ExceptionGroup):
        await scene.poll_after(hours=1)

    assert len(scene.cache.series(BTC, H1)) == 300
    scene.oanda.outage = None
    assert list((await scene.feed.poll()).new) == [(BTC, H1), (EUR, H1)]


async def test_new_candles_are_told_by_where_they_are_after_old_ones_fell_off() -> None:
    scene = Scene(CandleCache(default_registry(), keep=1_000))
    await scene.seeded((BTC, H1))

    long_gap = await scene.poll_after(hours=1_800)  # 2,100 candles: all of them stay for this poll
    after = await scene.poll_after(hours=2)

    assert (long_gap.new, len(long_gap.delays_s[BTC, H1])) == ({(BTC, H1): 300}, 1_800)
    assert after.new == {(BTC, H1): 1_000}
    assert scene.opens(BTC, 1_000) == [START + HOUR * 1_800, START + HOUR * 1_801]
    assert scene.opens(BTC, 0)[0] == START + HOUR * 800


async def test_a_cache_that_was_filled_before_is_continued_not_seeded() -> None:
    scene = Scene()
    scene.cache.append(BTC, H1, [candle(START - HOUR * back) for back in (5, 4, 3)])

    report = await scene.seeded((BTC, H1))

    assert (report.seeded, report.new) == ({}, {(BTC, H1): 3})
    assert scene.opens(BTC, 3) == [START - HOUR * 2, START - HOUR]


def test_a_subscription_needs_a_known_symbol_with_a_connected_broker() -> None:
    scene = Scene()

    with pytest.raises(UnknownSymbol):
        scene.feed.subscribe(Symbol("EUR_USDX"), H1)
    with pytest.raises(ConfigError, match="NVDA is routed to broker 'ig'"):
        scene.feed.subscribe(Symbol("NVDA"), H1)


def test_a_history_shorter_than_the_indicators_need_is_refused() -> None:
    scene = Scene()
    router = BrokerRouter([scene.binance], scene.registry)

    with pytest.raises(ConfigError, match="keep_history is 299; indicators need at least 300"):
        CandleFeed(router, scene.cache, scene.clock, keep_history=299)


@settings(deadline=None, max_examples=60)
@given(st.data())
async def test_whatever_the_venue_does_every_closed_candle_arrives_once_and_in_order(data: st.DataObject) -> None:
    # Arrange
    scene = Scene()
    await scene.seeded((BTC, H1))
    missing = data.draw(st.sets(st.integers(0, 30), max_size=5))
    scene.binance.missing = {START + HOUR * each for each in missing}
    delivered = []

    # Act: a day and more of polls with changing habits, then a quiet end
    for _ in range(data.draw(st.integers(1, 12))):
        scene.binance.late_s = data.draw(st.sampled_from([0, 0, 120, 4_000]))
        scene.binance.forming = data.draw(st.booleans())
        scene.binance.newest_first = data.draw(st.booleans())
        scene.binance.repeats = data.draw(st.booleans())
        scene.binance.page = data.draw(st.sampled_from([1, 2, 1_000]))
        scene.binance.outage = BrokerUnavailable("binance: reset") if data.draw(st.integers(0, 3)) == 0 else None
        report = await scene.poll_after(minutes=data.draw(st.sampled_from([1, 5, 30, 60, 300])))
        delivered += [each for _, first in report.new.items() for each in scene.opens(BTC, first)]
    scene.binance.outage, scene.binance.late_s, scene.binance.page, scene.binance.forming = None, 0, 1_000, False
    scene.binance.newest_first = scene.binance.repeats = False
    for _ in range(2):
        report = await scene.poll_after(hours=31)
        delivered += [each for _, first in report.new.items() for each in scene.opens(BTC, first)]

    # Assert
    hours = (scene.clock.now() - START) // HOUR
    assert delivered == [START + HOUR * each for each in range(hours) if each not in missing]
    assert delivered == scene.opens(BTC, 300)
