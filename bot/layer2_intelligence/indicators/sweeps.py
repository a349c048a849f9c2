"""Liquidity sweeps (SPEC section 8): price goes beyond an old extreme and comes back, or does not.

Both sides are worked on as highs; lows are the highs of negated prices. Batch and stream share one machine per side;
the batch passes over candles that cannot change anything.
"""

import heapq
import math
from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from bot.errors import ConfigError
from bot.layer2_intelligence.indicators.pivots import pivot_known_at, pivot_lows
from bot.layer2_intelligence.indicators.rows import plain_rows
from bot.layer2_intelligence.structure_events import SweepEvent, SweepOutcome, SwingSide
from bot.models import CandleSeries, Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepSettings:
    """Candle counts: `swing_length` on both sides of a pivot, `max_age` of a level, `reclaim` to close back in.

    Multiples of the ATR of the first candle beyond: `max_depth` of a sweep, `equal_within` between equal levels.
    """

    swing_length: int = 5
    max_age: int = 200
    reclaim: int = 3
    max_depth: float = 1.5
    equal_within: float = 0.1

    def __post_init__(self) -> None:
        for name in ("swing_length", "max_age", "reclaim"):
            if getattr(self, name) < 1:
                raise ConfigError(f"sweeps: {name} {getattr(self, name)} is below 1; it counts candles")
        for name in ("max_depth", "equal_within"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"sweeps: {name} {getattr(self, name)} is not 0 or more; it is a multiple of ATR")


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """An extreme that can be swept: a pivot, or what a consumer names, such as the previous day's high.

    It lives from the candle after `known_at` to `max_age` candles after `pivot`, the candle that made it.
    """

    side: SwingSide
    price: float
    pivot: int
    known_at: int


_Key = tuple[float, int]  # price as a high, pivot


@dataclass(slots=True)
class _Penetration:
    """A level that price has gone beyond, until it is decided."""

    level: _Key
    start: int
    deepest: float
    extreme: float
    strength: int


@dataclass(slots=True)
class _Side:
    """Untouched levels and undecided penetrations of one side, in prices as of highs."""

    side: SwingSide
    settings: SweepSettings
    nearest: float = math.inf  # no untouched level is below: at or under it a high changes nothing
    undecided: list[_Penetration] = field(default_factory=list)
    _levels: list[_Key] = field(default_factory=list)  # ascending
    _by_age: list[tuple[int, float]] = field(default_factory=list)  # heap; holds touched levels too until they age
    _segment: int | None = None

    def add(self, price: float, pivot: int) -> None:
        """A level that can be touched from the next candle on."""
        price *= self.side.sign
        insort(self._levels, (price, pivot))
        heapq.heappush(self._by_age, (pivot, price))
        self.nearest = self._levels[0][0]

    def enter(self, segment: int) -> None:
        """Forget everything at an unscheduled hole: nothing that spans it is an event."""
        if segment == self._segment:
            return
        self._segment, self.nearest = segment, math.inf
        for each in (self._levels, self._by_age, self.undecided):
            each.clear()

    def let_go(self, dropped: int) -> None:
        """The series has lost its first `dropped` candles. Neither list changes its order."""
        self._levels = [(price, pivot - dropped) for price, pivot in self._levels]
        self._by_age = [(pivot - dropped, price) for pivot, price in self._by_age]
        for each in self.undecided:
            price, pivot = each.level
            each.level, each.start = (price, pivot - dropped), each.start - dropped

    def step(self, k: int, high: float, close: float, atr: float) -> list[SweepEvent]:
        """What candle k decides, by pivot."""
        self._expire(k)
        if high > self.nearest:
            self._penetrate(k, high, atr)
        found: list[SweepEvent] = []
        waiting: list[_Penetration] = []
        for each in self.undecided:
            event = self._decided(each, k, high, close)
            if event is None:
                waiting.append(each)
            else:
                found.append(event)
        self.undecided = waiting
        found.sort(key=lambda event: event.pivot)
        return found

    def _expire(self, k: int) -> None:
        while self._by_age and self._by_age[0][0] + self.settings.max_age < k:
            pivot, price = heapq.heappop(self._by_age)
            place = bisect_left(self._levels, (price, pivot))
            if place < len(self._levels) and self._levels[place] == (price, pivot):
                del self._levels[place]
        self.nearest = self._levels[0][0] if self._levels else math.inf

    def _penetrate(self, k: int, high: float, atr: float) -> None:
        count = bisect_left(self._levels, (high,))  # levels strictly below the high
        deepest = self.settings.max_depth * atr
        for level, strength in zip(self._levels, self._cluster_sizes(count, atr), strict=False):
            self.undecided.append(_Penetration(level, k, deepest, high, strength))
        del self._levels[:count]
        self.nearest = self._levels[0][0] if self._levels else math.inf

    def _cluster_sizes(self, count: int, atr: float) -> list[int]:
        """Sizes of the clusters of the first `count` levels: neighbours within the tolerance are of one cluster."""
        within = self.settings.equal_within * atr
        sizes: list[int] = []
        first = 0
        while first < count:
            stop = first + 1
            while stop < len(self._levels) and self._levels[stop][0] - self._levels[stop - 1][0] <= within:
                stop += 1
            sizes += [stop - first] * (stop - first)
            first = stop
        return sizes[:count]

    def _decided(self, each: _Penetration, k: int, high: float, close: float) -> SweepEvent | None:
        price, pivot = each.level
        each.extreme = max(each.extreme, high)
        reclaimed = close < price
        if not reclaimed and k < each.start + self.settings.reclaim - 1:
            return None
        swept = reclaimed and each.extreme - price <= each.deepest  # false where the ATR is NaN
        sign = self.side.sign
        return SweepEvent(
            known_at=k,
            outcome=SweepOutcome.SWEPT if swept else SweepOutcome.BROKEN,
            side=self.side,
            level=sign * price,
            pivot=pivot,
            start=each.start,
            extreme=sign * each.extreme,
            strength=each.strength,
        )


def sweeps(
    series: CandleSeries, atr: Floats, settings: SweepSettings | None = None, *, more: Iterable[Level] = ()
) -> list[SweepEvent]:
    """Every sweep and break of the pivots of a whole series, and of `more` levels, by (known_at, side, pivot).

    `atr` has shape (n,). A level that is never touched in its time is silent. Where the ATR of the first candle beyond
    is NaN, a level can only be broken.
    """
    settings = settings or SweepSettings()
    others = [each for each in more if each.known_at < len(series) and _in_one_segment(series, each)]
    found: list[SweepEvent] = []
    for side in SwingSide:
        levels = _pivot_levels(series, settings.swing_length, side)
        levels += ((each.known_at, each.pivot, each.price) for each in others if each.side is side)
        found += _side_sweeps(series, atr, _Side(side, settings), sorted(levels))
    found.sort(key=lambda each: each.known_at)  # stable: highs stay before lows, pivots ascend
    return found


_Row = tuple[int, int, float]  # known_at, pivot and price of a level


def _pivot_levels(series: CandleSeries, length: int, side: SwingSide) -> list[_Row]:
    price = _column(series, side)
    pivots = pivot_lows(-side.sign * price, series.segment, left=length, right=length)
    return list(zip(pivots.known_at.tolist(), pivots.at.tolist(), price[pivots.at].tolist(), strict=True))


def _column(series: CandleSeries, side: SwingSide) -> Floats:
    return series.high if side is SwingSide.HIGH else series.low


def _in_one_segment(series: CandleSeries, level: Level) -> bool:
    return bool(series.segment[level.pivot] == series.segment[level.known_at])


def _side_sweeps(series: CandleSeries, atr: Floats, machine: _Side, levels: list[_Row]) -> list[SweepEvent]:
    """Events of one side. Levels, sorted, join the machine after the candle at which they become known."""
    sign, found = machine.side.sign, list[SweepEvent]()
    coming = iter([*levels, (len(series), 0, 0.0)])
    known_at, pivot, price = next(coming)
    columns = (sign * _column(series, machine.side), sign * series.close, atr, series.segment)
    current = None
    for k, (high, close, range_, segment) in enumerate(plain_rows(*columns)):
        if segment != current:
            machine.enter(segment)
            current = segment
        if high > machine.nearest or machine.undecided:
            found += machine.step(k, high, close, range_)
        while known_at == k:
            machine.add(price, pivot)
            known_at, pivot, price = next(coming)
    return found


_SIGN_OF_PIVOT: Final = {SwingSide.HIGH: -1, SwingSide.LOW: 1}


class SweepStream:
    """Sweeps and breaks as candles close; the same events in the same order as `sweeps`.

    Keeps the levels that are not older than `max_age`. Show every candle exactly once, from the first on.
    """

    def __init__(self, settings: SweepSettings | None = None) -> None:
        self._settings = settings or SweepSettings()
        self._sides = {side: _Side(side, self._settings) for side in SwingSide}

    def let_go(self, dropped: int) -> None:
        """The series has lost its first `dropped` candles; a level that stood on one of them has an index below 0."""
        for machine in self._sides.values():
            machine.let_go(dropped)

    def at(self, series: CandleSeries, atr: Floats, k: int, *, more: Iterable[Level] = ()) -> list[SweepEvent]:
        """Events known at the close of candle `k`; reads no later candle. `more` levels become known at k."""
        found: list[SweepEvent] = []
        segment, close, range_ = int(series.segment[k]), series.close.item(k), atr.item(k)
        for side, machine in self._sides.items():
            price, sign = _column(series, side), side.sign
            machine.enter(segment)
            found += machine.step(k, sign * price.item(k), sign * close, range_)
            length = self._settings.swing_length
            pivot = pivot_known_at(price, series.segment, k, left=length, right=length, sign=_SIGN_OF_PIVOT[side])
            if pivot is not None:
                machine.add(price.item(pivot), pivot)
        for level in filter(partial(_in_one_segment, series), more):
            self._sides[level.side].add(level.price, level.pivot)
        return found
