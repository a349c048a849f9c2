"""Quote currency into account currency, through prices that carry their instant. An old price converts nothing."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from bot.instruments import AssetClass, Currency, Instrument, InstrumentRegistry, Symbol, counted_as
from bot.models import Quote

QuoteOf = Callable[[Symbol], Awaitable[Quote | None]]
Leg = tuple[Instrument, bool]  # a pair, and whether it is taken against its quotation
Step = tuple[Leg, Currency]  # a leg, and where it leads
Path = tuple[Leg, ...]

_EXCHANGES: Final = (AssetClass.FOREX, AssetClass.CRYPTO)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """Account currency per unit of quote currency, as old as the oldest price in it; `rate` None: `says` tells why."""

    rate: Decimal | None
    at: datetime
    says: str


async def conversion(
    quote: Quote,
    account: Currency,
    registry: InstrumentRegistry,
    quote_of: QuoteOf,
    *,
    now: datetime,
    max_age: timedelta,
) -> Conversion:
    """The rate for what `quote` is of: its own price where that converts, else one pair, else two over a third one.

    USDT counts as dollars. A path counts only if each of its prices is sound and no older than `max_age`; a pair is
    asked for only when no nearer path has led there.
    """
    instrument = registry.get(quote.symbol)
    says = f"no pair leads from {instrument.quote_currency} to {account}; register one, or trade in {account}"
    asked: dict[Symbol, Quote | None] = {quote.symbol: quote}
    for path in _paths(instrument, account, registry):
        for leg, _ in path:
            if leg.symbol not in asked:
                asked[leg.symbol] = await quote_of(leg.symbol)
        faults = [fault for leg, _ in path if (fault := _fault(leg.symbol, asked[leg.symbol], now, max_age))]
        if not faults:
            return _along(path, asked, now)
        says = f"{instrument.quote_currency} to {account}: {'; '.join(faults)}; wait for a newer price"
    return Conversion(rate=None, at=now, says=says)


def _along(path: Path, quotes: Mapping[Symbol, Quote | None], now: datetime) -> Conversion:
    rate, at = Decimal(1), now
    for leg, is_inverse in path:
        if (each := quotes[leg.symbol]) is not None:
            rate, at = (rate / each.mid if is_inverse else rate * each.mid), min(at, each.at)
    return Conversion(rate=rate, at=at, says="")


def _paths(instrument: Instrument, account: Currency, registry: InstrumentRegistry) -> Iterator[Path]:
    """Every way of at most two legs: the instrument itself first, then single pairs, then crosses."""
    start, end = counted_as(instrument.quote_currency), counted_as(account)
    if start == end:
        yield ()
        return
    if instrument.asset_class in _EXCHANGES and counted_as(instrument.base_currency) == end:
        yield ((instrument, True),)
    pairs = [each for each in registry if each.asset_class in _EXCHANGES and each.symbol != instrument.symbol]
    first_legs = [leg for leg in map(_taken_from(start), pairs) if leg is not None]
    yield from ((leg,) for leg, to in first_legs if to == end)
    for leg, to in first_legs:
        if to != end:
            seconds = (each for each in map(_taken_from(to), pairs) if each is not None)
            yield from ((leg, second) for second, there in seconds if there == end)


def _taken_from(currency: Currency) -> Callable[[Instrument], Step | None]:
    """Where a pair leads from `currency`; None if it does not begin there."""

    def taken(pair: Instrument) -> Step | None:
        base, quote = counted_as(pair.base_currency), counted_as(pair.quote_currency)
        if base == currency:
            return (pair, False), quote
        return ((pair, True), base) if quote == currency else None

    return taken


def _fault(symbol: Symbol, quote: Quote | None, now: datetime, max_age: timedelta) -> str:
    """Why this price converts nothing; empty if it does."""
    if quote is None:
        return f"no price of {symbol}"
    if not (quote.bid.is_finite() and quote.ask.is_finite() and 0 < quote.bid <= quote.ask):
        return f"the price of {symbol} is not one: bid {quote.bid}, ask {quote.ask}"
    age = now - quote.at
    if age > max_age:
        return f"the price of {symbol} is {age.total_seconds():.0f} s old, limit {max_age.total_seconds():.0f} s"
    return ""
