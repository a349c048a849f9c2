from decimal import Decimal

from bot.database.memory import MemoryStores
from bot.instruments import BrokerId, Currency
from bot.layer4_risk.drawdown import DrawdownWatch, clear_drawdown
from bot.models import AccountState
from tests.builders import at


def account(equity: str, minutes: float) -> list[AccountState]:
    return [
        AccountState(
            broker_id=BrokerId("oanda"),
            currency=Currency("USD"),
            balance=Decimal(equity),
            equity=Decimal(equity),
            margin_used=Decimal(0),
            at=at(minutes),
        )
    ]


async def observed(*equities: str) -> tuple[MemoryStores, DrawdownWatch]:
    stores = MemoryStores()
    watch = DrawdownWatch(stores.snapshots, max_drawdown_ratio=Decimal("0.15"))
    for minute, equity in enumerate(equities):
        await watch.observe(account(equity, minute), 0, at(minute))
    return stores, watch


async def test_fifteen_percent_below_the_peak_latches_and_a_cent_less_does_not() -> None:
    stores, _ = await observed("10000", "12000", "10200.01")
    assert await stores.snapshots.latched_stop() == ""
    stores, _ = await observed("10000", "12000", "10200")
    assert "15.0% below its peak 12000.00" in await stores.snapshots.latched_stop()


async def test_a_recovery_does_not_unlatch() -> None:
    stores, _ = await observed("10000", "8000", "13000")
    assert await stores.snapshots.latched_stop()


async def test_a_restart_remembers_the_peak() -> None:
    stores, _ = await observed("10000", "12000")
    restarted = DrawdownWatch(stores.snapshots, max_drawdown_ratio=Decimal("0.15"))
    await restarted.observe(account("10200", 5), 0, at(5))
    assert await stores.snapshots.latched_stop()


async def test_clearing_starts_a_new_peak_so_that_it_does_not_latch_again_at_once() -> None:
    stores, watch = await observed("10000", "8000")
    assert await clear_drawdown(stores.snapshots, by="a person", at=at(2))
    await watch.observe(account("7990", 3), 0, at(3))
    assert await stores.snapshots.latched_stop() == ""
    await watch.observe(account("6800", 4), 0, at(4))
    assert await stores.snapshots.latched_stop()


async def test_clearing_what_is_not_latched_changes_nothing() -> None:
    stores, _ = await observed("10000", "9000")
    assert await clear_drawdown(stores.snapshots, by="a person", at=at(2)) == ""
    latest = await stores.snapshots.latest()
    assert latest is not None
    assert latest.peak == 10_000
