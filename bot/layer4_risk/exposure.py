"""What is at stake: limits used against allowed, and signed exposure per currency, group and strategy. Pure.

Everything is counted twice: what is surely open now, and the worst case, in which every order that can still open
something (being sent, of unknown fate, working, being cancelled) fills whole and no order of unknown fate has closed
anything (RELIABILITY I5).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from bot.instruments import BrokerId, InstrumentRegistry
from bot.layer4_risk.daily_loss import loss_ratio
from bot.models import (
    AccountState,
    Direction,
    KillState,
    Order,
    OrderRole,
    OrderState,
    PortfolioSnapshot,
    Position,
    PositionId,
    strongest,
)

ZERO = Decimal(0)
_UNRESOLVED = (OrderState.SENDING, OrderState.UNKNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedLimit:
    """One limit: how much of it is used, in `unit` ("positions", or "share" for ratios). None: not known now."""

    name: str
    scope: str
    used: Decimal | None
    allowed: Decimal
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """Signed notional in account currency, long positive: now, and in the worst case."""

    name: str
    open: Decimal
    worst: Decimal
    positions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerStake:
    """What is known of one broker."""

    broker_id: BrokerId
    max_positions: int
    account: AccountState | None
    realised: Decimal
    entries_blocked: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StakeView:
    """All that the report is made of, taken at one instant."""

    at: datetime
    currency: str
    positions: Sequence[Position]
    orders: Sequence[Order]
    brokers: Sequence[BrokerStake]
    latches: Sequence[KillState]
    snapshot: PortfolioSnapshot | None
    daily_loss_limit_ratio: Decimal
    max_drawdown_ratio: Decimal
    max_correlated: int
    session_day_began_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskReport:
    """Limits and exposure of this moment. Money in `currency`; `risk_*` is what is lost if every stop is hit now."""

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
    unknown_orders: Sequence[str]
    session_day_began_at: datetime


@dataclass(frozen=True, slots=True)
class _Stake:
    """One position with its notional and its loss at the stop, now and in the worst case."""

    position: Position
    open: Decimal
    worst: Decimal
    risk_open: Decimal
    risk_worst: Decimal


def risk_report(view: StakeView, registry: InstrumentRegistry) -> RiskReport:
    """The report over `view`; positions of instruments that are not registered count under their own symbol."""
    rests = _still_to_open(view.orders)
    stakes = [_stake(each, rests.get(each.id, ZERO)) for each in view.positions]
    return RiskReport(
        at=view.at,
        currency=view.currency,
        kill=strongest(view.latches),
        latches=tuple(view.latches),
        entries_blocked=tuple(each.entries_blocked for each in view.brokers if each.entries_blocked),
        limits=tuple(_limits(view, registry)),
        currencies=_summed(stakes, lambda stake: _currencies(stake.position, registry)),
        groups=_summed(stakes, lambda stake: {_group(stake.position, registry): 1}),
        strategies=_summed(stakes, lambda stake: {stake.position.strategy: 1}),
        gross_open=sum((abs(each.open) for each in stakes), ZERO),
        gross_worst=sum((abs(each.worst) for each in stakes), ZERO),
        risk_open=sum((each.risk_open for each in stakes), ZERO),
        risk_worst=sum((each.risk_worst for each in stakes), ZERO),
        unknown_orders=tuple(_unknown(each) for each in view.orders if each.state in _UNRESOLVED),
        session_day_began_at=view.session_day_began_at,
    )


def _still_to_open(orders: Iterable[Order]) -> Mapping[PositionId, Decimal]:
    """By position: what its unfinished entry may still add, at full size whatever is known of its fate."""
    rests: dict[PositionId, Decimal] = defaultdict(lambda: ZERO)
    for order in orders:
        if order.role is OrderRole.ENTRY and not order.state.is_terminal:
            rests[order.position_id] += max(order.quantity - order.filled_quantity, ZERO)
    return rests


def _stake(position: Position, rest: Decimal) -> _Stake:
    def notional(quantity: Decimal) -> Decimal:
        return quantity * position.mark_price * position.value_per_point * position.direction.sign

    def loss(quantity: Decimal) -> Decimal:
        distance = (position.mark_price - position.stop_price) * position.direction.sign
        return max(distance, ZERO) * quantity * position.value_per_point

    whole = position.quantity + rest
    return _Stake(position, notional(position.quantity), notional(whole), loss(position.quantity), loss(whole))


def _currencies(position: Position, registry: InstrumentRegistry) -> Mapping[str, int]:
    """Long a pair is long its base and short its quote; anything else is long itself and short what it is paid in."""
    if position.symbol not in registry:
        return {position.symbol: 1}
    instrument = registry.get(position.symbol)
    return {instrument.base_currency: 1, instrument.quote_currency: -1}


def _group(position: Position, registry: InstrumentRegistry) -> str:
    known = position.symbol in registry
    return (registry.get(position.symbol).correlation_group if known else "") or position.symbol


def _summed(stakes: Sequence[_Stake], names_of: Callable[[_Stake], Mapping[str, int]]) -> tuple[Exposure, ...]:
    found: dict[str, Exposure] = {}
    for stake in stakes:
        for name, sign in names_of(stake).items():
            before = found.get(name, Exposure(name=name, open=ZERO, worst=ZERO, positions=0))
            found[name] = Exposure(
                name=name,
                open=before.open + sign * stake.open,
                worst=before.worst + sign * stake.worst,
                positions=before.positions + 1,
            )
    return tuple(sorted(found.values(), key=lambda each: (-abs(each.worst), each.name)))


def _limits(view: StakeView, registry: InstrumentRegistry) -> Iterable[UsedLimit]:
    for broker in view.brokers:
        ours = [each for each in view.positions if each.broker_id == broker.broker_id]
        yield _positions(broker.broker_id, len(ours), broker.max_positions, "positions")
        groups: dict[tuple[str, Direction], int] = defaultdict(int)
        for each in ours:
            groups[_group(each, registry), each.direction] += 1
        for (group, direction), used in sorted(groups.items()):
            name = f"correlated: {group} {direction.value}"
            yield _positions(broker.broker_id, used, view.max_correlated, name)
        lost = loss_ratio(broker.account, broker.realised) if broker.account is not None else None
        yield UsedLimit(
            name="daily loss", scope=broker.broker_id, used=lost, allowed=view.daily_loss_limit_ratio, unit="share"
        )
    fallen = max(view.snapshot.drawdown, ZERO) if view.snapshot is not None else None
    yield UsedLimit(name="drawdown", scope="all", used=fallen, allowed=view.max_drawdown_ratio, unit="share")


def _positions(broker_id: BrokerId, used: int, allowed: int, name: str) -> UsedLimit:
    return UsedLimit(name=name, scope=broker_id, used=Decimal(used), allowed=Decimal(allowed), unit="positions")


def _unknown(order: Order) -> str:
    return f"{order.symbol} {order.role.value} {order.side.value} {order.quantity}: {order.state.value}"
