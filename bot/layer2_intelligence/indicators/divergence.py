"""Divergences between price and oscillators (SPEC section 4), for a whole series or candle by candle.

Both forms find their own pivots and hand them to the same judgement of pairs. The bearish side is the bullish one on
mirrored values: -H for L, -L for H, -o for o.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from bot.config import DivergenceSettings
from bot.errors import ConfigError
from bot.layer2_intelligence.indicators.pivots import Pivots, pivot_known_at, pivot_lows
from bot.models import CandleSeries, Direction, Divergence, DivergenceKind, FeatureColumns, Floats, Ints

Flags = NDArray[np.bool_]

OSCILLATORS: Final = ("cci", "macd_hist", "mfi", "rsi", "stoch_k", "willr")  # sorted, as events are
UNBOUNDED: Final = "macd_hist"  # in price units: not rounded, its margin is in ATR
ROUNDING_DECIMALS: Final = 6  # makes saturation at 0 or 100 tie exactly
SIGHT_TOLERANCE: Final = 1e-9  # of the larger end of the line
_PIVOTS_AT_ONCE: Final = 1_000  # second pivots judged together: bounds the memory of the sight checks
_SIDES: Final = (Direction.SHORT, Direction.LONG)  # "bear" sorts before "bull"


def check_settings(settings: DivergenceSettings) -> None:
    """Raise ConfigError where settings contradict each other: an anchor must be known when its pivot is."""
    if not settings.osc_win < settings.confirm <= settings.right:
        raise ConfigError(
            f"divergence: osc_win {settings.osc_win} < confirm {settings.confirm} <= right {settings.right} "
            "does not hold; lower osc_win or confirm, or raise right"
        )
    if settings.min_sep > settings.max_sep:
        raise ConfigError(
            f"divergence: min_sep {settings.min_sep} is above max_sep {settings.max_sep}; no pair can be that far apart"
        )


@dataclass(frozen=True, slots=True)
class _View:
    """Candles `base..stop-1` as the bullish side sees them; indices below count from `base`.

    `lows` and `highs` are L and H, or -H and -L; `oscillators` has shape (6, n), bounded ones rounded.
    """

    direction: Direction
    base: int
    lows: Floats
    highs: Floats
    atr: Floats
    segment: Ints
    oscillators: Floats

    @classmethod
    def of(
        cls, series: CandleSeries, columns: FeatureColumns, direction: Direction, *, base: int = 0, stop: int
    ) -> Self:
        rows = [columns.oscillator(name)[base:stop] for name in OSCILLATORS]
        oscillators = np.array(
            [
                row if name == UNBOUNDED else np.round(row, ROUNDING_DECIMALS)
                for name, row in zip(OSCILLATORS, rows, strict=True)
            ]
        )
        low, high = series.low[base:stop], series.high[base:stop]
        atr, segment = columns.atr[base:stop], series.segment[base:stop]
        if direction is Direction.LONG:
            return cls(direction, base, low, high, atr, segment, oscillators)
        return cls(direction, base, -high, -low, atr, segment, -oscillators)


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Pairs of pivots in judgement: for each second pivot its first pivots from the nearest to the farthest.

    `row` says which second pivot a pair belongs to. All of shape (m,).
    """

    row: Ints
    p1: Ints
    p2: Ints
    known_at: Ints

    def where(self, kept: Flags | Ints) -> "_Pairs":
        return _Pairs(self.row[kept], self.p1[kept], self.p2[kept], self.known_at[kept])


@dataclass(frozen=True, slots=True)
class DivergenceTable:
    """Divergences as columns: a long series has too many for an object each before anyone asks for them.

    `places` has shape (8, m): index in OSCILLATORS, 1 for regular, 1 for bullish, p1, p2, q1, q2, known_at.
    `values` has shape (4, m): price1, price2, osc1, osc2.
    """

    places: Ints
    values: Floats

    @property
    def known_at(self) -> Ints:
        """The candle at whose close each became known, shape (m,)."""
        known_at: Ints = self.places[-1]
        return known_at

    def events(self, start: int = 0, stop: int | None = None) -> list[Divergence]:
        """Rows `start..stop-1` as events."""
        rows = zip(*self.places[:, start:stop].tolist(), *self.values[:, start:stop].tolist(), strict=True)
        return [
            Divergence(
                oscillator=OSCILLATORS[oscillator],
                kind=DivergenceKind.REGULAR if regular else DivergenceKind.HIDDEN,
                direction=_SIDES[bullish],
                p1=p1,
                p2=p2,
                q1=q1,
                q2=q2,
                price1=price1,
                price2=price2,
                osc1=osc1,
                osc2=osc2,
                known_at=known_at,
            )
            for oscillator, regular, bullish, p1, p2, q1, q2, known_at, price1, price2, osc1, osc2 in rows
        ]


_NONE: Final = DivergenceTable(np.empty((8, 0), dtype=np.int64), np.empty((4, 0)))


def divergences(series: CandleSeries, columns: FeatureColumns, settings: DivergenceSettings) -> list[Divergence]:
    """Every divergence of a whole series, sorted by (known_at, direction, oscillator, kind). Raises ConfigError."""
    return divergence_table(series, columns, settings).events()


def divergence_table(series: CandleSeries, columns: FeatureColumns, settings: DivergenceSettings) -> DivergenceTable:
    """`divergences` as a table, in the same order."""
    check_settings(settings)
    found = [_NONE]
    for direction in _SIDES:
        view = _View.of(series, columns, direction, stop=len(series))
        full = pivot_lows(view.lows, view.segment, left=settings.left, right=settings.right)
        second = pivot_lows(view.lows, view.segment, left=settings.left, right=settings.confirm)
        for start in range(0, len(second.at), _PIVOTS_AT_ONCE):
            part = slice(start, start + _PIVOTS_AT_ONCE)
            found.append(_judged(view, Pivots(second.at[part], second.known_at[part]), full, settings))
    places, values = (np.concatenate(parts, axis=1) for parts in zip(*map(_arrays, found), strict=True))
    order = np.argsort(places[-1], kind="stable")  # within a candle they are in order already
    return DivergenceTable(places[:, order], values[:, order])


def _arrays(table: DivergenceTable) -> tuple[Ints, Floats]:
    return table.places, table.values


class DivergenceStream:
    """Divergences as candles close; the same events in the same order as `divergences`.

    Keeps only the newest full pivots of each side. Every candle must be shown exactly once, in order; when candles fall
    off the front of the series, `let_go` must be told.
    """

    def __init__(self, settings: DivergenceSettings) -> None:
        check_settings(settings)
        self._settings = settings
        # Pivots in reach of a second pivot are at most max_sep apart from it, so more of them are never asked for.
        self._full: dict[Direction, deque[tuple[int, int]]] = {
            direction: deque(maxlen=settings.max_sep + 1) for direction in _SIDES
        }

    def resume(self, series: CandleSeries) -> None:
        """Forget everything and stand after the last candle of `series`, as if each had been shown."""
        for direction, full in self._full.items():
            values = series.low if direction is Direction.LONG else -series.high
            known = pivot_lows(values, series.segment, left=self._settings.left, right=self._settings.right)
            full.clear()
            full.extend(zip(known.at.tolist(), known.known_at.tolist(), strict=True))

    def let_go(self, dropped: int) -> None:
        """The series has lost its first `dropped` candles; indices count from the oldest that is left."""
        for full in self._full.values():
            left = [(at - dropped, known_at - dropped) for at, known_at in full if at >= dropped]
            full.clear()
            full.extend(left)

    def at(self, series: CandleSeries, columns: FeatureColumns, k: int) -> list[Divergence]:
        """Divergences that become known at the close of candle `k`."""
        found: list[Divergence] = []
        for direction in _SIDES:
            values = series.low if direction is Direction.LONG else series.high
            pivot = self._pivot(values, series.segment, k, self._settings.right, direction)
            if pivot is not None:
                self._full[direction].append((pivot, k))
            second = self._pivot(values, series.segment, k, self._settings.confirm, direction)
            if second is not None:
                found += self._judged(series, columns, direction, second, k)
        return found

    def _pivot(self, values: Floats, segment: Ints, k: int, right: int, direction: Direction) -> int | None:
        return pivot_known_at(values, segment, k, left=self._settings.left, right=right, sign=direction.sign)

    def _judged(
        self, series: CandleSeries, columns: FeatureColumns, direction: Direction, p2: int, k: int
    ) -> list[Divergence]:
        settings = self._settings
        nearest, farthest = p2 - settings.min_sep, p2 - settings.max_sep
        reach = [each for each in self._full[direction] if farthest <= each[0] <= nearest]
        if not reach:
            return []
        base = max(0, reach[0][0] - settings.osc_win - 1)  # the anchor's left neighbour is read too
        view = _View.of(series, columns, direction, base=base, stop=k + 1)
        at, known_at = np.array(reach, dtype=np.int64).T - base
        second = Pivots(np.array([p2 - base]), np.array([k - base]))
        return _judged(view, second, Pivots(at, known_at), settings).events()


def _judged(view: _View, second: Pivots, full: Pivots, settings: DivergenceSettings) -> DivergenceTable:
    """The events of some second pivots, in their order and sorted within each."""
    pairs = _candidate_pairs(view, second, full, settings)
    pairs = pairs.where(_price_diverges(view, pairs, settings))
    pairs = pairs.where(_line_is_clear(view.lows, pairs.p1, pairs.p2))
    return _oscillator_events(view, pairs, settings) if len(pairs.p1) else _NONE


def _candidate_pairs(view: _View, second: Pivots, full: Pivots, settings: DivergenceSettings) -> _Pairs:
    """Second pivots with every full pivot in reach that is known by then."""
    start = np.searchsorted(full.at, second.at - settings.max_sep, side="left")
    stop = np.searchsorted(full.at, second.at - settings.min_sep, side="right")
    count = np.where(np.isnan(view.atr[second.at]), 0, stop - start)
    row = np.repeat(np.arange(len(second.at)), count)
    back = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    first = stop[row] - 1 - back
    pairs = _Pairs(row, full.at[first], second.at[row], second.known_at[row])
    return pairs.where(full.known_at[first] <= pairs.known_at)


def _price_diverges(view: _View, pairs: _Pairs, settings: DivergenceSettings) -> Flags:
    """Whether price moved enough between the pivots, and from one to the other (in either direction)."""
    atr = view.atr[pairs.p2]
    low1, low2 = view.lows[pairs.p1], view.lows[pairs.p2]
    margin = settings.min_price_atr * atr
    swing = _highest_between(view.highs, pairs.p1, pairs.p2) - np.maximum(low1, low2)
    flags: Flags = ((low2 < low1 - margin) | (low2 > low1 + margin)) & (swing >= settings.min_swing_atr * atr)
    return flags


def _highest_between(values: Floats, first: Ints, last: Ints) -> Floats:
    """Greatest value strictly between `first` and `last`, which are at least 2 apart.

    Reads two overlapping stretches whose length is a power of two, from a table made by doubling. The table is made of
    the values in reach only: callers ask for a part of a long series at a time.
    """
    if not len(first):
        return np.empty(0)
    base = int(first.min())
    values, first, last = values[base : int(last.max()) + 1], first - base, last - base
    length = last - first - 1
    level = np.frexp(length.astype(np.float64))[1] - 1  # floor of the binary logarithm
    result = np.empty(len(length))
    table = values
    for power in range(int(level.max(initial=0)) + 1):
        here = level == power
        result[here] = np.maximum(table[first[here] + 1], table[last[here] - (1 << power)])
        table = np.maximum(table[: -(1 << power)], table[1 << power :])
    return result


def _line_is_clear(values: Floats, first: Ints, last: Ints) -> Flags:
    """Whether every value strictly between `first` and `last` is on or above the line that joins the two.

    A NaN in between is not above the line.
    """
    span = last - first
    inner = span - 1
    start = values[first]
    rise = values[last] - start
    tolerance = SIGHT_TOLERANCE * np.maximum(np.abs(start), np.abs(values[last])) * span
    row = np.repeat(np.arange(len(first)), inner)
    step = np.arange(1, len(row) + 1) - np.repeat(np.cumsum(inner) - inner, inner)
    above = (values[first[row] + step] - start[row]) * span[row] >= rise[row] * step - tolerance[row]
    clear = np.ones(len(first), dtype=np.bool_)
    clear[row[~above]] = False
    return clear


def _anchors(oscillators: Floats, pivots: Ints, settings: DivergenceSettings) -> Ints:
    """Where each oscillator turns near each pivot, shape (6, m); -1 where it does not or is not known."""
    reach, count = settings.osc_win, oscillators.shape[1]
    offsets = np.array(sorted(range(-reach, reach + 1), key=lambda each: (abs(each), each)))
    inside = (pivots >= reach) & (pivots < count - reach)
    window = oscillators[:, np.clip(pivots + offsets[:, None], 0, count - 1)]
    anchors = pivots + offsets[np.argmin(window, axis=1)]
    found = inside & ~np.isnan(window).any(axis=1)
    if settings.osc_turn:
        found &= (anchors >= 1) & (anchors < count - 1)
        row = np.arange(len(OSCILLATORS))[:, None]
        safe = np.clip(anchors, 1, max(1, count - 2))
        here = oscillators[row, safe]
        found &= (here <= oscillators[row, safe - 1]) & (here <= oscillators[row, safe + 1])
    return np.where(found, anchors, -1)


def least_difference(name: str, settings: DivergenceSettings) -> float:
    """Margin `min_osc` of one oscillator: points, or multiples of ATR for `macd_hist`."""
    return float(getattr(settings, f"min_osc_{name}"))


def _oscillator_events(view: _View, pairs: _Pairs, settings: DivergenceSettings) -> DivergenceTable:
    """The nearest pair of each (second pivot, oscillator, kind) on which the oscillator diverges with a clear line."""
    q1 = _anchors(view.oscillators, pairs.p1, settings)
    q2 = _anchors(view.oscillators, pairs.p2, settings)
    row = np.arange(len(OSCILLATORS))[:, None]
    osc1, osc2 = view.oscillators[row, q1], view.oscillators[row, q2]  # -1 reads the last value; never used
    margin = np.array([[least_difference(name, settings)] for name in OSCILLATORS]) * np.ones(len(pairs.p1))
    margin[OSCILLATORS.index(UNBOUNDED)] *= view.atr[pairs.p2]
    regular = view.lows[pairs.p2] < view.lows[pairs.p1]
    slope = np.where(regular, osc2 > osc1 + margin, osc2 < osc1 - margin)
    one_segment = view.segment[np.minimum(pairs.p1, q1)] == view.segment[pairs.p2]
    which, pair = np.nonzero(slope & (q1 >= 0) & (q2 >= 0) & (q1 < q2) & one_segment)
    offset = which * view.oscillators.shape[1]
    clear = _line_is_clear(view.oscillators.ravel(), offset + q1[which, pair], offset + q2[which, pair])
    which, pair = which[clear], pair[clear]
    key = (pairs.row[pair] * len(OSCILLATORS) + which) * 2 + regular[pair]  # "hidden" sorts before "regular"
    # The first of equal keys is the nearest pair: within an oscillator the pairs keep their order.
    chosen = np.unique(key, return_index=True)[1]
    which, pair = which[chosen], pair[chosen]
    return _table(view, pairs.where(pair), which, q1[which, pair], q2[which, pair])


def _table(view: _View, pairs: _Pairs, which: Ints, q1: Ints, q2: Ints) -> DivergenceTable:
    """Pairs as rows: indices of the series, values that are not mirrored."""
    low1, low2 = view.lows[pairs.p1], view.lows[pairs.p2]
    indices = np.array((pairs.p1, pairs.p2, q1, q2, pairs.known_at)) + view.base
    bullish = np.full(len(which), _SIDES.index(view.direction))
    values = np.array((low1, low2, view.oscillators[which, q1], view.oscillators[which, q2]))
    return DivergenceTable(np.vstack((which, low2 < low1, bullish, indices)), view.direction.sign * values)
