"""A served dashboard and a real browser in front of it."""

import shutil
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from playwright.async_api import BrowserContext, Page, async_playwright

from bot.clock import SystemClock
from bot.dashboard.app import create_app, serve
from bot.dashboard.sessions import OneTimeLogin
from bot.database.memory import MemoryStores
from bot.instruments import Symbol
from bot.layer5_monitoring.events import JournalEvents
from bot.models import FeatureSet, Timeframe
from tests.fakes.dashboard_chart import walked
from tests.fakes.dashboard_day import NOW, PRICES, dashboard_parts, fill_day
from tests.fakes.dashboard_story import fill_story

_ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
_NO_BROWSER = "there is no chromium on this machine (Debian: apt-get install chromium)"
_NOTE_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", event => {
  console.error(`CSP: ${event.violatedDirective} blocked ${event.blockedURI} ${event.sample}`);
});
"""


@dataclass
class Site:
    """A dashboard over a believable day, running in real time. Its newest candle has closed by `candles_until`."""

    app: web.Application
    url: str
    stores: MemoryStores
    events: JournalEvents
    one_time_login: OneTimeLogin
    candles_until: datetime = NOW


@dataclass
class Visit:
    """One browser tab and everything that went wrong in it."""

    page: Page
    context: BrowserContext
    troubles: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Write down console errors, blocked resources, exceptions, dialogs and failed answers."""
        note = self.troubles.append
        self.page.on("console", lambda message: note(message.text) if message.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: note(f"exception: {error}"))
        self.page.on("dialog", lambda dialog: note(f"dialog: {dialog.message}"))
        self.page.on("response", lambda answer: note(f"{answer.status} {answer.url}") if answer.status >= 400 else None)


Visitor = Callable[..., Awaitable[Visit]]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say it also where skips are not listed: a check without a browser has not looked at the page."""
    if _CHROMIUM is None:
        terminalreporter.write_line(f"browser tests skipped: {_NO_BROWSER}", yellow=True)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    stores, events, clock = MemoryStores(), JournalEvents(), SystemClock()
    await fill_day(stores)
    await fill_story(stores)

    def features(symbol: Symbol, timeframe: Timeframe) -> FeatureSet | None:
        return walked(symbol, timeframe, PRICES[symbol], made.candles_until) if symbol in PRICES else None

    parts = dashboard_parts(stores, events, clock, features=features)
    assert parts.one_time_login is not None
    listening = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    app = create_app(parts)
    runner = await serve(app, listening)
    made = Site(app, url, stores, events, parts.one_time_login)
    yield made
    await runner.cleanup()


@pytest.fixture
async def visit(site: Site, tmp_path: Path) -> AsyncIterator[Visitor]:
    """Opens the site logged in: `await visit(width=390)`."""
    if _CHROMIUM is None:
        pytest.skip(_NO_BROWSER)
    async with AsyncExitStack() as stack:
        playwright = await stack.enter_async_context(async_playwright())

        async def open_page(*, width: int = 1280, **options: Any) -> Visit:
            context = await playwright.chromium.launch_persistent_context(
                str(tmp_path / f"profile-{width}"),
                executable_path=_CHROMIUM,
                args=list(_ARGUMENTS),
                viewport={"width": width, "height": 900},
                **options,
            )
            stack.push_async_callback(context.close)
            visit = Visit(context.pages[0], context)
            visit.watch()
            await context.add_init_script(_NOTE_VIOLATIONS)
            await visit.page.goto(f"{site.url}/login?token={site.one_time_login.issue()}")
            return visit

        yield open_page
