"""The real half of the hybrid loop: virtual time and the order of steps know nothing of real sockets."""

import asyncio
import socket
from collections.abc import Iterator

import pytest

from bot.errors import UsageError
from bot.simulation.clock import LoopClock
from bot.simulation.hybrid_loop import Abandoned, RealLoop
from bot.simulation.loop import Deadlock, SimulatedLoop


@pytest.fixture
def real_loop() -> Iterator[RealLoop]:
    loop = RealLoop()
    yield loop
    loop.close()


async def echo(rounds: int) -> bytes:
    """So many bytes to and fro through a real socket, one at a time."""
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=ours)
    far_reader, far_writer = await asyncio.open_connection(sock=theirs)
    said = b""
    for number in range(rounds):
        writer.write(bytes([number]))
        far_writer.write(await far_reader.readexactly(1))
        said += await reader.readexactly(1)
    for each in (writer, far_writer):
        each.close()
        await each.wait_closed()
    return said


def race(real_loop: RealLoop, rounds: int) -> str:
    """Five tasks that each do real work at the same instants: the trace."""
    loop = SimulatedLoop(7)
    clock = LoopClock(loop)

    async def runner(number: int) -> None:
        for _ in range(3):
            await clock.sleep(1)
            real_loop.run(echo(rounds * number))

    async def all_of_them() -> None:
        await asyncio.gather(*(loop.create_task(runner(number), name=f"runner {number}") for number in range(5)))

    loop.run_until_complete(all_of_them())
    trace = loop.trace_hash()
    loop.close()
    return trace


def test_how_long_a_real_socket_takes_does_not_change_the_order_of_steps(real_loop: RealLoop) -> None:
    traces = {race(real_loop, rounds) for rounds in (0, 1, 2, 5, 20)}

    assert len(traces) == 1


def test_while_real_work_is_pending_virtual_time_and_all_other_tasks_stand_still(real_loop: RealLoop) -> None:
    loop, seen = SimulatedLoop(1), list[str]()
    clock = LoopClock(loop)

    async def worker() -> None:
        await clock.sleep(1)
        seen.append(f"before, at {loop.time()}")
        real_loop.run(echo(50))
        seen.append(f"after, at {loop.time()}")

    async def other() -> None:
        await clock.sleep(1)
        for _ in range(3):
            seen.append("other")
            await clock.sleep(0)

    async def both() -> None:
        await asyncio.gather(worker(), other())

    loop.run_until_complete(both())

    assert seen[seen.index("before, at 1.0") + 1] == "after, at 1.0"
    assert seen.count("other") == 3
    loop.close()


def test_callbacks_of_a_real_transport_keep_their_order(real_loop: RealLoop) -> None:
    seen = list[str]()

    class Recorder(asyncio.Protocol):
        def __init__(self, ended: "asyncio.Future[None]") -> None:
            self._ended = ended

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            seen.append("made")

        def data_received(self, data: bytes) -> None:
            seen.append(data.decode())

        def eof_received(self) -> None:
            seen.append("end of file")

        def connection_lost(self, exc: Exception | None) -> None:
            seen.append("lost")
            self._ended.set_result(None)

    async def talk() -> None:
        ours, theirs = socket.socketpair()
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        theirs.sendall(b"data")
        theirs.close()
        await loop.create_connection(lambda: Recorder(ended), sock=ours)
        await ended

    real_loop.run(talk())

    assert seen == ["made", "data", "end of file", "lost"]


def test_nothing_pending_and_nothing_scheduled_is_a_deadlock_beside_a_real_loop_too(real_loop: RealLoop) -> None:
    loop = SimulatedLoop(1)

    async def stuck() -> None:
        real_loop.run(echo(1))
        await asyncio.Event().wait()

    with pytest.raises(Deadlock, match="no timer is set"):
        loop.run_until_complete(stuck())

    loop.bury()


def test_real_work_that_nobody_will_ever_finish_is_a_deadlock() -> None:
    loop = RealLoop(patience_s=0.0)

    async def forever() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Deadlock, match="did not come within 0 s"):
        loop.run(forever())

    loop.close()


def test_abandoned_work_takes_no_further_step_and_the_loop_goes_on(real_loop: RealLoop) -> None:
    seen = list[str]()

    async def victim() -> None:
        try:
            await real_loop.abandon()
        finally:
            seen.append("finally")

    with pytest.raises(Abandoned):
        real_loop.run(victim())

    assert real_loop.run(echo(3)) == bytes([0, 1, 2])
    assert seen == []


def test_what_real_work_raises_reaches_who_asked(real_loop: RealLoop) -> None:
    async def fails() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        real_loop.run(fails())

    assert not real_loop.is_working


@pytest.mark.parametrize("python", [(3, 10), (3, 14)])
def test_a_python_whose_asyncio_is_not_known_is_refused_with_the_way_out(python: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match=rf"needs CPython 3\.11 to 3\.13, this is {python[0]}\.{python[1]}.*--tier a"):
        RealLoop(python=python)
