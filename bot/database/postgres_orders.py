"""Orders, their events and fills in PostgreSQL; with positions, one aggregate."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final

from bot.database.access import Database
from bot.database.codec import storable
from bot.database.contract import cause_of_fill, cause_of_intent, fenced, refused_transition, unknown_order
from bot.database.pool import Connection, Record
from bot.database.postgres_positions import INSERT_PENDING, UPSERT_POSITION, PostgresPositions
from bot.database.postgres_positions import values_of as position_values
from bot.instruments import BrokerId, Symbol
from bot.models import (
    ClientOrderId,
    Fill,
    Order,
    OrderKind,
    OrderRole,
    OrderState,
    Position,
    PositionId,
    Side,
    SignalId,
    TaskId,
)
from bot.reports import Before, OrderFilter

_COLUMNS: Final = """
    client_order_id, position_id, signal_id, task_id, broker_id, symbol, role, side, kind, quantity, price, state,
    reason, created_at, updated_at, venue_order_id, filled_quantity, filled_price
"""

# No row comes back if the id is taken, or the entry of the signal: the unique indexes decide, not a look beforehand.
_INSERT_INTENT: Final = f"""
    WITH stored AS (
        INSERT INTO orders ({_COLUMNS})
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
        ON CONFLICT DO NOTHING
        RETURNING client_order_id, state, created_at
    )
    INSERT INTO order_events (client_order_id, from_state, to_state, cause, at)
    SELECT client_order_id, '', state, $19, created_at FROM stored
    RETURNING true
"""  # noqa: S608 - made of constants

_BEFORE_A_REQUEST: Final = (OrderState.SENDING, OrderState.CANCEL_PENDING)

_SHARE_EPOCH: Final = "SELECT epoch FROM writer FOR SHARE"

_HAS_ENTRY: Final = "SELECT true FROM orders WHERE signal_id = $1 AND role = 'entry'"

_TRANSITION: Final = """
    UPDATE orders SET
        state = $3, updated_at = $4, venue_order_id = coalesce($5, venue_order_id),
        quantity = coalesce($6, quantity), price = coalesce($7, price)
    WHERE client_order_id = $1 AND state = $2
    RETURNING true
"""

_INSERT_EVENT: Final = """
    INSERT INTO order_events (client_order_id, from_state, to_state, cause, at) VALUES ($1, $2, $3, $4, $5)
"""

_SELECT_STATE: Final = "SELECT state FROM orders WHERE client_order_id = $1"

_INSERT_FILL: Final = """
    INSERT INTO fills (
        broker_id, venue_fill_id, client_order_id, symbol, side, quantity, price, fee, filled_at, cause,
        withheld
    )
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
    ON CONFLICT (broker_id, venue_fill_id) DO NOTHING
    RETURNING true
"""

_LOCK_STATE: Final = "SELECT state FROM orders WHERE client_order_id = $1 FOR UPDATE"

_UPDATE_FILLED: Final = """
    UPDATE orders SET
        quantity = $2, price = $3, state = $4, reason = $5, updated_at = $6, venue_order_id = $7,
        filled_quantity = $8, filled_price = $9
    WHERE client_order_id = $1
"""

_SELECT_ONE: Final = f"SELECT {_COLUMNS} FROM orders WHERE client_order_id = $1"  # noqa: S608 - made of constants

# The list is that of the partial index `orders_unfinished`.
_SELECT_UNFINISHED: Final = f"""
    SELECT {_COLUMNS} FROM orders
    WHERE state IN (
        'INTENT', 'SENDING', 'UNKNOWN', 'WORKING', 'TRIGGERED', 'PARTIAL', 'REPLACE_PENDING', 'CANCEL_PENDING'
    )
    ORDER BY created_at, client_order_id
"""  # noqa: S608 - made of constants

_SELECT_NOT_PLACED: Final = f"""
    SELECT {_COLUMNS} FROM orders
    WHERE state = 'NOT_PLACED' AND broker_id = $1 AND updated_at >= $2
    ORDER BY updated_at, client_order_id
"""  # noqa: S608 - made of constants

_SELECT_OF_POSITION: Final = f"""
    SELECT {_COLUMNS} FROM orders WHERE position_id = $1 ORDER BY created_at, client_order_id
"""  # noqa: S608 - made of constants

_SELECT_ENTRY: Final = f"""
    SELECT {_COLUMNS} FROM orders WHERE signal_id = $1 AND role = 'entry'
"""  # noqa: S608 - made of constants

_SELECT_NEWEST: Final = f"""
    SELECT {_COLUMNS} FROM orders ORDER BY created_at DESC, client_order_id DESC LIMIT $1
"""  # noqa: S608 - made of constants

_FIND_ORDERS: Final = f"""
    SELECT {_COLUMNS} FROM orders
    WHERE ($1::text[] IS NULL OR state = ANY($1))
        AND ($2::text IS NULL OR symbol = $2)
        AND ($3::text IS NULL OR broker_id = $3)
        AND ($4::text IS NULL OR role = $4)
        AND ($5::timestamptz IS NULL OR (created_at, client_order_id) < ($5, $6::text))
    ORDER BY created_at DESC, client_order_id DESC LIMIT $7
"""  # noqa: S608 - made of constants

_SELECT_FILLS: Final = """
    SELECT
        fills.broker_id, venue_fill_id, client_order_id, fills.symbol, fills.side, fills.quantity, fills.price, fee,
        filled_at, cause, withheld
    FROM fills JOIN orders USING (client_order_id)
    WHERE position_id = $1 ORDER BY filled_at, venue_fill_id
"""

_COUNTS: Final = "SELECT state, count(*) AS number FROM orders GROUP BY state ORDER BY state"

_SELECT_EVENTS: Final = """
    SELECT at, from_state, to_state, cause FROM order_events WHERE client_order_id = $1 ORDER BY sequence
"""

_SELECT_CURSOR: Final = "SELECT cursor FROM fill_cursors WHERE broker_id = $1"

_UPSERT_CURSOR: Final = """
    INSERT INTO fill_cursors (broker_id, cursor) VALUES ($1, $2)
    ON CONFLICT (broker_id) DO UPDATE SET cursor = excluded.cursor
"""


class PostgresOrders(PostgresPositions):
    """`OrderStore` over PostgreSQL.

    With an `epoch` it writes intents and sends only while no later writer has raised that of the database: what a
    fenced writer asks for raises NotTheWriter, and nothing is stored (I13).
    """

    def __init__(self, database: Database, epoch: Callable[[], int | None] = lambda: None) -> None:
        super().__init__(database)
        self._database = database
        self._epoch = epoch

    async def check_writer(self) -> None:
        """Raises NotTheWriter once the lock is known to be lost."""
        self._epoch()

    async def record_intent(
        self, orders: Sequence[Order], *, signal_id: SignalId | None, position: Position | None = None
    ) -> bool:
        """Store new orders with their first event, and the pending position; False, and nothing stored, if one of
        the ids or the entry of that signal is there already."""
        try:
            async with self._database.transaction() as connection:
                await self._check_epoch(connection)
                if signal_id is not None and await connection.fetchval(_HAS_ENTRY, signal_id):
                    raise _AlreadyRecorded
                await self._insert_intents(connection, orders, position)
        except _AlreadyRecorded:  # raised inside the block, because leaving it quietly would commit the other orders
            return False
        return True

    async def transition(
        self,
        client_order_id: ClientOrderId,
        *,
        expected: OrderState,
        state: OrderState,
        cause: str,
        at: datetime,
        venue_order_id: str | None = None,
        quantity: Decimal | None = None,
        price: Decimal | None = None,
    ) -> None:
        """Move an order and append the event row. Raises IllegalTransition if it is no longer in `expected`."""
        async with self._database.transaction() as connection:
            if state in _BEFORE_A_REQUEST:
                await self._check_epoch(connection)
            values = (client_order_id, expected.value, state.value, at, venue_order_id, quantity, price)
            moved = await connection.fetchval(_TRANSITION, *values)
            if moved is not True:
                found = await connection.fetchval(_SELECT_STATE, client_order_id)
                raise refused_transition(client_order_id, found, expected, state)
            await connection.execute(_INSERT_EVENT, client_order_id, expected.value, state.value, storable(cause), at)

    async def record_fill(self, fill: Fill, *, order: Order, position: Position) -> bool:
        """Apply one fill, all or nothing; False if it was known. Raises NotFound for an order never recorded."""
        async with self._database.transaction() as connection:
            if await connection.fetchval(_INSERT_FILL, *_fill_values(fill)) is not True:
                return False
            await self._update_filled(connection, fill, order)
            await connection.execute(UPSERT_POSITION, *position_values(position))
        return True

    async def order(self, client_order_id: ClientOrderId) -> Order:
        """One order. Raises NotFound."""
        row = await self._database.row(_SELECT_ONE, client_order_id)
        if row is None:
            raise unknown_order(client_order_id)
        return _order_of(row)

    async def unfinished_orders(self) -> Sequence[Order]:
        """Every order that is not in a terminal state, oldest first."""
        return [_order_of(row) for row in await self._database.rows(_SELECT_UNFINISHED)]

    async def not_placed_since(self, broker_id: BrokerId, since: datetime) -> Sequence[Order]:
        """Orders of one broker presumed never placed at or after `since`, oldest first."""
        return [_order_of(row) for row in await self._database.rows(_SELECT_NOT_PLACED, broker_id, since)]

    async def orders_of(self, position_id: PositionId) -> Sequence[Order]:
        """All orders of one position, oldest first."""
        return [_order_of(row) for row in await self._database.rows(_SELECT_OF_POSITION, position_id)]

    async def entry_of(self, signal_id: SignalId) -> Order | None:
        """The entry that followed from a signal, if any did."""
        row = await self._database.row(_SELECT_ENTRY, signal_id)
        return _order_of(row) if row else None

    async def recent_orders(self, limit: int) -> Sequence[Order]:
        """Newest first."""
        return [_order_of(row) for row in await self._database.rows(_SELECT_NEWEST, limit)]

    async def find_orders(self, chosen: OrderFilter, *, limit: int, before: Before | None = None) -> Sequence[Order]:
        """Newest first by creation, then by id."""
        states = sorted(each.value for each in chosen.states) or None
        after = (before.at, before.id) if before else (None, None)
        values = (states, chosen.symbol, chosen.broker_id, chosen.role, *after, limit)
        return [_order_of(row) for row in await self._database.rows(_FIND_ORDERS, *values)]

    async def fills_of(self, position_id: PositionId) -> Sequence[Fill]:
        """All fills of the orders of one position, oldest first."""
        return [_fill_of(row) for row in await self._database.rows(_SELECT_FILLS, position_id)]

    async def order_counts(self) -> Mapping[str, int]:
        """How many orders there are by state."""
        return {row["state"]: row["number"] for row in await self._database.rows(_COUNTS)}

    async def order_events(self, client_order_id: ClientOrderId) -> Sequence[tuple[datetime, str, str, str]]:
        """(at, from state, to state, cause) of one order, oldest first; the first one comes from ''."""
        rows = await self._database.rows(_SELECT_EVENTS, client_order_id)
        return [(row["at"], row["from_state"], row["to_state"], row["cause"]) for row in rows]

    async def fill_cursor(self, broker_id: BrokerId) -> str:
        """Where reading that broker's fills stopped; empty at first."""
        return await self._database.value(_SELECT_CURSOR, broker_id) or ""

    async def save_fill_cursor(self, broker_id: BrokerId, cursor: str) -> None:
        """Remember where reading stopped."""
        await self._database.write(_UPSERT_CURSOR, broker_id, cursor)

    async def _check_epoch(self, connection: Connection) -> None:
        """Refuse to go on if another writer has taken over; whoever takes over waits until this transaction ends."""
        mine = self._epoch()
        if mine is not None:
            found = await connection.fetchval(_SHARE_EPOCH)
            if found != mine:
                raise fenced(mine, found)

    async def _insert_intents(self, connection: Connection, orders: Sequence[Order], position: Position | None) -> None:
        # Sorted, so that two writers of the same orders wait for each other instead of deadlocking.
        for order in sorted(orders, key=lambda each: each.client_order_id):
            values = (*_values_of(order), storable(cause_of_intent(order)))
            if await connection.fetchval(_INSERT_INTENT, *values) is not True:
                raise _AlreadyRecorded
        if position is None:
            return
        if await connection.fetchval(INSERT_PENDING, *position_values(position)) is not True:
            raise _AlreadyRecorded

    async def _update_filled(self, connection: Connection, fill: Fill, order: Order) -> None:
        before = await connection.fetchval(_LOCK_STATE, order.client_order_id)
        if before is None:
            raise unknown_order(order.client_order_id)
        await connection.execute(
            _UPDATE_FILLED,
            order.client_order_id,
            order.quantity,
            order.price,
            order.state.value,
            storable(order.reason),
            order.updated_at,
            order.venue_order_id,
            order.filled_quantity,
            order.filled_price,
        )
        if before != order.state.value:
            event = (order.client_order_id, before, order.state.value, storable(cause_of_fill(fill)), order.updated_at)
            await connection.execute(_INSERT_EVENT, *event)


class _AlreadyRecorded(Exception):
    """An intent of that name exists; rolls back what was stored beside it."""


def _values_of(order: Order) -> tuple[object, ...]:
    return (
        order.client_order_id,
        order.position_id,
        order.signal_id,
        order.task_id,
        order.broker_id,
        order.symbol,
        order.role.value,
        order.side.value,
        order.kind.value,
        order.quantity,
        order.price,
        order.state.value,
        storable(order.reason),
        order.created_at,
        order.updated_at,
        order.venue_order_id,
        order.filled_quantity,
        order.filled_price,
    )


def _fill_values(fill: Fill) -> tuple[object, ...]:
    return (
        fill.broker_id,
        fill.venue_fill_id,
        fill.client_order_id,
        fill.symbol,
        fill.side.value,
        fill.quantity,
        fill.price,
        fill.fee,
        fill.filled_at,
        storable(fill.cause),
        fill.withheld,
    )


def _fill_of(row: Record) -> Fill:
    return Fill(
        broker_id=BrokerId(row["broker_id"]),
        venue_fill_id=row["venue_fill_id"],
        client_order_id=ClientOrderId(row["client_order_id"]),
        symbol=Symbol(row["symbol"]),
        side=Side(row["side"]),
        quantity=row["quantity"],
        price=row["price"],
        fee=row["fee"],
        filled_at=row["filled_at"],
        cause=row["cause"],
        withheld=row["withheld"],
    )


def _order_of(row: Record) -> Order:
    return Order(
        client_order_id=ClientOrderId(row["client_order_id"]),
        position_id=PositionId(row["position_id"]),
        signal_id=SignalId(row["signal_id"]) if row["signal_id"] is not None else None,
        task_id=TaskId(row["task_id"]),
        broker_id=BrokerId(row["broker_id"]),
        symbol=Symbol(row["symbol"]),
        role=OrderRole(row["role"]),
        side=Side(row["side"]),
        kind=OrderKind(row["kind"]),
        quantity=row["quantity"],
        price=row["price"],
        state=OrderState(row["state"]),
        reason=row["reason"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        venue_order_id=row["venue_order_id"],
        filled_quantity=row["filled_quantity"],
        filled_price=row["filled_price"],
    )
