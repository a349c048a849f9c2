"""What an answer of IG means: one table for its error codes, one for the reasons of a deal that it refused."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from bot.errors import BrokerUnavailable, KeyRefused


class Fate(StrEnum):
    """What became of a request. Everything the tables do not name is AMBIGUOUS."""

    ACK = "ack"
    REJECTED = "rejected"
    EXISTS = "exists"
    NOT_FOUND = "not found"
    TOKEN = "token"  # noqa: S105 - not a password
    LOCKED_OUT = "locked out"
    BUSY = "busy"
    HISTORY_SPENT = "history spent"
    NOT_SENT = "not sent"
    AMBIGUOUS = "ambiguous"


def _rows(words: str, fate: Fate, prefix: str = "") -> dict[str, Fate]:
    return {f"{prefix}{word}": fate for word in words.split()}


CODES: Final[Mapping[str, Fate]] = {
    **_rows(
        """
        client-token-invalid client-token-missing account-token-invalid account-token-missing oauth-token-invalid
        """,
        Fate.TOKEN,
        "error.security.",
    ),
    # A person has to act: asking again can only lock the login.
    **_rows(
        """
        invalid-details too-many-failed-attempts client-suspended account-suspended api-key-disabled api-key-invalid
        api-key-restricted api-key-revoked api-key-missing
        """,
        Fate.LOCKED_OUT,
        "error.security.",
    ),
    **_rows(
        """
        kyc.required missing.credentials pending.agreements.required preferred.account.disabled
        preferred.account.not.set stockbroking-not-supported encryption.required
        """,
        Fate.LOCKED_OUT,
        "error.public-api.failure.",
    ),
    "authentication.failure.not-a-client-account": Fate.LOCKED_OUT,
    # The gate refused these: the deal was not placed.
    "error.public-api.exceeded-api-key-allowance": Fate.BUSY,
    "error.public-api.exceeded-account-allowance": Fate.BUSY,
    "error.public-api.exceeded-account-trading-allowance": Fate.BUSY,
    "error.public-api.exceeded-account-historical-data-allowance": Fate.HISTORY_SPENT,
    "error.confirms.deal-not-found": Fate.NOT_FOUND,
    "error.position.notfound": Fate.NOT_FOUND,
    **_rows(
        """
        invalid.input invalid.url error.request.invalid.date-range error.invalid.daterange error.malformed.date
        error.unsupported.epic unauthorised.access.to.equity.exception error.trading.otc.instrument-not-found
        error.trading.otc.market-orders.not-supported error.switch.accountId-must-be-different
        endpoint.unavailable.for.api-key
        """,
        Fate.REJECTED,
    ),
    "system.error": Fate.AMBIGUOUS,
    "error.positions.generic": Fate.AMBIGUOUS,
    "error.security.authentication.timeout": Fate.AMBIGUOUS,
}
_REFUSED_PREFIX: Final = "validation."  # followed by the name of the rule and of the field

REASONS: Final[Mapping[str, Fate]] = {
    **_rows(
        """
        INSUFFICIENT_FUNDS MARGIN_ERROR
        MARKET_CLOSED MARKET_CLOSED_WITH_EDITS MARKET_OFFLINE MARKET_CLOSING MARKET_ROLLED MARKET_PHONE_ONLY
        MARKET_UNAVAILABLE_TO_CLIENT CLOSING_ONLY_TRADES_ACCEPTED_ON_THIS_MARKET
        MARKET_ORDERS_NOT_ALLOWED_ON_INSTRUMENT MARKET_NOT_BORROWABLE
        MINIMUM_ORDER_SIZE_ERROR MAX_AUTO_SIZE_EXCEEDED OVER_NORMAL_MARKET_SIZE SIZE_INCREMENT
        ORDER_SIZE_CANNOT_BE_FILLED
        ATTACHED_ORDER_LEVEL_ERROR ATTACHED_ORDER_TRAILING_STOP_ERROR LEVEL_TOLERANCE_ERROR
        LIMIT_ORDER_WRONG_SIDE_OF_MARKET WRONG_SIDE_OF_MARKET MOVE_AWAY_ONLY_STOP MOVE_AWAY_ONLY_LIMIT
        MOVE_AWAY_ONLY_TRIGGER_LEVEL STOP_REQUIRED_ERROR STOP_OR_LIMIT_NOT_ALLOWED TRAILING_STOP_NOT_ALLOWED
        CANNOT_CHANGE_STOP_TYPE CANNOT_REMOVE_STOP CR_SPACING
        POSITION_NOT_FOUND POSITION_NOT_AVAILABLE_TO_CLOSE ORDER_NOT_FOUND ORDER_LOCKED CONFLICTING_ORDER
        INSTRUMENT_NOT_FOUND
        ACCOUNT_NOT_ENABLED_TO_TRADING OPPOSING_DIRECTION_ORDERS_NOT_ALLOWED OPPOSING_POSITIONS_NOT_ALLOWED
        POSITION_ALREADY_EXISTS_IN_OPPOSITE_DIRECTION REJECT_CFD_ORDER_ON_SPREADBET_ACCOUNT
        REJECT_SPREADBET_ORDER_ON_CFD_ACCOUNT FORCE_OPEN_ON_SAME_MARKET_DIFFERENT_CURRENCY
        GENERAL_ERROR ORDER_DECLINED EXCHANGE_MANUAL_OVERRIDE FINANCE_REPEAT_DEALING GOOD_TILL_DATE_IN_THE_PAST
        CONTACT_SUPPORT_INSTRUMENT_ERROR
        """,
        Fate.REJECTED,
    ),
    # A second delivery of one request is refused so, and its refusal stands under the same reference as the deal.
    "DUPLICATE_ORDER_ERROR": Fate.EXISTS,
    "MANUAL_ORDER_TIMEOUT": Fate.AMBIGUOUS,
    "PARTIALY_CLOSED_POSITION_NOT_DELETED": Fate.AMBIGUOUS,
    "UNKNOWN": Fate.AMBIGUOUS,
    "SUCCESS": Fate.ACK,
}
BEYOND_THE_STOP: Final = "ATTACHED_ORDER_LEVEL_ERROR"
# Which of them a LIMIT gets whose level the price has left is not documented.
BEYOND_THE_LEVEL: Final = (
    "LEVEL_TOLERANCE_ERROR",
    "LIMIT_ORDER_WRONG_SIDE_OF_MARKET",
    "WRONG_SIDE_OF_MARKET",
    "ORDER_SIZE_CANNOT_BE_FILLED",
)
_LONGEST_WORDS: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One request's end: its fate, the venue's words, and what the answer holds (numbers as Decimal or int)."""

    fate: Fate
    says: str
    status: int = 0
    code: str = ""
    data: object = None


def reply_of(status: int, body: str) -> Reply:
    """An answer that came. A success that cannot be read is ambiguous: it may have been one."""
    data = _parsed(body)
    code = str(data["errorCode"]) if isinstance(data, dict) and data.get("errorCode") else ""
    if code:
        fate = Fate.AMBIGUOUS if status >= 500 else fate_of_code(code)
        return Reply(fate=fate, says=f"{code} (HTTP {status})", status=status, code=code, data=data)
    if status == 204:
        return Reply(fate=Fate.ACK, says="", status=status, data={})
    if 200 <= status < 300 and isinstance(data, dict | list):
        return Reply(fate=Fate.ACK, says="", status=status, data=data)
    words = " ".join(body.split())[:_LONGEST_WORDS] or "an empty body"
    return Reply(fate=Fate.AMBIGUOUS, says=f"HTTP {status}: {words}", status=status)


def unanswered(what: str, reply: Reply) -> BrokerUnavailable:
    """The error for something that surely was not done, or not told."""
    kind = KeyRefused if reply.fate is Fate.LOCKED_OUT else BrokerUnavailable
    return kind(f"ig: {what}: {reply.says}")


def fate_of_code(code: str) -> Fate:
    """What an error code means; it may have the name of a field behind it."""
    return Fate.REJECTED if code.startswith(_REFUSED_PREFIX) else CODES.get(code, Fate.AMBIGUOUS)


@contextmanager
def readable(what: str) -> Iterator[None]:
    """An answer that lacks what it must have says nothing: no conclusion follows from it."""
    try:
        yield
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, ArithmeticError) as error:
        raise BrokerUnavailable(f"ig: the answer about {what} cannot be used: {error!r:.200}") from error


def _parsed(body: str) -> Any:
    try:
        return json.loads(body, parse_float=Decimal)
    except ValueError:
        return None
