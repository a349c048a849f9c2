"""What stopped a signal and what the market did with it, in words. Pure."""

from collections.abc import Mapping
from typing import Final

from bot.dashboard.views.rows import Verdict
from bot.layer2_intelligence.rule_names import RULE_NAMES
from bot.models import OutcomeVerdict

_OTHERS: Final[Mapping[str, str]] = {"MTF": "no 4h setup to confirm", "AN": "the analyst"}
_FOLLOWED: Final[Mapping[OutcomeVerdict | None, Verdict]] = {
    None: Verdict(word="not followed", sign="–", tone="flat"),
    OutcomeVerdict.OPEN: Verdict(word="followed", sign="◷", tone="wait"),
    OutcomeVerdict.TARGET_HIT: Verdict(word="target first", sign="✓", tone="gain"),
    OutcomeVerdict.STOP_HIT: Verdict(word="stop first", sign="✕", tone="loss"),
    OutcomeVerdict.NEITHER: Verdict(word="neither", sign="○", tone="flat"),
}


def stop_name(code: str) -> str:
    """A rule or a limit of risk by its code."""
    if code in _OTHERS:
        return _OTHERS[code]
    if code in RULE_NAMES:
        return f"rule {code}, {RULE_NAMES[code]}"
    return f"risk: {code.lower().replace('_', ' ')}"


def outcome_sign(verdict: OutcomeVerdict | None) -> Verdict:
    """What the market reached first, traded or not; None: the signal has no outcome."""
    return _FOLLOWED[verdict]
