"""How much, for the products that count in lots or follow a written rule: session trades (SPEC section 11), grids
(section 13) and the swing paper trader (section 17). Pure, Decimal, with what the trade then costs.
"""

from dataclasses import dataclass
from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from typing import Final

from bot.models import Direction

ZERO: Final = Decimal(0)
LOT_UNITS: Final = Decimal(100_000)
_CENT: Final = Decimal("0.01")


# ----------------------------------------------------------------------------------------------------- session trades


@dataclass(frozen=True, slots=True, kw_only=True)
class LotRules:
    """Bounds and costs of session trades. `commission_per_lot` is for a round trip, in account currency."""

    risk_ratio: Decimal = Decimal("0.0155")
    lot_step: Decimal = Decimal("0.01")
    min_lot: Decimal = Decimal("0.01")
    max_lot: Decimal = Decimal(10)
    commission_per_lot: Decimal = Decimal(7)
    slippage_pips: Decimal = Decimal("0.2")


def session_lots(
    *, balance: Decimal, entry: Decimal, stop: Decimal, conversion: Decimal, rules: LotRules | None = None
) -> Decimal:
    """Lots whose gross loss at the stop is the allowed share of balance, rounded down, capped; 0 below the minimum.

    `conversion` is account currency per unit of quote currency at the current mid. The spread, commission and slippage
    come on top, as the rule is written.
    """
    rules = rules or LotRules()
    per_lot = abs(entry - stop) * LOT_UNITS * conversion
    if per_lot <= 0 or balance <= 0:
        return ZERO
    lots = min(_floored(balance * rules.risk_ratio / per_lot, rules.lot_step), rules.max_lot)
    return lots if lots >= rules.min_lot else ZERO


def pip_value(*, pip: Decimal, conversion: Decimal) -> Decimal:
    """What one pip of one lot is worth, in account currency."""
    return LOT_UNITS * pip * conversion


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionResult:
    """What a session trade made, in account currency. `spread` is part of `net` only on candles: quotes have it in
    their fills."""

    gross: Decimal
    commission: Decimal
    slippage: Decimal
    spread: Decimal
    net: Decimal


def session_result(
    *,
    direction: Direction,
    entry: Decimal,
    exit_price: Decimal,
    lots: Decimal,
    pip: Decimal,
    conversion: Decimal,
    at_target: bool,
    spread_pips: Decimal,
    on_quotes: bool,
    rules: LotRules | None = None,
) -> SessionResult:
    """Gross result and costs. Every market fill slips (entry, stop, TIMEOUT), a target does not."""
    rules = rules or LotRules()
    one_pip = pip_value(pip=pip, conversion=conversion) * lots
    gross = direction.sign * (exit_price - entry) * LOT_UNITS * conversion * lots
    commission = rules.commission_per_lot * lots
    slippage = rules.slippage_pips * one_pip * (1 if at_target else 2)
    spread = spread_pips * one_pip
    net = gross - commission - slippage - (ZERO if on_quotes else spread)
    return SessionResult(gross=gross, commission=commission, slippage=slippage, spread=spread, net=net)


# -------------------------------------------------------------------------------------------------------------- grids


def grid_lots(
    level: int,
    *,
    lot_size: Decimal,
    lot_multiplier: Decimal,
    progression_factor: Decimal | None,
    lot_step: Decimal,
    min_lot: Decimal,
) -> Decimal:
    """Lots of grid level `level` (first 0), down to the step but not below the minimum; the rounding does not compound.

    `progression_factor` is None where lots are not progressive.
    """
    lots = (
        lot_size * (lot_multiplier if level else 1) * (1 if progression_factor is None else progression_factor**level)
    )
    return max(_floored(lots, lot_step), min_lot)


# ------------------------------------------------------------------------------------------------- swing paper trader

SWING_RISK_RATIO: Final = Decimal("0.01")  # a constant of the rule, not a setting
SWING_SIZE_STEP: Final = Decimal("1E-8")
SWING_SLIPPAGE_RATIO: Final = Decimal("0.0005")
SWING_FEE_RATIO: Final = Decimal("0.006")
SWING_MIN_REWARD: Final = Decimal(2)


@dataclass(frozen=True, slots=True, kw_only=True)
class SwingSize:
    """Size in base currency, its value at the market in account currency, and how much of the balance that is: above 1
    it is allowed on paper, and for a venue to refuse; it is never shrunk."""

    size: Decimal
    position_value: Decimal
    leverage: Decimal


def swing_size(*, balance: Decimal, market: Decimal, stop: Decimal) -> SwingSize:
    """One percent of balance over the distance to the stop, before slippage and fees: the real loss is larger."""
    distance = abs(market - stop)
    if distance == 0 or balance <= 0:
        return SwingSize(size=ZERO, position_value=ZERO, leverage=ZERO)
    size = _floored(balance * SWING_RISK_RATIO / distance, SWING_SIZE_STEP)
    return SwingSize(size=size, position_value=size * market, leverage=size * market / balance)


def swing_fill(market: Decimal, *, buys: bool) -> Decimal:
    """What a market fill of the paper trader pays or gets; also of a triggered stop, and of a target at its price."""
    return market * (1 + SWING_SLIPPAGE_RATIO if buys else 1 - SWING_SLIPPAGE_RATIO)


def swing_target(*, direction: Direction, fill: Decimal, stop: Decimal, own: Decimal | None = None) -> Decimal | None:
    """The signal's `own` target, else twice the risk from the fill; None if less than twice the risk can be won."""
    risk = abs(fill - stop)
    if own is None:
        return fill + direction.sign * SWING_MIN_REWARD * risk
    return own if direction.sign * (own - fill) >= SWING_MIN_REWARD * risk else None


@dataclass(frozen=True, slots=True, kw_only=True)
class SwingResult:
    """Result of a paper trade in account currency, unrounded; `outcome` goes by whole cents."""

    exit_price: Decimal
    entry_fee: Decimal
    exit_fee: Decimal
    pnl: Decimal
    outcome: str


def swing_result(*, direction: Direction, size: SwingSize, fill: Decimal, exit_market: Decimal) -> SwingResult:
    """From the entry's fill and the market price (or target) at the exit: slippage once more, and a fee per side.

    The entry's fee is counted on the value at the market, before its slippage, as the rule is written.
    """
    exit_price = swing_fill(exit_market, buys=direction is Direction.SHORT)
    entry_fee = size.position_value * SWING_FEE_RATIO
    exit_fee = size.size * exit_price * SWING_FEE_RATIO
    pnl = direction.sign * (exit_price - fill) * size.size - entry_fee - exit_fee
    cents = pnl.quantize(_CENT, rounding=ROUND_HALF_EVEN)
    outcome = "WIN" if cents > 0 else "LOSS" if cents < 0 else "BREAKEVEN"
    return SwingResult(exit_price=exit_price, entry_fee=entry_fee, exit_fee=exit_fee, pnl=pnl, outcome=outcome)


def _floored(number: Decimal, step: Decimal) -> Decimal:
    return (number / step).to_integral_value(rounding=ROUND_FLOOR) * step
