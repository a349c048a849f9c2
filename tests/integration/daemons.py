"""Daemons as real processes, for tests that start, stop and kill them."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
PATIENCE_S = 45.0


class RunningDaemon:
    """A daemon on a data directory of its own, on a port of the system's choosing."""

    def __init__(self, data: Path, **environment: str) -> None:
        self.data = data
        self.errors, self.log = data.parent / "stderr", data.parent / "stdout"
        with self.errors.open("wb") as errors, self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "bot.cli", "run", "--data", str(data), "--port", "0"],
                env={**os.environ, "PYTHONPATH": str(PROJECT), "LOG_FORMAT": "json", **environment},
                stdout=log,
                stderr=errors,
                cwd=data.parent,
            )
        try:
            until(self._is_up, self._why)
        except AssertionError:
            self.process.kill()
            self.process.wait()
            raise
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


def started_on(data: Path) -> Iterator[Start]:
    """Starts daemons on one directory; whatever still runs in the end is stopped, a killed one's database too."""
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
