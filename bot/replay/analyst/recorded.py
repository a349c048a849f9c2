"""Recorded answers under other rules, or beside those of another model: which decisions change, and by how much R."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final

from bot.config import DivergenceSettings, ValidationSettings
from bot.instruments import Instrument
from bot.layer2_intelligence.analyst.evaluation.marks import Examinee, Mark, Said, marked
from bot.layer2_intelligence.analyst.evaluation.paper import LEAST_HISTORY, ExamItem, recorded_item
from bot.layer2_intelligence.analyst.nouns import Opinion
from bot.layer2_intelligence.features import BatchFeatures
from bot.models import Direction, EntrySignal
from bot.replay.analyst.exam import known_r, outcome_on
from bot.replay.rules_report import Worth

_DIGITS: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to decide: whose answers, under which rules."""

    examinee: Examinee
    validation: ValidationSettings
    divergence: DivergenceSettings

    def mark(self, item: ExamItem, opinion: Opinion) -> "Marked":
        """What its rules make of an answer to one question."""
        mark = marked(item.chart, item.question, opinion, self.validation, self.divergence)
        return Marked(mark=mark, signal=opinion.signal)


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """An answer with its mark."""

    mark: Mark
    signal: EntrySignal | None

    def decision(self, item: ExamItem, horizon_candles: int) -> "Decision":
        """The entry it comes to, followed; or why there is none."""
        if self.mark.said is not Said.CLAIM:
            return Decision(enters=None, why=self.mark.why or self.mark.said.value)
        if self.signal is None or self.mark.fault is not None or not self.mark.accepted:
            fault = self.mark.fault.value if self.mark.fault else f"rule {self.mark.rejected_by}"
            return Decision(enters=None, why=fault)
        outcome = outcome_on(item.chart, self.signal, horizon_candles=horizon_candles)
        return Decision(enters=self.signal.direction, why="", r=known_r(outcome))


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What one way made of a candle. `why` is the reason for no entry; `r` the result of the entry, if it is known."""

    enters: Direction | None
    why: str
    r: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A candle on which the two ways differ."""

    at: datetime
    symbol: str
    before: Decision
    after: Decision


@dataclass(slots=True)
class Comparison:
    """Both ways over all candles that both have an answer for."""

    compared: int = 0
    not_answered: int = 0
    origins: dict[str, int] = field(default_factory=dict)
    before: list[Decision] = field(default_factory=list)
    after: list[Decision] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)

    def add(self, item: ExamItem, before: Marked, after: Marked, horizon_candles: int) -> None:
        """Take in one question that both have answered."""
        self.compared += 1
        for each in (before, after):
            origin = each.mark.origin or "not a model"
            self.origins[origin] = self.origins.get(origin, 0) + 1
        first, second = (each.decision(item, horizon_candles) for each in (before, after))
        self.before.append(first)
        self.after.append(second)
        if first.enters is not second.enters:
            at, symbol = item.question.features.closed_at, str(item.chart.instrument.symbol)
            self.changes.append(Change(at=at, symbol=symbol, before=first, after=second))

    @property
    def worth(self) -> tuple[Worth, Worth]:
        """Results in R of the entries of each way."""
        return _worth(self.before), _worth(self.after)

    @property
    def difference_r(self) -> float:
        """Total R after, less before; only entries with a known result."""
        before, after = self.worth
        return after.total - before.total


def questions(whole: BatchFeatures, instrument: Instrument, *, always: bool) -> Iterator[ExamItem]:
    """The candles on which a daemon would have asked: those with a candidate of the detector, or all of them."""
    for k in asked_candles(whole, always=always):
        yield recorded_item(whole, instrument, k)


def asked_candles(whole: BatchFeatures, *, always: bool) -> list[int]:
    """Their indices."""
    places = range(len(whole.series)) if always else whole.setup_indices.tolist()
    return [k for k in places if k >= LEAST_HISTORY]


async def compare(
    items: Iterable[ExamItem], before: Way, after: Way, *, horizon_candles: int, progress: Callable[[int], None]
) -> Comparison:
    """Decide each question both ways; `progress` is told how many are done."""
    found = Comparison()
    for number, item in enumerate(items, 1):
        said = await before.examinee.opinion(item.question)
        is_same = after.examinee is before.examinee
        first = before.mark(item, said)
        second = after.mark(item, said if is_same else await after.examinee.opinion(item.question))
        progress(number)
        if Said.NO_ANSWER in (first.mark.said, second.mark.said):
            found.not_answered += 1
            continue
        found.add(item, first, second, horizon_candles)
    return found


def comparison_json(found: Comparison) -> dict[str, Any]:
    """The comparison as JSON types; results in R."""
    before, after = found.worth
    return {
        "compared": found.compared,
        "not_answered": found.not_answered,
        "origins": found.origins,
        "before": _worth_json(before, found.before),
        "after": _worth_json(after, found.after),
        "difference_r": round(found.difference_r, _DIGITS),
        "changes": [
            {
                "at": each.at.isoformat(),
                "symbol": each.symbol,
                "before": _decision_json(each.before),
                "after": _decision_json(each.after),
            }
            for each in found.changes
        ],
    }


def _worth_json(worth: Worth, decisions: Sequence[Decision]) -> dict[str, Any]:
    return {"entries": sum(each.enters is not None for each in decisions), **asdict(worth)}


def _decision_json(decision: Decision) -> dict[str, Any]:
    return {"enters": decision.enters, "why": decision.why, "r": decision.r}


def _worth(decisions: Sequence[Decision]) -> Worth:
    return Worth.of([each.r for each in decisions if each.r is not None])
