"""Fair value gaps (SPEC section 7): price ranges that a move jumped over, and what becomes of them.

The batch form looks up every later fact of all gaps at once; the stream keeps live gaps in heaps by the next price
that matters to them. A bearish gap is a bullish one of negated prices: bottom and top change places.
"""

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from bot.errors import ConfigError
from bot.layer2_intelligence.indicators.first_reach import FirstReach
from bot.layer2_intelligence.structure_events import FairValueGap, GapEvent, GapFact
from bot.models import CandleSeries, Direction, Floats, Ints

_FACTS: Final = tuple(GapFact)
LIVE_GAPS_KEPT: Final = 1_000  # of each direction, in the streaming form; see docs/decisions/0006
_RANK: Final = {fact: rank for rank, fact in enumerate(_FACTS)}


@dataclass(frozen=True, slots=True, kw_only=True)
class GapSettings:
    """`min_atr` leaves out gaps smaller than so many ATR of their middle candle; 0 keeps all, ATR or not."""

    min_atr: float = 0.0

    def __post_init__(self) -> None:
        if not self.min_atr >= 0:
            raise ConfigError(f"gaps: min_atr {self.min_atr} is not 0 or more; 0 keeps every gap")


def fair_value_gaps(series: CandleSeries, atr: Floats, settings: GapSettings | None = None) -> list[FairValueGap]:
    """Every gap of a whole series with all that became of it, by middle candle.

    `atr` has shape (n,); it is read only if `min_atr` is above 0, and a gap whose ATR is NaN is then left out.
    """
    settings = settings or GapSettings()
    found = [gap for direction in Direction for gap in _gaps_towards(series, atr, settings, direction)]
    found.sort(key=lambda gap: gap.middle)
    return found


def _gaps_towards(
    series: CandleSeries, atr: Floats, settings: GapSettings, direction: Direction
) -> Iterable[FairValueGap]:
    """Gaps of one direction; computed on prices that are negated for the short one, where `near` is above `far`."""
    sign, count = direction.sign, len(series)
    if count < 3:
        return []
    long = direction is Direction.LONG
    lows, highs = (series.low, series.high) if long else (-series.high, -series.low)
    far, near = highs[:-2], lows[2:]
    kept = (far < near) & (sign * (series.close - series.open)[1:-1] > 0)
    kept &= series.segment[:-2] == series.segment[2:]
    if settings.min_atr > 0:
        kept &= near - far >= settings.min_atr * atr[1:-1]
    first = np.flatnonzero(kept)
    far, near, middle, start = far[first], near[first], first + 1, first + 3
    lows_after = FirstReach(lows)
    touched = lows_after.at_or_below(near, start=start)
    half = lows_after.at_or_below((near + far) / 2, start=touched)
    filled = lows_after.at_or_below(far, start=half)
    inverted = FirstReach(sign * series.close).below(far, start=filled)
    bottom, top = (far, near) if long else (-near, -far)
    columns = (middle.tolist(), bottom.tolist(), top.tolist())
    facts = (_or_none(each, count) for each in (touched, half, filled, inverted))
    return (
        FairValueGap(
            middle=place,
            direction=direction,
            bottom=low,
            top=high,
            touched=at_touch,
            half=at_half,
            filled=at_fill,
            inverted=at_end,
        )
        for place, low, high, at_touch, at_half, at_fill, at_end in zip(*columns, *facts, strict=True)
    )


def _or_none(found: Ints, count: int) -> list[int | None]:
    return [each if each < count else None for each in found.tolist()]


def gap_events(gaps: Iterable[FairValueGap]) -> list[GapEvent]:
    """Gaps as the events that `GapStream` gives: by candle, then by middle candle, then in the order of the facts."""
    rows = [
        (at, gap.middle, rank, gap)
        for gap in gaps
        for rank, at in enumerate((gap.known_at, gap.touched, gap.half, gap.filled, gap.inverted))
        if at is not None
    ]
    rows.sort(key=lambda row: row[:3])
    return [_event(at, _FACTS[rank], gap) for at, _, rank, gap in rows]


def _event(known_at: int, fact: GapFact, gap: FairValueGap, *, dropped: int = 0) -> GapEvent:
    middle = gap.middle - dropped
    return GapEvent(
        known_at=known_at, fact=fact, middle=middle, direction=gap.direction, bottom=gap.bottom, top=gap.top
    )


class _LiveGaps:
    """Live gaps of one direction, in prices that are negated for the short one.

    Two heaps: what a low must come down to for the next fact of a gap, highest first, and the far edges that a close
    must go beyond. A gap is once in each, so a candle costs the logarithm of their number for each fact it makes.
    When twice LIVE_GAPS_KEPT are alive, the older half is forgotten: nothing more is told of it.
    """

    def __init__(self) -> None:
        self._by_low: list[tuple[float, int, int, FairValueGap]] = []
        self._by_close: list[tuple[float, int, FairValueGap]] = []

    def add(self, gap: FairValueGap) -> None:
        near, _, far = _edges(gap)
        heapq.heappush(self._by_low, (-near, gap.middle, 1, gap))
        heapq.heappush(self._by_close, (-far, gap.middle, gap))
        if len(self._by_close) >= 2 * LIVE_GAPS_KEPT:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        oldest = sorted(middle for _, middle, _ in self._by_close)[-LIVE_GAPS_KEPT]
        self._by_low = [each for each in self._by_low if each[1] >= oldest]
        self._by_close = [each for each in self._by_close if each[1] >= oldest]
        heapq.heapify(self._by_low)
        heapq.heapify(self._by_close)

    def facts(self, low: float, close: float) -> list[tuple[GapFact, FairValueGap]]:
        """What a candle makes of the gaps known before it."""
        found: list[tuple[GapFact, FairValueGap]] = []
        while self._by_low and low <= -self._by_low[0][0]:
            _, middle, rank, gap = heapq.heappop(self._by_low)
            found.append((_FACTS[rank], gap))
            if _FACTS[rank] is not GapFact.FILLED:
                heapq.heappush(self._by_low, (-_edges(gap)[rank], middle, rank + 1, gap))
        while self._by_close and close < -self._by_close[0][0]:
            found.append((GapFact.INVERTED, heapq.heappop(self._by_close)[2]))
        return found


def _edges(gap: FairValueGap) -> tuple[float, float, float]:
    """Near edge, middle and far edge as price comes back to them, negated for a short gap."""
    half = (gap.top + gap.bottom) / 2
    return (gap.top, half, gap.bottom) if gap.direction is Direction.LONG else (-gap.bottom, -half, -gap.top)


class GapStream:
    """Gaps and their facts as candles close; the same events in the same order as `gap_events` of the batch.

    Keeps the newest live gaps, thousands: of the others no more is told. Show every candle exactly once, from the first
    on; when candles fall off the front of the series, `let_go` must be told.
    """

    def __init__(self, settings: GapSettings | None = None) -> None:
        self._settings = settings or GapSettings()
        self._long, self._short = _LiveGaps(), _LiveGaps()
        self._dropped = 0  # live gaps count candles from the first one ever shown

    def let_go(self, dropped: int) -> None:
        """The series has lost its first `dropped` candles; a gap that stood on one of them has an index below 0."""
        self._dropped += dropped

    def at(self, series: CandleSeries, atr: Floats, k: int) -> list[GapEvent]:
        """Facts that become known at the close of candle `k`; reads no later candle."""
        high, low, close = series.high.item(k), series.low.item(k), series.close.item(k)
        facts = self._long.facts(low, close) + self._short.facts(-high, -close)
        facts.sort(key=lambda each: (each[1].middle, _RANK[each[0]]))
        found = [_event(k, fact, gap, dropped=self._dropped) for fact, gap in facts]
        gap = self._formed(series, atr, k)
        if gap is not None:
            (self._long if gap.direction is Direction.LONG else self._short).add(gap)
            found.append(_event(k, GapFact.FORMED, gap, dropped=self._dropped))
        return found

    def _formed(self, series: CandleSeries, atr: Floats, k: int) -> FairValueGap | None:
        if k < 2 or series.segment[k - 2] != series.segment[k]:
            return None
        body = series.close.item(k - 1) - series.open.item(k - 1)
        if body > 0:
            direction, bottom, top = Direction.LONG, series.high.item(k - 2), series.low.item(k)
        else:
            direction, bottom, top = Direction.SHORT, series.high.item(k), series.low.item(k - 2)
        if body == 0 or not bottom < top:
            return None
        if self._settings.min_atr > 0 and not top - bottom >= self._settings.min_atr * atr.item(k - 1):
            return None
        return FairValueGap(middle=self._dropped + k - 1, direction=direction, bottom=bottom, top=top)
