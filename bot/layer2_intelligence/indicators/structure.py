"""Swings and their breaks (SPEC section 6), for a whole series or candle by candle.

Pivots of both sides make one alternating list of swings. A close beyond the newest swing of a side breaks it, once:
CHoCH against the trend, else BOS. Both forms share the list; the batch finds breaks for all swings of a side at once.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bot.errors import ConfigError
from bot.layer2_intelligence.indicators.pivots import pivot_known_at, pivot_lows
from bot.layer2_intelligence.structure_events import (
    BreakEvent,
    BreakKind,
    StructureEvent,
    SwingEvent,
    SwingLabel,
    SwingSide,
)
from bot.models import CandleSeries, Floats, Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class StructureSettings:
    """`swing_length` candles on both sides of a pivot; `wick_breaks` lets a high or low break a swing, not a close."""

    swing_length: int = 5
    wick_breaks: bool = False

    def __post_init__(self) -> None:
        if self.swing_length < 1:
            raise ConfigError(f"structure: swing_length {self.swing_length} is below 1; a pivot needs a neighbour")


class _SwingList:
    """The alternating list of swings, as far back as a new one is compared: two levels of each side."""

    def __init__(self) -> None:
        self._last: SwingSide | None = None
        self._newest: dict[SwingSide, float | None] = dict.fromkeys(SwingSide)
        self._before: dict[SwingSide, float | None] = dict.fromkeys(SwingSide)

    def offered(self, known_at: int, side: SwingSide, at: int, level: float) -> SwingEvent | None:
        """The event if the pivot enters the list: it is of the other side, or strictly more extreme."""
        newest, replaces = self._newest[side], self._last is side
        if replaces and newest is not None and not side.sign * level > side.sign * newest:
            return None
        if not replaces:
            self._before[side] = newest
        self._newest[side], self._last = level, side
        label = _label(side, level, self._before[side])
        return SwingEvent(known_at=known_at, side=side, at=at, level=level, replaces=replaces, label=label)


def _label(side: SwingSide, level: float, before: float | None) -> SwingLabel | None:
    if before is None:
        return None
    if side is SwingSide.HIGH:
        higher, lower, equal = SwingLabel.HIGHER_HIGH, SwingLabel.LOWER_HIGH, SwingLabel.EQUAL_HIGH
    else:
        higher, lower, equal = SwingLabel.HIGHER_LOW, SwingLabel.LOWER_LOW, SwingLabel.EQUAL_LOW
    return higher if level > before else lower if level < before else equal


class _Trend:
    """Which way the last break went: +1, -1, or 0 before the first."""

    def __init__(self) -> None:
        self._sign = 0

    def broken(self, known_at: int, side: SwingSide, at: int, level: float) -> BreakEvent:
        direction = side.breaks_towards
        kind = BreakKind.CHOCH if self._sign == -direction.sign else BreakKind.BOS
        self._sign = direction.sign
        return BreakEvent(known_at=known_at, kind=kind, direction=direction, at=at, level=level)


def structure(series: CandleSeries, settings: StructureSettings | None = None) -> list[StructureEvent]:
    """Every swing and break of a whole series, by candle; on one candle swings come before breaks."""
    settings = settings or StructureSettings()
    swings = list(_swings(series, settings.swing_length))
    found: list[StructureEvent] = [*swings, *_breaks(series, swings, settings)]
    found.sort(key=lambda each: each.known_at)  # stable: swings stay before breaks, and both in their order
    return found


def _swings(series: CandleSeries, length: int) -> Iterator[SwingEvent]:
    highs = pivot_lows(-series.high, series.segment, left=length, right=length)
    lows = pivot_lows(series.low, series.segment, left=length, right=length)
    at = np.concatenate((highs.at, lows.at))
    known_at = np.concatenate((highs.known_at, lows.known_at))
    is_low = np.arange(len(at)) >= len(highs.at)
    order = np.lexsort((_low_after_high(series, at) ^ ~is_low, at, known_at))
    level = np.where(is_low, series.low[at], series.high[at])
    swings = _SwingList()
    rows = (column[order].tolist() for column in (known_at, is_low, at, level))
    for known, low, place, price in zip(*rows, strict=True):
        event = swings.offered(known, SwingSide.LOW if low else SwingSide.HIGH, place, price)
        if event is not None:
            yield event


def _low_after_high(series: CandleSeries, at: Ints) -> NDArray[np.bool_]:
    """Whether a candle came to its low after its high, as far as its colour tells; a doji counts as such."""
    return ~(series.close[at] > series.open[at])


def _breaks(series: CandleSeries, swings: list[SwingEvent], settings: StructureSettings) -> list[BreakEvent]:
    """Breaks in the order in which they happen: by candle, and of two on one candle the colour's side last."""
    rows: list[tuple[int, bool, SwingEvent]] = []
    for side in SwingSide:
        own = [each for each in swings if each.side is side]
        candles, broken = _first_beyond(_breaking_price(series, side, settings), own, side)
        last = _low_after_high(series, candles) == (side is SwingSide.LOW)
        rows += zip(candles.tolist(), last.tolist(), (own[index] for index in broken.tolist()), strict=True)
    rows.sort(key=lambda row: row[:2])
    trend = _Trend()
    return [trend.broken(k, swing.side, swing.at, swing.level) for k, _, swing in rows]


def _breaking_price(series: CandleSeries, side: SwingSide, settings: StructureSettings) -> Floats:
    if not settings.wick_breaks:
        return series.close
    return series.high if side is SwingSide.HIGH else series.low


def _first_beyond(price: Floats, swings: list[SwingEvent], side: SwingSide) -> tuple[Ints, Ints]:
    """Candles at which a swing was first exceeded while it was the newest of its side, and the index of the swing."""
    known_at = np.array([each.known_at for each in swings], dtype=np.int64)
    if not swings:
        return known_at, known_at
    level = np.array([each.level for each in swings])
    newest = np.repeat(np.arange(len(swings)), np.diff(known_at, append=len(price)))
    beyond = np.flatnonzero(side.sign * price[known_at[0] :] > side.sign * level[newest])
    first = beyond[np.diff(newest[beyond], prepend=-1) > 0]
    return first + known_at[0], newest[first]


class StructureStream:
    """Swings and breaks as candles close; the same events in the same order as `structure`.

    Keeps two levels and the newest unbroken swing of each side. Show every candle exactly once, from the first on.
    """

    def __init__(self, settings: StructureSettings | None = None) -> None:
        self._settings = settings or StructureSettings()
        self._swings = _SwingList()
        self._trend = _Trend()
        self._unbroken: dict[SwingSide, SwingEvent | None] = dict.fromkeys(SwingSide)

    def let_go(self, dropped: int) -> None:
        """The series has lost its first `dropped` candles; a swing that stood on one of them has an index below 0."""
        for side, swing in self._unbroken.items():
            if swing is not None:
                self._unbroken[side] = replace(swing, known_at=swing.known_at - dropped, at=swing.at - dropped)

    def at(self, series: CandleSeries, k: int) -> list[StructureEvent]:
        """Events that become known at the close of candle `k`; reads no later candle."""
        found: list[StructureEvent] = []
        for side, pivot in self._pivots(series, k):
            level = (series.high if side is SwingSide.HIGH else series.low).item(pivot)
            swing = self._swings.offered(k, side, pivot, level)
            if swing is not None:
                self._unbroken[side] = swing
                found.append(swing)
        found += self._breaks(series, k)
        return found

    def _pivots(self, series: CandleSeries, k: int) -> list[tuple[SwingSide, int]]:
        """Pivots that become known at k, in the order in which they enter the list."""
        length = self._settings.swing_length
        high = pivot_known_at(series.high, series.segment, k, left=length, right=length, sign=-1)
        low = pivot_known_at(series.low, series.segment, k, left=length, right=length, sign=1)
        found = [(SwingSide.HIGH, high)] if high is not None else []
        if low is not None:
            low_first = high is not None and (low < high or (low == high and series.close[low] > series.open[low]))
            found.insert(0 if low_first else len(found), (SwingSide.LOW, low))
        return found

    def _breaks(self, series: CandleSeries, k: int) -> Iterator[BreakEvent]:
        rising = series.close.item(k) > series.open.item(k)
        for side in (SwingSide.LOW, SwingSide.HIGH) if rising else SwingSide:
            swing = self._unbroken[side]
            if swing is None:
                continue
            price = _breaking_price(series, side, self._settings).item(k)
            if side.sign * price > side.sign * swing.level:
                self._unbroken[side] = None
                yield self._trend.broken(k, side, swing.at, swing.level)
