"""One signal in words: a sentence why it went no further, and its seven steps. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bot.dashboard.views.rows import Verdict, first_failure, verdict_of
from bot.dashboard.views.text import in_r
from bot.dashboard.views.verdicts import outcome_sign, stop_name
from bot.layer5_monitoring.story import Story
from bot.models import FindingStatus, Position, SignalRecord
from bot.opinions import OpinionRecord
from bot.reports import stopped_by

_NOT_REACHED: Final = Verdict(word="not reached", sign="○", tone="flat")
_PASSED: Final = Verdict(word="passed", sign="✓", tone="gain")
_SIGNS: Final = {"gain": "✓", "loss": "✕", "wait": "◷", "flat": "○"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step: `place` is the element of the page that tells more."""

    title: str
    place: str
    answer: Verdict
    more: str


def why(told: Story) -> str:
    """One sentence: how far it got, and why no further."""
    record, position = told.record, told.position
    if record.status == "vetoed":
        failed = first_failure(record)
        if failed is None:
            return _why_without_rule(record)
        others = sum(each.status is FindingStatus.FAIL for each in record.findings) - 1
        more = f" {others} more failed." if others else ""
        return f"Rejected: {failed.says.removesuffix(' (fail)')}.{more}"
    if record.status == "refused":
        return f"Sound, but refused by risk: {record.reason.partition(': ')[2] or record.reason}."
    if record.status == "setup":
        return f"Sound; it {record.reason or 'waits for a confirmation'}."
    if position is None:
        return f"{verdict_of(record.status).word.capitalize()}{': ' if record.reason else ''}{record.reason}."
    if position.is_pending:
        return f"Ordered ({record.reason}); the entry is not filled yet."
    if position.is_open:
        return f"Traded ({record.reason}); the position is open."
    return f"Traded ({record.reason}) and closed by {position.exit_reason or 'an unknown reason'}."


def _why_without_rule(record: SignalRecord) -> str:
    if record.rejected_by == "MTF":
        return "Sound by every rule, but no live 4h setup of its direction was there to confirm."
    if record.rejected_by == "AN":
        return f"Sound by every rule, but the analyst was against it: {record.reason}."
    return f"Rejected by {stop_name(record.rejected_by)}: {record.reason}."


def steps_of(told: Story) -> Sequence[Step]:
    """From the candle to what the market did, each with its answer."""
    record, signal = told.record, told.record.signal
    is_sound = record.status in ("refused", "setup", "ordered", "endorsed")
    code = stopped_by(record)
    by_rule = record.status == "vetoed" and code not in ("MTF", "AN")
    rules = Verdict(word="rejected", sign="✕", tone="loss") if by_rule else _PASSED
    return (
        Step(
            title="Candle",
            place="candle",
            answer=Verdict(word=signal.timeframe.value, sign="✓", tone="gain"),
            more=f"closed {signal.candle_closed_at:%m-%d %H:%M}",
        ),
        Step(title="Rules", place="rules", answer=rules, more=stop_name(code) if by_rule else "all that apply"),
        _analyst_step(told.opinion, declined=code == "AN"),
        _risk_step(record.status, is_sound=is_sound, code=code),
        _order_step(told),
        _position_step(told.position),
        Step(
            title="Market",
            place="outcome",
            answer=outcome_sign(told.outcome.verdict if told.outcome else None),
            more=_in_r(told.outcome.r if told.outcome else None),
        ),
    )


def _analyst_step(opinion: OpinionRecord | None, *, declined: bool) -> Step:
    if opinion is None:
        answer = Verdict(word="not asked", sign="○", tone="flat")
        return Step(title="Analyst", place="analyst", answer=answer, more="the detector decides")
    tone = "loss" if declined else "gain" if opinion.effect.lets_enter else "flat"
    answer = Verdict(word=opinion.effect.value, sign="✕" if declined else "•", tone=tone)
    return Step(title="Analyst", place="analyst", answer=answer, more=opinion.model or opinion.rung.value)


def _risk_step(status: str, *, is_sound: bool, code: str) -> Step:
    if status == "refused":
        answer = Verdict(word="refused", sign="✕", tone="loss")
        return Step(title="Risk", place="decision", answer=answer, more=stop_name(code).removeprefix("risk: "))
    if status == "setup":
        answer = Verdict(word="waits as setup", sign="◷", tone="wait")
        return Step(title="Risk", place="decision", answer=answer, more="for a 1h confirmation")
    if code == "MTF":
        answer = Verdict(word="no setup", sign="✕", tone="loss")
        return Step(title="Risk", place="decision", answer=answer, more="nothing to confirm")
    answer = _PASSED if status == "ordered" else _NOT_REACHED
    return Step(title="Risk", place="decision", answer=answer, more="" if is_sound else "stopped before")


def _order_step(told: Story) -> Step:
    if not told.orders:
        return Step(title="Order", place="decision", answer=_NOT_REACHED, more="none was made")
    entry = told.orders[0]
    tone = "gain" if entry.filled_quantity else "loss" if entry.state.is_terminal else "wait"
    return Step(
        title="Order",
        place="decision",
        answer=Verdict(word=entry.state.value, sign=_SIGNS[tone], tone=tone),
        more=f"{len(told.orders)} {'order' if len(told.orders) == 1 else 'orders'}",
    )


def _position_step(position: Position | None) -> Step:
    if position is None:
        return Step(title="Position", place="position", answer=_NOT_REACHED, more="none was opened")
    if position.closed_at is None:
        answer = Verdict(word="waits" if position.is_pending else "open", sign="◷", tone="wait")
        return Step(title="Position", place="position", answer=answer, more="")
    tone = "gain" if position.net > 0 else "loss" if position.net < 0 else "flat"
    return Step(
        title="Position",
        place="position",
        answer=Verdict(word=position.exit_reason or "closed", sign=_SIGNS[tone], tone=tone),
        more=_in_r(position.r_multiple),
    )


def _in_r(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else in_r(value)
