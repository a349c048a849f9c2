"""IG as one ordinary broker for shares too: IG refuses their history, so their candles come from elsewhere."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from bot.instruments import AssetClass, Instrument, Symbol
from bot.layer1_data.brokers.ig.adapter import IGBroker
from bot.models import Candle, Timeframe


class ShareHistory(Protocol):
    """Closed candles of shares."""

    async def candles(
        self, symbol: Symbol, timeframe: Timeframe, *, since: datetime | None, limit: int
    ) -> Sequence[Candle]:
        """As `BrokerInterface.candles`."""

    async def close(self) -> None:
        """As `BrokerInterface.close`."""


class IGStockBroker(IGBroker):
    """Candles of shares from `shares`; orders, quotes, and the candles of everything else at IG."""

    def __init__(self, *, shares: ShareHistory, instruments: Sequence[Instrument], **ig: Any) -> None:
        """`ig`: what IGBroker takes."""
        super().__init__(instruments=instruments, **ig)
        self._shares = shares
        self._of_shares = frozenset(each.symbol for each in instruments if each.asset_class is AssetClass.STOCK)

    async def candles(
        self, symbol: Symbol, timeframe: Timeframe, *, since: datetime | None, limit: int
    ) -> Sequence[Candle]:
        if symbol in self._of_shares:
            return await self._shares.candles(symbol, timeframe, since=since, limit=limit)
        return await super().candles(symbol, timeframe, since=since, limit=limit)

    async def close(self) -> None:
        await self._shares.close()
        await super().close()
