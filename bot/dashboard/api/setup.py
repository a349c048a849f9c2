"""What an application needs for the API, beside the routes of its operations."""

from aiohttp import web

from bot.config.version import program_version
from bot.dashboard.api.hub import HUB, LiveHub
from bot.dashboard.api.openapi import DOCUMENT, Document
from bot.dashboard.api.pace import PACE_DESK, PaceDesk
from bot.dashboard.api.streams import websocket
from bot.dashboard.api.table import OPERATIONS
from bot.dashboard.parts import DashboardParts
from bot.dashboard.routes import Route, get


def api_routes() -> list[Route]:
    """Every operation, and the WebSocket."""
    return [*(each.route() for each in OPERATIONS), get("/ws", websocket, streams=True, programs=True)]


def add_api(app: web.Application, parts: DashboardParts) -> None:
    """Give the application what its operations ask for."""
    app[PACE_DESK] = PaceDesk(parts.clock)
    app[DOCUMENT] = Document(OPERATIONS, version=program_version())
    app[HUB] = LiveHub(parts)
    app.on_shutdown.append(app[HUB].end)
