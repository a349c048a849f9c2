"""Telegram through the real library, over loopback: who may command what, and what the service's moods do to alerts."""

import asyncio
import struct
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from bot.clock import ManualClock
from bot.database.memory_alerts import MemoryAlerts
from bot.errors import AlertFailed, AlertFateUnknown, AlertNotSent, DatabaseUnavailable
from bot.layer5_monitoring.logger import Redactor
from bot.layer5_monitoring.telegram import Telegram, open_telegram
from bot.layer5_monitoring.telegram_desk import Command, Plan, TelegramDesk
from tests.fakes.telegram import TOKEN, FakeTelegram, Message

OPERATOR, VIEWER, STRANGER, GROUP = 42, 43, 66, -100200
PATIENCE_S = 20


class Done:
    """Commands that remember what was done."""

    def __init__(self) -> None:
        self.acts: list[tuple[str, tuple[str, ...], str]] = []

    def commands(self) -> dict[str, Command]:
        return {
            "status": Command(help="reads", act=self._act("status")),
            "pause": Command(help="pauses", act=self._act("pause"), operator=True, kills=True),
            "close": Command(help="closes", act=self._act("close"), plan=self._plan, operator=True),
        }

    def _act(self, name: str) -> Any:
        async def act(words: Sequence[str], by: str) -> str:
            self.acts.append((name, tuple(words), by))
            return f"{name} <done> & told"

        return act

    async def _plan(self, words: Sequence[str]) -> Plan:
        return Plan(says=f"CLOSE {words[0]}", words=(f"id of {words[0]}",))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def fake(clock: ManualClock) -> AsyncIterator[FakeTelegram]:
    made = FakeTelegram(clock, chats={OPERATOR: "private", VIEWER: "private", STRANGER: "private", GROUP: "supergroup"})
    yield made
    await made.stop()


@pytest.fixture
async def telegram(fake: FakeTelegram) -> AsyncIterator[Telegram]:
    url = await fake.start()
    async with open_telegram(TOKEN, url=url, redact=Redactor([TOKEN]).redact, patience_s=0.3) as opened:
        yield opened


class Desk:
    """A desk that takes one turn for each update that comes."""

    def __init__(self, telegram: Telegram, store: MemoryAlerts, clock: ManualClock, done: Done) -> None:
        self.done = done
        self._desk = TelegramDesk(
            telegram,
            store,
            done.commands(),
            clock,
            operators=frozenset({OPERATOR}),
            viewers=frozenset({VIEWER}),
        )

    async def turn(self) -> None:
        """Take what has come; the fake answers a poll at once while something is not confirmed."""
        await asyncio.wait_for(self._desk.turn(), PATIENCE_S)


@pytest.fixture
def store() -> MemoryAlerts:
    return MemoryAlerts()


@pytest.fixture
def desk(telegram: Telegram, store: MemoryAlerts, clock: ManualClock) -> Desk:
    return Desk(telegram, store, clock, Done())


async def asked(desk: Desk, fake: FakeTelegram, text: str = "/close EUR_USD") -> Message:
    fake.says(OPERATOR, text)
    await desk.turn()
    return fake.messages[-1]


# ------------------------------------------------------------------------------------------------------------- who may


async def test_an_operator_is_answered_with_the_signs_as_they_are(desk: Desk, fake: FakeTelegram) -> None:
    fake.says(OPERATOR, "/status now")
    await desk.turn()
    assert desk.done.acts == [("status", ("now",), "telegram 42")]
    assert fake.shown(OPERATOR) == ["status <done> & told"]


@pytest.mark.parametrize(
    ("user", "message"),
    [
        pytest.param(STRANGER, {}, id="a stranger"),
        pytest.param(OPERATOR, {"chat": GROUP}, id="in a group"),
        pytest.param(OPERATOR, {"chat": VIEWER}, id="in the private chat of another"),
        pytest.param(
            OPERATOR,
            {"forward_origin": {"type": "hidden_user", "date": 1, "sender_user_name": "x"}},
            id="forwarded",
        ),
        pytest.param(OPERATOR, {"sender_chat": {"id": GROUP, "type": "supergroup"}}, id="anonymous"),
        pytest.param(OPERATOR, {"via_bot": {"id": 7, "is_bot": True, "first_name": "b"}}, id="by a bot"),
        pytest.param(OPERATOR, {"edit_date": 1}, id="edited"),
    ],
)
async def test_what_an_allowed_person_did_not_write_in_private_is_ignored(
    desk: Desk, fake: FakeTelegram, user: int, message: dict[str, Any]
) -> None:
    fake.says(user, "/pause", **message)
    await desk.turn()
    assert (desk.done.acts, fake.messages) == ([], [])


async def test_an_edited_message_is_no_command(desk: Desk, fake: FakeTelegram) -> None:
    sender = {"id": OPERATOR, "is_bot": False, "first_name": "A"}
    chat = {"id": OPERATOR, "type": "private"}
    fake.brings(edited_message={"message_id": 1, "date": 1, "from": sender, "chat": chat, "text": "/pause"})
    await desk.turn()
    assert desk.done.acts == []


async def test_a_viewer_reads_and_does_nothing(desk: Desk, fake: FakeTelegram) -> None:
    fake.says(VIEWER, "/status")
    fake.says(VIEWER, "/pause")
    await desk.turn()
    assert [each[0] for each in desk.done.acts] == ["status"]
    assert "for operators" in fake.shown(VIEWER)[-1]


# -------------------------------------------------------------------------------------------------------- once, and now


async def test_a_command_that_waited_too_long_is_not_done(desk: Desk, fake: FakeTelegram) -> None:
    fake.says(OPERATOR, "/pause", age_s=61)
    await desk.turn()
    assert desk.done.acts == []
    assert "61 s old" in fake.shown(OPERATOR)[0]


async def test_a_command_that_is_delivered_again_after_a_crash_is_done_once(
    desk: Desk, fake: FakeTelegram, telegram: Telegram, store: MemoryAlerts, clock: ManualClock
) -> None:
    fake.says(OPERATOR, "/pause")
    await desk.turn()  # the crash: the update was never confirmed, and comes again
    restarted = Desk(telegram, store, clock, desk.done)
    await restarted.turn()
    assert len(desk.done.acts) == 1


async def test_a_kill_is_taken_while_the_database_is_down(
    telegram: Telegram, fake: FakeTelegram, clock: ManualClock
) -> None:
    class Down(MemoryAlerts):
        async def take_update(self, update: int) -> bool:
            raise DatabaseUnavailable("the database did not answer")

    desk = Desk(telegram, Down(), clock, Done())
    fake.says(OPERATOR, "/pause")
    await desk.turn()
    assert [each[0] for each in desk.done.acts] == ["pause"]


async def test_too_many_commands_are_not_answered_but_a_kill_always_is(desk: Desk, fake: FakeTelegram) -> None:
    for _ in range(25):
        fake.says(OPERATOR, "/status")
    fake.says(OPERATOR, "/pause")
    await desk.turn()
    names = [each[0] for each in desk.done.acts]
    assert (names.count("status"), names.count("pause")) == (20, 1)


async def test_a_backlog_of_old_commands_is_not_answered_one_by_one(desk: Desk, fake: FakeTelegram) -> None:
    for _ in range(30):
        fake.says(OPERATOR, "/pause", age_s=3_600)
    await desk.turn()
    assert desk.done.acts == []
    assert [name for name, _ in fake.calls].count("sendmessage") == 20


# ------------------------------------------------------------------------------------------------------------ sure?


async def test_what_destroys_is_asked_about_and_done_with_what_was_shown(desk: Desk, fake: FakeTelegram) -> None:
    question = await asked(desk, fake)
    assert desk.done.acts == []
    fake.presses(OPERATOR, question, "Yes")
    await desk.turn()
    assert desk.done.acts == [("close", ("id of EUR_USD",), "telegram 42")]


@pytest.mark.parametrize("times", [2, 3])
async def test_a_button_works_once(desk: Desk, fake: FakeTelegram, times: int) -> None:
    question = await asked(desk, fake)
    for _ in range(times):
        fake.presses(OPERATOR, question, "Yes")
    await desk.turn()
    assert len(desk.done.acts) == 1


async def test_no_means_no(desk: Desk, fake: FakeTelegram) -> None:
    question = await asked(desk, fake)
    fake.presses(OPERATOR, question, "No")
    fake.presses(OPERATOR, question, "Yes")
    await desk.turn()
    assert desk.done.acts == []


async def test_a_button_is_too_late_after_half_a_minute(desk: Desk, fake: FakeTelegram, clock: ManualClock) -> None:
    question = await asked(desk, fake)
    clock.advance(30)
    fake.presses(OPERATOR, question, "Yes")
    await desk.turn()
    assert desk.done.acts == []


@pytest.mark.parametrize(("user", "chat"), [(VIEWER, VIEWER), (STRANGER, STRANGER), (OPERATOR, GROUP)])
async def test_a_button_of_one_person_does_nothing_for_another_or_elsewhere(
    desk: Desk, fake: FakeTelegram, user: int, chat: int
) -> None:
    question = await asked(desk, fake)
    fake.presses(user, question, "Yes", chat=chat)
    await desk.turn()
    assert desk.done.acts == []


async def test_each_question_keeps_its_own_parameters(desk: Desk, fake: FakeTelegram) -> None:
    first = await asked(desk, fake, "/close EUR_USD")
    await asked(desk, fake, "/close SOL_USDT")
    fake.presses(OPERATOR, first, "Yes")
    await desk.turn()
    assert [each[1] for each in desk.done.acts] == [("id of EUR_USD",)]


# ------------------------------------------------------------------------------------------------- the service's moods


async def test_hostile_text_is_shown_as_it_is(telegram: Telegram, fake: FakeTelegram) -> None:
    text = "EUR<b>_USD & </i> <script>\n1 < 2 &amp; done"
    await telegram.send(OPERATOR, text)
    assert fake.shown(OPERATOR) == [text]


def png(width: int = 2, height: int = 2) -> bytes:
    """As much of a PNG as the service looks at first."""
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height)


async def test_a_picture_goes_out_under_a_text_of_allowed_length(telegram: Telegram, fake: FakeTelegram) -> None:
    await telegram.send_photo(OPERATOR, png(), "signal EUR_USD <&> " + "x" * 2_000, silent=True)

    (message,) = fake.messages
    assert message.text.startswith("signal EUR_USD <&> xxx")
    assert (message.picture, message.silent) == (png(), True)


async def test_the_text_under_a_picture_is_changed_in_its_own_way(telegram: Telegram, fake: FakeTelegram) -> None:
    reference = await telegram.send_photo(OPERATOR, png(), "signal EUR_USD")
    await telegram.edit(OPERATOR, reference, "taken by ada: signal EUR_USD\n" + "x" * 2_000)
    await telegram.edit(OPERATOR, reference, "taken by ada: signal EUR_USD\n" + "x" * 2_000)

    assert fake.shown(OPERATOR)[0].startswith("taken by ada: signal EUR_USD\nxxx")
    assert fake.messages[0].edits == 1


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        pytest.param(b"no picture", AlertFailed, id="no picture"),
        pytest.param(png(9_000, 2_000), AlertFailed, id="too many pixels"),
        pytest.param(png() + bytes(10_000_000), AlertFateUnknown, id="too many bytes"),
    ],
)
async def test_a_picture_that_the_service_refuses_is_our_error(
    telegram: Telegram, picture: bytes, expected: type[AlertFailed]
) -> None:
    with pytest.raises(expected):
        await telegram.send_photo(OPERATOR, picture, "signal EUR_USD")


async def test_no_secret_goes_out_under_a_picture_even_where_it_is_cut(telegram: Telegram, fake: FakeTelegram) -> None:
    await telegram.send_photo(OPERATOR, png(), "x" * 980 + TOKEN)
    assert TOKEN[:10] not in fake.messages[0].text


async def test_no_secret_goes_out(telegram: Telegram, fake: FakeTelegram) -> None:
    await telegram.send(OPERATOR, f"order comment {TOKEN}")
    assert TOKEN not in str(fake.shown(OPERATOR))


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("flood", AlertNotSent),
        ("html 502", AlertFateUnknown),
        ("no", AlertFateUnknown),
        ("hang after", AlertFateUnknown),
    ],
)
async def test_an_answer_that_is_no_yes_is_told_by_what_may_be_done_next(
    telegram: Telegram, fake: FakeTelegram, fault: str, expected: type[AlertFailed]
) -> None:
    fake.faults = {"sendmessage": deque([fault])}
    with pytest.raises(AlertFailed) as raised:
        await telegram.send(OPERATOR, "text")
    assert type(raised.value) is expected
    assert TOKEN not in str(raised.value)


async def test_the_pause_of_a_flood_is_the_services(telegram: Telegram, fake: FakeTelegram) -> None:
    fake.faults = {"sendmessage": deque(["flood"])}
    with pytest.raises(AlertNotSent) as raised:
        await telegram.send(OPERATOR, "text")
    assert raised.value.retry_after_s == 7


async def test_a_chat_that_blocked_us_refuses_for_good(telegram: Telegram, fake: FakeTelegram) -> None:
    fake.blocked.add(OPERATOR)
    with pytest.raises(AlertFailed, match="blocked by the user") as raised:
        await telegram.send(OPERATOR, "text")
    assert type(raised.value) is AlertFailed


async def test_a_wrong_token_names_the_setting_and_not_the_token(fake: FakeTelegram) -> None:
    url = await fake.start()
    async with open_telegram("1:wrongwrong", url=url, redact=str) as opened:
        with pytest.raises(AlertFailed, match="TELEGRAM_TOKEN") as raised:
            await opened.publish([("status", "reads")])
    assert "wrongwrong" not in str(raised.value)


async def test_an_edit_that_changes_nothing_is_no_error(telegram: Telegram, fake: FakeTelegram) -> None:
    number = await telegram.send(OPERATOR, "text")
    await telegram.edit(OPERATOR, number, "text")
    await telegram.edit(OPERATOR, number, "resolved")
    assert fake.shown(OPERATOR) == ["resolved"]


async def test_an_answer_that_the_service_takes_only_later_is_sent_then_and_holds_up_no_other_command(
    desk: Desk, fake: FakeTelegram, clock: ManualClock, holds: Callable[[Callable[[], bool]], Any]
) -> None:
    fake.faults = {"sendmessage": deque(["flood"])}
    fake.says(OPERATOR, "/close EUR_USD")
    fake.says(OPERATOR, "/pause")
    await desk.turn()
    assert [each[0] for each in desk.done.acts] == ["pause"]
    clock.advance(7)
    await holds(lambda: len(fake.messages) == 2)
    fake.presses(OPERATOR, fake.messages[-1], "Yes")
    await desk.turn()
    assert [each[0] for each in desk.done.acts] == ["pause", "close"]


async def test_commands_come_back_after_the_service_was_away(
    telegram: Telegram,
    fake: FakeTelegram,
    store: MemoryAlerts,
    clock: ManualClock,
    holds: Callable[[Callable[[], bool]], Any],
) -> None:
    fake.faults = {"setmycommands": deque(["html 502"])}
    done = Done()
    desk = TelegramDesk(telegram, store, done.commands(), clock, operators=frozenset({OPERATOR}), viewers=frozenset())
    running = asyncio.create_task(desk.run())
    await holds(lambda: clock.sleepers == 1)
    clock.advance(2)
    fake.says(OPERATOR, "/status")
    await holds(lambda: bool(done.acts))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert [name for name, _ in fake.calls].count("setmycommands") == 2


@pytest.fixture
def holds() -> Callable[[Callable[[], bool]], Any]:
    """Gives way until something holds."""

    async def until(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():  # noqa: ASYNC110 a real server, which has no event for it
                await asyncio.sleep(0)

    return until
