"""What is made of Yahoo's answers, through the real library over a loopback port."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from bot.clock import ReplayClock
from bot.errors import BrokerUnavailable, ConfigError
from bot.instruments import Symbol, default_registry
from bot.layer1_data.feeds.yahoo import YahooSource
from bot.models import Timeframe
from tests.fakes.venue_market import FakeMarket
from tests.fakes.yahoo import FakeYahoo

REGISTRY = default_registry()
AAPL, NVDA = REGISTRY.get("AAPL"), REGISTRY.get("NVDA")
NOON = datetime(2025, 3, 12, 16, 0, tzinfo=UTC)  # a Wednesday, 12:00 in New York, on summer time since Sunday


class Desk:
    """The venue and a source that reads it."""

    def __init__(self, directory: Path) -> None:
        self.clock = ReplayClock(NOON)
        self.venue = FakeYahoo(symbols=["AAPL"], market=FakeMarket(REGISTRY), clock=self.clock)
        self.directory = directory
        self.source: YahooSource

    async def start(self) -> None:
        url = await self.venue.start()
        self.source = YahooSource(
            instruments=(AAPL, NVDA), clock=self.clock, cache_directory=self.directory, url=url, timeout_s=5
        )

    async def candles(self, timeframe: Timeframe, limit: int = 5, since: datetime | None = None):  # type: ignore[no-untyped-def]
        return await self.source.candles(AAPL.symbol, timeframe, since=since, limit=limit)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    made = Desk(tmp_path)
    await made.start()
    yield made
    await made.source.close()
    await made.venue.close()


async def test_the_forming_bar_is_dropped_and_the_newest_closed_ones_come_oldest_first(desk: Desk) -> None:
    found = await desk.candles(Timeframe.H1, limit=3)

    # Sessions begin at 13:30 UTC; the hour from 15:30 on is still forming at 16:00.
    opened = [f"{each.opened_at:%d %H:%M}" for each in found]
    assert opened == ["11 19:30", "12 13:30", "12 14:30"]
    assert all(each.closed_at <= NOON for each in found)


async def test_a_bar_counts_only_after_it_had_time_to_settle(desk: Desk) -> None:
    desk.clock.set_time(NOON + timedelta(minutes=30, seconds=10))
    early = await desk.candles(Timeframe.H1, limit=1)
    desk.clock.set_time(NOON + timedelta(minutes=30, seconds=21))
    late = await desk.candles(Timeframe.H1, limit=1)

    assert [early[0].opened_at.hour, late[0].opened_at.hour] == [14, 15]


async def test_prices_are_those_traded_on_the_tick_grid_without_the_noise_of_floats(desk: Desk) -> None:
    (day,) = await desk.candles(Timeframe.D1, limit=1)

    opened = datetime(2025, 3, 11, 13, 30, tzinfo=UTC)
    bar = desk.venue.market.bar(AAPL, opened, timedelta(hours=6, minutes=30), NOON)
    assert (day.open, day.high, day.low, day.close) == (bar.open, bar.high, bar.low, bar.close)
    assert day.volume == bar.volume


async def test_days_begin_at_midnight_of_the_exchange_also_over_the_change_of_its_clock(desk: Desk) -> None:
    days = await desk.candles(Timeframe.D1, limit=3)

    # New York went to summer time on Sunday, 9 March 2025.
    assert [f"{each.opened_at:%d %H:%M}" for each in days] == ["07 05:00", "10 04:00", "11 04:00"]


async def test_four_hours_are_counted_from_the_open_of_each_session(desk: Desk) -> None:
    found = await desk.candles(Timeframe.H4, limit=3)

    assert [f"{each.opened_at:%d %H:%M}" for each in found] == ["10 17:30", "11 13:30", "11 17:30"]
    hours = await desk.candles(Timeframe.H1, since=found[1].opened_at, limit=4)
    assert (found[1].open, found[1].close) == (hours[0].open, hours[3].close)
    assert found[1].high == max(each.high for each in hours)


async def test_candles_since_an_instant_begin_there(desk: Desk) -> None:
    since = datetime(2025, 3, 11, 14, 30, tzinfo=UTC)
    found = await desk.candles(Timeframe.M30, since=since, limit=2)

    assert [each.opened_at for each in found] == [since, since + timedelta(minutes=30)]


async def test_history_that_the_venue_no_longer_has_is_not_asked_for(desk: Desk) -> None:
    found = await desk.candles(Timeframe.M15, since=NOON - timedelta(days=300), limit=10_000)

    assert found[0].opened_at >= NOON - timedelta(days=60)


async def test_rows_with_holes_are_left_out(desk: Desk) -> None:
    since = datetime(2025, 3, 11, 13, 30, tzinfo=UTC)
    whole = await desk.candles(Timeframe.H1, limit=7, since=since)
    desk.clock.set_time(NOON + timedelta(seconds=11))
    desk.venue.hole_every = 4
    holed = await desk.candles(Timeframe.H1, limit=6, since=since)

    assert holed == (*whole[:3], *whole[4:7])


async def test_nothing_in_the_range_is_an_empty_answer_not_a_failure(desk: Desk) -> None:
    desk.venue.trouble = "empty"

    assert await desk.candles(Timeframe.H1) == ()


@pytest.mark.parametrize(
    ("trouble", "words"), [("502", "not answered"), ("outage", "DOWN"), ("reset", "not answered"), ("429", "too many")]
)
async def test_trouble_is_unavailable_never_an_empty_history(desk: Desk, trouble: str, words: str) -> None:
    await desk.candles(Timeframe.D1)
    desk.venue.trouble = trouble

    with pytest.raises(BrokerUnavailable, match=words):
        await desk.candles(Timeframe.H1)


async def test_an_unknown_symbol_is_told_in_the_venues_words(desk: Desk) -> None:
    with pytest.raises(BrokerUnavailable, match="NVDA"):
        await desk.source.candles(NVDA.symbol, Timeframe.H1, since=None, limit=5)


async def test_currencies_have_four_hours_on_the_grid_of_utc_whatever_is_asked_for(desk: Desk) -> None:
    desk.venue.symbols.add("EUR_USD")
    euro = YahooSource(
        instruments=(REGISTRY.get("EUR_USD"),),
        clock=desk.clock,
        cache_directory=desk.directory / "euro",
        url=desk.source._client._url,
    )

    newest = await euro.candles(Symbol("EUR_USD"), Timeframe.H4, since=None, limit=3)
    again = await euro.candles(Symbol("EUR_USD"), Timeframe.H4, since=newest[1].opened_at, limit=3)
    (terms,) = await euro.terms([Symbol("EUR_USD"), Symbol("XAU_USD")])
    await euro.close()

    assert [f"{each.opened_at:%d %H:%M}" for each in newest] == ["12 00:00", "12 04:00", "12 08:00"]
    assert again == newest[1:]
    assert (terms.symbol, terms.tick) == ("EUR_USD", Decimal("0.00001"))


async def test_what_is_no_share_is_not_asked_for(desk: Desk) -> None:
    with pytest.raises(BrokerUnavailable, match="not one of the shares"):
        await desk.source.candles(Symbol("EUR_USD"), Timeframe.H1, since=None, limit=5)
    assert desk.venue.requests == []


async def test_a_block_stops_every_request_for_minutes_and_longer_the_next_time(desk: Desk) -> None:
    desk.venue.trouble = "429"
    for wait_s in (120, 240):
        with pytest.raises(BrokerUnavailable, match=f"for {wait_s} s"):
            await desk.candles(Timeframe.H1)
        before = len(desk.venue.requests)
        with pytest.raises(BrokerUnavailable, match="blocked"):
            await desk.candles(Timeframe.H1)
        assert len(desk.venue.requests) == before
        desk.clock.set_time(desk.clock.now() + timedelta(seconds=wait_s + 1))

    desk.venue.trouble = ""
    assert await desk.candles(Timeframe.H1)


async def test_a_crumb_that_is_refused_does_not_stop_the_chart(desk: Desk) -> None:
    desk.venue.trouble = "crumb429"

    assert await desk.candles(Timeframe.H1)


async def test_hours_and_four_hours_asked_for_together_are_one_request_once_the_time_zone_is_known(desk: Desk) -> None:
    await desk.candles(Timeframe.D1)
    before = len(desk.venue.requests)
    four, one = await asyncio.gather(desk.candles(Timeframe.H4), desk.candles(Timeframe.H1))

    assert len(desk.venue.requests) == before + 1
    assert (len(four), len(one)) == (5, 5)
    budget = desk.source.rate_budget
    assert budget is not None
    assert budget.used == 2


async def test_hours_of_another_moment_or_of_a_longer_time_are_asked_for_again(desk: Desk) -> None:
    await desk.candles(Timeframe.H1)
    before = desk.venue.charts

    await desk.candles(Timeframe.H1, limit=500)
    desk.clock.set_time(NOON + timedelta(seconds=11))
    await desk.candles(Timeframe.H1)

    assert desk.venue.charts == before + 2


async def test_hours_that_were_told_while_one_was_forming_do_not_tell_it_as_closed_later(desk: Desk) -> None:
    desk.clock.set_time(NOON + timedelta(minutes=30, seconds=18))  # the hour from 15:30 on settles in two seconds
    before = await desk.candles(Timeframe.H1, limit=1)
    desk.clock.set_time(NOON + timedelta(minutes=30, seconds=22))

    after = await desk.candles(Timeframe.H1, limit=1)

    assert after == before


async def test_a_quote_is_the_last_price_with_the_typical_spread_and_says_how_old_it_is(desk: Desk) -> None:
    quote = await desk.source.quote(AAPL.symbol)

    price = sum(desk.venue.market.quote(AAPL.symbol, NOON), Decimal(0)) / 2
    assert quote.bid < price < quote.ask
    assert quote.spread <= AAPL.typical_spread.at(price) + 2 * AAPL.tick
    assert quote.at == NOON - timedelta(minutes=15)


async def test_pence_become_pounds_and_another_currency_is_refused(desk: Desk) -> None:
    whole = await desk.candles(Timeframe.D1, limit=1)
    desk.venue.currency = "usd"
    pence = await desk.candles(Timeframe.D1, limit=1)
    desk.venue.currency = "EUR"

    assert abs(pence[0].close - whole[0].close / 100) <= Decimal("0.01")
    with pytest.raises(BrokerUnavailable, match="quoted in EUR"):
        await desk.candles(Timeframe.D1, limit=1)


async def test_after_closing_nothing_is_asked(desk: Desk) -> None:
    await desk.source.close()

    with pytest.raises(BrokerUnavailable, match="was not asked for"):
        await desk.candles(Timeframe.H1)


def test_only_an_address_of_this_machine_stands_in_for_the_venue(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not an http address of this machine"):
        YahooSource(instruments=(AAPL,), clock=ReplayClock(NOON), cache_directory=tmp_path, url="http://example.org")
