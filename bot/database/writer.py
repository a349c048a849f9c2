"""One daemon sends orders on a database, never two: a lock held for as long as its connection lives, and an epoch.

The lock keeps a second daemon from starting. The epoch, compared in the transactions that come before a send, keeps a
first one that has lost its lock without noticing from sending beside the second (RELIABILITY I13, D10, D11). It also
tells a daemon that has taken its lock back whether it is still the same writer: who takes the lock raises the epoch
before letting go of it, so an unchanged one proves that nobody else was writer meanwhile.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from loguru import logger

from bot.database.access import translated
from bot.database.pool import DURABLE, place_of
from bot.errors import BotError, DatabaseUnavailable, NotTheWriter
from bot.interfaces import Clock

if TYPE_CHECKING:
    import asyncpg

WRITER_LOCK: Final = 0x54524144  # "TRAD": any number that nobody else on this database uses
_CONNECT_TIMEOUT_S: Final = 5.0  # and for each answer to a start
_ANSWER_TIMEOUT_S: Final = 0.5
_LOOK_EVERY_S: Final = 0.4  # lost, and unnoticed by the socket: found within a second
_TAKE_BACK_EVERY_S: Final = 1.0
_CLOSE_TIMEOUT_S: Final = 1.0
_TAKE: Final = "SELECT pg_try_advisory_lock($1)"
_HELD_BY: Final = """
    SELECT pid FROM pg_locks
    WHERE locktype = 'advisory' AND classid = 0 AND objid = $1 AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_RAISE_EPOCH: Final = "UPDATE writer SET epoch = epoch + 1 RETURNING epoch"
_STILL: Final = "SELECT epoch FROM writer"
# A server that has not heard of the end of a connection, because the network was away, would keep its lock for hours.
_END_EARLIER: Final = """
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE application_name = $1 AND usename = current_user AND pid <> pg_backend_pid()
"""


class WriterLock:
    """Held while `is_held`. One that was lost is taken back, under the epoch of before and no other.

    Under another epoch another daemon has been writer: then it is lost for good, and `watch` raises.
    """

    def __init__(self, dsn: str, clock: Clock) -> None:
        """`clock` runs in real seconds."""
        self._dsn = dsn
        self._clock = clock
        self._name = f"{DURABLE['application_name']} writer {secrets.token_hex(4)}"  # of our sessions, at the server
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._epoch: int | None = None
        self._lost = ""
        self._lost_at_s = 0.0
        self.told: Callable[[], None] | None = None
        """Called when it was lost, and when it is back; must not fail."""

    @property
    def is_held(self) -> bool:
        """This process is the one that may send."""
        return self._epoch is not None and not self._lost

    def refusal(self) -> str:
        """Why nothing may be sent; empty while the lock is held."""
        return self._lost or ("" if self.is_held else "the writer lock was not taken yet")

    def epoch(self) -> int:
        """The epoch of this writer. Raises NotTheWriter while the lock is not held: no send may begin."""
        if self._epoch is None or self._lost:
            raise NotTheWriter(f"{self.refusal()}; nothing is sent without the writer lock")
        return self._epoch

    @asynccontextmanager
    async def held(self) -> AsyncIterator["WriterLock"]:
        """Take the lock, watch over it, take it back if it is lost, and give it back.

        Raises NotTheWriter if another daemon has it, DatabaseUnavailable when the server does not answer.
        """
        try:
            await self._take()
            self._watching = asyncio.create_task(self._keep(), name="writer lock")
            yield self
        finally:
            await self._give_back()

    async def watch(self) -> None:
        """Until the lock is given back. Raises NotTheWriter when it is lost for good: this daemon has to end."""
        if self._watching is not None:
            await asyncio.wait((self._watching,))
            if not self._watching.cancelled():
                self._watching.result()

    async def _take(self) -> None:
        with translated():
            connection = await self._connect()
            if not await connection.fetchval(_TAKE, WRITER_LOCK):
                pid = await connection.fetchval(_HELD_BY, WRITER_LOCK)
                raise NotTheWriter(
                    f"{place_of(self._dsn)}: another daemon trades on this database (server process {pid}); "
                    "stop it first, or use another DATABASE_URL"
                )
            self._epoch = await connection.fetchval(_RAISE_EPOCH)

    async def _connect(self) -> "asyncpg.Connection[asyncpg.Record]":
        """A new connection, which is the one that counts from here on."""
        import asyncpg

        connection = self._connection = await asyncpg.connect(
            self._dsn,
            timeout=_CONNECT_TIMEOUT_S,
            command_timeout=_CONNECT_TIMEOUT_S,
            server_settings={**DURABLE, "application_name": self._name},
        )
        connection.add_termination_listener(lambda _: self._ended(connection))
        return connection

    def _ended(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        if connection is self._connection:  # an earlier one may tell of its end late
            self._lose("the connection that holds the writer lock ended")

    async def _keep(self) -> None:
        """Ends with NotTheWriter when another daemon has taken over; whatever ends it, nothing is sent afterwards."""
        try:
            while True:
                await self._look_until_lost()
                await self._take_back()
        except NotTheWriter as error:
            self._lost = str(error)
            logger.error("writer lock lost for good: {}; this daemon ends", error)
            raise
        finally:
            self._lose("nobody watches over the writer lock any more")
            self._let_go()

    async def _look_until_lost(self) -> None:
        """Ask on the connection itself: a server that went away may not close the socket."""
        while not self._lost:
            await self._clock.sleep(_LOOK_EVERY_S)
            try:
                await self._look()
            except NotTheWriter:
                raise
            except BotError as error:
                self._lose(str(error))

    async def _take_back(self) -> None:
        while self._lost:
            await self._clock.sleep(_TAKE_BACK_EVERY_S)
            try:
                await self._try_to_take_back()
            except NotTheWriter:
                raise
            except BotError as error:
                self._let_go()
                logger.debug("writer lock is not back yet: {}", error)

    async def _try_to_take_back(self) -> None:
        """Raises NotTheWriter if another daemon was writer meanwhile, DatabaseUnavailable while it is not to be had."""
        with translated():
            connection = await self._connect()
            await connection.fetchval(_END_EARLIER, self._name, timeout=_ANSWER_TIMEOUT_S)
            is_taken = await connection.fetchval(_TAKE, WRITER_LOCK, timeout=_ANSWER_TIMEOUT_S)
        await self._look()  # only now: while we hold the lock nobody raises the epoch
        if not is_taken:
            raise DatabaseUnavailable("another session holds the writer lock")
        self._lost = ""
        lasted_s = self._clock.monotonic() - self._lost_at_s
        logger.warning("writer lock is back after {:.1f} s, in epoch {} as before; sends go on", lasted_s, self._epoch)
        self._tell()

    async def _look(self) -> None:
        if self._connection is None:
            raise DatabaseUnavailable("there is no connection that could hold the writer lock")
        with translated():
            found = await self._connection.fetchval(_STILL, timeout=_ANSWER_TIMEOUT_S)
        if found != self._epoch:
            raise NotTheWriter(f"another daemon has taken over this database: epoch {found}, ours was {self._epoch}")
        if self._connection.is_closed():
            raise DatabaseUnavailable("the connection that holds the writer lock ended")

    def _lose(self, why: str) -> None:
        if self._lost:
            return
        self._lost, self._lost_at_s = why, self._clock.monotonic()
        if self._epoch is not None:
            logger.error("writer lock lost: {}; nothing is sent until it is taken back", why)
        self._let_go()
        self._tell()

    def _tell(self) -> None:
        if self.told is not None:
            self.told()

    def _let_go(self) -> None:
        """At once: what asyncpg still wants to ask or to cancel on it ends, too."""
        if self._connection is not None:
            self._connection.terminate()

    async def _give_back(self) -> None:
        """Close the connection, and with it the lock; no longer than `_CLOSE_TIMEOUT_S`."""
        self._lost = self._lost or "given back"
        try:
            if self._watching is not None:
                self._watching.cancel()
                await asyncio.gather(self._watching, return_exceptions=True)
            if self._connection is not None:
                with translated():
                    await self._connection.close(timeout=_CLOSE_TIMEOUT_S)
        except DatabaseUnavailable as error:
            logger.debug("writer lock: its connection did not end in time: {}", error)
        finally:
            self._let_go()
