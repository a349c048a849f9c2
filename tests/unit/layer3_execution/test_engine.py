import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from bot.clock import ManualClock
from bot.errors import CommitUnknown
from bot.models import (
    ClientOrderId,
    KillCause,
    KillLevel,
    KillState,
    Order,
    OrderRole,
    OrderState,
    Position,
    SignalId,
)
from tests.builders import START, approved_order
from tests.fakes.awkward_broker import Fault
from tests.fakes.slow_orders import SlowOrders
from tests.unit.layer3_execution.desk import BROKER, Desk
from tests.unit.layer3_execution.venues import EVERY_CLASS, TRADIER

ENTRY = approved_order().client_order_id


def slow_desk() -> tuple[Desk, SlowOrders]:
    clock = ManualClock(START)
    orders = SlowOrders(clock)
    return Desk(orders=orders, clock=clock), orders


async def close_all(desk: Desk, reason: str = "STOP") -> Order:
    """A market close of whatever our record says is open."""
    position = await desk.position()
    return await desk.engine.reduce(position, position.quantity, None, reason)


async def test_the_intent_is_stored_with_its_stop_and_position_before_the_venue_hears_of_it() -> None:
    desk = Desk()
    seen: list[object] = []

    async def look() -> None:
        seen.append((await desk.states(), (await desk.position()).is_pending))

    desk.broker.before_placing = look
    await desk.bought()
    assert seen == [({"entry": OrderState.SENDING, "stop": OrderState.SENDING}, True)]


async def test_a_filled_entry_is_an_open_position_with_a_working_stop() -> None:
    desk = Desk()
    await desk.bought()
    assert await desk.states() == {"entry": OrderState.FILLED, "stop": OrderState.WORKING}
    assert (await desk.position()).quantity == 10


async def test_the_same_approval_submitted_again_sends_nothing() -> None:
    desk = Desk()
    await desk.bought()
    await desk.bought()
    assert len(desk.broker.placed) == 1


async def test_the_same_approval_submitted_twice_at_once_is_sent_once() -> None:
    desk, _ = slow_desk()
    await asyncio.gather(desk.bought(), desk.bought())
    assert len(desk.broker.placed) == 1
    assert (await desk.position()).quantity == 10


async def test_an_approval_past_its_validity_is_never_sent_and_leaves_no_pending_position() -> None:
    desk = Desk()
    await desk.bought(valid_until=START - timedelta(seconds=1))
    assert desk.broker.placed == []
    assert await desk.states() == {"entry": OrderState.DENIED, "stop": OrderState.DENIED}
    assert desk.book.positions() == ()


@pytest.mark.parametrize("fault", [Fault.REQUEST_LOST, Fault.REPLY_LOST])
async def test_silence_is_unknown_and_keeps_counting_as_a_position(fault: Fault) -> None:
    desk = Desk()
    desk.broker.place_faults.append(fault)
    await desk.bought()
    assert await desk.states() == {"entry": OrderState.UNKNOWN, "stop": OrderState.UNKNOWN}
    assert len(desk.book.positions()) == 1


async def test_an_unknown_order_is_not_sent_again_by_the_same_approval() -> None:
    desk = Desk()
    desk.broker.place_faults.append(Fault.REQUEST_LOST)
    await desk.bought()
    await desk.bought()
    assert len(desk.broker.placed) == 1


@pytest.mark.parametrize(
    ("fault", "state"), [(Fault.UNREACHABLE, OrderState.DENIED), (Fault.REJECTED, OrderState.REJECTED)]
)
async def test_an_entry_that_surely_did_not_happen_leaves_neither_position_nor_live_order(
    fault: Fault, state: OrderState
) -> None:
    desk = Desk()
    desk.broker.place_faults.append(fault)
    await desk.bought()
    assert await desk.states() == {"entry": state, "stop": state}
    assert (desk.book.positions(), desk.book.orders()) == ((), ())
    assert (await desk.position()).exit_reason.startswith("NOT_OPENED")


async def test_a_fill_read_by_somebody_else_while_the_answer_is_awaited_is_not_undone() -> None:
    desk = Desk()
    desk.broker.while_placing = lambda: desk.tracker.collect(BROKER)
    await desk.bought()
    assert await desk.states() == {"entry": OrderState.FILLED, "stop": OrderState.WORKING}
    assert (await desk.position()).quantity == 10


async def test_silence_about_an_order_whose_fill_was_already_read_takes_nothing_back() -> None:
    desk = Desk()
    desk.broker.while_placing = lambda: desk.tracker.collect(BROKER)
    desk.broker.place_faults.append(Fault.REPLY_LOST)
    await desk.bought()
    assert (await desk.order(ENTRY)).state is OrderState.FILLED


async def test_an_answer_that_nobody_can_read_leaves_the_order_to_reconciliation() -> None:
    desk = Desk()
    desk.broker.place_faults.append(Fault.BROKEN)
    with pytest.raises(KeyError):
        await desk.bought()
    assert not desk.engine.is_in_flight(ENTRY)
    await desk.reconciler.run(BROKER)
    assert await desk.states() == {"entry": OrderState.FILLED, "stop": OrderState.WORKING}


async def test_a_cancelled_caller_does_not_cut_a_send_in_half() -> None:
    desk, _ = slow_desk()
    desk.broker.held_answers = asyncio.Event()
    task = asyncio.ensure_future(desk.engine.submit(approved_order()))
    while not desk.broker.placed:
        await desk.clock.sleep(0)
    task.cancel()
    await desk.clock.sleep(0)
    assert desk.engine.is_in_flight(ENTRY)  # reconciliation leaves it alone
    desk.broker.held_answers.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not desk.engine.is_in_flight(ENTRY)
    assert await desk.states() == {"entry": OrderState.FILLED, "stop": OrderState.WORKING}


async def test_a_second_submission_does_not_end_the_flight_of_the_first() -> None:
    desk = Desk()
    desk.broker.held_answers = asyncio.Event()
    first = asyncio.ensure_future(desk.engine.submit(approved_order()))
    while not desk.broker.placed:
        await desk.clock.sleep(0)
    await desk.bought()
    assert desk.engine.is_in_flight(ENTRY)
    desk.broker.held_answers.set()
    await first


async def test_a_partly_filled_entry_is_protected_for_what_was_filled() -> None:
    desk = Desk(liquidity=Decimal(4))
    await desk.bought(price_bound=Decimal(102))
    position, venue = await desk.position(), await desk.at_venue()
    assert venue is not None
    assert (position.quantity, venue.quantity, venue.stop_price) == (Decimal(4), Decimal(4), Decimal(98))
    await desk.price("100.5")
    await desk.price("101.3")
    position = await desk.position()
    assert (position.quantity, position.entry_price) == (Decimal(10), Decimal("100.46"))
    assert (await desk.order(ENTRY)).state is OrderState.FILLED


async def test_an_entry_that_the_price_has_left_ends_at_once_with_the_reason() -> None:
    desk = Desk()
    desk.observe(101)
    await desk.bought()

    reason = "BEYOND_BOUND: it cannot be bought at 100.5 or less, the worst price allowed (MAX_ENTRY_SLIPPAGE_RATIO)"
    assert await desk.states() == {"entry": OrderState.REJECTED, "stop": OrderState.REJECTED}
    assert (await desk.position()).exit_reason.startswith(f"NOT_OPENED: {reason}")
    assert (desk.book.positions(), desk.book.orders()) == ((), ())


@pytest.mark.parametrize("kind", EVERY_CLASS)
async def test_the_rest_of_an_entry_that_the_price_has_left_is_not_waited_for(kind: str) -> None:
    desk = Desk(liquidity=Decimal(4), venue=EVERY_CLASS[kind])
    await desk.bought()
    await desk.price(101)
    desk.clock.advance(5)

    assert await desk.reconciler.resolve(BROKER)

    (stop,) = await desk.venue.protective_orders()
    assert (await desk.order(ENTRY)).state is OrderState.EXPIRED
    assert ((await desk.position()).quantity, stop.quantity - stop.filled_quantity) == (Decimal(4), Decimal(4))
    assert (await desk.reconciler.run(BROKER)).clean
    assert desk.incidents() == []


async def test_an_entry_that_waited_for_a_price_and_found_it_gone_leaves_no_pending_position() -> None:
    desk = Desk()
    desk.venue.pause(approved_order().symbol)
    await desk.bought()
    desk.observe(101)
    desk.clock.advance(5)

    await desk.reconciler.resolve(BROKER)

    assert await desk.states() == {"entry": OrderState.EXPIRED, "stop": OrderState.CANCELED}
    assert (await desk.position()).exit_reason.startswith("NOT_OPENED")
    assert desk.book.positions() == ()


async def test_a_rest_that_has_ended_by_itself_is_found_ended_when_its_position_has_closed() -> None:
    desk = Desk(liquidity=Decimal(4), venue=TRADIER)
    await desk.bought()
    desk.observe(101)
    await close_all(desk)
    await desk.tracker.collect(BROKER)

    await desk.tracker.give_up_rests(BROKER)
    assert (await desk.order(ENTRY)).state is OrderState.CANCEL_PENDING
    report = await desk.reconciler.run(BROKER)

    assert (report.clean, (await desk.order(ENTRY)).state) == (True, OrderState.EXPIRED)
    assert (desk.book.positions(), await desk.at_venue()) == ((), None)


async def test_a_close_decided_twice_at_once_is_sent_once() -> None:
    desk, _ = slow_desk()
    await desk.bought()
    await asyncio.gather(close_all(desk), close_all(desk, "UNPROTECTED"))
    assert len(desk.broker.placed) == 2
    assert (await desk.position()).closed_at is not None


async def test_a_close_of_unknown_fate_is_not_sent_again() -> None:
    desk = Desk()
    await desk.bought()
    desk.broker.place_faults.append(Fault.REQUEST_LOST)
    assert (await close_all(desk)).state is OrderState.UNKNOWN
    assert (await close_all(desk)).state is OrderState.UNKNOWN
    assert len(desk.broker.placed) == 2


async def test_a_close_of_unknown_fate_is_not_sent_again_when_a_person_has_closed_a_part_meanwhile() -> None:
    # Arrange
    desk = Desk()
    await desk.bought()
    desk.broker.place_faults.append(Fault.REQUEST_LOST)
    first = await close_all(desk)
    by_hand = replace(first, client_order_id=ClientOrderId("by-hand"), state=OrderState.CANCELED)
    await desk.stores.orders.record_intent((replace(by_hand, reason="CLOSED_BY_HAND"),), signal_id=None)
    desk.broker.failing.add("find_order")

    # Act
    second = await close_all(desk)

    # Assert
    assert second.client_order_id == first.client_order_id
    assert len(desk.broker.placed) == 2


async def test_a_close_that_never_got_through_is_tried_again_ever_more_slowly_and_never_given_up() -> None:
    desk = Desk()
    await desk.bought()
    desk.broker.place_faults.extend([Fault.UNREACHABLE, Fault.REJECTED] * 1000)
    for _ in range(3000):  # ten looks a second, five minutes long
        await close_all(desk)
        desk.clock.advance(0.1)
    tried = len(desk.broker.placed) - 1
    assert 20 < tried < 60
    desk.broker.place_faults.clear()
    desk.clock.advance(60)
    await close_all(desk)
    assert await desk.at_venue() is None


async def test_two_hundred_failed_closes_do_not_use_up_the_names_of_further_ones() -> None:
    desk = Desk()
    await desk.bought()
    desk.broker.place_faults.extend([Fault.REJECTED] * 200)
    for _ in range(201):
        await close_all(desk)
        desk.clock.advance(60)
    assert len({each.client_order_id for each in desk.broker.placed}) == 202
    assert max(len(each.client_order_id) for each in desk.broker.placed) == 24
    assert await desk.at_venue() is None


async def test_names_of_targets_stops_and_closes_never_meet() -> None:
    desk = Desk()
    await desk.bought()
    desk.broker.place_faults.extend([Fault.REJECTED] * 30)
    for _ in range(15):
        position = await desk.position()
        await desk.engine.reduce(position, Decimal(5), Decimal(104), "TARGET_1")
        await desk.engine.reduce(position, Decimal(5), Decimal(108), "TARGET_2")
        desk.clock.advance(60)
    await close_all(desk)
    names = [each.client_order_id for each in desk.broker.placed]
    assert len(set(names)) == len(names) == 32


async def test_a_commit_whose_answer_was_lost_does_not_stop_the_order_for_ever() -> None:
    desk, orders = slow_desk()
    await desk.bought()
    orders.lost_commits = 1
    with pytest.raises(CommitUnknown):
        await close_all(desk)
    await desk.reconciler.run(BROKER)
    desk.clock.advance(1)  # what was never sent counts as a failed attempt
    await close_all(desk)
    assert await desk.at_venue() is None
    assert (await desk.position()).closed_at is not None


@pytest.mark.parametrize("nth", range(6))
async def test_whichever_commit_of_an_entry_loses_its_answer_record_and_venue_agree_after_reconciliation(
    nth: int,
) -> None:
    desk, orders = slow_desk()
    writes = 0

    def turns() -> int:
        return 1

    real = orders._committed

    async def committed() -> None:
        nonlocal writes
        writes += 1
        if writes == nth + 1:
            orders.lost_commits = 1
        await real()

    orders.turns, orders._committed = turns, committed  # type: ignore[method-assign]
    try:
        await desk.bought()
    except CommitUnknown:
        await desk.restart()
    for _ in range(4):
        await desk.reconciler.run(BROKER)
        desk.clock.advance(60)
    venue = await desk.at_venue()
    ours = {each.entry_order_id: each.quantity for each in desk.book.positions()}
    assert ours == ({} if venue is None else {venue.entry_order_id: venue.quantity})
    assert all(not each.state.is_terminal for each in desk.book.orders())
    assert {each.state for each in desk.book.orders()} <= {OrderState.WORKING}


async def test_exits_work_while_the_journal_fails() -> None:
    desk = Desk()
    await desk.bought()
    desk.broken_journal = True
    await close_all(desk)
    assert await desk.at_venue() is None
    assert (await desk.position()).closed_at is not None


class TellingWhileStoring(SlowOrders):
    """While the intent of a close is stored, the venue tells that somebody else has closed the position."""

    desk: Desk | None = None

    async def record_intent(
        self, orders: Sequence[Order], *, signal_id: SignalId | None, position: Position | None = None
    ) -> bool:
        stored = await super().record_intent(orders, signal_id=signal_id, position=position)
        if self.desk is not None and orders[0].role is OrderRole.EXIT:
            desk, self.desk = self.desk, None
            desk.venue.close_by_other(ClientOrderId("by-hand"), ENTRY, Decimal(10))
            desk.clock.advance(10)
            for _ in range(3):
                await desk.reconciler.run(BROKER)
                desk.clock.advance(3)
            assert (await desk.position()).closed_at is not None
        return stored


async def test_a_close_of_what_has_ended_while_its_intent_was_stored_is_not_sent() -> None:
    # Arrange
    clock = ManualClock(START)
    orders = TellingWhileStoring(clock, lambda: 0)
    orders.desk = desk = Desk(orders=orders, clock=clock, venue=TRADIER)
    await desk.bought()

    # Act
    close = await close_all(desk)

    # Assert
    assert close.state is OrderState.DENIED
    assert [each.client_order_id for each in desk.broker.placed] == [ENTRY]


class RevivingWhileStoring(SlowOrders):
    """While the intent of the second attempt is stored, a late fill tells that the first one lives."""

    desk: Desk | None = None
    first: Order | None = None

    async def record_intent(
        self, orders: Sequence[Order], *, signal_id: SignalId | None, position: Position | None = None
    ) -> bool:
        stored = await super().record_intent(orders, signal_id=signal_id, position=position)
        if self.desk is not None and self.first is not None:
            first, self.first = self.first, None
            await self.desk.tracker.revive(first, "filled in part after all")
        return stored


async def test_a_second_attempt_at_a_target_is_not_sent_if_the_first_one_lives_after_all() -> None:
    # Arrange
    clock = ManualClock(START)
    orders = RevivingWhileStoring(clock, lambda: 0)
    orders.desk = desk = Desk(orders=orders, clock=clock, venue=TRADIER)
    await desk.bought()
    desk.broker.place_faults.append(Fault.REJECTED)
    orders.first = await desk.engine.reduce(await desk.position(), Decimal(5), None, "TARGET_1")
    desk.clock.advance(60)

    # Act
    second = await desk.engine.reduce(await desk.position(), Decimal(5), None, "TARGET_1")

    # Assert
    assert second.state is OrderState.DENIED
    assert second.client_order_id not in [each.client_order_id for each in desk.broker.placed]


# What happens while an entry waits in its adapter: for its turn, a quote, a login.


async def refused_while_it_waits(desk: Desk) -> tuple[Order, Position]:
    await desk.bought()
    return await desk.order(ENTRY), await desk.position()


async def test_an_entry_that_waits_when_the_kill_switch_is_pressed_never_leaves() -> None:
    # Arrange
    desk = Desk()
    halt = KillState(level=KillLevel.HALT, by="ada", cause=KillCause.PAGE, reason="looks wrong", at=START)
    desk.broker.before_placing = lambda: desk.stores.kills.set(halt)

    # Act
    entry, position = await refused_while_it_waits(desk)

    # Assert
    assert (entry.state, position.is_pending, position.closed_at) == (OrderState.DENIED, False, START)
    assert position.exit_reason.startswith("NOT_OPENED: kill switch: HALT")
    assert await desk.at_venue() is None


async def test_an_entry_that_waits_longer_than_it_is_valid_never_leaves() -> None:
    desk = Desk()

    async def wait() -> None:
        desk.clock.advance((approved_order().valid_until - START).total_seconds() + 1)

    desk.broker.before_placing = wait

    entry, position = await refused_while_it_waits(desk)

    assert entry.state is OrderState.DENIED
    assert "not sent by" in position.exit_reason
    assert await desk.at_venue() is None


async def test_an_entry_is_not_sent_where_nobody_answers_whether_it_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk()
    monkeypatch.setattr("bot.layer3_execution.engine._LAST_WORD_S", 0)

    async def never() -> list[KillState]:
        return await asyncio.Future()

    async def the_database_falls_silent() -> None:
        desk.stores.kills.active = never  # type: ignore[method-assign]

    desk.broker.before_placing = the_database_falls_silent

    entry, position = await refused_while_it_waits(desk)

    assert entry.state is OrderState.DENIED
    assert "was not answered" in position.exit_reason
    assert await desk.at_venue() is None
