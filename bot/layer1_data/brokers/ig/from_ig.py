"""Answers in our words: pure functions. What lacks a field raises, and says nothing about an order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from bot.layer1_data.brokers.ig.errors import REASONS, Fate
from bot.layer1_data.brokers.ig.market import number
from bot.models import ORDER_ID_PREFIX, ClientOrderId, Direction, OrderAck, OrderState


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirm:
    """What became of one deal."""

    fate: Fate
    reason: str
    deal_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenDeal:
    """A row of `GET /positions`, in the venue's units."""

    deal_id: str
    reference: str
    epic: str
    direction: Direction
    size: Decimal
    level: Decimal
    stop: Decimal | None
    limit: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resting:
    """A row of `GET /workingorders`, in the venue's units. It does not say by what reference it was placed."""

    deal_id: str
    epic: str
    is_buy: bool
    size: Decimal
    level: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One action of an activity on one deal, in the venue's units. `origin`: the resting order that it filled."""

    key: str
    at: datetime
    action: str
    affected: str
    origin: str
    reference: str
    channel: str
    accepted: bool
    epic: str
    is_buy: bool
    size: Decimal
    level: Decimal


def is_ours(name: str) -> bool:
    """It was named by us."""
    return name.startswith(ORDER_ID_PREFIX)


def rejection(name: ClientOrderId, reason: str) -> OrderAck:
    """A no."""
    return OrderAck(client_order_id=name, state=OrderState.REJECTED, venue_order_id=None, reason=reason)


def confirm(data: Mapping[str, Any], reference: str) -> Confirm:
    """A reason that is not documented may mean anything."""
    if data["dealReference"] != reference:
        raise ValueError(f"the confirm is for {data['dealReference']!r}, not {reference}")
    reason = str(data["reason"])
    if data["dealStatus"] == "ACCEPTED":
        return Confirm(fate=Fate.ACK, reason=reason, deal_id=str(data["dealId"]))
    if data["dealStatus"] != "REJECTED":
        raise ValueError(f"dealStatus {data['dealStatus']!r} is not known")
    fate = REASONS.get(reason, Fate.AMBIGUOUS)
    return Confirm(fate=Fate.AMBIGUOUS if fate is Fate.ACK else fate, reason=reason, deal_id=str(data["dealId"]))


def open_deals(data: Mapping[str, Any]) -> list[OpenDeal]:
    """Open positions, one for each deal. Raises KeyError for an answer of another shape. Source: GET /positions v2."""
    return [
        OpenDeal(
            deal_id=str(each["position"]["dealId"]),
            reference=str(each["position"].get("dealReference") or ""),
            epic=str(each["market"]["epic"]),
            direction=_direction(each["position"]["direction"]),
            size=number(each["position"]["size"]),
            level=number(each["position"]["level"]),
            stop=_optional(each["position"]["stopLevel"]),
            limit=_optional(each["position"]["limitLevel"]),
        )
        for each in data["positions"]
    ]


def resting(data: Mapping[str, Any]) -> list[Resting]:
    return [
        Resting(
            deal_id=str(each["dealId"]),
            epic=str(each["epic"]),
            is_buy=_direction(each["direction"]) is Direction.LONG,
            size=number(each["orderSize"]),
            level=number(each["orderLevel"]),
        )
        for each in (row["workingOrderData"] for row in data["workingOrders"])
    ]


def events(rows: Sequence[Mapping[str, Any]]) -> list[Event]:
    """Oldest first; the venue tells the newest first. What has no level (an amended stop) is not a deal."""
    found = []
    for row in reversed(rows):
        details = row.get("details") or {}
        actions = details.get("actions") or ()
        filled = [str(each["affectedDealId"]) for each in actions if str(each["actionType"]).endswith("_FILLED")]
        reference = str(details.get("dealReference") or "")
        for action in actions:
            if details.get("size") is None or details.get("level") is None:
                continue
            found.append(
                Event(
                    # A close may bear the deal of its position, and instants are whole seconds: two would be one.
                    key=":".join(
                        (row["dealId"], action["actionType"], row["date"], action["affectedDealId"], reference)
                    ),
                    at=datetime.fromisoformat(row["date"]).replace(tzinfo=UTC),
                    action=str(action["actionType"]),
                    affected=str(action["affectedDealId"]),
                    origin=filled[0] if filled else "",
                    reference=reference,
                    channel=str(row["channel"]),
                    accepted=row["status"] == "ACCEPTED",
                    epic=str(row["epic"]),
                    is_buy=_direction(details["direction"]) is Direction.LONG,
                    size=number(details["size"]),
                    level=number(details["level"]),
                )
            )
    return found


def _direction(word: object) -> Direction:
    return {"BUY": Direction.LONG, "SELL": Direction.SHORT}[str(word)]


def _optional(level: object) -> Decimal | None:
    return None if level is None else number(level)
