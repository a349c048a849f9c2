"""Whether whoever opened a stream may still have it (S12)."""

from contextlib import ExitStack
from functools import partial

from bot.clock import ManualClock
from bot.dashboard.vigil import Vigil
from bot.errors import DatabaseUnavailable


async def test_however_many_streams_there_are_one_is_asked_about_at_a_time_and_all_within_five_seconds() -> None:
    clock, asked, asking, most_at_once = ManualClock(), set[int](), 0, 0

    def question(number: int) -> "tuple[object, ...]":
        async def holds() -> bool:
            nonlocal asking, most_at_once
            asking += 1
            most_at_once = max(most_at_once, asking)
            await clock.sleep(0.01)
            asking -= 1
            asked.add(number)
            return True

        return holds, lambda: None

    vigil = Vigil(clock)
    with ExitStack() as streams:
        for number in range(200):
            streams.enter_context(vigil.keep(*question(number)))  # type: ignore[arg-type]
        await clock.run_for(5)

    assert len(asked) == 200
    assert most_at_once == 1


async def test_a_stream_whose_login_has_ended_is_ended_and_the_others_go_on() -> None:
    clock, ended = ManualClock(), list[str]()

    async def yes() -> bool:
        return True

    async def no() -> bool:
        return False

    vigil = Vigil(clock)
    with vigil.keep(yes, lambda: ended.append("yes")), vigil.keep(no, lambda: ended.append("no")):
        await clock.run_for(3)

    assert ended == ["no"]


async def test_while_nobody_can_say_who_it_is_a_stream_goes_on_and_the_others_are_asked_about() -> None:
    clock, ended = ManualClock(), list[str]()

    async def unknown() -> bool:
        raise DatabaseUnavailable("gone")

    async def broken() -> bool:
        raise RuntimeError("our own mistake")

    async def no() -> bool:
        return False

    vigil = Vigil(clock)
    with ExitStack() as streams:
        for name, holds in (("unknown", unknown), ("broken", broken), ("no", no)):
            streams.enter_context(vigil.keep(holds, partial(ended.append, name)))
        await clock.run_for(3)

    assert ended == ["no"]


async def test_nobody_is_asked_about_when_no_stream_is_left() -> None:
    clock, asked = ManualClock(), 0

    async def holds() -> bool:
        nonlocal asked
        asked += 1
        return True

    vigil = Vigil(clock)
    with vigil.keep(holds, lambda: None):
        await clock.run_for(3)
    await clock.sleep(0)
    seen = asked
    await clock.run_for(60)

    assert (asked, clock.sleepers) == (seen, 0)
    with vigil.keep(holds, lambda: None):
        await clock.run_for(3)
    assert asked == seen + 1
