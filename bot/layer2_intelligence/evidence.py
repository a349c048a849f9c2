"""Evidence rules E1 to E11: what a signal claims must be true of the candles (SPEC 5.2).

Written in long form; a short is its mirror. The recomputed pivots and oscillators come with the case.
"""

import math
from decimal import Decimal
from enum import StrEnum
from typing import Final

from bot.layer2_intelligence.evidence_geometry import sight_is_clear
from bot.layer2_intelligence.rules_case import REGULAR, Case, Shape, finite_decimal, is_instant, number
from bot.models import Direction, Finding, FindingStatus, Judgement

PASS: Final = FindingStatus.PASS
FAIL: Final = FindingStatus.FAIL

_PIVOT_TOLERANCE_ATR: Final = 0.05
_ENTRY_TOLERANCE_ATR: Final = 0.5
_FRESH_CANDLES: Final = 3
_NEAR_ATR: Final = 2.0
_LEAST_HISTORY: Final = 250  # index of k: recursive indicators have forgotten their seed
_MFI_PERIOD: Final = 14
_ZERO_VOLUME_SHARE: Final = 0.1
_MOST_OSCILLATORS: Final = 6
_MOST_TARGETS: Final = 2

_SHAPE_LIMIT: Final = "every field present, of its type, finite, and of this snapshot"
_PRICES_LIMIT: Final = "pivot prices within 0.05 ATR, entry within 0.5 ATR of the close"
_PIVOTS_LIMIT: Final = "pivots within 1 candle of the claimed ones, known by now"
_LEFT_LIMIT: Final = "at least one oscillator left"
_SIGHT_LIMIT: Final = "no candle beyond the lines"
_FRESH_LIMIT: Final = "<= 3 candles since the pivot was known, unbroken, close within 2 ATR of it"
_DATA_LIMIT: Final = "k >= 250, no NaN, no hole since p1, MFI with volume"

_WELL_FORMED: Final = Finding("E1", "shape", PASS, "", _SHAPE_LIMIT)
_PRICES_TRUE: Final = Finding("E3", "prices", PASS, "", _PRICES_LIMIT)
_PIVOTS_FOUND: Final = Finding("E4", "pivots", PASS, "", _PIVOTS_LIMIT)
_IN_SIGHT: Final = Finding("E8", "line of sight", PASS, "", _SIGHT_LIMIT)
_DATA_GOOD: Final = Finding("E11", "data", PASS, "", _DATA_LIMIT)
_NO_PRICES: Final = Finding("E3", "prices", FAIL, math.nan, _PRICES_LIMIT)
_NO_PIVOTS: Final = Finding("E4", "pivots", FAIL, math.nan, _PIVOTS_LIMIT)
_NO_SIGHT: Final = Finding("E8", "line of sight", FAIL, math.nan, _SIGHT_LIMIT)
_NOT_FRESH: Final = Finding("E10", "fresh and alive", FAIL, math.nan, _FRESH_LIMIT)
_NO_DATA: Final = Finding("E11", "data", FAIL, math.nan, _DATA_LIMIT)

_FIELD_NAMES: Final = (
    "symbol",
    "timeframe",
    "direction",
    "entry",
    "stop_loss",
    "targets",
    "confidence",
    "kind",
    "oscillators",
    "p1_time",
    "p2_time",
    "p1_price",
    "p2_price",
)


def shape(case: Case) -> Finding:
    """Every field is there, of its type, finite; measures the names of those that are not."""
    bad = malformed_fields(case)
    return Finding("E1", "shape", FAIL, ",".join(bad), _SHAPE_LIMIT) if bad else _WELL_FORMED


def malformed_fields(case: Case) -> tuple[str, ...]:
    """Names of fields that are missing, of a wrong type, not finite or not of the snapshot. "No direction" is one."""
    signal, series, claim = case.signal, case.features.series, case.claim
    good = (
        _is(signal.symbol, series.symbol),
        _is(signal.timeframe, series.timeframe),
        _is_direction(signal.direction),
        case.entry is not None or finite_decimal(signal.entry),
        case.stop is not None or finite_decimal(signal.stop_loss),
        _are_targets(signal.targets, case.sign),
        math.isfinite(number(signal.confidence)),
        case.kind is not None,
        _are_oscillators(claim.oscillators if claim else None, case.claimed),
        case.claim_at[0] is not None or is_instant(claim.p1_at if claim else None),
        case.claim_at[1] is not None or is_instant(claim.p2_at if claim else None),
        finite_decimal(claim.p1_price if claim else None),
        finite_decimal(claim.p2_price if claim else None),
    )
    if all(good):
        return ()
    return tuple(name for name, passed in zip(_FIELD_NAMES, good, strict=True) if not passed)


def _is(value: object, expected: str) -> bool:
    return isinstance(value, type(expected)) and value == expected


def _is_direction(value: object) -> bool:
    return value is None or isinstance(value, Direction)


def _are_oscillators(names: object, claimed: tuple[str, ...]) -> bool:
    """`claimed` are the distinct known ones among them."""
    return isinstance(names, tuple) and 1 <= len(names) <= _MOST_OSCILLATORS and len(claimed) == len(names)


def _are_targets(targets: object, sign: int) -> bool:
    """One or two numbers, the nearest first."""
    if not isinstance(targets, tuple) or not 1 <= len(targets) <= _MOST_TARGETS:
        return False
    nearest, furthest = targets[0], targets[-1]
    if not (finite_decimal(nearest) and finite_decimal(furthest)):
        return False
    return bool(nearest <= furthest if sign > 0 else nearest >= furthest if sign < 0 else True)


def times(case: Case) -> Finding:
    """The claimed times are those of candles, in order, and the second one is confirmed; measures the wrong ones."""
    p1, p2 = case.claim_at
    text = case.limits.texts["E2"]
    if p1 is None or p2 is None:
        missing = "p1_time,p2_time" if p1 is p2 else "p1_time" if p1 is None else "p2_time"
        return Finding("E2", "times", FAIL, missing, text)
    if not p1 < p2:
        return Finding("E2", "times", FAIL, "not in order", text)
    if p2 > case.features.k - case.limits.divergence.confirm:
        return Finding("E2", "times", FAIL, "p2 not confirmed", text)
    return Finding("E2", "times", PASS, "", text)


def prices(case: Case) -> Finding:
    """The claimed prices are those of the candles; measures the names of the invented ones."""
    if case.shape is None or case.claim is None:
        return _NO_PRICES
    claim, pivots, atr = case.claim, case.shape, case.features.columns.atr
    deviations = (
        ("p1_price", claim.p1_price, case.sign * pivots.price1, _PIVOT_TOLERANCE_ATR * atr.item(pivots.p1)),
        ("p2_price", claim.p2_price, case.sign * pivots.price2, _PIVOT_TOLERANCE_ATR * pivots.atr2),
        ("entry", case.signal.entry, case.close, _ENTRY_TOLERANCE_ATR * case.atr),
    )
    invented = [name for name, said, true, allowed in deviations if not _is_near(said, true, allowed)]
    return Finding("E3", "prices", FAIL, ",".join(invented), _PRICES_LIMIT) if invented else _PRICES_TRUE


def _is_near(said: object, true: float, allowed: float) -> bool:
    return isinstance(said, Decimal) and said.is_finite() and abs(float(said) - true) <= allowed


def pivots(case: Case) -> Finding:
    """There are pivots where they are claimed; measures the names of the missing ones."""
    found = case.shape
    if found is None:
        return _NO_PIVOTS
    if found.found1 and found.found2:
        return _PIVOTS_FOUND
    missing = "p1" if found.found2 else "p2" if found.found1 else "p1,p2"
    return Finding("E4", "pivots", FAIL, missing, _PIVOTS_LIMIT)


def separation(case: Case) -> Finding:
    """The pivots are neither the same movement nor strangers."""
    settings = case.limits.divergence
    bars = float(case.shape.bars) if case.shape else math.nan
    passed = settings.min_sep <= bars <= settings.max_sep
    return Finding("E5", "separation", PASS if passed else FAIL, bars, case.limits.texts["E5"])


def price_slope(case: Case) -> Finding:
    """Price does what the claimed kind says; measures how much, in ATR."""
    found, text = case.shape, case.limits.texts["E6"]
    if found is None or case.kind is None:
        return Finding("E6", "price slope", FAIL, math.nan, text)
    least = case.limits.divergence.min_price_atr * found.atr2
    if case.kind is REGULAR:
        passed, difference = found.price2 < found.price1 - least, found.price1 - found.price2
    else:
        passed, difference = found.price2 > found.price1 + least, found.price2 - found.price1
    return Finding("E6", "price slope", PASS if passed else FAIL, _in_atr(difference, found), text)


def oscillator_slope(case: Case) -> Finding:
    """At least one claimed oscillator does what is claimed; measures the names of those left."""
    left = ",".join([each.name for each in case.readings])
    return Finding("E7", "oscillator slope", PASS if left else FAIL, left, _LEFT_LIMIT)


def line_of_sight(case: Case) -> Finding:
    """No candle between the pivots crosses the lines that make the divergence; measures the names of crossed lines."""
    found = case.shape
    if found is None or found.p1 >= found.p2:
        return _NO_SIGHT
    price_is_clear = sight_is_clear(found.lows, found.p1 - found.base, found.p2 - found.base)
    crossed = [] if price_is_clear else ["price"]
    crossed.extend(each.name for each in case.readings if not each.in_sight)
    return Finding("E8", "line of sight", FAIL, ",".join(crossed), _SIGHT_LIMIT) if crossed else _IN_SIGHT


def swing(case: Case) -> Finding:
    """There was a move between the pivots; measures it from the nearer one, in ATR."""
    found, text = case.shape, case.limits.texts["E9"]
    if found is None or found.bars < 2:
        return Finding("E9", "swing", FAIL, math.nan, text)
    highest = max(found.highs[found.p1 + 1 - found.base : found.p2 - found.base])
    move = highest - max(found.price1, found.price2)
    passed = move >= case.limits.divergence.min_swing_atr * found.atr2
    return Finding("E9", "swing", PASS if passed else FAIL, _in_atr(move, found), text)


def _in_atr(distance: float, found: Shape) -> float:
    return distance / found.atr2 if found.atr2 > 0.0 else math.nan


def fresh_and_alive(case: Case) -> Finding:
    """The second pivot is young, unbroken and near; measures its age in candles, or what it is instead."""
    found = case.shape
    if found is None:
        return _NOT_FRESH
    age = case.features.k - found.known_at
    if age > _FRESH_CANDLES:
        return Finding("E10", "fresh and alive", FAIL, float(age), _FRESH_LIMIT)
    if min(found.lows[found.p2 - found.base :]) < found.price2:
        return Finding("E10", "fresh and alive", FAIL, "broken", _FRESH_LIMIT)
    if not abs(case.sign * case.close - found.price2) <= _NEAR_ATR * case.atr:
        return Finding("E10", "fresh and alive", FAIL, "far from the price", _FRESH_LIMIT)
    return Finding("E10", "fresh and alive", PASS, float(age), _FRESH_LIMIT)


def data(case: Case) -> Finding:
    """There is enough history, without holes; measures what is wrong with it."""
    found = case.shape
    if found is None:
        return _NO_DATA
    faults = _data_faults(case, found)
    return Finding("E11", "data", FAIL, ",".join(faults), _DATA_LIMIT) if faults else _DATA_GOOD


def _data_faults(case: Case, found: Shape) -> list[str]:
    series, k = case.features.series, case.features.k
    faults = []
    if k < _LEAST_HISTORY:
        faults.append("too few candles")
    if _has_nan(case, found):
        faults.append("NaN")
    if series.segment.item(found.p1) != series.segment.item(k):
        faults.append("hole")
    if "mfi" in case.claimed and any(each.name == "mfi" for each in case.readings):
        volumes = series.volume[max(0, found.p1 - _MFI_PERIOD) : found.p2 + 1].tolist()
        if volumes.count(0.0) > _ZERO_VOLUME_SHARE * len(volumes):
            faults.append("no volume")
    return faults


def _has_nan(case: Case, found: Shape) -> bool:
    """Whether ATR, RSI (rules 5 and 11 use it always) or an oscillator that is left is undefined at k, p1 or p2.

    An oscillator that is left has no NaN at its anchors. A sum is NaN if a part of it is.
    """
    columns, k = case.features.columns, case.features.k
    rsi = columns.rsi.item
    total = case.atr + found.atr2 + columns.atr.item(found.p1) + rsi(k) + rsi(found.p1) + rsi(found.p2)
    for each in case.readings:
        total += columns.oscillator(each.name).item(k)
    return math.isnan(total)


class ModelFault(StrEnum):
    """What went wrong when a model's claim does not hold."""

    MALFORMED = "malformed"
    FABRICATION = "fabrication"
    MISREADING = "misreading"
    UNTRADABLE = "untradable"


_FAULTS: Final = {
    "E1": ModelFault.MALFORMED,
    "E2": ModelFault.FABRICATION,
    "E3": ModelFault.FABRICATION,
    "E4": ModelFault.FABRICATION,
    "E5": ModelFault.MISREADING,
    "E6": ModelFault.MISREADING,
    "E7": ModelFault.MISREADING,
    "E8": ModelFault.MISREADING,
    "E9": ModelFault.MISREADING,
    "E10": ModelFault.UNTRADABLE,
    "E11": ModelFault.UNTRADABLE,
}


def model_fault(judgement: Judgement) -> ModelFault | None:
    """The class of the first evidence rule that failed, whatever rejected the signal; None if all of them hold."""
    failing = (each.code for each in judgement.findings if each.status is FAIL and each.code in _FAULTS)
    first = next(failing, None)
    return _FAULTS[first] if first else None
