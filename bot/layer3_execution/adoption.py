"""Rows rebuilt from a venue's word: what a person has answered "adopt" to becomes ours, with an exit plan.

The rows of one adoption commit together, so that a crash leaves all of them or none.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from bot.errors import NotFound
from bot.instruments import BrokerId, Symbol
from bot.interfaces import Clock, OrderStore
from bot.layer1_data.broker_interface import VenueOrder
from bot.layer3_execution.book import Book
from bot.layer3_execution.order_tracker import OrderTracker
from bot.models import (
    ClientOrderId,
    Direction,
    ExitPlan,
    Order,
    OrderKind,
    OrderRole,
    OrderState,
    Position,
    PositionId,
    Side,
    SignalId,
    StrategyName,
    TaskId,
    VenuePosition,
    leg_of,
)

ZERO = Decimal(0)
ADOPTED = "adopted"


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptionTerms:
    """What a position that nobody planned is given: the price now, a plan by config, and what a point is worth."""

    price: Decimal
    plan: ExitPlan
    value_per_point: Decimal


TermsOf = Callable[[Symbol, Direction], Awaitable[AdoptionTerms | None]]
"""None where no price is known now, or the instrument is not registered."""


class Adoption:
    """Makes positions and orders of the venue ours."""

    def __init__(
        self, *, store: OrderStore, book: Book, tracker: OrderTracker, clock: Clock, terms_of: TermsOf
    ) -> None:
        self._store = store
        self._book = book
        self._tracker = tracker
        self._clock = clock
        self._terms_of = terms_of

    async def position(self, broker_id: BrokerId, theirs: VenuePosition) -> Position | None:
        """Our position for what the venue has open, of the venue's quantity; None if it has no price now."""
        ours = next((each for each in self._book.positions() if each.entry_order_id == theirs.entry_order_id), None)
        ours = ours or await self._ended(theirs.entry_order_id)
        if ours is not None:
            return await self._tracker.change(ours.id, lambda now: _of_quantity(now, theirs.quantity))
        terms = await self._terms_of(theirs.symbol, theirs.direction)
        if terms is None:
            return None
        position = position_row(broker_id, theirs, terms, self._clock.now())
        rows = [_entry_row(position, theirs.quantity, theirs.average_price)]
        if theirs.stop_order_id is not None and await self._order(theirs.stop_order_id) is None:
            rows.append(_stop_row(position, theirs.stop_order_id))
        await self._keep(rows, position)
        return position

    async def order(self, broker_id: BrokerId, theirs: VenueOrder) -> bool:
        """An entry of ours that was never recorded, with the position it will open; False if it has no price now."""
        direction = Direction.LONG if theirs.side is Side.BUY else Direction.SHORT
        terms = await self._terms_of(theirs.symbol, direction)
        if terms is None or theirs.client_order_id is None:
            return False
        entry, position = pending_rows(broker_id, theirs.client_order_id, theirs, terms, self._clock.now())
        await self._keep([entry], position)
        return True

    async def _keep(self, rows: list[Order], position: Position) -> None:
        if await self._store.record_intent(rows, signal_id=None, position=position):
            self._book.put_position(position)
            for row in rows:
                self._book.put_order(row)

    async def _ended(self, entry_order_id: ClientOrderId) -> Position | None:
        """One that our record has ended is taken up again: the venue still has it."""
        entry = await self._order(entry_order_id)
        if entry is None:
            return None
        ended = await self._store.position(entry.position_id)
        opened = replace(ended, closed_at=None, exit_reason="")
        await self._store.save_position(opened)
        self._book.put_position(opened)
        return opened

    async def _order(self, client_order_id: ClientOrderId) -> Order | None:
        try:
            return await self._store.order(client_order_id)
        except NotFound:
            return None


def position_row(broker_id: BrokerId, theirs: VenuePosition, terms: AdoptionTerms, at: datetime) -> Position:
    """What the venue has open as a position of ours. Its stop is the one that rests; else the plan's."""
    stop = theirs.stop_price or terms.plan.stop
    return Position(
        id=PositionId(f"{ADOPTED}:{broker_id}:{theirs.entry_order_id}"),
        task_id=TaskId(ADOPTED),
        signal_id=SignalId(""),
        strategy=StrategyName(ADOPTED),
        broker_id=broker_id,
        symbol=theirs.symbol,
        direction=theirs.direction,
        plan=replace(terms.plan, stop=stop),
        entry_order_id=theirs.entry_order_id,
        stop_order_id=theirs.stop_order_id or leg_of(theirs.entry_order_id, "S0"),
        first_quantity=theirs.quantity,
        quantity=theirs.quantity,
        entry_price=theirs.average_price,
        stop_price=stop,
        exit_price=None,
        closed_quantity=ZERO,
        realised=ZERO,
        fees=ZERO,
        risk_amount=abs(terms.price - stop) * theirs.quantity * terms.value_per_point,
        targets_hit=0,
        best_price=terms.price,
        worst_price=terms.price,
        mark_price=terms.price,
        break_even=False,
        trailing=False,
        value_per_point=terms.value_per_point,
        opened_at=at,
        closed_at=None,
        exit_reason="",
    )


def pending_rows(
    broker_id: BrokerId, name: ClientOrderId, theirs: VenueOrder, terms: AdoptionTerms, at: datetime
) -> tuple[Order, Position]:
    """A working order of the venue as an entry of ours, and what it may open; nothing of it counts as filled yet."""
    price = theirs.price or terms.price
    whole = VenuePosition(
        entry_order_id=name,
        symbol=theirs.symbol,
        direction=terms.plan.direction,
        quantity=theirs.quantity,
        average_price=price,
        stop_price=None,
        stop_order_id=None,
    )
    position = replace(position_row(broker_id, whole, terms, at), first_quantity=ZERO, quantity=ZERO)
    entry = replace(
        _entry_row(position, theirs.quantity, price),
        kind=OrderKind.MARKET if theirs.price is None else OrderKind.LIMIT,
        price=theirs.price,
        state=OrderState.WORKING,
        venue_order_id=theirs.venue_order_id,
        filled_quantity=ZERO,
        filled_price=None,
    )
    return entry, position


def _of_quantity(position: Position, quantity: Decimal) -> Position:
    """The venue's quantity counts; what was closed before stays closed."""
    return replace(position, quantity=quantity, first_quantity=position.closed_quantity + quantity)


def _entry_row(position: Position, quantity: Decimal, price: Decimal) -> Order:
    """The order that opened it, as far as the venue tells: filled."""
    return Order(
        client_order_id=position.entry_order_id,
        position_id=position.id,
        signal_id=None,
        task_id=position.task_id,
        broker_id=position.broker_id,
        symbol=position.symbol,
        role=OrderRole.ENTRY,
        side=Side.opening(position.direction),
        kind=OrderKind.MARKET,
        quantity=quantity,
        price=None,
        state=OrderState.FILLED,
        reason=ADOPTED,
        created_at=position.opened_at,
        updated_at=position.opened_at,
        filled_quantity=quantity,
        filled_price=price,
    )


def _stop_row(position: Position, name: ClientOrderId) -> Order:
    """The stop that rests for it already."""
    return replace(
        _entry_row(position, position.quantity, position.stop_price),
        client_order_id=name,
        role=OrderRole.STOP,
        side=Side.closing(position.direction),
        kind=OrderKind.STOP,
        price=position.stop_price,
        state=OrderState.WORKING,
        filled_quantity=ZERO,
        filled_price=None,
    )
