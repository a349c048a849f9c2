"""`botctl doctor` over the fakes of all venues: each bad state is named, with a next step that helps."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from bot.cli import main
from bot.clock import SystemClock
from bot.config import Settings
from bot.instruments import BINANCE, default_registry
from bot.layer1_data.brokers.binance.adapter import BinanceBroker
from bot.layer1_data.brokers.binance.wire import Access
from bot.wiring.doctor import Check, VenueCheckup
from tests.fakes import binance
from tests.fakes.street import Street

NOBODY_LISTENS = "http://127.0.0.1:1"
Finding = dict[str, str]
Doctor = Callable[[], Awaitable[tuple[int, dict[str, Finding]]]]


@pytest.fixture
def doctor(street: Street, capsys: pytest.CaptureFixture[str]) -> Doctor:
    async def asked() -> tuple[int, dict[str, Finding]]:
        code = await asyncio.to_thread(main, ["doctor", "--json"])
        checks = json.loads(capsys.readouterr().out)["checks"]
        return code, {each["name"]: each for each in checks}

    return asked


async def test_three_good_accounts_want_no_attention(doctor: Doctor) -> None:
    code, found = await doctor()

    asked = ("key", "scope", "clock", "account", "instruments", "market hours", "feed", "rate budget")
    assert [each for each in found.values() if each["status"] != "ok"] == []
    assert code == 0
    assert list(found) == [
        "settings",
        "data directory",
        "database",
        "telegram",
        "text messages",
        "heartbeat",
        "page",
        "backup",
        *(f"{venue}: {each}" for venue in ("binance", "oanda", "ig") for each in asked),
    ]
    assert {each["status"] for each in found.values()} == {"ok"}
    assert found["binance: account"]["detail"] == "USDT, balance 10,000.00, equity 10,000.00"
    assert "BTC/USDT 0.00001" in found["binance: instruments"]["detail"]
    assert set(found["settings"]) == {"name", "status", "detail", "next_step"}


async def test_the_table_says_how_many_checks_want_attention(
    street: Street, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OANDA_TOKEN", "wrong")

    code = await asyncio.to_thread(main, ["doctor"])

    text = capsys.readouterr().out
    assert code == 4
    assert "401 Insufficient authorization" in text
    assert text.rstrip().splitlines()[-1].startswith("1 of ")


@pytest.mark.parametrize(
    ("setting", "name", "words", "step"),
    [
        ("BINANCE_API_KEY", "binance: key", "Invalid API-key, IP, or permissions", "BINANCE_API_KEY"),
        ("BINANCE_API_SECRET", "binance: key", "Signature for this request is not valid", "BINANCE_API_SECRET"),
        ("OANDA_TOKEN", "oanda: key", "Insufficient authorization", "OANDA_TOKEN"),
        ("OANDA_ACCOUNT_ID", "oanda: key", "forbidden", "OANDA_ACCOUNT_ID"),
        ("IG_API_KEY", "ig: key", "error.security.api-key-invalid", "IG_API_KEY"),
        ("IG_PASSWORD", "ig: key", "error.security.invalid-details", "IG_PASSWORD"),
        ("IG_ACCOUNT_ID", "ig: key", "IG_ACCOUNT_ID is not an account of this login", "IG_API_KEY"),
    ],
)
async def test_a_wrong_key_is_told_in_the_venues_words_with_the_settings_to_correct(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch, setting: str, name: str, words: str, step: str
) -> None:
    monkeypatch.setenv(setting, "101-004-9-009" if setting == "OANDA_ACCOUNT_ID" else "wrong")

    code, found = await doctor()

    assert code == 4
    assert [each for each, finding in found.items() if finding["status"] != "ok"] == [name]
    assert words in found[name]["detail"]
    assert step in found[name]["next_step"]


async def test_a_misspelt_name_in_the_environment_wants_attention(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RISK_PER_TRAD", "1")

    code, found = await doctor()

    assert (code, found["environment"]["status"]) == (4, "warn")
    assert found["environment"]["detail"] == "RISK_PER_TRAD is not a setting; did you mean RISK_PER_TRADE_RATIO?"
    assert found["environment"]["next_step"] == "correct the name, or remove it; it changes nothing as it is"


@pytest.mark.parametrize("venue", ["BINANCE", "OANDA", "IG"])
async def test_a_venue_that_is_down_is_told_and_hides_no_other(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch, venue: str
) -> None:
    monkeypatch.setenv(f"{venue}_URL", NOBODY_LISTENS)

    code, found = await doctor()

    failed = [each for each, finding in found.items() if finding["status"] != "ok"]
    assert (code, failed) == (4, [f"{venue.lower()}: key"])
    assert "no answer: look at the network" in found[failed[0]]["next_step"]


def revoked(street: Street) -> None:
    street.binance.key_is_revoked = True


def skewed(street: Street) -> None:
    street.binance.skew_s = 3.0


def in_euro(street: Street) -> None:
    street.oanda.book.currency = "EUR"


def without_money(street: Street) -> None:
    street.ig.book.balance -= street.ig.book.balance


def without_gold(street: Street) -> None:
    street.oanda.book.not_offered.add("XAU_USD")


def least_of_five(street: Street) -> None:
    epic = default_registry().get("NVDA").venue_symbol
    street.ig.book.terms[epic] = replace(street.ig.book.terms[epic], min_size=Decimal(5))


def busy_neighbour(street: Street) -> None:
    street.binance._weights.append((SystemClock().now(), 5_000))


def silent_yahoo(street: Street) -> None:
    street.yahoo.trouble = "429"


@pytest.mark.parametrize(
    ("spoil", "name", "status", "words", "step"),
    [
        (revoked, "binance: key", "fail", "Invalid API-key", "BINANCE_API_KEY"),
        (skewed, "binance: clock", "fail", "s behind the venue's", "time synchronisation"),
        (in_euro, "oanda: account", "fail", "EUR, balance 10,000.00", "set ACCOUNT_CURRENCY=EUR"),
        (without_money, "ig: account", "warn", "balance 0.00", "reset the demo balance"),
        (without_gold, "oanda: instruments", "fail", "not offered here: XAU_USD", "remove them from the tasks"),
        (
            least_of_five,
            "ig: instruments",
            "warn",
            "NVDA least quantity: venue 5, ours 1",
            "nothing: a start takes over",
        ),
        (busy_neighbour, "binance: rate budget", "warn", "of 6,000 used within 60 s", "stop other programs"),
        (silent_yahoo, "ig: feed", "fail", "too many requests", "ask again"),
    ],
)
async def test_a_bad_state_is_the_only_finding_and_has_a_next_step(
    doctor: Doctor,
    street: Street,
    spoil: Callable[[Street], None],
    name: str,
    status: str,
    words: str,
    step: str,
) -> None:
    spoil(street)

    code, found = await doctor()

    assert code == 4
    assert {each: finding["status"] for each, finding in found.items() if finding["status"] != "ok"} == {name: status}
    assert words in found[name]["detail"]
    assert step in found[name]["next_step"]


async def test_a_closed_market_is_told_and_is_no_fault(doctor: Doctor, street: Street) -> None:
    street.market.halt("EUR_USD")

    code, found = await doctor()

    assert (code, found["oanda: market hours"]["detail"]) == (0, "23 of 24 open; closed: EUR_USD")


async def test_without_keys_it_says_what_is_used_instead(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODE", "dev")
    for each in ("BINANCE_API_KEY", "OANDA_TOKEN", "IG_PASSWORD"):
        monkeypatch.delenv(each)

    code, found = await doctor()

    assert code == 0
    assert found["oanda: key"]["detail"] == "no key; dev mode simulates it"
    assert found["oanda: key"]["next_step"] == "to trade there, set OANDA_TOKEN"


async def test_half_a_key_wants_attention_because_nothing_is_sent_to_that_venue(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OANDA_ACCOUNT_ID")

    code, found = await doctor()

    assert (code, found["oanda: half a key"]["status"]) == (4, "warn")
    assert found["oanda: half a key"]["detail"] == "no order is sent there: real prices of Yahoo, fills by ourselves"
    assert found["oanda: half a key"]["next_step"] == "set OANDA_ACCOUNT_ID too, or leave the whole key empty"


async def test_a_real_money_key_in_a_demo_profile_is_refused_before_anything_is_asked(
    street: Street, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BINANCE_ENVIRONMENT", "live")

    code = await asyncio.to_thread(main, ["doctor"])

    assert code == 3
    assert "BINANCE_ENVIRONMENT" in capsys.readouterr().err
    assert not street.binance.requests


async def checked(street: Street) -> dict[str, Check]:
    """What is found of a key for real money in paper mode."""
    clock = SystemClock()
    access = Access(environment="live", key=binance.KEY, secret=binance.SECRET, url=street.settings["BINANCE_URL"])
    instruments = default_registry().of_broker(BINANCE)[:4]
    broker = BinanceBroker(access=access, instruments=instruments, clock=clock)
    run: Any = Settings().model_copy(update={"run": Settings().run.model_copy(update={"mode": "paper"})})
    checkup = VenueCheckup(broker, instruments, key_settings=["BINANCE_API_KEY"], settings=run, clock=clock)
    found = {each.name: each for each in await checkup.run() if each.status != "ok"}
    await broker.close()
    return found


async def test_a_key_that_leads_to_real_money_or_may_withdraw_is_a_finding(street: Street) -> None:
    street.binance.can_withdraw_by_key = True

    found = await checked(street)

    assert found["binance: environment"].detail == "a key for real money in MODE=paper"
    assert found["binance: scope"].detail == "the key may withdraw money"
    assert "not withdraw" in found["binance: scope"].next_step
