"""The confluence chain (SPEC section 9): a sweep, a change of character, the first touch of a gap, a break.

`ConfluenceMachine` is the chain of one symbol and timeframe; it takes what the other detectors found on each candle.
`market_shapes` and `ShapeStream` run all four detectors and the chain over a series, at once or candle by candle.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from bot.errors import ConfigError
from bot.layer2_intelligence.indicators.gaps import GapSettings, GapStream, fair_value_gaps
from bot.layer2_intelligence.indicators.rows import plain_rows
from bot.layer2_intelligence.indicators.structure import StructureSettings, StructureStream, structure
from bot.layer2_intelligence.indicators.sweeps import SweepSettings, SweepStream, sweeps
from bot.layer2_intelligence.structure_events import (
    BreakEvent,
    BreakKind,
    ChainCause,
    ChainState,
    ConfluenceChange,
    FairValueGap,
    GapEvent,
    GapFact,
    GapZone,
    StructureEvent,
    SweepEvent,
    SweepOutcome,
)
from bot.models import CandleSeries, Direction, Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfluenceSettings:
    """Candles within which the next step must come; `accept_bos` takes a BOS for the change of character too."""

    sweep_ttl: int = 30
    choch_ttl: int = 30
    fvg_ttl: int = 30
    accept_bos: bool = False

    def __post_init__(self) -> None:
        for name in ("sweep_ttl", "choch_ttl", "fvg_ttl"):
            if getattr(self, name) < 1:
                raise ConfigError(f"confluence: {name} {getattr(self, name)} is below 1; it counts candles")


class ConfluenceMachine:
    """One chain. Its state is the newest row; a row that ended or is complete is never looked at again."""

    def __init__(self, settings: ConfluenceSettings | None = None) -> None:
        self._settings = settings or ConfluenceSettings()
        self._row: ConfluenceChange | None = None

    @property
    def idle(self) -> bool:
        """Whether only a sweep can move the chain."""
        return self._row is None

    def let_go(self, dropped: int) -> None:
        """The series has lost its first `dropped` candles; indices count from the oldest that is left."""
        row = self._row
        if row is not None:
            self._row = replace(row, k=row.k - dropped, since=row.since - dropped, expires=row.expires - dropped)

    def ends(self, k: int, close: float) -> bool:
        """Whether candle `k` ends the row: it closes beyond its anchor, or comes too late."""
        row = self._row
        return row is not None and (_beyond(row, close) or k > row.expires)

    def at(
        self,
        k: int,
        close: float,
        *,
        swept: Sequence[SweepEvent] = (),
        breaks: Sequence[BreakEvent] = (),
        touched: Sequence[GapZone] = (),
    ) -> list[ConfluenceChange]:
        """Changes at the close of candle `k`, at most an end and a step.

        `swept` are the sweeps that count on k (broken levels are not among them), `breaks` become known at k, and
        `touched` are the gaps whose first touch is k. A candle with none of them that does not end the row may be left
        out.
        """
        found: list[ConfluenceChange] = []
        if self._row is not None and self.ends(k, close):
            why = ChainCause.INVALIDATED if _beyond(self._row, close) else ChainCause.EXPIRED
            found.append(replace(self._row, k=k, why=why, state=ChainState.IDLE))
            self._row = None
        moved = self._started(k, swept) if swept else None
        if moved is None and self._row is not None:
            moved = self._advanced(self._row, k, close, breaks, touched)
        if moved is not None:
            found.append(moved)
            self._row = None if moved.state is ChainState.COMPLETE else moved
        return found

    def _started(self, k: int, swept: Sequence[SweepEvent]) -> ConfluenceChange | None:
        """A new row, if all sweeps of the candle point one way and no later step in that direction is at stake."""
        direction, row = swept[0].direction, self._row
        if any(each.direction is not direction for each in swept):
            return None
        if row is not None and row.state is not ChainState.SWEPT and row.direction is direction:
            return None
        extremes = [each.extreme for each in swept]
        return ConfluenceChange(
            k=k,
            why=ChainCause.SWEEP,
            state=ChainState.SWEPT,
            direction=direction,
            anchor=min(extremes) if direction is Direction.LONG else max(extremes),
            since=k,
            expires=k + self._settings.sweep_ttl,
        )

    def _advanced(
        self, row: ConfluenceChange, k: int, close: float, breaks: Sequence[BreakEvent], touched: Sequence[GapZone]
    ) -> ConfluenceChange | None:
        if row.state is ChainState.CHOCH:
            return self._at_gap(row, k, close, touched)
        taken = next((each for each in breaks if each.direction is row.direction and self._takes(row, each)), None)
        if taken is None:
            return None
        why = ChainCause.CHOCH if taken.kind is BreakKind.CHOCH else ChainCause.BOS
        if row.state is ChainState.FVG:
            return replace(row, k=k, why=why, state=ChainState.COMPLETE, bos_price=taken.level)
        expires = k + self._settings.choch_ttl
        return replace(row, k=k, why=why, state=ChainState.CHOCH, choch_price=taken.level, expires=expires)

    def _takes(self, row: ConfluenceChange, event: BreakEvent) -> bool:
        """Whether a break is the kind that the chain waits for: any completes it, but its character must change."""
        return row.state is ChainState.FVG or event.kind is BreakKind.CHOCH or self._settings.accept_bos

    def _at_gap(
        self, row: ConfluenceChange, k: int, close: float, touched: Sequence[GapZone]
    ) -> ConfluenceChange | None:
        """The newest gap of the move that price came back to and held."""
        usable = [
            gap
            for gap in touched
            if gap.direction is row.direction
            and row.since <= gap.middle + 1 < k
            and (close >= gap.bottom if row.direction is Direction.LONG else close <= gap.top)
        ]
        if not usable:
            return None
        gap = max(usable, key=lambda each: each.middle)
        expires = k + self._settings.fvg_ttl
        return replace(
            row, k=k, why=ChainCause.FVG, state=ChainState.FVG, zone_low=gap.bottom, zone_high=gap.top, expires=expires
        )


def _beyond(row: ConfluenceChange, close: float) -> bool:
    """Whether a close is past the extreme of the sweep: the sweep was wrong."""
    return close < row.anchor if row.direction is Direction.LONG else close > row.anchor


_Event = TypeVar("_Event")
_QUIET, _EVENT, _SWEEP = 0, 1, 2


class _InOrder(Generic[_Event]):
    """Events sorted by candle, taken candle by candle; those of candles that nobody asks for are passed over."""

    def __init__(self, events: Iterable[_Event], candle: Callable[[_Event], int]) -> None:
        self._events = sorted(events, key=candle)
        self.candles = [candle(each) for each in self._events]
        self._next = 0

    def at(self, k: int) -> list[_Event]:
        """Events of candle `k`, which is later than any asked for before."""
        candles, first = self.candles, self._next
        while first < len(candles) and candles[first] < k:
            first += 1
        stop = first
        while stop < len(candles) and candles[stop] == k:
            stop += 1
        self._next = stop
        return self._events[first:stop]


def confluence(
    close: Floats,
    swept_at: Mapping[int, Sequence[SweepEvent]],
    events: Iterable[StructureEvent],
    gaps: Iterable[FairValueGap],
    settings: ConfluenceSettings | None = None,
) -> list[ConfluenceChange]:
    """Every change of the chain of a whole series, in order.

    `close` has shape (n,); `swept_at` says which sweeps count on which candle (`swept_by_candle`, `swept_on_shorter`).
    """
    machine = ConfluenceMachine(settings)
    breaks = _InOrder((each for each in events if isinstance(each, BreakEvent)), lambda each: each.known_at)
    touched = _InOrder((each for each in gaps if each.touched is not None), lambda each: each.touched or 0)
    marks = np.full(len(close), _QUIET, dtype=np.uint8)
    marks[breaks.candles] = _EVENT
    marks[touched.candles] = _EVENT
    marks[list(swept_at)] = _SWEEP
    found: list[ConfluenceChange] = []
    for k, (mark, price) in enumerate(plain_rows(marks, close)):
        if mark == _SWEEP or (not machine.idle and (mark or machine.ends(k, price))):
            swept = swept_at[k] if mark == _SWEEP else ()
            found += machine.at(k, price, swept=swept, breaks=breaks.at(k), touched=touched.at(k))
    return found


def swept_by_candle(events: Iterable[SweepEvent]) -> dict[int, list[SweepEvent]]:
    """Sweeps, without broken levels, by the candle at which they became known."""
    found: dict[int, list[SweepEvent]] = {}
    for event in events:
        if event.outcome is SweepOutcome.SWEPT:
            found.setdefault(event.known_at, []).append(event)
    return found


def swept_on_shorter(
    events: Iterable[SweepEvent], longer: CandleSeries, shorter: CandleSeries
) -> dict[int, list[SweepEvent]]:
    """Sweeps of a longer timeframe by the first shorter candle that closes at or after the close of theirs.

    Indices inside the events stay those of the longer series. A sweep after the last shorter candle is left out.
    """
    closes = (shorter.opened_at_s + shorter.timeframe.seconds).tolist()
    found: dict[int, list[SweepEvent]] = {}
    for known_at, swept in swept_by_candle(events).items():
        k = bisect_left(closes, int(longer.opened_at_s[known_at]) + longer.timeframe.seconds)
        if k < len(closes):
            found.setdefault(k, []).extend(swept)
    return found


class LongerSweeps:
    """Sweeps of a longer timeframe on their way to the shorter one: the streaming form of `swept_on_shorter`.

    Of two candles that close together the longer one is to be added first.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, list[SweepEvent]]] = deque()

    def add(self, events: Iterable[SweepEvent], *, closed_at_s: int) -> None:
        """Events of the longer candle that closed at this second."""
        swept = [event for event in events if event.outcome is SweepOutcome.SWEPT]
        if swept:
            self._waiting.append((closed_at_s, swept))

    def due(self, *, closed_at_s: int) -> list[SweepEvent]:
        """Sweeps that count on the shorter candle that closed at this second; each is given once."""
        found: list[SweepEvent] = []
        while self._waiting and self._waiting[0][0] <= closed_at_s:
            found += self._waiting.popleft()[1]
        return found


# --------------------------------------------------------------------------------------------- all detectors together


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeSettings:
    """Settings of the four detectors of one series."""

    structure: StructureSettings = field(default_factory=StructureSettings)
    gaps: GapSettings = field(default_factory=GapSettings)
    sweeps: SweepSettings = field(default_factory=SweepSettings)
    confluence: ConfluenceSettings = field(default_factory=ConfluenceSettings)


class LongerView(NamedTuple):
    """The longer timeframe whose sweeps count for a chain, and the ATR of its candles."""

    series: CandleSeries
    atr: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketShapes:
    """Everything found in a series. `sweeps` are those that feed the chain, indexed in the series they come from."""

    gaps: list[FairValueGap]
    structure: list[StructureEvent]
    sweeps: list[SweepEvent]
    confluence: list[ConfluenceChange]


def market_shapes(
    series: CandleSeries, atr: Floats, settings: ShapeSettings | None = None, *, longer: LongerView | None = None
) -> MarketShapes:
    """All detectors over a whole series; with `longer`, sweeps are looked for there instead."""
    settings = settings or ShapeSettings()
    gaps = fair_value_gaps(series, atr, settings.gaps)
    events = structure(series, settings.structure)
    source, source_atr = longer or (series, atr)
    swept = sweeps(source, source_atr, settings.sweeps)
    swept_at = swept_on_shorter(swept, longer.series, series) if longer else swept_by_candle(swept)
    changes = confluence(series.close, swept_at, events, gaps, settings.confluence)
    return MarketShapes(gaps=gaps, structure=events, sweeps=swept, confluence=changes)


class CandleShapes(NamedTuple):
    """What became known at the close of one candle."""

    gaps: list[GapEvent]
    structure: list[StructureEvent]
    sweeps: list[SweepEvent]
    confluence: list[ConfluenceChange]


class ShapeStream:
    """All detectors as candles close; the same events in the same order as `market_shapes`.

    Show every candle exactly once, from the first on. When candles fall off the front of the series, `let_go` must be
    told before the next is shown (`candles_dropped` counts them); what stands on such a candle has an index below 0.
    Memory is bounded: of the oldest gaps, beyond thousands alive, nothing more is told (`GapStream`).
    """

    def __init__(self, settings: ShapeSettings | None = None) -> None:
        settings = settings or ShapeSettings()
        self._gaps = GapStream(settings.gaps)
        self._structure = StructureStream(settings.structure)
        self._sweeps = SweepStream(settings.sweeps)
        self._machine = ConfluenceMachine(settings.confluence)

    def let_go(self, dropped: int) -> None:
        """The series has lost its first `dropped` candles; indices count from the oldest that is left."""
        for part in (self._gaps, self._structure, self._sweeps, self._machine):
            part.let_go(dropped)

    def at(
        self, series: CandleSeries, atr: Floats, k: int, *, from_longer: Sequence[SweepEvent] | None = None
    ) -> CandleShapes:
        """Events known at the close of candle `k`.

        `from_longer` are the sweeps of a longer timeframe that count on k (`LongerSweeps.due`); given, even if empty,
        they take the place of the series' own.
        """
        gaps = self._gaps.at(series, atr, k)
        events = self._structure.at(series, k)
        own = self._sweeps.at(series, atr, k) if from_longer is None else []
        changes = self._machine.at(
            k,
            series.close.item(k),
            swept=[each for each in own if each.outcome is SweepOutcome.SWEPT] if from_longer is None else from_longer,
            breaks=[each for each in events if isinstance(each, BreakEvent)],
            touched=[each for each in gaps if each.fact is GapFact.TOUCHED],
        )
        return CandleShapes(gaps, events, own, changes)
