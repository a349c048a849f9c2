"""Settings of the analyst: which model is asked, when, and what it may cost."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, field_validator

from bot.config.section import FakeUrl, Secrecy, Section


class AnalystSettings(Section):
    """Claude as a second opinion. Without a key the detector decides alone."""

    anthropic_api_key: Annotated[str, Secrecy.WHOLE] = Field(
        "", repr=False, description="Anthropic API key; empty: no model is asked"
    )
    anthropic_url: FakeUrl = Field(
        "",
        description="loopback address of a fake that is asked instead of Anthropic, such as http://127.0.0.1:9000; "
        "empty: none",
    )
    analyst_gate: Literal["candidates", "always"] = Field(
        "candidates", description="candidates: the model is asked where the detector found something; always: each time"
    )
    analyst_model: str = Field("claude-haiku-5-5", min_length=1, description="model that is asked first")
    analyst_fallback_model: str = Field(
        "claude-haiku-4-5-20251001", description="model that is asked when the first gives no decision; empty: none"
    )
    analyst_deadline_s: float = Field(
        30, ge=1, le=600, description="seconds of real time that an answer may take, all retries together"
    )
    analyst_max_output: int = Field(
        1_024, ge=256, le=32_000, description="most tokens of one answer; what a model thinks before it comes on top"
    )
    analyst_on_failure: Literal["detector", "no_entries"] = Field(
        "detector", description="where entries wait for a model and none answers: the detector decides, or none is made"
    )
    analyst_max_entries_hour: int = Field(
        6,
        ge=0,
        le=1_000,
        description="entries that answers let go on within an hour of market time; one more closes "
        "the gate until an evaluation opens it again",
    )
    analyst_attempts: int = Field(3, ge=1, le=10, description="most requests for one answer; each is counted")
    analyst_concurrency: int = Field(4, ge=1, le=50, description="most requests at the same time")
    analyst_budget_hour: Decimal = Field(
        Decimal("0.50"), ge=0, le=1_000, description="most dollars in an hour of the clock (UTC)"
    )
    analyst_budget_day: Decimal = Field(Decimal(2), ge=0, le=10_000, description="most dollars in a day (UTC)")
    analyst_budget_month: Decimal = Field(
        Decimal(20), ge=0, le=100_000, description="most dollars in a calendar month (UTC)"
    )
    analyst_breaker_failures: int = Field(
        5, ge=1, le=100, description="failures in a row after which a model is left alone for a while"
    )
    analyst_breaker_pause_s: float = Field(120, ge=1, le=86_400, description="seconds for which it is left alone")

    @field_validator("anthropic_api_key")
    @classmethod
    def _fits_a_header(cls, text: str) -> str:
        if not text.isascii() or not text.isprintable() or " " in text:
            raise ValueError("must be one line of plain letters, as Anthropic shows it")
        return text
