"""Wiring of `simulate --tier c`: real daemons in paper mode, fakes of the venues behind fault proxies, real kills."""

import asyncio
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from aiohttp import ClientSession, ClientTimeout

from bot.clock import SystemClock
from bot.database.access import Database
from bot.database.embedded import EmbeddedPostgres
from bot.database.pool import open_pool
from bot.errors import BotError
from bot.interfaces import Clock
from bot.simulation.campaign import SeedResult
from bot.simulation.catalogue import FAULTS_OF_PROCESSES
from bot.simulation.checks import Violation
from bot.simulation.fault_proxy import FaultProxy
from bot.simulation.tape import Tape
from bot.simulation.tier_c import (
    BOOK_CHECKS,
    BUDGET_S,
    ORDERS,
    PROTECTED_S,
    RECORDED,
    SETTLED_S,
    Books,
    Life,
    Plan,
    Recorded,
    Span,
    VenueBooks,
    differences,
    fired,
    known_spans,
    undisturbed,
    violations,
    waited_for_budget,
)
from bot.wiring.simulate_b import TEMPLATE
from bot.wiring.simulate_c_mishaps import Mishaps
from bot.wiring.simulate_c_processes import STOPPED_WITHIN_S, URLS, Daemon, fake_venues, until

CHECKED: Final = ("I1", "I2", "I3", "I6", "I8", "I9", "I10", "I17")
_ASK_WITHIN: Final = ClientTimeout(total=10)
_NOT_YET: Final = datetime.max.replace(tzinfo=UTC)
_UP_WITHIN_S: Final = 60.0
_HELD_WITHIN_S: Final = 150.0  # two candles of the fakes, and what a slow machine needs to judge them
_SETTLE_EVERY_S: Final = 1.0


@dataclass(slots=True)
class Place:
    """Where one seed happens."""

    plan: Plan
    folder: Path
    fakes_url: str
    settings: Mapping[str, str]
    proxies: Sequence[FaultProxy]
    tape: Tape
    database: Database
    session: ClientSession
    mishaps: Mishaps
    clock: Clock
    dead: list[Span] = field(default_factory=list)
    killed_at: datetime = _NOT_YET
    recovery_s: float = 0.0
    kills: int = 0
    kills_in_recovery: int = 0
    kills_with_positions: int = 0

    async def run(self) -> list[str]:
        """All lives, then the verdict: sentences about what broke, none if nothing did."""
        for life in self.plan.lives:
            await self._live(life)
            await self.mishaps.at_a_kill()
            self.killed_at = self.clock.now()  # who could not start before has not been slow
        self.tape.stop()
        for proxy in self.proxies:
            proxy.heal()
        return await self._verdict()

    async def _live(self, life: Life) -> None:
        daemon = await Daemon.start(self.folder, self.settings, self.session)
        try:
            if not life.in_recovery:
                await until(daemon.is_up, _UP_WITHIN_S, clock=self.clock)
                self._revived()
                if life.after_candle:  # the first look at candles loads history, later ones judge
                    await until(daemon.has_looked, _UP_WITHIN_S, clock=self.clock)
                    self._disturb()
                    await self.clock.sleep_until(_next_minute(self.clock.now()))
                if life.holding:
                    await until(self._holds, _HELD_WITHIN_S, clock=self.clock)
                await self.mishaps.in_a_life(daemon)
            await self.clock.sleep(life.after_s)
        finally:
            venues = await self.testimony()
            await daemon.kill()
        self._died()
        self.kills += 1
        self.kills_in_recovery += life.in_recovery
        self.kills_with_positions += any(each.held for each in venues.entries.values())

    async def _verdict(self) -> list[str]:
        daemon = await Daemon.start(self.folder, self.settings, self.session)
        try:
            await until(lambda: self._recovered(daemon), _UP_WITHIN_S, clock=self.clock)
            self.recovery_s = (self.clock.now() - self.killed_at).total_seconds()
            self._revived()
            log = (self.folder / "log").read_text(encoding="utf-8", errors="replace")
            late = self.recovery_s > PROTECTED_S + (BUDGET_S if waited_for_budget(log, self.killed_at) else 0.0)
            found = [f"I17 {self.recovery_s:.1f} s from kill -9 to all positions protected"] if late else []
            lost = self.mishaps.lost
            if not await until(self._settled, SETTLED_S, clock=self.clock, every_s=_SETTLE_EVERY_S):
                found += differences(await self.testimony(), await self.books(), lost)
            venues, books = await self.testimony(), await self.books()
            found += violations(venues, books, self._able(venues), lost)
            return [*self.mishaps.broken, *found, *await self._ended(daemon)]
        finally:
            await daemon.kill()

    async def _ended(self, daemon: Daemon) -> list[str]:
        try:
            code = await daemon.stop()
        except TimeoutError:
            return [f"I17 the last daemon did not end within {STOPPED_WITHIN_S:.0f} s of SIGINT"]
        return [f"I17 the last daemon ended with exit code {code}"] if code else []

    async def _holds(self) -> bool:
        return any(each.held for each in (await self.testimony()).entries.values())

    async def _recovered(self, daemon: Daemon) -> bool:
        """An entry that a restored database does not know has to wait for a person."""
        return await daemon.is_up() and not (await self.testimony()).bare - self.mishaps.lost.keys()

    async def _settled(self) -> bool:
        if self.mishaps.restored:
            await self.mishaps.answer()
        return not differences(await self.testimony(), await self.books(), self.mishaps.lost)

    async def testimony(self) -> VenueBooks:
        """What the venues know now."""
        async with self.session.get(self.fakes_url) as answer:
            return VenueBooks.read(await answer.json())

    async def books(self) -> Books:
        """What the database holds now."""
        broken = {name: [tuple(row) for row in await self.database.rows(query)] for name, query in BOOK_CHECKS.items()}
        recorded = [
            Recorded(entry=row[0], quantity=row[1], opened=row[2], closed=row[3])
            for row in await self.database.rows(RECORDED)
        ]
        orders = await self.database.rows(ORDERS)
        return Books(
            positions={each.entry: each for each in recorded},
            orders=frozenset(row[0] for row in orders),
            broken={name: rows for name, rows in broken.items() if rows},
        )

    def seen(self) -> Mapping[str, int]:
        """Counters of what happened."""
        return {
            "kills": self.kills,
            "kills in recovery": self.kills_in_recovery,
            "kills with positions": self.kills_with_positions,
            "seconds of recovery, worst": round(self.recovery_s),
        }

    def _disturb(self) -> None:
        """Faults begin once history is loaded: it would only take longer, and trade nothing meanwhile."""
        for proxy in self.proxies:
            proxy.tape = self.tape

    def _died(self) -> None:
        """The time without a daemon goes on over kills in recovery."""
        self.killed_at = self.clock.now()
        if not self.dead or self.dead[-1].until != _NOT_YET:
            self.dead.append(Span(broker_id="", since=self.killed_at, until=_NOT_YET))

    def _revived(self) -> None:
        if self.dead and self.dead[-1].until == _NOT_YET:
            self.dead[-1] = replace(self.dead[-1], until=self.clock.now())

    def _able(self, venues: VenueBooks) -> list[float]:
        disturbances = [each for proxy in self.proxies for each in proxy.disturbances]
        held_up = [*self.dead, *self.mishaps.starved]
        return [undisturbed(each, held_up, disturbances) for each in known_spans(venues.naked, self.mishaps.lost)]


async def run_seed(server: EmbeddedPostgres, plan: Plan, server_settings: asyncio.Lock) -> SeedResult:
    """One seed to its verdict. Its files stay where something broke. Who changes the server for all has the lock."""
    folder = Path(tempfile.mkdtemp(prefix=f"tier-c-{plan.seed}-"))
    name = f"tier_c_{os.getpid()}_{plan.seed}"
    dsn = await server.create_database(name, template=TEMPLATE)
    try:
        async with _place(plan, folder, dsn, server, server_settings) as place:
            begun_s = place.clock.monotonic()
            try:
                broken = await place.run()
            except BotError as error:
                broken = [f"I17 {error}"]
            result = await _result(place, broken, place.clock.monotonic() - begun_s)
    finally:
        await server.drop_database(name)
    if result.violation is None:
        shutil.rmtree(folder)
    return result


async def run_seeds(directory: Path, plans: Sequence[Plan], *, at_once: int) -> list[SeedResult]:
    """Some seeds, a few at a time, over the server of `simulation_server`; the results in the order of the plans."""
    server = EmbeddedPostgres(directory, sleep=SystemClock().sleep)
    await server.start()
    free, server_settings = asyncio.Semaphore(at_once), asyncio.Lock()

    async def one(plan: Plan) -> SeedResult:
        async with free:
            return await run_seed(server, plan, server_settings)

    return list(await asyncio.gather(*(one(each) for each in plans)))


@asynccontextmanager
async def _place(
    plan: Plan, folder: Path, dsn: str, server: EmbeddedPostgres, server_settings: asyncio.Lock
) -> AsyncIterator[Place]:
    clock, tape = SystemClock(), Tape.drawn(plan.seed, plan.faults)
    async with AsyncExitStack() as stack:
        fakes = await stack.enter_async_context(fake_venues(plan.seed, hedging=tape.fires("B13")))
        pool = await open_pool(dsn)
        stack.push_async_callback(pool.close)
        session = await stack.enter_async_context(ClientSession(timeout=_ASK_WITHIN, trust_env=False))
        proxies, urls = [], {}
        for broker_id, setting in URLS.items():
            proxy = FaultProxy(broker_id, fakes[setting], Tape(plan.seed, {}), clock)
            urls[setting] = await proxy.start()
            stack.push_async_callback(proxy.close)
            proxies.append(proxy)
        settings = {**fakes, **urls, "DATABASE_URL": dsn}
        mishaps = Mishaps(
            folder=folder,
            settings=settings,
            session=session,
            fakes_url=fakes["FAKES_URL"],
            proxies=proxies,
            tape=tape,
            pool=pool,
            server=server,
            server_settings=server_settings,
            clock=clock,
        )
        yield Place(
            plan=plan,
            folder=folder,
            fakes_url=fakes["FAKES_URL"],
            settings=settings,
            proxies=proxies,
            tape=tape,
            database=Database(pool),
            session=session,
            mishaps=mishaps,
            clock=clock,
        )


async def _result(place: Place, broken: Sequence[str], seconds: float) -> SeedResult:
    venues = await place.testimony()
    thrown = fired(each for proxy in place.proxies for each in proxy.disturbances)
    thrown |= Counter({name: place.tape.fired[name] for name in FAULTS_OF_PROCESSES})
    thrown |= Counter({"P1": place.kills - place.kills_in_recovery, "P2": place.kills_in_recovery})
    opened = [each for each in venues.entries.values() if each.opened]
    violation = None
    if broken:
        invariant, says = broken[0].partition(" ")[::2]
        more = "".join(f"; {each}" for each in broken[1:5])
        violation = Violation(invariant, f"{says}{more}; its files: {place.folder}", seconds)
    return SeedResult(
        seed=place.plan.seed,
        violation=violation,
        trace="",
        thrown={name: count for name, count in thrown.items() if count},
        checked=dict.fromkeys(CHECKED, 1),
        seen={
            **place.seen(),
            "positions opened": len(opened),
            "positions closed": sum(not each.held for each in opened),
            "spans without a stop": len(venues.naked),
            "real seconds": round(seconds),
        },
        spoken=frozenset(),
    )


def _next_minute(after: datetime) -> datetime:
    return after.replace(second=0, microsecond=0) + timedelta(minutes=1)
