"""Portfolio snapshots and the latched drawdown stop in PostgreSQL."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from bot.database.access import Database
from bot.database.codec import storable
from bot.database.contract import NO_REASON
from bot.database.pool import Record
from bot.models import PortfolioSnapshot

_INSERT: Final = """
    INSERT INTO portfolio_snapshots (at, equity, balance, open_positions, peak) VALUES ($1, $2, $3, $4, $5)
"""

_SELECT_LATEST: Final = """
    SELECT at, equity, balance, open_positions, peak FROM portfolio_snapshots ORDER BY at DESC, sequence DESC LIMIT 1
"""

# The last row of each of $2 equal groups, so that the newest row is always among them.
_SELECT_SINCE: Final = """
    SELECT at, equity, balance, open_positions, peak
    FROM (
        SELECT at, sequence, equity, balance, open_positions, peak,
            row_number() OVER (ORDER BY at, sequence) AS rank, count(*) OVER () AS number
        FROM portfolio_snapshots WHERE at >= $1
    ) AS numbered
    WHERE rank * $2::bigint / number > (rank - 1) * $2::bigint / number
    ORDER BY at, sequence
"""

_SELECT_LATCHED: Final = "SELECT reason FROM stops_latched WHERE cleared_at IS NULL"

_LATCH: Final = "INSERT INTO stops_latched (reason, latched_at) VALUES ($1, $2) ON CONFLICT DO NOTHING"

_CLEAR: Final = "UPDATE stops_latched SET cleared_by = $1, cleared_at = $2 WHERE cleared_at IS NULL"


class PostgresSnapshots:
    """`SnapshotStore` over PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, snapshot: PortfolioSnapshot) -> None:
        """Add one."""
        values = (snapshot.at, snapshot.equity, snapshot.balance, snapshot.open_positions, snapshot.peak)
        await self._database.write(_INSERT, *values)

    async def latest(self) -> PortfolioSnapshot | None:
        """The newest, if any."""
        row = await self._database.row(_SELECT_LATEST)
        return _snapshot_of(row) if row else None

    async def since(self, instant: datetime, limit: int) -> Sequence[PortfolioSnapshot]:
        """Those at or after `instant`, oldest first, thinned to at most `limit`; the newest is kept."""
        return [_snapshot_of(row) for row in await self._database.rows(_SELECT_SINCE, instant, limit)]

    async def latched_stop(self) -> str:
        """Why the drawdown kill switch is latched; empty if it is not."""
        return await self._database.value(_SELECT_LATCHED) or ""

    async def latch_stop(self, reason: str, at: datetime) -> None:
        """Latch it; a switch that is latched already keeps its first reason."""
        await self._database.write(_LATCH, storable(reason) or NO_REASON, at)

    async def clear_stop(self, by: str, at: datetime) -> None:
        """A person clears it; the row stays, with their name. Nothing happens if it is not latched."""
        await self._database.write(_CLEAR, storable(by), at)


def _snapshot_of(row: Record) -> PortfolioSnapshot:
    return PortfolioSnapshot(
        at=row["at"],
        equity=row["equity"],
        balance=row["balance"],
        open_positions=row["open_positions"],
        peak=row["peak"],
    )
