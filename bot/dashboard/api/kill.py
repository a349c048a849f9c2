"""The kill switch over the API: what holds, pressing, and resuming (docs/kill-switch.md).

No limit and no database that is down ever holds up a press.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Literal

from bot.dashboard.api.fields import Reason, Why
from bot.dashboard.api.operations import Body, Call
from bot.dashboard.api.problems import Problem
from bot.dashboard.audit import audit
from bot.dashboard.pressing import PRESSES, RESUMES_NOTHING, SILENT
from bot.dashboard.sessions import SESSION
from bot.errors import BotError
from bot.layer4_risk.kill_switch import resume as resume_in
from bot.layer4_risk.kill_words import said
from bot.models import KillCause, KillLevel, KillState, strongest

_RESUMES_HALT: Final = "a person resumes, with the password: on the page or with ./botctl resume"


@dataclass(frozen=True, slots=True, kw_only=True)
class KillReport:
    """What is pressed. `latches` hold all at once, in the order pressed; `level` is the strongest, `says` tells all."""

    level: KillLevel
    says: str
    latches: Sequence[KillState]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pressed:
    """What holds after the press, as in KillReport. `is_new` is False if the same held already."""

    is_new: bool
    level: KillLevel
    says: str


class Press(Body):
    """How much is to be stopped, and why."""

    level: Literal[KillLevel.PAUSE, KillLevel.FLATTEN, KillLevel.HALT]
    reason: Reason = ""


class Resume(Body):
    """`up_to` is the strongest level that was seen to hold: if something stronger was pressed since, nothing ends."""

    up_to: Literal[KillLevel.PAUSE, KillLevel.FLATTEN, KillLevel.HALT]
    reason: Reason = ""


async def state(call: Call) -> KillReport:
    """What is pressed, by whom and why; known without the database too."""
    with suppress(BotError):  # what is known holds
        await call.parts.kill.state()
    return _report(call)


async def press(call: Call, body: Press) -> Pressed:
    """Press the kill switch: pause entries, flatten everything, or halt.

    It holds at once, also while the database is down, and over restarts. Pressing twice is pressing once; nothing is
    ever lowered by it.
    """
    return await _pressed(call, KillLevel(body.level), body.reason)


async def flatten(call: Call, body: Why) -> Pressed:
    """Close every position at market, cancel every entry, open nothing new: the kill switch at flatten."""
    return await _pressed(call, KillLevel.FLATTEN, body.reason)


async def resume(call: Call, body: Resume) -> KillReport:
    """Let entries go on; what a daily loss limit holds goes on until its next session day.

    403 after a halt: that takes the password, and not one that still has to be changed. 409 if something stronger holds
    than was seen.
    """
    audit(call.request, "kill switch resumed", f"up to {body.up_to.value} {body.reason}".strip())
    parts, session = call.parts, call.request.get(SESSION)
    if session is not None and session.owes is not None:
        raise Problem(403, RESUMES_NOTHING[session.owes])
    held = await parts.kill.state()
    if held.level is KillLevel.NONE:
        return _report(call)
    if held.level > body.up_to:
        raise Problem(409, f"{held.says} holds, which is more than {body.up_to.value}; look at it, then decide again")
    if held.level is KillLevel.HALT and not _has_just_proven_itself(call):
        raise Problem(403, f"{held.says} holds; {_RESUMES_HALT}")
    await parts.kill.look()  # a press that waits to be stored is stored first, or it would come back
    await resume_in(
        parts.stores.kills,
        parts.stores.snapshots,
        parts.kill_file,
        up_to=held.level,
        by=call.who,
        reason=f"resumed over the API{': ' if body.reason else ''}{body.reason}",
        clock=parts.clock,
    )
    await parts.kill.look()
    return _report(call)


async def _pressed(call: Call, level: KillLevel, reason: str) -> Pressed:
    audit(call.request, f"kill switch pressed: {level.value}", reason)
    row = KillState(level=level, by=call.who, cause=KillCause.API, reason=reason, at=call.parts.clock.now())
    is_new = await call.request.app[PRESSES].press(row)
    known = _report(call)
    says = known.says if is_new is not None else f"{known.says}. {SILENT}"
    return Pressed(is_new=is_new is not False, level=known.level, says=says)


def _has_just_proven_itself(call: Call) -> bool:
    """A person who gave password and code within the last minutes (S15); a token never."""
    session = call.request.get(SESSION)
    return session is not None and not call.by.is_token and session.is_elevated(call.parts.clock.now())


def _report(call: Call) -> KillReport:
    latches = call.parts.kill.latches()
    return KillReport(level=strongest(latches).level, says=said(latches), latches=latches)
