"""When a model's word may count: two gates, closed until figures open them, and closed again when they no longer do.

Each bound is held against the unfavourable end of a 95 % interval: few answers cannot open anything. Only answers that
a model really gave count; made recordings and baselines open nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from bot.layer2_intelligence.analyst.evaluation.figures import Figures
from bot.layer2_intelligence.analyst.evaluation.statistics import Share
from bot.opinions import AnalystGate

LEAST_OUTCOMES: Final = 300  # real outcomes behind a confidence that is taken at its word
LARGEST_ERROR: Final = 0.10
_BIN_COUNTS_FROM: Final = 30


class Gate(StrEnum):
    """What a gate lets through."""

    MODEL_MAY_DECIDE = "model may decide"  # its "nothing there" keeps the detector's candidate from being entered
    CONFIDENCE_COUNTS = "confidence counts"


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that must hold, and what was measured."""

    name: str
    measured: str
    limit: str
    holds: bool


@dataclass(frozen=True, slots=True)
class GateState:
    """A gate, and why it is open or closed."""

    gate: Gate
    conditions: tuple[Condition, ...]

    @property
    def is_open(self) -> bool:
        """All conditions hold."""
        return all(each.holds for each in self.conditions)

    @property
    def says(self) -> str:
        """One sentence for a person."""
        failing = next((each for each in self.conditions if not each.holds), None)
        if failing is None:
            return f"{self.gate.value}: open"
        return f"{self.gate.value}: closed; {failing.name} is {failing.measured}, needs {failing.limit}"


def analyst_gate(figures: Figures, *, at: datetime, may_open: bool) -> AnalystGate:
    """The gate of a model as it is stored. Figures close it; to open it a person must want it, too (`may_open`)."""
    states = {each.gate: each for each in gate_states(figures)}
    decides, sizes = states[Gate.MODEL_MAY_DECIDE], states[Gate.CONFIDENCE_COUNTS]
    says = f"{decides.says}; {sizes.says}"
    if decides.is_open and not may_open:
        says = f"the figures would open it, nobody did; {says}"
    return AnalystGate(
        model=figures.analyst,
        may_decide=decides.is_open and may_open,
        confidence_counts=decides.is_open and sizes.is_open and may_open,
        by="evaluation",
        says=says,
        at=at,
    )


# Share, bound, and whether it is a lower one: then the lower end of the interval must reach it.
_SHARES: Final[tuple[tuple[str, Callable[[Figures], Share], float, bool], ...]] = (
    ("answers of the model itself", lambda each: each.live, 0.95, True),
    ("answers in the form asked for", lambda each: each.valid, 0.95, True),
    ("claims that are invented", lambda each: each.fabrication, 0.05, False),
    ("claims that are misread", lambda each: each.misreading, 0.20, False),
    ("planted divergences found", lambda each: each.planted_found, 0.80, True),
    ("silence where there is none", lambda each: each.absent_quiet, 0.80, True),
    ("false alarms in random walks", lambda each: each.null_false, 0.10, False),
    ("same answer upside down", lambda each: each.mirrored, 0.80, True),
    ("same answer at another price", lambda each: each.rescaled, 0.80, True),
    ("same answer when asked again", lambda each: each.repeated, 0.80, True),
)


def gate_states(figures: Figures) -> tuple[GateState, ...]:
    """Both gates under these figures."""
    reading = tuple(_share_condition(name, share(figures), bound, least=least) for name, share, bound, least in _SHARES)
    return (
        GateState(Gate.MODEL_MAY_DECIDE, (*reading, _filter_condition(figures))),
        GateState(Gate.CONFIDENCE_COUNTS, (*reading[:2], *_calibration_conditions(figures))),
    )


def _share_condition(name: str, share: Share, bound: float, *, least: bool) -> Condition:
    end = share.low if least else share.high
    side, sign = ("at least", ">=") if least else ("at most", "<=")
    measured = f"{share.hits} of {share.of}, {side} {end:.1%}"
    return Condition(name, measured, f"{sign} {bound:.0%}", end >= bound if least else end <= bound)


def _filter_condition(figures: Figures) -> Condition:
    """Its yes must be worth more than its no on real candles, or it only makes trading rarer."""
    gain = figures.filter
    counted = f"of {gain.kept} kept and {gain.declined} declined candidates"
    measured = (
        "not known " + counted if gain.low is None else f"{gain.difference:+.2f} R, low {gain.low:+.2f}, {counted}"
    )
    return Condition("worth of its yes over its no", measured, "low end > 0 R", gain.low is not None and gain.low > 0)


def _calibration_conditions(figures: Figures) -> tuple[Condition, ...]:
    found = figures.recorded
    low, error = found.gain_low, found.error
    wrong = [each for each in found.bins if each.happened.of >= _BIN_COUNTS_FROM and not each.holds]
    return (
        Condition("outcomes on real candles", str(found.count), f">= {LEAST_OUTCOMES}", found.count >= LEAST_OUTCOMES),
        Condition(
            "gain over the base rate",
            "not known" if low is None else f"low end {low:+.4f}",
            "low end > 0",
            low is not None and low > 0,
        ),
        Condition(
            "distance of said and happened",
            "not known" if error is None else f"{error:.3f}",
            f"<= {LARGEST_ERROR}",
            error is not None and error <= LARGEST_ERROR,
        ),
        Condition(
            "steps of confidence that do not hold",
            str(len(wrong)),
            f"0 of those with {_BIN_COUNTS_FROM} outcomes",
            not wrong and found.count > 0,
        ),
    )
