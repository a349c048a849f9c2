"""Signals and their findings in PostgreSQL."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

from bot.database.access import Database
from bot.database.codec import claim_from_json, claim_to_json, decimals_from_json, decimals_to_json, storable
from bot.database.contract import unknown_signal
from bot.database.pool import Record
from bot.instruments import BrokerId, Symbol
from bot.models import (
    Direction,
    EntrySignal,
    Finding,
    FindingStatus,
    SignalId,
    SignalRecord,
    StrategyName,
    TaskId,
    Timeframe,
)

COLUMNS: Final = """
    id, task_id, strategy, broker_id, symbol, timeframe, candle_closed_at, direction, entry, stop_loss, targets,
    confidence, claim, analyst, score, status, rejected_by, reason, decided_at
"""

_INSERT: Final = f"""
    INSERT INTO signals ({COLUMNS})
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
    ON CONFLICT (id) DO NOTHING
    RETURNING true
"""  # noqa: S608 - made of constants

_INSERT_FINDINGS: Final = """
    INSERT INTO signal_findings (signal_id, ordinal, code, name, status, measured, measured_text, limit_text)
    SELECT $1, ordinal, code, name, status, measured, measured_text, limit_text
    FROM unnest($2::int[], $3::text[], $4::text[], $5::text[], $6::float8[], $7::text[], $8::text[])
        AS finding (ordinal, code, name, status, measured, measured_text, limit_text)
"""

_UPDATE_STATUS: Final = "UPDATE signals SET status = $2, reason = $3 WHERE id = $1 RETURNING true"

_SELECT_ONE: Final = f"SELECT {COLUMNS} FROM signals WHERE id = $1"  # noqa: S608 - made of constants

_SELECT_NEWEST: Final = f"""
    SELECT {COLUMNS} FROM signals ORDER BY decided_at DESC, id DESC LIMIT $1
"""  # noqa: S608 - made of constants

_SELECT_FINDINGS: Final = """
    SELECT signal_id, code, name, status, measured, measured_text, limit_text
    FROM signal_findings WHERE signal_id = ANY ($1::text[]) ORDER BY signal_id, ordinal
"""

_COUNTS: Final = """
    SELECT status, sum(signals)::bigint AS number FROM signal_counts GROUP BY status HAVING sum(signals) > 0
    ORDER BY status
"""


class PostgresSignals:
    """`SignalStore` over PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, record: SignalRecord) -> bool:
        """Store one judged signal and its findings; False if its id is known (it is then left as it was)."""
        async with self._database.transaction() as connection:
            if await connection.fetchval(_INSERT, *_values_of(record)) is not True:
                return False
            await connection.execute(_INSERT_FINDINGS, record.signal.id, *_columns_of(record.findings))
        return True

    async def update_status(self, signal_id: SignalId, status: str, reason: str) -> None:
        """Say how far a stored signal got. Raises NotFound."""
        if await self._database.write(_UPDATE_STATUS, signal_id, status, storable(reason)) is not True:
            raise unknown_signal(signal_id)

    async def get(self, signal_id: SignalId) -> SignalRecord:
        """One signal. Raises NotFound."""
        row = await self._database.row(_SELECT_ONE, signal_id)
        if row is None:
            raise unknown_signal(signal_id)
        return (await self._with_findings([row]))[0]

    async def recent(self, limit: int) -> Sequence[SignalRecord]:
        """Newest first."""
        return await self._with_findings(await self._database.rows(_SELECT_NEWEST, limit))

    async def counts(self) -> Mapping[str, int]:
        """How many signals there are by status."""
        return {row["status"]: row["number"] for row in await self._database.rows(_COUNTS)}

    async def _with_findings(self, rows: Sequence[Record]) -> list[SignalRecord]:
        findings: dict[str, list[Finding]] = {row["id"]: [] for row in rows}
        for row in await self._database.rows(_SELECT_FINDINGS, list(findings)):
            findings[row["signal_id"]].append(_finding_of(row))
        return [record_of(row, tuple(findings[row["id"]])) for row in rows]


def _values_of(record: SignalRecord) -> tuple[object, ...]:
    signal = record.signal
    return (
        signal.id,
        signal.task_id,
        signal.strategy,
        signal.broker_id,
        signal.symbol,
        signal.timeframe.value,
        signal.candle_closed_at,
        signal.direction.value if signal.direction else None,
        signal.entry,
        signal.stop_loss,
        decimals_to_json(signal.targets),
        signal.confidence,
        claim_to_json(signal.claim) if signal.claim else None,
        signal.analyst,
        record.score,
        record.status,
        record.rejected_by,
        storable(record.reason),
        record.decided_at,
    )


def _columns_of(findings: Sequence[Finding]) -> tuple[list[object], ...]:
    return (
        list(range(len(findings))),
        [each.code for each in findings],
        [each.name for each in findings],
        [each.status.value for each in findings],
        [_measured_number(each.measured) for each in findings],
        [storable(each.measured) if isinstance(each.measured, str) else None for each in findings],
        [storable(each.limit) for each in findings],
    )


def _measured_number(measured: float | str) -> float | None:
    """NaN becomes null, so that an average over the column is not NaN for one missing input."""
    return None if isinstance(measured, str) or math.isnan(measured) else measured


def _finding_of(row: Record) -> Finding:
    number, text = row["measured"], row["measured_text"]
    return Finding(
        code=row["code"],
        name=row["name"],
        status=FindingStatus(row["status"]),
        measured=text if text is not None else (math.nan if number is None else number),
        limit=row["limit_text"],
    )


def record_of(row: Record, findings: tuple[Finding, ...]) -> SignalRecord:
    """The record of a row of `COLUMNS`."""
    signal = EntrySignal(
        id=SignalId(row["id"]),
        task_id=TaskId(row["task_id"]),
        strategy=StrategyName(row["strategy"]),
        broker_id=BrokerId(row["broker_id"]),
        symbol=Symbol(row["symbol"]),
        timeframe=Timeframe(row["timeframe"]),
        candle_closed_at=row["candle_closed_at"],
        direction=Direction(row["direction"]) if row["direction"] else None,
        entry=row["entry"],
        stop_loss=row["stop_loss"],
        targets=decimals_from_json(row["targets"]),
        confidence=row["confidence"],
        claim=claim_from_json(row["claim"]) if row["claim"] else None,
        analyst=row["analyst"],
    )
    return SignalRecord(
        signal=signal,
        findings=findings,
        score=row["score"],
        status=row["status"],
        rejected_by=row["rejected_by"],
        reason=row["reason"],
        decided_at=row["decided_at"],
    )
