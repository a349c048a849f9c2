"""`botctl db` as a person runs it: beside a daemon, and after it."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bot.config import load_settings
from bot.wiring.database_tools import backup_directory, backups_in, make_backup, migrate_database
from tests.integration.daemons import PROJECT, RunningDaemon, Start, until
from tests.postgres import Databases


def bot(*words: str, data: Path, environment: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    """One call of a command."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "bot.cli", *words, "--data", str(data)],
        env={**os.environ, "PYTHONPATH": str(PROJECT), **(environment or {})},
        cwd=data.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def db(*words: str, data: Path, environment: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    """One call of `db`."""
    return bot("db", *words, data=data, environment=environment)


def facts(*words: str, data: Path) -> Any:
    """What it says as JSON."""
    done = db(*words, "--json", data=data)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def adopted_what_was_opened_since(daemon: RunningDaemon) -> bool:
    """True once nothing blocks entries: the restored book knows no position that is younger than the backup."""
    for venue in daemon.api("/api/differences")["brokers"]:
        for unknown in (each for each in venue["differences"] if "adopt" in each["answers"]):
            bot("reconcile", "--adopt", unknown["id"], data=daemon.data)  # refused if its stop has filled meanwhile
    return bool(daemon.api("/health")["status"] == "ok")


def test_a_backup_beside_a_trading_daemon_is_restored_and_the_daemon_goes_on_from_it(data: Path, start: Start) -> None:
    # Arrange
    first = start()
    until(lambda: first.api("/api/status")["signals"] != {})

    # Act: the backup does not disturb the daemon, and no restore goes under it
    made = facts("backup", data=data)
    refused = db("restore", made["file"], "--replace", "--yes", data=data)
    assert facts("status", data=data)["daemon_trades"] is True
    assert first.api("/health")["status"] == "ok"
    assert first.stop() == 0

    unasked = db("restore", made["file"], data=data)
    restored = facts("restore", made["file"], "--replace", "--yes", data=data)

    # Assert
    assert refused.returncode == 3
    assert "stop it" in refused.stderr
    assert unasked.returncode == 2
    assert "not empty" in unasked.stderr
    assert restored["rows"] == made["rows"]
    assert Path(restored["replaced_data_is_in"]).exists()
    assert list(data.glob("**/postmaster.pid")) == []
    assert facts("check", made["file"], data=data)["restore_would_apply"] == []

    second = start()
    until(lambda: adopted_what_was_opened_since(second), lambda: str(second.api("/health")))
    assert sum(second.api("/api/status")["signals"].values()) >= 1
    assert db("check", data=data).returncode == 0
    assert second.stop() == 0


def test_the_release_command_without_a_database_makes_none(data: Path) -> None:
    done = db("migrate", data=data, environment={"RELEASE_COMMAND": "1"})

    assert done.returncode == 0
    assert "at its start" in done.stdout
    assert not data.exists()


async def test_only_the_newest_backups_are_kept_and_only_ours_are_removed(databases: Databases, tmp_path: Path) -> None:
    # Arrange
    async with databases.fresh() as dsn:
        settings = {"DATABASE_URL": dsn, "DATA_DIRECTORY": str(tmp_path)}
        loaded = load_settings(settings, None)
        folder = backup_directory(loaded)
        folder.mkdir()
        for name in ("bot-20240101T000000Z-schema0001.zip", "bot-20240102T000000Z-schema0001.zip", "mine.zip"):
            (folder / name).write_bytes(b"")
        left = folder / "bot-20240101T000000Z-schema0001.zip.partial"
        left.write_bytes(b"of a killed backup")
        os.utime(left, (0, datetime(2024, 1, 1, tzinfo=UTC).timestamp()))

        # Act
        assert await migrate_database(loaded, lambda _: None) == ()
        made = await make_backup(loaded, None, None, 2, lambda _: None)

    # Assert
    kept = [each.path.name for each in backups_in(folder)]
    assert kept == [made.path.name, "bot-20240102T000000Z-schema0001.zip"]
    assert sorted(each.name for each in made.removed) == [
        "bot-20240101T000000Z-schema0001.zip",
        "bot-20240101T000000Z-schema0001.zip.partial",
    ]
    assert (folder / "mine.zip").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("restore", "nowhere.zip"), "there is no backup"),
        (("backup", "--keep", "0"), "at least 1"),
        (("status",), "./botctl run makes one"),
        (("backup", "--key-file", "nowhere"), "openssl rand -hex 32"),
    ],
)
def test_a_wrong_call_is_one_line_with_the_next_step(data: Path, words: tuple[str, ...], says: str) -> None:
    done = db(*words, data=data)

    assert done.returncode == 2
    assert says in done.stderr
    assert not (data / "postgres").exists()
