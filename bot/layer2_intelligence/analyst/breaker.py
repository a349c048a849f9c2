"""Leaves a model alone for a while after it failed too often, or for a reason that the next minute does not cure."""

from dataclasses import dataclass, field
from typing import Final

from bot.interfaces import Clock
from bot.layer2_intelligence.analyst.nouns import NoDecisionReason

_STUBBORN_PAUSE_S: Final = 3_600.0
_STUBBORN: Final = {
    NoDecisionReason.BAD_KEY,
    NoDecisionReason.NO_PERMISSION,
    NoDecisionReason.NO_CREDIT,
    NoDecisionReason.SPEND_LIMIT,
    NoDecisionReason.RETIRED_MODEL,
}
_FAILURES: Final = {
    NoDecisionReason.REFUSED_PARAMETER,
    NoDecisionReason.TIMEOUT,
    NoDecisionReason.CONNECTION,
    NoDecisionReason.RATE_LIMITED,
    NoDecisionReason.OVERLOADED,
    NoDecisionReason.SERVER_ERROR,
    NoDecisionReason.MALFORMED,
}


@dataclass(slots=True)
class _Model:
    failures: int = 0
    shut_until_s: float | None = None
    cause: NoDecisionReason | None = None


@dataclass(slots=True, kw_only=True)
class Breaker:
    """One switch for each model. After the pause a single request tries whether the model is well again."""

    clock: Clock
    failures: int
    pause_s: float
    _models: dict[str, _Model] = field(default_factory=dict)

    def shut(self, model: str) -> str:
        """Why the model must not be asked now; empty if it may be. Who is let through after a pause is the trial."""
        state = self._models.get(model)
        if state is None or state.shut_until_s is None:
            return ""
        now_s = self.clock.monotonic()
        if now_s < state.shut_until_s:
            return f"{model} is left alone for {state.shut_until_s - now_s:.0f} s more after {state.cause}"
        state.shut_until_s = now_s + self.pause_s
        return ""

    def note(self, model: str, reason: NoDecisionReason | None) -> None:
        """How a request to the model ended; None: well, or at least with an answer."""
        if reason not in _STUBBORN | _FAILURES:
            self._models.pop(model, None)
            return
        state = self._models.setdefault(model, _Model())
        state.failures += 1
        if reason in _STUBBORN or state.failures >= self.failures or state.shut_until_s is not None:
            pause_s = _STUBBORN_PAUSE_S if reason in _STUBBORN else self.pause_s
            state.shut_until_s, state.cause = self.clock.monotonic() + pause_s, reason
