"""The whole daemon with a fake Telegram: what it does is told, and a kill from a chat is a kill."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.clock import SystemClock
from tests.fakes.telegram import TOKEN, FakeTelegram, Message
from tests.integration.daemons import RunningDaemon

OPERATOR = 42


@pytest.fixture
async def fake() -> AsyncIterator[FakeTelegram]:
    made = FakeTelegram(SystemClock(), chats={OPERATOR: "private"})
    yield made
    await made.stop()


async def shown(fake: FakeTelegram, words: str) -> str:
    """The first text that holds `words`, when it comes."""
    clock = SystemClock()
    async with asyncio.timeout(45):
        while True:
            found = [each for each in fake.shown(OPERATOR) if words in each]
            if found:
                return found[0]
            await clock.sleep(0.05)


async def picture_of(fake: FakeTelegram, words: str) -> Message:
    """The first message with a picture and `words` under it, when it comes."""
    clock = SystemClock()
    async with asyncio.timeout(120):
        while True:
            found = [each for each in fake.messages if each.picture and words in each.text]
            if found:
                return found[0]
            await clock.sleep(0.05)


async def test_a_daemon_tells_of_its_trades_and_takes_a_pause_and_a_halt_from_a_chat(
    fake: FakeTelegram, data: Path
) -> None:
    environment = {
        "TELEGRAM_TOKEN": TOKEN,
        "TELEGRAM_OPERATORS": str(OPERATOR),
        "TELEGRAM_URL": await fake.start(),
        "DATABASE_URL": "",
    }
    daemon = await asyncio.to_thread(RunningDaemon, data, **environment)
    try:
        fake.says(OPERATOR, "/status")
        assert "kill switch none" in await shown(fake, "last analysis")
        pictured = await picture_of(fake, "signal ")
        assert pictured.picture.startswith(b"\x89PNG")
        assert len(pictured.picture) < 200_000
        fake.says(OPERATOR, "/pause lunch")
        await shown(fake, "PAUSE; ./botctl resume")
        told = await shown(fake, "kill switch: PAUSE everywhere by telegram 42 (telegram): lunch")
        assert told.startswith("WARNING")
        fake.says(OPERATOR, "/halt")
        await shown(fake, "Sure?")
        fake.presses(OPERATOR, next(each for each in fake.messages if each.buttons), "Yes")
        await shown(fake, "CRITICAL: kill switch: HALT")
        status = await asyncio.to_thread(daemon.api, "/api/status")
        assert status["kill_level"] == "halt"
    finally:
        code = await asyncio.to_thread(daemon.stop)
    assert code == 0
    assert TOKEN not in daemon.errors.read_text()
