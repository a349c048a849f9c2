"""Orders by filter and page, fills of a position, and what the journal says about one: over both backends."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from decimal import Decimal

import pytest

from bot.database.memory import MemoryStores
from bot.database.postgres import PostgresStores
from bot.instruments import BINANCE, OANDA, Symbol
from bot.interfaces import Stores
from bot.models import ClientOrderId, JournalEntry, OrderRole, OrderState, PositionId
from bot.reports import Before, OrderFilter
from tests.contract.store_builders import at, fill, filled, order, position, stop_order
from tests.postgres import Databases, shared_databases


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    with shared_databases(tmp_path_factory) as made:
        yield made


@pytest.fixture(params=["memory", "postgresql"])
async def stores(request: pytest.FixtureRequest) -> AsyncIterator[Stores]:
    if request.param == "memory":
        yield MemoryStores()
        return
    databases: Databases = request.getfixturevalue("databases")
    async with databases.pool() as pool:
        yield PostgresStores(pool)


async def found(stores: Stores, *, before: Before | None = None, limit: int = 10, **chosen: object) -> list[str]:
    rows = await stores.orders.find_orders(OrderFilter(**chosen), limit=limit, before=before)  # type: ignore[arg-type]
    return [each.client_order_id for each in rows]


async def test_orders_are_chosen_by_state_symbol_broker_and_role(stores: Stores) -> None:
    rows = (
        order("o1", minutes=1),
        stop_order("o2", minutes=2, state=OrderState.WORKING),
        order("o3", minutes=3, signal=None, symbol=Symbol("GBP_USD"), state=OrderState.UNKNOWN),
        order("o4", minutes=4, signal=None, broker_id=BINANCE),
    )
    await stores.orders.record_intent(rows, signal_id=None)

    assert await found(stores) == ["o4", "o3", "o2", "o1"]
    assert await found(stores, states=frozenset({OrderState.WORKING, OrderState.UNKNOWN})) == ["o3", "o2"]
    assert await found(stores, symbol=Symbol("GBP_USD")) == ["o3"]
    assert await found(stores, broker_id=BINANCE) == ["o4"]
    assert await found(stores, role=OrderRole.STOP, broker_id=OANDA) == ["o2"]
    assert await found(stores, role=OrderRole.EXIT) == []


async def test_pages_of_orders_meet_without_a_gap_also_where_instants_are_equal(stores: Stores) -> None:
    names = [f"o{number}" for number in range(5)]
    await stores.orders.record_intent([order(each, signal=None) for each in names], signal_id=None)

    first = await found(stores, limit=2)
    second = await found(stores, limit=2, before=Before(at=at(0), id=first[-1]))
    third = await found(stores, limit=2, before=Before(at=at(0), id=second[-1]))

    assert [*first, *second, *third] == names[::-1]


async def test_fills_of_a_position_are_those_of_all_its_orders_oldest_first(stores: Stores) -> None:
    entry, stop = order("o1"), stop_order("o1s")
    other = order("x1", signal=None, position_id=PositionId("p2"))
    await stores.orders.record_intent((entry, stop, other), signal_id=None, position=position())
    leaving = fill("f2", order_name="o1s", filled_at=at(9), withheld=Decimal("0.5"))
    await stores.orders.record_fill(leaving, order=filled(stop), position=position())
    await stores.orders.record_fill(fill("f1"), order=filled(entry), position=position())
    elsewhere = replace(position("p2"), entry_order_id=other.client_order_id)
    await stores.orders.record_fill(fill("f3", order_name="x1"), order=filled(other), position=elsewhere)

    assert list(await stores.orders.fills_of(PositionId("p1"))) == [fill("f1"), leaving]
    assert list(await stores.orders.fills_of(PositionId("none"))) == []


async def test_the_journal_of_a_position_names_it_or_one_of_its_orders(stores: Stores) -> None:
    both: dict[str, object] = {"position": "p1", "order": "o1"}
    facts: tuple[dict[str, object], ...] = (
        {"position": "p1"},
        {"order": "o1"},
        {"order": "o2"},
        {"position": "p2"},
        {},
        both,
    )
    for minutes, data in enumerate(facts):
        await stores.journal.append(JournalEntry(at=at(minutes), kind="order", task_id=None, data=data))

    about = await stores.journal.about(PositionId("p1"), [ClientOrderId("o1")], 10)
    newest = await stores.journal.about(PositionId("p1"), [ClientOrderId("o1")], 1)

    assert [each.data for each in about] == [both, {"order": "o1"}, {"position": "p1"}]
    assert [each.data for each in newest] == [both]
