"""What every rule looks at: one signal beside the snapshot it was made from, with the shared facts worked out once.

Nothing here trusts the signal: a field of the wrong type, a NaN or a time outside the snapshot becomes "missing"
(None, or NaN in a number), and the rules that need it fail. Only candles 0..k of the columns are read. The nouns are
named tuples: as frozen as a dataclass, and made in a fifth of the time.
"""

import math
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Final, NamedTuple

from bot.instruments import Instrument, Rounding
from bot.layer2_intelligence import scoring
from bot.layer2_intelligence.evidence_geometry import anchor, pivot_run_end, sight_is_clear
from bot.layer2_intelligence.indicators.divergence import ROUNDING_DECIMALS, UNBOUNDED
from bot.layer2_intelligence.indicators.setups import FAMILIES
from bot.layer2_intelligence.rules_limits import Limits
from bot.models import (
    CandleSeries,
    Direction,
    DivergenceClaim,
    DivergenceKind,
    EntrySignal,
    FeatureSet,
    Finding,
    Ints,
    Quote,
    decimal_of,
)

# Named here because Python 3.11 looks an enum member up in about half a microsecond, as long as a whole rule takes.
REGULAR: Final = DivergenceKind.REGULAR
HIDDEN: Final = DivergenceKind.HIDDEN
_LONG, _SHORT = Direction.LONG, Direction.SHORT
_DOWN, _UP = Rounding.DOWN, Rounding.UP

_GREATEST_EXPONENT: Final = 60  # no price is so large or so small; beyond it Decimal arithmetic could overflow


class Money(NamedTuple):
    """Distances as they would really be sent and paid, positive when they lie the right way; None where unknown."""

    entry_room: Decimal | None = None  # entry to stop
    risk: Decimal | None = None  # paid price to stop
    reward: Decimal | None = None  # paid price to the target that counts
    atr: Decimal | None = None
    reward_risk: float = math.nan  # NaN where one is unknown or nothing is at risk


class Shape(NamedTuple):
    """The two pivots: those that the candles show, else the claimed candles.

    The lists are the candles `base..k`, from before the first pivot on. They and the prices are in long form: for a
    short all is negated, and highs and lows change places.
    """

    p1: int
    p2: int
    found1: bool
    found2: bool
    known_at: int  # of p2
    price1: float
    price2: float
    atr2: float
    base: int
    opens: list[float]
    highs: list[float]
    lows: list[float]
    closes: list[float]

    @property
    def bars(self) -> int:
        """Candles from the first to the second pivot."""
        return self.p2 - self.p1


class Reading(NamedTuple):
    """One claimed oscillator that, recomputed, diverges as claimed."""

    name: str
    magnitude: float  # 0..1
    in_sight: bool


class Case(NamedTuple):
    """A signal and its snapshot. `sign` is +1, -1 or 0 (no direction); `claimed` are the distinct known oscillators.

    `claim_at` are the candles that the claimed times open, `shape` is None where one is missing or no direction is
    given. `entry` and `stop` are None unless they can be prices. `readings` are the oscillators left. `atr`, `close`
    and the volumes are those of candle k.
    """

    signal: EntrySignal
    features: FeatureSet
    instrument: Instrument
    limits: Limits
    sign: int
    claim: DivergenceClaim | None
    kind: DivergenceKind | None
    claimed: tuple[str, ...]
    claim_at: tuple[int | None, int | None]
    entry: Decimal | None
    stop: Decimal | None
    close: float
    atr: float
    volume: float
    volume_mean: float
    money: Money
    shape: Shape | None
    readings: tuple[Reading, ...]
    swing_minimum: tuple[int, str]
    families: int
    score: float

    @property
    def volume_ratio(self) -> float:
        """Volume of candle k against its mean; NaN where there is none."""
        return self.volume / self.volume_mean if self.volume_mean > 0.0 else math.nan


Rule = Callable[[Case], Finding]


def open_case(
    signal: EntrySignal, features: FeatureSet, quote: Quote | None, instrument: Instrument, limits: Limits
) -> Case:
    """Work out what the rules share. Never raises, whatever the signal holds."""
    series, columns, k = features.series, features.columns, features.k
    sign = 1 if signal.direction is _LONG else -1 if signal.direction is _SHORT else 0
    claim = _claim(signal.claim)
    kind = _kind(claim)
    claimed = _known_oscillators(claim)
    claim_at = _claimed_candles(claim, series, k)
    close, atr = series.close.item(k), columns.atr.item(k)
    volume, volume_mean = series.volume.item(k), columns.volume_mean.item(k)
    entry, stop = price(signal.entry), price(signal.stop_loss)
    money = _money(entry, stop, signal.targets, sign, close, atr, quote, instrument, limits.validation.rr_target)
    shape = _shape(features, sign, claim_at, limits)
    readings = _readings(features, sign, kind, claimed, shape, limits)
    families = len({FAMILIES[each.name] for each in readings})
    swing_minimum = limits.swing(series.timeframe)
    score = scoring.quality(
        families=families,
        magnitudes=[each.magnitude for each in readings],
        swing_bars=shape.bars if shape else math.nan,
        swing_minimum=swing_minimum[0],
        price_atr=abs(shape.price2 - shape.price1) / shape.atr2 if shape and shape.atr2 > 0.0 else math.nan,
        reward_risk=money.reward_risk,
        volume_ratio=(volume / volume_mean if volume_mean > 0.0 else 0.0) if instrument.has_volume else None,
    )
    return Case(
        signal,
        features,
        instrument,
        limits,
        sign,
        claim,
        kind,
        claimed,
        claim_at,
        entry,
        stop,
        close,
        atr,
        volume,
        volume_mean,
        money,
        shape,
        readings,
        swing_minimum,
        families,
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


def finite_decimal(value: object) -> bool:
    """Whether `value` is a Decimal and a number."""
    return isinstance(value, Decimal) and value.is_finite()


def price(value: object) -> Decimal | None:
    """`value` if it can be a price, else None."""
    if isinstance(value, Decimal) and value.is_finite() and value > 0 and abs(value.adjusted()) < _GREATEST_EXPONENT:
        return value
    return None


def _claim(value: object) -> DivergenceClaim | None:
    return value if isinstance(value, DivergenceClaim) else None


def _kind(claim: DivergenceClaim | None) -> DivergenceKind | None:
    kind: object = claim.kind if claim else None
    return kind if isinstance(kind, DivergenceKind) else None


def _known_oscillators(claim: DivergenceClaim | None) -> tuple[str, ...]:
    names: object = claim.oscillators if claim else ()
    if not isinstance(names, tuple):
        return ()
    return tuple(dict.fromkeys([name for name in names if isinstance(name, str) and name in FAMILIES]))


def is_instant(value: object) -> bool:
    """Whether `value` is an aware datetime."""
    return isinstance(value, datetime) and value.utcoffset() is not None


def _claimed_candles(claim: DivergenceClaim | None, series: CandleSeries, k: int) -> tuple[int | None, int | None]:
    if claim is None:
        return None, None
    return _index_of(claim.p1_at, series, k), _index_of(claim.p2_at, series, k)


def _index_of(instant: datetime, series: CandleSeries, k: int) -> int | None:
    """Index of the candle up to k that opens at `instant`; None if none does."""
    if not is_instant(instant):
        return None
    stamp = instant.timestamp()
    second = int(stamp)
    if second != stamp:
        return None
    times = series.opened_at_s
    index = k - (times.item(k) - second) // series.timeframe.seconds
    if 0 <= index <= k and times.item(index) == second:
        return index  # no hole since then: the usual case
    index = int(times[: k + 1].searchsorted(second))
    return index if index <= k and times.item(index) == second else None


# ------------------------------------------------------------------------------------------------------------- prices


def _money(
    entry: Decimal | None,
    stop: Decimal | None,
    targets: object,
    sign: int,
    close: float,
    atr: float,
    quote: Quote | None,
    instrument: Instrument,
    rr_target: str,
) -> Money:
    """Rules 3, 4 and 6 compare in Decimal: stop rounded away from the entry, targets towards it, the price paid."""
    decimal_atr = decimal_of(atr) if 0.0 < atr < math.inf else None
    paid = _paid(sign, close, quote, instrument) if sign else None
    if entry is None or stop is None or paid is None:
        return Money(None, None, None, decimal_atr)
    rounding = _DOWN if sign > 0 else _UP
    stop = instrument.round_price(stop, rounding)
    target = _counting_target(targets, sign, rounding, instrument, rr_target)
    room, risk = (entry - stop, paid - stop) if sign > 0 else (stop - entry, stop - paid)
    if target is None:
        return Money(room, risk, None, decimal_atr)
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


def _shape(features: FeatureSet, sign: int, claim_at: tuple[int | None, int | None], limits: Limits) -> Shape | None:
    claimed1, claimed2 = claim_at
    if not sign or claimed1 is None or claimed2 is None:
        return None
    series, settings = features.series, limits.divergence
    base = max(0, min(claimed1, claimed2) - settings.left - 1)
    lower, upper = (series.low, series.high) if sign > 0 else (series.high, series.low)
    lows, highs, opens, closes = [
        (column[base : features.k + 1] if sign > 0 else -column[base : features.k + 1]).tolist()
        for column in (lower, upper, series.open, series.close)
    ]
    first = _pivot_near(series.segment, lows, base, claimed1, settings.left, settings.right)
    second = _pivot_near(series.segment, lows, base, claimed2, settings.left, settings.confirm)
    p1 = first[0] if first else claimed1
    p2, end2 = second or (claimed2, claimed2)
    return Shape(
        p1,
        p2,
        first is not None,
        second is not None,
        end2 + settings.confirm,
        lows[p1 - base],
        lows[p2 - base],
        features.columns.atr.item(p2),
        base,
        opens,
        highs,
        lows,
        closes,
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
    features: FeatureSet,
    sign: int,
    kind: DivergenceKind | None,
    claimed: tuple[str, ...],
    shape: Shape | None,
    limits: Limits,
) -> tuple[Reading, ...]:
    """The claimed oscillators that do what is claimed of them; the others are struck out."""
    if shape is None or kind is None or shape.p1 >= shape.p2:
        return ()
    read = [_reading(name, features, sign, kind, shape, limits) for name in claimed]
    return tuple([each for each in read if each is not None])


def _reading(
    name: str, features: FeatureSet, sign: int, kind: DivergenceKind, shape: Shape, limits: Limits
) -> Reading | None:
    """One oscillator between its anchors at the two pivots; None if it does not diverge as claimed."""
    settings = limits.divergence
    window = settings.osc_win
    start = max(0, shape.p1 - window - 1)
    stop = min(features.k, shape.p2 + window + 1) + 1
    column = features.columns.oscillator(name)[start:stop]
    if name != UNBOUNDED:
        column = column.round(ROUNDING_DECIMALS)
    values: list[float] = (column if sign > 0 else -column).tolist()
    q1 = anchor(values, shape.p1 - start, window, turn=settings.osc_turn)
    q2 = anchor(values, shape.p2 - start, window, turn=settings.osc_turn)
    if q1 is None or q2 is None or q1 >= q2:
        return None
    least = limits.least_difference[name] * (shape.atr2 if name == UNBOUNDED else 1.0)
    asked = 0.0 if name == "rsi" else least  # how much RSI must differ is rule 11's business
    difference = values[q2] - values[q1]
    if kind is REGULAR and not values[q2] > values[q1] + asked:
        return None
    if kind is HIDDEN and not values[q2] < values[q1] - asked:
        return None
    return Reading(name, scoring.magnitude(difference, least), sight_is_clear(values, q1, q2))
