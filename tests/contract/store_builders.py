"""Valid rows in one line each, for the tests of the stores."""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from bot.instruments import BINANCE, OANDA, BrokerId, Currency, Symbol
from bot.models import (
    AccountState,
    ClientOrderId,
    Direction,
    DivergenceClaim,
    DivergenceKind,
    EntrySignal,
    ExitPlan,
    Fill,
    Finding,
    FindingStatus,
    JournalEntry,
    Order,
    OrderKind,
    OrderRole,
    OrderState,
    Outcome,
    PortfolioSnapshot,
    Position,
    PositionId,
    Side,
    SignalId,
    SignalRecord,
    StrategyName,
    StrategyTask,
    Target,
    TaskId,
    Timeframe,
    TradingSetup,
    Trail,
    TrailKind,
)

T0 = datetime(2024, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)
TASK = TaskId("divergence:EUR_USD:1h")
EUR_USD = Symbol("EUR_USD")

PLAN = ExitPlan(
    direction=Direction.LONG,
    stop=Decimal("1.07500"),
    targets=(Target(price=Decimal("1.09"), fraction=Decimal("0.5")), Target(price=Decimal("1.1"), fraction=Decimal(1))),
    tick=Decimal("0.00001"),
    quantity_step=Decimal(1),
    min_quantity=Decimal(1),
    break_even_target=1,
    break_even_fraction=Decimal("0.8"),
    trail=Trail(kind=TrailKind.PROGRESSIVE, distance_ratio=Decimal("0.01")),
    deadline=T0 + timedelta(hours=4),
)

FINDINGS = (
    Finding("0", "has_direction", FindingStatus.PASS, "long", "long or short"),
    Finding("6", "stop_distance", FindingStatus.FAIL, 7.25, "0.5..7.0"),
    Finding("7", "trend_strength", FindingStatus.NOT_APPLICABLE, math.nan, "at least 20"),
    Finding("14", "candle_pattern", FindingStatus.OFF, "", "a reversal pattern"),
)


def at(minutes: float) -> datetime:
    """An instant, in minutes after the first one."""
    return T0 + timedelta(minutes=minutes)


def signal_record(name: str = "s1", *, minutes: float = 0, **changes: Any) -> SignalRecord:
    """A vetoed long with claim, two targets and one finding of each status."""
    signal = EntrySignal(
        id=SignalId(name),
        task_id=TASK,
        strategy=StrategyName("divergence"),
        broker_id=OANDA,
        symbol=EUR_USD,
        timeframe=Timeframe.H1,
        candle_closed_at=at(minutes),
        direction=Direction.LONG,
        entry=Decimal("1.08000"),
        stop_loss=Decimal("1.075"),
        targets=(Decimal("1.09"), Decimal("1.10")),
        confidence=0.82,
        claim=DivergenceClaim(
            kind=DivergenceKind.HIDDEN,
            oscillators=("cci", "rsi"),
            p1_at=at(minutes - 600),
            p2_at=at(minutes - 60),
            p1_price=Decimal("1.07"),
            p2_price=Decimal("1.0712"),
        ),
    )
    record = SignalRecord(
        signal=signal,
        findings=FINDINGS,
        score=6.5,
        status="vetoed",
        rejected_by="6",
        reason="rule 6 stop_distance",
        decided_at=at(minutes),
    )
    return replace(record, **changes)


def order(name: str = "o1", *, minutes: float = 0, signal: str | None = "s1", **changes: Any) -> Order:
    """The intent of a market buy of 1000 that enters a position."""
    made = Order(
        client_order_id=ClientOrderId(name),
        position_id=PositionId("p1"),
        signal_id=SignalId(signal) if signal else None,
        task_id=TASK,
        broker_id=OANDA,
        symbol=EUR_USD,
        role=OrderRole.ENTRY,
        side=Side.BUY,
        kind=OrderKind.MARKET,
        quantity=Decimal(1000),
        price=None,
        state=OrderState.INTENT,
        reason="",
        created_at=at(minutes),
        updated_at=at(minutes),
    )
    return replace(made, **changes)


def stop_order(name: str = "o1s", **changes: Any) -> Order:
    """The protective stop of that entry."""
    kind = {"role": OrderRole.STOP, "side": Side.SELL, "kind": OrderKind.STOP, "price": Decimal("1.075")}
    return order(name, **{**kind, **changes})


def filled(before: Order, **changes: Any) -> Order:
    """An order after its only fill."""
    after = {"state": OrderState.FILLED, "filled_quantity": before.quantity, "filled_price": Decimal("1.0801")}
    return replace(before, **{**after, "updated_at": at(1), **changes})


def fill(name: str = "f1", *, order_name: str = "o1", **changes: Any) -> Fill:
    """The whole fill of the entry."""
    made = Fill(
        broker_id=OANDA,
        venue_fill_id=name,
        client_order_id=ClientOrderId(order_name),
        symbol=EUR_USD,
        side=Side.BUY,
        quantity=Decimal(1000),
        price=Decimal("1.0801"),
        fee=Decimal("0.02"),
        filled_at=at(1),
        cause="market",
    )
    return replace(made, **changes)


def position(name: str = "p1", *, entry: str = "o1", **changes: Any) -> Position:
    """An open position of that entry."""
    made = Position(
        id=PositionId(name),
        task_id=TASK,
        signal_id=SignalId("s1"),
        strategy=StrategyName("divergence"),
        broker_id=OANDA,
        symbol=EUR_USD,
        direction=Direction.LONG,
        plan=PLAN,
        entry_order_id=ClientOrderId(entry),
        stop_order_id=ClientOrderId(f"{entry}s"),
        first_quantity=Decimal(1000),
        quantity=Decimal(1000),
        entry_price=Decimal("1.0801"),
        stop_price=Decimal("1.075"),
        exit_price=None,
        closed_quantity=Decimal(0),
        realised=Decimal(0),
        fees=Decimal("0.02"),
        risk_amount=Decimal("5.1"),
        targets_hit=0,
        best_price=Decimal("1.0801"),
        worst_price=Decimal("1.0801"),
        mark_price=Decimal("1.0801"),
        break_even=False,
        trailing=False,
        value_per_point=Decimal(1),
        opened_at=at(1),
        closed_at=None,
        exit_reason="",
    )
    return replace(made, **changes)


def pending(name: str = "p1", **changes: Any) -> Position:
    """A position whose entry has not been filled yet."""
    nothing = {"first_quantity": Decimal(0), "quantity": Decimal(0), "entry_price": Decimal(0), "fees": Decimal(0)}
    return position(name, **{**nothing, **changes})


def closed(name: str = "p1", *, minutes: float = 60, result: str = "9.90", **changes: Any) -> Position:
    """A position that ended with `result` before fees."""
    end = {
        "quantity": Decimal(0),
        "closed_quantity": Decimal(1000),
        "exit_price": Decimal("1.09"),
        "realised": Decimal(result),
        "closed_at": at(minutes),
        "exit_reason": "TARGET_2",
    }
    return position(name, **{**end, **changes})


def outcome(name: str = "s1", *, minutes: float = 0, **changes: Any) -> Outcome:
    """What followed a signal so far."""
    made = Outcome(
        signal_id=SignalId(name),
        symbol=EUR_USD,
        timeframe=Timeframe.H1,
        direction=Direction.LONG,
        accepted=False,
        paid=Decimal("1.0801"),
        stop=Decimal("1.075"),
        target=Decimal("1.09"),
        started_at=at(minutes),
        followed_until=at(minutes + 60),
        candles=1,
        checkpoints={"1h": Decimal("1.0811")},
        mfe_r=0.4,
        mae_r=-0.1,
    )
    return replace(made, **changes)


def snapshot(minutes: float = 0, equity: str = "10000") -> PortfolioSnapshot:
    """Equity at one instant."""
    money = Decimal(equity)
    return PortfolioSnapshot(at=at(minutes), equity=money, balance=money, open_positions=1, peak=Decimal(10500))


def account_state(broker_id: BrokerId = OANDA, equity: str = "10000", *, minutes: float = 0) -> AccountState:
    """One account at one instant, with an open gain of half a cent."""
    money = Decimal(equity)
    return AccountState(
        broker_id=broker_id,
        currency=Currency("USD"),
        balance=money - Decimal("0.005"),
        equity=money,
        margin_used=Decimal("12.50"),
        at=at(minutes),
    )


def setup(name: str = "s1", *, minutes: float = 0, symbol: str = "EUR_USD") -> TradingSetup:
    """A 4h setup that lives a day."""
    return TradingSetup(
        signal_id=SignalId(name),
        task_id=TASK,
        symbol=Symbol(symbol),
        direction=Direction.SHORT,
        stop=Decimal("1.085"),
        created_at=at(minutes),
        expires_at=at(minutes + 1440),
    )


def task(name: str = "divergence:EUR_USD:1h") -> StrategyTask:
    """A strategy task with one parameter of its own."""
    return StrategyTask(
        id=TaskId(name),
        strategy=StrategyName("divergence"),
        broker_id=BINANCE,
        symbol=EUR_USD,
        timeframe=Timeframe.H1,
        parameters={"left": "7"},
    )


def entry_of_journal(number: int = 0, *, minutes: float = 0) -> JournalEntry:
    """A fact with every JSON type in it."""
    data: dict[str, object] = {"n": number, "ok": True, "none": None, "list": [1.5, "x"], "nested": {"ä": "€"}}
    return JournalEntry(at=at(minutes), kind="signal", task_id=TASK if number % 2 else None, data=data)
