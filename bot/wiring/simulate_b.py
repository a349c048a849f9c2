"""Wiring of `simulate --tier b`: the worlds of `simulate` over the PostgreSQL stores of a real server."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Final

from bot.clock import SystemClock
from bot.database.access import Database
from bot.database.embedded import EmbeddedPostgres
from bot.database.migrate import migrate
from bot.database.pool import Pool, open_pool
from bot.database.postgres import PostgresStores
from bot.database.watched import end_sessions, sessions, watched_pool, writers
from bot.database.writer import WriterLock
from bot.interfaces import Stores
from bot.simulation.campaign import SeedResult, result_of
from bot.simulation.clock import START
from bot.simulation.hybrid_loop import RealLoop
from bot.simulation.ports import Boundaries
from bot.simulation.scenario import Scenario
from bot.simulation.tier_b import TWINS, Twins
from bot.simulation.world import World
from bot.wiring.core import Seams
from bot.wiring.simulate import world_of

TEMPLATE: Final = "migrated"
_MEMORY_FILES: Final = Path("/dev/shm")  # noqa: S108 - what is simulated need not outlive the machine
_ROOM_NEEDED_BYTES: Final = 2**30
_FILLS: Final = """
    SELECT broker_id, venue_fill_id, client_order_id, quantity, fee FROM fills ORDER BY broker_id, venue_fill_id
"""


@contextmanager
def simulation_server() -> Iterator[Path]:
    """A PostgreSQL server of its own in a directory of its own, with a migrated database to copy; gone afterwards."""
    fits = _MEMORY_FILES.is_dir() and shutil.disk_usage(_MEMORY_FILES).free > _ROOM_NEEDED_BYTES
    directory = Path(tempfile.mkdtemp(prefix="bot-simulate-", dir=_MEMORY_FILES if fits else None)) / "postgres"
    server = EmbeddedPostgres(directory, sleep=SystemClock().sleep)
    try:
        asyncio.run(_prepare(server))
        yield directory
    finally:
        asyncio.run(server.stop())
        shutil.rmtree(directory.parent)


async def _prepare(server: EmbeddedPostgres) -> None:
    await server.start()
    pool = await open_pool(await server.create_database(TEMPLATE))
    await migrate(pool, SystemClock())
    await pool.close()


class TierB:
    """Worlds one after the other, each on a fresh database of a server that runs already."""

    def __init__(self, server: EmbeddedPostgres, *, template: str = TEMPLATE) -> None:
        """`server` was started; `template` is a migrated database on it that nobody uses."""
        self._server = server
        self._template = template
        self._numbers = count()

    @classmethod
    def at(cls, directory: Path) -> "TierB":
        """Over the server of `simulation_server`."""
        server = EmbeddedPostgres(directory, sleep=SystemClock().sleep)
        asyncio.run(_start(server))
        return cls(server)

    def run(self, scenario: Scenario, *, seams: Seams | None = None) -> SeedResult:
        """One world to its verdict."""
        with self.world(scenario, seams=seams) as world:
            return result_of(world)

    @contextmanager
    def world(self, scenario: Scenario, *, seams: Seams | None = None) -> Iterator[World]:
        """A world ready to run; its database is dropped at the end."""
        name = f"simulated_{os.getpid()}_{next(self._numbers)}"
        real_loop = RealLoop()
        with closing(real_loop):
            dsn = real_loop.run(self._server.create_database(name, template=self._template))
            try:
                with closing(_Place(dsn, real_loop)) as place:
                    yield place.world(scenario, seams)
            finally:
                real_loop.run(self._server.drop_database(name))


async def _start(server: EmbeddedPostgres) -> None:
    await server.start()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sessions:
    """The connections of one process: here, and at the server."""

    pool: Pool
    held: object  # the writer lock; kept, so that nothing gives it back: it ends with its connection
    server: frozenset[int]


class _Place:
    """One database and who is connected to it: the world, which stays, and one process at a time."""

    def __init__(self, dsn: str, real_loop: RealLoop) -> None:
        self._dsn = dsn
        self._real_loop = real_loop
        self._pool = real_loop.run(watched_pool(dsn))
        self._sessions: dict[int, _Sessions] = {}
        self._ended: list[_Sessions] = []

    def world(self, scenario: Scenario, seams: Seams | None) -> World:
        """The world of a scenario on this database."""
        stores = PostgresStores(self._pool)
        twins = Twins(self._real_loop, real=stores, fills=self._fills, cut=self._cut)
        world = world_of(scenario, seams=seams, stores=lambda: twins.over(stores))
        world.stores_of = lambda process: twins.over(
            self._real_loop.run(self._connected(process, world.boundaries)), process
        )
        world.loop.on_kill = twins.process_died
        twins.on_difference = lambda says: world.checks.violate(TWINS, says)
        return world

    def close(self) -> None:
        """The world's own connections end."""
        self._pool.terminate()

    async def _connected(self, process: int, boundaries: Boundaries) -> Stores:
        """A new process: it takes the writer lock and raises the epoch.

        A predecessor that lives on loses its lock, as when the database fails over, and still has its pool.
        """

        async def answered() -> None:
            if boundaries.strikes():
                await self._real_loop.abandon()

        await end_sessions(self._pool, await writers(self._pool) if self._sessions else ())
        others = await sessions(self._pool)
        lock = WriterLock(self._dsn, _StandingClock())
        held = lock.held()
        await held.__aenter__()
        pool = await watched_pool(self._dsn, answered)
        self._sessions[process] = _Sessions(pool=pool, held=held, server=await sessions(self._pool) - others)
        return PostgresStores(pool, lock.epoch)

    async def _cut(self, process: int) -> None:
        found = self._sessions.pop(process)
        self._ended.append(found)
        found.pool.terminate()  # or it would connect anew
        await end_sessions(self._pool, found.server)

    async def _fills(self) -> Sequence[tuple[object, ...]]:
        return [tuple(row) for row in await Database(self._pool).rows(_FILLS)]


class _StandingClock:
    """The real loop stands still most of the time: nothing on it may wait for an hour to pass."""

    def now(self) -> datetime:
        """The beginning."""
        return START

    def monotonic(self) -> float:
        """The beginning."""
        return 0.0

    async def sleep(self, seconds: float) -> None:
        """Never ends."""
        await asyncio.get_running_loop().create_future()

    async def sleep_until(self, instant: datetime) -> None:
        """Never ends."""
        await asyncio.get_running_loop().create_future()
