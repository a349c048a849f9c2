"""Every open position: what its exit plan wants now, and whether a stop really rests for all of it."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Final

from bot.errors import BotError, BrokerUnavailable
from bot.instruments import BrokerId, Symbol
from bot.interfaces import Clock, OrderStore
from bot.layer1_data.broker_interface import BrokerInterface
from bot.layer3_execution.book import Book
from bot.layer3_execution.engine import ExecutionEngine, is_acknowledged
from bot.layer3_execution.exits import Close, ExitState, MoveStop, on_price, stop_touched
from bot.layer3_execution.order_tracker import OrderTracker, Recorder, never_failing
from bot.layer3_execution.positions import marked
from bot.models import (
    ClientOrderId,
    Direction,
    ExitPlan,
    OrderRole,
    OrderState,
    Position,
    PositionId,
    TrailKind,
    VenuePosition,
)

PROTECT_WITHIN_S: Final = 30.0  # after so long without a stop the position is closed instead
_SETTLING: Final = timedelta(seconds=5)  # venues may show a stop only some seconds after they took it


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
        self._book = book
        self._engine = engine
        self._tracker = tracker
        self._broker_of = broker_of
        self._clock = clock
        self._record = never_failing(record)
        self._unprotected_since: dict[ClientOrderId, float] = {}
        self._watching: dict[Symbol, asyncio.Lock] = {}

    async def on_price(self, symbol: Symbol, *, bid: Decimal, ask: Decimal, check_deadline: bool = True) -> None:
        """One price of `symbol`, after the venue's own stops had their look at it.

        Raises what the first position met that could not be looked after, when all of them had their turn.
        """
        if not self._book.has(symbol):
            return
        failed: BotError | None = None
        async with self._watching.setdefault(symbol, asyncio.Lock()):
            for each in self._book.open_of(symbol):
                position = self._book.position(each.id)
                if position is not None and position.is_open:
                    price = bid if position.direction is Direction.LONG else ask
                    try:
                        await self._watch(position, price, check_deadline)
                    except BotError as error:
                        failed = failed or error
        if failed is not None:
            raise failed

    async def save_extremes(self) -> None:
        """Store marks and extremes; the periodic half of what `on_price` keeps in memory."""
        for position in self._book.positions():
            if position.is_open:
                await self._tracker.change(position.id, lambda now: now)

    async def verify(self, broker_id: BrokerId) -> float:
        """Read the stops of one venue back and repair what is missing; answer the longest gap in seconds.

        Raises BrokerUnavailable when the venue does not answer: then nothing is known, and nothing is changed.
        """
        resting = {each.entry_order_id: each for each in await self._broker_of(broker_id).positions()}
        ours = {each.entry_order_id: each for each in self._book.positions() if each.broker_id == broker_id}
        longest = 0.0
        for entry_id, position in ours.items():
            venue = resting.get(entry_id)
            if venue is not None and not self._engine.is_in_flight(entry_id):
                longest = max(longest, await self._verified(position, venue))
        known = {each.entry_order_id for each in self._book.positions()}
        for entry_id in self._unprotected_since.keys() - known:
            del self._unprotected_since[entry_id]
        return longest

    async def _verified(self, position: Position, venue: VenuePosition) -> float:
        """One position against the stop that rests for it; answer for how long it has had none."""
        if venue.stop_price is not None:
            await self._note_protected(position)
            if abs(venue.stop_price - position.stop_price) >= position.plan.tick:
                await self._agree_on_stop(position.id, venue.stop_price)
            return 0.0
        async with self._watching.setdefault(position.symbol, asyncio.Lock()):
            if self._book.position(position.id) is None:
                return 0.0  # it has closed meanwhile
            since = self._unprotected_since.setdefault(position.entry_order_id, self._clock.monotonic())
            gap_s = self._clock.monotonic() - since
            await self._repair(position, venue, gap_s)
            return gap_s

    async def _note_protected(self, position: Position) -> None:
        since = self._unprotected_since.pop(position.entry_order_id, None)
        if since is not None:
            facts = {"position": position.id, "gap_s": self._clock.monotonic() - since}
            await self._record("protection", position.task_id, {"what": "stop rests again", **facts})

    async def _agree_on_stop(self, position_id: PositionId, resting: Decimal) -> None:
        """The better stop counts: ours may have been moved before a crash, theirs may have been loosened by hand."""
        position = self._book.position(position_id)
        if position is None:
            return
        async with self._watching.setdefault(position.symbol, asyncio.Lock()):
            now = self._book.position(position_id)
            if now is None:
                return
            if now.direction.sign * (resting - now.stop_price) > 0:
                await self._tracker.change(position_id, lambda position: _with_stop(position, resting))
            else:
                await self._engine.move_stop(now, now.stop_price)

    async def _repair(self, position: Position, venue: VenuePosition, gap_s: float) -> None:
        """Rest a stop again; where that fails, close: an unprotected position is not kept."""
        stops = self._book.orders_of(position.id, OrderRole.STOP)
        if any(is_acknowledged(each) and self._clock.now() - each.updated_at < _SETTLING for each in stops):
            return  # the answer may be older than the stop
        facts = {"what": "position without a stop", "position": position.id, "symbol": position.symbol}
        await self._record("incident", position.task_id, facts)
        stop = await self._engine.rest_stop(position, venue)
        if is_acknowledged(stop):
            return
        if stop.state is OrderState.REJECTED or gap_s >= PROTECT_WITHIN_S:
            await self._engine.reduce(position, venue.quantity, None, "UNPROTECTED")

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
                order = await self._engine.reduce(position, action.quantity, action.price, action.reason)
                if not order.filled_quantity:
                    return  # not taken, or not told yet: what follows from it waits for the next price
        move = next((each for each in actions if isinstance(each, MoveStop)), None)
        if move is not None or _must_survive(before, after, position.plan):
            await self._remember(position.id, after, move)

    async def _remember(self, position_id: PositionId, after: ExitState, move: MoveStop | None) -> None:
        """Flags only after what they stand for has happened: a crash in between repeats the step, never skips it."""
        position = self._book.position(position_id)
        if position is None or not position.is_open or position.targets_hit != after.targets_hit:
            return
        if move is not None and not await self._engine.move_stop(position, move.price):
            return
        changed = await self._tracker.change(position_id, lambda now: _following(now, after))
        if move is not None and changed is not None:
            facts = {"position": position_id, "symbol": changed.symbol, "stop": str(move.price), "reason": move.reason}
            await self._record("stop_moved", changed.task_id, facts)

    async def _venue_should_have_closed(self, position: Position) -> None:
        """The price is beyond the resting stop. Read the fills; if the position still stands there, close it."""
        with suppress(BrokerUnavailable):  # a venue that does not tell its fills may still tell its positions
            await self._tracker.collect(position.broker_id)
        if not self._is_still_open(position):
            return
        venue = await self._broker_of(position.broker_id).positions()
        still = self._book.position(position.id)
        if still is not None and still.is_open and any(each.entry_order_id == still.entry_order_id for each in venue):
            await self._engine.reduce(still, still.quantity, None, ExitState.of(still).stop_reason)

    def _is_still_open(self, position: Position) -> bool:
        still = self._book.position(position.id)
        return still is not None and still.is_open


def _with_stop(position: Position, stop: Decimal) -> Position:
    """With the stop there, if that is in favour."""
    better = position.direction.sign * (stop - position.stop_price) > 0
    return replace(position, stop_price=stop) if better else position


def _following(position: Position, after: ExitState) -> Position:
    """With what a price led to; nothing that happened meanwhile is taken back."""
    return replace(
        marked(_with_stop(position, after.stop), after.best),
        mark_price=position.mark_price,
        break_even=position.break_even or after.break_even,
        trailing=position.trailing or after.trailing,
    )


def _must_survive(before: ExitState, after: ExitState, plan: ExitPlan) -> bool:
    """The next decision depends on it: stop and flags, and the high water once something trails it."""
    if (before.stop, before.break_even) != (after.stop, after.break_even):
        return True
    trail = plan.trail
    follows = trail is not None and (trail.kind is TrailKind.PERCENT or after.targets_hit > 0)
    return follows and before.best != after.best
