"""Stores over a real PostgreSQL for a world of virtual time, each call compared with the stores in memory.

PostgreSQL is asked, and the stores in memory, which are what the checks look at, follow it. Both must say the same to
every single call, and have the same contents after every death of a process and at the end: so the twin in memory, on
which the many seeds of tier A rest, cannot drift from the SQL, and half of a transaction cannot stay unnoticed.
"""

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from inspect import get_annotations
from typing import Any, Final, cast

from bot.database.memory import MemoryStores
from bot.database.memory_orders import MemoryOrders
from bot.errors import BotError, NotTheWriter
from bot.interfaces import Stores
from bot.simulation.hybrid_loop import Abandoned, RealLoop
from bot.simulation.loop import WORLD
from bot.simulation.ports import at_once, is_write, yielded

STORES: Final = tuple(get_annotations(Stores))
TWINS: Final = "TWINS"  # stands beside the invariants: what is stored is not what the same calls store in memory

_ALL: Final = 1_000_000
_EVER: Final = datetime(2000, 1, 1, tzinfo=UTC)

Contents = Mapping[str, object]
Fills = Callable[[], Coroutine[Any, Any, Sequence[tuple[object, ...]]]]


class Twins:
    """PostgreSQL and memory, asked together. `on_difference` is told the first word that they do not share."""

    def __init__(
        self, real_loop: RealLoop, *, real: Stores, fills: Fills, cut: Callable[[int], Coroutine[Any, Any, None]]
    ):
        """`real`, `fills` (all rows) and `cut` (end the sessions of a process) use connections that outlive each."""
        self.memory = MemoryStores()
        self.on_difference: Callable[[str], None] = lambda _: None
        self._real_loop = real_loop
        self._real = real
        self._fills = fills
        self._cut = cut
        self._dead: set[int] = set()

    def over(self, real: Stores, process: int = WORLD) -> Stores:
        """The stores of one process, whose own connections are behind `real`."""
        return cast(Stores, _TwinStores(self, real, process))

    def process_died(self, process: int) -> None:
        """Its sockets are closed, the server rolls back, and what is left must be what was committed."""
        if self._real_loop.is_working:
            return  # in the middle of a call, which says so itself as soon as it has been left
        self._dead.add(process)
        self._real_loop.run(self._cut(process))
        stored = self._real_loop.run(_contents(self._real, self._fills))
        expected = at_once(_contents(self.memory, self._fills_in_memory))
        for what, rows in expected.items():
            if stored[what] != rows:
                self.on_difference(f"{what} in PostgreSQL {stored[what]}, in memory {rows}")

    async def call(
        self, asker: "_TwinStores", store: str, method: str, values: tuple[Any, ...], named: dict[str, Any]
    ) -> Any:
        """One call to both. Never returns if the process is dead, or is killed in the middle of it.

        What the world itself looks at, often and only to check, is read in memory: both have the same contents.
        """
        if asker.process in self._dead:
            await yielded()
        modelled = getattr(getattr(self.memory, store), method)
        if asker.process == WORLD and not is_write(method):
            return await modelled(*values, **named)
        try:
            told = self._real_loop.run(_told(getattr(getattr(asker.real, store), method)(*values, **named)))
        except Abandoned:
            self.process_died(asker.process)
            await yielded()
            raise AssertionError("a dead process took a step") from None
        if not isinstance(told[1], NotTheWriter):  # only a real database fences
            expected = at_once(_told(modelled(*values, **named)))
            if _comparable(told) != _comparable(expected):
                says = f"PostgreSQL says {told}, memory says {expected}"
                self.on_difference(f"{store}.{method}: {says}; asked {values} {named}")
        answer, error = told
        if error is not None:
            raise error
        return answer

    async def _fills_in_memory(self) -> Sequence[tuple[object, ...]]:
        fills = cast(MemoryOrders, self.memory.orders)._fills.values()
        rows = [(each.broker_id, each.venue_fill_id, each.client_order_id, each.quantity, each.fee) for each in fills]
        return sorted(rows)


class _TwinStores:
    """`Stores` of one process."""

    def __init__(self, twins: Twins, real: Stores, process: int) -> None:
        self.real = real
        self.process = process
        for name in STORES:
            setattr(self, name, _TwinStore(twins, self, name))

    async def check(self) -> None:
        """Ask the cheapest question."""

    async def close(self) -> None:
        """Nothing to release: sessions end with their process."""


class _TwinStore:
    """One store. Its private parts are those in memory: that is where the checks look."""

    def __init__(self, twins: Twins, asker: _TwinStores, name: str) -> None:
        self._twins = twins
        self._asker = asker
        self._name = name

    def __getattr__(self, method: str) -> Any:
        if method.startswith("_"):
            return getattr(getattr(self._twins.memory, self._name), method)

        async def call(*values: Any, **named: Any) -> Any:
            return await self._twins.call(self._asker, self._name, method, values, named)

        setattr(self, method, call)
        return call


async def _told(asked: Awaitable[Any]) -> tuple[Any, BotError | None]:
    try:
        return await asked, None
    except BotError as error:
        return None, error


def _comparable(told: tuple[Any, BotError | None]) -> object:
    """Lists and tuples are alike, and errors of one kind."""
    answer, error = told
    if isinstance(answer, Mapping):
        return {key: value for key, value in answer.items() if value}, type(error)
    listed = isinstance(answer, Sequence) and not isinstance(answer, str)
    return list(answer) if listed else answer, type(error)


async def _contents(stores: Stores, fills: Fills) -> Contents:
    """Everything that the order path has stored."""
    orders = list(await stores.orders.recent_orders(_ALL))
    return {
        "orders": orders,
        "order events": [list(await stores.orders.order_events(each.client_order_id)) for each in orders],
        "fills": list(await fills()),
        "positions": [await _told(stores.orders.position(each.position_id)) for each in orders if each.role == "entry"],
        "open positions": [each.id for each in await stores.orders.open_positions()],
        "closed positions": [each.id for each in await stores.orders.closed_positions(_ALL)],
        "fill cursors": [await stores.orders.fill_cursor(each) for each in sorted({row.broker_id for row in orders})],
        "signals": list(await stores.signals.recent(_ALL)),
        "outcomes": list(await stores.outcomes.recent(_ALL)),
        "setups": list(await stores.setups.recent(_ALL)),
        "snapshots": list(await stores.snapshots.since(_EVER, _ALL)),
        "kills": list(await stores.kills.history(_ALL)),
        "answers": list(await stores.answers.recent(_ALL)),
        "tasks": list(await stores.tasks.all()),
    }
