"""Our record against the venues, for `botctl reconcile` and other programs. Read-only: answers are given there."""

from aiohttp import web

from bot.dashboard.api.encoding import as_json
from bot.dashboard.parts import PARTS


async def differences(request: web.Request) -> web.Response:
    """`brokers`: one `Reconciliation` each, as compared last; decimals are strings."""
    return as_json({"brokers": list(request.app[PARTS].reconciliations())})
