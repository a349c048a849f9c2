"""What the stores say when PostgreSQL is down, goes away half-way or refuses; and that they recover."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from urllib.parse import parse_qs, urlsplit

import pytest

from bot.database.access import Database
from bot.database.durability import durability_faults
from bot.database.pool import Pool, open_pool, place_of
from bot.database.postgres import PostgresStores
from bot.errors import CommitUnknown, ConfigError, DatabaseUnavailable, DataError, NotFound, SchemaMismatch
from bot.models import ClientOrderId, OrderState, SignalId
from tests.contract.store_builders import (
    at,
    entry_of_journal,
    fill,
    filled,
    order,
    outcome,
    position,
    signal_record,
    stop_order,
)
from tests.postgres import Databases

KILL_OTHERS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = $1"
O1 = ClientOrderId("o1")


@asynccontextmanager
async def admin_of(dsn: str) -> AsyncIterator[Pool]:
    """A second pool on the same database, to look at and end the sessions of the first."""
    admin = await open_pool(dsn)
    yield admin
    await Database(admin).close()


@pytest.fixture
async def dsn(databases: Databases) -> AsyncIterator[str]:
    async with databases.fresh() as made:
        yield made


# --------------------------------------------------------------------------------------------------------- going away


async def test_idle_sessions_that_are_ended_are_replaced_without_a_word(dsn: str) -> None:
    async with admin_of(dsn) as pool, admin_of(dsn) as admin:
        # Arrange
        stores = PostgresStores(pool)
        await stores.check()
        await admin.fetch(KILL_OTHERS, urlsplit(dsn).path.lstrip("/"))

        # Act: one question may still meet the dead session
        with suppress(DatabaseUnavailable):
            await stores.check()

        # Assert
        await stores.check()


async def test_a_session_ended_half_way_through_a_transaction_stores_nothing_and_the_pool_recovers(dsn: str) -> None:
    async with admin_of(dsn) as pool, admin_of(dsn) as admin:
        # Arrange
        stores = PostgresStores(pool)

        async def write_twice() -> None:
            async with Database(pool).transaction() as connection:
                await connection.execute("INSERT INTO fill_cursors VALUES ('oanda', '1')")
                await admin.fetch(KILL_OTHERS, urlsplit(dsn).path.lstrip("/"))
                await connection.execute("INSERT INTO fill_cursors VALUES ('binance', '1')")

        # Act
        with pytest.raises(DatabaseUnavailable, match="nothing was stored") as raised:
            await write_twice()

        # Assert
        assert not isinstance(raised.value, CommitUnknown)
        assert await pool.fetchval("SELECT count(*) FROM fill_cursors") == 0
        assert await stores.orders.record_intent((order(),), signal_id=SignalId("s1"))


class CuttingProxy:
    """Stands between client and server and loses one answer: the server did what was asked, the client never hears."""

    def __init__(self, socket_path: str) -> None:
        self._socket_path = socket_path
        self._words: bytes | None = None
        self.sessions: set[asyncio.Task[None]] = set()

    def lose_the_answer_to(self, words: bytes) -> None:
        """The next message with `words` in it reaches the server; what the server says after it does not come back."""
        self._words = words

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client until either side is gone."""
        self.sessions.add(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_unix_connection(self._socket_path)
        answers_are_lost = asyncio.Event()

        async def ask() -> None:
            while data := await reader.read(65_536):
                if self._words is not None and self._words in data:
                    self._words = None
                    answers_are_lost.set()
                server_writer.write(data)

        async def tell() -> None:
            while (data := await server_reader.read(65_536)) and not answers_are_lost.is_set():
                writer.write(data)

        both = [asyncio.create_task(ask()), asyncio.create_task(tell())]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for each in both:
            each.cancel()
        await asyncio.gather(*both, return_exceptions=True)
        for end in (writer, server_writer):
            end.close()
            with suppress(OSError):
                await end.wait_closed()


@pytest.fixture
async def proxied(dsn: str) -> AsyncIterator[tuple[CuttingProxy, Pool]]:
    """A pool whose connections go through a proxy."""
    query = parse_qs(urlsplit(dsn).query)
    proxy = CuttingProxy(f"{query['host'][0]}/.s.PGSQL.{query['port'][0]}")
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    pool = await open_pool(f"postgresql://{query['user'][0]}@127.0.0.1:{port}{urlsplit(dsn).path}")
    yield proxy, pool
    await Database(pool).close()
    await asyncio.gather(*proxy.sessions)
    server.close()
    await server.wait_closed()


async def test_an_intent_whose_commit_was_not_answered_is_found_by_its_id(
    proxied: tuple[CuttingProxy, Pool],
) -> None:
    # Arrange
    proxy, pool = proxied
    stores = PostgresStores(pool)
    proxy.lose_the_answer_to(b"COMMIT")

    # Act
    with pytest.raises(CommitUnknown, match="read the row back by its key"):
        await stores.orders.record_intent((order(), stop_order()), signal_id=SignalId("s1"))

    # Assert: it was stored, and storing it again does not make a second one
    assert await stores.orders.order(O1) == order()
    assert not await stores.orders.record_intent((order(), stop_order()), signal_id=SignalId("s1"))


async def test_a_fill_whose_commit_was_not_answered_is_applied_once(proxied: tuple[CuttingProxy, Pool]) -> None:
    # Arrange
    proxy, pool = proxied
    stores = PostgresStores(pool)
    await stores.orders.record_intent((order(),), signal_id=SignalId("s1"))
    proxy.lose_the_answer_to(b"COMMIT")

    # Act
    with pytest.raises(CommitUnknown):
        await stores.orders.record_fill(fill(), order=filled(order()), position=position())
    again = await stores.orders.record_fill(fill(), order=filled(order()), position=position())

    # Assert
    assert not again
    assert await stores.orders.open_positions() == [position()]


async def test_an_answer_lost_before_the_commit_is_no_question_of_fate(proxied: tuple[CuttingProxy, Pool]) -> None:
    # Arrange
    proxy, pool = proxied
    stores = PostgresStores(pool)
    proxy.lose_the_answer_to(b"INSERT INTO orders")

    # Act
    with pytest.raises(DatabaseUnavailable) as raised:
        await stores.orders.record_intent((order(),), signal_id=SignalId("s1"))

    # Assert
    assert not isinstance(raised.value, CommitUnknown)
    with pytest.raises(NotFound):
        await stores.orders.order(O1)


async def test_a_single_statement_that_commits_by_itself_has_an_unknown_fate_too(
    proxied: tuple[CuttingProxy, Pool],
) -> None:
    proxy, pool = proxied
    stores = PostgresStores(pool)
    await stores.signals.record(signal_record())
    proxy.lose_the_answer_to(b"UPDATE signals")
    with pytest.raises(CommitUnknown):
        await stores.signals.update_status(SignalId("s1"), "ordered", "")


async def test_a_task_cancelled_inside_a_transaction_leaves_nothing_behind(pool: Pool) -> None:
    # Arrange
    inside = asyncio.Event()

    async def write_and_wait() -> None:
        async with Database(pool).transaction() as connection:
            await connection.execute("INSERT INTO fill_cursors VALUES ('oanda', '1')")
            inside.set()
            await asyncio.Event().wait()

    # Act
    task = asyncio.create_task(write_and_wait())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    # Assert
    assert await pool.fetchval("SELECT count(*) FROM fill_cursors") == 0
    open_transactions = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'"
    )
    assert await pool.fetchval(open_transactions) == 0


async def test_stores_that_were_closed_answer_that_the_database_is_unavailable(pool: Pool) -> None:
    stores = PostgresStores(pool)
    await stores.close()
    with pytest.raises(DatabaseUnavailable):
        await stores.check()
    with pytest.raises(DatabaseUnavailable):
        await stores.journal.append(entry_of_journal())


# ----------------------------------------------------------------------------------------------------------- refusing


async def test_a_value_that_a_constraint_refuses_is_named(pool: Pool) -> None:
    stores = PostgresStores(pool)
    with pytest.raises(DataError, match="orders_quantity_check"):
        await stores.orders.record_intent((order(quantity=Decimal(0)),), signal_id=None)
    with pytest.raises(DataError, match="orders_quantity_check"):
        await stores.orders.record_intent((order(quantity=Decimal("NaN")),), signal_id=None)


async def test_of_outcomes_saved_together_none_is_stored_if_one_is_refused(pool: Pool) -> None:
    stores = PostgresStores(pool)
    with pytest.raises(DataError, match="outcomes_paid_check"):
        await stores.outcomes.save(outcome("s1"), outcome("s2", paid=Decimal("NaN")))
    assert await stores.outcomes.recent(9) == []


async def test_a_database_without_tables_asks_for_its_migrations(empty_pool: Pool) -> None:
    with pytest.raises(SchemaMismatch, match="apply the migrations"):
        await PostgresStores(empty_pool).signals.recent(1)


@pytest.mark.parametrize("said", ["\x00", "half a pair \ud83d", "tab\tand\nline", "🙂"])
async def test_whatever_a_venue_says_can_be_stored(pool: Pool, said: str) -> None:
    # Arrange
    stores = PostgresStores(pool)
    await stores.orders.record_intent((order(reason=said),), signal_id=SignalId("s1"))

    # Act
    await stores.orders.transition(O1, expected=OrderState.INTENT, state=OrderState.DENIED, cause=said, at=at(1))
    entry = entry_of_journal()
    await stores.journal.append(type(entry)(at=at(0), kind=said, task_id=None, data={said: [said, Decimal("1.50")]}))

    # Assert
    as_stored = said.replace("\x00", "\ufffd").replace("\ud83d", "?")
    assert (await stores.orders.order_events(O1))[-1][3] == as_stored
    assert (await stores.journal.recent(1))[0].entry.data == {as_stored: [as_stored, "1.50"]}


# ---------------------------------------------------------------------------------------------------------- the pool


async def test_a_server_that_is_down_is_named_without_its_password(unused_tcp_port_factory: Callable[[], int]) -> None:
    # Arrange
    port = unused_tcp_port_factory()

    # Act
    with pytest.raises(DatabaseUnavailable) as raised:
        await open_pool(f"postgresql://trader:geheim@127.0.0.1:{port}/books")

    # Assert
    said = str(raised.value)
    assert f"PostgreSQL at 127.0.0.1:{port}, database 'books', user 'trader'" in said
    assert "correct DATABASE_URL" in said
    assert "geheim" not in said


async def test_a_database_that_does_not_exist_is_unavailable(dsn: str) -> None:
    missing = dsn.replace(urlsplit(dsn).path, "/missing")
    with pytest.raises(DatabaseUnavailable, match=r"database 'missing'.*does not exist"):
        await open_pool(missing)


@pytest.mark.parametrize(
    "wrong", ["mysql://u:geheim@h/d", "postgresql://u:geheim@h:port/d", "postgresql://u:geheim@[::1/d"]
)
async def test_an_address_that_is_none_is_a_wrong_setting_and_keeps_its_secret(wrong: str) -> None:
    with pytest.raises(ConfigError, match="DATABASE_URL") as raised:
        await open_pool(wrong)
    assert "geheim" not in str(raised.value)


@pytest.mark.parametrize(
    ("dsn_text", "place"),
    [
        ("postgresql://u:p@db.example:6000/x", "PostgreSQL at db.example:6000, database 'x', user 'u'"),
        (
            "postgresql:///x?host=/run/pg&port=5433&user=u&password=p",
            "PostgreSQL at /run/pg:5433, database 'x', user 'u'",
        ),
        ("postgresql://u@db/", "PostgreSQL at db:5432, database 'u', user 'u'"),
    ],
)
def test_a_place_is_told_without_its_password(dsn_text: str, place: str) -> None:
    assert place_of(dsn_text) == place


async def test_commits_are_durable_even_where_the_database_says_otherwise(dsn: str) -> None:
    # Arrange
    async with admin_of(dsn) as admin:
        await admin.execute(f"ALTER DATABASE {urlsplit(dsn).path.lstrip('/')} SET synchronous_commit = off")

    # Act, assert
    async with admin_of(dsn) as pool:
        assert await pool.fetchval("SHOW synchronous_commit") == "on"
        assert await durability_faults(pool) == ()


async def test_a_setting_that_can_lose_a_commit_is_told_with_the_next_step(dsn: str) -> None:
    async with admin_of(dsn) as pool, pool.acquire() as connection:
        await connection.execute("SET synchronous_commit = off")
        faults = await durability_faults(connection)
    says = "PostgreSQL setting synchronous_commit is 'off', needs 'on': a power cut can undo what was committed"
    assert faults == (says,)
