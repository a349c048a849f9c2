"""The nouns, in the order of the flow: Candle, FeatureSet, Signal, Endorsed, ApprovedOrder, Fill, Position, Outcome.

Prices, quantities and money are Decimal; floats live in the columns that indicators read. Instants are aware UTC.
A step takes only what the step before made, so that leaving one out does not type-check.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Final, NamedTuple, NewType

import numpy as np
from numpy.typing import NDArray

from bot.errors import UsageError
from bot.instruments import BrokerId, Currency, Instrument, Symbol

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

TaskId = NewType("TaskId", str)
SignalId = NewType("SignalId", str)
ClientOrderId = NewType("ClientOrderId", str)
PositionId = NewType("PositionId", str)
StrategyName = NewType("StrategyName", str)


# ---------------------------------------------------------------------------------------------------- what happened


class Timeframe(StrEnum):
    """Length of a candle."""

    M1 = "1m"
    M5 = "5m"
    M15 = "15m"
    M30 = "30m"
    H1 = "1h"
    H4 = "4h"
    D1 = "1d"

    @property
    def seconds(self) -> int:
        """Length in seconds."""
        return _TIMEFRAME_SECONDS[self]

    @property
    def duration(self) -> timedelta:
        """Length as a time difference."""
        return timedelta(seconds=self.seconds)

    @classmethod
    def parse(cls, text: str) -> "Timeframe":
        """The timeframe written as `text`. Raises UsageError, listing the known ones."""
        try:
            return cls(text.lower())
        except ValueError:
            known = ", ".join(each.value for each in cls)
            raise UsageError(f"timeframe {text!r} is not known; use one of: {known}") from None


_TIMEFRAME_SECONDS: Final[Mapping[Timeframe, int]] = {
    Timeframe.M1: 60,
    Timeframe.M5: 300,
    Timeframe.M15: 900,
    Timeframe.M30: 1_800,
    Timeframe.H1: 3_600,
    Timeframe.H4: 14_400,
    Timeframe.D1: 86_400,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Candle:
    """One closed interval's open, high, low, close and volume. Nobody sees it before `closed_at`."""

    opened_at: datetime
    closed_at: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


@dataclass(frozen=True, slots=True)
class CandleSeries:
    """Closed candles of one instrument and timeframe as columns, oldest first; all of shape (n,).

    `opened_at_s` are whole seconds since 1970 UTC. `segment` rises at each unscheduled hole (SPEC: gaps). The
    columns are shared and must not be written to.
    """

    symbol: Symbol
    timeframe: Timeframe
    opened_at_s: Ints
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    segment: Ints

    def __len__(self) -> int:
        return len(self.opened_at_s)

    def opened_at(self, index: int) -> datetime:
        """Open instant of candle `index`."""
        return datetime.fromtimestamp(int(self.opened_at_s[index]), tz=UTC)

    def closed_at(self, index: int) -> datetime:
        """Close instant of candle `index`: its open plus the timeframe."""
        return datetime.fromtimestamp(int(self.opened_at_s[index]) + self.timeframe.seconds, tz=UTC)

    def candle(self, index: int) -> Candle:
        """Candle `index` with decimal prices: the shortest decimal that reads back as the same float."""
        return Candle(
            opened_at=self.opened_at(index),
            closed_at=self.closed_at(index),
            open=decimal_of(self.open[index]),
            high=decimal_of(self.high[index]),
            low=decimal_of(self.low[index]),
            close=decimal_of(self.close[index]),
            volume=decimal_of(self.volume[index]),
        )

    def slice(self, start: int, stop: int) -> "CandleSeries":
        """Candles `start..stop-1`, sharing the same memory."""
        return CandleSeries(
            self.symbol,
            self.timeframe,
            self.opened_at_s[start:stop],
            self.open[start:stop],
            self.high[start:stop],
            self.low[start:stop],
            self.close[start:stop],
            self.volume[start:stop],
            self.segment[start:stop],
        )


def decimal_of(number: float) -> Decimal:
    """The shortest decimal form of a float."""
    return Decimal(repr(float(number)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """What a seller gets (bid) and a buyer pays (ask) at one instant."""

    symbol: Symbol
    bid: Decimal
    ask: Decimal
    at: datetime

    @property
    def spread(self) -> Decimal:
        """Ask minus bid."""
        return self.ask - self.bid

    @property
    def mid(self) -> Decimal:
        """Mean of bid and ask; never a fill price."""
        return (self.bid + self.ask) / 2


# ------------------------------------------------------------------------------------------------------ what it means


class Direction(StrEnum):
    """Which way an idea or a position points."""

    LONG = "long"
    SHORT = "short"

    @property
    def sign(self) -> int:
        """+1 for long, -1 for short."""
        return 1 if self is Direction.LONG else -1

    @property
    def opposite(self) -> "Direction":
        """The other direction."""
        return Direction.SHORT if self is Direction.LONG else Direction.LONG


class DivergenceKind(StrEnum):
    """Regular: price makes the new extreme. Hidden: the oscillator does."""

    REGULAR = "regular"
    HIDDEN = "hidden"


@dataclass(frozen=True, slots=True, kw_only=True)
class Divergence:
    """One oscillator against price between two pivots. Indices count candles of the series; `known_at` is the first
    candle at whose close all of it was known."""

    oscillator: str
    kind: DivergenceKind
    direction: Direction
    p1: int
    p2: int
    q1: int
    q2: int
    price1: float
    price2: float
    osc1: float
    osc2: float
    known_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DivergenceSetup:
    """All divergences with one (known_at, p2, direction), reduced to the majority kind. `score` is 0..1."""

    known_at: int
    direction: Direction
    kind: DivergenceKind
    p1: int
    p2: int
    divergences: tuple[Divergence, ...]
    families: tuple[str, ...]
    score: float

    @property
    def oscillators(self) -> tuple[str, ...]:
        """Names of the oscillators that agree, sorted."""
        return tuple(sorted(each.oscillator for each in self.divergences))


@dataclass(frozen=True, slots=True)
class FeatureColumns:
    """Indicator columns of one series, each of shape (n,), NaN where undefined. SPEC section 2."""

    rsi: Floats
    macd_hist: Floats
    stoch_k: Floats
    willr: Floats
    cci: Floats
    mfi: Floats
    atr: Floats
    adx: Floats
    bandwidth: Floats
    bandwidth_median: Floats
    volume_mean: Floats

    def oscillator(self, name: str) -> Floats:
        """Column of one of the six divergence oscillators."""
        column: Floats = getattr(self, name)
        return column


@dataclass(frozen=True, slots=True)
class FeatureSet:
    """What is known at the close of candle `k`: the columns up to and including k, and the setups that became known.

    The columns may be longer than k + 1 (a replay computes them at once); whoever reads beyond k looks ahead, and the
    look-ahead checker catches it.
    """

    series: CandleSeries
    columns: FeatureColumns
    k: int
    setups: tuple[DivergenceSetup, ...]

    @property
    def closed_at(self) -> datetime:
        """Close of candle k: the instant from which this is known."""
        return self.series.closed_at(self.k)


@dataclass(frozen=True, slots=True, kw_only=True)
class DivergenceClaim:
    """What a divergence signal says it saw; the evidence rules hold each of these against the candles."""

    kind: DivergenceKind
    oscillators: tuple[str, ...]
    p1_at: datetime
    p2_at: datetime
    p1_price: Decimal
    p2_price: Decimal


class TrailKind(StrEnum):
    """How a trailing stop follows: a fixed share of the best price, or ever closer from target 1 to target 2."""

    PERCENT = "percent"
    PROGRESSIVE = "progressive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trail:
    """Trailing stop. Ratios are shares of the price (percent kind); `*_r` are multiples of the first risk."""

    kind: TrailKind
    distance_ratio: Decimal = Decimal(0)
    activation_ratio: Decimal = Decimal(0)
    start_r: Decimal = Decimal("1.0")
    end_r: Decimal = Decimal("0.25")
    step_r: Decimal = Decimal("0.1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Close `fraction` of the first quantity at `price`."""

    price: Decimal
    fraction: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitPlan:
    """How a position will end, decided before it is opened (SPEC section 16).

    `targets` are nearest first. Break-even is triggered after target number `break_even_target` (1-based) or when
    `break_even_fraction` of the way from the entry to the last target is gone. `stop_reason` names a hit of the stop
    as it was planned; `target_reason` a hit of any target, where that is not TARGET_1, TARGET_2 and so on.
    `min_notional` is the least quantity x price of an order at the venue, in quote currency; 0: no such bound.
    """

    direction: Direction
    stop: Decimal
    targets: tuple[Target, ...]
    tick: Decimal
    quantity_step: Decimal
    min_quantity: Decimal
    min_notional: Decimal = Decimal(0)
    break_even_target: int | None = None
    break_even_fraction: Decimal | None = None
    trail: Trail | None = None
    deadline: datetime | None = None
    deadline_reason: str = "TIMEOUT"
    stop_reason: str = "STOP"
    target_reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EntrySignal:
    """An opinion: enter in `direction` near `entry`, with this way out. Judged before anything else happens.

    `direction` is None where an analyst looked and found nothing to do. `candle_closed_at` is the instant from which
    it was known; `k` the index of that candle in the series it was made from (for the snapshot, never stored).
    """

    id: SignalId
    task_id: TaskId
    strategy: StrategyName
    broker_id: BrokerId
    symbol: Symbol
    timeframe: Timeframe
    candle_closed_at: datetime
    direction: Direction | None
    entry: Decimal | None
    stop_loss: Decimal | None
    targets: tuple[Decimal, ...]
    confidence: float
    claim: DivergenceClaim | None = None
    analyst: str = "detector"


class FindingStatus(StrEnum):
    """Answer of a rule. Only FAIL rejects."""

    PASS = "pass"  # noqa: S105 - not a password
    FAIL = "fail"
    OFF = "off"
    NOT_APPLICABLE = "n/a"


class Finding(NamedTuple):
    """What one rule measured, against which limit, and its answer. `measured` is NaN where an input was missing.

    A tuple, because 27 are made for every signal and a tuple is made in a third of the time.
    """

    code: str
    name: str
    status: FindingStatus
    measured: float | str
    limit: str

    @property
    def says(self) -> str:
        """One sentence for a person."""
        value = f"{self.measured:.6g}" if isinstance(self.measured, float) else (self.measured or "nothing")
        return f"rule {self.code} {self.name}: {value}, needs {self.limit} ({self.status.value})"


@dataclass(frozen=True, slots=True)
class Judgement:
    """Every finding on one signal, in rule order, with the quality score and the evidence that was recomputed."""

    signal: EntrySignal
    findings: tuple[Finding, ...]
    score: float
    oscillators_left: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Endorsed(Judgement):
    """A signal that no rule failed. Made only by the validator; risk takes nothing else."""


@dataclass(frozen=True, slots=True)
class Vetoed(Judgement):
    """A signal that a rule failed; `rejected_by` is the first failing code."""

    rejected_by: str = ""

    @property
    def failed(self) -> tuple[str, ...]:
        """Codes of all failing rules, in order."""
        return tuple(each.code for each in self.findings if each.status is FindingStatus.FAIL)

    @property
    def reason(self) -> str:
        """The first failing rule, for a person."""
        failing = next((each for each in self.findings if each.code == self.rejected_by), None)
        return failing.says if failing else f"rejected by {self.rejected_by}"


Verdict = Endorsed | Vetoed


# ------------------------------------------------------------------------------------------------------------- may we


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountState:
    """Balance (closed results) and equity (with open results) of one broker account, in `currency`."""

    broker_id: BrokerId
    currency: Currency
    balance: Decimal
    equity: Decimal
    margin_used: Decimal
    at: datetime


class Side(StrEnum):
    """What an order does."""

    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        """+1 for a buy, -1 for a sell."""
        return 1 if self is Side.BUY else -1

    @classmethod
    def opening(cls, direction: Direction) -> "Side":
        """The side that opens a position of `direction`."""
        return cls.BUY if direction is Direction.LONG else cls.SELL

    @classmethod
    def closing(cls, direction: Direction) -> "Side":
        """The side that closes a position of `direction`."""
        return cls.SELL if direction is Direction.LONG else cls.BUY


class OrderKind(StrEnum):
    """How an order executes."""

    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovedOrder:
    """Permission to open or add. Made only by layer 4; carries the exit plan whose stop rests at the venue.

    `stop_order_id` names the attached protective stop. `price_bound` is the worst price that it may fill at, of a LIMIT
    its limit. `risk_amount` is R in account currency at `decided_price`, fixed now; `value_per_point` as in Position.
    Not sent after `valid_until`.
    """

    client_order_id: ClientOrderId
    stop_order_id: ClientOrderId
    position_id: PositionId
    signal_id: SignalId
    task_id: TaskId
    strategy: StrategyName
    broker_id: BrokerId
    symbol: Symbol
    side: Side
    kind: OrderKind
    quantity: Decimal
    limit_price: Decimal | None
    decided_price: Decimal
    price_bound: Decimal
    plan: ExitPlan
    risk_amount: Decimal
    value_per_point: Decimal
    valid_until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitCheck:
    """One limit of risk: what would be used with this order, and how much is allowed."""

    code: str
    used: Decimal
    allowed: Decimal
    passed: bool
    says: str


class KillLevel(StrEnum):
    """How much is stopped, in rising order: the names compare by what they stop, not by their letters.

    PAUSE: no entries. FLATTEN: besides, working entries are cancelled and every position is closed at market. HALT:
    nothing that increases risk is sent, working entries are cancelled, and only the password ends it. Exits and
    protective stops go on at every level.
    """

    NONE = "none"
    PAUSE = "pause"
    FLATTEN = "flatten"
    HALT = "halt"

    @property
    def severity(self) -> int:
        """0 (nothing is stopped) to 3."""
        return tuple(KillLevel).index(self)

    def __lt__(self, other: str) -> bool:
        return self.severity < KillLevel(other).severity

    def __le__(self, other: str) -> bool:
        return self.severity <= KillLevel(other).severity

    def __gt__(self, other: str) -> bool:
        return self.severity > KillLevel(other).severity

    def __ge__(self, other: str) -> bool:
        return self.severity >= KillLevel(other).severity


class KillCause(StrEnum):
    """What pressed the kill switch: a person by one of five ways, or a limit."""

    NOTHING = "nothing"
    COMMAND = "command"
    PAGE = "page"
    FILE = "file"
    TELEGRAM = "telegram"
    API = "api"
    DRAWDOWN = "drawdown"
    DAILY_LOSS = "daily loss"

    @property
    def ends_by_itself(self) -> bool:
        """The next session day lifts it, and no person does: the limit itself goes on until then."""
        return self is KillCause.DAILY_LOSS


@dataclass(frozen=True, slots=True, kw_only=True)
class KillState:
    """One latch of the kill switch, or its release (level NONE, for everything of that cause and broker).

    `by` is the person or "daemon"; `broker_id` None means every broker. `at` is a person's time on command
    line and page; what the daemon writes itself (limits, the file) has market time.
    """

    level: KillLevel
    by: str
    cause: KillCause
    reason: str
    at: datetime
    broker_id: BrokerId | None = None

    def holds_for(self, broker_id: BrokerId | None) -> bool:
        """It concerns `broker_id`; None asks for any broker."""
        return self.broker_id in (None, broker_id) or broker_id is None

    @property
    def says(self) -> str:
        """One line for a person."""
        if self.level is KillLevel.NONE:
            return "not pressed"
        where = f" of {self.broker_id}" if self.broker_id else ""
        told = f": {self.reason}" if self.reason else ""
        pressed = f"{self.level.value.upper()}{where} by {self.by} ({self.cause.value})"
        return f"{pressed}, {self.at:%Y-%m-%d %H:%M:%S} UTC{told}"


NOT_KILLED: Final = KillState(
    level=KillLevel.NONE, by="", cause=KillCause.NOTHING, reason="", at=datetime(1970, 1, 1, tzinfo=UTC)
)


def strongest(latches: Sequence[KillState], broker_id: BrokerId | None = None) -> KillState:
    """The latch that decides for one broker (None: for any): the highest level, of equal ones the first."""
    return max((each for each in latches if each.holds_for(broker_id)), key=_severity, default=NOT_KILLED)


def _severity(state: KillState) -> int:
    return state.level.severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Risk says no. `code` is the first limit that did; all checks are kept."""

    signal_id: SignalId
    code: str
    says: str
    checks: tuple[LimitCheck, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReduceOrder:
    """An order that can only make a position smaller. No entry limit ever blocks it."""

    client_order_id: ClientOrderId
    position_id: PositionId
    entry_order_id: ClientOrderId
    broker_id: BrokerId
    symbol: Symbol
    side: Side
    kind: OrderKind
    quantity: Decimal
    limit_price: Decimal | None
    reason: str


_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
ORDER_ID_PREFIX: Final = "TB"
_LEG_AT: Final = 19


def client_order_id(
    *,
    environment: str,
    account: str,
    strategy: str,
    symbol: str,
    timeframe: str,
    candle_closed_at: datetime,
    side: Side,
    leg: str,
    attempt: int = 0,
) -> ClientOrderId:
    """The name of an order as a function of the logical event, so that the same decision made twice collides.

    `environment` is one character (d, p, l, r), `leg` two. 22 characters of [A-Z0-9a-z], and one more for each digit
    more that `attempt` has: fits every venue (docs/decisions/0003).
    """
    event = "|".join((account, strategy, symbol, timeframe, candle_closed_at.isoformat(), side.value))
    return ClientOrderId(f"{ORDER_ID_PREFIX}{environment}{_body_of(event)}{leg}{attempt}")


def leg_of(entry: ClientOrderId, leg: str, attempt: int = 0) -> ClientOrderId:
    """Id of another leg (two characters) of the same logical event as `entry`; ours also where the entry was not.

    Each attempt has its own, however many there are: 22 characters for the first ten, 25 after thousands.
    """
    stem = entry[:_LEG_AT] if entry.startswith(ORDER_ID_PREFIX) else f"{ORDER_ID_PREFIX}x{_body_of(entry)}"
    return ClientOrderId(f"{stem}{leg}{attempt}")


def entry_of(leg: ClientOrderId) -> ClientOrderId:
    """The entry that an order of ours belongs to."""
    return leg_of(leg, "E0")


def is_stop_leg(name: ClientOrderId) -> bool:
    """It names a protective stop of ours: where the venue keeps no name for one, the leg tells it."""
    return name.startswith(ORDER_ID_PREFIX) and name[_LEG_AT : _LEG_AT + 1] == "S"


def _body_of(event: str) -> str:
    bits = int.from_bytes(hashlib.sha256(event.encode()).digest()[:10], "big")
    return "".join(_CROCKFORD[(bits >> shift) & 31] for shift in range(75, -1, -5))


# ----------------------------------------------------------------------------------------------------------- doing it


class OrderState(StrEnum):
    """Where an order is. UNKNOWN is a state: it is left by evidence, never by waiting."""

    INTENT = "INTENT"
    SENDING = "SENDING"
    UNKNOWN = "UNKNOWN"
    WORKING = "WORKING"
    TRIGGERED = "TRIGGERED"
    PARTIAL = "PARTIAL"
    CANCEL_PENDING = "CANCEL_PENDING"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    REJECTED = "REJECTED"
    DENIED = "DENIED"
    NOT_PLACED = "NOT_PLACED"

    @property
    def is_terminal(self) -> bool:
        """Nothing more is expected of the order (a late fill may still come)."""
        return self in _TERMINAL


_TERMINAL: Final = frozenset(
    {
        OrderState.FILLED,
        OrderState.CANCELED,
        OrderState.EXPIRED,
        OrderState.REJECTED,
        OrderState.DENIED,
        OrderState.NOT_PLACED,
    }
)


class OrderRole(StrEnum):
    """What an order is for."""

    ENTRY = "entry"
    STOP = "stop"
    EXIT = "exit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Our record of one order. `filled_price` is the average over its own fills."""

    client_order_id: ClientOrderId
    position_id: PositionId
    signal_id: SignalId | None
    task_id: TaskId
    broker_id: BrokerId
    symbol: Symbol
    role: OrderRole
    side: Side
    kind: OrderKind
    quantity: Decimal
    price: Decimal | None
    state: OrderState
    reason: str
    created_at: datetime
    updated_at: datetime
    venue_order_id: str | None = None
    filled_quantity: Decimal = Decimal(0)
    filled_price: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderAck:
    """A venue's answer: WORKING, FILLED, CANCELED or EXPIRED (taken, ended before all of it was filled), REJECTED, with
    its own words."""

    client_order_id: ClientOrderId
    state: OrderState
    venue_order_id: str | None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """One exchange of quantity at a price; a fact, applied once. `fee` is positive when paid, in account currency.

    `cause` is why the venue filled it where the venue knows (market, limit, stop). `withheld` is what the venue kept of
    the quantity as its fee (a purchase on a spot market): the order is filled by `quantity`, the position grows by
    `quantity` less `withheld`, and `fee` has its worth.
    """

    broker_id: BrokerId
    venue_fill_id: str
    client_order_id: ClientOrderId
    symbol: Symbol
    side: Side
    quantity: Decimal
    price: Decimal
    fee: Decimal
    filled_at: datetime
    cause: str = ""
    withheld: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class VenuePosition:
    """What the venue says is open: what one entry has left, and the stop that rests for it (None: unprotected)."""

    entry_order_id: ClientOrderId
    symbol: Symbol
    direction: Direction
    quantity: Decimal
    average_price: Decimal
    stop_price: Decimal | None
    stop_order_id: ClientOrderId | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Net open quantity of one entry and what became of it. Derived from fills; `entry_price` never changes by an exit.

    `best_price` and `worst_price` are the extremes on the side we would exit at, `realised` is the result of partial
    closes before fees, `fees` what was paid so far; money in account currency.
    """

    id: PositionId
    task_id: TaskId
    signal_id: SignalId
    strategy: StrategyName
    broker_id: BrokerId
    symbol: Symbol
    direction: Direction
    plan: ExitPlan
    entry_order_id: ClientOrderId
    stop_order_id: ClientOrderId
    first_quantity: Decimal
    quantity: Decimal
    entry_price: Decimal
    stop_price: Decimal
    exit_price: Decimal | None
    closed_quantity: Decimal
    realised: Decimal
    fees: Decimal
    risk_amount: Decimal
    targets_hit: int
    best_price: Decimal
    worst_price: Decimal
    mark_price: Decimal
    break_even: bool
    trailing: bool
    value_per_point: Decimal
    opened_at: datetime
    closed_at: datetime | None
    exit_reason: str

    @property
    def is_pending(self) -> bool:
        """Its entry has not been filled yet, or by so little that fees have left nothing of it to sell."""
        return self.closed_at is None and (self.first_quantity == 0 or self.quantity == self.closed_quantity == 0)

    @property
    def is_open(self) -> bool:
        """Something of it is left."""
        return self.quantity > 0

    @property
    def open_result(self) -> Decimal:
        """What the open quantity would give at `mark_price`, before fees, in account currency."""
        return (self.mark_price - self.entry_price) * self.direction.sign * self.quantity * self.value_per_point

    @property
    def net(self) -> Decimal:
        """Realised result after fees, in account currency."""
        return self.realised - self.fees

    @property
    def r_multiple(self) -> float:
        """Net result in multiples of the money at risk at entry."""
        return float(self.net / self.risk_amount) if self.risk_amount else math.nan


# --------------------------------------------------------------------------------------------------- what came of it


class OutcomeVerdict(StrEnum):
    """What the market did with a signal's own stop and nearest target, whether it was traded or not."""

    OPEN = "open"
    TARGET_HIT = "target_hit"
    STOP_HIT = "stop_hit"
    NEITHER = "neither"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What followed a signal: prices at checkpoints, the best and worst excursion in R, which level was hit first.

    `checkpoints` maps "1h", "4h", "24h" to the close of the last candle not later than that. Excursions are measured
    from the price the entry would really have paid; `r` is the hypothetical result of stop or nearest target.
    """

    signal_id: SignalId
    symbol: Symbol
    timeframe: Timeframe
    direction: Direction
    accepted: bool
    paid: Decimal
    stop: Decimal
    target: Decimal
    started_at: datetime
    followed_until: datetime
    candles: int = 0
    checkpoints: Mapping[str, Decimal] = field(default_factory=dict)
    mfe_r: float = 0.0
    mae_r: float = 0.0
    verdict: OutcomeVerdict = OutcomeVerdict.OPEN
    r: float | None = None
    done: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PortfolioSnapshot:
    """Equity over all accounts at one instant, and the peak that the drawdown is measured from.

    `accounts` are those that are counted, each as it was last known; empty where that is not told (a point of a curve,
    a row from before migration 0017).
    """

    at: datetime
    equity: Decimal
    balance: Decimal
    open_positions: int
    peak: Decimal
    accounts: tuple[AccountState, ...] = ()

    @property
    def drawdown(self) -> Decimal:
        """Fall from the peak as a share of it."""
        return (self.peak - self.equity) / self.peak if self.peak > 0 else Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TradingSetup:
    """A 4h signal that waits for a 1h confirmation of the same direction until `expires_at` (SPEC section 15)."""

    signal_id: SignalId
    task_id: TaskId
    symbol: Symbol
    direction: Direction
    stop: Decimal
    created_at: datetime
    expires_at: datetime
    ended_as: str = ""
    ended_at: datetime | None = None


class TaskState(StrEnum):
    """Where a strategy task is."""

    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyTask:
    """One strategy on one instrument and timeframe at one broker, with its own parameters."""

    id: TaskId
    strategy: StrategyName
    broker_id: BrokerId
    symbol: Symbol
    timeframe: Timeframe
    parameters: Mapping[str, str] = field(default_factory=dict)
    state: TaskState = TaskState.RUNNING

    @classmethod
    def of(cls, strategy: str, instrument: Instrument, timeframe: Timeframe) -> "StrategyTask":
        """The task of `strategy` on `instrument` and `timeframe`; its id says so."""
        return cls(
            id=TaskId(f"{strategy}:{instrument.symbol}:{timeframe.value}"),
            strategy=StrategyName(strategy),
            broker_id=instrument.broker_id,
            symbol=instrument.symbol,
            timeframe=timeframe,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskActivity:
    """What came of one task: its signals of a span, its setups that wait."""

    task_id: TaskId
    signals: int
    live_setups: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalRecord:
    """A signal with everything that was decided about it, as stored and shown.

    `status` is one of vetoed, setup, refused, ordered; `reason` says why it went no further.
    """

    signal: EntrySignal
    findings: tuple[Finding, ...]
    score: float
    status: str
    rejected_by: str
    reason: str
    decided_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """One decision or fact, in the order it happened. `data` holds only JSON types."""

    at: datetime
    kind: str
    task_id: TaskId | None
    data: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobHealth:
    """How one scheduled job is doing. `missed` counts runs that were due and did not happen in time, `failing` the
    failures since the last run that went well."""

    name: str
    interval_s: float
    runs: int = 0
    missed: int = 0
    failures: int = 0
    failing: int = 0
    last_run_at: datetime | None = None
    last_duration_s: float = 0.0
    last_error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonStatus:
    """What `botctl status` and the page show at a glance. Money in account currency."""

    mode: str
    url: str
    health: str
    equity: Decimal
    balance: Decimal
    currency: str
    open_positions: int
    closed_positions: int
    signals: Mapping[str, int]
    orders: Mapping[str, int]
    last_analysis: datetime | None
    last_error: str
    jobs: Sequence[JobHealth]
    started_at: datetime
    now: datetime
    market: str
    kill_level: KillLevel
    kill: str
