"""The one table of OANDA's answers: what each of its codes means for an order that was sent."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from bot.errors import BrokerUnavailable, KeyRefused

WORDS_KEPT: Final = 300


class Verdict(StrEnum):
    """What became of an order that got no acknowledgement (RELIABILITY 2.3)."""

    REJECTED = "rejected"
    EXISTS = "exists"
    AMBIGUOUS = "ambiguous"
    NOT_SENT = "not sent"
    KEY_REFUSED = "key refused"


class Failure(Exception):
    """A request without a usable answer. `status` is None where no whole answer came, `body` where it was not JSON."""

    def __init__(self, words: str, *, sent: bool, status: int | None = None, body: Mapping[str, Any] | None = None):
        super().__init__(words[:WORDS_KEPT])
        self.sent = sent
        self.status = status
        self.body = body


# The price is already beyond the stop: these become the contract's WOULD_TRIGGER where a stop is rested or moved.
BEYOND_THE_STOP: Final = frozenset({"STOP_LOSS_ON_FILL_LOSS"})

# The id is taken, so something of that name is there: it is looked up, never taken for a no.
_EXISTS: Final = """
CLIENT_ORDER_ID_ALREADY_EXISTS CLIENT_TRADE_ID_ALREADY_EXISTS STOP_LOSS_ON_FILL_CLIENT_ORDER_ID_ALREADY_EXISTS
"""

# Someone or something else may have had a hand in it, so the order is looked up.
_AMBIGUOUS: Final = """
CLIENT_REQUEST CLIENT_REQUEST_REPLACED INTERNAL_SERVER_ERROR LINKED_TRADE_CLOSED MIGRATION
"""

_ON_FILL: Final = """
CLIENT_ORDER_COMMENT_INVALID CLIENT_ORDER_ID_INVALID CLIENT_ORDER_TAG_INVALID GTD_TIMESTAMP_IN_PAST
GTD_TIMESTAMP_MISSING LOSS PRICE_DISTANCE_MAXIMUM_EXCEEDED PRICE_INVALID PRICE_MISSING PRICE_PRECISION_EXCEEDED
TIME_IN_FORCE_INVALID TIME_IN_FORCE_MISSING TRIGGER_CONDITION_INVALID TRIGGER_CONDITION_MISSING
"""

_STOP_ON_FILL: Final = """
DISTANCE_INVALID DISTANCE_PRECISION_EXCEEDED GUARANTEED_HEDGING_NOT_ALLOWED GUARANTEED_LEVEL_RESTRICTION_EXCEEDED
GUARANTEED_MINIMUM_DISTANCE_NOT_MET GUARANTEED_NOT_ALLOWED GUARANTEED_REQUIRED PRICE_AND_DISTANCE_BOTH_MISSING
PRICE_AND_DISTANCE_BOTH_SPECIFIED REQUIRED REQUIRED_FOR_PENDING_ORDER
"""

_TRAILING_ON_FILL: Final = """
PRICE_DISTANCE_INVALID PRICE_DISTANCE_MINIMUM_NOT_MET PRICE_DISTANCE_MISSING PRICE_DISTANCE_PRECISION_EXCEEDED
"""

_STOP_ORDER: Final = """
ALREADY_EXISTS GUARANTEED_HALTED_CREATE_VIOLATION GUARANTEED_HALTED_TIGHTEN_VIOLATION GUARANTEED_HEDGING_NOT_ALLOWED
GUARANTEED_LEVEL_RESTRICTION_EXCEEDED GUARANTEED_MINIMUM_DISTANCE_NOT_MET GUARANTEED_NOT_ALLOWED
GUARANTEED_PRICE_WITHIN_SPREAD GUARANTEED_REQUIRED NOT_CANCELABLE NOT_REPLACEABLE PRICE_AND_DISTANCE_BOTH_MISSING
PRICE_AND_DISTANCE_BOTH_SPECIFIED
"""

_REJECTED: Final = """
ACCOUNT_CONFIGURATION_LOCKED ACCOUNT_DEPOSIT_LOCKED ACCOUNT_LOCKED ACCOUNT_NEW_POSITIONS_LOCKED ACCOUNT_NOT_ACTIVE
ACCOUNT_ORDER_CANCEL_LOCKED ACCOUNT_ORDER_CREATION_LOCKED ACCOUNT_ORDER_FILL_LOCKED
ACCOUNT_POSITION_VALUE_LIMIT_EXCEEDED ACCOUNT_WITHDRAWAL_LOCKED ADMIN_CONFIGURE_DATA_MISSING ALIAS_INVALID
AMOUNT_INVALID AMOUNT_MISSING BOUNDS_VIOLATION CLIENT_CONFIGURE_DATA_MISSING CLIENT_EXTENSIONS_DATA_MISSING
CLIENT_ORDER_COMMENT_INVALID CLIENT_ORDER_ID_INVALID CLIENT_ORDER_TAG_INVALID CLIENT_TRADE_COMMENT_INVALID
CLIENT_TRADE_ID_INVALID CLIENT_TRADE_TAG_INVALID CLOSEOUT_POSITION_DOESNT_EXIST
CLOSEOUT_POSITION_INCOMPLETE_SPECIFICATION CLOSEOUT_POSITION_PARTIAL_UNITS_MISSING CLOSEOUT_POSITION_REJECT
CLOSEOUT_POSITION_UNITS_EXCEED_POSITION_SIZE CLOSE_TRADE_PARTIAL_UNITS_MISSING CLOSE_TRADE_TYPE_MISSING
CLOSE_TRADE_UNITS_EXCEED_TRADE_SIZE FIFO_VIOLATION FUNDING_REASON_MISSING HEDGING_GSLO_VIOLATION
INSTRUMENT_ASK_HALTED INSTRUMENT_ASK_REDUCE_ONLY INSTRUMENT_BID_HALTED INSTRUMENT_BID_REDUCE_ONLY INSTRUMENT_MISSING
INSTRUMENT_NOT_TRADEABLE INSTRUMENT_PRICE_UNKNOWN INSTRUMENT_UNKNOWN INSUFFICIENT_FUNDS INSUFFICIENT_LIQUIDITY
INSUFFICIENT_MARGIN INVALID_REISSUE_IMMEDIATE_PARTIAL_FILL LOSING_TAKE_PROFIT MARGIN_RATE_INVALID
MARGIN_RATE_WOULD_TRIGGER_CLOSEOUT MARGIN_RATE_WOULD_TRIGGER_MARGIN_CALL MARKET_HALTED MARKUP_GROUP_ID_INVALID
OPEN_TRADES_ALLOWED_EXCEEDED ORDERS_ON_FILL_DUPLICATE_CLIENT_ORDER_IDS ORDER_DOESNT_EXIST
ORDER_FILL_POSITION_ACTION_INVALID ORDER_FILL_POSITION_ACTION_MISSING ORDER_IDENTIFIER_INCONSISTENCY
ORDER_ID_UNSPECIFIED ORDER_PARTIAL_FILL_OPTION_INVALID ORDER_PARTIAL_FILL_OPTION_MISSING
PENDING_ORDERS_ALLOWED_EXCEEDED POSITION_AGGREGATION_MODE_INVALID POSITION_CLOSEOUT_FAILED POSITION_SIZE_EXCEEDED
PRICE_BOUND_INVALID PRICE_BOUND_PRECISION_EXCEEDED PRICE_DISTANCE_INVALID PRICE_DISTANCE_MAXIMUM_EXCEEDED
PRICE_DISTANCE_MINIMUM_NOT_MET PRICE_DISTANCE_MISSING PRICE_DISTANCE_PRECISION_EXCEEDED PRICE_INVALID PRICE_MISSING
PRICE_PRECISION_EXCEEDED REPLACING_ORDER_INVALID REPLACING_TRADE_ID_INVALID
TAKE_PROFIT_ON_FILL_CLIENT_ORDER_ID_ALREADY_EXISTS TAKE_PROFIT_ORDER_ALREADY_EXISTS TIME_IN_FORCE_EXPIRED
TIME_IN_FORCE_GTD_TIMESTAMP_IN_PAST TIME_IN_FORCE_GTD_TIMESTAMP_MISSING TIME_IN_FORCE_INVALID TIME_IN_FORCE_MISSING
TRADE_DOESNT_EXIST TRADE_IDENTIFIER_INCONSISTENCY TRADE_ID_UNSPECIFIED TRADE_ON_FILL_CLIENT_EXTENSIONS_NOT_SUPPORTED
TRAILING_STOP_LOSS_ON_FILL_CLIENT_ORDER_ID_ALREADY_EXISTS TRAILING_STOP_LOSS_ORDERS_NOT_SUPPORTED
TRAILING_STOP_LOSS_ORDER_ALREADY_EXISTS TRIGGER_CONDITION_INVALID TRIGGER_CONDITION_MISSING UNITS_INVALID
UNITS_LIMIT_EXCEEDED UNITS_MIMIMUM_NOT_MET UNITS_MINIMUM_NOT_MET UNITS_MISSING UNITS_PRECISION_EXCEEDED
"""


def _rows(words: str, verdict: Verdict, *prefixes: str) -> dict[str, Verdict]:
    return {f"{prefix}{word}": verdict for prefix in (prefixes or ("",)) for word in words.split()}


VERDICTS: Final[Mapping[str, Verdict]] = {
    **_rows(_ON_FILL, Verdict.REJECTED, "STOP_LOSS_ON_FILL_", "TAKE_PROFIT_ON_FILL_", "TRAILING_STOP_LOSS_ON_FILL_"),
    **_rows(_STOP_ON_FILL, Verdict.REJECTED, "STOP_LOSS_ON_FILL_"),
    **_rows(_TRAILING_ON_FILL, Verdict.REJECTED, "TRAILING_STOP_LOSS_ON_FILL_"),
    **_rows(_STOP_ORDER, Verdict.REJECTED, "STOP_LOSS_ORDER_"),
    **_rows(_REJECTED, Verdict.REJECTED),
    **_rows(_AMBIGUOUS, Verdict.AMBIGUOUS),
    **_rows(_EXISTS, Verdict.EXISTS),
}

# Refused before it became an order: the body says why in words, there is no transaction and no code.
_REFUSED_STATUSES: Final = frozenset({400, 401, 403, 404, 405})
_NOT_LET_IN: Final = frozenset({401, 403})  # the token, or the account with it


def verdict_of_code(code: str) -> Verdict:
    """What a reject or cancel reason means; one that is not in the table may mean anything."""
    return VERDICTS.get(code, Verdict.AMBIGUOUS)


def verdict_of(failure: Failure) -> Verdict:
    """What became of an order that was answered like that. The status and the body decide, not the library."""
    if not failure.sent:
        return Verdict.NOT_SENT
    if failure.status not in _REFUSED_STATUSES or failure.body is None:
        return Verdict.AMBIGUOUS
    if code := code_in(failure.body):
        return verdict_of_code(code)
    if "errorMessage" not in failure.body or any(key.endswith("Transaction") for key in failure.body):
        return Verdict.AMBIGUOUS
    return Verdict.KEY_REFUSED if failure.status in _NOT_LET_IN else Verdict.REJECTED


def is_refused(failure: Failure) -> bool:
    """The venue has read the request and did not do it, whatever its word for that is."""
    return failure.status in _REFUSED_STATUSES - _NOT_LET_IN and failure.body is not None


def unanswered(what: str, failure: Failure) -> BrokerUnavailable:
    """The error for something that surely was not done, or not told."""
    kind = KeyRefused if verdict_of(failure) is Verdict.KEY_REFUSED else BrokerUnavailable
    return kind(f"oanda: {what}: {failure}")


def code_in(body: Mapping[str, Any]) -> str:
    """The venue's code for a no, wherever the answer has it; empty if it has none."""
    for key, value in body.items():
        if key.endswith("RejectTransaction") and isinstance(value, Mapping) and value.get("rejectReason"):
            return str(value["rejectReason"])
    return str(body.get("errorCode") or "")


def words_in(body: Mapping[str, Any]) -> str:
    """The venue's own words for a no, its code first."""
    code, message = code_in(body), str(body.get("errorMessage") or "")
    return (f"{code}: {message}" if code and message else code or message)[:WORDS_KEPT]
