"""What an answer of Binance means for the order that was sent: one table, on the raw status and body."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final

from bot.errors import BrokerUnavailable, KeyRefused


class Fate(StrEnum):
    """What became of a request. Everything the table does not name is AMBIGUOUS."""

    ACK = "ack"
    REJECTED = "rejected"
    WOULD_TRIGGER = "would trigger"
    EXISTS = "exists"
    NOT_OPEN = "not open"
    NOT_FOUND = "not found"
    CLOCK = "clock"
    KEY = "key"
    UNAVAILABLE = "unavailable"
    NOT_SENT = "not sent"
    AMBIGUOUS = "ambiguous"


# The venue refused these before anything was done. Codes that say "busy" or "unknown" are not among them.
_REFUSED: Final = (
    *(-1013, -1014, -1016, -1020, -1099, -1100, -1101, -1102, -1103, -1104, -1105, -1106, -1108),
    *(-1111, -1112, -1114, -1115, -1116, -1117, -1118, -1119, -1120, -1121, -1122, -1125, -1127, -1128, -1130),
    *(-1131, -1134, -1135, -1145, -1151, -2010, -2016, -2038, -2039),
)
# Nor does it let in who has no key, a revoked one, another secret, or asks from elsewhere: whatever was asked for.
_NOT_LET_IN: Final = (-1002, -1022, -2008, -2014, -2015)
CODES: Final[Mapping[int, Fate]] = {
    **dict.fromkeys(_REFUSED, Fate.REJECTED),
    **dict.fromkeys(_NOT_LET_IN, Fate.KEY),
    -1021: Fate.CLOCK,
    -1003: Fate.UNAVAILABLE,  # "too many requests": the gate refused it, the engine never saw it
    -1015: Fate.UNAVAILABLE,
    -2011: Fate.NOT_OPEN,
    -2013: Fate.NOT_FOUND,
    -2026: Fate.NOT_FOUND,  # archived: cancelled or expired without a fill more than 90 days ago
    -4116: Fate.EXISTS,
    -1000: Fate.AMBIGUOUS,
    -1001: Fate.AMBIGUOUS,
    -1004: Fate.AMBIGUOUS,
    -1006: Fate.AMBIGUOUS,
    -1007: Fate.AMBIGUOUS,
    -1008: Fate.AMBIGUOUS,
    -1034: Fate.AMBIGUOUS,
    -2021: Fate.AMBIGUOUS,
    -2022: Fate.AMBIGUOUS,
}
_GATE: Final = (418, 429)
_SAYS: Final[Mapping[str, Fate]] = {
    "duplicate order sent": Fate.EXISTS,
    "would trigger immediately": Fate.WOULD_TRIGGER,
}
_LONGEST_WORDS: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One request's end: its fate, the venue's words, and what the answer holds (numbers as Decimal)."""

    fate: Fate
    says: str
    status: int = 0
    code: int = 0
    data: object = None


def reply_of(status: int, body: str) -> Reply:
    """An answer that came. A success that cannot be read is ambiguous: it may have been one."""
    data = parsed(body)
    code, message = _failure(data)
    if code:
        return Reply(fate=_fate(status, code, message), says=f"{message} ({code})", status=status, code=code, data=data)
    if 200 <= status < 300 and isinstance(data, dict | list):
        return Reply(fate=Fate.ACK, says="", status=status, data=data)
    words = " ".join(body.split())[:_LONGEST_WORDS] or "an empty body"
    return Reply(fate=Fate.AMBIGUOUS, says=f"HTTP {status}: {words}", status=status)


def unanswered(what: str, reply: Reply) -> BrokerUnavailable:
    """The error for something that surely was not done, or not told."""
    kind = KeyRefused if reply.fate is Fate.KEY else BrokerUnavailable
    return kind(f"binance: {what}: {reply.says}")


def parsed(body: str) -> object:
    """The JSON of a body with exact numbers; None if it is something else."""
    try:
        return json.loads(body, parse_float=Decimal)
    except ValueError:
        return None


@contextmanager
def readable(what: str) -> Iterator[None]:
    """An answer that lacks what it must have says nothing: no conclusion follows from it."""
    try:
        yield
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, ArithmeticError) as error:
        raise BrokerUnavailable(f"binance: the answer about {what} cannot be used: {error!r:.200}") from error


def _fate(status: int, code: int, message: str) -> Fate:
    if status >= 500:
        return Fate.AMBIGUOUS  # "execution status is UNKNOWN and could have been a success", whatever the code
    fate = CODES.get(code, Fate.AMBIGUOUS)
    if status in _GATE and fate is not Fate.UNAVAILABLE:
        return Fate.AMBIGUOUS
    if fate is Fate.REJECTED:
        said = message.lower()
        return next((named for words, named in _SAYS.items() if words in said), fate)
    return fate


def _failure(data: object) -> tuple[int, str]:
    if not isinstance(data, dict) or not isinstance(data.get("code"), int):
        return 0, ""
    return data["code"], str(data.get("msg", "no words"))
