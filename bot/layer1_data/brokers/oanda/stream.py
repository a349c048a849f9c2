"""Prices as they change: a thread reads the stream, the loop keeps the newest of each instrument."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from bot.errors import BrokerUnavailable
from bot.instruments import Symbol
from bot.layer1_data.brokers.oanda import from_oanda
from bot.layer1_data.brokers.oanda.errors import Failure
from bot.layer1_data.brokers.oanda.to_oanda import Call
from bot.models import Quote

if TYPE_CHECKING:  # it imports the library, which only a running adapter needs
    from bot.layer1_data.brokers.oanda.transport import Client


class PriceStream:
    """One connection. A slow reader gets the newest price of each instrument, never an old one."""

    def __init__(self, client: "Client", names: from_oanda.Names) -> None:
        self._client = client
        self._names = names
        self._latest: dict[Symbol, Quote] = {}
        self._news = asyncio.Event()
        self._fault = ""
        self._stopped = False

    async def read(self, call: Call) -> AsyncIterator[Quote]:
        """Quotes until the caller leaves. Raises BrokerUnavailable when the stream breaks or falls silent."""
        loop = asyncio.get_running_loop()
        thread = ThreadPoolExecutor(1, thread_name_prefix="oanda-prices")
        work = loop.run_in_executor(thread, self._pump, call, loop)
        work.add_done_callback(lambda _: self._news.set())
        try:
            while not work.done() or self._latest:
                await self._news.wait()
                self._news.clear()
                while self._latest:
                    yield self._latest.pop(next(iter(self._latest)))
            raise BrokerUnavailable(f"oanda: the price stream ended: {self._fault or 'without a word'}; open it again")
        finally:
            self.stop()
            thread.shutdown(wait=False)

    def stop(self) -> None:
        """End the stream, from any thread."""
        self._stopped = True
        self._client.cut()

    def _pump(self, call: Call, loop: asyncio.AbstractEventLoop) -> None:
        try:
            for line in self._client.lines(call):
                if self._stopped:
                    return
                quote = self._quote(line)
                if quote is not None:
                    with suppress(RuntimeError):  # the loop ended first
                        loop.call_soon_threadsafe(self._show, quote)
        except (Failure, ValueError) as error:
            self._fault = str(error)
        finally:
            self._client.close()

    def _quote(self, line: Mapping[str, Any]) -> Quote | None:
        if line.get("type") != "PRICE":
            return None
        return from_oanda.readable(lambda: from_oanda.quote(line, self._names))

    def _show(self, quote: Quote) -> None:
        self._latest[quote.symbol] = quote
        self._news.set()
