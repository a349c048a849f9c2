"""`botctl alerts` as it is typed: list, ack, and a test of every way."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from bot.alerts import Alert, Severity
from bot.cli import main
from bot.clock import SystemClock
from bot.database.pool import open_pool
from bot.database.postgres import PostgresStores
from tests.fakes.clicksend import KEY, USER, FakeClickSend
from tests.fakes.telegram import TOKEN, FakeTelegram
from tests.postgres import Databases

NOW = datetime(2026, 11, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
async def stores(databases: Databases, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PostgresStores]:
    async with databases.fresh() as dsn:
        monkeypatch.setenv("DATABASE_URL", dsn)
        made = PostgresStores(await open_pool(dsn))
        yield made
        await made.close()


@pytest.fixture
async def telegram(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeTelegram]:
    fake = FakeTelegram(SystemClock(), chats={42: "private", 43: "private"})
    for name, value in {
        "MODE": "paper",
        "TELEGRAM_URL": await fake.start(),
        "TELEGRAM_TOKEN": TOKEN,
        "TELEGRAM_OPERATORS": "42",
        "TELEGRAM_VIEWERS": "43",
    }.items():
        monkeypatch.setenv(name, value)
    yield fake
    await fake.stop()


async def botctl(*words: str) -> int:
    return await asyncio.to_thread(main, ["alerts", *words])


def critical(name: str) -> Alert:
    return Alert(
        id=name,
        key=name,
        severity=Severity.CRITICAL,
        title=f"{name} without a stop",
        body="",
        raised_at=NOW,
        last_at=NOW,
    )


async def test_alerts_are_listed_and_taken_note_of(
    stores: PostgresStores, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("aaaaaa", "bbbbbb", "cccccc"):
        await stores.alerts.save(critical(name))
    assert await botctl("ack", "aaaaaa") == 0
    assert await botctl("ack", "all") == 0
    assert await botctl() == 0
    shown = capsys.readouterr().out
    assert "1 taken note of: aaaaaa" in shown
    assert "2 taken note of: cccccc, bbbbbb" in shown
    assert "waits for ack" not in shown
    assert [each.waits for each in await stores.alerts.recent(5)] == [False] * 3


@pytest.mark.usefixtures("stores")
@pytest.mark.parametrize(("words", "code"), [(("ack",), 2), (("ack", "nosuch"), 1), (("nosuch",), 2)])
async def test_what_does_not_exist_is_told(
    words: tuple[str, ...], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await botctl(*words) == code
    assert capsys.readouterr().err.startswith("error: ")


async def test_a_test_message_goes_to_every_chat(telegram: FakeTelegram, capsys: pytest.CaptureFixture[str]) -> None:
    assert await botctl("test") == 0
    assert [len(telegram.shown(each)) for each in (42, 43)] == [1, 1]
    assert "telegram 42: sent" in capsys.readouterr().out


async def test_a_chat_that_refuses_is_named_and_fails_the_test(
    telegram: FakeTelegram, capsys: pytest.CaptureFixture[str]
) -> None:
    telegram.blocked.add(42)
    assert await botctl("test") == 1
    told = capsys.readouterr()
    assert "blocked by the user" in told.out
    assert "telegram 42" in told.err
    assert TOKEN not in told.out + told.err


async def test_a_text_message_is_tested_only_if_it_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = FakeClickSend(SystemClock())
    url = await fake.start()
    given = {"MODE": "paper", "CLICKSEND_URL": url, "CLICKSEND_USERNAME": USER, "CLICKSEND_API_KEY": KEY}
    for name, value in {**given, "SMS_TO": "+61411111111"}.items():
        monkeypatch.setenv(name, value)
    assert await botctl("test") == 0
    assert fake.queued == []
    assert await botctl("test", "--sms") == 0
    assert [each.to for each in fake.queued] == ["+61411111111"]
    await fake.stop()


async def test_dev_mode_asks_nobody_outside(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"MODE": "dev", "TELEGRAM_TOKEN": TOKEN, "TELEGRAM_OPERATORS": "42"}.items():
        monkeypatch.setenv(name, value)
    assert await botctl("test") == 0
    assert "dev mode makes no outside call" in capsys.readouterr().out
