"""Cookies: out of reach for scripts and for other sites."""

from typing import Final

from aiohttp import web

from bot.dashboard.visitor import is_secure

KNOWN_BROWSER_S: Final = 365 * 24 * 3600


def cookie_name(request: web.Request, purpose: str) -> str:
    """Name of a cookie. Browsers share cookies over all ports of a host, so two daemons must not use the same name."""
    if is_secure(request):
        return f"__Host-bot-{purpose}"
    address = request.get_extra_info("sockname")
    return f"bot-{purpose}-{address[1] if isinstance(address, tuple) else 0}"


def cookie(request: web.Request, purpose: str) -> str:
    """What the browser sent; empty if nothing."""
    return request.cookies.get(cookie_name(request, purpose), "")


def set_cookie(
    request: web.Request, response: web.StreamResponse, purpose: str, value: str, *, lasts_s: int | None = None
) -> None:
    """Put a cookie; it ends with the browser unless `lasts_s` is given."""
    response.set_cookie(
        cookie_name(request, purpose),
        value,
        path="/",
        httponly=True,
        samesite="Strict",
        secure=is_secure(request),
        max_age=lasts_s,
    )


def drop_cookie(request: web.Request, response: web.StreamResponse, purpose: str) -> None:
    """Tell the browser to forget a cookie."""
    response.del_cookie(
        cookie_name(request, purpose), path="/", httponly=True, samesite="Strict", secure=is_secure(request)
    )
