"""Pivots (SPEC section 3): lows with higher neighbours, known only after the candles to their right.

A run of equal values is one place: its pivot sits at its first candle and becomes known `right` candles after its last.
Pivot highs are the pivot lows of the negated values.
"""

from typing import NamedTuple

import numpy as np

from bot.models import Floats, Ints


class Pivots(NamedTuple):
    """Indices of pivots and of the candles at whose close they became known; both ascending, shape (m,)."""

    at: Ints
    known_at: Ints


def pivot_lows(values: Floats, segment: Ints, *, left: int, right: int) -> Pivots:
    """Every pivot low of `values`.

    The `left` values before the run are strictly above it, the `right` values after it are not below it, none of them
    is NaN, and all lie in one segment (`segment` never falls).
    """
    starts, ends = _runs(values)
    inside = (starts >= left) & (ends + right < len(values))
    starts, ends = starts[inside], ends[inside]
    one_segment = segment[starts - left] == segment[ends + right]
    starts, ends = starts[one_segment], ends[one_segment]
    for step in range(1, left + 1):
        higher = values[starts - step] > values[starts]
        starts, ends = starts[higher], ends[higher]
    for step in range(1, right + 1):
        not_lower = values[ends + step] >= values[ends]
        starts, ends = starts[not_lower], ends[not_lower]
    return Pivots(starts, ends + right)


def _runs(values: Floats) -> tuple[Ints, Ints]:
    """First and last index of each maximal run of equal values; a NaN is a run of its own."""
    changes = np.flatnonzero(values[1:] != values[:-1])
    starts = np.concatenate(([0], changes + 1))[: len(values)]
    ends = np.concatenate((changes, [len(values) - 1]))[: len(values)]
    return starts.astype(np.int64), ends.astype(np.int64)


def pivot_known_at(values: Floats, segment: Ints, k: int, *, left: int, right: int, sign: int) -> int | None:
    """The pivot that becomes known at the close of candle `k`, if any: a low for `sign` +1, a high for -1.

    The streaming form of `pivot_lows`: reads only candles up to k, and of those only the run that ended at k - right
    and its neighbours. At most one pivot of a side becomes known per candle.
    """
    end = k - right
    if end < left:
        return None
    value = sign * values.item(end)
    if not sign * values.item(end + 1) > value:  # lower: no pivot; equal: the run goes on
        return None
    start = end
    while start > 0 and sign * values.item(start - 1) == value:
        start -= 1
    if start < left or segment[start - left] != segment[k]:
        return None
    after = all(sign * each >= value for each in values[end + 1 : k + 1].tolist())
    before = all(sign * each > value for each in values[start - left : start].tolist())
    return start if before and after else None
