"""Quote currency into account currency, through prices that are known now."""

from collections.abc import Callable
from decimal import Decimal

from bot.instruments import Currency, Instrument, Symbol

PriceOf = Callable[[Symbol], Decimal | None]
_STABLE = {Currency("USDT"): Currency("USD")}


def conversion_rate(instrument: Instrument, price: Decimal, account: Currency, price_of: PriceOf) -> Decimal | None:
    """Account currency per unit of the instrument's quote currency; None if no known price gives it.

    USDT counts as dollars. `price` is the instrument's own, so USD_JPY converts itself for a USD account.
    """
    quote, base, account = (_same(each) for each in (instrument.quote_currency, instrument.base_currency, account))
    if quote == account:
        return Decimal(1)
    if base == account and price > 0:
        return 1 / price
    for name in pair_names(quote, account):
        if direct := price_of(name):
            return direct
    for name in pair_names(account, quote):
        if inverse := price_of(name):
            return 1 / inverse
    return None


def conversion_pairs(instrument: Instrument, account: Currency) -> tuple[Symbol, ...]:
    """Names of the pairs whose price `conversion_rate` may ask for."""
    quote, account = _same(instrument.quote_currency), _same(account)
    return () if quote == account else (*pair_names(quote, account), *pair_names(account, quote))


def pair_names(base: str, quote: str) -> tuple[Symbol, Symbol]:
    """How a pair of currencies may be called: as forex venues do, as crypto venues do."""
    return Symbol(f"{base}_{quote}"), Symbol(f"{base}/{quote}")


def _same(currency: Currency) -> Currency:
    return _STABLE.get(currency, currency)
