"""Trades as fills, with what their commission is worth, and the cursor over them."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from decimal import Decimal

from bot.errors import BrokerUnavailable
from bot.instruments import BrokerId, Instrument
from bot.layer1_data.brokers.binance.from_binance import Maker, Trade
from bot.layer1_data.brokers.binance.ledger import withheld_of
from bot.models import ClientOrderId, Fill

Worth = Callable[[str, Decimal, datetime], Awaitable[Decimal]]


async def fill_of(instrument: Instrument, done: Trade, made_by: Maker, *, broker_id: BrokerId, worth: Worth) -> Fill:
    """One trade of an order of ours. What the venue keeps of a purchase counts at the price that was paid."""
    withheld = withheld_of(done, instrument)
    asset, amount = done.commission_asset, done.commission
    if withheld:
        asset, amount = instrument.quote_currency, withheld * done.price
    return Fill(
        broker_id=broker_id,
        venue_fill_id=f"{instrument.venue_symbol}:{done.id}",
        client_order_id=made_by.client_order_id or ClientOrderId(""),
        symbol=instrument.symbol,
        side=done.side,
        quantity=done.quantity,
        price=done.price,
        fee=await worth(asset, amount, done.at),
        filled_at=done.at,
        cause=made_by.cause,
        withheld=withheld,
    )


def read_cursor(cursor: str) -> dict[str, int]:
    """The last trade of each symbol; a symbol that is not named begins at its first."""
    try:
        parts = [each.split("=") for each in cursor.split(",") if each]
        return {name: int(number) for name, number in parts}
    except ValueError:
        raise BrokerUnavailable(
            f"binance: fill cursor {cursor!r} is not of this venue (SYMBOL=trade,...); read from the beginning with "
            "an empty cursor"
        ) from None


def written_cursor(last: dict[str, int]) -> str:
    """As `read_cursor` reads it."""
    return ",".join(f"{name}={number}" for name, number in sorted(last.items()))
