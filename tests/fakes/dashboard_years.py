"""Many believable weeks in the stores: signals of every verdict, what followed them, closed trades, equity."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random

from bot.instruments import Instrument, default_registry
from bot.interfaces import Stores
from bot.models import (
    ClientOrderId,
    Direction,
    Order,
    Outcome,
    OutcomeVerdict,
    PortfolioSnapshot,
    Position,
    PositionId,
    SignalId,
    SignalRecord,
    StrategyName,
    TaskId,
    Timeframe,
)
from tests.fakes.dashboard_day import NOW, entry_order, entry_signal, findings, open_position, signal_record

_REJECTING = ("1", "4", "7", "7", "8", "8", "9", "10", "11", "E3", "E10", "S", "MTF")
_REFUSING = ("MAX_OPEN_POSITIONS: 5 of at most 5", "CORRELATED_EXPOSURE: 3 of at most 3", "OPEN_RISK: 6.1 % of 6 %")
_STRATEGIES = ("divergence", "divergence", "simple_ma")
_ENDS = ("STOP", "STOP", "STOP", "TARGET_1", "TARGET_2", "TRAIL", "TIMEOUT")
_ANALYSTS = ("detector", "detector", "claude:model-a", "claude:model-b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Weeks:
    """Everything that was drawn, oldest first."""

    records: Sequence[SignalRecord]
    outcomes: Sequence[Outcome]
    trades: Sequence[tuple[Order, Position]]
    snapshots: Sequence[PortfolioSnapshot]


def weeks(*, signals: int, trades: int, snapshots: int, seed: int = 7) -> Weeks:
    """Drawn from a seed; the newest is an hour old."""
    draw = Random(seed)
    instruments = [each for each in default_registry() if each.symbol in _KNOWN]
    records = [_record(draw, instruments, number, signals, traded=number < trades) for number in range(signals)]
    records.sort(key=lambda each: (each.decided_at, each.signal.id))
    traded = [each for each in records if each.status == "ordered"]
    return Weeks(
        records=records,
        outcomes=[_outcome(draw, each) for each in records],
        trades=[_trade(draw, number, each) for number, each in enumerate(traded)],
        snapshots=list(_equity(draw, snapshots)),
    )


async def fill_weeks(stores: Stores, drawn: Weeks) -> None:
    """Put everything where the pages read it."""
    for record in drawn.records:
        await stores.signals.record(record)
    await stores.outcomes.save(*drawn.outcomes)
    for order, position in drawn.trades:
        await stores.orders.record_intent((order,), signal_id=position.signal_id)
        await stores.orders.save_position(position)
    for snapshot in drawn.snapshots:
        await stores.snapshots.append(snapshot)


_KNOWN = frozenset({"BTC/USDT", "ETH/USDT", "SOL/USDT", "EUR_USD", "NVDA"})


def _record(draw: Random, instruments: Sequence[Instrument], number: int, of: int, *, traded: bool) -> SignalRecord:
    instrument, at = draw.choice(instruments), _hour(number, of)
    timeframe, strategy = (
        draw.choice((Timeframe.H1, Timeframe.H4)),
        draw.choice(("divergence", "divergence", "simple_ma")),
    )
    task = TaskId(f"{strategy}:{instrument.symbol}:{timeframe.value}")
    signal = entry_signal(
        instrument.symbol,
        number,
        id=SignalId(f"{task}/{at.isoformat()}/{number}"),
        task_id=task,
        strategy=StrategyName(strategy),
        timeframe=timeframe,
        candle_closed_at=at,
        direction=draw.choice((Direction.LONG, Direction.SHORT)),
        confidence=round(draw.uniform(0.6, 0.95), 2),
        analyst=draw.choice(_ANALYSTS),
    )
    if traded:
        return signal_record(signal, "ordered", "bought near the price, 100.00 at risk", decided_at=at)
    chance, score = draw.random(), round(draw.uniform(3, 9), 1)
    if chance < 0.08:
        return signal_record(signal, "refused", draw.choice(_REFUSING), decided_at=at, score=score)
    if chance < 0.12:
        return signal_record(signal, "setup", "waits for a 1h confirmation", decided_at=at, score=score)
    code = draw.choice(_REJECTING)
    found = findings(code)
    failed = next((each.says for each in found if each.code == code), f"rejected by {code}")
    return signal_record(signal, "vetoed", failed, rejected_by=code, findings=found, decided_at=at, score=score)


def _hour(number: int, of: int) -> datetime:
    """Spread over what is told, so that those that were traded are not the oldest."""
    hours = 1 + (number * 7919) % max(of, 1)
    return NOW.replace(minute=0, second=0) - timedelta(hours=hours)


def _outcome(draw: Random, record: SignalRecord) -> Outcome:
    signal = record.signal
    assert signal.entry is not None
    assert signal.stop_loss is not None
    assert signal.direction is not None
    verdict = draw.choices(list(OutcomeVerdict), (1, 30, 55, 14))[0]
    r = {OutcomeVerdict.TARGET_HIT: 2.2, OutcomeVerdict.STOP_HIT: -1.0}.get(verdict)
    return Outcome(
        signal_id=signal.id,
        symbol=signal.symbol,
        timeframe=signal.timeframe,
        direction=signal.direction,
        accepted=record.status != "vetoed",
        paid=signal.entry,
        stop=signal.stop_loss,
        target=signal.targets[0],
        started_at=signal.candle_closed_at,
        followed_until=signal.candle_closed_at + timedelta(hours=20),
        candles=20,
        mfe_r=round(draw.uniform(0, 3), 2),
        mae_r=round(draw.uniform(-1.2, 0), 2),
        verdict=verdict,
        r=round(draw.uniform(-0.8, 1.2), 2) if verdict is OutcomeVerdict.NEITHER else r,
        done=verdict is not OutcomeVerdict.OPEN,
    )


def _trade(draw: Random, number: int, record: SignalRecord) -> tuple[Order, Position]:
    signal = record.signal
    assert signal.direction is not None
    end = draw.choice(_ENDS)
    r = {"STOP": -1.0, "TRAIL": draw.uniform(0, 2), "TARGET_1": 1.1, "TARGET_2": draw.uniform(2, 4)}.get(end, 0.1)
    opened = open_position(
        number,
        signal.symbol,
        str(signal.entry),
        quantity="1",
        risk="100",
        direction=signal.direction,
    )
    position = replace(
        opened,
        id=PositionId(f"{signal.id}/position"),
        task_id=signal.task_id,
        signal_id=signal.id,
        strategy=signal.strategy,
        entry_order_id=ClientOrderId(f"TBd{number:016d}E0"),
        stop_order_id=ClientOrderId(f"TBd{number:016d}S0"),
        quantity=Decimal(0),
        closed_quantity=opened.first_quantity,
        realised=Decimal(str(round(100 * r + draw.uniform(-9, 9), 2))),
        fees=Decimal(str(round(draw.uniform(1, 6), 2))),
        exit_price=opened.entry_price,
        opened_at=record.decided_at,
        closed_at=record.decided_at + timedelta(minutes=draw.randrange(30, 1800)),
        exit_reason=end,
    )
    return entry_order(position), position


def _equity(draw: Random, snapshots: int) -> Iterator[PortfolioSnapshot]:
    equity = peak = Decimal(30_000)
    for number in range(snapshots):
        equity += Decimal(str(round(draw.gauss(0.4, 25), 2)))
        peak = max(peak, equity)
        at = NOW - timedelta(minutes=2 * (snapshots - number))
        yield PortfolioSnapshot(at=at, equity=equity, balance=equity, open_positions=2, peak=peak)
