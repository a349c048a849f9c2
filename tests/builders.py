"""Valid objects in one line, so that a test names only what it is about."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

import numpy as np

from bot.instruments import BrokerId, Instrument, Spread, Symbol, default_registry
from bot.models import (
    ApprovedOrder,
    CandleSeries,
    ClientOrderId,
    Direction,
    Endorsed,
    EntrySignal,
    ExitPlan,
    OrderKind,
    Position,
    PositionId,
    Quote,
    Side,
    SignalId,
    StrategyName,
    Target,
    TaskId,
    Timeframe,
    Trail,
    TrailKind,
    leg_of,
)

START = datetime(2024, 1, 2, tzinfo=UTC)
EUR_USD = Symbol("EUR_USD")


def at(minutes: float = 0) -> datetime:
    """An instant, `minutes` after the usual start."""
    return START + timedelta(minutes=minutes)


def instrument(symbol: str = "EUR_USD", **changes: Any) -> Instrument:
    """A registered instrument, with changes."""
    return replace(default_registry().get(symbol), **changes)


def frictionless(symbol: str = "EUR_USD", tick: str = "0.0001") -> Instrument:
    """An instrument without spread, slippage or commission, so that prices in a test are prices in its text."""
    return instrument(
        symbol,
        tick=Decimal(tick),
        typical_spread=Spread(),
        slippage_ratio=Decimal(0),
        commission_ratio=Decimal(0),
        quantity_step=Decimal(1),
        min_quantity=Decimal(1),
        max_leverage=Decimal(1_000_000),
    )


def series(
    rows: list[tuple[float, float, float, float]], *, symbol: str = "EUR_USD", timeframe: Timeframe = Timeframe.H1
) -> CandleSeries:
    """Candles from (open, high, low, close) rows, one after the other."""
    prices = np.array(rows, dtype=float).reshape(-1, 4)
    count = len(prices)
    first = int(START.timestamp())
    return CandleSeries(
        Symbol(symbol),
        timeframe,
        first + np.arange(count, dtype=np.int64) * timeframe.seconds,
        np.ascontiguousarray(prices[:, 0]),
        np.ascontiguousarray(prices[:, 1]),
        np.ascontiguousarray(prices[:, 2]),
        np.ascontiguousarray(prices[:, 3]),
        np.full(count, 100.0),
        np.zeros(count, dtype=np.int64),
    )


def plan(direction: Direction = Direction.LONG, **changes: Any) -> ExitPlan:
    """The divergence plan of golden example 15: stop 98, half at 104, the rest trails to 108 (or its mirror)."""
    sign = direction.sign
    standard = ExitPlan(
        direction=direction,
        stop=Decimal(100 - 2 * sign),
        targets=(
            Target(price=Decimal(100 + 4 * sign), fraction=Decimal("0.5")),
            Target(price=Decimal(100 + 8 * sign), fraction=Decimal("0.5")),
        ),
        tick=Decimal("0.001"),
        quantity_step=Decimal(1),
        min_quantity=Decimal(1),
        break_even_target=1,
        trail=Trail(kind=TrailKind.PROGRESSIVE),
    )
    return replace(standard, **changes)


def quote(bid: str = "1.0999", ask: str = "1.1001", *, symbol: str = "EUR_USD", at: datetime = START) -> Quote:
    """A quote."""
    return Quote(symbol=Symbol(symbol), bid=Decimal(bid), ask=Decimal(ask), at=at)


def signal(direction: Direction | None = Direction.LONG, **changes: Any) -> EntrySignal:
    """An entry at 1.1000 with a stop 50 pips away and targets at 2.2 and 4 times that."""
    sign = Decimal(direction.sign if direction else 1)
    standard = EntrySignal(
        id=SignalId("divergence:EUR_USD:1h/2024-01-02T00:00/0"),
        task_id=TaskId("divergence:EUR_USD:1h"),
        strategy=StrategyName("divergence"),
        broker_id=BrokerId("oanda"),
        symbol=EUR_USD,
        timeframe=Timeframe.H1,
        candle_closed_at=START,
        direction=direction,
        entry=Decimal("1.1000"),
        stop_loss=Decimal("1.1000") - sign * Decimal("0.0050"),
        targets=(Decimal("1.1000") + sign * Decimal("0.0110"), Decimal("1.1000") + sign * Decimal("0.0200")),
        confidence=0.8,
    )
    return replace(standard, **changes)


def endorsed(direction: Direction = Direction.LONG, **changes: Any) -> Endorsed:
    """A signal as the validator would pass it on, without its findings."""
    return Endorsed(signal(direction, **changes), (), 7.0)


def approved_order(**changes: Any) -> ApprovedOrder:
    """A market buy of 10 at about 100, with the standard plan and the bound that goes with it."""
    name = ClientOrderId("TBd0123456789ABCDEFE00")
    standard = ApprovedOrder(
        client_order_id=name,
        stop_order_id=leg_of(name, "S0"),
        position_id=PositionId("position-1"),
        signal_id=SignalId("signal-1"),
        task_id=TaskId("divergence:EUR_USD:1h"),
        strategy=StrategyName("divergence"),
        broker_id=BrokerId("oanda"),
        symbol=EUR_USD,
        side=Side.BUY,
        kind=OrderKind.MARKET,
        quantity=Decimal(10),
        limit_price=None,
        decided_price=Decimal(100),
        price_bound=Decimal(100),
        plan=plan(),
        risk_amount=Decimal(20),
        value_per_point=Decimal(1),
        valid_until=START + timedelta(days=1),
    )
    made = replace(standard, **changes)
    return made if "price_bound" in changes else replace(made, price_bound=bound_of(made))


def bound_of(order: ApprovedOrder) -> Decimal:
    """The worst price that an order like this may fill at, by the standard settings; its limit, if it has one."""
    if order.kind is OrderKind.LIMIT and order.limit_price is not None:
        return order.limit_price
    sign = order.side.sign
    bound = order.decided_price + sign * max(sign * (order.decided_price - order.plan.stop), Decimal(0)) / 4
    ticks = (bound / order.plan.tick).to_integral_value(ROUND_FLOOR if order.side is Side.BUY else ROUND_CEILING)
    return ticks * order.plan.tick


def position(direction: Direction = Direction.LONG, **changes: Any) -> Position:
    """An open position of 10 at 100 with the standard plan."""
    order = approved_order()
    standard = Position(
        id=order.position_id,
        task_id=order.task_id,
        signal_id=order.signal_id,
        strategy=order.strategy,
        broker_id=order.broker_id,
        symbol=order.symbol,
        direction=direction,
        plan=plan(direction),
        entry_order_id=order.client_order_id,
        stop_order_id=order.stop_order_id,
        first_quantity=Decimal(10),
        quantity=Decimal(10),
        entry_price=Decimal(100),
        stop_price=plan(direction).stop,
        exit_price=None,
        closed_quantity=Decimal(0),
        realised=Decimal(0),
        fees=Decimal(0),
        risk_amount=Decimal(20),
        targets_hit=0,
        best_price=Decimal(100),
        worst_price=Decimal(100),
        mark_price=Decimal(100),
        break_even=False,
        trailing=False,
        value_per_point=Decimal(1),
        opened_at=START,
        closed_at=None,
        exit_reason="",
    )
    return replace(standard, **changes)
