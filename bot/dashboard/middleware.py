"""What holds for every request: who may see it, where a change may come from, how errors and headers look."""

import secrets
from typing import Final
from urllib.parse import quote, urlsplit

from aiohttp import web
from loguru import logger

from bot.access import Principal, Scope
from bot.dashboard.api.encoding import problem
from bot.dashboard.cookies import cookie
from bot.dashboard.forms import check_session_form
from bot.dashboard.parts import PARTS
from bot.dashboard.routes import PRINCIPAL, SAFE_METHODS, Handler, route_of
from bot.dashboard.sessions import SESSION, SESSIONS, Session, digest
from bot.dashboard.tokens import TOKEN_DESK
from bot.dashboard.views.page import error_page, step_up_page
from bot.dashboard.visitor import comes_around_the_proxy, is_secure
from bot.errors import BotError, DatabaseUnavailable, NotFound, UsageError

_MACHINE_PREFIXES: Final = ("/api/", "/health", "/ready", "/metrics", "/events", "/ws")
_OPEN_WHILE_OWING: Final = frozenset(
    {
        "/account",
        "/account/password",
        "/account/second-factor/begin",
        "/account/second-factor/finish",
        "/account/sessions/end",
        "/step-up",
        "/logout",
        "/kill",
        "/api/kill/resume",  # it says what is owed
    }
)
_WORTH_COMPRESSING: Final = 1024  # bytes
_TEXTS: Final = frozenset({"text/html", "application/json"})
_CONDITIONS: Final = ("If-None-Match", "If-Modified-Since", "Range")
_TEXT_FILES: Final = (".css", ".js", ".svg")
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # no-referrer would make browsers send "Origin: null" with our own forms
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "Server": "bot",
}


class StepUpNeeded(web.HTTPForbidden):
    """Only for whoever has just proven again who he is."""


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Security headers on every answer, also errors and streams. Pages are kept nowhere; static files are asked about
    again each time, so that an update is seen at once."""
    response.headers.update(_HEADERS)
    static = request.path.startswith("/static/") and response.status in (200, 304)
    response.headers["Cache-Control"] = "no-cache" if static else "no-store"
    if is_secure(request):
        response.headers["Strict-Transport-Security"] = "max-age=31536000"


@web.middleware
async def compress_text(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Send text of some length compressed to whoever takes it; never a stream, which has begun by now.

    A page holds a form token beside what the address says, which compression could betray to whoever may ask for pages
    at will. No other site can: the session cookie stays away from what it asks.
    """
    response = await handler(request)
    if request.method == "GET" and not response.prepared and _gains_by_compression(request, response):
        response.headers["Vary"] = "Accept-Encoding"
        response.enable_compression()
    return response


def _gains_by_compression(request: web.Request, response: web.StreamResponse) -> bool:
    if isinstance(response, web.FileResponse):  # it knows its type, and whether it has changed, only when it is sent
        return request.path.endswith(_TEXT_FILES) and not any(each in request.headers for each in _CONDITIONS)
    long_enough = isinstance(response, web.Response) and (response.content_length or 0) >= _WORTH_COMPRESSING
    return long_enough and response.content_type in _TEXTS


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn errors into statuses. What was raised is for the log; the reader gets no trace, no SQL, no secret."""
    try:
        return await handler(request)
    except StepUpNeeded:
        return problem(403) if is_for_machines(request) else step_up_page(request)
    except web.HTTPException as answer:
        if answer.status < 400:
            raise
        return _error(request, answer.status, dict(answer.headers))
    except NotFound:
        return _error(request, 404)
    except UsageError:
        return _error(request, 400)
    except DatabaseUnavailable as error:
        logger.warning("dashboard: {} {} not answered: {}", request.method, request.rel_url.raw_path, error)
        return _error(request, 503, {"Retry-After": "5"})
    except BotError as error:
        logger.error("dashboard: {} {} failed: {}", request.method, request.rel_url.raw_path, error)
        return _error(request, 500)
    except Exception:
        logger.exception("dashboard: {} {} failed", request.method, request.rel_url.raw_path)
        return _error(request, 500)


@web.middleware
async def recognise(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Say who asks. A token speaks for itself: a cookie beside it counts for nothing. Files are the same for all."""
    if _is_static(request):
        return await handler(request)
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        principal = await _program(request, given.strip())
    else:
        session = await _session(request)
        principal = session.principal if session is not None else None
        if session is not None:
            request[SESSION] = session
    if principal is not None:
        request[PRINCIPAL] = principal
    return await handler(request)


@web.middleware
async def require_access(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Default deny: what is not declared public needs a session or an API token, with the scope that was declared.

    401 (or the way to the login form) for nobody, 403 for somebody who may not.
    """
    principal, route = request.get(PRINCIPAL), route_of(request)
    if comes_around_the_proxy(request) and request.path not in ("/health", "/ready"):
        raise web.HTTPForbidden
    if (route is not None and route.needs is None) or _is_static(request):
        return await handler(request)
    if principal is None:
        if is_for_machines(request) or request.method not in SAFE_METHODS:
            raise web.HTTPUnauthorized(headers={"WWW-Authenticate": "Bearer"})
        raise web.HTTPSeeOther(f"/login?next={quote(request.path_qs, safe='')}")
    if route is not None and route.needs is not None and not principal.may(route.needs):
        raise web.HTTPForbidden
    exists = request.match_info.http_exception is None  # else it is 404 or 405, for programs too
    if route is None and exists:
        raise web.HTTPForbidden
    if principal.is_token and exists and not (route is not None and route.opens_to_tokens):
        raise web.HTTPForbidden
    _require_nothing_owed(request)
    if route is not None and route.steps_up:
        _require_elevation(request)
    return await handler(request)


@web.middleware
async def require_same_origin(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A change comes from our own page only: by its Origin, or where a browser sends none by Sec-Fetch-Site; and with
    the token of its session. A program's token needs neither: no browser sends it by itself."""
    principal = request.get(PRINCIPAL)
    if request.method not in SAFE_METHODS and not (principal is not None and principal.is_token):
        origin = request.headers.get("Origin")
        fetched_from = request.headers.get("Sec-Fetch-Site", "missing")
        same = fetched_from == "same-origin" if origin is None else _authority(origin) == request.headers.get("Host")
        if not same or fetched_from not in ("same-origin", "missing"):
            raise web.HTTPForbidden
        route = route_of(request)
        if SESSION in request and route is not None and route.needs is not None:
            await check_session_form(request)
    return await handler(request)


def is_for_machines(request: web.Request) -> bool:
    """Whether errors are answered as problem JSON (RFC 9457) instead of a page."""
    return request.path.startswith(_MACHINE_PREFIXES) or "Authorization" in request.headers


def _is_static(request: web.Request) -> bool:
    resource = request.match_info.route.resource
    return resource is not None and resource.canonical == "/static"


async def _session(request: web.Request) -> Session | None:
    """Who looks through a browser. Where everybody may come, the database need not know."""
    token, route = cookie(request, "session"), route_of(request)
    try:
        return await request.app[SESSIONS].use(token) if token else None
    except DatabaseUnavailable:
        if route is not None and route.needs is None:
            return None
        raise


async def _program(request: web.Request, given: str) -> Principal | None:
    """Who stands behind a token: the daemon's own, which its owner's commands read, or one that people made."""
    expected = request.app[PARTS].api_token
    if expected and secrets.compare_digest(digest(given), digest(expected)):
        if request.method not in SAFE_METHODS:
            return None
        return Principal(name="run.json", scopes=frozenset({Scope.READ}), is_token=True, how="token of run.json")
    return await request.app[TOKEN_DESK].recognise(given)


def _require_nothing_owed(request: web.Request) -> None:
    """Whoever owes a new password or a second factor sees to that first; the kill switch is open all the same."""
    session = request.get(SESSION)
    if session is None or session.owes is None or request.path in _OPEN_WHILE_OWING:
        return
    if request.method in SAFE_METHODS and not is_for_machines(request):
        raise web.HTTPSeeOther("/account")
    raise web.HTTPForbidden


def _require_elevation(request: web.Request) -> None:
    session = request.get(SESSION)
    if session is not None and session.is_elevated(request.app[PARTS].clock.now()):
        return
    if request.method in SAFE_METHODS and session is not None:
        raise web.HTTPSeeOther(f"/step-up?next={quote(request.path_qs, safe='')}")
    raise StepUpNeeded


def _authority(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:  # an unclosed bracket, for one
        return None


def _error(request: web.Request, status: int, headers: dict[str, str] | None = None) -> web.Response:
    kept = {
        name: value for name, value in (headers or {}).items() if name in ("Allow", "Retry-After", "WWW-Authenticate")
    }
    response = problem(status) if is_for_machines(request) else error_page(request, status)
    response.headers.update(kept)
    return response
