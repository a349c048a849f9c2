"""What the venues themselves say, asked now: quotes, candles, orders, positions, accounts."""

from aiohttp import web

from bot.dashboard.api.encoding import as_json
from bot.dashboard.parts import PARTS
from bot.errors import UsageError


async def ask(request: web.Request) -> web.Response:
    """`{"rows": [...], "errors": {broker: its words}}`; 400 for a name that is not known."""
    desk, query = request.app[PARTS].venues, request.query
    broker = query.get("broker") or None
    match request.match_info["what"]:
        case "orders":
            answer = await desk.orders(broker)
        case "positions":
            answer = await desk.positions(broker)
        case "account":
            answer = await desk.accounts(broker)
        case "quote":
            answer = await desk.quotes(query.getall("symbol", []), broker)
        case "candles":
            answer = await desk.candles(
                query.get("symbol", ""), query.get("timeframe", "1h"), _number(query.get("last", "500")), broker
            )
        case _:
            raise web.HTTPNotFound
    return as_json(answer)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 7):
        raise UsageError(f"last {text[:20]!r} must be a whole number")
    return int(text)
