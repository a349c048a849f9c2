"""Orders of our record: a list by filter, one with its events, and taking entries back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import Field

from bot.dashboard.api.fields import ABroker, ASymbol, Name, Older, Reason, Why
from bot.dashboard.api.operations import Asked, Body, Call
from bot.dashboard.api.pages import Page, page_of
from bot.dashboard.api.problems import Problem
from bot.dashboard.audit import audit
from bot.layer3_execution.trading_desk import Handled
from bot.models import ClientOrderId, Fill, Order, OrderRole, OrderState
from bot.reports import Before, OrderFilter


class OrdersAsked(Older):
    """Which orders; several states are given by naming `state` several times."""

    state: Annotated[list[OrderState], Field(default_factory=list, max_length=len(OrderState))]
    symbol: ASymbol | None = None
    broker: ABroker | None = None
    role: OrderRole | None = None


class OneOrder(Asked):
    """Which order, by our id of it."""

    id: Name


class AllEntries(Body):
    """Which entries to take back, and why."""

    broker: ABroker | None = None
    reason: Reason = ""


class StaleEntries(AllEntries):
    """Those that wait for at least so long."""

    older_than_s: Annotated[int, Field(ge=0, le=31_536_000, description="Seconds of market time.")] = 3_600


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One move of an order; `from_state` is empty for the first."""

    at: datetime
    from_state: str
    to_state: str
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderStory:
    """One order with every move, oldest first, and its own fills."""

    order: Order
    events: Sequence[Event]
    fills: Sequence[Fill]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """What came of each entry that waited. `kept` are protective orders, which are never cancelled by hand."""

    entries: Sequence[Handled]
    kept: int
    says: str


async def orders(call: Call, asked: OrdersAsked) -> Page[Order]:
    """Orders by filter, newest first."""
    chosen = OrderFilter(states=frozenset(asked.state), symbol=asked.symbol, broker_id=asked.broker, role=asked.role)
    found = await call.parts.stores.orders.find_orders(chosen, limit=asked.limit, before=asked.before)
    return page_of(found, asked, lambda row: Before(at=row.created_at, id=row.client_order_id))


async def order(call: Call, asked: OneOrder) -> OrderStory:
    """One order with its events and fills."""
    store, name = call.parts.stores.orders, ClientOrderId(asked.id)
    found = await store.order(name)
    events = [
        Event(at=at, from_state=was, to_state=to, cause=why) for at, was, to, why in await store.order_events(name)
    ]
    fills = [each for each in await store.fills_of(found.position_id) if each.client_order_id == name]
    return OrderStory(order=found, events=events, fills=fills)


async def cancel(call: Call, asked: OneOrder, body: Why) -> Handled:
    """Take one entry back.

    Through our own record, so that it and the venue agree. 409 for one that has filled, and for protective stops and
    exits: those are never cancelled by hand, because a position would be left without them.
    """
    audit(call.request, "order cancelled", f"{asked.id} {body.reason}".strip())
    handled = await call.parts.trading.desk.cancel(ClientOrderId(asked.id))
    if not handled.done:
        raise Problem(409, handled.says)
    return handled


async def cancel_all(call: Call, body: AllEntries) -> Cancelled:
    """Take every entry back that still waits.

    Protective stops and exits stay: `kept` counts them. One that cannot be cancelled is told and keeps no other.
    """
    audit(call.request, "all entries cancelled", f"{body.broker or 'everywhere'} {body.reason}".strip())
    return await _cancelled(call, body, timedelta(0))


async def cancel_stale(call: Call, body: StaleEntries) -> Cancelled:
    """Take entries back that wait for long; otherwise like cancel_all."""
    detail = f"{body.broker or 'everywhere'}, older than {body.older_than_s} s {body.reason}"
    audit(call.request, "stale entries cancelled", detail.strip())
    return await _cancelled(call, body, timedelta(seconds=body.older_than_s))


async def _cancelled(call: Call, body: AllEntries, older_than: timedelta) -> Cancelled:
    handled = await call.parts.trading.desk.cancel_all(body.broker, older_than=older_than)
    kept = [each for each in await call.parts.stores.orders.unfinished_orders() if each.role is not OrderRole.ENTRY]
    done = sum(each.done for each in handled)
    says = f"{done} of {len(handled)} waiting entries are cancelled"
    stay = f"; {len(kept)} protective stops and exits stay: they only make positions smaller" if kept else ""
    return Cancelled(entries=handled, kept=len(kept), says=says + stay)
