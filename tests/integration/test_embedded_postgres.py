"""The embedded server with the real PostgreSQL binaries: every start here is a real one, in a directory of its own."""

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import asyncpg
import pytest

from bot.database.embedded import EmbeddedPostgres
from bot.errors import DatabaseUnavailable, StorageError

ServerAt = Callable[[Path], EmbeddedPostgres]

PROJECT = Path(__file__).resolve().parents[2]

# What a daemon does until it is killed.
DAEMON = """
import asyncio, sys
from pathlib import Path
from bot.database.embedded import EmbeddedPostgres

async def main():
    await EmbeddedPostgres(Path(sys.argv[1]), sleep=asyncio.sleep).start()
    print("started", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
async def server_at() -> AsyncIterator[ServerAt]:
    """Makes servers on given directories and stops each at the end, whoever started it."""
    made: list[EmbeddedPostgres] = []

    def make(directory: Path) -> EmbeddedPostgres:
        made.append(EmbeddedPostgres(directory, sleep=asyncio.sleep))
        return made[-1]

    yield make
    for server in made:
        with contextlib.suppress(StorageError):
            await server.stop()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "pg"


def pid_of(directory: Path) -> int:
    return int((directory / "cluster" / "postmaster.pid").read_text().split()[0])


def is_running(pid: int) -> bool:
    """False for a dead process, and for one that only waits for its parent to notice its death."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def until_gone(pid: int) -> None:
    for _ in range(1000):
        if not is_running(pid):
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"process {pid} is still running after 10 s")


async def fetch(dsn: str, query: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_first_start_makes_a_durable_database_that_no_network_reaches(
    server_at: ServerAt, directory: Path
) -> None:
    # Act
    dsn = await server_at(directory).start()

    # Assert
    assert await fetch(dsn, "SELECT current_user || ' ' || current_database()") == "bot bot"
    assert await fetch(dsn, "SHOW listen_addresses") == ""
    for setting in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums"):
        assert await fetch(dsn, f"SHOW {setting}") == "on", setting
    assert await fetch(dsn, "SHOW server_encoding") == "UTF8"
    assert await fetch(dsn, "SHOW timezone") == "UTC"
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


async def test_the_daemons_role_reaches_neither_files_nor_programs(server_at: ServerAt, directory: Path) -> None:
    dsn = await server_at(directory).start()

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await fetch(dsn, "SELECT pg_read_file('/etc/hostname')")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await fetch(dsn, "COPY (SELECT 1) TO PROGRAM 'true'")


async def test_progress_is_told_in_sentences(directory: Path) -> None:
    told: list[str] = []
    server = EmbeddedPostgres(directory, sleep=asyncio.sleep, on_progress=told.append)

    await server.start()
    await server.stop()

    assert told == ["Making the database, once, a few seconds ...", "Starting the database ..."]


async def test_dsn_before_a_start_says_what_to_do(server_at: ServerAt, directory: Path) -> None:
    with pytest.raises(DatabaseUnavailable, match=r"not started; next step: await start\(\)"):
        server_at(directory).dsn()


async def test_stop_ends_the_server_and_the_next_start_has_its_data(server_at: ServerAt, directory: Path) -> None:
    # Arrange
    server = server_at(directory)
    dsn = await server.start()
    pid = pid_of(directory)
    await fetch(dsn, "CREATE TABLE kept AS SELECT 42 AS answer")

    # Act
    await server.stop()

    # Assert
    await until_gone(pid)
    await server.stop()  # a second one does nothing
    assert await fetch(await server.start(), "SELECT answer FROM kept") == 42
    assert not server.reused


async def test_the_server_is_in_a_session_of_its_own_so_ctrl_c_is_not_for_it(
    server_at: ServerAt, directory: Path
) -> None:
    await server_at(directory).start()

    assert os.getsid(pid_of(directory)) != os.getsid(0)
    assert os.getpgid(pid_of(directory)) != os.getpgid(0)


async def test_a_server_left_by_a_killed_daemon_is_used_again(server_at: ServerAt, directory: Path) -> None:
    # Arrange
    daemon = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", DAEMON, str(directory)), cwd=PROJECT, stdout=asyncio.subprocess.PIPE
    )
    assert daemon.stdout is not None
    assert await daemon.stdout.readline() == b"started\n"
    pid = pid_of(directory)

    # Act
    daemon.send_signal(signal.SIGKILL)
    await daemon.communicate()
    server = server_at(directory)
    dsn = await server.start()

    # Assert
    assert server.reused
    assert pid_of(directory) == pid
    assert await fetch(dsn, "SELECT 1") == 1


async def test_two_starts_at_once_give_one_server(server_at: ServerAt, directory: Path) -> None:
    first, second = server_at(directory), server_at(directory)

    dsns = await asyncio.gather(first.start(), second.start())

    assert dsns[0] == dsns[1]
    assert sorted([first.reused, second.reused]) == [False, True]


async def test_a_killed_server_recovers_what_was_committed(server_at: ServerAt, directory: Path) -> None:
    # Arrange
    server = server_at(directory)
    dsn = await server.start()
    await fetch(dsn, "CREATE TABLE kept AS SELECT 42 AS answer")
    pid = pid_of(directory)

    # Act
    os.kill(pid, signal.SIGKILL)
    await until_gone(pid)

    # Assert
    assert pid_of(directory) == pid  # the mark is stale now
    assert await fetch(await server.start(), "SELECT answer FROM kept") == 42
    assert not server.reused


async def test_a_stranger_that_got_the_old_pid_is_left_alone_and_does_not_stop_us(
    server_at: ServerAt, directory: Path
) -> None:
    # Arrange: the worst case, a process of the same account, which makes PostgreSQL itself refuse to start
    server = server_at(directory)
    await server.start()
    mark = directory / "cluster" / "postmaster.pid"
    lines = mark.read_text().splitlines()
    await server.stop()
    owner = directory.stat()
    as_owner = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    stranger = subprocess.Popen(["sleep", "600"], cwd="/", **as_owner)  # type: ignore[call-overload]
    try:
        mark.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        os.chown(mark, owner.st_uid, owner.st_gid)

        # Act
        dsn = await server.start()

        # Assert
        assert await fetch(dsn, "SELECT 1") == 1
        assert not server.reused
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


async def test_a_copy_of_a_data_directory_gets_its_own_server(server_at: ServerAt, directory: Path) -> None:
    # Arrange: a copy of a running server's directory has the mark of a server that is not its own
    original = server_at(directory)
    await original.start()
    await original.stop()
    copy = directory.with_name("copy")
    subprocess.run(["cp", "-a", str(directory), str(copy)], check=True)
    await original.start()
    mark = directory / "cluster" / "postmaster.pid"
    shutil.copy2(mark, copy / "cluster" / "postmaster.pid")
    os.chown(copy / "cluster" / "postmaster.pid", mark.stat().st_uid, mark.stat().st_gid)

    # Act
    server = server_at(copy)
    dsn = await server.start()

    # Assert
    assert not server.reused
    assert await fetch(dsn, "SELECT 1") == 1
    assert pid_of(copy) != pid_of(directory)
    assert is_running(pid_of(directory))


async def test_a_server_whose_socket_was_deleted_is_replaced(server_at: ServerAt, tmp_path: Path) -> None:
    # Arrange
    directory = tmp_path / "pg"
    server = server_at(directory)
    await server.start()
    pid = pid_of(directory)
    socket_directory = Path((directory / "cluster" / "postmaster.pid").read_text().splitlines()[4])
    (socket_directory / ".s.PGSQL.5432").unlink()

    # Act
    dsn = await server.start()

    # Assert
    assert not server.reused
    assert not is_running(pid)
    assert await fetch(dsn, "SELECT 1") == 1


@pytest.mark.parametrize("name", ["long-" * 20, "it's, odd \u00e4"], ids=["too long", "odd characters"])
async def test_a_path_that_no_socket_can_have_gets_a_short_private_one(
    server_at: ServerAt, tmp_path: Path, name: str
) -> None:
    # Act
    directory = tmp_path / name
    server = server_at(directory)
    dsn = await server.start()

    # Assert
    short = Path((directory / "socket-directory").read_text().strip())
    assert stat.S_IMODE(short.stat().st_mode) == 0o700
    assert await fetch(dsn, "SELECT 1") == 1
    await server.stop()
    assert not short.exists()


async def test_an_interrupted_initdb_is_made_anew(server_at: ServerAt, directory: Path) -> None:
    server = server_at(directory)
    await server.start()
    await server.stop()
    (directory / "cluster").rename(directory / "cluster.new")  # as if killed before the last step

    assert await fetch(await server.start(), "SELECT 1") == 1
    assert not (directory / "cluster.new").exists()


async def test_files_of_another_major_version_are_named_and_left_alone(server_at: ServerAt, directory: Path) -> None:
    server = server_at(directory)
    await server.start()
    await server.stop()
    (directory / "cluster" / "PG_VERSION").write_text("14\n")

    with pytest.raises(StorageError, match=r"PostgreSQL 14 and this is PostgreSQL 18; next step: dump"):
        await server.start()
    (directory / "cluster" / "PG_VERSION").write_text("18\n")
    assert await fetch(await server.start(), "SELECT 1") == 1


async def test_a_failed_start_shows_the_servers_own_words(server_at: ServerAt, directory: Path) -> None:
    server = server_at(directory)
    await server.start()
    await server.stop()
    (directory / "cluster" / "global" / "pg_control").write_bytes(b"")

    with pytest.raises(StorageError, match=r"(?s)did not start; next step.*pg_control"):
        await server.start()


async def test_a_directory_that_cannot_be_made_is_one_clear_error(server_at: ServerAt, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(StorageError, match=r"file/pg: could not prepare the data directory .*; next step: free space"):
        await server_at(tmp_path / "file" / "pg").start()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_an_unwritable_directory_is_one_clear_error(server_at: ServerAt, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StorageError, match=r"Permission denied.*; next step: .*make the directory writable"):
            await server_at(tmp_path / "pg").start()
    finally:
        tmp_path.chmod(0o700)


async def test_a_directory_with_files_of_others_is_not_taken_over(server_at: ServerAt, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    tmp_path.chmod(0o755)

    with pytest.raises(StorageError, match="files that are not ours"):
        await server_at(tmp_path).start()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
    assert tmp_path.stat().st_uid == os.geteuid()


async def test_databases_for_tests_are_made_from_a_template_and_removed(server_at: ServerAt, directory: Path) -> None:
    # Arrange
    server = server_at(directory)
    await fetch(await server.start(), "CREATE TABLE made (answer int)")

    # Act
    dsn = await server.create_database("one_test", template="bot")

    # Assert
    assert await fetch(dsn, "SELECT count(*) FROM made") == 0
    await server.drop_database("one_test")
    await server.drop_database("one_test")
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await fetch(dsn, "SELECT 1")
    with pytest.raises(ValueError, match="database name 'x; --'"):
        await server.create_database("x; --")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to another user")
async def test_root_leaves_a_users_directory_to_that_user(server_at: ServerAt, directory: Path) -> None:
    # Arrange
    user = pwd.getpwnam("nobody")
    directory.mkdir(mode=0o700)
    os.chown(directory, user.pw_uid, user.pw_gid)

    # Act
    await server_at(directory).start()

    # Assert
    assert {path.stat().st_uid for path in directory.rglob("*") if not path.is_socket()} == {user.pw_uid}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may use everybody's directory")
async def test_the_directory_of_another_user_is_one_clear_error(server_at: ServerAt) -> None:
    with pytest.raises(StorageError, match=r"belongs to root and this is .*; next step: run as its owner"):
        await server_at(Path("/var")).start()
