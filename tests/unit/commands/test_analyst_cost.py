"""What `analyst cost` and `analyst models` say."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import StringIO

import pytest
from rich.console import Console

from bot.analyst_calls import ANSWERED, AnalystCall, CallState, SpendCaps, Usage
from bot.clock import ManualClock
from bot.commands.analyst_cost import cost_report, report_json
from bot.commands.analyst_cost import show as show_cost
from bot.commands.analyst_models import served_models
from bot.commands.analyst_models import show as show_models
from bot.config import AnalystSettings
from bot.database.memory import MemoryStores
from bot.errors import AnalystUnavailable
from bot.layer2_intelligence.analyst.model_report import model_lines
from tests.fakes.messages_api import KEY, FakeMessagesApi

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
CAPS = SpendCaps(hour=Decimal(1), day=Decimal(2), month=Decimal(20))


def printed() -> tuple[Console, StringIO]:
    text = StringIO()
    return Console(file=text, width=160), text


async def asked(stores: MemoryStores, at: datetime, *, cost: str | None, symbol: str = "EUR_USD") -> None:
    call = AnalystCall(
        key="k", model="claude-haiku-5-5", at=at, reserved=Decimal("0.50"), request_body={}, symbol=symbol
    )
    number = await stores.analyst_calls.reserve(call, CAPS)
    assert isinstance(number, int)
    if cost is not None:
        usage = Usage(input_tokens=100, cache_read_tokens=300, output_tokens=50, cost=Decimal(cost))
        done = replace(call, number=number, state=CallState.SETTLED, outcome=ANSWERED, usage=usage)
        await stores.analyst_calls.settle(done)


async def test_the_report_counts_days_symbols_and_what_nobody_heard_of() -> None:
    stores = MemoryStores()
    await asked(stores, NOW - timedelta(days=40), cost="0.40")
    await asked(stores, NOW - timedelta(days=1), cost="0.10")
    await asked(stores, NOW, cost="0.20", symbol="BTC/USDT")
    await asked(stores, NOW, cost=None)
    console, text = printed()

    report = await cost_report(stores, CAPS, NOW, 31)
    show_cost(report, console)

    assert report.total == Decimal("0.80")
    assert "this hour: $0.7000 of $1.0000" in text.getvalue()
    assert "this day: $0.7000 of $2.0000" in text.getvalue()
    assert "75%" in text.getvalue()
    assert "1 of the requests without word of their cost" in text.getvalue()
    assert [row["dollars"] for row in report_json(report)["rows"]] == ["0.10", "0.20", "0.50"]


async def test_a_month_without_questions_is_said() -> None:
    console, text = printed()

    show_cost(await cost_report(MemoryStores(), CAPS, NOW, 31), console)

    assert "Nothing was asked since 2026-10-22." in text.getvalue()


async def test_the_models_are_listed_as_the_server_knows_them() -> None:
    console, text = printed()
    async with FakeMessagesApi(clock=ManualClock()) as fake:
        settings = AnalystSettings(anthropic_api_key=KEY, anthropic_url=fake.url)
        served = await served_models(settings)

    show_models(model_lines(settings, date(2026, 11, 21), served), console)

    rows = {line.split()[0]: line.split() for line in text.getvalue().splitlines() if line.startswith("claude-")}
    assert rows["claude-haiku-5-5"][1:5] == ["ANALYST_MODEL", "0.10", "0.50", "yes"]
    assert rows["claude-sonnet-4-5-20250929"][4:6] == ["no", "2026-11-30"]
    assert "warning" not in text.getvalue()


async def test_a_key_that_is_not_taken_is_said_without_it() -> None:
    wrong = "sk-ant-other-987654"
    async with FakeMessagesApi(clock=ManualClock()) as fake:
        settings = AnalystSettings(anthropic_api_key=wrong, anthropic_url=fake.url)
        with pytest.raises(AnalystUnavailable, match="HTTP 401: invalid x-api-key") as refused:
            await served_models(settings)

    assert wrong not in str(refused.value)
