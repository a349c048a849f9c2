"""The newest warnings and errors of the log, for people who have no terminal at hand. Without secrets."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC
from typing import TYPE_CHECKING, Final

from loguru import logger

if TYPE_CHECKING:
    from loguru import Message

_KEPT: Final = 50
_LONGEST: Final = 200


class RecentLog:
    """Keeps lines while `kept` is open."""

    def __init__(self, redact: Callable[[str], str]) -> None:
        self._redact = redact
        self._lines: deque[str] = deque(maxlen=_KEPT)

    def newest(self, limit: int) -> list[str]:
        """Newest first."""
        return list(self._lines)[: -limit - 1 : -1]

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Listen to the log; open it after the log was configured."""
        handler = logger.add(self._keep, level="WARNING", format=lambda _: "", diagnose=False)
        try:
            yield
        finally:
            logger.remove(handler)

    def _keep(self, message: "Message") -> None:
        record = message.record
        text = self._redact(f"{record['time'].astimezone(UTC):%H:%M:%S} {record['level'].name} {record['message']}")
        self._lines.append(text[:_LONGEST])
