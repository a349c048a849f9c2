"""Every open position: what its exit plan wants now, and whether a stop really rests for all of it."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any, Final

from bot.errors import BrokerError
from bot.instruments import BrokerId, Symbol
from bot.interfaces import Clock, OrderStore
from bot.layer1_data.broker_interface import BrokerInterface
from bot.layer3_execution.aside import MOMENT_S, Aside, side_by_side
from bot.layer3_execution.book import Book
from bot.layer3_execution.engine import ExecutionEngine, is_acknowledged
from bot.layer3_execution.exits import ExitState, MoveStop
from bot.layer3_execution.missing import MissingPositions
from bot.layer3_execution.order_tracker import OrderTracker, Recorder, never_failing
from bot.layer3_execution.price_watch import PriceWatch, with_stop
from bot.layer3_execution.resting import is_stop_for
from bot.layer3_execution.stops import StopKeeper
from bot.layer3_execution.surplus import Surplus
from bot.layer3_execution.unprotected import UnprotectedTime
from bot.models import (
    ClientOrderId,
    OrderKind,
    OrderRole,
    Position,
    PositionId,
    VenuePosition,
)

PROTECT_WITHIN_S: Final = 10.0
_LOOK_AGAIN_S: Final = 30.0  # whatever else keeps the monitor
_LOOKS_WITHOUT: Final = 2  # a list may be cut short: one that lacks a second stop does not say that it has gone
_LOOK_FAILED_S: Final = 10.0  # the venue did not say what is open
_LEFTOVERS_FOR_S: Final = 120.0  # what was taken for gone, or cancelled, may show or fill after all: it opens something
_LOOK_BESIDE_S: Final = 3.0  # at the others while one waits for its venue; at a stop that may be too large


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
        self._aside = Aside()
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
            aside=self._aside,
            protect_within_s=protect_within_s,
        )
        self._surplus = Surplus(
            store=store, book=book, engine=engine, broker_of=broker_of, clock=clock, record=self._record
        )
        self._prices = PriceWatch(
            book=book,
            engine=engine,
            tracker=tracker,
            broker_of=broker_of,
            clock=clock,
            record=self._record,
            stops=self._stops,
            missing=self._missing,
        )
        tracker.resized = self._on_resized
        engine.make_room = self._stops.make_room
        self._slow: defaultdict[BrokerId, list[asyncio.Task[Any]]] = defaultdict(list)  # begun, and not waited for
        self._looked_s: dict[BrokerId, float] = {}
        self._silent: set[BrokerId] = set()  # that did not answer the last look
        self._open_s: dict[BrokerId, float] = {}  # when something was open there last, as far as this process knows
        self._not_as_wanted: set[PositionId] = set()
        self._several: dict[BrokerId, Mapping[PositionId, int]] = {}  # more than one stop was shown: looks to come yet

    async def stop(self) -> None:
        """The daemon ends: stops that nobody waits for are no longer looked after."""
        await self._aside.stop()
        await self._stops.requests.stop()

    async def _on_resized(self, position: Position, filled_at: datetime) -> None:
        """Fills have changed a position: it is followed at once.

        Whoever read them waits a moment for that. He may have taken the stop of another one away: that one waits for
        no answer about this one.
        """
        self._open_s[position.broker_id] = self._clock.monotonic()
        self._surplus.note_fills(position)
        work = self._aside.begin(self._follow(position, filled_at), name=f"stop of {position.id}")
        slow = self._slow[position.broker_id]
        slow.append(work)
        if not self._stops.is_keeping_only_others(position.id):
            await asyncio.wait((work,), timeout=MOMENT_S)
        if work.done() and work in slow:  # else a look has told what came of it, or will
            slow.remove(work)
            work.result()

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
        Raises what the first position met that could not be looked after, when all are done.
        """
        if self._book.has(symbol):
            await self._prices.on_price(symbol, bid=bid, ask=ask, quoted_at=quoted_at, check_deadline=check_deadline)

    async def save_extremes(self) -> None:
        """Store marks and extremes; the periodic half of what `on_price` keeps in memory."""
        for position in self._book.positions():
            if position.is_open:
                await self._tracker.change(position.id, lambda now: now)

    async def attend(self, broker_id: BrokerId) -> bool:
        """Between monitor runs: look again if something waits for its stop, may need one at any moment, or was not
        looked at for long.

        False if there was nothing to look after. What takes longer than a moment goes on, and keeps nothing else from
        being looked at; its failure is raised by a later call. Raises as `verify`.
        """
        begun = self._slow[broker_id]
        if self._is_due(broker_id):
            try:
                await self._tracker.collect(broker_id)
            finally:  # a fill that cannot be read keeps no stop from being looked at
                begun += [each for each in await self._look_at_what_it_can(broker_id) if each not in begun]
        if not begun:
            return False
        await asyncio.wait(begun, timeout=MOMENT_S)
        done = [each for each in begun if each.done()]
        begun[:] = [each for each in begun if each not in done]
        await side_by_side(done)
        return True

    def _is_due(self, broker_id: BrokerId) -> bool:
        now_s = self._clock.monotonic()
        since_s = now_s - self._looked_s.setdefault(broker_id, now_s)
        ours = [each for each in self._book.positions() if each.broker_id == broker_id]
        if ours or broker_id not in self._open_s:
            self._open_s[broker_id] = now_s
        if self.unprotected.is_open(broker_id) or self._surplus.waits(broker_id) or self._may_need_stops(broker_id):
            return not self._slow[broker_id] or since_s >= _LOOK_BESIDE_S
        if not ours and now_s - self._open_s[broker_id] >= _LEFTOVERS_FOR_S:
            return False
        if any(self._is_too_large(each) for each in ours):
            return since_s >= _LOOK_BESIDE_S
        return since_s >= (_LOOK_FAILED_S if broker_id in self._silent else _LOOK_AGAIN_S)

    def _is_too_large(self, position: Position) -> bool:
        """Its stop, perhaps: the venue shows less of it, has not taken a stop of the right size yet, may still take one
        more that was asked for, or fills a close part by part."""
        able = self._broker_of(position.broker_id).capabilities
        if able.keeps_stops:
            return False
        if self._missing.is_doubted(position) or position.id in self._not_as_wanted:
            return True
        if able.stop_reserves:
            return False
        exits = self._book.orders_of(position.id, OrderRole.EXIT)
        if any(is_acknowledged(each) and (each.filled_quantity or each.kind is OrderKind.MARKET) for each in exits):
            return True
        known = len(self._book.orders_of(position.id, OrderRole.STOP)) > 1
        return known or position.id in self._several.get(position.broker_id, ())

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
        return max(await side_by_side(await self._look_at_all(broker_id)), default=0.0)

    async def _look_at_what_it_can(self, broker_id: BrokerId) -> "list[asyncio.Task[float]]":
        """As `_look_at_all`; where the venue does not say what is open, at what waits for its stop: its time runs."""
        try:
            return await self._look_at_all(broker_id)
        except BrokerError:
            bare = [each for each in self._book.positions() if self._waits_for_its_stop(each, broker_id)]
            looks = [self._aside.once(partial(self._sized, each, None), name=f"look at {each.id}") for each in bare]
            self._slow[broker_id] += [each for each in looks if each not in self._slow[broker_id]]
            raise

    def _waits_for_its_stop(self, position: Position, broker_id: BrokerId) -> bool:
        return position.broker_id == broker_id and self.unprotected.is_unprotected(position.entry_order_id)

    async def _look_at_all(self, broker_id: BrokerId) -> "list[asyncio.Task[float]]":
        """One look at each position of a venue, and one at what is left of others; each at its own pace.

        Where a look is under way no second one begins: it may wait for the venue for long.
        """
        self._looked_s[broker_id] = self._clock.monotonic()
        asked = {each.id: each for each in self._book.positions()}
        self._silent.add(broker_id)
        resting = {each.entry_order_id: each for each in await self._broker_of(broker_id).positions()}
        self._silent.discard(broker_id)
        ours = [each for each in self._book.positions() if each.broker_id == broker_id]
        for position in ours:
            venue = resting.get(position.entry_order_id)
            self._missing.note(position, Decimal(0) if venue is None else venue.quantity)
        self._forget_ended()
        looks = [
            self._aside.once(
                partial(self._look_at, asked.get(each.id, each), resting.get(each.entry_order_id)),
                name=f"look at {each.id}",
            )
            for each in ours
        ]
        if not self._broker_of(broker_id).capabilities.keeps_stops:
            clear = partial(self._clear, broker_id, {name: each.quantity for name, each in resting.items()})
            looks.append(self._aside.once(clear, name=f"leftovers at {broker_id}"))
        return looks

    async def _look_at(self, asked: Position, venue: VenuePosition | None) -> float:
        """One position against what its venue says is open, `asked` as it was then; for how long it has had no stop."""
        keeps, gap_s = self._broker_of(asked.broker_id).capabilities.keeps_stops, 0.0
        now = self._book.position(asked.id)
        if now is not None and self._missing.is_gone(now):
            await self._stops.clear_of(now)
        elif now is not None and not keeps and (now.is_open or venue is not None):
            gap_s = await self._sized(asked, venue)
        elif now is not None and keeps and venue is not None and not self._engine.is_in_flight(now.entry_order_id):
            gap_s = await self._verified(asked, venue)
        await self._surplus.look(asked.id)
        return gap_s

    async def _clear(self, broker_id: BrokerId, opened: Mapping[ClientOrderId, Decimal]) -> float:
        """Take away what rests for nothing; what rests twice is looked at again soon."""
        listed = await self._broker_of(broker_id).protective_orders()
        before, several = self._several.get(broker_id, {}), {}
        for each in self._book.positions():
            shown = sum(is_stop_for(stop.client_order_id, each.entry_order_id) for stop in listed)
            if left := _LOOKS_WITHOUT if shown > 1 else max(0, before.get(each.id, 0) - 1):
                several[each.id] = left
        self._several[broker_id] = several
        if self._stops.left_over(listed, opened):
            self._open_s[broker_id] = self._clock.monotonic()  # whether its cancel is taken, the next look tells
        await self._stops.clear(broker_id, listed, opened)
        return 0.0

    def _forget_ended(self) -> None:
        known = self._book.positions()
        self.unprotected.keep_only([each.entry_order_id for each in known])
        self._surplus.keep_only([each.id for each in known])
        self._missing.keep_only([each.id for each in known])
        self._stops.keep_only([each.id for each in known])
        self._not_as_wanted.intersection_update([each.id for each in known])

    async def _verified(self, position: Position, venue: VenuePosition) -> float:
        """One position against the stop that rests for it; answer for how long it has had none."""
        if venue.stop_price is not None:
            await self._stops.note_resting(position)
            if abs(venue.stop_price - position.stop_price) >= position.plan.tick:
                await self._agree_on_stop(position.id, venue.stop_price)
            return 0.0
        return await self._sized(position, venue)

    async def _sized(self, asked: Position, venue: VenuePosition | None) -> float:
        """See that a stop rests for all of one position, or that it is closed; for how long it has had none.

        `asked` is the position as it was when the venue was asked: what fills have changed since, its answer lacks.
        """
        async with self._prices.alone(asked.id):
            now = self._book.position(asked.id)
            if now is None:
                return 0.0  # it has closed meanwhile
            before_s = self.unprotected.of(now.entry_order_id)
            is_current = (now.first_quantity, now.closed_quantity) == (asked.first_quantity, asked.closed_quantity)
            at_venue = venue.quantity if venue is not None and is_current else Decimal(0)
            self._not_as_wanted.add(now.id)
            if await self._stops.keep(now, at_venue=at_venue):
                self._not_as_wanted.discard(now.id)
            if reason := self._stops.requests.was_beyond(now.id):
                await self._prices.close(now.id, reason)
            return max(before_s, self.unprotected.of(now.entry_order_id))

    async def _agree_on_stop(self, position_id: PositionId, resting: Decimal) -> None:
        """The better stop counts: ours may have been moved before a crash, theirs may have been loosened by hand."""
        position = self._book.position(position_id)
        if position is None:
            return
        async with self._prices.alone(position_id):
            now = self._book.position(position_id)
            if now is None:
                return
            if now.direction.sign * (resting - now.stop_price) > 0:
                await self._tracker.change(position_id, lambda position: with_stop(position, resting))
            else:
                await self._prices.move_stop(now, MoveStop(now.stop_price, ExitState.of(now).stop_reason))
