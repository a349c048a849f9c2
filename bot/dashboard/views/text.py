"""How numbers and instants are written for a person. Pure; everything here returns plain text, escaped later."""

import math
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from bot.instruments import InstrumentRegistry, Symbol, to_cents

NONE: Final = "–"
_MINUS: Final = "−"  # as wide as the plus, and read as "minus"
_UNITS: Final = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
_LONGEST_FRACTION: Final = 8


def money(value: Decimal | None) -> str:
    """An amount with two decimals and no sign for gains: 10,012.40."""
    return NONE if value is None else _finite(to_cents(value), ",.2f")


def signed(value: Decimal | None) -> str:
    """A result: +12.40, −3.10 or 0.00."""
    return NONE if value is None else _finite(cents := to_cents(value), "+,.2f" if cents else ",.2f")


def in_r(value: float | None) -> str:
    """A result in multiples of the risk: +0.42 R."""
    return NONE if value is None or math.isnan(value) else f"{value:+.2f} R".replace("-", _MINUS)


def percent(ratio: Decimal | float | None, digits: int = 1) -> str:
    """A share as percent: 1.2 %."""
    return NONE if ratio is None else f"{float(ratio) * 100:.{digits}f} %".replace("-", _MINUS)


def quantity(value: Decimal) -> str:
    """A quantity without trailing zeros."""
    text = _finite(value, ",f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def moment(at: datetime | None, *, seconds: bool = False) -> str:
    """An instant in UTC, to the minute."""
    return NONE if at is None else f"{at:%Y-%m-%d %H:%M:%S}" if seconds else f"{at:%Y-%m-%d %H:%M}"


def duration(seconds: float | None) -> str:
    """The two largest units of a span: 3 h 20 min."""
    if seconds is None:
        return NONE
    left, parts = max(int(seconds), 0), []
    for unit, length in _UNITS:
        count, left = divmod(left, length)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"


def tone(value: Decimal | float | None) -> str:
    """CSS class of a result. The sign says the same without colour."""
    if value is None or value == 0 or (isinstance(value, float) and math.isnan(value)):
        return "flat"
    return "gain" if value > 0 else "loss"


def measured(value: float | str) -> str:
    """What a rule measured."""
    if isinstance(value, str):
        return value or "nothing"
    return "missing" if math.isnan(value) else f"{value:.6g}".replace("-", _MINUS)


def price_writer(registry: InstrumentRegistry) -> Callable[[Decimal | None, Symbol], str]:
    """A writer of prices with the decimals of the instrument's tick: 64,213.50."""

    def price(value: Decimal | None, symbol: Symbol) -> str:
        if value is None:
            return NONE
        if symbol not in registry:
            return quantity(round(value, _LONGEST_FRACTION))
        exponent = registry.get(symbol).tick.normalize().as_tuple().exponent
        digits = max(-exponent, 0) if isinstance(exponent, int) else _LONGEST_FRACTION
        return _finite(value, f",.{digits}f")

    return price


def filters(registry: InstrumentRegistry) -> Mapping[str, Callable[..., Any]]:
    """What the templates call."""
    return {
        "money": money,
        "signed": signed,
        "in_r": in_r,
        "percent": percent,
        "quantity": quantity,
        "moment": moment,
        "duration": duration,
        "tone": tone,
        "measured": measured,
        "price": price_writer(registry),
    }


def _finite(value: Decimal, form: str) -> str:
    return format(value, form).replace("-", _MINUS) if value.is_finite() else str(value)
