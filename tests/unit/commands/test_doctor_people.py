"""`botctl doctor` on the ways to people and on backups: each bad state is named, with a next step that helps."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bot.access import Role, User
from bot.cli import main
from bot.clock import SystemClock
from bot.config import Loaded, load_settings
from bot.wiring.doctor_people import backup_check, page_check, people_checks
from tests.fakes import clicksend
from tests.fakes.clicksend import FakeClickSend
from tests.fakes.telegram import TOKEN, FakeTelegram

OPERATOR, VIEWER, GROUP = 42, 43, -100200
Finding = dict[str, str]
Doctor = Callable[[], Awaitable[tuple[int, dict[str, Finding]]]]


@pytest.fixture
async def telegram() -> AsyncIterator[FakeTelegram]:
    made = FakeTelegram(SystemClock(), chats={OPERATOR: "private", GROUP: "supergroup"})
    yield made
    await made.stop()


@pytest.fixture
async def texts() -> AsyncIterator[FakeClickSend]:
    made = FakeClickSend(SystemClock(), balance=4.2)
    yield made
    await made.stop()


@pytest.fixture
async def doctor(
    telegram: FakeTelegram,
    texts: FakeClickSend,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Doctor:
    """In dev mode without a key of any venue; both services lead to their fakes."""
    settings = {
        "MODE": "dev",
        "DATA_DIRECTORY": str(tmp_path),
        "TELEGRAM_TOKEN": TOKEN,
        "TELEGRAM_URL": await telegram.start(),
        "TELEGRAM_OPERATORS": str(OPERATOR),
        "TELEGRAM_GROUP": str(GROUP),
        "CLICKSEND_USERNAME": clicksend.USER,
        "CLICKSEND_API_KEY": clicksend.KEY,
        "CLICKSEND_URL": await texts.start(),
        "SMS_TO": "+61411111111",
    }
    (tmp_path / ".env").write_text("")
    monkeypatch.chdir(tmp_path)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("DATABASE_URL", raising=False)

    async def asked() -> tuple[int, dict[str, Finding]]:
        code = await asyncio.to_thread(main, ["doctor", "--json"])
        said = capsys.readouterr().out
        for secret in (TOKEN, clicksend.KEY, clicksend.SUBACCOUNT_KEY):
            assert secret not in said
        return code, {each["name"]: each for each in json.loads(said)["checks"]}

    return asked


async def test_ways_that_work_want_no_attention_and_nobody_gets_a_message(
    doctor: Doctor, telegram: FakeTelegram, texts: FakeClickSend
) -> None:
    code, found = await doctor()

    assert {each["status"] for each in found.values()} == {"ok"}
    assert code == 0
    assert found["telegram"]["detail"].startswith("@x_bot; 1 may command, 0 may read, a group is told")
    assert found[f"telegram: chat {OPERATOR}"]["detail"] == "can be written to"
    assert found[f"telegram: chat {GROUP}"]["detail"] == "can be written to"
    assert "balance 4.20" in found["text messages"]["detail"]
    assert telegram.messages == []
    assert texts.queued == []


async def test_a_token_that_telegram_refuses_fails_with_the_next_step(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TELEGRAM_TOKEN", "999:wrong")

    code, found = await doctor()

    assert code == 4
    assert found["telegram"]["status"] == "fail"
    assert "TELEGRAM_TOKEN" in found["telegram"]["next_step"]
    assert f"telegram: chat {OPERATOR}" not in found


async def test_a_service_that_does_not_answer_fails_with_the_next_step(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TELEGRAM_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("CLICKSEND_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("HEARTBEAT_URL", "http://127.0.0.1:1/CANARY")

    _, found = await doctor()

    for name in ("telegram", "text messages", "heartbeat"):
        assert (found[name]["status"], "look at the network" in found[name]["next_step"]) == ("fail", True), name
    assert "CANARY" not in str(found)


async def test_a_person_who_blocks_the_bot_is_named_and_the_others_are_asked_too(
    doctor: Doctor, telegram: FakeTelegram, monkeypatch: pytest.MonkeyPatch
) -> None:
    telegram.blocked.add(OPERATOR)
    monkeypatch.setenv("TELEGRAM_VIEWERS", str(VIEWER))

    _, found = await doctor()

    states = {name: each["status"] for name, each in found.items() if name.startswith("telegram")}
    assert states == {
        "telegram": "ok",
        f"telegram: chat {OPERATOR}": "fail",
        f"telegram: chat {VIEWER}": "fail",
        f"telegram: chat {GROUP}": "ok",
    }
    assert "blocked by the user" in found[f"telegram: chat {OPERATOR}"]["detail"]
    assert "write to the bot once" in found[f"telegram: chat {VIEWER}"]["next_step"]


async def test_a_bot_that_nobody_may_command_is_worth_a_warning(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TELEGRAM_OPERATORS", "")

    code, found = await doctor()

    assert code == 4
    assert found["telegram: operators"]["status"] == "warn"
    assert "TELEGRAM_OPERATORS" in found["telegram: operators"]["next_step"]


async def test_wrong_credentials_of_text_messages_fail(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLICKSEND_API_KEY", "wrong")

    _, found = await doctor()

    assert found["text messages"]["status"] == "fail"
    assert "HTTP 401" in found["text messages"]["detail"]
    assert "CLICKSEND_API_KEY" in found["text messages"]["next_step"]


async def test_an_empty_account_is_worth_a_warning(doctor: Doctor, texts: FakeClickSend) -> None:
    texts.balance = 0.31

    _, found = await doctor()

    assert found["text messages"]["status"] == "warn"
    assert "balance 0.31" in found["text messages"]["detail"]


async def test_the_heartbeat_is_reached_but_not_fetched(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read())
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    monkeypatch.setenv("HEARTBEAT_URL", f"http://127.0.0.1:{port}/ping/CANARY")
    async with server:
        _, found = await doctor()

    assert found["heartbeat"]["status"] == "ok"
    assert b"".join(heard) == b""
    assert "CANARY" not in str(found)


def loaded_in(mode: str, data: Path) -> Loaded:
    """Defaults in a mode, also in one that cannot be started yet."""
    loaded = load_settings({"MODE": "paper", "DATA_DIRECTORY": str(data)}, None)
    run = loaded.settings.run.model_copy(update={"mode": mode})
    return replace(loaded, settings=loaded.settings.model_copy(update={"run": run}))


@pytest.mark.parametrize(("mode", "status"), [("paper", "ok"), ("live", "warn")])
async def test_no_way_to_people_is_worth_a_warning_with_real_money(tmp_path: Path, mode: str, status: str) -> None:
    loaded = loaded_in(mode, tmp_path)

    found = {each.name: each for each in await people_checks(loaded, SystemClock())}

    assert {found[each].status for each in ("telegram", "text messages", "heartbeat", "backup")} == {status}
    assert found["telegram"].next_step.startswith("set TELEGRAM_TOKEN")


def person(name: str, role: Role, *, has_factor: bool = False, is_out: bool = False) -> User:
    at = SystemClock().now()
    return User(
        name=name,
        role=role,
        password_hash="x",
        created_at=at,
        password_at=at,
        sealed_seed=b"x" if has_factor else None,
        disabled_at=at if is_out else None,
    )


@pytest.mark.parametrize(
    ("mode", "users", "status", "words"),
    [
        pytest.param("live", None, "ok", "known when the daemon has run", id="not known"),
        pytest.param("paper", [person("ada", Role.ADMIN)], "ok", "1 may act, 0 of them", id="no factor in paper"),
        pytest.param("live", [person("ada", Role.ADMIN)], "fail", "not ada", id="no factor with real money"),
        pytest.param("live", [person("ada", Role.ADMIN, has_factor=True)], "ok", "1 of them with", id="all is well"),
        pytest.param(
            "live",
            [person("ada", Role.ADMIN, has_factor=True), person("vera", Role.VIEWER)],
            "ok",
            "2 people, 1 may act",
            id="a viewer needs none",
        ),
        pytest.param(
            "paper",
            [person("ada", Role.ADMIN, is_out=True), person("otto", Role.OPERATOR)],
            "fail",
            "nobody is an admin",
            id="no admin",
        ),
    ],
)
def test_who_may_open_the_page_is_told(
    tmp_path: Path, mode: str, users: list[User] | None, status: str, words: str
) -> None:
    found = page_check(loaded_in(mode, tmp_path).settings, users)

    assert found.status == status
    assert words in found.detail
    assert bool(found.next_step) is (status != "ok")


@pytest.mark.parametrize(("hours", "status"), [(3, "ok"), (49, "warn")])
async def test_an_old_backup_is_worth_a_warning_with_real_money(tmp_path: Path, hours: int, status: str) -> None:
    clock = SystemClock()
    loaded = loaded_in("live", tmp_path)
    directory = tmp_path / "backups"
    directory.mkdir()
    file = directory / "bot-20250101T000000Z-schema0011.zip"
    file.write_bytes(b"x" * 2_000_000)
    made_s = clock.now().timestamp() - hours * 3_600
    os.utime(file, (made_s, made_s))

    found = backup_check(loaded, clock)

    assert found.status == status
    assert f"{hours} h old, 2.0 MB" in found.detail


async def test_no_backup_at_all_is_worth_a_warning_with_real_money(tmp_path: Path) -> None:
    loaded = loaded_in("live", tmp_path)

    found = backup_check(loaded, SystemClock())

    assert found.status == "warn"
    assert "./botctl db backup" in found.next_step
