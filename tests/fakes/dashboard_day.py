"""A believable trading day in memory stores, and a dashboard over it."""

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from prometheus_client import CollectorRegistry

from bot.access import Role, User
from bot.clock import ManualClock
from bot.config import RiskSettings
from bot.dashboard.parts import DashboardParts
from bot.dashboard.passwords import password_hash_of
from bot.dashboard.sessions import OneTimeLogin
from bot.database.memory import MemoryStores
from bot.instruments import BINANCE, IG, OANDA, Symbol, default_registry
from bot.interfaces import Clock
from bot.layer1_data.broker_router import BrokerRouter
from bot.layer1_data.venue_desk import VenueDesk
from bot.layer4_risk.exposure import BrokerStake, RiskReport, StakeView, risk_report
from bot.layer4_risk.kill_switch import KillSwitch
from bot.layer5_monitoring.events import JournalEvents
from bot.models import (
    ClientOrderId,
    DaemonStatus,
    Direction,
    DivergenceClaim,
    DivergenceKind,
    EntrySignal,
    ExitPlan,
    FeatureSet,
    Finding,
    FindingStatus,
    JobHealth,
    KillLevel,
    Order,
    OrderKind,
    OrderRole,
    OrderState,
    Outcome,
    OutcomeVerdict,
    PortfolioSnapshot,
    Position,
    PositionId,
    Side,
    SignalId,
    SignalRecord,
    StrategyName,
    Target,
    TaskId,
    Timeframe,
    TradingSetup,
)
from tests.fakes.dashboard_chart import walked
from tests.fakes.dashboard_trading import DayTrading
from tests.fakes.operations_day import day_checkup, day_parts, fill_operations

NOW = datetime(2025, 3, 4, 14, 0, 5, tzinfo=UTC)
USER = "admin"
PASSWORD = "correct horse battery"
PASSWORD_HASH = password_hash_of(PASSWORD)
API_TOKEN = "api-token-of-the-test"
PRICES = {
    Symbol(symbol): Decimal(price)
    for symbol, price in (
        ("BTC/USDT", "64213.50"),
        ("ETH/USDT", "3054.10"),
        ("SOL/USDT", "148.21"),
        ("EUR_USD", "1.08412"),
        ("NVDA", "912.40"),
    )
}
_RULES = (
    ("0", "direction", "long", "long or short"),
    ("1", "confidence", 0.81, ">= 0.70 and <= 1"),
    ("2", "fields", "", "entry and stop present"),
    ("3", "stop side", 412.5, "> 0"),
    ("4", "reward:risk", 2.1412, ">= 2"),
    ("5", "RSI contradiction", 41.23, "< 70"),
    ("6", "stop distance", 1.913, "0.5 to 7 ATR"),
    ("7", "trend strength", 24.3, ">= 20"),
    ("8", "ranging market", 0.9341, ">= 0.5"),
    ("9", "confirmation", 3.0, ">= 2 families"),
    ("10", "swing length", 14.0, ">= 7 bars"),
    ("11", "RSI magnitude", 5.417, ">= 3"),
    ("12", "zero volume", 1.12, "> 0.01"),
    ("13", "low volume", 1.12, "off"),
    ("14", "candle pattern", "hammer", "off"),
    ("E3", "prices", math.nan, "<= 0.05 ATR"),
    ("S", "score", 6.4, ">= 5"),
)
_MEASURED_BY_FAILURES = {"7": 17.2, "S": 4.1}


def findings(failing: str = "") -> tuple[Finding, ...]:
    """All rules passed but `failing`, the switched-off ones and one that could not be measured."""

    def status(code: str) -> FindingStatus:
        if code == failing:
            return FindingStatus.FAIL
        return FindingStatus.OFF if code in ("13", "14") else FindingStatus.PASS

    def measured(code: str, otherwise: float | str) -> float | str:
        return _MEASURED_BY_FAILURES.get(code, otherwise) if code == failing else otherwise

    return tuple(Finding(code, name, status(code), measured(code, value), limit) for code, name, value, limit in _RULES)


def entry_signal(symbol: str = "BTC/USDT", number: int = 0, **changes: Any) -> EntrySignal:
    """A long of one task, with a claim; stop 1 % away."""
    entry, sign = PRICES[Symbol(symbol)], changes.get("direction", Direction.LONG).sign
    standard = EntrySignal(
        id=SignalId(f"divergence:{symbol}:1h/2025-03-04T13:00:00+00:00/{number}"),
        task_id=TaskId(f"divergence:{symbol}:1h"),
        strategy=StrategyName("divergence"),
        broker_id=default_registry().get(symbol).broker_id,
        symbol=Symbol(symbol),
        timeframe=Timeframe.H1,
        candle_closed_at=NOW - timedelta(minutes=5),
        direction=Direction.LONG,
        entry=entry,
        stop_loss=entry * (100 - sign) / 100,
        targets=(entry * (1 + sign * Decimal("0.022")), entry * (1 + sign * Decimal("0.04"))),
        confidence=0.81,
        claim=DivergenceClaim(
            kind=DivergenceKind.REGULAR,
            oscillators=("rsi", "macd_hist", "stoch_k"),
            p1_at=NOW - timedelta(hours=30),
            p2_at=NOW - timedelta(hours=9),
            p1_price=entry * (1000 - 6 * sign) / 1000,
            p2_price=entry * (1000 - 9 * sign) / 1000,
        ),
    )
    return replace(standard, **changes)


def signal_record(signal: EntrySignal, status: str = "ordered", reason: str = "", **changes: Any) -> SignalRecord:
    """A judged signal."""
    standard = SignalRecord(
        signal=signal, findings=findings(), score=6.4, status=status, rejected_by="", reason=reason, decided_at=NOW
    )
    return replace(standard, **changes)


def open_position(number: int, symbol: str, entry: str, *, quantity: str, risk: str, **changes: Any) -> Position:
    """A long of `quantity` at `entry`, its stop 1 % below, targets 2.2 % and 4 % above."""
    price, sign = Decimal(entry), changes.get("direction", Direction.LONG).sign
    plan = ExitPlan(
        direction=changes.get("direction", Direction.LONG),
        stop=price * (100 - sign) / 100,
        targets=(
            Target(price=price * (1 + sign * Decimal("0.022")), fraction=Decimal("0.5")),
            Target(price=price * (1 + sign * Decimal("0.04")), fraction=Decimal("0.5")),
        ),
        tick=Decimal("0.01"),
        quantity_step=Decimal("0.00001"),
        min_quantity=Decimal("0.00001"),
    )
    standard = Position(
        id=PositionId(f"position-{number}"),
        task_id=TaskId(f"divergence:{symbol}:1h"),
        signal_id=SignalId(f"divergence:{symbol}:1h/2025-03-04T13:00:00+00:00/{number}"),
        strategy=StrategyName("divergence"),
        broker_id=default_registry().get(symbol).broker_id,
        symbol=Symbol(symbol),
        direction=Direction.LONG,
        plan=plan,
        entry_order_id=ClientOrderId(f"TBd0123456789ABCDE{number:02d}E0"),
        stop_order_id=ClientOrderId(f"TBd0123456789ABCDE{number:02d}S0"),
        first_quantity=Decimal(quantity),
        quantity=Decimal(quantity),
        entry_price=price,
        stop_price=plan.stop,
        exit_price=None,
        closed_quantity=Decimal(0),
        realised=Decimal(0),
        fees=Decimal("0.00"),
        risk_amount=Decimal(risk),
        targets_hit=0,
        best_price=price,
        worst_price=price,
        mark_price=price,
        break_even=False,
        trailing=False,
        value_per_point=Decimal(1),
        opened_at=NOW - timedelta(hours=3 * number + 1),
        closed_at=None,
        exit_reason="",
    )
    return replace(standard, **changes)


def entry_order(position: Position, **changes: Any) -> Order:
    """The filled entry of `position`."""
    standard = Order(
        client_order_id=position.entry_order_id,
        position_id=position.id,
        signal_id=position.signal_id,
        task_id=position.task_id,
        broker_id=position.broker_id,
        symbol=position.symbol,
        role=OrderRole.ENTRY,
        side=Side.opening(position.direction),
        kind=OrderKind.MARKET,
        quantity=position.first_quantity or Decimal(1),
        price=None,
        state=OrderState.FILLED,
        reason="",
        created_at=position.opened_at,
        updated_at=position.opened_at,
        venue_order_id="v-1",
        filled_quantity=position.first_quantity,
        filled_price=position.entry_price,
    )
    return replace(standard, **changes)


async def store(stores: MemoryStores, position: Position, **order_changes: Any) -> None:
    """Put `position` and its entry order where the page reads them."""
    order = entry_order(position, **order_changes)
    await stores.orders.record_intent((order,), signal_id=position.signal_id, position=position)
    await stores.orders.save_position(position)


async def fill_day(stores: MemoryStores) -> None:
    """Open, pending and closed positions, signals of every status, setups, an outcome and two days of equity."""
    await _positions(stores)
    await _signals(stores)
    await fill_operations(stores)
    for hours, direction, symbol in ((19, Direction.LONG, "ETH/USDT"), (6, Direction.SHORT, "GBP_USD")):
        await stores.setups.put(
            TradingSetup(
                signal_id=SignalId(f"divergence:{symbol}:4h/setup"),
                task_id=TaskId(f"divergence:{symbol}:4h"),
                symbol=Symbol(symbol),
                direction=direction,
                stop=Decimal("3011.25") if symbol == "ETH/USDT" else Decimal("1.27340"),
                created_at=NOW - timedelta(hours=24 - hours),
                expires_at=NOW + timedelta(hours=hours),
            )
        )
    for index in range(200):
        equity = Decimal(30_000) + Decimal(str(round(90 * math.sin(index / 23) + index * 1.1, 2)))
        at = NOW - timedelta(minutes=15 * (200 - index))
        await stores.snapshots.append(
            PortfolioSnapshot(at=at, equity=equity, balance=equity, open_positions=2, peak=Decimal("30341.10"))
        )


async def _positions(stores: MemoryStores) -> None:
    bitcoin = open_position(1, "BTC/USDT", "64213.50", quantity="0.15512", risk="99.61")
    await store(stores, replace(bitcoin, mark_price=Decimal("64790.00"), fees=Decimal("9.96")))
    euro = open_position(2, "EUR_USD", "1.08412", quantity="18400", risk="101.20", direction=Direction.SHORT)
    await store(
        stores,
        replace(
            euro,
            mark_price=Decimal("1.08655"),
            quantity=Decimal(9200),
            realised=Decimal("54.10"),
            targets_hit=1,
            break_even=True,
            trailing=True,
        ),
    )
    gold = open_position(3, "XAU_USD", "2314.20", quantity="4", risk="98.00", first_quantity=Decimal(0))
    await store(stores, replace(gold, quantity=Decimal(0)), state=OrderState.WORKING, filled_price=None)
    closed = (("NVDA", "912.40", "11", "-11.4", "STOP"), ("SOL/USDT", "148.21", "71", "212.8", "TARGET_2"))
    for number, (symbol, entry, quantity, result, reason) in enumerate(closed, start=4):
        done = open_position(number, symbol, entry, quantity=quantity, risk="100.00")
        await store(
            stores,
            replace(
                done,
                quantity=Decimal(0),
                realised=Decimal(result),
                fees=Decimal("4.18"),
                exit_price=Decimal(entry) * (1 + Decimal(result) / 10_000),
                closed_at=NOW - timedelta(hours=number),
                exit_reason=reason,
            ),
        )


async def _signals(stores: MemoryStores) -> None:
    bitcoin, solana = entry_signal("BTC/USDT", 1), entry_signal("SOL/USDT", 9, direction=Direction.SHORT)
    euro = entry_signal("EUR_USD", 2, direction=Direction.SHORT)
    records = (
        signal_record(bitcoin, "ordered", "bought 0.15512 at 64,213.50"),
        signal_record(solana, "vetoed", "", rejected_by="7", findings=findings("7"), score=5.8),
        signal_record(euro, "refused", "MAX_OPEN_POSITIONS: 5 of 5 positions are open at oanda"),
        signal_record(entry_signal("ETH/USDT", 4, timeframe=Timeframe.H4), "setup", "waits 24 h for a 1h signal"),
        signal_record(entry_signal("NVDA", 5), "vetoed", "", rejected_by="S", findings=findings("S"), score=4.1),
    )
    for minutes, record in enumerate(records):
        await stores.signals.record(replace(record, decided_at=NOW - timedelta(minutes=60 * minutes)))
    await stores.outcomes.save(
        Outcome(
            signal_id=solana.id,
            symbol=solana.symbol,
            timeframe=Timeframe.H1,
            direction=Direction.SHORT,
            accepted=False,
            paid=Decimal("148.20"),
            stop=Decimal("150.10"),
            target=Decimal("144.00"),
            started_at=NOW,
            followed_until=NOW + timedelta(hours=5),
            candles=5,
            checkpoints={"1h": Decimal("147.10"), "4h": Decimal("150.20")},
            mfe_r=0.61,
            mae_r=-1.05,
            verdict=OutcomeVerdict.STOP_HIT,
            r=-1.0,
            done=True,
        )
    )


def status_of(**changes: Any) -> DaemonStatus:
    """A healthy daemon in dev mode."""
    standard = DaemonStatus(
        mode="dev",
        url="http://127.0.0.1:8080",
        health="ok",
        equity=Decimal("30286.42"),
        balance=Decimal("30097.15"),
        currency="USD",
        open_positions=2,
        closed_positions=2,
        signals={"ordered": 1, "vetoed": 2, "refused": 1, "setup": 1},
        orders={"FILLED": 4, "WORKING": 1},
        last_analysis=NOW - timedelta(minutes=2),
        last_error="",
        jobs=(
            JobHealth(name="analysis", interval_s=300, runs=412, last_run_at=NOW, last_duration_s=0.018),
            JobHealth(name="monitor", interval_s=120, runs=1030, missed=2, last_run_at=NOW, last_duration_s=0.004),
            JobHealth(name="outcomes", interval_s=300, runs=412, last_run_at=NOW, last_duration_s=0.006),
        ),
        started_at=NOW - timedelta(days=2),
        now=NOW,
        market="simulated",
        kill_level=KillLevel.NONE,
        kill="not pressed",
    )
    return replace(standard, **changes)


async def risk_of(stores: MemoryStores) -> RiskReport:
    """Limits and exposure of what is stored."""
    stakes = [
        BrokerStake(broker_id=each, account=None, realised=Decimal("-12.50"), entries_blocked="")
        for each in (BINANCE, OANDA, IG)
    ]
    view = StakeView(
        at=NOW,
        settings=RiskSettings(),
        positions=await stores.orders.open_positions(),
        orders=await stores.orders.unfinished_orders(),
        reserved=(),
        foreign=(),
        entries=(),
        brokers=stakes,
        latches=await stores.kills.active(),
        snapshot=await stores.snapshots.latest(),
        session_day_began_at=NOW.replace(hour=0, minute=0, second=0),
    )
    return risk_report(view, default_registry())


def features_of(symbol: Symbol, timeframe: Timeframe) -> FeatureSet | None:
    """Candles of what trades in this day, on the timeframes that tasks follow."""
    if symbol not in PRICES or timeframe not in (Timeframe.H1, Timeframe.H4):
        return None
    return walked(symbol, timeframe, PRICES[symbol], NOW)


def add_user(stores: MemoryStores, name: str, role: Role, **changes: Any) -> User:
    """A person with `PASSWORD`. Stores in memory never wait, so that one step of the call is all of it."""
    user = User(name=name, role=role, password_hash=PASSWORD_HASH, created_at=NOW, password_at=NOW, **changes)
    with suppress(StopIteration):
        stores.users.add(user).send(None)
    return user


def dashboard_parts(stores: MemoryStores, events: JournalEvents, clock: Clock, **changes: Any) -> DashboardParts:
    """A dashboard whose daemon is healthy; its admin is `USER` with `PASSWORD`."""
    add_user(stores, changes.get("user", USER), Role.ADMIN)

    async def status() -> DaemonStatus:
        return status_of()

    async def not_recorded(kind: str, task_id: TaskId | None, data: Mapping[str, object]) -> None:
        """The journal of the daemon is not what a page shows."""

    standard = DashboardParts(
        stores=stores,
        status=status,
        events=events,
        registry=default_registry(),
        clock=clock,
        user=USER,
        api_token=API_TOKEN,
        market_note=lambda: "Market time; 4 hours pass each second. Recorded candles, re-dated.",
        health=lambda: {"mode": "dev", "status": "ok"},
        kill=KillSwitch(stores.kills, clock=clock, record=not_recorded, file=changes.get("kill_file")),
        kill_file=None,
        risk=lambda: risk_of(stores),
        venues=VenueDesk(BrokerRouter([], default_registry())),
        ready=str,
        checkup=day_checkup(clock),
        metrics=CollectorRegistry(),
        features=features_of,
        trading=DayTrading(stores, ManualClock(NOW), PRICES).parts,
        one_time_login=OneTimeLogin(clock),
    )
    return replace(standard, **{**day_parts(), **changes})
