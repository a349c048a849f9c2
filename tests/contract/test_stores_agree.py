"""Memory and PostgreSQL against each other: the same random operations must be answered alike."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.access import Act
from bot.database.memory import MemoryStores
from bot.database.postgres import PostgresStores
from bot.errors import BotError
from bot.instruments import BINANCE, OANDA, BrokerId, Symbol
from bot.interfaces import Stores
from bot.models import (
    ClientOrderId,
    KillCause,
    KillLevel,
    KillState,
    OrderRole,
    OrderState,
    PortfolioSnapshot,
    Position,
    PositionId,
    SignalId,
    TaskId,
    TaskState,
)
from bot.reports import Before, OrderFilter, SignalFilter, TradeFilter, TradeGroup
from tests.contract.store_builders import (
    account_state,
    at,
    entry_of_journal,
    fill,
    order,
    outcome,
    position,
    setup,
    signal_record,
    snapshot,
    task,
)
from tests.postgres import Databases, shared_databases

ORDERS = ("o1", "o2", "O3", "o4")
SIGNALS = ("s1", "s2", "S3")
POSITIONS = ("p1", "p2", "P3")
SYMBOLS = ("EUR_USD", "GBP_USD")
FEW = 4
_SOME_STATES = frozenset({OrderState.FILLED, OrderState.DENIED})
PRESSING = (KillCause.COMMAND, KillCause.FILE, KillCause.DRAWDOWN, KillCause.DAILY_LOSS)


@dataclass(frozen=True)
class Operation:
    """One call, with a name to read when it fails."""

    name: str
    call: Callable[[Stores], Awaitable[object]]

    def __repr__(self) -> str:
        return self.name


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    with shared_databases(tmp_path_factory) as made:
        yield made


minutes = st.integers(0, 5)
quantities = st.integers(0, 3).map(Decimal)
order_names = st.sampled_from(ORDERS)
signal_names = st.sampled_from(SIGNALS)
states = st.sampled_from(list(OrderState))


@st.composite
def positions(draw: st.DrawFn) -> Position:
    """Pending, open or closed; what an id stands for is the same each time."""
    ended = draw(st.none() | minutes)
    return position(
        draw(st.sampled_from(POSITIONS)),
        entry=draw(order_names),
        first_quantity=draw(quantities),
        quantity=draw(quantities),
        realised=draw(quantities),
        opened_at=at(draw(minutes)),
        closed_at=None if ended is None else at(ended),
    )


@st.composite
def intents(draw: st.DrawFn) -> Operation:
    names = draw(st.lists(order_names, min_size=1, max_size=3))
    orders = tuple(
        order(
            name,
            signal=draw(st.none() | signal_names),
            minutes=draw(minutes),
            role=draw(st.sampled_from(OrderRole)),
            position_id=PositionId(draw(st.sampled_from(POSITIONS))),
        )
        for name in names
    )
    signal, held = draw(st.none() | signal_names), draw(st.none() | positions())
    signal_id = SignalId(signal) if signal else None
    return Operation(
        f"intent {names} signal {signal} position {held and held.id}",
        lambda stores: stores.orders.record_intent(orders, signal_id=signal_id, position=held),
    )


@st.composite
def transitions(draw: st.DrawFn) -> Operation:
    name, expected, state = ClientOrderId(draw(order_names)), draw(st.none() | states), draw(states)
    instant, venue_order_id = at(draw(minutes)), draw(st.none() | st.just("v1"))

    async def move(stores: Stores) -> None:
        was = expected or (await stores.orders.order(name)).state  # half of them are where the caller thinks
        await stores.orders.transition(
            name, expected=was, state=state, cause="test", at=instant, venue_order_id=venue_order_id
        )

    return Operation(f"move {name} from {expected} to {state}", move)


@st.composite
def fills(draw: st.DrawFn) -> Operation:
    name, state, number = ClientOrderId(draw(order_names)), draw(states), draw(st.sampled_from(("f1", "f2", "f3")))
    quantity, instant, after = draw(quantities), at(draw(minutes)), draw(positions())

    async def apply(stores: Stores) -> bool:
        before = await stores.orders.order(name)
        moved = replace(before, state=state, filled_quantity=quantity, updated_at=instant)
        return await stores.orders.record_fill(fill(number, order_name=name), order=moved, position=after)

    return Operation(f"fill {number} of {name}, then {state}, {after.id}", apply)


symbols = st.sampled_from(SYMBOLS)


def kill_row(level: KillLevel, cause: KillCause, broker_id: BrokerId | None) -> KillState:
    return KillState(level=level, by="ada", cause=cause, reason="why not", at=at(2), broker_id=broker_id)


def snapshot_of_one(minute: int, equity: int) -> PortfolioSnapshot:
    return replace(snapshot(minute, str(equity)), accounts=(account_state(OANDA, str(equity), minutes=minute),))


# By store, because what one store answers does not depend on the others, and random calls spread over all meet nowhere.
OPERATIONS: Mapping[str, st.SearchStrategy[Operation]] = {
    "orders": intents()
    | transitions()
    | fills()
    | positions().map(lambda row: Operation(f"save {row.id}", lambda s: s.orders.save_position(row))),
    "signals": st.builds(lambda n, m: signal_record(n, minutes=m), signal_names, minutes).map(
        lambda row: Operation(f"record {row.signal.id}", lambda s: s.signals.record(row))
    )
    | signal_names.map(
        lambda n: Operation(f"status {n}", lambda s: s.signals.update_status(SignalId(n), "ordered", "because"))
    ),
    "outcomes": st.builds(lambda n, m, d: outcome(n, minutes=m, done=d), signal_names, minutes, st.booleans()).map(
        lambda row: Operation(f"outcome {row.signal_id}", lambda s: s.outcomes.save(row))
    ),
    "snapshots": st.builds(snapshot_of_one, minutes, st.integers(1, 9)).map(
        lambda row: Operation(f"snapshot {row.at}", lambda s: s.snapshots.append(row))
    ),
    "kills": st.builds(
        kill_row, st.sampled_from(KillLevel), st.sampled_from(PRESSING), st.sampled_from((None, OANDA))
    ).map(lambda row: Operation(f"set {row.says}", lambda s: s.kills.set(row)))
    | st.sampled_from(KillLevel).map(
        lambda level: Operation(
            f"resume up to {level}", lambda s: s.kills.resume(up_to=level, by="admin", reason="well", at=at(1))
        )
    ),
    "setups": st.builds(lambda n, m, y: setup(n, minutes=m, symbol=y), signal_names, minutes, symbols).map(
        lambda row: Operation(f"put {row.signal_id} {row.symbol}", lambda s: s.setups.put(row))
    )
    | signal_names.map(lambda n: Operation(f"end {n}", lambda s: s.setups.end(SignalId(n), "consumed", at(6)))),
    "tasks": st.lists(st.sampled_from(("b", "A", "a")).map(task), max_size=3).map(
        lambda rows: Operation(f"ensure {len(rows)}", lambda s: s.tasks.ensure(rows))
    )
    | st.builds(
        lambda n, state: Operation(f"{n} {state}", lambda s: s.tasks.set_state(TaskId(n), state)),
        st.sampled_from(("a", "A")),
        st.sampled_from(TaskState),
    ),
    "acts": st.builds(
        lambda who, key, told, m: Act(who=who, key=key, fingerprint=told, at=at(m)),
        st.sampled_from(("ada", "Ada")),
        st.sampled_from(("k", "K")),
        st.sampled_from(("f", "g")),
        minutes,
    ).flatmap(
        lambda act: st.sampled_from(
            (
                Operation(f"begin {act.who} {act.key}", lambda s: s.acts.begin(act, forget_before=at(2))),
                Operation(f"end {act.who} {act.key}", lambda s: s.acts.end(act, status=200, answer="{}")),
                Operation(f"forget {act.who} {act.key}", lambda s: s.acts.forget(act)),
            )
        )
    ),
    "journal": st.builds(lambda n, m: entry_of_journal(n, minutes=m), st.integers(0, 9), minutes).map(
        lambda row: Operation("journal", lambda s: s.journal.append(row))
    ),
}


async def answer(question: Callable[[Stores], Awaitable[object]], stores: Stores) -> object:
    """What comes back, in a form that can be compared: an error is its class."""
    try:
        found = await question(stores)
    except BotError as error:
        return type(error)
    if isinstance(found, Mapping):
        return dict(found)
    return list(found) if isinstance(found, Sequence) and not isinstance(found, str) else found


def questions() -> list[Operation]:
    """Everything that can be read."""
    asked: list[tuple[str, Callable[[Stores], Awaitable[object]]]] = [
        ("signals", lambda s: s.signals.recent(FEW)),
        ("signal counts", lambda s: s.signals.counts()),
        ("unfinished orders", lambda s: s.orders.unfinished_orders()),
        ("recent orders", lambda s: s.orders.recent_orders(FEW)),
        ("order counts", lambda s: s.orders.order_counts()),
        ("open positions", lambda s: s.orders.open_positions()),
        ("closed positions", lambda s: s.orders.closed_positions(FEW)),
        ("closed count", lambda s: s.orders.closed_count()),
        ("closed sums", _closed_sums),
        ("verdicts", lambda s: s.reports.verdicts(SignalFilter())),
        ("realised", lambda s: s.orders.realised_since(OANDA, at(3))),
        ("realised elsewhere", lambda s: s.orders.realised_since(BINANCE, at(0))),
        ("unfinished outcomes", lambda s: s.outcomes.unfinished()),
        ("recent outcomes", lambda s: s.outcomes.recent(FEW)),
        ("outcome count", lambda s: s.outcomes.count()),
        ("latest snapshot", lambda s: s.snapshots.latest()),
        ("snapshots", lambda s: s.snapshots.since(at(1), 3)),
        ("latches", lambda s: s.kills.active()),
        ("kill state", lambda s: s.kills.current()),
        ("kill state of one", lambda s: s.kills.current(OANDA)),
        ("kill history", lambda s: s.kills.history(FEW)),
        ("recent setups", lambda s: s.setups.recent(FEW)),
        ("tasks", lambda s: s.tasks.all()),
        ("journal", lambda s: s.journal.recent(FEW)),
        ("filled and denied", lambda s: s.orders.find_orders(OrderFilter(states=_SOME_STATES), limit=FEW)),
        ("entries", lambda s: s.orders.find_orders(OrderFilter(role=OrderRole.ENTRY, broker_id=OANDA), limit=FEW)),
        ("older orders", lambda s: s.orders.find_orders(OrderFilter(), limit=2, before=Before(at=at(3), id="o2"))),
    ]
    for name in ORDERS:
        order_id = ClientOrderId(name)
        asked.append((f"order {name}", partial(lambda each, s: s.orders.order(each), order_id)))
        asked.append((f"events {name}", partial(lambda each, s: s.orders.order_events(each), order_id)))
    for name in POSITIONS:
        position_id = PositionId(name)
        asked.append((f"orders of {name}", partial(lambda each, s: s.orders.orders_of(each), position_id)))
        asked.append((f"fills of {name}", partial(lambda each, s: s.orders.fills_of(each), position_id)))
        asked.append((f"position {name}", partial(lambda each, s: s.orders.position(each), position_id)))
    for name in SYMBOLS:
        asked.append((f"live {name}", partial(lambda each, s: s.setups.live(each), Symbol(name))))
    return [Operation(name, call) for name, call in asked]


async def _closed_sums(stores: Stores) -> object:
    """What is exact of the figures by symbol."""
    found = await stores.reports.trade_figures(TradeFilter(), TradeGroup.SYMBOL)
    return [(each.name, each.trades, each.won, each.lost, each.net, each.costs, each.measured) for each in found]


@pytest.mark.parametrize("store", list(OPERATIONS))
@settings(max_examples=15, deadline=None)
@given(data=st.data())
async def test_memory_and_postgresql_answer_the_same_operations_alike(
    databases: Databases, store: str, data: st.DataObject
) -> None:
    done = data.draw(st.lists(OPERATIONS[store], min_size=15, max_size=40))
    async with databases.pool() as pool:
        memory, postgresql = MemoryStores(), PostgresStores(pool)
        for each in [*done, *questions()]:
            assert await answer(each.call, memory) == await answer(each.call, postgresql), each
