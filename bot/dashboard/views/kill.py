"""Pressing the kill switch on the page: one page that asks, one that does. Works without scripts."""

from typing import Final

from aiohttp import web
from loguru import logger

from bot.access import Scope
from bot.dashboard.api.encoding import as_json
from bot.dashboard.audit import audit
from bot.dashboard.forms import posted
from bot.dashboard.login_desk import wait_words
from bot.dashboard.parts import PARTS, DashboardParts
from bot.dashboard.pressing import PRESSES, RESUMES_NOTHING, SILENT
from bot.dashboard.routes import PRINCIPAL
from bot.dashboard.sessions import SESSION, Owed
from bot.dashboard.views.login import proves, raise_session
from bot.dashboard.views.page import render
from bot.errors import StorageError, UsageError
from bot.layer4_risk.kill_switch import KillSwitch, resume
from bot.layer4_risk.kill_words import said
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
_WRONG: Final = "The password or the code is not right."


async def ask(request: web.Request) -> web.Response:
    """What a press would do, with the button that does it. 400 for a level that does not exist."""
    return _page(request, _level(request.query.get("level", KillLevel.PAUSE.value)))


async def press(request: web.Request) -> web.Response:
    """Do it. 303 to the first page (a program gets JSON); 401 wrong password, 403 not allowed, 409 a page too old."""
    who, parts, form = request[PRINCIPAL], request.app[PARTS], await posted(request)
    level = _level(str(form.get("level", "")))
    reason = str(form.get("reason", "")).strip()[:_REASON_LENGTH]
    audit(request, "resume" if level is KillLevel.NONE else f"kill {level.value}", reason)
    if level is KillLevel.NONE:
        return await _resume(request, reason, str(form.get("seen", "")))
    state = KillState(level=level, by=who.name, cause=KillCause.PAGE, reason=reason, at=parts.clock.now())
    is_new = await request.app[PRESSES].press(state)
    if who.is_token:
        return as_json({"level": parts.kill.known().level.value})
    if is_new is None:
        return _page(request, level, error=SILENT, status=202)
    raise web.HTTPSeeOther("/")


async def _resume(request: web.Request, reason: str, seen: str) -> web.Response:
    """Only for people who may trade (S33). A stale page resumes nothing: what was pressed after it was shown is not
    what the person decided about. Neither does a password that still has to be changed."""
    if SESSION not in request or not request[PRINCIPAL].may(Scope.TRADE):
        raise web.HTTPForbidden
    parts, user, owes = request.app[PARTS], request[SESSION].user, request[SESSION].owes
    if owes is not None:
        return _page(request, KillLevel.NONE, error=RESUMES_NOTHING[owes], status=403)
    held = await parts.kill.state()
    if _seen(parts.kill) != seen:
        return _page(request, KillLevel.NONE, error=_STALE, status=409)
    asks = held.level is KillLevel.HALT
    if asks:
        answer = await proves(request)
        if answer.wait_s > 0:
            return _page(request, KillLevel.NONE, error=wait_words(answer.wait_s), status=429)
        if answer.user is None:
            logger.warning("kill switch: {} gave a wrong password or code to resume from HALT", user)
            return _page(request, KillLevel.NONE, error=_WRONG, status=401)
        if answer.user.must_change:  # the printed link opens the page without it
            return _page(request, KillLevel.NONE, error=RESUMES_NOTHING[Owed.PASSWORD], status=403)
        held = await parts.kill.state()
        if _seen(parts.kill) != seen:  # looking at the password takes time, in which somebody else may press
            return _page(request, KillLevel.NONE, error=_STALE, status=409)
    try:
        await _release(parts, held, user, reason)
    except StorageError as error:
        return _page(request, KillLevel.NONE, error=str(error), status=500)
    response = web.Response(status=303, headers={"Location": "/"})
    if asks:
        await raise_session(request, response)
    return response


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
    kill = request.app[PARTS].kill  # as known without the database: this page also works when that is down
    title, button = _TITLES[level]
    context = {
        "title": title,
        "button": button,
        "words": _WORDS[level],
        "level": level,
        "now": said(kill.latches()),
        "seen": _seen(kill),
        "asks_password": level is KillLevel.NONE and kill.known().level is KillLevel.HALT,
        "error": error,
    }
    return render(request, "kill.html", context, status=status)


def _seen(kill: KillSwitch) -> str:
    """What a person decides about: everything that a resume would end."""
    latches = [each for each in kill.latches() if not each.cause.ends_by_itself]
    return ", ".join(f"{each.level.value} {each.cause.value} {each.at.isoformat()}" for each in latches)


def _level(word: str) -> KillLevel:
    try:
        return KillLevel(word)
    except ValueError:
        raise UsageError("the kill switch has the levels pause, flatten and halt; none resumes") from None
