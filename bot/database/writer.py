"""One daemon sends orders on a database, never two: a lock held for as long as its connection lives, and an epoch.

The lock keeps a second daemon from starting. The epoch, compared in the transactions that come before a send, keeps a
first one that has lost its lock without noticing from sending beside the second (RELIABILITY I13, D10, D11).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from loguru import logger

from bot.database.access import translated
from bot.database.pool import DURABLE, place_of
from bot.errors import BotError, DatabaseUnavailable, NotTheWriter
from bot.interfaces import Clock

if TYPE_CHECKING:
    import asyncpg

WRITER_LOCK: Final = 0x54524144  # "TRAD": any number that nobody else on this database uses
_CONNECT_TIMEOUT_S: Final = 5.0
_ANSWER_TIMEOUT_S: Final = 0.5
_LOOK_EVERY_S: Final = 0.4  # lost, and unnoticed by the socket: found within a second
_CLOSE_TIMEOUT_S: Final = 1.0
_TAKE: Final = "SELECT pg_try_advisory_lock($1)"
_HELD_BY: Final = """
    SELECT pid FROM pg_locks
    WHERE locktype = 'advisory' AND classid = 0 AND objid = $1 AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_RAISE_EPOCH: Final = "UPDATE writer SET epoch = epoch + 1 RETURNING epoch"
_STILL: Final = "SELECT epoch FROM writer"


class WriterLock:
    """Held while `is_held`. Once lost it stays lost: a restart takes it anew, after reconciliation."""

    def __init__(self, dsn: str, clock: Clock) -> None:
        """`clock` runs in real seconds."""
        self._dsn = dsn
        self._clock = clock
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._epoch: int | None = None
        self._lost = ""

    @property
    def is_held(self) -> bool:
        """This process is the one that may send."""
        return self._epoch is not None and not self._lost

    def refusal(self) -> str:
        """Why nothing may be sent; empty while the lock is held."""
        return self._lost or ("" if self.is_held else "the writer lock was not taken yet")

    def epoch(self) -> int:
        """The epoch of this writer. Raises NotTheWriter once the lock is lost: no send may begin."""
        if self._epoch is None or self._lost:
            raise NotTheWriter(f"{self.refusal()}; restart this daemon")
        return self._epoch

    @asynccontextmanager
    async def held(self) -> AsyncIterator["WriterLock"]:
        """Take the lock, watch over it, and give it back.

        Raises NotTheWriter if another daemon has it, DatabaseUnavailable when the server does not answer.
        """
        await self._take()
        watching = asyncio.create_task(self._watch(), name="writer lock")
        try:
            yield self
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            await self._give_back()

    async def _take(self) -> None:
        import asyncpg

        with translated():
            connection = await asyncpg.connect(self._dsn, timeout=_CONNECT_TIMEOUT_S, server_settings=dict(DURABLE))
            self._connection = connection
            connection.add_termination_listener(lambda _: self._lose("the connection that holds the writer lock ended"))
            if not await connection.fetchval(_TAKE, WRITER_LOCK):
                pid = await connection.fetchval(_HELD_BY, WRITER_LOCK)
                self._lose("another daemon holds the writer lock")
                await self._give_back()
                raise NotTheWriter(
                    f"{place_of(self._dsn)}: another daemon trades on this database (server process {pid}); "
                    "stop it first, or use another DATABASE_URL"
                )
            self._epoch = await connection.fetchval(_RAISE_EPOCH)

    async def _watch(self) -> None:
        """Ask on the connection itself: a server that went away may not close the socket."""
        while not self._lost:
            await self._clock.sleep(_LOOK_EVERY_S)
            try:
                await self._look()
            except BotError as error:
                self._lose(str(error))

    async def _look(self) -> None:
        if self._connection is None or self._connection.is_closed():
            raise DatabaseUnavailable("the connection that holds the writer lock ended")
        with translated():
            found = await self._connection.fetchval(_STILL, timeout=_ANSWER_TIMEOUT_S)
        if found != self._epoch:
            raise NotTheWriter(f"another daemon has taken over: epoch {found}, ours was {self._epoch}")

    def _lose(self, why: str) -> None:
        if not self._lost:
            self._lost = why
            if self._epoch is not None:
                logger.error("writer lock lost: {}; nothing is sent any more", why)

    async def _give_back(self) -> None:
        connection: Any = self._connection
        self._lost = self._lost or "given back"
        if connection is None or connection.is_closed():
            return
        try:
            with translated():
                await connection.close(timeout=_CLOSE_TIMEOUT_S)
        except DatabaseUnavailable:
            connection.terminate()
