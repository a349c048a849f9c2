"""Binance for the conformance cases: the real adapter and ccxt over a loopback fake."""

from dataclasses import replace
from decimal import Decimal
from typing import Final

from bot.clock import ManualClock
from bot.instruments import AssetClass, Currency, InstrumentRegistry
from bot.layer1_data.broker_interface import BrokerInterface
from bot.layer1_data.brokers.binance.adapter import BinanceBroker
from bot.layer1_data.brokers.binance.wire import Access
from bot.models import ClientOrderId
from tests.contract.our_names import OurNames
from tests.contract.stands import BALANCE, EUR_USD, START
from tests.fakes.binance import KEY, SECRET, FakeBinance
from tests.fakes.binance_book import WHOLE
from tests.fakes.venue_market import FakeMarket

# A spot pair under the name that the cases use: open at all hours, as crypto is.
PAIR: Final = replace(EUR_USD, venue_symbol="EURUSD", asset_class=AssetClass.CRYPTO)


class BinanceStand:
    """One spot account; without commission, since spot takes it from what is bought, and with one trade for each order,
    since the cases count those: several are the business of `test_binance_parts`."""

    def __init__(self) -> None:
        self._clock = ManualClock(START)
        self._market = FakeMarket(InstrumentRegistry([PAIR]))
        self._venue = FakeBinance(
            self._market, self._clock, instruments=[PAIR], balances={"USD": str(BALANCE)}, currency="USD"
        )
        self._venue.book.commission_ratio = Decimal(0)
        self._venue.book.shares = WHOLE
        self._names: dict[ClientOrderId, ClientOrderId] = {}
        self._made: list[BrokerInterface] = []
        self._url = ""
        self.broker: BrokerInterface

    async def open(self) -> None:
        self._url = await self._venue.start(matching=False)
        self.crash()

    async def close(self) -> None:
        for each in self._made:
            await each.close()
        await self._venue.close()

    def price(self, bid: str, ask: str) -> None:
        self._market.pin(PAIR.symbol, bid, ask)
        self._venue.book.match()

    def thin(self, quantity: str) -> bool:
        """Fill or kill."""
        return False

    def rest_by_hand(self) -> None:
        asked = {"symbol": PAIR.venue_symbol, "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}
        self._venue.book.place(asked | {"quantity": "1000", "price": "1.09", "newClientOrderId": "web_1"})

    def crash(self) -> None:
        made = BinanceBroker(
            access=Access(environment="testnet", key=KEY, secret=SECRET, url=self._url),
            instruments=(PAIR,),
            clock=self._clock,
            currency=Currency("USD"),
            broker_id=PAIR.broker_id,
        )
        self._made.append(made)
        self.broker = OurNames(made, self._names)
