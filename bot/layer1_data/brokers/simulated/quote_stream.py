"""Hands each quote to its readers. A slow reader loses old quotes, never delays the market."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final

from bot.instruments import Symbol
from bot.models import Quote

QUOTES_KEPT: Final = 64

_Queue = asyncio.Queue[Quote | None]


class QuoteStream:
    """Bounded queues, one per reader."""

    def __init__(self) -> None:
        self._readers: dict[Symbol, list[_Queue]] = {}
        self._closed = False

    def is_read(self, symbol: Symbol) -> bool:
        """Somebody reads this instrument."""
        return bool(self._readers) and symbol in self._readers

    def publish(self, quote: Quote) -> None:
        """Put one quote into the queue of every reader of its instrument."""
        for queue in self._readers.get(quote.symbol, ()):
            _put(queue, quote)

    async def read(self, symbols: Sequence[Symbol]) -> AsyncIterator[Quote]:
        """Quotes of `symbols` from the first step on, until the caller or the venue stops."""
        queue: _Queue = asyncio.Queue(maxsize=QUOTES_KEPT)
        for symbol in symbols:
            self._readers.setdefault(symbol, []).append(queue)
        try:
            while not self._closed:
                quote = await queue.get()
                if quote is None:
                    return
                yield quote
        finally:
            self._leave(symbols, queue)

    def close(self) -> None:
        """End every reader."""
        self._closed = True
        for queues in self._readers.values():
            for queue in queues:
                _put(queue, None)

    def _leave(self, symbols: Sequence[Symbol], queue: _Queue) -> None:
        for symbol in symbols:
            left = [each for each in self._readers.get(symbol, ()) if each is not queue]
            if left:
                self._readers[symbol] = left
            else:
                self._readers.pop(symbol, None)


def _put(queue: _Queue, item: Quote | None) -> None:
    if queue.full():
        queue.get_nowait()
    queue.put_nowait(item)
