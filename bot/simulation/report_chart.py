"""What a campaign threw and looked at, as one picture: counts over five orders of magnitude are not read from a table.

This module imports matplotlib (0.4 s): import it only to draw.
"""

import io
from collections.abc import Callable, Mapping
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from bot.simulation.catalogue import FAULTS

_GROUPS: Final[Mapping[str, tuple[str, str]]] = {
    "N": ("network", "#2f6f9f"),
    "B": ("broker", "#8a5a9e"),
    "D": ("database", "#a86a1d"),
    "P": ("process", "#c8372d"),
    "C": ("clock", "#5c7f2b"),
    "M": ("market data", "#0a7f72"),
    "O": ("operator", "#7a6a4f"),
}
_INVARIANTS: Final[Mapping[str, str]] = {
    "I1": "intent before the send",
    "I2": "no order twice, none overfilled",
    "I3": "one entry per signal",
    "I4": "absence only by evidence",
    "I5": "limits hold",
    "I6": "no position without a stop",
    "I7": "no stop beyond the position",
    "I8": "record and venue agree in the end",
    "I9": "positions are the sum of their fills",
    "I10": "only legal moves, a chain of events",
    "I11": "nothing opens after a kill",
    "I12": "a pressed switch stays pressed",
    "I13": "one writer",
    "I14": "compared before the first entry",
    "I15": "no bad or old price is acted on",
    "I16": "what is foreign is told, not traded",
    "I17": "all of it after every kill",
}
_INK: Final = "#3a4048"
_PALE: Final = "#9aa3ad"
_INCHES_PER_BAR: Final = 0.19
_LONGEST_WORDS: Final = 80
_DPI: Final = 110


def draw(figures: Mapping[str, Any]) -> bytes:
    """A PNG of a report as `--json` writes it. What never happened is said in red."""
    faults, invariants = figures["faults"], figures["invariants"]
    figure = Figure(figsize=(14, 1.6 + _INCHES_PER_BAR * len(faults)), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(5, 4))
    grouped = sorted(faults, key=lambda name: list(_GROUPS).index(name[0]))
    _bars(left, {name: (faults[name], _GROUPS[name[0]][1]) for name in grouped}, _fault_words)
    left.set_title("how often each fault fired", color=_INK, loc="left", fontsize=10)
    _bars(right, {name: (count, _INK) for name, count in invariants.items()}, _invariant_words)
    right.set_title("how often each invariant was looked at", color=_INK, loc="left", fontsize=10)
    _legend(figure, {name[0] for name in faults})
    figure.suptitle(_summary(figures), color=_INK, fontsize=12)
    png = io.BytesIO()
    figure.savefig(png, format="png", metadata={"Software": None})
    return png.getvalue()


def _bars(axes: Axes, counts: Mapping[str, tuple[int, str]], words: Callable[[str], str]) -> None:
    names = list(counts)
    most = max((count for count, _ in counts.values()), default=1)
    axes.barh(names, [max(count, 0.5) for count, _ in counts.values()], color=[colour for _, colour in counts.values()])
    for row, (count, _) in enumerate(counts.values()):
        text, colour = (f" {count:,}", _INK) if count else (" never", "#c8372d")
        axes.text(max(count, 0.5), row, text, va="center", fontsize=7, color=colour)
    axes.set_yticks(range(len(names)), [words(each) for each in names], fontsize=7)
    axes.set_xscale("log")
    axes.set_xlim(0.5, max(most, 1) * 12)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="x", labelsize=7, colors=_PALE)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _fault_words(name: str) -> str:
    says = FAULTS[name].says
    return f"{says if len(says) <= _LONGEST_WORDS else says[: _LONGEST_WORDS - 1] + '…'}  {name}"


def _invariant_words(name: str) -> str:
    return f"{_INVARIANTS[name]}  {name}"


def _legend(figure: Figure, letters: set[str]) -> None:
    shown = [Patch(color=colour, label=group) for letter, (group, colour) in _GROUPS.items() if letter in letters]
    figure.legend(handles=shown, loc="outside lower left", ncols=len(shown), fontsize=8, frameon=False)


def _summary(figures: Mapping[str, Any]) -> str:
    seen = figures["seen"]
    done = ", ".join(f"{seen.get(name, 0):,} {name}" for name in ("entries sent", "stops sent", "crashes"))
    return f"{figures['seeds']['run']:,} seeds, {figures['violations']} violations: {done}"
