"""What an analyst made of one candle, how it came to that, and whether it has earned a say."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from bot.analyst_calls import Usage
from bot.instruments import Symbol
from bot.models import Direction, TaskId, Timeframe


class LadderRung(StrEnum):
    """Who answered: each stands in for the one before."""

    MODEL = "model"
    FALLBACK = "fallback model"
    DETECTOR = "detector"
    NO_ENTRIES = "no entries"


class OpinionEffect(StrEnum):
    """What an opinion did to the entries of its candle."""

    SECOND_OPINION = "second opinion"  # the detector had decided already
    CONFIRMED = "confirmed"
    ENTERED = "entered"  # where the detector had found nothing in that direction
    DECLINED = "declined"
    VOID = "void claim"
    DETECTOR_DECIDED = "detector decided"  # in the place of an answer
    NO_ENTRY = "no entry"  # in the place of an answer
    THROTTLED = "throttled"

    @property
    def lets_enter(self) -> bool:
        """An entry went on because of it."""
        return self in (OpinionEffect.CONFIRMED, OpinionEffect.ENTERED)


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderStep:
    """One model that was asked and gave no usable answer."""

    model: str
    reason: str
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OpinionRecord:
    """One opinion as it is stored and shown; at most one for each candle of a task.

    `sent` is the chart as the model got it, `said` the reading as it was checked for its form (None: no answer of that
    form), `direction` None without a claim. `fault` is the class of a void claim and `untrue` the sentences why.
    `cost` and latency (seconds) are those of the answer; what failed attempts cost is in the calls of `request_key`.
    """

    task_id: TaskId
    candle_closed_at: datetime
    symbol: Symbol
    timeframe: Timeframe
    at: datetime
    rung: LadderRung
    effect: OpinionEffect
    why: str
    model: str = ""
    sent: str = ""
    said: Mapping[str, Any] | None = None
    direction: Direction | None = None
    confidence: float | None = None
    fault: str = ""
    untrue: tuple[str, ...] = ()
    struck_out: tuple[str, ...] = ()
    steps: tuple[LadderStep, ...] = ()
    usage: Usage = field(default_factory=Usage)
    latency_s: float = 0.0
    request_key: str = ""
    origin: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalystGate:
    """What one model may do; closed until figures of an evaluation open it.

    `may_decide`: entries wait for it, and it can decline or confirm what the detector found. `confidence_counts`:
    besides, its confidence is taken at its word, and what it alone has found may be entered.
    """

    model: str
    may_decide: bool
    confidence_counts: bool
    by: str
    says: str
    at: datetime


def closed_gate(model: str) -> AnalystGate:
    """The gate of a model that nobody has evaluated."""
    return AnalystGate(model=model, may_decide=False, confidence_counts=False, by="", says="never evaluated", at=_NEVER)


_NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)
