"""Every code and reason that IG documents, and what it means for the order that was sent."""

import inspect
import json

import aiohttp
import pytest

from bot.layer1_data.brokers.ig.errors import CODES, REASONS, Fate, fate_of_code, reply_of

TOKEN_CODES = """
error.security.client-token-invalid error.security.client-token-missing error.security.account-token-invalid
error.security.account-token-missing error.security.oauth-token-invalid
"""
PERSON_CODES = """
error.security.invalid-details error.security.too-many-failed-attempts error.security.client-suspended
error.security.account-suspended error.public-api.failure.kyc.required error.public-api.failure.missing.credentials
error.public-api.failure.pending.agreements.required error.public-api.failure.preferred.account.disabled
error.public-api.failure.preferred.account.not.set authentication.failure.not-a-client-account
error.security.api-key-disabled error.security.api-key-invalid error.security.api-key-restricted
error.security.api-key-revoked error.security.api-key-missing
error.public-api.failure.stockbroking-not-supported error.public-api.failure.encryption.required
"""
GATE_CODES = """
error.public-api.exceeded-api-key-allowance error.public-api.exceeded-account-allowance
error.public-api.exceeded-account-trading-allowance
"""
REFUSED_CODES = """
invalid.input validation.null-not-allowed.request.currencyCode validation.target-value-conditional-set-value.request
error.request.invalid.date-range error.invalid.daterange error.malformed.date error.unsupported.epic
unauthorised.access.to.equity.exception error.trading.otc.instrument-not-found invalid.url
error.trading.otc.market-orders.not-supported error.switch.accountId-must-be-different
endpoint.unavailable.for.api-key
"""
OPEN_CODES = "system.error error.positions.generic error.security.authentication.timeout"
REASONS_OF_THE_PAGE = """
INSUFFICIENT_FUNDS MARGIN_ERROR MARKET_CLOSED MARKET_CLOSED_WITH_EDITS MARKET_OFFLINE MARKET_CLOSING MARKET_ROLLED
MARKET_PHONE_ONLY MARKET_UNAVAILABLE_TO_CLIENT CLOSING_ONLY_TRADES_ACCEPTED_ON_THIS_MARKET
MARKET_ORDERS_NOT_ALLOWED_ON_INSTRUMENT MARKET_NOT_BORROWABLE MINIMUM_ORDER_SIZE_ERROR MAX_AUTO_SIZE_EXCEEDED
OVER_NORMAL_MARKET_SIZE SIZE_INCREMENT ORDER_SIZE_CANNOT_BE_FILLED ATTACHED_ORDER_LEVEL_ERROR
ATTACHED_ORDER_TRAILING_STOP_ERROR LEVEL_TOLERANCE_ERROR LIMIT_ORDER_WRONG_SIDE_OF_MARKET WRONG_SIDE_OF_MARKET
MOVE_AWAY_ONLY_STOP MOVE_AWAY_ONLY_LIMIT MOVE_AWAY_ONLY_TRIGGER_LEVEL STOP_REQUIRED_ERROR STOP_OR_LIMIT_NOT_ALLOWED
TRAILING_STOP_NOT_ALLOWED CANNOT_CHANGE_STOP_TYPE CANNOT_REMOVE_STOP CR_SPACING POSITION_NOT_FOUND
POSITION_NOT_AVAILABLE_TO_CLOSE ORDER_NOT_FOUND ORDER_LOCKED CONFLICTING_ORDER DUPLICATE_ORDER_ERROR
INSTRUMENT_NOT_FOUND ACCOUNT_NOT_ENABLED_TO_TRADING OPPOSING_DIRECTION_ORDERS_NOT_ALLOWED
OPPOSING_POSITIONS_NOT_ALLOWED POSITION_ALREADY_EXISTS_IN_OPPOSITE_DIRECTION REJECT_CFD_ORDER_ON_SPREADBET_ACCOUNT
REJECT_SPREADBET_ORDER_ON_CFD_ACCOUNT FORCE_OPEN_ON_SAME_MARKET_DIFFERENT_CURRENCY GENERAL_ERROR ORDER_DECLINED
MANUAL_ORDER_TIMEOUT EXCHANGE_MANUAL_OVERRIDE FINANCE_REPEAT_DEALING GOOD_TILL_DATE_IN_THE_PAST
CONTACT_SUPPORT_INSTRUMENT_ERROR PARTIALY_CLOSED_POSITION_NOT_DELETED SUCCESS UNKNOWN
"""


@pytest.mark.parametrize(
    ("codes", "fate"),
    [
        (TOKEN_CODES, Fate.TOKEN),
        (PERSON_CODES, Fate.LOCKED_OUT),
        (GATE_CODES, Fate.BUSY),
        ("error.public-api.exceeded-account-historical-data-allowance", Fate.HISTORY_SPENT),
        ("error.confirms.deal-not-found error.position.notfound", Fate.NOT_FOUND),
        (REFUSED_CODES, Fate.REJECTED),
        (OPEN_CODES, Fate.AMBIGUOUS),
    ],
)
def test_every_documented_code_has_its_meaning(codes: str, fate: Fate) -> None:
    assert {each: fate_of_code(each) for each in codes.split()} == dict.fromkeys(codes.split(), fate)


def test_the_table_knows_every_documented_code_and_no_other() -> None:
    page = " ".join((TOKEN_CODES, PERSON_CODES, GATE_CODES, REFUSED_CODES, OPEN_CODES)).split()
    single = ["error.public-api.exceeded-account-historical-data-allowance", "error.confirms.deal-not-found"]

    told = {each for each in page if not each.startswith("validation.")} | {*single, "error.position.notfound"}
    assert set(CODES) == told


def test_every_documented_reason_is_in_the_table_and_no_other() -> None:
    assert set(REASONS) == set(REASONS_OF_THE_PAGE.split())


def test_a_second_delivery_is_looked_up_and_what_is_not_documented_is_open() -> None:
    assert REASONS["DUPLICATE_ORDER_ERROR"] is Fate.EXISTS
    assert fate_of_code("error.something.new") is Fate.AMBIGUOUS


@pytest.mark.parametrize("code", ["invalid.input", "error.security.client-token-invalid", ""])
@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_failure_of_the_server_is_open_whatever_it_says(status: int, code: str) -> None:
    assert reply_of(status, json.dumps({"errorCode": code})).fate is Fate.AMBIGUOUS


@pytest.mark.parametrize("body", ["", "<html>blocked</html>", '{"dealRef', "17", '"x"', "null"])
def test_a_success_that_cannot_be_read_is_open(body: str) -> None:
    assert reply_of(200, body).fate is Fate.AMBIGUOUS


def test_an_error_code_under_a_success_is_no_success() -> None:
    assert reply_of(200, '{"errorCode":"invalid.input"}').fate is Fate.REJECTED


def test_every_error_of_the_library_is_an_exception_that_the_wire_catches() -> None:
    # The wire judges by whether a byte left, never by class: it catches Exception, so no class may lie outside.
    classes = [each for _, each in inspect.getmembers(aiohttp.client_exceptions, inspect.isclass)]
    errors = [each for each in classes if issubclass(each, BaseException)]

    assert errors
    assert all(issubclass(each, Exception) for each in errors)
