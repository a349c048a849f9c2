"""Live fan-out of journal entries to whoever watches. A slow reader loses its oldest entries, and they are counted."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from bot.models import JournalEntry

QUEUE_LENGTH: Final = 1_000


class JournalEvents:
    """An `interfaces.EventStream`: each reader has its own bounded queue. For one event loop, not for threads."""

    def __init__(self, queue_length: int = QUEUE_LENGTH) -> None:
        self._queue_length = queue_length
        self._readers: set[_Reader] = set()
        self._dropped = 0
        self._closed = False

    @property
    def readers(self) -> int:
        """How many read now."""
        return len(self._readers)

    @property
    def dropped(self) -> int:
        """Entries that some reader was too slow for, over all readers so far."""
        return self._dropped

    def publish(self, entry: JournalEntry) -> None:
        """Hand one entry to every reader; never waits."""
        for reader in self._readers:
            self._dropped += reader.put(entry)

    @asynccontextmanager
    async def subscribe(self) -> AsyncIterator[AsyncIterator[JournalEntry]]:
        """Entries from now on, while the context is open; they end when the stream is closed."""
        reader = _Reader(self._queue_length)
        self._readers.add(reader)
        if self._closed:
            reader.close()
        try:
            yield reader
        finally:
            self._readers.discard(reader)

    def close(self) -> None:
        """End every reader after what it has queued, so that open pages do not hold up the shutdown."""
        self._closed = True
        for reader in self._readers:
            reader.close()


class _Reader:
    """One reader's queue, read as an iterator."""

    def __init__(self, length: int) -> None:
        self._entries: deque[JournalEntry] = deque(maxlen=length)
        self._something_new = asyncio.Event()
        self._closed = False

    def put(self, entry: JournalEntry) -> int:
        """Queue one entry; how many old ones that pushed out (0 or 1)."""
        pushed_out = int(len(self._entries) == self._entries.maxlen)
        self._entries.append(entry)
        self._something_new.set()
        return pushed_out

    def close(self) -> None:
        self._closed = True
        self._something_new.set()

    def __aiter__(self) -> AsyncIterator[JournalEntry]:
        return self

    async def __anext__(self) -> JournalEntry:
        while not self._entries:
            if self._closed:
                raise StopAsyncIteration
            self._something_new.clear()
            await self._something_new.wait()
        return self._entries.popleft()
