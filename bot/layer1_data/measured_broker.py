"""A broker whose every call is timed. It changes nothing else: what was answered or raised goes through as it is."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TypeVar

from bot.errors import BrokerUnavailable, OrderFateUnknown
from bot.instruments import BrokerId, Symbol
from bot.interfaces import Clock
from bot.layer1_data.broker_interface import (
    BrokerCapabilities,
    BrokerInterface,
    RateBudget,
    VenueIdentity,
    VenueOrder,
    VenueTerms,
)
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
    Timeframe,
    VenuePosition,
)

Heard = Callable[[BrokerId, str, str, float], None]
T = TypeVar("T")


class MeasuredBroker(BrokerInterface):
    """Tells `heard` of each call: broker, method, outcome and seconds; and `quoted` of each streamed quote.

    Outcomes: ok, rejected (the venue's no), unavailable (nothing was done), unknown (no answer), error, cancelled.
    Neither may raise or wait. `clock` runs in real seconds.
    """

    def __init__(self, broker: BrokerInterface, clock: Clock, *, heard: Heard, quoted: Callable[[], None]) -> None:
        self._broker = broker
        self._clock = clock
        self._heard = heard
        self._quoted = quoted

    @property
    def broker_id(self) -> BrokerId:
        """As the broker says."""
        return self._broker.broker_id

    @property
    def capabilities(self) -> BrokerCapabilities:
        """As the broker says."""
        return self._broker.capabilities

    @property
    def rate_budget(self) -> RateBudget | None:
        """As the broker says."""
        return self._broker.rate_budget

    async def identity(self) -> VenueIdentity:
        """Timed."""
        return await self._timed("identity", self._broker.identity())

    async def terms(self, symbols: Sequence[Symbol]) -> Sequence[VenueTerms]:
        """Timed."""
        return await self._timed("terms", self._broker.terms(symbols))

    async def server_time(self) -> datetime:
        """Timed."""
        return await self._timed("server_time", self._broker.server_time())

    async def candles(
        self, symbol: Symbol, timeframe: Timeframe, *, since: datetime | None, limit: int
    ) -> Sequence[Candle]:
        """Timed."""
        return await self._timed("candles", self._broker.candles(symbol, timeframe, since=since, limit=limit))

    async def quote(self, symbol: Symbol) -> Quote:
        """Timed."""
        return await self._timed("quote", self._broker.quote(symbol))

    async def quotes(self, symbols: Sequence[Symbol]) -> AsyncIterator[Quote]:
        """Each quote is noted; the stream counts as one call when it ends."""
        begun_s, outcome = self._clock.monotonic(), "ok"
        stream = self._broker.quotes(symbols)
        try:
            async for quote in stream:
                self._quoted()
                yield quote
        except BaseException as error:
            outcome = _outcome_of(error)
            raise
        finally:
            if isinstance(stream, AsyncGenerator):
                await stream.aclose()  # as soon as nobody reads any more, as without us
            self._heard(self.broker_id, "quotes", outcome, self._clock.monotonic() - begun_s)

    async def account(self) -> AccountState:
        """Timed."""
        return await self._timed("account", self._broker.account())

    async def place(self, order: ApprovedOrder | ReduceOrder) -> OrderAck:
        """Timed."""
        return await self._timed("place", self._broker.place(order))

    async def place_stop(self, position: VenuePosition, stop_order_id: ClientOrderId, stop: Decimal) -> OrderAck:
        """Timed."""
        return await self._timed("place_stop", self._broker.place_stop(position, stop_order_id, stop))

    async def amend_stop(self, entry_order_id: ClientOrderId, stop: Decimal) -> OrderAck:
        """Timed."""
        return await self._timed("amend_stop", self._broker.amend_stop(entry_order_id, stop))

    async def resize_stop(self, stop_order_id: ClientOrderId, quantity: Decimal, stop: Decimal) -> OrderAck:
        """Timed."""
        return await self._timed("resize_stop", self._broker.resize_stop(stop_order_id, quantity, stop))

    async def cancel(self, client_order_id: ClientOrderId) -> OrderAck:
        """Timed."""
        return await self._timed("cancel", self._broker.cancel(client_order_id))

    async def find_order(self, client_order_id: ClientOrderId) -> VenueOrder | None:
        """Timed."""
        return await self._timed("find_order", self._broker.find_order(client_order_id))

    async def open_orders(self) -> Sequence[VenueOrder]:
        """Timed."""
        return await self._timed("open_orders", self._broker.open_orders())

    async def protective_orders(self) -> Sequence[VenueOrder]:
        """Timed."""
        return await self._timed("protective_orders", self._broker.protective_orders())

    async def positions(self) -> Sequence[VenuePosition]:
        """Timed."""
        return await self._timed("positions", self._broker.positions())

    async def fills_since(self, cursor: str) -> tuple[Sequence[Fill], str]:
        """Timed."""
        return await self._timed("fills_since", self._broker.fills_since(cursor))

    async def check_connectivity(self) -> None:
        """Timed."""
        return await self._timed("check_connectivity", self._broker.check_connectivity())

    async def close(self) -> None:
        """Release the broker's connections."""
        await self._broker.close()

    async def _timed(self, call: str, answer: Awaitable[T]) -> T:
        begun_s, outcome = self._clock.monotonic(), "ok"
        try:
            found = await answer
            if isinstance(found, OrderAck) and found.state is OrderState.REJECTED:
                outcome = "rejected"
            return found
        except BaseException as error:
            outcome = _outcome_of(error)
            raise
        finally:
            self._heard(self.broker_id, call, outcome, self._clock.monotonic() - begun_s)


def _outcome_of(error: BaseException) -> str:
    if isinstance(error, OrderFateUnknown):
        return "unknown"
    if isinstance(error, BrokerUnavailable):
        return "unavailable"
    return "cancelled" if isinstance(error, asyncio.CancelledError | GeneratorExit) else "error"
