"""The daemon as its user starts it: a process, a real database, a page; stopped, killed and started again."""

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.integration.daemons import PROJECT, Start, until


def test_a_fresh_start_trades_stops_cleanly_and_goes_on_where_it_stopped(data: Path, start: Start) -> None:
    first = start()
    until(lambda: first.api("/api/status")["closed_positions"] >= 1)
    before = first.api("/api/status")
    assert before["mode"] == "dev"
    assert before["signals"]
    assert before["orders"]
    assert first.stop() == 0
    assert not (data / "run.json").exists()

    second = start()
    after = second.api("/api/status")
    assert after["closed_positions"] >= before["closed_positions"]
    assert sum(after["signals"].values()) >= sum(before["signals"].values())
    assert after["now"] >= before["now"]
    assert second.stop(signal.SIGTERM) == 0


def test_a_killed_daemon_comes_back_with_every_position_protected_and_entries_open(start: Start) -> None:
    first = start()
    until(lambda: first.api("/api/status")["open_positions"] >= 1)
    first.stop(signal.SIGKILL)

    second = start()
    until(lambda: second.api("/health")["status"] == "ok")
    health = second.api("/health")
    assert health["entries_blocked"] == []
    for position in second.api("/api/positions")["open"]:
        assert position["stop_price"]
    assert second.stop() == 0


def test_a_second_daemon_on_the_same_data_is_refused_with_the_next_step(data: Path, start: Start) -> None:
    first = start()
    second = subprocess.run(
        [sys.executable, "-P", "-m", "bot.cli", "run", "--data", str(data), "--port", "0"],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert second.returncode == 3
    assert "already runs" in second.stderr
    assert "botctl status" in second.stderr
    assert first.stop() == 0


def test_a_database_that_is_down_is_one_clear_error_without_its_password(tmp_path: Path) -> None:
    refused = subprocess.run(
        [sys.executable, "-P", "-m", "bot.cli", "run", "--data", str(tmp_path / "data"), "--port", "0"],
        env={
            **os.environ,
            "PYTHONPATH": str(PROJECT),
            "DATABASE_URL": "postgresql://bot:canary-secret@127.0.0.1:1/bot",
        },
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert refused.returncode == 6
    assert "127.0.0.1" in refused.stderr
    assert "canary-secret" not in refused.stderr + refused.stdout


def test_a_name_in_the_environment_that_looks_like_a_setting_is_told_at_the_start(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RISK_PER_TRAD", "s3cret")

    daemon = start()

    told = daemon.errors.read_text()
    assert "warning: environment: RISK_PER_TRAD is not a setting; did you mean RISK_PER_TRADE_RATIO?" in told
    assert "s3cret" not in told
    assert daemon.stop() == 0


def test_health_is_open_to_everybody_and_the_api_only_to_the_token(start: Start) -> None:
    daemon = start()
    with urllib.request.urlopen(daemon.url + "/health", timeout=5) as answer:
        assert answer.status == 200
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(daemon.url + "/api/status", timeout=5)
    with refused.value as answer:
        assert answer.status == 401
    assert daemon.stop() == 0
