"""Answers to differences, carried out against a venue that has more, less or other than our record."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from bot.database.memory_answers import MemoryAnswers
from bot.differences import Answer, AnswerKind, AnswerState, Difference, DifferenceKind
from bot.errors import BrokerUnavailable, OrderFateUnknown
from bot.models import ClientOrderId, OrderKind, OrderState
from tests.builders import EUR_USD, START, approved_order, plan
from tests.fakes.awkward_broker import Fault
from tests.unit.layer3_execution.desk import BROKER, Desk
from tests.unit.layer3_execution.venues import FUTURES, TRADIER

FOREIGN = ClientOrderId("foreign:4711")
ADOPT, IGNORE, FLATTEN = AnswerKind.ADOPT, AnswerKind.IGNORE, AnswerKind.FLATTEN


async def by_hand(desk: Desk, **changes: Any) -> None:
    """Somebody buys 10 in the venue's own app."""
    name = {"client_order_id": FOREIGN, "stop_order_id": ClientOrderId("foreign:4712"), **changes}
    await desk.venue.place(approved_order(**name))


async def difference(desk: Desk) -> Difference:
    """The only one, as it is now."""
    (found,) = (await desk.reconciler.run(BROKER)).differences
    return found


async def answered(desk: Desk, kind: AnswerKind, found: Difference | None = None) -> Answer:
    """Give an answer as the command line does, without carrying it out."""
    found = found or await difference(desk)
    return await desk.stores.answers.give(
        Answer(
            broker_id=BROKER,
            difference_id=found.id,
            fingerprint=found.fingerprint,
            kind=kind,
            about=found.kind,
            subject=found.subject,
            says=f"{found.kind.value} {found.theirs}",
            by="ada",
            at=START,
        )
    )


async def newest(desk: Desk) -> Answer:
    return (await desk.stores.answers.recent(1))[0]


async def outcome(desk: Desk) -> tuple[AnswerState, str]:
    found = await newest(desk)
    return found.state, found.outcome


async def venue_quantity(desk: Desk) -> Decimal:
    return sum((each.quantity for each in await desk.venue.positions()), Decimal(0))


# --------------------------------------------------------------------------------------------------- foreign positions


async def test_a_foreign_position_is_told_in_the_very_comparison_that_sees_it_and_counted() -> None:
    desk = Desk()
    await by_hand(desk)
    found = await difference(desk)
    assert (found.kind, found.counts, found.ours, found.theirs) == (
        DifferenceKind.FOREIGN_POSITION,
        True,
        "nothing",
        "long 10 at 100",
    )
    assert desk.incidents() == ["fill of an unknown order", "foreign position"]
    (stake,) = desk.reconciler.foreign.all()
    assert (stake.symbol, stake.quantity, stake.price, stake.value_per_point) == (
        EUR_USD,
        Decimal(10),
        Decimal(100),
        Decimal(1),
    )


@pytest.mark.parametrize("stop", [None, Decimal(98)], ids=["bare", "with a stop"])
async def test_a_foreign_position_has_no_bound_unless_a_stop_rests_for_it_or_a_person_leaves_it_alone(
    stop: Decimal | None,
) -> None:
    desk = Desk()
    await by_hand(desk)
    (theirs,) = await desk.venue.positions()
    desk.broker.stale_positions = (replace(theirs, stop_price=stop),)
    await answered(desk, IGNORE)
    (before,) = desk.reconciler.foreign.all()

    await desk.answers.attend()
    await desk.reconciler.run(BROKER)

    (after,) = desk.reconciler.foreign.all()
    assert (before.is_unbounded, after.is_unbounded) == (stop is None, False)


async def test_nothing_is_done_to_a_foreign_position_without_an_answer() -> None:
    desk = Desk()
    await by_hand(desk)
    for _ in range(5):
        await desk.reconciler.run(BROKER)
        await desk.guard.verify(BROKER)
        await desk.answers.attend()
        desk.clock.advance(120)
    assert (desk.broker.placed, desk.broker.cancelled, desk.broker.stops_placed) == ([], [], [])
    assert await venue_quantity(desk) == 10


async def test_an_adopted_position_keeps_the_stop_that_rests_for_it_and_is_managed() -> None:
    desk = Desk()
    await by_hand(desk)
    await answered(desk, ADOPT)
    assert await desk.answers.attend() == (BROKER,)
    assert await outcome(desk) == (AnswerState.DONE, "adopted with a stop at 98")
    assert (await desk.reconciler.run(BROKER)).clean
    assert desk.reconciler.foreign.all() == ()
    (ours,) = desk.book.positions()
    await desk.price(97)
    closed = await desk.stores.orders.position(ours.id)
    assert (closed.exit_reason, closed.realised) == ("STOP", Decimal(-30))


async def test_an_adopted_position_without_a_stop_gets_one_by_config() -> None:
    desk = Desk()
    await by_hand(desk)
    await desk.broker.lose_stop(FOREIGN)
    await answered(desk, ADOPT)
    await desk.answers.attend()
    await desk.guard.verify(BROKER)
    (theirs,) = await desk.venue.positions()
    assert theirs.stop_price == 98  # 2 % below the price of now
    assert theirs.stop_order_id is not None
    assert theirs.stop_order_id.startswith("TBx")


async def test_an_adopted_position_survives_a_restart() -> None:
    desk = Desk()
    await by_hand(desk)
    await answered(desk, ADOPT)
    await desk.answers.attend()
    await desk.restart()
    assert (await desk.reconciler.run(BROKER)).clean
    assert [each.quantity for each in desk.book.positions()] == [10]


async def test_an_ignored_position_blocks_nothing_and_stays_counted_also_after_a_restart() -> None:
    desk = Desk()
    await by_hand(desk)
    await answered(desk, IGNORE)
    await desk.answers.attend()
    await desk.restart()
    await desk.answers.load()
    told = len(desk.incidents())
    report = await desk.reconciler.run(BROKER)
    assert report.clean
    assert report.differences[0].ignored_by.startswith("ada")
    assert len(desk.reconciler.foreign.all()) == 1
    assert len(desk.incidents()) == told
    assert await venue_quantity(desk) == 10


async def test_an_ignored_position_that_grows_is_asked_about_again() -> None:
    desk = Desk()
    await by_hand(desk)
    await answered(desk, IGNORE)
    await desk.answers.attend()
    (theirs,) = await desk.venue.positions()
    desk.broker.stale_positions = (replace(theirs, quantity=Decimal(20)),)
    assert not (await desk.reconciler.run(BROKER)).clean


async def test_what_was_ignored_may_be_flattened_later() -> None:
    desk = Desk()
    await by_hand(desk)
    await answered(desk, IGNORE)
    await desk.answers.attend()
    await answered(desk, FLATTEN)
    await desk.answers.attend()
    assert await outcome(desk) == (AnswerState.DONE, "closed")
    assert await desk.at_venue() is None


async def test_a_flattened_position_is_closed_once_reduce_only_and_with_an_intent_of_its_own() -> None:
    desk = Desk()
    await by_hand(desk)
    await answered(desk, FLATTEN)
    await desk.answers.attend()
    await desk.answers.attend()
    (close,) = desk.broker.placed
    assert close.client_order_id.startswith("TBx")
    assert (await desk.order(close.client_order_id)).reason == "ANSWERED_FLATTEN"
    assert await desk.at_venue() is None
    assert desk.book.positions() == ()
    assert (await desk.reconciler.run(BROKER)).clean


async def test_a_flatten_whose_answer_is_lost_ends_when_its_fill_is_told() -> None:
    desk = Desk()
    await by_hand(desk)
    await answered(desk, FLATTEN)
    desk.broker.hold_fills = True
    desk.broker.place_faults.append(Fault.REPLY_LOST)
    await desk.answers.attend()
    assert (await outcome(desk))[0] is not AnswerState.REFUSED
    desk.broker.hold_fills = False
    await desk.answers.attend()
    assert await outcome(desk) == (AnswerState.DONE, "closed")
    assert len(desk.broker.placed) == 1
    fills, _ = await desk.venue.fills_since("")
    assert [each.quantity for each in fills] == [10, 10]


async def test_where_stops_are_ours_to_size_a_foreign_position_may_only_be_ignored() -> None:
    desk = Desk(venue=FUTURES)
    await by_hand(desk)
    assert (await difference(desk)).answers == (IGNORE,)
    await answered(desk, FLATTEN)
    await desk.answers.attend()
    assert await outcome(desk) == (
        AnswerState.REFUSED,
        "a foreign position is not answered with flatten; possible: ignore",
    )
    assert await venue_quantity(desk) == 10


# ---------------------------------------------------------------------------------------------------------- refusals


async def test_an_answer_to_what_has_gone_is_refused() -> None:
    desk = Desk()
    await by_hand(desk)
    await answered(desk, ADOPT)
    desk.observe(97)
    await desk.answers.attend()
    assert await outcome(desk) == (AnswerState.REFUSED, "the difference no longer exists")


async def test_an_answer_to_what_has_changed_is_refused_and_says_what_it_is_now() -> None:
    desk = Desk()
    await by_hand(desk)
    await answered(desk, FLATTEN)
    (theirs,) = await desk.venue.positions()
    desk.broker.stale_positions = (replace(theirs, quantity=Decimal(20)),)
    await desk.answers.attend()
    state, told = await outcome(desk)
    assert state is AnswerState.REFUSED
    assert "at the venue long 20" in told
    assert desk.broker.placed == []


async def test_an_answer_waits_while_the_venue_does_not_answer() -> None:
    desk = Desk()
    await by_hand(desk)
    await answered(desk, FLATTEN)
    desk.broker.failing.add("positions")
    await desk.answers.attend()
    assert await outcome(desk) == (AnswerState.GIVEN, "")
    desk.broker.failing.clear()
    await desk.answers.attend()
    assert (await outcome(desk))[0] is AnswerState.DONE


async def test_every_answer_is_in_the_journal_with_who_gave_it() -> None:
    desk = Desk()
    await by_hand(desk)
    await answered(desk, IGNORE)
    await desk.answers.attend()
    (entry,) = [each for each in desk.journal if each.kind == "answer"]
    assert (entry.data["by"], entry.data["subject"]) == ("ada", FOREIGN)


# -------------------------------------------------------------------------------------------------------- mismatches


async def mismatched(quantity: str) -> tuple[Desk, Difference]:
    """Our fills say 10; the venue really has another quantity, because somebody has traded beside us."""
    desk = Desk()
    await desk.bought()
    position = desk.venue._books[EUR_USD].positions[approved_order().client_order_id]
    position.quantity = Decimal(quantity)
    for _ in range(2):
        await desk.reconciler.run(BROKER)
        desk.clock.advance(10)
    return desk, await difference(desk)


@pytest.mark.parametrize("quantity", ["7", "12"])
async def test_the_venues_quantity_is_adopted(quantity: str) -> None:
    desk, found = await mismatched(quantity)
    assert found.answers == (ADOPT, IGNORE, FLATTEN)
    await answered(desk, ADOPT, found)
    await desk.answers.attend()
    await desk.guard.verify(BROKER)
    assert (await desk.position()).quantity == Decimal(quantity)
    assert (await desk.reconciler.run(BROKER)).clean
    assert await venue_quantity(desk) == Decimal(quantity)


async def test_a_fill_on_its_way_is_no_mismatch_and_is_not_answered() -> None:
    desk = Desk()
    desk.broker.hold_fills = True
    await desk.bought()
    found = await difference(desk)
    assert (found.kind, found.answers) == (DifferenceKind.MISSING_FILL, ())


async def test_a_mismatched_position_is_flattened_whole() -> None:
    desk, found = await mismatched("12")
    (stake,) = desk.reconciler.foreign.all()
    assert stake.quantity == 2
    await answered(desk, FLATTEN, found)
    await desk.answers.attend()
    assert await desk.at_venue() is None
    assert (await desk.position()).exit_reason == "ANSWERED_FLATTEN"


# ------------------------------------------------------------------------------------------------------------ orders


async def test_a_foreign_order_is_cancelled_when_a_person_says_flatten() -> None:
    desk = Desk()
    desk.venue.pause(EUR_USD)
    await by_hand(desk)
    await answered(desk, FLATTEN)
    await desk.answers.attend()
    assert await outcome(desk) == (AnswerState.DONE, "CANCELED at the venue")
    assert await desk.venue.open_orders() == ()


async def test_a_cancel_without_an_answer_is_tried_again() -> None:
    desk = Desk()
    desk.venue.pause(EUR_USD)
    await by_hand(desk)
    await answered(desk, FLATTEN)
    desk.broker.cancel_faults.append(Fault.REQUEST_LOST)
    with pytest.raises(OrderFateUnknown):
        await desk.answers.attend()
    await desk.answers.attend()
    assert await outcome(desk) == (AnswerState.DONE, "CANCELED at the venue")


async def test_a_cancel_that_the_venue_refuses_ends_its_answer_with_the_reason() -> None:
    desk = Desk()
    desk.venue.pause(EUR_USD)
    await by_hand(desk)
    await answered(desk, FLATTEN)
    desk.broker.cancel_faults.append(Fault.REJECTED)

    await desk.answers.attend()

    state, says = await outcome(desk)
    assert (state, len(await desk.venue.open_orders())) == (AnswerState.REFUSED, 1)
    assert says.startswith("the venue does not cancel it: MARKET_HALTED; answer again later")


async def test_a_stop_of_ours_that_bears_the_number_of_a_foreign_order_is_left_alone() -> None:
    desk = Desk(venue=TRADIER)
    await desk.bought()
    (stop,) = await desk.venue.protective_orders()
    given = await answered(desk, FLATTEN, foreign_order(number=stop.venue_order_id))
    assert await desk.stores.answers.begin(given.number)

    await desk.answers.attend()

    assert await outcome(desk) == (AnswerState.DONE, "not working at the venue any more")
    assert await desk.venue.protective_orders() == (stop,)


def foreign_order(*, number: str) -> Difference:
    """As it was told; by now it is gone."""
    return Difference(
        id="k3xq7n",
        fingerprint="k3xq7n",
        broker_id=BROKER,
        kind=DifferenceKind.FOREIGN_ORDER,
        symbol=EUR_USD,
        subject=number,
        ours="nothing",
        theirs="buy 10",
        says="",
        seen_at=START,
        checks=1,
        counts=True,
        answers=(AnswerKind.IGNORE, FLATTEN),
    )


async def orphaned() -> Desk:
    """An entry of ours works at the venue, and our record has never heard of it."""
    desk = Desk()
    limit = {"kind": OrderKind.LIMIT, "limit_price": Decimal(99)}
    await desk.venue.place(approved_order(plan=plan(), **limit))
    return desk


async def test_an_orphan_order_is_adopted_with_the_position_it_will_open() -> None:
    desk = await orphaned()
    assert (await difference(desk)).kind is DifferenceKind.ORPHAN_ORDER
    await answered(desk, ADOPT)
    await desk.answers.attend()
    assert (await desk.order(approved_order().client_order_id)).state is OrderState.WORKING
    await desk.price(99)
    await desk.reconciler.run(BROKER)
    (ours,) = desk.book.positions()
    assert (ours.quantity, ours.entry_price) == (Decimal(10), Decimal(99))
    assert (await desk.reconciler.run(BROKER)).clean


async def test_an_orphan_order_is_cancelled_when_a_person_says_flatten() -> None:
    desk = await orphaned()
    await answered(desk, FLATTEN)
    await desk.answers.attend()
    assert await desk.venue.open_orders() == ()
    assert (await desk.reconciler.run(BROKER)).clean


async def test_one_silent_venue_keeps_no_answer_of_another_waiting() -> None:
    desk = Desk()
    desk.venue.pause(EUR_USD)
    await by_hand(desk)
    found = await difference(desk)
    await answered(desk, FLATTEN, found)
    await answered(desk, IGNORE, replace(found, fingerprint="another"))
    desk.broker.cancel_faults.append(Fault.UNREACHABLE)
    with pytest.raises(BrokerUnavailable):
        await desk.answers.attend()
    assert await outcome(desk) == (AnswerState.REFUSED, (await newest(desk)).outcome)


# ------------------------------------------------------------------------------------------------------------- crashes


class Killed(BaseException):
    """kill -9: nothing of the process goes on after it."""


class FragileAnswers(MemoryAnswers):
    """An answer store whose process may die before and after each write."""

    def __init__(self, boundary: Any) -> None:
        super().__init__()
        self._boundary = boundary

    async def begin(self, number: int) -> bool:
        self._boundary()
        begun = await super().begin(number)
        self._boundary()
        return begun

    async def end(self, number: int, **what: Any) -> None:
        self._boundary()
        await super().end(number, **what)
        self._boundary()


@pytest.mark.parametrize("kind", [ADOPT, FLATTEN])
@pytest.mark.parametrize("what", ["position", "order", "mismatch"])
async def test_killed_after_any_step_of_an_answer_the_next_start_carries_it_to_its_end_once(
    kind: AnswerKind, what: str
) -> None:
    dies_at = 0
    while True:
        life = Life(dies_at)
        desk = life.desk
        await life.disagree(what)
        found = await difference(desk)
        await answered(desk, kind, found)
        survived = await life.carry_out()
        life.left = None
        await desk.restart()
        await desk.answers.load()
        await desk.reconciler.run(BROKER)
        for _ in range(4):  # what was on its way when it was killed is proven absent after two minutes
            await desk.answers.attend()
            await desk.reconciler.run(BROKER)
            desk.clock.advance(60)
        await desk.guard.verify(BROKER)

        assert (await outcome(desk))[0] is AnswerState.DONE, f"killed at boundary {dies_at}"
        assert (await desk.reconciler.run(BROKER)).clean, f"killed at boundary {dies_at}"
        open_at_venue = {each.entry_order_id: each.quantity for each in await desk.venue.positions()}
        ours = {each.entry_order_id: each.quantity for each in desk.book.positions() if each.is_open}
        assert ours == open_at_venue, f"killed at boundary {dies_at}"
        assert bool(open_at_venue) == (kind is ADOPT and what != "order")
        assert len({each.client_order_id for each in desk.broker.placed}) == len(desk.broker.placed)
        if survived:
            break
        dies_at += 1
    assert dies_at > 5


class Life:
    """A desk whose process dies after so many requests to stores and venue."""

    def __init__(self, dies_at: int) -> None:
        self.left: int | None = None
        self.dies_at = dies_at
        self.desk = Desk()
        self.desk.stores.answers = FragileAnswers(self.boundary)
        self.desk.build()

    def boundary(self) -> int:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Killed
        return 0

    async def disagree(self, what: str) -> None:
        desk = self.desk
        if what == "position":
            await by_hand(desk)
        elif what == "order":
            await desk.venue.place(approved_order(kind=OrderKind.LIMIT, limit_price=Decimal(99)))
        else:
            await desk.bought()
            desk.venue._books[EUR_USD].positions[approved_order().client_order_id].quantity = Decimal(12)
            for _ in range(2):
                await desk.reconciler.run(BROKER)
                desk.clock.advance(10)

    async def carry_out(self) -> bool:
        """False if the process was killed in it."""
        self.desk.broker.latency = self.boundary
        self.left = self.dies_at
        try:
            await self.desk.answers.attend()
        except Killed:
            return False
        finally:
            self.left = None
        return True
