"""What each product hands over: one constructor of an exit plan per row of the table in SPEC section 16.

Pure: a direction, prices and the values of a product in, a plan on the instrument's ticks out. Stops are rounded away
from the entry, targets towards it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from bot.config import ExitSettings
from bot.errors import ConfigError
from bot.instruments import Instrument, Rounding
from bot.models import Direction, ExitPlan, Target, Trail, TrailKind

ONE: Final = Decimal(1)
SWING_TIME_LIMIT: Final = timedelta(hours=72)
SWING_BREAK_EVEN_FRACTION: Final = Decimal("0.80")
SWING_TICK: Final = Decimal("1E-12")  # SPEC 17 rounds no price; this is finer than any price times its slippage
SWING_STEP: Final = Decimal("1E-8")
CUSTOM_STOP_ATR: Final = Decimal(2)


def divergence_plan(
    *,
    instrument: Instrument,
    direction: Direction,
    stop: Decimal,
    targets: tuple[Decimal, ...],
    settings: ExitSettings,
) -> ExitPlan:
    """Product D2: part at target 1, then break-even and a trail that tightens towards target 2. One target: all."""
    parts = (settings.tp1_close_pct, ONE - settings.tp1_close_pct)
    split = len(targets) > 1 and parts[1] > 0
    trail = Trail(
        kind=TrailKind.PROGRESSIVE,
        start_r=settings.trail_start_r,
        end_r=settings.trail_end_r,
        step_r=settings.trail_step_r,
    )
    return _plan(
        instrument,
        direction,
        stop=stop,
        targets=tuple(zip(targets, parts, strict=False)) if split else ((targets[0], ONE),),
        break_even_target=1 if split else None,
        trail=trail if split else None,
    )


def swing_paper_plan(*, direction: Direction, stop: Decimal, target: Decimal, opened_at: datetime) -> ExitPlan:
    """Product P: one target, break-even at 80 % of the way, closed after 72 hours. Prices are not rounded."""
    return ExitPlan(
        direction=direction,
        stop=stop,
        targets=(Target(price=target, fraction=ONE),),
        tick=SWING_TICK,
        quantity_step=SWING_STEP,
        min_quantity=SWING_STEP,
        break_even_fraction=SWING_BREAK_EVEN_FRACTION,
        deadline=opened_at + SWING_TIME_LIMIT,
    )


def session_plan(
    *,
    instrument: Instrument,
    direction: Direction,
    entry: Decimal,
    target_ratio: Decimal,
    stop_ratio: Decimal,
    session_ends_at: datetime,
) -> ExitPlan:
    """Product F: the percentile levels (shares of the entry) around what was paid; the rest ends with the session."""
    sign = direction.sign
    return _plan(
        instrument,
        direction,
        stop=entry * (1 - sign * stop_ratio),
        targets=((entry * (1 + sign * target_ratio), ONE),),
        deadline=session_ends_at,
    )


# ------------------------------------------------------------------------------------------------------------ baskets


@dataclass(frozen=True, slots=True, kw_only=True)
class Basket:
    """All legs of a grid as one position: its average price, its quantity in the instrument's units, and the money
    that may be lost: `balance` of the account, and account currency per unit of quote currency."""

    average: Decimal
    quantity: Decimal
    balance: Decimal
    conversion: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class BasketExits:
    """Settings of a basket: take profit in points (ticks), or as a ratio of the average; the forced close as a share
    of balance. Exactly one of the two take profits is given."""

    take_profit_points: Decimal | None
    take_profit_ratio: Decimal | None
    max_drawdown_ratio: Decimal


def basket_plan(*, instrument: Instrument, direction: Direction, basket: Basket, exits: BasketExits) -> ExitPlan:
    """Product E, made anew at each fill: every leg closes at the take profit, or where the drawdown forces it.

    Where no price is low enough for the drawdown, the stop is 0: nothing can rest at the venue, the account's monitor
    alone guards, and whoever places the stop must say so.
    """
    forced = drawdown_price(
        instrument=instrument, direction=direction, basket=basket, max_drawdown_ratio=exits.max_drawdown_ratio
    )
    return _plan(
        instrument,
        direction,
        stop=forced or Decimal(0),
        targets=((_basket_target(instrument, direction, basket, exits), ONE),),
        stop_reason="DRAWDOWN",
        target_reason="BASKET_TP",
    )


def drawdown_price(
    *, instrument: Instrument, direction: Direction, basket: Basket, max_drawdown_ratio: Decimal
) -> Decimal | None:
    """Where a lone basket has lost its share of balance (X), unrounded; None if no price above 0 does that."""
    per_point = basket.quantity * instrument.contract_size * basket.conversion
    price = basket.average - direction.sign * max_drawdown_ratio * basket.balance / per_point
    return price if price > 0 else None


def _basket_target(instrument: Instrument, direction: Direction, basket: Basket, exits: BasketExits) -> Decimal:
    sign, points, ratio = direction.sign, exits.take_profit_points, exits.take_profit_ratio
    if points is not None and ratio is None:
        return basket.average + sign * points * instrument.tick
    if ratio is not None and points is None:
        return basket.average * (1 + sign * ratio)
    raise ConfigError(
        f"basket of {instrument.symbol}: take profit is {points} points and ratio {ratio}; give exactly one of them"
    )


# ------------------------------------------------------------------------------------------------- custom, the scalper


def custom_plan(
    *,
    instrument: Instrument,
    direction: Direction,
    entry: Decimal,
    stop: Decimal | None,
    atr: Decimal,
    risk_reward_ratio: Decimal,
    forced_close: Decimal | None,
) -> ExitPlan:
    """Product E5: the stop of its exit rule, else two ATR; the target so many times as far.

    `forced_close` is the price of the greatest drawdown (`drawdown_price`): if it is nearer it is the stop, but the
    target keeps the distance of the strategy's own stop.
    """
    sign = direction.sign
    own = entry - sign * CUSTOM_STOP_ATR * atr if stop is None else stop
    forced = forced_close is not None and sign * (forced_close - own) > 0
    return _plan(
        instrument,
        direction,
        stop=forced_close if forced and forced_close is not None else own,
        targets=((entry + sign * risk_reward_ratio * abs(entry - own), ONE),),
        stop_reason="DRAWDOWN" if forced else "STOP",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalperExits:
    """Settings of the scalper's exits. Ratios are shares of the entry, of the first quantity or of the price.

    With both `stop_ratio` and `target_ratio` there is one target; ATR is then not needed. A trail of 0 is none.
    """

    stop_atr: Decimal = Decimal("1.5")
    target_one_atr: Decimal = Decimal("1.5")
    target_two_atr: Decimal = Decimal("3.0")
    partial_exit_ratio: Decimal = Decimal("0.5")
    trail_ratio: Decimal = Decimal(0)
    trail_activation_ratio: Decimal = Decimal(0)
    time_limit: timedelta = timedelta(minutes=30)
    stop_ratio: Decimal | None = None
    target_ratio: Decimal | None = None


def scalper_plan(
    *,
    instrument: Instrument,
    direction: Direction,
    entry: Decimal,
    atr: Decimal,
    opened_at: datetime,
    session_ends_at: datetime,
    exits: ScalperExits,
) -> ExitPlan:
    """Product A: two targets in ATR with break-even after the first, or one in percent; flat by time or session end."""
    sign, times_up = direction.sign, opened_at + exits.time_limit
    if exits.stop_ratio is not None and exits.target_ratio is not None:
        stop = entry * (1 - sign * exits.stop_ratio)
        targets: tuple[tuple[Decimal, Decimal], ...] = ((entry * (1 + sign * exits.target_ratio), ONE),)
    else:
        stop = entry - sign * exits.stop_atr * atr
        targets = _in_two(entry + sign * exits.target_one_atr * atr, entry + sign * exits.target_two_atr * atr, exits)
    trail = Trail(
        kind=TrailKind.PERCENT, distance_ratio=exits.trail_ratio, activation_ratio=exits.trail_activation_ratio
    )
    return _plan(
        instrument,
        direction,
        stop=stop,
        targets=targets,
        break_even_target=1 if len(targets) > 1 else None,
        trail=trail if exits.trail_ratio > 0 else None,
        deadline=min(times_up, session_ends_at),
        deadline_reason="TIMEOUT" if times_up < session_ends_at else "SESSION_END",
    )


def _in_two(first: Decimal, second: Decimal, exits: ScalperExits) -> tuple[tuple[Decimal, Decimal], ...]:
    part = exits.partial_exit_ratio
    return ((first, part), (second, ONE - part)) if part < ONE else ((first, ONE),)


def _plan(
    instrument: Instrument,
    direction: Direction,
    *,
    stop: Decimal,
    targets: tuple[tuple[Decimal, Decimal], ...],
    break_even_target: int | None = None,
    trail: Trail | None = None,
    deadline: datetime | None = None,
    deadline_reason: str = "TIMEOUT",
    stop_reason: str = "STOP",
    target_reason: str = "",
) -> ExitPlan:
    """On the tick grid: stop away from the entry, targets towards it, which is the same direction."""
    rounding = Rounding.DOWN if direction is Direction.LONG else Rounding.UP
    return ExitPlan(
        direction=direction,
        stop=instrument.round_price(stop, rounding),
        targets=tuple(
            Target(price=instrument.round_price(price, rounding), fraction=fraction) for price, fraction in targets
        ),
        tick=instrument.tick,
        quantity_step=instrument.quantity_step,
        min_quantity=instrument.min_quantity,
        min_notional=instrument.min_quantity_times_price,
        break_even_target=break_even_target,
        trail=trail,
        deadline=deadline,
        deadline_reason=deadline_reason,
        stop_reason=stop_reason,
        target_reason=target_reason,
    )
