"""`python -m tests.fakes` as the daemon starts it: it says where it is, outlives Ctrl-C, and ends with its parent."""

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator

import pytest

from tests.integration.daemons import PROJECT

Process = subprocess.Popen[bytes]


@pytest.fixture
def fakes() -> Iterator[Process]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.fakes", "--lively"], cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        yield process
        process.kill()


def settings_of(process: Process) -> dict[str, str]:
    assert process.stdout is not None
    told: dict[str, str] = json.loads(process.stdout.readline())
    return told


def test_the_settings_lead_to_every_venue_and_to_what_the_venues_know(fakes: Process) -> None:
    settings = settings_of(fakes)

    assert {"BINANCE_URL", "OANDA_URL", "IG_URL", "YAHOO_URL", "OANDA_TOKEN", "IG_PASSWORD"} < settings.keys()
    with urllib.request.urlopen(f"{settings['BINANCE_URL']}/api/v3/time", timeout=10) as answer:
        assert json.loads(answer.read())["serverTime"] > 0
    with urllib.request.urlopen(settings["FAKES_URL"], timeout=10) as answer:
        assert json.loads(answer.read())["entries"] == {"binance": [], "oanda": []}


def test_ctrl_c_leaves_them_to_whoever_started_them(fakes: Process) -> None:
    url = settings_of(fakes)["FAKES_URL"]

    fakes.send_signal(signal.SIGINT)

    with urllib.request.urlopen(url, timeout=10) as answer:
        assert answer.status == 200
    fakes.terminate()
    assert fakes.wait(timeout=20) == 0


def test_they_end_when_whoever_started_them_is_gone(fakes: Process) -> None:
    settings_of(fakes)
    assert fakes.stdin is not None

    fakes.stdin.close()

    assert fakes.wait(timeout=20) == 0
