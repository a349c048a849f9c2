"""A pool whose connections tell of every answer inside a transaction: there a process can be killed half-way."""

from collections.abc import Awaitable, Callable, Collection
from typing import Any, Final

import asyncpg

from bot.database.access import Database
from bot.database.pool import Pool, open_pool

_SESSIONS: Final = """
    SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'
"""
_LOCKERS: Final = """
    SELECT pid FROM pg_locks
    WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_END: Final = "SELECT pg_terminate_backend(pid, $2) FROM unnest($1::integer[]) AS pid"
_GONE_WITHIN_MS: Final = 10_000


async def nobody_listens() -> None:
    """What a pool tells is of no interest."""


async def watched_pool(dsn: str, on_answer: Callable[[], Awaitable[None]] = nobody_listens) -> Pool:
    """As `open_pool`. `on_answer` is awaited when the server has done a statement and the caller does not know yet.

    Only while the transaction is still open: after the answer to its COMMIT nothing is left that could be undone.
    """

    class Watched(asyncpg.Connection):
        """Connection that waits for `on_answer`."""

        def get_reset_query(self) -> str:
            return ""  # half of all round trips, and no statement of ours changes its session

        async def execute(self, *values: Any, **named: Any) -> Any:
            return await self._told(super().execute(*values, **named))

        async def executemany(self, *values: Any, **named: Any) -> Any:
            return await self._told(super().executemany(*values, **named))

        async def fetch(self, *values: Any, **named: Any) -> Any:
            return await self._told(super().fetch(*values, **named))

        async def fetchrow(self, *values: Any, **named: Any) -> Any:
            return await self._told(super().fetchrow(*values, **named))

        async def fetchval(self, *values: Any, **named: Any) -> Any:
            return await self._told(super().fetchval(*values, **named))

        async def _told(self, work: Awaitable[Any]) -> Any:
            answer = await work
            if self.is_in_transaction():
                await on_answer()
            return answer

    return await open_pool(dsn, connection_class=Watched)


async def sessions(pool: Pool) -> frozenset[int]:
    """The server processes of everybody who is connected to this database."""
    return frozenset(row["pid"] for row in await Database(pool).rows(_SESSIONS))


async def writers(pool: Pool) -> frozenset[int]:
    """The server processes that hold a writer lock of this database: one, or none."""
    return frozenset(row["pid"] for row in await Database(pool).rows(_LOCKERS))


async def end_sessions(pool: Pool, found: Collection[int]) -> None:
    """End these sessions from the server's side, as it does itself when it sees that a client was killed.

    When this returns, their transactions are rolled back and their locks are free.
    """
    await Database(pool).rows(_END, list(found), _GONE_WITHIN_MS)
