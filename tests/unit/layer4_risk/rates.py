"""Conversion rates from prices that a test names, all of them of now."""

from datetime import timedelta
from decimal import Decimal

from bot.instruments import Currency, Symbol, default_registry
from bot.layer4_risk.conversion import Conversion, conversion
from bot.models import Quote
from tests.builders import START, quote


async def rate_of(symbol: str, price: str, account: str = "USD", **known: str) -> Decimal:
    """Account currency per unit of quote currency of `symbol` at `price`; `known` are mid prices by symbol."""
    found = await rate_with(symbol, price, account, {name: quote(mid, mid, symbol=name) for name, mid in known.items()})
    assert found.rate is not None, found.says
    return found.rate


async def rate_with(
    symbol: str, price: str, account: str, quotes: dict[str, Quote], *, max_age: timedelta = timedelta(minutes=15)
) -> Conversion:
    """The conversion at START over these quotes."""

    async def quote_of(name: Symbol) -> Quote | None:
        return quotes.get(name)

    own = quotes.get(symbol) or quote(price, price, symbol=symbol)
    return await conversion(own, Currency(account), default_registry(), quote_of, now=START, max_age=max_age)
