"""How much: the quantity whose loss at the stop, costs included, is the allowed share of equity."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from bot.instruments import Instrument

ZERO = Decimal(0)
ONE = Decimal(1)
_COST_ROOM = Decimal("1.005")  # fees and slippage of the entry must fit beside its margin


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """A quantity on the instrument's step, and what it loses at its stop, costs included, in account currency.

    `wanted` is the quantity before rounding; `shortfall` says which minimum of the venue a size of 0 missed, and by how
    much. It is empty where nothing was wanted.
    """

    quantity: Decimal
    risk_amount: Decimal
    unit_risk: Decimal
    wanted: Decimal
    shortfall: str = ""


def position_size(
    *,
    instrument: Instrument,
    paid: Decimal,
    stop: Decimal,
    equity: Decimal,
    free_margin: Decimal,
    risk_ratio: Decimal,
    conversion: Decimal,
    price_bound: Decimal | None = None,
    leverage: Decimal | None = None,
    targets: Sequence[Decimal] = (),
) -> Size:
    """Size by risk, then by what the account can carry, rounded down; quantity 0 if the venue would not take it, or
    would not take the orders that are to close it, at the stop and at `targets`.

    The stop is expected to slip by the instrument's typical slippage, and commission is paid twice: what is lost at
    the stop must not exceed the budget. What the entry costs at `price_bound`, the worst price it may fill at, must be
    there: a venue may lock so much. `leverage` bounds that of the instrument. Money in account currency.
    """
    unit_risk = loss_at_stop(instrument, paid, stop) * conversion
    if not unit_risk.is_finite() or unit_risk <= 0 or equity <= 0:
        return Size(quantity=ZERO, risk_amount=ZERO, unit_risk=unit_risk, wanted=ZERO)
    allowed = instrument.max_leverage if leverage is None else min(leverage, instrument.max_leverage)
    by_risk = equity * risk_ratio / unit_risk
    dearest = max(paid * _COST_ROOM, (price_bound or paid) * (1 + instrument.commission_ratio))
    by_margin = max(ZERO, free_margin) * allowed / (instrument.notional(ONE, dearest) * conversion)
    wanted = min(by_risk, by_margin)
    quantity = instrument.round_quantity(wanted)
    if missed := _shortfall(
        instrument, wanted, paid, lowest_exit=min(each for each in (paid, stop, *targets) if each > 0)
    ):
        return Size(quantity=ZERO, risk_amount=ZERO, unit_risk=unit_risk, wanted=wanted, shortfall=missed)
    return Size(quantity=quantity, risk_amount=quantity * unit_risk, unit_risk=unit_risk, wanted=wanted)


def _shortfall(instrument: Instrument, wanted: Decimal, paid: Decimal, *, lowest_exit: Decimal) -> str:
    """Which least quantity or least worth `wanted`, rounded, does not reach, in words; empty if it reaches all.

    A venue with a least notional asks it of every order at its own price, so the way out counts like the entry: at the
    lowest price that is planned for it, and for what is left when the fee was taken from what was bought.
    """
    quantity = instrument.round_quantity(wanted)
    if quantity < instrument.min_quantity:
        return f"{wanted:.8f} is below the minimum of {instrument.min_quantity}"
    quote, least = instrument.quote_currency, instrument.min_notional
    bound = f"and the venue takes no order below {least.normalize():f} {quote}"
    if (worth := instrument.notional(quantity, paid)) < least:
        return f"{quantity} at {paid} is worth {worth:.2f} {quote}, {bound}"
    kept = instrument.round_quantity(quantity * (1 - instrument.commission_ratio))
    if (worth := instrument.notional(kept, lowest_exit)) < least:
        return (
            f"{quantity} bought, {kept} after its fee, is worth {worth:.2f} {quote} at {lowest_exit}, where it may "
            f"have to be closed, {bound}"
        )
    return ""


def loss_at_stop(instrument: Instrument, paid: Decimal, stop: Decimal) -> Decimal:
    """What one unit loses between `paid` and `stop`, slippage and both commissions included, in quote currency."""
    costs = (instrument.slippage_ratio + instrument.commission_ratio) * (paid + stop)
    return (abs(paid - stop) + costs) * instrument.contract_size
