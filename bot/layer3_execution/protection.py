"""Every open position: what its exit plan wants now, and whether a stop really rests for all of it."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Final

from bot.errors import BotError, BrokerError, BrokerUnavailable, OrderFateUnknown
from bot.instruments import BrokerId, Symbol
from bot.interfaces import Clock, OrderStore
from bot.layer1_data.broker_interface import BrokerInterface
from bot.layer3_execution.aside import Aside
from bot.layer3_execution.book import Book
from bot.layer3_execution.engine import ExecutionEngine
from bot.layer3_execution.exits import Close, ExitState, MoveStop, on_price, stop_touched
from bot.layer3_execution.missing import MissingPositions
from bot.layer3_execution.order_tracker import OrderTracker, Recorder, never_failing
from bot.layer3_execution.positions import marked
from bot.layer3_execution.stops import StopKeeper
from bot.layer3_execution.surplus import Surplus
from bot.layer3_execution.unprotected import UnprotectedTime
from bot.models import (
    Direction,
    ExitPlan,
    OrderRole,
    Position,
    PositionId,
    TrailKind,
    VenuePosition,
)

PROTECT_WITHIN_S: Final = 10.0


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
        protect_within_s: float = PROTECT_WITHIN_S,
    ) -> None:
        """After `protect_within_s` without a stop for all of it a position is closed instead."""
        self._book = book
        self._engine = engine
        self._tracker = tracker
        self._broker_of = broker_of
        self._clock = clock
        self._record = never_failing(record)
        self.unprotected = UnprotectedTime(clock)
        self._missing = MissingPositions(clock)
        self._stops = StopKeeper(
            store=store,
            book=book,
            engine=engine,
            tracker=tracker,
            broker_of=broker_of,
            clock=clock,
            record=self._record,
            unprotected=self.unprotected,
            missing=self._missing,
            protect_within_s=protect_within_s,
        )
        self._surplus = Surplus(
            store=store, book=book, engine=engine, broker_of=broker_of, clock=clock, record=self._record
        )
        self._aside = Aside()
        tracker.resized = self._on_resized
        engine.make_room = self._stops.make_room
        self._watching: dict[Symbol, asyncio.Lock] = {}

    async def stop(self) -> None:
        """The daemon ends: stops that nobody waits for are no longer looked after."""
        await self._aside.stop()

    async def _on_resized(self, position: Position, filled_at: datetime) -> None:
        """Fills have changed a position: it is followed at once.

        Whoever read them may have taken the stop of another one away: that one waits for no answer about this one.
        """
        self._surplus.note_fills(position)
        if self._stops.is_keeping_only_others(position.id):
            self._aside.begin(self._follow(position, filled_at), name=f"stop of {position.id}")
        else:
            await self._follow(position, filled_at)

    async def _follow(self, position: Position, filled_at: datetime) -> None:
        """Its stop first, then what it may have too much."""
        await self._stops.on_resized(position, filled_at)
        if not self._stops.is_keeping(position.id):  # else these fills were read while its stop is changed: `attend`
            with suppress(BrokerError):
                await self._surplus.look(position.id)

    async def on_price(
        self,
        symbol: Symbol,
        *,
        bid: Decimal,
        ask: Decimal,
        quoted_at: datetime | None = None,
        check_deadline: bool = True,
    ) -> None:
        """One price of `symbol`, after the venue's own stops had their look at it.

        `quoted_at` is given where a price may be old: it says nothing about a position that was opened after it.

        Raises what the first position met that could not be looked after, when all of them had their turn.
        """
        if not self._book.has(symbol):
            return
        failed: BotError | None = None
        async with self._watching.setdefault(symbol, asyncio.Lock()):
            for each in self._book.open_of(symbol):
                position = self._book.position(each.id)
                if position is not None and position.is_open and not _is_older(quoted_at, position):
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

    async def attend(self, broker_id: BrokerId) -> bool:
        """Between monitor runs: look again if something waits for its stop, or may need one at any moment.

        False if there was nothing to look after. Raises as `verify`.
        """
        waits = self.unprotected.is_open(broker_id) or self._surplus.waits(broker_id)
        if not (waits or self._may_need_stops(broker_id)):
            return False
        await self._tracker.collect(broker_id)
        await self.verify(broker_id)
        return True

    def _may_need_stops(self, broker_id: BrokerId) -> bool:
        """Where stops are ours to size: an entry may fill, or a stop is left of what has ended or is gone."""
        if self._broker_of(broker_id).capabilities.keeps_stops:
            return False
        rows = [each for each in self._book.orders() if each.broker_id == broker_id]
        if any(each.role is OrderRole.ENTRY for each in rows):
            return True
        return any(each.role is OrderRole.STOP and self._has_nothing(each.position_id) for each in rows)

    def _has_nothing(self, position_id: PositionId) -> bool:
        position = self._book.position(position_id)
        return position is None or self._missing.is_gone(position)

    async def verify(self, broker_id: BrokerId) -> float:
        """Read the stops of one venue back and repair what is missing; answer the longest gap in seconds.

        Raises BrokerUnavailable when the venue does not answer: then nothing is known, and nothing is changed.
        """
        broker = self._broker_of(broker_id)
        keeps, asked = broker.capabilities.keeps_stops, {each.id: each for each in self._book.positions()}
        resting = {each.entry_order_id: each for each in await broker.positions()}
        ours = {each.entry_order_id: each for each in self._book.positions() if each.broker_id == broker_id}
        longest = 0.0
        for entry_id, position in ours.items():
            venue = resting.get(entry_id)
            self._missing.note(position, Decimal(0) if venue is None else venue.quantity)
            if self._missing.is_gone(position):
                await self._stops.clear_of(position)
            elif not keeps and (position.is_open or venue is not None):
                longest = max(longest, await self._sized(asked.get(position.id, position), venue))
            elif keeps and venue is not None and not self._engine.is_in_flight(entry_id):
                longest = max(longest, await self._verified(asked.get(position.id, position), venue))
        if not keeps:
            opened = {entry_id: each.quantity for entry_id, each in resting.items()}
            await self._stops.clear(broker_id, await broker.protective_orders(), opened)
        for position in ours.values():
            await self._surplus.look(position.id)
        self.unprotected.keep_only([each.entry_order_id for each in self._book.positions()])
        self._surplus.keep_only([each.id for each in self._book.positions()])
        self._missing.keep_only([each.id for each in self._book.positions()])
        return longest

    async def _verified(self, position: Position, venue: VenuePosition) -> float:
        """One position against the stop that rests for it; answer for how long it has had none."""
        if venue.stop_price is not None:
            await self._note_protected(position)
            if abs(venue.stop_price - position.stop_price) >= position.plan.tick:
                await self._agree_on_stop(position.id, venue.stop_price)
            return 0.0
        return await self._sized(position, venue)

    async def _sized(self, asked: Position, venue: VenuePosition | None) -> float:
        """See that a stop rests for all of one position, or that it is closed; for how long it has had none.

        `asked` is the position as it was when the venue was asked: what fills have changed since, its answer lacks.
        """
        async with self._watching.setdefault(asked.symbol, asyncio.Lock()):
            now = self._book.position(asked.id)
            if now is None:
                return 0.0  # it has closed meanwhile
            before_s = self.unprotected.of(now.entry_order_id)
            is_current = (now.first_quantity, now.closed_quantity) == (asked.first_quantity, asked.closed_quantity)
            await self._stops.keep(now, at_venue=venue.quantity if venue is not None and is_current else Decimal(0))
            if self._stops.was_beyond(now.id):
                await self._close(now.id, ExitState.of(now).stop_reason)
            return max(before_s, self.unprotected.of(now.entry_order_id))

    async def _note_protected(self, position: Position) -> None:
        gap_s = self.unprotected.end(position.entry_order_id)
        if gap_s is not None:
            facts = {"position": position.id, "gap_s": gap_s}
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
                await self._move_stop(now, now.stop_price)

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
        if move is not None and not await self._move_stop(position, move.price):
            if self._stops.was_beyond(position_id):  # too late to rest it there: what it would have done is done now
                await self._close(position_id, move.reason)
            return
        changed = await self._tracker.change(position_id, lambda now: _following(now, after))
        if move is not None and changed is not None:
            facts = {"position": position_id, "symbol": changed.symbol, "stop": str(move.price), "reason": move.reason}
            await self._record("stop_moved", changed.task_id, facts)

    async def _move_stop(self, position: Position, price: Decimal) -> bool:
        """Put its stop at `price`; False if it was not read back there: the next price asks again."""
        able = self._broker_of(position.broker_id).capabilities
        if able.stop_follows_position and able.amends_stop:
            return await self._stops.amend(position, price)
        try:
            return await self._stops.keep(position, price=price)
        except (BrokerUnavailable, OrderFateUnknown):
            return False

    async def _venue_should_have_closed(self, position: Position) -> None:
        """The price is beyond the resting stop. Read the fills; if the position still stands there, close it."""
        with suppress(BrokerUnavailable):  # a venue that does not tell its fills may still tell its positions
            await self._tracker.collect(position.broker_id)
        if not self._is_still_open(position):
            return
        venue = await self._broker_of(position.broker_id).positions()
        still = self._book.position(position.id)
        if still is not None and any(each.entry_order_id == still.entry_order_id for each in venue):
            await self._close(still.id, ExitState.of(still).stop_reason)

    async def _close(self, position_id: PositionId, reason: str) -> None:
        """At market, what is left of it now."""
        position = self._book.position(position_id)
        if position is not None and position.is_open:
            await self._engine.reduce(position, position.quantity, None, reason)

    def _is_still_open(self, position: Position) -> bool:
        still = self._book.position(position.id)
        return still is not None and still.is_open


def _is_older(quoted_at: datetime | None, position: Position) -> bool:
    return quoted_at is not None and quoted_at < position.opened_at


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
