"""Our own order path over OANDA: what others do in the same account ends in order here too."""

from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from typing import Final

import pytest
import pytest_asyncio

from bot.clock import ManualClock
from bot.differences import AnswerKind, AnswerState, DifferenceKind
from bot.instruments import Symbol, default_registry
from bot.models import ORDER_ID_PREFIX, ClientOrderId, OrderState, PositionId
from tests.contract.order_path import OrderPath
from tests.contract.test_broker_contract import entry
from tests.contract.test_oanda_faults import EUR_USD, MONDAY, adapter
from tests.fakes.oanda.desk import cancel_order, create_order
from tests.fakes.oanda.server import FakeOanda
from tests.fakes.venue_market import FakeMarket

D = Decimal
OANDA: Final = EUR_USD.broker_id
FIRST: Final = f"{ORDER_ID_PREFIX}p0000000000000001"
SECOND: Final = f"{ORDER_ID_PREFIX}p0000000000000002"


class TradingDesk(OrderPath):
    """One account that holds both directions, and the real order path over the adapter."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock(MONDAY)
        self.market = FakeMarket(default_registry())
        self.market.pin("EUR_USD", "1.10000", "1.10010")
        self.venue = FakeOanda(self.market, self.clock)

    async def open(self) -> None:
        """Nothing moves by itself."""
        self.broker = adapter(await self.venue.start(by_itself=False), order_id_prefix=ORDER_ID_PREFIX)
        self.core = await self.begun(self.broker, EUR_USD, self.clock)

    async def close(self) -> None:
        await self.broker.close()
        await self.venue.close()

    async def bought(self, stem: str, quantity: int) -> None:
        """An entry that is filled and protected."""
        names = {"client_order_id": ClientOrderId(f"{stem}E00"), "stop_order_id": ClientOrderId(f"{stem}S00")}
        valid_until = self.clock.now() + timedelta(minutes=1)
        sent = await self.core.engine.submit(entry(stem, quantity=D(quantity), valid_until=valid_until, **names))
        assert sent.state is OrderState.FILLED, sent.reason

    def closed_by_venue(self, units: int, reason: str) -> None:
        """One order of the venue takes away what is open, trade after trade."""
        book = self.venue.book
        book.begin()
        fields = {"instrument": "EUR_USD", "units": str(-units), "timeInForce": "FOK", "positionFill": "REDUCE_ONLY"}
        order, _ = book.new_order("MARKET", reason, **fields)
        book.execute(order, self.market.quote(Symbol("EUR_USD"), self.clock.now())[0], f"MARKET_ORDER_{reason}")

    def rest_by_hand(self) -> str:
        """Somebody rests an order in the venue's app, which gives it no name; its number."""
        asked = {"type": "LIMIT", "instrument": "EUR_USD", "units": "1000", "price": "1.09000", "timeInForce": "GTC"}
        _, told = create_order(self.venue.book, asked)
        return str(told["orderCreateTransaction"]["id"])


@pytest_asyncio.fixture
async def trading() -> AsyncIterator[TradingDesk]:
    made = TradingDesk()
    await made.open()
    yield made
    await made.close()


@pytest.mark.parametrize("reason", ["POSITION_CLOSEOUT", "MARGIN_CLOSEOUT"])
@pytest.mark.parametrize("quantities", [(1_000, 600), (1_000, 1_000)])
async def test_two_positions_that_one_order_of_the_venue_closes_both_end_with_their_loss(
    trading: TradingDesk, quantities: tuple[int, int], reason: str
) -> None:
    # Arrange
    await trading.bought(FIRST, quantities[0])
    await trading.bought(SECOND, quantities[1])
    assert len(trading.core.book.positions()) == 2
    trading.clock.advance(60)
    trading.market.pin("EUR_USD", "1.09810", "1.09820")

    # Act
    trading.closed_by_venue(sum(quantities), reason)
    report = await trading.core.reconciler.run(OANDA)

    # Assert
    assert report.clean
    ended = [await trading.stores.orders.position(PositionId(each)) for each in (FIRST, SECOND)]
    assert [each.exit_reason for each in ended] == ["CLOSED_BY_HAND", "CLOSED_BY_HAND"]
    assert [each.realised for each in ended] == [D("-0.002") * each for each in quantities]
    assert await trading.stores.orders.realised_since(OANDA, MONDAY) == D("-0.002") * sum(quantities)


async def test_of_two_positions_of_which_one_order_closes_one_and_a_part_only_that_one_ends(
    trading: TradingDesk,
) -> None:
    await trading.bought(FIRST, 1_000)
    await trading.bought(SECOND, 600)

    trading.closed_by_venue(1_200, "POSITION_CLOSEOUT")
    report = await trading.core.reconciler.run(OANDA)

    assert [(each.kind.value, each.subject) for each in report.differences] == [("quantity mismatch", f"{SECOND}E00")]
    assert [each.id for each in trading.core.book.positions()] == [SECOND]


async def test_an_order_of_somebody_else_is_cancelled_by_its_number_when_a_person_says_flatten(
    trading: TradingDesk,
) -> None:
    trading.rest_by_hand()
    (found,) = (await trading.core.reconciler.run(OANDA)).differences

    await trading.answer(found, AnswerKind.FLATTEN, trading.clock)
    await trading.core.answers.attend()

    assert (found.kind, found.answers) == (DifferenceKind.FOREIGN_ORDER, (AnswerKind.IGNORE, AnswerKind.FLATTEN))
    (answer,) = await trading.stores.answers.recent(1)
    assert (answer.state, answer.outcome) == (AnswerState.DONE, "CANCELED at the venue")
    assert await trading.broker.open_orders() == ()
    assert (await trading.core.reconciler.run(OANDA)).clean


async def test_a_foreign_order_that_was_cancelled_in_the_venues_app_meanwhile_needs_no_cancel(
    trading: TradingDesk,
) -> None:
    number = trading.rest_by_hand()
    (found,) = (await trading.core.reconciler.run(OANDA)).differences
    await trading.answer(found, AnswerKind.FLATTEN, trading.clock)

    cancel_order(trading.venue.book, number)
    await trading.core.answers.attend()

    (answer,) = await trading.stores.answers.recent(1)
    assert (answer.state, answer.outcome) == (AnswerState.REFUSED, "the difference no longer exists")
