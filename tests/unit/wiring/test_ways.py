"""The ways to people in words: what is set, what is missing, and nothing that is secret or private."""

import pytest

from bot.config import load_settings
from bot.wiring.ways import ways_of

TOKEN, KEY, PHONE, PERSON = "123456:CANARY-token", "CANARY-key", "+61411111111", "4242424242"
SET = {
    "MODE": "paper",
    "TELEGRAM_TOKEN": TOKEN,
    "TELEGRAM_OPERATORS": PERSON,
    "CLICKSEND_USERNAME": "ada@example.org",
    "CLICKSEND_API_KEY": KEY,
    "SMS_TO": PHONE,
    "HEARTBEAT_URL": "https://watch.example/CANARY-ping",
}


def ways(**changes: str) -> dict[str, tuple[bool, str, str]]:
    found = ways_of(load_settings({**SET, **changes}, None).settings)
    return {each.name: (each.is_set, each.says, each.next_step) for each in found}


def test_what_is_set_says_who_is_told_and_names_nobody() -> None:
    found = ways()

    assert [is_set for is_set, _, _ in found.values()] == [True, True, True]
    assert found["Telegram"][1] == "1 may command, 0 may read; info and worse"
    assert found["Text messages"][1].startswith("1 phone, for critical alerts")
    for private in ("CANARY", PHONE, PERSON, "ada@example.org"):
        assert private not in repr(found)


@pytest.mark.parametrize(
    ("missing", "name", "step"),
    [
        ("TELEGRAM_TOKEN", "Telegram", "TELEGRAM_TOKEN"),
        ("TELEGRAM_OPERATORS", "Telegram", "TELEGRAM_OPERATORS"),
        ("CLICKSEND_API_KEY", "Text messages", "CLICKSEND_API_KEY"),
        ("SMS_TO", "Text messages", "SMS_TO"),
        ("HEARTBEAT_URL", "Heartbeat", "HEARTBEAT_URL"),
    ],
)
def test_what_is_missing_says_what_to_set(missing: str, name: str, step: str) -> None:
    is_set, _, next_step = ways(**{missing: ""})[name]

    assert not is_set
    assert step in next_step


def test_dev_mode_tells_nobody_but_fakes_on_this_machine() -> None:
    outside = ways(MODE="dev")
    inside = ways(MODE="dev", TELEGRAM_URL="http://127.0.0.1:9000")

    assert [is_set for is_set, _, _ in outside.values()] == [False, False, False]
    assert {says for _, says, _ in outside.values()} == {"dev mode makes no outside call"}
    assert inside["Telegram"][0]
