"""A signal as a picture for a phone: its candles, entry, stop, targets, and the two pivots that it claims.

This module imports matplotlib (0.4 s): import it only to draw, in a thread.
"""

import io
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from bot.errors import DataError
from bot.models import CandleSeries, EntrySignal

_SIZE_INCHES: Final = (8.0, 4.6)
_DOTS_PER_INCH: Final = 110
_LEAST_CANDLES: Final = 60
_MOST_CANDLES: Final = 160
_BEFORE_PIVOT: Final = 15
_ROOM_RIGHT: Final = 0.16  # of the width, for the names of the levels
_INK, _MUTED, _GRID = "#1f2830", "#6b7680", "#e6eaed"
_RISING, _FALLING = "#ffffff", "#9aa5af"
_ENTRY, _STOP, _TARGET, _PIVOT = "#1f2830", "#a34100", "#0b5cad", "#6b3fa0"


def draw_signal(signal: EntrySignal, series: CandleSeries) -> bytes:
    """PNG of the candles up to the one that the signal was made at. Raises DataError where there are none."""
    last = int(np.searchsorted(series.opened_at_s, signal.candle_closed_at.timestamp(), side="left"))
    shown = series.slice(max(0, last - _span(signal, series, last)), last)
    if len(shown) < 2:
        raise DataError(f"{signal.symbol} {signal.timeframe.value}: no candles are known to draw {signal.id}")
    figure = Figure(figsize=_SIZE_INCHES, dpi=_DOTS_PER_INCH, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    price = figure.add_subplot()
    _candles(price, shown)
    _levels(price, signal, len(shown))
    _claim(price, signal, shown)
    _frame(price, signal, shown)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _span(signal: EntrySignal, series: CandleSeries, last: int) -> int:
    """How many candles: the pivots with something before them."""
    if signal.claim is None:
        return _LEAST_CANDLES
    since_pivot = last - _place(series, signal.claim.p1_at)
    return min(max(since_pivot + _BEFORE_PIVOT, _LEAST_CANDLES), _MOST_CANDLES)


def _place(series: CandleSeries, opened_at: datetime) -> int:
    return int(np.searchsorted(series.opened_at_s, opened_at.timestamp(), side="right")) - 1


def _candles(price: Axes, shown: CandleSeries) -> None:
    places = np.arange(len(shown))
    wicks = [[(x, low), (x, high)] for x, low, high in zip(places, shown.low, shown.high, strict=True)]
    price.add_collection(LineCollection(wicks, colors=_INK, linewidths=0.8, zorder=2))
    for rising, face in ((True, _RISING), (False, _FALLING)):
        boxes = [
            Rectangle((k - 0.34, min(shown.open[k], shown.close[k])), 0.68, abs(shown.close[k] - shown.open[k]))
            for k in np.flatnonzero((shown.close >= shown.open) == rising)
        ]
        price.add_collection(PatchCollection(boxes, facecolor=face, edgecolor=_INK, linewidths=0.8, zorder=3))


def _levels(price: Axes, signal: EntrySignal, count: int) -> None:
    for name, level, colour, dashes in _named_levels(signal):
        price.axhline(float(level), color=colour, linewidth=1.2, linestyle=dashes, zorder=4)
        price.annotate(
            f"{name} {level.normalize():f}",
            (count + 0.5, float(level)),
            color=colour,
            fontsize=9,
            fontweight="bold",
            va="center",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0},
            zorder=6,
        )


def _named_levels(signal: EntrySignal) -> Iterator[tuple[str, Decimal, str, str]]:
    if signal.entry is not None:
        yield "entry", signal.entry, _ENTRY, "--"
    if signal.stop_loss is not None:
        yield "stop", signal.stop_loss, _STOP, "-"
    for number, target in enumerate(signal.targets, start=1):
        yield f"target {number}", target, _TARGET, "-."


def _claim(price: Axes, signal: EntrySignal, shown: CandleSeries) -> None:
    """The pivots by the prices that the signal claims; one that lies before the first candle is left out."""
    if signal.claim is None:
        return
    claimed = ((signal.claim.p1_at, signal.claim.p1_price), (signal.claim.p2_at, signal.claim.p2_price))
    places = [(_place(shown, at), float(level)) for at, level in claimed]
    inside = [each for each in places if each[0] >= 0]
    price.plot(*zip(*inside, strict=True), color=_PIVOT, linewidth=1.6, marker="o", markersize=7, zorder=5)
    for number, (x, level) in enumerate(inside, start=3 - len(inside)):
        offset = (0, 9 if signal.direction is not None and signal.direction.sign < 0 else -15)
        price.annotate(f"P{number}", (x, level), xytext=offset, textcoords="offset points", color=_PIVOT, ha="center")


def _frame(price: Axes, signal: EntrySignal, shown: CandleSeries) -> None:
    levels = [float(level) for _, level, _, _ in _named_levels(signal)]
    low, high = min([float(shown.low.min()), *levels]), max([float(shown.high.max()), *levels])
    margin = 0.06 * (high - low) or abs(high) * 0.01 or 1.0
    price.set_ylim(low - margin, high + margin)
    price.set_xlim(-1, len(shown) * (1 + _ROOM_RIGHT))
    marks = np.linspace(0, len(shown) - 1, 5).astype(int)
    price.set_xticks(marks, [f"{shown.opened_at(int(k)):%m-%d %H:%M}" for k in marks])
    price.tick_params(colors=_MUTED, labelsize=8, length=0)
    price.grid(color=_GRID, linewidth=0.8, zorder=0)
    price.set_axisbelow(True)
    for side in price.spines.values():
        side.set_visible(False)
    direction = signal.direction.value if signal.direction is not None else "no direction"
    claimed = f", {signal.claim.kind.value} divergence of {', '.join(signal.claim.oscillators)}" if signal.claim else ""
    price.set_title(
        f"{signal.symbol} {signal.timeframe.value} {direction}{claimed}", color=_INK, fontsize=11, loc="left"
    )
    price.set_xlabel("UTC", color=_MUTED, fontsize=8, loc="right")
