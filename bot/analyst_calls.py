"""What asking a model cost and said: one row is one HTTP request that was, or may have been, sent."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

ZERO: Final = Decimal(0)
ANSWERED: Final = "answered"


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens as the server counted them; `input_tokens` is the uncached rest. `cost` is in dollars."""

    input_tokens: int = 0
    cache_write_tokens: int = 0
    cache_read_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal = ZERO


class SpendWindow(StrEnum):
    """The spans, of UTC's calendar, that money is counted in."""

    HOUR = "hour"
    DAY = "day"
    MONTH = "month"

    def start(self, instant: datetime) -> datetime:
        """When the span that `instant` is in began."""
        utc = instant.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        if self is SpendWindow.HOUR:
            return utc
        return utc.replace(hour=0) if self is SpendWindow.DAY else utc.replace(hour=0, day=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendCaps:
    """Most dollars in each span; 0 allows nothing."""

    hour: Decimal
    day: Decimal
    month: Decimal

    def of(self, window: SpendWindow) -> Decimal:
        """The cap of one span."""
        caps = {SpendWindow.HOUR: self.hour, SpendWindow.DAY: self.day, SpendWindow.MONTH: self.month}
        return caps[window]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendRefused:
    """A reservation that would pass a cap."""

    window: SpendWindow
    spent: Decimal
    asked: Decimal
    cap: Decimal


class CallState(StrEnum):
    """How far a call got. What has no evidence of its end is counted at its worst case."""

    RESERVED = "reserved"  # being sent, or the process died: nobody knows
    SETTLED = "settled"  # its cost is known
    UNKNOWN = "unknown"  # it ended without word of its cost: it stays counted in full
    IMPORTED = "imported"  # recorded elsewhere: it costs nothing here


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalystCall:
    """One request as stored. `outcome` is ANSWERED or the name of a reason for no decision.

    `request_body` is the exact JSON that went out (nothing secret is in it); `reply_body` the JSON that came back.
    `number` is 0 until it is stored. `origin` says who answered: only "live" was said by a model.
    """

    key: str
    model: str
    at: datetime
    reserved: Decimal
    request_body: Mapping[str, Any]
    symbol: str = ""
    signal_id: str = ""
    attempt: int = 1
    state: CallState = CallState.RESERVED
    outcome: str = ""
    says: str = ""
    reply_body: Mapping[str, Any] | None = None
    usage: Usage = Usage()
    latency_s: float = 0.0
    request_id: str = ""
    origin: str = "live"
    number: int = 0

    @property
    def counted(self) -> Decimal:
        """Dollars that the budget counts for it."""
        if self.state is CallState.IMPORTED:
            return ZERO
        return self.usage.cost if self.state is CallState.SETTLED else self.reserved


@dataclass(frozen=True, slots=True, kw_only=True)
class CallCosts:
    """The calls of one day, symbol and model together. `usage.cost` is what the budget counts for them."""

    day: date
    symbol: str
    model: str
    requests: int
    answered: int
    without_word: int
    usage: Usage
