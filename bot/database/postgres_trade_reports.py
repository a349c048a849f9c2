"""Closed positions told by PostgreSQL: lists by filter in key order, and figures out of their facts."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Final

from bot.database.access import Database
from bot.database.asked import Asked
from bot.database.pool import Record
from bot.database.postgres_positions import COLUMNS as POSITION_COLUMNS
from bot.database.postgres_positions import position_of
from bot.models import Position
from bot.reports import (
    HISTOGRAM_HIGH_R,
    HISTOGRAM_LOW_R,
    HISTOGRAM_STEPS,
    Before,
    Bucket,
    TradeFigures,
    TradeFilter,
    TradeGroup,
    TradeResult,
    bucket_ends,
    deepest_fall,
    middle,
)

_CLOSED: Final = "closed_at IS NOT NULL AND first_quantity > 0"

_TRADES: Final = """
    SELECT {columns} FROM positions WHERE {conditions} ORDER BY closed_at DESC, id DESC LIMIT {limit}
"""

_SUMS: Final = """
    SELECT {key} AS name, count(*) AS trades, count(*) FILTER (WHERE net > 0) AS won,
        count(*) FILTER (WHERE net < 0) AS lost, sum(net) AS net, sum(fees) AS costs,
        coalesce(sum(net) FILTER (WHERE net > 0), 0) AS gained,
        coalesce(-sum(net) FILTER (WHERE net < 0), 0) AS lost_money,
        count(r) AS measured, avg(r) AS mean_r, stddev_samp(r) AS deviation_r
    FROM trade_facts WHERE {conditions} GROUP BY 1 ORDER BY 1
"""

# Median and deepest fall need every result, the fall in the order of the closes: sorted by group, or run through two
# windows, 50,000 of them take the server four times as long as handing them over along the index takes.
_RESULTS: Final = """
    SELECT {names} AS names, array_agg(r ORDER BY closed_at, position_id) AS results
    FROM trade_facts WHERE {conditions} AND r IS NOT NULL
"""
_NAMES: Final = "array_agg({key} ORDER BY closed_at, position_id)"

_HISTOGRAM: Final = """
    SELECT width_bucket(r, {low}, {high}, {steps}) AS number, count(*) AS trades
    FROM trade_facts WHERE {conditions} AND r IS NOT NULL GROUP BY 1 ORDER BY 1
"""

_ALL: Final = "all"
_KEYS: Final[Mapping[TradeGroup, str]] = {
    TradeGroup.ALL: f"'{_ALL}'",
    TradeGroup.STRATEGY: "strategy",
    TradeGroup.SYMBOL: "symbol",
    TradeGroup.BROKER: "broker_id",
    TradeGroup.DIRECTION: "direction",
    TradeGroup.ANALYST: "analyst",
    TradeGroup.TIMEFRAME: "timeframe",
    TradeGroup.EXIT_REASON: "exit_reason",
    TradeGroup.WEEKDAY: "weekday",
    TradeGroup.HOUR: "hour",
}
_SIGNS: Final[Mapping[TradeResult, str]] = {TradeResult.WON: ">", TradeResult.LOST: "<", TradeResult.EVEN: "="}


class PostgresTradeReports:
    """The half of `ReportStore` that tells of closed positions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def trades(self, chosen: TradeFilter, *, limit: int, before: Before | None = None) -> Sequence[Position]:
        """Closed positions, newest first by close, then by id."""
        asked = _asked(chosen, _CLOSED, net="realised - fees")
        if before is not None:
            asked.that("(closed_at, id) < ({}, {})", before.at, before.id)
        query = _TRADES.format(columns=POSITION_COLUMNS, conditions=asked.conditions, limit=asked.value(limit))
        return [position_of(row) for row in await self._database.rows(query, *asked.values)]

    async def trade_figures(self, chosen: TradeFilter, by: TradeGroup) -> Sequence[TradeFigures]:
        """One row for each group that has a closed position, by name."""
        asked = _asked(chosen)
        query = _SUMS.format(key=_KEYS[by], conditions=asked.conditions)
        sums = await self._database.rows(query, *asked.values)
        results = await self._results(asked, by)
        return [
            TradeFigures(**row, median_r=middle(results[row["name"]]), fall_r=deepest_fall(results[row["name"]]))
            for row in sums
        ]

    async def histogram(self, chosen: TradeFilter) -> Sequence[Bucket]:
        """How many closed positions gave how much, in R; lowest first, without empty buckets."""
        asked = _asked(chosen)
        low, high, steps = asked.value(HISTOGRAM_LOW_R), asked.value(HISTOGRAM_HIGH_R), asked.value(HISTOGRAM_STEPS)
        query = _HISTOGRAM.format(low=low, high=high, steps=steps, conditions=asked.conditions)
        return [_bucket_of(row) for row in await self._database.rows(query, *asked.values)]

    async def _results(self, asked: Asked, by: TradeGroup) -> Mapping[str, Sequence[float]]:
        """Results in R by group, in the order of the closes."""
        names = "NULL::text[]" if by is TradeGroup.ALL else _NAMES.format(key=_KEYS[by])
        row = await self._database.row(_RESULTS.format(names=names, conditions=asked.conditions), *asked.values)
        found: dict[str, list[float]] = defaultdict(list)
        if row is not None and row["results"]:
            for name, r in zip(row["names"] or repeat(_ALL), row["results"], strict=False):
                found[name].append(r)
        return found


def _asked(chosen: TradeFilter, *always: str, net: str = "net") -> Asked:
    asked = Asked(*always)
    asked.that("symbol = {}", chosen.symbol)
    asked.that("broker_id = {}", chosen.broker_id)
    asked.that("strategy = {}", chosen.strategy)
    asked.that("direction = {}", chosen.direction.value if chosen.direction else None)
    if chosen.result is not None:
        asked.that(f"{net} {_SIGNS[chosen.result]} 0")
    asked.that("closed_at >= {}", chosen.since)
    asked.that("closed_at < {}", chosen.until)
    return asked


def _bucket_of(row: Record) -> Bucket:
    low, high = bucket_ends(row["number"])
    return Bucket(low=low, high=high, trades=row["trades"])
