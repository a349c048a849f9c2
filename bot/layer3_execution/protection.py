"""Every open position: what its exit plan wants now, and whether a stop really rests for all of it."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from bot.errors import BrokerUnavailable, OrderFateUnknown
from bot.instruments import BrokerId, Symbol
from bot.interfaces import Clock, OrderStore
from bot.layer1_data.broker_interface import BrokerInterface
from bot.layer3_execution.book import Book
from bot.layer3_execution.engine import ExecutionEngine
from bot.layer3_execution.exits import Close, ExitAction, ExitState, MoveStop, on_price, stop_touched
from bot.layer3_execution.order_tracker import OrderTracker, Recorder
from bot.layer3_execution.positions import marked
from bot.models import ClientOrderId, Direction, OrderState, Position, TrailKind, VenuePosition, leg_of


class PositionGuard:
    """Watches open positions on every price and repairs missing protection. Waits for nobody else."""

    def __init__(
        self,
        *,
        store: OrderStore,
        book: Book,
        engine: ExecutionEngine,
        tracker: OrderTracker,
        broker_of: Callable[[BrokerId], BrokerInterface],
        clock: Clock,
        record: Recorder,
    ) -> None:
        self._store = store
        self._book = book
        self._engine = engine
        self._tracker = tracker
        self._broker_of = broker_of
        self._clock = clock
        self._record = record
        self._unprotected_since: dict[ClientOrderId, float] = {}
        self._watching: dict[Symbol, asyncio.Lock] = {}

    async def on_price(self, symbol: Symbol, *, bid: Decimal, ask: Decimal, check_deadline: bool = True) -> None:
        """One price of `symbol`, after the venue's own stops had their look at it."""
        if not self._book.has(symbol):
            return
        async with self._watching.setdefault(symbol, asyncio.Lock()):
            for each in self._book.open_of(symbol):
                position = self._book.position(each.id)
                if position is not None and position.is_open:
                    price = bid if position.direction is Direction.LONG else ask
                    await self._watch(position, price, check_deadline)

    async def save_extremes(self) -> None:
        """Store marks and extremes; the periodic half of what `on_price` keeps in memory."""
        for position in self._book.positions():
            if position.is_open:
                await self._store.save_position(position)

    async def verify(self, broker_id: BrokerId) -> float:
        """Read the stops of one venue back and repair what is missing; answer the longest gap in seconds.

        Raises BrokerUnavailable when the venue does not answer: then nothing is known, and nothing is changed.
        """
        resting = {each.entry_order_id: each for each in await self._broker_of(broker_id).positions()}
        longest = 0.0
        for position in self._book.positions():
            venue = resting.get(position.entry_order_id)
            if position.broker_id != broker_id or venue is None:
                continue
            if venue.stop_price is not None:
                self._unprotected_since.pop(position.entry_order_id, None)
                continue
            since = self._unprotected_since.setdefault(position.entry_order_id, self._clock.monotonic())
            longest = max(longest, self._clock.monotonic() - since)
            await self._repair(position, venue)
        return longest

    async def _repair(self, position: Position, venue: VenuePosition) -> None:
        """Rest a stop again; where that fails, close: an unprotected position is not kept."""
        facts = {"what": "position without a stop", "position": position.id, "symbol": position.symbol}
        await self._record("incident", position.task_id, facts)
        try:
            stop_id = leg_of(position.entry_order_id, "S1")
            ack = await self._broker_of(position.broker_id).place_stop(venue, stop_id, position.stop_price)
        except (BrokerUnavailable, OrderFateUnknown):
            return  # asked again within the next round; the gap is measured meanwhile
        if ack.state is OrderState.REJECTED:
            await self._engine.reduce(position, position.quantity, None, "UNPROTECTED")

    async def _watch(self, position: Position, price: Decimal, check_deadline: bool) -> None:
        before = ExitState.of(position)
        now = self._clock.now()
        if stop_touched(position.plan, before, price):
            await self._venue_should_have_closed(position)
            return
        after, actions = on_price(position.plan, before, price, now, check_deadline=check_deadline)
        self._book.put_position(marked(position, price))
        for action in actions:
            if isinstance(action, Close):
                await self._engine.reduce(position, action.quantity, action.price, action.reason)
        await self._remember(position, before, after, actions, now)

    async def _remember(
        self, position: Position, before: ExitState, after: ExitState, actions: tuple[ExitAction, ...], at: datetime
    ) -> None:
        """Flags only after what they stand for has happened: a crash in between repeats the step, never skips it."""
        current = self._book.position(position.id)
        if current is None or not current.is_open:
            return
        current = replace(current, targets_hit=after.targets_hit)
        move = next((each for each in actions if isinstance(each, MoveStop)), None)
        if move is None or await self._engine.move_stop(current, move.price):
            current = self._book.position(position.id) or current
            if not current.is_open:
                return
            current = replace(
                current,
                targets_hit=after.targets_hit,
                stop_price=after.stop,
                break_even=after.break_even,
                trailing=after.trailing,
            )
        if move is not None and current.stop_price == move.price:
            facts = {"position": current.id, "symbol": current.symbol, "stop": str(move.price), "reason": move.reason}
            await self._record("stop_moved", current.task_id, facts)
        self._book.put_position(current)
        if _must_survive(before, after, current):
            await self._store.save_position(current)

    async def _venue_should_have_closed(self, position: Position) -> None:
        """The price is beyond the resting stop. Read the fills; if the position still stands there, close it."""
        await self._tracker.collect(position.broker_id)
        still = self._book.position(position.id)
        if still is None or not still.is_open:
            return
        venue = await self._broker_of(position.broker_id).positions()
        if any(each.entry_order_id == position.entry_order_id for each in venue):
            await self._engine.reduce(still, still.quantity, None, ExitState.of(still).stop_reason)


def _must_survive(before: ExitState, after: ExitState, position: Position) -> bool:
    """The next decision depends on it: stop, flags, targets, and the high water once something trails it."""
    if (before.stop, before.targets_hit, before.break_even) != (after.stop, after.targets_hit, after.break_even):
        return True
    trail = position.plan.trail
    follows = trail is not None and (trail.kind is TrailKind.PERCENT or after.targets_hit > 0)
    return follows and before.best != after.best
