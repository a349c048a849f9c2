"""Alerts in memory: the twin of `postgres_alerts`."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from operator import attrgetter
from typing import Final

from bot.alerts import Alert, Channel, DeliveryState, DeskState
from bot.database.contract import unknown_alert

_RAISED: Final = attrgetter("raised_at", "id")


class MemoryAlerts:
    """`AlertStore` in memory."""

    def __init__(self) -> None:
        self._rows: dict[str, Alert] = {}
        self._newest_update = 0
        self._state = DeskState()

    async def save(self, alert: Alert) -> None:
        """Insert or replace by id; whoever took note first stays."""
        known = self._rows.get(alert.id)
        if known is not None and known.acked_at is not None:
            alert = replace(alert, acked_at=known.acked_at, acked_by=known.acked_by)
        self._rows[alert.id] = alert

    async def acknowledge(self, alert_id: str, *, by: str, at: datetime) -> bool:
        """Somebody took note; False if somebody had before. Raises NotFound."""
        known = self._rows.get(alert_id)
        if known is None:
            raise unknown_alert(alert_id)
        if known.acked_at is not None:
            return False
        self._rows[alert_id] = replace(known, acked_at=at, acked_by=by)
        return True

    async def acknowledged(self, ids: Collection[str]) -> Sequence[tuple[str, str, datetime]]:
        """(id, by, at) of those among `ids` that somebody took note of."""
        rows = [self._rows[each] for each in ids if each in self._rows]
        return [(each.id, each.acked_by, each.acked_at) for each in rows if each.acked_at is not None]

    async def since(self, instant: datetime) -> Sequence[Alert]:
        """Those raised again at or after `instant`, and all that wait for somebody, oldest first."""
        return sorted((each for each in self._rows.values() if each.last_at >= instant or each.waits), key=_RAISED)

    async def recent(self, limit: int) -> Sequence[Alert]:
        """Newest first."""
        return sorted(self._rows.values(), key=_RAISED, reverse=True)[:limit]

    async def sms_since(self, instant: datetime) -> int:
        """How many text messages were, or may have been, sent at or after `instant`."""
        sent = [each for row in self._rows.values() for each in row.deliveries if each.channel is Channel.SMS]
        return sum(each.at >= instant and each.state is not DeliveryState.FAILED for each in sent)

    async def take_update(self, update: int) -> bool:
        """From now on this update of Telegram is acted on; False if it, or a later one, was before."""
        if update <= self._newest_update:
            return False
        self._newest_update = update
        return True

    async def newest_update(self) -> int:
        """The newest update that was taken; 0 at first."""
        return self._newest_update

    async def state(self) -> DeskState:
        """What the desk remembers."""
        return self._state

    async def save_state(self, state: DeskState) -> None:
        """Remember it."""
        self._state = state
