"""Orders of every state by filter and page, and one order with all that happened to it."""

from typing import Final

from bot.dashboard.pages import Context, Page, Query, Section
from bot.dashboard.parts import DashboardParts
from bot.dashboard.views.asked import chosen, older, place, with_choice
from bot.dashboard.views.order_words import LIVE, STATE_WORDS, TROUBLED, OrderStory, may_cancel
from bot.errors import UsageError
from bot.instruments import BrokerId, Symbol
from bot.models import ClientOrderId, OrderRole, OrderState
from bot.reports import OrderFilter

_PATH: Final = "/orders"
_PAGE_SIZE: Final = 50
_LIVE: Final = "live"


async def order_states(parts: DashboardParts, query: Query) -> Context:
    """How many orders are in which state."""
    counts = await parts.stores.orders.order_counts()
    shown = [(each, counts[each]) for each in OrderState if counts.get(each)]
    return {
        "counts": shown,
        "live": sum(count for state, count in shown if state in LIVE),
        "unknown": counts.get(OrderState.UNKNOWN, 0),
        "unknown_words": STATE_WORDS[OrderState.UNKNOWN],
    }


async def order_list(parts: DashboardParts, query: Query) -> Context:
    """One page of orders, newest first."""
    found = await parts.stores.orders.find_orders(_filter_of(query), limit=_PAGE_SIZE + 1, before=place(query))
    rows = found[:_PAGE_SIZE]
    return {
        "rows": rows,
        "troubled": TROUBLED,
        "filtered": bool(with_choice(query)),
        "older": older(query, rows[-1].created_at, rows[-1].client_order_id) if len(found) > len(rows) else "",
        "newest": f"{_PATH}?{with_choice(query)}" if "before" in query else "",
    }


async def choices(parts: DashboardParts, query: Query) -> Context:
    """What the filter offers."""
    return {
        "states": (_LIVE, *OrderState),
        "symbols": sorted({each.symbol for each in parts.registry}),
        "brokers": sorted({each.broker_id for each in parts.registry}),
        "roles": tuple(OrderRole),
    }


async def order(parts: DashboardParts, query: Query) -> Context:
    """One order: what it is, where it stands, what happened. Raises NotFound, or UsageError without an id."""
    found = await parts.stores.orders.order(order_id_of(query))
    events = await parts.stores.orders.order_events(found.client_order_id)
    fills = await parts.stores.orders.fills_of(found.position_id)
    return {
        "story": OrderStory(order=found, events=events),
        "words": STATE_WORDS[found.state],
        "troubled": found.state in TROUBLED,
        "can_cancel": may_cancel(found),
        "fills": [each for each in fills if each.client_order_id == found.client_order_id],
    }


async def head(parts: DashboardParts, query: Query) -> Context:
    """What its heading names."""
    return {"order": await parts.stores.orders.order(order_id_of(query))}


def order_id_of(query: Query) -> ClientOrderId:
    """The order that the address names. Raises UsageError if it names none."""
    if not query.get("id") or "\0" in query["id"]:
        raise UsageError("an order page needs ?id=, the client order id")
    return ClientOrderId(query["id"])


def _filter_of(query: Query) -> OrderFilter:
    return OrderFilter(
        states=chosen(query, "state", _states_of) or frozenset(),
        symbol=chosen(query, "symbol", Symbol),
        broker_id=chosen(query, "broker", BrokerId),
        role=chosen(query, "role", OrderRole),
    )


def _states_of(word: str) -> frozenset[OrderState]:
    return LIVE if word == _LIVE else frozenset({OrderState(word)})


ORDERS: Final = Page(
    name="orders",
    path=_PATH,
    title="Orders",
    query=("state", "symbol", "broker", "role", "before"),
    sections=(
        Section(name="order_states", load=order_states),
        Section(name="order_list", load=order_list),
    ),
    load=choices,
)
ORDER: Final = Page(
    name="order",
    path="/order",
    title="Order",
    query=("id",),
    sections=(Section(name="order", load=order),),
    in_menu=False,
    load=head,
)
