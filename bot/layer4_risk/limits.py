"""May we at all: every limit is looked at and kept, the first that fails names the refusal."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from bot.config import RiskSettings
from bot.differences import ForeignStake
from bot.instruments import Instrument, InstrumentRegistry
from bot.layer4_risk.conversion import Conversion
from bot.layer4_risk.daily_loss import loss_ratio
from bot.layer4_risk.market_checks import market_checks
from bot.layer4_risk.stakes import PastEntry, Stake, all_stakes
from bot.layer4_risk.usage import Books, UsedLimit, used_limits
from bot.models import (
    AccountState,
    ApprovedOrder,
    Direction,
    EntrySignal,
    KillState,
    LimitCheck,
    Order,
    OrderRole,
    Position,
    Quote,
)

ZERO = Decimal(0)
_NEXT_STEP: Final = {
    "MAX_OPEN_POSITIONS": "close a position, or raise MAX_OPEN_POSITIONS_<broker>",
    "CORRELATED_EXPOSURE": "close one of the group, or raise MAX_CORRELATED_EXPOSURE",
    "GROSS_LEVERAGE": "close positions, or raise MAX_GROSS_LEVERAGE",
    "OPEN_RISK": "wait until stops are nearer or positions closed, or raise MAX_OPEN_RISK_RATIO",
    "ENTRY_RATE": "wait a minute and look why so many come at once; MAX_ENTRIES_PER_MINUTE",
    "TURNOVER_HOUR": "wait until an hour has passed; MAX_TURNOVER_HOUR",
    "TURNOVER_DAY": "wait until 24 h have passed; MAX_TURNOVER_DAY",
    "CORRELATED_EVERYWHERE": "close one of the group at any broker, or raise MAX_CORRELATED_EVERYWHERE",
    "STRATEGY_POSITIONS": "close one of the strategy, or raise MAX_POSITIONS_PER_STRATEGY",
    "STRATEGY_RATE": "wait a minute and look why so many come at once; MAX_ENTRIES_PER_MINUTE_STRATEGY",
    "CURRENCY_EXPOSURE": "close what holds that currency, or raise MAX_CURRENCY_EXPOSURE",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskView:
    """All that a decision may look at, taken at one instant.

    `positions` are open or pending; `orders` those that have not ended; `reserved` what was approved and is not among
    the positions yet; `foreign` what nobody here made; `entries` those of the last days. `quote` is None where the
    venue gave none.
    `entries_blocked` says why no entry is allowed; empty if they are. `total_equity`: of all brokers, if known.
    `allows_short`: the venue sells what is not held.
    """

    now: datetime
    account: AccountState | None
    positions: tuple[Position, ...]
    realised_today: Decimal
    quote: Quote | None
    kill: KillState
    entries_blocked: str
    conversion: Conversion
    orders: tuple[Order, ...] = ()
    reserved: tuple[ApprovedOrder, ...] = ()
    foreign: tuple[ForeignStake, ...] = ()
    entries: tuple[PastEntry, ...] = ()
    last_close: Decimal | None = None
    total_equity: Decimal | None = None
    allows_short: bool = True

    def books(self, settings: RiskSettings, registry: InstrumentRegistry) -> Books:
        """What the limits over everything that is at stake are measured on."""
        equity = {} if self.account is None else {self.account.broker_id: self.account.equity}
        return Books(
            now=self.now,
            settings=settings,
            registry=registry,
            currency=settings.account_currency if self.account is None else self.account.currency,
            equity=equity,
            total_equity=self.total_equity or next(iter(equity.values()), None),
            stakes=all_stakes(self.positions, self.orders, self.reserved, self.foreign, self.entries),
            entries=self.entries,
        )


@dataclass(frozen=True, slots=True)
class LimitCase:
    """One signal against one view."""

    signal: EntrySignal
    instrument: Instrument
    view: RiskView
    settings: RiskSettings


Limit = Callable[[LimitCase], LimitCheck]


def kill_switch(case: LimitCase) -> LimitCheck:
    """Somebody or a limit has pressed it: level, who, why and since when."""
    kill = case.view.kill
    return _check("KILL_SWITCH", Decimal(kill.level.severity), ZERO, kill.says)


def entries_open(case: LimitCase) -> LimitCheck:
    """No entry before the venue and our record agree."""
    blocked = case.view.entries_blocked
    return _check("RECONCILING", Decimal(bool(blocked)), ZERO, blocked or "reconciled")


def direction_offered(case: LimitCase) -> LimitCheck:
    """A spot venue refuses to sell what is not held: it is not even asked."""
    refused = case.signal.direction is Direction.SHORT and not case.view.allows_short
    says = f"{case.signal.broker_id} sells nothing that is not held; {case.signal.symbol} can only be bought there"
    return _check("NO_SHORT", Decimal(refused), ZERO, says if refused else "offered")


def account_known(case: LimitCase) -> LimitCheck:
    """Without an account nothing can be sized."""
    missing = case.view.account is None
    says = f"{case.signal.broker_id}: no account; look at the venue's health" if missing else "known"
    return _check("ACCOUNT", Decimal(missing), ZERO, says)


def rate_known(case: LimitCase) -> LimitCheck:
    """Without a fresh rate into the account's currency nothing can be sized."""
    found = case.view.conversion
    return _check("CONVERSION", Decimal(found.rate is None), ZERO, found.says or "known")


def signal_fresh(case: LimitCase) -> LimitCheck:
    """An idea of hours ago is not traded now."""
    allowed = Decimal(str(case.settings.entry_validity_s))
    age = Decimal(str((case.view.now - case.signal.candle_closed_at).total_seconds()))
    return _check("STALE_SIGNAL", age, allowed, f"signal is {age:.0f} s old, limit {allowed:.0f} s; wait for the next")


def one_per_task(case: LimitCase) -> LimitCheck:
    """A task holds one position at a time; one that has closed may be opened again by the rest of its entry."""
    task_id, view = case.signal.task_id, case.view
    ours = {each.id for each in view.positions if each.task_id == task_id}
    ours |= {each.position_id for each in view.reserved if each.task_id == task_id}
    ours |= {each.position_id for each in view.orders if each.task_id == task_id and each.role is OrderRole.ENTRY}
    used = len(ours) + 1
    says = f"{used} positions of task {task_id}, limit 1; wait until the one before has ended"
    return _check("TASK_HAS_POSITION", Decimal(used), Decimal(1), says)


def daily_loss(case: LimitCase) -> LimitCheck:
    """What was lost at this broker since its session day began, as a share of the balance then."""
    account = case.view.account
    used = loss_ratio(account, case.view.realised_today) if account is not None else ZERO
    allowed = case.settings.daily_loss_limit_ratio
    says = f"{used:.2%} of the balance lost today, limit {allowed:.2%}; entries go on with the next session day"
    return _check("DAILY_LOSS", used, allowed, says)


_BEFORE_PRICE: Final[tuple[Limit, ...]] = (kill_switch, direction_offered, entries_open, account_known)
_AFTER_PRICE: Final[tuple[Limit, ...]] = (rate_known, signal_fresh, one_per_task)


def standing_checks(case: LimitCase) -> tuple[LimitCheck, ...]:
    """What can be said before a size is known: permission, price, freshness, the day's loss."""
    view = case.view
    return (
        *(limit(case) for limit in _BEFORE_PRICE),
        *market_checks(case.signal, view.quote, view.last_close, view.now, case.settings),
        *(limit(case) for limit in _AFTER_PRICE),
        daily_loss(case),
    )


def stake_checks(books: Books, entry: Stake, *, sized: bool) -> Iterator[LimitCheck]:
    """The limits over all that is at stake, with `entry` added. A limit that it does not make worse never refuses it.

    Before the size is known only what is counted can be asked, afterwards only what is measured.
    """
    before = {_key(row): row for row in used_limits(books, (entry.broker_id,))}
    for row in used_limits(books.with_entry(entry), (entry.broker_id,)):
        if row.is_count is sized:
            continue
        known = before.get(_key(row))
        if known is not None and known.used is not None and row.used is not None and row.used <= known.used:
            continue
        used = row.allowed + 1 if row.used is None else row.used
        says = f"{row.says}; {_NEXT_STEP[row.code]}" if row.is_exceeded else row.says
        yield LimitCheck(code=row.code, used=used, allowed=row.allowed, passed=not row.is_exceeded, says=says)


def _key(row: UsedLimit) -> tuple[str, str, str]:
    return row.code, row.name, row.scope


def _check(code: str, used: Decimal, allowed: Decimal, says: str) -> LimitCheck:
    return LimitCheck(code=code, used=used, allowed=allowed, passed=used <= allowed, says=says)
