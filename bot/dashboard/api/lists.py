"""Positions, signals and orders as lists. `?limit=` takes 1 to 500; decimals are strings."""

from dataclasses import asdict

from aiohttp import web

from bot.dashboard.api.encoding import as_json
from bot.dashboard.parts import PARTS
from bot.errors import UsageError
from bot.models import Position

_DEFAULT = 100
_MOST = 500


async def positions(request: web.Request) -> web.Response:
    """`open` with those whose entry is not filled yet, oldest first, and `closed`, newest first."""
    store = request.app[PARTS].stores.orders
    closed = await store.closed_positions(_limit(request))
    return as_json(
        {
            "open": [_position(each) for each in await store.open_positions()],
            "closed": [_position(each) for each in closed],
        }
    )


async def signals(request: web.Request) -> web.Response:
    """Judged signals with every finding, newest first."""
    return as_json(await request.app[PARTS].stores.signals.recent(_limit(request)))


async def orders(request: web.Request) -> web.Response:
    """Orders, newest first."""
    return as_json(await request.app[PARTS].stores.orders.recent_orders(_limit(request)))


def _position(position: Position) -> dict[str, object]:
    worked_out = {
        "is_pending": position.is_pending,
        "is_open": position.is_open,
        "open_result": position.open_result,
        "net": position.net,
        "r_multiple": position.r_multiple,
    }
    return {**asdict(position), **worked_out}


def _limit(request: web.Request) -> int:
    text = request.query.get("limit", str(_DEFAULT))
    if not (text.isascii() and text.isdigit() and len(text) < 5 and 1 <= int(text) <= _MOST):
        raise UsageError(f"limit {text!r} must be a whole number from 1 to {_MOST}")
    return int(text)
