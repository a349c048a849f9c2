"""One instrument's candles in dev mode, numbered from 0 without end: the recording, then the seeded market."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from bot.errors import DataError
from bot.instruments import Instrument
from bot.layer1_data.feeds.seeded_market import BLOCK_CANDLES, SeededMarket, measured_volatility
from bot.models import CandleSeries

QUOTES_PER_CANDLE: Final = 8
_BLOCKS_AT_HAND: Final = 2

Prices = tuple[float, float, float, float, float]  # open, high, low, close, volume


class Tape:
    """Candles by number, re-dated so that number 0 opens at `origin_s` and each follows the one before at once.

    `anchors` (block number to the close before it) are those saved by an earlier run; without them every block since
    the recording's end is made again. Only the last few blocks and anchors are kept: candles are read forwards.
    """

    def __init__(
        self,
        *,
        instrument: Instrument,
        recording: CandleSeries,
        seed: int,
        origin_s: int,
        anchors: Mapping[int, float],
        blocks_back: int,
    ) -> None:
        if not len(recording):
            raise DataError(f"recording of {instrument.symbol} is empty; give at least 3 candles")
        self._recording = recording
        self._seconds = recording.timeframe.seconds
        self._origin_s = origin_s
        self._blocks_back = blocks_back
        self._market = SeededMarket(
            seed=seed,
            instrument=instrument,
            timeframe=recording.timeframe,
            anchor_price=float(recording.close[-1]),
            volatility=measured_volatility(recording),
            start=datetime.fromtimestamp(origin_s + len(recording) * self._seconds, tz=UTC),
            typical_volume=float(recording.volume.mean()),
        )
        self._anchors = {0: self._market.anchor_price, **anchors}
        self._blocks: dict[int, CandleSeries] = {}

    @property
    def anchors(self) -> Mapping[int, float]:
        """What a later run needs to go on, and to make the last blocks of its history again."""
        return dict(self._anchors)

    def is_recorded(self, number: int) -> bool:
        """Candle `number` comes from the recording."""
        return number < len(self._recording)

    def opens_at_s(self, number: int) -> int:
        """When candle `number` opens, in seconds since 1970."""
        return self._origin_s + number * self._seconds

    def prices(self, number: int) -> Prices:
        """Open, high, low, close and volume of candle `number`."""
        if self.is_recorded(number):
            return _row(self._recording, number)
        block, index = divmod(number - len(self._recording), BLOCK_CANDLES)
        return _row(self._block(block), index)

    def _block(self, number: int) -> CandleSeries:
        found = self._blocks.get(number)
        if found is not None:
            return found
        nearest = max(each for each in self._anchors if each <= number)
        for each in range(nearest, number + 1):
            found = self._market.block(each, self._anchors[each])
            self._anchors[each + 1] = float(found.close[-1])
            self._blocks[each] = found
            self._forget(each)
        return self._blocks[number]

    def _forget(self, number: int) -> None:
        for block in [each for each in self._blocks if each <= number - _BLOCKS_AT_HAND]:
            del self._blocks[block]
        for block in [each for each in self._anchors if 0 < each < number - self._blocks_back]:
            del self._anchors[block]


def quote_path(prices: Prices) -> tuple[float, ...]:
    """QUOTES_PER_CANDLE mid prices through a candle: a rising one goes to its low first, a falling one to its high."""
    opened, high, low, close, _ = prices
    first, second = (low, high) if close >= opened else (high, low)
    third = (second - first) / 3
    half_way, way_back = (opened + first) / 2, (second + close) / 2
    return (opened, half_way, first, first + third, second - third, second, way_back, close)


def _row(series: CandleSeries, index: int) -> Prices:
    return (
        float(series.open[index]),
        float(series.high[index]),
        float(series.low[index]),
        float(series.close[index]),
        float(series.volume[index]),
    )
