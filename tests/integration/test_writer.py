"""One daemon sends on a database: the lock, the epoch, how soon a lost one is noticed, and how it comes back."""

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import asyncpg
import pytest
from loguru import logger

from bot.clock import ManualClock, SystemClock
from bot.database.embedded import EmbeddedPostgres
from bot.database.migrate import migrate
from bot.database.pool import Pool, open_pool
from bot.database.postgres import PostgresStores
from bot.database.writer import WRITER_LOCK, WriterLock
from bot.errors import NotTheWriter
from bot.interfaces import Stores
from bot.models import ClientOrderId, OrderState
from tests.contract.store_builders import at, order
from tests.integration.daemons import PROJECT, RunningDaemon
from tests.postgres import Databases

# A server is shared by tests that run at the same time: only what is held in this database is ours.
HELD = """
    SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
    WHERE locktype = 'advisory' AND granted AND datname = current_database()
"""
CUT = """
    SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
    WHERE locktype = 'advisory' AND granted AND datname = current_database()
"""

OTHERS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
PATIENCE_S = 30.0


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What the log says of the lock."""
    lines: list[str] = []
    sink = logger.add(
        lambda line: lines.append(str(line)), format="{message}", filter="bot.database.writer", level="INFO"
    )
    yield lines
    logger.remove(sink)


async def send(stores: Stores, name: str) -> None:
    """What comes before the first byte of an order."""
    first = order(name, signal=None)
    await stores.orders.record_intent((first,), signal_id=None)
    await stores.orders.transition(
        first.client_order_id, expected=OrderState.INTENT, state=OrderState.SENDING, cause="test", at=at(1)
    )


async def test_a_second_daemon_on_the_same_database_is_refused_by_name(databases: Databases) -> None:
    async with databases.fresh() as dsn, WriterLock(dsn, SystemClock()).held() as first:
        with pytest.raises(NotTheWriter, match="another daemon trades on this database"):
            async with WriterLock(dsn, SystemClock()).held():
                pass
        assert first.is_held


async def test_a_lock_that_was_given_back_can_be_taken_again_with_a_later_epoch(databases: Databases) -> None:
    async with databases.fresh() as dsn:
        async with WriterLock(dsn, SystemClock()).held() as first:
            before = first.epoch()
        assert first.refusal() == "given back"
        async with WriterLock(dsn, SystemClock()).held() as second:
            assert second.epoch() == before + 1


async def test_the_writer_stores_intents_and_sends(databases: Databases) -> None:
    async with databases.fresh() as dsn, WriterLock(dsn, SystemClock()).held() as lock:
        pool = await open_pool(dsn)
        stores = PostgresStores(pool, lock.epoch)
        await send(stores, "o1")
        assert (await stores.orders.order(ClientOrderId("o1"))).state is OrderState.SENDING
        await stores.close()


async def test_a_lost_lock_connection_stops_sending_within_a_second(databases: Databases) -> None:
    async with databases.fresh() as dsn, WriterLock(dsn, SystemClock()).held() as lock:
        pool = await open_pool(dsn)
        stores = PostgresStores(pool, lock.epoch)
        await cut(pool)
        began = SystemClock().monotonic()
        await until(lambda: not lock.is_held)
        assert SystemClock().monotonic() - began < 1
        with pytest.raises(NotTheWriter):
            await send(stores, "o1")
        assert await stores.orders.unfinished_orders() == []
        await stores.close()


async def test_a_lock_whose_connection_was_cut_is_taken_back_under_its_epoch_and_sends_go_on(
    databases: Databases, said: list[str]
) -> None:
    async with databases.fresh() as dsn, WriterLock(dsn, SystemClock()).held() as lock:
        pool = await open_pool(dsn)
        stores, epoch = PostgresStores(pool, lock.epoch), lock.epoch()
        told: list[bool] = []
        lock.told = lambda: told.append(lock.is_held)
        for name in ("o1", "o2"):  # each time, not only the first
            # Act
            await cut(pool)
            await until(lambda: not lock.is_held)
            refusal = lock.refusal()
            with pytest.raises(NotTheWriter, match="nothing is sent"):
                await send(stores, name)
            await until(lambda: lock.is_held)

            # Assert
            assert (refusal != "", lock.refusal(), lock.epoch()) == (True, "", epoch)
            await send(stores, name)
            assert (await stores.orders.order(ClientOrderId(name))).state is OrderState.SENDING
            assert await pool.fetchval(HELD) == 1
        await stores.close()
        assert told == [False, True] * 2
    assert [line.split(":")[0].split(" after ")[0] for line in said] == ["writer lock lost", "writer lock is back"] * 2


async def test_a_lock_that_somebody_merely_holds_is_waited_for_and_taken_back(databases: Databases) -> None:
    clock = ManualClock()
    async with databases.fresh() as dsn, WriterLock(dsn, clock).held() as lock:
        # Arrange: as a daemon does that has not raised the epoch yet, or a restore
        pool, other, epoch = await open_pool(dsn), await asyncpg.connect(dsn), lock.epoch()
        await cut(pool)
        assert await other.fetchval("SELECT pg_try_advisory_lock($1)", WRITER_LOCK)

        # Act
        for _ in range(4):  # the first turn ends a look, each other one is a try
            await until(lambda: clock.sleepers == 1)
            clock.advance(1)
        await until(lambda: clock.sleepers == 1)
        assert not lock.is_held
        await other.close()
        await until(lambda: lock.is_held, clock)

        # Assert
        assert lock.epoch() == epoch
        await pool.close()


async def test_a_lock_that_another_writer_took_meanwhile_is_lost_for_good(databases: Databases) -> None:
    clock = ManualClock()
    async with databases.fresh() as dsn, WriterLock(dsn, clock).held() as lock:
        pool = await open_pool(dsn)
        stores = PostgresStores(pool, lock.epoch)
        await cut(pool)
        async with WriterLock(dsn, SystemClock()).held() as other:
            ending = asyncio.create_task(lock.watch())
            await until(ending.done, clock)
            with pytest.raises(NotTheWriter, match="another daemon has taken over"):
                ending.result()
            assert other.is_held
        for _ in range(3):  # the other one is gone, and still we were not the last writer
            clock.advance(1)
            assert await pool.fetchval(HELD) == 0
        with pytest.raises(NotTheWriter, match="another daemon has taken over"):
            await send(stores, "o1")
        assert await stores.orders.unfinished_orders() == []
        await stores.close()


async def test_a_writer_that_nobody_follows_is_watched_until_it_gives_back(databases: Databases) -> None:
    async with databases.fresh() as dsn:
        async with WriterLock(dsn, SystemClock()).held() as lock:
            watching = asyncio.create_task(lock.watch())
            assert not watching.done()
        await watching
        assert not lock.is_held


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 10, 30, 100, 300, 1000, 3000])
async def test_a_give_back_during_the_taking_back_leaves_no_lock_no_connection_and_no_task(
    databases: Databases, turns: int
) -> None:
    clock = ManualClock()
    async with databases.fresh() as dsn:
        # Arrange
        pool = await open_pool(dsn, most=1)
        before = asyncio.all_tasks()
        async with WriterLock(dsn, clock).held() as lock:
            await cut(pool)
            await until(lambda: not lock.is_held)
            clock.advance(1)  # ends a look
            await until(lambda: clock.sleepers == 1)

            # Act
            clock.advance(1)
            for _ in range(turns):
                await asyncio.sleep(0)

        # Assert
        assert not lock.is_held
        assert asyncio.all_tasks() == before
        async with asyncio.timeout(PATIENCE_S):
            while await pool.fetchval(OTHERS):
                await SystemClock().sleep(0.01)
        assert await pool.fetchval(HELD) == 0
        await pool.close()


async def test_a_server_that_falls_silent_stops_sending_within_a_second_and_heals_although_it_kept_the_old_session(
    databases: Databases, said: list[str]
) -> None:
    async with databases.fresh() as direct, relayed(direct) as (dsn, relay):
        pool = await open_pool(direct)
        async with WriterLock(dsn, SystemClock()).held() as lock:
            # Act
            epoch, began = lock.epoch(), SystemClock().monotonic()
            relay.fall_silent()
            await until(lambda: not lock.is_held)
            noticed_after_s = SystemClock().monotonic() - began
            await until(lambda: relay.left == 1)
            kept = await pool.fetchval(HELD)
            relay.speak()
            await until(lambda: lock.is_held)

            # Assert
            assert noticed_after_s < 1
            assert kept == 1, "the server knows nothing of the loss"
            assert (lock.epoch(), await pool.fetchval(HELD)) == (epoch, 1)
        assert len(said) == 2
        await pool.close()


async def test_a_give_back_does_not_wait_for_a_silent_server(databases: Databases) -> None:
    clock = ManualClock()
    async with databases.fresh() as direct, relayed(direct) as (dsn, relay):
        before = asyncio.all_tasks()
        async with WriterLock(dsn, clock).held() as lock:
            relay.fall_silent()
            await until(lambda: not lock.is_held, clock)
            await until(lambda: relay.unanswered > 0, clock)
            began = SystemClock().monotonic()
        assert SystemClock().monotonic() - began < 2
        await until(lambda: asyncio.all_tasks() <= before | relay.tasks)


async def test_a_server_that_was_killed_and_started_again_has_the_same_writer(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "server", sleep=SystemClock().sleep)
    dsn = await server.start()
    try:
        pool = await open_pool(dsn)
        await migrate(pool, SystemClock())
        async with WriterLock(dsn, SystemClock()).held() as lock:
            epoch, stores = lock.epoch(), PostgresStores(pool, lock.epoch)

            # Act
            mark = tmp_path / "server" / "cluster" / "postmaster.pid"
            os.kill(int(mark.read_text().split("\n", 1)[0]), signal.SIGKILL)
            await until(lambda: not lock.is_held)
            assert await server.start() == dsn
            await until(lambda: lock.is_held)

            # Assert
            assert lock.epoch() == epoch
            await send(stores, "o1")
        await stores.close()
    finally:
        await server.stop()


async def test_a_writer_that_has_not_noticed_its_loss_is_fenced_by_the_epoch_of_the_next(databases: Databases) -> None:
    async with databases.fresh() as dsn, WriterLock(dsn, ManualClock()).held() as first:
        pool = await open_pool(dsn)
        epoch = first.epoch()
        unaware = PostgresStores(pool, lambda: epoch)
        await unaware.orders.record_intent((order("o1", signal=None),), signal_id=None)
        await cut(pool)
        async with WriterLock(dsn, SystemClock()).held():
            with pytest.raises(NotTheWriter, match="another daemon has taken over"):
                await unaware.orders.record_intent((order("o2", signal=None),), signal_id=None)
            with pytest.raises(NotTheWriter):
                await unaware.orders.transition(
                    ClientOrderId("o1"), expected=OrderState.INTENT, state=OrderState.SENDING, cause="test", at=at(1)
                )
            assert (await unaware.orders.order(ClientOrderId("o1"))).state is OrderState.INTENT
        await unaware.close()


async def cut(pool: Pool) -> None:
    """End the connection that holds the lock, and wait until the server has let go of it."""
    await pool.execute(CUT)
    async with asyncio.timeout(PATIENCE_S):
        while await pool.fetchval(HELD):
            await SystemClock().sleep(0.01)


async def until(holds: Callable[[], bool], clock: ManualClock | None = None) -> None:
    """Wait, not for ever, for what the lock does; its own clock goes on meanwhile, if it is a manual one."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds():
            if clock is not None:
                clock.advance(1)
            await SystemClock().sleep(0.01)


class Relay:
    """The way to a server, which can fall silent: what is connected then stays so, on both sides, and hears nothing."""

    def __init__(self, server: str) -> None:
        """`server` is the path of its socket."""
        self.unanswered = 0  # connections that came while it was silent
        self.left = 0  # connections that fell silent, and that one side has ended since: the other does not hear of it
        self.tasks: set[asyncio.Task[None]] = set()
        self._server = server
        self._is_silent = False
        self._silenced: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []

    def fall_silent(self) -> None:
        """For what is connected, for ever; for others, until it speaks."""
        self._is_silent = True
        self._silenced |= self.tasks

    def speak(self) -> None:
        """Who comes from now on is heard."""
        self._is_silent = False

    async def let_in(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Bring one more to the server."""
        self._writers.append(writer)
        if self._is_silent:
            self.unanswered += 1
            return
        answers, questions = await asyncio.open_unix_connection(self._server)
        self._writers.append(questions)
        for source, target in ((reader, questions), (answers, writer)):
            self.tasks.add(asyncio.create_task(self._pass_on(source, target)))

    async def close(self) -> None:
        """End everything."""
        for each in self.tasks:
            each.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()

    async def _pass_on(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(2**16):
            if asyncio.current_task() not in self._silenced:
                target.write(data)
        if asyncio.current_task() in self._silenced:
            self.left += 1
        else:
            target.close()


@asynccontextmanager
async def relayed(dsn: str) -> AsyncIterator[tuple[str, Relay]]:
    """DSN of the same database by way of a relay."""
    (directory,) = parse_qs(urlsplit(dsn).query)["host"]
    with tempfile.TemporaryDirectory() as ours:  # a short path: sockets have no other
        relay = Relay(f"{directory}/.s.PGSQL.5432")
        server = await asyncio.start_unix_server(relay.let_in, f"{ours}/.s.PGSQL.5432")
        try:
            yield dsn.replace(quote(directory, safe=""), quote(ours, safe="")), relay
        finally:
            server.close()
            await relay.close()


async def test_a_second_daemon_process_refuses_to_start_and_says_why(databases: Databases, tmp_path: Path) -> None:
    async with databases.fresh() as dsn, WriterLock(dsn, SystemClock()).held():
        command = [sys.executable, "-P", "-m", "bot.cli", "run", "--data", str(tmp_path / "data"), "--port", "0"]
        environment = {**os.environ, "PYTHONPATH": str(PROJECT), "DATABASE_URL": dsn}
        second = await asyncio.create_subprocess_exec(
            *command, env=environment, cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        _, said = await second.communicate()
        assert (second.returncode, b"another daemon trades on this database" in said) == (NotTheWriter.exit_code, True)


async def test_a_daemon_process_whose_lock_another_took_meanwhile_ends_and_says_why(
    databases: Databases, tmp_path: Path
) -> None:
    async with databases.fresh() as dsn:
        daemon = await asyncio.to_thread(RunningDaemon, tmp_path / "data", DATABASE_URL=dsn)
        try:
            pool = await open_pool(dsn, most=1)
            async with taken_over(pool, dsn) as successor:
                code = await asyncio.to_thread(daemon.process.wait, PATIENCE_S)
                assert (code, successor.is_held) == (NotTheWriter.exit_code, True)
            assert "error: another daemon has taken over" in daemon.errors.read_text()
            assert "writer lock lost for good" in daemon.log.read_text()
            await pool.close()
        finally:
            daemon.process.kill()
            daemon.process.wait()


async def test_a_daemon_process_whose_lock_connection_was_cut_goes_on(databases: Databases, tmp_path: Path) -> None:
    async with databases.fresh() as dsn:
        daemon = await asyncio.to_thread(RunningDaemon, tmp_path / "data", DATABASE_URL=dsn)
        try:
            pool = await open_pool(dsn, most=1)
            epoch = await pool.fetchval("SELECT epoch FROM writer")
            await cut(pool)
            away = await health_with(daemon, "away")
            async with asyncio.timeout(PATIENCE_S):
                while not await pool.fetchval(HELD):
                    await SystemClock().sleep(0.01)
            await until(lambda: "writer lock is back" in daemon.log.read_text())
            back = await health_with(daemon, "held")
            assert (away["status"], len(away["entries_blocked"])) == ("degraded", 3)
            assert not any("writer lock" in each for each in back["entries_blocked"])
            assert await pool.fetchval("SELECT epoch FROM writer") == epoch
            await pool.close()
            assert await asyncio.to_thread(daemon.stop) == 0
        finally:
            daemon.process.kill()
            daemon.process.wait()


async def health_with(daemon: RunningDaemon, writer_lock: str) -> Any:
    """What it tells of itself when it says that of its lock."""
    async with asyncio.timeout(PATIENCE_S):
        while (told := await asyncio.to_thread(daemon.api, "/health"))["writer_lock"] != writer_lock:
            await SystemClock().sleep(0.01)
    return told


@asynccontextmanager
async def taken_over(pool: Pool, dsn: str) -> AsyncIterator[WriterLock]:
    """Another writer, that was faster than the one whose connection was cut to make room for it."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            await cut(pool)
            taking = WriterLock(dsn, SystemClock()).held()
            try:
                other = await taking.__aenter__()
            except NotTheWriter:
                continue
            break
    try:
        yield other
    finally:
        await taking.__aexit__(None, None, None)
