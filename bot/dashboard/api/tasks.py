"""Strategy tasks: what runs, how far each is, and running one or not."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.dashboard.api.fields import Name, Why
from bot.dashboard.api.operations import Asked, Call
from bot.dashboard.api.problems import Problem
from bot.dashboard.audit import audit
from bot.models import JobHealth, StrategyTask, TaskActivity, TaskId, TaskState

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    """One task. `activity`: its signals of the last 24 h, its setups that wait."""

    task: StrategyTask
    activity: TaskActivity | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskList:
    """Every task, by id."""

    rows: Sequence[TaskRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class Jobs:
    """What runs by the clock. `now` is market time."""

    now: datetime
    jobs: Sequence[JobHealth]


class OneTask(Asked):
    """Which task; `/` in an id is written `%2F`."""

    id: Name


async def tasks(call: Call) -> TaskList:
    """Every strategy task, with what it did."""
    now = (await call.parts.status()).now
    known = {each.task_id: each for each in await call.parts.stores.tasks.activity(now - _DAY, now)}
    return TaskList(
        rows=[TaskRow(task=each, activity=known.get(each.id)) for each in await call.parts.stores.tasks.all()]
    )


async def task(call: Call, asked: OneTask) -> TaskRow:
    """One strategy task."""
    return await _row(call, await call.parts.stores.tasks.get(TaskId(asked.id)))


async def pause(call: Call, asked: OneTask, body: Why) -> TaskRow:
    """Let a task judge no further candle, also after a restart.

    What it has open is looked after as before. An analyst's answer that comes after the pause enters nothing.
    """
    audit(call.request, "task paused", f"{asked.id} {body.reason}".strip())
    return await _run(call, asked.id, TaskState.PAUSED)


async def resume(call: Call, asked: OneTask, body: Why) -> TaskRow:
    """Let a paused task go on with the next candle; those that closed meanwhile are not judged."""
    audit(call.request, "task resumed", f"{asked.id} {body.reason}".strip())
    return await _run(call, asked.id, TaskState.RUNNING)


async def scheduler(call: Call) -> Jobs:
    """What runs by the clock, and what it missed."""
    status = await call.parts.status()
    return Jobs(now=status.now, jobs=status.jobs)


async def _run(call: Call, name: str, state: TaskState) -> TaskRow:
    known = await call.parts.stores.tasks.get(TaskId(name))
    if known.state is TaskState.STOPPED:
        raise Problem(409, f"task {name} has ended for good; it is neither paused nor resumed")
    return await _row(call, await call.parts.trading.run_task(known.id, state))


async def _row(call: Call, found: StrategyTask) -> TaskRow:
    now = (await call.parts.status()).now
    known = await call.parts.stores.tasks.activity(now - _DAY, now)
    return TaskRow(task=found, activity=next((each for each in known if each.task_id == found.id), None))
