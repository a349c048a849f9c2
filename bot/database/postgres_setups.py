"""Setups that wait for a confirmation, in PostgreSQL."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from bot.database.access import Database
from bot.database.contract import SUPERSEDED, unknown_setup
from bot.database.pool import Record
from bot.instruments import Symbol
from bot.models import Direction, SignalId, TaskId, TradingSetup

_COLUMNS: Final = """
    signal_id, task_id, symbol, direction, stop, created_at, expires_at, ended_as, ended_at
"""

_SELECT_LIVE: Final = f"""
    SELECT {_COLUMNS} FROM setups WHERE symbol = $1 AND ended_at IS NULL
"""  # noqa: S608 - made of constants

# One writer at a time, readers not disturbed: there are a few rows a day, and two writers would both find none alive.
_LOCK: Final = "LOCK TABLE setups IN SHARE ROW EXCLUSIVE MODE"

_IS_KNOWN: Final = "SELECT true FROM setups WHERE signal_id = $1"

_SUPERSEDE: Final = """
    UPDATE setups SET ended_as = $2, ended_at = $3 WHERE symbol = $1 AND ended_at IS NULL
"""

_INSERT: Final = f"""
    INSERT INTO setups ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""  # noqa: S608 - made of constants

_END: Final = """
    UPDATE setups SET ended_as = $2, ended_at = $3 WHERE signal_id = $1 AND ended_at IS NULL RETURNING true
"""

_SELECT_NEWEST: Final = f"""
    SELECT {_COLUMNS} FROM setups ORDER BY created_at DESC, signal_id DESC LIMIT $1
"""  # noqa: S608 - made of constants


class PostgresSetups:
    """`SetupStore` over PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def live(self, symbol: Symbol) -> TradingSetup | None:
        """The setup of `symbol` that has not ended."""
        row = await self._database.row(_SELECT_LIVE, symbol)
        return _setup_of(row) if row else None

    async def put(self, setup: TradingSetup) -> None:
        """Store a new setup and end the symbol's live one; a setup that is known already changes nothing."""
        async with self._database.transaction() as connection:
            await connection.execute(_LOCK)
            if await connection.fetchval(_IS_KNOWN, setup.signal_id):
                return
            await connection.execute(_SUPERSEDE, setup.symbol, SUPERSEDED, setup.created_at)
            await connection.execute(_INSERT, *_values_of(setup))

    async def end(self, signal_id: SignalId, ended_as: str, at: datetime) -> None:
        """End a live setup; one that has ended stays as it is. Raises NotFound."""
        if await self._database.write(_END, signal_id, ended_as, at) is True:
            return
        if await self._database.value(_IS_KNOWN, signal_id) is not True:
            raise unknown_setup(signal_id)

    async def recent(self, limit: int) -> Sequence[TradingSetup]:
        """Newest first."""
        return [_setup_of(row) for row in await self._database.rows(_SELECT_NEWEST, limit)]


def _values_of(setup: TradingSetup) -> tuple[object, ...]:
    return (
        setup.signal_id,
        setup.task_id,
        setup.symbol,
        setup.direction.value,
        setup.stop,
        setup.created_at,
        setup.expires_at,
        setup.ended_as,
        setup.ended_at,
    )


def _setup_of(row: Record) -> TradingSetup:
    return TradingSetup(
        signal_id=SignalId(row["signal_id"]),
        task_id=TaskId(row["task_id"]),
        symbol=Symbol(row["symbol"]),
        direction=Direction(row["direction"]),
        stop=row["stop"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        ended_as=row["ended_as"],
        ended_at=row["ended_at"],
    )
