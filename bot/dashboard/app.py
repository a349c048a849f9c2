"""The web application: its routes, what holds for all of them, and how it is served."""

import socket
from pathlib import Path
from typing import Final

import aiohttp_jinja2
import jinja2
from aiohttp import web

from bot.dashboard.api import differences, health, lists, risk, status, venues
from bot.dashboard.live import add_live_page, events
from bot.dashboard.middleware import add_headers, answer_errors, require_login, require_same_origin
from bot.dashboard.parts import PARTS, DashboardParts
from bot.dashboard.passwords import LOGIN_DESK, LoginDesk
from bot.dashboard.sessions import SESSIONS, Sessions
from bot.dashboard.views import home, kill, login, signal, text

__all__ = ["DashboardParts", "create_app", "serve"]

_HERE: Final = Path(__file__).parent
_MOST_BYTES_IN: Final = 64 * 1024
_SHUTDOWN_S: Final = 2.0

_ROUTES: Final = (
    web.get("/", home.home, name="home"),
    web.get("/signal", signal.signal, name="signal"),
    web.get("/kill", kill.ask, name="kill"),
    web.post("/kill", kill.press),
    web.get("/login", login.show_login, name="login"),
    web.post("/login", login.log_in),
    web.post("/logout", login.log_out),
    web.get("/events", events, allow_head=False),
    web.get("/api/status", status.status),
    web.get("/api/risk", risk.risk),
    web.get("/api/differences", differences.differences),
    web.get("/api/positions", lists.positions),
    web.get("/api/signals", lists.signals),
    web.get("/api/orders", lists.orders),
    web.get("/api/venues/{what}", venues.ask),
    web.get("/health", health.health),
    web.get("/health/deep", health.deep_health),
    web.static("/static", _HERE / "static"),
)


def create_app(parts: DashboardParts) -> web.Application:
    """The application over its parts. Raises ConfigError if the password hash is not one."""
    app = web.Application(
        middlewares=[answer_errors, require_login, require_same_origin], client_max_size=_MOST_BYTES_IN
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
    app.add_routes(_ROUTES)
    app.on_response_prepare.append(add_headers)
    add_live_page(app)
    return app


async def serve(app: web.Application, sock: socket.socket) -> web.AppRunner:
    """Serve on a socket that listens already (it answered /health before this was imported); `cleanup()` ends it.

    There is no access log: a one-time login token would be written into it.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_S)
    await runner.setup()
    await web.SockSite(runner, sock).start()
    return runner
