"""The web application: its routes, what holds for all of them, and how it is served."""

import socket
from pathlib import Path
from typing import Final

import aiohttp_jinja2
import jinja2
from aiohttp import web

from bot.access import Scope
from bot.dashboard.api import differences, health, lists, risk, status, venues
from bot.dashboard.live import add_live_pages, events
from bot.dashboard.middleware import add_headers, answer_errors, require_access, require_same_origin
from bot.dashboard.pages import PAGES
from bot.dashboard.parts import PARTS, DashboardParts
from bot.dashboard.passwords import LOGIN_DESK, LoginDesk
from bot.dashboard.routes import add_routes, get, post
from bot.dashboard.sessions import SESSIONS, Sessions
from bot.dashboard.views import kill, login, signal, text
from bot.dashboard.views.home import HOME
from bot.dashboard.views.page import MENU, MenuEntry

__all__ = ["DashboardParts", "create_app", "serve"]

_HERE: Final = Path(__file__).parent
_MOST_BYTES_IN: Final = 64 * 1024
_SHUTDOWN_S: Final = 2.0

_PAGES: Final = (HOME,)  # in the order of the menu
_ROUTES: Final = (
    get("/signal", signal.signal, name="signal"),
    get("/kill", kill.ask, needs=Scope.KILL, name="kill"),
    post("/kill", kill.press, needs=Scope.KILL),
    get("/login", login.show_login, needs=None, name="login"),
    post("/login", login.log_in, needs=None),
    post("/logout", login.log_out, needs=Scope.READ),
    get("/events", events, streams=True),
    get("/api/status", status.status),
    get("/api/risk", risk.risk),
    get("/api/differences", differences.differences),
    get("/api/positions", lists.positions),
    get("/api/signals", lists.signals),
    get("/api/orders", lists.orders),
    get("/api/venues/{what}", venues.ask),
    get("/health", health.health, needs=None),
    get("/health/deep", health.deep_health),
)


def create_app(parts: DashboardParts) -> web.Application:
    """The application over its parts. Raises ConfigError if the password hash is not one."""
    app = web.Application(
        middlewares=[answer_errors, require_access, require_same_origin], client_max_size=_MOST_BYTES_IN
    )
    app[PARTS] = parts
    app[SESSIONS] = Sessions(parts.clock)
    app[LOGIN_DESK] = LoginDesk(user=parts.user, password_hash=parts.password_hash, clock=parts.clock)
    aiohttp_jinja2.setup(
        app,
        loader=jinja2.FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        filters=dict(text.filters(parts.registry)),
    )
    app[PAGES] = {each.name: each for each in _PAGES}
    app[MENU] = [MenuEntry(path=each.path, title=each.title, needs=each.needs) for each in _PAGES if each.in_menu]
    add_routes(app, [*(each.route() for each in _PAGES), *_ROUTES])
    app.router.add_static("/static", _HERE / "static")
    app.on_response_prepare.append(add_headers)
    add_live_pages(app)
    return app


async def serve(app: web.Application, sock: socket.socket) -> web.AppRunner:
    """Serve on a socket that listens already (it answered /health before this was imported); `cleanup()` ends it.

    There is no access log: a one-time login token would be written into it.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_S)
    await runner.setup()
    await web.SockSite(runner, sock).start()
    return runner
