"""A broker through which a process changes nothing once it knows that it has lost the writer lock (RELIABILITY I13)."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from bot.errors import BrokerUnavailable, NotTheWriter
from bot.layer1_data.broker_interface import BrokerInterface, LastWord, nothing_against
from bot.layer1_data.delegating_broker import CHANGES, DelegatingBroker
from bot.models import ApprovedOrder, OrderAck, ReduceOrder

T = TypeVar("T")


class FencedBroker(DelegatingBroker):
    """Asks before each request that changes something, and once more as the last word about entries and closes.

    `check_writer` is that of `OrderStore`. Questions pass: what the venue answers is true for everybody.
    """

    def __init__(self, broker: BrokerInterface, check_writer: Callable[[], Awaitable[None]]) -> None:
        super().__init__(broker)
        self._check_writer = check_writer

    async def place(self, order: ApprovedOrder | ReduceOrder, last_word: LastWord = nothing_against) -> OrderAck:
        async def both() -> None:
            await last_word()
            await self._check()

        return await super().place(order, both)

    async def _through(self, call: str, send: Callable[[], Coroutine[Any, Any, T]]) -> T:
        if call in CHANGES:
            await self._check()
        return await super()._through(call, send)

    async def _check(self) -> None:
        try:
            await self._check_writer()
        except NotTheWriter as error:
            raise BrokerUnavailable(f"{self.broker_id}: nothing was sent: {error}") from error
