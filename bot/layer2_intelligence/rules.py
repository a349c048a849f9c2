"""Rules 0 to 14 and the score gate: small pure functions, each of which answers with what it measured (SPEC 5.1, 5.3).

A rule whose input is missing or NaN fails with `measured` NaN. A switched-off or inapplicable rule measures all the
same, so that its worth can be studied.
"""

import math
from typing import Final

from bot.instruments import AssetClass
from bot.layer2_intelligence.evidence_geometry import candle_patterns
from bot.layer2_intelligence.rules_case import REGULAR, Case, number
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
    value = number(case.signal.confidence)
    return Finding("1", "confidence", PASS if least <= value <= 1.0 else FAIL, value, text)


def fields(case: Case) -> Finding:
    """Without an entry and a stop there is no trade; measures the names of those that are no price."""
    if case.entry is not None and case.stop is not None:
        return _FIELDS_THERE
    named = (("entry", case.entry), ("stop_loss", case.stop))
    missing = ",".join([name for name, value in named if value is None])
    return Finding("2", "fields", FAIL, missing, _FIELDS_LIMIT)


def stop_side(case: Case) -> Finding:
    """The stop must lie on the losing side of the entry and of the price really paid."""
    room, risk = case.money.entry_room, case.money.risk
    if room is None or risk is None:
        return Finding("3", "stop side", FAIL, math.nan, "> 0")
    least = min(room, risk)
    return Finding("3", "stop side", PASS if least > 0 else FAIL, float(least), "> 0")


def reward_risk(case: Case) -> Finding:
    """The nearest target must pay for the risk; the spread is inside the price paid."""
    reward, risk = case.money.reward, case.money.risk
    passed = (
        reward is not None
        and risk is not None
        and risk > 0
        and reward >= case.limits.validation.min_risk_reward * risk  # no division at the boundary
    )
    return Finding("4", "reward:risk", PASS if passed else FAIL, case.money.reward_risk, case.limits.texts["4"])


def rsi_contradiction(case: Case) -> Finding:
    """A long that is already overbought, or a short that is already oversold, comes too late."""
    validation = case.limits.validation
    rsi = case.features.columns.rsi.item(case.features.k) if case.sign else math.nan
    passed = rsi < validation.rsi_overbought if case.sign > 0 else rsi > validation.rsi_oversold
    return Finding("5", "RSI contradiction", PASS if passed else FAIL, rsi, case.limits.texts["5"])


def stop_distance(case: Case) -> Finding:
    """A stop inside the noise is hit by it; one far outside is no stop."""
    risk, atr, text = case.money.risk, case.money.atr, case.limits.texts["6"]
    if risk is None or atr is None:
        return Finding("6", "stop distance", FAIL, math.nan, text)
    validation = case.limits.validation
    distance = abs(risk)
    passed = validation.min_atr_multiple * atr <= distance <= validation.max_atr_multiple * atr
    return Finding("6", "stop distance", PASS if passed else FAIL, float(distance / atr), text)


def trend_strength(case: Case) -> Finding:
    """Crypto without a trend only pays fees."""
    adx = case.features.columns.adx.item(case.features.k)
    status = PASS if adx >= case.limits.validation.min_adx else FAIL
    if case.instrument.asset_class is not _CRYPTO:
        status = NOT_APPLICABLE
    return Finding("7", "trend strength", status, adx, case.limits.texts["7"])


def ranging_market(case: Case) -> Finding:
    """The bands must be open; against their own median one number fits currencies and crypto."""
    width = case.features.columns.bandwidth.item(case.features.k)
    usual = case.features.columns.bandwidth_median.item(case.features.k)
    ratio = width / usual if usual > 0.0 else math.nan
    if usual == 0.0 and width > 0.0:
        ratio = math.inf
    passed = width > 0.0 and ratio >= case.limits.validation.min_bandwidth_ratio
    return Finding("8", "ranging market", PASS if passed else FAIL, ratio, case.limits.texts["8"])


def confirmation(case: Case) -> Finding:
    """More than one kind of oscillator must agree, counted after the recomputation struck out the wrong ones."""
    validation, text = case.limits.validation, case.limits.texts["9"]
    if case.shape is None:
        return Finding("9", "confirmation", FAIL, math.nan, text)
    count = case.families if validation.confirm_by == "families" else len(case.readings)
    passed = count >= validation.min_confirming_indicators
    return Finding("9", "confirmation", PASS if passed else FAIL, float(count), text)


def swing_length(case: Case) -> Finding:
    """Two pivots too close together are noise."""
    least, text = case.swing_minimum
    bars = float(case.shape.bars) if case.shape else math.nan
    return Finding("10", "swing length", PASS if bars >= least else FAIL, bars, text)


def rsi_magnitude(case: Case) -> Finding:
    """RSI itself must differ enough between the two pivots."""
    validation = case.limits.validation
    measured = _rsi_difference(case)
    status = PASS if measured >= validation.min_divergence_magnitude_rsi else FAIL
    if validation.rsi_magnitude_when == "claimed" and "rsi" not in case.claimed:
        status = NOT_APPLICABLE
    return Finding("11", "RSI magnitude", status, measured, case.limits.texts["11"])


def _rsi_difference(case: Case) -> float:
    """How far RSI moved the claimed way from the first pivot to the second, points."""
    if case.shape is None or case.kind is None:
        return math.nan
    first, second = _rsi_extreme(case, case.shape.p1), _rsi_extreme(case, case.shape.p2)
    return second - first if case.kind is REGULAR else first - second


def _rsi_extreme(case: Case, p: int) -> float:
    """Lowest RSI around a pivot, in long form; NaN where one of the candles is missing."""
    window = case.limits.divergence.osc_win
    if p < window or p + window > case.features.k:
        return math.nan
    rsi = case.features.columns.rsi.item
    values = [rsi(j) for j in range(p - window, p + window + 1)]
    if math.isnan(sum(values)):
        return math.nan
    return min(values) if case.sign > 0 else -max(values)


def zero_volume(case: Case) -> Finding:
    """A market in which nothing is traded has no price, although a feed may show one."""
    status = NOT_APPLICABLE
    if case.instrument.has_volume:
        passed = case.volume > case.limits.validation.near_zero_volume_ratio * case.volume_mean and _was_traded(case)
        status = PASS if passed else FAIL
    return Finding("12", "zero volume", status, case.volume_ratio, case.limits.texts["12"])


def _was_traded(case: Case) -> bool:
    k = case.features.k
    recent: list[float] = case.features.series.volume[max(0, k + 1 - _VOLUME_CANDLES) : k + 1].tolist()
    return len(recent) - recent.count(0.0) >= _CANDLES_WITH_VOLUME


def low_volume(case: Case) -> Finding:
    """A thin candle is weak evidence. Off by default."""
    least = case.limits.validation.volume_low_threshold
    ratio = case.volume_ratio
    status = PASS if ratio >= least else FAIL
    if least == 0.0:
        status = OFF
    elif not case.instrument.has_volume:
        status = NOT_APPLICABLE
    return Finding("13", "low volume", status, ratio, case.limits.texts["13"])


def candle_pattern(case: Case) -> Finding:
    """A reversal candle since the second pivot. Off by default."""
    found: float | str = math.nan
    if case.shape is not None:
        pivots = case.shape
        found = ",".join(
            candle_patterns(pivots.opens, pivots.highs, pivots.lows, pivots.closes, pivots.p2 - pivots.base)
        )
    status = OFF
    if case.limits.validation.require_candle_pattern:
        status = PASS if isinstance(found, str) and found else FAIL
    return Finding("14", "candle pattern", status, found, "engulfing, hammer or star of the direction")


def quality_gate(case: Case) -> Finding:
    """All things together must be good enough."""
    passed = case.score >= case.limits.validation.min_divergence_score
    return Finding("S", "quality score", PASS if passed else FAIL, case.score, case.limits.texts["S"])
