"""Limits, then sizing, then the limits that need a size. The only maker of ApprovedOrder."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Protocol

from bot.config import RiskSettings
from bot.instruments import BrokerId, Instrument, InstrumentRegistry, Rounding, Symbol
from bot.layer4_risk.limits import LimitCase, RiskView, stake_checks, standing_checks
from bot.layer4_risk.order_checks import order_checks
from bot.layer4_risk.sizing import Size, position_size
from bot.layer4_risk.stakes import ZERO, Stake, of_approved
from bot.models import (
    AccountState,
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
    client_order_id,
    leg_of,
)


class PlanOf(Protocol):
    """Makes the way out of a position; layer 3 knows how."""

    def __call__(
        self, *, instrument: Instrument, direction: Direction, stop: Decimal, targets: tuple[Decimal, ...]
    ) -> ExitPlan:
        """Stop and targets on the instrument's ticks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What risk would say now: `code` is the first limit that refuses, empty if none does; `checks` are all of them.

    Of an entry that would be allowed: its size, the price it would pay, and what it would risk and hold, in account
    currency.
    """

    code: str = ""
    says: str
    checks: tuple[LimitCheck, ...]
    quantity: Decimal | None = None
    price: Decimal | None = None
    risk_amount: Decimal | None = None
    notional: Decimal | None = None

    @property
    def is_allowed(self) -> bool:
        """No limit refuses it."""
        return not self.code


class RiskManager:
    """Says "we may not", or "this much"."""

    def __init__(
        self, *, registry: InstrumentRegistry, settings: RiskSettings, plan_of: PlanOf, environment: str
    ) -> None:
        """`environment` is the letter of client order ids."""
        self._registry = registry
        self._settings = settings
        self._plan_of = plan_of
        self._environment = environment

    def decide(self, endorsed: Endorsed, view: RiskView) -> ApprovedOrder | Refused:
        """Every limit is looked at; a refusal names the first that failed, or the size that came out as nothing."""
        return self._weighed(endorsed.signal, view)[0]

    def preview(self, signal: EntrySignal, view: RiskView) -> Preview:
        """What would be decided about an idea that nobody has endorsed; it permits nothing."""
        decision, checks = self._weighed(signal, view)
        if isinstance(decision, Refused):
            return Preview(code=decision.code, says=decision.says, checks=checks)
        says = f"{decision.side.value} {decision.quantity:f} near {decision.decided_price:f}"
        return Preview(
            says=says,
            checks=checks,
            quantity=decision.quantity,
            price=decision.decided_price,
            risk_amount=decision.risk_amount,
            notional=decision.quantity * decision.decided_price * decision.value_per_point,
        )

    def _weighed(self, signal: EntrySignal, view: RiskView) -> tuple[ApprovedOrder | Refused, tuple[LimitCheck, ...]]:
        """The decision, and every limit that was looked at for it."""
        direction, stop = signal.direction, signal.stop_loss
        if direction is None or stop is None or not signal.targets:  # an endorsed signal has all: rules 0, 2 and 4
            return Refused(signal_id=signal.id, code="NO_DIRECTION", says="nothing to enter", checks=()), ()
        instrument = self._registry.get(signal.symbol)
        books, entry = view.books(self._settings, self._registry), _unsized(signal, direction)
        checks = (
            *standing_checks(LimitCase(signal, instrument, view, self._settings)),
            *stake_checks(books, entry, sized=False),
        )
        if refused := _refusal(signal, checks):
            return refused, checks
        plan = self._plan_of(instrument=instrument, direction=direction, stop=stop, targets=signal.targets)
        free = self._free_margin(signal.broker_id, view, books.stakes)
        order = self._sized(signal, instrument, plan, view, free, checks)
        if isinstance(order, Refused) or view.account is None or view.conversion.rate is None:
            return order, checks
        checks += (
            *order_checks(order, instrument, view.account.equity, free, view.conversion.rate, self._settings),
            *stake_checks(books, of_approved(order), sized=True),
        )
        return _refusal(signal, checks) or order, checks

    def _free_margin(self, broker_id: BrokerId, view: RiskView, stakes: Sequence[Stake]) -> Decimal:
        """What the account has left when every entry on its way has filled: the venue knows only of what is open."""
        if view.account is None:
            return ZERO
        on_their_way = (each for each in stakes if each.broker_id == broker_id and each.pending)
        taken = (abs(each.pending) / self._leverage(each.symbol) for each in on_their_way)
        return view.account.equity - view.account.margin_used - sum(taken, ZERO)

    def _leverage(self, symbol: Symbol) -> Decimal:
        """That of the instrument, bounded by the setting of its kind; 1 for what is not registered."""
        if symbol not in self._registry:
            return Decimal(1)
        instrument = self._registry.get(symbol)
        return min(instrument.max_leverage, self._settings.leverage_of(instrument.asset_class))

    def _sized(
        self,
        signal: EntrySignal,
        instrument: Instrument,
        plan: ExitPlan,
        view: RiskView,
        free_margin: Decimal,
        checks: tuple[LimitCheck, ...],
    ) -> ApprovedOrder | Refused:
        account, quote, rate = view.account, view.quote, view.conversion.rate
        if account is None or quote is None or rate is None:
            raise AssertionError("the limits ACCOUNT, STALE_QUOTE and CONVERSION have failed for a view without them")
        paid = quote.ask if plan.direction is Direction.LONG else quote.bid
        if plan.direction.sign * (paid - plan.stop) <= 0:  # sized by a distance on the wrong side it would be huge
            says = f"{signal.symbol}: the price {paid} has passed the stop {plan.stop}; wait for the next signal"
            return Refused(signal_id=signal.id, code="STOP_PASSED", says=says, checks=checks)
        bound = _price_bound(instrument, paid, plan.stop, self._settings.max_entry_slippage_ratio)
        size = position_size(
            instrument=instrument,
            paid=paid,
            price_bound=bound,
            stop=plan.stop,
            equity=account.equity,
            free_margin=free_margin,
            risk_ratio=self._settings.risk_per_trade_ratio,
            conversion=rate,
            leverage=self._leverage(instrument.symbol),
            targets=[each.price for each in plan.targets],
        )
        if not size.quantity:
            says = self._too_small(instrument, account, free_margin, size)
            return Refused(signal_id=signal.id, code="SIZE_BELOW_MINIMUM", says=says, checks=checks)
        return self._approved(signal, instrument, plan, size, rate, paid=paid, price_bound=bound)

    def _too_small(self, instrument: Instrument, account: AccountState, free_margin: Decimal, size: Size) -> str:
        budget = self._settings.risk_per_trade_ratio * account.equity
        return (
            f"{instrument.symbol}: {size.shortfall or 'nothing can be sized'}, for a risk of "
            f"{budget:.2f} {account.currency} ({self._settings.risk_per_trade_ratio:.2%} of {account.equity:.2f}) at "
            f"{size.unit_risk:.4f} a unit, and {free_margin:.2f} free margin; "
            "trade it with a larger account"
        )

    def _approved(
        self,
        signal: EntrySignal,
        instrument: Instrument,
        plan: ExitPlan,
        size: Size,
        conversion: Decimal,
        *,
        paid: Decimal,
        price_bound: Decimal,
    ) -> ApprovedOrder:
        side = Side.opening(plan.direction)
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
            price_bound=price_bound,
            plan=plan,
            risk_amount=size.risk_amount,
            value_per_point=instrument.contract_size * conversion,
            valid_until=signal.candle_closed_at + timedelta(seconds=self._settings.entry_validity_s),
        )


def _price_bound(instrument: Instrument, paid: Decimal, stop: Decimal, ratio: Decimal) -> Decimal:
    """The worst price to fill at: beyond `paid` by `ratio` of the way to the stop, on a tick, and never beyond that."""
    rounding = Rounding.DOWN if paid > stop else Rounding.UP
    return max(instrument.round_price(paid + (paid - stop) * ratio, rounding), instrument.tick)


def _unsized(signal: EntrySignal, direction: Direction) -> Stake:
    return Stake(
        broker_id=signal.broker_id,
        symbol=signal.symbol,
        direction=direction,
        strategy=signal.strategy,
        open=ZERO,
        worst=ZERO,
        risk_open=ZERO,
        risk_worst=ZERO,
    )


def _refusal(signal: EntrySignal, checks: Sequence[LimitCheck]) -> Refused | None:
    failed = next((each for each in checks if not each.passed), None)
    if failed is None:
        return None
    return Refused(signal_id=signal.id, code=failed.code, says=failed.says, checks=tuple(checks))
