"""Wiring of `analyst evaluate` and `analyst replay`: candles, analysts, answers and the stored gate."""

import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

from bot.analyst_calls import SpendCaps
from bot.clock import SystemClock
from bot.config import Loaded, Settings
from bot.database.memory_analyst_calls import MemoryAnalystCalls
from bot.errors import UsageError
from bot.instruments import InstrumentRegistry, default_registry
from bot.layer1_data.feeds.candle_files import read_candles
from bot.layer2_intelligence.analyst.budget import Budget
from bot.layer2_intelligence.analyst.capabilities import traits_of
from bot.layer2_intelligence.analyst.claude_client import ClaudeClient
from bot.layer2_intelligence.analyst.evaluation.baselines import baseline
from bot.layer2_intelligence.analyst.evaluation.figures import Figures
from bot.layer2_intelligence.analyst.evaluation.gates import analyst_gate
from bot.layer2_intelligence.analyst.evaluation.marks import Examinee
from bot.layer2_intelligence.analyst.evaluation.model import ModelExaminee
from bot.layer2_intelligence.analyst.evaluation.paper import ExamItem, PaperMaker, PaperSize
from bot.layer2_intelligence.analyst.gateway import LiveGateway
from bot.layer2_intelligence.analyst.nouns import AnalystGateway
from bot.layer2_intelligence.analyst.recordings import (
    RecordedGateway,
    cassette_of,
    read_cassettes,
    write_cassettes,
)
from bot.layer2_intelligence.features import BatchFeatures
from bot.models import CandleSeries, Timeframe
from bot.opinions import AnalystGate
from bot.replay.analyst.exam import Exam, ExamRules
from bot.replay.analyst.recorded import Comparison, Way, asked_candles, compare, questions
from bot.replay.analyst.report import ExamReport, report_of
from bot.replay.judging import settings_with
from bot.wiring.stored import stores_of_running_daemon

Progress = Callable[[int], None]
_EVERYTHING: Final = 10**9


@dataclass(frozen=True, slots=True)
class CandlesOf:
    """A file of candles, and what it holds."""

    series: CandleSeries
    name: str


def candles_of(text: str) -> CandlesOf:
    """Candles written as SYMBOL:TIMEFRAME:FILE. Raises UsageError or DataError."""
    symbol, _, rest = text.partition(":")
    length, _, path = rest.partition(":")
    if not (symbol and length and path):
        raise UsageError(f"--candles {text!r}: write SYMBOL:TIMEFRAME:FILE, such as EUR_USD:1h:eurusd.csv.gz")
    instrument = default_registry().get(symbol)
    series = read_candles(
        Path(path),
        instrument.symbol,
        Timeframe.parse(length),
        asset_class=instrument.asset_class,
        now=SystemClock().now(),
    )
    return CandlesOf(series, f"{symbol} {length} {Path(path).name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExamOrder:
    """What is to be examined. `models` need answers: recorded ones, or live ones within `budget` dollars."""

    baselines: Sequence[str]
    models: Sequence[str]
    candles: Sequence[CandlesOf]
    size: PaperSize
    seed: int
    budget: Decimal | None = None


def exam_items(settings: Settings, order: ExamOrder) -> list[ExamItem]:
    """All questions of an exam. Raises DataError."""
    maker = PaperMaker(default_registry(), settings.divergence, settings.validation, size=order.size, seed=order.seed)
    items = maker.made()
    share = order.size.recorded // max(1, len(order.candles))
    for each in order.candles:
        items += maker.recorded(each.series, default_registry().get(each.series.symbol), share)
    return items


async def run_exam(
    settings: Settings,
    order: ExamOrder,
    items: Sequence[ExamItem],
    gateway: AnalystGateway | None,
    progress: Callable[[str], Progress],
) -> ExamReport:
    """Examine everybody; `progress` names who is asked and answers whom to tell how far it is."""
    rules = ExamRules(
        validation=settings.validation,
        divergence=settings.divergence,
        horizon_candles=settings.outcomes.outcome_horizon_candles,
        most_dollars=order.budget,
        concurrency=settings.analyst.analyst_concurrency,
    )
    exam = Exam(items, rules)
    examinees = [baseline(name, settings.divergence, exam.foresight, order.seed) for name in order.baselines]
    if gateway is not None:
        examinees += [model_examinee(settings, gateway, model) for model in order.models]
    known = [(await exam.of(each, progress(each.name))).figures for each in examinees]
    return report_of(
        at=SystemClock().now(),
        seed=order.seed,
        items=items,
        known=known,
        subject=order.models[0] if order.models else None,
        candles=[each.name for each in order.candles],
    )


def model_examinee(settings: Settings, gateway: AnalystGateway, model: str) -> Examinee:
    """A model as an examinee."""
    return ModelExaminee(
        gateway,
        model,
        settings=settings.analyst,
        divergence=settings.divergence,
        validation=settings.validation,
        clock=SystemClock(),
    )


# ------------------------------------------------------------------------------------------------------- who answers


@dataclass(frozen=True, slots=True)
class Recordings:
    """Recorded answers, and who gave them."""

    gateway: RecordedGateway
    models: Sequence[str]
    origins: Mapping[str, int]


def recordings_of(directory: Path) -> Recordings:
    """The recordings of a directory, the model with the most of them first. Raises DataError."""
    cassettes = read_cassettes(directory)
    if not cassettes:
        raise UsageError(f"--recordings {directory}: no *.json there; name a directory of recordings")
    models = [model for model, _ in Counter(each.model for each in cassettes).most_common()]
    return Recordings(RecordedGateway(cassettes), models, Counter(each.origin for each in cassettes))


@asynccontextmanager
async def live_gateway(settings: Settings, budget: Decimal, record: Path | None) -> AsyncIterator[AnalystGateway]:
    """A model that is really asked; all requests together reserve and cost at most `budget` dollars.

    The money is the person's who named the sum: it is kept apart from the daemon's budget. What was answered is written
    to `record` in the end, also if the exam broke off. Raises UsageError without a key.
    """
    analyst = settings.analyst
    if not analyst.anthropic_api_key:
        raise UsageError("--live needs ANTHROPIC_API_KEY; set it, or use --recordings or the baselines alone")
    clock, ledger = SystemClock(), MemoryAnalystCalls()
    caps = SpendCaps(hour=budget, day=budget, month=budget)
    client = ClaudeClient(key=analyst.anthropic_api_key, url=analyst.anthropic_url)
    dice = random.Random()  # noqa: S311 chance in waiting, no secret
    gateway = LiveGateway(client=client, budget=Budget(ledger, clock, caps), clock=clock, dice=dice, settings=analyst)
    try:
        yield gateway
    finally:
        await gateway.close()
        if record is not None:
            found = [cassette_of(each) for each in await ledger.recent(_EVERYTHING)]
            write_cassettes((each for each in found if each is not None), record)


def check_model(model: str) -> None:
    """Raises UsageError for a model whose price is unknown."""
    if traits_of(model) is None:
        raise UsageError(f"--model {model}: not in the table of models; ./botctl analyst models lists them")


async def store_gate(loaded: Loaded, figures: Figures, *, may_open: bool) -> AnalystGate:
    """Keep what the figures say of a model's gate where the running daemon reads it."""
    gate = analyst_gate(figures, at=SystemClock().now(), may_open=may_open)
    async with stores_of_running_daemon(loaded) as stores:
        await stores.opinions.set_gate(gate)
    return gate


# -------------------------------------------------------------------------------------------------------- other rules


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialOrder:
    """Recorded answers of `model` under today's rules against those of `other_model` under `other_settings`."""

    candles: Sequence[CandlesOf]
    model: str
    other_model: str
    other_settings: Settings
    always: bool


def with_rules(settings: Settings, written: Sequence[str]) -> Settings:
    """Settings with rules written as NAME=LIMIT. Raises UsageError or ConfigError."""
    pairs = [each.partition("=") for each in written]
    wrong = next((text for text, (name, sign, _) in zip(written, pairs, strict=True) if not (name and sign)), None)
    if wrong is not None:
        raise UsageError(f"--rules {wrong!r}: write NAME=LIMIT, such as min_confidence=0.6")
    return settings_with({name.lower(): value for name, _, value in pairs}, "--rules", settings)


def trial_candles(settings: Settings, order: TrialOrder) -> list[tuple[BatchFeatures, int]]:
    """Features of each file, and how many questions there are on it."""
    lookback = settings.validation.bandwidth_lookback
    found = [BatchFeatures(each.series, settings.divergence, lookback) for each in order.candles]
    return [(each, len(asked_candles(each, always=order.always))) for each in found]


async def run_trial(
    settings: Settings,
    order: TrialOrder,
    features: Sequence[BatchFeatures],
    gateway: AnalystGateway,
    progress: Progress,
) -> Comparison:
    """Decide every recorded question both ways. Questions are worded as today's settings word them."""
    registry, other = default_registry(), order.other_settings
    first = model_examinee(settings, gateway, order.model)
    is_same = order.other_model == order.model
    second = first if is_same else model_examinee(settings, gateway, order.other_model)
    before = Way(examinee=first, validation=settings.validation, divergence=settings.divergence)
    after = Way(examinee=second, validation=other.validation, divergence=other.divergence)
    items = (item for each in features for item in _questions(each, registry, always=order.always))
    horizon = settings.outcomes.outcome_horizon_candles
    return await compare(items, before, after, horizon_candles=horizon, progress=progress)


def _questions(whole: BatchFeatures, registry: InstrumentRegistry, *, always: bool) -> Iterator[ExamItem]:
    return questions(whole, registry.get(whole.series.symbol), always=always)
