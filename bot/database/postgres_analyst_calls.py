"""Requests to models in PostgreSQL."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final

from bot.analyst_calls import (
    AnalystCall,
    CallCosts,
    CallState,
    SpendCaps,
    SpendRefused,
    SpendWindow,
    Usage,
)
from bot.database.access import Database
from bot.database.codec import storable, storable_json
from bot.database.pool import Record
from bot.models import SignalId

_LOCK_KEY: Final = 7_302_615_400_241  # any number: who reserves waits for who is reserving

_COLUMNS: Final = """
    key, model, at, symbol, signal_id, attempt, state, reserved, counted, cost, outcome, says, request_body, reply_body,
    input_tokens, cache_write_tokens, cache_read_tokens, output_tokens, latency_s, request_id, origin
"""
_INSERT: Final = f"""
    INSERT INTO analyst_calls ({_COLUMNS})
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)
    RETURNING number
"""  # noqa: S608 - made of constants
_IS_KNOWN: Final = """
    SELECT true FROM analyst_calls WHERE key = $1 AND model = $2 AND request_id = $3 AND at = $4 LIMIT 1
"""
_SETTLE: Final = """
    UPDATE analyst_calls SET state = $2, counted = $3, cost = $4, outcome = $5, says = $6, reply_body = $7,
        input_tokens = $8, cache_write_tokens = $9, cache_read_tokens = $10, output_tokens = $11, latency_s = $12,
        request_id = $13
    WHERE number = $1 AND state IN ('reserved', 'unknown')
"""
_EXPIRE: Final = """
    WITH dead AS (
        UPDATE analyst_calls SET state = 'unknown' WHERE state = 'reserved' AND at < $1 RETURNING number
    )
    SELECT count(*) FROM dead
"""
_SPENT: Final = """
    SELECT coalesce(sum(counted) FILTER (WHERE hour >= $1), 0) AS hour,
           coalesce(sum(counted) FILTER (WHERE hour >= $2), 0) AS day,
           coalesce(sum(counted), 0) AS month
    FROM analyst_spending WHERE hour >= $3
"""
_SELECT_ANSWERED: Final = f"""
    SELECT number, {_COLUMNS} FROM analyst_calls
    WHERE key = $1 AND model = $2 AND origin = $3 AND outcome = 'answered' ORDER BY number DESC LIMIT 1
"""  # noqa: S608 - made of constants
_SELECT_ABOUT: Final = f"""
    SELECT number, {_COLUMNS} FROM analyst_calls WHERE signal_id = $1 AND signal_id <> '' ORDER BY number
"""  # noqa: S608 - made of constants
_SELECT_NEWEST: Final = f"""
    SELECT number, {_COLUMNS} FROM analyst_calls ORDER BY number DESC LIMIT $1
"""  # noqa: S608 - made of constants
_SELECT_COSTS: Final = """
    SELECT (at AT TIME ZONE 'UTC')::date AS day, symbol COLLATE "C" AS symbol, model COLLATE "C" AS model,
           count(*) AS requests,
           count(*) FILTER (WHERE outcome = 'answered') AS answered,
           count(*) FILTER (WHERE state IN ('reserved', 'unknown')) AS without_word,
           sum(input_tokens)::bigint AS input_tokens, sum(cache_write_tokens)::bigint AS cache_write_tokens,
           sum(cache_read_tokens)::bigint AS cache_read_tokens, sum(output_tokens)::bigint AS output_tokens,
           sum(counted) AS cost
    FROM analyst_calls WHERE at >= $1 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""


class PostgresAnalystCalls:
    """`AnalystCallStore` over PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def reserve(self, call: AnalystCall, caps: SpendCaps) -> int | SpendRefused:
        """Store a call at the most it can cost, unless that passes a cap."""
        async with self._database.transaction() as connection:
            await connection.execute(f"SELECT pg_advisory_xact_lock({_LOCK_KEY})")
            spent = _spent_of(await connection.fetchrow(_SPENT, *_starts(call.at)))
            for window in SpendWindow:
                if spent[window] + call.reserved > caps.of(window):
                    return SpendRefused(window=window, spent=spent[window], asked=call.reserved, cap=caps.of(window))
            number: int = await connection.fetchval(_INSERT, *_values_of(call, CallState.RESERVED))
            return number

    async def settle(self, call: AnalystCall) -> None:
        """Say what came of a reserved call; one that was settled stays as it is."""
        usage = call.usage
        await self._database.write(
            _SETTLE,
            call.number,
            call.state.value,
            call.counted,
            usage.cost,
            call.outcome,
            storable(call.says),
            storable_json(call.reply_body),
            usage.input_tokens,
            usage.cache_write_tokens,
            usage.cache_read_tokens,
            usage.output_tokens,
            call.latency_s,
            storable(call.request_id),
        )

    async def expire(self, before: datetime) -> int:
        """Mark those reserved before `before` as unknown; how many."""
        number: int = await self._database.write(_EXPIRE, before)
        return number

    async def add(self, call: AnalystCall) -> bool:
        """Store a recording from elsewhere; False if key and model have that answer."""
        async with self._database.transaction() as connection:
            await connection.execute(f"SELECT pg_advisory_xact_lock({_LOCK_KEY})")
            if await connection.fetchval(_IS_KNOWN, call.key, call.model, storable(call.request_id), call.at):
                return False
            await connection.execute(_INSERT, *_values_of(call, CallState.IMPORTED))
            return True

    async def answered(self, key: str, model: str, *, origin: str) -> AnalystCall | None:
        """The newest answer of a model to a question, among those of one origin."""
        row = await self._database.row(_SELECT_ANSWERED, key, model, origin)
        return None if row is None else _call_of(row)

    async def about(self, signal_id: SignalId) -> Sequence[AnalystCall]:
        """The calls of one signal, oldest first."""
        return [_call_of(row) for row in await self._database.rows(_SELECT_ABOUT, signal_id)]

    async def recent(self, limit: int) -> Sequence[AnalystCall]:
        """Newest first."""
        return [_call_of(row) for row in await self._database.rows(_SELECT_NEWEST, limit)]

    async def spent(self, at: datetime) -> Mapping[SpendWindow, Decimal]:
        """Dollars counted in the hour, day and month of `at`."""
        return _spent_of(await self._database.row(_SPENT, *_starts(at)))

    async def costs(self, since: datetime) -> Sequence[CallCosts]:
        """What was counted from `since` on, by day, symbol and model."""
        return [
            CallCosts(
                day=row["day"],
                symbol=row["symbol"],
                model=row["model"],
                requests=row["requests"],
                answered=row["answered"],
                without_word=row["without_word"],
                usage=_usage_of(row),
            )
            for row in await self._database.rows(_SELECT_COSTS, since)
        ]


def _starts(at: datetime) -> tuple[datetime, ...]:
    return tuple(each.start(at) for each in (SpendWindow.HOUR, SpendWindow.DAY, SpendWindow.MONTH))


def _spent_of(row: "Record | None") -> dict[SpendWindow, Decimal]:
    if row is None:
        raise ValueError("a sum without GROUP BY is one row")
    return {window: row[window.value] for window in SpendWindow}


def _values_of(call: AnalystCall, state: CallState) -> tuple[object, ...]:
    usage = call.usage
    return (
        call.key,
        call.model,
        call.at,
        call.symbol,
        call.signal_id,
        call.attempt,
        state.value,
        call.reserved,
        Decimal(0) if state is CallState.IMPORTED else call.reserved,
        usage.cost,
        call.outcome,
        storable(call.says),
        storable_json(call.request_body),
        storable_json(call.reply_body),
        usage.input_tokens,
        usage.cache_write_tokens,
        usage.cache_read_tokens,
        usage.output_tokens,
        call.latency_s,
        storable(call.request_id),
        call.origin,
    )


def _usage_of(row: Record) -> Usage:
    return Usage(
        input_tokens=row["input_tokens"],
        cache_write_tokens=row["cache_write_tokens"],
        cache_read_tokens=row["cache_read_tokens"],
        output_tokens=row["output_tokens"],
        cost=row["cost"],
    )


def _call_of(row: Record) -> AnalystCall:
    return AnalystCall(
        number=row["number"],
        key=row["key"],
        model=row["model"],
        at=row["at"],
        symbol=row["symbol"],
        signal_id=row["signal_id"],
        attempt=row["attempt"],
        state=CallState(row["state"]),
        reserved=row["reserved"],
        outcome=row["outcome"],
        says=row["says"],
        request_body=row["request_body"],
        reply_body=row["reply_body"],
        usage=_usage_of(row),
        latency_s=row["latency_s"],
        request_id=row["request_id"],
        origin=row["origin"],
    )
