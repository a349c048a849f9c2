"""The kill switch in PostgreSQL, and the connection on which its changes are heard at once."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

from bot.database.access import Database, translated
from bot.database.codec import storable
from bot.database.contract import changes_latches, releases_of, resumable
from bot.database.pool import Connection, Record
from bot.errors import DatabaseUnavailable
from bot.instruments import BrokerId
from bot.models import KillCause, KillLevel, KillState, strongest

CHANNEL: Final = "kill_events"  # migration 0002 notifies it at each commit
_CONNECT_TIMEOUT_S: Final = 5.0
_CLOSE_TIMEOUT_S: Final = 1.0

_INSERT: Final = """
    INSERT INTO kill_events (level, cause, broker_id, by, reason, at) VALUES ($1, $2, $3, $4, $5, $6)
"""

_SELECT_ACTIVE: Final = """
    SELECT level, cause, broker_id, by, reason, at
    FROM kill_events AS pressed
    WHERE level <> 'none' AND NOT EXISTS (
        SELECT FROM kill_events AS released
        WHERE released.level = 'none' AND released.cause = pressed.cause
            AND released.broker_id = pressed.broker_id AND released.sequence > pressed.sequence
    )
    ORDER BY sequence
"""

_SELECT_NEWEST: Final = """
    SELECT level, cause, broker_id, by, reason, at FROM kill_events ORDER BY sequence DESC LIMIT $1
"""

# Readers go on; two who press at once are put in order, so that the second sees what the first has pressed.
_ONE_WRITER: Final = "LOCK TABLE kill_events IN SHARE ROW EXCLUSIVE MODE"


class PostgresKills:
    """`KillStore` over PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def active(self) -> Sequence[KillState]:
        """Every latch that holds, in the order pressed."""
        return [_state_of(row) for row in await self._database.rows(_SELECT_ACTIVE)]

    async def current(self, broker_id: BrokerId | None = None) -> KillState:
        """The strongest latch for one broker."""
        return strongest(await self.active(), broker_id)

    async def set(self, state: KillState) -> bool:
        """Press or release; False if that changes nothing."""
        async with self._database.transaction() as connection:
            if not changes_latches(await locked_latches(connection), state):
                return False
            await connection.execute(_INSERT, *_values_of(state))
        return True

    async def resume(self, *, up_to: KillLevel, by: str, reason: str, at: datetime) -> Sequence[KillState]:
        """Release everything but what ends by itself, unless something stronger than `up_to` holds."""
        async with self._database.transaction() as connection:
            released = resumable(await locked_latches(connection), up_to)
            rows = releases_of(released, by=by, reason=reason, at=at)
            await connection.executemany(_INSERT, [_values_of(each) for each in rows])
        return released

    async def history(self, limit: int) -> Sequence[KillState]:
        """Newest first."""
        return [_state_of(row) for row in await self._database.rows(_SELECT_NEWEST, limit)]


class PostgresKillNews:
    """`KillNews` over LISTEN, on a connection of its own: a pool's connections are busy or closed when it matters."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    async def listen(self, changed: Callable[[], None]) -> None:
        """Call `changed` now and after each change, until cancelled. Raises DatabaseUnavailable when that ends."""
        import asyncpg

        ended = asyncio.Event()
        with translated():
            connection = await asyncpg.connect(self._dsn, timeout=_CONNECT_TIMEOUT_S)
        try:
            connection.add_termination_listener(lambda _: ended.set())
            with translated():
                await connection.add_listener(CHANNEL, lambda *_: changed())
            changed()  # what was pressed before we listened
            await ended.wait()
        finally:
            await _closed(connection)
        raise DatabaseUnavailable("the connection that hears of the kill switch was lost; it is opened again")


async def locked_latches(connection: Connection) -> list[KillState]:
    """Every latch that holds; nobody presses or releases until the end of the transaction."""
    await connection.execute(_ONE_WRITER)
    return [_state_of(row) for row in await connection.fetch(_SELECT_ACTIVE)]


async def press_again(connection: Connection, latches: Sequence[KillState]) -> None:
    """Press those that do not hold, in the caller's transaction: a restore must not lift what a person has pressed."""
    for state in latches:
        if changes_latches(await locked_latches(connection), state):
            await connection.execute(_INSERT, *_values_of(state))


async def _closed(connection: Any) -> None:
    try:
        with translated():
            await connection.close(timeout=_CLOSE_TIMEOUT_S)
    except DatabaseUnavailable:
        connection.terminate()


def _values_of(state: KillState) -> tuple[object, ...]:
    by, reason = storable(state.by), storable(state.reason)
    return (state.level.value, state.cause.value, state.broker_id or "", by, reason, state.at)


def _state_of(row: Record) -> KillState:
    return KillState(
        level=KillLevel(row["level"]),
        by=row["by"],
        cause=KillCause(row["cause"]),
        reason=row["reason"],
        at=row["at"],
        broker_id=BrokerId(row["broker_id"]) if row["broker_id"] else None,
    )
