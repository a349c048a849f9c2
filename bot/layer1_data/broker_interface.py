"""The one contract that every broker implements: real, sandbox or simulated. Read after `models.py`.

A venue's no is an answer (an `OrderAck` with state REJECTED), not an error. Silence after sending is
`OrderFateUnknown`; anything that surely did nothing is `BrokerUnavailable`. No method retries an order.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from bot.instruments import BrokerId, Symbol
from bot.models import (
    AccountState,
    ApprovedOrder,
    Candle,
    ClientOrderId,
    Fill,
    OrderAck,
    OrderState,
    Quote,
    ReduceOrder,
    Side,
    Timeframe,
    VenuePosition,
)


class DuplicateIds(StrEnum):
    """What a venue does with a client order id it has seen before (RELIABILITY 2.2 rule 4)."""

    PERMANENT = "permanent"
    OPEN_ONLY = "open_only"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerCapabilities:
    """What a venue can do, so that nobody asks for its name."""

    duplicate_ids: DuplicateIds
    attached_stop: bool
    stop_follows_position: bool
    amends_stop: bool
    streams_quotes: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueOrder:
    """An order as the venue tells it. `client_order_id` is None for orders that are not ours."""

    client_order_id: ClientOrderId | None
    venue_order_id: str
    symbol: Symbol
    side: Side
    state: OrderState
    quantity: Decimal
    filled_quantity: Decimal
    price: Decimal | None
    reduces_only: bool


class BrokerInterface(ABC):
    """One account at one venue: data, orders and truth about both."""

    @property
    @abstractmethod
    def broker_id(self) -> BrokerId:
        """The name by which instruments are routed here."""

    @property
    @abstractmethod
    def capabilities(self) -> BrokerCapabilities:
        """What this venue can do."""

    @abstractmethod
    async def candles(
        self, symbol: Symbol, timeframe: Timeframe, *, since: datetime | None, limit: int
    ) -> Sequence[Candle]:
        """Closed candles, oldest first, at most `limit`: those opening at or after `since`, or the newest ones."""

    @abstractmethod
    async def quote(self, symbol: Symbol) -> Quote:
        """The best bid and ask now."""

    @abstractmethod
    def quotes(self, symbols: Sequence[Symbol]) -> AsyncIterator[Quote]:
        """Quotes as they change, until the caller stops reading. Only where `streams_quotes`."""

    @abstractmethod
    async def account(self) -> AccountState:
        """Balance and equity now."""

    @abstractmethod
    async def place(self, order: ApprovedOrder | ReduceOrder) -> OrderAck:
        """Send one order exactly once; an entry carries its protective stop where the venue attaches it.

        Raises OrderFateUnknown when no usable answer came after sending, BrokerUnavailable when nothing was sent.
        """

    @abstractmethod
    async def place_stop(self, position: VenuePosition, stop_order_id: ClientOrderId, stop: Decimal) -> OrderAck:
        """Rest a reduce-only stop for the whole of `position`, where none rests yet. Raises as `place`."""

    @abstractmethod
    async def amend_stop(self, entry_order_id: ClientOrderId, stop: Decimal) -> OrderAck:
        """Move the protective stop of one position; its quantity follows the position. Raises as `place`."""

    @abstractmethod
    async def cancel(self, client_order_id: ClientOrderId) -> OrderAck:
        """Cancel a working order; the answer tells the state it was found in (FILLED if the fill came first)."""

    @abstractmethod
    async def find_order(self, client_order_id: ClientOrderId) -> VenueOrder | None:
        """Look an order up by our id. None only if the venue answered that it has none."""

    @abstractmethod
    async def open_orders(self) -> Sequence[VenueOrder]:
        """Every working order that is not a protective stop, ours or not."""

    @abstractmethod
    async def protective_orders(self) -> Sequence[VenueOrder]:
        """Every resting protective stop, wherever the venue keeps them."""

    @abstractmethod
    async def positions(self) -> Sequence[VenuePosition]:
        """Everything open at the venue."""

    @abstractmethod
    async def fills_since(self, cursor: str) -> tuple[Sequence[Fill], str]:
        """Fills after `cursor` (empty: from the first that the venue keeps), oldest first, and the next cursor."""

    @abstractmethod
    async def check_connectivity(self) -> None:
        """Ask the cheapest authenticated question. Raises BrokerUnavailable with the venue's words."""

    @abstractmethod
    async def close(self) -> None:
        """Release connections; open orders and positions stay as they are."""
