"""A made snapshot with one sound divergence and the signal that claims it; a test spoils what it is about.

Lows lie at 104 but for two pivots, 100.5 and 100, with a high of 106 between; ATR is 2. All prices are multiples of
1/4, so that the mirrored scene is exact.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

import numpy as np

from bot.config import DivergenceSettings, ValidationSettings
from bot.instruments import Instrument, Symbol, default_registry
from bot.layer2_intelligence.validator import judge
from bot.models import (
    CandleSeries,
    Direction,
    DivergenceClaim,
    DivergenceKind,
    Endorsed,
    EntrySignal,
    FeatureColumns,
    FeatureSet,
    Finding,
    FindingStatus,
    Floats,
    Quote,
    SignalId,
    StrategyName,
    TaskId,
    Timeframe,
    Vetoed,
)

CODES: Final = (*(str(number) for number in range(15)), *(f"E{number}" for number in range(1, 12)), "S")
_START_S: Final = 1_704_067_200  # 2024-01-01

# Value elsewhere, at the first and at the second pivot.
_OSCILLATORS: Final[Mapping[str, tuple[float, float, float]]] = {
    "rsi": (50.0, 28.0, 35.0),
    "macd_hist": (1.0, -2.0, -1.0),
    "stoch_k": (50.0, 10.0, 20.0),
    "willr": (-50.0, -90.0, -80.0),
    "cci": (0.0, -150.0, -90.0),
    "mfi": (50.0, 20.0, 28.0),
}
_MIRROR_SUMS: Final = {"rsi": 100.0, "macd_hist": 0.0, "stoch_k": 100.0, "willr": -100.0, "cci": 0.0, "mfi": 100.0}
_STEADY: Final = {
    "atr": 2.0,
    "adx": 25.0,
    "bandwidth": 0.05,
    "bandwidth_median": 0.05,
    "volume_mean": 100.0,
}


class Scene:
    """Everything that is judged, as plain attributes to be changed. Without changes it is endorsed."""

    def __init__(
        self, *, candles: int = 300, p1: int = 281, p2: int = 295, timeframe: Timeframe = Timeframe.H1
    ) -> None:
        self.k = candles - 1
        self.p1, self.p2 = p1, p2
        self.timeframe = timeframe
        self.instrument: Instrument = default_registry().get("SOL/USDT")  # crypto, tick 0.01
        self.validation = ValidationSettings()
        self.divergence = DivergenceSettings()
        self._make_candles(candles)
        self.columns: dict[str, Floats] = {name: np.full(candles, value) for name, value in _STEADY.items()}
        for name, (elsewhere, first, second) in _OSCILLATORS.items():
            self.columns[name] = np.full(candles, elsewhere)
            self.columns[name][p1], self.columns[name][p2] = first, second
        self.direction: Direction | None = Direction.LONG
        self.symbol = self.instrument.symbol
        self.entry: Decimal | None = Decimal("102")
        self.stop_loss: Decimal | None = Decimal("99.5")
        self.targets: tuple[Decimal, ...] = (Decimal("108.25"), Decimal("112"))
        self.bid, self.ask = Decimal("102"), Decimal("102.25")
        self.confidence = 0.8
        self.kind = DivergenceKind.REGULAR
        self.oscillators: tuple[str, ...] = ("rsi", "macd_hist", "stoch_k")
        self.p1_at, self.p2_at = self.time(p1), self.time(p2)
        self.p1_price, self.p2_price = Decimal("100.5"), Decimal("100")
        self.has_claim = True

    def _make_candles(self, candles: int) -> None:
        self.low: Floats = np.full(candles, 104.0)
        self.low[self.p1], self.low[self.p2] = 100.5, 100.0
        self.low[self.p2 + 1 :] = 101.0
        self.high: Floats = self.low + 1.0
        self.high[self.p2 - 3] = 106.0
        self.high[self.k] = 102.5
        self.open: Floats = self.low + 0.5
        self.close: Floats = self.low + 0.5
        self.close[self.k] = 102.0
        self.volume: Floats = np.full(candles, 120.0)
        self.segment = np.zeros(candles, dtype=np.int64)

    def time(self, index: int) -> datetime:
        """Open time of a candle, also of one that is not there."""
        return datetime.fromtimestamp(_START_S + index * self.timeframe.seconds, tz=UTC)

    def limit(self, **changes: object) -> None:
        """Change settings of the rules."""
        self.validation = ValidationSettings.model_validate({**self.validation.model_dump(), **changes})

    def detect(self, **changes: object) -> None:
        """Change settings of the detector."""
        self.divergence = DivergenceSettings.model_validate({**self.divergence.model_dump(), **changes})

    def features(self) -> FeatureSet:
        """The snapshot."""
        times = _START_S + np.arange(len(self.low), dtype=np.int64) * self.timeframe.seconds
        series = CandleSeries(
            self.instrument.symbol,
            self.timeframe,
            times,
            self.open,
            self.high,
            self.low,
            self.close,
            self.volume,
            self.segment,
        )
        return FeatureSet(series, FeatureColumns(**self.columns), self.k, ())

    def claim(self) -> DivergenceClaim | None:
        """What the signal says it saw."""
        if not self.has_claim:
            return None
        return DivergenceClaim(
            kind=self.kind,
            oscillators=self.oscillators,
            p1_at=self.p1_at,
            p2_at=self.p2_at,
            p1_price=self.p1_price,
            p2_price=self.p2_price,
        )

    def signal(self) -> EntrySignal:
        """The signal."""
        return EntrySignal(
            id=SignalId("s-1"),
            task_id=TaskId("divergence:SOL/USDT:1h"),
            strategy=StrategyName("divergence"),
            broker_id=self.instrument.broker_id,
            symbol=Symbol(self.symbol),
            timeframe=self.timeframe,
            candle_closed_at=self.time(self.k + 1),
            direction=self.direction,
            entry=self.entry,
            stop_loss=self.stop_loss,
            targets=self.targets,
            confidence=self.confidence,
            claim=self.claim(),
        )

    def quote(self) -> Quote:
        """Bid and ask of the moment."""
        return Quote(symbol=self.instrument.symbol, bid=self.bid, ask=self.ask, at=self.time(self.k + 1))

    def verdict(self) -> Endorsed | Vetoed:
        """The judgement on all of it."""
        return judge(self.signal(), self.features(), self.quote(), self.instrument, self.validation, self.divergence)

    def failing(self) -> set[str]:
        """Codes of the rules that fail."""
        return {each.code for each in self.verdict().findings if each.status is FindingStatus.FAIL}

    def finding(self, code: str) -> Finding:
        """What one rule found."""
        return next(each for each in self.verdict().findings if each.code == code)

    def mirror(self, centre: int = 256) -> None:
        """Replace each price x by `centre` - x, and long by short."""
        self.low, self.high = centre - self.high, centre - self.low
        self.open, self.close = centre - self.open, centre - self.close
        for name, total in _MIRROR_SUMS.items():
            self.columns[name] = total - self.columns[name]
        self.direction = self.direction.opposite if self.direction else None
        self.bid, self.ask = centre - self.ask, centre - self.bid
        self.entry = None if self.entry is None else centre - self.entry
        self.stop_loss = None if self.stop_loss is None else centre - self.stop_loss
        self.targets = tuple(centre - each for each in self.targets)
        self.p1_price, self.p2_price = centre - self.p1_price, centre - self.p2_price
