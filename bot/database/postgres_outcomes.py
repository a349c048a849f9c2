"""Outcomes in PostgreSQL."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from bot.database.access import Database
from bot.database.pool import Record
from bot.instruments import Symbol
from bot.models import Direction, Outcome, OutcomeVerdict, SignalId, Timeframe

_COLUMNS: Final = """
    signal_id, symbol, timeframe, direction, accepted, paid, stop, target, started_at, followed_until, candles,
    checkpoints, mfe_r, mae_r, verdict, r, done
"""

_UPSERT: Final = f"""
    INSERT INTO outcomes ({_COLUMNS})
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
    ON CONFLICT (signal_id) DO UPDATE SET
        symbol = excluded.symbol,
        timeframe = excluded.timeframe,
        direction = excluded.direction,
        accepted = excluded.accepted,
        paid = excluded.paid,
        stop = excluded.stop,
        target = excluded.target,
        started_at = excluded.started_at,
        followed_until = excluded.followed_until,
        candles = excluded.candles,
        checkpoints = excluded.checkpoints,
        mfe_r = excluded.mfe_r,
        mae_r = excluded.mae_r,
        verdict = excluded.verdict,
        r = excluded.r,
        done = excluded.done
"""  # noqa: S608 - made of constants

_SELECT_ONE: Final = f"SELECT {_COLUMNS} FROM outcomes WHERE signal_id = $1"  # noqa: S608 - made of constants

_SELECT_UNFINISHED: Final = f"""
    SELECT {_COLUMNS} FROM outcomes WHERE NOT done ORDER BY started_at, signal_id
"""  # noqa: S608 - made of constants

_SELECT_NEWEST: Final = f"""
    SELECT {_COLUMNS} FROM outcomes ORDER BY started_at DESC, signal_id DESC LIMIT $1
"""  # noqa: S608 - made of constants

_COUNT_DONE: Final = "SELECT count(*) FROM outcomes WHERE done"


class PostgresOutcomes:
    """`OutcomeStore` over PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def save(self, *outcomes: Outcome) -> None:
        """Insert or replace by signal; all of them or none."""
        if outcomes:
            async with self._database.transaction() as connection:
                await connection.executemany(_UPSERT, [_values_of(each) for each in outcomes])

    async def of_signal(self, signal_id: SignalId) -> Outcome | None:
        """What followed one signal, if it is or was followed."""
        row = await self._database.row(_SELECT_ONE, signal_id)
        return _outcome_of(row) if row else None

    async def unfinished(self) -> Sequence[Outcome]:
        """Those still followed, oldest first."""
        return [_outcome_of(row) for row in await self._database.rows(_SELECT_UNFINISHED)]

    async def recent(self, limit: int) -> Sequence[Outcome]:
        """Newest first."""
        return [_outcome_of(row) for row in await self._database.rows(_SELECT_NEWEST, limit)]

    async def count(self) -> int:
        """How many are finished."""
        return int(await self._database.value(_COUNT_DONE))


def _values_of(outcome: Outcome) -> tuple[object, ...]:
    return (
        outcome.signal_id,
        outcome.symbol,
        outcome.timeframe.value,
        outcome.direction.value,
        outcome.accepted,
        outcome.paid,
        outcome.stop,
        outcome.target,
        outcome.started_at,
        outcome.followed_until,
        outcome.candles,
        {name: str(price) for name, price in outcome.checkpoints.items()},
        outcome.mfe_r,
        outcome.mae_r,
        outcome.verdict.value,
        outcome.r,
        outcome.done,
    )


def _outcome_of(row: Record) -> Outcome:
    return Outcome(
        signal_id=SignalId(row["signal_id"]),
        symbol=Symbol(row["symbol"]),
        timeframe=Timeframe(row["timeframe"]),
        direction=Direction(row["direction"]),
        accepted=row["accepted"],
        paid=row["paid"],
        stop=row["stop"],
        target=row["target"],
        started_at=row["started_at"],
        followed_until=row["followed_until"],
        candles=row["candles"],
        checkpoints={name: Decimal(price) for name, price in row["checkpoints"].items()},
        mfe_r=row["mfe_r"],
        mae_r=row["mae_r"],
        verdict=OutcomeVerdict(row["verdict"]),
        r=row["r"],
        done=row["done"],
    )
