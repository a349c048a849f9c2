"""Our record against the venues, and what a person answers to what differs (docs/reconcile.md)."""

from collections.abc import Sequence
from dataclasses import dataclass

from bot.dashboard.api.fields import Name
from bot.dashboard.api.operations import Asked, Body, Call
from bot.dashboard.api.problems import Problem
from bot.dashboard.audit import audit
from bot.differences import Answer, AnswerKind, Difference, Reconciliation
from bot.errors import NotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One row for each broker, as compared last."""

    brokers: Sequence[Reconciliation]


class OneDifference(Asked):
    """Which difference."""

    id: Name


class AnswerGiven(Body):
    """What is to be done. `fingerprint` is that of the difference as it was looked at: if it has changed since, nothing
    is done."""

    answer: AnswerKind
    fingerprint: Name


async def differences(call: Call) -> Compared:
    """Each venue against our record, as compared last."""
    return Compared(brokers=call.parts.reconciliations())


async def answer(call: Call, asked: OneDifference, body: AnswerGiven) -> Answer:
    """Answer a difference: adopt, ignore or flatten.

    The daemon compares anew, then carries the answer out within seconds; /api/differences shows when it is gone. 409 if
    it has changed since it was looked at, cannot be answered so, or an earlier answer is being carried out.
    """
    found = _found(call, asked.id)
    says = f"{found.kind.value}, {found.symbol} at {found.broker_id}: ours {found.ours}, at the venue {found.theirs}"
    audit(call.request, f"difference answered {body.answer.value}", f"{found.id}: {says}")
    if found.fingerprint != body.fingerprint:
        raise Problem(409, f"{found.id} has changed since it was looked at: {says}. Look again, then answer")
    if body.answer not in found.answers:
        able = " or ".join(each.value for each in found.answers) or "nothing by hand"
        raise Problem(409, f"{found.id} is a {found.kind.value}: {found.says}. It may be answered with {able}")
    given = await call.parts.stores.answers.give(
        Answer(
            broker_id=found.broker_id,
            difference_id=found.id,
            fingerprint=found.fingerprint,
            kind=body.answer,
            about=found.kind,
            subject=found.subject,
            says=says,
            by=call.who,
            at=call.parts.clock.now(),
        )
    )
    if not given.number:
        raise Problem(409, f"{found.id}: an earlier answer is being carried out already; nothing was changed")
    return given


def _found(call: Call, name: str) -> Difference:
    rows = [row for each in call.parts.reconciliations() for row in each.differences]
    found = next((each for each in rows if each.id == name), None)
    if found is None:
        known = ", ".join(each.id for each in rows) or "none"
        raise NotFound(f"there is no difference {name!r}; open are: {known}")
    return found
