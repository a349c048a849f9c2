"""What every rule looks at: one signal beside the snapshot it was made from, with the shared facts worked out once.

Nothing here trusts the signal: a field of the wrong type, a NaN or a time outside the snapshot becomes "missing"
(None, or NaN in a number), and the rules that need it fail. Only candles 0..k of the columns are read. The nouns are
named tuples: as frozen as a dataclass, and made in a fifth of the time.
"""

import math
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Final, NamedTuple

from bot.instruments import Instrument, Rounding
from bot.layer2_intelligence import scoring
from bot.layer2_intelligence.evidence_geometry import Rounder, anchor, pivot_run_end, rounded, sight_is_clear
from bot.layer2_intelligence.indicators.divergence import UNBOUNDED
from bot.layer2_intelligence.indicators.setups import FAMILIES
from bot.layer2_intelligence.rules_limits import Limits
from bot.models import (
    CandleSeries,
    Direction,
    DivergenceClaim,
    DivergenceKind,
    EntrySignal,
    FeatureColumns,
    FeatureSet,
    Finding,
    FindingStatus,
    Floats,
    Ints,
    Quote,
    decimal_of,
)

# Named here because Python 3.11 looks an enum member up in about half a microsecond, as long as a whole rule takes.
REGULAR: Final = DivergenceKind.REGULAR
HIDDEN: Final = DivergenceKind.HIDDEN
_LONG, _SHORT = Direction.LONG, Direction.SHORT
_DOWN, _UP = Rounding.DOWN, Rounding.UP

_LEAST, _GREATEST = Decimal("1E-59"), Decimal("1E60")  # every price is; beyond them Decimal arithmetic could overflow


class Money(NamedTuple):
    """Distances as they would really be sent and paid, positive when they lie the right way; None where unknown."""

    entry_room: Decimal | None  # entry to stop
    risk: Decimal | None  # paid price to stop
    reward: Decimal | None  # paid price to the target that counts
    atr: Decimal | None
    reward_risk: float  # NaN where one is unknown or nothing is at risk


class Shape(NamedTuple):
    """The two pivots: those that the candles show, else the claimed candles; `bars` candles apart.

    The lists are the candles `base..k`, from before the first pivot on; in them the pivots are at `at1` and `at2`.
    They and the prices are in long form: for a short all is negated, and highs and lows change places.
    """

    p1: int
    p2: int
    bars: int
    found1: bool
    found2: bool
    known_at: int  # of p2
    base: int
    at1: int
    at2: int
    price1: float
    price2: float
    atr1: float
    atr2: float
    lows: list[float]
    highs: list[float]
    rsi: list[float]


class Claimed(NamedTuple):
    """What the signal claims, as far as it is of its type: None and NaN stand for what is not."""

    kind: DivergenceKind | None
    oscillators: tuple[str, ...]  # the known ones, each once
    p1: int | None  # candles that the claimed times open
    p2: int | None
    price1: float
    price2: float


_NOTHING_CLAIMED: Final = Claimed(None, (), None, None, math.nan, math.nan)


class Readings(NamedTuple):
    """The claimed oscillators that, recomputed, diverge as claimed, as columns of equal length."""

    names: tuple[str, ...]
    magnitudes: tuple[float, ...]  # 0..1
    in_sight: tuple[bool, ...]
    newest: tuple[float, ...]  # at candle k, in long form


_NONE_LEFT: Final = Readings((), (), (), ())


class Case(NamedTuple):
    """A signal and its snapshot. `sign` is +1, -1 or 0 (no direction); `shape` is None without it or a claimed candle.

    `entry` and `stop` are None unless they can be prices; `entry_said` is NaN unless it is a finite number, and
    `confidence` unless it is a number. `left` are the oscillators left. `atr`, `close` and the volumes are those of
    candle k; `volume_ratio` is NaN where there is no mean.
    """

    signal: EntrySignal
    series: CandleSeries
    columns: FeatureColumns
    k: int
    instrument: Instrument
    limits: Limits
    sign: int
    claimed: Claimed
    confidence: float
    entry_said: float
    entry: Decimal | None
    stop: Decimal | None
    close: float
    atr: float
    volume: float
    volume_mean: float
    volume_ratio: float
    money: Money
    shape: Shape | None
    left: Readings
    families: int
    swing_minimum: tuple[int, str]
    score: float


Rule = Callable[[Case], Finding]

# A finding from its five fields in order, without the detour over the keywords that the class itself allows.
finding: Final[Callable[[tuple[str, str, FindingStatus, float | str, str]], Finding]] = partial(tuple.__new__, Finding)


def open_case(
    signal: EntrySignal, features: FeatureSet, quote: Quote | None, instrument: Instrument, limits: Limits
) -> Case:
    """Work out what the rules share. Never raises, whatever the signal holds."""
    series, columns, k = features.series, features.columns, features.k
    candle_s = series.timeframe.seconds
    sign = 1 if signal.direction is _LONG else -1 if signal.direction is _SHORT else 0
    claimed = _claimed(signal.claim, series.opened_at_s, candle_s, k)
    close, atr = series.close.item(k), columns.atr.item(k)
    volume, volume_mean = series.volume.item(k), columns.volume_mean.item(k)
    volume_ratio = volume / volume_mean if volume_mean > 0.0 else math.nan
    entry, stop = price(signal.entry), price(signal.stop_loss)
    paid = _paid(sign, close, quote, instrument) if sign else None
    money = _money(entry, stop, paid, atr, sign, signal.targets, instrument, limits.counting_target)
    shape = _shape(series, columns, k, sign, claimed, limits)
    left = _readings(columns, k, sign, claimed, shape, limits)
    families = len(set(map(FAMILIES.get, left.names)))
    swing_minimum = limits.swing(candle_s)
    score = scoring.quality(
        families=families,
        magnitudes=left.magnitudes,
        swing_bars=shape.bars if shape else math.nan,
        swing_minimum=swing_minimum[0],
        price_atr=abs(shape.price2 - shape.price1) / shape.atr2 if shape and shape.atr2 > 0.0 else math.nan,
        reward_risk=money.reward_risk,
        volume_ratio=volume_ratio if instrument.has_volume else None,
    )
    return Case(
        signal,
        series,
        columns,
        k,
        instrument,
        limits,
        sign,
        claimed,
        number(signal.confidence),
        finite(signal.entry),
        entry,
        stop,
        close,
        atr,
        volume,
        volume_mean,
        volume_ratio,
        money,
        shape,
        left,
        families,
        swing_minimum,
        score,
    )


# ------------------------------------------------------------------------------------------------ what can be trusted


def number(value: object) -> float:
    """`value` as a float; NaN if it is no number."""
    if isinstance(value, float):
        return float(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53:
        return float(value)
    return math.nan


def finite(value: object) -> float:
    """`value` as a float; NaN if it is no Decimal or not finite."""
    return float(value) if isinstance(value, Decimal) and value.is_finite() else math.nan


def price(value: object) -> Decimal | None:
    """`value` if it can be a price, else None."""
    return value if isinstance(value, Decimal) and value.is_finite() and _LEAST <= value < _GREATEST else None


def _claimed(claim: object, opened_at_s: Ints, candle_s: int, k: int) -> Claimed:
    if not isinstance(claim, DivergenceClaim):
        return _NOTHING_CLAIMED
    kind: object = claim.kind
    return Claimed(
        kind if isinstance(kind, DivergenceKind) else None,
        _known_oscillators(claim.oscillators),
        _index_of(claim.p1_at, opened_at_s, candle_s, k),
        _index_of(claim.p2_at, opened_at_s, candle_s, k),
        finite(claim.p1_price),
        finite(claim.p2_price),
    )


def _known_oscillators(names: object) -> tuple[str, ...]:
    known: list[str] = []
    for name in names if isinstance(names, tuple) else ():
        if isinstance(name, str) and name in FAMILIES and name not in known:
            known.append(name)
    return tuple(known)


def is_instant(value: object) -> bool:
    """Whether `value` is an aware datetime."""
    return isinstance(value, datetime) and value.utcoffset() is not None


def _index_of(instant: datetime, opened_at_s: Ints, candle_s: int, k: int) -> int | None:
    """Index of the candle up to k that opens at `instant`; None if none does."""
    if not is_instant(instant):
        return None
    second = instant.timestamp()
    index = k + int(second - opened_at_s.item(k)) // candle_s
    if 0 <= index <= k and opened_at_s.item(index) == second:
        return index  # no hole since then: the usual case
    index = int(opened_at_s[: k + 1].searchsorted(int(second)))
    return index if index <= k and opened_at_s.item(index) == second else None


# ------------------------------------------------------------------------------------------------------------- prices


def _money(
    entry: Decimal | None,
    stop: Decimal | None,
    paid: Decimal | None,
    atr: float,
    sign: int,
    targets: object,
    instrument: Instrument,
    rr_target: str,
) -> Money:
    """Rules 3, 4 and 6 compare in Decimal: stop rounded away from the entry, targets towards it, the price paid."""
    decimal_atr = decimal_of(atr) if 0.0 < atr < math.inf else None
    if entry is None or stop is None or paid is None:
        return Money(None, None, None, decimal_atr, math.nan)
    rounding = _DOWN if sign > 0 else _UP
    stop = instrument.round_price(stop, rounding)
    target = _counting_target(targets, sign, rounding, instrument, rr_target)
    room, risk = (entry - stop, paid - stop) if sign > 0 else (stop - entry, stop - paid)
    if target is None:
        return Money(room, risk, None, decimal_atr, math.nan)
    reward = target - paid if sign > 0 else paid - target
    return Money(room, risk, reward, decimal_atr, float(reward / risk) if risk > 0 else math.nan)


def _paid(sign: int, close: float, quote: Quote | None, instrument: Instrument) -> Decimal | None:
    """What the entry really costs: the ask for a long, the bid for a short; the close and half a spread without a
    quote."""
    if quote is not None:
        return price(quote.ask if sign > 0 else quote.bid)
    if not 0.0 < close < math.inf:
        return None
    middle = decimal_of(close)
    return middle + sign * instrument.typical_spread.at(middle) / 2


def _counting_target(
    targets: object, sign: int, rounding: Rounding, instrument: Instrument, rr_target: str
) -> Decimal | None:
    """The target that reward is measured to; None if there is none or one of them is no price."""
    if not isinstance(targets, tuple) or not targets:
        return None
    prices = [each for each in map(price, targets) if each is not None]
    if len(prices) < len(targets):
        return None
    if rr_target == "weighted":
        return sum([instrument.round_price(each, rounding) for each in prices], Decimal(0)) / len(prices)
    nearest_wanted = rr_target == "first"
    return instrument.round_price(min(prices) if nearest_wanted == (sign > 0) else max(prices), rounding)


# ----------------------------------------------------------------------------------------------------------- evidence


def long_form(column: Floats, sign: int, candles: slice) -> list[float]:
    """Some candles of a column, negated for a short."""
    part = column[candles]
    values: list[float] = (part if sign > 0 else -part).tolist()
    return values


def _shape(
    series: CandleSeries,
    columns: FeatureColumns,
    k: int,
    sign: int,
    claimed: Claimed,
    limits: Limits,
) -> Shape | None:
    claimed1, claimed2 = claimed.p1, claimed.p2
    if not sign or claimed1 is None or claimed2 is None:
        return None
    base = max(0, min(claimed1, claimed2) - max(limits.left, limits.osc_win) - 2)
    lower, upper = (series.low, series.high) if sign > 0 else (series.high, series.low)
    candles = slice(base, k + 1)
    lows = long_form(lower, sign, candles)
    first = _pivot_near(series.segment, lows, base, claimed1, limits.left, limits.right)
    second = _pivot_near(series.segment, lows, base, claimed2, limits.left, limits.confirm)
    p1 = first[0] if first else claimed1
    p2, end2 = second or (claimed2, claimed2)
    at1, at2 = p1 - base, p2 - base
    return Shape(
        p1,
        p2,
        p2 - p1,
        first is not None,
        second is not None,
        end2 + limits.confirm,
        base,
        at1,
        at2,
        lows[at1],
        lows[at2],
        columns.atr.item(p1),
        columns.atr.item(p2),
        lows,
        long_form(upper, sign, candles),
        long_form(columns.rsi, sign, candles),
    )


def _pivot_near(
    segment: Ints, lows: list[float], base: int, claimed: int, left: int, right: int
) -> tuple[int, int] | None:
    """The pivot within one candle of the claimed one, nearest first, then the earlier, and the end of its run.

    A pivot whose candles lie on both sides of a hole in the data is none.
    """
    for p in (claimed, claimed - 1, claimed + 1):
        end = pivot_run_end(lows, p - base, left, right)
        if end is not None and segment.item(p - left) == segment.item(base + end + right):
            return p, base + end
    return None


def _readings(
    columns: FeatureColumns,
    k: int,
    sign: int,
    claimed: Claimed,
    shape: Shape | None,
    limits: Limits,
) -> Readings:
    """The claimed oscillators that do what is claimed of them; the others are struck out."""
    kind = claimed.kind
    if shape is None or kind is None or shape.bars <= 0:
        return _NONE_LEFT
    found, candles = [], slice(shape.base, k + 1)
    for name in claimed.oscillators:
        values = shape.rsi if name == "rsi" else long_form(columns.oscillator(name), sign, candles)
        reading = _reading(name, values, kind, shape, limits)
        if reading is not None:
            found.append(reading)
    return Readings(*zip(*found, strict=True)) if found else _NONE_LEFT


def _reading(
    name: str, values: list[float], kind: DivergenceKind, shape: Shape, limits: Limits
) -> tuple[str, float, bool, float] | None:
    """One oscillator between its anchors at the two pivots; None if it does not diverge as claimed."""
    rounding: Rounder = rounded
    least, asked = limits.least_difference[name]
    if name == UNBOUNDED:
        rounding, least, asked = float, least * shape.atr2, asked * shape.atr2
    q1 = anchor(values, shape.at1, limits.osc_win, limits.osc_turn, rounding)
    q2 = anchor(values, shape.at2, limits.osc_win, limits.osc_turn, rounding)
    if q1 is None or q2 is None or q1 >= q2:
        return None
    first, second = rounding(values[q1]), rounding(values[q2])
    if not (second > first + asked if kind is REGULAR else second < first - asked):
        return None
    in_sight = sight_is_clear(values[q1 + 1 : q2], first, second, rounding)
    return name, scoring.magnitude(second - first, least), in_sight, values[-1]
