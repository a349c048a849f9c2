"""What holds for every request: who may see it, where a change may come from, how errors and headers look."""

import secrets
from typing import Final
from urllib.parse import quote, urlsplit

from aiohttp import web
from loguru import logger

from bot.access import Principal, Role, Scope
from bot.dashboard.api.encoding import problem
from bot.dashboard.parts import PARTS
from bot.dashboard.routes import PRINCIPAL, Handler, route_of
from bot.dashboard.sessions import SESSION, SESSIONS, cookie_name, digest
from bot.dashboard.views.page import error_page
from bot.errors import BotError, DatabaseUnavailable, NotFound, UsageError

_MACHINE_PREFIXES: Final = ("/api/", "/health", "/events")
_SAFE_METHODS: Final = frozenset({"GET", "HEAD"})
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


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Security headers on every answer, also errors and streams. Pages are kept nowhere; static files are asked about
    again each time, so that an update is seen at once."""
    response.headers.update(_HEADERS)
    static = request.path.startswith("/static/") and response.status in (200, 304)
    response.headers["Cache-Control"] = "no-cache" if static else "no-store"
    if request.secure:
        response.headers["Strict-Transport-Security"] = "max-age=31536000"


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn errors into statuses. What was raised is for the log; the reader gets no trace, no SQL, no secret."""
    try:
        return await handler(request)
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
async def require_access(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Default deny: what is not declared public needs a session or an API token, with the scope that was declared.

    401 (or the way to the login form) for nobody, 403 for somebody who may not.
    """
    token = request.cookies.get(cookie_name(request, "session"), "")
    session = request.app[SESSIONS].use(token) if token else None
    if session is not None:
        request[SESSION] = session
    principal = _principal(request)
    if principal is not None:
        request[PRINCIPAL] = principal
    route = route_of(request)
    if (route is not None and route.needs is None) or _is_static(request):
        return await handler(request)
    if principal is None:
        if is_for_machines(request) or request.method not in _SAFE_METHODS:
            raise web.HTTPUnauthorized(headers={"WWW-Authenticate": "Bearer"})
        raise web.HTTPSeeOther(f"/login?next={quote(request.path_qs, safe='')}")
    if route is not None and route.needs is not None and not principal.may(route.needs):
        raise web.HTTPForbidden
    return await handler(request)


@web.middleware
async def require_same_origin(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A change comes from our own page only: by its Origin, or where a browser sends none by Sec-Fetch-Site."""
    if request.method not in _SAFE_METHODS:
        origin = request.headers.get("Origin")
        fetched_from = request.headers.get("Sec-Fetch-Site", "missing")
        same = fetched_from == "same-origin" if origin is None else _authority(origin) == request.headers.get("Host")
        if not same or fetched_from not in ("same-origin", "missing"):
            raise web.HTTPForbidden
    return await handler(request)


def is_for_machines(request: web.Request) -> bool:
    """Whether errors are answered as problem JSON (RFC 9457) instead of a page."""
    return request.path.startswith(_MACHINE_PREFIXES)


def _is_static(request: web.Request) -> bool:
    resource = request.match_info.route.resource
    return resource is not None and resource.canonical == "/static"


def _principal(request: web.Request) -> Principal | None:
    if SESSION in request:
        return Principal(name=request[SESSION].user, scopes=Role.ADMIN.scopes)
    expected = request.app[PARTS].api_token
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if not expected or scheme.lower() != "bearer" or request.method not in _SAFE_METHODS:
        return None
    reachable = request.path.startswith("/api/") or request.path == "/health/deep"
    if reachable and secrets.compare_digest(digest(given.strip()), digest(expected)):
        return Principal(name="run.json", scopes=frozenset({Scope.READ}), is_token=True)
    return None


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
