"""The venue's events into order states and positions, each once, whatever their order."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Final

from loguru import logger

from bot.errors import IllegalTransition, NotFound
from bot.instruments import BrokerId
from bot.interfaces import Clock, OrderStore
from bot.layer1_data.broker_interface import BrokerInterface
from bot.layer3_execution.aside import side_by_side
from bot.layer3_execution.book import Book
from bot.layer3_execution.exits import called
from bot.layer3_execution.order_state import OrderEvent, next_state
from bot.layer3_execution.positions import with_entry, with_exit, with_extremes_of
from bot.models import (
    ORDER_ID_PREFIX,
    ClientOrderId,
    Fill,
    Order,
    OrderRole,
    OrderState,
    Position,
    PositionId,
    TaskId,
)

Recorder = Callable[[str, TaskId | None, Mapping[str, object]], Awaitable[None]]
Resized = Callable[[Position, datetime], Awaitable[None]]


_ENDS: Final = (OrderEvent.CANCELED, OrderEvent.EXPIRED, OrderEvent.NEGATIVE_EVIDENCE, OrderEvent.CANCEL_SENT)
_UNCLAIMED_KEPT: Final = 1_000


class _NotAsRemembered(IllegalTransition):
    """The store has the order in another state than the book."""


class OrderTracker:
    """Keeps orders and positions equal to what the venues report."""

    def __init__(
        self,
        *,
        store: OrderStore,
        book: Book,
        broker_of: Callable[[BrokerId], BrokerInterface],
        clock: Clock,
        record: Recorder,
    ) -> None:
        self._store = store
        self._book = book
        self._broker_of = broker_of
        self._clock = clock
        self._record = never_failing(record)
        self._writing = asyncio.Lock()
        self._cursors: dict[BrokerId, str] = {}
        self._reading: dict[BrokerId, asyncio.Lock] = {}
        self._doubted: set[PositionId] = set()
        self.resized: Resized | None = None
        """Told of each position that fills have changed, with the instant of the last one, when all were applied."""
        self.unclaimed: deque[Fill] = deque(maxlen=_UNCLAIMED_KEPT)
        """Fills of orders that we do not know: a person may have closed something of ours."""

    async def load(self) -> None:
        """Take what the store knows into the book. Call once, before anything else."""
        for position in await self._store.open_positions():
            self._book.put_position(position)
        for order in await self._store.unfinished_orders():
            self._book.put_order(order)

    @property
    def is_in_doubt(self) -> bool:
        """A commit got no answer: the store may know more than the book."""
        return bool(self._doubted)

    async def recall(self, is_in_flight: Callable[[ClientOrderId], bool]) -> None:
        """Read back whatever a lost answer leaves in doubt, and take what the store has and the book lacks: an intent
        whose commit was never confirmed to its sender."""
        async with self._writing:
            for position_id in sorted(self._doubted):
                await self._recall(position_id)
            for position in await self._store.open_positions():
                if self._book.position(position.id) is None and not is_in_flight(position.entry_order_id):
                    self._book.put_position(position)
            for order in await self._store.unfinished_orders():
                if self._book.order(order.client_order_id) is None and not is_in_flight(order.client_order_id):
                    self._book.put_order(order)

    async def move(
        self,
        order: Order,
        event: OrderEvent,
        cause: str,
        *,
        venue_order_id: str | None = None,
        terms: tuple[Decimal, Decimal] | None = None,
    ) -> Order:
        """Apply one event to an order as it is now: durable first, then remembered. Raises IllegalTransition.

        `terms` are the quantity and price that the venue has agreed to since. While the caller waited for the venue,
        a fill may have been read and applied: it is never undone.
        """
        async with self._writing:
            before = self._book.order(order.client_order_id) or await self._store.order(order.client_order_id)
            if event in _ENDS and before.state.is_terminal:
                return before  # somebody else has ended it meanwhile, or a fill has
            try:
                after = await self._moved(before, event, cause, venue_order_id, terms)
            except _NotAsRemembered:  # a commit whose answer was lost: the store is right
                before = await self._store.order(order.client_order_id)
                self._book.put_order(before)
                after = await self._moved(before, event, cause, venue_order_id, terms)
        if after.state is not before.state:
            await self._note(after, cause)
        return after

    async def _moved(
        self,
        current: Order,
        event: OrderEvent,
        cause: str,
        venue_order_id: str | None,
        terms: tuple[Decimal, Decimal] | None,
    ) -> Order:
        state = next_state(current.state, event, current.client_order_id)
        moved = replace(current, state=state, venue_order_id=venue_order_id or current.venue_order_id)
        if terms is not None:
            moved = replace(moved, quantity=terms[0], price=terms[1])
        if moved == current:
            return current
        moved = replace(moved, updated_at=self._clock.now())
        new_terms = {} if terms is None else {"quantity": moved.quantity, "price": moved.price}
        try:
            with self._doubting(moved.position_id):
                await self._store.transition(
                    moved.client_order_id,
                    expected=current.state,
                    state=moved.state,
                    cause=cause,
                    at=moved.updated_at,
                    venue_order_id=moved.venue_order_id,
                    **new_terms,
                )
        except IllegalTransition as error:
            raise _NotAsRemembered(str(error)) from error
        self._book.put_order(moved)
        return moved

    async def follow(self, order: Order, venue_order_id: str | None) -> None:
        """The venue has it under this id now, because it replaced what it was to change: the chain is recorded."""
        if venue_order_id not in (None, order.venue_order_id):
            with suppress(IllegalTransition):  # it has ended meanwhile
                await self.move(order, OrderEvent.ACK, f"goes on as {venue_order_id}", venue_order_id=venue_order_id)

    async def revive(self, order: Order, cause: str, *, venue_order_id: str | None = None) -> Order:
        """An order that our record had ended works at the venue after all: both it and what it may open are live again.

        Raises IllegalTransition for one that was filled.
        """
        moved = await self.move(order, OrderEvent.LATE_ARRIVAL, cause, venue_order_id=venue_order_id)
        async with self._writing:
            position = self._book.position(order.position_id) or await self._store.position(order.position_id)
            if order.role is OrderRole.ENTRY and position.closed_at is not None and not position.first_quantity:
                pending = replace(position, closed_at=None, exit_reason="")
                await self._store.save_position(pending)
                self._book.put_position(pending)
        return moved

    async def change(self, position_id: PositionId, change: Callable[[Position], Position]) -> Position | None:
        """Apply what no fill says (stop, flags, an end without a beginning) to a position as it is now; None if it has
        ended. The only way to write a position beside fills, so that neither overwrites the other."""
        async with self._writing:
            await self._recall(position_id)
            current = self._book.position(position_id)
            if current is None:
                return None
            changed = change(current)
            with self._doubting(position_id):
                await self._store.save_position(changed)
            return self._remembered(changed, current)

    def doubt(self, position_id: PositionId) -> None:
        """A commit about it got no answer: it is read back before the next change, and with the next `recall`."""
        self._doubted.add(position_id)

    @contextmanager
    def _doubting(self, position_id: PositionId) -> Iterator[None]:
        """A write whose answer is lost may have happened: until it is read back, the book may be older than the store.

        To write from such a book would take back a fill that is stored.
        """
        known = position_id in self._doubted
        self._doubted.add(position_id)
        yield
        if not known:
            self._doubted.discard(position_id)

    async def _recall(self, position_id: PositionId) -> bool:
        """Read a doubted position and its orders back; False if there was nothing to doubt."""
        if position_id not in self._doubted:
            return False
        stored = await self._store.position(position_id)
        known = self._book.position(position_id)
        self._book.put_position(stored if known is None else with_extremes_of(stored, known))
        for order in await self._store.orders_of(position_id):
            self._book.put_order(order)
        self._doubted.discard(position_id)
        return True

    def _remembered(self, changed: Position, before: Position) -> Position:
        """Put it into the book, with the prices that came while it was stored."""
        latest = self._book.position(changed.id)
        if latest is not None and latest is not before:
            changed = with_extremes_of(changed, latest)
        self._book.put_position(changed)
        return changed

    async def give_up_rests(self, broker_id: BrokerId) -> None:
        """What still works of an entry whose position has ended would open it again: the comparison that follows
        cancels it at the venue. Until that says so it counts as open risk."""
        for entry in self._book.rests(broker_id):
            await self.move(entry, OrderEvent.CANCEL_SENT, "its position has ended")

    async def collect(self, broker_id: BrokerId) -> int:
        """Read and apply the fills that are new at one venue; answer how many. Raises BrokerUnavailable."""
        changed: dict[PositionId, datetime] = {}
        try:
            async with self._reading.setdefault(broker_id, asyncio.Lock()):
                return await self._collect(broker_id, changed)
        finally:  # outside of the lock: what follows may read fills itself
            await self._tell_resized(changed)

    async def apply(self, fills: Sequence[Fill]) -> None:
        """Apply fills that were told before their order was known here. A stop follows when all of them are in."""
        changed: dict[PositionId, datetime] = {}
        for fill in fills:
            await self._apply(fill, changed)
            self.unclaimed.remove(fill)
        await self._tell_resized(changed)

    async def _tell_resized(self, changed: Mapping[PositionId, datetime]) -> None:
        """All at once: no position waits for what is done about another one."""
        if self.resized is not None:
            await side_by_side([self._follow(self.resized, *each) for each in changed.items()])

    async def _follow(self, resized: Resized, position_id: PositionId, filled_at: datetime) -> None:
        await resized(self._book.position(position_id) or await self._store.position(position_id), filled_at)

    async def _collect(self, broker_id: BrokerId, changed: dict[PositionId, datetime]) -> int:
        cursor = self._cursors.get(broker_id)
        if cursor is None:
            cursor = await self._store.fill_cursor(broker_id)
        fills, following = await self._broker_of(broker_id).fills_since(cursor)
        applied = 0
        for fill in fills:
            applied += await self._apply(fill, changed)
        if following != cursor:
            await self._store.save_fill_cursor(broker_id, following)
        self._cursors[broker_id] = following
        return applied

    async def _apply(self, fill: Fill, changed: dict[PositionId, datetime]) -> bool:
        try:
            async with self._writing:
                order = self._book.order(fill.client_order_id) or await self._store.order(fill.client_order_id)
                if await self._recall(order.position_id):
                    order = await self._store.order(fill.client_order_id)
                before = self._book.position(order.position_id) or await self._store.position(order.position_id)
                with self._doubting(order.position_id):
                    moved, after = await self._recorded(fill, order, before)
                if moved is order:
                    return False
                self._book.put_order(moved)
                after = self._remembered(after, before)
        except NotFound:
            if any(_is_same(each, fill) for each in self.unclaimed):
                return False
            self.unclaimed.append(fill)
            await self._record("incident", None, {"what": "fill of an unknown order", **_fill_facts(fill)})
            return False
        changed[after.id] = fill.filled_at
        await self._tell(fill, order, moved, before, after)
        if after.closed_at is not None:
            await self._end_orders_of(after)
        return True

    async def _recorded(self, fill: Fill, order: Order, position: Position) -> tuple[Order, Position]:
        """Order and position after `fill`; the same ones if it was known and is in them."""
        if order.role is OrderRole.ENTRY:
            goes_on = order.filled_quantity + fill.quantity < order.quantity
            after = with_entry(position, fill, goes_on=goes_on)
        else:
            after = _after_exit(position, order, fill)
        moved = _order_after(order, fill, after, self._clock.now())
        if await self._store.record_fill(fill, order=moved, position=after):
            return moved, after
        stored = await self._store.order(order.client_order_id)
        if stored.filled_quantity == order.filled_quantity:
            return order, position
        return stored, await self._store.position(position.id)  # committed before, but the answer was lost

    async def _end_orders_of(self, position: Position) -> None:
        """Nothing is left to protect or reduce: the venue drops what was attached, and so do we.

        What is being sent at this moment is left to its sender, who will hear the venue's answer; a stop that the
        venue does not drop, and the rest of the entry, to whoever cancels it there.
        """
        dropped = self._broker_of(position.broker_id).capabilities.stop_follows_position
        for order in self._book.orders_of(position.id):
            if order.role is OrderRole.ENTRY or (order.role is OrderRole.STOP and not dropped):
                continue
            if order.state not in (OrderState.INTENT, OrderState.SENDING):
                await self.move(order, OrderEvent.CANCELED, "position closed")

    async def _tell(self, fill: Fill, order: Order, moved: Order, before: Position, after: Position) -> None:
        await self._record("fill", order.task_id, {**_fill_facts(fill), "role": order.role.value})
        if moved.state is not order.state:
            await self._note(moved, f"fill {fill.venue_fill_id}")
        if order.state.is_terminal or order.state is OrderState.INTENT:
            facts = {"what": "fill of an order that had ended", "state": order.state.value, **_fill_facts(fill)}
            await self._record("incident", order.task_id, facts)
        if moved.filled_quantity > moved.quantity:
            facts = {"what": "more was filled than ordered", "ordered": str(moved.quantity), **_fill_facts(fill)}
            await self._record("incident", order.task_id, facts)
        if after.closed_quantity > after.first_quantity and self._book.order(after.entry_order_id) is None:
            facts = {"what": "more closed than was opened", "position": after.id, **_fill_facts(fill)}
            await self._record("incident", order.task_id, facts)
        if not before.first_quantity and after.first_quantity:
            await self._record("position_opened", after.task_id, _opened_facts(after))
        if after.closed_at is not None:
            await self._record("position_closed", after.task_id, _closed_facts(after))

    async def _note(self, order: Order, cause: str) -> None:
        facts = {"order": order.client_order_id, "role": order.role.value, "symbol": order.symbol}
        await self._record("order", order.task_id, {**facts, "state": order.state.value, "cause": cause})


def _after_exit(position: Position, order: Order, fill: Fill) -> Position:
    return with_exit(position, fill, called(position, order) if order.role is OrderRole.STOP else order.reason)


def _order_after(order: Order, fill: Fill, position: Position, now: datetime) -> Order:
    filled = order.filled_quantity + fill.quantity
    paid = (order.filled_price or 0) * order.filled_quantity + fill.price * fill.quantity
    # A stop follows its position: what it had to close is what was left, so flat means filled.
    is_stop = order.role is OrderRole.STOP
    full = filled >= order.quantity or (is_stop and position.closed_at is not None)
    is_by_hand = order.role is OrderRole.EXIT and not order.client_order_id.startswith(ORDER_ID_PREFIX)
    quantity = filled if (is_stop and full) or is_by_hand else order.quantity  # by hand: only its fills tell its size
    return replace(
        order,
        quantity=quantity,
        filled_quantity=filled,
        filled_price=paid / filled,
        state=_state_after(order, OrderEvent.FULL_FILL if full else OrderEvent.PART_FILL),
        updated_at=now,
    )


def _state_after(order: Order, event: OrderEvent) -> OrderState:
    """A fill is a fact, also one that the table does not expect (more than was ordered): the state then stays."""
    try:
        return next_state(order.state, event, order.client_order_id)
    except IllegalTransition:
        return order.state


def _fill_facts(fill: Fill) -> dict[str, object]:
    return {
        "fill": fill.venue_fill_id,
        "order": fill.client_order_id,
        "symbol": fill.symbol,
        "side": fill.side.value,
        "quantity": str(fill.quantity),
        "price": str(fill.price),
        "fee": str(fill.fee),
        "withheld": str(fill.withheld),
        "filled_at": fill.filled_at.isoformat(),
    }


def _opened_facts(position: Position) -> dict[str, object]:
    return {
        "position": position.id,
        "symbol": position.symbol,
        "direction": position.direction.value,
        "quantity": str(position.quantity),
        "entry_price": str(position.entry_price),
        "stop": str(position.stop_price),
        "targets": [str(each.price) for each in position.plan.targets],
        "risk": str(position.risk_amount),
    }


def _closed_facts(position: Position) -> dict[str, object]:
    return {
        "position": position.id,
        "symbol": position.symbol,
        "reason": position.exit_reason,
        "entry_price": str(position.entry_price),
        "exit_price": str(position.exit_price),
        "net": str(position.net),
        "r": round(position.r_multiple, 6),
        "opened_at": position.opened_at.isoformat(),
        "left_behind": f"{position.first_quantity - position.closed_quantity:f}",  # less than one step
    }


def _is_same(one: Fill, other: Fill) -> bool:
    return (one.broker_id, one.venue_fill_id) == (other.broker_id, other.venue_fill_id)


def is_unresolved(order: Order) -> bool:
    """Its fate at the venue is not known."""
    return order.state in (OrderState.SENDING, OrderState.UNKNOWN)


def never_failing(record: Recorder) -> Recorder:
    """`record`, but a journal that fails costs the entry, never the order or the exit that it tells of."""

    async def recorded(kind: str, task_id: TaskId | None, data: Mapping[str, object]) -> None:
        try:
            await record(kind, task_id, data)
        except Exception as error:
            logger.opt(exception=error).error("journal: {} was not recorded", kind)

    return recorded
