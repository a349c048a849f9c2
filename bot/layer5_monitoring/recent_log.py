"""The newest lines of the log, for people who have no terminal at hand. Without secrets, and bounded."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Final

from loguru import logger

if TYPE_CHECKING:
    from loguru import Message, Record

LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_WARNING: Final = LEVELS.index("WARNING")
_KEPT: Final = 1_000
_KEPT_WARNINGS: Final = 500  # apart, so that no chatter pushes them out
_LONGEST: Final = 2_000
_SHORT: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One record; `at` is the time of this machine, `source` the module that spoke."""

    number: int
    at: datetime
    level: str
    source: str
    text: str

    @property
    def rank(self) -> int:
        """Greater is worse."""
        return LEVELS.index(self.level)

    @property
    def short(self) -> str:
        """For a phone."""
        return f"{self.at:%H:%M:%S} {self.level} {self.text}"[:_SHORT]


class RecentLog:
    """Keeps lines while `kept` is open."""

    def __init__(self, redact: Callable[[str], str]) -> None:
        self._redact = redact
        self._lines: deque[LogLine] = deque(maxlen=_KEPT)
        self._warnings: deque[LogLine] = deque(maxlen=_KEPT_WARNINGS)
        self._count = 0

    def newest(
        self, limit: int, *, least: str = "WARNING", holds: str = "", before: int | None = None
    ) -> Sequence[LogLine]:
        """Newest first: at least as bad as `least`, one of LEVELS, with `holds` in the text or its source, and older
        than line number `before`."""
        rank, wanted = LEVELS.index(least), holds.casefold()
        known = {each.number: each for each in (*self._warnings, *self._lines)}
        newest = (known[number] for number in sorted(known, reverse=True) if before is None or number < before)
        found = (each for each in newest if each.rank >= rank and wanted in f"{each.source} {each.text}".casefold())
        return list(islice(found, limit))

    @contextmanager
    def kept(self, level: str = "INFO") -> Iterator[None]:
        """Listen to records of `level` and worse, and to every warning; open it after the log was configured."""
        least = min(level, "WARNING", key=LEVELS.index)
        handler = logger.add(self._keep, level=least, format=lambda _: "", diagnose=False)
        try:
            yield
        finally:
            logger.remove(handler)

    def _keep(self, message: "Message") -> None:
        record = message.record
        self._count += 1
        named = record["level"].name
        line = LogLine(
            number=self._count,
            at=record["time"].astimezone(UTC),
            level=named if named in LEVELS else "INFO",
            source=record["name"] or "",
            text=self._redact(_text_of(record))[:_LONGEST],
        )
        self._lines.append(line)
        if line.rank >= _WARNING:
            self._warnings.append(line)


def _text_of(record: "Record") -> str:
    """The message, and of an exception its last line: the log of the daemon has the way there."""
    raised = record["exception"]
    if raised is None or raised.value is None:
        return record["message"]
    return f"{record['message']} ({type(raised.value).__name__}: {raised.value})"
