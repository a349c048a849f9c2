"""Asks every question of a paper, marks the answers, and follows them on the candles that came after."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import count

from bot.config import DivergenceSettings, ValidationSettings
from bot.layer2_intelligence.analyst.evaluation.baselines import Detector
from bot.layer2_intelligence.analyst.evaluation.charts import ExamChart
from bot.layer2_intelligence.analyst.evaluation.figures import Figures, figures
from bot.layer2_intelligence.analyst.evaluation.marks import Examinee, Mark, marked
from bot.layer2_intelligence.analyst.evaluation.paper import ExamItem
from bot.layer2_intelligence.analyst.nouns import NoDecision, NoDecisionReason, Opinion
from bot.layer5_monitoring.outcome_tracker import followed, outcome_of
from bot.models import EntrySignal, Outcome, OutcomeVerdict, decimal_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ExamRules:
    """Under which settings answers are judged, how long they are followed, and how each analyst is asked.

    `concurrency` is how many questions are open at a time. `most_dollars` keeps an exam from asking what its sum would
    not do for; that no dollar more is spent is the gateway's budget.
    """

    validation: ValidationSettings
    divergence: DivergenceSettings
    horizon_candles: int
    most_dollars: Decimal | None = None
    concurrency: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One analyst's marks and what they come to."""

    figures: Figures
    marks: tuple[Mark, ...] = field(repr=False)


class Exam:
    """One paper for any number of analysts."""

    def __init__(self, items: Sequence[ExamItem], rules: ExamRules) -> None:
        self._items = items
        self._rules = rules
        self._charts: Mapping[str, ExamChart] = {each.chart.name: each.chart for each in items}

    def foresight(self, chart: str, signal: EntrySignal) -> bool | None:
        """Whether the nearest target of `signal` came before its stop; None if the candles end before that."""
        outcome = outcome_on(self._charts[chart], signal, horizon_candles=self._rules.horizon_candles)
        return _hit(outcome)

    async def of(self, examinee: Examinee, progress: Callable[[int], None]) -> Result:
        """Ask one analyst everything; `progress` is told how many questions are done."""
        purse, places, done = _Purse(self._rules.most_dollars), asyncio.Semaphore(self._rules.concurrency), count(1)

        async def ask(item: ExamItem) -> Mark:
            async with places:
                opinion = purse.refusal(examinee.name)
                if opinion is None:
                    with purse.asking():
                        opinion = await examinee.opinion(item.question)
            mark = await self._marked(item, opinion)
            purse.pay(mark.cost)
            progress(next(done))
            return mark

        marks = tuple(await asyncio.gather(*map(ask, self._items)))
        return Result(figures=figures(examinee.name, marks), marks=marks)

    async def _marked(self, item: ExamItem, opinion: Opinion) -> Mark:
        chart, rules = item.chart, self._rules
        mark = marked(chart, item.question, opinion, rules.validation, rules.divergence)
        detected = (await Detector(rules.divergence).opinion(item.question)).signal
        if detected is not None:
            baseline = outcome_on(chart, detected, horizon_candles=rules.horizon_candles)
            mark = replace(mark, detector_r=known_r(baseline))
        if opinion.signal is None or opinion.signal.direction is None:
            return mark
        outcome = outcome_on(chart, opinion.signal, horizon_candles=rules.horizon_candles)
        return replace(mark, hit=_hit(outcome), r=known_r(outcome))


def outcome_on(chart: ExamChart, signal: EntrySignal, *, horizon_candles: int) -> Outcome | None:
    """What followed `signal` on the chart's later candles, entered at the close and half the typical spread."""
    if signal.direction is None:
        return None
    close = decimal_of(chart.series.close[chart.k])
    half = chart.instrument.typical_spread.at(close) / 2
    outcome = outcome_of(signal, accepted=True, paid=close + signal.direction.sign * half)
    if outcome is None:
        return None
    return followed(outcome, chart.series, horizon_candles=horizon_candles, half_spread=float(half))


def _hit(outcome: Outcome | None) -> bool | None:
    if outcome is None or outcome.verdict is OutcomeVerdict.OPEN:
        return None
    return outcome.verdict is OutcomeVerdict.TARGET_HIT


def known_r(outcome: Outcome | None) -> float | None:
    """The result in R; None while it is open."""
    return outcome.r if outcome is not None and outcome.verdict is not OutcomeVerdict.OPEN else None


class _Purse:
    """What is spent of a sum. Each question is expected to cost as much as the dearest one so far."""

    def __init__(self, most: Decimal | None) -> None:
        self._most = most
        self._spent = self._dearest = Decimal(0)
        self._in_flight = 0

    def refusal(self, name: str) -> Opinion | None:
        """The answer to a question that is not asked, because the sum might not do for it."""
        if self._most is None or self._spent + (self._in_flight + 1) * self._dearest <= self._most:
            return None
        says = f"{self._spent} of {self._most} dollars are spent; raise --budget to ask the rest"
        no_decision = NoDecision(reason=NoDecisionReason.BUDGET_DAY, says=says, model=name)
        return Opinion(signal=None, by=name, no_decision=no_decision)

    @contextmanager
    def asking(self) -> Iterator[None]:
        """While a question is open."""
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1

    def pay(self, cost: Decimal) -> None:
        """An answer has come."""
        self._spent, self._dearest = self._spent + cost, max(self._dearest, cost)
