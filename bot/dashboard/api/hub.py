"""Live updates as JSON messages: made once for all who listen. While nobody listens, nothing is read.

Nobody waits for a listener: one that is too slow is told so and dropped.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from aiohttp import web
from loguru import logger

from bot.dashboard.api.encoding import encoded
from bot.dashboard.api.positions import PositionFigures
from bot.dashboard.parts import DashboardParts
from bot.errors import BotError
from bot.instruments import Symbol
from bot.models import JournalEntry, Position, Quote

TICK_S: Final = 0.25  # at most 4 messages a second of each kind but the journal's
_STATUS_S: Final = 2.0
_MOST_WAITING: Final = 500
_MOST_LISTENERS: Final = 100


class Topic(StrEnum):
    """What may be listened to."""

    STATUS = "status"
    JOURNAL = "journal"
    POSITIONS = "positions"
    PRICES = "prices"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message: its topic ("hello" and "ended" are nobody's), and its JSON."""

    kind: str
    text: str

    @classmethod
    def of(cls, kind: str, **data: object) -> "Message":
        """A message with these fields beside its `type`."""
        return cls(kind=kind, text=encoded({"type": kind, **data}).decode())


class Listener:
    """One reader's messages, in order."""

    def __init__(self, topics: frozenset[Topic]) -> None:
        self.topics = topics
        self.is_slow = False
        self.is_logged_out = False
        self._waiting: deque[Message] = deque()
        self._awake = asyncio.Event()

    def offer(self, message: Message) -> None:
        """Queue it, if it is listened to; never waits."""
        if message.kind not in self.topics:
            return
        if len(self._waiting) >= _MOST_WAITING:
            self.is_slow = True
        else:
            self._waiting.append(message)
        self.wake()

    def log_out(self) -> None:
        """Its login or token has ended."""
        self.is_logged_out = True
        self.wake()

    def wake(self) -> None:
        """Let it look around."""
        self._awake.set()

    async def news(self) -> Sequence[Message]:
        """Wait for the next look; what came since the last, which may be nothing."""
        await self._awake.wait()
        self._awake.clear()
        found = tuple(self._waiting)
        self._waiting.clear()
        return found


class LiveHub:
    """Reads what changes and tells everybody who listens."""

    def __init__(self, parts: DashboardParts) -> None:
        self._parts = parts
        self._listeners: set[Listener] = set()
        self._running: asyncio.Task[None] | None = None
        self._told: dict[str, tuple[float, object]] = {}
        self._quotes: dict[Symbol, Quote] = {}
        self.closing = False

    def __len__(self) -> int:
        return len(self._listeners)

    @contextmanager
    def listen(self, topics: frozenset[Topic]) -> Iterator[Listener]:
        """Take part while the context is open. Raises HTTPServiceUnavailable if too many do, or it is the end."""
        if self.closing or len(self) >= _MOST_LISTENERS:
            raise web.HTTPServiceUnavailable
        listener = Listener(topics)
        self._listeners.add(listener)
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run(), name="live updates")
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
            if not self._listeners and self._running is not None:
                self._running.cancel()
                self._running = None

    async def greeting(self, listener: Listener) -> Sequence[Message]:
        """What a new listener needs to begin with: who speaks, and how things are. Raises DatabaseUnavailable."""
        parts = self._parts
        told = [Message.of("hello", at=parts.clock.now(), topics=sorted(listener.topics), versions=parts.versions)]
        if Topic.STATUS in listener.topics:
            told.append(Message.of(Topic.STATUS, status=await parts.status()))
        if Topic.POSITIONS in listener.topics:
            told.append(_positions(parts.trading.positions()))
        if Topic.PRICES in listener.topics:
            told.append(_prices([*parts.trading.quotes().values()]))
        return told

    async def end(self, _: web.Application) -> None:
        """Let every stream end, so that a shutdown waits for nobody."""
        self.closing = True
        for each in self._listeners:
            each.wake()

    # -------------------------------------------------------------------------------------------------------- inside

    async def _run(self) -> None:
        self._told.clear()
        self._quotes = dict(self._parts.trading.quotes())
        async with self._parts.events.subscribe() as entries:
            reading = asyncio.create_task(self._pass_on(entries))
            try:
                while True:
                    await self._turn()
                    await self._parts.clock.sleep(TICK_S)
            finally:
                reading.cancel()
                with suppress(asyncio.CancelledError):
                    await reading

    async def _pass_on(self, entries: AsyncIterator[JournalEntry]) -> None:
        async for entry in entries:
            try:
                self._tell(Message.of(Topic.JOURNAL, entry=entry))
            except Exception:  # an edge: one odd entry must not end the others
                logger.exception("live updates: an entry of kind {} has no JSON form", entry.kind)

    async def _turn(self) -> None:
        now_s = self._parts.clock.monotonic()
        try:
            self._tell_prices()
            self._tell_changed(Topic.POSITIONS, self._parts.trading.positions(), _positions, now_s)
            if now_s - self._told.get(Topic.STATUS, (-_STATUS_S, None))[0] >= _STATUS_S:
                self._told[Topic.STATUS] = (now_s, None)
                self._tell(Message.of(Topic.STATUS, status=await self._parts.status()))
        except BotError as error:
            logger.warning("live updates: not read: {}", error)
        except Exception:  # an edge: the next turn may be better
            logger.exception("live updates: a turn failed")

    def _tell_prices(self) -> None:
        now = self._parts.trading.quotes()
        changed = [quote for symbol, quote in now.items() if self._quotes.get(symbol) != quote]
        self._quotes = dict(now)
        if changed:
            self._tell(_prices(changed))

    def _tell_changed(
        self, topic: Topic, now: Sequence[Position], message: Callable[[Sequence[Position]], Message], now_s: float
    ) -> None:
        if topic not in self._told:
            self._told[topic] = (now_s, now)  # the greeting had it
        elif self._told[topic][1] != now:
            self._told[topic] = (now_s, now)
            self._tell(message(now))

    def _tell(self, message: Message) -> None:
        for each in self._listeners:
            each.offer(message)


def _positions(positions: Sequence[Position]) -> Message:
    return Message.of(Topic.POSITIONS, open=[*map(PositionFigures.of, positions)])


def _prices(quotes: Sequence[Quote]) -> Message:
    return Message.of(Topic.PRICES, quotes=quotes)


HUB: Final = web.AppKey("live_hub", LiveHub)
