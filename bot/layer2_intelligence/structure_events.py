"""What the structure detectors find (SPEC sections 6 to 9), as facts that are never rewritten.

Indices count candles of the series. `known_at` is the first candle at whose close all of an event was known; what
becomes true of it later is a further event. Prices are floats of the candles' columns.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from bot.models import Direction

Json = dict[str, object]


class SwingSide(StrEnum):
    """Which extreme a level is."""

    HIGH = "high"
    LOW = "low"

    @property
    def breaks_towards(self) -> Direction:
        """Direction of a close beyond a level of this side."""
        return Direction.LONG if self is SwingSide.HIGH else Direction.SHORT

    @property
    def sign(self) -> int:
        """+1 for highs, -1 for lows: a price times this is larger the further it is beyond a level."""
        return 1 if self is SwingSide.HIGH else -1


class SwingLabel(StrEnum):
    """A swing against the one of the same side before it: higher, lower or equal."""

    HIGHER_HIGH = "HH"
    LOWER_HIGH = "LH"
    EQUAL_HIGH = "EQH"
    HIGHER_LOW = "HL"
    LOWER_LOW = "LL"
    EQUAL_LOW = "EQL"


@dataclass(frozen=True, slots=True, kw_only=True)
class SwingEvent:
    """A pivot that entered the alternating list of swings; `replaces` if it took the place of the newest one.

    `label` is None for the first of its side.
    """

    known_at: int
    side: SwingSide
    at: int
    level: float
    replaces: bool
    label: SwingLabel | None


class BreakKind(StrEnum):
    """BOS: a break with the trend, or the first of all. CHoCH: a break against the trend."""

    BOS = "BOS"
    CHOCH = "CHoCH"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakEvent:
    """The newest swing of a side was broken; `at` and `level` are that swing's."""

    known_at: int
    kind: BreakKind
    direction: Direction
    at: int
    level: float

    @property
    def side(self) -> SwingSide:
        """Side of the broken swing."""
        return SwingSide.HIGH if self.direction is Direction.LONG else SwingSide.LOW


StructureEvent = SwingEvent | BreakEvent


class GapZone(Protocol):
    """What a fair value gap is, whatever has become of it."""

    @property
    def middle(self) -> int: ...
    @property
    def direction(self) -> Direction: ...
    @property
    def bottom(self) -> float: ...
    @property
    def top(self) -> float: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FairValueGap:
    """A price range that the neighbours of candle `middle` leave open, with the candles of its later facts.

    Price enters it (touched), reaches its middle (half) and its far edge (filled), and closes beyond that (inverted,
    the end of its life): each the first such candle, None as long as it has not happened.
    """

    middle: int
    direction: Direction
    bottom: float
    top: float
    touched: int | None = None
    half: int | None = None
    filled: int | None = None
    inverted: int | None = None

    @property
    def known_at(self) -> int:
        """The candle after the middle one."""
        return self.middle + 1


class GapFact(StrEnum):
    """What became known of a gap, in the order in which several facts of one candle are told."""

    FORMED = "formed"
    TOUCHED = "touched"
    HALF = "half"
    FILLED = "filled"
    INVERTED = "inverted"


@dataclass(frozen=True, slots=True, kw_only=True)
class GapEvent:
    """One fact of one gap, known at the close of candle `known_at`."""

    known_at: int
    fact: GapFact
    middle: int
    direction: Direction
    bottom: float
    top: float


class SweepOutcome(StrEnum):
    """Price went beyond a level and closed back in time and not too far (swept), or did not (broken)."""

    SWEPT = "swept"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepEvent:
    """What came of going beyond a level: from candle `start` to `known_at`, as far as `extreme`.

    `strength` is the number of untouched levels in its cluster of nearly equal ones, itself included.
    """

    known_at: int
    outcome: SweepOutcome
    side: SwingSide
    level: float
    pivot: int
    start: int
    extreme: float
    strength: int = 1

    @property
    def direction(self) -> Direction:
        """Where price is expected to turn: down from swept highs, up from swept lows."""
        return self.side.breaks_towards.opposite


class ChainState(StrEnum):
    """How far a confluence chain has come; `current_state` of its row. Only COMPLETE is tradable."""

    IDLE = "IDLE"
    SWEPT = "SWEPT"
    CHOCH = "CHOCH"
    FVG = "FVG"
    COMPLETE = "COMPLETE"


class ChainCause(StrEnum):
    """What moved a chain."""

    SWEEP = "SWEEP"
    CHOCH = "CHOCH"
    BOS = "BOS"
    FVG = "FVG"
    INVALIDATED = "INVALIDATED"
    EXPIRED = "EXPIRED"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfluenceChange:
    """One row of the chain as it stands after candle `k`; rows of one series are told apart by `since`.

    `anchor` is the extreme of the sweep: a close beyond it against `direction` ends the row, and so does a candle after
    `expires`. An ended row (state IDLE) keeps what it knew. COMPLETE is a row's last change.
    """

    k: int
    why: ChainCause
    state: ChainState
    direction: Direction
    anchor: float
    since: int
    expires: int
    choch_price: float | None = None
    zone_low: float | None = None
    zone_high: float | None = None
    bos_price: float | None = None


# -------------------------------------------------------------------------------------------------------- for printing


def structure_json(event: StructureEvent) -> Json:
    """A swing or a break with plain values; `type` is the side of the swing, `idx` its candle."""
    common: Json = {"known_at": event.known_at, "type": event.side.value, "idx": event.at, "level": event.level}
    if isinstance(event, BreakEvent):
        return {"ev": event.kind.value, **common, "dir": event.direction.sign}
    name = "swing_replace" if event.replaces else "swing"
    return {"ev": name, **common, "label": event.label.value if event.label else None}


def gap_json(gap: FairValueGap) -> Json:
    """A gap with plain values."""
    return {
        "mid": gap.middle,
        "dir": gap.direction.sign,
        "bottom": gap.bottom,
        "top": gap.top,
        "known_at": gap.known_at,
        "touched": gap.touched,
        "half": gap.half,
        "filled": gap.filled,
        "inverted": gap.inverted,
    }


def sweep_json(event: SweepEvent) -> Json:
    """A sweep with plain values."""
    return {
        "ev": event.outcome.value,
        "side": event.side.value,
        "dir": event.direction.sign,
        "level": event.level,
        "pivot": event.pivot,
        "start": event.start,
        "known_at": event.known_at,
        "extreme": event.extreme,
        "strength": event.strength,
    }


def confluence_json(change: ConfluenceChange) -> Json:
    """A change of the chain with plain values, named as the columns of `confluence_state`."""
    return {
        "k": change.k,
        "why": change.why.value,
        "state": change.state.value,
        "dir": change.direction.sign,
        "anchor": change.anchor,
        "since": change.since,
        "expires": change.expires,
        "choch_price": change.choch_price,
        "fvg_zone_low": change.zone_low,
        "fvg_zone_high": change.zone_high,
        "bos_price": change.bos_price,
    }
