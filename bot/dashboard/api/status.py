"""The daemon at a glance, for `botctl status` and other programs."""

from aiohttp import web

from bot.dashboard.api.encoding import as_json
from bot.dashboard.parts import PARTS


async def status(request: web.Request) -> web.Response:
    """`DaemonStatus`: the keys are its field names; equity, balance and all counts are JSON numbers."""
    return as_json(await request.app[PARTS].status(), decimals=float)
