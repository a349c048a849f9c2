"""Positions as rows. Written by the order store, because a fill and the position after it commit together."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final

from bot.database.access import Database
from bot.database.codec import plan_from_json, plan_to_json, storable
from bot.database.contract import unknown_position
from bot.database.pool import Record
from bot.instruments import BrokerId, Symbol
from bot.models import ClientOrderId, Direction, Position, PositionId, SignalId, StrategyName, TaskId

COLUMNS: Final = """
    id, task_id, signal_id, strategy, broker_id, symbol, direction, plan, entry_order_id, stop_order_id,
    first_quantity, quantity, entry_price, stop_price, exit_price, closed_quantity, realised, fees, risk_amount,
    targets_hit, best_price, worst_price, mark_price, break_even, is_trailing, value_per_point, opened_at, closed_at,
    exit_reason
"""

_INSERT: Final = f"""
    INSERT INTO positions ({COLUMNS})
    VALUES (
        $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23,
        $24, $25, $26, $27, $28, $29
    )
"""  # noqa: S608 - made of constants

INSERT_PENDING: Final = f"{_INSERT} ON CONFLICT (id) DO NOTHING RETURNING true"

# What an id stands for (task, signal, symbol, direction) never changes; everything else follows the newest write.
UPSERT_POSITION: Final = f"""
    {_INSERT}
    ON CONFLICT (id) DO UPDATE SET
        plan = excluded.plan,
        entry_order_id = excluded.entry_order_id,
        stop_order_id = excluded.stop_order_id,
        first_quantity = excluded.first_quantity,
        quantity = excluded.quantity,
        entry_price = excluded.entry_price,
        stop_price = excluded.stop_price,
        exit_price = excluded.exit_price,
        closed_quantity = excluded.closed_quantity,
        realised = excluded.realised,
        fees = excluded.fees,
        risk_amount = excluded.risk_amount,
        targets_hit = excluded.targets_hit,
        best_price = excluded.best_price,
        worst_price = excluded.worst_price,
        mark_price = excluded.mark_price,
        break_even = excluded.break_even,
        is_trailing = excluded.is_trailing,
        value_per_point = excluded.value_per_point,
        opened_at = excluded.opened_at,
        closed_at = excluded.closed_at,
        exit_reason = excluded.exit_reason
"""

_SELECT_ONE: Final = f"SELECT {COLUMNS} FROM positions WHERE id = $1"  # noqa: S608 - made of constants

_SELECT_OPEN: Final = f"""
    SELECT {COLUMNS} FROM positions WHERE closed_at IS NULL ORDER BY opened_at, id
"""  # noqa: S608 - made of constants

_SELECT_CLOSED: Final = f"""
    SELECT {COLUMNS} FROM positions WHERE closed_at IS NOT NULL AND first_quantity > 0
    ORDER BY closed_at DESC, id DESC LIMIT $1
"""  # noqa: S608 - made of constants

_COUNT_CLOSED: Final = "SELECT count(*) FROM trade_facts"

_REALISED_SINCE: Final = """
    SELECT coalesce(sum(realised - fees), 0) FROM positions
    WHERE broker_id = $1 AND closed_at IS NOT NULL AND closed_at >= $2 AND first_quantity > 0
"""


class PostgresPositions:
    """The position half of `OrderStore` over PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def save_position(self, position: Position) -> None:
        """Store a position's state that no fill changed. Raises NotFound if its entry order was never recorded."""
        await self._database.write(UPSERT_POSITION, *values_of(position))

    async def position(self, position_id: PositionId) -> Position:
        """One position. Raises NotFound."""
        row = await self._database.row(_SELECT_ONE, position_id)
        if row is None:
            raise unknown_position(position_id)
        return position_of(row)

    async def open_positions(self) -> Sequence[Position]:
        """Oldest first; with those whose entry has not been filled yet."""
        return [position_of(row) for row in await self._database.rows(_SELECT_OPEN)]

    async def closed_positions(self, limit: int) -> Sequence[Position]:
        """Newest first by close; only what had been opened."""
        return [position_of(row) for row in await self._database.rows(_SELECT_CLOSED, limit)]

    async def closed_count(self) -> int:
        """How many positions were opened and closed so far."""
        return int(await self._database.value(_COUNT_CLOSED))

    async def realised_since(self, broker_id: BrokerId, since: datetime) -> Decimal:
        """Net result of positions of one broker closed at or after `since`."""
        return Decimal(await self._database.value(_REALISED_SINCE, broker_id, since))


def values_of(position: Position) -> tuple[object, ...]:
    """Values for `INSERT_PENDING` and `UPSERT_POSITION`, in their order."""
    return (
        position.id,
        position.task_id,
        position.signal_id,
        position.strategy,
        position.broker_id,
        position.symbol,
        position.direction.value,
        plan_to_json(position.plan),
        position.entry_order_id,
        position.stop_order_id,
        position.first_quantity,
        position.quantity,
        position.entry_price,
        position.stop_price,
        position.exit_price,
        position.closed_quantity,
        position.realised,
        position.fees,
        position.risk_amount,
        position.targets_hit,
        position.best_price,
        position.worst_price,
        position.mark_price,
        position.break_even,
        position.trailing,
        position.value_per_point,
        position.opened_at,
        position.closed_at,
        storable(position.exit_reason),
    )


def position_of(row: Record) -> Position:
    """The position of a row of `COLUMNS`."""
    return Position(
        id=PositionId(row["id"]),
        task_id=TaskId(row["task_id"]),
        signal_id=SignalId(row["signal_id"]),
        strategy=StrategyName(row["strategy"]),
        broker_id=BrokerId(row["broker_id"]),
        symbol=Symbol(row["symbol"]),
        direction=Direction(row["direction"]),
        plan=plan_from_json(row["plan"]),
        entry_order_id=ClientOrderId(row["entry_order_id"]),
        stop_order_id=ClientOrderId(row["stop_order_id"]),
        first_quantity=row["first_quantity"],
        quantity=row["quantity"],
        entry_price=row["entry_price"],
        stop_price=row["stop_price"],
        exit_price=row["exit_price"],
        closed_quantity=row["closed_quantity"],
        realised=row["realised"],
        fees=row["fees"],
        risk_amount=row["risk_amount"],
        targets_hit=row["targets_hit"],
        best_price=row["best_price"],
        worst_price=row["worst_price"],
        mark_price=row["mark_price"],
        break_even=row["break_even"],
        trailing=row["is_trailing"],
        value_per_point=row["value_per_point"],
        opened_at=row["opened_at"],
        closed_at=row["closed_at"],
        exit_reason=row["exit_reason"],
    )
