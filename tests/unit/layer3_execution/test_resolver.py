"""Orders of unknown fate are asked for between comparisons: soon, one question each, ever more seldom."""

from contextlib import suppress
from decimal import Decimal

from bot.clock import ManualClock
from bot.errors import CommitUnknown
from bot.models import OrderState
from tests.builders import START, approved_order
from tests.fakes.awkward_broker import Fault
from tests.fakes.slow_orders import SlowOrders
from tests.unit.layer3_execution.desk import BROKER, Desk
from tests.unit.layer3_execution.venues import TRADIER

ENTRY = approved_order().client_order_id


async def bought_without_an_answer(*faults: Fault) -> Desk:
    desk = Desk()
    desk.broker.place_faults.extend(faults)
    await desk.bought()
    desk.broker.asked.clear()
    return desk


async def test_an_order_whose_reply_was_lost_is_known_within_seconds() -> None:
    desk = await bought_without_an_answer(Fault.REPLY_LOST)
    assert (await desk.order(ENTRY)).state is OrderState.UNKNOWN
    desk.clock.advance(5)

    is_known = await desk.reconciler.resolve(BROKER)

    assert (is_known, (await desk.order(ENTRY)).state) == (True, OrderState.FILLED)


async def test_what_was_sent_a_moment_ago_is_not_asked_for_yet() -> None:
    desk = await bought_without_an_answer(Fault.REPLY_LOST)
    desk.clock.advance(4)

    assert not await desk.reconciler.resolve(BROKER)
    assert desk.broker.asked == []


async def test_where_every_fate_is_known_nothing_is_asked() -> None:
    desk = Desk()
    await desk.bought()
    desk.broker.asked.clear()
    desk.clock.advance(60)

    assert not await desk.reconciler.resolve(BROKER)
    assert desk.broker.asked == []


async def test_an_order_that_was_never_there_is_asked_for_ever_more_seldom_until_that_is_proven() -> None:
    # Arrange
    desk = await bought_without_an_answer(Fault.REQUEST_LOST)

    # Act
    asked_at = []
    for second in range(180):
        before = desk.broker.asked.count("find_order")
        await desk.reconciler.resolve(BROKER)
        if desk.broker.asked.count("find_order") > before:
            asked_at.append(second)
        desk.clock.advance(1)

    # Assert
    assert (await desk.order(ENTRY)).state is OrderState.NOT_PLACED
    assert asked_at[:6] == [5, 7, 9, 11, 13, 15]
    assert 10 < len(asked_at) < 25
    assert 120 <= asked_at[-1] - asked_at[0] < 131


class LosesTheSecondAnswer(SlowOrders):
    """The commit right before the first byte is done, and nobody hears of it."""

    writes = 0

    async def _committed(self) -> None:
        self.writes += 1
        self.lost_commits = int(self.writes == 2)
        await super()._committed()


async def test_an_order_that_counts_as_sent_since_a_commit_without_an_answer_is_asked_for_too() -> None:
    # Arrange
    clock = ManualClock(START)
    desk = Desk(orders=LosesTheSecondAnswer(clock, lambda: 0), clock=clock)
    with suppress(CommitUnknown):
        await desk.bought()
    known = desk.book.order(ENTRY)
    assert known is not None
    assert (known.state, (await desk.order(ENTRY)).state) == (OrderState.INTENT, OrderState.SENDING)

    # Act
    for _ in range(130):
        desk.clock.advance(1)
        await desk.reconciler.resolve(BROKER)

    # Assert
    assert (await desk.order(ENTRY)).state is OrderState.NOT_PLACED
    assert desk.book.orders() == ()


async def test_a_close_that_the_venue_cut_down_to_what_it_held_then_holds_up_the_next_one_for_seconds_only() -> None:
    # Arrange: 8 of 10 are there when a close of 10 arrives, and the entry goes on filling
    desk = Desk(liquidity=Decimal(4), venue=TRADIER)
    await desk.bought()
    await desk.price(100)
    cut = await desk.engine.reduce(await desk.position(), Decimal(10), None, "OPERATOR_CLOSE")
    for _ in range(3):
        await desk.price(100)
    assert (await desk.position()).quantity == 2
    assert (await desk.order(cut.client_order_id)).state is OrderState.PARTIAL

    # Act
    desk.clock.advance(5)
    is_known = await desk.reconciler.resolve(BROKER)
    next_close = await desk.engine.reduce(await desk.position(), Decimal(2), None, "OPERATOR_CLOSE")
    await desk.price(100)

    # Assert
    assert (is_known, (await desk.order(cut.client_order_id)).state) == (True, OrderState.CANCELED)
    assert next_close.client_order_id != cut.client_order_id
    assert await desk.at_venue() is None


async def test_a_close_that_works_still_is_asked_for_and_left_alone() -> None:
    desk = Desk(liquidity=Decimal(4), venue=TRADIER)
    await desk.bought()
    for _ in range(2):
        await desk.price(100)
    close = await desk.engine.reduce(await desk.position(), Decimal(10), None, "OPERATOR_CLOSE")
    desk.clock.advance(5)

    is_known = await desk.reconciler.resolve(BROKER)

    assert (is_known, (await desk.order(close.client_order_id)).state) == (False, OrderState.PARTIAL)
