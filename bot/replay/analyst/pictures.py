"""Pictures of an exam, as PNG bytes: what each analyst could do, how far its confidence holds, and what was asked."""

import io
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from bot.layer2_intelligence.analyst.evaluation.figures import Figures
from bot.layer2_intelligence.analyst.evaluation.paper import ExamItem
from bot.layer2_intelligence.analyst.evaluation.statistics import Calibration, Share
from bot.models import Direction

SHARES: Final[Mapping[str, str]] = {
    "valid": "answers in the form asked for",
    "true_claims": "claims that are true",
    "planted_found": "planted divergences found",
    "absent_quiet": "silence where there is none",
    "null_false": "false alarms in random walks",
    "mirrored": "same answer upside down",
    "rescaled": "same answer at another price",
    "repeated": "same answer when asked again",
    "precision": "claims that the detector shares",
    "recall": "detector's finds that are shared",
}
_COLOURS: Final = (
    *("#1f5fbf", "#0a8f5b", "#c8372d", "#b07c00", "#7a3fa0", "#3a4048"),
    *("#0f8fa8", "#c2528b", "#6d8b00", "#8c5a3c"),
)
_INK, _PALE = "#3a4048", "#9aa3ad"
_DPI: Final = 110
_SHOWN, _AFTER = 70, 30


def colours_of(names: Sequence[str]) -> dict[str, str]:
    """A colour for each analyst, the same in every picture."""
    return {name: _COLOURS[number % len(_COLOURS)] for number, name in enumerate(names)}


def shares_picture(known: Sequence[Figures], colours: Mapping[str, str]) -> bytes:
    """Each share of each analyst, with its 95 % interval."""
    figure = _figure(10.0, 1.2 + 0.52 * len(SHARES))
    axes = figure.subplots()
    step = 0.7 / max(1, len(known))
    for number, each in enumerate(known):
        colour = colours[each.analyst]
        for row, name in enumerate(SHARES):
            share: Share = getattr(each, name)
            if share.value is None:
                continue
            place = row + step * (number - (len(known) - 1) / 2)
            axes.plot((share.low, share.high), (place, place), color=colour, linewidth=1.4, alpha=0.55)
            axes.plot(share.value, place, marker="o", markersize=4.5, color=colour, clip_on=False)
        axes.plot([], [], marker="o", color=colour, label=each.analyst)
    axes.set_yticks(range(len(SHARES)), list(SHARES.values()), fontsize=8)
    axes.set_ylim(len(SHARES) - 0.5, -0.5)
    axes.set_xlim(-0.01, 1.01)
    _quiet(axes)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.07), ncols=6, fontsize=8, frameon=False)
    return _png(figure)


def reliability_picture(known: Mapping[str, Calibration], colours: Mapping[str, str]) -> bytes:
    """What was said against what happened, with 95 % intervals; on the diagonal every word is true."""
    figure = _figure(6.4, 5.6)
    axes, counts = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    axes.plot((0, 1), (0, 1), color=_PALE, linewidth=0.8, linestyle="--")
    for name, found in known.items():
        colour = colours[name]
        said = [each.said for each in found.bins]
        axes.vlines(
            said,
            [each.happened.low for each in found.bins],
            [each.happened.high for each in found.bins],
            color=colour,
            alpha=0.5,
        )
        brier = "" if found.brier is None else f", Brier {found.brier:.3f}, n {found.count}"
        happened = [each.happened.value or 0.0 for each in found.bins]
        axes.plot(said, happened, marker="o", markersize=5, color=colour, label=f"{name}{brier}")
        counts.bar(said, [each.happened.of for each in found.bins], width=0.03, color=colour, alpha=0.6)
    axes.set_ylabel("happened", fontsize=8)
    counts.set_ylabel("answers", fontsize=8)
    counts.set_xlabel("confidence said", fontsize=8)
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.legend(fontsize=7.5, frameon=False, loc="upper left")
    for each in (axes, counts):
        _quiet(each)
    return _png(figure)


def question_picture(item: ExamItem) -> bytes:
    """The end of a chart with its RSI, what the detector sees in it, and, behind the line, what nobody was shown."""
    figure = _figure(9.0, 4.2)
    price, pane = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    series, k, features = item.chart.series, item.chart.k, item.question.features
    first, last = max(0, k + 1 - _SHOWN), min(len(series), k + 1 + _AFTER)
    places = np.arange(first, last)
    for low, high, width in ((series.low, series.high, 0.8), (series.open, series.close, 3.0)):
        ends = [[(x, low[x]), (x, high[x])] for x in places]
        colours = [_INK if x <= k else "#c9ced4" for x in places]
        price.add_collection(LineCollection(ends, colors=colours, linewidths=width))
    bottom, top = series.low[first:last].min(), series.high[first:last].max()
    price.set_ylim(bottom - 0.05 * (top - bottom), top + 0.05 * (top - bottom))
    pane.plot(np.arange(first, k + 1), features.columns.rsi[first : k + 1], color=_INK, linewidth=0.9)
    for setup in features.setups:
        colour = "#0a8f5b" if setup.direction is Direction.LONG else "#c8372d"
        column = series.low if setup.direction is Direction.LONG else series.high
        pivots = [setup.p1, setup.p2]
        price.plot(pivots, column[pivots], color=colour, linewidth=1.6, marker="o", markersize=4)
        pane.plot(pivots, features.columns.rsi[pivots], color=colour, linewidth=1.6, marker="o", markersize=3)
    for each in (price, pane):
        each.axvline(k + 0.5, color=_PALE, linewidth=0.8, linestyle=":")
        _quiet(each)
    pane.set_ylabel("RSI 14", fontsize=8)
    price.set_xlim(first - 1, last)
    return _png(figure)


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _quiet(axes: Axes) -> None:
    axes.grid(color="#e3e6ea", linewidth=0.5)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=7.5)
    for edge in ("top", "right"):
        axes.spines[edge].set_visible(False)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
