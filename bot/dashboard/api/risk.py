"""Limits and exposure, for `botctl risk` and other programs."""

from aiohttp import web

from bot.dashboard.api.encoding import as_json
from bot.dashboard.parts import PARTS


async def risk(request: web.Request) -> web.Response:
    """`RiskReport`: the keys are its field names; decimals are strings."""
    return as_json(await request.app[PARTS].risk())
