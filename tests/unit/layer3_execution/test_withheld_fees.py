"""B15: a spot venue keeps its fee of what was bought, so that less can be sold than was filled."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

import pytest

from bot.layer1_data.broker_interface import VenueOrder
from bot.layer3_execution.exits import ExitState, target_quantity
from bot.models import OrderState
from tests.builders import plan, position
from tests.fakes.awkward_broker import Fault
from tests.unit.layer3_execution.desk import BROKER, Desk
from tests.unit.layer3_execution.venues import SPOT

D = Decimal
WITHHOLDS: Final = replace(SPOT, withheld_ratio=D("0.04"))  # of 10 bought 9.6 are ours, and 9 can be sold


async def open_desk(**options: Any) -> Desk:
    desk = Desk(venue=WITHHOLDS, **options)
    await desk.bought()
    return desk


def test_a_target_closes_whole_steps_of_what_fees_have_left_uneven() -> None:
    uneven = replace(position(), first_quantity=D("9.6"), quantity=D(9))

    assert target_quantity(plan(), ExitState.of(uneven), 1) == 4


def test_a_second_target_counts_what_the_first_one_closed_and_not_what_is_below_a_step() -> None:
    half_way = replace(position(), first_quantity=D("9.6"), quantity=D(5), targets_hit=1)
    thirds = plan(targets=tuple(replace(each, fraction=D("0.4")) for each in (*plan().targets, plan().targets[0])))

    assert target_quantity(thirds, ExitState.of(half_way), 2) == 3  # four fifths of 9.6 are 7, of which 4 are closed


async def test_the_stop_is_as_large_as_what_can_be_sold() -> None:
    desk = await open_desk()

    (stop,) = await desk.venue.protective_orders()
    now = await desk.position()

    assert (now.first_quantity, now.quantity, stop.quantity) == (D("9.6"), D(9), D(9))


async def test_a_target_is_taken_at_once_and_the_stop_follows() -> None:
    desk = await open_desk()

    await desk.price(104)
    await desk.guard.verify(BROKER)

    (target,) = await desk.exits()
    (stop,) = await desk.venue.protective_orders()
    assert (target.state, target.filled_quantity, stop.quantity) == (OrderState.FILLED, D(4), D(5))


async def test_what_a_fee_leaves_below_one_step_stays_behind_is_told_and_is_not_open() -> None:
    desk = await open_desk()

    await desk.price(97)

    now = await desk.position()
    (closed,) = [each for each in desk.journal if each.kind == "position_closed"]
    assert await desk.at_venue() is None
    assert (now.is_open, Decimal(str(closed.data["left_behind"]))) == (False, D("0.6"))
    report = await desk.reconciler.run(BROKER)
    assert report.clean


async def test_an_entry_whose_first_part_is_less_than_a_step_after_the_fee_goes_on() -> None:
    # Arrange: one by one; of the first one 0.96 are left, which nobody can sell
    desk = await open_desk(liquidity=D(1))
    assert (await desk.position()).quantity == 0

    # Act
    for _ in range(9):
        await desk.price(100)
    await desk.guard.verify(BROKER)

    # Assert
    (stop,) = await desk.venue.protective_orders()
    assert ((await desk.position()).quantity, stop.quantity) == (D(9), D(9))
    assert desk.incidents() == []


async def test_an_entry_that_ends_with_less_than_a_step_leaves_no_position_that_waits_for_ever() -> None:
    desk = await open_desk(liquidity=D(1))
    assert (await desk.position()).is_pending
    await desk.venue.cancel(desk.broker.placed[0].client_order_id)

    for _ in range(2):
        await desk.reconciler.run(BROKER)

    now = await desk.position()
    assert (now.is_pending, now.closed_at is None) == (False, False)
    assert list(desk.book.positions()) == []


async def test_a_close_is_in_whole_steps_although_a_fill_is_read_after_the_venue_said_what_is_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Arrange: 4 of 10 are bought and told, 4 more are told only when no larger stop was taken, twice
    desk = await open_desk(liquidity=D(4))
    desk.observe(100)
    desk.broker.hold_fills = True
    desk.broker.stop_faults.extend([Fault.REJECTED] * 2)
    listed = desk.broker.protective_orders

    async def listed_and_told() -> Sequence[VenueOrder]:
        if not desk.broker.stop_faults:
            desk.broker.hold_fills = False
            await desk.tracker.collect(BROKER)
        return await listed()

    monkeypatch.setattr(desk.broker, "protective_orders", listed_and_told)

    # Act
    await desk.guard.verify(BROKER)

    # Assert: 7.68 are held
    assert [each.quantity for each in await desk.exits()] == [D(7)]
