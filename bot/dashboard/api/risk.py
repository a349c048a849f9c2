"""Limits and exposure, and what risk would say to an idea."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from bot.dashboard.api.fields import Amount, AStrategy, ASymbol
from bot.dashboard.api.operations import Asked, Call
from bot.instruments import Symbol
from bot.layer4_risk.exposure import RiskReport
from bot.layer4_risk.manager import Preview
from bot.models import Direction, EntrySignal, LimitCheck, SignalId, StrategyName, StrategyTask, Timeframe

_REWARD_OF_DEFAULT_TARGET = 3  # two are asked for (rule 4), and the spread takes some of it


class Idea(Asked):
    """An entry that somebody thinks of. Without `target` it is three times as far away as the stop."""

    symbol: ASymbol
    direction: Direction
    entry: Amount
    stop: Amount
    target: Amount | None = None
    strategy: AStrategy = StrategyName("divergence")


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskPreview:
    """What risk would say now; nothing was ordered. `checks` are all limits that were looked at.

    `refused_by` is the first that refuses, empty if none does. `quantity`, `price`, `risk_amount` and `notional` (in
    account currency) are null where it came to no size.
    """

    symbol: Symbol
    allowed: bool
    refused_by: str
    says: str
    quantity: Decimal | None
    price: Decimal | None
    risk_amount: Decimal | None
    notional: Decimal | None
    checks: Sequence[LimitCheck]

    @classmethod
    def of(cls, symbol: Symbol, found: Preview) -> "RiskPreview":
        """The same for a program."""
        return cls(
            symbol=symbol,
            allowed=found.is_allowed,
            refused_by=found.code,
            says=found.says,
            quantity=found.quantity,
            price=found.price,
            risk_amount=found.risk_amount,
            notional=found.notional,
            checks=found.checks,
        )


async def risk(call: Call) -> RiskReport:
    """Limits used against allowed, and exposure, worst case included."""
    return await call.parts.risk()


async def preview(call: Call, asked: Idea) -> RiskPreview:
    """What size an entry would get now, and which limits it would meet. Nothing is ordered."""
    instrument = call.parts.registry.get(asked.symbol)
    task = StrategyTask.of(asked.strategy, instrument, Timeframe.H1)
    at = (await call.parts.status()).now
    idea = idea_of(task, asked.direction, entry=asked.entry, stop=asked.stop, target=asked.target, at=at)
    return RiskPreview.of(instrument.symbol, await call.parts.trading.preview(idea))


def idea_of(
    task: StrategyTask, direction: Direction, *, entry: Decimal, stop: Decimal, target: Decimal | None, at: datetime
) -> EntrySignal:
    """A signal as that task would give it; it stands for nothing that is stored."""
    far = entry + direction.sign * _REWARD_OF_DEFAULT_TARGET * abs(entry - stop)
    return EntrySignal(
        id=SignalId("preview"),
        task_id=task.id,
        strategy=task.strategy,
        broker_id=task.broker_id,
        symbol=task.symbol,
        timeframe=task.timeframe,
        candle_closed_at=at,
        direction=direction,
        entry=entry,
        stop_loss=stop,
        targets=(target or far,),
        confidence=1.0,
    )
