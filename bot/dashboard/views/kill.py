"""Pressing the kill switch on the page: one page that asks, one that does. Works without scripts."""

import math
from typing import Final

from aiohttp import web
from loguru import logger

from bot.dashboard.parts import PARTS, DashboardParts
from bot.dashboard.passwords import LOGIN_DESK
from bot.dashboard.sessions import SESSION
from bot.dashboard.views.login import check_form_token, posted
from bot.dashboard.views.page import render
from bot.errors import StorageError, UsageError
from bot.layer4_risk.kill_switch import resume
from bot.models import KillCause, KillLevel, KillState

_REASON_LENGTH: Final = 200
_TITLES: Final = {
    KillLevel.NONE: ("Resume", "Yes, resume"),
    KillLevel.PAUSE: ("Pause entries", "Yes, pause entries"),
    KillLevel.FLATTEN: ("Flatten: close every position", "Yes, close everything"),
    KillLevel.HALT: ("Halt", "Yes, halt"),
}
_WORDS: Final = {
    KillLevel.NONE: "Entries go on with the next signal. Only what a daily loss limit holds goes on, until its next "
    "session day.",
    KillLevel.PAUSE: "No new entry is sent. Open positions, their stops and exits go on as they are.",
    KillLevel.FLATTEN: "No new entry is sent, waiting entries are cancelled, and every open position is closed at "
    "market, again and again until nothing is left. Stops stay until their position is flat. Entries then stay paused.",
    KillLevel.HALT: "Nothing that increases risk is sent and waiting entries are cancelled. Positions stay, with their "
    "stops at the venues; exits go on. To resume, the password is needed.",
}
_STALE: Final = "The kill switch was changed after this page was shown. Look at what holds now, then decide again."
_WRONG: Final = "The password is not right."


async def ask(request: web.Request) -> web.Response:
    """What a press would do, with the button that does it. 400 for a level that does not exist."""
    return _page(request, _level(request.query.get("level", KillLevel.PAUSE.value)))


async def press(request: web.Request) -> web.Response:
    """Do it. 303 to the first page; 401 wrong password, 403 a form that is not ours, 409 a page that was too old."""
    session, parts = request[SESSION], request.app[PARTS]
    form = await posted(request)
    check_form_token(str(form.get("csrf", "")), session.csrf_token)
    level = _level(str(form.get("level", "")))
    reason = str(form.get("reason", "")).strip()[:_REASON_LENGTH]
    if level is KillLevel.NONE:
        return await _resume(request, reason, str(form.get("seen", "")), str(form.get("password", "")))
    state = KillState(level=level, by=session.user, cause=KillCause.PAGE, reason=reason, at=parts.clock.now())
    await parts.kill.press(state)  # also where the database is down: it holds in the process and in the file
    raise web.HTTPSeeOther("/")


async def _resume(request: web.Request, reason: str, seen: str, password: str) -> web.Response:
    """A stale page resumes nothing: what was pressed after it was shown is not what the person decided about."""
    parts, user = request.app[PARTS], request[SESSION].user
    held = await parts.kill.state()
    if _seen(held) != seen:
        return _page(request, KillLevel.NONE, error=_STALE, status=409)
    if held.level is KillLevel.HALT:
        answer = await request.app[LOGIN_DESK].check(user, password)
        if answer.wait_s > 0:
            wait = f"Too many wrong tries. Wait {math.ceil(answer.wait_s)} s, then try again."
            return _page(request, KillLevel.NONE, error=wait, status=429)
        if not answer.accepted:
            logger.warning("kill switch: {} gave a wrong password to resume from HALT", user)
            return _page(request, KillLevel.NONE, error=_WRONG, status=401)
    try:
        await _release(parts, held, user, reason)
    except StorageError as error:
        return _page(request, KillLevel.NONE, error=str(error), status=500)
    raise web.HTTPSeeOther("/")


async def _release(parts: DashboardParts, held: KillState, user: str, reason: str) -> None:
    await parts.kill.look()  # a press that waits to be stored is stored first, or it would come back
    await resume(
        parts.stores.kills,
        parts.stores.snapshots,
        parts.kill_file,
        up_to=held.level,
        by=user,
        reason=f"resumed on the page{': ' if reason else ''}{reason}",
        clock=parts.clock,
    )
    await parts.kill.look()


def _page(request: web.Request, level: KillLevel, *, error: str = "", status: int = 200) -> web.Response:
    state = request.app[PARTS].kill.known()  # without the database: this page also works when that is down
    title, button = _TITLES[level]
    context = {
        "title": title,
        "button": button,
        "words": _WORDS[level],
        "level": level,
        "state": state,
        "seen": _seen(state),
        "asks_password": level is KillLevel.NONE and state.level is KillLevel.HALT,
        "error": error,
    }
    return render(request, "kill.html", context, status=status)


def _seen(state: KillState) -> str:
    return f"{state.level.value} {state.cause.value} {state.at.isoformat()}"


def _level(word: str) -> KillLevel:
    try:
        return KillLevel(word)
    except ValueError:
        raise UsageError("the kill switch has the levels pause, flatten and halt; none resumes") from None
