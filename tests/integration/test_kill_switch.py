"""The kill switch with the real PostgreSQL and the real daemon: heard at once, obeyed, and still pressed afterwards."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.access import Role
from bot.cli import main
from bot.clock import SystemClock
from bot.dashboard.passwords import Hasher
from bot.dashboard.people import PeopleDesk
from bot.database.migrate import MIGRATIONS, migrate
from bot.database.pool import Pool, open_pool
from bot.database.postgres import PostgresStores
from bot.database.postgres_kills import PostgresKillNews
from bot.errors import DatabaseUnavailable
from bot.models import KillCause, KillLevel, KillState
from tests.integration.daemons import PROJECT, RunningDaemon, Start, until
from tests.postgres import START, Databases

PATIENCE_S = 10.0


def press(level: KillLevel = KillLevel.PAUSE) -> KillState:
    return KillState(level=level, by="ada", cause=KillCause.COMMAND, reason="", at=START)


# -------------------------------------------------------------------------------------------------------- rows and news


async def test_a_press_is_heard_on_its_own_connection_without_being_asked_for(databases: Databases) -> None:
    async with databases.fresh() as dsn:
        pool = await open_pool(dsn)
        stores, heard = PostgresStores(pool), asyncio.Event()
        listening = asyncio.create_task(PostgresKillNews(dsn).listen(heard.set))
        async with asyncio.timeout(PATIENCE_S):
            await heard.wait()  # it says so when it begins
        heard.clear()
        await stores.kills.set(press())
        await asyncio.wait_for(heard.wait(), PATIENCE_S)
        assert not listening.done(), "and it listens on"
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        await stores.close()


async def test_a_lost_connection_ends_the_listening_with_a_word(databases: Databases) -> None:
    async with databases.fresh() as dsn:
        pool = await open_pool(dsn)
        heard = asyncio.Event()
        listening = asyncio.create_task(PostgresKillNews(dsn).listen(heard.set))
        async with asyncio.timeout(PATIENCE_S):
            await heard.wait()
            await pool.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE 'LISTEN%'"
            )
            with pytest.raises(DatabaseUnavailable):
                await listening
        await pool.close()


async def test_a_database_that_does_not_let_us_in_is_one_of_our_errors() -> None:
    with pytest.raises(DatabaseUnavailable):
        await PostgresKillNews("postgresql://bot@127.0.0.1:1/bot").listen(lambda: None)


async def test_the_latch_of_the_first_schema_is_carried_over_with_its_history(empty_pool: Pool, tmp_path: Path) -> None:
    # Arrange: a database of the first schema in which the drawdown latched, was cleared, and latched again
    (tmp_path / "0001_initial.sql").write_text((MIGRATIONS / "0001_initial.sql").read_text())
    await migrate(empty_pool, SystemClock(), tmp_path)
    insert = "INSERT INTO stops_latched (reason, latched_at, cleared_by, cleared_at) VALUES ($1, $2, $3, $4)"
    await empty_pool.execute(insert, "first fall", START, "eve", START)
    await empty_pool.execute(insert, "second fall", START, None, None)

    # Act
    await migrate(empty_pool, SystemClock())

    # Assert
    kills = PostgresStores(empty_pool).kills
    held = await kills.current()
    assert (held.level, held.cause, held.reason) == (KillLevel.PAUSE, KillCause.DRAWDOWN, "second fall")
    assert [(each.level, each.by) for each in await kills.history(9)] == [
        (KillLevel.PAUSE, "daemon"),
        (KillLevel.NONE, "eve"),
        (KillLevel.PAUSE, "daemon"),
    ]


# --------------------------------------------------------------------------------------------------------- the commands


@pytest.fixture
async def stores(
    databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[PostgresStores]:
    """Those of the database that the commands find in their settings."""
    (tmp_path / ".env").write_text("")
    monkeypatch.chdir(tmp_path)
    async with databases.fresh() as dsn:
        monkeypatch.setenv("DATABASE_URL", dsn)
        opened = PostgresStores(await open_pool(dsn))
        yield opened
        await opened.close()


async def test_a_pause_beside_a_flatten_says_that_positions_are_being_closed(
    stores: PostgresStores, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for level in ("pause", "flatten", "pause"):
        assert await asyncio.to_thread(main, [level, "--data", str(tmp_path)]) == 0

    alone, beside, again = capsys.readouterr().out.splitlines()
    assert alone.startswith("PAUSE: no new entries; positions, stops and exits go on.")
    closing = "FLATTEN and PAUSE hold together: no new entries; every position is being closed at market."
    assert beside.startswith(f"FLATTEN; {closing}")
    assert again.startswith(f"PAUSE holds already; {closing}")


async def test_a_password_that_still_has_to_be_changed_ends_no_halt(
    stores: PostgresStores, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Arrange
    desk = PeopleDesk(stores=stores, hasher=Hasher(), clock=SystemClock())
    _, first = await desk.add("ada", Role.ADMIN)
    await stores.kills.set(press(KillLevel.HALT))
    file, resume = tmp_path / "password", ["resume", "--data", str(tmp_path), "--user", "ada", "--password-file"]
    file.write_text(first)

    # Act
    refused = await asyncio.to_thread(main, [*resume, str(file)])
    held = await stores.kills.current()
    told = capsys.readouterr().err
    await desk.set_password("ada", "a heron stands in the reeds")
    file.write_text("a heron stands in the reeds")
    resumed = await asyncio.to_thread(main, [*resume, str(file)])

    # Assert
    assert (refused, held.level) == (2, KillLevel.HALT)
    assert "Choose your own first, on the page Account or with ./botctl users passwd ada" in told
    assert (resumed, (await stores.kills.current()).level) == (0, KillLevel.NONE)


# ----------------------------------------------------------------------------------------------------------- the daemon


def botctl(data: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "bot.cli", *words, "--data", str(data)],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def opened_of(daemon: RunningDaemon) -> int:
    return int(daemon.api("/api/status")["open_positions"])


def entries_of(daemon: RunningDaemon) -> set[str]:
    """Entries that left, by name: refused ones never did."""
    orders = daemon.api("/api/orders?limit=500")["rows"]
    return {each["client_order_id"] for each in orders if each["role"] == "entry" and each["state"] != "DENIED"}


@pytest.fixture
def trading(start: Start) -> RunningDaemon:
    """A daemon with something open."""
    daemon = start()
    until(lambda: opened_of(daemon) >= 1)
    return daemon


def test_flatten_by_command_closes_everything_within_2_s_and_nothing_opens_after_it_or_after_a_kill(
    data: Path, trading: RunningDaemon, start: Start
) -> None:
    # Act
    pressed = botctl(data, "flatten", "--reason", "hurry")
    done_s = time.monotonic()
    until(lambda: opened_of(trading) == 0)

    # Assert
    assert pressed.returncode == 0, pressed.stderr
    assert time.monotonic() - done_s < 2
    assert trading.api("/health")["kill"] == "flatten"
    before = entries_of(trading)
    judged = sum(trading.api("/api/status")["signals"].values())
    until(lambda: sum(trading.api("/api/status")["signals"].values()) > judged)  # it goes on thinking
    assert entries_of(trading) == before
    trading.stop(signal.SIGKILL)

    again = start()
    assert "FLATTEN by" in again.api("/api/status")["kill"]
    assert opened_of(again) == 0
    judged = sum(again.api("/api/status")["signals"].values())
    until(lambda: sum(again.api("/api/status")["signals"].values()) > judged)
    assert entries_of(again) == before
    assert again.stop() == 0


def test_the_file_halts_and_only_the_password_resumes(data: Path, trading: RunningDaemon) -> None:
    (data / "KILL").write_text("halt")
    until(lambda: trading.api("/health")["kill"] == "halt")
    (data / "KILL").unlink()
    assert botctl(data, "flatten").returncode == 0
    until(lambda: "FLATTEN by" in trading.api("/api/status")["kill"])
    assert trading.api("/api/status")["kill"].startswith("HALT by"), "both hold"
    assert trading.api("/health")["kill"] == "halt", "removing the file does not resume"
    risk = trading.api("/api/risk")
    assert (risk["kill"]["level"], risk["kill"]["cause"]) == ("halt", "file")

    refused = botctl(data, "resume")
    assert refused.returncode == 2
    assert "--password-file" in refused.stderr
    wrong = data / "wrong"
    wrong.write_text("guess")
    assert botctl(data, "resume", "--password-file", str(wrong)).returncode == 2
    assert trading.api("/health")["kill"] == "halt"

    right = data / "right"
    right.write_text("a heron stands in the reeds")
    assert botctl(data, "users", "passwd", "admin", "--password-file", str(right)).returncode == 0
    resumed = botctl(data, "resume", "--password-file", str(right))
    assert resumed.returncode == 0, resumed.stderr
    until(lambda: trading.api("/health")["kill"] == "none")
    shown = botctl(data, "risk")
    assert "Kill switch: not pressed." in shown.stdout
    assert trading.stop() == 0
