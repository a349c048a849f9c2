"""Where a simulated process meets the outside: each entry and exit of a port is a place where it may die.

What is asked lives on in the world when the process that asked is dead: a request in flight arrives all the same.
"""

import asyncio
from collections.abc import Callable, Coroutine, Generator, Mapping
from dataclasses import dataclass
from types import coroutine
from typing import Any, Final, TypeVar

from bot.errors import BotError, CommitUnknown, DatabaseUnavailable, NotTheWriter
from bot.models import OrderState
from bot.scheduler import STOP_GRACE_S
from bot.simulation.loop import PROCESS, WORLD, SimulatedLoop
from bot.simulation.tape import Tape

T = TypeVar("T")

_DOWN_TEXT = "the database did not answer: connection refused; nothing was stored, asking again is safe"


@coroutine
def yielded() -> Generator[None, None, None]:
    """Give way once."""
    yield


def at_once(work: "Coroutine[Any, Any, T]") -> T:
    """The answer of a coroutine that never waits for anybody: a simulated venue, a store in memory."""
    try:
        work.send(None)
    except StopIteration as done:
        answer: T = done.value
        return answer
    work.close()
    raise AssertionError(f"{work!r} waited; only what never waits may be asked like this")


class Boundaries:
    """Counts the entries and exits of ports per process, and lets one of them be the last."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop
        self.passed = 0
        self.dies_at: int | None = None
        self.on_death: Callable[[int], None] = lambda _: None

    async def cross(self) -> None:
        """One boundary. Never returns if it is the one at which the process dies."""
        if self.strikes():
            await self._loop.create_future()

    def strikes(self) -> bool:
        """Count one boundary; True if the process has died at it: it must not take another step."""
        self.passed += 1
        if self.dies_at is None or self.passed < self.dies_at:
            return False
        self.dies_at = None
        process = PROCESS.get()
        if process == WORLD:
            return False
        self._loop.kill(process)
        self.on_death(process)
        return True


class Unforeseen(Exception):
    """What a library raises that nobody foresaw (P5)."""


class StorePort:
    """One store behind a network: others run before each call and after it, and it may fail in the known ways.

    `stored` is told of each call that has had its effect, before the caller knows.
    """

    def __init__(self, inner: object, database: "Database") -> None:
        self._inner = inner
        self._database = database

    def __getattr__(self, name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
        method = getattr(self._inner, name)
        database, reads = self._database, not is_write(name)

        async def call(*values: Any, **named: Any) -> Any:
            if reads:
                return await database.read(lambda: method(*values, **named))
            return await database.write(name, method, values, named)

        setattr(self, name, call)
        return call

    async def check_writer(self) -> None:
        """What the process knows by itself: nothing goes over the network."""
        self._database.check_writer()


_WRITES = (
    *("record", "update", "transition", "save", "append", "set", "resume", "put", "end", "ensure", "judged"),
    *("give", "begin"),
)


def is_write(method: str) -> bool:
    """A method of a store that changes what is stored."""
    return method.startswith(_WRITES)


_BEFORE_A_REQUEST: Final = (OrderState.SENDING, OrderState.CANCEL_PENDING)


def _comes_before_a_request(method: str, named: Mapping[str, Any]) -> bool:
    """A write in whose transaction a real database is asked whether this is still the writer."""
    return method == "record_intent" or (method == "transition" and named["state"] in _BEFORE_A_REQUEST)


@dataclass(frozen=True, slots=True, kw_only=True)
class LostLock:
    """The connection on which a process holds the writer lock has ended (D11). The process knows after a moment, and
    then takes the lock back: nobody else was writer meanwhile. Virtual seconds."""

    process: int
    lost_at: float
    known_at: float
    back_at: float


class Database:
    """The one database behind all store ports: up, down (D2), slow (D3), without a connection (D4), read only (D6).

    `writer` is the process that holds the lock: what another one writes is refused. While that process has lost the
    lock (D11), it may write what has happened, and nothing that comes before a request.
    """

    def __init__(self, loop: SimulatedLoop, tape: Tape, boundaries: Boundaries) -> None:
        self._loop = loop
        self._tape = tape
        self._boundaries = boundaries
        self._reading = tape.dice("database/reading")
        self.down_until = 0.0
        self.slow_until = 0.0
        self.crowded_until = 0.0
        self.read_only_until = 0.0
        self.writer = WORLD
        self.cut = 0
        self.on_hang: Callable[[], None] = lambda: None
        self.lost_lock: LostLock | None = None
        self.is_fenced = True
        self.before_write: Callable[[str, tuple[Any, ...], dict[str, Any]], None] = lambda *_: None
        self.after_write: Callable[[str, tuple[Any, ...], dict[str, Any], Any], None] = lambda *_: None

    @property
    def is_down(self) -> bool:
        """Nothing is answered, nothing can be stored, or nothing may be sent."""
        until = max(self.down_until, self.crowded_until, self.read_only_until)
        return self.is_lock_away or self._loop.time() < until

    @property
    def is_lock_away(self) -> bool:
        """Of the process that is the writer."""
        lost = self.lost_lock
        return lost is not None and lost.process == self.writer and self._loop.time() < lost.back_at

    def lose_lock(self, *, known_after_s: float, back_after_s: float) -> None:
        """Of the process that has it."""
        now = self._loop.time()
        self.lost_lock = LostLock(
            process=self.writer, lost_at=now, known_at=now + known_after_s, back_at=now + back_after_s
        )

    def heal(self) -> None:
        """Faults off."""
        self.down_until = self.slow_until = self.crowded_until = self.read_only_until = 0.0
        self.lost_lock = None

    async def read(self, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """One question. The dice say whether others run before it, after it, both or neither."""
        way = self._reading.random()
        if way < 0.5:
            await yielded()
        await self._connected()
        if self._tape.fires("P5"):
            raise Unforeseen("a library stumbled over an answer of the database")
        answer = await ask()
        if 0.25 <= way < 0.75:
            await yielded()
        return answer

    async def write(
        self,
        name: str,
        method: Callable[..., Coroutine[Any, Any, Any]],
        values: tuple[Any, ...],
        named: dict[str, Any],
    ) -> Any:
        """One transaction."""
        await self._boundaries.cross()
        await self._arrive()
        if _comes_before_a_request(name, named):
            self.check_writer()
        if self._tape.fires("D5"):
            raise DatabaseUnavailable("the database did not do it: could not serialize access; nothing was stored")
        lost = self._tape.fires("D1")
        if lost and self._tape.dice("D1/when").random() < 0.5:
            raise CommitUnknown("the connection was lost during a commit; read the row back by its key")
        hangs = self._tape.fires("D12")
        is_done = hangs and self._tape.dice("D12/when").random() < 0.5
        if hangs and not is_done:
            await self._hang()
        self.before_write(name, values, named)
        answer = await method(*values, **named)
        self.after_write(name, values, named, answer)
        await yielded()
        if is_done:
            await self._hang()
        if lost:
            raise CommitUnknown("the connection was lost during a commit; read the row back by its key")
        await self._boundaries.cross()
        return answer

    async def _arrive(self) -> None:
        await yielded()
        if self._loop.time() < self.slow_until:
            await self._wait(self._tape.amount("D3", 0.2, 2.0))
        await self._connected()
        if self._loop.time() < self.read_only_until:
            raise DatabaseUnavailable("the database did not do it: read-only transaction; nothing was stored")
        self._check_not_replaced()

    def check_writer(self) -> None:
        """Raises NotTheWriter where another process has taken over, and while this one knows that it lost the lock."""
        self._check_not_replaced()
        lost = self.lost_lock
        is_ours = self.is_fenced and lost is not None and lost.process == PROCESS.get()
        if is_ours and lost is not None and lost.known_at <= self._loop.time() < lost.back_at:
            raise NotTheWriter("the connection that holds the writer lock ended; nothing is sent without it")

    def _check_not_replaced(self) -> None:
        if self.is_fenced and PROCESS.get() not in (WORLD, self.writer):
            raise NotTheWriter("another daemon has taken over this database; nothing was stored")

    async def _connected(self) -> None:
        if self._loop.time() < self.crowded_until:
            await self._wait(self._tape.amount("D4", 0.5, 5.0))
            raise DatabaseUnavailable("the database was not asked: no connection became free; asking again is safe")
        if self._loop.time() < self.down_until:
            raise DatabaseUnavailable(_DOWN_TEXT)

    async def _hang(self) -> None:
        """Longer than a process that is told to stop waits for its jobs: it cancels what stands here."""
        self.on_hang()
        try:
            await self._wait(self._tape.amount("D12", STOP_GRACE_S, 2 * STOP_GRACE_S))
        except asyncio.CancelledError:
            self.cut += 1
            raise

    async def _wait(self, seconds: float) -> None:
        pause: asyncio.Future[None] = self._loop.create_future()
        self._loop.call_later(seconds, _end, pause)
        await pause


def _end(pause: "asyncio.Future[None]") -> None:
    if not pause.done():
        pause.set_result(None)


Answer = tuple[Any, BotError | None]


class Wire:
    """The way to one venue and back: delays, and answers that reach whoever still listens."""

    def __init__(self, loop: SimulatedLoop, tape: Tape, name: str) -> None:
        self._loop = loop
        self._delays = tape.dice(f"{name}/latency")
        self._context = loop.context_of(WORLD)
        self._late: list[tuple[asyncio.TimerHandle, Callable[[], None]]] = []

    def delay_s(self) -> float:
        """One way, in virtual seconds."""
        return self._delays.uniform(0.01, 0.15)

    def later(self, delay_s: float, act: Callable[..., None], *values: object) -> asyncio.TimerHandle:
        """Do it after a while, whoever is dead by then."""
        return self._loop.call_later(delay_s, act, *values, context=self._context)

    def much_later(self, delay_s: float, act: Callable[[], None]) -> None:
        """As `later`, but `flush` can bring it forward."""
        self._late.append((self.later(delay_s, act), act))

    def flush(self) -> None:
        """What is still under way arrives now."""
        for timer, act in self._late:
            if not timer.cancelled() and timer.when() > self._loop.time():
                timer.cancel()
                act()
        self._late.clear()

    def answer(self, waiting: "asyncio.Future[Answer]", value: Any, error: BotError | None = None) -> None:
        """Let the asker have it, if it still waits."""
        if not waiting.done():
            waiting.set_result((value, error))

    def waiting(self) -> "asyncio.Future[Answer]":
        """What an asker waits for."""
        return self._loop.create_future()
