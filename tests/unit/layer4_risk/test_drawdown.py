from dataclasses import replace
from decimal import Decimal

from bot.clock import ManualClock
from bot.database.memory import MemoryStores
from bot.instruments import BINANCE, IG, OANDA, BrokerId, Currency
from bot.layer4_risk.drawdown import DrawdownWatch, restart_peak
from bot.layer4_risk.kill_switch import resume
from bot.models import AccountState, KillCause, KillLevel, KillState, PortfolioSnapshot
from tests.builders import START, at

RATIO = Decimal("0.15")


def account(equity: str, minutes: float, broker_id: BrokerId = OANDA) -> list[AccountState]:
    return [
        AccountState(
            broker_id=broker_id,
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
        await watch.observe(account(equity, minute), 0, at(minute), brokers=[OANDA])
    return stores, watch


class Portfolio:
    """Configured brokers that answer or not; each look is one of a process that has just started."""

    def __init__(self, *brokers: BrokerId) -> None:
        self.stores = MemoryStores()
        self.brokers = brokers
        self._minute = 0

    async def look(self, **equities: str) -> PortfolioSnapshot | None:
        """Those named have answered, with that equity; the others have not since the start."""
        self._minute += 1
        told = [each for name, equity in equities.items() for each in account(equity, self._minute, BrokerId(name))]
        return await watch_over(self.stores).observe(told, 0, at(self._minute), brokers=self.brokers)

    async def figures(self, **equities: str) -> tuple[str, str]:
        """Equity and peak after one look."""
        snapshot = await self.look(**equities)
        assert snapshot is not None
        return str(snapshot.equity), str(snapshot.peak)

    async def is_paused(self) -> bool:
        return (await self.stores.kills.current()).level is KillLevel.PAUSE


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
    await watch_over(stores).observe(account("10200", 5), 0, at(5), brokers=[OANDA])
    assert await stores.kills.active()


async def test_a_person_who_resumes_starts_a_new_peak_at_the_equity_of_now() -> None:
    stores, watch = await observed("10000", "8000")
    await resumed(stores)
    assert await stores.kills.active() == ()
    await watch.observe(account("6800.01", 3), 0, at(3), brokers=[OANDA])
    assert await stores.kills.active() == (), "15 % of 8000 are not lost yet"
    await watch.observe(account("6800", 4), 0, at(4), brokers=[OANDA])
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


# --------------------------------------------------------------------------------------------------- several accounts


async def test_one_that_is_silent_since_the_start_counts_at_its_last_known_value() -> None:
    portfolio = Portfolio(OANDA, IG)
    await portfolio.look(oanda="8000", ig="2000")
    assert await portfolio.figures(oanda="6500.01") == ("8500.01", "10000")
    assert not await portfolio.is_paused()
    assert await portfolio.figures(oanda="6400") == ("8400", "10000")
    assert await portfolio.is_paused()


async def test_the_last_known_value_outlives_any_number_of_starts_and_keeps_its_instant() -> None:
    portfolio = Portfolio(OANDA, IG)
    await portfolio.look(oanda="8000", ig="2000")
    for _ in range(3):
        await portfolio.look(oanda="8000")
    latest = await portfolio.stores.snapshots.latest()
    assert latest is not None
    assert list(latest.accounts) == account("8000", 4) + account("2000", 1, IG)


async def test_where_nobody_was_ever_known_nothing_is_stored() -> None:
    portfolio = Portfolio(OANDA, IG)
    assert await portfolio.look() is None
    assert await portfolio.stores.snapshots.latest() is None


async def test_one_that_was_never_known_does_not_keep_the_others_from_being_measured() -> None:
    portfolio = Portfolio(OANDA, IG)
    await portfolio.look(oanda="8000")
    await portfolio.look(oanda="6800")
    assert await portfolio.is_paused()


async def test_one_that_appears_brings_its_equity_into_the_peak_and_hides_no_loss() -> None:
    portfolio = Portfolio(OANDA, BINANCE, IG)
    await portfolio.look(oanda="8000")
    assert await portfolio.figures(oanda="7000", ig="2000", binance="500") == ("9500", "10500")
    assert not await portfolio.is_paused(), "a thousand of 10500 are lost"
    assert await portfolio.figures(oanda="6400", ig="2000", binance="500") == ("8900", "10500")
    assert await portfolio.is_paused()


async def test_one_that_appears_makes_no_loss_either_and_counts_once() -> None:
    portfolio = Portfolio(OANDA, IG)
    for _ in range(3):
        await portfolio.look(oanda="8000")
    assert await portfolio.figures(oanda="8000", ig="-50") == ("7950", "7950")
    assert await portfolio.figures(oanda="8000", ig="-50") == ("7950", "7950")
    assert await portfolio.figures(oanda="8000", ig="150") == ("8150", "8150")


async def test_one_that_is_not_configured_any_more_leaves_equity_and_peak_together() -> None:
    portfolio = Portfolio(OANDA, IG)
    await portfolio.look(oanda="8000", ig="6000")
    await portfolio.look(oanda="7500", ig="6000")
    portfolio.brokers = (OANDA,)
    assert await portfolio.figures(oanda="7500") == ("7500", "8000")
    assert not await portfolio.is_paused()
    portfolio.brokers = (OANDA, IG)
    assert await portfolio.figures(oanda="7500") == ("7500", "8000"), "what it was worth then is not counted"
    assert await portfolio.figures(oanda="7500", ig="9000") == ("16500", "17000")


async def test_a_new_peak_counts_the_silent_one_too() -> None:
    portfolio = Portfolio(OANDA, IG)
    await portfolio.look(oanda="8000", ig="2000")
    await portfolio.look(oanda="6000")
    await resumed(portfolio.stores)
    assert await portfolio.figures(oanda="6000") == ("8000", "8000")


async def test_a_snapshot_that_does_not_tell_accounts_keeps_its_peak_where_all_answer() -> None:
    portfolio = Portfolio(OANDA, IG)
    await portfolio.look(oanda="8000", ig="2000")
    await forget_accounts(portfolio)
    assert await portfolio.figures(oanda="7000", ig="2000") == ("9000", "10000")


async def test_a_snapshot_that_does_not_tell_accounts_keeps_the_share_of_the_fall_where_one_is_silent() -> None:
    portfolio = Portfolio(OANDA, IG)
    await portfolio.look(oanda="8000", ig="2000")
    await portfolio.look(oanda="7000", ig="2000")
    await forget_accounts(portfolio)
    assert await portfolio.figures(oanda="7200") == ("7200", "8000")
    assert await portfolio.figures(oanda="7200", ig="2000") == ("9200", "10000")


async def forget_accounts(portfolio: Portfolio) -> None:
    """The newest snapshot as the version before migration 0017 wrote it."""
    latest = await portfolio.stores.snapshots.latest()
    assert latest is not None
    await portfolio.stores.snapshots.append(replace(latest, accounts=()))
