"""One way in for every statement: asyncpg's errors become ours here and nowhere else."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Final

from bot.database.pool import Connection, Pool, Record
from bot.errors import BotError, CommitUnknown, DatabaseUnavailable, DataError, NotFound, SchemaMismatch

_CLOSING_S: Final = 5.0
_FOREIGN_KEY: Final = "23503"
_INTEGRITY: Final = "23"  # classes: the first two characters of SQLSTATE
_BAD_VALUE: Final = "22"
_UNKNOWN_NAMES: Final = ("42P01", "42703", "42883")
# The session ended, or may have: class 08, a server going down (57P01..57P03), completion unknown (40003).
_SESSION_LOST: Final = ("08", "57P0", "40003")


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolUse:
    """Connections of a pool: in use, idle, and the most that there may be."""

    used: int
    idle: int
    most: int


class Database:
    """A pool whose every failure is one of ours.

    Reads raise DatabaseUnavailable: asking again is safe. Writes raise it when surely nothing was stored, CommitUnknown
    when the connection was lost after the commit had been asked for: read the row back by its key. Both raise
    NotFound for a row that must exist first, DataError for a value that a constraint refuses, and SchemaMismatch for a
    table that is not there.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def rows(self, query: str, *values: object) -> Sequence[Record]:
        """All rows of a query."""
        with translated():
            rows: Sequence[Record] = await self._pool.fetch(query, *values)
        return rows

    async def row(self, query: str, *values: object) -> "Record | None":
        """The first row of a query, if any."""
        with translated():
            row: Record | None = await self._pool.fetchrow(query, *values)
        return row

    async def value(self, query: str, *values: object) -> Any:
        """The first column of the first row of a query; None if there is no row."""
        with translated():
            return await self._pool.fetchval(query, *values)

    async def write(self, statement: str, *values: object) -> Any:
        """One statement that commits by itself; the first column of what it returns, or None."""
        progress = _Progress()
        with translated(progress):
            async with self._pool.acquire() as connection:
                progress.committing = True
                return await connection.fetchval(statement, *values)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """One connection in a transaction: committed at the end of the block, rolled back if the block raises."""
        progress = _Progress()
        with translated(progress):
            async with self._pool.acquire() as connection, connection.transaction():
                yield connection
                progress.committing = True  # what fails from here on is the COMMIT itself

    def use(self) -> PoolUse:
        """How many connections there are now; nothing is asked."""
        idle = self._pool.get_idle_size()
        return PoolUse(used=self._pool.get_size() - idle, idle=idle, most=self._pool.get_max_size())

    async def close(self) -> None:
        """Close all connections; those that are still in use after a moment are cut."""
        try:
            async with asyncio.timeout(_CLOSING_S):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()


class _Progress:
    """Whether the commit was asked for; until then, a lost connection has surely stored nothing."""

    committing = False


@contextmanager
def translated(progress: _Progress | None = None) -> Iterator[None]:
    """Turn asyncpg's and the socket's errors, raised in the block, into ours."""
    import asyncpg

    progress = progress or _Progress()
    try:
        yield
    except asyncpg.PostgresError as error:
        raise _from_server(error, progress.committing) from error
    except (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:  # TimeoutError is an OSError
        raise _unanswered(f"{type(error).__name__}: {error}", progress.committing) from error


def _from_server(error: Any, committing: bool) -> BotError:
    state = error.sqlstate or ""
    said = f"{error} {error.detail or ''}".strip()
    if state.startswith(_SESSION_LOST):
        return _unanswered(said, committing)
    if state == _FOREIGN_KEY:
        return NotFound(f"{error.table_name}: {error.detail} It must be recorded first")
    if state.startswith((_INTEGRITY, _BAD_VALUE)):
        return DataError(f"the database refuses a value: {said}; nothing was stored, correct the caller")
    if state in _UNKNOWN_NAMES:
        return SchemaMismatch(f"the database lacks what this code asks for: {said}; apply the migrations")
    return DatabaseUnavailable(f"the database did not do it: {said} (SQLSTATE {state}); nothing was stored")


def _unanswered(said: str, committing: bool) -> DatabaseUnavailable:
    if committing:
        return CommitUnknown(f"the connection was lost during a commit: {said}; read the row back by its key")
    return DatabaseUnavailable(f"the database did not answer: {said}; nothing was stored, asking again is safe")
