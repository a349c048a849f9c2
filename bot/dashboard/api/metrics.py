"""`GET /metrics`: the figures of the daemon for Prometheus. They lie in memory; nobody is asked."""

from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.aiohttp import make_aiohttp_handler

from bot.dashboard.parts import PARTS

_REGISTRY: Final = web.AppKey("metrics_registry", CollectorRegistry)


async def metrics(request: web.Request) -> web.Response:
    """In the text format that the scraper asks for; `?name[]=` gives only those."""
    return await _answered(request, request.app[PARTS].metrics)


def metrics_app(registry: CollectorRegistry) -> web.Application:
    """An application with /metrics and nothing else, open to whoever reaches its port."""
    app = web.Application()
    app[_REGISTRY] = registry
    app.router.add_get("/metrics", _open_metrics)
    return app


async def _open_metrics(request: web.Request) -> web.Response:
    return await _answered(request, request.app[_REGISTRY])


async def _answered(request: web.Request, registry: CollectorRegistry) -> web.Response:
    answer = await make_aiohttp_handler(registry)(request)
    if not isinstance(answer, web.Response):
        raise TypeError(f"the metrics handler gave {type(answer).__name__}, not a response")
    return answer
