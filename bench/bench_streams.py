"""200 browsers hold pages open, in a second process, while every quarter of a second a position's mark, a journal entry
and the health of the daemon change: how late that makes the event loop that trades, and a write to the database, beside
the same minute without any browser. Bounds: loop lag p99 50 ms, a change is seen within 2 s.

PostgreSQL holds 10,000 signals and 5,000 closed trades. `quick` are pages whose sections are all read again at every
tick: more than any page asks for. `python bench/bench_streams.py 30` measures 30 s of each. Run with PYTHONPATH=. from
the project's directory.
"""

import asyncio
import gc
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
from loguru import logger

from bench.bench_pages import COPIES, MULTIPLY, SIGNALS, SNAPSHOTS, TRADES, database
from bench.loop_watch import lag, watched
from bench.stream_clients import watching
from bot.access import Role, User
from bot.clock import ManualClock, SystemClock
from bot.dashboard.app import create_app, serve
from bot.dashboard.live_streams import LIVE_PAGES
from bot.dashboard.pages import PAGES
from bot.dashboard.sessions import SESSIONS
from bot.database.memory import MemoryStores
from bot.database.migrate import migrate
from bot.database.pool import open_pool
from bot.database.postgres import PostgresStores
from bot.layer5_monitoring.events import JournalEvents
from bot.models import JournalEntry
from bot.wiring.shares import Shares, open_shares
from tests.fakes.dashboard_day import NOW, PASSWORD_HASH, USER, dashboard_parts, fill_day, open_position, risk_of, store
from tests.fakes.dashboard_years import fill_weeks, weeks

BROWSERS, CHANGE_EVERY_S = 200, 0.25
SETTLE_S, TRADE_EVERY_S, GONE_WITHIN_S = 3.0, 0.05, 120.0
SYMBOLS = ("BTC/USDT", "ETH/USDT", "SOL/USDT", "EUR_USD", "NVDA")

Address = tuple[str, Mapping[str, str]]  # a page and what its address asks for


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Who watches what. `never_read` of the browsers connect, and read nothing."""

    name: str
    browsers: int = BROWSERS
    addresses: Sequence[Address] = (("home", {}),)
    quick: bool = False
    never_read: int = 0


@dataclass(slots=True, kw_only=True)
class World:
    """The served dashboard, and what trades beside it."""

    app: Any
    url: str
    port: int
    shares: Shares
    events: JournalEvents
    changed_s: float = 0.0
    changes_s: list[float] = field(default_factory=list)
    writes_ms: list[float] = field(default_factory=list)


def run(seconds: float = 10.0) -> dict[str, float]:
    """Figures by name."""
    logger.remove()
    logger.add(sys.stderr, level="ERROR", format="{message}", backtrace=False, diagnose=False)
    return watched(_measured(seconds))


async def _measured(seconds: float) -> dict[str, float]:
    figures: dict[str, float] = {}
    async with database() as dsn:
        pool = await open_pool(dsn)
        await migrate(pool, ManualClock(NOW))
        trading = PostgresStores(pool)
        drawn = weeks(signals=SIGNALS, trades=TRADES, snapshots=SNAPSHOTS)
        await fill_weeks(trading, drawn)
        await fill_day(trading)  # type: ignore[arg-type]  # written for those in memory
        for statement in MULTIPLY:
            await pool.execute(statement, COPIES - 1, timeout=300)
        await pool.execute("ANALYZE")
        gc.collect()
        gc.freeze()  # as the daemon does after its start
        async with open_shares(dsn, pool, lambda: None) as shares, _world(shares) as world:
            for scene in _scenes(str(drawn.records[-1].signal.id)):
                figures |= await _seen(world, scene, seconds)
    return figures


def _scenes(signal_id: str) -> Sequence[Scene]:
    plain = ("home", "positions", "orders", "signals", "performance", "risk", "tasks", "health", "alerts", "log")
    chosen: list[Address] = [(name, {}) for name in plain]
    by_symbol = ("positions", "orders", "signals", "performance")
    chosen += [(name, {"symbol": each}) for name in by_symbol for each in SYMBOLS]
    chosen += [("signals", {"stopped_by": str(number)}) for number in range(1, 9)]
    chosen += [("signal", {"id": signal_id}), ("position", {"id": "position-1"})]
    return (
        Scene(name="nobody", browsers=0),
        Scene(name="home"),
        Scene(name="home, quick", quick=True),
        Scene(name=f"{len(chosen)} addresses", addresses=chosen),
        Scene(name=f"{len(chosen)} addresses, quick", addresses=chosen, quick=True),
        Scene(name="home, quick, 50 never read", quick=True, never_read=50),
    )


# ------------------------------------------------------------------------------------------------- one measurement


async def _seen(world: World, scene: Scene, seconds: float) -> dict[str, float]:
    pages = world.app[PAGES]
    before = dict(pages)
    if scene.quick:
        pages.update({name: _quick(page) for name, page in before.items()})
    memory_mb = _memory_mb()
    browsers = [await _browser(world, scene, number) for number in range(scene.browsers)]
    work = [asyncio.create_task(_change(world)), asyncio.create_task(_trade(world))]
    try:
        async with watching(world.url, browsers, never_read=scene.never_read) as clients:
            begun_s = time.monotonic()
            await asyncio.sleep(SETTLE_S)
            _begin(world)
            clients.write(b"begin\n")
            async with lag() as late:
                await asyncio.sleep(seconds)
            figures = late.figures(scene.name)
            if scene.never_read:
                figures[f"{scene.name}: gone after, s"] = await _gone_after_s(world, scene, begun_s)
            clients.write(b"end\n")
            heard = await clients.facts()
    finally:
        for each in work:
            each.cancel()
        pages.update(before)
    for share in (50, 99):
        late_ms = round(float(np.percentile(world.writes_ms, share)), 1)
        figures[f"{scene.name}: a write of the trading side, p{share} wall ms"] = late_ms
    figures[f"{scene.name}: memory grown by, MB"] = round(_memory_mb() - memory_mb, 1)
    return figures | _told(scene.name, world.changes_s, heard)


async def _gone_after_s(world: World, scene: Scene, begun_s: float) -> float:
    """How long those who never read held their places."""
    async with asyncio.timeout(GONE_WITHIN_S):
        while len(world.app[LIVE_PAGES]) > scene.browsers - scene.never_read:  # noqa: ASYNC110 nobody tells
            await asyncio.sleep(0.1)
    return round(time.monotonic() - begun_s, 1)


def _told(name: str, changes_s: Sequence[float], heard: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    if not heard:
        return {}
    seconds = changes_s[-1] - changes_s[0]
    updates, sent, put_off = (sum(each[count] for each in heard) for count in ("updates", "bytes", "put_off"))
    figures = {
        f"{name}: updates of one browser, each second": round(updates / len(heard) / seconds, 2),
        f"{name}: kB to one browser, each second": round(sent / len(heard) / seconds / 1000, 2),
        f"{name}: asked to come again, times": float(put_off),
    }
    for kind in ("state", "figures"):
        waited_s = [late for each in heard for late in _waited_s(changes_s, each["heard"][kind])]
        for share in (50, 99) if waited_s else ():
            figures[f"{name}: a change is seen ({kind}), p{share} s"] = round(float(np.percentile(waited_s, share)), 2)
    return figures


def _waited_s(changes_s: Sequence[float], heard: Sequence[tuple[float, float]]) -> list[float]:
    """For each change how long until this one or a later one was heard of, but for those at the very end."""
    found, place = [], 0
    for change_s in changes_s:
        while place < len(heard) and heard[place][1] < change_s:
            place += 1
        if place < len(heard):
            found.append(heard[place][0] - change_s)
    return found


def _begin(world: World) -> None:
    world.changes_s.clear()
    world.writes_ms.clear()


def _quick(page: Any) -> Any:
    return replace(page, sections=[replace(each, quickest_s=0.0, slowest_s=0.0) for each in page.sections])


def _memory_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


# ------------------------------------------------------------------------------------------------------- what trades


async def _change(world: World) -> None:
    """What the daemon would do: a mark, an entry, and a word about its health."""
    position = open_position(77, "BTC/USDT", "64213.50", quantity="0.1", risk="100")
    await store(world.shares.trading, position)  # type: ignore[arg-type]
    number = 0
    while True:
        number += 1
        await world.shares.trading.orders.save_position(replace(position, mark_price=Decimal(64_000 + number)))
        world.changed_s = round(time.monotonic(), 4)
        world.changes_s.append(world.changed_s)
        world.events.publish(JournalEntry(at=NOW, kind="mark", task_id=None, data={"number": number}))
        await asyncio.sleep(CHANGE_EVERY_S)


async def _trade(world: World) -> None:
    position = open_position(78, "ETH/USDT", "3054.10", quantity="1", risk="100")
    await store(world.shares.trading, position)  # type: ignore[arg-type]
    while True:
        begun_s = time.monotonic()
        await world.shares.trading.orders.save_position(position)
        world.writes_ms.append((time.monotonic() - begun_s) * 1000)
        await asyncio.sleep(TRADE_EVERY_S)


# --------------------------------------------------------------------------------------------------- who is served


@asynccontextmanager
async def _world(shares: Shares) -> AsyncIterator[World]:
    events = JournalEvents()
    person = User(name=USER, role=Role.ADMIN, password_hash=PASSWORD_HASH, created_at=NOW, password_at=NOW)
    await shares.trading.users.add(person)
    day = dashboard_parts(MemoryStores(), events, SystemClock())
    parts = replace(
        day,
        stores=shares.pages,
        risk=lambda: risk_of(shares.pages),  # type: ignore[arg-type]  # written for those in memory
        health=lambda: {"mode": "dev", "status": f"state at {world.changed_s:.4f}"},
        market_note=lambda: f"figures of {world.changed_s:.4f}",
    )
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    app = create_app(parts)
    world = World(app=app, url=f"http://127.0.0.1:{port}", port=port, shares=shares, events=events)
    runner = await serve(app, listening)
    try:
        yield world
    finally:
        await runner.cleanup()


async def _browser(world: World, scene: Scene, number: int) -> dict[str, str]:
    page, query = scene.addresses[number % len(scene.addresses)]
    token = await world.app[SESSIONS].open(USER)
    return {
        "url": f"{world.url}/events?{urlencode({'page': page, **query})}",
        "cookie": f"bot-session-{world.port}={token}",
    }


if __name__ == "__main__":
    for figure, value in run(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0).items():
        print(f"{figure:<90}{value:>10}")
