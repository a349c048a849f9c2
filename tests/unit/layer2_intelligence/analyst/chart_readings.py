"""Charts in which the detector sees something, what a careful reader says of them, and a gateway that says what it is
told."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Any

import numpy as np

from bot.analyst_calls import Usage
from bot.config import DivergenceSettings, ValidationSettings
from bot.instruments import default_registry
from bot.layer2_intelligence.analyst.claim_check import Checked, Snapshot, check
from bot.layer2_intelligence.analyst.nouns import AnalystReply, AnalystRequest, NoDecision
from bot.layer2_intelligence.analyst.payload import Payload, payload_of
from bot.layer2_intelligence.analyst.tools import Reading, parse_reading
from bot.layer2_intelligence.features import BatchFeatures
from bot.layer2_intelligence.strategies.divergence import DivergenceStrategy
from bot.models import CandleSeries, Direction, DivergenceSetup, EntrySignal, FeatureSet, StrategyTask, Timeframe
from tests.unit.layer2_intelligence import made_series

GOLD = default_registry().get("XAU_USD")
TASK = StrategyTask.of("divergence", GOLD, Timeframe.H1)
DIVERGENCE = DivergenceSettings()
NOTHING: dict[str, Any] = {"divergence": None, "confidence": 60}


def charts(seed: int = 51, count: int = 1_200) -> Iterator[FeatureSet]:
    """Every candle of a random walk at which the detector has a setup, with history enough to be judged."""
    series = made_series.walk(seed, count, pull=0.02)
    batch = features_of(series)
    yield from (batch.at(k) for k in batch.setup_indices.tolist() if k >= 250)


def features_of(series: CandleSeries) -> BatchFeatures:
    """Features of a series with the standard settings."""
    return BatchFeatures(series, DIVERGENCE, 100)


@cache
def one_chart() -> FeatureSet:
    """The first chart whose only setup the evidence rules confirm in full."""
    return next(each for each in charts() if len(each.setups) == 1 and checked(each, true_answer(each)).fault is None)


def payload(features: FeatureSet) -> Payload:
    """The chart as text."""
    found = payload_of(features, GOLD, DIVERGENCE)
    assert found is not None
    return found


def snapshot(features: FeatureSet) -> Snapshot:
    """What a claim about the chart is judged by."""
    return Snapshot(
        task=TASK, features=features, instrument=GOLD, divergence=DIVERGENCE, validation=ValidationSettings()
    )


def found(features: FeatureSet) -> tuple[EntrySignal, ...]:
    """The detector's own signals."""
    return tuple(DivergenceStrategy(DIVERGENCE).signals(TASK, features, GOLD))


def true_answer(features: FeatureSet, setup: DivergenceSetup | None = None, **changes: Any) -> dict[str, Any]:
    """What somebody says who sees exactly what the detector sees; `changes` are those of the divergence."""
    setup, shown = setup or features.setups[0], payload(features)
    lows = setup.direction is Direction.LONG
    column = features.series.low if lows else features.series.high

    def price(index: int) -> int:
        return int((Decimal(repr(float(column[index]))) - shown.zero) / shown.unit)

    def value(name: str, index: int) -> int:
        return int(shown.shown(name, np.array([features.columns.oscillator(name)[index]]))[0])

    divergence = {
        "direction": setup.direction.value,
        "kind": setup.kind.value,
        "first_bar": setup.p1 - shown.first + 1,
        "second_bar": setup.p2 - shown.first + 1,
        "first_price": price(setup.p1),
        "second_price": price(setup.p2),
        "oscillators": [
            {"oscillator": each.oscillator, "first": value(each.oscillator, each.q1),
             "second": value(each.oscillator, each.q2)}
            for each in setup.divergences if each.p1 == setup.p1
        ],
    }  # fmt: skip
    return {"divergence": {**divergence, **changes}, "confidence": 80}


def reading(features: FeatureSet, answer: object) -> Reading:
    """An answer of the right form."""
    read = parse_reading(answer, payload(features).bars)
    assert isinstance(read, Reading), read
    return read


def checked(features: FeatureSet, answer: object) -> Checked:
    """An answer beside the candles."""
    return check(reading(features, answer), payload(features), snapshot(features), by="model-a")


class ScriptedGateway:
    """Answers in the order given; the last answer again and again. Keeps what it was asked."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.asked: list[AnalystRequest] = []
        self.deadlines_s: list[float] = []

    async def ask(self, request: AnalystRequest, *, deadline_s: float) -> AnalystReply | NoDecision:
        """The next answer: a tool call's content, or a NoDecision as it is."""
        self.asked.append(request)
        self.deadlines_s.append(deadline_s)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return answer if isinstance(answer, NoDecision) else reply(request, answer)


def reply(request: AnalystRequest, answer: Any) -> AnalystReply:
    """A reply with one tool call."""
    return AnalystReply(
        request_key=request.key,
        model_asked=request.model,
        model_answered=request.model,
        stop_reason="tool_use",
        tool_inputs=(answer,),
        text="",
        usage=Usage(input_tokens=3_000, output_tokens=120, cost=Decimal("0.00036")),
        latency_s=1.5,
        request_id="req_1",
        at=datetime(2024, 1, 2, tzinfo=UTC),
        from_recording=False,
        origin="fake",
    )
