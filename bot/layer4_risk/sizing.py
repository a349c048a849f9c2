"""How much: the quantity whose loss at the stop, costs included, is the allowed share of equity."""

from dataclasses import dataclass
from decimal import Decimal

from bot.instruments import Instrument

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """A quantity on the instrument's step, and what it loses at its stop, costs included, in account currency."""

    quantity: Decimal
    risk_amount: Decimal
    unit_risk: Decimal


def position_size(
    *,
    instrument: Instrument,
    paid: Decimal,
    stop: Decimal,
    equity: Decimal,
    free_margin: Decimal,
    risk_ratio: Decimal,
    conversion: Decimal,
) -> Size:
    """Size by risk, then by what the account can carry, rounded down; quantity 0 if it falls below the minimum.

    The stop is expected to slip by the instrument's typical slippage, and commission is paid twice: what is lost at
    the stop must not exceed the budget. Money in account currency.
    """
    slippage = instrument.slippage_ratio * (paid + stop)
    commission = instrument.commission_ratio * (paid + stop)
    per_point = instrument.contract_size * conversion
    unit_risk = (abs(paid - stop) + slippage + commission) * per_point
    if unit_risk <= 0 or equity <= 0:
        return Size(quantity=ZERO, risk_amount=ZERO, unit_risk=unit_risk)
    by_risk = equity * risk_ratio / unit_risk
    by_margin = max(ZERO, free_margin) * instrument.max_leverage / (paid * per_point * _COST_ROOM)
    quantity = instrument.round_quantity(min(by_risk, by_margin))
    if quantity < instrument.min_quantity:
        return Size(quantity=ZERO, risk_amount=ZERO, unit_risk=unit_risk)
    return Size(quantity=quantity, risk_amount=quantity * unit_risk, unit_risk=unit_risk)


_COST_ROOM = Decimal("1.005")  # fees and slippage of the entry must fit beside its margin
