"""Real prices, simulated fills: a venue for which there is no key, or no wish to send it orders."""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, Protocol

from loguru import logger

from bot.errors import BrokerError, BrokerUnavailable
from bot.instruments import InstrumentRegistry, Symbol
from bot.interfaces import Clock
from bot.layer1_data.broker_interface import LastWord, RateBudget, VenueIdentity, VenueTerms, nothing_against
from bot.layer1_data.brokers.simulated.adapter import SimulatedBroker
from bot.layer1_data.delegating_broker import DelegatingBroker
from bot.layer1_data.quality import QuoteScreen
from bot.models import ApprovedOrder, Candle, OrderAck, Quote, ReduceOrder, Timeframe

POLL_S: Final = 5.0


class PriceSource(Protocol):
    """Where real prices come from; every adapter is one."""

    @property
    def rate_budget(self) -> RateBudget | None:
        """As `BrokerInterface.rate_budget`."""

    async def terms(self, symbols: Sequence[Symbol]) -> Sequence[VenueTerms]:
        """As `BrokerInterface.terms`."""

    async def server_time(self) -> datetime:
        """As `BrokerInterface.server_time`."""

    async def candles(
        self, symbol: Symbol, timeframe: Timeframe, *, since: datetime | None, limit: int
    ) -> Sequence[Candle]:
        """As `BrokerInterface.candles`."""

    async def quote(self, symbol: Symbol) -> Quote:
        """As `BrokerInterface.quote`."""

    async def check_connectivity(self) -> None:
        """As `BrokerInterface.check_connectivity`."""

    async def close(self) -> None:
        """As `BrokerInterface.close`."""


class PaperBroker(DelegatingBroker):
    """Candles and quotes of `source`; orders, positions and money at `venue`, which fills at those quotes.

    A quote that the screen doubts moves nothing: no stop is filled by one absurd print. While something is open, its
    price is asked for every `poll_s`; before an order it is asked for anew, and without an answer nothing is sent.
    """

    def __init__(
        self,
        source: PriceSource,
        venue: SimulatedBroker,
        *,
        registry: InstrumentRegistry,
        clock: Clock,
        max_quote_age: timedelta,
        poll_s: float = POLL_S,
    ) -> None:
        super().__init__(venue)
        self._source = source
        self._venue = venue
        self._clock = clock
        self._poll_s = poll_s
        self._max_age = max_quote_age
        self._screen = QuoteScreen(registry, max_age=max_quote_age)
        self._newest: dict[Symbol, Quote] = {}
        self._closed = False

    # --------------------------------------------------------------------------------------------------- real prices

    async def terms(self, symbols: Sequence[Symbol]) -> Sequence[VenueTerms]:
        """As the source describes them; one that gives prices only describes nothing, and the fills are ours anyway."""
        return await self._source.terms(symbols) or await super().terms(symbols)

    async def server_time(self) -> datetime:
        return await self._source.server_time()

    @property
    def rate_budget(self) -> RateBudget | None:
        return self._source.rate_budget

    async def candles(
        self, symbol: Symbol, timeframe: Timeframe, *, since: datetime | None, limit: int
    ) -> Sequence[Candle]:
        return await self._source.candles(symbol, timeframe, since=since, limit=limit)

    async def quote(self, symbol: Symbol) -> Quote:
        quote = await self._source.quote(symbol)
        self._show(quote)
        return quote

    async def quotes(self, symbols: Sequence[Symbol]) -> AsyncIterator[Quote]:
        """Of what is open or ordered, whenever it changed. One symbol that does not answer hides no other."""
        while not self._closed:
            for symbol in await self._held(symbols):
                before = self._newest.get(symbol)
                try:
                    quote = await self.quote(symbol)
                except BrokerError as error:
                    logger.debug("paper {}: no quote of {}: {}", self.broker_id, symbol, error)
                    continue
                if quote != before:
                    yield quote
            await self._clock.sleep(self._poll_s)

    async def check_connectivity(self) -> None:
        await self._source.check_connectivity()

    # ------------------------------------------------------------------------------------------------ simulated orders

    async def identity(self) -> VenueIdentity:
        name = f"paper {self.broker_id}"
        return replace(await super().identity(), account=name, fingerprint=name)

    async def place(self, order: ApprovedOrder | ReduceOrder, last_word: LastWord = nothing_against) -> OrderAck:
        await self._refresh(order.symbol)
        return await super().place(order, last_word)

    async def close(self) -> None:
        self._closed = True
        await self._source.close()
        await super().close()

    # -------------------------------------------------------------------------------------------------------- inside

    async def _refresh(self, symbol: Symbol) -> None:
        """The venue fills at the newest price, never at one from before the market closed."""
        quote = await self.quote(symbol)
        age = self._clock.now() - quote.at
        if age > self._max_age:
            raise BrokerUnavailable(
                f"{self.broker_id}: the newest quote of {symbol} is {age.total_seconds():,.0f} s old, at most "
                f"{self._max_age.total_seconds():,.0f} s are allowed; nothing was sent, the market may be closed"
            )

    def _show(self, quote: Quote) -> None:
        """Let the venue fill at it, unless it is doubted or known already."""
        if self._newest.get(quote.symbol) == quote:
            return
        if fault := self._screen.fault(quote, now=self._clock.now()):
            logger.warning("paper {}: quote not used: {}", self.broker_id, fault)
            return
        self._newest[quote.symbol] = quote
        self._venue.observe(quote.symbol, bid=quote.bid, ask=quote.ask, at=quote.at, gap=True)

    async def _held(self, symbols: Iterable[Symbol]) -> list[Symbol]:
        open_ = {each.symbol for each in await self.positions()}
        ordered = {each.symbol for each in await self.open_orders()}
        return [each for each in symbols if each in open_ | ordered]
