"""Alerts as stored: one suite over PostgreSQL and memory."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import date

import pytest

from bot.alerts import Alert, Channel, Delivery, DeliveryState, DeskState, Severity
from bot.database.memory import MemoryStores
from bot.database.postgres import PostgresStores
from bot.errors import NotFound
from bot.interfaces import AlertStore
from bot.models import KillCause, KillLevel, KillState
from tests.contract.store_builders import at
from tests.postgres import Databases, shared_databases


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    with shared_databases(tmp_path_factory) as made:
        yield made


@pytest.fixture(params=["memory", "postgresql"])
async def alerts(request: pytest.FixtureRequest) -> AsyncIterator[AlertStore]:
    if request.param == "memory":
        yield MemoryStores().alerts
        return
    databases: Databases = request.getfixturevalue("databases")
    async with databases.pool() as pool:
        yield PostgresStores(pool).alerts


def alert(name: str = "aaaaaa", minutes: float = 0, severity: Severity = Severity.CRITICAL) -> Alert:
    return Alert(
        id=name,
        key=f"incident {name}",
        severity=severity,
        title="EUR_USD: position without a stop",
        body="position: p1",
        raised_at=at(minutes),
        last_at=at(minutes),
    )


def sms(minutes: float, state: DeliveryState = DeliveryState.SENT) -> Delivery:
    return Delivery(channel=Channel.SMS, recipient="+61411111111", state=state, at=at(minutes), reference="aaaaaa-0")


async def test_an_alert_comes_back_as_it_was_saved_last(alerts: AlertStore) -> None:
    await alerts.save(alert())
    moved_on = replace(
        alert(), count=3, last_at=at(2), resolved_at=at(3), lasts=False, deliveries=(sms(1), replace(sms(2), says="x"))
    )
    await alerts.save(moved_on)
    assert list(await alerts.recent(5)) == [moved_on]


async def test_a_later_save_does_not_undo_that_somebody_took_note(alerts: AlertStore) -> None:
    await alerts.save(alert())
    assert await alerts.acknowledge("aaaaaa", by="ada", at=at(1))
    await alerts.save(replace(alert(), count=2))
    assert list(await alerts.acknowledged(["aaaaaa", "bbbbbb"])) == [("aaaaaa", "ada", at(1))]


async def test_the_first_who_takes_note_stays(alerts: AlertStore) -> None:
    await alerts.save(alert())
    await alerts.acknowledge("aaaaaa", by="ada", at=at(1))
    assert not await alerts.acknowledge("aaaaaa", by="bob", at=at(2))
    assert [each.acked_by for each in await alerts.recent(1)] == ["ada"]


async def test_an_alert_that_does_not_exist_cannot_be_taken_note_of(alerts: AlertStore) -> None:
    with pytest.raises(NotFound, match="nosuch"):
        await alerts.acknowledge("nosuch", by="ada", at=at(1))


async def test_what_waits_for_somebody_is_read_whatever_its_age(alerts: AlertStore) -> None:
    await alerts.save(alert("waits1"))
    await alerts.save(alert("oldone", severity=Severity.WARNING))
    await alerts.save(replace(alert("solved"), resolved_at=at(1)))
    await alerts.save(alert("newone", 60, Severity.INFO))
    assert [each.id for each in await alerts.since(at(30))] == ["waits1", "newone"]


async def test_text_messages_that_may_have_gone_out_are_counted(alerts: AlertStore) -> None:
    sent = [sms(1), sms(9), sms(9, DeliveryState.UNKNOWN), sms(9, DeliveryState.FAILED), sms(9, DeliveryState.SENDING)]
    telegram = replace(sms(9), channel=Channel.TELEGRAM)
    await alerts.save(replace(alert(), deliveries=(*sent, telegram)))
    assert await alerts.sms_since(at(5)) == 3


async def test_an_update_is_taken_once_and_never_an_older_one(alerts: AlertStore) -> None:
    assert await alerts.newest_update() == 0
    taken = [await alerts.take_update(each) for each in (7, 7, 6, 8)]
    assert (taken, await alerts.newest_update()) == ([True, False, False, True], 8)


async def test_the_desk_remembers(alerts: AlertStore) -> None:
    assert await alerts.state() == DeskState()
    state = DeskState(muted_until=at(5), daily_digest_on=date(2024, 5, 6), weekly_digest_on=date(2024, 5, 6))
    await alerts.save_state(state)
    assert await alerts.state() == state


async def test_a_kill_from_telegram_is_stored(databases: Databases) -> None:
    async with databases.pool() as pool:
        state = KillState(level=KillLevel.HALT, by="telegram 42", cause=KillCause.TELEGRAM, reason="", at=at(0))
        kills = PostgresStores(pool).kills
        assert await kills.set(state)
        assert await kills.current() == state


# --------------------------------------------------------------------------------------------------- pages and pruning


async def test_history_goes_on_after_the_last_alert_that_was_shown(alerts: AlertStore) -> None:
    for name, minutes in (("aaaaaa", 1), ("bbbbbb", 2), ("cccccc", 2), ("dddddd", 3)):
        await alerts.save(alert(name, minutes))

    first = await alerts.recent(2)
    second = await alerts.recent(2, older_than=first[-1].id)

    assert [each.id for each in first] == ["dddddd", "cccccc"]
    assert [each.id for each in second] == ["bbbbbb", "aaaaaa"]
    assert list(await alerts.recent(2, older_than="aaaaaa")) == []
    assert list(await alerts.recent(2, older_than="nosuch\x00")) == []


async def test_what_waits_comes_before_what_only_lasts_and_both_before_nothing_else(alerts: AlertStore) -> None:
    await alerts.save(alert("waits1", 1))
    await alerts.save(replace(alert("lasts1", 2, Severity.WARNING), lasts=True))
    await alerts.save(replace(alert("lasts2", 3, Severity.WARNING), lasts=True))
    await alerts.save(replace(alert("ended1", 4, Severity.WARNING), lasts=True, resolved_at=at(5)))
    await alerts.save(replace(alert("taken1", 6), acked_at=at(7), acked_by="ada"))
    await alerts.save(replace(alert("taken2", 0), acked_at=at(7), acked_by="ada", lasts=True))
    await alerts.save(alert("told01", 8, Severity.INFO))

    assert [each.id for each in await alerts.unsettled(9)] == ["waits1", "lasts2", "lasts1", "taken2"]
    assert [each.id for each in await alerts.unsettled(2)] == ["waits1", "lasts2"]


async def test_of_each_way_the_newest_success_and_the_newest_failure_are_known(alerts: AlertStore) -> None:
    telegram = replace(sms(9), channel=Channel.TELEGRAM, recipient="42")
    failed = replace(sms(3, DeliveryState.FAILED), says="INSUFFICIENT_CREDIT")
    await alerts.save(replace(alert("first1", 0), deliveries=(sms(1), sms(2), failed)))
    await alerts.save(replace(alert("second", 5), deliveries=(telegram, sms(6))))
    await alerts.save(replace(alert("tooold", -60), deliveries=(replace(telegram, at=at(60)),)))

    assert list(await alerts.last_deliveries(at(0))) == [failed, sms(6), telegram]
    assert list(await alerts.last_deliveries(at(30))) == []


async def test_old_alerts_are_forgotten_but_none_that_lasts_waits_or_was_taken_lately(alerts: AlertStore) -> None:
    await alerts.save(alert("waits1", 0))
    await alerts.save(replace(alert("lasts1", 0, Severity.WARNING), lasts=True))
    await alerts.save(replace(alert("taken1", 0), acked_at=at(50), acked_by="ada"))
    await alerts.save(replace(alert("solved", 0), resolved_at=at(50)))
    await alerts.save(replace(alert("again1", 0, Severity.INFO), last_at=at(30)))
    for name in ("old001", "old002", "old003"):
        await alerts.save(alert(name, 1, Severity.INFO))

    assert await alerts.forget(at(30), 2) == 2
    assert await alerts.forget(at(30), 9) == 1
    assert await alerts.forget(at(30), 9) == 0
    left = {each.id for each in await alerts.recent(9)}
    assert left == {"waits1", "lasts1", "taken1", "solved", "again1"}
