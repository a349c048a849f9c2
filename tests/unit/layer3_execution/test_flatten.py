"""Closing everything over an awkward venue; and that no entry leaves after the kill switch was pressed."""

import asyncio
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.database.memory_orders import MemoryOrders
from bot.layer3_execution.flatten import KILL_REASON, Flattener
from bot.models import (
    ClientOrderId,
    KillCause,
    KillLevel,
    KillState,
    Order,
    OrderKind,
    OrderState,
    PositionId,
    SignalId,
    TaskId,
    leg_of,
)
from tests.builders import START, approved_order
from tests.fakes.awkward_broker import Fault
from tests.unit.layer3_execution.desk import BROKER, Desk

S = OrderState
PRESSED = KillState(level=KillLevel.PAUSE, by="ada", cause=KillCause.COMMAND, reason="stop", at=START)


def flattener_of(desk: Desk) -> Flattener:
    async def record(kind: str, task_id: object, data: object) -> None:
        """Not what is tested here."""

    return Flattener(
        book=desk.book, engine=desk.engine, tracker=desk.tracker, broker_of=lambda _: desk.broker, record=record
    )


async def turn(flattener: Flattener) -> list[str]:
    """Everything at once, as the kill switch does it."""
    left = await asyncio.gather(flattener.close_positions(BROKER), flattener.cancel_entries(BROKER))
    return [*left[0], *left[1]]


async def limit_entry(desk: Desk, price: str = "99") -> ClientOrderId:
    """A limit buy that rests at the venue; the name of it."""
    order = await desk.bought(kind=OrderKind.LIMIT, limit_price=Decimal(price))
    return order.client_order_id


async def many_limit_entries(desk: Desk, many: int) -> None:
    """Limit buys of as many signals that rest at the venue."""
    for number in range(many):
        name = ClientOrderId(f"TBd{number:016X}E00")
        await desk.bought(
            client_order_id=name,
            stop_order_id=leg_of(name, "S0"),
            position_id=PositionId(f"position-{number}"),
            signal_id=SignalId(f"signal-{number}"),
            task_id=TaskId(f"task-{number}"),
            kind=OrderKind.LIMIT,
            limit_price=Decimal(99),
        )


# --------------------------------------------------------------------------------------------------- closing everything


async def test_an_open_position_is_closed_at_market_and_its_stop_ends_with_it() -> None:
    desk = Desk()
    await desk.bought()
    flattener = flattener_of(desk)
    assert not flattener.is_flat()
    assert await turn(flattener) == []
    assert flattener.is_flat()
    assert await desk.at_venue() is None
    closed = await desk.position()
    assert (closed.exit_reason, closed.quantity) == (KILL_REASON, Decimal(0))
    assert (await desk.states())["stop"] is S.CANCELED


async def test_the_stop_rests_until_the_position_is_flat() -> None:
    desk = Desk(liquidity=Decimal(4))
    desk.observe(100)
    await desk.bought()
    for _ in range(3):
        desk.observe(100)
    await desk.tracker.collect(BROKER)
    left = await turn(flattener_of(desk))
    resting = await desk.at_venue()
    assert resting is not None
    assert resting.stop_price is not None, left


@pytest.mark.parametrize("fault", [Fault.UNREACHABLE, Fault.REJECTED])
async def test_a_close_that_fails_is_told_and_taken_up_again_until_it_is_flat(fault: Fault) -> None:
    desk = Desk()
    await desk.bought()
    desk.broker.place_faults.extend([fault] * 5)
    flattener, turns = flattener_of(desk), 0
    while not flattener.is_flat():
        left = await turn(flattener)
        assert left == [] or "EUR_USD" in left[0]
        desk.clock.advance(10)
        turns += 1
        assert turns < 20
    assert turns == 6
    assert await desk.at_venue() is None


async def test_a_close_of_unknown_fate_is_not_sent_twice_and_is_settled_by_the_venue() -> None:
    desk = Desk()
    await desk.bought()
    desk.broker.place_faults.append(Fault.REPLY_LOST)
    flattener = flattener_of(desk)
    await turn(flattener)
    await turn(flattener)
    assert flattener.is_unsettled(BROKER)
    assert len(desk.broker.placed) == 2, "the entry and one close"
    await desk.reconciler.run(BROKER)
    assert flattener.is_flat()
    assert not flattener.is_unsettled(BROKER)


async def test_a_position_that_breaks_the_adapter_does_not_keep_the_others_open() -> None:
    desk = Desk()
    await desk.bought()
    name = ClientOrderId("TBdFEDCBA9876543210E00")
    other = approved_order(
        client_order_id=name,
        stop_order_id=leg_of(name, "S0"),
        position_id=PositionId("position-2"),
        signal_id=SignalId("signal-2"),
        task_id=TaskId("task-2"),
    )
    await desk.engine.submit(other)
    desk.broker.place_faults.append(Fault.BROKEN)
    left = await turn(flattener_of(desk))
    assert len(left) == 1
    assert "KeyError" in left[0]
    assert "orderFillTransaction" not in left[0], "what is not ours is told by its kind only"


# ------------------------------------------------------------------------------------------------ taking entries back


async def test_a_resting_entry_is_cancelled_with_its_stop_and_its_pending_position() -> None:
    desk = Desk()
    name = await limit_entry(desk)
    flattener = flattener_of(desk)
    assert flattener.entries_at()
    assert await flattener.cancel_entries(BROKER) == []
    assert flattener.is_flat()
    assert (await desk.order(name)).state is S.CANCELED
    assert (await desk.states())["stop"] is S.CANCELED
    assert (await desk.position()).exit_reason == f"NOT_OPENED: {KILL_REASON}"
    assert await desk.broker.open_orders() == ()


async def test_an_entry_that_fills_before_the_cancel_becomes_a_position_and_is_closed() -> None:
    desk = Desk()
    name = await limit_entry(desk)
    desk.observe("98.5")
    flattener = flattener_of(desk)
    left = await turn(flattener)
    assert (await desk.order(name)).state is S.FILLED, left
    assert not flattener.is_flat()
    assert await turn(flattener) == []
    assert flattener.is_flat()


async def test_a_venue_that_does_not_tell_its_fills_leaves_the_entry_pending_and_not_cancelled() -> None:
    desk = Desk()
    name = await limit_entry(desk)
    desk.broker.failing.add("fills_since")
    left = await flattener_of(desk).cancel_entries(BROKER)
    assert "503" in left[0]
    assert (await desk.order(name)).state is S.CANCEL_PENDING
    desk.broker.failing.clear()
    assert await flattener_of(desk).cancel_entries(BROKER) == []
    assert (await desk.order(name)).state is S.CANCELED


@pytest.mark.parametrize("failing", [False, True])
async def test_of_many_cancels_that_are_answered_together_one_asks_for_fills_for_all(failing: bool) -> None:
    # Arrange: the venue's answers to all cancels are on their way
    desk = Desk()
    await many_limit_entries(desk, 20)
    flattener = flattener_of(desk)
    desk.broker.asked.clear()
    desk.broker.latency = lambda: 1
    desk.broker.held_answers = asyncio.Event()
    cancelling = asyncio.create_task(flattener.cancel_entries(BROKER))
    await desk.clock.run_for(0)
    assert len(desk.broker.cancelled) == 20
    if failing:
        desk.broker.failing.add("fills_since")

    # Act
    desk.broker.held_answers.set()
    left = await cancelling

    # Assert
    assert desk.broker.asked.count("fills_since") <= 2, "one that may have begun before the others, and theirs"
    assert len(left) == (20 if failing else 0)
    assert bool(flattener.entries_at()) is failing


async def test_an_entry_of_unknown_fate_is_cancelled_where_the_venue_has_it() -> None:
    desk = Desk()
    desk.broker.place_faults.append(Fault.REPLY_LOST)
    name = await limit_entry(desk)
    assert (await desk.order(name)).state is S.UNKNOWN
    flattener = flattener_of(desk)
    assert await turn(flattener) == []
    assert (await desk.order(name)).state is S.CANCELED
    assert flattener.is_flat()


async def test_an_entry_that_never_arrived_stays_unknown_until_there_is_evidence() -> None:
    desk = Desk()
    desk.broker.place_faults.append(Fault.REQUEST_LOST)
    name = await limit_entry(desk)
    left = await turn(flattener_of(desk))
    assert "ORDER_NOT_FOUND" in left[0]
    assert (await desk.order(name)).state is S.UNKNOWN


@settings(deadline=None, max_examples=60)
@given(
    faults=st.lists(
        st.sampled_from([Fault.UNREACHABLE, Fault.REJECTED, Fault.REPLY_LOST, Fault.REQUEST_LOST]), max_size=6
    ),
    pending=st.booleans(),
)
async def test_whatever_the_line_does_it_becomes_flat_and_the_venue_agrees(faults: list[Fault], pending: bool) -> None:
    desk = Desk()
    if pending:
        await limit_entry(desk)
    else:
        await desk.bought()
    desk.broker.place_faults.extend(faults)
    flattener = flattener_of(desk)
    for _ in range(200):
        if flattener.is_flat():
            break
        await turn(flattener)
        if flattener.is_unsettled(BROKER):
            await desk.reconciler.run(BROKER)
        desk.clock.advance(30)
    assert flattener.is_flat()
    assert await desk.at_venue() is None
    assert await desk.broker.open_orders() == ()
    assert desk.incidents() == []


# -------------------------------------------------------------------------------------------- nothing leaves afterwards


class Pressing(MemoryOrders):
    """Orders whose store lets somebody press the kill switch at one step of a send, and what follows then."""

    def __init__(self, step: str) -> None:
        super().__init__()
        self.step = step
        self.desk: Desk | None = None

    async def transition(self, client_order_id: ClientOrderId, **changes: Any) -> None:
        """As ever; then the press."""
        await super().transition(client_order_id, **changes)
        if self.desk is not None and f"{client_order_id[19:21]} {changes['state']}" == self.step:
            await self.desk.stores.kills.set(PRESSED)


@pytest.mark.parametrize("step", ["E0 SENDING", "S0 SENDING"])
async def test_a_press_at_the_last_moment_before_the_send_keeps_the_entry_here(step: str) -> None:
    orders = Pressing(step)
    desk = orders.desk = Desk(orders=orders)
    approved = approved_order()
    ended = await desk.engine.submit(approved)
    assert desk.broker.placed == []
    assert ended.state is S.DENIED
    assert (await desk.states())["stop"] is S.DENIED
    events = await desk.stores.orders.order_events(approved.client_order_id)
    assert "PAUSE by ada (command)" in events[-1][3]
    assert (await desk.position()).closed_at is not None
    assert desk.book.positions() == ()


@pytest.mark.parametrize("level", [KillLevel.PAUSE, KillLevel.FLATTEN, KillLevel.HALT])
async def test_at_every_level_no_entry_leaves_and_every_exit_does(level: KillLevel) -> None:
    desk = Desk()
    await desk.bought()
    await desk.stores.kills.set(replace(PRESSED, level=level))
    position = await desk.position()
    await desk.price(104)
    assert (await desk.position()).quantity == position.quantity / 2, "target 1 is taken"
    assert (await desk.position()).break_even, "and the stop is moved"
    name = ClientOrderId("TBdFEDCBA9876543210E00")
    refused = await desk.engine.submit(
        approved_order(
            client_order_id=name,
            stop_order_id=leg_of(name, "S0"),
            position_id=PositionId("position-2"),
            signal_id=SignalId("signal-2"),
        )
    )
    assert refused.state is S.DENIED
    assert [each.client_order_id for each in desk.broker.placed].count(name) == 0


async def test_a_press_while_an_entry_is_on_the_wire_lets_it_arrive_and_flatten_closes_it() -> None:
    # Arrange: the venue has the entry, its answer is not here yet
    desk = Desk()

    async def press() -> None:
        desk.broker.while_placing = None
        await desk.stores.kills.set(replace(PRESSED, level=KillLevel.FLATTEN))
        assert flattener.entries_at()
        assert "being sent at this moment" in (await turn(flattener))[0]

    flattener = flattener_of(desk)
    desk.broker.while_placing = press

    # Act
    entry = await desk.bought()

    # Assert
    assert (await desk.order(entry.client_order_id)).state is S.FILLED
    assert await turn(flattener) == []
    assert flattener.is_flat()


async def test_where_the_switch_cannot_be_read_nothing_is_sent() -> None:
    desk = Desk()

    async def unreadable(broker_id: object) -> str:
        return "the kill switch cannot be read, so no entry is sent"

    desk.engine._entry_refusal = unreadable
    ended: Order = await desk.engine.submit(approved_order())
    assert (ended.state, desk.broker.placed) == (S.DENIED, [])


async def test_a_fill_that_is_told_after_its_entry_was_cancelled_is_found_long_before_the_next_monitor_run() -> None:
    # Arrange: 4 of 10 were filled before the cancel, and no answer shows them yet
    desk = Desk(liquidity=Decimal(4))
    desk.broker.hold_fills = True
    entry = await desk.bought()
    await desk.guard.attend(BROKER)
    await flattener_of(desk).cancel_entries(BROKER)
    assert desk.book.positions() == ()
    desk.broker.hold_fills = False

    # Act
    desk.clock.advance(30)
    await desk.guard.attend(BROKER)

    # Assert
    assert (await desk.order(entry.client_order_id)).filled_quantity == Decimal(4)
    assert [each.quantity for each in desk.book.positions()] == [Decimal(4)]
