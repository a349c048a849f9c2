"""Evidence rules E1 to E11: what a signal claims must be true of the candles (SPEC 5.2).

Written in long form; a short is its mirror. The recomputed pivots and oscillators come with the case.
"""

import math
from enum import StrEnum
from typing import Final

from bot.layer2_intelligence.evidence_geometry import sight_is_clear
from bot.layer2_intelligence.rules_case import REGULAR, Case, Claimed, Shape, finding, finite, is_instant
from bot.models import DivergenceClaim, Finding, FindingStatus, Judgement

PASS: Final = FindingStatus.PASS
FAIL: Final = FindingStatus.FAIL

_PIVOT_TOLERANCE_ATR: Final = 0.05
_ENTRY_TOLERANCE_ATR: Final = 0.5
_FRESH_CANDLES: Final = 3
_NEAR_ATR: Final = 2.0
_LEAST_HISTORY: Final = 250  # index of k: recursive indicators have forgotten their seed
_MFI_PERIOD: Final = 14
_ZERO_VOLUME_SHARE: Final = 0.1
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


def shape(case: Case) -> Finding:
    """Every field is there, of its type, finite; measures the names of those that are not."""
    bad = malformed_fields(case)
    return finding(("E1", "shape", FAIL, ",".join(bad), _SHAPE_LIMIT)) if bad else _WELL_FORMED


def malformed_fields(case: Case) -> list[str]:
    """Names of fields that are missing, of a wrong type, not finite or not of the snapshot. "No direction" is one."""
    signal, symbol = case.signal, case.signal.symbol
    bad = []
    if symbol != case.series.symbol or not isinstance(symbol, str):
        bad.append("symbol")
    if signal.timeframe is not case.series.timeframe:
        bad.append("timeframe")
    if not case.sign and signal.direction is not None:
        bad.append("direction")
    if math.isnan(case.entry_said):
        bad.append("entry")
    if case.stop is None and math.isnan(finite(signal.stop_loss)):
        bad.append("stop_loss")
    if not _are_targets(signal.targets, case):
        bad.append("targets")
    if not math.isfinite(case.confidence):
        bad.append("confidence")
    return bad + _malformed_claims(case.claimed, signal.claim)


def _malformed_claims(claimed: Claimed, said: object) -> list[str]:
    """The same of the claim: what is of its type, beside what was said."""
    kind, oscillators, p1, p2, price1, price2 = claimed
    claim = said if isinstance(said, DivergenceClaim) else None
    names: object = claim.oscillators if claim else ()
    bad = []
    if kind is None:
        bad.append("kind")
    if not (oscillators and isinstance(names, tuple) and len(names) == len(oscillators)):
        bad.append("oscillators")
    if p1 is None and not is_instant(claim.p1_at if claim else None):
        bad.append("p1_time")
    if p2 is None and not is_instant(claim.p2_at if claim else None):
        bad.append("p2_time")
    if math.isnan(price1):
        bad.append("p1_price")
    if math.isnan(price2):
        bad.append("p2_price")
    return bad


def _are_targets(targets: object, case: Case) -> bool:
    """One or two numbers, the nearest first."""
    if not isinstance(targets, tuple) or not 1 <= len(targets) <= _MOST_TARGETS:
        return False
    nearest, furthest = targets[0], targets[-1]
    known = case.money.reward is not None  # then all of them are prices
    if not known and (math.isnan(finite(nearest)) or math.isnan(finite(furthest))):
        return False
    return bool(nearest <= furthest if case.sign > 0 else nearest >= furthest if case.sign < 0 else True)


def times(case: Case) -> Finding:
    """The claimed times are those of candles, in order, and the second one is confirmed; measures the wrong ones."""
    p1, p2 = case.claimed.p1, case.claimed.p2
    text = case.limits.times
    if p1 is None or p2 is None:
        missing = "p1_time,p2_time" if p1 is p2 else "p1_time" if p1 is None else "p2_time"
        return finding(("E2", "times", FAIL, missing, text))
    if not p1 < p2:
        return finding(("E2", "times", FAIL, "not in order", text))
    if p2 > case.k - case.limits.confirm:
        return finding(("E2", "times", FAIL, "p2 not confirmed", text))
    return finding(("E2", "times", PASS, "", text))


def prices(case: Case) -> Finding:
    """The claimed prices are those of the candles; measures the names of the invented ones."""
    found, claimed, sign = case.shape, case.claimed, case.sign
    if found is None:
        return _NO_PRICES
    invented = []
    if not abs(claimed.price1 - sign * found.price1) <= _PIVOT_TOLERANCE_ATR * found.atr1:
        invented.append("p1_price")
    if not abs(claimed.price2 - sign * found.price2) <= _PIVOT_TOLERANCE_ATR * found.atr2:
        invented.append("p2_price")
    if not abs(case.entry_said - case.close) <= _ENTRY_TOLERANCE_ATR * case.atr:
        invented.append("entry")
    return finding(("E3", "prices", FAIL, ",".join(invented), _PRICES_LIMIT)) if invented else _PRICES_TRUE


def pivots(case: Case) -> Finding:
    """There are pivots where they are claimed; measures the names of the missing ones."""
    found = case.shape
    if found is None:
        return _NO_PIVOTS
    if found.found1 and found.found2:
        return _PIVOTS_FOUND
    missing = "p1" if found.found2 else "p2" if found.found1 else "p1,p2"
    return finding(("E4", "pivots", FAIL, missing, _PIVOTS_LIMIT))


def separation(case: Case) -> Finding:
    """The pivots are neither the same movement nor strangers."""
    least, most, text = case.limits.separation
    bars = float(case.shape.bars) if case.shape else math.nan
    return finding(("E5", "separation", PASS if least <= bars <= most else FAIL, bars, text))


def price_slope(case: Case) -> Finding:
    """Price does what the claimed kind says; measures how much, in ATR."""
    least, text = case.limits.price_slope
    found, kind = case.shape, case.claimed.kind
    if found is None or kind is None:
        return finding(("E6", "price slope", FAIL, math.nan, text))
    first, second, atr = found.price1, found.price2, found.atr2
    if kind is REGULAR:
        passed, difference = second < first - least * atr, first - second
    else:
        passed, difference = second > first + least * atr, second - first
    return finding(("E6", "price slope", PASS if passed else FAIL, difference / atr if atr > 0.0 else math.nan, text))


def oscillator_slope(case: Case) -> Finding:
    """At least one claimed oscillator does what is claimed; measures the names of those left."""
    names = ",".join(case.left.names)
    return finding(("E7", "oscillator slope", PASS if names else FAIL, names, _LEFT_LIMIT))


def line_of_sight(case: Case) -> Finding:
    """No candle between the pivots crosses the lines that make the divergence; measures the names of crossed lines."""
    found, left = case.shape, case.left
    if found is None or found.bars <= 0:
        return _NO_SIGHT
    between = found.lows[found.at1 + 1 : found.at2]
    crossed = [] if sight_is_clear(between, found.price1, found.price2, float) else ["price"]
    if not all(left.in_sight):
        crossed += [name for name, clear in zip(left.names, left.in_sight, strict=True) if not clear]
    return finding(("E8", "line of sight", FAIL, ",".join(crossed), _SIGHT_LIMIT)) if crossed else _IN_SIGHT


def swing(case: Case) -> Finding:
    """There was a move between the pivots; measures it from the nearer one, in ATR."""
    least, text = case.limits.swing_move
    found = case.shape
    if found is None or found.bars < 2:
        return finding(("E9", "swing", FAIL, math.nan, text))
    atr = found.atr2
    move = max(found.highs[found.at1 + 1 : found.at2]) - max(found.price1, found.price2)
    return finding(("E9", "swing", PASS if move >= least * atr else FAIL, move / atr if atr > 0.0 else math.nan, text))


def fresh_and_alive(case: Case) -> Finding:
    """The second pivot is young, unbroken and near; measures its age in candles, or what it is instead."""
    found = case.shape
    if found is None:
        return _NOT_FRESH
    age = case.k - found.known_at
    if age > _FRESH_CANDLES:
        return finding(("E10", "fresh and alive", FAIL, float(age), _FRESH_LIMIT))
    if min(found.lows[found.at2 :]) < found.price2:
        return finding(("E10", "fresh and alive", FAIL, "broken", _FRESH_LIMIT))
    if not abs(case.sign * case.close - found.price2) <= _NEAR_ATR * case.atr:
        return finding(("E10", "fresh and alive", FAIL, "far from the price", _FRESH_LIMIT))
    return finding(("E10", "fresh and alive", PASS, float(age), _FRESH_LIMIT))


def data(case: Case) -> Finding:
    """There is enough history, without holes; measures what is wrong with it."""
    found, segment, k = case.shape, case.series.segment, case.k
    if found is None:
        return _NO_DATA
    faults = []
    if k < _LEAST_HISTORY:
        faults.append("too few candles")
    if _has_nan(case, found):
        faults.append("NaN")
    if segment.item(found.p1) != segment.item(k):
        faults.append("hole")
    if "mfi" in case.left.names and _lacks_volume(case, found):
        faults.append("no volume")
    return finding(("E11", "data", FAIL, ",".join(faults), _DATA_LIMIT)) if faults else _DATA_GOOD


def _has_nan(case: Case, found: Shape) -> bool:
    """Whether ATR, RSI (rules 5 and 11 use it always) or an oscillator that is left is undefined at k, p1 or p2.

    An oscillator that is left has no NaN at its anchors. A sum is NaN if a part of it is.
    """
    rsi = found.rsi
    used = (case.atr, found.atr1, found.atr2, rsi[-1], rsi[found.at1], rsi[found.at2], *case.left.newest)
    return math.isnan(sum(used))


def _lacks_volume(case: Case, found: Shape) -> bool:
    volumes = case.series.volume[max(0, found.p1 - _MFI_PERIOD) : found.p2 + 1].tolist()
    return bool(volumes.count(0.0) > _ZERO_VOLUME_SHARE * len(volumes))


EVIDENCE: Final = (
    shape,
    times,
    prices,
    pivots,
    separation,
    price_slope,
    oscillator_slope,
    line_of_sight,
    swing,
    fresh_and_alive,
    data,
)


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
