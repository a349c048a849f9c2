"""The fake Binance refuses what the venue refuses: a kinder one would hide our faults."""

import hashlib
import hmac
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
import pytest
import pytest_asyncio

from bot.clock import ManualClock
from bot.instruments import default_registry
from tests.fakes.binance import KEY, SECRET, FakeBinance
from tests.fakes.binance_book import PARTS, BookOrder, Refused, divided, stamp
from tests.fakes.venue_market import FakeMarket

START: Final = datetime(2026, 3, 4, 12, tzinfo=UTC)
LIMIT: Final = {
    "symbol": "BTCUSDT",
    "side": "BUY",
    "type": "LIMIT",
    "quantity": "0.01",
    "price": "40000",
    "timeInForce": "GTC",
    "newClientOrderId": "a-1",
}


class Client:
    """Signs as the venue asks for it, without any library."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._session = session

    async def ask(self, method: str, path: str, *, secret: str = SECRET, **parameters: Any) -> tuple[int, Any]:
        """Status and body; the time is ours unless given."""
        address = f"{self._url}/api/v3/{path}"
        if path == "klines":  # public: there a signature is a parameter too many
            async with self._session.get(address, params=parameters) as answer:
                return answer.status, await answer.json()
        query = urlencode({"timestamp": stamp(START), **parameters})
        signature = hmac.new(secret.encode(), query.encode(), hashlib.sha256).hexdigest()
        signed, headers = f"{query}&signature={signature}", {"X-MBX-APIKEY": KEY}
        if method == "POST":
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            async with self._session.post(address, data=signed, headers=headers) as answer:
                return answer.status, await answer.json()
        async with self._session.request(method, f"{address}?{signed}", headers=headers) as answer:
            return answer.status, await answer.json()


@pytest_asyncio.fixture
async def venue() -> AsyncIterator[FakeBinance]:
    market = FakeMarket(default_registry())
    market.pin("BTC/USDT", "50000", "50010")
    made = FakeBinance(market, ManualClock(START))
    yield made
    await made.close()


@pytest_asyncio.fixture
async def client(venue: FakeBinance) -> AsyncIterator[Client]:
    url = await venue.start(matching=False)
    async with aiohttp.ClientSession() as session:
        yield Client(url, session)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"secret": "wrong"}, -1022),
        ({"timestamp": stamp(START) + 1_000}, -1021),
        ({"timestamp": stamp(START) - 5_001}, -1021),
        ({"surplus": "1"}, -1104),
        ({"symbol": "NONE"}, -1121),
        ({"type": "NONE"}, -1116),
        ({"type": "MARKET"}, -1106),
        ({"type": "STOP_LOSS_LIMIT"}, -1102),
        ({"quantity": "0.000000001"}, -1111),
        ({"quantity": "0"}, -1013),
        ({"price": "40000.001"}, -1013),
        ({"quantity": "0.000011"}, -1013),
        ({"quantity": "0.0001"}, -1013),
        ({"quantity": "1"}, -2010),
        ({"side": "SELL"}, -2010),
        ({"newClientOrderId": "a b"}, -1100),
        ({"newClientOrderId": "a" * 37}, -1100),
    ],
)
async def test_it_refuses_an_order_with_the_venues_code(client: Client, changes: dict[str, Any], code: int) -> None:
    status, body = await client.ask("POST", "order", **{**LIMIT, **changes})

    assert (status, body["code"]) == (400, code)


async def test_an_id_is_taken_again_once_its_order_has_ended_and_not_before(client: Client) -> None:
    first = await client.ask("POST", "order", **LIMIT)
    second = await client.ask("POST", "order", **LIMIT)
    await client.ask("DELETE", "order", symbol="BTCUSDT", origClientOrderId="a-1")
    third = await client.ask("POST", "order", **LIMIT)

    assert (first[0], second[0], second[1]["msg"], third[0]) == (200, 400, "Duplicate order sent.", 200)


async def test_a_resting_order_locks_what_it_would_spend_and_a_cancel_frees_it(client: Client) -> None:
    await client.ask("POST", "order", **LIMIT)
    _, before = await client.ask("GET", "account")
    _, canceled = await client.ask("DELETE", "order", symbol="BTCUSDT", origClientOrderId="a-1")
    _, after = await client.ask("GET", "account")

    assert before["balances"] == [{"asset": "USDT", "free": "9600.00000000", "locked": "400.00000000"}]
    assert (canceled["origClientOrderId"], canceled["status"]) == ("a-1", "CANCELED")
    assert after["balances"] == [{"asset": "USDT", "free": "10000.00000000", "locked": "0.00000000"}]


async def test_going_on_after_too_many_requests_is_a_ban_that_says_when_it_ends(
    client: Client, venue: FakeBinance
) -> None:
    venue.weight_limit = 40
    statuses = [(await client.ask("GET", "account"))[0] for _ in range(10)]

    assert statuses == [200, 200, 429, 429, 429, 429, 429, 429, 418, 418]


async def test_trades_begin_with_the_one_that_was_named(client: Client) -> None:
    market = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.001"}
    for number in range(3):
        await client.ask("POST", "order", **market, newClientOrderId=f"m-{number}")

    _, rows = await client.ask("GET", "myTrades", symbol="BTCUSDT", fromId=101)
    mixed = await client.ask("GET", "myTrades", symbol="BTCUSDT", fromId=101, startTime=stamp(START))

    assert [each["id"] for each in rows] == list(range(101, 109))  # each order has three
    assert (rows[0]["commission"], rows[0]["commissionAsset"]) == ("0.00000030", "BTC")
    assert mixed[1]["code"] == -1128


async def test_a_market_order_has_several_trades_of_one_instant_each_a_tick_worse_with_its_own_commission(
    client: Client, venue: FakeBinance
) -> None:
    venue.book.commission_ratio = Decimal("0.00073")
    market = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.0123", "newClientOrderId": "m-1"}
    _, placed = await client.ask("POST", "order", **market)
    _, rows = await client.ask("GET", "myTrades", symbol="BTCUSDT", fromId=0)

    assert [(each["tradeId"], each["price"], each["qty"], each["commission"]) for each in placed["fills"]] == [
        (100, "50010.00000000", "0.00615000", "0.00000448"),
        (101, "50010.01000000", "0.00369000", "0.00000269"),
        (102, "50010.02000000", "0.00246000", "0.00000179"),
    ]
    assert (placed["status"], placed["executedQty"]) == ("FILLED", "0.01230000")
    assert placed["cummulativeQuoteQty"] == "615.12308610"
    assert [each["quoteQty"] for each in rows] == ["307.56150000", "184.53693690", "123.02464920"]
    assert {(each["orderId"], each["time"], each["isMaker"]) for each in rows} == {(1, stamp(START), False)}


def place(venue: FakeBinance, kind: str, side: str, quantity: str, **more: str) -> BookOrder:
    asked = {"symbol": "BTCUSDT", "type": kind, "side": side, "quantity": quantity, "newClientOrderId": "o-1", **more}
    return venue.book.place(asked)[0]


def trades(venue: FakeBinance) -> list[tuple[str, str]]:
    return [(f"{each.quantity.normalize():f}", f"{each.price.normalize():f}") for each in venue.book.trades]


@pytest.mark.parametrize(
    ("quantity", "parts"),
    [("1", ["1"]), ("2", ["1", "1"]), ("3", ["1", "2"]), ("4", ["2", "1", "1"]), ("10", ["5", "3", "2"])],
)
def test_trades_are_whole_steps_and_one_step_is_one_trade(quantity: str, parts: list[str]) -> None:
    assert divided(Decimal(quantity), PARTS, Decimal(1)) == [Decimal(each) for each in parts]


def test_a_stop_that_triggers_sells_in_several_trades_at_once(venue: FakeBinance) -> None:
    venue.book.wallet.total["BTC"] = Decimal(1)
    stop = place(venue, "STOP_LOSS", "SELL", "0.01", stopPrice="49000")
    venue.market.pin("BTC/USDT", "48900", "48910")
    venue.book.match()

    assert stop.status == "FILLED"
    assert trades(venue) == [("0.005", "48900"), ("0.003", "48899.99"), ("0.002", "48899.98")]


def test_no_trade_of_an_order_is_beyond_its_own_price(venue: FakeBinance) -> None:
    order = place(venue, "LIMIT", "BUY", "0.01", price="50010.01", timeInForce="FOK")

    assert order.status == "FILLED"
    assert [price for _, price in trades(venue)] == ["50010", "50010.01", "50010.01"]


def test_what_the_market_goes_through_fills_whole_at_its_own_price_in_several_trades(venue: FakeBinance) -> None:
    order = place(venue, "LIMIT", "BUY", "0.01", price="49500", timeInForce="GTC")
    venue.market.pin("BTC/USDT", "49400", "49410")
    venue.book.match()

    assert order.status == "FILLED"
    assert trades(venue) == [("0.005", "49500"), ("0.003", "49500"), ("0.002", "49500")]
    assert {each.is_maker for each in venue.book.trades} == {True}


def test_what_the_market_only_touches_fills_over_several_looks(venue: FakeBinance) -> None:
    order = place(venue, "LIMIT", "BUY", "0.0016", price="49500", timeInForce="GTC")
    venue.market.pin("BTC/USDT", "49490", "49500")
    for status, executed in (("PARTIALLY_FILLED", "0.0008"), ("PARTIALLY_FILLED", "0.0012")):
        venue.book.match()
        assert (order.status, order.executed) == (status, Decimal(executed))
    while order.is_open:
        venue.book.match()

    assert (order.status, order.executed) == ("FILLED", order.quantity)
    assert {price for _, price in trades(venue)} == {"49500"}


def test_no_more_than_what_is_there_fills_in_however_many_trades(venue: FakeBinance) -> None:
    venue.book.liquidity["BTCUSDT"] = Decimal("0.004")
    order = place(venue, "MARKET", "BUY", "0.01")

    assert (order.status, [quantity for quantity, _ in trades(venue)]) == ("EXPIRED", ["0.002", "0.0012", "0.0008"])


def test_a_purchase_that_cannot_be_paid_at_all_its_prices_is_refused(venue: FakeBinance) -> None:
    venue.book.wallet.total["USDT"] = Decimal("500.1")  # at 50,010, and not at the next two ticks

    with pytest.raises(Refused, match="insufficient balance"):
        place(venue, "MARKET", "BUY", "0.01")


async def test_the_newest_kline_is_still_forming(client: Client, venue: FakeBinance) -> None:
    _, rows = await client.ask("GET", "klines", symbol="BTCUSDT", interval="1h", limit=2)

    assert [each[0] for each in rows] == [stamp(START) - 3_600_000, stamp(START)]
    assert rows[-1][6] == stamp(START) + 3_599_999
