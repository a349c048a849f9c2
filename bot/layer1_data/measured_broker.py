"""A broker whose every call is timed. It changes nothing else: what was answered or raised goes through as it is."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from bot.errors import BrokerUnavailable, OrderFateUnknown
from bot.instruments import BrokerId, Symbol
from bot.interfaces import Clock
from bot.layer1_data.broker_interface import BrokerInterface
from bot.layer1_data.delegating_broker import DelegatingBroker
from bot.models import OrderAck, OrderState, Quote

Heard = Callable[[BrokerId, str, str, float], None]
T = TypeVar("T")


class MeasuredBroker(DelegatingBroker):
    """Tells `heard` of each call: broker, method, outcome and seconds; and `quoted` of each streamed quote.

    Outcomes: ok, rejected (the venue's no), unavailable (nothing was done), unknown (no answer), error, cancelled.
    Neither may raise or wait. `clock` runs in real seconds.
    """

    def __init__(self, broker: BrokerInterface, clock: Clock, *, heard: Heard, quoted: Callable[[], None]) -> None:
        super().__init__(broker)
        self._clock = clock
        self._heard = heard
        self._quoted = quoted

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

    async def _through(self, call: str, send: Callable[[], Coroutine[Any, Any, T]]) -> T:
        begun_s, outcome = self._clock.monotonic(), "ok"
        try:
            found = await send()
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
