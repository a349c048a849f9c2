"""One epic as IG describes it: in which units it is quoted and dealt, and what they are in ours."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from bot.instruments import Instrument

_NUMBER: Final = re.compile(r"\d+(?:\.\d+)?")
_MINOR: Final = re.compile(r"cent|pence|penny", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """One epic as the venue told it last.

    `unit`: what 1 of the venue's price is worth in ours. `size_unit`: our quantity in one of the venue's size.
    """

    instrument: Instrument
    expiry: str
    unit: Decimal
    size_unit: Decimal
    tick: Decimal
    min_size: Decimal
    currencies: tuple[str, ...]
    status: str
    bid: Decimal | None
    ask: Decimal | None
    at: datetime

    @property
    def currency(self) -> str:
        """The currency to deal in: the one that the instrument is counted in. Empty: the venue has it not."""
        return self.instrument.quote_currency if self.instrument.quote_currency in self.currencies else ""

    def level(self, price: Decimal) -> Decimal:
        """Our price in the venue's units."""
        return (price / self.unit).normalize()

    def price(self, level: object) -> Decimal:
        """The venue's price in ours."""
        return number(level) * self.unit

    def size(self, quantity: Decimal) -> Decimal:
        """Our quantity in the venue's units."""
        return (quantity / self.size_unit).normalize()

    def quantity(self, size: object) -> Decimal:
        """The venue's size in ours."""
        return number(size) * self.size_unit


def number(value: object) -> Decimal:
    """A JSON number."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise TypeError(f"a number was expected, not {value!r}")
    return Decimal(value)


def market_of(row: Mapping[str, Any], instrument: Instrument, now: datetime) -> Market:
    """From a row of `GET /markets`. Levels may be scaled: 10847.0 is 1.0847 where a pip is 0.0001."""
    told, rules, snapshot = row["instrument"], row["dealingRules"], row["snapshot"]
    pip, scaling = pip_of(told.get("onePipMeans")), number(snapshot["scalingFactor"])
    unit = pip * scaling
    contract = Decimal(str(told["contractSize"]))
    return Market(
        instrument=instrument,
        expiry=str(told["expiry"]),
        unit=unit,
        size_unit=contract / instrument.contract_size,
        tick=unit.scaleb(-int(snapshot["decimalPlacesFactor"])).normalize(),
        min_size=number(rules["minDealSize"]["value"]),
        currencies=tuple(str(each["code"]) for each in told["currencies"]),
        status=str(snapshot["marketStatus"]),
        bid=None if snapshot["bid"] is None else number(snapshot["bid"]) * unit,
        ask=None if snapshot["offer"] is None else number(snapshot["offer"]) * unit,
        at=now - timedelta(minutes=int(snapshot["delayTime"])),
    )


def pip_of(words: object) -> Decimal:
    """What one pip is, such as "0.0001 USD/EUR" or "1 Cents"; an index says "1 Index Point" or nothing."""
    if words is None:
        return Decimal(1)
    found = _NUMBER.match(str(words).strip())
    if found is None:
        raise ValueError(f"onePipMeans {words!r} begins with no number")
    return Decimal(found.group()) * (Decimal("0.01") if _MINOR.search(str(words)) else 1)
