"""A server that forgets what it committed when the power fails (RELIABILITY D8): told, and refused to real money."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import orjson
import pytest

from bot.cli import main
from bot.clock import SystemClock
from bot.database.durability import durability_faults, durability_refusal
from bot.database.embedded import EmbeddedPostgres
from bot.database.pool import open_pool
from bot.database.writer import WriterLock
from tests.integration.daemons import RunningDaemon
from tests.postgres import Databases

UNSAFE = ("fsync", "full_page_writes", "synchronous_commit")
SAYS = "PostgreSQL setting fsync is 'off', needs 'on': a power cut can undo what was committed"
# Keeps what a session that raises the epoch is set to: nobody else can look into it.
WATCHED = """
    CREATE TABLE seen (setting text);
    CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NEW; END $$;
    CREATE TRIGGER see BEFORE UPDATE ON writer FOR EACH ROW EXECUTE FUNCTION see()
"""


def of_superuser(dsn: str) -> str:
    return dsn.replace("user=bot", "user=postgres")


@pytest.fixture
async def careless(tmp_path: Path) -> AsyncIterator[str]:
    """DSN of a server of the test's own, whose administrator wanted it fast."""
    server = EmbeddedPostgres(tmp_path / "server", sleep=SystemClock().sleep)
    try:
        connection = await asyncpg.connect(of_superuser(await server.start()))
        for name in UNSAFE:
            await connection.execute(f"ALTER SYSTEM SET {name} = off")
        await connection.close()
        await server.stop()
        yield await server.start()
    finally:
        await server.stop()


async def test_a_daemon_on_a_server_that_may_forget_says_so_in_log_checkup_and_doctor(
    careless: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Arrange
    data = tmp_path / "data"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", careless)
    monkeypatch.setenv("DATA_DIRECTORY", str(data))
    daemon = await asyncio.to_thread(RunningDaemon, data)

    # Act
    try:
        checks = (await asyncio.to_thread(daemon.api, "/health/deep"))["checks"]
        code = await asyncio.to_thread(main, ["doctor", "--json"])
        doctor = orjson.loads(capsys.readouterr().out)["checks"]
    finally:
        ended = await asyncio.to_thread(daemon.stop)

    # Assert
    row = next(each for each in checks if each["name"] == "durability")
    asked = next(each for each in doctor if each["name"] == "database")
    assert (row["status"], asked["status"], code, ended) == ("warn", "warn", 4, 0)
    for told in (row["says"], asked["detail"]):
        assert SAYS in told
        assert "full_page_writes" in told
        assert "synchronous_commit" not in told, "our own sessions force it"
    assert "ALTER SYSTEM SET that setting = on" in row["next_step"]
    assert SAYS in daemon.log.read_text()


async def test_what_only_a_session_needs_is_forced_on_every_connection_that_writes(databases: Databases) -> None:
    async with databases.fresh() as dsn:
        # Arrange
        admin = await asyncpg.connect(dsn)
        await admin.execute(WATCHED)
        name = await admin.fetchval("SELECT current_database()")
        await admin.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")

        # Act
        async with WriterLock(dsn, SystemClock()).held():
            seen = await admin.fetchval("SELECT setting FROM seen")
        pool = await open_pool(dsn)
        faults = await durability_faults(pool)
        await pool.close()
        await admin.close()

    # Assert
    assert seen == "on"
    assert faults == ()


@pytest.mark.parametrize("mode", ["dev", "paper"])
def test_without_real_money_a_forgetful_server_is_told_only(mode: str) -> None:
    assert durability_refusal([SAYS], mode) == ""


def test_real_money_does_not_start_on_a_forgetful_server_and_is_told_the_next_step() -> None:
    refusal = durability_refusal([SAYS], "live")

    assert refusal.startswith(f"MODE=live does not start on this database: {SAYS}")
    assert "ALTER SYSTEM SET that setting = on" in refusal


def test_a_mode_that_nobody_has_thought_about_is_as_careful_as_real_money() -> None:
    assert durability_refusal([SAYS], "new")
    assert not durability_refusal([], "live")
