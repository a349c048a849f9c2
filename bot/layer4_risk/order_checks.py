"""Is this order what it should be: computed anew from the order itself, so that a wrong size or contract size shows."""

from collections.abc import Iterator
from decimal import Decimal

from bot.config import RiskSettings
from bot.instruments import Instrument
from bot.layer4_risk.sizing import loss_at_stop
from bot.models import ApprovedOrder, LimitCheck

ZERO = Decimal(0)


def order_checks(
    order: ApprovedOrder,
    instrument: Instrument,
    equity: Decimal,
    free_margin: Decimal,
    conversion: Decimal,
    settings: RiskSettings,
) -> Iterator[LimitCheck]:
    """Price x quantity x contract size against equity and leverage, and the loss at the stop against the budget."""
    notional = instrument.notional(order.quantity, order.decided_price) * conversion
    what = (
        f"{order.symbol}: {order.quantity} x {order.decided_price} x contract size {instrument.contract_size} "
        f"is {notional:.2f}"
    )
    says = (
        f"{what}, limit {settings.max_order_notional} x equity {equity:.2f} (MAX_ORDER_NOTIONAL); compare the contract "
        "size with the venue's"
    )
    yield _check("ORDER_NOTIONAL", notional, equity * settings.max_order_notional, says)
    leverage = min(settings.leverage_of(instrument.asset_class), instrument.max_leverage)
    free = max(free_margin, ZERO)
    name = f"MAX_LEVERAGE_{instrument.asset_class.upper()}"
    says = f"{what}, limit {leverage} x free margin {free:.2f} ({name}); close something first"
    yield _check("LEVERAGE", notional, free * leverage, says)
    lost = loss_at_stop(instrument, order.decided_price, order.plan.stop) * order.quantity * conversion
    budget = equity * settings.risk_per_trade_ratio
    says = (
        f"{order.symbol}: {lost:.2f} lost at the stop {order.plan.stop}, limit {budget:.2f} (RISK_PER_TRADE_RATIO); "
        "the size is wrong: report it"
    )
    yield _check("ORDER_RISK", lost, budget, says)


def _check(code: str, used: Decimal, allowed: Decimal, says: str) -> LimitCheck:
    return LimitCheck(code=code, used=used, allowed=allowed, passed=used <= allowed, says=says)
