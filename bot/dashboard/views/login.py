"""Logging in and out, and proving again who one is."""

import math
import secrets
from contextlib import suppress

from aiohttp import web

from bot.dashboard.audit import audit
from bot.dashboard.cookies import KNOWN_BROWSER_S, cookie, drop_cookie, set_cookie
from bot.dashboard.forms import check_form_token, local_path, posted
from bot.dashboard.login_desk import LOGIN_DESK, LoginAnswer, wait_words
from bot.dashboard.parts import PARTS
from bot.dashboard.sessions import SESSION, SESSIONS
from bot.dashboard.views.page import render
from bot.dashboard.visitor import address_of, agent_of
from bot.errors import DatabaseUnavailable

_WRONG = "The name, the password or the code is not right."
_LONGEST_NAME = 64


async def show_login(request: web.Request) -> web.StreamResponse:
    """The form; or, with a one-time token in the address, straight in."""
    if "token" in request.query and request.method == "GET":
        return await _log_in_once(request)
    next_path = local_path(request.query.get("next", "/"))
    if SESSION in request:
        raise web.HTTPSeeOther(next_path)
    return _form(request, next_path=next_path)


async def log_in(request: web.Request) -> web.StreamResponse:
    """Check name, password and code. 303 to the page, 401 wrong, 403 a form that is not ours, 429 too early."""
    form = await posted(request)
    check_form_token(str(form.get("csrf", "")), cookie(request, "form"))
    name, next_path = str(form.get("user", "")), local_path(str(form.get("next", "/")))
    answer = await _checked(request, name)
    if answer.user is not None:
        audit(request, "login", who=answer.user.name, how="password")
        return await _enter(request, answer.user.name, next_path, proven=True)
    if answer.wait_s > 0:
        response = _form(request, next_path=next_path, error=wait_words(answer.wait_s), status=429)
        response.headers["Retry-After"] = str(math.ceil(answer.wait_s))
        return response
    audit(request, "login", who=await _known_name(request, name), how="password")
    return _form(request, next_path=next_path, error=_WRONG, status=401)


async def log_out(request: web.Request) -> web.StreamResponse:
    """End the session. 303 to the login form, 403 a form that is not ours."""
    audit(request, "logout")
    await request.app[SESSIONS].close(cookie(request, "session"))
    response = web.Response(status=303, headers={"Location": "/login"})
    drop_cookie(request, response, "session")
    return response


async def show_step_up(request: web.Request) -> web.Response:
    """Ask for password and code again."""
    return _step_up_form(request, local_path(request.query.get("next", "/account")))


async def step_up(request: web.Request) -> web.StreamResponse:
    """Check them. 303 to where the person was going, with a new session; 401 wrong, 429 too early."""
    next_path = local_path(str((await posted(request)).get("next", "/account")))
    audit(request, "step-up")
    answer = await _checked(request, request[SESSION].user)
    if answer.user is None:
        error = wait_words(answer.wait_s) if answer.wait_s > 0 else "The password or the code is not right."
        return _step_up_form(request, next_path, error=error, status=429 if answer.wait_s > 0 else 401)
    response = web.Response(status=303, headers={"Location": next_path})
    await raise_session(request, response)
    return response


async def raise_session(request: web.Request, response: web.StreamResponse) -> None:
    """The session goes on under a new token: password and code were right just now.

    Where the database fails it goes on as it was: what was done before stays done, and is told so.
    """
    with suppress(DatabaseUnavailable):
        fresh = await request.app[SESSIONS].elevate(cookie(request, "session"))
        set_cookie(request, response, "session", fresh)


async def proves(request: web.Request) -> LoginAnswer:
    """Whether the form that was sent has the password, and the code, of whoever is logged in."""
    return await _checked(request, request[SESSION].user)


async def _checked(request: web.Request, name: str) -> LoginAnswer:
    form = await posted(request)
    return await request.app[LOGIN_DESK].check(
        name,
        str(form.get("password", "")),
        str(form.get("code", "")),
        address=address_of(request),
        browser=cookie(request, "known"),
    )


async def _known_name(request: web.Request, name: str) -> str:
    """A name for the audit; of an unknown one nothing, because people type passwords into the wrong field."""
    user = await request.app[PARTS].stores.users.get(name.strip().lower()[:_LONGEST_NAME])
    return user.name if user else "unknown"


async def _log_in_once(request: web.Request) -> web.StreamResponse:
    parts = request.app[PARTS]
    owner = await parts.stores.users.get(parts.user)
    door = parts.one_time_login
    if door is not None and owner is not None and owner.is_enabled and door.redeem(request.query["token"]):
        audit(request, "login", who=owner.name, how="printed link")  # not of a guess, which waits for no delay
        return await _enter(request, owner.name, "/", proven=False)
    text = "This link has been used, or is older than 15 minutes. Log in with your password, or restart for a new link."
    return _form(request, next_path="/", error=text, status=401)


async def _enter(request: web.Request, name: str, next_path: str, *, proven: bool) -> web.StreamResponse:
    token = await request.app[SESSIONS].open(
        name,
        proven=proven,
        address=address_of(request),
        agent=agent_of(request),
        instead_of=cookie(request, "session"),
    )
    response = web.Response(status=303, headers={"Location": next_path})
    set_cookie(request, response, "session", token)
    drop_cookie(request, response, "form")
    if proven:
        set_cookie(request, response, "known", request.app[LOGIN_DESK].mark_of(name), lasts_s=KNOWN_BROWSER_S)
    return response


def _form(request: web.Request, *, next_path: str, error: str = "", status: int = 200) -> web.Response:
    token = cookie(request, "form") or secrets.token_urlsafe(32)
    response = render(request, "login.html", {"csrf": token, "next": next_path, "error": error}, status=status)
    set_cookie(request, response, "form", token)
    return response


def _step_up_form(request: web.Request, next_path: str, *, error: str = "", status: int = 200) -> web.Response:
    return render(request, "step_up.html", {"next": next_path, "error": error}, status=status)
