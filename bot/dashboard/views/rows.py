"""Rows of the tables: what a person wants to know of a position or a signal, worked out from the models. Pure."""

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from bot.models import Finding, FindingStatus, OutcomeVerdict, Position, SignalRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A decision in a word, a sign that is not only a colour, and its CSS class."""

    word: str
    sign: str
    tone: str


_VERDICTS: Final = {
    "vetoed": Verdict(word="rejected", sign="✕", tone="loss"),
    "refused": Verdict(word="refused by risk", sign="✕", tone="loss"),
    "setup": Verdict(word="waits as setup", sign="◷", tone="wait"),
    "ordered": Verdict(word="ordered", sign="✓", tone="gain"),
}
_FINDINGS: Final = {
    FindingStatus.PASS: Verdict(word="passed", sign="✓", tone="gain"),
    FindingStatus.FAIL: Verdict(word="failed", sign="✕", tone="loss"),
    FindingStatus.OFF: Verdict(word="switched off", sign="○", tone="flat"),
    FindingStatus.NOT_APPLICABLE: Verdict(word="not applicable", sign="○", tone="flat"),
}
_OUTCOMES: Final = {
    OutcomeVerdict.OPEN: "still followed",
    OutcomeVerdict.TARGET_HIT: "the target was reached first",
    OutcomeVerdict.STOP_HIT: "the stop was reached first",
    OutcomeVerdict.NEITHER: "neither stop nor target was reached in time",
}


def verdict_of(status: str) -> Verdict:
    """How far a signal got; a status that this page does not know is shown as it is."""
    return _VERDICTS.get(status, Verdict(word=status, sign="•", tone="flat"))


def finding_verdict(finding: Finding) -> Verdict:
    """Answer of one rule."""
    return _FINDINGS[finding.status]


def outcome_words(verdict: OutcomeVerdict) -> str:
    """What the market did with a signal."""
    return _OUTCOMES[verdict]


def short_reason(record: SignalRecord) -> str:
    """Why a signal went no further; of a rejection the rule that failed first, with what it measured."""
    failed = first_failure(record)
    return failed.says if failed is not None and not record.reason else record.reason


def first_failure(record: SignalRecord) -> Finding | None:
    """The finding that rejected the signal."""
    return next((each for each in record.findings if each.code == record.rejected_by), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionRow:
    """One open or pending position, with what follows from its mark. Money in account currency."""

    position: Position
    open_r: float
    next_target: Decimal | None
    target_text: str
    stop_notes: tuple[str, ...]

    @classmethod
    def of(cls, position: Position) -> "PositionRow":
        """The row of `position`."""
        targets, hit = position.plan.targets, position.targets_hit
        notes = [
            text for text, holds in (("break-even", position.break_even), ("trailing", position.trailing)) if holds
        ]
        return cls(
            position=position,
            open_r=float(position.open_result / position.risk_amount) if position.risk_amount else math.nan,
            next_target=targets[hit].price if hit < len(targets) else None,
            target_text=f"{hit + 1} of {len(targets)}" if hit < len(targets) else "all reached",
            stop_notes=tuple(notes),
        )
