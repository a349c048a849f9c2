"""A real daemon whose database ends under it: what the commands say, and that it goes on when the database is back."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.integration.daemons import PROJECT, Start, until


def botctl(data: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-P", "-m", "bot.cli", *words, "--data", str(data)],
        env={**os.environ, "PYTHONPATH": str(PROJECT), "COLUMNS": "200"},
        cwd=data.parent,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_while_its_database_is_away_every_command_says_so_and_what_protects(data: Path, start: Start) -> None:
    # Arrange
    daemon = start()
    until(lambda: daemon.api("/health")["status"] == "ok")
    (lock_file,) = data.glob("**/postmaster.pid")
    os.kill(int(lock_file.read_text().split("\n", 1)[0]), signal.SIGINT)
    until(lambda: daemon.api("/health")["writer_lock"] == "away")

    # Act
    told = {each: botctl(data, each) for each in ("status", "risk", "reconcile")}

    # Assert
    assert {each: done.returncode for each, done in told.items()} == dict.fromkeys(told, 6)
    for done in told.values():
        assert "does not answer, since 20" in done.stderr
        assert "Entries are blocked" in done.stderr
        assert "Stops that rest at the venues protect" in done.stderr
        assert "Traceback" not in done.stdout + done.stderr
    assert "degraded" in told["status"].stdout
    assert "compared" in told["reconcile"].stdout
