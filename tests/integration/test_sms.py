"""Text messages over loopback: sent once each, never beyond the budget, only for what nobody took note of."""

from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest

from bot.alerts import Channel, DeliveryState, Notice, Severity
from bot.clock import ManualClock
from bot.database.memory_alerts import MemoryAlerts
from bot.errors import AlertFailed, AlertFateUnknown, AlertNotSent, DatabaseUnavailable
from bot.layer5_monitoring.alert_spool import AlertSpool
from bot.layer5_monitoring.alerts import AlertDesk
from bot.layer5_monitoring.escalation import Escalation
from bot.layer5_monitoring.sms import ClickSend
from tests.fakes.clicksend import KEY, USER, FakeClickSend, Text

PHONE = "+61411111111"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def fake(clock: ManualClock) -> AsyncIterator[FakeClickSend]:
    made = FakeClickSend(clock)
    yield made
    await made.stop()


@pytest.fixture
async def texts(fake: FakeClickSend) -> AsyncIterator[ClickSend]:
    async with ClickSend(username=USER, api_key=KEY, url=await fake.start()) as opened:
        yield opened


@pytest.fixture
def store() -> MemoryAlerts:
    return MemoryAlerts()


@pytest.fixture
def desk(store: MemoryAlerts, clock: ManualClock, tmp_path: Path) -> AlertDesk:
    return AlertDesk(store, AlertSpool(tmp_path), clock, repeat_s=300)


def escalation_of(
    desk: AlertDesk, store: MemoryAlerts, texts: ClickSend, clock: ManualClock, *, to: str = PHONE, per_day: int = 10
) -> Escalation:
    return Escalation(desk, store, texts, clock, numbers=(to,), after_s=180, per_day=per_day, name="bot paper")


def raise_critical(desk: AlertDesk, number: int = 0) -> None:
    desk.notify(Notice(key=f"naked {number}", severity=Severity.CRITICAL, title=f"position {number} without a stop"))
    desk.alerts()


def state_of(desk: AlertDesk, to: str = PHONE) -> DeliveryState | None:
    delivery = desk.alerts()[0].delivery(Channel.SMS, to)
    return delivery.state if delivery is not None else None


async def test_a_critical_alert_that_nobody_took_note_of_goes_out_once_in_one_part(
    desk: AlertDesk, store: MemoryAlerts, texts: ClickSend, fake: FakeClickSend, clock: ManualClock
) -> None:
    raise_critical(desk)
    escalation = escalation_of(desk, store, texts, clock)
    clock.advance(179)
    await escalation.turn()
    assert fake.queued == []
    clock.advance(1)
    for _ in range(3):
        await escalation.turn()
    assert [(each.to, each.parts) for each in fake.queued] == [(PHONE, 1)]
    assert state_of(desk) is DeliveryState.SENT


async def test_who_took_note_is_left_alone(
    desk: AlertDesk, store: MemoryAlerts, texts: ClickSend, fake: FakeClickSend, clock: ManualClock
) -> None:
    raise_critical(desk)
    await desk.acknowledge("all", by="ada")
    clock.advance(3_600)
    await escalation_of(desk, store, texts, clock).turn()
    assert fake.queued == []


async def test_a_warning_never_goes_out_as_a_text_message(
    desk: AlertDesk, store: MemoryAlerts, texts: ClickSend, fake: FakeClickSend, clock: ManualClock
) -> None:
    desk.notify(Notice(key="w", severity=Severity.WARNING, title="late arrival"))
    desk.alerts()
    clock.advance(3_600)
    await escalation_of(desk, store, texts, clock).turn()
    assert fake.queued == []


@pytest.mark.parametrize("fault", ["queued, no answer", "queued, 500"])
async def test_a_message_of_unknown_fate_is_looked_up_and_not_sent_again(
    desk: AlertDesk, store: MemoryAlerts, texts: ClickSend, fake: FakeClickSend, clock: ManualClock, fault: str
) -> None:
    fake.faults = [fault]
    raise_critical(desk)
    clock.advance(180)
    escalation = escalation_of(desk, store, texts, clock)
    await escalation.turn()
    assert state_of(desk) is DeliveryState.UNKNOWN
    clock.advance(61)
    await escalation.turn()
    assert (state_of(desk), len(fake.queued)) == (DeliveryState.SENT, 1)


async def test_what_never_arrived_stays_unknown_and_is_not_sent_again(
    desk: AlertDesk, store: MemoryAlerts, texts: ClickSend, fake: FakeClickSend, clock: ManualClock
) -> None:
    fake.faults = ["html 502"]
    raise_critical(desk)
    clock.advance(180)
    escalation = escalation_of(desk, store, texts, clock)
    for _ in range(5):
        await escalation.turn()
        clock.advance(61)
    assert (state_of(desk), fake.queued) == (DeliveryState.UNKNOWN, [])
    assert fake.looks == 4


async def test_what_was_being_sent_at_a_crash_is_looked_up_after_it_and_not_sent_again(
    desk: AlertDesk, store: MemoryAlerts, texts: ClickSend, fake: FakeClickSend, clock: ManualClock, tmp_path: Path
) -> None:
    class Crash(Exception):
        pass

    class Crashing(ClickSend):
        async def send(self, to: str, text: str, reference: str) -> str:
            await texts.send(to, text, reference)
            raise Crash

    raise_critical(desk)
    clock.advance(180)
    with pytest.raises(Crash):
        await escalation_of(desk, store, Crashing(username="", api_key=""), clock).turn()

    restarted = AlertDesk(store, AlertSpool(tmp_path), clock, repeat_s=300)
    await restarted.load()
    assert state_of(restarted) is DeliveryState.SENDING
    clock.advance(61)
    await escalation_of(restarted, store, texts, clock).turn()
    assert (state_of(restarted), len(fake.queued)) == (DeliveryState.SENT, 1)


async def test_too_many_requests_is_surely_not_sent_and_sent_after_the_pause(
    desk: AlertDesk, store: MemoryAlerts, texts: ClickSend, fake: FakeClickSend, clock: ManualClock
) -> None:
    fake.faults = ["429"]
    raise_critical(desk)
    clock.advance(180)
    escalation = escalation_of(desk, store, texts, clock)
    assert await escalation.turn() == 23
    await escalation.turn()
    assert len(fake.queued) == 1


async def test_the_budget_of_a_day_is_never_passed_and_told_once(
    desk: AlertDesk, store: MemoryAlerts, texts: ClickSend, fake: FakeClickSend, clock: ManualClock
) -> None:
    for number in range(4):
        raise_critical(desk, number)
    clock.advance(180)
    escalation = escalation_of(desk, store, texts, clock, per_day=2)
    for _ in range(3):
        await escalation.turn()
    assert len(fake.queued) == 2
    assert [each.count for each in desk.alerts() if each.key.startswith("sms budget")] == [1]
    clock.advance(86_401)
    await escalation.turn()
    assert len(fake.queued) == 4


async def test_a_database_that_is_down_opens_no_purse(
    desk: AlertDesk, texts: ClickSend, fake: FakeClickSend, clock: ManualClock
) -> None:
    class Down(MemoryAlerts):
        async def sms_since(self, instant: datetime) -> int:
            raise DatabaseUnavailable("the database did not answer")

    for number in range(4):
        raise_critical(desk, number)
    clock.advance(180)
    escalation = escalation_of(desk, Down(), texts, clock, per_day=2)
    for _ in range(3):
        await escalation.turn()
    assert len(fake.queued) == 2


async def test_a_refusal_inside_a_success_is_a_refusal_and_is_told(
    desk: AlertDesk, store: MemoryAlerts, texts: ClickSend, fake: FakeClickSend, clock: ManualClock
) -> None:
    raise_critical(desk)
    clock.advance(180)
    await escalation_of(desk, store, texts, clock, to="+19990000000").turn()
    assert state_of(desk, "+19990000000") is DeliveryState.FAILED
    assert "COUNTRY_NOT_ENABLED" in desk.alerts()[-1].title


@pytest.mark.parametrize(
    ("fault", "expected"),
    [("429", AlertNotSent), ("500", AlertFateUnknown), ("html 502", AlertFateUnknown)],
)
async def test_an_answer_that_is_no_yes_is_told_by_what_may_be_done_next(
    texts: ClickSend, fake: FakeClickSend, fault: str, expected: type[AlertFailed]
) -> None:
    fake.faults = [fault]
    with pytest.raises(AlertFailed) as raised:
        await texts.send(PHONE, "text", "aaaaaa-0")
    assert type(raised.value) is expected


async def test_a_service_that_was_not_reached_has_surely_sent_nothing(fake: FakeClickSend) -> None:
    url = await fake.start()
    await fake.stop()
    async with ClickSend(username=USER, api_key=KEY, url=url) as gone:
        with pytest.raises(AlertNotSent):
            await gone.send(PHONE, "text", "aaaaaa-0")


async def test_a_wrong_key_is_refused_for_good_and_not_shown(fake: FakeClickSend) -> None:
    async with ClickSend(username=USER, api_key="wrongwrong", url=await fake.start()) as opened:
        with pytest.raises(AlertFailed, match="UNAUTHORIZED") as raised:
            await opened.send(PHONE, "text", "aaaaaa-0")
    assert "wrongwrong" not in str(raised.value)


async def test_a_history_of_several_pages_is_read_to_the_end(
    texts: ClickSend, fake: FakeClickSend, clock: ManualClock
) -> None:
    sent_s = clock.now().timestamp()
    fake.queued = [Text(to=PHONE, body="", reference=f"ref-{each}", at_s=sent_s, parts=1) for each in range(101)]
    clock.advance(60)
    span = {"since_s": int(sent_s) - 300, "until_s": int(sent_s) + 300}
    assert await texts.find("ref-100", **span) is True
    assert await texts.find("ref-101", **span) is False
