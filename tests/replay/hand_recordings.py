"""Recordings written by hand: what a model would say that reads as the detector does. They say who made them."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from bot.config import AnalystSettings, DivergenceSettings
from bot.layer2_intelligence.analyst.evaluation.marks import Question
from bot.layer2_intelligence.analyst.payload import Payload, payload_of
from bot.layer2_intelligence.analyst.prompts import question
from bot.layer2_intelligence.analyst.recordings import Cassette, write_cassettes
from bot.models import Direction

Reader = Callable[[Question, Payload], dict[str, Any]]
NOTHING: dict[str, Any] = {"divergence": None, "confidence": 50}


def silent(asked: Question, payload: Payload) -> dict[str, Any]:
    """Sees nothing anywhere."""
    return NOTHING


def as_detector(asked: Question, payload: Payload, confidence: int = 80) -> dict[str, Any]:
    """The detector's first setup in the numbers of the chart."""
    features = asked.features
    if not features.setups:
        return NOTHING
    setup = features.setups[0]
    column = features.series.low if setup.direction is Direction.LONG else features.series.high
    oscillators = [
        {
            "oscillator": each.oscillator,
            "first": _shown(payload, each.oscillator, each.osc1),
            "second": _shown(payload, each.oscillator, each.osc2),
        }
        for each in setup.divergences
        if each.p1 == setup.p1
    ]
    first, second = ((each - payload.first + 1, column[each]) for each in (setup.p1, setup.p2))
    return {
        "divergence": {
            "direction": setup.direction.value,
            "kind": setup.kind.value,
            "first_bar": first[0],
            "second_bar": second[0],
            "first_price": round((first[1] - float(payload.zero)) / float(payload.unit)),
            "second_price": round((second[1] - float(payload.zero)) / float(payload.unit)),
            "oscillators": oscillators,
        },
        "confidence": confidence,
    }


def _shown(payload: Payload, name: str, value: float) -> int:
    return int(payload.shown(name, np.array([value]))[0])


def record_by_hand(
    directory: Path, model: str, asked: Iterable[Question], reader: Reader, *, origin: str = "hand"
) -> int:
    """Write what `reader` makes of each chart as the answers of `model`; how many."""
    return write_cassettes((_cassette(each, model, reader, origin) for each in asked), directory)


def _cassette(asked: Question, model: str, reader: Reader, origin: str) -> Cassette:
    divergence = DivergenceSettings()
    payload = payload_of(asked.features, asked.instrument, divergence)
    assert payload is not None, asked.name
    request = question(payload, divergence, model=model, max_tokens=AnalystSettings().analyst_max_output)
    reply = {
        "type": "message",
        "model": model,
        "stop_reason": "tool_use",
        "content": [{"type": "tool_use", "id": "toolu_1", "name": request.tool.name, "input": reader(asked, payload)}],
        "usage": {"input_tokens": 3_000, "output_tokens": 100},
    }
    return Cassette.model_validate(
        {
            "origin": origin,
            "key": request.key,
            "model": model,
            "at": datetime(2026, 11, 21, tzinfo=UTC),
            "latency_s": 1.5,
            "request_body": {},
            "reply_body": reply,
        }
    )
