"""The drawdown kill switch: equity against its peak, latched until a person clears it."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from bot.interfaces import SnapshotStore
from bot.models import AccountState, PortfolioSnapshot


class DrawdownWatch:
    """Appends equity snapshots and latches the kill switch when equity falls too far below the peak.

    The peak is that of the newest snapshot, so that clearing from another process counts from the next look on.
    """

    def __init__(self, store: SnapshotStore, *, max_drawdown_ratio: Decimal) -> None:
        self._store = store
        self._max = max_drawdown_ratio

    async def observe(self, accounts: Sequence[AccountState], open_positions: int, at: datetime) -> PortfolioSnapshot:
        """Store what all accounts are worth now; latch if that is too little."""
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
        if snapshot.drawdown >= self._max and not await self._store.latched_stop():
            reason = f"equity {equity:.2f} is {snapshot.drawdown:.1%} below its peak {snapshot.peak:.2f}"
            await self._store.latch_stop(f"{reason}, limit {self._max:.0%}; a person must clear it", at)
        return snapshot


async def clear_drawdown(store: SnapshotStore, *, by: str, at: datetime) -> str:
    """A person clears the latch: what was latched (empty: nothing). The peak starts anew at the equity of now.

    The new snapshot is never older than the newest one, so that it is the one that counts.
    """
    reason, latest = await store.latched_stop(), await store.latest()
    if not reason:
        return ""
    if latest is not None:
        await store.append(
            PortfolioSnapshot(
                at=max(at, latest.at),
                equity=latest.equity,
                balance=latest.balance,
                open_positions=latest.open_positions,
                peak=latest.equity,
            )
        )
    await store.clear_stop(by, at)
    return reason
