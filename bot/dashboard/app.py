"""The web application: its routes, what holds for all of them, and how it is served."""

import socket
from pathlib import Path
from typing import Final

import aiohttp_jinja2
import jinja2
from aiohttp import web

from bot.access import Scope
from bot.dashboard.access_parts import add_access
from bot.dashboard.api import health, metrics
from bot.dashboard.api.setup import add_api, api_routes
from bot.dashboard.audit import audit_acts
from bot.dashboard.listening import BoundedSite
from bot.dashboard.live_streams import add_live_pages, events
from bot.dashboard.middleware import (
    add_headers,
    answer_errors,
    compress_text,
    recognise,
    require_access,
    require_same_origin,
)
from bot.dashboard.pages import PAGES
from bot.dashboard.parts import PARTS, DashboardParts
from bot.dashboard.pressing import PRESSES, Presses
from bot.dashboard.routes import add_routes, get, post
from bot.dashboard.turns import TURNS, Turns, take_turns
from bot.dashboard.views import acts, kill, login, text
from bot.dashboard.views.account import ACCOUNT_ROUTES
from bot.dashboard.views.alerts_page import ALERTS, acknowledge
from bot.dashboard.views.audit import AUDIT_ROUTES
from bot.dashboard.views.config_page import CONFIG
from bot.dashboard.views.health_page import HEALTH
from bot.dashboard.views.home import HOME
from bot.dashboard.views.log import LOG
from bot.dashboard.views.orders import ORDER, ORDERS
from bot.dashboard.views.page import MENU, MenuEntry
from bot.dashboard.views.performance import PERFORMANCE
from bot.dashboard.views.position import POSITION
from bot.dashboard.views.positions import POSITIONS
from bot.dashboard.views.risk import RISK
from bot.dashboard.views.signal import SIGNAL
from bot.dashboard.views.signals import SIGNALS
from bot.dashboard.views.tasks import TASKS, run
from bot.dashboard.views.users import USERS_ROUTES
from bot.dashboard.vigil import VIGIL, Vigil

__all__ = ["DashboardParts", "create_app", "serve"]

_HERE: Final = Path(__file__).parent
_MOST_BYTES_IN: Final = 64 * 1024
_SHUTDOWN_S: Final = 2.0

# In the order of the menu.
_PAGES: Final = (
    HOME,
    POSITIONS,
    POSITION,
    ORDERS,
    ORDER,
    SIGNALS,
    SIGNAL,
    PERFORMANCE,
    RISK,
    TASKS,
    HEALTH,
    ALERTS,
    LOG,
    CONFIG,
)
_MORE_MENU: Final = (
    MenuEntry(path="/users", title="Users", needs=Scope.ADMIN),
    MenuEntry(path="/audit", title="Audit", needs=Scope.ADMIN),
    MenuEntry(path="/account", title="Account", needs=Scope.READ),
)
_ROUTES: Final = (
    get("/kill", kill.ask, needs=Scope.KILL, name="kill", is_urgent=True),
    post("/kill", kill.press, needs=Scope.KILL, programs=True),
    get("/position/close", acts.ask_close, needs=Scope.TRADE),
    post("/position/close", acts.close, needs=Scope.TRADE),
    get("/order/cancel", acts.ask_cancel, needs=Scope.TRADE),
    post("/order/cancel", acts.cancel, needs=Scope.TRADE),
    get("/login", login.show_login, needs=None, name="login"),
    post("/login", login.log_in, needs=None),
    post("/alerts/ack", acknowledge, needs=Scope.TRADE),
    post("/tasks/run", run, needs=Scope.TRADE),
    post("/logout", login.log_out, needs=Scope.READ),
    get("/step-up", login.show_step_up),
    post("/step-up", login.step_up, needs=Scope.READ),
    *ACCOUNT_ROUTES,
    *USERS_ROUTES,
    *AUDIT_ROUTES,
    get("/events", events, streams=True),
    get("/health", health.health, needs=None),
    get("/health/deep", health.deep_health, is_urgent=True),
    get("/ready", health.ready, needs=None),
    get("/metrics", metrics.metrics),
)


def create_app(parts: DashboardParts) -> web.Application:
    """The application over its parts."""
    app = web.Application(
        middlewares=[
            compress_text,
            answer_errors,
            recognise,
            audit_acts,
            require_access,
            require_same_origin,
            take_turns,
        ],
        client_max_size=_MOST_BYTES_IN,
    )
    app[PARTS] = parts
    add_access(app, parts)
    app[TURNS] = Turns()
    app[PRESSES] = Presses(parts.kill)
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
    app[MENU] = [
        *(MenuEntry(path=each.path, title=each.title, needs=each.needs) for each in _PAGES if each.in_menu),
        *_MORE_MENU,
    ]
    add_routes(app, [*(each.route() for each in _PAGES), *_ROUTES, *api_routes()])
    app.router.add_static("/static", _HERE / "static")
    app.on_response_prepare.append(add_headers)
    app[VIGIL] = Vigil(parts.clock)
    add_live_pages(app)
    add_api(app, parts)
    return app


async def serve(app: web.Application, sock: socket.socket) -> web.AppRunner:
    """Serve on a socket that listens already (it answered /health before this was imported); `cleanup()` ends it.

    There is no access log: a one-time login token would be written into it.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_S)
    await runner.setup()
    await BoundedSite(runner, sock).start()
    return runner
