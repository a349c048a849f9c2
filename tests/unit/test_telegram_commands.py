"""What the commands of Telegram say and do, on real stores and a real kill switch."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from bot.alerts import Notice, Severity
from bot.clock import ManualClock
from bot.database.memory import MemoryStores
from bot.errors import UsageError
from bot.layer5_monitoring.alert_digest import Digests
from bot.layer5_monitoring.alert_spool import AlertSpool
from bot.layer5_monitoring.alerts import AlertDesk
from bot.layer5_monitoring.telegram_commands import CommandParts, telegram_commands
from bot.layer5_monitoring.telegram_desk import Command
from bot.models import DaemonStatus, KillCause, KillLevel, PositionId
from tests.contract.store_builders import T0, order, position

BY = "telegram 42"
KILLS = {"pause", "close", "flatten", "halt"}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(T0)


@pytest.fixture
def stores() -> MemoryStores:
    return MemoryStores()


@pytest.fixture
def desk(stores: MemoryStores, clock: ManualClock, tmp_path: Path) -> AlertDesk:
    return AlertDesk(stores.alerts, AlertSpool(tmp_path), clock, repeat_s=300)


@pytest.fixture
def closed() -> list[str]:
    return []


@pytest.fixture
def parts(stores: MemoryStores, desk: AlertDesk, clock: ManualClock, closed: list[str]) -> CommandParts:
    async def status() -> DaemonStatus:
        return DaemonStatus(
            mode="paper",
            url="",
            health="ok",
            equity=Decimal("10123.45"),
            balance=Decimal(10_000),
            currency="USD",
            open_positions=1,
            closed_positions=2,
            signals={"vetoed": 3},
            orders={},
            last_analysis=None,
            last_error="",
            jobs=(),
            started_at=clock.now(),
            now=clock.now(),
            market="",
            kill_level=KillLevel.NONE,
            kill="not pressed",
        )

    async def risk() -> str:
        return "kill switch: not pressed"

    async def close(position_id: PositionId) -> str:
        closed.append(position_id)
        return "closed"

    return CommandParts(
        desk=desk,
        stores=stores,
        clock=clock,
        status=status,
        reconciliations=list,
        risk=risk,
        log=lambda limit: ["10:00:00 WARNING feed: late"][:limit],
        press=stores.kills.set,
        close=close,
        balances=True,
    )


@pytest.fixture
def commands(parts: CommandParts) -> dict[str, Command]:
    return dict(telegram_commands(parts))


async def say(commands: dict[str, Command], name: str, *words: str) -> str:
    return await commands[name].act(words, BY)


async def stored(stores: MemoryStores, number: int, **changes: Any) -> None:
    await stores.orders.record_intent([order(f"o{number}", signal=None)], signal_id=None)
    await stores.orders.save_position(position(f"p{number}", entry=f"o{number}", **changes))


async def two_positions(stores: MemoryStores, symbols: Sequence[str] = ("EUR_USD", "EUR_USD")) -> None:
    for number, symbol in enumerate(symbols):
        await stored(stores, number, symbol=symbol)


async def test_every_command_can_be_asked_without_a_database_row_of_its_own(commands: dict[str, Command]) -> None:
    for name in ("status", "positions", "signals", "risk", "pnl", "brokers", "alerts", "logs"):
        assert await say(commands, name)


def test_only_reading_is_for_everybody(commands: dict[str, Command]) -> None:
    for_operators = {name for name, each in commands.items() if each.operator}
    assert for_operators == KILLS | {"ack", "mute", "resume"}


def test_what_closes_positions_or_halts_is_asked_about(commands: dict[str, Command]) -> None:
    assert {name for name, each in commands.items() if each.plan is not None} == {"close", "flatten", "halt"}


async def test_nothing_here_resumes(commands: dict[str, Command], stores: MemoryStores) -> None:
    await say(commands, "pause", "lunch")
    told = [await each.act(["all"], BY) for name, each in commands.items() if name not in KILLS | {"why", "mute"}]
    assert told
    held = await stores.kills.current()
    assert (held.level, held.cause, held.by, held.reason) == (KillLevel.PAUSE, KillCause.TELEGRAM, BY, "lunch")


@pytest.mark.parametrize(("name", "level"), [("flatten", KillLevel.FLATTEN), ("halt", KillLevel.HALT)])
async def test_a_kill_is_pressed_with_who_and_why(
    commands: dict[str, Command], stores: MemoryStores, name: str, level: KillLevel
) -> None:
    assert "holds already" not in await say(commands, name)
    assert "holds already" in await say(commands, name)
    assert (await stores.kills.current()).level is level


async def test_a_close_is_of_the_position_that_was_shown(
    commands: dict[str, Command], stores: MemoryStores, closed: list[str]
) -> None:
    await two_positions(stores, ("EUR_USD", "USD_JPY"))
    assert commands["close"].plan is not None
    plan = await commands["close"].plan(["USD_JPY"])
    assert (plan.words, "USD_JPY" in plan.says) == (("p1",), True)
    await say(commands, "close", *plan.words)
    assert closed == ["p1"]


@pytest.mark.parametrize(
    ("words", "told"), [(("EUR_USD",), "p0, p1"), (("GBP_USD",), "/positions"), ((), "/positions")]
)
async def test_a_close_that_names_no_single_position_is_not_asked_about(
    commands: dict[str, Command], stores: MemoryStores, words: tuple[str, ...], told: str
) -> None:
    await two_positions(stores)
    assert commands["close"].plan is not None
    with pytest.raises(UsageError, match=told):
        await commands["close"].plan(words)


async def test_amounts_can_be_hidden(parts: CommandParts, stores: MemoryStores) -> None:
    await two_positions(stores)
    hidden = dict(telegram_commands(replace(parts, balances=False)))
    assert "10123.45" in await say(dict(telegram_commands(parts)), "status")
    assert "10123.45" not in await say(hidden, "status")


async def test_ack_takes_note_of_one_alert(commands: dict[str, Command], desk: AlertDesk) -> None:
    desk.notify(Notice(key="k", severity=Severity.CRITICAL, title="naked"))
    (alert,) = desk.alerts()
    assert f"{alert.id} critical (waits for /ack): naked" in await say(commands, "alerts")
    await say(commands, "ack", alert.id)
    assert desk.alerts()[0].acked_by == BY


@pytest.mark.parametrize("words", [(), ("-5",), ("forever",), ("721",)])
async def test_mute_takes_minutes_within_its_bounds(commands: dict[str, Command], words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="from 0 to 720"):
        await say(commands, "mute", *words)


async def test_a_mute_holds_over_a_restart(
    commands: dict[str, Command], stores: MemoryStores, clock: ManualClock, tmp_path: Path
) -> None:
    await say(commands, "mute", "30")
    restarted = AlertDesk(stores.alerts, AlertSpool(tmp_path), clock, repeat_s=300)
    await restarted.load()
    assert restarted.state.muted_until == clock.now() + timedelta(minutes=30)


# ------------------------------------------------------------------------------------------------------------- digests


def digests_of(desk: AlertDesk, stores: MemoryStores, clock: ManualClock, *, weekday: int = 0) -> Digests:
    return Digests(desk, stores, clock, hour=9, weekday=weekday, zone=ZoneInfo("UTC"), currency="USD")


async def test_a_digest_comes_once_a_day_at_its_hour_also_over_a_restart(
    desk: AlertDesk, stores: MemoryStores, clock: ManualClock, tmp_path: Path
) -> None:
    digests = digests_of(desk, stores, clock)
    await digests.turn()  # T0 is at 07:08
    assert desk.alerts() == ()
    clock.advance(2 * 3600)
    await digests.turn()
    await digests.turn()
    assert [each.title.split(":")[0] for each in desk.alerts()] == ["daily digest 2024-05-06"]
    restarted = AlertDesk(stores.alerts, AlertSpool(tmp_path), clock, repeat_s=300)
    await restarted.load()
    await digests_of(restarted, stores, clock).turn()
    assert restarted.alerts() == ()
    clock.advance(24 * 3600)
    await digests.turn()
    assert len(desk.alerts()) == 2


async def test_a_weekly_digest_comes_on_its_day(desk: AlertDesk, stores: MemoryStores, clock: ManualClock) -> None:
    clock.advance(2 * 3600)  # a Monday
    await digests_of(desk, stores, clock, weekday=1).turn()
    assert [each.title.split(" ")[0] for each in desk.alerts()] == ["daily", "weekly"]


async def test_a_digest_sums_what_was_closed_and_names_what_waits(
    desk: AlertDesk, stores: MemoryStores, clock: ManualClock
) -> None:
    desk.notify(Notice(key="k", severity=Severity.CRITICAL, title="naked"))
    desk.alerts()
    await desk.store()
    clock.advance(2 * 3600)
    done = {"closed_at": clock.now(), "quantity": Decimal(0), "exit_reason": "STOP"}
    await stored(stores, 0, realised=Decimal(7), fees=Decimal(2), **done)
    await digests_of(desk, stores, clock).turn()
    digest = desk.alerts()[-1]
    assert "+5.00 USD from 1 closed positions (1 won), 0 open" in digest.title
    assert "waits for you: naked" in digest.body
