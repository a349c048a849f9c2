"""Soak: a day of the feed at 1,000 times its speed, through the real adapters of Binance and OANDA and their libraries,
against fakes in a process of their own. No candle may be lost, doubled or out of order, each must have the prices that
the venue ends with, and memory must not grow by more than 5 % after the first hours.

Run with PYTHONPATH=. from the project's directory; it takes a minute and a half. `soak_feed.py 4` plays four hours.
"""

import asyncio
import gc
import multiprocessing
import os
import sys
import time
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path

from bot.instruments import InstrumentRegistry, default_registry
from bot.interfaces import Clock
from bot.layer1_data.broker_router import BrokerRouter
from bot.layer1_data.brokers.binance.adapter import BinanceBroker
from bot.layer1_data.brokers.binance.wire import Access as BinanceAccess
from bot.layer1_data.brokers.oanda.access import Access as OandaAccess
from bot.layer1_data.brokers.oanda.access import Environment
from bot.layer1_data.brokers.oanda.adapter import OandaBroker
from bot.layer1_data.candle_cache import CandleCache
from bot.layer1_data.feeds.candle_feed import CandleFeed, Subscription
from bot.models import Candle, Timeframe

PROJECT = Path(__file__).resolve().parents[1]
SPEED = 1_000
BEGIN = datetime(2024, 3, 5, tzinfo=UTC)  # a Tuesday: all markets are open all day
POLL_S = 300.0
WARM_RATIO = 0.25  # of the time, before memory counts
SYMBOLS = ("BTC/USDT", "ETH/USDT", "SOL/USDT", "DOGE/USDT", "EUR_USD", "GBP_USD", "USD_JPY", "AUD_USD")
TIMEFRAMES = (Timeframe.M5, Timeframe.M15, Timeframe.H1)


class FastClock(Clock):
    """A clock that runs SPEED times as fast as the machine's, the same in every process that is told its beginning."""

    def __init__(self, begun_s: float) -> None:
        self._begun_s = begun_s

    def now(self) -> datetime:
        return BEGIN + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return (time.monotonic() - self._begun_s) * SPEED

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(seconds, 0.0) / SPEED)

    async def sleep_until(self, instant: datetime) -> None:
        await self.sleep((instant - self.now()).total_seconds())


def run(hours: float = 24.0) -> dict[str, float]:
    """Counts and megabytes by name."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    begun_s = time.monotonic()
    fakes = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs, begun_s, str(PROJECT)))
    fakes.start()
    try:
        return asyncio.run(_played(FastClock(begun_s), ours.recv(), timedelta(hours=hours)))
    finally:
        ours.send("end")
        fakes.join(10)


async def _played(clock: FastClock, urls: tuple[str, str], length: timedelta) -> dict[str, float]:
    registry = InstrumentRegistry([default_registry().get(each) for each in SYMBOLS])
    access = BinanceAccess(environment="testnet", key="key", secret="secret", url=urls[0])
    binance = BinanceBroker(access=access, instruments=tuple(registry)[:4], clock=clock)
    token = OandaAccess(token="token", account="001-001-1234567-001", environment=Environment.PRACTICE, url=urls[1])
    oanda = OandaBroker(token, instruments=tuple(registry)[4:], clock=clock)
    router = BrokerRouter([binance, oanda], registry)
    cache = CandleCache(registry)
    feed = CandleFeed(router, cache, clock)
    for each in registry:
        for timeframe in TIMEFRAMES:
            feed.subscribe(each.symbol, timeframe)
    soak = _Soak(cache)
    begun, warm_mb = clock.now(), 0.0
    while (passed := clock.now() - begun) < length:
        due = clock.monotonic() + POLL_S
        await soak.poll(feed)
        if not warm_mb and passed > WARM_RATIO * length:
            warm_mb = _resident_mb()
        await clock.sleep(due - clock.monotonic())
    end_mb = _resident_mb()
    figures = await soak.compared(router)
    await binance.close()
    await oanda.close()
    return figures | {
        "memory after a quarter, MB": round(warm_mb, 1),
        "memory at the end, MB": round(end_mb, 1),
        "growth, %": round(100 * (end_mb / warm_mb - 1), 2),
    }


class _Soak:
    """What was delivered, as (opened at, close) of each subscription."""

    def __init__(self, cache: CandleCache) -> None:
        self._cache = cache
        self._delivered: dict[Subscription, list[tuple[int, float]]] = defaultdict(list)
        self._polls = self._errors = self._quarantined = 0
        self._worst_delay_s = 0.0

    async def poll(self, feed: CandleFeed) -> None:
        report = await feed.poll()
        self._polls += 1
        self._errors += len(report.errors)
        self._quarantined += len(report.quarantined)
        for key, first in report.new.items():
            series = self._cache.series(*key)
            self._delivered[key] += zip(series.opened_at_s[first:].tolist(), series.close[first:].tolist(), strict=True)
            self._worst_delay_s = max(self._worst_delay_s, *report.delays_s[key])

    async def compared(self, router: BrokerRouter) -> dict[str, float]:
        """With the grid, and with what the venues tell of the same time now."""
        lost = doubled = disordered = changed = 0
        for (symbol, timeframe), rows in self._delivered.items():
            opened = [each[0] for each in rows]
            grid = range(opened[0], max(opened) + 1, timeframe.seconds)
            lost += len(set(grid) - set(opened))
            doubled += len(opened) - len(set(opened))
            disordered += sum(later < earlier for earlier, later in pairwise(opened))
            since = datetime.fromtimestamp(opened[0], UTC)
            told = await router.for_symbol(symbol).candles(symbol, timeframe, since=since, limit=len(rows))
            changed += sum(_row(now) != then for now, then in zip(told, rows, strict=True))
        return {
            "candles delivered": sum(map(len, self._delivered.values())),
            "series": len(self._delivered),
            "polls": self._polls,
            "lost": lost,
            "doubled": doubled,
            "out of order": disordered,
            "other than the venue's final ones": changed,
            "quarantined": self._quarantined,
            "errors of venues": self._errors,
            "longest from close to delivery, s of the feed": round(self._worst_delay_s, 1),
        }


def _row(candle: Candle) -> tuple[int, float]:
    return int(candle.opened_at.timestamp()), float(candle.close)


def _resident_mb() -> float:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _serve(pipe: Connection, begun_s: float, project: str) -> None:
    """The fakes, until told to end."""
    sys.path.insert(0, project)
    from tests.fakes.binance import FakeBinance
    from tests.fakes.oanda.server import FakeOanda
    from tests.fakes.venue_market import FakeMarket

    async def serve() -> None:
        clock, market = FastClock(begun_s), FakeMarket(default_registry())
        binance, oanda = FakeBinance(market, clock), FakeOanda(market, clock, token="token")
        pipe.send((await binance.start(matching=False), await oanda.start(by_itself=False)))
        await asyncio.to_thread(pipe.recv)
        await binance.close()
        await oanda.close()

    asyncio.run(serve())


if __name__ == "__main__":
    for figure, value in run(*map(float, sys.argv[1:2])).items():
        sys.stdout.write(f"{figure:60} {value:>10,}\n")
