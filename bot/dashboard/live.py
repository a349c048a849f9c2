"""Moving pages: sections are rendered once for all who watch the same address, and each watcher gets what is new to it.

Nobody waits for a watcher: the journal's writer hands entries to the event stream, one listener only notes that
something happened, and a slow browser simply gets the newest fragment later. While nobody watches, nothing is read.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

from aiohttp import web
from aiohttp_sse import EventSourceResponse
from loguru import logger

from bot.dashboard.pages import PAGES, Page, Query, Section, fill
from bot.dashboard.parts import PARTS
from bot.dashboard.routes import PRINCIPAL
from bot.dashboard.sessions import SESSIONS, cookie_name
from bot.errors import BotError
from bot.interfaces import Clock, EventStream
from bot.models import JournalEntry

TICK_S: Final = 0.25  # at most 4 updates a second, however many entries there are
_PULSE_S: Final = 5.0  # each watcher looks this often whether its session still holds
_MAX_WATCHERS: Final = 250
_MAX_ADDRESSES: Final = 50  # that are watched at the same time
_TROUBLE: Final = "<p>The newest figures could not be read. What is shown is older; it comes back by itself.</p>"
_NOTICE: Final = "notice"

Render = Callable[[Section], Awaitable[str]]


class LivePage:
    """The newest HTML of each section, with a version that rises when it changes."""

    def __init__(self, *, sections: Sequence[Section], render: Render, events: EventStream, clock: Clock) -> None:
        self._sections = sections
        self._render = render
        self._events = events
        self._clock = clock
        self._watchers: set[Watcher] = set()
        self._someone = asyncio.Event()
        self._version = 0
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
                listener = asyncio.create_task(self._listen(entries))
                try:
                    while self._watchers:
                        await self._turn()
                        await self._clock.sleep(TICK_S)
                finally:
                    listener.cancel()
                    with suppress(asyncio.CancelledError):
                        await listener
            self._forget()

    def newer_than(self, seen: dict[str, int]) -> str:
        """HTML of every section that changed since `seen`, which is brought up to date; empty if none did."""
        news = [name for name, (version, _) in self._newest.items() if version > seen.get(name, 0)]
        seen.update({name: self._newest[name][0] for name in news})
        return "".join(_fragment(name, self._newest[name][1]) for name in news)

    def wake_all(self) -> None:
        """Let every watcher look."""
        for watcher in self._watchers:
            watcher.wake()

    def _forget(self) -> None:
        # Old HTML must not be shown to the next one who comes. Versions go on: someone may be coming at this moment.
        self._newest: dict[str, tuple[int, str]] = {}
        self._rendered_s: dict[str, float] = {}
        self._happened: set[str] = set()
        self._failing: set[str] = set()
        self._pulsed_s = self._clock.monotonic()
        if not self._watchers:
            self._someone.clear()

    async def _listen(self, entries: AsyncIterator[JournalEntry]) -> None:
        names = frozenset(each.name for each in self._sections)
        try:
            async for _ in entries:
                self._happened |= names
        except Exception:  # an edge: the page goes on by the clock alone
            logger.exception("dashboard: the event stream ended; pages are refreshed every few seconds only")

    async def _turn(self) -> None:
        now_s, changed = self._clock.monotonic(), False
        for section in self._sections:
            if self._is_due(section, now_s):
                changed |= await self._refresh(section, now_s)
        if changed or now_s - self._pulsed_s >= _PULSE_S:
            self._pulsed_s = now_s
            self.wake_all()

    def _is_due(self, section: Section, now_s: float) -> bool:
        if section.name not in self._rendered_s:
            return True
        waited_s = now_s - self._rendered_s[section.name]
        return waited_s >= (section.quickest_s if section.name in self._happened else section.slowest_s)

    async def _refresh(self, section: Section, now_s: float) -> bool:
        self._rendered_s[section.name] = now_s
        self._happened.discard(section.name)
        try:
            html = await self._render(section)
        except BotError as error:
            logger.warning("dashboard: section {} was not read: {}", section.name, error)
            self._failing.add(section.name)
            return self._put(_NOTICE, _TROUBLE)
        except Exception:  # an edge: one section must not stop the others
            logger.exception("dashboard: section {} failed", section.name)
            self._failing.add(section.name)
            return self._put(_NOTICE, _TROUBLE)
        self._failing.discard(section.name)
        changed = self._put(section.name, html)
        return self._put(_NOTICE, _TROUBLE if self._failing else "") or changed

    def _put(self, name: str, html: str) -> bool:
        if name in self._newest and self._newest[name][1] == html:
            return False
        self._version += 1
        self._newest[name] = (self._version, html)
        return True


class Watcher:
    """One browser's place in the stream."""

    def __init__(self, page: LivePage) -> None:
        self._page = page
        self._awake = asyncio.Event()
        self._seen: dict[str, int] = {}

    def wake(self) -> None:
        """Something may be new."""
        self._awake.set()

    async def news(self) -> str:
        """Wait for the next look, then say what is new; may be empty."""
        await self._awake.wait()
        self._awake.clear()
        return self._page.newer_than(self._seen)


class LivePages:
    """A live page for each address that somebody watches; the others do not exist."""

    def __init__(self, app: web.Application) -> None:
        self._app = app
        self._pages: dict[tuple[str, tuple[tuple[str, str], ...]], tuple[LivePage, asyncio.Task[None]]] = {}
        self.closing = False

    def __len__(self) -> int:
        return sum(len(live) for live, _ in self._pages.values())

    @contextmanager
    def watch(self, page: Page, query: Query) -> Iterator["Watcher"]:
        """Take part while the context is open. Raises HTTPServiceUnavailable if too many do."""
        key = (page.name, tuple(sorted(query.items())))
        if len(self) >= _MAX_WATCHERS or (key not in self._pages and len(self._pages) >= _MAX_ADDRESSES):
            raise web.HTTPServiceUnavailable
        if key not in self._pages:
            self._pages[key] = self._begun(page, query)
        live, running = self._pages[key]
        try:
            with live.watch() as watcher:
                yield watcher
        finally:
            if not live and self._pages.get(key) == (live, running):
                del self._pages[key]
                running.cancel()

    def _begun(self, page: Page, query: Query) -> tuple[LivePage, asyncio.Task[None]]:
        parts = self._app[PARTS]
        live = LivePage(
            sections=page.sections,
            render=lambda section: fill(self._app, section, query),
            events=parts.events,
            clock=parts.clock,
        )
        return live, asyncio.create_task(live.run(), name=f"live page {page.name}")

    async def end_streams(self, _: web.Application) -> None:
        """Let every stream end, so that a shutdown does not wait for browsers."""
        self.closing = True
        for live, _running in self._pages.values():
            live.wake_all()


async def events(request: web.Request) -> web.StreamResponse:
    """Server-sent events of the page `?page=` with its own parameters: HTML fragments, each for one element, and
    `session-ended` when the login has run out. 404 for a page that does not move.

    Watching is not using: the idle time of the session goes on.
    """
    token = request.cookies.get(cookie_name(request, "session"), "")
    sessions, pages = request.app[SESSIONS], request.app[LIVE_PAGES]
    page = request.app[PAGES].get(request.query.get("page", "home"))
    if page is None or not request[PRINCIPAL].may(page.needs):
        raise web.HTTPNotFound
    with pages.watch(page, page.asked(request)) as watcher:
        response = EventSourceResponse(send_timeout=30)
        await response.prepare(request)
        with suppress(ConnectionResetError, TimeoutError):
            async with response:
                while not pages.closing and request.transport is not None:
                    news = await watcher.news()
                    if not sessions.is_alive(token):
                        await response.send("ended", event="session-ended")
                        break
                    if news:
                        await response.send(news)
    return response


def add_live_pages(app: web.Application) -> None:
    """Give the application its moving pages."""
    app[LIVE_PAGES] = LivePages(app)
    app.on_shutdown.append(app[LIVE_PAGES].end_streams)


LIVE_PAGES: Final = web.AppKey("live_pages", LivePages)


def _fragment(name: str, html: str) -> str:
    return f'<hx-partial hx-target="#{name}" hx-swap="innerMorph">{html}</hx-partial>'
