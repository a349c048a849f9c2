"""A wall clock that somebody sets (faults C1, C2): nothing waits longer for it, and nothing is protected later."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from bot.clock import ManualClock
from bot.layer3_execution.pauses import Ages
from bot.models import ClientOrderId, OrderState
from tests.builders import START
from tests.fakes.awkward_broker import Fault
from tests.unit.layer3_execution.desk import BROKER, Desk
from tests.unit.layer3_execution.venues import SPOT

NAME = ClientOrderId("TBsX")


class SteppedClock(ManualClock):
    """A wall clock that is wrong by `step`; monotonic time is not."""

    def __init__(self) -> None:
        super().__init__(START)
        self.step = timedelta(0)

    def now(self) -> datetime:
        return super().now() + self.step


@pytest.mark.parametrize("hours", [-1, 1], ids=["back", "ahead"])
def test_the_age_of_a_row_grows_by_monotonic_time_whatever_is_done_to_the_wall_clock(hours: int) -> None:
    clock = SteppedClock()
    ages = Ages(clock)
    written_at = clock.now()
    clock.advance(2)
    assert ages.of_s(NAME, written_at) == 2
    clock.step = timedelta(hours=hours)
    clock.advance(1)
    assert ages.of_s(NAME, written_at) == 3


def test_a_row_from_the_future_counts_as_old() -> None:
    clock = SteppedClock()
    written_at = clock.now() + timedelta(minutes=59)
    assert Ages(clock).of_s(NAME, written_at) > 86_400


async def test_a_refused_close_is_tried_again_after_its_pause_also_when_the_clock_was_set_back() -> None:
    desk = Desk(clock=(clock := SteppedClock()))
    await desk.bought()
    desk.broker.place_faults.append(Fault.REJECTED)
    position = await desk.position()
    refused = await desk.engine.reduce(position, Decimal(10), None, "UNPROTECTED")
    assert (await desk.engine.reduce(position, Decimal(10), None, "UNPROTECTED")) == refused
    clock.step = timedelta(hours=-1)
    clock.advance(1)
    again = await desk.engine.reduce(position, Decimal(10), None, "UNPROTECTED")
    assert (again.state, await desk.at_venue()) == (OrderState.FILLED, None)


async def test_a_target_that_waits_is_taken_back_after_a_moment_also_when_the_clock_was_set_back() -> None:
    desk = Desk(clock=(clock := SteppedClock()), venue=SPOT, liquidity=Decimal(4))
    await desk.bought()
    for _ in range(2):
        await desk.price(100)
    await desk.price(104)
    await desk.guard.verify(BROKER)
    clock.step = timedelta(hours=-1)
    clock.advance(2)
    desk.observe(103)
    await desk.guard.verify(BROKER)
    assert [each.state for each in await desk.exits()] == [OrderState.CANCELED]
    assert not desk.guard.unprotected.is_open(BROKER)
