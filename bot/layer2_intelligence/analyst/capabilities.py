"""What each model takes, costs and refuses, and when it ends. One that is not here has no price, so it is not asked.

Facts and prices as published on `CHECKED_ON`. `./botctl analyst models` compares them with what the server says.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final

CHECKED_ON: Final = date(2026, 11, 20)

_MILLION: Final = Decimal(1_000_000)
_CACHE_WRITE: Final = Decimal("1.25")  # kept for 5 minutes
_CACHE_WRITE_HOUR: Final = Decimal(2)
_CACHE_READ: Final = Decimal("0.1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """Dollars for a million tokens. Of a prompt longer than `long_prompt_tokens` all tokens cost the long price."""

    input: Decimal
    output: Decimal
    long_prompt_tokens: int | None = None
    long_input: Decimal = Decimal(0)
    long_output: Decimal = Decimal(0)

    def cost(
        self,
        *,
        input_tokens: int,
        output_tokens: int,
        cache_write_tokens: int = 0,
        cache_write_hour_tokens: int = 0,
        cache_read_tokens: int = 0,
    ) -> Decimal:
        """Dollars of one request."""
        prompt = input_tokens + cache_write_tokens + cache_write_hour_tokens + cache_read_tokens
        is_long = self.long_prompt_tokens is not None and prompt > self.long_prompt_tokens
        dear, each = (self.long_input, self.long_output) if is_long else (self.input, self.output)
        read = input_tokens + cache_write_tokens * _CACHE_WRITE
        read += cache_write_hour_tokens * _CACHE_WRITE_HOUR + cache_read_tokens * _CACHE_READ
        return (read * dear + output_tokens * each) / _MILLION


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelTraits:
    """One model. `thinks`: it thinks before it answers, cannot be stopped, and refuses a forced tool choice.

    `retires_on` is the day from which it is gone; None: no day is set, but not before `retires_not_before`.
    """

    model: str
    price: Price
    context_tokens: int
    output_tokens: int
    cache_minimum_tokens: int
    image_tokens: int
    thinks: bool = False
    retires_on: date | None = None
    retires_not_before: date | None = None

    @property
    def refuses(self) -> tuple[str, ...]:
        """What must not be sent to it, for people."""
        sampling = ("temperature", "top_p", "top_k")
        return (*sampling, "forced tool choice", "thinking disabled") if self.thinks else sampling


def _dollars(amount: str) -> Decimal:
    return Decimal(amount)


_TABLE: Final = (
    ModelTraits(
        model="claude-haiku-5-5",
        price=Price(
            input=_dollars("0.10"),
            output=_dollars("0.50"),
            long_prompt_tokens=100_000,
            long_input=_dollars("0.50"),
            long_output=_dollars("2.50"),
        ),
        context_tokens=1_000_000,
        output_tokens=128_000,
        cache_minimum_tokens=4_096,  # not published for this model; the largest that any model has
        image_tokens=4_784,
    ),
    ModelTraits(
        model="claude-haiku-4-5-20251001",
        price=Price(input=_dollars("1"), output=_dollars("5")),
        context_tokens=200_000,
        output_tokens=64_000,
        cache_minimum_tokens=4_096,
        image_tokens=1_568,
        retires_not_before=date(2026, 10, 15),
    ),
    ModelTraits(
        model="claude-sonnet-5-5",
        price=Price(input=_dollars("2"), output=_dollars("10")),
        context_tokens=200_000,  # not published for this model and the next: what all models have
        output_tokens=64_000,
        cache_minimum_tokens=512,
        image_tokens=4_784,
        thinks=True,
    ),
    ModelTraits(
        model="claude-opus-5-5",
        price=Price(input=_dollars("4"), output=_dollars("20")),
        context_tokens=200_000,
        output_tokens=64_000,
        cache_minimum_tokens=512,
        image_tokens=4_784,
        thinks=True,
    ),
    ModelTraits(
        model="claude-sonnet-4-5-20250929",
        price=Price(input=_dollars("3"), output=_dollars("15")),
        context_tokens=200_000,
        output_tokens=64_000,
        cache_minimum_tokens=1_024,
        image_tokens=1_568,
        retires_on=date(2026, 11, 30),
    ),
)
_ALIASES: Final = {
    "claude-haiku-4-5": "claude-haiku-4-5-20251001",
    "claude-sonnet-4-5": "claude-sonnet-4-5-20250929",
}

MODELS: Final[Mapping[str, ModelTraits]] = {each.model: each for each in _TABLE}


def traits_of(model: str) -> ModelTraits | None:
    """What is known of a model, by its id or short name; None: nothing, not even its price."""
    return MODELS.get(_ALIASES.get(model, model))
