"""Logging in and out."""

import math
import secrets
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from aiohttp import web

from bot.dashboard.parts import PARTS
from bot.dashboard.passwords import LOGIN_DESK
from bot.dashboard.sessions import SESSION, SESSIONS, cookie_name, drop_cookie, set_cookie
from bot.dashboard.views.page import render

_WRONG = "The name or the password is not right."


async def show_login(request: web.Request) -> web.StreamResponse:
    """The form; or, with a one-time token in the address, straight in."""
    if "token" in request.query and request.method == "GET":
        return _log_in_once(request)
    if SESSION in request:
        raise web.HTTPSeeOther(local_path(request.query.get("next", "/")))
    return _form(request, next_path=local_path(request.query.get("next", "/")))


async def log_in(request: web.Request) -> web.StreamResponse:
    """Check name and password. 303 to the page, 401 wrong, 403 a form that is not ours, 429 too early."""
    form = await posted(request)
    expected = request.cookies.get(cookie_name(request, "form"), "")
    check_form_token(str(form.get("csrf", "")), expected)
    next_path = local_path(str(form.get("next", "/")))
    answer = await request.app[LOGIN_DESK].check(str(form.get("user", "")), str(form.get("password", "")))
    if answer.accepted:
        return _enter(request, next_path)
    if answer.wait_s > 0:
        wait_s = math.ceil(answer.wait_s)
        text = f"Too many wrong tries for this name. Wait {wait_s} s, then try again."
        response = _form(request, next_path=next_path, error=text, status=429)
        response.headers["Retry-After"] = str(wait_s)
        return response
    return _form(request, next_path=next_path, error=_WRONG, status=401)


async def log_out(request: web.Request) -> web.StreamResponse:
    """End the session. 303 to the login form, 403 a form that is not ours."""
    session = request[SESSION]
    form = await posted(request)
    check_form_token(str(form.get("csrf", "")), session.csrf_token)
    request.app[SESSIONS].close(request.cookies.get(cookie_name(request, "session"), ""))
    response = web.Response(status=303, headers={"Location": "/login"})
    drop_cookie(request, response, "session")
    return response


def local_path(text: str) -> str:
    """`text` if it is a path of this page, else "/": nobody is sent to another site after the login."""
    parsed = urlsplit(unquote(text)) if text.isascii() and text.isprintable() else None
    local = parsed is not None and not parsed.scheme and not parsed.netloc
    inside = text.startswith("/") and not text.startswith(("//", "/\\")) and not text.startswith("/login")
    return text if local and inside else "/"


def _log_in_once(request: web.Request) -> web.StreamResponse:
    door = request.app[PARTS].one_time_login
    if door is not None and door.redeem(request.query["token"]):
        return _enter(request, "/")
    text = "This link has been used, or is older than 15 minutes. Log in with your password, or restart for a new link."
    return _form(request, next_path="/", error=text, status=401)


def _enter(request: web.Request, next_path: str) -> web.StreamResponse:
    sessions = request.app[SESSIONS]
    sessions.close(request.cookies.get(cookie_name(request, "session"), ""))
    response = web.Response(status=303, headers={"Location": next_path})
    set_cookie(request, response, "session", sessions.open(request.app[PARTS].user))
    drop_cookie(request, response, "form")
    return response


def _form(request: web.Request, *, next_path: str, error: str = "", status: int = 200) -> web.Response:
    token = request.cookies.get(cookie_name(request, "form")) or secrets.token_urlsafe(32)
    response = render(request, "login.html", {"csrf": token, "next": next_path, "error": error}, status=status)
    set_cookie(request, response, "form", token)
    return response


async def posted(request: web.Request) -> Mapping[str, object]:
    """The fields of a form. 400 for a body that is none."""
    try:
        return await request.post()
    except (ValueError, LookupError):  # broken multipart, an unknown character set
        raise web.HTTPBadRequest from None


def check_form_token(given: str, expected: str) -> None:
    """403 unless the form is one of ours, made for this login."""
    equal = secrets.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode("utf-8", "surrogatepass"))
    if not expected or not equal:
        raise web.HTTPForbidden
