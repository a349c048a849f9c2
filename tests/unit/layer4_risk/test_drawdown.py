from decimal import Decimal

from bot.clock import ManualClock
from bot.database.memory import MemoryStores
from bot.instruments import BrokerId, Currency
from bot.layer4_risk.drawdown import DrawdownWatch, restart_peak
from bot.layer4_risk.kill_switch import resume
from bot.models import AccountState, KillCause, KillLevel, KillState
from tests.builders import START, at

RATIO = Decimal("0.15")


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


def watch_over(stores: MemoryStores) -> DrawdownWatch:
    return DrawdownWatch(stores.snapshots, stores.kills.set, max_drawdown_ratio=RATIO)


async def observed(*equities: str) -> tuple[MemoryStores, DrawdownWatch]:
    stores = MemoryStores()
    watch = watch_over(stores)
    for minute, equity in enumerate(equities):
        await watch.observe(account(equity, minute), 0, at(minute))
    return stores, watch


async def resumed(stores: MemoryStores, up_to: KillLevel = KillLevel.PAUSE) -> None:
    await resume(stores.kills, stores.snapshots, None, up_to=up_to, by="ada", reason="", clock=ManualClock(START))


async def test_fifteen_percent_below_the_peak_pauses_and_a_cent_less_does_not() -> None:
    stores, _ = await observed("10000", "12000", "10200.01")
    assert await stores.kills.active() == ()
    stores, _ = await observed("10000", "12000", "10200")
    held = await stores.kills.current()
    assert (held.level, held.cause, held.by) == (KillLevel.PAUSE, KillCause.DRAWDOWN, "daemon")
    assert "15.0% below its peak 12000.00" in held.reason


async def test_a_recovery_does_not_lift_it() -> None:
    stores, _ = await observed("10000", "8000", "13000")
    assert await stores.kills.active()


async def test_a_fall_that_goes_on_is_pressed_once() -> None:
    stores, _ = await observed("10000", "8000", "7000", "6000")
    assert len(await stores.kills.history(9)) == 1


async def test_a_restart_remembers_the_peak() -> None:
    stores, _ = await observed("10000", "12000")
    await watch_over(stores).observe(account("10200", 5), 0, at(5))
    assert await stores.kills.active()


async def test_a_person_who_resumes_starts_a_new_peak_at_the_equity_of_now() -> None:
    stores, watch = await observed("10000", "8000")
    await resumed(stores)
    assert await stores.kills.active() == ()
    await watch.observe(account("6800.01", 3), 0, at(3))
    assert await stores.kills.active() == (), "15 % of 8000 are not lost yet"
    await watch.observe(account("6800", 4), 0, at(4))
    assert (await stores.kills.current()).cause is KillCause.DRAWDOWN


async def test_resuming_from_something_else_keeps_the_peak() -> None:
    stores, _ = await observed("10000", "9000")
    pressed = KillState(level=KillLevel.PAUSE, by="ada", cause=KillCause.COMMAND, reason="", at=START)
    await stores.kills.set(pressed)
    await resumed(stores)
    latest = await stores.snapshots.latest()
    assert latest is not None
    assert latest.peak == 10_000


async def test_a_resume_that_is_not_allowed_keeps_the_peak_too() -> None:
    stores, _ = await observed("10000", "8000")
    await stores.kills.set(KillState(level=KillLevel.HALT, by="ada", cause=KillCause.PAGE, reason="", at=START))
    await resumed(stores, up_to=KillLevel.PAUSE)
    latest = await stores.snapshots.latest()
    assert latest is not None
    assert latest.peak == 10_000
    assert len(await stores.kills.active()) == 2


async def test_restarting_the_peak_before_anything_was_recorded_does_nothing() -> None:
    stores = MemoryStores()
    await restart_peak(stores.snapshots)
    assert await stores.snapshots.latest() is None
