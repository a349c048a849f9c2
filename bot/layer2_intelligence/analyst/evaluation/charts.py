"""Charts of the exam: what is shown, what is known about them, and the two changes that must not change an answer."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import numpy as np

from bot.instruments import Instrument, Spread
from bot.models import CandleSeries, Direction, Floats

_DIGITS: Final = 10


class Rung(StrEnum):
    """A kind of question, the easiest first."""

    PLANTED = "planted"  # a constructed divergence that must be found
    ABSENT = "absent"  # the same movement without it
    NULL = "null"  # a random walk, where nothing can be known
    MIRRORED = "mirrored"  # an earlier chart upside down: the direction must flip
    RESCALED = "rescaled"  # an earlier chart at another price level: nothing may change
    REPEATED = "repeated"  # an earlier chart once more
    RECORDED = "recorded"  # real candles


@dataclass(frozen=True, slots=True, kw_only=True)
class ExamChart:
    """Candles, of which `0..k` are shown; what follows decides what an answer was worth.

    `planted` is the direction of what was built in. `twin` names the chart that this one is a change of.
    """

    name: str
    rung: Rung
    series: CandleSeries
    k: int
    instrument: Instrument
    planted: Direction | None = None
    twin: str = ""

    @property
    def shown(self) -> CandleSeries:
        """What an analyst may see: not one candle more."""
        return self.series.slice(0, self.k + 1)


def mirrored(chart: ExamChart) -> ExamChart:
    """The same chart upside down: every price x as K - x, with K so that it keeps its range."""
    series = chart.series
    top = float(series.high.max() + series.low.min())

    def turned(prices: Floats) -> Floats:
        return np.round(top - prices, _DIGITS)  # a difference of two short decimals is a short decimal again

    flipped = replace(
        series, open=turned(series.open), high=turned(series.low), low=turned(series.high), close=turned(series.close)
    )
    planted = chart.planted.opposite if chart.planted else None
    return replace(
        chart, name=f"{chart.name} mirrored", rung=Rung.MIRRORED, series=flipped, planted=planted, twin=chart.name
    )


def rescaled(chart: ExamChart, factor: int) -> ExamChart:
    """The same chart with all prices, its tick and its spread times `factor`. A power of two changes no digit."""
    series, instrument = chart.series, chart.instrument
    larger = replace(
        series,
        open=series.open * factor,
        high=series.high * factor,
        low=series.low * factor,
        close=series.close * factor,
    )
    spread = Spread(price=instrument.typical_spread.price * factor, ratio=instrument.typical_spread.ratio)
    scaled = replace(instrument, tick=instrument.tick * factor, pip=instrument.pip * factor, typical_spread=spread)
    return replace(
        chart, name=f"{chart.name} x{factor}", rung=Rung.RESCALED, series=larger, instrument=scaled, twin=chart.name
    )


def repeated(chart: ExamChart, number: int) -> ExamChart:
    """The same chart, asked once more."""
    return replace(chart, name=f"{chart.name} again {number}", rung=Rung.REPEATED, twin=chart.name)
