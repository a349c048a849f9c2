"""IG and Yahoo behind one broker, over loopback to both fakes."""

from datetime import UTC, datetime
from pathlib import Path

from bot.clock import ReplayClock
from bot.instruments import default_registry
from bot.layer1_data.broker_interface import BrokerInterface
from bot.layer1_data.brokers.ig.access import Access
from bot.layer1_data.brokers.ig.stocks import IGStockBroker
from bot.layer1_data.feeds.yahoo import YahooSource
from bot.models import Timeframe
from tests.contract.stands_ig import PLENTY
from tests.fakes.ig import FakeIg
from tests.fakes.venue_market import FakeMarket
from tests.fakes.yahoo import FakeYahoo

REGISTRY = default_registry()
AAPL, SPX = REGISTRY.get("AAPL"), REGISTRY.get("SPX500_USD")


async def test_shares_have_candles_from_yahoo_and_everything_else_is_at_ig(tmp_path: Path) -> None:
    clock, market = ReplayClock(datetime(2025, 3, 12, 16, tzinfo=UTC)), FakeMarket(REGISTRY)
    ig = FakeIg(instruments=(AAPL, SPX), market=market, clock=clock)
    ig.no_entitlement.add(AAPL.venue_symbol)
    yahoo = FakeYahoo(symbols=["AAPL"], market=market, clock=clock)
    access = Access(environment="demo", key="key", username="user", password="secret", url=await ig.start())
    shares = YahooSource(instruments=(AAPL,), clock=clock, cache_directory=tmp_path, url=await yahoo.start())
    broker: BrokerInterface = IGStockBroker(
        shares=shares, instruments=(AAPL, SPX), access=access, clock=clock, allowance=PLENTY
    )

    share = await broker.candles(AAPL.symbol, Timeframe.H1, since=None, limit=2)
    index = await broker.candles(SPX.symbol, Timeframe.H1, since=None, limit=2)
    quote = await broker.quote(AAPL.symbol)
    await broker.close()

    assert [len(share), len(index)] == [2, 2]
    assert [each.line for each in ig.sent("GET /prices")] == [f"GET /prices/{SPX.venue_symbol}"]
    assert (quote.bid, quote.ask) == market.quote(AAPL.symbol, clock.now())
    await ig.close()
    await yahoo.close()
