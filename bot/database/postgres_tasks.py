"""Strategy tasks in PostgreSQL."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from bot.database.access import Database
from bot.database.contract import unknown_task
from bot.database.pool import Record
from bot.instruments import BrokerId, Symbol
from bot.models import StrategyName, StrategyTask, TaskActivity, TaskId, TaskState, Timeframe

_INSERT: Final = """
    INSERT INTO strategy_tasks (id, strategy, broker_id, symbol, timeframe, parameters, state)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (id) DO NOTHING
"""

_SELECT_ALL: Final = """
    SELECT id, strategy, broker_id, symbol, timeframe, parameters, state FROM strategy_tasks ORDER BY id
"""

_SELECT_ONE: Final = """
    SELECT id, strategy, broker_id, symbol, timeframe, parameters, state FROM strategy_tasks WHERE id = $1
"""

_SET_STATE: Final = "UPDATE strategy_tasks SET state = $2 WHERE id = $1 RETURNING true"

_SELECT_ACTIVITY: Final = """
    SELECT task.id, coalesce(judged.count, 0) AS signals, coalesce(waiting.count, 0) AS live_setups
    FROM strategy_tasks AS task
    LEFT JOIN (
        SELECT task_id, count(*) AS count FROM signals WHERE decided_at >= $1 GROUP BY task_id
    ) AS judged ON judged.task_id = task.id
    LEFT JOIN (
        SELECT task_id, count(*) AS count FROM setups WHERE ended_at IS NULL AND expires_at > $2 GROUP BY task_id
    ) AS waiting ON waiting.task_id = task.id
    ORDER BY task.id
"""


class PostgresTasks:
    """`TaskStore` over PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ensure(self, tasks: Sequence[StrategyTask]) -> None:
        """Add those that are not stored yet; leave the others as they are."""
        async with self._database.transaction() as connection:
            await connection.executemany(_INSERT, [_values_of(each) for each in sorted(tasks, key=_id_of)])

    async def all(self) -> Sequence[StrategyTask]:
        """Every task, by id."""
        return [_task_of(row) for row in await self._database.rows(_SELECT_ALL)]

    async def get(self, task_id: TaskId) -> StrategyTask:
        """One task. Raises NotFound."""
        row = await self._database.row(_SELECT_ONE, task_id)
        if row is None:
            raise unknown_task(task_id)
        return _task_of(row)

    async def set_state(self, task_id: TaskId, state: TaskState) -> None:
        """Run it or not, from now on. Raises NotFound."""
        if await self._database.write(_SET_STATE, task_id, state.value) is not True:
            raise unknown_task(task_id)

    async def activity(self, since: datetime, now: datetime) -> Sequence[TaskActivity]:
        """Of each task, by id: its signals since an instant, its setups that wait now."""
        rows = await self._database.rows(_SELECT_ACTIVITY, since, now)
        return [
            TaskActivity(task_id=TaskId(row["id"]), signals=row["signals"], live_setups=row["live_setups"])
            for row in rows
        ]


def _id_of(task: StrategyTask) -> str:
    return task.id


def _values_of(task: StrategyTask) -> tuple[object, ...]:
    return (
        task.id,
        task.strategy,
        task.broker_id,
        task.symbol,
        task.timeframe.value,
        dict(task.parameters),
        task.state.value,
    )


def _task_of(row: Record) -> StrategyTask:
    return StrategyTask(
        id=TaskId(row["id"]),
        strategy=StrategyName(row["strategy"]),
        broker_id=BrokerId(row["broker_id"]),
        symbol=Symbol(row["symbol"]),
        timeframe=Timeframe(row["timeframe"]),
        parameters=row["parameters"],
        state=TaskState(row["state"]),
    )
