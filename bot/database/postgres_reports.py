"""Reports out of PostgreSQL: lists by filter in key order, and figures that the server adds up.

A condition is there only if it was chosen, so that the planner sees what an index can do; every text is a constant of
this module, and values are parameters.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from bot.database.access import Database
from bot.database.pool import Record
from bot.database.postgres_positions import COLUMNS as POSITION_COLUMNS
from bot.database.postgres_positions import position_of
from bot.database.postgres_signals import COLUMNS as SIGNAL_COLUMNS
from bot.database.postgres_signals import record_of
from bot.models import OutcomeVerdict, Position
from bot.reports import (
    HISTOGRAM_HIGH_R,
    HISTOGRAM_LOW_R,
    HISTOGRAM_STEPS,
    Before,
    Bucket,
    EquityPoint,
    SignalFilter,
    SignalLine,
    TradeFigures,
    TradeFilter,
    TradeGroup,
    TradeResult,
    VerdictFigures,
    bucket_ends,
    slot_length,
)

# The expression of the index `signals_of_stop`.
_STOPPED_BY: Final = "CASE status WHEN 'refused' THEN split_part(reason, ':', 1) ELSE rejected_by END"

# The rows are chosen first: joined before the limit, the planner may read every outcome.
_SIGNALS: Final = """
    SELECT chosen.*, outcomes.verdict AS outcome, outcomes.r
    FROM (
        SELECT {columns} FROM signals WHERE {conditions} ORDER BY decided_at DESC, id DESC LIMIT {limit}
    ) AS chosen
    LEFT JOIN outcomes ON outcomes.signal_id = chosen.id
    ORDER BY decided_at DESC, id DESC
"""

# From one code to the next along the index: as many looks as there are codes, however many signals there are.
_STOPS: Final = f"""
    WITH RECURSIVE stops (code) AS (
        (SELECT {_STOPPED_BY} FROM signals ORDER BY {_STOPPED_BY} LIMIT 1)
        UNION ALL
        SELECT (SELECT {_STOPPED_BY} FROM signals WHERE {_STOPPED_BY} > code ORDER BY {_STOPPED_BY} LIMIT 1)
        FROM stops WHERE code IS NOT NULL
    )
    SELECT code FROM stops WHERE code <> '' ORDER BY code COLLATE "C"
"""  # noqa: S608 - made of constants

_VERDICTS: Final = """
    SELECT status COLLATE "C" AS status, stopped_by COLLATE "C" AS stopped_by, count(*) AS signals,
        count(*) FILTER (WHERE verdict <> 'open') AS decided,
        count(*) FILTER (WHERE verdict = 'target_hit') AS targets,
        count(*) FILTER (WHERE verdict = 'stop_hit') AS stops,
        coalesce(sum(r) FILTER (WHERE verdict <> 'open'), 0) AS r_sum,
        stddev_samp(r) FILTER (WHERE verdict <> 'open') AS deviation_r
    FROM (SELECT id, status, {stopped_by} AS stopped_by FROM signals WHERE {conditions}) AS chosen
    LEFT JOIN outcomes ON outcomes.signal_id = chosen.id
    GROUP BY 1, 2 ORDER BY 1, 2
"""

_CLOSED: Final = "closed_at IS NOT NULL AND first_quantity > 0"

_TRADES: Final = """
    SELECT {columns} FROM positions WHERE {conditions} ORDER BY closed_at DESC, id DESC LIMIT {limit}
"""

# Of floats, because dividing decimals takes five times as long; a page adds up thousands of these.
_R: Final = "CASE WHEN risk_amount > 0 THEN (realised - fees)::float8 / risk_amount::float8 END"

_FIGURES: Final = """
    WITH chosen AS (
        SELECT {key} COLLATE "C" AS name, closed_at, positions.id, realised - fees AS net, fees, {r} AS r
        FROM positions {joined} WHERE {conditions}
    ), running AS (
        SELECT *, sum(coalesce(r, 0)) OVER (PARTITION BY name ORDER BY closed_at, id) AS total FROM chosen
    ), falling AS (
        SELECT *, greatest(max(total) OVER (PARTITION BY name ORDER BY closed_at, id), 0) - total AS fall FROM running
    )
    SELECT name, count(*) AS trades, count(*) FILTER (WHERE net > 0) AS won, count(*) FILTER (WHERE net < 0) AS lost,
        sum(net) AS net, sum(fees) AS costs,
        coalesce(sum(net) FILTER (WHERE net > 0), 0) AS gained,
        coalesce(-sum(net) FILTER (WHERE net < 0), 0) AS lost_money,
        count(r) AS measured, avg(r) AS mean_r, stddev_samp(r) AS deviation_r,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY r) AS median_r, max(fall) AS fall_r
    FROM falling GROUP BY name ORDER BY name
"""

_HISTOGRAM: Final = """
    SELECT width_bucket(r, {low}, {high}, {steps}) AS number, count(*) AS trades
    FROM (SELECT {r} AS r FROM positions WHERE {conditions}) AS chosen
    WHERE r IS NOT NULL GROUP BY 1 ORDER BY 1
"""

_OF_SIGNAL: Final = "LEFT JOIN signals ON signals.id = positions.signal_id"
_KEYS: Final[Mapping[TradeGroup, str]] = {
    TradeGroup.ALL: "'all'",
    TradeGroup.STRATEGY: "positions.strategy",
    TradeGroup.SYMBOL: "positions.symbol",
    TradeGroup.BROKER: "positions.broker_id",
    TradeGroup.DIRECTION: "positions.direction",
    TradeGroup.ANALYST: "coalesce(signals.analyst, '')",
    TradeGroup.TIMEFRAME: "coalesce(signals.timeframe, '')",
    TradeGroup.EXIT_REASON: "exit_reason",
    TradeGroup.WEEKDAY: "to_char(opened_at AT TIME ZONE 'UTC', 'ID')",
    TradeGroup.HOUR: "to_char(opened_at AT TIME ZONE 'UTC', 'HH24')",
}
_RESULTS: Final[Mapping[TradeResult, str]] = {
    TradeResult.WON: "realised > fees",
    TradeResult.LOST: "realised < fees",
    TradeResult.EVEN: "realised = fees",
}

_FIRST_NOTED: Final = "SELECT min(at) FROM portfolio_snapshots"

# The last value of each slot is read back by its instant, which costs one look into the index for each slot.
_EQUITY: Final = """
    WITH slots AS (
        SELECT max(at) AS at, max(peak - equity) AS fall, max(peak) AS peak
        FROM portfolio_snapshots WHERE at >= $1 AND at < $2
        GROUP BY date_bin($3::interval, at, $1)
    )
    SELECT slots.at, newest.equity, CASE WHEN peak > 0 THEN fall::float8 / peak::float8 ELSE 0 END AS drawdown
    FROM slots CROSS JOIN LATERAL (
        SELECT equity FROM portfolio_snapshots AS each WHERE each.at = slots.at ORDER BY sequence DESC LIMIT 1
    ) AS newest
    ORDER BY slots.at
"""


class PostgresReports:
    """`ReportStore` over PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def signals(self, chosen: SignalFilter, *, limit: int, before: Before | None = None) -> Sequence[SignalLine]:
        """Newest first by verdict, then by id."""
        asked = _of_signals(chosen)
        if before is not None:
            asked.that("(decided_at, id) < ({}, {})", before.at, before.id)
        query = _SIGNALS.format(columns=SIGNAL_COLUMNS, conditions=asked.conditions, limit=asked.value(limit))
        return [_line_of(row) for row in await self._database.rows(query, *asked.values)]

    async def stops(self) -> Sequence[str]:
        """The code of everything that ever stopped a signal, sorted."""
        return [row["code"] for row in await self._database.rows(_STOPS)]

    async def verdicts(self, chosen: SignalFilter) -> Sequence[VerdictFigures]:
        """One row for each status and what stopped it."""
        asked = _of_signals(chosen)
        query = _VERDICTS.format(stopped_by=_STOPPED_BY, conditions=asked.conditions)
        return [VerdictFigures(**row) for row in await self._database.rows(query, *asked.values)]

    async def trades(self, chosen: TradeFilter, *, limit: int, before: Before | None = None) -> Sequence[Position]:
        """Closed positions, newest first by close, then by id."""
        asked = _of_trades(chosen)
        if before is not None:
            asked.that("(closed_at, id) < ({}, {})", before.at, before.id)
        query = _TRADES.format(columns=POSITION_COLUMNS, conditions=asked.conditions, limit=asked.value(limit))
        return [position_of(row) for row in await self._database.rows(query, *asked.values)]

    async def trade_figures(self, chosen: TradeFilter, by: TradeGroup) -> Sequence[TradeFigures]:
        """One row for each group that has a closed position, by name."""
        asked = _of_trades(chosen)
        joined = _OF_SIGNAL if "signals." in _KEYS[by] else ""
        query = _FIGURES.format(key=_KEYS[by], r=_R, joined=joined, conditions=asked.conditions)
        return [TradeFigures(**row) for row in await self._database.rows(query, *asked.values)]

    async def histogram(self, chosen: TradeFilter) -> Sequence[Bucket]:
        """How many closed positions gave how much, in R; lowest first, without empty buckets."""
        asked = _of_trades(chosen)
        low, high, steps = asked.value(HISTOGRAM_LOW_R), asked.value(HISTOGRAM_HIGH_R), asked.value(HISTOGRAM_STEPS)
        query = _HISTOGRAM.format(low=low, high=high, steps=steps, r=_R, conditions=asked.conditions)
        return [_bucket_of(row) for row in await self._database.rows(query, *asked.values)]

    async def equity(self, *, since: datetime | None, until: datetime, points: int) -> Sequence[EquityPoint]:
        """Equity in at most `points` slots of the same length, oldest first."""
        begin = since or await self._database.value(_FIRST_NOTED)
        if begin is None or begin >= until:
            return []
        length = slot_length(begin, until, points)
        return [EquityPoint(**row) for row in await self._database.rows(_EQUITY, begin, until, length)]


class _Asked:
    """Conditions and the values they speak of, numbered as they come."""

    def __init__(self, *always: str) -> None:
        self._conditions = list(always)
        self.values: list[object] = []

    def value(self, value: object) -> str:
        """Its place in the statement."""
        self.values.append(value)
        return f"${len(self.values)}"

    def that(self, condition: str, *values: object) -> None:
        """Only rows for which this holds; nothing if it was not chosen."""
        if all(each is not None for each in values):
            self._conditions.append(condition.format(*map(self.value, values)))

    @property
    def conditions(self) -> str:
        """For the place after WHERE."""
        return " AND ".join(self._conditions) or "true"


def _of_signals(chosen: SignalFilter) -> _Asked:
    asked = _Asked()
    asked.that("status = {}", chosen.status)
    asked.that(f"{_STOPPED_BY} = {{}}", chosen.stopped_by)
    asked.that("symbol = {}", chosen.symbol)
    asked.that("broker_id = {}", chosen.broker_id)
    asked.that("strategy = {}", chosen.strategy)
    asked.that("timeframe = {}", chosen.timeframe.value if chosen.timeframe else None)
    asked.that("decided_at >= {}", chosen.since)
    asked.that("decided_at < {}", chosen.until)
    return asked


def _of_trades(chosen: TradeFilter) -> _Asked:
    asked = _Asked(_CLOSED)
    asked.that("positions.symbol = {}", chosen.symbol)
    asked.that("positions.broker_id = {}", chosen.broker_id)
    asked.that("positions.strategy = {}", chosen.strategy)
    asked.that("positions.direction = {}", chosen.direction.value if chosen.direction else None)
    if chosen.result is not None:
        asked.that(_RESULTS[chosen.result])
    asked.that("closed_at >= {}", chosen.since)
    asked.that("closed_at < {}", chosen.until)
    return asked


def _line_of(row: Record) -> SignalLine:
    verdict = OutcomeVerdict(row["outcome"]) if row["outcome"] else None
    return SignalLine(record=record_of(row, ()), verdict=verdict, r=row["r"])


def _bucket_of(row: Record) -> Bucket:
    low, high = bucket_ends(row["number"])
    return Bucket(low=low, high=high, trades=row["trades"])
