"""The fake Binance refuses what the venue refuses: a kinder one would hide our faults."""

import hashlib
import hmac
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
import pytest
import pytest_asyncio

from bot.clock import ManualClock
from bot.instruments import default_registry
from tests.fakes.binance import KEY, SECRET, FakeBinance
from tests.fakes.binance_book import stamp
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

    assert [each["id"] for each in rows] == [101, 102]
    assert (rows[0]["commission"], rows[0]["commissionAsset"]) == ("0.00000100", "BTC")
    assert mixed[1]["code"] == -1128


async def test_the_newest_kline_is_still_forming(client: Client, venue: FakeBinance) -> None:
    _, rows = await client.ask("GET", "klines", symbol="BTCUSDT", interval="1h", limit=2)

    assert [each[0] for each in rows] == [stamp(START) - 3_600_000, stamp(START)]
    assert rows[-1][6] == stamp(START) + 3_599_999
