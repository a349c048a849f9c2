"""Streams of the pages beside a database that is slow or silent."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import pytest

from bot.dashboard.live_streams import LIVE_PAGES
from bot.dashboard.pages import Page, Section
from bot.dashboard.sessions import SESSIONS
from bot.database.memory import MemoryStores
from bot.errors import DatabaseUnavailable
from tests.fakes.dashboard_day import USER
from tests.integration.test_dashboard import Daemon, served


@asynccontextmanager
async def restarted_without_database(patch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Daemon, Mapping[str, str]]]:
    """A new process over the stores of one that had somebody logged in, and the cookie that this browser has."""
    stores = MemoryStores()
    async with served(stores) as before:
        token = await before.app[SESSIONS].open(USER)

    async def silent(*_: Any) -> Any:
        raise DatabaseUnavailable("gone")

    async with served(stores) as daemon:
        patch.setattr(stores.sessions, "get", silent)
        yield daemon, {"Cookie": f"bot-session-{daemon.url.port}={token}"}


async def test_who_is_logged_in_is_asked_to_come_again_while_nobody_can_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """To a page, 401 is a logout: it would say so and stop, although the database is only slow after a restart."""
    async with restarted_without_database(monkeypatch) as (daemon, cookie):
        answers = {path: (await daemon.get(path, headers=cookie))[0] for path in ("/", "/events", "/ws")}
        monkeypatch.undo()
        again = (await daemon.get("/", headers=cookie))[0]

    assert answers == {"/": 503, "/events": 503, "/ws": 503}
    assert again == 200


async def test_what_is_open_to_everyone_is_open_to_somebody_who_is_not_known_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with restarted_without_database(monkeypatch) as (daemon, cookie):
        answers = {path: (await daemon.get(path, headers=cookie))[0] for path in ("/health", "/login", "/ready")}

    assert answers == {"/health": 200, "/login": 200, "/ready": 200}


async def test_however_many_pages_are_watched_two_sections_are_read_at_a_time() -> None:
    """Each takes a connection to the database."""
    reading = most_at_once = read = 0

    async def load(*_: Any) -> Mapping[str, object]:
        nonlocal reading, most_at_once, read
        reading += 1
        most_at_once = max(most_at_once, reading)
        await daemon.clock.sleep(0.01)
        reading -= 1
        read += 1
        return {"rows": [], "silent": [], "matched": 0}

    section = Section(name="reconcile", load=load)
    pages = [Page(name=f"page {number}", path="/", title="", sections=[section]) for number in range(20)]
    async with served() as daemon:
        with ExitStack() as watching:
            for page in pages:
                watching.enter_context(daemon.app[LIVE_PAGES].watch(page, {}))
            await daemon.clock.run_for(0.2)

    assert read == 20
    assert most_at_once == 2


async def test_a_browser_that_comes_while_the_daemon_stops_is_sent_away() -> None:
    async with served() as daemon:
        await daemon.enter()
        await daemon.app[LIVE_PAGES].end_streams(daemon.app)
        async with asyncio.timeout(10), daemon.client.get(daemon.url / "events") as answer:
            assert answer.status == 503
