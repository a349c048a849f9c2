"""Recorded answers: files that say who answered, and gateways that answer from them."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from bot.analyst_calls import CallState, SpendWindow
from bot.database.memory import MemoryStores
from bot.errors import DataError
from bot.layer2_intelligence.analyst.nouns import AnalystReply, NoDecision, NoDecisionReason
from bot.layer2_intelligence.analyst.recordings import (
    CachedGateway,
    Cassette,
    RecordedGateway,
    cassette_of,
    import_cassettes,
    read_cassettes,
    write_cassettes,
)
from tests.fakes.messages_api import Shape
from tests.unit.layer2_intelligence.analyst.gateway_stand import question, stand

AT = datetime(2026, 3, 1, tzinfo=UTC)


def by_hand(**changes: Any) -> Cassette:
    tool = {"type": "tool_use", "id": "t1", "name": "submit_opinion", "input": {"direction": "short"}}
    usage = {"input_tokens": 100, "output_tokens": 10}
    reply = {"type": "message", "model": "claude-haiku-5-5", "content": [tool], "stop_reason": "tool_use"}
    fields = {"origin": "hand", "key": question().key, "model": "claude-haiku-5-5", "at": AT, "request_body": {}}
    return Cassette.model_validate(fields | {"reply_body": reply | {"usage": usage}} | changes)


async def test_a_written_answer_is_read_back_as_it_was(tmp_path: Path) -> None:
    async with stand() as here:
        here.fake.answer_with = lambda body: {"direction": "long"}
        live = await here.ask()
        (call,) = await here.stored()
    cassette = cassette_of(call)
    assert cassette is not None
    write_cassettes([cassette], tmp_path)

    recorded = await RecordedGateway(read_cassettes(tmp_path)).ask(question(), deadline_s=1)

    assert isinstance(live, AnalystReply)
    assert recorded == replace(live, from_recording=True)


async def test_a_recording_says_who_answered(tmp_path: Path) -> None:
    write_cassettes([by_hand()], tmp_path)

    reply = await RecordedGateway(read_cassettes(tmp_path)).ask(question(), deadline_s=1)

    assert isinstance(reply, AnalystReply)
    assert (reply.origin, reply.from_recording, reply.tool_inputs) == ("hand", True, ({"direction": "short"},))


async def test_a_fake_on_this_machine_never_passes_for_a_live_answer() -> None:
    async with stand() as here:
        await here.ask()
        (call,) = await here.stored()

    cassette = cassette_of(call)
    assert cassette is not None
    assert cassette.origin == "fake"


async def test_another_question_or_model_is_not_recorded() -> None:
    gateway = RecordedGateway([by_hand()])

    answers = [
        await gateway.ask(question(user_text="closes 9"), deadline_s=1),
        await gateway.ask(question(model="claude-opus-5-5"), deadline_s=1),
    ]

    assert [each.reason for each in answers if isinstance(each, NoDecision)] == [NoDecisionReason.NOT_RECORDED] * 2


async def test_the_newest_recording_of_a_question_answers() -> None:
    newer = by_hand(at=AT.replace(day=2), request_id="second")

    reply = await RecordedGateway([newer, by_hand(request_id="first")]).ask(question(), deadline_s=1)

    assert isinstance(reply, AnalystReply)
    assert reply.request_id == "second"


async def test_a_recorded_refusal_is_one_again() -> None:
    async with stand() as here:
        here.fake.script.append(Shape.REFUSAL)
        await here.ask()
        (call,) = await here.stored()
    cassette = cassette_of(call)
    assert cassette is not None

    again = await RecordedGateway([cassette]).ask(question(), deadline_s=1)

    assert isinstance(again, NoDecision)
    assert again.reason is NoDecisionReason.REFUSAL


async def test_what_was_answered_is_not_asked_again() -> None:
    async with stand() as here:
        cached = CachedGateway(here.calls, here.gateway, origin="fake")
        first = await cached.ask(question(), deadline_s=20)
        second = await cached.ask(question(), deadline_s=20)
        posted = len(here.fake.posted)

    assert isinstance(first, AnalystReply)
    assert second == replace(first, from_recording=True)
    assert posted == 1


async def test_a_daemon_takes_no_answer_that_a_person_wrote() -> None:
    async with stand() as here:
        await import_cassettes([by_hand()], here.calls)
        reply = await CachedGateway(here.calls, here.gateway, origin="fake").ask(question(), deadline_s=20)

    assert isinstance(reply, AnalystReply)
    assert reply.origin == "fake"


async def test_imported_recordings_cost_nothing_and_are_stored_once() -> None:
    calls = MemoryStores().analyst_calls

    counts = [await import_cassettes([by_hand(), by_hand()], calls), await import_cassettes([by_hand()], calls)]

    (call,) = await calls.recent(5)
    assert counts == [1, 0]
    assert call.state is CallState.IMPORTED
    assert (await calls.spent(AT))[SpendWindow.MONTH] == 0


BROKEN = [
    (b"{", "is not JSON"),
    (b'{"origin": "claude"}', "origin"),
    (b"[]", "wrong"),
]


@pytest.mark.parametrize(("data", "says"), BROKEN)
def test_a_bad_file_is_named_with_its_fault(tmp_path: Path, data: bytes, says: str) -> None:
    (tmp_path / "bad.json").write_bytes(data)

    with pytest.raises(DataError, match=f"bad.json.*{says}"):
        read_cassettes(tmp_path)


def test_a_recording_without_its_origin_is_not_read(tmp_path: Path) -> None:
    write_cassettes([by_hand()], tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(orjson.dumps({k: v for k, v in orjson.loads(path.read_bytes()).items() if k != "origin"}))

    with pytest.raises(DataError, match="origin"):
        read_cassettes(tmp_path)


def test_a_directory_that_is_not_there_is_said() -> None:
    with pytest.raises(DataError, match="no directory of recordings"):
        read_cassettes(Path("recordings-that-are-nowhere"))
