"""Answers to differences in PostgreSQL."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from bot.database.access import Database
from bot.database.codec import storable
from bot.database.contract import SUPERSEDED
from bot.database.pool import Record
from bot.differences import Answer, AnswerKind, AnswerState, DifferenceKind
from bot.instruments import BrokerId

_COLUMNS: Final = """
    number, broker_id, difference_id, fingerprint, kind, about, subject, says, by, at, state, outcome, ended_at
"""

_SUPERSEDE: Final = """
    UPDATE reconcile_answers SET state = 'refused', outcome = $2, ended_at = $3
    WHERE fingerprint = $1 AND state = 'given'
"""

# A second one beside what is being carried out already has nothing left to say: no row, and no number.
_INSERT: Final = """
    INSERT INTO reconcile_answers
        (broker_id, difference_id, fingerprint, kind, about, subject, says, by, at, state, outcome)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'given', '')
    ON CONFLICT DO NOTHING
    RETURNING number
"""

_BEGIN: Final = """
    UPDATE reconcile_answers SET state = 'begun' WHERE number = $1 AND state = 'given' RETURNING true
"""

_END: Final = """
    UPDATE reconcile_answers SET state = $2, outcome = $3, ended_at = $4
    WHERE number = $1 AND state IN ('given', 'begun')
"""

_SELECT_UNFINISHED: Final = f"""
    SELECT {_COLUMNS} FROM reconcile_answers WHERE state IN ('given', 'begun') ORDER BY number
"""  # noqa: S608 - made of constants

_SELECT_IGNORED: Final = f"""
    SELECT * FROM (
        SELECT DISTINCT ON (fingerprint) {_COLUMNS} FROM reconcile_answers
        WHERE state = 'done' ORDER BY fingerprint, number DESC
    ) AS newest
    WHERE kind = 'ignore' ORDER BY number
"""  # noqa: S608 - made of constants

_SELECT_NEWEST: Final = f"""
    SELECT {_COLUMNS} FROM reconcile_answers ORDER BY number DESC LIMIT $1
"""  # noqa: S608 - made of constants


class PostgresAnswers:
    """`AnswerStore` over PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def give(self, answer: Answer) -> Answer:
        """Store a new answer; number 0 if one to the same fingerprint is being carried out."""
        async with self._database.transaction() as connection:
            await connection.execute(_SUPERSEDE, answer.fingerprint, SUPERSEDED, answer.at)
            number = await connection.fetchval(_INSERT, *_values_of(answer))
        return replace(answer, number=number or 0)

    async def unfinished(self) -> Sequence[Answer]:
        """Given or begun, oldest first."""
        return [_answer_of(row) for row in await self._database.rows(_SELECT_UNFINISHED)]

    async def begin(self, number: int) -> bool:
        """From now on it is carried out; False if it is not waiting any more."""
        return await self._database.write(_BEGIN, number) is True

    async def end(self, number: int, *, done: bool, outcome: str, at: datetime) -> None:
        """Say what came of it; one that has ended stays as it is."""
        state = AnswerState.DONE if done else AnswerState.REFUSED
        await self._database.write(_END, number, state.value, storable(outcome), at)

    async def ignored(self) -> Sequence[Answer]:
        """Of each fingerprint the newest answer that was carried out, where that is "ignore"."""
        return [_answer_of(row) for row in await self._database.rows(_SELECT_IGNORED)]

    async def recent(self, limit: int) -> Sequence[Answer]:
        """Newest first."""
        return [_answer_of(row) for row in await self._database.rows(_SELECT_NEWEST, limit)]


def _values_of(answer: Answer) -> tuple[object, ...]:
    texts = (answer.subject, answer.says, answer.by)
    return (
        answer.broker_id,
        answer.difference_id,
        answer.fingerprint,
        answer.kind.value,
        answer.about.value,
        *(storable(each) for each in texts),
        answer.at,
    )


def _answer_of(row: Record) -> Answer:
    return Answer(
        number=row["number"],
        broker_id=BrokerId(row["broker_id"]),
        difference_id=row["difference_id"],
        fingerprint=row["fingerprint"],
        kind=AnswerKind(row["kind"]),
        about=DifferenceKind(row["about"]),
        subject=row["subject"],
        says=row["says"],
        by=row["by"],
        at=row["at"],
        state=AnswerState(row["state"]),
        outcome=row["outcome"],
        ended_at=row["ended_at"],
    )
