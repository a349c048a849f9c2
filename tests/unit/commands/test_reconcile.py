"""`botctl reconcile`: what is shown, what is asked, what becomes an answer, and what the answer changed."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
import pytest

from bot.clock import ManualClock
from bot.commands.reconcile import answer_to, as_answered, asked, compared_since, is_clean, show
from bot.commands.status import NoDaemon
from bot.dashboard.api.encoding import as_json
from bot.differences import (
    Answer,
    AnswerKind,
    AnswerState,
    ClassCounts,
    Difference,
    DifferenceKind,
    Reconciliation,
)
from bot.errors import UsageError
from bot.instruments import IG, OANDA
from tests.builders import EUR_USD, START

EVERY = (AnswerKind.ADOPT, AnswerKind.IGNORE, AnswerKind.FLATTEN)


def difference(**changes: Any) -> Difference:
    standard = Difference(
        id="k3xq7n",
        fingerprint="f" * 32,
        broker_id=OANDA,
        kind=DifferenceKind.FOREIGN_POSITION,
        symbol=EUR_USD,
        subject="foreign:4711",
        ours="nothing",
        theirs="long 10 at 1.1",
        says="opened by somebody else",
        seen_at=START,
        checks=1,
        counts=True,
        answers=EVERY,
    )
    return replace(standard, **changes)


def compared(*differences: Difference, **changes: Any) -> Any:
    """As the API of a daemon tells it."""
    standard = Reconciliation(
        broker_id=OANDA,
        compared_at=START,
        complete=True,
        error="",
        matched=4,
        blocked="",
        differences=differences,
    )
    body = as_json([replace(standard, **changes)]).body
    assert isinstance(body, bytes)
    return orjson.loads(body)


def test_clean_is_a_venue_that_answered_and_nothing_open() -> None:
    assert is_clean(compared())
    assert is_clean(compared(difference(ignored_by="ada")))
    assert not is_clean(compared(difference()))
    assert not is_clean(compared(difference(counts=False, answers=())))
    assert not is_clean(compared(complete=False, error="503"))


def test_each_difference_is_shown_with_its_id_both_sides_and_its_answers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    show(compared(difference(), difference(id="aaaaaa", checks=2, counts=False, answers=())))
    text = capsys.readouterr().out
    for each in ("k3xq7n", "foreign position", "nothing", "long 10 at 1.1", "adopt, ignore, flatten", "check 2 of 3"):
        assert each in text
    assert "--fix" in text


def test_a_clean_book_is_said_to_be_clean(capsys: pytest.CaptureFixture[str]) -> None:
    show(compared())
    assert "oanda: clean; 4 matched" in capsys.readouterr().out


def test_each_class_is_told_with_its_count_and_what_is_not_compared_is_said_to_be_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    counted = ClassCounts(entries=1, exits=0, stops=2, positions=1, fills=3)
    (told,) = compared(classes=counted)
    assert told["matched"] == 4
    assert told["classes"] == {
        "entries": 1,
        "exits": 0,
        "stops": 2,
        "positions": 1,
        "fills": 3,
        "balances": None,
    }
    show([told])
    text = capsys.readouterr().out
    assert "  matched: entries 1, exits 0, stops 2, positions 1; fills 3 new; balances not compared" in text


def test_of_a_venue_that_did_not_answer_no_class_was_compared(capsys: pytest.CaptureFixture[str]) -> None:
    show(compared(complete=False, error="503", matched=0))
    text = capsys.readouterr().out
    assert "entries not compared, exits not compared, stops not compared, positions not compared" in text
    assert "fills not compared; balances not compared" in text


def test_an_answer_carries_the_fingerprint_of_what_was_shown() -> None:
    given = answer_to(compared(difference()), "k3xq7n", AnswerKind.FLATTEN)
    assert (given.fingerprint, given.kind, given.about) == ("f" * 32, AnswerKind.FLATTEN, difference().kind)
    assert given.by
    assert "long 10 at 1.1" in given.says


def test_an_id_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(UsageError, match="no difference 'zzz'; open are: k3xq7n"):
        answer_to(compared(difference()), "zzz", AnswerKind.ADOPT)


def test_an_answer_that_is_not_possible_is_refused_with_those_that_are() -> None:
    row = difference(kind=DifferenceKind.UNKNOWN_FATE, answers=(), says="the venue is asked for it")
    with pytest.raises(UsageError, match=r"order of unknown fate: the venue is asked.*nothing by hand, not adopt"):
        answer_to(compared(row), "k3xq7n", AnswerKind.ADOPT)


def test_a_person_is_asked_about_each_until_the_word_is_one_of_those_offered() -> None:
    typed = iter(["what", "F", "skip"])
    rows = compared(difference(), difference(id="bbbbbb"))
    assert asked(rows, lambda _: next(typed)) == [(AnswerKind.FLATTEN, "k3xq7n")]


def test_an_empty_answer_skips_and_what_cannot_be_answered_is_not_asked() -> None:
    rows = compared(difference(), difference(id="bbbbbb", answers=()), difference(id="cccccc", ignored_by="ada"))
    questions: list[str] = []

    def enter(question: str) -> str:
        questions.append(question)
        return ""

    assert asked(rows, enter) == []
    assert len(questions) == 1


# ------------------------------------------------------------------------------------------- what an answer has changed

ENDED = START + timedelta(seconds=2)


def ended(state: AnswerState = AnswerState.DONE, kind: AnswerKind = AnswerKind.IGNORE) -> Answer:
    """An answer to the standard difference that the daemon is through with, after the standard comparison."""
    given = answer_to(compared(difference()), "k3xq7n", kind)
    return replace(given, number=1, state=state, ended_at=ENDED)


async def test_what_is_shown_after_an_answer_was_compared_after_it() -> None:
    # Arrange
    after = compared(difference(ignored_by="ada"), compared_at=ENDED)
    looks, clock = [compared(difference()), compared(difference()), after], ManualClock(START)

    # Act
    waiting = asyncio.create_task(compared_since([ended()], compared(difference()), lambda: looks.pop(0), clock))
    await clock.run_for(1)

    # Assert
    assert waiting.result() == after


async def test_the_wait_for_a_comparison_has_a_bound_and_ends_with_the_newest_one() -> None:
    clock = ManualClock(START)
    waiting = asyncio.create_task(
        compared_since([ended()], compared(difference()), lambda: compared(difference()), clock)
    )
    await clock.run_for(11)
    assert waiting.result() == compared(difference())


async def test_a_daemon_that_does_not_answer_after_an_answer_hides_nothing_of_it() -> None:
    def look() -> list[dict[str, object]]:
        raise NoDaemon("it does not answer")

    clock = ManualClock(START)
    waiting = asyncio.create_task(compared_since([ended()], compared(difference()), look, clock))
    await clock.run_for(11)
    assert waiting.result() == compared(difference())


async def test_a_venue_that_nobody_answered_about_is_not_waited_for() -> None:
    other = compared(broker_id=IG)
    after = [*compared(compared_at=ENDED), *other]
    assert await compared_since([ended()], compared(difference()), lambda: after, ManualClock(START)) == after


def test_what_was_answered_is_open_no_more_though_the_next_comparison_is_not_there_yet(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    rows = as_answered(compared(difference()), [ended()])
    show(rows)
    text = capsys.readouterr().out
    assert is_clean(rows)
    assert "answered with ignore" in text
    assert "compared before your answer" in text


def test_another_difference_stays_open_beside_what_was_answered() -> None:
    assert not is_clean(as_answered(compared(difference(), difference(id="bbbbbb")), [ended()]))


def test_a_refused_answer_leaves_its_difference_open() -> None:
    assert not is_clean(as_answered(compared(difference()), [ended(AnswerState.REFUSED)]))


def test_a_difference_that_a_later_comparison_still_sees_is_open_whatever_was_answered() -> None:
    seen_again = compared(difference(), compared_at=ENDED)
    assert not is_clean(as_answered(seen_again, [ended(kind=AnswerKind.FLATTEN)]))
