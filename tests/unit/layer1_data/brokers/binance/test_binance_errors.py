"""The table of Binance's errors: every documented code has its row, and the raw answer decides, not ccxt."""

import json
from datetime import UTC, datetime

import pytest
from ccxt import async_support as ccxt  # type: ignore[import-untyped]

from bot.clock import ManualClock
from bot.errors import BrokerUnavailable
from bot.layer1_data.brokers.binance.errors import CODES, Fate, readable, reply_of
from bot.layer1_data.brokers.binance.to_binance import ORDER
from bot.layer1_data.brokers.binance.wire import TIME, Access, Wire
from bot.layer1_data.brokers.limiter import Priority

# Every code that the venue's documentation of errors, filters and limits names for spot.
DOCUMENTED = (
    *(-1000, -1001, -1002, -1003, -1004, -1006, -1007, -1008, -1013, -1014, -1015, -1016, -1020, -1021, -1022, -1034),
    *(-1099, -1100, -1101, -1102, -1103, -1104, -1105, -1106, -1108, -1111, -1112, -1114, -1115, -1116, -1117, -1118),
    *(-1119, -1120, -1121, -1125, -1127, -1128, -1130, -1131, -1134, -1135, -1145, -1151),
    *(-2008, -2010, -2011, -2013, -2014, -2015, -2016, -2021, -2022, -2026, -2038, -2039, -4116),
)
# After these the order may have been taken: none of them may ever be a definite no.
MAYBE_TAKEN = (-1000, -1001, -1004, -1006, -1007, -1008, -1034, -2021, -2022)


def body(code: int, message: str = "words") -> str:
    return json.dumps({"code": code, "msg": message})


@pytest.mark.parametrize("code", DOCUMENTED)
def test_every_documented_code_has_its_row(code: int) -> None:
    assert code in CODES


@pytest.mark.parametrize("code", MAYBE_TAKEN)
def test_a_code_that_leaves_the_execution_open_is_ambiguous(code: int) -> None:
    assert reply_of(400, body(code)).fate is Fate.AMBIGUOUS


@pytest.mark.parametrize(
    ("status", "text", "fate"),
    [
        (200, '{"orderId": 1}', Fate.ACK),
        (200, "[]", Fate.ACK),
        (200, "<html>blocked</html>", Fate.AMBIGUOUS),
        (200, '{"orderId": 1, "sta', Fate.AMBIGUOUS),
        (200, "", Fate.AMBIGUOUS),
        (200, '"text"', Fate.AMBIGUOUS),
        (200, body(-2010), Fate.REJECTED),
        (200, body(-9_999), Fate.AMBIGUOUS),
        (400, body(-2010, "Account has insufficient balance for requested action."), Fate.REJECTED),
        (400, body(-2010, "Duplicate order sent."), Fate.EXISTS),
        (400, body(-4116, "ClientOrderId is duplicated."), Fate.EXISTS),
        (400, body(-2010, "Stop price would trigger immediately."), Fate.WOULD_TRIGGER),
        (400, body(-2010, "Order would trigger immediately."), Fate.WOULD_TRIGGER),
        (400, body(-1013, "Filter failure: NOTIONAL"), Fate.REJECTED),
        (400, body(-1021), Fate.CLOCK),
        (401, body(-2015), Fate.KEY),
        (401, body(-2014), Fate.KEY),
        (400, body(-2008), Fate.KEY),
        (400, body(-1022), Fate.KEY),
        (503, body(-2015), Fate.AMBIGUOUS),
        (400, body(-2011, "Unknown order sent."), Fate.NOT_OPEN),
        (400, body(-2013, "Order does not exist."), Fate.NOT_FOUND),
        (400, body(-2026), Fate.NOT_FOUND),
        (400, body(-9_999), Fate.AMBIGUOUS),
        (429, body(-1003), Fate.UNAVAILABLE),
        (418, body(-1003), Fate.UNAVAILABLE),
        (429, body(-1015), Fate.UNAVAILABLE),
        (429, body(-1121), Fate.AMBIGUOUS),
        (429, "<html></html>", Fate.AMBIGUOUS),
        (403, "<html></html>", Fate.AMBIGUOUS),
        (404, "", Fate.AMBIGUOUS),
        (451, "<html></html>", Fate.AMBIGUOUS),
        (409, body(-2021), Fate.AMBIGUOUS),
        (500, body(-2010), Fate.AMBIGUOUS),
        (502, "<html></html>", Fate.AMBIGUOUS),
        (504, body(-1007), Fate.AMBIGUOUS),
    ],
)
def test_the_raw_status_and_body_decide(status: int, text: str, fate: Fate) -> None:
    assert reply_of(status, text).fate is fate


def test_a_reply_has_the_venues_words_and_code() -> None:
    assert reply_of(400, body(-1121, "Invalid symbol.")).says == "Invalid symbol. (-1121)"


def test_a_page_is_told_by_its_status_and_beginning() -> None:
    assert reply_of(403, "<html>\n" + "x" * 1_000).says == ("HTTP 403: <html> " + "x" * 1_000)[:210]


@pytest.mark.parametrize("error", [KeyError("a"), TypeError("a"), ValueError("a"), IndexError("a")])
def test_an_answer_that_lacks_what_it_must_have_is_unavailable(error: Exception) -> None:
    with pytest.raises(BrokerUnavailable), readable("x"):
        raise error


@pytest.mark.parametrize(
    ("status", "code", "message", "name"),
    [
        (504, -1007, "Timeout waiting for response.", "RequestTimeout"),
        (400, -1006, "Execution status unknown.", "OperationFailed"),
        (400, -2010, "Duplicate order sent.", "InvalidOrder"),
        (400, -4116, "ClientOrderId is duplicated.", "ExchangeError"),
        (400, -2013, "Order does not exist.", "OrderNotFound"),
        (400, -2011, "Unknown order sent.", "OrderNotFound"),
        (400, -1021, "Timestamp for this request is outside of the recvWindow.", "InvalidNonce"),
        (429, -1003, "Too many requests.", "DDoSProtection"),
        (400, -1013, "Filter failure: NOTIONAL", "BadRequest"),
    ],
)
def test_what_ccxt_makes_of_it_is_pinned_because_it_would_mislead(
    status: int, code: int, message: str, name: str
) -> None:
    """A library that calls an unknown fate by another name than before changes nothing here; this tells of it."""
    text = body(code, message)
    address = "https://api.binance.com/api/v3/order"

    with pytest.raises(ccxt.BaseError) as told:
        ccxt.binance().handle_errors(status, "", address, "POST", {}, text, json.loads(text), {}, None)

    assert type(told.value).__name__ == name


def library_errors() -> list[type[Exception]]:
    found, todo = [], [ccxt.BaseError]
    while todo:
        each = todo.pop()
        found.append(each)
        todo += each.__subclasses__()
    return sorted(found, key=lambda each: each.__name__)


@pytest.mark.parametrize("error", [*library_errors(), OSError, ValueError, KeyError], ids=lambda each: each.__name__)
async def test_no_error_of_the_library_leaves_and_without_a_byte_sent_nothing_was_done(error: type[Exception]) -> None:
    access = Access(environment="testnet", key="k", secret="s")
    wire = Wire(access, ManualClock(datetime(2026, 1, 1, tzinfo=UTC)), timeout_s=1, receive_window_s=5, patience_s=1)
    exchange = wire._opened()

    async def fetch(*_: object) -> None:
        raise error("https://host/order?signature=hush")

    exchange.fetch = fetch
    reply = await wire.send(TIME, {}, priority=Priority.READ)
    with pytest.raises(BrokerUnavailable):
        await wire.send(ORDER, {}, priority=Priority.ORDER)  # the clock cannot be asked
    await wire.close()

    assert reply.fate is Fate.NOT_SENT
    assert "hush" not in reply.says
