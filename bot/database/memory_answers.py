"""Answers to differences in memory: the twin of `postgres_answers`."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from bot.database.contract import SUPERSEDED
from bot.differences import Answer, AnswerKind, AnswerState


class MemoryAnswers:
    """`AnswerStore` in memory."""

    def __init__(self) -> None:
        self._rows: list[Answer] = []

    async def give(self, answer: Answer) -> Answer:
        """Store a new answer; number 0 if one to the same fingerprint is being carried out."""
        for row in await self.unfinished():
            if row.fingerprint == answer.fingerprint:
                if row.state is AnswerState.BEGUN:
                    return replace(answer, number=0)
                await self.end(row.number, done=False, outcome=SUPERSEDED, at=answer.at)
        stored = replace(answer, number=len(self._rows) + 1, state=AnswerState.GIVEN, outcome="", ended_at=None)
        self._rows.append(stored)
        return replace(answer, number=stored.number)

    async def unfinished(self) -> Sequence[Answer]:
        """Given or begun, oldest first."""
        return [each for each in self._rows if each.ended_at is None]

    async def begin(self, number: int) -> bool:
        """From now on it is carried out; False if it is not waiting any more."""
        row = self._rows[number - 1]
        if row.state is not AnswerState.GIVEN:
            return False
        self._rows[number - 1] = replace(row, state=AnswerState.BEGUN)
        return True

    async def end(self, number: int, *, done: bool, outcome: str, at: datetime) -> None:
        """Say what came of it; one that has ended stays as it is."""
        row = self._rows[number - 1]
        if row.ended_at is None:
            state = AnswerState.DONE if done else AnswerState.REFUSED
            self._rows[number - 1] = replace(row, state=state, outcome=outcome, ended_at=at)

    async def ignored(self) -> Sequence[Answer]:
        """Of each fingerprint the newest answer that was carried out, where that is "ignore"."""
        newest = {each.fingerprint: each for each in self._rows if each.state is AnswerState.DONE}
        return sorted((each for each in newest.values() if each.kind is AnswerKind.IGNORE), key=_number)

    async def recent(self, limit: int) -> Sequence[Answer]:
        """Newest first."""
        return self._rows[: -limit - 1 : -1]


def _number(answer: Answer) -> int:
    return answer.number
