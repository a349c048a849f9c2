"""IG for the conformance cases: the real adapter over a loopback fake; and with candles of shares from elsewhere."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from bot.clock import ReplayClock
from bot.instruments import AssetClass, Instrument, InstrumentRegistry, Symbol, default_registry
from bot.layer1_data.broker_interface import BrokerInterface
from bot.layer1_data.brokers.ig.access import Access
from bot.layer1_data.brokers.ig.adapter import IGBroker
from bot.layer1_data.brokers.ig.stocks import IGStockBroker
from bot.layer1_data.brokers.ig.wire import Allowance
from bot.models import Candle, ClientOrderId, Timeframe
from tests.contract.our_names import OurNames
from tests.contract.stands import EUR_USD, START
from tests.fakes.ig import FakeIg
from tests.fakes.venue_market import FakeMarket

PLENTY: Final = Allowance(reads=1_000_000, trades=1_000_000)


class AlwaysOpen(FakeMarket):
    """The cases look back over a weekend as if it were none."""

    def is_open(self, symbol: Symbol, at: datetime) -> bool:
        return symbol not in self._halted


class IgStand:
    """EUR_GBP is known to the venue and has no price."""

    instruments: tuple[Instrument, ...] = (EUR_USD, default_registry().get("EUR_GBP"))

    def __init__(self) -> None:
        self._clock = ReplayClock(START)
        self._market = AlwaysOpen(InstrumentRegistry(self.instruments))
        self._venue = FakeIg(instruments=self.instruments, market=self._market, clock=self._clock)
        self._venue.book.status["EUR_GBP"] = "OFFLINE"
        self._names: dict[ClientOrderId, ClientOrderId] = {}
        self._made: list[BrokerInterface] = []
        self._url = ""
        self.broker: BrokerInterface

    async def open(self) -> None:
        self._url = await self._venue.start()
        self.crash()

    async def close(self) -> None:
        for each in self._made:
            await each.close()
        await self._venue.close()

    def price(self, bid: str, ask: str) -> None:
        self._market.pin("EUR_USD", bid, ask)
        self._venue.book.match()

    def thin(self, quantity: str) -> bool:
        """Fill or kill."""
        return False

    def rest_by_hand(self) -> None:
        terms = self._venue.book.terms[EUR_USD.venue_symbol]
        size, level = 1_000 / terms.contract_size, Decimal("1.09") / terms.unit
        asked = {"epic": EUR_USD.venue_symbol, "direction": "BUY", "size": str(size), "level": str(level)}
        self._venue.book.rest(asked, "by-hand")

    def crash(self) -> None:
        made = self._adapter(
            access=Access(environment="demo", key="key", username="user", password="secret", url=self._url),
            instruments=self.instruments,
            clock=self._clock,
            allowance=PLENTY,
            quote_fresh_s=-1,
            shared_s=-1,
            account_shared_s=-1,
            broker_id=EUR_USD.broker_id,
        )
        self._made.append(made)
        self.broker = OurNames(made, self._names)

    def _adapter(self, **arguments: Any) -> IGBroker:
        return IGBroker(**arguments)


class IgSharesStand(IgStand):
    """The same with EUR_USD as if it were a share, whose history IG refuses."""

    instruments = tuple(replace(each, asset_class=AssetClass.STOCK) for each in IgStand.instruments)

    def _adapter(self, **arguments: Any) -> IGBroker:
        self._venue.no_entitlement.add(EUR_USD.venue_symbol)
        return IGStockBroker(shares=_Elsewhere(self._market, self._clock), **arguments)


class _Elsewhere:
    """Candles of the same market, told by somebody else."""

    def __init__(self, market: FakeMarket, clock: ReplayClock) -> None:
        self._market = market
        self._clock = clock

    async def candles(
        self, symbol: Symbol, timeframe: Timeframe, *, since: datetime | None, limit: int
    ) -> Sequence[Candle]:
        now = self._clock.now()
        start = since or now - limit * timeframe.duration
        bars = self._market.bars(symbol, timeframe.duration, start, now, now)
        closed = [each for each in bars if each.is_complete]
        return [
            Candle(
                opened_at=each.opened_at,
                closed_at=each.closed_at,
                open=each.open,
                high=each.high,
                low=each.low,
                close=each.close,
                volume=Decimal(each.volume),
            )
            for each in (closed[-limit:] if since is None else closed[:limit])
        ]

    async def close(self) -> None:
        pass
