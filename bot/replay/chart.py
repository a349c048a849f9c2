"""Candles and what was found in them as one picture, so that a person can judge each event at a glance.

Candles are grey; colour is for events: green points up, red down. Regular divergences are solid, hidden ones dashed.
Drawn with matplotlib's objects, which need no display and keep no state between two charts.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke

from bot.errors import UsageError
from bot.layer2_intelligence.indicators.divergence import OSCILLATORS
from bot.layer2_intelligence.structure_events import BreakEvent, ChainState, SweepOutcome, SwingEvent, SwingSide
from bot.models import CandleSeries, Direction, Divergence, DivergenceKind
from bot.replay.detection import Detection

MOST_CANDLES: Final = 400
_UP, _DOWN, _INK, _PALE = "#0a8f5b", "#c8372d", "#3a4048", "#9aa3ad"
_COLOURS: Final = {Direction.LONG: _UP, Direction.SHORT: _DOWN}
_STYLES: Final[Mapping[DivergenceKind, Literal["-", "--"]]] = {DivergenceKind.REGULAR: "-", DivergenceKind.HIDDEN: "--"}
_GUIDES: Final = {"rsi": (30, 70), "stoch_k": (20, 80), "mfi": (20, 80), "willr": (-80, -20), "cci": (-100, 100)}
_TITLES: Final = {
    "rsi": "RSI 14",
    "stoch_k": "Stochastic %K",
    "macd_hist": "MACD histogram",
    "mfi": "MFI 14",
    "willr": "Williams %R",
    "cci": "CCI 20",
}
_HALO: Final = [withStroke(linewidth=1.6, foreground="white")]
_INCHES_PER_CANDLE: Final = 0.055
_INCHES_PER_LEGEND: Final = 2.4
_DPI: Final = 110


def check_drawable(series: CandleSeries, path: Path) -> None:
    """Refuse what nobody could read. Raises UsageError."""
    if path.suffix.lower() != ".png":
        raise UsageError(f"{path}: a chart is a PNG; let its name end in .png")
    if len(series) > MOST_CANDLES:
        raise UsageError(
            f"a chart of {len(series):,} candles cannot be read, at most {MOST_CANDLES}: "
            f"name a part, such as --from {len(series) - 300} --rows 300"
        )


def draw(found: Detection, what: Sequence[str], title: str) -> bytes:
    """A PNG of at most 400 candles; `what` names the detectors whose events are drawn."""
    return _Chart(found, frozenset(what)).png(title)


@dataclass(slots=True)
class _Room:
    """How many labels stand above and below each candle, so that they do not lie on each other."""

    above: dict[int, int]
    below: dict[int, int]

    def take(self, k: int, *, above: bool) -> int:
        """Row of the next label near candle `k`, 0 for the nearest."""
        rows = self.above if above else self.below
        row = max((rows.get(each, 0) for each in range(k - 4, k + 5)), default=0)
        rows[k] = row + 1
        return row


class _Chart:
    """One picture in the making."""

    def __init__(self, found: Detection, what: frozenset[str]) -> None:
        self._found, self._what = found, what
        self._series = found.series
        self._room = _Room({}, {})
        events = found.divergences if "divergences" in what else ()
        self._oscillators = [name for name in OSCILLATORS if any(each.oscillator == name for each in events)]
        heights = [5.2, *(1.25 for _ in self._oscillators)]
        width = max(9.0, 2.4 + _INCHES_PER_CANDLE * len(self._series))
        self._figure = Figure(figsize=(width, 1.3 + sum(heights)), dpi=_DPI, layout="constrained")
        FigureCanvasAgg(self._figure)
        panes = self._figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)
        self._panes: list[Axes] = [row[0] for row in panes]
        self._price = self._panes[0]

    def png(self, title: str) -> bytes:
        """Draw everything, from the background to the front."""
        self._gaps()
        self._candles()
        self._pivots()
        self._structure()
        self._sweeps()
        self._divergences()
        self._setups()
        self._confluence()
        self._frame(title)
        buffer = io.BytesIO()
        self._figure.savefig(buffer, format="png", metadata={"Software": None})
        return buffer.getvalue()

    # -------------------------------------------------------------------------------------------------- background

    def _candles(self) -> None:
        series, price = self._series, self._price
        positions = np.arange(len(series))
        wicks = [[(x, low), (x, high)] for x, low, high in zip(positions, series.low, series.high, strict=True)]
        price.add_collection(LineCollection(wicks, colors=_INK, linewidths=0.7, zorder=2))
        for rising, face in ((True, "white"), (False, _PALE)):
            chosen = np.flatnonzero((series.close >= series.open) == rising)
            bottoms = np.minimum(series.open, series.close)[chosen]
            heights = np.abs(series.close - series.open)[chosen]
            boxes = [
                Rectangle((x - 0.32, bottom), 0.64, height)
                for x, bottom, height in zip(chosen, bottoms, heights, strict=True)
            ]
            price.add_collection(PatchCollection(boxes, facecolor=face, edgecolor=_INK, linewidths=0.7, zorder=3))
        span = float(series.high.max() - series.low.min()) or float(series.high.max())
        price.set_ylim(float(series.low.min()) - 0.09 * span, float(series.high.max()) + 0.11 * span)

    def _gaps(self) -> None:
        if "fvgs" not in self._what:
            return
        last = len(self._series) - 1
        for gap in self._found.shapes.gaps:
            end = gap.filled or last
            open_still = gap.filled is None
            self._price.add_patch(
                Rectangle(
                    (gap.middle, gap.bottom),
                    end - gap.middle + (0.5 if open_still else 0.0),
                    gap.top - gap.bottom,
                    facecolor=_COLOURS[gap.direction],
                    edgecolor=_COLOURS[gap.direction],
                    alpha=0.28 if open_still else 0.13,
                    linewidth=0.6,
                    zorder=1,
                )
            )

    def _pivots(self) -> None:
        if "pivots" not in self._what:
            return
        for pivots, values, marker in (
            (self._found.highs, self._series.high, "v"),
            (self._found.lows, self._series.low, "^"),
        ):
            self._price.plot(
                pivots.at,
                values[pivots.at],
                linestyle="none",
                marker=marker,
                markersize=4.5,
                markerfacecolor="#f2b705",
                markeredgecolor=_INK,
                markeredgewidth=0.5,
                zorder=5,
            )

    # ------------------------------------------------------------------------------------------------ price events

    def _structure(self) -> None:
        if "structure" not in self._what:
            return
        kept: dict[int, SwingEvent] = {}
        for event in self._found.shapes.structure:
            if isinstance(event, SwingEvent):
                kept[event.at] = event
            else:
                self._break(event)
        for swing in kept.values():
            self._label(swing.at, swing.level, swing.label.value if swing.label else "•", swing.side, _INK)

    def _break(self, event: BreakEvent) -> None:
        """A line from the swing to the candle that closed beyond it."""
        colour = _COLOURS[event.direction]
        self._price.plot((event.at, event.known_at), (event.level, event.level), color=colour, linewidth=1.0, zorder=4)
        up = event.direction is Direction.LONG
        self._price.annotate(
            event.kind.value,
            ((event.at + event.known_at) / 2, event.level),
            xytext=(0, 2 if up else -2),
            textcoords="offset points",
            ha="center",
            va="bottom" if up else "top",
            fontsize=7,
            fontweight="bold" if event.kind.value == "CHoCH" else "normal",
            color=colour,
            zorder=6,
            path_effects=_HALO,
        )

    def _label(self, k: int, level: float, text: str, side: SwingSide, colour: str) -> None:
        above = side is SwingSide.HIGH
        row = self._room.take(k, above=above)
        offset = 6 + 9 * row
        beside = slice(max(0, k - 2), k + 3)  # clear of the neighbours, too
        edge = max(level, self._series.high[beside].max()) if above else min(level, self._series.low[beside].min())
        self._price.annotate(
            text,
            (k, float(edge)),
            xytext=(0, offset if above else -offset),
            textcoords="offset points",
            ha="center",
            va="bottom" if above else "top",
            fontsize=7.5,
            color=colour,
            zorder=8,
            path_effects=_HALO,
        )

    def _sweeps(self) -> None:
        """Swept levels: a dotted line from the pivot, and a ring at the extreme. Broken ones are left to structure."""
        if "sweeps" not in self._what:
            return
        for event in self._found.shapes.sweeps:
            if event.outcome is not SweepOutcome.SWEPT:
                continue
            colour = _COLOURS[event.direction]
            self._price.plot(
                (event.pivot, event.known_at),
                (event.level, event.level),
                color=colour,
                linewidth=0.9,
                linestyle=":",
                zorder=4,
            )
            candles = slice(event.start, event.known_at + 1)
            values = self._series.high[candles] if event.side is SwingSide.HIGH else -self._series.low[candles]
            self._price.plot(
                event.start + int(np.argmax(values)),
                event.extreme,
                marker="o",
                markersize=8,
                markerfacecolor="none",
                markeredgecolor=colour,
                markeredgewidth=1.2,
                zorder=6,
            )

    def _confluence(self) -> None:
        if "confluence" not in self._what:
            return
        hidden = {ChainState.IDLE, ChainState.SWEPT} if "sweeps" in self._what else {ChainState.IDLE}
        for change in self._found.shapes.confluence:
            if change.state not in hidden:  # a sweep has its ring already
                side = SwingSide.LOW if change.direction is Direction.LONG else SwingSide.HIGH
                values = self._series.low if side is SwingSide.LOW else self._series.high
                text = f"[{change.state.value}]"
                self._label(change.k, float(values[change.k]), text, side, _COLOURS[change.direction])

    # ------------------------------------------------------------------------------------------------- divergences

    def _divergences(self) -> None:
        """One line per divergence in its oscillator's pane, and one in the price pane for each pair of pivots."""
        if "divergences" not in self._what:
            return
        for pane, name in zip(self._panes[1:], self._oscillators, strict=True):
            self._oscillator(pane, name)
        drawn: set[tuple[int, int, Direction]] = set()
        for event in self._found.divergences:
            if (key := (event.p1, event.p2, event.direction)) not in drawn:
                drawn.add(key)
                self._line(self._price, (event.p1, event.p2), (event.price1, event.price2), event)

    def _oscillator(self, pane: Axes, name: str) -> None:
        values = self._found.columns.oscillator(name)
        if name == "macd_hist":
            pane.bar(np.arange(len(values)), np.nan_to_num(values), width=0.7, color=_PALE)
            pane.axhline(0, color=_PALE, linewidth=0.6)
        else:
            pane.plot(values, color=_INK, linewidth=0.9)
        for level in _GUIDES.get(name, ()):
            pane.axhline(level, color=_PALE, linewidth=0.6, linestyle=":")
        for event in self._found.divergences:
            if event.oscillator == name:
                self._line(pane, (event.q1, event.q2), (event.osc1, event.osc2), event)
        pane.set_ylabel(_TITLES[name], fontsize=7.5)
        pane.margins(y=0.12)

    @staticmethod
    def _line(pane: Axes, places: tuple[int, int], values: tuple[float, float], event: Divergence) -> None:
        pane.plot(
            places,
            values,
            color=_COLOURS[event.direction],
            linestyle=_STYLES[event.kind],
            linewidth=1.5,
            marker="o",
            markersize=3,
            zorder=7,
        )

    def _setups(self) -> None:
        """A number under the candle at whose close a setup was known: how many oscillators agree."""
        if "setups" not in self._what:
            return
        for setup in self._found.setups:
            long = setup.direction is Direction.LONG
            side = SwingSide.LOW if long else SwingSide.HIGH
            values = self._series.low if long else self._series.high
            text = f"{'▲' if long else '▼'}{len(setup.oscillators)}{'h' if setup.kind is DivergenceKind.HIDDEN else ''}"
            self._label(setup.known_at, float(values[setup.known_at]), text, side, _COLOURS[setup.direction])

    # ------------------------------------------------------------------------------------------------------- frame

    def _frame(self, title: str) -> None:
        series = self._series
        self._price.set_title(title, fontsize=10, loc="left")
        for pane in self._panes:
            pane.set_xlim(-1.5, len(series) + 0.5)
            pane.grid(color="#e3e6ea", linewidth=0.5)
            pane.set_axisbelow(True)
            pane.tick_params(labelsize=7)
            pane.yaxis.tick_right()
            for edge in ("top", "left"):
                pane.spines[edge].set_visible(False)
        step = max(1, round(len(series) / 10 / 10) * 10)
        ticks = range(0, len(series), step)
        labels = [f"{k}\n{series.opened_at(k):%Y-%m-%d\n%H:%M}" for k in ticks]
        self._panes[-1].set_xticks(list(ticks), labels)
        self._figure.legend(
            handles=self._legend(),
            loc="outside lower center",
            ncols=max(3, int(self._figure.get_figwidth() / _INCHES_PER_LEGEND)),
            fontsize=7,
            frameon=False,
            handlelength=2.4,
        )

    def _legend(self) -> list[Line2D | Patch]:
        kinds: list[tuple[str, Line2D | Patch]] = [
            ("pivots", Line2D([], [], linestyle="none", marker="^", color="#f2b705", label="pivot")),
            ("divergences", Line2D([], [], color=_UP, label="regular bull")),
            ("divergences", Line2D([], [], color=_UP, linestyle=_STYLES[DivergenceKind.HIDDEN], label="hidden bull")),
            ("divergences", Line2D([], [], color=_DOWN, label="regular bear")),
            ("divergences", Line2D([], [], color=_DOWN, linestyle=_STYLES[DivergenceKind.HIDDEN], label="hidden bear")),
            ("setups", Line2D([], [], linestyle="none", marker=r"$▲3$", color=_UP, label="setup known, oscillators")),
            ("fvgs", Patch(facecolor=_UP, alpha=0.28, label="gap up (pale: filled)")),
            ("fvgs", Patch(facecolor=_DOWN, alpha=0.28, label="gap down")),
            ("structure", Line2D([], [], color=_INK, linewidth=1, label="BOS, CHoCH from the swing to the break")),
            (
                "sweeps",
                Line2D([], [], linestyle=":", marker="o", markerfacecolor="none", color=_INK, label="sweep of a level"),
            ),
            (
                "confluence",
                Line2D([], [], linestyle="none", marker="$[ ]$", color=_INK, label="[step of the confluence chain]"),
            ),
        ]
        return [handle for name, handle in kinds if name in self._what]
