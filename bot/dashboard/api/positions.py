"""Positions: open, waiting, closed, one of them, and closing one."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from decimal import Decimal
from typing import Final

from bot.dashboard.api.fields import ABroker, AStrategy, ASymbol, Moment, Name, Older, Rows, Why
from bot.dashboard.api.operations import Asked, Call
from bot.dashboard.api.pages import Page, page_of
from bot.dashboard.api.problems import Problem
from bot.dashboard.audit import audit
from bot.dashboard.position_states import state_in
from bot.layer3_execution.position_state import PositionState
from bot.layer3_execution.trading_desk import Handled
from bot.models import Direction, Fill, JournalEntry, Order, Position, PositionId
from bot.reports import Before, TradeFilter, TradeResult

_ENTRIES: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionFigures(Position):
    """A position with what follows from its marks. Money in account currency."""

    # Properties of the position, here as fields; `field()` keeps the property from becoming the default.
    is_pending: bool = field()
    is_open: bool = field()
    open_result: Decimal = field()
    net: Decimal = field()
    r_multiple: float = field()

    @classmethod
    def of(cls, position: Position) -> "PositionFigures":
        """The figures of `position`."""
        return cls(**{each.name: getattr(position, each.name) for each in fields(cls)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Positions:
    """`open` with those whose entry is not filled yet, oldest first, and `closed`, newest first."""

    open: Sequence[PositionFigures]
    closed: Sequence[PositionFigures]


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionStory:
    """One position with all that became of it. `state` follows from its orders, the newest comparison and the kill
    switch; `journal` has what names it, newest first."""

    position: PositionFigures
    state: PositionState
    orders: Sequence[Order]
    fills: Sequence[Fill]
    journal: Sequence[JournalEntry]


class OnePosition(Asked):
    """Which position; `/` in an id is written `%2F`."""

    id: Name


class TradesAsked(Older):
    """Which closed positions."""

    symbol: ASymbol | None = None
    broker: ABroker | None = None
    strategy: AStrategy | None = None
    direction: Direction | None = None
    result: TradeResult | None = None
    since: Moment | None = None
    until: Moment | None = None


async def positions(call: Call, asked: Rows) -> Positions:
    """What is open or waits for its entry, and the newest that closed."""
    store = call.parts.stores.orders
    closed = await store.closed_positions(asked.limit)
    opened = await store.open_positions()
    return Positions(open=[*map(PositionFigures.of, opened)], closed=[*map(PositionFigures.of, closed)])


async def position(call: Call, asked: OnePosition) -> PositionStory:
    """One position with its orders, its fills and what the journal says of it."""
    store, name = call.parts.stores.orders, PositionId(asked.id)
    found, orders = await store.position(name), await store.orders_of(name)
    ids = [each.client_order_id for each in orders]
    return PositionStory(
        position=PositionFigures.of(found),
        state=state_in(call.parts, found, orders),
        orders=orders,
        fills=await store.fills_of(name),
        journal=await call.parts.stores.journal.about(name, ids, _ENTRIES),
    )


async def trades(call: Call, asked: TradesAsked) -> Page[PositionFigures]:
    """Closed positions by filter, newest first. `since` and `until` are of the close."""
    chosen = TradeFilter(
        symbol=asked.symbol,
        broker_id=asked.broker,
        strategy=asked.strategy,
        direction=asked.direction,
        result=asked.result,
        since=asked.since,
        until=asked.until,
    )
    found = await call.parts.stores.reports.trades(chosen, limit=asked.limit, before=asked.before)
    return page_of([*map(PositionFigures.of, found)], asked, _place)


async def close(call: Call, asked: OnePosition, body: Why) -> Handled:
    """Close one position at market, reduce-only.

    Its stop stays until it is flat. One that is closed already stays so: asking twice is asking once. 409 while
    something of it is left; the answer says what its close is waiting for.
    """
    audit(call.request, "position closed", f"{asked.id} {body.reason}".strip())
    handled = await call.parts.trading.desk.close(PositionId(asked.id))
    if not handled.done:
        raise Problem(409, handled.says)
    return handled


def _place(row: PositionFigures) -> Before:
    if row.closed_at is None:
        raise AssertionError(f"position {row.id} is in the list of closed ones and is not closed")
    closed_at: datetime = row.closed_at
    return Before(at=closed_at, id=row.id)
