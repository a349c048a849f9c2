"""A press of the kill switch to the first cancel or close that has left us, and to the last of them: by a row of the
database, as the command line writes it, and by the file. Goals: the first within 250 ms, all of 200 within 5 s.

`halt` meets 200 entries that wait at a venue: twice what the limits can be set to. `flatten` meets as many positions as
the limits allow if nobody changes them, and at OANDA 50. `pause` sends nothing. The daemon was started after they were
opened. Real are PostgreSQL on a disk, writer lock, adapters, comparison and kill watch; the venues are the fakes, on
loopback, behind a proxy that waits 200 ms. A request has left us when it comes to that proxy.

The file is looked at ten times a second, so presses are spread over that time; after the first request the way makes
no difference, so only rows are followed to the last. It takes some minutes. `python bench/bench_kill.py 10` presses
ten times each way. Run with PYTHONPATH=. from the project's directory.
"""

import asyncio
import math
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import count
from pathlib import Path
from statistics import median

from aiohttp import web
from loguru import logger
from rich.console import Console

from bench.bench_reconcile import (
    CLOCK,
    ROUND_TRIP_S,
    OpenMarket,
    binance_behind,
    binance_broker,
    core_over,
    entries_for,
    oanda_behind,
    oanda_broker,
    spot_instruments,
)
from bot.config import Settings
from bot.database.embedded import EmbeddedPostgres
from bot.database.migrate import migrate
from bot.database.pool import open_pool
from bot.database.postgres import PostgresStores
from bot.database.postgres_kills import PostgresKillNews
from bot.database.writer import WriterLock
from bot.instruments import BINANCE, OANDA, BrokerId, Instrument, default_registry
from bot.interfaces import KillNews, Stores
from bot.kill_watch import FILE_EVERY_S, KillWatch
from bot.layer1_data.broker_interface import BrokerInterface
from bot.layer1_data.delegating_broker import DelegatingBroker
from bot.layer4_risk.kill_file import KillFile
from bot.layer5_monitoring.events import JournalEvents
from bot.layer5_monitoring.journal import StoredJournal
from bot.models import Fill, KillCause, KillLevel, KillState
from bot.simulation.fault_proxy import FaultProxy
from bot.simulation.tape import Tape
from bot.wiring.core import TradingCore
from tests.fakes.venue_market import FakeMarket

ROUNDS = 3
WAITING, OPENED = 200, 50
FIRST_GOAL_MS, ALL_GOAL_S = 250, 5
PATIENCE_S = 90.0
TEMPLATE = "migrated"


class Way(StrEnum):
    """How a person presses."""

    ROW = "row"
    FILE = "file"


@dataclass(frozen=True, slots=True, kw_only=True)
class Venue:
    """A fake, and the adapter that speaks to it: `in_turn` if that never asks before it was answered."""

    broker_id: BrokerId
    instruments: Sequence[Instrument]
    fake: Callable[[FakeMarket], AbstractAsyncContextManager[str]]
    broker: Callable[[str, FakeMarket], BrokerInterface]
    in_turn: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What a press meets: entries that wait, or open positions."""

    venue: Venue
    level: KillLevel
    size: int
    ways: Sequence[Way] = tuple(Way)

    @property
    def name(self) -> str:
        """For people."""
        what = "waiting entries" if self.level is KillLevel.HALT else "positions"
        return f"{self.venue.broker_id}, {self.size} {what}, {self.level.value}"


@dataclass(frozen=True, slots=True)
class Sent:
    """Seconds from one press to the first request that it asks for, and to the last one that was waited for."""

    first_s: float
    last_s: float


@dataclass
class Line(FaultProxy):
    """The way to a venue. It writes down when cancels and closes have left us."""

    cancels_s: list[float] = field(default_factory=list)
    closes_s: list[float] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def until(self, enough: Callable[[], bool]) -> None:
        """Wait until what has left is enough."""
        while not enough():
            self._news.clear()
            await self._news.wait()

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        if request.method == "DELETE" or request.path.endswith("/cancel"):
            self.cancels_s.append(time.monotonic())
        elif request.path.endswith("/close") or (request.method == "POST" and not await _rests(request)):
            self.closes_s.append(time.monotonic())
        self._news.set()
        return await super()._pass(request)


async def _rests(request: web.Request) -> bool:
    """It is a stop, which ends nothing."""
    return b"STOP_LOSS" in await request.read()


class Unasked(DelegatingBroker):
    """Nobody asks it for fills while entries are made, or the venue's budget of the minute would be spent before the
    press."""

    async def fills_since(self, cursor: str) -> tuple[Sequence[Fill], str]:
        """None yet."""
        return (), cursor


class Heard:
    """The word of the database, and whether it is listened to by now."""

    def __init__(self, news: KillNews) -> None:
        self._news = news
        self.listens = asyncio.Event()

    async def listen(self, changed: Callable[[], None]) -> None:
        """As the one inside."""

        def told() -> None:
            self.listens.set()
            changed()

        await self._news.listen(told)


def run(rounds: int = ROUNDS, *, waiting: int = WAITING, opened: int = OPENED) -> dict[str, float]:
    """Milliseconds and seconds by name."""
    logger.remove()  # a press is told for each entry
    return asyncio.run(_measured(rounds, waiting, opened))


async def _measured(rounds: int, waiting: int, opened: int) -> dict[str, float]:
    market = OpenMarket(default_registry())
    figures: dict[str, float] = {}
    async with _bench(market) as bench:
        for scene in _scenes(market, waiting, opened):
            for way in scene.ways:
                sent = []
                for number in range(rounds):
                    Console(stderr=True).print(f"{scene.name} by {way.value}: press {number + 1} of {rounds} ...")
                    sent.append(await bench.press(scene, way, after_s=FILE_EVERY_S * (number + 0.5) / rounds))
                figures |= _figures(scene, way, sent)
    return figures


def _scenes(market: FakeMarket, waiting: int, opened: int) -> Sequence[Scene]:
    oanda = Venue(
        broker_id=OANDA,
        instruments=market.registry.of_broker(OANDA),
        fake=oanda_behind,
        broker=oanda_broker,
        in_turn=True,
    )
    binance = Venue(
        broker_id=BINANCE, instruments=spot_instruments(), fake=binance_behind, broker=binance_broker, in_turn=False
    )
    limits = Settings().risk.open_positions_at
    return (
        Scene(venue=binance, level=KillLevel.HALT, size=waiting),
        Scene(venue=binance, level=KillLevel.FLATTEN, size=limits(BINANCE)),
        Scene(venue=oanda, level=KillLevel.HALT, size=waiting),
        Scene(venue=oanda, level=KillLevel.FLATTEN, size=limits(OANDA)),
        Scene(venue=oanda, level=KillLevel.FLATTEN, size=opened, ways=(Way.ROW,)),
    )


def _figures(scene: Scene, way: Way, sent: Sequence[Sent]) -> dict[str, float]:
    name = f"{scene.name} by {way.value}"
    first, last = f"first sent, ms (goal {FIRST_GOAL_MS})", f"all sent, s (goal {ALL_GOAL_S})"
    firsts, lasts = [each.first_s * 1_000 for each in sent], [each.last_s for each in sent]
    figures: dict[str, float] = {
        f"{name}: {first}, median": round(median(firsts), 1),
        f"{name}: {first}, worst": round(max(firsts), 1),
    }
    if way is Way.ROW:
        figures[f"{name}: {last}, median"] = round(median(lasts), 2)
        figures[f"{name}: {last}, worst"] = round(max(lasts), 2)
    if way is Way.ROW and scene.venue.in_turn:
        figures[f"{name}: all sent, s, at best, one request at a time"] = round((scene.size - 1) * ROUND_TRIP_S, 2)
    return figures


# ----------------------------------------------------------------------------------------------------- one press


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What all presses share: a market, and a server with a migrated database to copy."""

    market: FakeMarket
    server: EmbeddedPostgres
    numbers: "count[int]" = field(default_factory=count)

    async def press(self, scene: Scene, way: Way, *, after_s: float) -> Sent:
        """One daemon, one venue, one press."""
        name = f"press_{next(self.numbers)}"
        dsn = await self.server.create_database(name, template=TEMPLATE)
        try:
            async with scene.venue.fake(self.market) as url:
                await self._opened(scene, dsn, url)
                return await self._pressed(scene, way, dsn, url, after_s)
        finally:
            await self.server.drop_database(name)

    async def _opened(self, scene: Scene, dsn: str, url: str) -> None:
        """Without a delay."""
        filled = 0 if scene.level is KillLevel.HALT else scene.size
        near = Unasked(scene.venue.broker(url, self.market))
        async with _core(dsn, near, self.market) as core:
            for each in entries_for(self.market, scene.venue.instruments, filled, scene.size - filled):
                await core.engine.submit(each)
        await near.close()

    async def _pressed(self, scene: Scene, way: Way, dsn: str, url: str, after_s: float) -> Sent:
        """A new process finds it from far away; then somebody presses."""
        broker_id = scene.venue.broker_id
        line = Line(broker_id, url, Tape.drawn(1, {}), CLOCK, latency_s=ROUND_TRIP_S)
        far = scene.venue.broker(await line.start(), self.market)
        directory = Path(tempfile.mkdtemp(prefix="bench-kill-"))
        file = KillFile(directory)
        try:
            async with _core(dsn, far, self.market, file) as core, _elsewhere(dsn) as others:
                await core.tracker.load()
                await core.reconciler.run(broker_id)
                await core.guard.verify(broker_id)
                async with _watched(core, dsn):
                    await CLOCK.sleep(after_s)
                    line.cancels_s.clear()
                    line.closes_s.clear()
                    pressed_s = time.monotonic()
                    if way is Way.FILE:
                        file.write(scene.level)
                    else:
                        await others.kills.set(_press(scene.level))
                    return await self._sent(scene, way, line, pressed_s)
        finally:
            await far.close()
            await CLOCK.sleep(2 * ROUND_TRIP_S)  # what is on its way arrives
            await line.close()
            shutil.rmtree(directory)

    async def _sent(self, scene: Scene, way: Way, line: Line, pressed_s: float) -> Sent:
        """What has not left after PATIENCE_S counts as never."""
        wanted = line.cancels_s if scene.level is KillLevel.HALT else line.closes_s  # a stop goes before its close
        first_s = last_s = math.inf
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                await line.until(lambda: bool(line.cancels_s or line.closes_s))
                first_s = min(line.cancels_s + line.closes_s)
                await line.until(lambda: way is Way.FILE or len(wanted) >= scene.size)
                last_s = max(line.cancels_s + line.closes_s)
        return Sent(first_s - pressed_s, last_s - pressed_s)


def _press(level: KillLevel) -> KillState:
    return KillState(level=level, by="bench", cause=KillCause.COMMAND, reason="", at=CLOCK.now())


@asynccontextmanager
async def _bench(market: FakeMarket) -> AsyncIterator[Bench]:
    folder = Path(tempfile.mkdtemp(prefix="bench-kill-"))
    server = EmbeddedPostgres(folder, sleep=CLOCK.sleep)
    try:
        await server.start()
        pool = await open_pool(await server.create_database(TEMPLATE))
        await migrate(pool, CLOCK)
        await pool.close()
        yield Bench(market=market, server=server)
    finally:
        await server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def _elsewhere(dsn: str) -> AsyncIterator[Stores]:
    """The database as another process has it."""
    stores = PostgresStores(await open_pool(dsn))
    try:
        yield stores
    finally:
        await stores.close()


@asynccontextmanager
async def _core(
    dsn: str, broker: BrokerInterface, market: FakeMarket, file: KillFile | None = None
) -> AsyncIterator[TradingCore]:
    """What trades in a daemon, as the writer of its database."""
    writer = WriterLock(dsn, CLOCK)
    stores = PostgresStores(await open_pool(dsn), writer.epoch)
    try:
        async with writer.held():
            journal = StoredJournal(stores.journal, JournalEvents())
            core = core_over(broker, market, stores, journal=journal, file=file)
            yield core
            await core.guard.stop()
    finally:
        await stores.close()


@asynccontextmanager
async def _watched(core: TradingCore, dsn: str) -> AsyncIterator[None]:
    """The kill watch of a daemon, from the moment on that it hears of the database's commits."""
    news = Heard(PostgresKillNews(dsn))
    watch = KillWatch(
        switch=core.kill,
        flattener=core.flattener,
        news=news,
        settle=core.reconciler.run,
        clock=CLOCK,
        record=core.pipeline.record,
        on_problem=lambda _: None,
    )
    await watch.start()
    try:
        await news.listens.wait()
        yield
    finally:
        await watch.stop()


if __name__ == "__main__":
    for figure, value in run(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS).items():
        print(f"{figure:<100}{value:>10}")
