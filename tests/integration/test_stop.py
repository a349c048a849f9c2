"""Told to stop at any moment, a real daemon leaves with status 0 within 10 s; one that hangs leaves by itself."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.daemons import PATIENCE_S, PROJECT, until

HANGING = """
import asyncio, sys, time
from bot.clock import SystemClock
from bot.layer5_monitoring.service_manager import ServiceManager
from bot.wiring.watchdog import watched

async def main():
    turns = iter(range(10**9))
    progress = (lambda: next(turns)) if sys.argv[1] == "loop" else (lambda: "the same")
    async with watched(progress, ServiceManager(""), SystemClock(), hangs_after_s=0.5, beat_every_s=0.05):
        await SystemClock().sleep(0.2)
        print("up", flush=True)
        if sys.argv[1] == "loop":
            time.sleep(60)
        await SystemClock().sleep(60)

asyncio.run(main())
"""


class Starting:
    """A daemon that may be anywhere in its start."""

    def __init__(self, data: Path, *words: str, **environment: str) -> None:
        self.data = data
        self._told = data.parent / "told"
        with self._told.open("wb") as told:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "bot.cli", "run", "--data", str(data), "--port", "0", *words],
                env={**os.environ, "PYTHONPATH": str(PROJECT), "LOG_FORMAT": "json", **environment},
                stdout=subprocess.DEVNULL,
                stderr=told,
                cwd=data.parent,
            )

    def told(self) -> str:
        """What it has said to the person at the terminal."""
        return self._told.read_text()

    def has_run_file(self) -> bool:
        """It is up: the first history is being loaded."""
        return (self.data / "run.json").exists()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=PATIENCE_S)


@pytest.fixture
def begin(data: Path) -> Iterator[Callable[..., Starting]]:
    """Starts a daemon and does not wait for it."""
    started: list[Starting] = []

    def one(*words: str, **environment: str) -> Starting:
        started.append(Starting(data, *words, **environment))
        return started[-1]

    yield one
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
            each.process.wait()
    for pid_file in data.glob("**/postmaster.pid"):
        os.kill(int(pid_file.read_text().split("\n", 1)[0]), signal.SIGINT)
        until(lambda: not pid_file.exists())  # noqa: B023 called within this turn


@pytest.mark.parametrize(
    ("words", "moment"),
    [
        ((), "starting"),
        ((), "Making the database"),
        ((), "run.json"),
        (("--mode", "paper", "--fakes"), "starting"),
        (("--mode", "paper", "--fakes"), "run.json"),
    ],
)
def test_told_to_stop_at_any_moment_of_a_start_it_leaves_with_status_0_within_10_s_and_leaves_no_server(
    data: Path, begin: Callable[..., Starting], words: tuple[str, ...], moment: str
) -> None:
    # Arrange
    daemon = begin(*words)
    until(daemon.has_run_file if moment == "run.json" else lambda: moment in daemon.told(), daemon.told)

    # Act
    status = daemon.stop()

    # Assert: it is cut off after 9.5 s by its own clock, with status 1; ours may be late on a busy machine
    assert status == 0, daemon.told()
    assert "stopped" in daemon.told()
    assert "Traceback" not in daemon.told()
    assert list(data.glob("**/postmaster.pid")) == []
    assert not daemon.has_run_file()


def test_systemd_is_told_when_it_is_up_that_it_lives_and_that_it_stops(
    tmp_path: Path, begin: Callable[..., Starting]
) -> None:
    # Arrange
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(PATIENCE_S)

        # Act
        daemon = begin(NOTIFY_SOCKET=str(tmp_path / "notify"))
        first = {manager.recv(100), manager.recv(100)}
        was_up = daemon.has_run_file()
        daemon.stop()
        last = manager.recv(100)
        while last == b"WATCHDOG=1":
            last = manager.recv(100)

    # Assert
    assert first == {b"READY=1", b"WATCHDOG=1"}
    assert was_up
    assert last == b"STOPPING=1"


@pytest.mark.parametrize("kind", ["loop", "progress"])
def test_a_process_that_hangs_ends_with_status_1_and_says_where_it_hung(tmp_path: Path, kind: str) -> None:
    script = tmp_path / "hanging.py"
    script.write_text(HANGING)

    ended = subprocess.run(
        [sys.executable, str(script), kind],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )

    assert ended.stdout == "up\n"
    assert ended.returncode == 1
    assert "hanging.py" in ended.stderr


def test_a_thread_that_waits_for_a_venue_does_not_hold_the_process(tmp_path: Path) -> None:
    script = tmp_path / "waiting.py"
    script.write_text(
        "import threading\n"
        "from bot.main import leave_in\n"
        "threading.Thread(target=threading.Event().wait).start()\n"
        "leave_in(0.2, 0)\n"
    )

    ended = subprocess.run(
        [sys.executable, str(script)], env={**os.environ, "PYTHONPATH": str(PROJECT)}, timeout=PATIENCE_S, check=False
    )

    assert ended.returncode == 0
