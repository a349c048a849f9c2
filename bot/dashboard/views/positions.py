"""Positions: what is open, what waits for its entry, and what has been closed, by filter and page."""

from datetime import datetime
from typing import Final

from bot.dashboard.pages import Context, Page, Query, Section
from bot.dashboard.parts import DashboardParts
from bot.dashboard.views.asked import chosen, older, place, with_choice
from bot.dashboard.views.rows import PositionRow
from bot.instruments import BrokerId, Symbol
from bot.models import Position, StrategyName
from bot.reports import TradeFilter, TradeResult

_PATH: Final = "/positions"
_PAGE_SIZE: Final = 50


async def open_positions(parts: DashboardParts, query: Query) -> Context:
    """What is open, or about to be."""
    found = await parts.stores.orders.open_positions()
    return {
        "rows": [PositionRow.of(each) for each in found if not each.is_pending],
        "pending": [each for each in found if each.is_pending],
    }


async def closed_positions(parts: DashboardParts, query: Query) -> Context:
    """One page of what has been closed."""
    found = await parts.stores.reports.trades(_filter_of(query), limit=_PAGE_SIZE + 1, before=place(query))
    rows = found[:_PAGE_SIZE]
    return {
        "rows": rows,
        "total": await parts.stores.orders.closed_count(),
        "filtered": bool(with_choice(query)),
        "older": older(query, _closed_at(rows[-1]), rows[-1].id) if len(found) > len(rows) else "",
        "newest": f"{_PATH}?{with_choice(query)}" if "before" in query else "",
    }


async def choices(parts: DashboardParts, query: Query) -> Context:
    """What the filter offers."""
    return {
        "symbols": sorted({each.symbol for each in parts.registry}),
        "brokers": sorted({each.broker_id for each in parts.registry}),
        "strategies": sorted({each.strategy for each in await parts.stores.tasks.all()}),
        "results": tuple(TradeResult),
    }


def _filter_of(query: Query) -> TradeFilter:
    return TradeFilter(
        symbol=chosen(query, "symbol", Symbol),
        broker_id=chosen(query, "broker", BrokerId),
        strategy=chosen(query, "strategy", StrategyName),
        result=chosen(query, "result", TradeResult),
    )


def _closed_at(position: Position) -> datetime:
    return position.closed_at or position.opened_at


POSITIONS: Final = Page(
    name="positions",
    path=_PATH,
    title="Positions",
    query=("symbol", "broker", "strategy", "result", "before"),
    sections=(
        # Marks move without any journal entry.
        Section(name="open_positions", load=open_positions, quickest_s=0.5, slowest_s=0.5),
        Section(name="closed_positions", load=closed_positions),
    ),
    load=choices,
)
