"""What models were asked, what they answered and what it cost."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from bot.analyst_calls import SpendWindow, Usage
from bot.opinions import LadderRung, OpinionEffect

ANSWERED: Final = "answered"
RECORDED: Final = "recorded"  # answered from a stored call: nothing was sent
_TOKENS: Final = ("input", "cache_write", "cache_read", "output")
_CALL_S: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)


class AnalystMetrics:
    """Calls by how they ended, tokens and dollars. `reasons` are the names of every cause of having no answer."""

    def __init__(self, registry: CollectorRegistry, *, models: Sequence[str], reasons: Sequence[str]) -> None:
        self.calls = Counter(
            "bot_analyst_calls", "Questions and how they ended", ["model", "outcome"], registry=registry
        )
        self.seconds = Histogram(
            "bot_analyst_call_seconds", "How long an answer took", ["model"], registry=registry, buckets=_CALL_S
        )
        self.tokens = Counter("bot_analyst_tokens", "Tokens by kind", ["model", "kind"], registry=registry)
        self.cost = Counter(
            "bot_analyst_cost_usd", "Dollars of the answers of this process", ["model"], registry=registry
        )
        self.spent = Gauge(
            "bot_analyst_spent_usd", "Dollars that the budget counts in this window", ["window"], registry=registry
        )
        self.budget = Gauge("bot_analyst_budget_usd", "Most dollars in a window", ["window"], registry=registry)
        self.opinions = Counter(
            "bot_analyst_opinions", "Opinions by who gave them and what they did", ["rung", "effect"], registry=registry
        )
        self.waiting = Gauge("bot_analyst_waiting", "Questions under way", registry=registry)
        for model in models:
            self.seconds.labels(model)
            self.cost.labels(model)
            for outcome in (ANSWERED, RECORDED, *reasons):
                self.calls.labels(model, outcome)
            for kind in _TOKENS:
                self.tokens.labels(model, kind)
        for window in SpendWindow:
            self.spent.labels(window.value)
            self.budget.labels(window.value)
        for rung in LadderRung:
            for effect in OpinionEffect:
                self.opinions.labels(rung.value, effect.value)

    def heard(self, model: str, outcome: str, seconds: float, usage: Usage | None) -> None:
        """One question has ended; `usage` is what it cost, where that is known. A recorded answer costs nothing."""
        self.calls.labels(model, outcome).inc()
        if outcome == RECORDED:
            return
        self.seconds.labels(model).observe(seconds)
        if usage is None:
            return
        self.cost.labels(model).inc(float(max(usage.cost, Decimal(0))))
        counts = (usage.input_tokens, usage.cache_write_tokens, usage.cache_read_tokens, usage.output_tokens)
        for kind, count in zip(_TOKENS, counts, strict=True):
            self.tokens.labels(model, kind).inc(count)
