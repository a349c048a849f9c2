"""What a hostile reader of the access code looked for: each of these was open once (S2, S6, S9, S17, S32)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, cast

import pytest

from bot.access import AuditResult, Role
from bot.dashboard.people import PEOPLE
from bot.dashboard.routes import DECLARED
from bot.dashboard.tokens import TOKEN_DESK
from bot.errors import DatabaseUnavailable
from bot.models import KillCause, KillLevel, KillState
from tests.fakes.dashboard_day import PASSWORD, USER, add_user
from tests.integration.test_dashboard import Daemon, served, token_in
from tests.integration.test_dashboard_kill import seen_in


@pytest.fixture
async def daemon() -> AsyncIterator[Daemon]:
    async with served() as running:
        yield running


async def down(*_: Any, **__: Any) -> Any:
    raise DatabaseUnavailable("gone")


async def written(daemon: Daemon) -> list[tuple[str, AuditResult]]:
    return [(each.what, each.result) for each in reversed(await daemon.stores.audit.page(99))]


async def test_a_route_that_nobody_declared_is_closed_to_everyone(daemon: Daemon) -> None:
    """S2: forgotten in the table, it is not open to whoever is logged in."""
    cast(dict[Any, Any], daemon.app[DECLARED]).pop(("GET", "/account"))
    await daemon.enter()

    assert (await daemon.get("/account"))[0] == 403
    assert (await daemon.get("/nowhere"))[0] == 404
    assert (await daemon.get("/static/site.css"))[0] == 200


async def test_strangers_with_wrong_links_write_nothing_into_the_database(daemon: Daemon) -> None:
    """S6: rows of the audit cannot be removed, so nobody may fill it without a delay."""
    for _ in range(5):
        assert (await daemon.get("/login?token=guessed"))[0] == 401
    assert await written(daemon) == []

    await daemon.enter()

    assert await written(daemon) == [("login", AuditResult.OK)]


async def test_a_resume_that_was_done_is_told_as_done_though_the_session_could_not_be_raised(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    await daemon.enter()
    await daemon.post("/kill", {"csrf": token_in((await daemon.get("/kill?level=halt"))[1]), "level": "halt"})
    _, page = await daemon.get("/kill?level=none")
    monkeypatch.setattr(daemon.stores.sessions, "open", down)

    answer = await daemon.post(
        "/kill", {"csrf": token_in(page), "seen": seen_in(page), "level": "none", "password": PASSWORD}
    )

    assert (await daemon.stores.kills.current()).level is KillLevel.NONE
    assert answer.status == 303
    assert (await written(daemon))[-1] == ("resume", AuditResult.OK)


async def test_a_password_that_was_changed_is_told_as_changed_though_the_session_could_not_be_raised(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    await daemon.send_login()
    _, page = await daemon.get("/account")
    monkeypatch.setattr(daemon.stores.sessions, "open", down)
    new = "a heron stands in the reeds"

    answer = await daemon.post("/account/password", {"csrf": token_in(page), "new": new, "again": new})

    assert answer.status == 303
    assert (await daemon.get("/account"))[0] == 200


async def test_a_press_that_came_while_the_password_was_looked_at_is_not_resumed_with_it(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S32: two people at once. Somebody halts by telephone while another one ends the halt that he saw."""
    await daemon.enter()
    await daemon.post("/kill", {"csrf": token_in((await daemon.get("/kill?level=halt"))[1]), "level": "halt"})
    _, page = await daemon.get("/kill?level=none")
    real = daemon.stores.users.forgive

    async def meanwhile(keys: Any) -> None:
        await daemon.stores.kills.set(
            KillState(level=KillLevel.HALT, by="bob", cause=KillCause.TELEGRAM, reason="stop", at=daemon.clock.now())
        )
        await real(keys)

    monkeypatch.setattr(daemon.stores.users, "forgive", meanwhile)

    answer = await daemon.post(
        "/kill", {"csrf": token_in(page), "seen": seen_in(page), "level": "none", "password": PASSWORD}
    )

    assert answer.status == 409
    assert {each.by for each in await daemon.stores.kills.active()} == {USER, "bob"}


async def test_what_a_silent_database_did_not_take_is_written_when_it_is_back_without_another_act(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    await daemon.enter()
    _, page = await daemon.get("/kill?level=halt")
    monkeypatch.setattr(daemon.stores.audit, "append", down)
    await daemon.post("/kill", {"csrf": token_in(page), "level": "halt"})
    monkeypatch.undo()
    assert ("kill halt", AuditResult.OK) not in await written(daemon)

    await daemon.clock.run_for(10)

    assert ("kill halt", AuditResult.OK) in await written(daemon)


async def test_the_audit_waits_for_what_is_being_written_when_the_daemon_stops(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with served() as daemon:
        await daemon.enter()
        _, page = await daemon.get("/kill?level=halt")
        monkeypatch.setattr(daemon.stores.audit, "append", down)
        await daemon.post("/kill", {"csrf": token_in(page), "level": "halt"})
        monkeypatch.undo()

    assert ("kill halt", AuditResult.OK) in await written(daemon)


async def test_a_reset_by_an_admin_ends_the_tokens_of_that_person_too(daemon: Daemon) -> None:
    """Who took over an account made tokens with it (S9, S20)."""
    add_user(daemon.stores, "carla", Role.OPERATOR)
    carla = await daemon.app[PEOPLE].get("carla")
    _, text = await daemon.app[TOKEN_DESK].create(carla, label="x", scopes=Role.OPERATOR.scopes, days=9)

    await daemon.app[PEOPLE].reset("carla")

    assert await daemon.app[TOKEN_DESK].recognise(text) is None


async def test_a_first_password_cannot_be_chosen_again(daemon: Daemon) -> None:
    """Whoever handed it over would still know it."""
    await daemon.send_login()
    _, page = await daemon.get("/account")

    answer = await daemon.post("/account/password", {"csrf": token_in(page), "new": PASSWORD, "again": PASSWORD})

    assert answer.status == 400
    assert "the password that you have" in await answer.text()


async def test_pages_that_are_asked_for_at_once_take_turns_and_the_kill_switch_waits_for_none_of_them(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many pages somebody asks for, a few are made at a time: the event loop is for trading."""
    await daemon.enter()
    _, page = await daemon.get("/kill?level=halt")
    going, most, begun, may = 0, 0, asyncio.Event(), asyncio.Event()
    real = daemon.stores.orders.open_positions

    async def slow() -> Any:
        nonlocal going, most
        going += 1
        most = max(most, going)
        begun.set()
        await may.wait()
        going -= 1
        return await real()

    monkeypatch.setattr(daemon.stores.orders, "open_positions", slow)
    asked = [asyncio.create_task(daemon.get("/api/positions")) for _ in range(9)]
    await begun.wait()
    pressed = await daemon.post("/kill", {"csrf": token_in(page), "level": "halt"})
    may.set()
    answers = [each[0] for each in await asyncio.gather(*asked)]

    assert pressed.status == 303
    assert most <= 3
    assert set(answers) == {200}


async def test_connections_without_end_leave_files_for_the_venues(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody need log in to open them, and a process has a bounded number of files (S64)."""
    monkeypatch.setattr("bot.dashboard.listening.MOST_CONNECTIONS", 3)
    async with AsyncExitStack() as held:
        first = [await _first_line(await held.enter_async_context(_connected(daemon))) for _ in range(3)]
        async with _connected(daemon) as fourth:
            beyond = await _first_line(fourth)
    later = b""
    async with asyncio.timeout(10):
        while not later:  # the server has not heard yet that they ended
            async with _connected(daemon) as another:
                later = await _first_line(another)

    assert {*first, later} == {b"HTTP/1.1 200 OK\r\n"}
    assert beyond == b""


_Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def _connected(daemon: Daemon) -> AsyncIterator[_Connection]:
    reader, writer = await asyncio.open_connection("127.0.0.1", daemon.url.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def _first_line(connection: _Connection) -> bytes:
    """Of the answer to a request; nothing from a connection that was closed."""
    reader, writer = connection
    try:
        writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        return await reader.readline()
    except ConnectionError:
        return b""
