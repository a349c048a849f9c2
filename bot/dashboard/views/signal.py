"""Why, and why not: one signal with every rule's answer and what followed."""

from collections.abc import Sequence

from aiohttp import web

from bot.dashboard.parts import PARTS
from bot.dashboard.views.page import render
from bot.dashboard.views.rows import finding_verdict, first_failure, outcome_words, verdict_of
from bot.errors import NotFound, UsageError
from bot.interfaces import Stores
from bot.models import Order, Outcome, Position, SignalId

_LOOK_BACK = (
    500  # the stores have no question "of this signal"; beyond these rows the page says that it looked no further
)


async def signal(request: web.Request) -> web.Response:
    """One signal by `id`. 400 without an id, 404 if there is none of it."""
    parts = request.app[PARTS]
    signal_id = SignalId(request.query.get("id", ""))
    if not signal_id:
        raise UsageError("a signal page needs ?id=")
    record = await parts.stores.signals.get(signal_id)
    orders = await _orders_of(parts.stores, signal_id)
    opinion = await parts.stores.opinions.of_candle(record.signal.task_id, record.signal.candle_closed_at)
    gate = await parts.stores.opinions.gate(opinion.model) if opinion else None
    return render(
        request,
        "signal.html",
        {
            "status": await parts.status(),
            "record": record,
            "signal": record.signal,
            "verdict": verdict_of(record.status),
            "failed": first_failure(record),
            "findings": [(each, finding_verdict(each)) for each in record.findings],
            "opinion": opinion,
            "gate": gate,
            "orders": orders,
            "position": await _position_of(parts.stores, orders),
            "outcome": await _outcome_of(parts.stores, signal_id),
            "outcome_words": outcome_words,
            "look_back": _LOOK_BACK,
        },
    )


async def _orders_of(stores: Stores, signal_id: SignalId) -> Sequence[Order]:
    recent = await stores.orders.recent_orders(_LOOK_BACK)
    entry = next((each for each in recent if each.signal_id == signal_id), None)
    return await stores.orders.orders_of(entry.position_id) if entry else ()


async def _position_of(stores: Stores, orders: Sequence[Order]) -> Position | None:
    if not orders:
        return None
    try:
        return await stores.orders.position(orders[0].position_id)
    except NotFound:
        return None


async def _outcome_of(stores: Stores, signal_id: SignalId) -> Outcome | None:
    recent = await stores.outcomes.recent(_LOOK_BACK)
    return next((each for each in recent if each.signal_id == signal_id), None)
