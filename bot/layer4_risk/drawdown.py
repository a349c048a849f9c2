"""The drawdown kill switch: equity against its peak, latched until a person clears it."""

from datetime import datetime
from decimal import Decimal

from bot.interfaces import SnapshotStore
from bot.models import AccountState, PortfolioSnapshot


class DrawdownWatch:
    """Appends equity snapshots and latches the kill switch when equity falls too far below the peak."""

    def __init__(self, store: SnapshotStore, *, max_drawdown_ratio: Decimal) -> None:
        self._store = store
        self._max = max_drawdown_ratio
        self._peak: Decimal | None = None

    async def observe(self, accounts: list[AccountState], open_positions: int, at: datetime) -> PortfolioSnapshot:
        """Store what all accounts are worth now; latch if that is too little."""
        equity = sum((each.equity for each in accounts), Decimal(0))
        balance = sum((each.balance for each in accounts), Decimal(0))
        if self._peak is None:
            latest = await self._store.latest()
            self._peak = latest.peak if latest else equity
        self._peak = max(self._peak, equity)
        snapshot = PortfolioSnapshot(
            at=at, equity=equity, balance=balance, open_positions=open_positions, peak=self._peak
        )
        await self._store.append(snapshot)
        if snapshot.drawdown >= self._max and not await self._store.latched_stop():
            reason = f"equity {equity:.2f} is {snapshot.drawdown:.1%} below its peak {self._peak:.2f}"
            await self._store.latch_stop(f"{reason}, limit {self._max:.0%}; a person must clear it", at)
        return snapshot
