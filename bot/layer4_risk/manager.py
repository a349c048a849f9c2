"""Limits, then sizing. The only maker of ApprovedOrder."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

from bot.config import ExitSettings, RiskSettings
from bot.instruments import BrokerId, Instrument, InstrumentRegistry, Rounding
from bot.layer4_risk.limits import LIMITS, LimitCase, RiskView
from bot.layer4_risk.sizing import Size, position_size
from bot.models import (
    ApprovedOrder,
    Direction,
    Endorsed,
    EntrySignal,
    ExitPlan,
    LimitCheck,
    OrderKind,
    PositionId,
    Refused,
    Side,
    Target,
    Trail,
    TrailKind,
    client_order_id,
    leg_of,
)


class RiskManager:
    """Says "we may not", or "this much"."""

    def __init__(
        self,
        *,
        registry: InstrumentRegistry,
        settings: RiskSettings,
        exits: ExitSettings,
        max_positions: Callable[[BrokerId], int],
        environment: str,
    ) -> None:
        self._registry = registry
        self._settings = settings
        self._exits = exits
        self._max_positions = max_positions
        self._environment = environment

    def decide(self, endorsed: Endorsed, view: RiskView) -> ApprovedOrder | Refused:
        """Every limit is looked at; a refusal names the first that failed, or the size that came out as nothing."""
        signal = endorsed.signal
        direction, stop_loss = signal.direction, signal.stop_loss
        if direction is None or stop_loss is None:  # an endorsed signal has both: rules 0 and 2
            return Refused(signal_id=signal.id, code="NO_DIRECTION", says="nothing to enter", checks=())
        instrument = self._registry.get(signal.symbol)
        case = LimitCase(
            signal, direction, instrument, view, self._settings, self._max_positions(signal.broker_id), self._registry
        )
        checks = tuple(limit(case) for limit in LIMITS)
        failed = next((each for each in checks if not each.passed), None)
        if failed is not None:
            return Refused(signal_id=signal.id, code=failed.code, says=failed.says, checks=checks)
        return self._sized(signal, direction, stop_loss, instrument, view, checks)

    def _sized(
        self,
        signal: EntrySignal,
        direction: Direction,
        stop_loss: Decimal,
        instrument: Instrument,
        view: RiskView,
        checks: tuple[LimitCheck, ...],
    ) -> ApprovedOrder | Refused:
        if view.account is None or view.quote is None or view.conversion is None:
            raise AssertionError("the limits ACCOUNT and STALE_QUOTE have failed for a view without them")
        paid = view.quote.ask if direction is Direction.LONG else view.quote.bid
        plan = self._plan(signal, direction, stop_loss, instrument)
        if direction.sign * (paid - plan.stop) <= 0:  # sized by a distance on the wrong side it would be huge
            says = f"{signal.symbol}: the price {paid} has passed the stop {plan.stop}"
            return Refused(signal_id=signal.id, code="STOP_PASSED", says=says, checks=checks)
        size = position_size(
            instrument=instrument,
            paid=paid,
            stop=plan.stop,
            equity=view.account.equity,
            free_margin=view.account.equity - view.account.margin_used,
            risk_ratio=self._settings.risk_per_trade_ratio,
            conversion=view.conversion,
        )
        if not size.quantity:
            says = (
                f"{signal.symbol}: the size for {self._settings.risk_per_trade_ratio:.2%} of "
                f"{view.account.equity:.2f} {view.account.currency} is below the minimum of {instrument.min_quantity}"
            )
            return Refused(signal_id=signal.id, code="SIZE_BELOW_MINIMUM", says=says, checks=checks)
        return self._approved(signal, direction, instrument, plan, size, paid, view.conversion)

    def _approved(
        self,
        signal: EntrySignal,
        direction: Direction,
        instrument: Instrument,
        plan: ExitPlan,
        size: Size,
        paid: Decimal,
        conversion: Decimal,
    ) -> ApprovedOrder:
        side = Side.opening(direction)
        name = client_order_id(
            environment=self._environment,
            account=signal.broker_id,
            strategy=signal.strategy,
            symbol=signal.symbol,
            timeframe=signal.timeframe.value,
            candle_closed_at=signal.candle_closed_at,
            side=side,
            leg="E0",
        )
        return ApprovedOrder(
            client_order_id=name,
            stop_order_id=leg_of(name, "S0"),
            position_id=PositionId(f"{signal.id}/position"),
            signal_id=signal.id,
            task_id=signal.task_id,
            strategy=signal.strategy,
            broker_id=signal.broker_id,
            symbol=signal.symbol,
            side=side,
            kind=OrderKind.MARKET,
            quantity=size.quantity,
            limit_price=None,
            decided_price=paid,
            plan=plan,
            risk_amount=size.risk_amount,
            value_per_point=instrument.contract_size * conversion,
            valid_until=signal.candle_closed_at + timedelta(seconds=self._settings.entry_validity_s),
        )

    def _plan(self, signal: EntrySignal, direction: Direction, stop_loss: Decimal, of: Instrument) -> ExitPlan:
        """Stop, half at target 1, then break-even and a trail that tightens towards target 2 (product row D2)."""
        away, towards = (Rounding.DOWN, Rounding.DOWN) if direction is Direction.LONG else (Rounding.UP, Rounding.UP)
        first = self._exits.tp1_close_pct if len(signal.targets) > 1 else Decimal(1)
        fractions = (first, 1 - first)
        targets = tuple(
            Target(price=of.round_price(price, towards), fraction=fraction)
            for price, fraction in zip(signal.targets, fractions, strict=False)
        )
        trail = Trail(
            kind=TrailKind.PROGRESSIVE,
            start_r=self._exits.trail_start_r,
            end_r=self._exits.trail_end_r,
            step_r=self._exits.trail_step_r,
        )
        return ExitPlan(
            direction=direction,
            stop=of.round_price(stop_loss, away),
            targets=targets,
            tick=of.tick,
            quantity_step=of.quantity_step,
            min_quantity=of.min_quantity,
            break_even_target=1 if len(targets) > 1 else None,
            trail=trail if len(targets) > 1 else None,
        )
