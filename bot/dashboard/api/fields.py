"""Fields that several operations take, with their bounds."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Final

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    PlainValidator,
    StringConstraints,
    WithJsonSchema,
)

from bot.dashboard.api.operations import Asked, Body
from bot.instruments import BrokerId, Symbol
from bot.models import StrategyName, Timeframe
from bot.reports import Before

MOST_ROWS: Final = 500
_PLAIN: Final = r"^[^\x00-\x1f\x7f]+$"  # a database keeps no NUL, and a log no line that looks like two
_AMOUNT: Final = re.compile(r"([0-9]{0,11}[1-9][0-9]{0,11}(\.[0-9]{1,12})?|[0-9]{1,12}\.[0-9]{0,11}[1-9][0-9]{0,11})")
_WHOLE: Final = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_INSTANT: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}")
_FIRST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(2200, 1, 1, tzinfo=UTC)


def _whole(text: object) -> object:
    if isinstance(text, str) and not _WHOLE.fullmatch(text):
        raise ValueError("must be a whole number in digits")
    return text


def _instant(text: object) -> object:
    if isinstance(text, str) and not _INSTANT.match(text):  # else a number would count as seconds since 1970
        raise ValueError("must be an instant like 2025-03-04T14:00:05Z")
    return text


def _storable(at: datetime) -> datetime:
    """Nothing is older or newer than that, and a database has ends too."""
    return min(max(at, _FIRST), _LAST)


def _amount(text: object) -> Decimal:
    if not isinstance(text, str) or not _AMOUNT.fullmatch(text):
        raise ValueError(
            'must be a decimal above 0 as a string, such as "1.0842", of at most 23 digits before the point'
        )
    return Decimal(text)


_plain = StringConstraints(min_length=1, max_length=200, pattern=_PLAIN)

Name = Annotated[str, _plain]
Reason = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
ASymbol = Annotated[Symbol, _plain, Field(description="As /api/tasks names it, such as EUR_USD.")]
ABroker = Annotated[BrokerId, _plain, Field(description="binance, oanda or ig.")]
AStrategy = Annotated[StrategyName, _plain]
Amount = Annotated[
    Decimal,
    PlainValidator(_amount),
    WithJsonSchema({"type": "string", "pattern": f"^{_AMOUNT.pattern}$", "description": "A decimal above 0."}),
]
DIGITS: Final = BeforeValidator(_whole)  # last: what stands before it is in the document
Limit = Annotated[int, Field(ge=1, le=MOST_ROWS, description="How many rows at most."), DIGITS]
Moment = Annotated[AwareDatetime, BeforeValidator(_instant), AfterValidator(_storable)]
AnyTimeframe = Annotated[Timeframe, Field(description="Length of a candle.")]


class Rows(Asked):
    """How many."""

    limit: Limit = 100


class Older(Rows):
    """How many, and after which row to go on: an answer's `next` has both parameters for its next page."""

    before_at: Moment | None = None
    before_id: Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")] = ""

    @property
    def before(self) -> Before | None:
        """The row to go on after."""
        return None if self.before_at is None else Before(at=self.before_at, id=self.before_id)


class Why(Body):
    """Why somebody does it; kept with the act."""

    reason: Reason = ""
