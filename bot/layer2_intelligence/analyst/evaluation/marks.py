"""One answer, marked: what was said about a chart, and whether the candles say so too."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from typing import Final, Protocol

import numpy as np

from bot.config import DivergenceSettings, ValidationSettings
from bot.instruments import Instrument
from bot.layer2_intelligence.analyst.evaluation.charts import ExamChart, Rung
from bot.layer2_intelligence.analyst.nouns import NoDecisionReason, Opinion
from bot.layer2_intelligence.evidence import ModelFault, model_fault
from bot.layer2_intelligence.validator import judge
from bot.models import CandleSeries, Direction, Endorsed, EntrySignal, FeatureSet

# An answer came, but not in the form that was asked for. Every other reason means that none came.
_INVALID: Final = frozenset(
    {
        NoDecisionReason.MALFORMED,
        NoDecisionReason.MAX_TOKENS,
        NoDecisionReason.NO_TOOL,
        NoDecisionReason.SCHEMA,
        NoDecisionReason.TWO_TOOLS,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What an analyst is asked: the name of a chart, what is known at its newest candle, and what it is a chart of."""

    name: str
    features: FeatureSet
    instrument: Instrument


class Examinee(Protocol):
    """An analyst, of whatever kind."""

    name: str

    async def opinion(self, question: Question) -> Opinion:
        """What it makes of the chart."""


class Said(StrEnum):
    """What an answer was."""

    CLAIM = "claim"
    NOTHING = "nothing"
    INVALID = "invalid"
    NO_ANSWER = "no answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One answer. `p2` is the claimed second pivot, counted from the first candle shown; None if there is no such one.

    `detector` are the directions that the detector sees. `hit` says whether the nearest target came before the stop,
    and `r` the result; both None where nothing could be followed to its end. `detector_r` is the result of the
    detector's own signal, whatever the analyst said. `cost` is in dollars. `recording` names the recorded answer that
    this is, empty for a new one.
    """

    chart: str
    rung: Rung
    twin: str
    symbol: str
    regime: str
    said: Said
    detector: frozenset[Direction]
    planted: Direction | None
    direction: Direction | None = None
    p2: int | None = None
    fault: ModelFault | None = None
    accepted: bool = False
    rejected_by: str = ""
    confidence: float = 0.0
    why: str = ""
    hit: bool | None = None
    r: float | None = None
    detector_r: float | None = None
    cost: Decimal = Decimal(0)
    latency_s: float | None = None
    origin: str = ""
    recording: str = ""

    @property
    def is_true(self) -> bool:
        """A claim that the candles confirm; one that came too late to be traded is not false."""
        return self.said is Said.CLAIM and self.fault in (None, ModelFault.UNTRADABLE)


def marked(
    chart: ExamChart,
    question: Question,
    opinion: Opinion,
    validation: ValidationSettings,
    divergence: DivergenceSettings,
) -> Mark:
    """The mark of `opinion`, without what followed on the chart."""
    features, reply = question.features, opinion.reply
    usage = reply.usage if reply else opinion.no_decision.usage if opinion.no_decision else None
    said, why = _said(opinion)
    mark = Mark(
        chart=chart.name,
        rung=chart.rung,
        twin=chart.twin,
        symbol=str(chart.instrument.symbol),
        regime=regime(features, validation),
        said=said,
        detector=frozenset(each.direction for each in features.setups),
        planted=chart.planted,
        why=why,
        cost=usage.cost if usage else Decimal(0),
        latency_s=reply.latency_s if reply else None,
        origin=reply.origin if reply else "",
        recording=f"{reply.model_asked} {reply.request_key}" if reply and reply.from_recording else "",
    )
    if said is not Said.CLAIM:
        return mark
    if opinion.signal is None:
        return replace(mark, fault=_fault_named(opinion.untrue))
    return _judged(mark, opinion.signal, opinion.untrue, question, validation, divergence)


def _judged(
    mark: Mark,
    signal: EntrySignal,
    untrue: Sequence[str],
    question: Question,
    validation: ValidationSettings,
    divergence: DivergenceSettings,
) -> Mark:
    verdict = judge(signal, question.features, None, question.instrument, validation, divergence)
    return replace(
        mark,
        direction=signal.direction,
        p2=_second_pivot(signal, question.features.series),
        fault=_fault_named(untrue) if untrue else model_fault(verdict),
        accepted=isinstance(verdict, Endorsed),
        rejected_by="" if isinstance(verdict, Endorsed) else verdict.rejected_by,
        confidence=signal.confidence,
    )


def _second_pivot(signal: EntrySignal, series: CandleSeries) -> int | None:
    if signal.claim is None:
        return None
    found = np.flatnonzero(series.opened_at_s == int(signal.claim.p2_at.timestamp()))
    return int(found[0]) if len(found) else None


def _fault_named(untrue: Sequence[str]) -> ModelFault:
    """The fault that the claim check found, by its name in what it says; without one it is an invention."""
    named = (fault for fault in ModelFault if any(fault.value in each for each in untrue))
    return next(named, ModelFault.FABRICATION)


def regime(features: FeatureSet, validation: ValidationSettings) -> str:
    """The kind of market at the newest candle, by its ADX; the bound is that of rule 7."""
    adx = float(features.columns.adx[features.k])
    return "trending" if adx >= validation.min_adx else "ranging"


def _said(opinion: Opinion) -> tuple[Said, str]:
    if opinion.no_decision is not None:
        reason = opinion.no_decision.reason
        return (Said.INVALID if reason in _INVALID else Said.NO_ANSWER), reason.value
    has_claim = opinion.untrue or (opinion.signal is not None and opinion.signal.direction is not None)
    return (Said.CLAIM if has_claim else Said.NOTHING), ", ".join(opinion.untrue)
