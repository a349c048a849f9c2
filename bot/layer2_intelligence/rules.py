"""Rules 0 to 14 and the score gate: small pure functions, each of which answers with what it measured (SPEC 5.1, 5.3).

A rule whose input is missing or NaN fails with `measured` NaN. A switched-off or inapplicable rule measures all the
same, so that its worth can be studied.
"""

import math
from typing import Final

from bot.instruments import AssetClass
from bot.layer2_intelligence.evidence_geometry import candle_patterns
from bot.layer2_intelligence.rules_case import REGULAR, Case, Shape, finding, long_form
from bot.models import Finding, FindingStatus

PASS: Final = FindingStatus.PASS
FAIL: Final = FindingStatus.FAIL
OFF: Final = FindingStatus.OFF
NOT_APPLICABLE: Final = FindingStatus.NOT_APPLICABLE

_CRYPTO: Final = AssetClass.CRYPTO
_VOLUME_CANDLES: Final = 20
_CANDLES_WITH_VOLUME: Final = 10
_DIRECTION_LIMIT: Final = "long or short"
_FIELDS_LIMIT: Final = "entry and stop_loss, finite and above 0"
_PATTERN_LIMIT: Final = "engulfing, hammer or star of the direction"

# Findings without a number are made once: most signals get them, and the judge runs on every candle of a replay.
_IS_LONG: Final = Finding("0", "direction", PASS, "long", _DIRECTION_LIMIT)
_IS_SHORT: Final = Finding("0", "direction", PASS, "short", _DIRECTION_LIMIT)
_NO_DIRECTION: Final = Finding("0", "direction", FAIL, "none", _DIRECTION_LIMIT)
_FIELDS_THERE: Final = Finding("2", "fields", PASS, "", _FIELDS_LIMIT)


def direction(case: Case) -> Finding:
    """There must be something to do."""
    if not case.sign:
        return _NO_DIRECTION
    return _IS_LONG if case.sign > 0 else _IS_SHORT


def confidence(case: Case) -> Finding:
    """Whoever made the signal must believe in it, and no more than fully."""
    least, text = case.limits.confidence(case.instrument.broker_id)
    value = case.confidence
    return finding(("1", "confidence", PASS if least <= value <= 1.0 else FAIL, value, text))


def fields(case: Case) -> Finding:
    """Without an entry and a stop there is no trade; measures the names of those that are no price."""
    if case.entry is not None and case.stop is not None:
        return _FIELDS_THERE
    named = (("entry", case.entry), ("stop_loss", case.stop))
    missing = ",".join([name for name, value in named if value is None])
    return finding(("2", "fields", FAIL, missing, _FIELDS_LIMIT))


def stop_side(case: Case) -> Finding:
    """The stop must lie on the losing side of the entry and of the price really paid."""
    room, risk = case.money.entry_room, case.money.risk
    if room is None or risk is None:
        return finding(("3", "stop side", FAIL, math.nan, "> 0"))
    least = min(room, risk)
    return finding(("3", "stop side", PASS if least > 0 else FAIL, float(least), "> 0"))


def reward_risk(case: Case) -> Finding:
    """The nearest target must pay for the risk; the spread is inside the price paid."""
    reward, risk = case.money.reward, case.money.risk
    least, text = case.limits.reward_risk
    passed = reward is not None and risk is not None and risk > 0 and reward >= least * risk  # no division here
    return finding(("4", "reward:risk", PASS if passed else FAIL, case.money.reward_risk, text))


def rsi_contradiction(case: Case) -> Finding:
    """A long that is already overbought, or a short that is already oversold, comes too late."""
    overbought, oversold, text = case.limits.rsi_contradiction
    rsi = case.columns.rsi.item(case.k) if case.sign else math.nan
    passed = rsi < overbought if case.sign > 0 else rsi > oversold
    return finding(("5", "RSI contradiction", PASS if passed else FAIL, rsi, text))


def stop_distance(case: Case) -> Finding:
    """A stop inside the noise is hit by it; one far outside is no stop."""
    risk, atr = case.money.risk, case.money.atr
    least, most, text = case.limits.stop_distance
    if risk is None or atr is None:
        return finding(("6", "stop distance", FAIL, math.nan, text))
    distance = abs(risk)
    passed = least * atr <= distance <= most * atr
    return finding(("6", "stop distance", PASS if passed else FAIL, float(distance / atr), text))


def trend_strength(case: Case) -> Finding:
    """Crypto without a trend only pays fees."""
    least, text = case.limits.trend_strength
    adx = case.columns.adx.item(case.k)
    status = PASS if adx >= least else FAIL
    if case.instrument.asset_class is not _CRYPTO:
        status = NOT_APPLICABLE
    return finding(("7", "trend strength", status, adx, text))


def ranging_market(case: Case) -> Finding:
    """The bands must be open; against their own median one number fits currencies and crypto."""
    least, text = case.limits.ranging_market
    width, usual = case.columns.bandwidth.item(case.k), case.columns.bandwidth_median.item(case.k)
    ratio = width / usual if usual > 0.0 else math.nan
    if usual == 0.0 and width > 0.0:
        ratio = math.inf
    passed = width > 0.0 and ratio >= least
    return finding(("8", "ranging market", PASS if passed else FAIL, ratio, text))


def confirmation(case: Case) -> Finding:
    """More than one kind of oscillator must agree, counted after the recomputation struck out the wrong ones."""
    least, text = case.limits.confirmation
    if case.shape is None:
        return finding(("9", "confirmation", FAIL, math.nan, text))
    count = case.families if case.limits.families_confirm else len(case.left.names)
    return finding(("9", "confirmation", PASS if count >= least else FAIL, float(count), text))


def swing_length(case: Case) -> Finding:
    """Two pivots too close together are noise."""
    least, text = case.swing_minimum
    bars = float(case.shape.bars) if case.shape else math.nan
    return finding(("10", "swing length", PASS if bars >= least else FAIL, bars, text))


def rsi_magnitude(case: Case) -> Finding:
    """RSI itself must differ enough between the two pivots."""
    least, text = case.limits.rsi_magnitude
    measured = _rsi_difference(case)
    status = PASS if measured >= least else FAIL
    if not case.limits.rsi_magnitude_always and "rsi" not in case.claimed.oscillators:
        status = NOT_APPLICABLE
    return finding(("11", "RSI magnitude", status, measured, text))


def _rsi_difference(case: Case) -> float:
    """How far RSI moved the claimed way from the first pivot to the second, points."""
    found, kind, reach = case.shape, case.claimed.kind, case.limits.osc_win
    if found is None or kind is None:
        return math.nan
    first, second = _lowest(found.rsi, found.at1, reach), _lowest(found.rsi, found.at2, reach)
    return second - first if kind is REGULAR else first - second


def _lowest(values: list[float], at: int, reach: int) -> float:
    """Lowest value around a pivot; NaN where one of them is missing."""
    if at < reach or at + reach >= len(values):
        return math.nan
    around = values[at - reach : at + reach + 1]
    return min(around) if not math.isnan(sum(around)) else math.nan


def zero_volume(case: Case) -> Finding:
    """A market in which nothing is traded has no price, although a feed may show one."""
    share, text = case.limits.zero_volume
    status = NOT_APPLICABLE
    if case.instrument.has_volume:
        status = PASS if case.volume > share * case.volume_mean and _was_traded(case) else FAIL
    return finding(("12", "zero volume", status, case.volume_ratio, text))


def _was_traded(case: Case) -> bool:
    k = case.k
    recent: list[float] = case.series.volume[max(0, k + 1 - _VOLUME_CANDLES) : k + 1].tolist()
    return len(recent) - recent.count(0.0) >= _CANDLES_WITH_VOLUME


def low_volume(case: Case) -> Finding:
    """A thin candle is weak evidence. Off by default."""
    least, text = case.limits.low_volume
    status = PASS if case.volume_ratio >= least else FAIL
    if least == 0.0:
        status = OFF
    elif not case.instrument.has_volume:
        status = NOT_APPLICABLE
    return finding(("13", "low volume", status, case.volume_ratio, text))


def candle_pattern(case: Case) -> Finding:
    """A reversal candle since the second pivot. Off by default."""
    found = math.nan if case.shape is None else ",".join(_patterns(case, case.shape))
    status = OFF
    if case.limits.pattern_required:
        status = PASS if isinstance(found, str) and found else FAIL
    return finding(("14", "candle pattern", status, found, _PATTERN_LIMIT))


def _patterns(case: Case, found: Shape) -> list[str]:
    first = max(0, found.at2 - 2)  # a pattern has three candles at most
    candles = slice(found.base + first, case.k + 1)
    opens = long_form(case.series.open, case.sign, candles)
    closes = long_form(case.series.close, case.sign, candles)
    tail = zip(opens, found.highs[first:], found.lows[first:], closes, strict=True)
    return candle_patterns(list(tail), found.at2 - first)


def quality_gate(case: Case) -> Finding:
    """All things together must be good enough."""
    least, text = case.limits.quality
    return finding(("S", "quality score", PASS if case.score >= least else FAIL, case.score, text))
