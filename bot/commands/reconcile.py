"""`botctl reconcile`: our book against the venues, and what a person wants done about each difference.

The list comes from the running daemon, because only it talks to a venue. An answer is a row in the database; the
daemon reads it within seconds, looks whether the difference is still the one that was answered, and carries it out.
"""

import asyncio
import json
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Any, Final

from cyclopts import Parameter

from bot.clock import SystemClock
from bot.commands.kill import person
from bot.commands.status import NoDaemon, RunningDaemon, ask, find_daemon, settings_of_daemon, without_database
from bot.config import Loaded
from bot.differences import Answer, AnswerKind, AnswerState, ClassCounts, DifferenceKind
from bot.errors import DatabaseUnavailable, UsageError
from bot.instruments import BrokerId
from bot.interfaces import Clock

EXIT_OPEN: Final = 4
_LOOK_EVERY_S: Final = 0.5
_LOOKS: Final = 20  # ten seconds: a daemon reads answers every two, and compares at once when it has carried them out
_PATH: Final = "/api/differences"

Rows = Sequence[Mapping[str, Any]]
Ask = Callable[[str], str]


def reconcile(
    *,
    broker: Annotated[str | None, Parameter(help="Only this broker.")] = None,
    fix: Annotated[bool, Parameter(negative="", help="Ask about each difference, on a terminal.")] = False,
    adopt: Annotated[str | None, Parameter(help="ID of what becomes ours, with a protective stop.")] = None,
    ignore: Annotated[str | None, Parameter(help="ID of what is never touched; it stays counted.")] = None,
    flatten: Annotated[str | None, Parameter(help="ID of what is closed or cancelled, once.")] = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="", help="Print the daemon's JSON.")] = False,
    data: Annotated[str | None, Parameter(help="Data directory of the daemon; default: DATA_DIRECTORY.")] = None,
) -> int:
    """Compare our book with the venues. Exit code 4 while differences are open, 0 when clean, 1 if no daemon runs, 6
    while its database is away: then nothing is compared, and no answer is taken."""
    loaded = settings_of_daemon(data)
    daemon = find_daemon(loaded.data_directory)
    compared, away = _compared(daemon, broker), without_database(daemon)
    wanted = {AnswerKind.ADOPT: adopt, AnswerKind.IGNORE: ignore, AnswerKind.FLATTEN: flatten}
    given = [(kind, name) for kind, name in wanted.items() if name is not None]
    if len(given) > 1 or (given and fix):
        raise UsageError("one answer at a time: --adopt, --ignore, --flatten or --fix")
    if away and (given or fix):
        raise DatabaseUnavailable(f"no answer was stored: {away}")
    if fix:
        if not sys.stdin.isatty():
            raise UsageError("--fix asks on a terminal; without one name a difference: --ignore ID, for example")
        given = asked(compared, input)
    answers = [answer_to(compared, name, kind) for kind, name in given]
    if answers:
        compared = asyncio.run(_after(loaded, answers, compared, lambda: _compared(daemon, broker)))
    if as_json:
        print(json.dumps(compared, indent=2))
    else:
        show(compared, without_database=bool(away))
    if away:
        raise DatabaseUnavailable(away)
    return 0 if is_clean(compared) else EXIT_OPEN


def is_clean(compared: Rows) -> bool:
    """Every venue has answered, and nothing waits for anybody."""
    return all(each["complete"] and not any(map(_is_open, each["differences"])) for each in compared)


async def compared_since(ended: Sequence[Answer], before: Rows, look: Callable[[], Rows], clock: Clock) -> Rows:
    """What the daemon has compared after those answers had ended; what it has told last, `before` if nothing since, if
    that takes too long or is not told."""
    compared = before
    for turn in range(_LOOKS + 1):
        if turn:
            await clock.sleep(_LOOK_EVERY_S)
        with suppress(NoDaemon, DatabaseUnavailable):
            compared = look()
        if all(_is_after(each, ended) for each in compared):
            break
    return compared


def as_answered(compared: Rows, ended: Sequence[Answer]) -> Rows:
    """Where the daemon has not compared anew yet, what was answered stands as answered, and is open no more."""
    done = {each.difference_id: each for each in ended if each.state is AnswerState.DONE}
    return [each if _is_after(each, ended) else _answered(each, done) for each in compared]


def asked(compared: Rows, ask_person: Ask) -> list[tuple[AnswerKind, str]]:
    """Go through what may be answered, one by one; "skip" leaves it as it is."""
    given = []
    for row in _differences(compared):
        if not row["answers"] or not _is_open(row):
            continue
        print(f"\n{row['id']}  {_sentence(row)}\n  {row['says']}.")
        possible = [*row["answers"], "skip"]
        typed = ""
        while typed not in possible:
            typed = ask_person(f"  {', '.join(possible)}? ").strip().lower() or "skip"
            typed = next((each for each in possible if typed == each[0]), typed)
        if typed != "skip":
            given.append((AnswerKind(typed), str(row["id"])))
    return given


def answer_to(compared: Rows, name: str, kind: AnswerKind) -> Answer:
    """The answer to the difference of that id, as it is shown now. Raises UsageError."""
    row = next((each for each in _differences(compared) if each["id"] == name), None)
    if row is None:
        known = ", ".join(str(each["id"]) for each in _differences(compared)) or "none"
        raise UsageError(f"there is no difference {name!r}; open are: {known}")
    if kind.value not in row["answers"]:
        able = " or ".join(row["answers"]) or "nothing by hand"
        raise UsageError(f"{name} is a {row['kind']}: {row['says']}. It may be answered with {able}, not {kind.value}")
    return Answer(
        broker_id=BrokerId(row["broker_id"]),
        difference_id=name,
        fingerprint=row["fingerprint"],
        kind=kind,
        about=DifferenceKind(row["kind"]),
        subject=row["subject"],
        says=_sentence(row),
        by=person(),
        at=SystemClock().now(),
    )


def show(compared: Rows, *, without_database: bool = False) -> None:
    """One table for each broker, and what may be done about it. The daemon compares nothing without its database."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    for broker in compared:
        silent = "not compared" if without_database else f"does not answer: {broker['error']}"
        state = "clean" if is_clean([broker]) else "differences" if broker["complete"] else silent
        at = _moment(broker["compared_at"])
        console.print(Text(f"{broker['broker_id']}: {state}; {broker['matched']} matched, compared {at}"))
        console.print(Text(f"  matched: {ClassCounts(**broker['classes']).says}"), soft_wrap=True)
        if any(map(_stands_as_answered, broker["differences"])):
            console.print("  That was compared before your answer; it is compared again with the next monitor run.")
        if not broker["differences"]:
            continue
        table = Table("id", "what", "symbol", "ours", "at the venue", "since", "answer with")
        for row in broker["differences"]:
            cells = (
                row["id"],
                row["kind"],
                row["symbol"],
                row["ours"],
                row["theirs"],
                _moment(row["seen_at"]),
                _answers(row),
            )
            table.add_row(*(Text(str(each)) for each in cells))
        console.print(table)
    if any(each["answers"] and _is_open(each) for each in _differences(compared)):
        console.print("Answer with ./botctl reconcile --fix, or --adopt ID, --ignore ID, --flatten ID.")


async def _after(loaded: Loaded, answers: Sequence[Answer], before: Rows, look: Callable[[], Rows]) -> Rows:
    """Give the answers, and see what they have changed."""
    ended = await _give(loaded, answers)
    return as_answered(await compared_since(ended, before, look, SystemClock()), ended)


async def _give(loaded: Loaded, answers: Sequence[Answer]) -> Sequence[Answer]:
    """Store the answers, then wait until the daemon says what came of each: those that have ended."""
    from bot.wiring.stored import stores_of_running_daemon

    clock = SystemClock()
    async with stores_of_running_daemon(loaded) as stores:
        waiting, ended = {}, []
        for answer in answers:
            number = (await stores.answers.give(answer)).number
            if number:
                waiting[number] = answer
            else:
                print(f"{answer.difference_id}: an earlier answer is being carried out already; nothing was changed")
        for _ in range(_LOOKS):
            recent = await stores.answers.recent(len(answers) + 100)
            for each in recent:
                if each.number in waiting and each.ended_at is not None:
                    _tell(each)
                    ended.append(each)
                    del waiting[each.number]
            if not waiting:
                break
            await clock.sleep(_LOOK_EVERY_S)
        for answer in waiting.values():
            print(f"{answer.difference_id}: {answer.kind.value} is stored; the daemon carries it out when it can")
    return ended


def _tell(answer: Answer) -> None:
    done = "done" if answer.state is AnswerState.DONE else "refused"
    print(f"{answer.difference_id}: {answer.kind.value} {done}: {answer.outcome}")


def _compared(daemon: RunningDaemon, broker: str | None) -> Rows:
    told: list[Mapping[str, Any]] = ask(daemon, _PATH)["brokers"]
    names = [each["broker_id"] for each in told]
    if broker is not None and broker not in names:
        raise UsageError(f"the daemon has no broker {broker!r}; it has {', '.join(names)}")
    return [each for each in told if broker in (None, each["broker_id"])]


def _differences(compared: Rows) -> list[Mapping[str, Any]]:
    return [row for each in compared for row in each["differences"]]


def _is_open(row: Mapping[str, Any]) -> bool:
    return not row["ignored_by"] and not _stands_as_answered(row)


def _stands_as_answered(row: Mapping[str, Any]) -> bool:
    """The daemon is through with an answer to it, and has not compared since."""
    return "answered" in row


def _answered(broker: Mapping[str, Any], done: Mapping[str, Answer]) -> Mapping[str, Any]:
    rows = [
        {**row, "answered": done[row["id"]].kind.value} if row["id"] in done else row for row in broker["differences"]
    ]
    return {**broker, "differences": rows}


def _is_after(broker: Mapping[str, Any], ended: Collection[Answer]) -> bool:
    """It was compared after the daemon was through with every answer about it; both are instants of the daemon."""
    at = broker["compared_at"]
    ends = [each.ended_at for each in ended if each.broker_id == broker["broker_id"] and each.ended_at is not None]
    return not ends or (at is not None and datetime.fromisoformat(at) >= max(ends))


def _sentence(row: Mapping[str, Any]) -> str:
    return f"{row['kind']}, {row['symbol']} at {row['broker_id']}: ours {row['ours']}, at the venue {row['theirs']}"


def _moment(text: str | None) -> str:
    """Market time, as the pages tell it."""
    return "never" if text is None else f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M:%S} UTC"


def _answers(row: Mapping[str, Any]) -> str:
    if row["ignored_by"]:
        return f"ignored by {row['ignored_by']}"
    if _stands_as_answered(row):
        return f"answered with {row['answered']}"
    if not row["counts"]:
        return f"nothing yet: check {row['checks']} of 3"
    return ", ".join(row["answers"]) or "nothing: it is being settled"
