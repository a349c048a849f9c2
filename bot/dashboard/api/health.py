"""Is it alive, may it be relied on, and is everything well that it depends on."""

from aiohttp import web

from bot.dashboard.api.encoding import as_json
from bot.dashboard.parts import PARTS


async def health(request: web.Request) -> web.Response:
    """Alive: the event loop answers. No I/O; 200 also while a venue is down: a deploy that repairs it needs that."""
    return as_json(request.app[PARTS].health())


async def ready(request: web.Request) -> web.Response:
    """Started, compared with every venue once, and not stopping: 200, else 503 with the reason. No I/O."""
    reason = request.app[PARTS].ready()
    return as_json({"ready": not reason, "reason": reason}, status=503 if reason else 200)


async def deep_health(request: web.Request) -> web.Response:
    """Everything it depends on, with the next step where something is not well. 503 only where a check failed."""
    report = await request.app[PARTS].checkup.look()
    return as_json(report, status=503 if report.status == "fail" else 200)
