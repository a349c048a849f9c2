"""Acts of persons on single positions and entries, over an awkward venue."""

from datetime import timedelta
from decimal import Decimal

import pytest

from bot.errors import BrokerUnavailable, NotFound
from bot.layer3_execution.trading_desk import CANCEL_REASON, TradingDesk
from bot.models import ClientOrderId, OrderKind, OrderState, PositionId
from tests.fakes.awkward_broker import Fault
from tests.unit.layer3_execution.desk import Desk
from tests.unit.layer3_execution.test_flatten import flattener_of


def trading(desk: Desk) -> TradingDesk:
    return TradingDesk(
        store=desk.stores.orders,
        book=desk.book,
        engine=desk.engine,
        flattener=flattener_of(desk),
        clock=desk.clock,
    )


async def waiting(desk: Desk) -> ClientOrderId:
    """A limit buy that rests at the venue."""
    order = await desk.bought(kind=OrderKind.LIMIT, limit_price=Decimal(99))
    return order.client_order_id


async def test_a_waiting_entry_is_taken_back_for_the_reason_of_a_person() -> None:
    desk = Desk()
    name = await waiting(desk)
    handled = await trading(desk).cancel(name)
    assert (handled.done, (await desk.order(name)).state) == (True, OrderState.CANCELED)
    assert CANCEL_REASON in [cause for *_, cause in await desk.stores.orders.order_events(name)]
    assert (await desk.position()).exit_reason == f"NOT_OPENED: {CANCEL_REASON}"


async def test_a_fill_that_overtakes_the_cancel_counts_and_the_position_keeps_its_stop() -> None:
    desk = Desk()
    name = await waiting(desk)
    desk.observe("98.5")  # the venue has filled it; nobody here has read that
    handled = await trading(desk).cancel(name)
    assert not handled.done
    assert (await desk.order(name)).state is OrderState.FILLED
    resting = await desk.at_venue()
    assert resting is not None
    assert resting.stop_price is not None


async def test_a_position_whose_entry_still_waits_is_not_closed_and_says_what_to_do() -> None:
    desk = Desk()
    name = await waiting(desk)
    handled = await trading(desk).close((await desk.position()).id)
    assert not handled.done
    assert f"cancel the order {name}" in handled.says


async def test_what_never_was_is_not_found() -> None:
    desk = trading(Desk())
    with pytest.raises(NotFound):
        await desk.close(PositionId("none"))
    with pytest.raises(NotFound):
        await desk.cancel(ClientOrderId("none"))


async def test_one_entry_that_cannot_be_cancelled_is_told_and_a_single_one_raises() -> None:
    desk = Desk()
    name = await waiting(desk)
    desk.broker.cancel_faults += [Fault.UNREACHABLE, Fault.UNREACHABLE]
    (told,) = await trading(desk).cancel_all()
    assert (told.id, told.done) == (name, False)
    with pytest.raises(BrokerUnavailable):
        await trading(desk).cancel(name)


async def test_only_entries_old_enough_are_stale() -> None:
    desk = Desk()
    await waiting(desk)
    desk.clock.advance(59)
    assert list(await trading(desk).cancel_all(older_than=timedelta(seconds=60))) == []
    desk.clock.advance(1)
    (told,) = await trading(desk).cancel_all(older_than=timedelta(seconds=60))
    assert told.done
