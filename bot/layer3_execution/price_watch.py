"""What a price means for open positions: targets, trail, time, and a stop that the venue should have hit."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final
from weakref import WeakValueDictionary

from bot.errors import BrokerUnavailable, OrderFateUnknown
from bot.instruments import BrokerId, Symbol
from bot.interfaces import Clock
from bot.layer1_data.broker_interface import BrokerInterface
from bot.layer3_execution.aside import side_by_side
from bot.layer3_execution.book import Book
from bot.layer3_execution.engine import ExecutionEngine
from bot.layer3_execution.exits import Close, ExitState, MoveStop, on_price, stop_touched
from bot.layer3_execution.missing import MissingPositions
from bot.layer3_execution.order_tracker import OrderTracker, Recorder
from bot.layer3_execution.positions import marked
from bot.layer3_execution.stops import StopKeeper
from bot.models import Direction, ExitPlan, Position, PositionId, TrailKind

_CLOCKS_DIFFER_BY: Final = timedelta(minutes=15)  # at most; zones differ by half an hour or more


class PriceWatch:
    """Acts on prices, one hand at a time on each position, each position at its own pace."""

    def __init__(
        self,
        *,
        book: Book,
        engine: ExecutionEngine,
        tracker: OrderTracker,
        broker_of: Callable[[BrokerId], BrokerInterface],
        clock: Clock,
        record: Recorder,
        stops: StopKeeper,
        missing: MissingPositions,
    ) -> None:
        """`record` must not fail."""
        self._book = book
        self._engine = engine
        self._tracker = tracker
        self._broker_of = broker_of
        self._clock = clock
        self._record = record
        self._stops = stops
        self._missing = missing
        self._held: WeakValueDictionary[PositionId, asyncio.Lock] = WeakValueDictionary()

    def alone(self, position_id: PositionId) -> asyncio.Lock:
        """For one hand at a time on a position; it is forgotten when nobody holds it or waits for it."""
        return self._held.setdefault(position_id, asyncio.Lock())

    async def on_price(
        self, symbol: Symbol, *, bid: Decimal, ask: Decimal, quoted_at: datetime | None, check_deadline: bool
    ) -> None:
        """As `PositionGuard.on_price`."""
        now = self._clock.now()
        opened = [each for each in self._book.open_of(symbol) if not _is_older(quoted_at, each, now)]
        if opened:
            await side_by_side([self._look(each.id, bid, ask, check_deadline) for each in opened])

    async def _look(self, position_id: PositionId, bid: Decimal, ask: Decimal, check_deadline: bool) -> None:
        async with self.alone(position_id):
            position = self._book.position(position_id)
            if position is not None and position.is_open:
                await self._watch(position, bid if position.direction is Direction.LONG else ask, check_deadline)

    async def move_stop(self, position: Position, move: MoveStop) -> bool:
        """Put its stop there; False if it was not read back there: the next price asks again."""
        able = self._broker_of(position.broker_id).capabilities
        if able.stop_follows_position and able.amends_stop:
            return await self._stops.requests.amend(position, move)
        try:
            return await self._stops.keep(position, move=move)
        except (BrokerUnavailable, OrderFateUnknown):
            return False

    async def close(self, position_id: PositionId, reason: str) -> None:
        """At market, what is left of it now."""
        position = self._book.position(position_id)
        if position is not None and position.is_open:
            await self._engine.reduce(position, position.quantity, None, reason)

    async def _watch(self, position: Position, price: Decimal, check_deadline: bool) -> None:
        if self._missing.is_gone(position):
            return
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
        if move is not None and not await self.move_stop(position, move):
            if reason := self._stops.requests.was_beyond(
                position_id
            ):  # too late to rest it: what it would have done is done
                await self.close(position_id, reason)
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
        if still is not None and any(each.entry_order_id == still.entry_order_id for each in venue):
            await self.close(still.id, ExitState.of(still).stop_reason)

    def _is_still_open(self, position: Position) -> bool:
        still = self._book.position(position.id)
        return still is not None and still.is_open


def _is_older(quoted_at: datetime | None, position: Position, now: datetime) -> bool:
    """The quote is from before the opening. One that a venue dates far after now proves nothing: IG does not say in
    which zone its instants are, and in local time all quotes of the next hours would be older. Clocks differ by less.
    """
    return quoted_at is not None and quoted_at < position.opened_at < now + _CLOCKS_DIFFER_BY


def with_stop(position: Position, stop: Decimal) -> Position:
    """With the stop there, if that is in favour."""
    better = position.direction.sign * (stop - position.stop_price) > 0
    return replace(position, stop_price=stop) if better else position


def _following(position: Position, after: ExitState) -> Position:
    """With what a price led to; nothing that happened meanwhile is taken back."""
    return replace(
        marked(with_stop(position, after.stop), after.best),
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
