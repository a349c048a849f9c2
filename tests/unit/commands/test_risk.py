"""`botctl risk` prints what the daemon reports."""

import re
from dataclasses import replace
from decimal import Decimal
from typing import Any

import orjson
import pytest

from bot.commands.risk import show
from bot.dashboard.api.encoding import as_json
from bot.database.memory import MemoryStores
from bot.models import Direction, KillCause, KillLevel, KillState, OrderState
from tests.fakes.dashboard_day import NOW, fill_day, open_position, risk_of, store


async def shown(
    stores: MemoryStores, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, **changes: Any
) -> str:
    monkeypatch.setenv("COLUMNS", "160")
    body = as_json(replace(await risk_of(stores), **changes)).body
    assert isinstance(body, bytes)
    show(orjson.loads(body))
    return capsys.readouterr().out


async def test_limits_exposure_and_latches_are_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stores = MemoryStores()
    await fill_day(stores)
    latch = KillState(level=KillLevel.HALT, by="ada", cause=KillCause.PAGE, reason="[news]", at=NOW)
    await stores.kills.set(latch)
    text = await shown(stores, capsys, monkeypatch)
    assert "HALT by ada (page): [news]" in text
    assert "not known yet" in text
    assert "3.00%" in text
    assert "EUR" in text
    assert f"{Decimal('0.15512') * Decimal('64790.00'):+,.2f}" in text, "the bitcoin position, long"


async def test_nothing_open_is_told_in_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = await shown(MemoryStores(), capsys, monkeypatch)
    assert "Kill switch: not pressed." in text
    assert "No exposure" in text


async def test_what_is_open_and_the_worst_case_are_told_apart(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stores = MemoryStores()
    await store(stores, open_position(1, "EUR_USD", "1.00", quantity="10000", risk="50"))
    short = open_position(2, "EUR_USD", "1.00", quantity="0", risk="50", direction=Direction.SHORT)
    await store(stores, short, state=OrderState.UNKNOWN, quantity=Decimal(10_000), filled_quantity=Decimal(0))
    text = await shown(stores, capsys, monkeypatch)
    assert re.search(r"currency +│ EUR +│ \+10,000\.00 +│ \+10,000\.00 +│ 2 ", text)
    assert "Gross: 10,000.00 open now, worst case 20,000.00 USD." in text
    assert "fate unknown: EUR_USD entry sell 10000: UNKNOWN" in text


async def test_a_loss_without_a_bound_is_named_beside_the_figure_that_leaves_it_out(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = await shown(MemoryStores(), capsys, monkeypatch, unbounded=("long 2 SPY at ig",))
    assert "If every stop is hit now: 0.00 lost, worst case 0.00 USD." in text
    assert "Not in that figure: long 2 SPY at ig" in text
    assert "no stop bounds" in text
