"""One suite over both backends of the stores: what PostgreSQL answers, memory answers."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from decimal import Decimal

import pytest

from bot.database.memory import MemoryStores
from bot.database.postgres import PostgresStores
from bot.errors import IllegalTransition, NotFound
from bot.instruments import BINANCE, OANDA
from bot.interfaces import Stores
from bot.models import ClientOrderId, OrderRole, OrderState, OutcomeVerdict, PositionId, SignalId, TaskId, TaskState
from tests.contract.store_builders import (
    EUR_USD,
    account_state,
    at,
    closed,
    entry_of_journal,
    fill,
    filled,
    order,
    outcome,
    pending,
    position,
    setup,
    signal_record,
    snapshot,
    stop_order,
    task,
)
from tests.postgres import Databases, shared_databases

S = OrderState


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    with shared_databases(tmp_path_factory) as made:
        yield made


@pytest.fixture(params=["memory", "postgresql"])
async def stores(request: pytest.FixtureRequest) -> AsyncIterator[Stores]:
    if request.param == "memory":
        yield MemoryStores()
        return
    databases: Databases = request.getfixturevalue("databases")
    async with databases.pool() as pool:
        yield PostgresStores(pool)


# ------------------------------------------------------------------------------------------------------------ signals


async def test_a_signal_comes_back_with_every_finding_as_it_was_measured(stores: Stores) -> None:
    assert await stores.signals.record(signal_record())
    assert await stores.signals.get(SignalId("s1")) == signal_record()


async def test_a_signal_without_direction_prices_claim_or_findings_comes_back_too(stores: Stores) -> None:
    # Arrange
    record = signal_record(findings=())
    bare = replace(record.signal, direction=None, entry=None, stop_loss=None, targets=(), claim=None)
    record = replace(record, signal=bare)

    # Act
    await stores.signals.record(record)

    # Assert
    assert await stores.signals.recent(1) == [record]


async def test_a_signal_recorded_twice_is_left_as_it_was(stores: Stores) -> None:
    await stores.signals.record(signal_record())
    assert not await stores.signals.record(signal_record(status="ordered", findings=()))
    assert await stores.signals.get(SignalId("s1")) == signal_record()


async def test_status_and_reason_of_a_signal_can_change_and_nothing_else_does(stores: Stores) -> None:
    await stores.signals.record(signal_record())
    await stores.signals.update_status(SignalId("s1"), "ordered", "buy 1000")
    assert await stores.signals.get(SignalId("s1")) == signal_record(status="ordered", reason="buy 1000")


async def test_a_signal_that_was_never_recorded_is_not_found(stores: Stores) -> None:
    with pytest.raises(NotFound, match="signal s9"):
        await stores.signals.get(SignalId("s9"))
    with pytest.raises(NotFound, match="signal s9"):
        await stores.signals.update_status(SignalId("s9"), "ordered", "")


async def test_recent_signals_are_the_newest_by_decision_and_of_equal_ones_the_last_by_id(stores: Stores) -> None:
    for name, minutes in (("b", 5), ("A", 5), ("c", 1), ("a", 5)):
        await stores.signals.record(signal_record(name, minutes=minutes))
    newest = [each.signal.id for each in await stores.signals.recent(3)]
    assert newest == ["b", "a", "A"]


async def test_signals_are_counted_by_status(stores: Stores) -> None:
    for name, status in (("a", "vetoed"), ("b", "ordered"), ("c", "vetoed")):
        await stores.signals.record(signal_record(name, status=status))
    assert await stores.signals.counts() == {"ordered": 1, "vetoed": 2}


# ------------------------------------------------------------------------------------------------------------ intents


async def test_an_intent_is_stored_with_its_first_event(stores: Stores) -> None:
    # Act
    stored = await stores.orders.record_intent((order(), stop_order(reason="protects")), signal_id=SignalId("s1"))

    # Assert
    assert stored
    assert await stores.orders.order(ClientOrderId("o1")) == order()
    assert await stores.orders.unfinished_orders() == [order(), stop_order(reason="protects")]
    assert await stores.orders.order_events(ClientOrderId("o1")) == [(at(0), "", "INTENT", "intent")]
    assert await stores.orders.order_events(ClientOrderId("o1s")) == [(at(0), "", "INTENT", "protects")]


async def test_an_intent_with_a_known_id_stores_none_of_its_orders(stores: Stores) -> None:
    # Arrange
    await stores.orders.record_intent((order("o1"),), signal_id=SignalId("s1"))

    # Act
    again = (order("o0", signal="s2"), stop_order("o1"))
    stored = await stores.orders.record_intent(again, signal_id=SignalId("s2"), position=pending("p2", entry="o0"))

    # Assert
    assert not stored
    assert await stores.orders.recent_orders(9) == [order("o1")]
    assert await stores.orders.order_events(ClientOrderId("o0")) == []
    assert await stores.orders.open_positions() == []


async def test_a_signal_gets_one_entry_whatever_its_orders_are_called(stores: Stores) -> None:
    await stores.orders.record_intent((order("o1"),), signal_id=SignalId("s1"))
    assert not await stores.orders.record_intent((order("o2"),), signal_id=SignalId("s1"))
    assert not await stores.orders.record_intent((order("o3"),), signal_id=None), "the order's own signal counts too"
    assert [each.client_order_id for each in await stores.orders.recent_orders(9)] == ["o1"]


async def test_two_entries_of_one_signal_in_one_call_are_refused(stores: Stores) -> None:
    assert not await stores.orders.record_intent((order("o1"), order("o2")), signal_id=SignalId("s1"))
    assert await stores.orders.recent_orders(9) == []


async def test_two_orders_of_one_name_in_one_call_are_refused(stores: Stores) -> None:
    assert not await stores.orders.record_intent((order("o1"), stop_order("o1")), signal_id=SignalId("s1"))
    assert await stores.orders.recent_orders(9) == []


async def test_an_exit_is_not_blocked_by_the_entry_of_its_signal(stores: Stores) -> None:
    await stores.orders.record_intent((order("o1"),), signal_id=SignalId("s1"))
    exit_order = order("x1", role=OrderRole.EXIT, minutes=5)
    assert await stores.orders.record_intent((exit_order,), signal_id=None)


async def test_whatever_is_asked_for_a_signal_that_has_its_entry_is_refused(stores: Stores) -> None:
    await stores.orders.record_intent((order("o1"),), signal_id=SignalId("s1"))
    assert not await stores.orders.record_intent((stop_order("o2"),), signal_id=SignalId("s1"))
    assert [each.client_order_id for each in await stores.orders.recent_orders(9)] == ["o1"]


async def test_entries_without_a_signal_do_not_exclude_each_other(stores: Stores) -> None:
    assert await stores.orders.record_intent((order("o1", signal=None),), signal_id=None)
    assert await stores.orders.record_intent((order("o2", signal=None),), signal_id=None)


async def test_the_pending_position_is_stored_with_the_intent_and_keeps_its_plan(stores: Stores) -> None:
    await stores.orders.record_intent((order(),), signal_id=SignalId("s1"), position=pending())
    assert await stores.orders.open_positions() == [pending()]
    assert await stores.orders.position(PositionId("p1")) == pending()


async def test_an_intent_whose_position_is_known_stores_nothing_and_leaves_the_position(stores: Stores) -> None:
    # Arrange
    await stores.orders.record_intent((order(),), signal_id=SignalId("s1"), position=pending())

    # Act
    second = order("o2", signal="s2")
    stored = await stores.orders.record_intent(
        (second,), signal_id=SignalId("s2"), position=pending("p1", entry="o2", targets_hit=1)
    )

    # Assert
    assert not stored
    assert await stores.orders.recent_orders(9) == [order()]
    assert await stores.orders.position(PositionId("p1")) == pending()


async def test_a_pending_position_of_an_order_that_is_not_recorded_is_refused(stores: Stores) -> None:
    with pytest.raises(NotFound):
        await stores.orders.record_intent((order(),), signal_id=SignalId("s1"), position=pending(entry="o9"))
    assert await stores.orders.recent_orders(9) == []


async def test_of_two_entries_for_one_signal_at_once_one_wins(stores: Stores) -> None:
    # Act
    both = await asyncio.gather(
        *(
            stores.orders.record_intent((order(name), stop_order(f"{name}s")), signal_id=SignalId("s1"))
            for name in ("oa", "ob", "oc", "od")
        )
    )

    # Assert
    assert sorted(both) == [False, False, False, True]
    assert len(await stores.orders.recent_orders(9)) == 2


async def test_the_same_intent_twice_at_once_is_stored_once(stores: Stores) -> None:
    orders = (order("o2"), order("o1", role=OrderRole.STOP))
    both = await asyncio.gather(
        stores.orders.record_intent(orders, signal_id=SignalId("s1")),
        stores.orders.record_intent(tuple(reversed(orders)), signal_id=SignalId("s1")),
    )
    assert sorted(both) == [False, True]


# -------------------------------------------------------------------------------------------------------- transitions


async def test_a_transition_moves_the_order_and_appends_its_cause(stores: Stores) -> None:
    # Arrange
    await stores.orders.record_intent((order(reason="TARGET"),), signal_id=SignalId("s1"))

    # Act
    name = ClientOrderId("o1")
    await stores.orders.transition(name, expected=S.INTENT, state=S.SENDING, cause="send", at=at(1))
    await stores.orders.transition(
        name, expected=S.SENDING, state=S.WORKING, cause="ack", at=at(2), venue_order_id="v7"
    )
    await stores.orders.transition(name, expected=S.WORKING, state=S.CANCELED, cause="by hand", at=at(3))

    # Assert
    after = order(reason="TARGET", state=S.CANCELED, updated_at=at(3), venue_order_id="v7")
    assert await stores.orders.order(name) == after
    assert (await stores.orders.order_events(name))[1:] == [
        (at(1), "INTENT", "SENDING", "send"),
        (at(2), "SENDING", "WORKING", "ack"),
        (at(3), "WORKING", "CANCELED", "by hand"),
    ]


async def test_a_transition_can_bring_new_terms_that_the_venue_agreed_to(stores: Stores) -> None:
    await stores.orders.record_intent((order("o1"),), signal_id=None)
    before = await stores.orders.order(ClientOrderId("o1"))

    await stores.orders.transition(
        ClientOrderId("o1"),
        expected=S.INTENT,
        state=S.INTENT,
        cause="resized",
        at=at(1),
        quantity=Decimal(7),
        price=Decimal("1.0765"),
    )

    after = await stores.orders.order(ClientOrderId("o1"))
    assert after == replace(before, quantity=Decimal(7), price=Decimal("1.0765"), updated_at=at(1))


async def test_orders_presumed_never_placed_are_found_by_broker_and_instant_until_they_arrive(stores: Stores) -> None:
    for name, minute in (("o1", 1), ("o2", 3), ("o3", 2)):
        await stores.orders.record_intent((order(name, signal=None),), signal_id=None)
        await stores.orders.transition(
            ClientOrderId(name), expected=S.INTENT, state=S.NOT_PLACED, cause="absent", at=at(minute)
        )

    found = await stores.orders.not_placed_since(OANDA, at(2))
    assert [each.client_order_id for each in found] == ["o3", "o2"]
    assert await stores.orders.not_placed_since(BINANCE, at(0)) == []

    await stores.orders.transition(ClientOrderId("o3"), expected=S.NOT_PLACED, state=S.WORKING, cause="late", at=at(4))
    assert [each.client_order_id for each in await stores.orders.not_placed_since(OANDA, at(0))] == ["o1", "o2"]


async def test_an_order_that_moved_meanwhile_is_not_moved_again(stores: Stores) -> None:
    # Arrange
    name = ClientOrderId("o1")
    await stores.orders.record_intent((order(),), signal_id=SignalId("s1"))
    await stores.orders.transition(name, expected=S.INTENT, state=S.SENDING, cause="send", at=at(1))

    # Act
    with pytest.raises(IllegalTransition, match="order o1 is SENDING, not INTENT"):
        await stores.orders.transition(name, expected=S.INTENT, state=S.DENIED, cause="stale", at=at(2))

    # Assert
    assert (await stores.orders.order(name)).state is S.SENDING
    assert len(await stores.orders.order_events(name)) == 2


async def test_of_two_moves_at_once_one_wins(stores: Stores) -> None:
    # Arrange
    name = ClientOrderId("o1")
    await stores.orders.record_intent((order(),), signal_id=SignalId("s1"))

    # Act
    both = await asyncio.gather(
        stores.orders.transition(name, expected=S.INTENT, state=S.SENDING, cause="send", at=at(1)),
        stores.orders.transition(name, expected=S.INTENT, state=S.DENIED, cause="stale", at=at(1)),
        return_exceptions=True,
    )

    # Assert
    assert [type(each) for each in both if each is not None] == [IllegalTransition]
    assert len(await stores.orders.order_events(name)) == 2


async def test_an_order_that_was_never_recorded_is_not_found(stores: Stores) -> None:
    name = ClientOrderId("o9")
    with pytest.raises(NotFound, match="order o9"):
        await stores.orders.order(name)
    with pytest.raises(NotFound, match="order o9"):
        await stores.orders.transition(name, expected=S.INTENT, state=S.SENDING, cause="send", at=at(1))
    assert await stores.orders.order_events(name) == []


@pytest.mark.parametrize("state", list(OrderState))
async def test_every_state_can_be_stored_and_is_unfinished_unless_it_is_terminal(
    stores: Stores, state: OrderState
) -> None:
    await stores.orders.record_intent((order(),), signal_id=SignalId("s1"))
    await stores.orders.transition(ClientOrderId("o1"), expected=S.INTENT, state=state, cause="test", at=at(1))
    assert bool(await stores.orders.unfinished_orders()) is not state.is_terminal
    assert await stores.orders.order_counts() == {state.value: 1}


async def test_orders_of_a_position_are_oldest_first_and_recent_ones_newest_first(stores: Stores) -> None:
    # Arrange
    for name, minutes in (("c", 2), ("a", 1), ("B", 2), ("b", 2)):
        await stores.orders.record_intent((order(name, signal=None, minutes=minutes),), signal_id=None)
    other = order("z", signal=None, position_id=PositionId("p2"))
    await stores.orders.record_intent((other,), signal_id=None)

    # Act
    of_position = [each.client_order_id for each in await stores.orders.orders_of(PositionId("p1"))]
    recent = [each.client_order_id for each in await stores.orders.recent_orders(3)]

    # Assert
    assert of_position == ["a", "B", "b", "c"]
    assert recent == ["c", "b", "B"]
    assert await stores.orders.orders_of(PositionId("p9")) == []


# -------------------------------------------------------------------------------------------------------------- fills


async def test_a_fill_moves_order_and_position_with_it(stores: Stores) -> None:
    # Arrange
    await stores.orders.record_intent((order(),), signal_id=SignalId("s1"), position=pending())

    # Act
    applied = await stores.orders.record_fill(fill(), order=filled(order(), venue_order_id="v1"), position=position())

    # Assert
    assert applied
    assert await stores.orders.order(ClientOrderId("o1")) == filled(order(), venue_order_id="v1")
    assert await stores.orders.open_positions() == [position()]
    events = await stores.orders.order_events(ClientOrderId("o1"))
    assert events[1:] == [(at(1), "INTENT", "FILLED", "fill f1 (market)")]


async def test_a_fill_that_is_known_changes_nothing(stores: Stores) -> None:
    # Arrange
    await stores.orders.record_intent((order(),), signal_id=SignalId("s1"))
    await stores.orders.record_fill(fill(), order=filled(order()), position=position())

    # Act
    doubled = replace(filled(order()), filled_quantity=Decimal(2000), state=S.PARTIAL)
    again = await stores.orders.record_fill(fill(), order=doubled, position=position(quantity=Decimal(2000)))

    # Assert
    assert not again
    assert await stores.orders.order(ClientOrderId("o1")) == filled(order())
    assert await stores.orders.position(PositionId("p1")) == position()
    assert len(await stores.orders.order_events(ClientOrderId("o1"))) == 2


async def test_one_fill_told_twice_at_once_is_applied_once(stores: Stores) -> None:
    await stores.orders.record_intent((order(),), signal_id=SignalId("s1"))
    both = await asyncio.gather(
        *(stores.orders.record_fill(fill(), order=filled(order()), position=position()) for _ in range(3))
    )
    assert sorted(both) == [False, False, True]
    assert len(await stores.orders.order_events(ClientOrderId("o1"))) == 2


async def test_fills_of_one_name_at_two_brokers_are_two_fills(stores: Stores) -> None:
    await stores.orders.record_intent((order(),), signal_id=SignalId("s1"))
    assert await stores.orders.record_fill(fill(), order=filled(order()), position=position())
    assert await stores.orders.record_fill(fill(broker_id=BINANCE), order=filled(order()), position=position())


async def test_a_fill_that_keeps_the_state_adds_no_event(stores: Stores) -> None:
    # Arrange
    await stores.orders.record_intent((order(),), signal_id=SignalId("s1"))
    partial = filled(order(), state=S.PARTIAL, filled_quantity=Decimal(400))
    await stores.orders.record_fill(fill("f1", quantity=Decimal(400)), order=partial, position=position())

    # Act
    more = replace(partial, filled_quantity=Decimal(700))
    await stores.orders.record_fill(fill("f2", quantity=Decimal(300)), order=more, position=position())

    # Assert
    assert await stores.orders.order(ClientOrderId("o1")) == more
    assert [each[2] for each in await stores.orders.order_events(ClientOrderId("o1"))] == ["INTENT", "PARTIAL"]


async def test_a_fill_after_the_end_and_beyond_the_quantity_is_stored(stores: Stores) -> None:
    # Arrange
    name = ClientOrderId("o1")
    await stores.orders.record_intent((order(),), signal_id=SignalId("s1"))
    await stores.orders.transition(name, expected=S.INTENT, state=S.CANCELED, cause="test", at=at(1))

    # Act
    overfilled = filled(order(), filled_quantity=Decimal(1500))
    applied = await stores.orders.record_fill(fill(quantity=Decimal(1500)), order=overfilled, position=position())

    # Assert
    assert applied
    assert await stores.orders.order(name) == overfilled


async def test_a_fill_of_an_order_that_was_never_recorded_is_refused_and_can_be_told_again(stores: Stores) -> None:
    # Arrange
    with pytest.raises(NotFound):
        await stores.orders.record_fill(fill(), order=filled(order()), position=position())

    # Act
    await stores.orders.record_intent((order(),), signal_id=SignalId("s1"))

    # Assert
    assert await stores.orders.record_fill(fill(), order=filled(order()), position=position())


async def test_a_fill_whose_position_cannot_be_stored_is_not_stored_either(stores: Stores) -> None:
    # Arrange
    await stores.orders.record_intent((order(),), signal_id=SignalId("s1"))
    with pytest.raises(NotFound):
        await stores.orders.record_fill(fill(), order=filled(order()), position=position(entry="o9"))

    # Act, assert
    assert await stores.orders.order(ClientOrderId("o1")) == order()
    assert await stores.orders.record_fill(fill(), order=filled(order()), position=position())


async def test_entry_price_and_exit_price_stand_beside_each_other(stores: Stores) -> None:
    # Arrange
    await stores.orders.record_intent((order(), stop_order()), signal_id=SignalId("s1"))
    await stores.orders.record_fill(fill(), order=filled(order()), position=position())

    # Act
    exit_price = Decimal("1.0745")
    stopped = filled(stop_order(), filled_price=exit_price)
    after = closed(exit_price=exit_price)
    await stores.orders.record_fill(fill("f2", order_name="o1s", price=exit_price), order=stopped, position=after)

    # Assert
    found = await stores.orders.position(PositionId("p1"))
    assert (found.entry_price, found.exit_price) == (Decimal("1.0801"), Decimal("1.0745"))
    assert (await stores.orders.order(ClientOrderId("o1"))).filled_price == Decimal("1.0801")
    assert (await stores.orders.order(ClientOrderId("o1s"))).filled_price == Decimal("1.0745")


# ---------------------------------------------------------------------------------------------------------- positions


async def test_a_saved_position_comes_back_as_it_was(stores: Stores) -> None:
    await stores.orders.record_intent((order(),), signal_id=SignalId("s1"), position=pending())
    bare = replace(pending().plan, break_even_target=None, break_even_fraction=None, trail=None, deadline=None)
    changed = position(plan=bare, best_price=Decimal("1.0999"), trailing=True, stop_order_id=ClientOrderId("o1s2"))
    await stores.orders.save_position(changed)
    assert await stores.orders.position(PositionId("p1")) == changed


async def test_a_position_of_an_order_that_was_never_recorded_is_refused(stores: Stores) -> None:
    with pytest.raises(NotFound):
        await stores.orders.save_position(position())
    with pytest.raises(NotFound, match="position p1"):
        await stores.orders.position(PositionId("p1"))


async def test_closed_positions_are_newest_first_without_those_that_never_opened(stores: Stores) -> None:
    # Arrange
    await stores.orders.record_intent((order(),), signal_id=SignalId("s1"))
    never_opened = pending("n", closed_at=at(99), exit_reason="NOT_FILLED")
    for each in (closed("b", minutes=5), closed("a", minutes=5), closed("c", minutes=1), position("p"), never_opened):
        await stores.orders.save_position(each)

    # Act
    newest = await stores.orders.closed_positions(2)

    # Assert
    assert [each.id for each in newest] == ["b", "a"]
    assert await stores.orders.closed_count() == 3
    assert [each.id for each in await stores.orders.open_positions()] == ["p"]


async def test_open_positions_are_oldest_first(stores: Stores) -> None:
    await stores.orders.record_intent((order(),), signal_id=SignalId("s1"))
    for name, minutes in (("b", 2), ("c", 1), ("a", 2)):
        await stores.orders.save_position(position(name, opened_at=at(minutes)))
    assert [each.id for each in await stores.orders.open_positions()] == ["c", "a", "b"]


async def test_a_position_that_a_late_fill_opens_again_is_no_longer_closed(stores: Stores) -> None:
    # Arrange
    await stores.orders.record_intent((order(),), signal_id=SignalId("s1"))
    await stores.orders.save_position(closed())

    # Act
    await stores.orders.save_position(position())

    # Assert
    assert await stores.orders.closed_positions(9) == []
    assert await stores.orders.open_positions() == [position()]
    assert await stores.orders.realised_since(OANDA, at(0)) == 0


async def test_results_count_after_fees_from_the_instant_on_and_for_one_broker(stores: Stores) -> None:
    # Arrange
    await stores.orders.record_intent((order(),), signal_id=SignalId("s1"))
    for each in (
        closed("before", minutes=9.99, result="100"),
        closed("at", minutes=10, result="-7.5"),
        closed("after", minutes=11, result="2.25"),
        closed("elsewhere", minutes=11, result="50", broker_id=BINANCE),
        position("open", realised=Decimal(33)),
    ):
        await stores.orders.save_position(each)

    # Act, assert: two fees of 0.02
    assert await stores.orders.realised_since(OANDA, at(10)) == Decimal("-5.29")
    assert await stores.orders.realised_since(OANDA, at(12)) == 0


async def test_a_fill_cursor_is_empty_at_first_and_then_the_last_one_of_its_broker(stores: Stores) -> None:
    await stores.orders.save_fill_cursor(OANDA, "17")
    await stores.orders.save_fill_cursor(OANDA, "23")
    assert await stores.orders.fill_cursor(OANDA) == "23"
    assert await stores.orders.fill_cursor(BINANCE) == ""


# ------------------------------------------------------------------------------- ----------- outcomes and snapshots


async def test_an_outcome_is_replaced_by_signal_and_counted_when_done(stores: Stores) -> None:
    # Arrange
    await stores.outcomes.save(outcome("s2", minutes=1))
    await stores.outcomes.save(outcome("s1"))

    # Act
    done = outcome("s2", minutes=1, done=True, verdict=OutcomeVerdict.TARGET_HIT, r=2.2, checkpoints={})
    await stores.outcomes.save(done)

    # Assert
    assert await stores.outcomes.unfinished() == [outcome("s1")]
    assert await stores.outcomes.recent(9) == [done, outcome("s1")]
    assert await stores.outcomes.count() == 1


async def test_several_outcomes_are_saved_in_one_call_and_none_is_no_work(stores: Stores) -> None:
    await stores.outcomes.save(outcome("s1"))
    await stores.outcomes.save()
    await stores.outcomes.save(outcome("s1", done=True), outcome("s2", minutes=1))
    assert await stores.outcomes.recent(9) == [outcome("s2", minutes=1), outcome("s1", done=True)]
    assert await stores.outcomes.unfinished() == [outcome("s2", minutes=1)]


async def test_unfinished_outcomes_are_oldest_first_and_recent_ones_newest_first(stores: Stores) -> None:
    for name, minutes in (("b", 2), ("c", 1), ("a", 2)):
        await stores.outcomes.save(outcome(name, minutes=minutes))
    assert [each.signal_id for each in await stores.outcomes.unfinished()] == ["c", "a", "b"]
    assert [each.signal_id for each in await stores.outcomes.recent(2)] == ["b", "a"]


async def test_the_latest_snapshot_is_the_newest_and_of_equal_ones_the_last_added(stores: Stores) -> None:
    assert await stores.snapshots.latest() is None
    for each in (snapshot(2, "1"), snapshot(2, "2"), snapshot(1, "3")):
        await stores.snapshots.append(each)
    assert await stores.snapshots.latest() == snapshot(2, "2")
    assert await stores.snapshots.since(at(0), 9) == [snapshot(1, "3"), snapshot(2, "1"), snapshot(2, "2")]


async def test_the_latest_snapshot_tells_each_account_and_a_curve_does_not(stores: Stores) -> None:
    # Arrange
    accounts = (account_state(OANDA, "4000.10", minutes=2.5), account_state(BINANCE, "-0.30", minutes=-9000))
    whole = replace(snapshot(3), accounts=accounts)

    # Act
    await stores.snapshots.append(replace(snapshot(2), accounts=accounts[:1]))
    await stores.snapshots.append(whole)

    # Assert
    assert await stores.snapshots.latest() == whole
    assert await stores.snapshots.since(at(0), 9) == [snapshot(2), snapshot(3)]


@pytest.mark.parametrize("limit", [1, 2, 3, 6, 7, 8, 100])
async def test_thinned_snapshots_are_as_many_as_allowed_and_end_with_the_newest(stores: Stores, limit: int) -> None:
    # Arrange
    for minute in range(8):
        await stores.snapshots.append(snapshot(minute))

    # Act
    thinned = await stores.snapshots.since(at(1), limit)

    # Assert
    assert len(thinned) == min(limit, 7)
    assert thinned[-1] == snapshot(7)
    assert [each.at for each in thinned] == sorted({each.at for each in thinned})


# -------------------------------------------------------------------------------------------- setups, tasks, journal


async def test_a_new_setup_ends_the_live_one_of_its_symbol_only(stores: Stores) -> None:
    # Arrange
    await stores.setups.put(setup("s1"))
    await stores.setups.put(setup("g1", symbol="GBP_USD"))

    # Act
    await stores.setups.put(setup("s2", minutes=240))

    # Assert
    assert await stores.setups.live(EUR_USD) == setup("s2", minutes=240)
    superseded = replace(setup("s1"), ended_as="superseded", ended_at=at(240))
    assert await stores.setups.recent(9) == [setup("s2", minutes=240), superseded, setup("g1", symbol="GBP_USD")]


async def test_a_setup_put_again_after_its_end_does_not_come_back_to_life(stores: Stores) -> None:
    await stores.setups.put(setup("s1"))
    await stores.setups.put(setup("s2", minutes=1))
    await stores.setups.put(setup("s1"))
    assert await stores.setups.live(EUR_USD) == setup("s2", minutes=1)


async def test_a_setup_ends_once(stores: Stores) -> None:
    await stores.setups.put(setup("s1"))
    await stores.setups.end(SignalId("s1"), "consumed", at(5))
    await stores.setups.end(SignalId("s1"), "expired", at(6))
    assert await stores.setups.live(EUR_USD) is None
    assert await stores.setups.recent(1) == [replace(setup("s1"), ended_as="consumed", ended_at=at(5))]
    with pytest.raises(NotFound, match="setup s9"):
        await stores.setups.end(SignalId("s9"), "expired", at(6))


async def test_setups_put_at_once_leave_one_alive(stores: Stores) -> None:
    await asyncio.gather(*(stores.setups.put(setup(f"s{number}")) for number in range(4)))
    alive = [each for each in await stores.setups.recent(9) if each.ended_at is None]
    assert alive == [await stores.setups.live(EUR_USD)]


async def test_a_task_is_stored_once_and_then_left_as_it_is(stores: Stores) -> None:
    await stores.tasks.ensure([task("b"), task("A")])
    await stores.tasks.ensure([replace(task("b"), parameters={}), task("a")])
    assert await stores.tasks.all() == [task("A"), task("a"), task("b")]


async def test_a_task_is_run_or_not_and_a_later_start_leaves_it_so(stores: Stores) -> None:
    await stores.tasks.ensure([task("a")])
    await stores.tasks.set_state(TaskId("a"), TaskState.PAUSED)
    await stores.tasks.ensure([task("a")])
    assert await stores.tasks.get(TaskId("a")) == replace(task("a"), state=TaskState.PAUSED)
    with pytest.raises(NotFound, match="task z"):
        await stores.tasks.set_state(TaskId("z"), TaskState.RUNNING)
    with pytest.raises(NotFound, match="task z"):
        await stores.tasks.get(TaskId("z"))


async def test_what_each_task_did_is_known_in_one_question(stores: Stores) -> None:
    # Arrange
    await stores.tasks.ensure([task(), task("idle")])
    for number, minutes in enumerate((-1, 0, 30)):
        await stores.signals.record(signal_record(f"s{number}", minutes=minutes))
    await stores.setups.put(setup("expired", minutes=-2000, symbol="GBP_USD"))
    await stores.setups.put(setup("ended", minutes=0))
    await stores.setups.put(setup("live", minutes=30))

    # Act
    busy, idle = await stores.tasks.activity(at(0), at(60))

    # Assert
    assert (busy.task_id, busy.signals, busy.live_setups) == (task().id, 2, 1)
    assert (idle.task_id, idle.signals, idle.live_setups) == (TaskId("idle"), 0, 0)


async def test_the_journal_tells_the_newest_entry_first_in_the_order_of_appending(stores: Stores) -> None:
    entries = [entry_of_journal(1, minutes=5), entry_of_journal(2, minutes=1), entry_of_journal(3, minutes=3)]
    for each in entries:
        await stores.journal.append(each)
    newest = await stores.journal.recent(2)
    assert [each.entry for each in newest] == [entries[2], entries[1]]
    assert [each.entry for each in await stores.journal.recent(9)] == entries[::-1]
    assert await stores.journal.recent(0) == []


async def test_the_journal_goes_on_before_the_last_entry_that_was_read(stores: Stores) -> None:
    entries = [entry_of_journal(number, minutes=9 - number) for number in range(5)]
    for each in entries:
        await stores.journal.append(each)

    first = await stores.journal.recent(2)
    second = await stores.journal.recent(2, before=first[-1].number)
    rest = await stores.journal.recent(9, before=second[-1].number)

    assert [each.entry for each in (*first, *second, *rest)] == entries[::-1]
    assert await stores.journal.recent(9, before=rest[-1].number) == []


async def test_stores_that_work_say_so_and_can_be_closed(stores: Stores) -> None:
    await stores.check()
    await stores.close()
