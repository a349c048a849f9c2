"""A broker over another broker: whoever changes a part of the contract writes that part, and no other.

A request passes through one door, so that what is done around each of them (time it, delay it, refuse it) is written
once. The door knows the request by the name of its method.
"""

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, TypeVar

from bot.instruments import BrokerId, Symbol
from bot.layer1_data.broker_interface import (
    BrokerCapabilities,
    BrokerInterface,
    LastWord,
    RateBudget,
    VenueIdentity,
    VenueOrder,
    VenueTerms,
    nothing_against,
)
from bot.models import (
    AccountState,
    ApprovedOrder,
    Candle,
    ClientOrderId,
    Fill,
    OrderAck,
    Quote,
    ReduceOrder,
    Timeframe,
    VenuePosition,
)

CHANGES: Final = frozenset({"place", "place_stop", "amend_stop", "resize_stop", "cancel", "cancel_foreign"})
"""The requests that change something at the venue; all others are questions."""

T = TypeVar("T")


class DelegatingBroker(BrokerInterface):
    """Hands everything on to `broker`, answers and errors as they are.

    The stream of quotes and `close` are no requests: they do not pass through the door.
    """

    def __init__(self, broker: BrokerInterface) -> None:
        self._broker = broker

    async def _through(self, call: str, send: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The door: `send` makes the request of the name `call`, at once or never, and only once."""
        return await send()

    # --------------------------------------------------------------------------------------------------- who it is

    @property
    def broker_id(self) -> BrokerId:
        return self._broker.broker_id

    @property
    def capabilities(self) -> BrokerCapabilities:
        return self._broker.capabilities

    @property
    def rate_budget(self) -> RateBudget | None:
        return self._broker.rate_budget

    async def identity(self) -> VenueIdentity:
        return await self._through("identity", self._broker.identity)

    async def terms(self, symbols: Sequence[Symbol]) -> Sequence[VenueTerms]:
        return await self._through("terms", lambda: self._broker.terms(symbols))

    async def server_time(self) -> datetime:
        return await self._through("server_time", self._broker.server_time)

    async def check_connectivity(self) -> None:
        await self._through("check_connectivity", self._broker.check_connectivity)

    async def close(self) -> None:
        await self._broker.close()

    # ------------------------------------------------------------------------------------------------------ prices

    async def candles(
        self, symbol: Symbol, timeframe: Timeframe, *, since: datetime | None, limit: int
    ) -> Sequence[Candle]:
        return await self._through("candles", lambda: self._broker.candles(symbol, timeframe, since=since, limit=limit))

    async def quote(self, symbol: Symbol) -> Quote:
        return await self._through("quote", lambda: self._broker.quote(symbol))

    def quotes(self, symbols: Sequence[Symbol]) -> AsyncIterator[Quote]:
        return self._broker.quotes(symbols)

    # ------------------------------------------------------------------------------------------------------ orders

    async def place(self, order: ApprovedOrder | ReduceOrder, last_word: LastWord = nothing_against) -> OrderAck:
        return await self._through("place", lambda: self._broker.place(order, last_word))

    async def place_stop(self, position: VenuePosition, stop_order_id: ClientOrderId, stop: Decimal) -> OrderAck:
        return await self._through("place_stop", lambda: self._broker.place_stop(position, stop_order_id, stop))

    async def amend_stop(self, entry_order_id: ClientOrderId, stop: Decimal) -> OrderAck:
        return await self._through("amend_stop", lambda: self._broker.amend_stop(entry_order_id, stop))

    async def resize_stop(self, stop_order_id: ClientOrderId, quantity: Decimal, stop: Decimal) -> OrderAck:
        return await self._through("resize_stop", lambda: self._broker.resize_stop(stop_order_id, quantity, stop))

    async def cancel(self, client_order_id: ClientOrderId) -> OrderAck:
        return await self._through("cancel", lambda: self._broker.cancel(client_order_id))

    async def cancel_foreign(self, order: VenueOrder) -> OrderAck:
        return await self._through("cancel_foreign", lambda: self._broker.cancel_foreign(order))

    # ------------------------------------------------------------------------------------------------------- truth

    async def account(self) -> AccountState:
        return await self._through("account", self._broker.account)

    async def find_order(self, client_order_id: ClientOrderId) -> VenueOrder | None:
        return await self._through("find_order", lambda: self._broker.find_order(client_order_id))

    async def open_orders(self) -> Sequence[VenueOrder]:
        return await self._through("open_orders", self._broker.open_orders)

    async def protective_orders(self) -> Sequence[VenueOrder]:
        return await self._through("protective_orders", self._broker.protective_orders)

    async def positions(self) -> Sequence[VenuePosition]:
        return await self._through("positions", self._broker.positions)

    async def fills_since(self, cursor: str) -> tuple[Sequence[Fill], str]:
        return await self._through("fills_since", lambda: self._broker.fills_since(cursor))
