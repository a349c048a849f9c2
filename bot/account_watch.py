"""What each account is worth: read with the monitor, held against the limits of the day and of the drawdown."""

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Final

from bot.instruments import BrokerId
from bot.interfaces import Clock
from bot.layer1_data.broker_interface import BrokerInterface
from bot.layer1_data.broker_router import BrokerRouter
from bot.layer3_execution.book import Book
from bot.layer4_risk.daily_loss import DailyLossWatch
from bot.layer4_risk.drawdown import DrawdownWatch
from bot.models import AccountState

_UNREAD_RUNS_MAX: Final = 3  # of the monitor, without an answer to what an account is worth


class AccountWatch:
    """Accounts as they were read last; a broker that does not answer counts at its last known value."""

    def __init__(
        self,
        *,
        router: BrokerRouter,
        book: Book,
        clock: Clock,
        daily_loss: DailyLossWatch,
        drawdown: DrawdownWatch,
        note: Callable[[str], None],
    ) -> None:
        """`note` is told once of each account that is not read any more."""
        self._router = router
        self._book = book
        self._clock = clock
        self._daily_loss = daily_loss
        self._drawdown = drawdown
        self._note = note
        self._unread_runs: Counter[BrokerId] = Counter()
        self._equity_known_at: dict[BrokerId, datetime] = {}
        self.known: dict[BrokerId, AccountState] = {}
        """One that never answered is missing."""

    @property
    def equity(self) -> Decimal:
        """Of all together."""
        return sum((each.equity for each in self.known.values()), start=Decimal(0))

    @property
    def balance(self) -> Decimal:
        """Of all together."""
        return sum((each.balance for each in self.known.values()), start=Decimal(0))

    async def read(self, broker: BrokerInterface) -> None:
        """One account, and the loss of its day. Raises BrokerError."""
        account = self.known[broker.broker_id] = await broker.account()
        self._unread_runs[broker.broker_id] = 0
        await self._daily_loss.observe(account, self._clock.now())

    async def watch_equity(self) -> None:
        """All of them against their peak; once with each run of the monitor."""
        self._count_unread_runs()
        brokers = [each.broker_id for each in self._router]
        opened = sum(1 for each in self._book.positions() if each.is_open)
        accounts, now = list(self.known.values()), self._clock.now()
        snapshot = await self._drawdown.observe(accounts, opened, now, brokers=brokers)
        if snapshot is not None:
            self._equity_known_at = {each.broker_id: each.at for each in snapshot.accounts}

    def not_current(self) -> Mapping[BrokerId, str | None]:
        """Of each broker whose account more than three monitor runs have not found read anew: when its equity was last
        known (ISO 8601); None if it never was. It is counted in runs, because a fast market has seconds of its own."""
        silent = [each for each, runs in self._unread_runs.items() if runs > _UNREAD_RUNS_MAX]
        known_at = self._equity_known_at
        return {each: known_at[each].isoformat() if each in known_at else None for each in silent}

    def _count_unread_runs(self) -> None:
        for broker in self._router:
            name = broker.broker_id
            self._unread_runs[name] += 1
            if self._unread_runs[name] == _UNREAD_RUNS_MAX + 1:  # told once, not with each run
                known_at = self.not_current()[name]
                since = f"last known at {known_at}" if known_at else "never known"
                self._note(f"monitor: equity of {name} is not current, {since}")
