"""Closing one position, and taking one entry back: one page that asks, one that does. Works without scripts."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from aiohttp import web
from yarl import URL

from bot.dashboard.audit import audit
from bot.dashboard.forms import check_form_token, posted
from bot.dashboard.pages import Query
from bot.dashboard.parts import PARTS
from bot.dashboard.sessions import SESSION
from bot.dashboard.views.order_words import may_cancel
from bot.dashboard.views.orders import order_id_of
from bot.dashboard.views.page import render
from bot.dashboard.views.position import position_id_of
from bot.errors import BrokerError
from bot.interfaces import OrderStore
from bot.layer3_execution.trading_desk import Handled, TradingDesk
from bot.models import Order, Position

Thing = TypeVar("Thing", Position, Order)

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Act(Generic[Thing]):
    """What is done to one position or order: how it is read, what is asked before, and who does it."""

    audited: str
    read: Callable[[OrderStore, Query], Awaitable[Thing]]
    question: Callable[[Thing], Question]
    handle: Callable[[TradingDesk, Thing], Awaitable[Handled]]

    async def ask(self, request: web.Request) -> web.Response:
        """What it would do."""
        thing = await self.read(request.app[PARTS].stores.orders, request.query)
        return _page(request, self.question(thing))

    async def do(self, request: web.Request) -> web.Response:
        """Do it, and go to the page of the thing; what keeps it from being done is said where it was asked for."""
        fields, store = await _fields(request), request.app[PARTS].stores.orders
        thing = await self.read(store, fields)
        audit(request, self.audited, f"{self.question(thing).id} {thing.symbol} {fields['reason']}".strip())
        try:
            handled = await self.handle(request.app[PARTS].trading.desk, thing)
        except BrokerError as error:
            return _page(request, self.question(thing), error=str(error), status=409)
        if not handled.done:
            return _page(request, self.question(await self.read(store, fields)), error=handled.says, status=409)
        raise web.HTTPSeeOther(self.question(thing).back)


async def ask_close(request: web.Request) -> web.Response:
    """What closing would do. 404 if there is no such position."""
    return await _CLOSE.ask(request)


async def close(request: web.Request) -> web.Response:
    """Close it. 303 to its page; 403 a form that is not ours, 404 no such position, 409 if something of it is left."""
    return await _CLOSE.do(request)


async def ask_cancel(request: web.Request) -> web.Response:
    """What taking the entry back would do. 404 if there is no such order."""
    return await _CANCEL.ask(request)


async def cancel(request: web.Request) -> web.Response:
    """Take it back. 303 to its page; 403 a form that is not ours, 404 no such order, 409 if it is still there."""
    return await _CANCEL.do(request)


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


_CLOSE: Final[Act[Position]] = Act(
    audited="position closed",
    read=lambda store, query: store.position(position_id_of(query)),
    question=_closing,
    handle=lambda desk, position: desk.close(position.id),
)
_CANCEL: Final[Act[Order]] = Act(
    audited="entry cancelled",
    read=lambda store, query: store.order(order_id_of(query)),
    question=_cancelling,
    handle=lambda desk, order: desk.cancel(order.client_order_id),
)
