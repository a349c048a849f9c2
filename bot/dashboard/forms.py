"""Forms: reading one, and knowing that it is ours."""

import secrets
from typing import Final
from urllib.parse import unquote, urlsplit

from aiohttp import web
from multidict import MultiMapping

from bot.dashboard.sessions import SESSION

HEADER: Final = "X-CSRF-Token"  # for scripts that send no form


async def posted(request: web.Request) -> MultiMapping[object]:
    """The fields of a form. 400 for a body that is none."""
    try:
        return await request.post()
    except (ValueError, LookupError):  # broken multipart, an unknown character set
        raise web.HTTPBadRequest from None


async def check_session_form(request: web.Request) -> None:
    """403 unless the request carries the token of its session, in the form or in a header."""
    given = request.headers.get(HEADER) or str((await posted(request)).get("csrf", ""))
    check_form_token(given, request[SESSION].csrf_token)


def check_form_token(given: str, expected: str) -> None:
    """403 unless the form is one of ours, made for this login."""
    equal = secrets.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode("utf-8", "surrogatepass"))
    if not expected or not equal:
        raise web.HTTPForbidden


def local_path(text: str) -> str:
    """`text` if it is a path of this page, else "/": nobody is sent to another site after the login."""
    parsed = urlsplit(unquote(text)) if text.isascii() and text.isprintable() else None
    local = parsed is not None and not parsed.scheme and not parsed.netloc
    inside = text.startswith("/") and not text.startswith(("//", "/\\")) and not text.startswith("/login")
    return text if local and inside else "/"
