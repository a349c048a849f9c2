"""Alerts in memory: the twin of `postgres_alerts`."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from operator import attrgetter
from typing import Final

from bot.alerts import Alert, Channel, Delivery, DeliveryState, DeskState
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

    async def recent(self, limit: int, *, older_than: str = "") -> Sequence[Alert]:
        """Newest first; of those raised before the alert of that id, if one is named: none if it is not known."""
        last = self._rows.get(older_than)
        if older_than and last is None:
            return []
        rows = [each for each in self._rows.values() if last is None or _RAISED(each) < _RAISED(last)]
        return sorted(rows, key=_RAISED, reverse=True)[:limit]

    async def unsettled(self, limit: int) -> Sequence[Alert]:
        """All that last or wait for somebody, those that wait first, then newest first."""
        rows = [each for each in self._rows.values() if each.is_unsettled]
        return sorted(rows, key=lambda each: (each.waits, *_RAISED(each)), reverse=True)[:limit]

    async def last_deliveries(self, instant: datetime) -> Sequence[Delivery]:
        """Of each channel the newest delivery of each state, among alerts raised again at or after `instant`."""
        young = [each for row in self._rows.values() if row.last_at >= instant for each in row.deliveries]
        newest = {(each.channel, each.state): each for each in sorted(young, key=lambda one: one.at)}
        return [newest[way] for way in sorted(newest)]

    async def forget(self, instant: datetime, limit: int) -> int:
        """Remove up to `limit` alerts that nothing happened to since `instant`, and that neither last nor wait for
        somebody; how many those were."""
        old = [each for each in self._rows.values() if each.settled_at is not None and each.settled_at < instant]
        for each in sorted(old, key=_RAISED)[:limit]:
            del self._rows[each.id]
        return min(len(old), limit)

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
