"""The daemon in the environment that fly.toml gives it: reached over both protocols, also by its own commands."""

import json
import os
import subprocess
import sys
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.daemons import PROJECT, RunningDaemon, Start, until


@pytest.fixture
def deployed(data: Path, start: Start) -> Iterator[RunningDaemon]:
    """As in fly.toml, but for the market and the ports; `start` is asked for because it stops a database left over."""
    del start
    environment = tomllib.loads((PROJECT / "fly.toml").read_text())["env"]
    daemon = RunningDaemon(data, **{**environment, "MODE": "dev", "METRICS_PORT": "0"})
    yield daemon
    if daemon.process.poll() is None:
        daemon.process.kill()
        daemon.process.wait()


def test_behind_a_proxy_health_checks_and_the_programs_own_commands_get_in_and_nobody_else_is_trusted(
    data: Path, deployed: RunningDaemon
) -> None:
    # Arrange
    port = deployed.url.rsplit(":", 1)[1]
    until(lambda: status_of(f"http://127.0.0.1:{port}/ready") == 200)

    # Act
    told = subprocess.run(
        [sys.executable, "-P", "-m", "bot.cli", "status", "--json", "--data", str(data)],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    # Assert
    assert status_of(f"http://127.0.0.1:{port}/health") == 200
    assert status_of(f"http://[::1]:{port}/health") == 200
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)["mode"] == "dev"
    assert status_of(f"http://127.0.0.1:{port}/api/status") == 401
    assert deployed.stop() == 0


def status_of(url: str) -> int:
    """What it answers there; a health check does not follow redirects."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            assert answer.url == url
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
