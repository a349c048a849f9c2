"""The daemon as its user starts it: a process, a real database, a page; stopped, killed and started again."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parents[2]
PATIENCE_S = 45.0


class RunningDaemon:
    """A daemon on a data directory of its own, on a port of the system's choosing."""

    def __init__(self, data: Path, **environment: str) -> None:
        self.data = data
        self.errors = data.parent / "stderr"
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "bot.cli", "run", "--data", str(data), "--port", "0"],
                env={**os.environ, "PYTHONPATH": str(PROJECT), "LOG_FORMAT": "json", **environment},
                stdout=subprocess.DEVNULL,
                stderr=errors,
                cwd=data.parent,
            )
        until(self._is_up, self._why)
        facts = json.loads((data / "run.json").read_text())
        self.url, self.token = facts["url"], facts["token"]

    def api(self, path: str) -> Any:
        """The JSON answer of the API."""
        request = urllib.request.Request(self.url + path, headers={"Authorization": f"Bearer {self.token}"})
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.loads(answer.read())

    def stop(self, number: int = signal.SIGINT) -> int:
        """Send a signal and wait for the end; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=20)

    def _is_up(self) -> bool:
        """The file of a killed predecessor is still there at first: it names another process."""
        path = self.data / "run.json"
        return path.exists() and json.loads(path.read_text())["pid"] == self.process.pid

    def _why(self) -> str:
        return self.errors.read_text()


def until(holds: Callable[[], bool], why: Callable[[], str] = str) -> None:
    """Wait for something that a real process does."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {PATIENCE_S} s: {why()}")
        time.sleep(0.02)


Start = Callable[[], RunningDaemon]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory of the test's own."""
    return tmp_path / "data"


@pytest.fixture
def start(data: Path) -> Iterator[Start]:
    """Starts daemons on it; whatever still runs in the end is stopped, the database of a killed one too."""
    started: list[RunningDaemon] = []

    def one_more() -> RunningDaemon:
        started.append(RunningDaemon(data))
        return started[-1]

    yield one_more
    for daemon in started:
        if daemon.process.poll() is None:
            daemon.process.kill()
            daemon.process.wait(timeout=20)
    for pid_file in data.glob("**/postmaster.pid"):
        os.kill(int(pid_file.read_text().split("\n", 1)[0]), signal.SIGINT)
        until(lambda: not pid_file.exists())  # noqa: B023 called within this turn


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


def test_health_is_open_to_everybody_and_the_api_only_to_the_token(start: Start) -> None:
    daemon = start()
    with urllib.request.urlopen(daemon.url + "/health", timeout=5) as answer:
        assert answer.status == 200
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(daemon.url + "/api/status", timeout=5)
    with refused.value as answer:
        assert answer.status == 401
    assert daemon.stop() == 0
