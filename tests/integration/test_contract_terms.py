"""A contract or a symbol that is not what we take it for (RELIABILITY M5): no entry, and a person sees why."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import orjson
import pytest

from bot.cli import main
from bot.clock import SystemClock
from bot.config import RiskSettings, load_settings
from bot.instruments import BINANCE, IG, OANDA, Currency, Rounding, Symbol, default_registry
from bot.layer4_risk.market_checks import market_checks
from bot.models import OrderState, Quote, Timeframe
from bot.wiring.paper_market import PaperMarket, open_paper_market
from bot.wiring.venues import open_venues
from tests.builders import approved_order, plan, quote, signal
from tests.fakes.binance import Fault
from tests.fakes.street import Street
from tests.integration.daemons import RunningDaemon
from tests.unit.test_pipeline import NOON, Bench

BTC, ETH = Symbol("BTC/USDT"), Symbol("ETH/USDT")
SAYS = "BTC/USDT quote currency: venue USDC, ours USDT"


@pytest.fixture
async def street() -> AsyncIterator[Street]:
    opened = await Street(SystemClock()).open()
    yield opened
    await opened.close()


def quoted_in_another_coin(street: Street) -> None:
    books = street.binance.book.instruments
    books["BTCUSDT"] = replace(books["BTCUSDT"], quote_currency=Currency("USDC"))


async def opened(street: Street, directory: Path) -> PaperMarket:
    settings = {**street.settings, "MODE": "paper", "DATA_DIRECTORY": str(directory)}
    return await open_paper_market(open_venues(load_settings(settings, None), default_registry(), SystemClock()))


async def close(market: PaperMarket) -> None:
    for each in market.brokers:
        await each.close()


async def test_a_daemon_opens_nothing_in_what_its_venue_counts_otherwise_and_every_view_says_why(
    street: Street, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Arrange
    data = tmp_path / "data"
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("")
    quoted_in_another_coin(street)
    settings = {**street.settings, "MODE": "paper", "BROKERS": "binance", "DATA_DIRECTORY": str(data)}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    daemon = await asyncio.to_thread(RunningDaemon, data, **settings)

    # Act
    try:
        health = await asyncio.to_thread(daemon.api, "/health")
        deep = await asyncio.to_thread(daemon.api, "/health/deep")
        risk = await asyncio.to_thread(daemon.api, "/api/risk")
        await asyncio.to_thread(main, ["doctor", "--json"])
        doctor = {each["name"]: each for each in orjson.loads(capsys.readouterr().out)["checks"]}
    finally:
        await asyncio.to_thread(daemon.stop)

    # Assert
    broker = next(each for each in deep["checks"] if each["name"] == "broker binance")
    contracts = doctor["binance: contracts"]
    assert [each for each in health["entries_blocked"] if SAYS in each]
    assert (broker["status"], contracts["status"]) == ("warn", "fail")
    assert SAYS in broker["says"]
    assert "doctor" in broker["next_step"], "nothing differs that could be reconciled"
    assert SAYS in str(risk["entries_blocked"])
    assert contracts["detail"] == SAYS
    assert "correct bot/instruments.py" in contracts["next_step"]


async def test_a_signal_in_it_is_refused_with_that_reason_and_nothing_is_sent(street: Street, tmp_path: Path) -> None:
    quoted_in_another_coin(street)
    market = await opened(street, tmp_path)
    bench = Bench()
    bench.blocked = market.descriptions.blocked(BINANCE, BTC)

    record = await bench.close(NOON, Timeframe.M15)

    assert record is not None
    assert (record.status, bench.broker.placed) == ("refused", [])
    assert SAYS in record.reason
    assert market.descriptions.blocked(BINANCE, ETH) == ""
    assert market.descriptions.blocked(OANDA) == ""
    await close(market)


async def test_a_venue_that_was_silent_at_the_start_is_held_to_its_description_when_it_answers(
    street: Street, tmp_path: Path
) -> None:
    # Arrange
    street.binance.fail(Fault.PAGE, "GET exchangeInfo", times=None, status=503)
    quoted_in_another_coin(street)
    market = await opened(street, tmp_path)
    before = market.descriptions.blocked(BINANCE, ETH)
    street.binance.heal()

    # Act
    await market.ask_silent()

    # Assert
    assert "binance has not described its instruments yet" in before
    assert SAYS in market.descriptions.blocked(BINANCE, BTC)
    assert market.descriptions.blocked(BINANCE, ETH) == ""
    await close(market)


async def test_a_finer_grid_of_the_venue_leaves_orders_on_the_one_that_its_adapter_takes(
    street: Street, tmp_path: Path
) -> None:
    """A stop on the venue's finer tick was refused by our own adapter: no entry at all, and no stop was ever moved."""
    epic = default_registry().get("NVDA").venue_symbol
    terms = street.ig.book.terms[epic]
    street.ig.book.terms[epic] = replace(terms, decimals=terms.decimals + 1)
    street.market.pin(Symbol("NVDA"), "200.00", "200.10")
    market = await opened(street, tmp_path)
    nvda = market.registry.get("NVDA")
    stop = nvda.round_price(Decimal("190.1234"), Rounding.DOWN)
    broker = next(each for each in market.brokers if each.broker_id == IG)

    ack = await broker.place(
        approved_order(
            broker_id=IG,
            symbol=nvda.symbol,
            quantity=Decimal(1),
            decided_price=Decimal("200.10"),
            plan=replace(plan(), stop=stop, tick=nvda.tick, quantity_step=nvda.quantity_step, min_quantity=Decimal(1)),
        )
    )

    assert (ack.state, ack.reason) == (OrderState.FILLED, "")
    assert market.notes == ["NVDA tick: venue 0.001, ours 0.01"]
    await close(market)


class OtherThing(Bench):
    """The venue quotes another thing than the one whose candles were judged."""

    factor = Decimal(1)

    async def quote_of(self, symbol: Symbol) -> Quote | None:
        told = await self.venue.quote(symbol)
        return replace(told, bid=told.bid * self.factor, ask=told.ask * self.factor)


FACTORS = pytest.mark.parametrize("factor", ["3", "100", "0.333", "0.01"])


@FACTORS
async def test_a_quote_that_is_many_times_the_last_candle_is_never_traded_on(factor: str) -> None:
    bench = OtherThing()
    bench.factor = Decimal(factor)

    record = await bench.close(NOON, Timeframe.M15)

    assert record is not None
    assert record.status == "vetoed", "the signal's own rules see it first"
    assert bench.broker.placed == []


@FACTORS
def test_risk_alone_refuses_such_a_quote_however_wide_its_collar_is_set(factor: str) -> None:
    widest = RiskSettings(max_price_deviation_ratio=Decimal("0.5"))
    close = Decimal("1.1")
    strange = quote(str(close * Decimal(factor)), str(close * Decimal(factor)))

    checks = market_checks(signal(entry=None), strange, close, strange.at, widest)

    assert [each.code for each in checks if not each.passed] == ["PRICE_COLLAR"]
