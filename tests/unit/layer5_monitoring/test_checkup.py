"""The deep check: all questions at once, each with its own time, kept for five seconds, one round at a time."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from bot.clock import ManualClock, SystemClock
from bot.errors import BrokerUnavailable
from bot.layer5_monitoring.checkup import Checkup, Finding, Question, Status


def question(name: str, ask: Callable[[], Awaitable[Sequence[Finding]]], within_s: float = 1.0) -> Question:
    return Question(name=name, ask=ask, within_s=within_s, next_step=f"look at {name}")


def saying(name: str, status: Status) -> Callable[[], Awaitable[Sequence[Finding]]]:
    async def ask() -> Sequence[Finding]:
        return [Finding(name=name, status=status, says=f"{name} is {status}")]

    return ask


async def hang() -> Sequence[Finding]:
    await asyncio.Event().wait()
    return ()


async def stubborn() -> Sequence[Finding]:
    """Takes no notice of being told to end, at first."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        await asyncio.Event().wait()
    return ()


async def test_the_worst_finding_gives_the_status_and_all_keep_their_order() -> None:
    statuses: dict[str, Status] = {"a": "ok", "b": "warn", "c": "ok"}
    questions = [question(name, saying(name, status)) for name, status in statuses.items()]

    report = await Checkup(questions, SystemClock()).look()

    assert report.status == "warn"
    assert [each.name for each in report.checks] == ["a", "b", "c"]
    assert all(each.took_ms is not None for each in report.checks)


async def test_nothing_to_ask_is_well() -> None:
    assert (await Checkup([], SystemClock()).look()).status == "ok"


async def test_a_question_that_hangs_fails_alone_and_hangs_nobody() -> None:
    questions = [question("slow", hang, within_s=0.01), question("fine", saying("fine", "ok"))]

    async with asyncio.timeout(5):
        report = await Checkup(questions, SystemClock()).look()

    assert [(each.name, each.status) for each in report.checks] == [("slow", "fail"), ("fine", "ok")]
    assert "no answer within 0.01 s" in report.checks[0].says
    assert report.checks[0].next_step == "look at slow"


async def test_a_question_that_does_not_end_is_not_asked_a_second_time() -> None:
    clock = ManualClock()
    checkup = Checkup([question("stubborn", stubborn, within_s=0.01)], clock)

    async with asyncio.timeout(5):
        await checkup.look()
        clock.advance(6)
        again = await checkup.look()

    assert again.checks[0].says == "still gives no answer"
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()


async def test_an_error_is_told_by_its_kind_only_because_its_words_may_name_hosts() -> None:
    async def fail() -> Sequence[Finding]:
        raise BrokerUnavailable("no route to 10.0.0.7")

    async def bug() -> Sequence[Finding]:
        raise ZeroDivisionError("api-key-123")

    report = await Checkup([question("a", fail), question("b", bug)], SystemClock()).look()

    assert [each.status for each in report.checks] == ["fail", "fail"]
    assert "10.0.0.7" not in str(report)
    assert "api-key-123" not in str(report)
    assert "BrokerUnavailable" in report.checks[0].says


async def test_answers_are_kept_for_five_seconds() -> None:
    asked: list[str] = []

    async def ask() -> Sequence[Finding]:
        asked.append("once more")
        return ()

    clock = ManualClock()
    checkup = Checkup([question("a", ask)], clock)
    for wait_s in (0.0, 4.9, 0.2):
        clock.advance(wait_s)
        await checkup.look()

    assert len(asked) == 2


async def test_all_who_ask_at_once_share_one_round_and_one_who_leaves_ends_it_for_nobody() -> None:
    asked, answer = 0, asyncio.Event()

    async def ask() -> Sequence[Finding]:
        nonlocal asked
        asked += 1
        await answer.wait()
        return [Finding(name="a", status="ok", says="well")]

    checkup = Checkup([question("a", ask, within_s=5)], SystemClock())
    leaves, stays = asyncio.create_task(checkup.look()), asyncio.create_task(checkup.look())
    await asyncio.wait((leaves, stays), timeout=0.01)

    leaves.cancel()
    answer.set()
    report = await stays

    assert asked == 1
    assert report.status == "ok"
