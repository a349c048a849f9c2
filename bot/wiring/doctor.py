"""What `botctl doctor` looks at: one finding per question, each with its next step. Nothing here changes anything."""

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from bot.config import Loaded, Settings
from bot.errors import BotError
from bot.instruments import AssetClass, BrokerId, Instrument, counted_as
from bot.interfaces import Clock
from bot.layer1_data.broker_interface import BrokerInterface, VenueTerms
from bot.layer1_data.venue_terms import NEXT_STEP as TERMS_NEXT_STEP
from bot.layer1_data.venue_terms import differences, money_fault
from bot.models import Timeframe

Status = Literal["ok", "warn", "fail"]
ANSWER_WITHIN_S: Final = 20.0
_LEAST_FREE_BYTES: Final = 500_000_000
_CLOCK_WARN_S: Final = 0.75  # IG tells whole seconds; at 1 s Binance refuses what bears our time
_CLOCK_FAIL_S: Final = 1.0
_BUDGET_WARN_RATIO: Final = 0.8
_FEED_LATE_S: Final = 300.0  # a closed candle that is not there after that
_LONGEST_PAUSE_S: Final = 4 * 86_400.0  # shares: a weekend with a holiday


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One question and what came of it."""

    name: str
    status: Status
    detail: str
    next_step: str = ""


class VenueCheckup:
    """Everything that is asked of one venue."""

    def __init__(
        self,
        broker: BrokerInterface,
        instruments: Sequence[Instrument],
        *,
        key_settings: Sequence[str],
        settings: Settings,
        clock: Clock,
    ) -> None:
        """`key_settings`: the names of the settings that make up its key."""
        self._broker = broker
        self._instruments = instruments
        self._key_settings = key_settings
        self._settings = settings
        self._clock = clock
        self._terms: Sequence[VenueTerms] = ()

    async def run(self) -> list[Check]:
        """All checks; when the venue does not let us in, the first failure speaks for those that depend on it."""
        entry = await self._asked("key", self._key)
        if entry[0].status == "fail":
            return entry
        questions = (("clock", self._clock_offset), ("account", self._account), ("instruments", self._described))
        parts = [await self._asked(name, ask) for name, ask in questions]
        parts.append(await self._asked("feed", self._feed))
        return [*entry, *(each for part in parts for each in part), *self._budget()]

    async def _asked(self, name: str, ask: Callable[[], Awaitable[list[Check]]]) -> list[Check]:
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                return await ask()
        except TimeoutError:
            words = f"no answer within {ANSWER_WITHIN_S:.0f} s"
        except BotError as error:
            words = str(error).removeprefix(f"{self._broker.broker_id}: ")
        return [self._check(name, "fail", words, self._way_out(name))]

    def _way_out(self, name: str) -> str:
        """What helps where the venue's words are all that is known."""
        if name == "key":
            correct = f"refused: correct {', '.join(self._key_settings)}, or the environment they were made in"
            return f"{correct}; no answer: look at the network and the venue's status page (docs/brokers.md)"
        return "ask again in a minute; if it stays, look at the venue's status page (docs/brokers.md)"

    def _check(self, name: str, status: Status, detail: str, next_step: str = "") -> Check:
        return Check(name=f"{self._broker.broker_id}: {name}", status=status, detail=detail, next_step=next_step)

    async def _key(self) -> list[Check]:
        await self._broker.check_connectivity()
        who = await self._broker.identity()
        mode = self._settings.run.mode
        money = "real money" if who.is_live else "no real money"
        found = [self._check("key", "ok", f"account {who.account}, {money}")]
        if who.is_live and mode != "live":
            found.append(
                self._check("environment", "fail", f"a key for real money in MODE={mode}", "use a demo or practice key")
            )
        if not who.may_trade:
            found.append(self._check("scope", "fail", "the key may not trade", "allow trading for this key"))
        if who.may_withdraw:
            told = "the key may withdraw money"
            found.append(self._check("scope", "fail", told, "make a key that may trade and read, not withdraw"))
        elif who.may_trade:
            told = "may trade; " + ("may not withdraw" if who.may_withdraw is False else "withdrawals: it does not say")
            found.append(self._check("scope", "ok", told))
        return found

    async def _clock_offset(self) -> list[Check]:
        before = self._clock.now()
        there = await self._broker.server_time()
        after = self._clock.now()
        offset_s = ((before + (after - before) / 2) - there).total_seconds()
        told = f"ours is {abs(offset_s):.2f} s {'ahead of' if offset_s > 0 else 'behind'} the venue's"
        beyond = max(0.0, abs(offset_s) - (after - before).total_seconds() / 2)  # half the way is not known
        if beyond <= _CLOCK_WARN_S:
            return [self._check("clock", "ok", told)]
        status: Status = "warn" if beyond <= _CLOCK_FAIL_S else "fail"
        return [self._check("clock", status, told, "switch on time synchronisation (timedatectl set-ntp true)")]

    async def _account(self) -> list[Check]:
        account = await self._broker.account()
        wanted = self._settings.risk.account_currency
        told = f"{account.currency}, balance {account.balance:,.2f}, equity {account.equity:,.2f}"
        if counted_as(account.currency) != counted_as(wanted):
            step = f"set ACCOUNT_CURRENCY={account.currency}, or use an account in {wanted}"
            return [self._check("account", "fail", f"{told}; ACCOUNT_CURRENCY={wanted}", step)]
        if account.equity <= 0:
            return [self._check("account", "warn", told, "deposit, or reset the demo balance")]
        return [self._check("account", "ok", told)]

    async def _described(self) -> list[Check]:
        self._terms = await self._broker.terms([each.symbol for each in self._instruments])
        known = {each.symbol: each for each in self._terms}
        missing = [each.symbol for each in self._instruments if each.symbol not in known]
        offered = [(each, known[each.symbol]) for each in self._instruments if each.symbol in known]
        faults = [fault for each, terms in offered if (fault := money_fault(each, terms))]
        other = [text for each, terms in offered if not money_fault(each, terms) for text in differences(each, terms)]
        found = []
        if missing:
            step = "remove them from the tasks, or ask the venue to enable them"
            found.append(self._check("instruments", "fail", f"not offered here: {', '.join(missing)}", step))
        if faults:
            found.append(self._check("contracts", "fail", "; ".join(faults), TERMS_NEXT_STEP))
        if other:
            step = "nothing: a start takes over what the venue demands"
            found.append(self._check("instruments", "warn", "; ".join(other), step))
        if not found:
            least = ", ".join(f"{each.symbol} {each.min_quantity.normalize():f}" for each in self._terms)
            found.append(self._check("instruments", "ok", f"least quantities: {least}"))
        closed = [each.symbol for each in self._terms if not each.is_open]
        open_count = len(self._terms) - len(closed)
        told = f"{open_count} of {len(self._terms)} open" + (f"; closed: {', '.join(closed)}" if closed else "")
        found.append(self._check("market hours", "ok", told))
        return found

    async def _feed(self) -> list[Check]:
        open_ = {each.symbol for each in self._terms if each.is_open}
        asked = next((each for each in self._instruments if each.symbol in open_), None)
        if asked is None:
            return [self._check("feed", "ok", "not asked: every market is closed")]
        newest = await self._broker.candles(asked.symbol, Timeframe.H1, since=None, limit=1)
        if not newest:
            return [self._check("feed", "fail", f"no candle of {asked.symbol}", "see whether the key may read prices")]
        age_s = (self._clock.now() - newest[-1].closed_at).total_seconds()
        told = f"newest closed 1h candle of {asked.symbol} ended {age_s / 60:,.0f} minutes ago"
        pause_s = _LONGEST_PAUSE_S if asked.asset_class is AssetClass.STOCK else 0.0  # sessions are in the candles only
        if age_s > Timeframe.H1.seconds + _FEED_LATE_S + pause_s:
            return [self._check("feed", "warn", told, "wait a few minutes; if it stays, the venue's data are late")]
        return [self._check("feed", "ok", told)]

    def _budget(self) -> list[Check]:
        budget = self._broker.rate_budget
        if budget is None:
            return []
        told = f"{budget.name}: {budget.used:,} of {budget.allowed:,} used within {budget.window_s:,.0f} s"
        if budget.used > _BUDGET_WARN_RATIO * budget.allowed:
            return [self._check("rate budget", "warn", told, "stop other programs that use the same key or address")]
        return [self._check("rate budget", "ok", told)]


def machine_checks(loaded: Loaded) -> list[Check]:
    """Settings, data directory and disk: all that needs no network."""
    mode = loaded.settings.run.mode
    return [Check(name="settings", status="ok", detail=f"MODE={mode}; every value is within its bounds"), _disk(loaded)]


def _disk(loaded: Loaded) -> Check:
    directory = loaded.data_directory
    existing = next(each for each in (directory, *directory.parents) if each.exists())
    if not os.access(existing, os.W_OK):
        step = "make it writable, or name another with DATA_DIRECTORY"
        return Check(name="data directory", status="fail", detail=f"{existing} cannot be written", next_step=step)
    free = shutil.disk_usage(existing).free
    told = f"{directory}: {free / 1e9:,.1f} GB free"
    if free < _LEAST_FREE_BYTES:
        step = f"free at least {_LEAST_FREE_BYTES / 1e9:.1f} GB"
        return Check(name="data directory", status="fail", detail=told, next_step=step)
    return Check(name="data directory", status="ok", detail=told)


async def database_check(loaded: Loaded) -> Check:
    """The database of DATABASE_URL answers and keeps what it commits; the embedded one is started by the daemon."""
    from bot.database.durability import NEXT_STEP, durability_faults, durability_refusal
    from bot.database.pool import open_pool

    dsn = loaded.settings.run.database_url
    if not dsn:
        made = (Path(loaded.data_directory) / "postgres").exists()
        told = "embedded, made already" if made else "embedded, made at the first start"
        return Check(name="database", status="ok", detail=told)
    step = "start PostgreSQL, or correct DATABASE_URL"
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            pool = await open_pool(dsn)
            faults = await durability_faults(pool)
            await pool.close()
    except TimeoutError:
        return Check(name="database", status="fail", detail=f"no answer within {ANSWER_WITHIN_S:.0f} s", next_step=step)
    except BotError as error:
        return Check(name="database", status="fail", detail=str(error), next_step=step)
    if faults:
        status: Status = "fail" if durability_refusal(faults, loaded.settings.run.mode) else "warn"
        return Check(name="database", status=status, detail="; ".join(faults), next_step=NEXT_STEP)
    return Check(name="database", status="ok", detail="answers, and what it commits survives a power cut")


def half_set(broker_id: BrokerId, missing: Sequence[str], instead: str) -> Check:
    """A venue of whose key only a part is set: somebody believes that it is traded at."""
    told = f"no order is sent there: {instead}"
    step = f"set {', '.join(missing)} too, or leave the whole key empty"
    return Check(name=f"{broker_id}: half a key", status="warn", detail=told, next_step=step)


def unused(broker_id: BrokerId, missing: Sequence[str], instead: str) -> Check:
    """A venue for which no key is set: no finding, but worth knowing."""
    step = f"to trade there, set {', '.join(missing)}"
    return Check(name=f"{broker_id}: key", status="ok", detail=f"no key; {instead}", next_step=step)
