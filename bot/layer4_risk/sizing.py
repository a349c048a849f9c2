"""How much: the quantity whose loss at the stop, costs included, is the allowed share of equity."""

from dataclasses import dataclass
from decimal import Decimal

from bot.instruments import Instrument

ZERO = Decimal(0)
_COST_ROOM = Decimal("1.005")  # fees and slippage of the entry must fit beside its margin


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """A quantity on the instrument's step, and what it loses at its stop, costs included, in account currency.

    `wanted` is the quantity before rounding: what tells by how much a size of 0 missed the minimum.
    """

    quantity: Decimal
    risk_amount: Decimal
    unit_risk: Decimal
    wanted: Decimal


def position_size(
    *,
    instrument: Instrument,
    paid: Decimal,
    stop: Decimal,
    equity: Decimal,
    free_margin: Decimal,
    risk_ratio: Decimal,
    conversion: Decimal,
    leverage: Decimal | None = None,
) -> Size:
    """Size by risk, then by what the account can carry, rounded down; quantity 0 if it falls below the minimum.

    The stop is expected to slip by the instrument's typical slippage, and commission is paid twice: what is lost at
    the stop must not exceed the budget. `leverage` bounds that of the instrument. Money in account currency.
    """
    unit_risk = loss_at_stop(instrument, paid, stop) * conversion
    if not unit_risk.is_finite() or unit_risk <= 0 or equity <= 0:
        return Size(quantity=ZERO, risk_amount=ZERO, unit_risk=unit_risk, wanted=ZERO)
    allowed = instrument.max_leverage if leverage is None else min(leverage, instrument.max_leverage)
    by_risk = equity * risk_ratio / unit_risk
    by_margin = max(ZERO, free_margin) * allowed / (instrument.notional(_COST_ROOM, paid) * conversion)
    wanted = min(by_risk, by_margin)
    quantity = instrument.round_quantity(wanted)
    if quantity < instrument.min_quantity:
        return Size(quantity=ZERO, risk_amount=ZERO, unit_risk=unit_risk, wanted=wanted)
    return Size(quantity=quantity, risk_amount=quantity * unit_risk, unit_risk=unit_risk, wanted=wanted)


def loss_at_stop(instrument: Instrument, paid: Decimal, stop: Decimal) -> Decimal:
    """What one unit loses between `paid` and `stop`, slippage and both commissions included, in quote currency."""
    costs = (instrument.slippage_ratio + instrument.commission_ratio) * (paid + stop)
    return (abs(paid - stop) + costs) * instrument.contract_size
