"""The market that the venue fakes share: prices as a pure function of time, and pins where a test wants its own."""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from bot.instruments import AssetClass, Instrument, InstrumentRegistry, Rounding, Symbol

_START_PRICES: Final = {
    AssetClass.CRYPTO: 2_000.0,
    AssetClass.FOREX: 1.2,
    AssetClass.METAL: 1_900.0,
    AssetClass.COMMODITY: 70.0,
    AssetClass.INDEX: 5_000.0,
    AssetClass.BOND: 110.0,
    AssetClass.STOCK: 200.0,
}
_WAVES: Final = ((13.0, 0.002), (97.0, 0.006), (811.0, 0.015), (5_003.0, 0.03), (40_009.0, 0.06))  # minutes, ratio
_SAMPLES: Final = 12  # points of the path that make one candle


@dataclass(frozen=True, slots=True)
class Bar:
    """One candle of mid prices; `is_complete`: its time is over."""

    opened_at: datetime
    closed_at: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: int
    is_complete: bool


class FakeMarket:
    """Prices of every registered instrument at any instant: the same for everybody who asks."""

    def __init__(self, registry: InstrumentRegistry, seed: int = 1) -> None:
        self.registry = registry
        self._seed = seed
        self._pins: dict[Symbol, tuple[Decimal, Decimal]] = {}
        self._halted: set[Symbol] = set()

    def pin(self, symbol: str, bid: str, ask: str) -> None:
        """From now on quotes of `symbol` are these; candles stay as they are."""
        self._pins[Symbol(symbol)] = (Decimal(bid), Decimal(ask))

    def halt(self, symbol: str, *, halted: bool = True) -> None:
        """Close or open the market of `symbol`, whatever the hour."""
        (self._halted.add if halted else self._halted.discard)(Symbol(symbol))

    def is_open(self, symbol: Symbol, at: datetime) -> bool:
        """Crypto always; forex and CFDs Sunday 22:00 to Friday 22:00, stocks on weekdays 14:30 to 21:00; UTC."""
        if symbol in self._halted:
            return False
        kind = self.registry.get(symbol).asset_class
        hours = at.weekday() * 24 + at.hour + at.minute / 60
        if kind is AssetClass.CRYPTO:
            return True
        if kind is AssetClass.STOCK:
            return at.weekday() < 5 and 14.5 <= hours % 24 < 21
        return not 4 * 24 + 22 <= hours < 6 * 24 + 22

    def quote(self, symbol: Symbol, at: datetime) -> tuple[Decimal, Decimal]:
        """Bid and ask, on the tick grid."""
        if symbol in self._pins:
            return self._pins[symbol]
        instrument = self.registry.get(symbol)
        mid = self._mid(instrument, at)
        half = max(instrument.typical_spread.at(mid) / 2, instrument.tick)
        return instrument.round_price(mid - half, Rounding.DOWN), instrument.round_price(mid + half, Rounding.UP)

    def bars(self, symbol: Symbol, step: timedelta, since: datetime, until: datetime, now: datetime) -> Iterator[Bar]:
        """Candles that open from `since` until before `until`, aligned to midnight UTC, the forming one included."""
        instrument = self.registry.get(symbol)
        opened_at = datetime.fromtimestamp(
            math.ceil(since.timestamp() / step.total_seconds()) * step.total_seconds(), UTC
        )
        while opened_at < until and opened_at <= now:
            if self.is_open(symbol, opened_at):
                yield self.bar(instrument, opened_at, step, now)
            opened_at += step

    def bar(self, instrument: Instrument, opened_at: datetime, step: timedelta, now: datetime) -> Bar:
        """One candle as it is at `now`."""
        end = min(opened_at + step, max(now, opened_at))
        share = (end - opened_at) / _SAMPLES
        path = [
            instrument.round_price(self._mid(instrument, opened_at + share * each), Rounding.NEAREST)
            for each in range(_SAMPLES + 1)
        ]
        return Bar(
            opened_at=opened_at,
            closed_at=opened_at + step,
            open=path[0],
            high=max(path),
            low=min(path),
            close=path[-1],
            volume=int(100 + 900 * self._noise(instrument.symbol, int(opened_at.timestamp()))),
            is_complete=opened_at + step <= now,
        )

    def _mid(self, instrument: Instrument, at: datetime) -> Decimal:
        minutes = at.timestamp() / 60
        start = (
            100.0 * _START_PRICES[instrument.asset_class]
            if instrument.quote_currency == "JPY"
            else _START_PRICES[instrument.asset_class]
        )
        grown = sum(
            size * math.sin(minutes / period * math.tau + self._noise(instrument.symbol, int(period)) * math.tau)
            for period, size in _WAVES
        )
        jitter = 0.0004 * (self._noise(instrument.symbol, int(minutes * 12)) - 0.5)
        return Decimal(repr(round(start * math.exp(grown + jitter), 8)))

    def _noise(self, symbol: str, number: int) -> float:
        """Between 0 and 1, the same for the same question."""
        digest = hashlib.blake2b(f"{self._seed}/{symbol}/{number}".encode(), digest_size=7).digest()
        return int.from_bytes(digest) / 2**56
