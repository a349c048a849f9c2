"""Reports out of PostgreSQL: signals, closed positions, and the curve of equity."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from bot.database.access import Database
from bot.database.postgres_signal_reports import PostgresSignalReports
from bot.database.postgres_trade_reports import PostgresTradeReports
from bot.reports import EquityPoint, Slots, begin_of_hour

_FIRST_NOTED: Final = "SELECT min(at) FROM portfolio_snapshots"

# Slots of whole hours are put together from hours, but for the last one, which `until` ($2) may cut: from $4 on each
# value is read. The last value of each slot is read back by its instant, which costs one look into the index.
_EQUITY: Final = """
    WITH told AS (
        SELECT at, fall, peak FROM equity_hours WHERE hour >= $1 AND hour < $4
        UNION ALL
        SELECT at, peak - equity, peak FROM portfolio_snapshots WHERE at >= greatest($1, $4) AND at < $2
    ), slots AS (
        SELECT max(at) AS at, max(fall) AS fall, max(peak) AS peak FROM told GROUP BY date_bin($3::interval, at, $1)
    )
    SELECT slots.at, newest.equity, CASE WHEN peak > 0 THEN fall::float8 / peak::float8 ELSE 0 END AS drawdown
    FROM slots CROSS JOIN LATERAL (
        SELECT equity FROM portfolio_snapshots AS each WHERE each.at = slots.at ORDER BY sequence DESC LIMIT 1
    ) AS newest
    ORDER BY slots.at
"""


class PostgresReports(PostgresSignalReports, PostgresTradeReports):
    """`ReportStore` over PostgreSQL."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._database = database

    async def equity(self, *, since: datetime | None, until: datetime, points: int) -> Sequence[EquityPoint]:
        """Equity in at most `points` slots of the same length, oldest first."""
        begin = since or await self._database.value(_FIRST_NOTED)
        if begin is None or begin >= until:
            return []
        slots = Slots.of(begin, until, points)
        each_from = begin_of_hour(until) if slots.by_hours else slots.begin
        rows = await self._database.rows(_EQUITY, slots.begin, until, slots.length, each_from)
        return [EquityPoint(**row) for row in rows]
