"""What is at stake: limits used against allowed, and signed exposure per currency, group and strategy. Pure.

Everything is counted twice: what is surely open now, and the worst case (`stakes`, `net_exposure`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from bot.config import RiskSettings
from bot.differences import ForeignStake
from bot.instruments import BrokerId, InstrumentRegistry
from bot.layer4_risk.daily_loss import loss_ratio
from bot.layer4_risk.net_exposure import Exposure, net_exposures
from bot.layer4_risk.stakes import ZERO, PastEntry, Stake, all_stakes
from bot.layer4_risk.usage import EVERYWHERE, Books, UsedLimit, used_limits
from bot.models import (
    AccountState,
    ApprovedOrder,
    KillState,
    Order,
    OrderState,
    PortfolioSnapshot,
    Position,
    strongest,
)

_UNRESOLVED = (OrderState.SENDING, OrderState.UNKNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerStake:
    """What is known of one broker."""

    broker_id: BrokerId
    account: AccountState | None
    realised: Decimal
    entries_blocked: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StakeView:
    """All that the report is made of, taken at one instant. `reserved`, `foreign` and `entries` as in RiskView."""

    at: datetime
    settings: RiskSettings
    positions: Sequence[Position]
    orders: Sequence[Order]
    reserved: Sequence[ApprovedOrder]
    foreign: Sequence[ForeignStake]
    entries: Sequence[PastEntry]
    brokers: Sequence[BrokerStake]
    latches: Sequence[KillState]
    snapshot: PortfolioSnapshot | None
    session_day_began_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskReport:
    """Limits and exposure of this moment. Money in `currency`; `risk_*` is what is lost if every stop is hit now.

    `unbounded` names what is not in `risk_*`: no stop bounds what it can lose, and nobody has said that it may stay so.
    """

    at: datetime
    currency: str
    kill: KillState
    latches: Sequence[KillState]
    entries_blocked: Sequence[str]
    limits: Sequence[UsedLimit]
    currencies: Sequence[Exposure]
    groups: Sequence[Exposure]
    strategies: Sequence[Exposure]
    gross_open: Decimal
    gross_worst: Decimal
    risk_open: Decimal
    risk_worst: Decimal
    unbounded: Sequence[str]
    unknown_orders: Sequence[str]
    session_day_began_at: datetime


def risk_report(view: StakeView, registry: InstrumentRegistry) -> RiskReport:
    """The report over `view`; positions of instruments that are not registered count under their own symbol."""
    stakes = all_stakes(view.positions, view.orders, view.reserved, view.foreign, view.entries)
    return RiskReport(
        at=view.at,
        currency=view.settings.account_currency,
        kill=strongest(view.latches),
        latches=tuple(view.latches),
        entries_blocked=tuple(each.entries_blocked for each in view.brokers if each.entries_blocked),
        limits=tuple(_limits(view, stakes, registry)),
        currencies=net_exposures(stakes, lambda stake: stake.currencies(registry)),
        groups=net_exposures(stakes, lambda stake: {stake.group(registry): 1}),
        strategies=net_exposures(stakes, lambda stake: {stake.strategy: 1}),
        gross_open=sum((abs(each.open) for each in stakes), ZERO),
        gross_worst=sum((abs(each.worst) for each in stakes), ZERO),
        risk_open=sum((each.risk_open for each in stakes), ZERO),
        risk_worst=sum((each.risk_worst for each in stakes), ZERO),
        unbounded=tuple(_told(each) for each in view.foreign if each.is_unbounded),
        unknown_orders=tuple(_unknown(each) for each in view.orders if each.state in _UNRESOLVED),
        session_day_began_at=view.session_day_began_at,
    )


def _limits(view: StakeView, stakes: Sequence[Stake], registry: InstrumentRegistry) -> Iterable[UsedLimit]:
    """Those of the gate, and those that press the kill switch."""
    settings, accounts = view.settings, {each.broker_id: each.account for each in view.brokers}
    books = Books(
        now=view.at,
        settings=settings,
        registry=registry,
        currency=settings.account_currency,
        equity={name: each.equity for name, each in accounts.items() if each is not None},
        total_equity=view.snapshot.equity if view.snapshot is not None else None,
        stakes=stakes,
        entries=view.entries,
    )
    yield from used_limits(books, tuple(accounts))
    for broker in view.brokers:
        lost = loss_ratio(broker.account, broker.realised) if broker.account is not None else None
        yield _share("DAILY_LOSS", "daily loss", broker.broker_id, lost, settings.daily_loss_limit_ratio)
    fallen = max(view.snapshot.drawdown, ZERO) if view.snapshot is not None else None
    yield _share("DRAWDOWN", "drawdown", EVERYWHERE, fallen, settings.max_drawdown_ratio)


def _share(code: str, name: str, scope: str, used: Decimal | None, allowed: Decimal) -> UsedLimit:
    return UsedLimit(code=code, name=name, scope=scope, used=used, allowed=allowed, unit="share")


def _unknown(order: Order) -> str:
    return f"{order.symbol} {order.role.value} {order.side.value} {order.quantity}: {order.state.value}"


def _told(held: ForeignStake) -> str:
    order = ", if its order fills" if held.is_order else ""
    return f"{held.direction.value} {held.quantity:f} {held.symbol} at {held.broker_id}{order}"
