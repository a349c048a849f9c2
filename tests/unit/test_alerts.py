"""The alert desk: one alert for one thing, kept whatever the database does, brought to people in order."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from datetime import time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from bot.alerts import Alert, Channel, DeliveryState, Notice, Severity
from bot.clock import ManualClock
from bot.database.memory_alerts import MemoryAlerts
from bot.errors import AlertFailed, AlertFateUnknown, AlertNotSent, DatabaseUnavailable, NotFound
from bot.layer5_monitoring.alert_retention import AlertRetention
from bot.layer5_monitoring.alert_spool import AlertSpool
from bot.layer5_monitoring.alert_text import chat_text, sms_text
from bot.layer5_monitoring.alert_words import conditions_of, ended_by, notice_of
from bot.layer5_monitoring.alerts import AlertDesk
from bot.layer5_monitoring.courier import Courier, Manners
from bot.layer5_monitoring.pictures import Pictures
from bot.models import JournalEntry

CHAT = 42
NAKED = Notice(key="naked EUR_USD", severity=Severity.CRITICAL, title="EUR_USD: position without a stop")
BLOCKED = Notice(key="blocked oanda", severity=Severity.WARNING, title="oanda: no new entries", lasts=True)


class Outage(MemoryAlerts):
    """A store whose database can be down."""

    is_down = False

    async def save(self, alert: Alert) -> None:
        if self.is_down:
            raise DatabaseUnavailable("the database did not answer")
        await super().save(alert)


class Chat:
    """A messenger that keeps what it is given; `faults` are raised first, in order."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.photos: list[tuple[bytes, str]] = []
        self.edits: list[tuple[str, str]] = []
        self.faults: list[AlertFailed] = []

    async def send(self, chat: int, text: str, *, silent: bool = False) -> str:
        if self.faults:
            raise self.faults.pop(0)
        self.sent.append(text)
        return str(len(self.sent))

    async def send_photo(self, chat: int, picture: bytes, caption: str, *, silent: bool = False) -> str:
        if self.faults:
            raise self.faults.pop(0)
        self.photos.append((picture, caption))
        return f"photo:{len(self.photos)}"

    async def edit(self, chat: int, reference: str, text: str) -> None:
        self.edits.append((reference, text))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store() -> Outage:
    return Outage()


@pytest.fixture
def desk(store: Outage, clock: ManualClock, tmp_path: Path) -> AlertDesk:
    return AlertDesk(store, AlertSpool(tmp_path), clock, repeat_s=300)


Running = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    """Runs something until the test ends."""
    tasks: list[asyncio.Task[None]] = []
    yield lambda work: tasks.append(asyncio.create_task(work))
    for each in tasks:
        each.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def info(number: int) -> Notice:
    return Notice(key=f"opened {number}", severity=Severity.INFO, title=f"opened position {number}")


def courier_of(
    desk: AlertDesk,
    chat: Chat,
    clock: ManualClock,
    quiet: tuple[time, time] | None = None,
    pictures: Pictures | None = None,
    to: int = CHAT,
) -> Courier:
    manners = Manners(least=Severity.INFO, zone=ZoneInfo("UTC"), quiet=quiet)
    return Courier(desk, chat, to, manners, clock, pictures)


# ---------------------------------------------------------------------------------------------------- one for one thing


def test_the_same_thing_again_within_the_window_is_counted(desk: AlertDesk, clock: ManualClock) -> None:
    for _ in range(3):
        desk.notify(NAKED)
        clock.advance(100)
    assert [each.count for each in desk.alerts()] == [3]


def test_the_same_thing_after_the_window_is_a_new_alert(desk: AlertDesk, clock: ManualClock) -> None:
    desk.notify(NAKED)
    desk.alerts()
    clock.advance(301)
    desk.notify(NAKED)
    assert [each.count for each in desk.alerts()] == [1, 1]


def test_what_lasts_is_one_alert_until_it_ends(desk: AlertDesk, clock: ManualClock) -> None:
    for _ in range(5):
        desk.hold([BLOCKED])
        clock.advance(1_000)
    desk.hold([])
    (alert,) = desk.alerts()
    assert (alert.count, alert.resolved_at) == (1, clock.now())


def test_what_comes_back_soon_after_its_end_is_the_same_alert_open_again(desk: AlertDesk, clock: ManualClock) -> None:
    desk.hold([BLOCKED])
    desk.hold([])
    clock.advance(60)
    desk.hold([BLOCKED])
    (alert,) = desk.alerts()
    assert (alert.count, alert.resolved_at) == (2, None)


def test_of_too_many_notices_those_that_matter_least_are_dropped_and_counted(desk: AlertDesk) -> None:
    desk.notify(NAKED)
    for number in range(1_005):
        desk.notify(info(number))
    kept = desk.alerts()
    assert kept[0].key == NAKED.key
    assert "6 alerts were dropped" in next(each.title for each in kept if each.key == "alerts dropped")


# ------------------------------------------------------------------------------------------------------------ is kept


async def test_what_the_database_does_not_take_is_kept_in_a_file_over_a_restart(
    desk: AlertDesk, store: Outage, clock: ManualClock, tmp_path: Path
) -> None:
    store.is_down = True
    desk.notify(NAKED)
    before = desk.alerts()
    assert not await desk.store()

    store.is_down = False
    after = AlertDesk(store, AlertSpool(tmp_path), clock, repeat_s=300)
    await after.load()
    assert after.alerts() == before
    assert await after.store()
    assert list(await store.recent(5)) == list(before)
    assert list(tmp_path.iterdir()) == []


async def test_a_damaged_file_costs_its_alerts_and_nothing_else(
    store: Outage, clock: ManualClock, tmp_path: Path
) -> None:
    (tmp_path / "alerts.spool.json").write_bytes(b'[{"id": 1')
    desk = AlertDesk(store, AlertSpool(tmp_path), clock, repeat_s=300)
    await desk.load()
    assert desk.alerts() == ()


async def test_what_was_acknowledged_by_another_process_is_heard(
    desk: AlertDesk, store: Outage, clock: ManualClock, running: Running
) -> None:
    desk.notify(NAKED)
    running(desk.run())
    await clock.run_for(1)
    await store.acknowledge(desk.alerts()[0].id, by="ada", at=clock.now())
    await clock.run_for(2)
    assert desk.alerts()[0].acked_by == "ada"


async def test_old_alerts_are_forgotten_but_not_those_that_wait_for_somebody(
    desk: AlertDesk, clock: ManualClock, running: Running
) -> None:
    desk.notify(NAKED)
    desk.notify(info(1))
    running(desk.run())
    await clock.run_for(1)
    clock.advance(49 * 3600)
    await clock.run_for(2)
    assert [each.key for each in desk.alerts()] == [NAKED.key]


async def test_taking_note_of_what_does_not_exist_is_an_error(desk: AlertDesk) -> None:
    with pytest.raises(NotFound, match="nosuch"):
        await desk.acknowledge("nosuch", by="ada")


# --------------------------------------------------------------------------------------------------------- is brought


async def test_a_critical_alert_goes_first_and_alone_and_the_rest_together(desk: AlertDesk, clock: ManualClock) -> None:
    chat = Chat()
    for number in range(3):
        desk.notify(info(number))
    desk.notify(NAKED)
    courier = courier_of(desk, chat, clock)
    for _ in range(3):
        await courier.turn()
    assert [each.split("\n")[0] for each in chat.sent] == [
        "CRITICAL: EUR_USD: position without a stop",
        "i: 3 alerts",
    ]


async def test_critical_alerts_of_one_moment_go_together_so_that_none_is_late(
    desk: AlertDesk, clock: ManualClock
) -> None:
    """At the service's pace of one message each second, or three in a group, the tenth would come too late."""
    chat = Chat()
    desk.notify(info(1))
    for number in range(10):
        desk.notify(Notice(key=f"naked {number}", severity=Severity.CRITICAL, title=f"N{number}: without a stop"))
    await courier_of(desk, chat, clock).turn()

    (text,) = chat.sent
    assert text.split("\n")[0] == "CRITICAL: 10 alerts"
    assert all(f"CRITICAL: N{number}: without a stop   {alert.id}" in text for number, alert in _critical(desk))


def _critical(desk: AlertDesk) -> Iterable[tuple[int, Alert]]:
    return enumerate(each for each in desk.alerts() if each.severity is Severity.CRITICAL)


async def test_an_alert_that_ends_is_changed_where_it_was_sent(desk: AlertDesk, clock: ManualClock) -> None:
    chat = Chat()
    courier = courier_of(desk, chat, clock)
    desk.hold([BLOCKED])
    await courier.turn()
    clock.advance(90)
    desk.hold([])
    await courier.turn()
    await courier.turn()
    ((reference, text),) = chat.edits
    assert (reference, text.split("\n")[0]) == ("1", "resolved after 90 s: WARNING: oanda: no new entries")


async def test_what_the_service_refuses_for_now_is_sent_after_its_pause(desk: AlertDesk, clock: ManualClock) -> None:
    chat = Chat()
    chat.faults = [AlertNotSent("too many", retry_after_s=7)]
    desk.notify(NAKED)
    courier = courier_of(desk, chat, clock)
    assert await courier.turn() == 7
    await courier.turn()
    assert len(chat.sent) == 1


async def test_an_alert_of_unknown_fate_is_sent_again_after_a_while_under_the_same_id(
    desk: AlertDesk, clock: ManualClock
) -> None:
    chat = Chat()
    chat.faults = [AlertFateUnknown("no answer")]
    desk.notify(NAKED)
    courier = courier_of(desk, chat, clock)
    await courier.turn()
    await courier.turn()
    assert chat.sent == []
    clock.advance(15)
    await courier.turn()
    assert [desk.alerts()[0].id in each for each in chat.sent] == [True]


async def test_a_chat_that_refuses_for_good_is_not_asked_again(desk: AlertDesk, clock: ManualClock) -> None:
    chat = Chat()
    chat.faults = [AlertFailed("blocked")]
    desk.notify(NAKED)
    courier = courier_of(desk, chat, clock)
    await courier.turn()
    clock.advance(3600)
    await courier.turn()
    delivery = desk.alerts()[0].delivery(Channel.TELEGRAM, str(CHAT))
    assert delivery is not None
    assert (delivery.state, chat.sent) == (DeliveryState.FAILED, [])


async def test_in_quiet_hours_only_critical_alerts_are_sent_and_the_rest_after(
    desk: AlertDesk, clock: ManualClock
) -> None:
    chat = Chat()
    courier = courier_of(desk, chat, clock, quiet=(time(22), time(7)))  # the clock begins at midnight
    desk.notify(NAKED)
    desk.notify(info(1))
    for _ in range(3):
        await courier.turn()
    assert len(chat.sent) == 1
    clock.advance(7 * 3600)
    await courier.turn()
    assert chat.sent[1].startswith("i: opened position 1")


async def test_muted_holds_all_but_critical_alerts_until_it_ends(desk: AlertDesk, clock: ManualClock) -> None:
    chat = Chat()
    courier = courier_of(desk, chat, clock)
    await desk.mute(10)
    desk.notify(info(1))
    await courier.turn()
    assert chat.sent == []
    clock.advance(600)
    await courier.turn()
    assert len(chat.sent) == 1


async def test_a_chat_that_is_added_later_gets_no_old_news(desk: AlertDesk, clock: ManualClock) -> None:
    chat = Chat()
    desk.notify(info(1))
    desk.alerts()
    clock.advance(13 * 3600)
    await courier_of(desk, chat, clock).turn()
    assert chat.sent == []


# -------------------------------------------------------------------------------------------------------------- words


def entry(kind: str, clock: ManualClock, **data: object) -> JournalEntry:
    return JournalEntry(at=clock.now(), kind=kind, task_id=None, data=data)


@pytest.mark.parametrize(
    ("kind", "data", "severity", "words"),
    [
        ("incident", {"what": "position without a stop", "symbol": "EUR_USD"}, Severity.CRITICAL, "EUR_USD: position"),
        ("incident", {"what": "late arrival", "symbol": "SOL_USDT"}, Severity.WARNING, "SOL_USDT: late arrival"),
        ("kill", {"level": "halt", "by": "ada", "cause": "page"}, Severity.CRITICAL, "HALT everywhere by ada"),
        ("position_closed", {"symbol": "EUR_USD", "net": "5.1049", "r": 1.2}, Severity.INFO, "+5.10 net, +1.20 R"),
        ("position_closed", {"symbol": "EUR_USD", "net": "-0.125", "r": -0.1}, Severity.INFO, "-0.13 net, -0.10 R"),
        (
            "position_closed",
            {"symbol": "SPY", "exit_price": "277.7705673758865248226950355", "net": "1", "r": 1.0},
            Severity.INFO,
            "closed SPY at 277.77057 by",
        ),
        (
            "position_closed",
            {"symbol": "SPY", "exit_price": "None", "net": "1", "r": 1.0},
            Severity.INFO,
            "closed SPY at an unknown price by",
        ),
    ],
)
def test_an_entry_is_told_in_a_first_line_that_says_it_all(
    clock: ManualClock, kind: str, data: dict[str, object], severity: Severity, words: str
) -> None:
    notice = notice_of(entry(kind, clock, **data))
    assert notice is not None
    assert notice.severity is severity
    assert words in notice.title
    assert "\n" not in notice.title


@pytest.mark.parametrize(("kind", "data"), [("order", {}), ("signal", {"status": "vetoed"}), ("reconcile", {})])
def test_what_nobody_must_know_is_not_told(clock: ManualClock, kind: str, data: dict[str, object]) -> None:
    assert notice_of(entry(kind, clock, **data)) is None


def test_incidents_about_two_positions_are_two_alerts(clock: ManualClock) -> None:
    two = [notice_of(entry("incident", clock, what="late arrival", order=each)) for each in ("a", "b")]
    assert len({each.key for each in two if each is not None}) == 2


@pytest.mark.parametrize(("kind", "what"), [("protection", "stop rests again"), ("position_closed", "")])
def test_a_position_that_has_its_stop_again_or_is_closed_ends_its_alert(
    desk: AlertDesk, clock: ManualClock, kind: str, what: str
) -> None:
    naked = notice_of(entry("incident", clock, what="position without a stop", position="p1", symbol="EUR_USD"))
    assert naked is not None
    desk.notify(naked)
    desk.resolve(ended_by(entry(kind, clock, what=what, position="p1")))
    assert not desk.alerts()[0].waits


def test_what_is_critical_and_comes_back_after_its_end_is_told_anew(desk: AlertDesk, clock: ManualClock) -> None:
    desk.notify(NAKED)
    desk.resolve(NAKED.key)
    clock.advance(60)
    desk.notify(NAKED)
    assert [each.waits for each in desk.alerts()] == [False, True]


def test_what_was_never_told_cannot_end(desk: AlertDesk) -> None:
    desk.resolve("nosuch")
    assert desk.alerts() == ()


def test_a_refused_key_is_one_critical_alert_and_not_a_blocked_venue_besides() -> None:
    """O5: nothing but the stops at the venue protects what is open there, so a person must act."""
    health = {"entries_blocked": ["ig refuses our key: ig: api-key-revoked"], "keys_refused": ["ig"]}
    (notice,) = conditions_of(health)
    assert (notice.key, notice.severity, notice.lasts) == ("key ig", Severity.CRITICAL, True)
    assert "api-key-revoked" in notice.body


def test_a_venue_keeps_its_alert_whatever_its_error_says() -> None:
    said = ["oanda did not answer: timeout", "oanda: k3x lost position EUR_USD"]
    keys = {each.key for why in said for each in conditions_of({"entries_blocked": [why], "failing_jobs": []})}
    assert keys == {"blocked oanda"}


def test_a_text_message_is_one_part_of_plain_letters(desk: AlertDesk) -> None:
    desk.notify(Notice(key="k", severity=Severity.CRITICAL, title="Göteborg → {50 %} €" + "x" * 300))
    text = sms_text(desk.alerts()[0], name="bot paper")
    assert len(text) == 160
    assert text.isascii()
    assert "Goteborg 50 %" in text


def test_a_message_is_never_longer_than_the_service_takes(desk: AlertDesk) -> None:
    desk.notify(Notice(key="k", severity=Severity.WARNING, title="t", body="x" * 9_000))
    assert len(chat_text(desk.alerts())) <= 4_000


async def test_a_count_that_grows_is_shown_after_a_while_in_the_message_that_was_sent(
    desk: AlertDesk, clock: ManualClock
) -> None:
    chat = Chat()
    courier = courier_of(desk, chat, clock)
    desk.notify(NAKED)
    await courier.turn()
    desk.notify(NAKED)
    await courier.turn()
    assert chat.edits == []
    clock.advance(10)
    await courier.turn()
    await courier.turn()
    assert [text.split("\n")[0] for _, text in chat.edits] == ["CRITICAL: EUR_USD: position without a stop (2 times)"]


async def test_of_very_many_alerts_the_oldest_are_forgotten_but_not_what_waits(
    desk: AlertDesk, clock: ManualClock, running: Running
) -> None:
    desk.notify(NAKED)
    for part in range(3):
        for number in range(900):
            desk.notify(info(part * 900 + number))
        desk.alerts()
    running(desk.run())
    await clock.run_for(1)
    kept = desk.alerts()
    assert (len(kept), kept[0].key) == (2_001, NAKED.key)


# ------------------------------------------------------------------------------------------------------------ pictures


class Easel:
    """Draws when it is told to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.may_end = asyncio.Event()
        self.fault: Exception | None = None

    async def draw(self, signal_id: str) -> bytes:
        self.asked.append(signal_id)
        await self.may_end.wait()
        if self.fault is not None:
            raise self.fault
        return b"picture of " + signal_id.encode()


@pytest.fixture
def easel() -> Easel:
    return Easel()


@pytest.fixture
async def pictures(easel: Easel, clock: ManualClock) -> AsyncIterator[Pictures]:
    made = Pictures(easel.draw, clock)
    yield made
    await made.close()


def signal(number: int = 1, body: str = "") -> Notice:
    return Notice(
        key=f"signal s{number}", severity=Severity.INFO, title=f"signal {number}: EUR_USD long, ordered", body=body
    )


async def test_a_signal_goes_out_with_its_picture_once_for_all_chats(
    desk: AlertDesk, clock: ManualClock, easel: Easel, pictures: Pictures
) -> None:
    # Arrange
    first, second = Chat(), Chat()
    couriers = [
        courier_of(desk, each, clock, pictures=pictures, to=number) for number, each in enumerate((first, second))
    ]
    desk.notify(signal())

    # Act
    for each in couriers:
        await each.turn()
    easel.may_end.set()
    await clock.run_for(0)
    for each in couriers:
        await each.turn()
        await each.turn()

    # Assert
    (sent,) = desk.alerts()
    assert easel.asked == ["s1"]
    assert first.photos == second.photos
    assert first.photos[0][0] == b"picture of s1"
    assert sent.title in first.photos[0][1]
    assert sent.id in first.photos[0][1]
    assert first.sent == second.sent == []


async def test_nothing_else_waits_for_a_picture(
    desk: AlertDesk, clock: ManualClock, easel: Easel, pictures: Pictures
) -> None:
    chat = Chat()
    courier = courier_of(desk, chat, clock, pictures=pictures)
    desk.notify(signal())
    desk.notify(info(1))
    await courier.turn()
    desk.notify(NAKED)
    await courier.turn()

    assert [each.splitlines()[0] for each in chat.sent] == ["i: opened position 1", f"CRITICAL: {NAKED.title}"]


async def test_a_text_goes_out_alone_when_its_picture_takes_too_long_and_that_follows(
    desk: AlertDesk, clock: ManualClock, easel: Easel, pictures: Pictures
) -> None:
    chat = Chat()
    courier = courier_of(desk, chat, clock, pictures=pictures)
    desk.notify(signal())
    await courier.turn()
    clock.advance(2.9)
    await courier.turn()
    assert chat.sent == []

    clock.advance(0.1)
    await courier.turn()
    easel.may_end.set()
    await clock.run_for(0)
    for _ in range(3):
        await courier.turn()

    assert len(chat.sent) == 1
    assert [picture for picture, _ in chat.photos] == [b"picture of s1"]


@pytest.mark.parametrize("fault", [DatabaseUnavailable("gone"), ZeroDivisionError("no range")])
async def test_a_text_goes_out_alone_when_its_picture_fails(
    desk: AlertDesk, clock: ManualClock, easel: Easel, pictures: Pictures, fault: Exception
) -> None:
    chat, easel.fault = Chat(), fault
    courier = courier_of(desk, chat, clock, pictures=pictures)
    easel.may_end.set()
    desk.notify(signal())
    await courier.turn()
    await clock.run_for(0)
    for _ in range(3):
        await courier.turn()

    assert len(chat.sent) == 1
    assert chat.photos == []


async def test_a_picture_that_is_too_large_stays_here(desk: AlertDesk, clock: ManualClock, pictures: Pictures) -> None:
    async def draw(signal_id: str) -> bytes:
        return bytes(200_001)

    chat, large = Chat(), Pictures(draw, clock)
    courier = courier_of(desk, chat, clock, pictures=large)
    desk.notify(signal())
    await courier.turn()
    await clock.run_for(0)
    await courier.turn()

    assert (len(chat.sent), chat.photos) == (1, [])


async def test_many_signals_at_once_go_out_as_one_text(
    desk: AlertDesk, clock: ManualClock, easel: Easel, pictures: Pictures
) -> None:
    chat = Chat()
    courier = courier_of(desk, chat, clock, pictures=pictures)
    for number in range(4):
        desk.notify(signal(number))
    await courier.turn()

    assert chat.sent[0].startswith("i: 4 alerts")
    assert easel.asked == []


async def test_the_text_under_a_picture_is_short_and_still_names_its_alert(
    desk: AlertDesk, clock: ManualClock, easel: Easel, pictures: Pictures
) -> None:
    chat = Chat()
    courier = courier_of(desk, chat, clock, pictures=pictures)
    easel.may_end.set()
    desk.notify(signal(body="fact\n" * 500))
    await courier.turn()
    await clock.run_for(0)
    await courier.turn()
    (sent,) = desk.alerts()
    await desk.acknowledge("all", by="ada")
    clock.advance(11)
    await courier.turn()

    caption = chat.photos[0][1]
    assert len(caption) == 1_000
    assert caption.endswith(sent.id)
    ((reference, changed),) = chat.edits
    assert reference == "photo:1"
    assert changed.startswith("taken by ada: ")
    assert len(changed) == 1_000


# ----------------------------------------------------------------------------------------------------------- retention


async def test_what_ended_long_ago_is_removed_a_little_at_a_time(
    store: Outage, clock: ManualClock, running: Running
) -> None:
    # Arrange
    for number in range(1_500):
        at = clock.now()
        name = f"{number:06d}"
        told = Alert(id=name, key=name, severity=Severity.INFO, title="told", body="", raised_at=at, last_at=at)
        await store.save(told)
    clock.advance(8 * 86_400)

    # Act
    running(AlertRetention(store, clock, keep_days=7).run())
    await clock.run_for(0)
    after_one_turn = len(await store.recent(2_000))
    await clock.run_for(5)

    # Assert
    assert after_one_turn == 500
    assert await store.recent(2_000) == []
