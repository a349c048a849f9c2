"""From a press to a flat book: heard at once, never given up, and only while somebody wants it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from bot.clock import ManualClock
from bot.errors import DatabaseUnavailable
from bot.kill_watch import FILE_EVERY_S, LOOK_EVERY_S, KillWatch
from bot.layer3_execution.flatten import Flattener
from bot.layer4_risk.kill_file import KillFile
from bot.layer4_risk.kill_switch import KillSwitch, resume
from bot.models import (
    ClientOrderId,
    KillCause,
    KillLevel,
    KillState,
    OrderKind,
    OrderState,
    PositionId,
    SignalId,
    TaskId,
    leg_of,
)
from tests.builders import START, approved_order
from tests.fakes.awkward_broker import Fault
from tests.unit.layer3_execution.desk import BROKER, Desk

L = KillLevel


class Line:
    """News of the kill switch that the test passes on, or that breaks."""

    def __init__(self) -> None:
        self.opened = 0
        self.tell: Callable[[], None] = lambda: None
        self.cut = asyncio.Event()

    async def listen(self, changed: Callable[[], None]) -> None:
        self.opened += 1
        self.tell = changed
        changed()
        await self.cut.wait()
        self.cut.clear()
        raise DatabaseUnavailable("the connection was lost")


class Watchtower:
    """A desk, a switch with a file, and the watch over both; time stands still unless the test moves it."""

    def __init__(self, directory: Path) -> None:
        self.desk = Desk(clock=ManualClock(START))
        self.clock = self.desk.clock
        self.file = KillFile(directory)
        self.problems: list[str] = []
        self.facts: list[Mapping[str, object]] = []
        self.settled = 0
        self.line = Line()
        self.switch = KillSwitch(self.desk.stores.kills, clock=self.clock, record=self.record, file=self.file)
        flattener = Flattener(
            book=self.desk.book,
            engine=self.desk.engine,
            tracker=self.desk.tracker,
            broker_of=lambda _: self.desk.broker,
            record=self.record,
        )
        self.watch = KillWatch(
            switch=self.switch,
            flattener=flattener,
            news=self.line,
            settle=self.settle,
            clock=self.clock,
            record=self.record,
            on_problem=self.problems.append,
        )

    async def settle(self, broker_id: object) -> None:
        self.settled += 1
        await self.desk.reconciler.run(BROKER)

    async def record(self, kind: str, task_id: object, data: Mapping[str, object]) -> None:
        self.facts.append({"kind": kind, **data})

    async def others_press(self, level: KillLevel) -> None:
        """By another process: only the row tells."""
        await self.desk.stores.kills.set(state(level))

    async def settled_loop(self) -> None:
        """Let everything run that needs no time to pass."""
        await self.clock.run_for(0)

    async def is_flat(self) -> bool:
        return await self.desk.at_venue() is None and self.desk.book.positions() == ()


def state(level: KillLevel) -> KillState:
    return KillState(level=level, by="ada", cause=KillCause.COMMAND, reason="", at=START)


async def held_beside_a_resting_entry(tower: Watchtower) -> None:
    await tower.desk.bought()
    name = ClientOrderId(f"TBd{7:016X}E00")
    await tower.desk.bought(
        client_order_id=name,
        stop_order_id=leg_of(name, "S0"),
        position_id=PositionId("position-7"),
        signal_id=SignalId("signal-7"),
        task_id=TaskId("task-7"),
        kind=OrderKind.LIMIT,
        limit_price=approved_order().decided_price - 1,
    )


@asynccontextmanager
async def started(tower: Watchtower) -> AsyncIterator[Watchtower]:
    await tower.watch.start()
    await tower.settled_loop()
    try:
        yield tower
    finally:
        await tower.watch.stop()


@pytest.fixture
def tower(tmp_path: Path) -> Watchtower:
    return Watchtower(tmp_path)


async def test_a_flatten_of_another_process_closes_everything_at_its_word_without_a_second_passing(
    tower: Watchtower,
) -> None:
    await tower.desk.bought()
    async with started(tower):
        await tower.others_press(L.FLATTEN)
        tower.line.tell()
        await tower.settled_loop()
        assert await tower.is_flat()
        assert tower.clock.now() == START
    assert [each["what"] for each in tower.facts if "what" in each] == ["done"]


async def test_without_the_word_the_look_of_each_second_finds_it(tower: Watchtower) -> None:
    await tower.desk.bought()
    async with started(tower):
        await tower.others_press(L.FLATTEN)
        await tower.clock.run_for(LOOK_EVERY_S)
        assert await tower.is_flat()


async def test_the_file_closes_everything_within_a_tenth_of_a_second(tower: Watchtower) -> None:
    await tower.desk.bought()
    async with started(tower):
        tower.file.write(L.FLATTEN)
        await tower.clock.run_for(FILE_EVERY_S)
        assert await tower.is_flat()
        assert (await tower.desk.stores.kills.current()).cause is KillCause.FILE


async def test_a_press_of_this_process_acts_at_once(tower: Watchtower) -> None:
    await tower.desk.bought()
    async with started(tower):
        await tower.switch.press(state(L.FLATTEN))
        await tower.settled_loop()
        assert await tower.is_flat()


async def test_what_was_latched_before_the_start_is_done_at_the_start(tower: Watchtower) -> None:
    await tower.desk.bought()
    await tower.others_press(L.FLATTEN)
    async with started(tower):
        assert await tower.is_flat()


@pytest.mark.parametrize("level", [L.PAUSE, L.HALT])
async def test_pause_and_halt_leave_positions_and_their_stops_alone(tower: Watchtower, level: KillLevel) -> None:
    await tower.desk.bought()
    async with started(tower):
        await tower.others_press(level)
        await tower.clock.run_for(30)
        resting = await tower.desk.at_venue()
        assert resting is not None
        assert resting.stop_price is not None


@pytest.mark.parametrize(("level", "left"), [(L.PAUSE, OrderState.WORKING), (L.HALT, OrderState.CANCELED)])
async def test_halt_takes_resting_entries_back_and_pause_does_not(
    tower: Watchtower, level: KillLevel, left: OrderState
) -> None:
    entry = await tower.desk.bought(kind=OrderKind.LIMIT, limit_price=approved_order().decided_price - 1)
    async with started(tower):
        await tower.others_press(level)
        await tower.clock.run_for(LOOK_EVERY_S)
        assert (await tower.desk.order(entry.client_order_id)).state is left


async def test_a_venue_that_refuses_is_asked_after_1_2_5_and_10_seconds_and_never_given_up(tower: Watchtower) -> None:
    await tower.desk.bought()
    tower.desk.broker.place_faults.extend([Fault.UNREACHABLE] * 8)
    async with started(tower):
        await tower.others_press(L.FLATTEN)
        await tower.clock.run_for(60)
        pauses = [text.rpartition("again in ")[2] for text in tower.problems]
        assert pauses[:6] == ["1 s", "2 s", "5 s", "10 s", "10 s", "10 s"]
        await tower.clock.run_for(60)
        assert await tower.is_flat()
    assert "incident" in [each["kind"] for each in tower.facts]


async def test_a_close_without_an_answer_is_settled_with_the_venue_before_the_next_turn(tower: Watchtower) -> None:
    await tower.desk.bought()
    tower.desk.broker.place_faults.append(Fault.REPLY_LOST)
    async with started(tower):
        await tower.others_press(L.FLATTEN)
        tower.line.tell()
        await tower.settled_loop()
        assert tower.settled == 1
        assert await tower.is_flat()


async def test_a_position_that_appears_after_it_was_flat_is_closed_too(tower: Watchtower) -> None:
    async with started(tower):
        tower.desk.broker.hold_fills = True
        await tower.desk.bought()
        await tower.others_press(L.FLATTEN)
        await tower.clock.run_for(LOOK_EVERY_S)
        tower.desk.broker.hold_fills = False
        await tower.desk.tracker.collect(BROKER)
        await tower.clock.run_for(20)
        assert await tower.is_flat()


async def test_a_halt_after_a_flatten_does_not_stop_the_closing(tower: Watchtower) -> None:
    await tower.desk.bought()
    tower.desk.broker.place_faults.append(Fault.UNREACHABLE)
    async with started(tower):
        await tower.others_press(L.FLATTEN)
        tower.line.tell()
        await tower.settled_loop()
        await tower.others_press(L.HALT)
        await tower.clock.run_for(10)
        assert await tower.is_flat()


async def test_a_resume_ends_the_closing(tower: Watchtower) -> None:
    await tower.desk.bought()
    tower.desk.broker.place_faults.extend([Fault.UNREACHABLE] * 2)
    async with started(tower):
        await tower.others_press(L.FLATTEN)
        tower.line.tell()
        await tower.settled_loop()
        stores = tower.desk.stores
        await resume(stores.kills, stores.snapshots, tower.file, up_to=L.HALT, by="ada", reason="", clock=tower.clock)
        await tower.clock.run_for(60)
        assert await tower.desk.at_venue() is not None


async def test_a_line_that_is_cut_is_opened_again_and_an_adapter_that_breaks_is_settled_with_the_venue(
    tower: Watchtower,
) -> None:
    await tower.desk.bought()
    tower.desk.broker.place_faults.append(Fault.BROKEN)
    async with started(tower):
        tower.line.cut.set()
        await tower.clock.run_for(2)
        assert tower.line.opened == 2
        await tower.others_press(L.FLATTEN)
        tower.line.tell()
        await tower.settled_loop()
        assert tower.settled == 1
        assert await tower.is_flat()


async def test_a_flatten_waits_for_no_cancel_that_a_halt_before_it_waits_for(tower: Watchtower) -> None:
    await held_beside_a_resting_entry(tower)
    tower.desk.broker.cancel_faults.append(Fault.SILENT)
    async with started(tower):
        await tower.others_press(L.HALT)
        tower.line.tell()
        await tower.settled_loop()

        await tower.others_press(L.FLATTEN)
        tower.line.tell()
        await tower.settled_loop()

        assert await tower.desk.at_venue() is None
        assert tower.clock.now() == START


async def test_a_close_that_was_refused_waits_for_no_cancel_that_hangs(tower: Watchtower) -> None:
    await held_beside_a_resting_entry(tower)
    tower.desk.broker.cancel_faults.append(Fault.SILENT)
    tower.desk.broker.place_faults.append(Fault.UNREACHABLE)
    async with started(tower):
        await tower.others_press(L.FLATTEN)
        tower.line.tell()
        await tower.clock.run_for(1)

        assert await tower.desk.at_venue() is None
        await tower.clock.run_for(30)
        assert await tower.is_flat()
    assert len([each for each in tower.facts if each.get("what") == "done"]) == 1


async def test_it_stays_flat_and_quiet_once_it_is_done(tower: Watchtower) -> None:
    await tower.desk.bought()
    async with started(tower):
        await tower.others_press(L.FLATTEN)
        await tower.clock.run_for(60)
        assert len([each for each in tower.facts if each.get("what") == "done"]) == 1
        assert len(tower.desk.broker.placed) == 2
    assert replace(state(L.FLATTEN)) in await tower.desk.stores.kills.active()
