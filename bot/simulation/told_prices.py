"""What a bad line makes of a venue's prices: odd candles, quotes that lie or stand still, streams that stall."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from bot.errors import BrokerUnavailable
from bot.instruments import BrokerId, Symbol
from bot.models import Candle, Quote
from bot.simulation.loop import SimulatedLoop
from bot.simulation.tape import Tape
from bot.simulation.watch import Watch

_BAD_FACTORS: Final = ("0", "-1", "NaN", "Infinity", "10", "0.1")
_LIES_APART_S: Final = 10.0


class ToldPrices:
    """The prices that one venue tells. The world publishes what is true."""

    def __init__(self, broker_id: BrokerId, *, loop: SimulatedLoop, tape: Tape, watch: Watch) -> None:
        self._broker_id = broker_id
        self._loop = loop
        self._tape = tape
        self._watch = watch
        self._stalled_until = self._frozen_until = 0.0
        self._readers: list[_Reader] = []
        self._frozen: dict[Symbol, Quote] = {}
        self._lied: dict[Symbol, tuple[float, Quote]] = {}
        self._heard: dict[Symbol, Quote] = {}

    def candles(self, candles: Sequence[Candle]) -> Sequence[Candle]:
        """M2: one is missing, comes twice, comes first, is still open, or was not yet final."""
        if not candles or not self._tape.fires("M2"):
            return candles
        *rest, last = candles
        kind = self._tape.dice("M2/kind").randrange(5)
        if kind == 0:
            return rest
        if kind == 1:
            return [*rest, last, last]
        if kind == 2:
            return [last, *rest]
        if kind == 3:
            ahead = last.closed_at - last.opened_at
            return [*candles, replace(last, opened_at=last.closed_at, closed_at=last.closed_at + ahead)]
        return [*rest, replace(last, open=last.close)]

    def quote(self, quote: Quote) -> Quote:
        """One quote: the true one, the one from before (M3), or one that nobody made (M1, M4)."""
        now = self._loop.time()
        if now < self._frozen_until:
            return self._frozen.setdefault(quote.symbol, quote)
        told = quote
        if not self._may_lie(quote.symbol):
            return quote
        if self._tape.fires("M1"):
            factor = Decimal(self._tape.dice("M1/kind").choice(_BAD_FACTORS))
            told = replace(quote, bid=quote.bid * factor, ask=quote.ask * factor)
        if self._tape.fires("M4"):
            gap = quote.mid / (50 if self._tape.dice("M4/kind").random() < 0.5 else -200)
            told = replace(quote, bid=quote.mid - gap, ask=quote.mid + gap)
        if told is not quote:
            self._lied[quote.symbol] = now, told
            self._watch.told_bad_quote(told)
        return told

    def _may_lie(self, symbol: Symbol) -> bool:
        """One bad tick, not two that confirm each other: what was true between them has reached the process."""
        if symbol not in self._lied:
            return True
        lied_s, lie = self._lied[symbol]
        heard = self._heard.get(symbol, lie)
        return self._loop.time() - lied_s >= _LIES_APART_S and heard.at > lie.at

    def heard(self, quote: Quote) -> None:
        """The process has it."""
        self._heard[quote.symbol] = quote

    def read(self, symbols: Sequence[Symbol]) -> AsyncIterator[Quote]:
        """One more reader of the stream."""
        reader = _Reader(self._loop, frozenset(symbols), self._broker_id, self.heard)
        self._readers.append(reader)
        return reader

    def publish(self, quote: Quote, *, dark_until: float) -> None:
        """The market has moved: whoever reads the stream gets it, unless it stalls or nothing passes."""
        if self._readers and self._loop.time() >= max(self._stalled_until, dark_until):
            for reader in self._readers:
                if quote.symbol in reader.symbols:
                    reader.put(self.quote(quote))

    def end_streams(self) -> None:
        """Each reader hears an error."""
        for reader in self._readers:
            reader.end()

    def forget_readers(self) -> None:
        """The process that read is gone."""
        self._readers.clear()

    def stall(self, seconds: float) -> None:
        """The stream says nothing, and does not end (N10)."""
        self._stalled_until = self._loop.time() + seconds

    def freeze(self, seconds: float) -> None:
        """Quotes stand still (M3)."""
        self._frozen.clear()
        self._frozen_until = self._loop.time() + seconds

    def heal(self) -> None:
        """From now on everything is told as it is."""
        self._stalled_until = self._frozen_until = 0.0


class CandleBook:
    """Closed one-minute candles of each symbol, made of the market's ticks."""

    def __init__(self) -> None:
        self._closed: dict[Symbol, list[Candle]] = {}

    def add(self, symbol: Symbol, candle: Candle) -> None:
        """One more has closed."""
        self._closed.setdefault(symbol, []).append(candle)

    def closed(self, symbol: Symbol, since: datetime | None, limit: int) -> Sequence[Candle]:
        """As the broker contract says."""
        candles = self._closed.get(symbol, [])
        if since is None:
            return candles[-limit:]
        return [each for each in candles if each.opened_at >= since][:limit]


def minute_candle(opened_at: datetime, mids: Sequence[Decimal]) -> Candle:
    """One candle of mid prices; volume counts ticks."""
    return Candle(
        opened_at=opened_at,
        closed_at=opened_at + timedelta(minutes=1),
        open=mids[0],
        high=max(mids),
        low=min(mids),
        close=mids[-1],
        volume=Decimal(len(mids)),
    )


class _Reader(AsyncIterator[Quote]):
    """One open price stream."""

    def __init__(
        self, loop: SimulatedLoop, symbols: frozenset[Symbol], broker_id: BrokerId, heard: Callable[[Quote], None]
    ) -> None:
        self.symbols = symbols
        self._heard = heard
        self._loop = loop
        self._broker_id = broker_id
        self._quotes: deque[Quote] = deque(maxlen=16)
        self._woken: asyncio.Future[None] | None = None
        self._ended = False

    def put(self, quote: Quote) -> None:
        self._quotes.append(quote)
        self._wake()

    def end(self) -> None:
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)

    async def __anext__(self) -> Quote:
        while not self._quotes:
            if self._ended:
                raise BrokerUnavailable(f"{self._broker_id}: the price stream was closed; it is opened again")
            self._woken = self._loop.create_future()
            await self._woken
        quote = self._quotes.popleft()
        self._heard(quote)
        return quote
