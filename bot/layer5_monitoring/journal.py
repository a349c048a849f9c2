"""Every decision and fact, in order: to the store, to the pages, or to a file."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import orjson
from loguru import logger

from bot.errors import BotError
from bot.interfaces import EventStream, JournalStore
from bot.models import JournalEntry


class StoredJournal:
    """Rows for later, events for now. A store that fails costs the row, never the trade."""

    def __init__(self, store: JournalStore, events: EventStream) -> None:
        self._store = store
        self._events = events

    async def record(self, entry: JournalEntry) -> None:
        """Append one entry and hand it to the pages."""
        self._events.publish(entry)
        try:
            await self._store.append(entry)
        except BotError as error:
            logger.error("journal: {} was not stored: {}", entry.kind, error)


class FileJournal:
    """One JSON line per entry, written to a partial file that takes its name only when it is complete."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._partial = path.with_name(path.name + ".partial")
        self._file: BinaryIO | None = None

    def __enter__(self) -> "FileJournal":
        self._file = self._partial.open("wb")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
        if kind is None:
            self._partial.replace(self._path)
        else:
            self._partial.unlink(missing_ok=True)

    async def record(self, entry: JournalEntry) -> None:
        """Append one line."""
        if self._file is not None:
            self._file.write(line_of(entry))


class NoJournal:
    """For whoever asked for no journal."""

    async def record(self, entry: JournalEntry) -> None:
        """Nothing."""


def line_of(entry: JournalEntry) -> bytes:
    """One entry as a JSON line with keys in a fixed order."""
    row: Mapping[str, object] = {"at": entry.at, "kind": entry.kind, "task": entry.task_id, **entry.data}
    return orjson.dumps(row, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS)
