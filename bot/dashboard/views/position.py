"""One position: its figures, its plan in words, its chart, its orders and fills, and what the journal says about it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final

from bot.dashboard.api.encoding import encoded
from bot.dashboard.pages import Context, Page, Query, Section
from bot.dashboard.parts import DashboardParts
from bot.dashboard.position_states import STATE_WORDS, state_in
from bot.dashboard.views.order_words import TROUBLED, OrderStory
from bot.dashboard.views.plan_words import plan_words
from bot.dashboard.views.rows import PositionRow
from bot.dashboard.views.text import price_writer
from bot.errors import NotFound, UsageError
from bot.instruments import Symbol
from bot.models import ClientOrderId, Fill, JournalEntry, OrderRole, Position, PositionId, Timeframe

_JOURNAL: Final = 200
_NEWEST_CANDLES: Final = 3
_CHART_CANDLES: Final = 500
# The indicators that a reader may lay under the candles, by the names of `FeatureColumns`.
_INDICATORS: Final = (
    ("rsi", "RSI"),
    ("macd_hist", "MACD histogram"),
    ("stoch_k", "Stochastic"),
    ("cci", "CCI"),
    ("mfi", "MFI"),
    ("willr", "Williams %R"),
    ("atr", "ATR"),
    ("adx", "ADX"),
    ("bandwidth", "Bollinger bandwidth"),
)


async def head(parts: DashboardParts, query: Query) -> Context:
    """What does not move: which position, and where the chart gets its candles from."""
    position = await _position(parts, query)
    timeframe = await _timeframe(parts, position)
    return {
        "position": position,
        "has_signal": await _has_signal(parts, position),
        "timeframe": timeframe,
        "candles": _CHART_CANDLES if parts.features(position.symbol, timeframe) else 0,
        "indicators": _INDICATORS,
    }


async def position(parts: DashboardParts, query: Query) -> Context:
    """What moves with the price: result, stop, what is left."""
    found = await _position(parts, query)
    timeframe, account = await _timeframe(parts, found), parts.trading.accounts().get(found.broker_id)
    return {
        "position": found,
        "row": PositionRow.of(found),
        "currency": account.currency if account else "",
        "levels": encoded(_levels(found, _newest(parts, found.symbol, timeframe))).decode(),
    }


async def position_plan(parts: DashboardParts, query: Query) -> Context:
    """How it will end, in words."""
    found, write = await _position(parts, query), price_writer(parts.registry)
    return {"plan": plan_words(found, lambda price: write(price, found.symbol))}


async def position_orders(parts: DashboardParts, query: Query) -> Context:
    """Its state, its fills, and its orders with the way each took; besides, what of them the chart shows."""
    found = await _position(parts, query)
    orders, fills = parts.stores.orders, await parts.stores.orders.fills_of(found.id)
    rows = await orders.orders_of(found.id)
    roles = {each.client_order_id: each.role for each in rows}
    stops = await _stop_moves(parts, found)
    marks = {
        "fills": [_mark(each, roles) for each in fills],
        "stops": [(_s(at), float(to)) for at, to, _ in stops],
    }
    state = state_in(parts, found, rows)
    return {
        "position": found,
        "state": state.value,
        "state_words": STATE_WORDS[state],
        "stories": [OrderStory(order=each, events=await orders.order_events(each.client_order_id)) for each in rows],
        "fills": [(each, roles[each.client_order_id]) for each in fills],
        "stops": stops,
        "troubled": TROUBLED,
        "marks": encoded(marks).decode(),
    }


async def position_journal(parts: DashboardParts, query: Query) -> Context:
    """What was written down about it, newest first."""
    found = await _position(parts, query)
    entries = [(each, _facts(each)) for each in await _about(parts, found)]
    return {"entries": entries, "limit": _JOURNAL}


def position_id_of(query: Query) -> PositionId:
    """The position that the address names. Raises UsageError if it names none."""
    if not query.get("id") or "\0" in query["id"]:
        raise UsageError("a position page needs ?id=, the position's id")
    return PositionId(query["id"])


async def _position(parts: DashboardParts, query: Query) -> Position:
    return await parts.stores.orders.position(position_id_of(query))


async def _timeframe(parts: DashboardParts, found: Position) -> Timeframe:
    """That of its task; a position that was adopted may have none, and is shown on the shortest that is followed."""
    try:
        return (await parts.stores.tasks.get(found.task_id)).timeframe
    except NotFound:
        followed = [each.timeframe for each in await parts.stores.tasks.all() if each.symbol == found.symbol]
        return min(followed, key=lambda each: each.seconds, default=Timeframe.H1)


async def _has_signal(parts: DashboardParts, found: Position) -> bool:
    try:
        await parts.stores.signals.get(found.signal_id)
    except NotFound:  # it was adopted from the venue
        return False
    return True


async def _about(parts: DashboardParts, found: Position) -> Sequence[JournalEntry]:
    names = [each.client_order_id for each in await parts.stores.orders.orders_of(found.id)]
    return await parts.stores.journal.about(found.id, names, _JOURNAL)


def _facts(entry: JournalEntry) -> list[tuple[str, object]]:
    """What an entry says besides what the page is about."""
    said = [(name, value) for name, value in entry.data.items() if name not in ("position", "symbol")]
    return [(name, ", ".join(map(str, value)) if isinstance(value, list) else value) for name, value in said]


async def _stop_moves(parts: DashboardParts, found: Position) -> list[tuple[datetime, Decimal, str]]:
    """Where the stop was from when on, oldest first: as planned, then as it was moved."""
    moves = [each for each in await _about(parts, found) if each.kind == "stop_moved"]
    moved = [(each.at, Decimal(str(each.data["stop"])), str(each.data.get("reason", ""))) for each in reversed(moves)]
    return [(found.opened_at, found.plan.stop, found.plan.stop_reason), *moved]


def _levels(found: Position, newest: Sequence[Sequence[float]]) -> Mapping[str, object]:
    """What the chart draws as lines, and its newest candles; prices as they are drawn, never as they are traded."""
    targets = [float(each.price) for each in found.plan.targets]
    return {
        "entry": float(found.entry_price) if found.first_quantity else None,
        "exit": float(found.exit_price) if found.exit_price is not None else None,
        "stop": float(found.stop_price),
        "targets": targets,
        "mark": float(found.mark_price) if found.is_open else None,
        "closed_at": _s(found.closed_at) if found.closed_at else None,
        "newest": newest,
    }


def _newest(parts: DashboardParts, symbol: Symbol, timeframe: Timeframe) -> Sequence[Sequence[float]]:
    known = parts.features(symbol, timeframe)
    if known is None:
        return ()
    last = known.series.slice(max(known.k + 1 - _NEWEST_CANDLES, 0), known.k + 1)
    columns = (last.opened_at_s, last.open, last.high, last.low, last.close, last.volume)
    return list(zip(*(each.tolist() for each in columns), strict=True))


def _mark(fill: Fill, roles: Mapping[ClientOrderId, OrderRole]) -> Mapping[str, object]:
    return {
        "at": _s(fill.filled_at),
        "side": fill.side.value,
        "price": float(fill.price),
        "role": roles[fill.client_order_id].value,
    }


def _s(instant: datetime) -> int:
    return int(instant.timestamp())


POSITION: Final = Page(
    name="position",
    path="/position",
    title="Position",
    query=("id",),
    sections=(
        Section(name="position", load=position, quickest_s=0.5, slowest_s=0.5),  # its mark moves without any entry
        Section(name="position_plan", load=position_plan),
        Section(name="position_orders", load=position_orders),
        Section(name="position_journal", load=position_journal),
    ),
    in_menu=False,
    load=head,
)
