"""What befalls a daemon of tier C besides its line: its account, its database, its files; and the person who answers.

Each mishap has its own dice of the seed's tape, thrown at each kill, or once in the middle of a life.
"""

import asyncio
import json
import resource
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from aiohttp import ClientSession

from bot.database.access import Database
from bot.database.archive import new_archive, open_archive
from bot.database.backup import back_up, restore
from bot.database.embedded import EmbeddedPostgres
from bot.database.pool import Pool
from bot.errors import NotTheWriter
from bot.instruments import BINANCE
from bot.interfaces import Clock
from bot.models import ClientOrderId, entry_of
from bot.simulation.fault_proxy import FaultProxy
from bot.simulation.tape import Tape
from bot.simulation.tier_c import ORDERS, Span
from bot.wiring.simulate_c_processes import Daemon, until

_REFUSED_WITHIN_S: Final = 90.0  # the line may be down meanwhile: who answers is then known late
_STARTED_WITHIN_S: Final = 60.0
_FREE_WITHIN_S: Final = 20.0  # the server notices that a killed daemon has gone
_ANOTHER_UID: Final = 111_112_222
_NEWER: Final = "INSERT INTO schema_migrations VALUES (9999, '9999_of_a_newer_version.sql', repeat('0', 64), now())"
_OLDER: Final = "DELETE FROM schema_migrations WHERE number = 9999"
_SAYS_UNSAFE: Final = "PostgreSQL setting fsync is 'off'"
_STARVED_S: Final = (3.0, 12.0)


@dataclass(slots=True, kw_only=True)
class Mishaps:
    """Of one seed. `broken` are sentences about what a daemon did that it must not do; `lost` are the orders that a
    restored database does not know, and since when; `starved` the times without a file."""

    folder: Path
    settings: Mapping[str, str]
    session: ClientSession
    fakes_url: str
    proxies: Sequence[FaultProxy]
    tape: Tape
    pool: Pool
    server: EmbeddedPostgres
    server_settings: asyncio.Lock
    clock: Clock
    broken: list[str] = field(default_factory=list)
    lost: dict[str, datetime] = field(default_factory=dict)
    starved: list[Span] = field(default_factory=list)
    restored: int = 0
    _backup: Path | None = None

    async def in_a_life(self, daemon: Daemon) -> None:
        """A backup is made while it works (D7), and it runs out of files (P7)."""
        if self._backup is None and self.tape.fires("D7"):
            path = self.folder / f"backup-{self.restored}.zip"
            with new_archive(path) as archive:
                await back_up(self.pool, archive, self.clock)
            self._backup = path
        if self.tape.fires("P7"):
            await self._starve(daemon)

    async def at_a_kill(self) -> None:
        """Between the end of one process and the start of the next."""
        if self._backup is not None:
            await self._restore(self._backup)
            self._backup = None
        if self.tape.fires("D9"):
            await self._of_a_newer_version()
        if self.tape.fires("B21"):
            await self._of_another_account()
        if self.tape.fires("D8"):
            await self._unsafe()

    # ------------------------------------------------------------------------------------------------------- database

    async def _restore(self, backup: Path) -> None:
        """All that was stored since the backup is gone; who restores tries until the dead daemon's lock is."""
        before = await self._orders()
        if not await until(lambda: self._is_restored(backup), _FREE_WITHIN_S, clock=self.clock):
            raise NotTheWriter("the lock of a daemon that was killed is still held; its database was not restored")
        gone = before - await self._orders()
        self.lost = dict.fromkeys(gone, self.clock.now()) | self.lost
        self.restored += 1

    async def _is_restored(self, backup: Path) -> bool:
        try:
            with open_archive(backup) as archive:
                await restore(self.pool, archive, self.clock, replace=True)
        except NotTheWriter:
            return False
        return True

    async def _orders(self) -> set[str]:
        return {row[0] for row in await Database(self.pool).rows(ORDERS)}

    async def _of_a_newer_version(self) -> None:
        await self.pool.execute(_NEWER)
        try:
            await self._refused("I17 D9", "a database of a newer version", says="the database is newer than this code")
        finally:
            await self.pool.execute(_OLDER)

    async def _unsafe(self) -> None:
        """Told at the start, since no real money moves in paper mode; live mode would not start."""
        async with self.server_settings:
            await self.server.configure("fsync", "off")
            begun = self._log_size()
            daemon = await Daemon.start(self.folder, self.settings, self.session)
            try:
                if not await until(lambda: self._said(_SAYS_UNSAFE, begun), _STARTED_WITHIN_S, clock=self.clock):
                    self.broken.append("I17 D8: a database that would lose commits in a power cut was not told")
            finally:
                await daemon.kill()
                await self.server.configure("fsync", "on")

    # -------------------------------------------------------------------------------------------------------- account

    async def _of_another_account(self) -> None:
        ours = await self._key_leads_to(_ANOTHER_UID)
        try:
            await self._refused("I13 B21", "the account of somebody else", says="belongs to account", only=BINANCE)
        finally:
            await self._key_leads_to(ours)

    async def _key_leads_to(self, uid: int) -> int:
        async with self.session.put(f"{self.fakes_url}/binance/uid", data=str(uid)) as answer:
            return int(await answer.text())

    async def _refused(self, name: str, what: str, *, says: str, only: str | None = None) -> None:
        """A daemon must not start on that, say why, and not send anything before it ends."""
        begun = self._log_size()
        proxies = [each for each in self.proxies if only in (None, each.broker_id)]
        sent = sum(each.traded for each in proxies)
        daemon = await Daemon.start(self.folder, self.settings, self.session)
        try:
            async with asyncio.timeout(_REFUSED_WITHIN_S):
                if await daemon.process.wait() == 0:
                    self.broken.append(f"{name}: a daemon on {what} ended as if all were well")
        except TimeoutError:
            self.broken.append(f"{name}: a daemon on {what} still ran after {_REFUSED_WITHIN_S:.0f} s")
        finally:
            await daemon.kill()
        if not await self._said(says, begun):
            self.broken.append(f"{name}: a daemon on {what} did not say why it ended")
        if sent != sum(each.traded for each in proxies):
            self.broken.append(f"{name}: a daemon on {what} sent something")

    # ---------------------------------------------------------------------------------------------------------- files

    async def _starve(self, daemon: Daemon) -> None:
        """What is open stays open, and nothing more can be; for a while no venue can be worked with."""
        since, lasts_s = self.clock.now(), self.tape.amount("P7", *_STARVED_S)
        with no_file_left(daemon.process.pid):
            await self.clock.sleep(lasts_s)
        self.starved.append(Span(broker_id="", since=since, until=self.clock.now()))

    # ------------------------------------------------------------------------------------------------------- a person

    async def answer(self) -> None:
        """What a person does after a restore: what it has lost, differs and may be adopted becomes ours again."""
        touched = {entry_of(ClientOrderId(each)) for each in self.lost}
        told = json.loads(await self._botctl("reconcile", "--json") or b"[]")
        for row in (row for broker in told for row in broker["differences"]):
            if entry_of(row["subject"]) in touched and "adopt" in row["answers"] and not row["ignored_by"]:
                await self._botctl("reconcile", "--adopt", row["id"])

    async def _botctl(self, *words: str) -> bytes:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "bot.cli", *words, "--data", str(self.folder / "data")),
            env=Daemon.environment(self.settings),
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=DEVNULL,
            cwd=self.folder,
        )
        return (await process.communicate())[0]

    # --------------------------------------------------------------------------------------------------------- its log

    def _log_size(self) -> int:
        path = self.folder / "log"
        return path.stat().st_size if path.exists() else 0

    async def _said(self, words: str, since: int) -> bool:
        return words.encode() in (self.folder / "log").read_bytes()[since:]


@contextmanager
def no_file_left(pid: int) -> Iterator[None]:
    """What that process has open stays open, and nothing more can be: the limit is on the number that comes next."""
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    taken = {int(each.name) for each in Path(f"/proc/{pid}/fd").iterdir()}
    free = next(number for number in range(len(taken) + 1) if number not in taken)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
