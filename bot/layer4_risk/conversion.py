"""Quote currency into account currency, through prices that are known now."""

from collections.abc import Callable
from decimal import Decimal

from bot.instruments import Currency, Instrument, Symbol

PriceOf = Callable[[Symbol], Decimal | None]
_STABLE = {Currency("USDT"): Currency("USD"), Currency("USDC"): Currency("USD")}


def conversion_rate(instrument: Instrument, price: Decimal, account: Currency, price_of: PriceOf) -> Decimal | None:
    """Account currency per unit of the instrument's quote currency; None if no known price gives it.

    Dollar stablecoins count as dollars. `price` is the instrument's own, so USD_JPY converts itself for a USD account.
    """
    quote, base, account = (_same(each) for each in (instrument.quote_currency, instrument.base_currency, account))
    if quote == account:
        return Decimal(1)
    if base == account:
        return 1 / price
    direct = price_of(Symbol(f"{quote}_{account}"))
    if direct:
        return direct
    inverse = price_of(Symbol(f"{account}_{quote}"))
    return 1 / inverse if inverse else None


def _same(currency: Currency) -> Currency:
    return _STABLE.get(currency, currency)
