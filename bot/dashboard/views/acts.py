"""Closing one position, and taking one entry back: one page that asks, one that does. Works without scripts."""

from dataclasses import dataclass
from typing import Final

from aiohttp import web
from yarl import URL

from bot.dashboard.audit import audit
from bot.dashboard.forms import check_form_token, posted
from bot.dashboard.parts import PARTS
from bot.dashboard.sessions import SESSION
from bot.dashboard.views.order_words import may_cancel
from bot.dashboard.views.orders import order_id_of
from bot.dashboard.views.page import render
from bot.dashboard.views.position import position_id_of
from bot.errors import BrokerError
from bot.models import Order, Position

_REASON_LENGTH: Final = 200
_NOT_OPEN: Final = "Nothing of it is open, so there is nothing to close."
_NOT_WAITING: Final = "It is no entry that still waits, so there is nothing to take back."


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a person is asked before an act. Without `button` there is nothing to do any more, and `error` says why."""

    action: str
    id: str
    back: str
    title: str
    words: str
    button: str
    error: str = ""


async def ask_close(request: web.Request) -> web.Response:
    """What closing would do. 404 if there is no such position."""
    position = await request.app[PARTS].stores.orders.position(position_id_of(request.query))
    return _page(request, _closing(position))


async def close(request: web.Request) -> web.Response:
    """Close it. 303 to its page; 403 a form that is not ours, 404 no such position, 409 if something of it is left."""
    fields = await _fields(request)
    position = await request.app[PARTS].stores.orders.position(position_id_of(fields))
    audit(request, "position closed", f"{position.id} {position.symbol} {fields['reason']}".strip())
    try:
        handled = await request.app[PARTS].trading.desk.close(position.id)
    except BrokerError as error:
        return _page(request, _closing(position), error=str(error), status=409)
    if not handled.done:
        now = await request.app[PARTS].stores.orders.position(position.id)
        return _page(request, _closing(now), error=handled.says, status=409)
    raise web.HTTPSeeOther(_closing(position).back)


async def ask_cancel(request: web.Request) -> web.Response:
    """What taking the entry back would do. 404 if there is no such order."""
    order = await request.app[PARTS].stores.orders.order(order_id_of(request.query))
    return _page(request, _cancelling(order))


async def cancel(request: web.Request) -> web.Response:
    """Take it back. 303 to its page; 403 a form that is not ours, 404 no such order, 409 if it is still there."""
    fields = await _fields(request)
    order = await request.app[PARTS].stores.orders.order(order_id_of(fields))
    audit(request, "entry cancelled", f"{order.client_order_id} {order.symbol} {fields['reason']}".strip())
    try:
        handled = await request.app[PARTS].trading.desk.cancel(order.client_order_id)
    except BrokerError as error:
        return _page(request, _cancelling(order), error=str(error), status=409)
    if not handled.done:
        now = await request.app[PARTS].stores.orders.order(order.client_order_id)
        return _page(request, _cancelling(now), error=handled.says, status=409)
    raise web.HTTPSeeOther(_cancelling(order).back)


def _closing(position: Position) -> Question:
    what = f"{position.symbol} {position.direction.value}"
    return Question(
        action="/position/close",
        id=position.id,
        back=str(URL("/position").with_query(id=position.id)),
        title=f"Close {what}",
        words=f"{position.quantity:f} of {what} at {position.broker_id} is closed at market, whatever the price is by "
        "then. The order can only make the position smaller. Its stop stays at the venue until nothing is left.",
        button="Yes, close it" if position.is_open else "",
        error="" if position.is_open else _NOT_OPEN,
    )


def _cancelling(order: Order) -> Question:
    return Question(
        action="/order/cancel",
        id=order.client_order_id,
        back=str(URL("/order").with_query(id=order.client_order_id)),
        title=f"Cancel the entry of {order.symbol}",
        words=f"The venue {order.broker_id} is asked to take back the {order.side.value} of {order.quantity:f} "
        f"{order.symbol}. A fill can still come first; what was filled stays open, with its stop.",
        button="Yes, cancel it" if may_cancel(order) else "",
        error="" if may_cancel(order) else _NOT_WAITING,
    )


async def _fields(request: web.Request) -> dict[str, str]:
    form = await posted(request)
    check_form_token(str(form.get("csrf", "")), request[SESSION].csrf_token)
    return {"id": str(form.get("id", "")), "reason": str(form.get("reason", "")).strip()[:_REASON_LENGTH]}


def _page(request: web.Request, asked: Question, *, error: str = "", status: int = 200) -> web.Response:
    return render(request, "ask.html", {"asked": asked, "error": error or asked.error}, status=status)
