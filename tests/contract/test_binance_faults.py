"""What the network and Binance do wrong (RELIABILITY 4.1), through the real adapter, ccxt and a real socket."""

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import pytest
import pytest_asyncio

from bot.clock import ManualClock
from bot.errors import BrokerUnavailable, ConfigError, KeyRefused, OrderFateUnknown
from bot.instruments import BINANCE, Symbol, default_registry
from bot.layer1_data.broker_interface import WOULD_TRIGGER
from bot.layer1_data.brokers.binance.adapter import BinanceBroker
from bot.layer1_data.brokers.binance.errors import Fate
from bot.layer1_data.brokers.binance.to_binance import ORDER
from bot.layer1_data.brokers.binance.wire import TIME, Access, Wire
from bot.layer1_data.brokers.limiter import Priority
from bot.models import (
    ApprovedOrder,
    ClientOrderId,
    Direction,
    ExitPlan,
    OrderKind,
    OrderState,
    PositionId,
    ReduceOrder,
    Side,
    SignalId,
    StrategyName,
    TaskId,
    Timeframe,
    VenuePosition,
    client_order_id,
    leg_of,
)
from tests.fakes.binance import KEY, SECRET, FakeBinance, Fault
from tests.fakes.binance_book import WHOLE
from tests.fakes.venue_market import FakeMarket

D = Decimal
START: Final = datetime(2026, 3, 4, 12, tzinfo=UTC)
BTC: Final = default_registry().get("BTC/USDT")
ETH: Final = default_registry().get("ETH/USDT")
ENTRY: Final = client_order_id(
    environment="p",
    account="1",
    strategy="s",
    symbol=BTC.symbol,
    timeframe="1h",
    candle_closed_at=START,
    side=Side.BUY,
    leg="E0",
)
STOP: Final = leg_of(ENTRY, "S1")
EXIT: Final = leg_of(ENTRY, "X0")
BOUGHT: Final = D("0.00999")  # 0.01 less the commission of 0.1 %, which spot takes from what is bought


class Desk:
    """One venue with one account, and adapters to it."""

    def __init__(self) -> None:
        self.clock = ManualClock(START)
        self.market = FakeMarket(default_registry())
        self.venue = FakeBinance(self.market, self.clock)
        self.url = ""
        self._opened: list[BinanceBroker] = []

    def connect(self, **changes: Any) -> BinanceBroker:
        access = Access(environment="testnet", key=KEY, secret=SECRET, url=self.url)
        options: dict[str, Any] = {"timeout_s": 5.0, "patience_s": 0.2, **changes}
        made = BinanceBroker(
            access=replace(access, **options.pop("access", {})),
            instruments=options.pop("instruments", (BTC, ETH)),
            clock=self.clock,
            **options,
        )
        self._opened.append(made)
        return made

    def price(self, bid: str, ask: str) -> None:
        self.market.pin(BTC.symbol, bid, ask)
        self.venue.book.match()

    async def close(self) -> None:
        for each in self._opened:
            await each.close()
        await self.venue.close()


@pytest_asyncio.fixture
async def desk() -> AsyncIterator[Desk]:
    made = Desk()
    made.url = await made.venue.start(matching=False)
    made.price("50000", "50010")
    yield made
    await made.close()


def entry(**changes: object) -> ApprovedOrder:
    plan = ExitPlan(
        direction=Direction.LONG,
        stop=D(str(changes.pop("stop", "49000"))),
        targets=(),
        tick=BTC.tick,
        quantity_step=BTC.quantity_step,
        min_quantity=BTC.min_quantity,
    )
    fields: dict[str, object] = {
        "client_order_id": ENTRY,
        "stop_order_id": leg_of(ENTRY, "S0"),
        "position_id": PositionId("p"),
        "signal_id": SignalId("s"),
        "task_id": TaskId("t"),
        "strategy": StrategyName("s"),
        "broker_id": BINANCE,
        "symbol": BTC.symbol,
        "side": Side.BUY,
        "kind": OrderKind.MARKET,
        "quantity": D("0.01"),
        "limit_price": None,
        "decided_price": D(50_010),
        "price_bound": D(50_260),
        "plan": plan,
        "risk_amount": D(10),
        "value_per_point": D(1),
        "valid_until": START + timedelta(minutes=1),
    }
    return ApprovedOrder(**(fields | changes))  # type: ignore[arg-type]


def resting(price: str = "49500") -> ApprovedOrder:
    return entry(kind=OrderKind.LIMIT, limit_price=D(price))


def exit_of(quantity: str = "0.00999", name: ClientOrderId = EXIT) -> ReduceOrder:
    return ReduceOrder(
        client_order_id=name,
        position_id=PositionId("p"),
        entry_order_id=ENTRY,
        broker_id=BINANCE,
        symbol=BTC.symbol,
        side=Side.SELL,
        kind=OrderKind.MARKET,
        quantity=D(quantity),
        limit_price=None,
        reason="TEST",
    )


async def position_of(broker: BinanceBroker) -> VenuePosition:
    (position,) = await broker.positions()
    return position


# ------------------------------------------------------------------------------------------- the network, on orders


@pytest.mark.parametrize(
    ("fault", "answer"),
    [
        (Fault.REPLY_LOST, {}),
        (Fault.REPLY_HELD, {}),
        (Fault.REPLY_CUT, {}),
        (Fault.REPLY_PAGE, {}),
        (Fault.REPLY_TORN, {}),
        (Fault.ERROR_AFTER, {"status": 504, "code": -1007, "message": "Timeout waiting for response."}),
        (Fault.ERROR_AFTER, {"status": 400, "code": -1006, "message": "Execution status unknown."}),
        (Fault.ERROR_AFTER, {"status": 500, "code": -1121, "message": "a refusal that a 5xx makes worthless"}),
        (Fault.ERROR_AFTER, {"status": 400, "code": -9_999, "message": "a code from next year"}),
    ],
)
async def test_an_order_without_a_usable_answer_is_of_unknown_fate_and_found_once_by_its_name(
    desk: Desk, fault: Fault, answer: dict[str, Any]
) -> None:
    broker = desk.connect(timeout_s=1.0 if fault is Fault.REPLY_HELD else 5.0)
    await broker.quote(BTC.symbol)  # a connection is open that could be used again
    desk.venue.fail(fault, "POST order", **answer)

    with pytest.raises(OrderFateUnknown):
        await broker.place(entry())

    found = await broker.find_order(ENTRY)
    assert found is not None
    assert (found.state, found.filled_quantity) == (OrderState.FILLED, D("0.01"))
    assert len(desk.venue.seen("POST order")) == 1
    assert (await position_of(broker)).quantity == BOUGHT


@pytest.mark.parametrize(
    ("fault", "answer"),
    [
        (Fault.REQUEST_LOST, {}),
        (Fault.PAGE, {"status": 502}),
        (Fault.PAGE, {"status": 403}),
        (Fault.PAGE, {"status": 451}),
        (Fault.PAGE, {"status": 429}),
        (Fault.ERROR, {"status": 503, "code": -1008, "message": "Server is currently overloaded."}),
        (Fault.ERROR, {"status": 400, "code": -1000, "message": "An unknown error occurred."}),
        (Fault.ERROR, {"status": 400, "code": -1001, "message": "Internal error; unable to process your request."}),
    ],
)
async def test_an_order_that_never_arrived_is_of_unknown_fate_until_the_venue_says_that_it_has_none(
    desk: Desk, fault: Fault, answer: dict[str, Any]
) -> None:
    broker = desk.connect()
    await broker.quote(BTC.symbol)
    desk.venue.fail(fault, "POST order", **answer)

    with pytest.raises(OrderFateUnknown):
        await broker.place(entry())

    assert len(desk.venue.seen("POST order")) == 1
    desk.clock.advance(61)  # what a 429 held back may leave again
    assert await broker.find_order(ENTRY) is None


async def test_a_late_request_acts_within_its_window_and_is_thrown_away_after_it(desk: Desk) -> None:
    broker = desk.connect()
    desk.venue.fail(Fault.LATE, "POST order", times=2)
    for _ in range(2):
        with pytest.raises(OrderFateUnknown):
            await broker.place(entry())
    assert await broker.find_order(ENTRY) is None
    first, second = desk.venue.late
    desk.venue.late = [first]
    desk.venue.deliver_late()
    found = await broker.find_order(ENTRY)
    assert found is not None
    assert found.state is OrderState.FILLED

    desk.venue.late = [second]
    window_s = (broker.capabilities.request_expires_after_s or 0) - 10
    desk.clock.advance(window_s + 0.001)
    (refused,) = desk.venue.deliver_late()

    assert "outside of the recvWindow" in str(refused)
    assert len(desk.venue.book.orders) == 1


async def test_a_market_order_that_a_proxy_delivered_twice_shows_as_twice_as_much_open(desk: Desk) -> None:
    broker = desk.connect()
    desk.venue.fail(Fault.TWICE, "POST order")
    await broker.place(entry())

    fills, _ = await broker.fills_since("")

    assert {each.client_order_id for each in fills} == {ENTRY}
    assert sum(each.quantity for each in fills) == D("0.02")
    assert (await position_of(broker)).quantity == 2 * BOUGHT


async def test_a_resting_order_that_a_proxy_delivered_twice_rests_once(desk: Desk) -> None:
    broker = desk.connect()
    desk.venue.fail(Fault.TWICE, "POST order")
    await broker.place(resting())

    assert [each.client_order_id for each in await broker.open_orders()] == [ENTRY]


async def test_nothing_was_sent_where_no_connection_came_about_and_absence_is_not_concluded_from_it(desk: Desk) -> None:
    with socket.socket() as taken:  # bound and not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        broker = desk.connect(access={"url": f"http://127.0.0.1:{taken.getsockname()[1]}"})
        for question in (broker.place(entry()), broker.find_order(ENTRY), broker.positions(), broker.fills_since("")):
            with pytest.raises(BrokerUnavailable):
                await question


async def test_an_order_that_found_no_connection_any_more_was_surely_not_sent(desk: Desk) -> None:
    access = Access(environment="testnet", key=KEY, secret=SECRET, url=desk.url)
    wire = Wire(access, desk.clock, timeout_s=5, receive_window_s=5, patience_s=1)
    await wire.sync()
    await desk.venue.close()
    await wire.send(TIME, {}, priority=Priority.READ)  # finds the connection dead that was open: none is left now

    reply = await wire.send(ORDER, {"symbol": "BTCUSDT"}, priority=Priority.ORDER)
    await wire.close()

    assert reply.fate is Fate.NOT_SENT


@pytest.mark.parametrize(
    ("fault", "answer"),
    [
        (Fault.REQUEST_LOST, {}),
        (Fault.REPLY_CUT, {}),
        (Fault.REPLY_PAGE, {}),
        (Fault.REPLY_TORN, {}),
        (Fault.PAGE, {"status": 502}),
        (Fault.PAGE, {"status": 404}),
        (Fault.ERROR, {"status": 429, "code": -1003, "message": "Too many requests."}),
        (Fault.ERROR, {"status": 500, "code": -2013, "message": "a not-found that a 5xx makes worthless"}),
        (Fault.ERROR, {"status": 400, "code": -2015, "message": "Invalid API-key, IP, or permissions for action."}),
    ],
)
async def test_a_question_that_failed_is_never_an_absence(desk: Desk, fault: Fault, answer: dict[str, Any]) -> None:
    broker = desk.connect(instruments=(BTC,))
    await broker.place(resting())
    desk.venue.fail(fault, "*", times=None, **answer)

    for ask in (
        lambda: broker.find_order(ENTRY),
        broker.open_orders,
        broker.protective_orders,
        broker.positions,
        broker.account,
        lambda: broker.fills_since(""),
        broker.check_connectivity,
    ):
        with pytest.raises(BrokerUnavailable):
            await ask()


@pytest.mark.parametrize("name", ["DELETE order", "GET order"])
async def test_a_request_whose_connection_died_is_not_sent_again_by_the_library(desk: Desk, name: str) -> None:
    broker = desk.connect(instruments=(BTC,))
    await broker.place(resting())
    desk.venue.fail(Fault.REQUEST_LOST, name)

    with pytest.raises(OrderFateUnknown if name == "DELETE order" else BrokerUnavailable):
        await (broker.cancel(ENTRY) if name == "DELETE order" else broker.find_order(ENTRY))

    assert len(desk.venue.seen(name)) == 1


# ----------------------------------------------------------------------------------------------------------- budget


async def test_while_the_venue_makes_us_wait_only_exits_and_protection_leave(desk: Desk) -> None:
    broker = desk.connect(instruments=(BTC,))
    await broker.place(entry())
    desk.venue.fail(
        Fault.ERROR, "GET ticker/bookTicker", status=429, code=-1003, message="Too many.", headers={"Retry-After": "30"}
    )
    with pytest.raises(BrokerUnavailable, match="Too many"):
        await broker.quote(BTC.symbol)

    with pytest.raises(BrokerUnavailable, match="no turn"):
        await broker.place(entry(client_order_id=leg_of(ENTRY, "E1")))
    stopped = await broker.place_stop(replace(claimed(), quantity=BOUGHT), STOP, D(49_000))
    await broker.cancel(STOP)
    sold = await broker.place(exit_of())

    assert (stopped.state, sold.state) == (OrderState.WORKING, OrderState.FILLED)


def claimed() -> VenuePosition:
    return VenuePosition(
        entry_order_id=ENTRY,
        symbol=BTC.symbol,
        direction=Direction.LONG,
        quantity=BOUGHT,
        average_price=D(50_010),
        stop_price=None,
        stop_order_id=None,
    )


async def test_an_order_during_a_ban_was_surely_not_taken_and_the_ban_ends(desk: Desk) -> None:
    broker = desk.connect(instruments=(BTC,))
    await broker.place(entry())
    desk.venue.ban(600)

    with pytest.raises(BrokerUnavailable, match="banned"):
        await broker.place(exit_of())
    desk.clock.advance(601)

    assert (await broker.place(exit_of())).state is OrderState.FILLED
    assert broker.rate_budget is not None
    assert broker.rate_budget.used > 0


# ------------------------------------------------------------------------------------------------------------ clock


async def test_a_refused_clock_is_no_effect_and_the_next_order_goes_by_the_venues_time(desk: Desk) -> None:
    broker = desk.connect()
    await broker.check_connectivity()
    desk.venue.skew_s = -3.0

    with pytest.raises(BrokerUnavailable, match="1000ms ahead"):
        await broker.place(entry())
    ack = await broker.place(entry())

    assert ack.state is OrderState.FILLED
    assert await broker.server_time() == desk.clock.now() - timedelta(seconds=3)


# ------------------------------------------------------------------------------------------------ what the venue does


async def test_a_used_name_is_answered_with_the_order_that_has_it(desk: Desk) -> None:
    broker = desk.connect()
    first = await broker.place(resting())
    again = await broker.place(resting())

    assert (again.state, again.venue_order_id) == (OrderState.WORKING, first.venue_order_id)
    assert len(desk.venue.seen("POST order")) == 2


async def test_a_used_name_that_cannot_be_looked_up_leaves_the_fate_unknown(desk: Desk) -> None:
    broker = desk.connect()
    await broker.place(resting())
    desk.venue.fail(Fault.PAGE, "GET order", status=502)

    with pytest.raises(OrderFateUnknown, match="Duplicate order sent"):
        await broker.place(resting())


async def test_a_market_order_that_the_book_could_not_fill_has_expired_and_sold_what_it_could(desk: Desk) -> None:
    broker = desk.connect()
    await broker.place(entry())
    desk.venue.book.liquidity["BTCUSDT"] = D("0.004")
    ack = await broker.place(exit_of())

    found = await broker.find_order(EXIT)
    assert found is not None
    assert (ack.state, found.state, found.filled_quantity) == (OrderState.EXPIRED, OrderState.EXPIRED, D("0.004"))
    assert (await position_of(broker)).quantity == D("0.00599")


async def test_an_entry_of_which_nothing_filled_is_a_rejection(desk: Desk) -> None:
    broker = desk.connect()
    desk.venue.book.liquidity["BTCUSDT"] = D(0)
    ack = await broker.place(entry())

    assert ack.state is OrderState.REJECTED
    assert ack.reason.startswith("EXPIRED: it cannot be bought at 50260 or less, the worst price allowed")


async def test_an_entry_fills_at_the_price_of_now_and_leaves_nothing_in_the_book(desk: Desk) -> None:
    desk.venue.book.shares = WHOLE
    await desk.connect().place(entry(price_bound=D("50260.019")))

    (asked,) = desk.venue.seen("POST order")
    assert (asked["type"], asked["timeInForce"], asked["price"]) == ("LIMIT", "FOK", "50260.01")
    assert [each.price for each in desk.venue.book.trades] == [D(50_010)]


async def test_an_entry_needs_what_it_would_cost_at_its_bound(desk: Desk) -> None:
    desk.venue.book.wallet.total["USDT"] = D("502")  # enough at 50,010, not at 50,260

    ack = await desk.connect().place(entry())

    assert ack.state is OrderState.REJECTED
    assert "insufficient balance" in ack.reason


async def test_a_bound_that_the_venue_calls_too_far_from_the_price_is_refused_in_its_words(desk: Desk) -> None:
    ack = await desk.connect().place(entry(price_bound=D(300_000), quantity=D("0.001")))

    assert (ack.state, "PERCENT_PRICE_BY_SIDE" in ack.reason) == (OrderState.REJECTED, True)


async def test_a_cancel_that_lost_the_race_says_filled(desk: Desk) -> None:
    broker = desk.connect()
    await broker.place(resting())
    desk.price("49400", "49410")

    assert (await broker.cancel(ENTRY)).state is OrderState.FILLED


async def test_a_lost_race_that_cannot_be_looked_up_is_no_verdict(desk: Desk) -> None:
    broker = desk.connect()
    await broker.place(resting())
    desk.price("49400", "49410")
    desk.venue.fail(Fault.PAGE, "GET order", status=502)

    with pytest.raises(BrokerUnavailable):
        await broker.cancel(ENTRY)


async def test_after_a_restart_a_cancel_finds_the_symbol_of_its_order(desk: Desk) -> None:
    await desk.connect().place(resting())

    assert (await desk.connect().cancel(ENTRY)).state is OrderState.CANCELED


async def test_after_a_restart_a_cancel_of_what_a_list_has_shown_is_one_request(desk: Desk) -> None:
    await desk.connect().place(resting())
    broker = desk.connect()
    await broker.open_orders()
    before = len(desk.venue.requests)

    ack = await broker.cancel(ENTRY)

    assert ack.state is OrderState.CANCELED
    assert [each.name for each in list(desk.venue.requests)[before:]] == ["DELETE order"]


async def test_a_partly_filled_order_that_was_cancelled_keeps_what_it_holds(desk: Desk) -> None:
    broker = desk.connect()
    await broker.place(resting())
    desk.venue.book.liquidity["BTCUSDT"] = D("0.004")
    desk.price("49400", "49410")
    ack = await broker.cancel(ENTRY)

    found = await broker.find_order(ENTRY)
    assert found is not None
    assert (ack.state, found.state, found.filled_quantity) == (OrderState.CANCELED, OrderState.CANCELED, D("0.004"))
    assert (await position_of(broker)).quantity == D("0.00399")


async def test_a_stop_beyond_the_price_is_refused_with_the_contracts_word(desk: Desk) -> None:
    broker = desk.connect()
    await broker.place(entry())
    ack = await broker.place_stop(await position_of(broker), STOP, D(51_000))

    assert (ack.state, ack.reason) == (OrderState.REJECTED, WOULD_TRIGGER)


async def test_a_stop_on_an_endpoint_that_has_moved_is_of_unknown_fate_and_not_read_back(desk: Desk) -> None:
    broker = desk.connect()
    await broker.place(entry())
    desk.venue.fail(Fault.ERROR, "POST order", code=-4120, message="Order type not supported for this endpoint.")

    with pytest.raises(OrderFateUnknown, match="not supported for this endpoint"):
        await broker.place_stop(await position_of(broker), STOP, D(49_000))

    assert await broker.protective_orders() == ()


async def test_a_stop_that_vanished_at_the_venue_is_not_told_as_resting(desk: Desk) -> None:
    broker = desk.connect()
    await broker.place(entry())
    await broker.place_stop(await position_of(broker), STOP, D(49_000))
    assert (await position_of(broker)).stop_order_id == STOP

    desk.venue.book.cancel("BTCUSDT", STOP, None)

    assert (await position_of(broker)).stop_order_id is None


async def test_where_a_symbol_has_no_market_stop_one_with_a_low_limit_rests_and_sells(desk: Desk) -> None:
    desk.venue.book.order_types = ("LIMIT", "MARKET", "STOP_LOSS_LIMIT")
    broker = desk.connect()
    await broker.place(entry())
    await broker.place_stop(await position_of(broker), STOP, D(49_000))
    assert (await position_of(broker)).stop_price == D(49_000)

    desk.price("48000", "48010")

    assert await broker.positions() == ()
    assert desk.venue.seen("POST order")[-1]["price"] == "46550"


async def test_fills_are_complete_over_pages_and_read_once(desk: Desk) -> None:
    desk.venue.book.wallet.total["USDT"] = D(10_000_000)
    for number in range(400):  # three trades each: the first page ends within an order
        asked = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.001"}
        desk.venue.book.place({**asked, "newClientOrderId": leg_of(ENTRY, "E0") if number else "by-hand"})
    broker = desk.connect(instruments=(BTC,))

    fills, cursor = await broker.fills_since("")
    again, end = await broker.fills_since(cursor)

    assert len({each.venue_fill_id for each in fills}) == len(fills) == 1_197
    assert (list(again), end) == ([], cursor)
    ours = next(each for each in await broker.positions() if each.entry_order_id == ENTRY)
    assert ours.quantity == D("0.3986")  # 0.399 less 0.1 %, in whole steps: 0.398601


async def test_an_order_that_queries_do_not_show_yet_is_held_by_its_answer_and_counted_once(desk: Desk) -> None:
    broker = desk.connect(instruments=(BTC,))
    desk.venue.visible_after_s = 20
    await broker.place(entry())

    assert await broker.find_order(ENTRY) is None
    early = await position_of(broker)
    desk.clock.advance(21)
    fills, _ = await broker.fills_since("")
    later = await position_of(broker)

    assert (early.entry_order_id, early.quantity) == (later.entry_order_id, later.quantity) == (ENTRY, BOUGHT)
    assert sum(each.quantity for each in fills) == D("0.01")


async def test_what_queries_do_not_show_yet_can_be_sold_once(desk: Desk) -> None:
    desk.venue.book.wallet.total["BTC"] = D(1)
    broker = desk.connect(instruments=(BTC,))
    desk.venue.visible_after_s = 20
    await broker.place(entry())

    first = await broker.place(exit_of())
    second = await broker.place(exit_of(name=leg_of(ENTRY, "X0", 1)))

    assert (first.state, second.reason) == (OrderState.FILLED, "POSITION_NOT_FOUND")


async def doubtful_sale(desk: Desk, *, others: str) -> BinanceBroker:
    """An exit that is late, in an account that holds coins of `others` too."""
    desk.venue.book.wallet.total["BTC"] = D(others)
    broker = desk.connect(instruments=(BTC,))
    await broker.place(entry())
    desk.venue.fail(Fault.LATE, "POST order")
    with pytest.raises(OrderFateUnknown):
        await broker.place(exit_of())
    return broker


async def test_beside_a_late_sale_nothing_is_sold_where_that_could_sell_the_coins_of_others(desk: Desk) -> None:
    broker = await doubtful_sale(desk, others="1")

    beside = await broker.place(exit_of(name=leg_of(ENTRY, "X0", 1)))
    desk.clock.advance((broker.capabilities.request_expires_after_s or 0) + 0.001)
    after = await broker.place(exit_of(name=leg_of(ENTRY, "X0", 2)))

    assert (beside.state, "IN_DOUBT" in beside.reason) == (OrderState.REJECTED, True)
    assert after.state is OrderState.FILLED


async def test_a_late_sale_that_was_found_blocks_no_other(desk: Desk) -> None:
    broker = await doubtful_sale(desk, others="1")
    desk.venue.deliver_late()

    beside = await broker.place(exit_of(name=leg_of(ENTRY, "X0", 1)))

    assert beside.reason == "POSITION_NOT_FOUND"


async def test_beside_a_late_sale_an_exit_goes_at_once_where_only_its_own_coins_are_there(desk: Desk) -> None:
    broker = await doubtful_sale(desk, others="0")

    beside = await broker.place(exit_of(name=leg_of(ENTRY, "X0", 1)))
    (late,) = desk.venue.deliver_late()

    assert beside.state is OrderState.FILLED
    assert "insufficient balance" in str(late)


async def test_two_sales_at_once_sell_what_is_there_once(desk: Desk) -> None:
    desk.venue.book.wallet.total["BTC"] = D(1)
    broker = desk.connect(instruments=(BTC,))
    await broker.place(entry())

    await asyncio.gather(broker.place(exit_of()), broker.place(exit_of(name=leg_of(ENTRY, "X0", 1))))

    assert sum(each.quantity for each in desk.venue.book.trades if each.order.side == "SELL") == BOUGHT


# ------------------------------------------------------------------------------------------------- what is not ours


async def test_a_sale_never_takes_more_than_its_entry_holds_whatever_else_lies_in_the_account(desk: Desk) -> None:
    desk.venue.book.wallet.total["BTC"] = D(1)
    broker = desk.connect()
    await broker.place(entry())

    await broker.place(exit_of("5"))

    assert desk.venue.seen("POST order")[-1]["quantity"] == "0.00999"
    (left,) = await broker.positions()
    assert (left.entry_order_id, left.quantity) == ("foreign:BTC", D(1))


async def test_a_stop_never_covers_more_than_its_entry_holds_nor_what_another_order_sells(desk: Desk) -> None:
    desk.venue.book.wallet.total["BTC"] = D(1)
    broker = desk.connect()
    await broker.place(entry())
    first = await broker.place_stop(replace(claimed(), quantity=D(1)), STOP, D(49_000))
    second = await broker.place_stop(claimed(), leg_of(ENTRY, "S1", 1), D(49_100))

    (rests,) = await broker.protective_orders()
    assert (first.state, second.state, rests.quantity) == (OrderState.WORKING, OrderState.REJECTED, BOUGHT)


async def test_orders_and_trades_of_others_are_told_apart(desk: Desk) -> None:
    desk.venue.book.place(
        {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.02", "newClientOrderId": "web_1"}
    )
    rests = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "quantity": "0.02", "timeInForce": "GTC"}
    desk.venue.book.place({**rests, "price": "40000", "newClientOrderId": "web_2"})
    broker = desk.connect()

    (order,) = await broker.open_orders()
    (position,) = await broker.positions()

    assert (order.client_order_id, order.price) == (None, D(40_000))
    assert (position.entry_order_id, position.quantity, position.average_price) == (
        "foreign:BTC",
        D("0.01998"),
        D(50_000),
    )
    assert (await broker.fills_since(""))[0] == []


async def test_coins_that_somebody_took_are_missing_from_the_position(desk: Desk) -> None:
    broker = desk.connect()
    await broker.place(entry())
    desk.venue.book.wallet.add("BTC", D("-0.005"))

    assert (await position_of(broker)).quantity == D("0.00499")


# ------------------------------------------------------------------------------------------------------------- fees


async def test_a_fee_taken_from_the_purchase_is_withheld_and_worth_its_price(desk: Desk) -> None:
    desk.venue.book.shares = WHOLE
    broker = desk.connect()
    await broker.place(entry())
    await broker.place(exit_of())

    (bought, sold), _ = await broker.fills_since("")

    assert (bought.withheld, bought.fee) == (D("0.00001"), D("0.5001"))
    assert (sold.withheld, sold.fee) == (D(0), D("0.4995"))


async def test_a_fee_in_a_third_asset_is_worth_that_assets_price_of_the_minute(desk: Desk) -> None:
    desk.venue.book.shares, desk.venue.book.commission_asset = WHOLE, "BNB"
    desk.venue.book.wallet.total["BNB"] = D(10)
    broker = desk.connect(instruments=(BTC,))
    await broker.place(entry())

    (bought,), _ = await broker.fills_since("")

    paid = desk.venue.book.trades[0].commission
    bnb = default_registry().get("BNB/USDT")
    bar = desk.market.bar(bnb, START, timedelta(minutes=1), START)
    assert (bought.withheld, bought.fee) == (D(0), paid * bar.open)
    assert (await position_of(broker)).quantity == D("0.01")


# -------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"symbol": Symbol("NO/SUCH")}, "UNKNOWN_SYMBOL"),
        ({"side": Side.SELL}, "SHORT_NOT_POSSIBLE"),
        ({"quantity": D("0.000001")}, "Filter failure: LOT_SIZE (-1013)"),
        ({"quantity": D("0.0123456789")}, "too much precision. (-1111)"),
        ({"quantity": D("0.00002")}, "Filter failure: NOTIONAL (-1013)"),
        ({"quantity": D(5)}, "Account has insufficient balance for requested action. (-2010)"),
        ({"kind": OrderKind.LIMIT, "limit_price": D("49000.001")}, "Filter failure: PRICE_FILTER (-1013)"),
        ({"client_order_id": ClientOrderId("TB with blanks")}, "Illegal characters"),
    ],
)
async def test_a_refused_order_says_why_in_the_venues_own_words(
    desk: Desk, changes: dict[str, object], words: str
) -> None:
    ack = await desk.connect().place(entry(**changes))

    assert ack.state is OrderState.REJECTED
    assert words in ack.reason
    assert desk.venue.book.orders == []


async def test_a_closed_market_refuses_and_says_so_in_its_terms(desk: Desk) -> None:
    broker = desk.connect()
    desk.market.halt(BTC.symbol)
    ack = await broker.place(entry())
    bitcoin, ether = await broker.terms([BTC.symbol, ETH.symbol])

    assert (ack.state, ack.reason) == (OrderState.REJECTED, "Market is closed. (-1013)")
    assert (bitcoin.is_open, bitcoin.says, ether.is_open) == (False, "HALT", True)
    assert (bitcoin.tick, bitcoin.quantity_step, bitcoin.min_notional) == (D("0.01"), D("0.00001"), D(5))


async def test_terms_leave_out_what_the_venue_does_not_know(desk: Desk) -> None:
    delisted = replace(ETH, symbol=Symbol("OLD/USDT"), venue_symbol="OLDUSDT")
    broker = desk.connect(instruments=(BTC, delisted))

    assert [each.symbol for each in await broker.terms([BTC.symbol, delisted.symbol])] == [BTC.symbol]


async def test_a_wrong_key_is_told_in_the_venues_words_and_shown_nowhere(desk: Desk) -> None:
    broker = desk.connect(access={"key": "hush-key", "secret": "hush-secret"})
    with pytest.raises(KeyRefused, match="Invalid API-key") as told:
        await broker.check_connectivity()
    with pytest.raises(KeyRefused, match="had no effect: Invalid API-key") as refused:
        await broker.place(entry())

    assert "hush" not in f"{told.value!r}{refused.value!r}"


async def test_a_key_revoked_while_we_run_is_told_as_such_and_surely_did_nothing_although_ccxt_calls_it_a_ban(
    desk: Desk,
) -> None:
    broker = desk.connect(instruments=(BTC,))
    await broker.place(entry())
    desk.venue.key_is_revoked = True

    with pytest.raises(KeyRefused, match="Invalid API-key"):
        await broker.place(entry(client_order_id=leg_of(ENTRY, "E1")))
    with pytest.raises(KeyRefused, match="Invalid API-key"):
        await broker.cancel(ENTRY)
    with pytest.raises(KeyRefused, match="Invalid API-key"):
        await broker.positions()

    desk.venue.key_is_revoked = False
    assert len(desk.venue.book.orders) == 1
    assert len(await broker.positions()) == 1


async def test_a_wrong_secret_is_a_refused_signature(desk: Desk) -> None:
    broker = desk.connect(access={"secret": "hush"})

    with pytest.raises(KeyRefused, match="Signature for this request is not valid"):
        await broker.identity()


async def test_without_a_key_public_data_is_answered_and_nothing_else_is_sent(desk: Desk) -> None:
    broker = desk.connect(access={"key": "", "secret": ""})
    await broker.check_connectivity()
    await broker.quote(BTC.symbol)
    await broker.terms([BTC.symbol])
    assert len(await broker.candles(BTC.symbol, Timeframe.H4, since=None, limit=3)) == 3

    for ask in (broker.account, broker.identity, broker.positions, lambda: broker.place(entry())):
        with pytest.raises(BrokerUnavailable, match="BINANCE_API_KEY"):
            await ask()
    assert not any("signature" in each.parameters for each in desk.venue.requests)


async def test_no_error_shows_a_signature_or_a_key(desk: Desk) -> None:
    broker = desk.connect()
    desk.venue.fail(Fault.REPLY_LOST, "GET account")

    with pytest.raises(BrokerUnavailable) as told:
        await broker.identity()

    assert "signature" not in str(told.value)
    assert (KEY in str(told.value), SECRET in str(told.value)) == (False, False)


@pytest.mark.parametrize(
    "url", ["http://binance.example", "https://binance.example", "http://localhost:1", "127.0.0.1:1"]
)
def test_an_address_that_could_lead_out_of_this_machine_is_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        Access(environment="live", url=url)


def test_keys_do_not_show() -> None:
    assert "hush" not in repr(Access(environment="live", key="hush", secret="hush"))


async def test_two_accounts_have_two_fingerprints_and_the_keys_own_rights_count_with_real_money(desk: Desk) -> None:
    live = await desk.connect(access={"environment": "live"}).identity()
    desk.venue.uid += 1
    other = await desk.connect(access={"environment": "live"}).identity()

    assert (live.is_live, live.may_trade, live.may_withdraw, live.account) == (True, True, False, "spot …7868")
    assert live.fingerprint != other.fingerprint


async def test_an_empty_book_is_no_quote(desk: Desk) -> None:
    desk.price("0", "50010")

    with pytest.raises(BrokerUnavailable, match="a side is empty"):
        await desk.connect().quote(BTC.symbol)


async def test_a_cursor_of_another_venue_is_refused(desk: Desk) -> None:
    with pytest.raises(BrokerUnavailable, match="cursor"):
        await desk.connect().fills_since("4711")


# ------------------------------------------------------------------------------------------------------------ candles


async def test_candles_are_final_by_the_venues_clock_not_by_ours(desk: Desk) -> None:
    broker = desk.connect()
    desk.venue.skew_s = -2.0  # the venue has not reached the hour yet

    newest = (await broker.candles(BTC.symbol, Timeframe.H1, since=None, limit=1))[-1]

    assert newest.closed_at == START - timedelta(hours=1)


@pytest.mark.parametrize("since", [None, START - timedelta(minutes=1_500)])
async def test_candles_over_more_than_a_page_are_complete_and_in_order(desk: Desk, since: datetime | None) -> None:
    candles = await desk.connect().candles(BTC.symbol, Timeframe.M1, since=since, limit=1_500)

    assert [each.opened_at for each in candles] == [START - timedelta(minutes=back) for back in range(1_500, 0, -1)]
