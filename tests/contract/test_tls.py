"""N7, S27: a wrong certificate, and a TLS connection that breaks, through the real adapters and their libraries.

An order never reaches a server that cannot prove who it is; it was surely not sent, so it may be sent again. One whose
answer breaks off may have been taken.
"""

import re
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import certifi
import pytest
import pytest_asyncio

from bot.clock import ManualClock
from bot.errors import BrokerUnavailable, OrderFateUnknown
from bot.instruments import default_registry
from bot.layer1_data.broker_interface import BrokerInterface
from bot.models import ApprovedOrder, OrderState
from tests.contract import test_binance_faults as binance
from tests.contract import test_ig_faults as ig
from tests.contract import test_oanda_faults as oanda
from tests.contract.test_broker_contract import entry
from tests.fakes.oanda.server import FakeOanda
from tests.fakes.tls import Authority, Mishap, TlsDoor, self_signed
from tests.fakes.venue_market import FakeMarket

CERTIFICATE: Final = re.compile("certificate", re.IGNORECASE)
VENUES: Final = ("binance", "oanda", "ig")
WRONG: Final = ("nobody vouches for it", "expired", "not valid yet", "for another name")


@dataclass(frozen=True, slots=True, kw_only=True)
class Venue:
    """A fake without TLS, an adapter for whatever address is given, and an order.

    `request` names that order among requests, `heard` is how many requests the fake has heard, `effects` how many
    orders it has taken.
    """

    url: str
    connect: Callable[[str], BrokerInterface]
    order: ApprovedOrder
    request: str
    heard: Callable[[], int]
    effects: Callable[[], int]


@pytest_asyncio.fixture(params=VENUES)
async def venue(request: pytest.FixtureRequest) -> AsyncIterator[Venue]:
    async with aclosing(_OPENED[request.param]()) as opened:
        async for each in opened:
            yield each


async def _binance() -> AsyncGenerator[Venue, None]:
    desk = binance.Desk()
    desk.url = await desk.venue.start(matching=False)
    desk.price("50000", "50010")
    yield Venue(
        url=desk.url,
        connect=lambda url: desk.connect(access={"url": url}),
        order=binance.entry(),
        request="POST /api/v3/order",
        heard=lambda: len(desk.venue.requests),
        effects=lambda: len(desk.venue.book.orders),
    )
    await desk.close()


async def _oanda() -> AsyncGenerator[Venue, None]:
    market = FakeMarket(default_registry())
    market.pin("EUR_USD", "1.10000", "1.10010")
    fake, made = FakeOanda(market, ManualClock(oanda.MONDAY)), []

    def connect(url: str) -> BrokerInterface:
        made.append(oanda.adapter(url))
        return made[-1]

    yield Venue(
        url=await fake.start(by_itself=False),
        connect=connect,
        order=entry(),
        request=f"{oanda.POST}/accounts/",
        heard=lambda: len(fake.requests),
        effects=lambda: len(fake.book.open_trades()),
    )
    for each in made:
        await each.close()
    await fake.close()


async def _ig() -> AsyncGenerator[Venue, None]:
    stand = ig.Stand()
    stand.url = await stand.venue.start()
    yield Venue(
        url=stand.url,
        connect=lambda url: stand.connected(url=url, confirm_tries=1),
        order=ig.entry(),
        request="POST /gateway/deal/positions/otc",
        heard=lambda: len(stand.venue.requests),
        effects=lambda: len(stand.venue.book.positions),
    )
    for each in stand.brokers:
        await each.close()
    await stand.venue.close()


_OPENED: Final = {"binance": _binance, "oanda": _oanda, "ig": _ig}


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """An authority that every library trusts for the length of a test, as this machine would be told to."""
    made = Authority(tmp_path)
    monkeypatch.setattr(certifi, "where", lambda: str(made.bundle))
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.setenv(name, str(made.bundle))
    return made


def wrong(kind: str, authority: Authority, directory: Path) -> ssl.SSLContext:
    """Of a server that cannot prove who it is."""
    made: dict[str, Callable[[], ssl.SSLContext]] = {
        "nobody vouches for it": lambda: self_signed(directory),
        "expired": lambda: authority.context(days=(-2, -1)),
        "not valid yet": lambda: authority.context(days=(1, 2)),
        "for another name": lambda: authority.context("venue.example"),
    }
    return made[kind]()


async def test_an_order_reaches_a_server_whose_certificate_is_good(venue: Venue, authority: Authority) -> None:
    """What the others are measured against: nothing but the certificate keeps their orders from leaving."""
    async with TlsDoor(venue.url, authority.context()) as door:
        ack = await venue.connect(door.url).place(venue.order)

    assert (ack.state, venue.effects()) == (OrderState.FILLED, 1)


@pytest.mark.parametrize("kind", WRONG)
async def test_nothing_is_sent_to_a_server_whose_certificate_is_wrong_and_the_order_was_surely_not_sent(
    venue: Venue, authority: Authority, tmp_path: Path, kind: str
) -> None:
    async with TlsDoor(venue.url, wrong(kind, authority, tmp_path)) as door:
        broker = venue.connect(door.url)

        with pytest.raises(BrokerUnavailable, match=CERTIFICATE):
            await broker.place(venue.order)
        with pytest.raises(BrokerUnavailable):
            await broker.positions()

    assert venue.heard() == 0


@pytest.mark.parametrize("kind", WRONG)
async def test_an_order_between_two_good_answers_is_surely_not_sent_when_the_certificate_goes_wrong(
    venue: Venue, authority: Authority, tmp_path: Path, kind: str
) -> None:
    """The wrong certificate turns up in the middle of a day, in front of whatever the order needs first."""
    good = authority.context()
    async with TlsDoor(venue.url, good) as door:
        broker = venue.connect(door.url)
        await broker.quote(venue.order.symbol)
        await broker.check_connectivity()
        await door.change(wrong(kind, authority, tmp_path))

        with pytest.raises(BrokerUnavailable, match=CERTIFICATE):
            await broker.place(venue.order)
        await door.change(good)
        ack = await broker.place(venue.order)

    assert (ack.state, venue.effects()) == (OrderState.FILLED, 1)


@pytest.mark.parametrize("mishap", list(Mishap))
async def test_an_order_whose_answer_breaks_off_is_in_doubt_sent_once_and_found(
    venue: Venue, authority: Authority, mishap: Mishap
) -> None:
    async with TlsDoor(venue.url, authority.context()) as door:
        broker = venue.connect(door.url)
        await broker.quote(venue.order.symbol)
        door.break_off(mishap, venue.request)

        with pytest.raises(OrderFateUnknown):
            await broker.place(venue.order)
        found = await broker.find_order(venue.order.client_order_id)

    assert venue.effects() == 1
    assert found is not None
    assert found.state is OrderState.FILLED


async def test_a_price_stream_believes_no_wrong_certificate(authority: Authority, tmp_path: Path) -> None:
    async with aclosing(_oanda()) as opened:
        venue = await anext(opened)
        async with TlsDoor(venue.url, self_signed(tmp_path)) as door:
            stream: AsyncIterator[object] = venue.connect(door.url).quotes([venue.order.symbol])
            with pytest.raises(BrokerUnavailable, match=CERTIFICATE):
                await anext(stream)
        assert venue.heard() == 0
        await anext(opened, None)
