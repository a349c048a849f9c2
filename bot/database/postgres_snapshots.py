"""Portfolio snapshots in PostgreSQL."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from bot.database.access import Database
from bot.database.codec import account_from_json, account_to_json
from bot.database.pool import Record
from bot.models import PortfolioSnapshot

_INSERT: Final = """
    INSERT INTO portfolio_snapshots (at, equity, balance, open_positions, peak, accounts)
    VALUES ($1, $2, $3, $4, $5, $6)
"""

_SELECT_LATEST: Final = """
    SELECT at, equity, balance, open_positions, peak, accounts FROM portfolio_snapshots
    ORDER BY at DESC, sequence DESC LIMIT 1
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


class PostgresSnapshots:
    """`SnapshotStore` over PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, snapshot: PortfolioSnapshot) -> None:
        """Add one."""
        values = (snapshot.at, snapshot.equity, snapshot.balance, snapshot.open_positions, snapshot.peak)
        await self._database.write(_INSERT, *values, [account_to_json(each) for each in snapshot.accounts])

    async def latest(self) -> PortfolioSnapshot | None:
        """The newest, if any, with its accounts."""
        row = await self._database.row(_SELECT_LATEST)
        if row is None:
            return None
        return replace(_snapshot_of(row), accounts=tuple(account_from_json(each) for each in row["accounts"]))

    async def since(self, instant: datetime, limit: int) -> Sequence[PortfolioSnapshot]:
        """Those at or after `instant`, oldest first, thinned to `limit` at most, the newest kept; without accounts."""
        return [_snapshot_of(row) for row in await self._database.rows(_SELECT_SINCE, instant, limit)]


def _snapshot_of(row: Record) -> PortfolioSnapshot:
    return PortfolioSnapshot(
        at=row["at"],
        equity=row["equity"],
        balance=row["balance"],
        open_positions=row["open_positions"],
        peak=row["peak"],
    )
