"""The streams of moving pages: who watches which address, and what goes over the wire."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from aiohttp import web
from aiohttp_sse import EventSourceResponse

from bot.dashboard.cookies import cookie
from bot.dashboard.live import LivePage, Watcher, sse_event
from bot.dashboard.pages import PAGES, Page, Query, Section, fill
from bot.dashboard.parts import PARTS
from bot.dashboard.routes import PRINCIPAL
from bot.dashboard.sessions import SESSIONS
from bot.dashboard.vigil import VIGIL

_MAX_WATCHERS: Final = 250
_MAX_ADDRESSES: Final = 50  # that are watched at the same time
_READ_TOGETHER: Final = 2  # sections, over all pages: the other connections to the database are for trading
_SEND_WITHIN_S: Final = 30.0  # to a browser that does not read; then it has to come again
_LOGGED_OUT: Final = sse_event("ended", kind="session-ended")


class LivePages:
    """A live page for each address that somebody watches; the others do not exist."""

    def __init__(self, app: web.Application) -> None:
        self._app = app
        self._pages: dict[tuple[str, tuple[tuple[str, str], ...]], tuple[LivePage, asyncio.Task[None]]] = {}
        self._reading = asyncio.Semaphore(_READ_TOGETHER)
        self._is_closing = False

    def __len__(self) -> int:
        return sum(len(live) for live, _ in self._pages.values())

    @contextmanager
    def watch(self, page: Page, query: Query) -> Iterator[Watcher]:
        """Take part while the context is open. Raises HTTPServiceUnavailable if too many do, or it is the end."""
        key = (page.name, tuple(sorted(query.items())))
        is_full = len(self) >= _MAX_WATCHERS or (key not in self._pages and len(self._pages) >= _MAX_ADDRESSES)
        if self._is_closing or is_full:
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
        async def render(section: Section) -> str:
            async with self._reading:
                return await fill(self._app, section, query)

        parts = self._app[PARTS]
        live = LivePage(sections=page.moving, render=render, events=parts.events, clock=parts.clock)
        return live, asyncio.create_task(live.run(), name=f"live page {page.name}")

    async def end_streams(self, _: web.Application) -> None:
        """Let every stream end, so that a shutdown does not wait for browsers."""
        self._is_closing = True
        for live, _running in self._pages.values():
            live.end_all()


async def events(request: web.Request) -> web.StreamResponse:
    """Server-sent events of the page `?page=` with its own parameters: HTML fragments, each for one element, and
    `session-ended` when the login has run out. 404 for a page that does not move.

    Watching is not using: the idle time of the session goes on.
    """
    page = request.app[PAGES].get(request.query.get("page", "home"))
    if page is None or not request[PRINCIPAL].may(page.needs):
        raise web.HTTPNotFound

    async def holds() -> bool:
        session = await request.app[SESSIONS].look(cookie(request, "session"))
        return request.transport is not None and session is not None and session.principal.may(page.needs)

    with request.app[LIVE_PAGES].watch(page, page.asked(request)) as watcher:
        response = EventSourceResponse(send_timeout=_SEND_WITHIN_S)
        await response.prepare(request)
        with suppress(ConnectionResetError, TimeoutError):
            async with response:
                with request.app[VIGIL].keep(holds, lambda: watcher.end(_LOGGED_OUT)):
                    await _tell(request, response, watcher)
    return response


async def _tell(request: web.Request, response: web.StreamResponse, watcher: Watcher) -> None:
    """Send what is new until it ends. Raises ConnectionResetError, and TimeoutError if the browser does not read."""
    while not watcher.is_ended:
        await _send(request, response, await watcher.news())
    await _send(request, response, watcher.last)


async def _send(request: web.Request, response: web.StreamResponse, event: bytes) -> None:
    if not event:
        return
    try:
        async with asyncio.timeout(_SEND_WITHIN_S):
            await response.write(event)
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()  # a graceful end would wait for the browser, too
        raise


def add_live_pages(app: web.Application) -> None:
    """Give the application its moving pages."""
    app[LIVE_PAGES] = LivePages(app)
    app.on_shutdown.append(app[LIVE_PAGES].end_streams)


LIVE_PAGES: Final = web.AppKey("live_pages", LivePages)
