"""May we at all: every limit is looked at and kept, the first that fails names the refusal."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from bot.config import RiskSettings
from bot.instruments import Instrument, InstrumentRegistry
from bot.layer4_risk.daily_loss import loss_ratio
from bot.models import AccountState, Direction, EntrySignal, KillState, LimitCheck, Position, Quote

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskView:
    """All that a decision may look at, taken at one instant.

    `positions` are open or pending (an entry whose fate is unknown counts at full size). `quote` is None where the
    venue gave none. `entries_blocked` says why no entry is allowed at this broker at all; empty if they are.
    """

    now: datetime
    account: AccountState | None
    positions: tuple[Position, ...]
    realised_today: Decimal
    quote: Quote | None
    kill: KillState
    entries_blocked: str
    conversion: Decimal | None


@dataclass(frozen=True, slots=True)
class LimitCase:
    """One signal against one view."""

    signal: EntrySignal
    direction: Direction
    instrument: Instrument
    view: RiskView
    settings: RiskSettings
    max_positions: int
    registry: InstrumentRegistry


Limit = Callable[[LimitCase], LimitCheck]


def kill_switch(case: LimitCase) -> LimitCheck:
    """Somebody or a limit has pressed it: level, who, why and since when."""
    kill = case.view.kill
    return _check("KILL_SWITCH", Decimal(kill.level.severity), ZERO, kill.says)


def entries_open(case: LimitCase) -> LimitCheck:
    """No entry before the venue and our record agree."""
    blocked = case.view.entries_blocked
    return _check("RECONCILING", Decimal(bool(blocked)), ZERO, blocked or "reconciled")


def account_known(case: LimitCase) -> LimitCheck:
    """Without an account, or a rate into its currency, nothing can be sized."""
    missing = "account" if case.view.account is None else "" if case.view.conversion else "conversion rate"
    return _check("ACCOUNT", Decimal(bool(missing)), ZERO, f"no {missing}" if missing else "known")


def quote_fresh(case: LimitCase) -> LimitCheck:
    """The price that is decided on must be of now."""
    allowed = Decimal(str(case.settings.max_quote_age_s))
    quote = case.view.quote
    if quote is None:
        return _check("STALE_QUOTE", allowed + 1, allowed, "no quote")
    age = Decimal(str((case.view.now - quote.at).total_seconds()))
    return _check("STALE_QUOTE", age, allowed, f"quote is {age:.0f} s old, limit {allowed:.0f} s")


def signal_fresh(case: LimitCase) -> LimitCheck:
    """An idea of hours ago is not traded now."""
    allowed = Decimal(str(case.settings.entry_validity_s))
    age = Decimal(str((case.view.now - case.signal.candle_closed_at).total_seconds()))
    return _check("STALE_SIGNAL", age, allowed, f"signal is {age:.0f} s old, limit {allowed:.0f} s")


def open_positions(case: LimitCase) -> LimitCheck:
    """Positions of the broker, pending ones counted in full."""
    broker = case.instrument.broker_id
    used = sum(1 for each in case.view.positions if each.broker_id == broker) + 1
    says = f"{used} of at most {case.max_positions} positions at {broker}"
    return _check("MAX_OPEN_POSITIONS", Decimal(used), Decimal(case.max_positions), says)


def one_per_task(case: LimitCase) -> LimitCheck:
    """A task holds one position at a time."""
    used = sum(1 for each in case.view.positions if each.task_id == case.signal.task_id) + 1
    return _check("TASK_HAS_POSITION", Decimal(used), Decimal(1), f"{used} positions of task {case.signal.task_id}")


def correlated(case: LimitCase) -> LimitCheck:
    """Things that move together, in one direction, at one broker."""
    group, broker = case.instrument.correlation_group, case.instrument.broker_id
    alike = [
        each
        for each in case.view.positions
        if each.broker_id == broker
        and each.direction is case.direction
        and case.registry.get(each.symbol).correlation_group == group
    ]
    used, allowed = len(alike) + 1, case.settings.max_correlated_exposure
    says = f"{used} of at most {allowed} {case.direction.value} positions in group {group}"
    return _check("CORRELATED_EXPOSURE", Decimal(used), Decimal(allowed), says)


def daily_loss(case: LimitCase) -> LimitCheck:
    """What was lost at this broker since its session day began, as a share of the balance then."""
    account = case.view.account
    used = loss_ratio(account, case.view.realised_today) if account is not None else ZERO
    allowed = case.settings.daily_loss_limit_ratio
    return _check("DAILY_LOSS", used, allowed, f"{used:.2%} of the balance lost today, limit {allowed:.2%}")


def _check(code: str, used: Decimal, allowed: Decimal, says: str) -> LimitCheck:
    return LimitCheck(code=code, used=used, allowed=allowed, passed=used <= allowed, says=says)


LIMITS: Final[tuple[Limit, ...]] = (
    kill_switch,
    entries_open,
    account_known,
    quote_fresh,
    signal_fresh,
    one_per_task,
    open_positions,
    correlated,
    daily_loss,
)
