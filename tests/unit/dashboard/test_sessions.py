"""Sessions over time, over restarts and while the database is silent (S8, S9)."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bot.access import Role, User
from bot.clock import ManualClock
from bot.dashboard.sessions import ABSOLUTE_S, IDLE_S, Sessions, csrf_token_of
from bot.database.memory import MemoryStores
from bot.errors import DatabaseUnavailable

_AT = datetime(2025, 1, 1, tzinfo=UTC)


async def opened() -> tuple[Sessions, MemoryStores, ManualClock]:
    stores, clock = MemoryStores(), ManualClock()
    await stores.users.add(User(name="ann", role=Role.ADMIN, password_hash="$", created_at=_AT, password_at=_AT))
    return Sessions(stores.sessions, stores.users, clock), stores, clock


async def test_a_session_that_is_used_all_the_time_outlives_the_purge_and_a_restart() -> None:
    sessions, stores, clock = await opened()
    token = await sessions.open("ann")
    for _ in range(100):  # 50 minutes
        clock.advance(30)
        assert await sessions.use(token) is not None

    await sessions.open("ann")  # which forgets what has run out
    restarted = Sessions(stores.sessions, stores.users, clock)

    assert await sessions.look(token) is not None
    assert await restarted.look(token) is not None


async def test_use_is_written_down_once_a_minute_at_most() -> None:
    sessions, stores, clock = await opened()
    token = await sessions.open("ann")
    written = []
    touch = stores.sessions.touch

    async def noted(digest: bytes, at: datetime) -> None:
        written.append(at)
        await touch(digest, at)

    stores.sessions.touch = noted  # type: ignore[method-assign]
    for _ in range(60):
        clock.advance(10)
        await sessions.use(token)

    assert len(written) == 10


async def test_what_has_run_out_is_forgotten_when_somebody_logs_in() -> None:
    sessions, stores, clock = await opened()
    await sessions.open("ann")
    clock.advance(IDLE_S + 61)
    await sessions.open("ann")

    assert len(await stores.sessions.of("ann")) == 1


async def test_a_step_up_does_not_make_a_session_last_longer() -> None:
    sessions, _, clock = await opened()
    token = await sessions.open("ann")
    for _ in range(24):
        clock.advance(ABSOLUTE_S / 24 - 1)
        token = await sessions.elevate(token)
        assert await sessions.use(token) is not None
    clock.advance(30)

    assert await sessions.use(token) is None


async def test_a_step_up_of_a_dead_session_opens_nothing() -> None:
    sessions, _, _ = await opened()
    token = await sessions.open("ann")
    await sessions.close(token)

    assert await sessions.look(await sessions.elevate(token)) is None


async def test_what_was_known_holds_while_the_database_is_silent_and_runs_out_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sessions, stores, clock = await opened()
    token, unseen = await sessions.open("ann"), await sessions.open("ann")
    await sessions.use(token)

    async def silent(*_: Any) -> Any:
        raise DatabaseUnavailable("gone")

    monkeypatch.setattr(stores.sessions, "get", silent)
    monkeypatch.setattr(stores.sessions, "touch", silent)
    clock.advance(IDLE_S - 1)
    assert await sessions.use(token) is not None
    for never_seen in ("made up", unseen):
        with pytest.raises(DatabaseUnavailable):  # not let in, and not told that the login has ended either
            await sessions.look(never_seen)
    clock.advance(IDLE_S)
    assert await sessions.look(token) is None


async def test_a_session_is_elevated_for_five_minutes() -> None:
    """S15."""
    sessions, _, clock = await opened()
    session = await sessions.use(await sessions.open("ann", proven=True))

    assert session is not None
    assert session.is_elevated(clock.now() + timedelta(seconds=299))
    assert not session.is_elevated(clock.now() + timedelta(seconds=300))


def test_the_form_token_follows_from_the_session_and_tells_nothing_of_it() -> None:
    assert csrf_token_of("a") == csrf_token_of("a")
    assert csrf_token_of("a") != csrf_token_of("b")
    assert len(csrf_token_of("a")) == 43
