"""One embedded PostgreSQL for a whole test run, shared by its processes; each test gets a fresh, migrated database."""

import asyncio
import fcntl
import hashlib
import os
import shutil
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from bot.clock import ManualClock, SystemClock
from bot.database.access import Database
from bot.database.embedded import EmbeddedPostgres
from bot.database.migrate import migrate
from bot.database.pool import Pool, open_pool

TEMPLATE = "migrated"
START = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)

_MEMORY_FILES = Path("/dev/shm")  # a real fsync of a file in memory costs nothing
_ROOM_NEEDED_BYTES = 2**30


class Databases:
    """Makes and drops databases on the shared server."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        self._server = server
        self._numbers = count()

    @property
    def server(self) -> EmbeddedPostgres:
        """The shared server, which has the migrated database as `TEMPLATE`."""
        return self._server

    @asynccontextmanager
    async def fresh(self, *, template: str = TEMPLATE) -> AsyncIterator[str]:
        """DSN of a database that nobody else uses: a copy of the migrated one, or empty (`template1`)."""
        name = f"test_{os.getpid()}_{next(self._numbers)}"
        dsn = await self._server.create_database(name, template=template)
        yield dsn
        await self._server.drop_database(name)

    @asynccontextmanager
    async def pool(self, *, template: str = TEMPLATE) -> AsyncIterator[Pool]:
        """A pool on a fresh database."""
        async with self.fresh(template=template) as dsn:
            pool = await open_pool(dsn)
            yield pool
            await Database(pool).close()


@contextmanager
def shared_databases(base: pytest.TempPathFactory) -> Iterator[Databases]:
    """Start the server if no other process of this test run has; stop it with the last one that uses it."""
    run = base.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        run = run.parent  # each worker has a directory of its own in that of the run
    directory = _server_directory(run)
    server = EmbeddedPostgres(directory, sleep=SystemClock().sleep)
    with _users_of_server(run) as users:
        _run(_start(server))
        users.append(os.getpid())
    yield Databases(server)
    with _users_of_server(run) as users:
        users.remove(os.getpid())
        if not users:
            _run(server.stop())
            shutil.rmtree(directory)


def _server_directory(run: Path) -> Path:
    if _MEMORY_FILES.is_dir() and shutil.disk_usage(_MEMORY_FILES).free > _ROOM_NEEDED_BYTES:
        return _MEMORY_FILES / f"bot-tests-{hashlib.sha256(str(run).encode()).hexdigest()[:12]}"
    return run / "shared-postgres"


@contextmanager
def _users_of_server(run: Path) -> Iterator[list[int]]:
    """Process ids of those that use the server of a run, to be changed; one process at a time."""
    with (run / "shared-postgres.users").open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        users = [int(line) for line in file]
        yield users
        file.seek(0)
        file.truncate()
        file.writelines(f"{each}\n" for each in users)


async def _start(server: EmbeddedPostgres) -> None:
    await server.start()
    try:
        dsn = await server.create_database(TEMPLATE)
    except asyncpg.DuplicateDatabaseError:
        return  # another process of this run has made it
    pool = await open_pool(dsn)
    await migrate(pool, ManualClock(START))
    await pool.close()


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Run in a thread of its own, because the caller may be inside a running event loop."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()
