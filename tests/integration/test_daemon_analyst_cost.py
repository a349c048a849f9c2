"""What a daemon has asked and paid, as its commands tell it while it runs."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

from bot.clock import SystemClock
from bot.layer2_intelligence.analyst.recordings import read_cassettes
from tests.fakes.messages_api import KEY, FakeMessagesApi
from tests.integration.daemons import RunningDaemon, until


def botctl(*words: str) -> str:
    """Standard output of a command; it must end well."""
    done = subprocess.run(
        [sys.executable, "-m", "bot.cli", *words], capture_output=True, text=True, check=False, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_what_was_asked_is_told_as_cost_and_as_recordings(tmp_path: Path) -> None:
    data, report, recordings = tmp_path / "data", tmp_path / "cost.json", tmp_path / "recordings"
    async with FakeMessagesApi(clock=SystemClock()) as fake:
        fake.answer_with = lambda body: {"divergence": None, "confidence": 70}
        daemon = await asyncio.to_thread(
            RunningDaemon, data, ANTHROPIC_API_KEY=KEY, ANTHROPIC_URL=fake.url, DEV_SPEED="36000"
        )
        try:
            await asyncio.to_thread(until, lambda: daemon.api("/health")["analyst"]["rung"] == "model")
            said = await asyncio.to_thread(botctl, "analyst", "cost", "--data", str(data), "--json", str(report))
            await asyncio.to_thread(botctl, "analyst", "export", str(recordings), "--data", str(data))
            again = await asyncio.to_thread(botctl, "analyst", "import", str(recordings), "--data", str(data))
        finally:
            await asyncio.to_thread(daemon.stop)

    told = json.loads(report.read_text())
    cassettes = read_cassettes(recordings)
    assert "this month: $" in said
    assert sum(row["requests"] for row in told["rows"]) >= 1
    assert float(told["dollars"]) > 0
    assert {each.origin for each in cassettes} == {"fake"}
    assert again.startswith("0 of ")
    assert all(KEY not in path.read_text() for path in recordings.iterdir())
