"""The session day and its loss limit, at the edges of days."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from bot.clock import ManualClock
from bot.database.memory import MemoryStores
from bot.instruments import BINANCE, OANDA, BrokerId, Currency
from bot.layer4_risk.daily_loss import DailyLossWatch, loss_ratio
from bot.layer4_risk.kill_switch import KillSwitch
from bot.layer4_risk.session_day import SessionDay
from bot.models import AccountState, KillCause, KillLevel

DAY = datetime(2024, 3, 5, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)


def account(balance: str = "9700", broker_id: BrokerId = OANDA) -> AccountState:
    money = Decimal(balance)
    return AccountState(
        broker_id=broker_id, currency=Currency("USD"), balance=money, equity=money, margin_used=Decimal(0), at=DAY
    )


class Books:
    """A watch whose realised result is what the test says, since whatever instant it is asked about."""

    def __init__(self, *, start_hour: int = 0, zone: str = "UTC") -> None:
        self.stores = MemoryStores()
        self.results: list[tuple[datetime, Decimal]] = []
        self.asked_since: list[datetime] = []
        self.day = SessionDay(start_hour=start_hour, zone=ZoneInfo(zone))
        self.restart()

    def restart(self) -> None:
        """A new process over the same rows."""
        self.switch = KillSwitch(self.stores.kills, clock=ManualClock(DAY), record=self.record)
        self.watch = DailyLossWatch(self.switch, self.realised_since, limit_ratio=Decimal("0.03"), day=self.day)

    async def realised_since(self, broker_id: BrokerId, since: datetime) -> Decimal:
        self.asked_since.append(since)
        ours = (result for at, result in self.results if at >= since)
        return sum(ours, Decimal(0)) if broker_id == OANDA else Decimal(0)

    async def record(self, kind: str, task_id: object, data: Mapping[str, object]) -> None:
        """Not what is tested here."""

    async def level_at(self, now: datetime, broker_id: BrokerId = OANDA) -> KillLevel:
        """What holds at a broker after one look at `now`."""
        await self.switch.look()
        await self.watch.observe(account(broker_id=broker_id), now)
        return (await self.stores.kills.current(broker_id)).level


def test_a_loss_is_a_share_of_the_balance_before_it_and_a_gain_is_none() -> None:
    assert loss_ratio(account("9700"), Decimal(-300)) == Decimal("0.03")
    assert loss_ratio(account("9700"), Decimal(300)) == 0
    assert loss_ratio(account("0"), Decimal(0)) == 0


async def test_at_the_limit_entries_go_on_and_a_cent_beyond_they_are_paused_at_that_broker_only() -> None:
    books = Books()
    books.results = [(DAY, Decimal(-300))]
    assert await books.level_at(DAY + timedelta(hours=9)) is KillLevel.NONE
    books.results = [(DAY, Decimal("-300.01"))]
    assert await books.level_at(DAY + timedelta(hours=9)) is KillLevel.PAUSE
    assert await books.level_at(DAY + timedelta(hours=9), BINANCE) is KillLevel.NONE
    held = await books.stores.kills.current()
    assert (held.cause, held.broker_id) == (KillCause.DAILY_LOSS, OANDA)
    assert "entries go on at 2024-03-06 00:00 UTC" in held.reason


@pytest.mark.parametrize("start_hour", [0, 22])
async def test_the_pause_lasts_to_the_last_moment_of_the_session_day_and_no_longer(start_hour: int) -> None:
    books = Books(start_hour=start_hour)
    begin = DAY + timedelta(hours=start_hour)
    books.results = [(begin + timedelta(hours=1), Decimal(-500))]
    assert await books.level_at(begin + timedelta(hours=2)) is KillLevel.PAUSE
    assert await books.level_at(begin + timedelta(days=1) - MOMENT) is KillLevel.PAUSE
    assert await books.level_at(begin + timedelta(days=1)) is KillLevel.NONE
    assert books.asked_since[-1] == begin + timedelta(days=1)


async def test_midnight_of_the_calendar_does_not_end_a_session_day_of_another_hour() -> None:
    books = Books(start_hour=22)
    books.results = [(DAY + timedelta(hours=23), Decimal(-500))]
    assert await books.level_at(DAY + timedelta(hours=23, minutes=30)) is KillLevel.PAUSE
    assert await books.level_at(DAY + timedelta(days=1)) is KillLevel.PAUSE


@pytest.mark.parametrize(
    ("lost_at", "ends_at"),
    [
        (datetime(2024, 3, 9, 23, tzinfo=UTC), datetime(2024, 3, 10, 21, tzinfo=UTC)),  # 23 h: clocks go forward
        (datetime(2024, 11, 2, 22, tzinfo=UTC), datetime(2024, 11, 3, 22, tzinfo=UTC)),  # 25 h: clocks go back
    ],
)
async def test_the_pause_of_a_new_york_day_ends_at_its_own_five_oclock_when_clocks_turn(
    lost_at: datetime, ends_at: datetime
) -> None:
    books = Books(start_hour=17, zone="America/New_York")
    books.results = [(lost_at, Decimal(-500))]
    assert await books.level_at(lost_at) is KillLevel.PAUSE
    assert await books.level_at(ends_at - MOMENT) is KillLevel.PAUSE
    assert await books.level_at(ends_at) is KillLevel.NONE


async def test_a_clock_that_is_put_forward_within_the_day_lifts_nothing() -> None:
    books = Books()
    books.results = [(DAY + timedelta(hours=1), Decimal(-500))]
    await books.level_at(DAY + timedelta(hours=1))
    books.restart()
    assert await books.level_at(DAY + timedelta(hours=23)) is KillLevel.PAUSE


async def test_a_gain_later_in_the_day_does_not_lift_it() -> None:
    books = Books()
    books.results = [(DAY, Decimal(-500))]
    await books.level_at(DAY + timedelta(hours=1))
    books.results.append((DAY, Decimal(2_000)))
    assert await books.level_at(DAY + timedelta(hours=2)) is KillLevel.PAUSE


async def test_it_survives_a_restart_and_a_clock_that_is_put_back() -> None:
    books = Books()
    books.results = [(DAY + timedelta(hours=1), Decimal(-500))]
    await books.level_at(DAY + timedelta(hours=1))
    books.restart()
    assert await books.level_at(DAY - timedelta(hours=1)) is KillLevel.PAUSE


async def test_the_next_day_is_judged_by_its_own_loss() -> None:
    books = Books()
    books.results = [(DAY, Decimal(-500)), (DAY + timedelta(days=1), Decimal(-400))]
    await books.level_at(DAY)
    assert await books.level_at(DAY + timedelta(days=1, hours=1)) is KillLevel.PAUSE
    assert [each.level for each in await books.stores.kills.history(9)] == [
        KillLevel.PAUSE,
        KillLevel.NONE,
        KillLevel.PAUSE,
    ]


async def test_a_persons_pause_is_not_lifted_by_the_next_day() -> None:
    books = Books()
    books.results = [(DAY, Decimal(-500))]
    await books.level_at(DAY)
    held = await books.stores.kills.current()
    await books.stores.kills.set(
        type(held)(level=KillLevel.PAUSE, by="ada", cause=KillCause.COMMAND, reason="", at=DAY)
    )
    assert await books.level_at(DAY + timedelta(days=1)) is KillLevel.PAUSE
