"""Moving pages: sections are rendered once for all who watch the same address, and each watcher gets what is new to it.

Nobody waits for a watcher: the journal's writer hands entries to the event stream, one listener only notes that
something happened, and a slow browser simply gets the newest fragment later. While nobody watches, nothing is read.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from loguru import logger

from bot.dashboard.pages import Section
from bot.errors import BotError
from bot.interfaces import Clock, EventStream
from bot.models import JournalEntry

TICK_S: Final = 0.25  # at most 4 updates a second, however many entries there are
_WOKEN_TOGETHER: Final = 20  # each of them sends; whatever else is to be done goes in between
_TROUBLE: Final = "<p>The newest figures could not be read. What is shown is older; it comes back by itself.</p>"
_NOTICE: Final = "notice"

Render = Callable[[Section], Awaitable[str]]


class LivePage:
    """The newest HTML of each section, with the version at which it changed; versions only rise."""

    def __init__(self, *, sections: Sequence[Section], render: Render, events: EventStream, clock: Clock) -> None:
        self._sections = sections
        self._render = render
        self._events = events
        self._clock = clock
        self._watchers: set[Watcher] = set()
        self._someone = asyncio.Event()
        self.version = 0
        self._told = 0  # the version that everybody was woken for
        self._told_s = 0.0
        self._forget()

    @contextmanager
    def watch(self) -> Iterator["Watcher"]:
        """Take part while the context is open."""
        watcher = Watcher(self)
        self._watchers.add(watcher)
        self._someone.set()
        if self._newest:
            watcher.wake()  # what is known goes out at once; otherwise the first turn wakes it
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)

    def __len__(self) -> int:
        return len(self._watchers)

    async def run(self) -> None:
        """Render for whoever watches, until cancelled."""
        while True:
            await self._someone.wait()
            async with self._events.subscribe() as entries:
                beside = [asyncio.create_task(each) for each in (self._listen(entries), self._tell_in_between())]
                try:
                    while self._watchers:
                        begun_s = self._clock.monotonic()
                        await self._turn()
                        took_s = self._clock.monotonic() - begun_s
                        await self._clock.sleep(max(TICK_S - took_s, took_s))  # who takes long rests long
                finally:
                    for each in beside:
                        each.cancel()
                    await asyncio.gather(*beside, return_exceptions=True)
            self._forget()

    def newer_than(self, seen: int) -> bytes:
        """The event that brings a browser from version `seen` to the newest one; empty if nothing changed.

        Made once for all who are as far, which is nearly everybody.
        """
        if seen not in self._made:
            news = [_fragment(name, html) for name, (version, html) in self._newest.items() if version > seen]
            self._made[seen] = sse_event("".join(news)) if news else b""
        return self._made[seen]

    def end_all(self) -> None:
        """Let every watcher go."""
        for watcher in self._watchers:
            watcher.end()

    def _forget(self) -> None:
        # Old HTML must not be shown to the next one who comes. Versions go on: someone may be coming at this moment.
        self._newest: dict[str, tuple[int, str]] = {}
        self._made: dict[int, bytes] = {}
        self._rendered_s: dict[str, float] = {}
        self._happened: set[str] = set()
        self._failing: set[str] = set()
        if not self._watchers:
            self._someone.clear()

    async def _listen(self, entries: AsyncIterator[JournalEntry]) -> None:
        names = frozenset(each.name for each in self._sections)
        try:
            async for _ in entries:
                self._happened |= names
        except Exception:  # an edge: the page goes on by the clock alone
            logger.exception("dashboard: the event stream ended; pages are refreshed every few seconds only")

    async def _tell_in_between(self) -> None:
        """What is ready does not wait for a section that takes long."""
        while True:
            await self._clock.sleep(TICK_S)
            if self._clock.monotonic() - self._told_s >= TICK_S:
                await self._tell_all()

    async def _turn(self) -> None:
        now_s = self._clock.monotonic()
        for section in self._sections:
            if self._is_due(section, now_s):
                await self._refresh(section, now_s)
        await self._tell_all()

    def _is_due(self, section: Section, now_s: float) -> bool:
        if section.name not in self._rendered_s:
            return True
        waited_s = now_s - self._rendered_s[section.name]
        return waited_s >= (section.quickest_s if section.name in self._happened else section.slowest_s)

    async def _refresh(self, section: Section, now_s: float) -> None:
        self._rendered_s[section.name] = now_s
        self._happened.discard(section.name)
        try:
            html = await self._render(section)
        except BotError as error:
            logger.warning("dashboard: section {} was not read: {}", section.name, error)
            self._failing.add(section.name)
        except Exception:  # an edge: one section must not stop the others
            logger.exception("dashboard: section {} failed", section.name)
            self._failing.add(section.name)
        else:
            self._failing.discard(section.name)
            self._put(section.name, html)
        self._put(_NOTICE, _TROUBLE if self._failing else "")

    def _put(self, name: str, html: str) -> None:
        if name not in self._newest or self._newest[name][1] != html:
            self.version += 1
            self._newest[name] = (self.version, html)
            self._made.clear()

    async def _tell_all(self) -> None:
        if self.version == self._told:
            return
        self._told, self._told_s, waiting = self.version, self._clock.monotonic(), list(self._watchers)
        for begin in range(0, len(waiting), _WOKEN_TOGETHER):
            for watcher in waiting[begin : begin + _WOKEN_TOGETHER]:
                watcher.wake()
            await self._clock.sleep(0)


class Watcher:
    """One browser's place in the stream."""

    def __init__(self, page: LivePage) -> None:
        self._page = page
        self._awake = asyncio.Event()
        self._seen = 0
        self.last = b""  # what is told in the end
        self.is_ended = False

    def wake(self) -> None:
        """Something may be new."""
        self._awake.set()

    def end(self, last: bytes = b"") -> None:
        """Let it go, after it was told `last`."""
        self.is_ended, self.last = True, last
        self.wake()

    async def news(self) -> bytes:
        """Wait for the next look, then say what is new; may be empty."""
        await self._awake.wait()
        self._awake.clear()
        seen, self._seen = self._seen, self._page.version
        return self._page.newer_than(seen)


def sse_event(data: str, *, kind: str = "") -> bytes:
    """One server-sent event as it goes over the wire."""
    lines = data.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    named = [f"event: {kind}\r\n"] if kind else []
    return "".join([*named, *(f"data: {line}\r\n" for line in lines), "\r\n"]).encode()


def _fragment(name: str, html: str) -> str:
    return f'<hx-partial hx-target="#{name}" hx-swap="innerMorph">{html}</hx-partial>'
