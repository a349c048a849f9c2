"""Finds an order by our id: among the pending ones, behind an open trade, and in all that the venue keeps."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from bot.layer1_data.broker_interface import VenueOrder
from bot.layer1_data.brokers.limiter import Priority
from bot.layer1_data.brokers.oanda import from_oanda, to_oanda
from bot.layer1_data.brokers.oanda.closes import find_close
from bot.layer1_data.brokers.oanda.desk import Desk
from bot.models import ClientOrderId, leg_of

Json = Mapping[str, Any]

# One name may belong to several orders: a moved stop is a new one, a repeated entry was refused. What lives goes first.
_RANK: Final[Mapping[str, int]] = {"PENDING": 3, "FILLED": 2, "TRIGGERED": 2, "CANCELLED": 1}


async def find_order(desk: Desk, names: from_oanda.Names, client_order_id: ClientOrderId) -> VenueOrder | None:
    """The order of that name. None only after the venue's whole list was read to its end."""
    raw = await desk.read_if_any(to_oanda.order_by(f"@{client_order_id}"), Priority.READ, _order)
    if raw is None or raw["state"] == "CANCELLED":
        raw = await _behind_trade(desk, client_order_id) or await _listed(desk, client_order_id) or raw
    if raw is not None:
        return await _whole(desk, names, raw)
    return await _as_close(desk, names, client_order_id)


async def _as_close(desk: Desk, names: from_oanda.Names, client_order_id: ClientOrderId) -> VenueOrder | None:
    """An exit that closed a part of one trade: its order has no name."""
    entry = leg_of(client_order_id, "E0")
    if client_order_id == entry:
        return None
    opening = await _listed(desk, entry)
    number = await find_close(desk, client_order_id, (opening or {}).get("fillingTransactionID"))
    if number is None:
        return None
    raw = await desk.read(to_oanda.order_by(number), Priority.READ, _order)
    return replace(await _whole(desk, names, raw), client_order_id=client_order_id)


async def _behind_trade(desk: Desk, client_order_id: ClientOrderId) -> Json | None:
    """The order that opened the trade of that name: a trade's number is that of the fill that opened it."""
    number = await desk.read_if_any(
        to_oanda.trade_by(f"@{client_order_id}"), Priority.READ, lambda answer: str(answer["trade"]["id"])
    )
    if number is None:
        return None
    fill = await desk.read(to_oanda.transaction(number), Priority.READ, _transaction)
    return await desk.read(to_oanda.order_by(str(fill["orderID"])), Priority.READ, _order)


async def _listed(desk: Desk, client_order_id: ClientOrderId) -> Json | None:
    """Every page is read until an empty one: a list that is cut short is no proof of absence."""
    best: Json | None = None
    before: str | None = None
    while True:
        page = await desk.read(to_oanda.orders_before(before), Priority.READ, _numbered_orders)
        if not page:
            return best
        for number, raw in page:
            if (raw.get("clientExtensions") or {}).get("id") != client_order_id:
                continue
            if best is None or (_rank(raw), number) > (_rank(best), int(best["id"])):
                best = raw
        if best is not None and _rank(best) > _RANK["CANCELLED"]:
            return best
        before = str(min(number for number, _ in page))


async def _whole(desk: Desk, names: from_oanda.Names, raw: Json) -> VenueOrder:
    """With what other places know of it: how much was filled, and the size of the trade that it belongs to."""
    fill = trade = None
    if raw.get("fillingTransactionID"):
        fill = await desk.read(to_oanda.transaction(str(raw["fillingTransactionID"])), Priority.READ, _transaction)
    if raw.get("tradeID"):
        trade = await desk.read(to_oanda.trade_by(str(raw["tradeID"])), Priority.READ, lambda answer: answer["trade"])
    return from_oanda.order(raw, names, trade=trade, fill=fill)


def _rank(raw: Json) -> int:
    return _RANK[raw["state"]]


def _order(answer: Json) -> Json:
    raw: Json = answer["order"]
    if raw["state"] not in _RANK:
        raise ValueError(f"order {raw['id']} is in the unknown state {raw['state']!r}")
    return raw


def _numbered_orders(answer: Json) -> list[tuple[int, Json]]:
    return [(int(each["id"]), _order({"order": each})) for each in answer["orders"]]


def _transaction(answer: Json) -> Json:
    raw: Json = answer["transaction"]
    return raw
