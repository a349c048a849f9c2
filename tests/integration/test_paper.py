"""Paper mode over the fakes of the venues: real prices, simulated fills without a key, and one account per database."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import orjson
import pytest

from bot.cli import main
from bot.clock import ManualClock, SystemClock
from bot.config import load_settings
from bot.database.memory import MemoryStores
from bot.errors import BrokerUnavailable, ConfigError
from bot.instruments import BINANCE, IG, OANDA, Symbol, default_registry
from bot.layer1_data.account_door import ASK_AGAIN_S
from bot.layer1_data.broker_interface import BrokerInterface, VenueIdentity
from bot.models import OrderState, Timeframe
from bot.wiring.market import AccountCheck
from bot.wiring.paper_market import PaperMarket, open_paper_market
from bot.wiring.venues import Venue, open_venues
from tests.builders import approved_order, plan
from tests.fakes.street import Street
from tests.integration.daemons import RunningDaemon

D = Decimal
NOBODY_LISTENS = "http://127.0.0.1:1"
KEYS = ("BINANCE_API_KEY", "BINANCE_API_SECRET", "OANDA_TOKEN", "IG_PASSWORD")
BTC = Symbol("BTC/USDT")


@pytest.fixture
async def street() -> AsyncIterator[Street]:
    opened = await Street(SystemClock()).open()
    yield opened
    await opened.close()


class Paper:
    """Venues as paper mode opens them."""

    def __init__(self, street: Street, directory: Path) -> None:
        self._settings = {**street.settings, "MODE": "paper", "DATA_DIRECTORY": str(directory)}
        self._opened: list[Venue] = []

    def set(self, **settings: str) -> None:
        self._settings |= settings

    def venues(self) -> list[Venue]:
        venues = open_venues(load_settings(self._settings, None), default_registry(), SystemClock())
        self._opened += venues
        return venues

    async def market(self) -> PaperMarket:
        return await open_paper_market(self.venues())

    async def close(self) -> None:
        for each in self._opened:
            await each.broker.close()


@pytest.fixture
async def paper(street: Street, tmp_path: Path) -> AsyncIterator[Paper]:
    made = Paper(street, tmp_path)
    yield made
    await made.close()


def broker_of(market: PaperMarket, name: str) -> BrokerInterface:
    return next(each for each in market.brokers if each.broker_id == name)


async def test_without_a_key_prices_are_public_and_fills_are_ours(street: Street, paper: Paper) -> None:
    # Arrange
    paper.set(**dict.fromkeys(KEYS, ""))
    street.market.pin("BTC/USDT", "60000.00", "60000.10")
    market = await paper.market()
    spot, forex, shares = (broker_of(market, each) for each in (BINANCE, OANDA, IG))

    # Act
    candles = [
        len(await broker.candles(Symbol(symbol), Timeframe.H1, since=None, limit=5))
        for broker, symbol in ((spot, BTC), (forex, "EUR_USD"), (shares, "AAPL"))
    ]
    order = approved_order(
        broker_id=BINANCE,
        symbol=BTC,
        quantity=D("0.01"),
        decided_price=D("60000.10"),
        plan=replace(plan(), stop=D(59_000), tick=D("0.01"), quantity_step=D("0.00001"), min_quantity=D("0.00001")),
    )
    ack = await spot.place(order)

    # Assert
    assert candles == [5, 5, 5]
    assert (ack.state, (await spot.positions())[0].quantity) == (OrderState.FILLED, D("0.01"))
    assert (await spot.fills_since(""))[0][0].price >= D("60000.10")
    assert not street.binance.seen("POST order"), "nothing was sent to the venue"
    assert not spot.capabilities.allows_short, "spot sells what is held, with a key and without"
    assert market.note().startswith("binance: prices of Binance; fills by ourselves; oanda: prices of Yahoo")


async def test_what_has_no_price_without_a_key_is_not_traded_and_told(paper: Paper) -> None:
    paper.set(OANDA_TOKEN="")

    market = await paper.market()

    assert "EUR_USD" in market.registry
    assert "XAU_USD" not in market.registry
    assert (
        "XAU_USD is not traded: oanda (prices of Yahoo, delayed; fills by ourselves) does not offer it" in market.notes
    )


async def test_instruments_are_traded_as_the_venue_describes_them_today_and_the_difference_is_told(
    street: Street, paper: Paper
) -> None:
    epic = default_registry().get("NVDA").venue_symbol
    street.ig.book.terms[epic] = replace(street.ig.book.terms[epic], min_size=D(5))
    street.oanda.book.not_offered.add("XAU_USD")

    market = await paper.market()

    assert market.registry.get("NVDA").min_quantity == 5
    assert "NVDA least quantity: venue 5, ours 1" in market.notes
    assert "XAU_USD" not in market.registry


@pytest.mark.parametrize("down", ["BINANCE", "OANDA", "IG"])
async def test_a_venue_that_is_down_at_the_start_disturbs_no_other(paper: Paper, down: str) -> None:
    paper.set(**{f"{down}_URL": NOBODY_LISTENS})

    market = await paper.market()

    assert len(market.registry) == 36
    for broker, symbol in ((BINANCE, BTC), (OANDA, "EUR_USD"), (IG, "AAPL")):
        asked = broker_of(market, broker).quote(Symbol(symbol))
        if broker == down.lower():
            with pytest.raises(BrokerUnavailable):
                await asked
        else:
            assert (await asked).bid > 0


async def test_another_account_on_the_same_database_is_refused_with_both_names(street: Street, paper: Paper) -> None:
    accounts = MemoryStores().accounts
    await AccountCheck([each.broker for each in paper.venues()], accounts, currency="USD", clock=SystemClock()).look()
    street.binance.uid = 111_112_222

    again = AccountCheck([each.broker for each in paper.venues()], accounts, currency="USD", clock=SystemClock())

    with pytest.raises(ConfigError, match=r"belongs to account spot …7868, .* leads to spot …2222"):
        await again.look()


async def test_a_key_that_may_withdraw_is_refused(paper: Paper, monkeypatch: pytest.MonkeyPatch) -> None:
    """S24: who steals it would have the money, and nothing here needs that right."""
    broker = paper.venues()[0].broker
    identity = replace(await broker.identity(), may_withdraw=True)

    async def withdrawing() -> VenueIdentity:
        return identity

    monkeypatch.setattr(broker, "identity", withdrawing)

    with pytest.raises(ConfigError, match=f"{broker.broker_id}: the key of .* may withdraw money; make one that may"):
        await AccountCheck([broker], MemoryStores().accounts, currency="USD", clock=SystemClock()).look()


async def test_an_account_in_another_currency_than_everything_is_counted_in_is_refused(
    street: Street, paper: Paper
) -> None:
    street.oanda.book.currency = "EUR"

    check = AccountCheck(
        [each.broker for each in paper.venues()], MemoryStores().accounts, currency="USD", clock=SystemClock()
    )

    with pytest.raises(ConfigError, match=r"is in EUR, and ACCOUNT_CURRENCY is USD.*set ACCOUNT_CURRENCY=EUR"):
        await check.look()


async def test_a_venue_that_is_silent_at_the_start_is_checked_when_it_answers(street: Street, paper: Paper) -> None:
    street.binance.key_is_revoked = True
    accounts, clock = MemoryStores().accounts, ManualClock()
    check = AccountCheck([each.broker for each in paper.venues()], accounts, currency="USD", clock=clock)
    await check.look()
    street.binance.key_is_revoked = False
    await clock.run_for(ASK_AGAIN_S)

    await check.look()

    now = SystemClock().now()
    bound = [await accounts.bind(each, fingerprint="new", account="new", at=now) for each in (BINANCE, OANDA, IG)]
    assert "new" not in [fingerprint for fingerprint, _ in bound]


async def test_a_running_daemon_is_asked_for_what_the_venues_say(
    street: Street, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Arrange
    data = tmp_path / "data"
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("")
    street.market.pin("BTC/USDT", "60000.00", "60000.10")
    settings = {**street.settings, "MODE": "paper", "BROKERS": "binance,oanda"}
    daemon = await asyncio.to_thread(RunningDaemon, data, **settings)

    # Act
    asked_with = {"DATA_DIRECTORY": str(data), "MODE": "paper"}
    for name, value in asked_with.items():
        monkeypatch.setenv(name, value)
    answers = {}
    for words in ("quote BTC/USDT", "account", "positions", "orders", "candles EUR_USD 1h --last 2"):
        code = await asyncio.to_thread(main, [*words.split(), "--json"])
        answers[words] = (code, orjson.loads(capsys.readouterr().out)["rows"])
    ended = await asyncio.to_thread(daemon.stop)

    # Assert
    assert ended == 0
    assert {code for code, _ in answers.values()} == {0}
    assert answers["quote BTC/USDT"][1][0]["bid"] == "60000.00000000"
    assert [each["broker"] for each in answers["account"][1]] == ["binance", "oanda"]
    assert len(answers["candles EUR_USD 1h --last 2"][1]) == 2
