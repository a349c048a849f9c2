"""Asks everything that the daemon depends on, all at once: what is well, what is not, and the next step.

Answers are kept for a few seconds, and whoever asks meanwhile waits for the same round: a monitor that asks too often
costs nothing. A question that hangs costs its own answer only, and is not asked again before it has come back.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Literal

from loguru import logger

from bot.errors import BotError
from bot.interfaces import Clock

Status = Literal["ok", "warn", "fail"]
_WORST_FIRST: Final[tuple[Status, ...]] = ("fail", "warn")
_FRESH_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One answer. `took_ms` is None where nothing was asked."""

    name: str
    status: Status
    says: str
    next_step: str = ""
    took_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Something to ask, with the most seconds that it may take; `next_step` helps when it does not answer."""

    name: str
    ask: Callable[[], Awaitable[Sequence[Finding]]]
    within_s: float
    next_step: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckupReport:
    """All findings in the order of the questions; `status` is that of the worst."""

    status: Status
    looked_at: datetime
    checks: tuple[Finding, ...]


class Checkup:
    """The questions, and their newest answers. The clock must run in real seconds."""

    def __init__(self, questions: Sequence[Question], clock: Clock) -> None:
        self._questions = questions
        self._clock = clock
        self._newest: tuple[float, CheckupReport] | None = None
        self._round: asyncio.Task[CheckupReport] | None = None
        self._hanging: dict[str, asyncio.Task[Sequence[Finding]]] = {}

    async def look(self) -> CheckupReport:
        """The findings, at most a few seconds old."""
        if self._newest is not None and self._clock.monotonic() - self._newest[0] < _FRESH_S:
            return self._newest[1]
        if self._round is None or self._round.done():
            self._round = asyncio.create_task(self._ask_all(), name="checkup")
        return await asyncio.shield(self._round)  # one client that goes away must not end it for the others

    async def _ask_all(self) -> CheckupReport:
        answers = await asyncio.gather(*(self._ask(each) for each in self._questions))
        checks = tuple(finding for answer in answers for finding in answer)
        report = CheckupReport(status=_worst(checks), looked_at=self._clock.now(), checks=checks)
        self._newest = (self._clock.monotonic(), report)
        return report

    async def _ask(self, question: Question) -> Sequence[Finding]:
        if question.name in self._hanging:
            return [_failed(question, "still gives no answer")]
        begun_s = self._clock.monotonic()
        asking = asyncio.ensure_future(_answer(question))
        self._hanging[question.name] = asking
        asking.add_done_callback(lambda _: self._hanging.pop(question.name, None))
        done, _ = await asyncio.wait((asking,), timeout=question.within_s)
        if not done:
            asking.cancel()
            return [_failed(question, f"no answer within {question.within_s:g} s")]
        took_ms = round((self._clock.monotonic() - begun_s) * 1000, 3)
        return [each if each.took_ms is not None else replace(each, took_ms=took_ms) for each in asking.result()]


def _worst(checks: Sequence[Finding]) -> Status:
    found = {each.status for each in checks}
    return next((each for each in _WORST_FIRST if each in found), "ok")


async def _answer(question: Question) -> Sequence[Finding]:
    try:
        return await question.ask()
    except BotError as error:
        logger.info("checkup: {}: {}", question.name, error)  # its words may name hosts: for the log only
        return [_failed(question, f"failed ({type(error).__name__}; the log has its words)")]
    except Exception as error:  # the edge
        logger.opt(exception=error).error("checkup: {} failed", question.name)
        return [_failed(question, f"failed ({type(error).__name__}); this is our bug, see the log")]


def _failed(question: Question, says: str) -> Finding:
    return Finding(name=question.name, status="fail", says=says, next_step=question.next_step)
