"""One signal from its candle to its outcome, as the stores have it."""

from collections.abc import Sequence
from dataclasses import dataclass

from bot.errors import NotFound
from bot.interfaces import Stores
from bot.models import Order, Outcome, Position, SignalId, SignalRecord
from bot.opinions import AnalystGate, OpinionRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """Everything that is known of one signal; `orders` are all of its position, oldest first."""

    record: SignalRecord
    orders: Sequence[Order]
    position: Position | None
    outcome: Outcome | None
    opinion: OpinionRecord | None = None
    gate: AnalystGate | None = None


async def story_of(stores: Stores, signal_id: SignalId) -> Story:
    """The story of one signal, however old. Raises NotFound."""
    record = await stores.signals.get(signal_id)
    opinion = await stores.opinions.of_candle(record.signal.task_id, record.signal.candle_closed_at)
    entry = await stores.orders.entry_of(signal_id)
    return Story(
        record=record,
        opinion=opinion,
        gate=await stores.opinions.gate(opinion.model) if opinion else None,
        orders=await stores.orders.orders_of(entry.position_id) if entry else (),
        position=await _position_of(stores, entry) if entry else None,
        outcome=await stores.outcomes.of_signal(signal_id),
    )


async def _position_of(stores: Stores, entry: Order) -> Position | None:
    try:
        return await stores.orders.position(entry.position_id)
    except NotFound:
        return None
