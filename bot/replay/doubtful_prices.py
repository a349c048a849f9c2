"""Prices that may be and that the daemon doubts: jumps, absurd spreads. What cannot be, the reading of a file refuses.

The daemon's own `QuoteScreen` is asked, but only where a price moves far: no other can give it cause for doubt.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bot.instruments import Instrument, InstrumentRegistry, Spread, Symbol, default_registry
from bot.layer1_data.feeds.tick_files import TickSeries
from bot.layer1_data.quality import QUOTE_MAX_AGE, QuoteScreen
from bot.models import CandleSeries, Floats, Quote, decimal_of

_FAR_RATIO: Final = 0.1  # half of what the screen doubts, so that no rounding matters
_WIDE_MULTIPLE: Final = 25  # the same for spreads, in typical ones
_NO_PRICE: Final = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """A candle or quote by its number in the answer, and what about it is doubted."""

    number: int
    at: datetime
    says: str


def believed(
    ticks: TickSeries, instrument: Instrument | None, known: Decimal | None
) -> tuple[TickSeries, Sequence[Doubt]]:
    """The quotes that the daemon would act on, and the others. `known` is a price to hold the first one against."""
    screening = _Screening(ticks, instrument, known)
    places, start = np.flatnonzero(screening.suspects), 0
    while start < len(ticks):
        start = screening.settled_after(start)
        later = int(np.searchsorted(places, start))
        start = int(places[later]) if later < len(places) else len(ticks)
    fit = np.ones(len(ticks), dtype=np.bool_)
    fit[list(screening.faults)] = False
    kept = TickSeries(ticks.at_us[fit], ticks.bid[fit], ticks.ask[fit], ticks.rows[fit], ticks.crossed)
    doubts = [
        Doubt(number=int(ticks.rows[index]), at=ticks.at(index), says=fault)
        for index, fault in screening.faults.items()
    ]
    return kept, doubts


def jumps(series: CandleSeries, known: Decimal | None) -> Sequence[Doubt]:
    """Candles with a price that the screen would doubt in a quote, after the close before (`known` for the first).

    The feed of the daemon takes such candles as they are.
    """
    before = np.concatenate(([float(known) if known is not None else series.open[0]], series.close[:-1]))
    far = _is_far(before, series.open) | _is_far(before, series.high) | _is_far(before, series.low)
    instrument, found = _without_usual_spread(), []
    for index in np.flatnonzero(far).tolist():
        candle, close = series.candle(index), decimal_of(before[index])
        for price in (candle.open, candle.high, candle.low):
            quote = Quote(symbol=instrument.symbol, bid=price, ask=price, at=candle.opened_at)
            if not _screen_of(instrument).fault(quote, now=quote.at, known=close):
                continue
            says = f"from {close.normalize():f} to {price.normalize():f}"
            found.append(Doubt(number=index, at=candle.opened_at, says=says))
            break
    return found


class _Screening:
    """The screen over recorded quotes; `faults` by their index."""

    def __init__(self, ticks: TickSeries, instrument: Instrument | None, known: Decimal | None) -> None:
        self._ticks, self._known = ticks, known
        self._instrument = instrument or _without_usual_spread()
        self.suspects = self._suspects()
        self.faults: dict[int, str] = {}

    def settled_after(self, start: int) -> int:
        """Ask from `start` on, until one is believed and the next is no suspect: where that is."""
        screen = _screen_of(self._instrument)
        if start:
            self._ask(screen, start - 1, known=None)  # believed, or nobody would go on from here
        index, is_settled = start, False
        while index < len(self._ticks) and not (is_settled and not self.suspects[index]):
            if index > start and self._ticks.rows[index] > self._ticks.rows[index - 1] + 1:
                crossed = replace(self._quote(index), bid=_NO_PRICE)  # stands for those that the file has between
                screen.fault(crossed, now=crossed.at)
            fault = self._ask(screen, index, known=self._known)
            if fault:
                self.faults[index] = fault.partition(": ")[2]  # without the symbol
            index, is_settled = index + 1, not fault
        return index

    def _ask(self, screen: QuoteScreen, index: int, *, known: Decimal | None) -> str:
        return screen.fault(self._quote(index), now=self._ticks.at(index), known=known)

    def _quote(self, index: int) -> Quote:
        ticks = self._ticks
        bid, ask = decimal_of(ticks.bid[index]), decimal_of(ticks.ask[index])
        return Quote(symbol=self._instrument.symbol, bid=bid, ask=ask, at=ticks.at(index))

    def _suspects(self) -> NDArray[np.bool_]:
        bid, ask, usual = self._ticks.bid, self._ticks.ask, self._instrument.typical_spread
        mid = (bid + ask) / 2
        first = mid[:1] if self._known is None else np.array([float(self._known)])
        limit = _WIDE_MULTIPLE * (float(usual.price) + float(usual.ratio) * mid)
        wide: NDArray[np.bool_] = (ask - bid > limit) & (limit > 0)
        return wide | _is_far(np.concatenate((first, mid[:-1])), mid)


def _screen_of(instrument: Instrument) -> QuoteScreen:
    return QuoteScreen(InstrumentRegistry([instrument]), max_age=QUOTE_MAX_AGE)


def _is_far(before: Floats, after: Floats) -> NDArray[np.bool_]:
    far: NDArray[np.bool_] = np.abs(after - before) > _FAR_RATIO * before
    return far


def _without_usual_spread() -> Instrument:
    """Of quotes whose instrument nobody named, no spread is known to be absurd."""
    return replace(next(iter(default_registry())), symbol=Symbol("quotes"), typical_spread=Spread())
