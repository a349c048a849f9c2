"""Opinions in memory: the twin of `postgres_opinions`."""

from collections.abc import Sequence
from datetime import datetime
from heapq import nlargest
from operator import attrgetter
from typing import Final

from bot.models import TaskId
from bot.opinions import AnalystGate, OpinionRecord

_NEWEST: Final = attrgetter("at", "task_id")


class MemoryOpinions:
    """`OpinionStore` in memory."""

    def __init__(self) -> None:
        self._opinions: dict[tuple[TaskId, datetime], OpinionRecord] = {}
        self._gates: dict[str, AnalystGate] = {}

    async def record(self, opinion: OpinionRecord) -> bool:
        """Store one opinion; False if that candle of that task has one already."""
        return self._opinions.setdefault((opinion.task_id, opinion.candle_closed_at), opinion) is opinion

    async def of_candle(self, task_id: TaskId, candle_closed_at: datetime) -> OpinionRecord | None:
        """The opinion on one candle, if there is one."""
        return self._opinions.get((task_id, candle_closed_at))

    async def recent(self, limit: int) -> Sequence[OpinionRecord]:
        """Newest first."""
        return nlargest(limit, self._opinions.values(), key=_NEWEST)

    async def entered_since(self, instant: datetime) -> int:
        """How many opinions from `instant` on let an entry go on."""
        return sum(each.effect.lets_enter and each.at >= instant for each in self._opinions.values())

    async def gate(self, model: str) -> AnalystGate | None:
        """What that model may do, as it was set last."""
        return self._gates.get(model)

    async def set_gate(self, gate: AnalystGate) -> None:
        """Open or close the gate of a model."""
        self._gates[gate.model] = gate
