"""Strategy tasks and the jobs that run them."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from aiohttp import web

from bot.dashboard.audit import audit
from bot.dashboard.forms import posted
from bot.dashboard.pages import Context, Page, Query, Section
from bot.dashboard.parts import PARTS, DashboardParts
from bot.errors import UsageError
from bot.models import StrategyTask, TaskActivity, TaskId, TaskState

_ACTS: Final = {"pause": ("task paused", TaskState.PAUSED), "resume": ("task resumed", TaskState.RUNNING)}
_LATE_CANDLES: Final = 2  # a candle that closed is judged within one analysis interval


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    """One task with what it did. `judged_at`: close of the newest candle it judged since the start."""

    task: StrategyTask
    activity: TaskActivity
    judged_at: datetime | None
    now: datetime

    @property
    def age_s(self) -> float | None:
        """Market seconds since the candle closed that it judged last."""
        return None if self.judged_at is None else (self.now - self.judged_at).total_seconds()

    @property
    def is_behind(self) -> bool:
        """The next candle is over and was not judged: the market may be closed, or the feed late."""
        return self.age_s is not None and self.age_s > _LATE_CANDLES * self.task.timeframe.seconds


async def tasks(parts: DashboardParts, query: Query) -> Context:
    """Every task, by broker and symbol."""
    now = (await parts.status()).now
    judged = parts.judged()
    known = {each.task_id: each for each in await parts.stores.tasks.activity(_midnight(now), now)}
    rows = [
        TaskRow(task=each, activity=known[each.id], judged_at=judged.get((each.symbol, each.timeframe)), now=now)
        for each in await parts.stores.tasks.all()
        if each.id in known  # else it was added between the two questions
    ]
    rows.sort(key=lambda each: (each.task.broker_id, each.task.symbol, each.task.timeframe.seconds))
    return {
        "rows": rows,
        "running": sum(each.task.state.value == "running" for each in rows),
        "behind": sum(each.is_behind for each in rows),
        "signals": sum(each.activity.signals for each in rows),
        "setups": sum(each.activity.live_setups for each in rows),
    }


def _midnight(now: datetime) -> datetime:
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


async def jobs(parts: DashboardParts, query: Query) -> Context:
    """What runs by the clock, and what it missed."""
    status = await parts.status()
    return {"rows": status.jobs, "now": status.now}


async def run(request: web.Request) -> web.Response:
    """Let one task judge candles or not, also over restarts.

    303 back; 400 without one, 404 for one not known, 409 for one that has ended for good.
    """
    parts = request.app[PARTS]
    form = await posted(request)
    wanted = {word: str(form[word]) for word in _ACTS if form.get(word)}
    if len(wanted) != 1:
        raise UsageError("which task? the form names one, to pause or to resume")
    ((word, task_id),) = wanted.items()
    told, state = _ACTS[word]
    audit(request, told, task_id)
    if (await parts.stores.tasks.get(TaskId(task_id))).state is TaskState.STOPPED:
        raise web.HTTPConflict
    await parts.trading.run_task(TaskId(task_id), state)
    raise web.HTTPSeeOther("/tasks")


TASKS: Final = Page(
    name="tasks",
    path="/tasks",
    title="Tasks",
    sections=(
        Section(name="task_list", load=tasks, quickest_s=1.0, slowest_s=5.0),
        Section(name="jobs", load=jobs, quickest_s=1.0, slowest_s=5.0),
    ),
)
