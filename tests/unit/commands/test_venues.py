"""`botctl candles | quote | orders | positions | account` over the fakes of all venues."""

import asyncio
import csv
import json
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from bot.cli import main
from bot.clock import SystemClock
from tests.fakes.street import Street

NOBODY_LISTENS = "http://127.0.0.1:1"
VENUES = ("binance", "oanda", "ig")
Botctl = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
def botctl(street: Street, capsys: pytest.CaptureFixture[str]) -> Botctl:
    async def called(*words: str) -> tuple[int, str, str]:
        code = await asyncio.to_thread(main, list(words))
        told = capsys.readouterr()
        return code, told.out, told.err

    return called


def rows(out: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(out)["rows"]
    return found


@pytest.mark.parametrize(("symbol", "venue"), [("BTC/USDT", "binance"), ("EUR_USD", "oanda"), ("AAPL", "ig")])
async def test_candles_come_from_the_venue_of_the_symbol_closed_and_in_order(
    botctl: Botctl, symbol: str, venue: str
) -> None:
    code, out, _ = await botctl("candles", symbol, "1h", "--last", "3", "--broker", venue, "--json")

    opened = [datetime.fromisoformat(each["time"]) for each in rows(out)]
    assert (code, len(opened)) == (0, 3)
    assert opened == sorted(opened)
    assert (SystemClock().now() - opened[-1]).total_seconds() > 3_600
    assert all(isinstance(each["close"], str) for each in rows(out)), "no float of money"


async def test_candles_go_into_a_file_that_replay_reads(botctl: Botctl, tmp_path: Path) -> None:
    out = tmp_path / "candles.csv"

    code, told, _ = await botctl("candles", "BTC/USDT", "15m", "--last", "20", "--out", str(out))

    with out.open() as file:
        written = list(csv.DictReader(file))
    assert (code, told) == (0, f"20 candles of BTC/USDT 15m written to {out}\n")
    assert list(written[0]) == ["time", "open", "high", "low", "close", "volume"]
    assert len(written) == 20


async def test_one_quote_of_each_venue_in_one_call(botctl: Botctl) -> None:
    code, out, _ = await botctl("quote", "BTC/USDT", "EUR_USD", "AAPL", "--json")

    assert code == 0
    assert [(each["broker"], each["symbol"]) for each in rows(out)] == [
        ("binance", "BTC/USDT"),
        ("oanda", "EUR_USD"),
        ("ig", "AAPL"),
    ]
    assert all(float(each["bid"]) < float(each["ask"]) for each in rows(out))


@pytest.mark.parametrize("venue", VENUES)
async def test_the_account_of_one_venue_is_told_without_its_number(botctl: Botctl, venue: str) -> None:
    code, out, _ = await botctl("account", "--broker", venue, "--json")

    (told,) = rows(out)
    assert (code, told["broker"], told["real_money"], float(told["equity"])) == (0, venue, False, 10_000.0)
    assert "…" in told["account"] or "..." in told["account"]


async def test_money_is_told_to_the_cent_and_with_every_digit_to_a_program(botctl: Botctl) -> None:
    _, table, _ = await botctl("account", "--broker", "oanda")
    _, told, _ = await botctl("account", "--broker", "oanda", "--json")

    assert table.count(" 10,000.00 ") == 2
    assert rows(told)[0]["equity"] == "10000.0000"


@pytest.mark.parametrize(
    ("what", "words"),
    [("orders", "no order rests at the venues"), ("positions", "no position is open at the venues")],
)
async def test_nothing_there_is_told_in_words(botctl: Botctl, what: str, words: str) -> None:
    assert await botctl(what) == (0, f"{words}\n", "")


async def test_a_table_has_no_zeros_behind_a_number_and_no_microseconds(botctl: Botctl, street: Street) -> None:
    street.market.pin("BTC/USDT", "60000.10", "60000.20")

    _, out, _ = await botctl("quote", "BTC/USDT")

    assert "60000.1 " in out
    assert "+00:00" not in out


async def test_what_others_answer_is_printed_when_one_venue_is_down_and_the_exit_code_says_so(
    botctl: Botctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OANDA_URL", NOBODY_LISTENS)

    code, out, err = await botctl("account", "--json")

    assert code == 8
    assert [each["broker"] for each in rows(out)] == ["binance", "ig"]
    assert list(json.loads(out)["errors"]) == ["oanda"]
    assert err.startswith("error: oanda: ")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("candles", "FOO", "1h"), 2, "did you mean"),
        (("candles", "AAPL", "7h"), 2, "timeframe '7h' is not known; use one of"),
        (("candles", "AAPL", "1h", "--last", "0"), 2, "--last 0 must be from 1 to 5,000"),
        (("candles", "AAPL", "1h", "--out", "candles.xlsx"), 2, "must end in .csv or .json"),
        (("candles", "AAPL", "1h", "--broker", "oanda"), 2, "AAPL is traded at ig, not at oanda"),
        (("quote",), 2, "name at least one symbol"),
        (("orders", "--broker", "nope"), 3, "broker 'nope' is not connected (connected: binance, oanda, ig)"),
    ],
)
async def test_a_call_that_cannot_be_meant_is_refused_with_what_can(
    botctl: Botctl, words: tuple[str, ...], code: int, says: str
) -> None:
    got, out, err = await botctl(*words)

    assert (got, out) == (code, "")
    assert says in err


async def test_in_dev_mode_without_a_daemon_it_says_where_the_venues_are(
    botctl: Botctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODE", "dev")

    code, _, err = await botctl("account")

    assert code == 1
    assert "the venues of dev mode live in the daemon" in err
