"""Requests in IG's words: pure functions, numbers written exactly as the Decimal has them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Final, Literal
from urllib.parse import urlencode

from bot.models import Direction, Side, Timeframe

Value = str | bool | Decimal | None

RESOLUTIONS: Final[Mapping[Timeframe, str]] = {
    Timeframe.M1: "MINUTE",
    Timeframe.M5: "MINUTE_5",
    Timeframe.M15: "MINUTE_15",
    Timeframe.M30: "MINUTE_30",
    Timeframe.H1: "HOUR",
    Timeframe.H4: "HOUR_4",
    Timeframe.D1: "DAY",
}
_PAGE: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request. `deletes`: a POST that stands for a DELETE with a body."""

    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    version: int
    body: Mapping[str, Value] | None = field(default=None, repr=False)
    deletes: bool = False

    @property
    def trades(self) -> bool:
        """It counts against the trading allowance."""
        return self.method != "GET" and "/otc" in self.path


def text_of(body: Mapping[str, Value]) -> str:
    """JSON of a flat object, without a float in between."""
    return "{" + ",".join(f"{json.dumps(key)}:{_literal(value)}" for key, value in body.items()) + "}"


def _literal(value: Value) -> str:
    return format(value, "f") if isinstance(value, Decimal) else json.dumps(value)


# -------------------------------------------------------------------------------------------------------- questions

SESSION: Final = Call(method="GET", path="/session", version=1)
ACCOUNTS: Final = Call(method="GET", path="/accounts", version=1)
POSITIONS: Final = Call(method="GET", path="/positions", version=2)
WORKING_ORDERS: Final = Call(method="GET", path="/workingorders", version=2)
LOG_OUT: Final = Call(method="DELETE", path="/session", version=1)


def log_in(username: str, password: str, *, oauth: bool) -> Call:
    return Call(
        method="POST",
        path="/session",
        version=3 if oauth else 2,
        body={"identifier": username, "password": password},
    )


def refresh(token: str) -> Call:
    return Call(method="POST", path="/session/refresh-token", version=1, body={"refresh_token": token})


def switch(account: str) -> Call:
    return Call(method="PUT", path="/session", version=1, body={"accountId": account, "defaultAccount": False})


def markets(epics: Sequence[str]) -> Call:
    return Call(method="GET", path=f"/markets?{urlencode({'epics': ','.join(epics), 'filter': 'ALL'})}", version=2)


def confirm(reference: str) -> Call:
    return Call(method="GET", path=f"/confirms/{reference}", version=1)


def prices(epic: str, timeframe: Timeframe, points: int) -> Call:
    """The newest points. A range would name instants whose time zone is not documented."""
    asked = {"resolution": RESOLUTIONS[timeframe], "max": str(points), "pageSize": "0"}
    return Call(method="GET", path=f"/prices/{epic}?{urlencode(asked)}", version=3)


def activity(since: datetime, until: datetime) -> Call:
    asked = {
        "from": f"{since:%Y-%m-%dT%H:%M:%S}",
        "to": f"{until:%Y-%m-%dT%H:%M:%S}",
        "detailed": "true",
        "pageSize": str(_PAGE),
    }
    return Call(method="GET", path=f"/history/activity?{urlencode(asked)}", version=3)


def next_page(path: str) -> Call:
    return Call(method="GET", path=path, version=3)


# ----------------------------------------------------------------------------------------------------------- orders


@dataclass(frozen=True, slots=True, kw_only=True)
class Deal:
    """What an order is about, in the venue's numbers."""

    reference: str
    epic: str
    expiry: str
    currency: str
    side: Side
    size: Decimal
    stop: Decimal


def _common(deal: Deal) -> dict[str, Value]:
    return {
        "epic": deal.epic,
        "expiry": deal.expiry,
        "direction": deal.side.value.upper(),
        "size": deal.size,
        "currencyCode": deal.currency,
        "forceOpen": True,
        "guaranteedStop": False,
        "stopLevel": deal.stop,
        "dealReference": deal.reference,
    }


def open_position(deal: Deal, worst: Decimal) -> Call:
    """At the level of now, or up to `worst`; all of it or nothing."""
    body = _common(deal) | {"orderType": "LIMIT", "level": worst}
    body |= {"timeInForce": "FILL_OR_KILL", "trailingStop": False}
    return Call(method="POST", path="/positions/otc", version=2, body=body)


def rest_limit(deal: Deal, level: Decimal) -> Call:
    body = {**_common(deal), "type": "LIMIT", "level": level, "timeInForce": "GOOD_TILL_CANCELLED"}
    return Call(method="POST", path="/workingorders/otc", version=2, body=body)


def close_position(deal_id: str, direction: Direction, size: Decimal) -> Call:
    """At market. It takes no reference of ours."""
    body: dict[str, Value] = {
        "dealId": deal_id,
        "direction": Side.closing(direction).value.upper(),
        "size": size,
        "orderType": "MARKET",
        "timeInForce": "FILL_OR_KILL",
    }
    return Call(method="POST", path="/positions/otc", version=1, body=body, deletes=True)


def set_stop(deal_id: str, stop: Decimal | None, limit: Decimal | None) -> Call:
    """Both levels are always said: what becomes of one that is left out is not documented."""
    body: dict[str, Value] = {
        "stopLevel": stop,
        "limitLevel": limit,
        "guaranteedStop": False,
        "trailingStop": False,
    }
    return Call(method="PUT", path=f"/positions/otc/{deal_id}", version=2, body=body)


def cancel_working(deal_id: str) -> Call:
    return Call(method="POST", path=f"/workingorders/otc/{deal_id}", version=2, body={}, deletes=True)
