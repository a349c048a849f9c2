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
