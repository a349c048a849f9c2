"""Pages over a database with 10,000 signals, 5,000 closed trades and ten weeks of equity: server time, bytes on the
wire and queries of each. Bounds: no query above 50 ms, a first page within 300 ms and 150 kB. The reference is the
cheapest query of the same database, asked in the same minute.

`python bench/bench_pages.py 10` has ten times as much of everything.
"""

import asyncio
import gzip
import re
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
from yarl import URL

from bot.access import Role, User
from bot.clock import ManualClock, SystemClock
from bot.dashboard.app import create_app, serve
from bot.database.embedded import EmbeddedPostgres
from bot.database.memory import MemoryStores
from bot.database.migrate import migrate, read_migrations
from bot.database.pool import open_pool
from bot.database.postgres import PostgresStores
from bot.layer5_monitoring.events import JournalEvents
from tests.fakes.dashboard_day import NOW, PASSWORD_HASH, USER, dashboard_parts, risk_of
from tests.fakes.dashboard_years import fill_weeks, weeks

SIGNALS, TRADES, SNAPSHOTS = 500, 250, 2_500  # drawn; the server makes 20 times as many of them
COPIES = 20
ROUNDS = 7
SLOWEST = 8
_SHARED_MEMORY = Path("/dev/shm")  # to fill it sooner: what is read is in the cache of the server anyway
_FASTER = _SHARED_MEMORY if _SHARED_MEMORY.is_dir() else None


def _multiplied(table: str, changes: str) -> str:
    """Copies of every row, each an hour of history (500 of them) older than the one before."""
    return f"""
        INSERT INTO {table} SELECT (jsonb_populate_record(row, {changes})).*
        FROM {table} AS row, generate_series(1, $1::int) AS copy, make_interval(hours => 500 * copy) AS age
    """


MULTIPLY = (
    _multiplied("signals", "jsonb_build_object('id', row.id || '~' || copy, 'decided_at', decided_at - age)"),
    """
        INSERT INTO signal_findings
        SELECT signal_id || '~' || copy, ordinal, code, name, status, measured, measured_text, limit_text
        FROM signal_findings, generate_series(1, $1::int) AS copy
    """,
    _multiplied(
        "outcomes", "jsonb_build_object('signal_id', signal_id || '~' || copy, 'started_at', started_at - age)"
    ),
    _multiplied(
        "orders",
        """jsonb_build_object('client_order_id', client_order_id || '~' || copy, 'signal_id', signal_id || '~' || copy,
            'position_id', position_id || '~' || copy, 'created_at', created_at - age)""",
    ),
    _multiplied(
        "positions",
        """jsonb_build_object('id', row.id || '~' || copy, 'signal_id', signal_id || '~' || copy,
            'entry_order_id', entry_order_id || '~' || copy, 'opened_at', opened_at - age,
            'closed_at', closed_at - age)""",
    ),
    """
        INSERT INTO portfolio_snapshots (at, equity, balance, open_positions, peak)
        SELECT at - make_interval(hours => 84 * copy), equity, balance, open_positions, peak
        FROM portfolio_snapshots, generate_series(1, $1::int) AS copy
    """,
)
# So many rows are counted as an upgrade counts them, not one by one.
_COUNTED = ("signals", "outcomes", "positions", "portfolio_snapshots")
_COUNT = next(each.sql for each in read_migrations() if each.name == "0015_figures_of_the_past.sql")


class TimedPool:
    """A pool that writes down how long each read took, from asking to rows."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self.taken_ms: list[tuple[float, str]] = []

    async def fetch(self, query: str, *values: object) -> Any:
        """As the pool's."""
        return await self._timed(self._pool.fetch, query, *values)

    async def fetchrow(self, query: str, *values: object) -> Any:
        """As the pool's."""
        return await self._timed(self._pool.fetchrow, query, *values)

    async def fetchval(self, query: str, *values: object) -> Any:
        """As the pool's."""
        return await self._timed(self._pool.fetchval, query, *values)

    async def _timed(self, ask: Callable[..., Awaitable[Any]], query: str, *values: object) -> Any:
        begun = time.perf_counter()
        answer = await ask(query, *values)
        self.taken_ms.append(((time.perf_counter() - begun) * 1000, query))
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)


def run(times: int = 1) -> dict[str, float]:
    """Milliseconds and kB by name."""
    return asyncio.run(_measured(times))


async def _measured(times: int) -> dict[str, float]:
    async with database() as dsn:
        pool: Any = TimedPool(await open_pool(dsn))
        await migrate(pool, ManualClock(NOW))
        stores = PostgresStores(pool)
        drawn = weeks(signals=SIGNALS, trades=TRADES, snapshots=SNAPSHOTS)
        await fill_weeks(stores, drawn)
        async with pool.acquire() as connection:
            await multiply(connection, COPIES * times - 1)
        try:
            return await _figures(pool, stores, _paths(drawn.records[-1].signal.id))
        finally:
            await stores.close()


async def multiply(connection: Any, copies: int) -> None:
    """Many more of what is there."""
    await connection.execute("SET statement_timeout = 0")
    for table in _COUNTED:
        await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    for statement in MULTIPLY:
        await connection.execute(statement, copies, timeout=600)
    for table in _COUNTED:
        await connection.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
    async with connection.transaction():
        await connection.execute(_COUNT, timeout=600)
    await connection.execute("ANALYZE", timeout=600)


def _paths(signal_id: str) -> Mapping[str, str]:
    return {
        "signals": "/signals",
        "signals of one rule and symbol": "/signals?stopped_by=7&symbol=EUR_USD",
        "signals of nothing": "/signals?stopped_by=NO_SUCH",
        "signals, old": "/signals?before=2024-06-01T00:00:00%2B00:00~x",
        "one signal": str(URL("/signal").with_query(id=signal_id)),
        "performance, all": "/performance",
        "performance, 30 days": "/performance?days=30",
        "performance, one symbol": "/performance?symbol=EUR_USD",
        "risk": "/risk",
        "positions": "/positions",
        "orders": "/orders",
        "home": "/",
    }


async def _figures(pool: TimedPool, stores: PostgresStores, paths: Mapping[str, str]) -> dict[str, float]:
    figures = {"reference: the cheapest query, ms": await _reference_ms(pool)}
    slowest: dict[str, float] = {}
    async with _served(stores) as (url, client):
        for name, path in paths.items():
            page_ms, body, queries = [], b"", []
            for _ in range(ROUNDS):
                pool.taken_ms.clear()
                begun = time.perf_counter()
                async with client.get(url.join(URL(path, encoded=True)), allow_redirects=False) as answer:
                    body = await answer.read()
                    if answer.status != 200:
                        raise RuntimeError(f"{path} answered {answer.status}")
                page_ms.append((time.perf_counter() - begun) * 1000)
                queries.append(max(each for each, _ in pool.taken_ms))
                for each, query in pool.taken_ms:
                    slowest.setdefault(query, each)
                    slowest[query] = min(slowest[query], each)
            figures[f"{name}: first, ms"] = round(page_ms[0], 1)
            figures[f"{name}: median, ms"] = round(median(page_ms), 1)
            figures[f"{name}: best, ms"] = round(min(page_ms), 1)  # what the machine's other work adds least to
            page_kb, static_kb = len(body) / 1000, await _static_kb(url, client, body)
            figures[f"{name}: page on the wire, kB"] = round(page_kb, 1)
            figures[f"{name}: with scripts and styles, kB"] = round(page_kb + static_kb, 1)
            figures[f"{name}: slowest query, median ms"] = round(median(queries), 1)
    for query, each in sorted(slowest.items(), key=lambda row: -row[1])[:SLOWEST]:
        figures[f"query, best of all, ms: {_short(query)}"] = round(each, 1)
    return figures


async def _static_kb(url: URL, client: aiohttp.ClientSession, page: bytes) -> float:
    """What a browser that was never here loads besides."""
    total = 0
    for path in set(re.findall(r'(?:src|href)="(/static/[^"]+)"', gzip.decompress(page).decode())):
        async with client.get(url.join(URL(path))) as answer:
            total += len(await answer.read())
    return total / 1000


async def _reference_ms(pool: TimedPool) -> float:
    await pool.fetchval("SELECT 1")
    pool.taken_ms.clear()
    for _ in range(ROUNDS):
        await pool.fetchval("SELECT 1")
    return round(median(each for each, _ in pool.taken_ms), 2)


def _short(query: str) -> str:
    return re.sub(r"\s+", " ", query).strip()[:110]


@asynccontextmanager
async def _served(stores: Any) -> AsyncIterator[tuple[URL, aiohttp.ClientSession]]:
    """The dashboard on loopback, and somebody who is logged in and leaves bodies as they came over the wire."""
    day = dashboard_parts(MemoryStores(), JournalEvents(), SystemClock())
    parts = replace(day, stores=stores, risk=lambda: risk_of(stores))
    person = User(name=USER, role=Role.ADMIN, password_hash=PASSWORD_HASH, created_at=NOW, password_at=NOW)
    await stores.users.add(person)
    listening = socket.create_server(("127.0.0.1", 0))
    url = URL(f"http://127.0.0.1:{listening.getsockname()[1]}/")
    runner = await serve(create_app(parts), listening)
    jar = aiohttp.CookieJar(unsafe=True)
    try:
        accepted = {"Accept-Encoding": "gzip"}
        async with aiohttp.ClientSession(cookie_jar=jar, auto_decompress=False, headers=accepted) as client:
            assert parts.one_time_login is not None
            async with client.get(url.join(URL(f"/login?token={parts.one_time_login.issue()}"))) as answer:
                await answer.read()
            yield url, client
    finally:
        await runner.cleanup()


@asynccontextmanager
async def database() -> AsyncIterator[str]:
    folder = Path(tempfile.mkdtemp(prefix="bench-pages-", dir=_FASTER))
    server = EmbeddedPostgres(folder, sleep=SystemClock().sleep)
    try:
        yield await server.start()
    finally:
        await server.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    for figure, value in run(int(sys.argv[1]) if len(sys.argv) > 1 else 1).items():
        print(f"{figure:<150}{value:>10}")
