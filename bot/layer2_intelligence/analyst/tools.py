"""The one form an answer may have: its schema for the server, and the whole check of what came back.

The server's schema knows no ranges and may be broken by a cut answer, so everything is checked here again.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from bot.layer2_intelligence.analyst.nouns import Tool
from bot.layer2_intelligence.indicators.divergence import OSCILLATORS
from bot.models import Direction, DivergenceKind

TOOL_NAME: Final = "submit_reading"
_MOST_FAULTS: Final = 5
_FARTHEST: Final = 10_000_000  # units: whatever is beyond is no price of any chart


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _whole(says: str) -> dict[str, str]:
    return {"type": "integer", "description": says}


_READING: Final = _object(
    {
        "oscillator": {"type": "string", "enum": list(OSCILLATORS)},
        "first": _whole("its value at the first pivot, as in the chart"),
        "second": _whole("its value at the second pivot, as in the chart"),
    }
)
_DIVERGENCE: Final = _object(
    {
        "direction": {"type": "string", "enum": [each.value for each in Direction]},
        "kind": {"type": "string", "enum": [each.value for each in DivergenceKind]},
        "first_bar": _whole("bar number of the first pivot"),
        "second_bar": _whole("bar number of the second pivot"),
        "first_price": _whole("low (long) or high (short) of that bar, as in the chart"),
        "second_price": _whole("low (long) or high (short) of that bar, as in the chart"),
        "oscillators": {"type": "array", "description": "those that diverge, 1 to 6", "items": _READING},
    }
)
TOOL: Final = Tool(
    name=TOOL_NAME,
    description="Hand in the reading of the chart: the one divergence that can be traded now, or null.",
    schema=_object(
        {
            "divergence": {"anyOf": [_DIVERGENCE, {"type": "null"}], "description": "null: nothing to trade"},
            "confidence": _whole("percent, 0 to 100: how sure this reading is"),
        }
    ),
)


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value  # a server may change the case of an enum


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


Units = Annotated[int, Field(ge=-_FARTHEST, le=_FARTHEST)]


class OscillatorReading(_Strict):
    """One oscillator at both pivots, in the numbers of the chart."""

    oscillator: Annotated[Literal["cci", "macd_hist", "mfi", "rsi", "stoch_k", "willr"], BeforeValidator(_lower)]
    first: Units
    second: Units


class DivergenceReading(_Strict):
    """A divergence between two bars of the chart."""

    direction: Annotated[Literal["long", "short"], BeforeValidator(_lower)]
    kind: Annotated[Literal["regular", "hidden"], BeforeValidator(_lower)]
    first_bar: Units
    second_bar: Units
    first_price: Units
    second_price: Units
    oscillators: Annotated[list[OscillatorReading], Field(min_length=1, max_length=len(OSCILLATORS))]


class Reading(_Strict):
    """What a model says of a chart; checked for form, not for truth."""

    divergence: DivergenceReading | None
    confidence: Annotated[int, Field(ge=0, le=100)]


@dataclass(frozen=True, slots=True)
class ReadingFault:
    """Why an answer has not the form; in our words only, so that it can be shown and sent back."""

    says: str


def parse_reading(answer: object, bars: int) -> Reading | ReadingFault:
    """The reading in a tool call about a chart of `bars` bars. Never raises, whatever the call holds."""
    try:
        reading = Reading.model_validate(answer)
    except ValidationError as error:
        return ReadingFault("; ".join(_fault(each) for each in error.errors(include_url=False)[:_MOST_FAULTS]))
    except RecursionError:
        return ReadingFault("the answer is nested too deeply")
    found = reading.divergence
    if found is None:
        return reading
    if not 1 <= found.first_bar < found.second_bar <= bars:
        return ReadingFault(f"divergence: 1 <= first_bar < second_bar <= {bars} does not hold")
    names = [each.oscillator for each in found.oscillators]
    if len(set(names)) < len(names):
        return ReadingFault("divergence.oscillators: each oscillator at most once")
    return reading


_KNOWN: Final = frozenset(
    name for model in (Reading, DivergenceReading, OscillatorReading) for name in model.model_fields
)


def _fault(error: Any) -> str:
    """Where and what; a name that is not ours is not repeated."""
    place = [
        str(each) if isinstance(each, int) or each in _KNOWN else "(a field that is not known)" for each in error["loc"]
    ]
    return f"{'.'.join(place) or 'the answer'}: {error['msg']}"
