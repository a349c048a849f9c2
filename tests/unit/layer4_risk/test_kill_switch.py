"""What is known to be pressed, with a database that comes and goes."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from bot.clock import ManualClock
from bot.database.memory import MemoryKills, MemoryStores
from bot.errors import CommitUnknown, DatabaseUnavailable
from bot.instruments import BINANCE, OANDA
from bot.layer4_risk.kill_file import KillFile
from bot.layer4_risk.kill_switch import KillSwitch, resume
from bot.models import KillCause, KillLevel, KillState
from tests.builders import START, at

L, C = KillLevel, KillCause


class ShakyKills(MemoryKills):
    """Rows that survive, behind a database that does not always answer."""

    def __init__(self) -> None:
        super().__init__()
        self.is_down = False
        self.loses_answers = False
        self.reading: asyncio.Event | None = None

    async def active(self) -> Sequence[KillState]:
        """Answered late while `reading` is not set: with what was there when it was asked."""
        self._check()
        rows, reading = await super().active(), self.reading
        if reading is not None:
            self.reading = None
            await reading.wait()
        return rows

    async def set(self, state: KillState) -> bool:
        self._check()
        stored = await super().set(state)
        if self.loses_answers:
            raise CommitUnknown("the connection was lost during a commit")
        return stored

    def _check(self) -> None:
        if self.is_down:
            raise DatabaseUnavailable("the database did not answer")


class HungKills(MemoryKills):
    """Rows behind a database that takes what it is asked, and does not answer until it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may = asyncio.Event()

    async def active(self) -> Sequence[KillState]:
        await self.may.wait()
        return await super().active()

    async def set(self, state: KillState) -> bool:
        await self.may.wait()
        return await super().set(state)


class Room:
    """A switch over shaky rows and a real file."""

    def __init__(self, directory: Path) -> None:
        self.kills = ShakyKills()
        self.file = KillFile(directory)
        self.clock = ManualClock(START)
        self.told: list[Mapping[str, object]] = []
        self.wakes = 0
        self.build()

    def build(self) -> None:
        """A new process over the same rows and file."""
        self.switch = KillSwitch(self.kills, clock=self.clock, record=self.record, file=self.file)
        self.switch.pressed = self.woken

    def woken(self) -> None:
        self.wakes += 1

    async def record(self, kind: str, task_id: object, data: Mapping[str, object]) -> None:
        assert kind == "kill"
        self.told.append(data)


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


def press(level: KillLevel, cause: KillCause = C.PAGE) -> KillState:
    return KillState(level=level, by="ada", cause=cause, reason="hurry", at=at(1))


@pytest.mark.parametrize("level", [L.PAUSE, L.FLATTEN, L.HALT])
@pytest.mark.parametrize("way", ["command", "page", "file"])
async def test_each_level_by_each_way_refuses_entries_and_survives_a_restart(
    room: Room, level: KillLevel, way: str
) -> None:
    # Arrange
    assert await room.switch.refusal(OANDA) == ""

    # Act
    if way == "file":
        room.file.path.write_text(level.value)
    elif way == "page":
        await room.switch.press(press(level))
    else:
        await room.kills.set(press(level, C.COMMAND))  # another process

    # Assert
    assert level.value.upper() in await room.switch.refusal(OANDA)
    await room.switch.look()
    assert room.switch.wants_flat() is (level is L.FLATTEN)
    room.build()
    assert f"({way})" in await room.switch.refusal(BINANCE)


async def test_removing_the_file_does_not_resume(room: Room) -> None:
    room.file.write(L.PAUSE)
    await room.switch.look()
    room.file.remove()
    room.build()
    assert "PAUSE" in await room.switch.refusal(OANDA)


async def test_the_file_is_stored_once_however_often_it_is_looked_at(room: Room) -> None:
    room.file.write(L.HALT)
    for _ in range(3):
        await room.switch.look()
        await room.switch.refusal(OANDA)
    assert len(await room.kills.history(9)) == 1


async def test_the_file_works_while_the_database_is_down_and_is_stored_when_it_is_back(room: Room) -> None:
    room.kills.is_down = True
    room.file.write(L.FLATTEN)
    assert "FLATTEN" in await room.switch.refusal(OANDA)
    await room.switch.look()
    assert room.switch.wants_flat()
    room.file.remove()
    assert "FLATTEN" in await room.switch.refusal(OANDA), "seen is pressed"
    room.kills.is_down = False
    await room.switch.look()
    assert [each.cause for each in await room.kills.active()] == [C.FILE]


async def test_a_press_while_the_database_is_down_holds_at_once_and_in_the_file_for_a_restart(room: Room) -> None:
    # Arrange
    room.kills.is_down = True

    # Act
    assert await room.switch.press(press(L.HALT))
    assert not await room.switch.press(press(L.HALT)), "a second press is no second one"

    # Assert
    assert room.switch.known().level is L.HALT
    room.build()
    assert "HALT" in await room.switch.refusal(OANDA)
    room.kills.is_down = False
    await room.switch.look()
    assert (await room.kills.current()).level is L.HALT


async def test_what_cannot_be_read_is_a_no(room: Room) -> None:
    room.kills.is_down = True
    assert "cannot be read" in await room.switch.refusal(OANDA)
    with pytest.raises(DatabaseUnavailable):
        await room.switch.state()


async def test_what_was_pressed_holds_on_while_the_database_is_down(room: Room) -> None:
    await room.switch.press(press(L.PAUSE))
    room.kills.is_down = True
    assert (await room.switch.state()).level is L.PAUSE
    assert "PAUSE" in await room.switch.refusal(OANDA)


async def test_a_press_whose_answer_was_lost_holds_and_is_one_row(room: Room) -> None:
    room.kills.loses_answers = True
    await room.switch.press(press(L.PAUSE))
    room.kills.loses_answers = False
    await room.switch.look()
    assert room.switch.known().level is L.PAUSE
    assert [each.cause for each in await room.kills.history(9)][-1] is C.PAGE


async def test_an_answer_that_is_older_than_the_press_lets_no_entry_through(room: Room) -> None:
    # Arrange: the question is asked before the press, and answered after it
    room.kills.reading = answered = asyncio.Event()
    asking = asyncio.create_task(room.switch.refusal(OANDA))
    await room.clock.sleep(0)

    # Act
    await room.switch.press(press(L.PAUSE))
    answered.set()

    # Assert
    assert "PAUSE" in await asking


async def test_each_change_is_told_once_with_who_and_why_and_wakes_whoever_acts(room: Room) -> None:
    await room.switch.press(press(L.PAUSE))
    await room.switch.look()
    await resume(room.kills, MemoryStores().snapshots, None, up_to=L.HALT, by="eve", reason="", clock=room.clock)
    await room.switch.look()
    assert [(each["level"], each["by"], each["reason"], "released" in each) for each in room.told] == [
        ("pause", "ada", "hurry", False),
        ("pause", "ada", "hurry", True),
    ]
    assert room.wakes == 1


async def test_resuming_removes_the_file_first_so_that_it_does_not_press_again(room: Room) -> None:
    room.file.write(L.PAUSE)
    await room.switch.look()
    stores = MemoryStores()
    await resume(room.kills, stores.snapshots, room.file, up_to=L.PAUSE, by="ada", reason="", clock=room.clock)
    await room.switch.look()
    assert await room.switch.refusal(OANDA) == ""
    assert not room.file.path.exists()


async def test_a_resume_that_is_too_weak_leaves_the_file_where_it_is(room: Room) -> None:
    room.file.write(L.HALT)
    await room.switch.look()
    stores = MemoryStores()
    assert not await resume(
        room.kills, stores.snapshots, room.file, up_to=L.FLATTEN, by="ada", reason="", clock=room.clock
    )
    assert room.file.path.exists()
    assert "HALT" in await room.switch.refusal(OANDA)


async def test_a_daily_loss_that_cannot_be_stored_writes_no_file_because_a_file_needs_a_person(room: Room) -> None:
    room.kills.is_down = True
    await room.switch.press(press(L.PAUSE, C.DAILY_LOSS))
    assert room.switch.known().level is L.PAUSE
    assert not room.file.path.exists()


async def test_a_press_holds_and_wakes_whoever_acts_before_a_hung_database_has_answered(tmp_path: Path) -> None:
    # Arrange
    room, hung = Room(tmp_path), HungKills()
    room.kills = hung  # type: ignore[assignment]
    room.build()
    row = KillState(level=L.FLATTEN, by="ann", cause=C.PAGE, reason="", at=at(0))

    # Act
    pressing = asyncio.create_task(room.switch.press(row))
    await room.clock.sleep(0)
    held, woken = room.switch.known(), room.wakes
    hung.may.set()
    is_new = await pressing

    # Assert
    assert (held.level, woken) == (L.FLATTEN, 1)
    assert is_new
    assert list(room.switch.latches()) == [row] == list(await hung.active())
    assert not await room.switch.press(row)
    assert list(room.switch.latches()) == [row]


async def test_a_press_that_a_hung_database_does_not_take_within_a_second_is_in_the_file(tmp_path: Path) -> None:
    # Arrange
    room, hung = Room(tmp_path), HungKills()
    room.kills = hung  # type: ignore[assignment]
    room.build()

    # Act
    pressing = asyncio.create_task(room.switch.press(press(L.HALT)))
    while not room.file.path.exists():
        await room.clock.sleep(0)

    # Assert: a process that dies now finds it again
    assert [each.level for each in room.file.read()] == [L.HALT]
    hung.may.set()
    await pressing


async def test_a_halt_in_the_file_does_not_swallow_a_flatten(room: Room) -> None:
    room.kills.is_down = True
    for level in (L.HALT, L.FLATTEN):
        await room.switch.press(press(level))
    room.build()
    assert "HALT" in await room.switch.refusal(OANDA)
    assert room.switch.wants_flat()


async def test_a_press_is_told_that_it_is_new_although_whoever_it_wakes_looks_at_once(room: Room) -> None:
    looks: list[asyncio.Task[KillState]] = []
    room.switch.pressed = lambda: looks.append(asyncio.create_task(room.switch.look()))
    assert await room.switch.press(press(L.PAUSE))
    await asyncio.gather(*looks)
    assert len(await room.kills.history(9)) == 1
