"""Finds an order by our id: among the pending ones, behind an open trade, in all that the venue keeps, and among the
orders by which the venue closed a trade for us, which bear no id."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from bot.layer1_data.broker_interface import FOREIGN, VenueOrder
from bot.layer1_data.brokers.limiter import Priority
from bot.layer1_data.brokers.oanda import from_oanda, to_oanda
from bot.layer1_data.brokers.oanda.closes import find_close
from bot.layer1_data.brokers.oanda.desk import Desk
from bot.models import ClientOrderId, entry_of

Json = Mapping[str, Any]

# One name may belong to several orders: a moved stop is a new one, a repeated entry was refused. What lives goes first.
_RANK: Final[Mapping[str, int]] = {"PENDING": 3, "FILLED": 2, "TRIGGERED": 2, "CANCELLED": 1}


async def find_order(desk: Desk, names: from_oanda.Names, client_order_id: ClientOrderId) -> VenueOrder | None:
    """The order of that name. None only after all was read in which it could be."""
    number = next((number for number, name in desk.closes.items() if name == client_order_id), None)
    if number is None:
        raw, opened = await _named(desk, client_order_id)
        if raw is not None:
            return await _whole(desk, names, raw)
        if client_order_id == entry_of(client_order_id):
            return None
        number = await find_close(desk, client_order_id, opened)
    if number is None:
        return None
    raw = await desk.read(to_oanda.order_by(number), Priority.READ, _order)
    return replace(await _whole(desk, names, raw), client_order_id=client_order_id)


async def _named(desk: Desk, client_order_id: ClientOrderId) -> tuple[Json | None, str | None]:
    """The order that bears the name; if none does, the transaction that opened its trade, where one is found."""
    raw = await desk.read_if_any(to_oanda.order_by(f"@{client_order_id}"), Priority.READ, _order)
    if raw is not None and raw["state"] != "CANCELLED":
        return raw, None
    if behind := await _behind_trade(desk, client_order_id):
        return behind, None
    listed, opened = await _listed(desk, client_order_id)
    return listed or raw, opened


async def _behind_trade(desk: Desk, client_order_id: ClientOrderId) -> Json | None:
    """The order that opened the trade of that name: a trade's number is that of the fill that opened it."""
    number = await desk.read_if_any(
        to_oanda.trade_by(f"@{client_order_id}"), Priority.READ, lambda answer: str(answer["trade"]["id"])
    )
    if number is None:
        return None
    fill = await desk.read(to_oanda.transaction(number), Priority.READ, _transaction)
    return await desk.read(to_oanda.order_by(str(fill["orderID"])), Priority.READ, _order)


async def _listed(desk: Desk, client_order_id: ClientOrderId) -> tuple[Json | None, str | None]:
    """The order of that name, and the transaction that opened the trade to which it belongs.

    Pages go back in time, and whatever belongs to a trade is younger than its opening. Where none is found every page
    is read until an empty one: a list that is cut short is no proof of absence.
    """
    best: Json | None = None
    opened: str | None = None
    before: str | None = None
    while opened is None and (page := await desk.read(to_oanda.orders_before(before), Priority.READ, _numbered_orders)):
        for number, raw in page:
            if _opens(raw, entry_of(client_order_id)):
                opened = str(raw["fillingTransactionID"])
            if (raw.get("clientExtensions") or {}).get("id") != client_order_id:
                continue
            if best is None or (_rank(raw), number) > (_rank(best), int(best["id"])):
                best = raw
        if best is not None and _rank(best) > _RANK["CANCELLED"]:
            break
        before = str(min(number for number, _ in page))
    return best, opened


def _opens(raw: Json, entry_order_id: ClientOrderId) -> bool:
    """It opened the trade of that entry. Somebody else's trade that we manage is named after its number."""
    number = raw.get("fillingTransactionID")
    name = (raw.get("clientExtensions") or {}).get("id")
    return number is not None and entry_order_id in (name, entry_of(ClientOrderId(f"{FOREIGN}{number}")))


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
