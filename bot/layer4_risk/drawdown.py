"""The drawdown limit: equity against its peak. Too far below, it pauses entries until a person resumes."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from bot.interfaces import SnapshotStore
from bot.models import AccountState, KillCause, KillLevel, KillState, PortfolioSnapshot

Press = Callable[[KillState], Awaitable[bool]]


class DrawdownWatch:
    """Appends equity snapshots and pauses entries when equity falls too far below the peak.

    The peak is that of the newest snapshot, so that resuming from another process counts from the next look on.
    """

    def __init__(self, store: SnapshotStore, press: Press, *, max_drawdown_ratio: Decimal) -> None:
        self._store = store
        self._press = press
        self._max = max_drawdown_ratio

    async def observe(self, accounts: Sequence[AccountState], open_positions: int, at: datetime) -> PortfolioSnapshot:
        """Store what all accounts are worth now; pause entries if that is too little."""
        equity = sum((each.equity for each in accounts), Decimal(0))
        latest = await self._store.latest()
        snapshot = PortfolioSnapshot(
            at=at,
            equity=equity,
            balance=sum((each.balance for each in accounts), Decimal(0)),
            open_positions=open_positions,
            peak=max(latest.peak, equity) if latest else equity,
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
