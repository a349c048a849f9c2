"""Opinions of analysts, and which models have a say, in PostgreSQL."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import Final

from bot.analyst_calls import Usage
from bot.database.access import Database
from bot.database.codec import Json, storable, storable_json
from bot.database.pool import Record
from bot.instruments import Symbol
from bot.models import Direction, TaskId, Timeframe
from bot.opinions import AnalystGate, LadderRung, LadderStep, OpinionEffect, OpinionRecord

_COLUMNS: Final = """
    task_id, candle_closed_at, symbol, timeframe, at, rung, effect, why, model, sent, said, direction, confidence,
    fault, untrue, struck_out, steps, usage, latency_s, request_key, origin
"""

_INSERT: Final = f"""
    INSERT INTO analyst_opinions ({_COLUMNS}, lets_enter)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)
    ON CONFLICT (task_id, candle_closed_at) DO NOTHING
    RETURNING true
"""  # noqa: S608 - made of constants

_OF_CANDLE: Final = f"""
    SELECT {_COLUMNS} FROM analyst_opinions WHERE task_id = $1 AND candle_closed_at = $2
"""  # noqa: S608 - made of constants

_NEWEST: Final = f"""
    SELECT {_COLUMNS} FROM analyst_opinions ORDER BY at DESC, task_id DESC LIMIT $1
"""  # noqa: S608 - made of constants

_ENTERED: Final = "SELECT count(*) FROM analyst_opinions WHERE lets_enter AND at >= $1"

_GATE: Final = """
    SELECT model, may_decide, confidence_counts, by, says, at FROM analyst_gates
    WHERE model = $1 ORDER BY number DESC LIMIT 1
"""

_SET_GATE: Final = """
    INSERT INTO analyst_gates (model, may_decide, confidence_counts, by, says, at) VALUES ($1, $2, $3, $4, $5, $6)
"""


class PostgresOpinions:
    """`OpinionStore` over PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, opinion: OpinionRecord) -> bool:
        """Store one opinion; False if that candle of that task has one already."""
        return await self._database.write(_INSERT, *_values_of(opinion)) is True

    async def of_candle(self, task_id: TaskId, candle_closed_at: datetime) -> OpinionRecord | None:
        """The opinion on one candle, if there is one."""
        row = await self._database.row(_OF_CANDLE, task_id, candle_closed_at)
        return _opinion_of(row) if row is not None else None

    async def recent(self, limit: int) -> Sequence[OpinionRecord]:
        """Newest first."""
        return [_opinion_of(row) for row in await self._database.rows(_NEWEST, limit)]

    async def entered_since(self, instant: datetime) -> int:
        """How many opinions from `instant` on let an entry go on."""
        count: int = await self._database.value(_ENTERED, instant)
        return count

    async def gate(self, model: str) -> AnalystGate | None:
        """What that model may do, as it was set last."""
        row = await self._database.row(_GATE, model)
        return AnalystGate(**dict(row)) if row is not None else None

    async def set_gate(self, gate: AnalystGate) -> None:
        """Open or close the gate of a model."""
        values = (gate.model, gate.may_decide, gate.confidence_counts, storable(gate.by), storable(gate.says), gate.at)
        await self._database.write(_SET_GATE, *values)


def _values_of(opinion: OpinionRecord) -> tuple[object, ...]:
    steps = [asdict(each) for each in opinion.steps]
    return (
        opinion.task_id,
        opinion.candle_closed_at,
        opinion.symbol,
        opinion.timeframe.value,
        opinion.at,
        opinion.rung.value,
        opinion.effect.value,
        storable(opinion.why),
        storable(opinion.model),
        storable(opinion.sent),
        storable_json(opinion.said) if opinion.said is not None else None,
        opinion.direction.value if opinion.direction else None,
        opinion.confidence,
        opinion.fault,
        storable_json(opinion.untrue),
        storable_json(opinion.struck_out),
        storable_json(steps),
        {**asdict(opinion.usage), "cost": str(opinion.usage.cost)},
        opinion.latency_s,
        opinion.request_key,
        storable(opinion.origin),
        opinion.effect.lets_enter,
    )


def _opinion_of(row: Record) -> OpinionRecord:
    return OpinionRecord(
        task_id=TaskId(row["task_id"]),
        candle_closed_at=row["candle_closed_at"],
        symbol=Symbol(row["symbol"]),
        timeframe=Timeframe(row["timeframe"]),
        at=row["at"],
        rung=LadderRung(row["rung"]),
        effect=OpinionEffect(row["effect"]),
        why=row["why"],
        model=row["model"],
        sent=row["sent"],
        said=row["said"],
        direction=Direction(row["direction"]) if row["direction"] else None,
        confidence=row["confidence"],
        fault=row["fault"],
        untrue=tuple(row["untrue"]),
        struck_out=tuple(row["struck_out"]),
        steps=tuple(LadderStep(**each) for each in row["steps"]),
        usage=_usage_of(row["usage"]),
        latency_s=row["latency_s"],
        request_key=row["request_key"],
        origin=row["origin"],
    )


def _usage_of(stored: Json) -> Usage:
    return Usage(**{**stored, "cost": Decimal(stored["cost"])})
