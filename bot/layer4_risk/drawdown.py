"""The drawdown limit: equity against its peak. Too far below, it pauses entries until a person resumes."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Final

from bot.instruments import BrokerId
from bot.interfaces import SnapshotStore
from bot.models import AccountState, KillCause, KillLevel, KillState, PortfolioSnapshot

_ZERO: Final = Decimal(0)

Press = Callable[[KillState], Awaitable[bool]]


class DrawdownWatch:
    """Appends equity snapshots and pauses entries when equity falls too far below the peak.

    Peak and accounts are those of the newest snapshot, so that resuming from another process counts from the next look
    on, and that a broker which is silent since a restart still counts at its last known value.
    """

    def __init__(self, store: SnapshotStore, press: Press, *, max_drawdown_ratio: Decimal) -> None:
        self._store = store
        self._press = press
        self._max = max_drawdown_ratio

    async def observe(
        self, accounts: Sequence[AccountState], open_positions: int, at: datetime, *, brokers: Collection[BrokerId]
    ) -> PortfolioSnapshot | None:
        """Store what the accounts of `brokers` (all configured ones) are worth; pause entries if that is too little.

        `accounts` are those that have answered since the start; the others count as in the newest snapshot, and one
        that was never known not at all. None, and nothing is stored, while no account is known.
        """
        latest = await self._store.latest()
        counted = _counted(latest, accounts, brokers)
        if not counted:
            return None
        equity = _equity(counted)
        peak = _peak(latest, counted, is_complete=len(counted) == len(brokers))
        snapshot = PortfolioSnapshot(
            at=at,
            equity=equity,
            balance=sum((each.balance for each in counted), _ZERO),
            open_positions=open_positions,
            peak=max(peak, equity),
            accounts=counted,
        )
        await self._store.append(snapshot)
        if snapshot.drawdown >= self._max:
            await self._press(self._pause(snapshot))
        return snapshot

    def _pause(self, snapshot: PortfolioSnapshot) -> KillState:
        reason = f"equity {snapshot.equity:.2f} is {snapshot.drawdown:.1%} below its peak {snapshot.peak:.2f}"
        return KillState(
            level=KillLevel.PAUSE,
            by="daemon",
            cause=KillCause.DRAWDOWN,
            reason=f"{reason}, limit {self._max:.0%}; a person must resume",
            at=snapshot.at,
        )


async def restart_peak(store: SnapshotStore) -> None:
    """From now on the drawdown is measured from the equity of the newest snapshot."""
    latest = await store.latest()
    if latest is not None:
        await store.append(replace(latest, peak=latest.equity))


def _counted(
    latest: PortfolioSnapshot | None, accounts: Sequence[AccountState], brokers: Collection[BrokerId]
) -> tuple[AccountState, ...]:
    """Each configured account as it is last known, in the order of `brokers`."""
    remembered = latest.accounts if latest is not None else ()
    known = {each.broker_id: each for each in (*remembered, *accounts)}
    return tuple(known[each] for each in brokers if each in known)


def _peak(latest: PortfolioSnapshot | None, counted: Sequence[AccountState], *, is_complete: bool) -> Decimal:
    """The peak so far of those that are counted now, before their equity of now is looked at.

    An account that is counted for the first time adds its equity, like a deposit, and one that is not configured any
    more takes away what it was last worth: what was lost before stays lost, and nothing else is.
    """
    if latest is None:
        return _ZERO
    if not latest.accounts:
        return _untold_peak(latest, counted, is_complete=is_complete)
    before, now = ({each.broker_id for each in group} for group in (latest.accounts, counted))
    appeared = _equity([each for each in counted if each.broker_id not in before])
    left = _equity([each for each in latest.accounts if each.broker_id not in now])
    return latest.peak + appeared - left


def _untold_peak(latest: PortfolioSnapshot, counted: Sequence[AccountState], *, is_complete: bool) -> Decimal:
    """The peak after a snapshot from before migration 0017, which held every account and does not tell which.

    Where one of them is silent now, its part of the peak is unknown: the others begin as far below as all were then.
    """
    if is_complete or latest.equity <= 0:
        return latest.peak
    return latest.peak * _equity(counted) / latest.equity


def _equity(accounts: Sequence[AccountState]) -> Decimal:
    return sum((each.equity for each in accounts), _ZERO)
