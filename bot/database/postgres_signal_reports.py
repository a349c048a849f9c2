"""Signals told by PostgreSQL: lists by filter in key order, and how many ended how."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from bot.database.access import Database
from bot.database.asked import Asked
from bot.database.pool import Record
from bot.database.postgres_signals import COLUMNS as SIGNAL_COLUMNS
from bot.database.postgres_signals import record_of
from bot.models import OutcomeVerdict
from bot.reports import Before, SignalFilter, SignalLine, VerdictFigures

# The expression of the index `signals_of_stop`.
_STOPPED_BY: Final = "CASE status WHEN 'refused' THEN split_part(reason, ':', 1) ELSE rejected_by END"

_LAST_MONTH: Final = datetime(9999, 12, 1, tzinfo=UTC)
_END: Final = datetime.max.replace(tzinfo=UTC)

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

# Whole months come counted, what a period has besides them row by row.
_VERDICTS: Final = """
    SELECT status COLLATE "C" AS status, stopped_by COLLATE "C" AS stopped_by, sum(signals)::bigint AS signals,
        sum(decided)::bigint AS decided, sum(targets)::bigint AS targets, sum(stops)::bigint AS stops,
        sum(r_sum)::float8 AS r_sum,
        CASE WHEN sum(measured) > 1 THEN sqrt(
            greatest(sum(r_squares) - sum(r_sum) * sum(r_sum) / sum(measured), 0) / (sum(measured) - 1)
        )::float8 END AS deviation_r
    FROM (
        SELECT status, stopped_by, signals, decided, targets, stops, measured, r_sum, r_squares
        FROM signal_counts WHERE {months}
        UNION ALL
        SELECT status, {stopped_by}, 1, decided, (verdict = 'target_hit')::int, (verdict = 'stop_hit')::int,
            CASE WHEN r IS NULL THEN 0 ELSE decided END, decided * coalesce(r::numeric, 0),
            decided * coalesce(r::numeric * r::numeric, 0)
        FROM (SELECT * FROM signals WHERE {days}) AS chosen
        LEFT JOIN (
            SELECT signal_id, verdict, r, (verdict <> 'open')::int AS decided FROM outcomes
        ) AS followed ON signal_id = id
    ) AS parts
    GROUP BY 1, 2 HAVING sum(signals) > 0 ORDER BY 1, 2
"""


class PostgresSignalReports:
    """The half of `ReportStore` that tells of signals."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def signals(self, chosen: SignalFilter, *, limit: int, before: Before | None = None) -> Sequence[SignalLine]:
        """Newest first by verdict, then by id."""
        asked = Asked()
        _of_kind(asked, chosen, stopped_by=_STOPPED_BY)
        asked.that("decided_at >= {}", chosen.since)
        asked.that("decided_at < {}", chosen.until)
        if before is not None:
            asked.that("(decided_at, id) < ({}, {})", before.at, before.id)
        query = _SIGNALS.format(columns=SIGNAL_COLUMNS, conditions=asked.conditions, limit=asked.value(limit))
        return [_line_of(row) for row in await self._database.rows(query, *asked.values)]

    async def stops(self) -> Sequence[str]:
        """The code of everything that ever stopped a signal, sorted."""
        return [row["code"] for row in await self._database.rows(_STOPS)]

    async def verdicts(self, chosen: SignalFilter) -> Sequence[VerdictFigures]:
        """One row for each status and what stopped it."""
        first = _whole_from(chosen.since) if chosen.since else None
        last = _month(chosen.until) if chosen.until else None
        whole = Asked()
        whole.that("month >= {}", first)
        whole.that("month < {}", last)
        _of_kind(whole, chosen, stopped_by="stopped_by")
        rest = Asked(values=whole.values)
        rest.within("decided_at", _edges(chosen, first, last))
        _of_kind(rest, chosen, stopped_by=_STOPPED_BY)
        query = _VERDICTS.format(stopped_by=_STOPPED_BY, months=whole.conditions, days=rest.conditions)
        return [VerdictFigures(**row) for row in await self._database.rows(query, *whole.values)]


def _of_kind(asked: Asked, chosen: SignalFilter, *, stopped_by: str) -> None:
    asked.that("status = {}", chosen.status)
    asked.that(f"{stopped_by} = {{}}", chosen.stopped_by)
    asked.that("symbol = {}", chosen.symbol)
    asked.that("broker_id = {}", chosen.broker_id)
    asked.that("strategy = {}", chosen.strategy)
    asked.that("timeframe = {}", chosen.timeframe.value if chosen.timeframe else None)


def _month(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _whole_from(at: datetime) -> datetime:
    """When the first month begins that lies after `at` with all its days; the end of time after the last month."""
    begun = _month(at)
    if begun == at:
        return begun
    return _month(begun + timedelta(days=31)) if begun < _LAST_MONTH else _END


def _edges(chosen: SignalFilter, first: datetime | None, last: datetime | None) -> list[tuple[datetime, datetime]]:
    """What a period has before its first whole month and after its last one."""
    if chosen.since and chosen.until and first and last and first >= last:
        return [(chosen.since, chosen.until)]
    before = [(chosen.since, first)] if chosen.since and first else []
    after = [(last, chosen.until)] if chosen.until and last else []
    return before + after


def _line_of(row: Record) -> SignalLine:
    verdict = OutcomeVerdict(row["outcome"]) if row["outcome"] else None
    return SignalLine(record=record_of(row, ()), verdict=verdict, r=row["r"])
