"""The shapes a divergence claims, checked on a few candles: pivot, anchor, sight line, swing.

All work in long form: for a short the caller negates prices, the highs in the place of the lows, and oscillators.
Source: SPEC sections 3 and 4.
"""

import math
from collections.abc import Sequence
from typing import Final

_SIGHT_SLACK: Final = 1e-9  # of the price: rounding noise is no crossing
_PATTERNS: Final = 3


def pivot_run_end(lows: Sequence[float], p: int, left: int, right: int) -> int | None:
    """Last candle of the run of equal values that starts at `p`, if that is a pivot low known by the end; else None.

    The `left` candles before are strictly above it, the `right` ones after the run not below it; none is NaN. The
    pivot is known at the returned index plus `right`.
    """
    if not left <= p < len(lows):
        return None
    level = lows[p]
    for value in lows[p - left : p]:
        if not value > level:
            return None
    end = p
    last = len(lows) - 1
    while end < last and lows[end + 1] == level:
        end += 1
    if end + right > last:
        return None
    for value in lows[end + 1 : end + right + 1]:
        if not value >= level:
            return None
    return end


def anchor(values: Sequence[float], p: int, window: int, *, turn: bool) -> int | None:
    """Where an oscillator has its low around pivot `p`: the smallest of `p-window..p+window`, the nearest on a tie.

    None if one of them is missing or NaN or, with `turn`, if a neighbour of the low is missing or below it.
    """
    if p < window or p + window >= len(values):
        return None
    best, low = p, values[p]
    if low != low:
        return None
    for distance in range(1, window + 1):
        for q in (p - distance, p + distance):
            value = values[q]
            if value != value:
                return None
            if value < low:
                best, low = q, value
    if not turn:
        return best
    if best < 1 or best + 1 >= len(values):
        return None
    return best if low <= values[best - 1] and low <= values[best + 1] else None


def sight_is_clear(values: Sequence[float], start: int, end: int) -> bool:
    """Nothing between `start` and `end` lies below the line through both. Touching is allowed, crossing is not."""
    first = values[start]
    length = end - start
    between = values[start + 1 : end]
    if between and min(between) >= max(first, values[end]) and not math.isnan(sum(between)):
        return True  # the usual case, decided without a loop: all of it lies above both ends
    rise = values[end] - first
    slack = _SIGHT_SLACK * max(abs(first), abs(values[end])) * length
    for step, value in enumerate(between, start=1):
        if not (value - first) * length >= rise * step - slack:
            return False
    return length > 0


def candle_patterns(
    opens: Sequence[float], highs: Sequence[float], lows: Sequence[float], closes: Sequence[float], start: int
) -> tuple[str, ...]:
    """Names of the reversal patterns that end on candles from `start` on; each is named once, in order of finding.

    A pattern that would need a candle before the first one is not found. Source: SPEC section 5.1, rule 14.
    """
    found: list[str] = []
    for j in range(start, len(opens)):
        open_, close, low = opens[j], closes[j], lows[j]
        below = (open_ if open_ < close else close) - low
        if below >= 2.0 * abs(close - open_) and "hammer" not in found and _is_hammer(open_, highs[j], low, close):
            found.append("hammer")
        if close > open_:  # the other two end on a rising candle
            if j >= 1 and "engulfing" not in found and _is_engulfing(opens, closes, j):
                found.append("engulfing")
            if j >= 2 and "star" not in found and _is_star(opens, highs, lows, closes, j):
                found.append("star")
        if len(found) == _PATTERNS:
            break
    return tuple(found)


def _is_engulfing(opens: Sequence[float], closes: Sequence[float], j: int) -> bool:
    return (
        closes[j - 1] < opens[j - 1]
        and opens[j] <= closes[j - 1]
        and closes[j] >= opens[j - 1]
        and abs(closes[j] - opens[j]) > abs(closes[j - 1] - opens[j - 1])
    )


def _is_hammer(open_: float, high: float, low: float, close: float) -> bool:
    """Whether it is one, given that at least two bodies lie below the body."""
    length = high - low
    return length > 0.0 and min(open_, close) - low >= 0.5 * length and high - max(open_, close) <= 0.15 * length


def _is_star(
    opens: Sequence[float], highs: Sequence[float], lows: Sequence[float], closes: Sequence[float], j: int
) -> bool:
    fall = opens[j - 2] - closes[j - 2]
    return (
        fall > 0.0
        and fall >= 0.5 * (highs[j - 2] - lows[j - 2])
        and abs(closes[j - 1] - opens[j - 1]) <= 0.3 * fall
        and closes[j] > (opens[j - 2] + closes[j - 2]) / 2
    )
