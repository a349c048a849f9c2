import asyncio
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest

from bot.differences import ClassCounts, DifferenceKind
from bot.entry_gate import EntryGate
from bot.errors import DatabaseUnavailable
from bot.instruments import Symbol
from bot.layer1_data.brokers.simulated.traits import VenueTraits
from bot.layer3_execution.reconcile_report import ReconcileReport
from bot.models import ClientOrderId, OrderKind, OrderState, ReduceOrder, Side, VenuePosition
from tests.builders import EUR_USD, START, approved_order
from tests.fakes.awkward_broker import Fault
from tests.unit.layer3_execution.desk import BROKER, Desk
from tests.unit.layer3_execution.venues import TRADIER

ENTRY = approved_order().client_order_id
K = DifferenceKind


def kinds(report: ReconcileReport) -> dict[str, DifferenceKind]:
    return {each.subject: each.kind for each in report.differences}


async def rounds(desk: Desk, number: int, *, seconds: float = 60) -> None:
    for _ in range(number):
        await desk.reconciler.run(BROKER)
        desk.clock.advance(seconds)


async def silent(fault: Fault) -> Desk:
    """A desk whose entry got no answer and whose fills are told late."""
    desk = Desk()
    desk.broker.hold_fills = True
    desk.broker.place_faults.append(fault)
    await desk.bought()
    return desk


async def test_an_agreeing_venue_is_clean() -> None:
    desk = Desk()
    await desk.bought()
    report = await desk.reconciler.run(BROKER)
    assert report.clean
    assert not [each for each in desk.journal if each.kind == "reconcile"]


async def test_an_open_position_is_counted_with_its_stop_and_what_is_not_compared_is_not_counted() -> None:
    desk = Desk()
    await desk.bought()
    report = await desk.reconciler.run(BROKER)
    assert report.classes == ClassCounts(entries=0, exits=0, stops=1, positions=1, fills=0, balances=None)
    assert report.matched == 2


async def test_a_working_entry_and_a_working_exit_are_counted_apart() -> None:
    desk = Desk()
    desk.venue.pause(approved_order().symbol)
    await desk.bought()
    waiting = await desk.reconciler.run(BROKER)
    assert waiting.classes == ClassCounts(entries=1, exits=0, stops=0, positions=0, fills=0)
    desk.observe(100)
    filled = await desk.reconciler.run(BROKER)
    assert filled.classes == ClassCounts(entries=0, exits=0, stops=1, positions=1, fills=1)
    desk.venue.pause(approved_order().symbol)
    await desk.engine.reduce(await desk.position(), Decimal(10), None, "TIMEOUT")
    leaving = await desk.reconciler.run(BROKER)
    assert leaving.classes == ClassCounts(entries=0, exits=1, stops=1, positions=1, fills=0)


async def test_what_differs_is_not_counted_as_matched_also_when_it_was_looked_at_twice() -> None:
    desk = await disagreeing(Decimal(7))
    report = await desk.reconciler.run(BROKER)
    assert (report.classes.positions, report.matched) == (0, 1)  # its stop rests as recorded


async def test_an_order_that_the_venue_does_not_show_is_not_counted() -> None:
    desk = Desk()
    desk.venue.pause(approved_order().symbol)
    await desk.bought()
    del desk.venue._orders[ENTRY]
    desk.venue._books[approved_order().symbol].orders.clear()
    report = await desk.reconciler.run(BROKER)
    assert kinds(report) == {ENTRY: K.LOST_ORDER}
    assert report.classes.entries == 0


async def test_an_order_of_unknown_fate_is_not_counted_also_where_the_venue_lists_it() -> None:
    desk = Desk()
    desk.venue.pause(approved_order().symbol)
    desk.broker.place_faults.append(Fault.REPLY_LOST)
    await desk.bought()
    desk.broker.hidden_for = 1  # the look-up does not show it yet
    report = await desk.reconciler.run(BROKER)
    assert kinds(report) == {ENTRY: K.UNKNOWN_FATE}
    assert report.classes.entries == 0
    assert (await desk.reconciler.run(BROKER)).classes.entries == 1


@pytest.mark.parametrize("stop", [None, ClientOrderId("foreign:stop"), ENTRY])
async def test_a_stop_that_rests_for_nobody_we_know_is_not_counted(stop: ClientOrderId | None) -> None:
    desk = Desk()
    await desk.bought()
    venue = await desk.at_venue()
    assert venue is not None
    desk.broker.stale_positions = (replace(venue, stop_order_id=stop),)
    report = await desk.reconciler.run(BROKER)
    assert (report.classes.positions, report.classes.stops) == (1, 0)


@pytest.mark.parametrize(
    ("question", "compared"),
    [
        ("fills_since", ClassCounts()),
        ("positions", ClassCounts(fills=0)),
        ("open_orders", ClassCounts(fills=0, positions=1, stops=1)),
    ],
)
async def test_classes_after_a_question_that_failed_are_not_compared(question: str, compared: ClassCounts) -> None:
    desk = Desk()
    await desk.bought()
    desk.broker.failing.add(question)
    assert (await desk.reconciler.run(BROKER)).classes == compared


async def test_an_order_that_was_taken_although_its_reply_was_lost_is_adopted_with_fill_stop_and_position() -> None:
    desk = await silent(Fault.REPLY_LOST)
    desk.broker.hold_fills = False
    report = await desk.reconciler.run(BROKER)
    assert report.clean
    assert await desk.states() == {"entry": OrderState.FILLED, "stop": OrderState.WORKING}
    assert (await desk.position()).quantity == 10
    await desk.price(97)
    assert (await desk.position()).exit_reason == "STOP"
    assert desk.book.orders() == ()


async def test_an_order_that_is_found_before_its_fill_is_told_waits_for_the_fill() -> None:
    desk = await silent(Fault.REPLY_LOST)
    report = await desk.reconciler.run(BROKER)
    assert not report.clean  # the venue has a position that we do not have yet
    assert (await desk.order(ENTRY)).state is OrderState.WORKING
    desk.broker.hold_fills = False
    assert (await desk.reconciler.run(BROKER)).clean


async def test_two_clean_answers_do_not_prove_absence() -> None:
    desk = await silent(Fault.REQUEST_LOST)
    await rounds(desk, 2, seconds=300)
    assert (await desk.order(ENTRY)).state is OrderState.UNKNOWN


async def test_three_answers_within_two_minutes_do_not_prove_absence() -> None:
    desk = await silent(Fault.REQUEST_LOST)
    desk.clock.advance(3600)  # the silence is old, the answers are not
    await rounds(desk, 6, seconds=20)
    assert (await desk.order(ENTRY)).state is OrderState.UNKNOWN


async def test_three_clean_answers_over_two_minutes_prove_it_and_end_the_pending_position() -> None:
    desk = await silent(Fault.REQUEST_LOST)
    await rounds(desk, 3)
    assert await desk.states() == {"entry": OrderState.NOT_PLACED, "stop": OrderState.NOT_PLACED}
    assert (desk.book.positions(), desk.book.orders()) == ((), ())
    assert (await desk.position()).exit_reason.startswith("NOT_OPENED")
    assert (await desk.reconciler.run(BROKER)).clean


async def test_a_question_that_failed_is_not_an_answer() -> None:
    desk = await silent(Fault.REQUEST_LOST)
    desk.broker.failing.add("find_order")
    await rounds(desk, 20)
    desk.broker.failing.clear()
    await rounds(desk, 2, seconds=30)
    assert (await desk.order(ENTRY)).state is OrderState.UNKNOWN


@pytest.mark.parametrize("question", ["fills_since", "find_order", "positions", "open_orders"])
async def test_a_venue_that_does_not_answer_one_question_is_not_clean_and_not_flat(question: str) -> None:
    desk = await silent(Fault.REPLY_LOST)
    desk.broker.failing.add(question)
    report = await desk.reconciler.run(BROKER)
    assert not report.clean
    assert question in report.error
    assert len(desk.book.positions()) == 1


async def test_an_order_hidden_from_the_look_up_while_its_position_is_shown_is_not_absent() -> None:
    desk = await silent(Fault.REPLY_LOST)
    desk.broker.hidden_for = 100
    await rounds(desk, 10)
    assert (await desk.order(ENTRY)).state is OrderState.WORKING


async def test_an_order_hidden_for_a_while_is_adopted_when_it_appears() -> None:
    desk = await silent(Fault.REPLY_LOST)
    desk.broker.stale_positions = ()
    desk.broker.hidden_for = 2
    await rounds(desk, 3)
    assert (await desk.order(ENTRY)).state is OrderState.WORKING


async def test_a_late_arrival_after_absence_is_an_incident_stops_entries_and_becomes_a_position() -> None:
    desk = await silent(Fault.REQUEST_LOST)
    await rounds(desk, 3)
    await desk.venue.place(approved_order())  # the request arrives after all
    report = await desk.reconciler.run(BROKER)
    assert not report.clean
    assert EntryGate({BROKER: report}).blocked(BROKER)
    desk.broker.hold_fills = False
    assert (await desk.reconciler.run(BROKER)).clean
    assert (await desk.position()).quantity == 10
    assert "fill of an order that had ended" in desk.incidents()
    await desk.price(97)
    assert (await desk.position()).closed_at is not None


async def given_up_and_resting() -> Desk:
    """An entry that was presumed never placed, and then rests at the venue: between candles a market order waits."""
    desk = Desk()
    desk.venue.pause(approved_order().symbol)
    desk.broker.place_faults.append(Fault.REQUEST_LOST)
    await desk.bought()
    await rounds(desk, 3)
    assert (await desk.order(ENTRY)).state is OrderState.NOT_PLACED
    await desk.venue.place(approved_order())
    return desk


async def test_an_entry_that_arrives_after_it_was_given_up_is_taken_back_and_the_gate_opens_again() -> None:
    desk = await given_up_and_resting()
    report = await desk.reconciler.run(BROKER)
    assert await desk.venue.open_orders() == ()
    assert (desk.book.positions(), desk.book.orders()) == ((), ())
    assert [state for _, _, state, _ in await desk.stores.orders.order_events(ENTRY)][-3:] == [
        "WORKING",
        "CANCEL_PENDING",
        "CANCELED",
    ]
    assert "late arrival" in desk.incidents()
    assert report.clean
    assert (await desk.reconciler.run(BROKER)).clean


async def test_a_late_entry_counts_in_full_until_its_cancel_is_answered_and_is_cancelled_again() -> None:
    desk = await given_up_and_resting()
    desk.broker.cancel_faults.append(Fault.REQUEST_LOST)
    assert not (await desk.reconciler.run(BROKER)).clean
    assert [each.is_pending for each in desk.book.positions()] == [True]
    assert (await desk.order(ENTRY)).state is OrderState.CANCEL_PENDING
    assert (await desk.reconciler.run(BROKER)).clean
    assert (await desk.venue.open_orders(), desk.book.positions()) == ((), ())


async def test_a_late_entry_that_fills_before_its_cancel_is_a_protected_position() -> None:
    desk = await given_up_and_resting()
    desk.observe(100)
    await desk.reconciler.run(BROKER)
    report = await desk.reconciler.run(BROKER)
    assert report.clean
    assert (await desk.position()).quantity == 10
    assert await desk.states() == {"entry": OrderState.FILLED, "stop": OrderState.WORKING}
    await desk.price(97)
    assert (await desk.position()).exit_reason == "STOP"
    assert desk.book.orders() == ()


async def test_what_was_presumed_never_placed_is_asked_after_for_a_day_and_not_longer() -> None:
    desk = await silent(Fault.REQUEST_LOST)
    await rounds(desk, 3)
    desk.broker.asked.clear()
    await rounds(desk, 2, seconds=12 * 3600)
    assert desk.broker.asked.count("find_order") == 2
    await rounds(desk, 1)
    assert desk.broker.asked.count("find_order") == 2


async def test_a_late_arrival_whose_fill_is_not_told_yet_keeps_entries_waiting() -> None:
    desk = await silent(Fault.REQUEST_LOST)
    await rounds(desk, 3)
    await desk.venue.place(approved_order())
    desk.broker.stale_positions = ()
    assert kinds(await desk.reconciler.run(BROKER)) == {ENTRY: K.MISSING_FILL}


async def test_a_late_close_is_adopted_while_its_position_is_open() -> None:
    desk = Desk()
    await desk.bought()
    desk.venue.pause(approved_order().symbol)
    desk.broker.place_faults.append(Fault.REQUEST_LOST)
    close = await desk.engine.reduce(await desk.position(), Decimal(10), None, "TIMEOUT")
    await rounds(desk, 3)
    assert (await desk.order(close.client_order_id)).state is OrderState.NOT_PLACED
    await desk.venue.place(desk.broker.placed[-1])
    assert (await desk.reconciler.run(BROKER)).clean
    assert (await desk.order(close.client_order_id)).state is OrderState.WORKING
    await desk.price(100)
    assert (await desk.position()).exit_reason == "TIMEOUT"


async def test_a_close_of_unknown_fate_that_the_venue_does_not_have_is_sent_again_under_another_name() -> None:
    desk = Desk()
    await desk.bought()
    desk.broker.place_faults.append(Fault.REQUEST_LOST)
    first = await desk.engine.reduce(await desk.position(), Decimal(10), None, "UNPROTECTED")
    assert (await desk.engine.reduce(await desk.position(), Decimal(10), None, "UNPROTECTED")) == first
    desk.clock.advance(1)
    second = await desk.engine.reduce(await desk.position(), Decimal(10), None, "UNPROTECTED")
    assert second.client_order_id != first.client_order_id
    assert await desk.at_venue() is None


async def test_a_close_of_unknown_fate_is_not_sent_again_while_the_venue_does_not_answer() -> None:
    desk = Desk()
    await desk.bought()
    desk.broker.place_faults.append(Fault.REQUEST_LOST)
    await desk.engine.reduce(await desk.position(), Decimal(10), None, "UNPROTECTED")
    desk.clock.advance(60)
    desk.broker.failing.add("find_order")
    await desk.engine.reduce(await desk.position(), Decimal(10), None, "UNPROTECTED")
    assert len(desk.broker.placed) == 2


async def test_a_venue_that_throws_old_requests_away_proves_absence_sooner() -> None:
    desk = Desk(venue=VenueTraits(request_expires_after_s=5))
    desk.broker.place_faults.append(Fault.REQUEST_LOST)
    await desk.bought()
    await desk.reconciler.run(BROKER)
    for seconds in (19, 1, 1):  # asked too early, asked once when the slowest request was too old, and too soon again
        desk.clock.advance(seconds)
        await desk.reconciler.run(BROKER)
        assert (await desk.order(ENTRY)).state is OrderState.UNKNOWN
    desk.clock.advance(1)
    await desk.reconciler.run(BROKER)
    assert (await desk.order(ENTRY)).state is OrderState.NOT_PLACED


async def test_an_acknowledged_order_that_vanished_does_not_keep_entries_waiting_for_ever() -> None:
    desk = Desk()
    desk.venue.pause(approved_order().symbol)
    await desk.bought()
    del desk.venue._orders[ENTRY]
    desk.venue._books[approved_order().symbol].orders.clear()
    assert not (await desk.reconciler.run(BROKER)).clean
    await rounds(desk, 3)
    assert (await desk.order(ENTRY)).state is OrderState.CANCELED
    assert (await desk.reconciler.run(BROKER)).clean
    assert (desk.book.positions(), desk.book.orders()) == ((), ())


async def test_an_intent_found_at_start_up_is_never_sent() -> None:
    desk = Desk()
    desk.broker.failing.add("place")
    real = desk.tracker.move

    async def crash(*_: object, **__: object) -> None:
        raise DatabaseUnavailable("gone")

    desk.tracker.move = crash  # type: ignore[method-assign, assignment]
    with pytest.raises(DatabaseUnavailable):
        await desk.bought()
    desk.tracker.move = real  # type: ignore[method-assign]
    await desk.restart()
    report = await desk.reconciler.run(BROKER)
    assert report.clean
    assert desk.broker.placed == []
    assert await desk.states() == {"entry": OrderState.DENIED, "stop": OrderState.DENIED}
    assert desk.book.positions() == ()


async def test_a_crash_between_the_end_of_an_entry_and_the_end_of_its_pending_position_is_made_good() -> None:
    desk = Desk()
    desk.broker.place_faults.append(Fault.REQUEST_LOST)
    await desk.bought()
    await desk.stores.orders.transition(
        ENTRY, expected=OrderState.UNKNOWN, state=OrderState.NOT_PLACED, cause="absent", at=START
    )
    await desk.restart()
    assert (await desk.reconciler.run(BROKER)).clean
    assert (desk.book.positions(), desk.book.orders()) == ((), ())


async def test_a_crash_while_sending_is_resolved_like_silence() -> None:
    desk = Desk()
    desk.broker.held_answers = asyncio.Event()
    sending = asyncio.ensure_future(desk.engine.submit(approved_order()))
    while not desk.broker.placed:
        await desk.clock.sleep(0)
    crashed, desk.broker.held_answers = desk.broker.held_answers, None
    await desk.restart()
    assert (await desk.order(ENTRY)).state is OrderState.SENDING
    assert (await desk.reconciler.run(BROKER)).clean
    assert await desk.states() == {"entry": OrderState.FILLED, "stop": OrderState.WORKING}
    crashed.set()
    await sending


async def test_an_order_in_flight_is_left_alone() -> None:
    desk = Desk()
    desk.broker.hidden_for = 100

    async def reconcile() -> None:
        await rounds(desk, 5)

    desk.broker.before_placing = reconcile
    await desk.bought()
    assert "find_order" not in desk.broker.asked
    assert (await desk.order(ENTRY)).state is OrderState.FILLED


async def test_an_order_sent_while_another_one_is_looked_up_is_seen_as_it_is_now() -> None:
    desk = Desk()
    desk.broker.place_faults.append(Fault.REQUEST_LOST)
    await desk.bought()
    other = approved_order(
        client_order_id=ClientOrderId("TBd9999999999999999E00"),
        stop_order_id=ClientOrderId("TBd9999999999999999S00"),
        position_id="position-2",
        signal_id="signal-2",
        task_id="other",
    )
    gate = asyncio.Event()
    desk.broker.before_placing = gate.wait
    sending = asyncio.ensure_future(desk.engine.submit(other))
    while desk.book.order(other.client_order_id) is None:
        await desk.clock.sleep(0)
    real = desk.broker.find_order

    async def find_order(name: ClientOrderId) -> object:
        gate.set()
        await sending
        return await real(name)

    desk.broker.find_order = find_order  # type: ignore[method-assign, assignment]
    report = await desk.reconciler.run(BROKER)
    assert kinds(report) == {ENTRY: K.UNKNOWN_FATE}
    assert (await desk.order(other.client_order_id)).state is OrderState.FILLED


async def test_an_entry_found_rejected_ends_its_pending_position() -> None:
    desk = Desk()
    desk.broker.place_faults.append(Fault.REPLY_LOST)
    await desk.bought(plan=replace(approved_order().plan, stop=Decimal(101)))  # the venue refuses: wrong side
    await desk.reconciler.run(BROKER)
    assert await desk.states() == {"entry": OrderState.REJECTED, "stop": OrderState.REJECTED}
    assert desk.book.positions() == ()


async def test_an_order_that_ended_at_the_venue_without_a_word_ends_here_too() -> None:
    desk = Desk()
    desk.venue.pause(approved_order().symbol)
    await desk.bought()
    assert (await desk.order(ENTRY)).state is OrderState.WORKING
    await desk.venue.cancel(ENTRY)
    await desk.reconciler.run(BROKER)
    assert await desk.states() == {"entry": OrderState.CANCELED, "stop": OrderState.CANCELED}
    assert desk.book.positions() == ()


async def test_the_rest_of_an_entry_cancelled_by_the_venue_keeps_what_was_filled() -> None:
    desk = Desk(liquidity=Decimal(4))
    await desk.bought()
    await desk.venue.cancel(ENTRY)
    report = await desk.reconciler.run(BROKER)
    assert report.clean
    assert await desk.states() == {"entry": OrderState.CANCELED, "stop": OrderState.WORKING}
    assert (await desk.position()).quantity == 4


async def disagreeing(quantity: Decimal) -> Desk:
    """A desk whose venue tells another quantity than our fills give."""
    desk = Desk()
    await desk.bought()
    venue = await desk.at_venue()
    assert venue is not None
    desk.broker.stale_positions = (replace(venue, quantity=quantity),)
    return desk


async def test_a_quantity_that_differs_stops_entries_of_a_start_at_once() -> None:
    desk = await disagreeing(Decimal(7))
    gate = EntryGate()
    gate.note(await desk.reconciler.run(BROKER))
    assert "quantity mismatch EUR_USD" in gate.blocked(BROKER, EUR_USD)
    assert gate.blocked(BROKER, Symbol("GBP_USD"))


async def test_a_quantity_that_differs_counts_only_when_it_survives_three_checks() -> None:
    desk = await disagreeing(Decimal(7))
    told = []
    for _ in range(3):
        (difference,) = (await desk.reconciler.run(BROKER)).differences
        told.append((difference.checks, difference.counts, bool(difference.answers)))
        desk.clock.advance(10)
    assert told == [(1, False, False), (2, False, False), (3, True, True)]
    assert desk.incidents() == ["quantity mismatch"]


async def test_three_checks_within_a_moment_are_not_enough() -> None:
    desk = await disagreeing(Decimal(7))
    await rounds(desk, 5, seconds=1)
    (difference,) = (await desk.reconciler.run(BROKER)).differences
    assert difference.counts
    again = await disagreeing(Decimal(7))
    await rounds(again, 4, seconds=1)
    (difference,) = (await again.reconciler.run(BROKER)).differences
    assert not difference.counts


async def test_a_quantity_that_changes_begins_its_checks_anew() -> None:
    desk = await disagreeing(Decimal(7))
    await rounds(desk, 3)
    venue = await desk.at_venue()
    assert venue is not None
    desk.broker.stale_positions = (replace(venue, quantity=Decimal(6)),)
    (difference,) = (await desk.reconciler.run(BROKER)).differences
    assert (difference.checks, difference.counts, difference.seen_at) == (1, False, START)


async def test_a_mismatch_of_one_symbol_blocks_no_other_once_the_account_was_clean() -> None:
    desk = await disagreeing(Decimal(7))
    stale, desk.broker.stale_positions = desk.broker.stale_positions, None
    gate = EntryGate()
    gate.note(await desk.reconciler.run(BROKER))
    desk.broker.stale_positions = stale
    await rounds(desk, 3)
    gate.note(await desk.reconciler.run(BROKER))
    assert "quantity mismatch" in gate.blocked(BROKER, EUR_USD)
    assert gate.blocked(BROKER, Symbol("GBP_USD")) == ""
    assert gate.blocked(BROKER)


async def test_an_account_whose_questions_fail_is_blocked_as_a_whole() -> None:
    desk = Desk()
    gate = EntryGate()
    gate.note(await desk.reconciler.run(BROKER))
    assert gate.blocked(BROKER, EUR_USD) == ""
    desk.broker.failing.add("positions")
    gate.note(await desk.reconciler.run(BROKER))
    assert "did not answer" in gate.blocked(BROKER, Symbol("GBP_USD"))
    desk.broker.failing.clear()
    gate.note(await desk.reconciler.run(BROKER))
    assert gate.blocked(BROKER) == ""


async def test_a_position_that_the_venue_no_longer_has_is_lost_and_not_forgotten() -> None:
    desk = Desk()
    await desk.bought()
    desk.broker.stale_positions = ()
    report = await desk.reconciler.run(BROKER)
    assert kinds(report) == {approved_order().position_id: K.LOST_POSITION}
    assert len(desk.book.positions()) == 1


async def test_a_position_that_stays_lost_is_closed_without_a_result_and_told() -> None:
    desk = Desk()
    await desk.bought()
    desk.broker.stale_positions = ()
    await rounds(desk, 2)
    assert len(desk.book.positions()) == 1
    assert (await desk.reconciler.run(BROKER)).clean
    ended = await desk.position()
    assert (ended.exit_reason, ended.quantity, ended.exit_price) == ("CLOSED_AT_VENUE: fills unknown", Decimal(0), None)
    assert desk.book.positions() == ()
    assert "closed at the venue, fills unknown" in desk.incidents()


async def test_a_close_whose_fill_is_told_after_its_position_was_given_up_still_counts() -> None:
    desk = Desk()
    await desk.bought()
    desk.broker.hold_fills = True
    desk.observe(97)
    await rounds(desk, 3)
    assert (await desk.position()).exit_price is None
    desk.broker.hold_fills = False
    assert (await desk.reconciler.run(BROKER)).clean
    ended = await desk.position()
    assert (ended.exit_reason, ended.exit_price, ended.realised) == ("STOP", Decimal(97), Decimal(-30))


async def test_a_position_that_a_person_closed_at_the_venue_ends_with_its_fills_at_once() -> None:
    desk = Desk()
    await desk.bought()
    by_hand = ReduceOrder(
        client_order_id=ClientOrderId("by-hand-1"),
        position_id=approved_order().position_id,
        entry_order_id=ENTRY,
        broker_id=BROKER,
        symbol=EUR_USD,
        side=Side.SELL,
        kind=OrderKind.MARKET,
        quantity=Decimal(10),
        limit_price=None,
        reason="",
    )
    desk.observe(101)
    await desk.venue.place(by_hand)
    assert (await desk.reconciler.run(BROKER)).clean
    ended = await desk.position()
    assert (ended.exit_reason, ended.exit_price, ended.realised) == ("CLOSED_BY_HAND", Decimal(101), Decimal(10))
    assert desk.book.positions() == ()


async def test_a_fill_that_comes_between_two_answers_is_no_difference() -> None:
    desk = Desk()
    await desk.bought()
    venue = await desk.venue.positions()
    desk.observe(97)
    answers: list[Sequence[VenuePosition]] = [venue, ()]

    async def positions() -> Sequence[VenuePosition]:
        return answers.pop(0)

    desk.broker.positions = positions  # type: ignore[method-assign]
    assert (await desk.reconciler.run(BROKER)).clean


async def test_somebody_elses_order_is_told_at_once_counted_and_left_alone() -> None:
    desk = Desk()
    desk.venue.pause(approved_order().symbol)
    stranger = ClientOrderId("by-hand-1")
    await desk.venue.place(approved_order(client_order_id=stranger, stop_order_id=ClientOrderId("by-hand-2")))
    report = await desk.reconciler.run(BROKER)
    await desk.reconciler.run(BROKER)
    assert kinds(report) == {stranger: K.FOREIGN_ORDER}
    assert desk.incidents() == ["foreign order"]  # once
    assert [(each.symbol, each.quantity) for each in desk.reconciler.foreign.all()] == [(EUR_USD, Decimal(10))]
    assert [each.client_order_id for each in await desk.venue.open_orders()] == [stranger]


async def test_one_order_that_cannot_be_moved_does_not_keep_the_others_from_being_resolved() -> None:
    desk = Desk()
    desk.broker.hold_fills = True
    desk.broker.place_faults.extend([Fault.REPLY_LOST, Fault.REPLY_LOST])
    await desk.bought()
    other = approved_order(
        client_order_id=ClientOrderId("TBd9999999999999999E00"),
        stop_order_id=ClientOrderId("TBd9999999999999999S00"),
        position_id="position-2",
        signal_id="signal-2",
    )
    await desk.engine.submit(other)
    await desk.stores.orders.transition(
        ENTRY, expected=OrderState.UNKNOWN, state=OrderState.INTENT, cause="broken row", at=START
    )
    desk.book.put_order(replace(await desk.order(ENTRY), state=OrderState.SENDING))
    report = await desk.reconciler.run(BROKER)
    assert report.orders[ENTRY].kind is K.UNKNOWN_FATE
    assert "order cannot be settled" in desk.incidents()
    assert (await desk.order(other.client_order_id)).state is OrderState.WORKING


async def test_an_order_that_the_store_has_ended_is_not_asked_after_because_the_answer_to_its_commit_was_lost() -> None:
    desk = await silent(Fault.REQUEST_LOST)
    unknown = await desk.order(ENTRY)
    await desk.stores.orders.transition(
        ENTRY, expected=OrderState.UNKNOWN, state=OrderState.REJECTED, cause="MARKET_HALTED", at=START
    )
    assert desk.book.order(ENTRY) == unknown
    desk.broker.asked.clear()
    assert (await desk.reconciler.run(BROKER)).clean
    assert "find_order" not in desk.broker.asked
    assert desk.book.orders() == ()


async def test_what_was_counted_of_an_absent_order_is_forgotten_when_it_is_resolved() -> None:
    desk = await silent(Fault.REQUEST_LOST)
    await rounds(desk, 3)
    assert desk.reconciler._absent == {}
    found = await silent(Fault.REPLY_LOST)
    found.broker.stale_positions = ()
    found.broker.hidden_for = 1
    await rounds(found, 2)
    assert found.reconciler._absent == {}


async def test_clean_answers_without_an_order_count_only_since_it_was_last_found() -> None:
    # Arrange: the list of what works is cut short, and questions by name miss it now and then, hours apart
    desk = Desk()
    desk.venue.pause(approved_order().symbol)
    await desk.bought()
    desk.broker.left_out.add(ENTRY)

    # Act
    for hidden in (1, 1, 0, 1, 0, 1):
        desk.broker.hidden_for = hidden
        await desk.reconciler.run(BROKER)
        desk.clock.advance(3_600)

    # Assert
    assert (await desk.order(ENTRY)).state is OrderState.WORKING


async def test_a_copy_of_an_order_that_has_filled_is_taken_back() -> None:
    # Arrange: a proxy delivers an entry again, to a venue that knows no duplicates; the first one is filled
    desk = Desk(venue=TRADIER)
    approved = await desk.bought(kind=OrderKind.LIMIT, limit_price=Decimal(100))
    desk.observe(101)
    await desk.venue.place(approved)

    # Act
    report = await desk.reconciler.run(BROKER)

    # Assert
    assert (await desk.venue.open_orders(), report.clean) == ((), True)
    assert (await desk.order(approved.client_order_id)).state is OrderState.FILLED
    assert "copy of a filled order" in desk.incidents()


async def test_a_copy_that_has_filled_before_its_cancel_is_told() -> None:
    desk = Desk(venue=TRADIER)
    approved = await desk.bought(kind=OrderKind.LIMIT, limit_price=Decimal(100))
    desk.observe(101)
    await desk.venue.place(approved)
    desk.broker.cancel_faults.append(Fault.REJECTED)
    (difference,) = (await desk.reconciler.run(BROKER)).differences
    assert difference.kind is K.ORPHAN_ORDER
