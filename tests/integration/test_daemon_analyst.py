"""A daemon with a key and a fake to ask: questions go out, answers come in, and /health says who answers."""

import asyncio
import time
from pathlib import Path
from typing import Any

from bot.clock import SystemClock
from tests.fakes.messages_api import KEY, FakeMessagesApi
from tests.integration.daemons import PATIENCE_S, RunningDaemon


async def test_a_daemon_with_a_key_asks_about_candidates_and_says_who_answered(tmp_path: Path) -> None:
    async with FakeMessagesApi(clock=SystemClock()) as fake:
        fake.answer_with = lambda body: {"divergence": None, "confidence": 70}
        daemon = await asyncio.to_thread(
            RunningDaemon, tmp_path / "data", ANTHROPIC_API_KEY=KEY, ANTHROPIC_URL=fake.url, DEV_SPEED="36000"
        )
        try:
            health = await _until_asked(daemon)
            signals = await asyncio.to_thread(daemon.api, "/api/signals?limit=50")
            state = await asyncio.to_thread(daemon.api, "/api/status")
        finally:
            ended = await asyncio.to_thread(daemon.stop)

    assert ended == 0
    assert health["rung"] == "model"
    body = fake.posted[0].body
    assert body["messages"][0]["content"][-1]["text"].startswith("chart 1: ")
    assert body["tools"][0]["name"] == "submit_reading"
    assert "claude:" not in str(signals)  # null is no signal
    assert KEY not in str(state)


async def _until_asked(daemon: RunningDaemon) -> dict[str, Any]:
    """What /health says of the analyst after its first answer."""
    deadline = time.monotonic() + PATIENCE_S
    health: dict[str, Any] = {}
    while time.monotonic() < deadline:
        health = (await asyncio.to_thread(daemon.api, "/health"))["analyst"]
        if health["rung"] != "not asked yet":
            return health
        await asyncio.sleep(0.2)
    raise AssertionError(f"nobody was asked within {PATIENCE_S} s: {health}")
