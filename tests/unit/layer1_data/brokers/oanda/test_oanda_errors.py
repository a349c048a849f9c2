"""The error table knows every code that is documented, and every way in which the library can fail."""

import importlib.util
import inspect
import json
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import oandapyV20
import oandapyV20.exceptions
import pytest
import requests.exceptions
from urllib3.exceptions import ConnectTimeoutError, MaxRetryError, NewConnectionError

from bot.layer1_data.brokers.oanda.access import Access, Environment
from bot.layer1_data.brokers.oanda.errors import VERDICTS, Failure, Verdict, code_in, verdict_of, words_in
from bot.layer1_data.brokers.oanda.transport import Client

# Those of the contract page; the library's own list has the others.
CONTRACT_CODES: Final = """
ACCOUNT_LOCKED ACCOUNT_NOT_ACTIVE BOUNDS_VIOLATION CLIENT_ORDER_ID_ALREADY_EXISTS CLIENT_ORDER_ID_INVALID
CLIENT_REQUEST CLIENT_REQUEST_REPLACED CLIENT_TRADE_ID_ALREADY_EXISTS CLOSEOUT_POSITION_DOESNT_EXIST
CLOSE_TRADE_UNITS_EXCEED_TRADE_SIZE FIFO_VIOLATION INSTRUMENT_ASK_HALTED INSTRUMENT_ASK_REDUCE_ONLY
INSTRUMENT_BID_HALTED INSTRUMENT_BID_REDUCE_ONLY INSTRUMENT_NOT_TRADEABLE INSTRUMENT_UNKNOWN INSUFFICIENT_LIQUIDITY
INSUFFICIENT_MARGIN LINKED_TRADE_CLOSED MARKET_HALTED OPEN_TRADES_ALLOWED_EXCEEDED ORDER_DOESNT_EXIST
PENDING_ORDERS_ALLOWED_EXCEEDED POSITION_SIZE_EXCEEDED PRICE_DISTANCE_MAXIMUM_EXCEEDED PRICE_DISTANCE_MINIMUM_NOT_MET
PRICE_INVALID PRICE_MISSING PRICE_PRECISION_EXCEEDED STOP_LOSS_ON_FILL_LOSS
STOP_LOSS_ON_FILL_PRICE_AND_DISTANCE_BOTH_SPECIFIED STOP_LOSS_ON_FILL_PRICE_PRECISION_EXCEEDED
STOP_LOSS_ORDER_ALREADY_EXISTS TAKE_PROFIT_ON_FILL_LOSS TAKE_PROFIT_ON_FILL_PRICE_PRECISION_EXCEEDED
TAKE_PROFIT_ORDER_ALREADY_EXISTS TIME_IN_FORCE_EXPIRED TIME_IN_FORCE_INVALID TRADE_DOESNT_EXIST UNITS_INVALID
UNITS_LIMIT_EXCEEDED UNITS_MIMIMUM_NOT_MET UNITS_MINIMUM_NOT_MET UNITS_PRECISION_EXCEEDED
"""


def library_codes() -> set[str]:
    """Reject and cancel reasons as the library's definitions list them."""
    path = Path(str(oandapyV20.__file__)).parent / "definitions" / "transactions.py"
    spec = importlib.util.spec_from_file_location("oanda_definitions", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {*module.definitions["TransactionRejectReason"], *module.definitions["OrderCancelReason"]}


def test_every_documented_code_is_in_the_table() -> None:
    documented = library_codes() | set(CONTRACT_CODES.split())

    assert len(documented) > 150
    assert documented - set(VERDICTS) == set()


def test_a_taken_id_is_never_a_no() -> None:
    assert {code for code in VERDICTS if VERDICTS[code] is Verdict.EXISTS} == {
        "CLIENT_ORDER_ID_ALREADY_EXISTS",
        "CLIENT_TRADE_ID_ALREADY_EXISTS",
        "STOP_LOSS_ON_FILL_CLIENT_ORDER_ID_ALREADY_EXISTS",
    }


@pytest.mark.parametrize(
    ("status", "body", "verdict"),
    [
        (400, {"errorCode": "PRICE_INVALID", "orderRejectTransaction": {"rejectReason": "PRICE_INVALID"}}, "rejected"),
        (400, {"orderRejectTransaction": {"rejectReason": "UNITS_INVALID"}}, "rejected"),
        (404, {"errorCode": "TRADE_DOESNT_EXIST", "orderRejectTransaction": {}}, "rejected"),
        (400, {"errorMessage": "Invalid value specified for 'order.instrument'"}, "rejected"),
        (401, {"errorMessage": "Insufficient authorization to perform request."}, "key refused"),
        (403, {"errorMessage": "The provided request was forbidden."}, "key refused"),
        (400, {"errorCode": "CLIENT_ORDER_ID_ALREADY_EXISTS"}, "exists"),
        (400, {"errorCode": "NEVER_HEARD_OF"}, "ambiguous"),
        (400, {"orderCreateTransaction": {"id": "1"}, "errorMessage": "half done"}, "ambiguous"),
        (400, {}, "ambiguous"),
        (404, None, "ambiguous"),
        (403, None, "ambiguous"),
        (429, {"errorMessage": "too many"}, "ambiguous"),
        (500, {"errorMessage": "sorry"}, "ambiguous"),
        (502, None, "ambiguous"),
        (503, {"errorCode": "PRICE_INVALID"}, "ambiguous"),
        (None, None, "ambiguous"),
    ],
)
def test_status_and_body_decide_what_became_of_an_order(
    status: int | None, body: dict[str, Any] | None, verdict: str
) -> None:
    assert verdict_of(Failure("", sent=True, status=status, body=body)) == verdict


def test_only_a_connection_that_was_never_made_means_not_sent() -> None:
    assert verdict_of(Failure("refused", sent=False)) is Verdict.NOT_SENT


def raised_as(error: Exception) -> Failure:
    """What the transport makes of an error that the library raises."""
    client = Client(Access(token="secret", account="101-004-1-001", environment=Environment.PRACTICE), 1.0)
    with pytest.raises(Failure) as told:
        client._guarded(lambda: (_ for _ in ()).throw(error))
    client.close()
    return told.value


def exceptions_of(module: ModuleType) -> list[type[Exception]]:
    """Every exception class that the module defines; its warnings are none."""
    return [
        each
        for _, each in inspect.getmembers(module, inspect.isclass)
        if issubclass(each, Exception) and not issubclass(each, Warning) and each.__module__ == module.__name__
    ]


@pytest.mark.parametrize("kind", exceptions_of(requests.exceptions) + exceptions_of(oandapyV20.exceptions))
def test_every_exception_of_the_library_becomes_a_failure_and_in_doubt_unless_proven(kind: type[Exception]) -> None:
    error = kind.__new__(kind)
    Exception.__init__(error, "words")
    if isinstance(error, oandapyV20.V20Error):
        error.code, error.msg = 502, "<html>"

    failure = raised_as(error)

    proven = issubclass(kind, requests.exceptions.ConnectTimeout)
    assert verdict_of(failure) is (Verdict.NOT_SENT if proven else Verdict.AMBIGUOUS)


@pytest.mark.parametrize(
    ("reason", "verdict"),
    [
        (NewConnectionError(None, "refused"), Verdict.NOT_SENT),  # type: ignore[arg-type]
        (ConnectTimeoutError("slow"), Verdict.NOT_SENT),
        (OSError("reset by peer"), Verdict.AMBIGUOUS),
    ],
)
def test_a_failed_connection_is_proof_only_before_it_was_made(reason: Exception, verdict: Verdict) -> None:
    error = requests.exceptions.ConnectionError(MaxRetryError(None, "/", reason))  # type: ignore[arg-type]

    assert verdict_of(raised_as(error)) is verdict


def test_a_refusal_keeps_status_body_and_words_and_hides_account_and_token() -> None:
    body = json.dumps({"errorCode": "PRICE_INVALID", "errorMessage": "of 101-004-1-001 by secret"})

    failure = raised_as(oandapyV20.V20Error(400, body))

    assert (failure.status, code_in(failure.body or {})) == (400, "PRICE_INVALID")
    assert str(failure) == "400 PRICE_INVALID: of *** by ***"


def test_words_of_a_no_begin_with_its_code() -> None:
    assert words_in({"errorCode": "A", "errorMessage": "b"}) == "A: b"
    assert words_in({"errorMessage": "b"}) == "b"
    assert words_in({"orderRejectTransaction": {"rejectReason": "A"}}) == "A"
