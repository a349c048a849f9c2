"""Nobody reads what a process writes (a pager, Ctrl-S, a log driver that stalls): it goes on, and it still ends."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.daemons import PATIENCE_S, PROJECT

LOGGING = """
import asyncio, sys
from loguru import logger
from bot.layer5_monitoring.logger import Redactor, configure_logging

async def main():
    for number in range(int(sys.argv[1])):
        logger.info("line {} {}", number, "x" * 100)
    await asyncio.sleep(0)
    print("the loop goes on", file=sys.stderr, flush=True)

configure_logging(level="INFO", log_format="json", redactor=Redactor(), stream=sys.stdout)
asyncio.run(main())
"""

HANGING = """
import asyncio, contextlib, os, time
from bot.clock import SystemClock
from bot.layer5_monitoring.service_manager import ServiceManager
from bot.wiring.watchdog import watched

async def main():
    turns = iter(range(10**9))
    async with watched(
        lambda: next(turns), ServiceManager(""), SystemClock(), hangs_after_s=0.5, beat_every_s=0.05, last_words_s=0.5
    ):
        await SystemClock().sleep(0.2)
        os.set_blocking(2, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(2, b"x" * 4096)
        os.set_blocking(2, True)
        print("full", flush=True)
        time.sleep(600)

asyncio.run(main())
"""


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts a script whose output and errors are pipes that nobody reads yet."""
    started: list[subprocess.Popen[bytes]] = []

    def one(script: str, *words: str) -> subprocess.Popen[bytes]:
        path = tmp_path / "script.py"
        path.write_text(script)
        started.append(
            subprocess.Popen(
                [sys.executable, str(path), *words],
                env={**os.environ, "PYTHONPATH": str(PROJECT)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        )
        return started[-1]

    yield one
    for each in started:
        each.kill()
        each.communicate()


def test_a_log_that_nobody_reads_holds_neither_the_loop_nor_an_orderly_end(
    begin: Callable[..., subprocess.Popen[bytes]],
) -> None:
    process = begin(LOGGING, "5000")

    status = process.wait(timeout=PATIENCE_S)

    output, errors = process.communicate()
    assert errors == b"the loop goes on\n"
    assert status == 0
    assert json.loads(output.splitlines()[0])["message"].startswith("line 0 ")


def test_an_orderly_end_writes_every_line_that_was_logged(begin: Callable[..., subprocess.Popen[bytes]]) -> None:
    process = begin(LOGGING, "5000")

    output, _ = process.communicate(timeout=PATIENCE_S)

    assert process.returncode == 0
    numbers = [int(json.loads(line)["message"].split()[1]) for line in output.splitlines()]
    assert numbers == list(range(5000))


def test_a_process_that_hangs_ends_with_status_1_although_nobody_reads_its_errors(
    begin: Callable[..., subprocess.Popen[bytes]],
) -> None:
    process = begin(HANGING)
    assert process.stdout is not None
    assert process.stdout.readline() == b"full\n"

    status = process.wait(timeout=PATIENCE_S)

    assert status == 1
