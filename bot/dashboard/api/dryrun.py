"""An entry rehearsed: the whole way of a signal up to, and without, the intent of its order."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from bot.dashboard.api.fields import Amount, Name
from bot.dashboard.api.operations import Body, Call
from bot.dashboard.api.problems import Problem
from bot.dashboard.api.risk import RiskPreview, idea_of
from bot.models import Direction, Finding, TaskId, TaskState

_PAUSED = "PAUSED"
_WAITS = "SETUP"


class Entry(Body):
    """An entry that a task might want at its newest candle. Without `target` it is three times as far as the stop."""

    task: Name
    direction: Direction
    entry: Amount
    stop: Amount
    target: Amount | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """How far it would come now; nothing was stored or sent, and no analyst was asked.

    `stopped_by` is the code of the first rule or limit that ends it, `PAUSED` where the task judges no candle, `MTF`
    where a setup to confirm is missing, `SETUP` where it would wait as one; empty if an order would be made. `rules`
    are all that were asked. `risk` is told also where a rule says no: its quantity, and with `risk_amount` the worst
    loss at the stop with all costs.
    """

    would_order: bool
    stopped_by: str
    says: str
    stop: Decimal
    rules: Sequence[Finding]
    risk: RiskPreview


async def dryrun(call: Call, body: Entry) -> DryRun:
    """What would become of an entry now, rule by rule and limit by limit. Nothing is stored or sent."""
    task = await call.parts.stores.tasks.get(TaskId(body.task))
    features = call.parts.features(task.symbol, task.timeframe)
    if features is None:
        raise Problem(
            409,
            f"task {task.id} has no closed candle of {task.symbol} {task.timeframe.value} yet, so its rules cannot be "
            "asked; wait for the first, or ask /api/risk/preview, which needs none",
        )
    at = features.closed_at
    idea = idea_of(task, body.direction, entry=body.entry, stop=body.stop, target=body.target, at=at)
    found = await call.parts.trading.rehearse(task, idea, features)
    code, says = found.risk.code, found.risk.says
    if task.state is not TaskState.RUNNING:
        code, says = _PAUSED, f"the task is {task.state.value} and judges no candle until somebody resumes it"
    elif found.record.status == "vetoed":
        code, says = found.record.rejected_by, found.record.reason
    elif found.is_setup:
        code, says = _WAITS, "a signal of this timeframe is not entered: it waits for a confirmation of a shorter one"
    return DryRun(
        would_order=not code,
        stopped_by=code,
        says=says,
        stop=body.stop,
        rules=found.record.findings,
        risk=RiskPreview.of(task.symbol, found.risk),
    )
