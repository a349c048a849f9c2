"""Approved entries: those that are not in the book yet, and those of the last days. Deciding is one at a time.

Between a decision and its stored intent nothing may be decided on the same room: a decision and its reservation are
made under one lock, and the reservation counts at full size until the engine has answered.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Final

from bot.interfaces import OrderStore
from bot.layer4_risk.stakes import PastEntry, of_approved, of_stored
from bot.layer4_risk.usage import DAY
from bot.models import ApprovedOrder, OrderRole, PositionId

_ROWS_READ: Final = 2_000  # of orders, at the first decision: more than a day of them at the greatest rate that fills
_KEPT_FOR: Final = timedelta(days=7)  # throttles look back a day, but a rest may work at a venue that is away longer


class EntryLedger:
    """What the throttles count and what is reserved. A restart reads the day's entries back from the store."""

    def __init__(self, store: OrderStore) -> None:
        self._store = store
        self._one_at_a_time = asyncio.Lock()
        self._reserved: dict[PositionId, ApprovedOrder] = {}
        self._entries: deque[PastEntry] = deque()
        self._is_loaded = False

    @asynccontextmanager
    async def deciding(self, now: datetime) -> AsyncIterator[None]:
        """Nobody else decides meanwhile. Raises DatabaseUnavailable if the day's entries are not known."""
        async with self._one_at_a_time:
            await self.load(now)
            yield

    async def load(self, now: datetime) -> None:
        """Read the day's entries back, once. Raises DatabaseUnavailable."""
        if self._is_loaded:
            return
        stored = await self._stored(now)
        if not self._is_loaded:  # another may have read meanwhile, and something may have been approved since
            self._entries.extend(stored)
            self._is_loaded = True

    def reserve(self, order: ApprovedOrder, now: datetime) -> None:
        """It counts from now on, whatever becomes of it. To be called while deciding."""
        self._reserved[order.position_id] = order
        self._entries.append(
            PastEntry(at=now, stake=of_approved(order), position_id=order.position_id, quantity=order.quantity)
        )

    def settle(self, order: ApprovedOrder) -> None:
        """The engine has answered: the book has its position, or it will never be.

        Where the engine failed nobody calls this, and the order counts until it may no longer be sent.
        """
        self._reserved.pop(order.position_id, None)

    def reserved(self, now: datetime) -> tuple[ApprovedOrder, ...]:
        """What was approved and may still be sent, oldest first."""
        self._reserved = {name: each for name, each in self._reserved.items() if now <= each.valid_until}
        return tuple(self._reserved.values())

    def entries(self, now: datetime) -> tuple[PastEntry, ...]:
        """Those of the last days, oldest first."""
        while self._entries and self._entries[0].at <= now - _KEPT_FOR:
            self._entries.popleft()
        return tuple(self._entries)

    async def _stored(self, now: datetime) -> list[PastEntry]:
        found = []
        for order in reversed(await self._store.recent_orders(_ROWS_READ)):
            if order.role is OrderRole.ENTRY and (order.created_at > now - DAY or not order.state.is_terminal):
                stake = of_stored(order, await self._store.position(order.position_id))
                found.append(
                    PastEntry(at=order.created_at, stake=stake, position_id=order.position_id, quantity=order.quantity)
                )
        return found
