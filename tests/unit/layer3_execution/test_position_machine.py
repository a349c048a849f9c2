"""Positions under arbitrary sequences of what may happen to them: the real order path over venues of three classes.

Each commit may only make a legal move between the states of RELIABILITY 3.3. What has to hold at the venue holds
whenever the guard has looked.
"""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from itertools import pairwise
from typing import Any, ClassVar, Final, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bot.database.memory_orders import MemoryOrders
from bot.errors import BrokerError
from bot.layer1_data.broker_interface import VenueOrder
from bot.layer1_data.brokers.simulated.traits import VenueTraits
from bot.layer3_execution.close_one import close_one
from bot.layer3_execution.flatten import Flattener
from bot.layer3_execution.position_state import PositionState, is_legal, state_of
from bot.layer3_execution.resting import is_stop_for
from bot.models import (
    ApprovedOrder,
    ClientOrderId,
    Fill,
    Order,
    OrderRole,
    Position,
    PositionId,
    SignalId,
    Target,
    TaskId,
    leg_of,
)
from tests.builders import approved_order, plan
from tests.fakes.awkward_broker import Fault
from tests.unit.layer3_execution.desk import BROKER, Desk
from tests.unit.layer3_execution.venues import ATTACHED, FUTURES, SPOT

T = TypeVar("T")
P = PositionState
ZERO: Final = Decimal(0)
SETTLED_S: Final = 5.0  # a stop that was taken a moment ago may not be listed yet
LOOKS: Final = 3  # one may find that another answer was lost


class WatchedOrders(MemoryOrders):
    """The store, and the way of each position from state to state, commit by commit."""

    def __init__(self) -> None:
        super().__init__()
        self.ways: dict[PositionId, list[PositionState]] = {}

    async def record_intent(
        self, orders: Sequence[Order], *, signal_id: SignalId | None, position: Position | None = None
    ) -> bool:
        stored = await super().record_intent(orders, signal_id=signal_id, position=position)
        await self._watch(orders[0].position_id)
        return stored

    async def transition(self, client_order_id: ClientOrderId, **terms: Any) -> None:
        await super().transition(client_order_id, **terms)
        await self._watch((await self.order(client_order_id)).position_id)

    async def record_fill(self, fill: Fill, *, order: Order, position: Position) -> bool:
        new = await super().record_fill(fill, order=order, position=position)
        await self._watch(position.id)
        return new

    async def save_position(self, position: Position) -> None:
        await super().save_position(position)
        await self._watch(position.id)

    async def _watch(self, position_id: PositionId) -> None:
        way = self.ways.setdefault(position_id, [P.FLAT])
        state = state_of(await self.position(position_id), await self.orders_of(position_id))
        if state is not way[-1]:
            way.append(state)


class PositionMachine(RuleBasedStateMachine):
    """One desk at one venue; a position at a time."""

    venue: ClassVar[VenueTraits]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.price = Decimal(100)
        self.entries = 0
        self.has_looked = False

    @initialize(liquidity=st.sampled_from([None, Decimal(4)]))
    def open_the_desk(self, liquidity: Decimal | None) -> None:
        """`liquidity` is what one observation of the market fills at most."""
        self.orders = WatchedOrders()
        self.desk = Desk(orders=self.orders, liquidity=liquidity, venue=self.venue)

    # ----------------------------------------------------------------------------------------------- what may happen

    @precondition(lambda self: not self.desk.book.positions())
    @rule()
    def enter(self) -> None:
        self.entries += 1
        self._run(self.desk.engine.submit(self._approved()))

    @rule(move=st.sampled_from([-1, 0, 1]), is_seen=st.booleans())
    def the_price_moves(self, move: int, is_seen: bool) -> None:
        self._move_to(self.price + move, is_seen=is_seen)

    @precondition(lambda self: self._opened())
    @rule(is_seen=st.booleans(), is_good=st.booleans())
    def the_price_comes_to_the_stop_or_the_next_target(self, is_seen: bool, is_good: bool) -> None:
        position = self._opened()[0]
        targets = position.plan.targets[position.targets_hit :]
        self._move_to(targets[0].price if is_good and targets else position.stop_price, is_seen=is_seen)

    @precondition(lambda self: self._opened())
    @rule(is_person=st.booleans(), is_looked_at=st.booleans())
    def a_person_or_the_kill_switch_closes_it(self, is_person: bool, is_looked_at: bool) -> None:
        desk = self.desk
        flattener = Flattener(
            book=desk.book,
            engine=desk.engine,
            tracker=desk.tracker,
            broker_of=lambda _: desk.broker,
            record=self._forget,
        )
        self._run(
            close_one(desk.book, desk.engine, self._opened()[0].id) if is_person else flattener.close_positions(BROKER)
        )
        if is_looked_at:
            self.the_line_is_well_and_the_guard_looks()

    @precondition(lambda self: self._opened())
    @rule(is_looked_at=st.booleans())
    def the_stop_vanishes_at_the_venue(self, is_looked_at: bool) -> None:
        self._run(self._lose_stops())
        if is_looked_at:
            self.the_line_is_well_and_the_guard_looks()

    @rule(fault=st.sampled_from([Fault.REPLY_LOST, Fault.REQUEST_LOST]), of=st.sampled_from(["place", "stop", "amend"]))
    def the_next_answer_is_lost(self, fault: Fault, of: str) -> None:
        getattr(self.desk.broker, f"{of}_faults").append(fault)

    @rule()
    def the_process_is_killed_and_starts_again(self) -> None:
        self._run(self.desk.restart())

    @rule(after_s=st.sampled_from([1, 10, 60]))
    def the_monitor_compares(self, after_s: int) -> None:
        self.desk.clock.advance(after_s)
        self._run(self.desk.reconciler.run(BROKER))

    @rule()
    def the_line_is_well_and_the_guard_looks(self) -> None:
        broker = self.desk.broker
        for faults in (broker.place_faults, broker.stop_faults, broker.amend_faults):
            faults.clear()
        for _ in range(LOOKS):
            self.desk.clock.advance(SETTLED_S)
            self.desk.observe(self.price)
            self._run(self._look())
        self.has_looked = True

    # -------------------------------------------------------------------------------------------------- what must hold

    @invariant()
    def every_commit_made_a_legal_move(self) -> None:
        for way in self.orders.ways.values():
            assert all(is_legal(*move) for move in pairwise(way)), " -> ".join(way)

    @invariant()
    def what_is_open_is_the_sum_of_its_fills(self) -> None:
        for position_id in self.orders.ways:
            position, opened = self._ask(self.orders.position(position_id)), self._filled(position_id)
            assert position.quantity == max(opened, ZERO)

    @precondition(lambda self: self.has_looked)
    @invariant()
    def no_fill_of_the_venue_is_lost(self) -> None:
        told, _ = self._ask(self.desk.venue.fills_since(""))
        stored = {each.venue_fill_id for name in self.orders.ways for each in self._ask(self.orders.fills_of(name))}
        assert {each.venue_fill_id for each in told} <= stored

    @precondition(lambda self: self.has_looked)
    @invariant()
    def what_rests_is_never_more_than_what_is_open_and_less_only_while_that_is_known(self) -> None:
        for position_id in self.orders.ways:
            position = self._ask(self.orders.position(position_id))
            state = state_of(position, self._ask(self.orders.orders_of(position_id)))
            rests = sum((each.quantity - each.filled_quantity for each in self._stops(position)), ZERO)
            assert rests <= position.quantity, f"{state}: {rests} rests for {position.quantity}"
            if state in (P.OPEN_PROTECTED, P.REDUCING):
                assert rests == position.quantity, f"{state}: {rests} rests for {position.quantity}"

    @precondition(lambda self: self.has_looked)
    @invariant()
    def nothing_rests_for_what_has_ended(self) -> None:
        for position_id, way in self.orders.ways.items():
            if way[-1] is P.CLOSED:
                assert not self._stops(self._ask(self.orders.position(position_id)))

    def teardown(self) -> None:
        self.runner.close()

    # ---------------------------------------------------------------------------------------------------------- inside

    def _approved(self) -> ApprovedOrder:
        name = ClientOrderId(f"TBd{self.entries:016d}E00")
        targets = tuple(Target(price=self.price + way, fraction=Decimal("0.5")) for way in (4, 8))
        return approved_order(
            client_order_id=name,
            stop_order_id=leg_of(name, "S0"),
            position_id=PositionId(f"position-{self.entries}"),
            signal_id=SignalId(f"signal-{self.entries}"),
            decided_price=self.price,
            plan=plan(stop=self.price - 2, targets=targets),
        )

    def _move_to(self, price: Decimal, *, is_seen: bool) -> None:
        self.price = price
        self.desk.clock.advance(1)
        self.desk.observe(price)
        self.has_looked = False
        if is_seen:
            self._run(self.desk.price(str(price)))

    def _opened(self) -> list[Position]:
        return [each for each in self.desk.book.positions() if each.is_open]

    async def _lose_stops(self) -> None:
        for each in await self.desk.venue.protective_orders():
            if each.client_order_id is not None:
                await self.desk.venue.cancel(each.client_order_id)

    async def _forget(self, kind: str, task_id: TaskId | None, data: Mapping[str, object]) -> None:
        """The journal says nothing that is asked here."""

    async def _look(self) -> None:
        await self.desk.tracker.collect(BROKER)
        await self.desk.guard.verify(BROKER)
        await self.desk.look(str(self.price))

    def _stops(self, position: Position) -> list[VenueOrder]:
        resting = self._ask(self.desk.venue.protective_orders())
        return [each for each in resting if is_stop_for(each.client_order_id, position.entry_order_id)]

    def _filled(self, position_id: PositionId) -> Decimal:
        roles = {each.client_order_id: each.role for each in self._ask(self.orders.orders_of(position_id))}
        fills = self._ask(self.orders.fills_of(position_id))
        signed = (each.quantity if roles[each.client_order_id] is OrderRole.ENTRY else -each.quantity for each in fills)
        return sum(signed, ZERO)

    def _run(self, work: Coroutine[Any, Any, object]) -> None:
        """What the venue does not answer is tried again later."""
        self.has_looked = False
        with suppress(BrokerError):
            self.runner.get_loop().run_until_complete(work)

    def _ask(self, question: Coroutine[Any, Any, T]) -> T:
        return self.runner.get_loop().run_until_complete(question)


class AttachedStops(PositionMachine):
    venue = ATTACHED


class OwnStops(PositionMachine):
    venue = FUTURES


class StopsThatLock(PositionMachine):
    venue = SPOT


BOUNDS: Final = settings(max_examples=100, stateful_step_count=50)
TestAttachedStops = AttachedStops.TestCase
TestAttachedStops.settings = BOUNDS
TestOwnStops = OwnStops.TestCase
TestOwnStops.settings = BOUNDS
TestStopsThatLock = StopsThatLock.TestCase
TestStopsThatLock.settings = BOUNDS
