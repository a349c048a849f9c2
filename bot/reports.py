"""Questions over everything that is stored, and their answers: lists by filter, and figures worked out in the database.

Only what happened: nothing here is a backtest. Money in account currency, results after costs; an R is the money at
risk at entry. Instants are market time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from itertools import accumulate
from statistics import median
from typing import Final

from bot.instruments import BrokerId, Symbol
from bot.models import (
    Direction,
    JournalEntry,
    OrderRole,
    OrderState,
    OutcomeVerdict,
    SignalRecord,
    StrategyName,
    Timeframe,
)

_HOUR: Final = timedelta(hours=1)
HISTOGRAM_LOW_R: Final = -3.0
HISTOGRAM_HIGH_R: Final = 6.0
HISTOGRAM_STEPS: Final = 18  # of half an R each; what lies beyond is counted at both ends


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """A place in a list that is newest first: rows after this one, which are older."""

    at: datetime
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalLine:
    """One entry of the journal and its number; later ones have greater numbers, not always by one."""

    number: int
    entry: JournalEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalFilter:
    """Which signals; None is any. `since` and `until` (left out itself) are of the verdict."""

    status: str | None = None
    stopped_by: str | None = None
    symbol: Symbol | None = None
    broker_id: BrokerId | None = None
    strategy: StrategyName | None = None
    timeframe: Timeframe | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalLine:
    """One signal of a list: its record without findings, and what the market did with it, if that is known by now."""

    record: SignalRecord
    verdict: OutcomeVerdict | None
    r: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictFigures:
    """All signals that ended alike. Of `decided` the market has reached the nearest target first, the stop first, or
    neither in time; `r_sum` is what stop or nearest target would have given them together, `deviation_r` its spread."""

    status: str
    stopped_by: str
    signals: int
    decided: int
    targets: int
    stops: int
    r_sum: float
    deviation_r: float | None

    @property
    def r_mean(self) -> float | None:
        """What one of them would have given on average."""
        return self.r_sum / self.decided if self.decided else None


class TradeResult(StrEnum):
    """How a closed position ended, after costs."""

    WON = "won"
    LOST = "lost"
    EVEN = "even"


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeFilter:
    """Which closed positions; None is any. `since` and `until` (left out) are of the close."""

    symbol: Symbol | None = None
    broker_id: BrokerId | None = None
    strategy: StrategyName | None = None
    direction: Direction | None = None
    result: TradeResult | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFilter:
    """Which orders; None, and no state, is any."""

    states: frozenset[OrderState] = frozenset()
    symbol: Symbol | None = None
    broker_id: BrokerId | None = None
    role: OrderRole | None = None


class TradeGroup(StrEnum):
    """What closed positions are told apart by. Weekday (1 is Monday) and hour are those of the entry, in UTC."""

    ALL = "all"
    STRATEGY = "strategy"
    SYMBOL = "symbol"
    BROKER = "broker"
    DIRECTION = "direction"
    ANALYST = "analyst"
    TIMEFRAME = "timeframe"
    EXIT_REASON = "exit reason"
    WEEKDAY = "weekday"
    HOUR = "hour"


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeFigures:
    """Closed positions of one group. `gained` and `lost_money` are sums of the winning and of the losing results, both
    positive; `measured` counts those with a known risk, and the figures in R are theirs. `fall_r` is the deepest fall
    of the running sum of R below its peak (or below 0)."""

    name: str
    trades: int
    won: int
    lost: int
    net: Decimal
    costs: Decimal
    gained: Decimal
    lost_money: Decimal
    measured: int
    mean_r: float | None
    median_r: float | None
    deviation_r: float | None
    fall_r: float

    @property
    def profit_factor(self) -> float | None:
        """Won money over lost money; None where nothing was lost."""
        return float(self.gained / self.lost_money) if self.lost_money else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """How many results lie from `low` (with it) to `high` (without it), in R; None: no end on that side."""

    low: float | None
    high: float | None
    trades: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EquityPoint:
    """Equity at the end of one slot of time, and the deepest fall below the peak within it, as a share of the peak
    that had been reached by its end."""

    at: datetime
    equity: Decimal
    drawdown: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Slots:
    """A span of time cut into parts of one length. `by_hours`: they begin and end with hours of UTC."""

    begin: datetime
    length: timedelta
    by_hours: bool

    @classmethod
    def of(cls, begin: datetime, until: datetime, points: int) -> "Slots":
        """At most `points` of them. If they are longer than an hour they are whole ones, from that of `begin` on."""
        length = -(-(until - begin) // points) if until > begin else timedelta(microseconds=1)
        if length <= _HOUR:
            return cls(begin=begin, length=length, by_hours=False)
        begin = begin_of_hour(begin)
        hours = -(-(until - begin) // (points * _HOUR))
        return cls(begin=begin, length=hours * _HOUR, by_hours=True)


def begin_of_hour(at: datetime) -> datetime:
    """The full hour before it, or itself."""
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def middle(results: Sequence[float]) -> float | None:
    """The median; None of nothing."""
    return median(results) if results else None


def deepest_fall(results: Sequence[float]) -> float:
    """How far the running sum of these ever was below its peak, or below 0."""
    peak = deepest = 0.0
    for total in accumulate(results):
        peak = max(peak, total)
        deepest = max(deepest, peak - total)
    return deepest


def stopped_by(record: SignalRecord) -> str:
    """The code of the rule or limit that ended a signal; empty if none did."""
    return record.reason.partition(":")[0] if record.status == "refused" else record.rejected_by


def bucket_ends(number: int) -> tuple[float | None, float | None]:
    """Ends of bucket `number` of the histogram: 0 is below all steps, HISTOGRAM_STEPS + 1 above."""
    width = (HISTOGRAM_HIGH_R - HISTOGRAM_LOW_R) / HISTOGRAM_STEPS
    low, high = HISTOGRAM_LOW_R + (number - 1) * width, HISTOGRAM_LOW_R + number * width
    return (low if number > 0 else None), (high if number <= HISTOGRAM_STEPS else None)
