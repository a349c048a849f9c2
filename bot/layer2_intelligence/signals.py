"""A signal of candle k: what it takes over from its task and its candle, whoever had the idea."""

from collections.abc import Sequence
from decimal import Decimal

from bot.layer2_intelligence.levels import entry_price
from bot.models import Direction, DivergenceClaim, EntrySignal, FeatureSet, SignalId, StrategyTask


def signal_of(
    task: StrategyTask,
    features: FeatureSet,
    mark: str | int,
    *,
    direction: Direction,
    stop: Decimal,
    targets: Sequence[Decimal],
    confidence: float,
    claim: DivergenceClaim,
    analyst: str = "detector",
) -> EntrySignal:
    """`mark` tells signals of one task and candle apart; the same idea judged again has the same id."""
    return EntrySignal(
        id=SignalId(f"{task.id}/{features.closed_at:%Y-%m-%dT%H:%M}/{mark}"),
        task_id=task.id,
        strategy=task.strategy,
        broker_id=task.broker_id,
        symbol=task.symbol,
        timeframe=task.timeframe,
        candle_closed_at=features.closed_at,
        direction=direction,
        entry=entry_price(features),
        stop_loss=stop,
        targets=tuple(targets),
        confidence=confidence,
        claim=claim,
        analyst=analyst,
    )
