"""The alert desk: everything that people are told, one alert for one thing.

Whoever notices something leaves a notice and goes on. The desk makes alerts of notices, keeps them (in the database, or
in a file while that is down), and hands them to whoever sends (`courier.py`, `escalation.py`).
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from loguru import logger

from bot.alerts import Alert, Channel, Delivery, DeskState, Notice, Severity, alert_id
from bot.errors import BotError, NotFound
from bot.interfaces import AlertStore, Clock
from bot.layer5_monitoring.alert_spool import AlertSpool

_MOST_WAITING: Final = 1_000
_STORE_WITHIN_S: Final = 3.0
_LOOK_EVERY_S: Final = 1.0
_KEEP: Final = timedelta(hours=48)
_MOST_KEPT: Final = 2_000  # in memory; the database has all


class AlertDesk:
    """The one home of alerts. Its clock runs in real seconds: those who are told are people."""

    def __init__(self, store: AlertStore, spool: AlertSpool, clock: Clock, *, repeat_s: float) -> None:
        self._store = store
        self._spool = spool
        self._clock = clock
        self._repeat = timedelta(seconds=repeat_s)
        self._notices: deque[Notice] = deque()
        self._dropped = 0
        self._alerts: dict[str, Alert] = {}
        self._unstored: dict[str, Alert] = {}
        self._newest: dict[str, str] = {}  # key -> id
        self._storing = asyncio.Lock()
        self.version = 0  # of all alerts together: nothing changed while it is the same
        self.state = DeskState()

    # ---------------------------------------------------------------------------------------------- those who notice

    def notify(self, notice: Notice) -> None:
        """Remember it; costs nothing. Of too many those that matter least go first, and are counted."""
        if len(self._notices) >= _MOST_WAITING:
            self._notices.remove(min(self._notices, key=lambda each: each.severity.rank))
            self._dropped += 1
        self._notices.append(notice)

    def hold(self, lasting: Sequence[Notice]) -> None:
        """Exactly these last at this moment: what is new is told, what is missing has ended."""
        for each in lasting:
            self.notify(each)
        keys = {each.key for each in lasting}
        for alert in self.alerts():
            if alert.lasts and alert.resolved_at is None and alert.key not in keys:
                self._put(replace(alert, resolved_at=self._clock.now()))

    def resolve(self, key: str) -> None:
        """What was told under `key` has ended, if it was told."""
        self._take_in()
        alert = self._alerts.get(self._newest.get(key, ""))
        if alert is not None and alert.resolved_at is None:
            self._put(replace(alert, resolved_at=self._clock.now()))

    # ------------------------------------------------------------------------------------------------ those who send

    def alerts(self) -> tuple[Alert, ...]:
        """Everything young or open, oldest first."""
        self._take_in()
        return tuple(self._alerts.values())

    def deliver(self, alert_id: str, delivery: Delivery) -> None:
        """How far one alert got on one way to one person."""
        alert = self._alerts.get(alert_id)
        if alert is None:
            return
        way = (delivery.channel, delivery.recipient)
        ways = [each for each in alert.deliveries if (each.channel, each.recipient) != way]
        self._put(replace(alert, deliveries=(*ways, delivery)))

    def withdraw(self, alert_id: str, channel: Channel, recipient: str) -> None:
        """What was noted as being sent surely did not go out."""
        alert = self._alerts[alert_id]
        ways = [each for each in alert.deliveries if (each.channel, each.recipient) != (channel, recipient)]
        self._put(replace(alert, deliveries=tuple(ways)))

    async def store(self) -> bool:
        """Write what was not written yet, to the database or else to the file. False if the database did not answer."""
        async with self._storing:
            for alert in list(self._unstored.values()):
                try:
                    async with asyncio.timeout(_STORE_WITHIN_S):
                        await self._store.save(alert)
                except (BotError, TimeoutError) as error:
                    logger.debug("alerts: {} is not stored yet: {}", alert.id, error)
                    self._spool.write(self._unstored.values())
                    return False
                if self._unstored.get(alert.id) is alert:  # else it moved on meanwhile
                    del self._unstored[alert.id]
            self._spool.write(self._unstored.values())
        return True

    # --------------------------------------------------------------------------------------------------- those told

    async def acknowledge(self, wanted: str, *, by: str) -> tuple[Alert, ...]:
        """Somebody took note of one alert, or of "all" that are open; those that were open. Raises NotFound."""
        chosen = [each for each in self.alerts() if each.id == wanted or (wanted == "all" and each.acked_at is None)]
        if not chosen and wanted != "all":
            raise NotFound(f"there is no alert {wanted!r} among those of the last days; /alerts lists them")
        fresh = tuple(each for each in chosen if each.acked_at is None)
        for each in fresh:
            self._put(replace(each, acked_at=self._clock.now(), acked_by=by))
        return fresh

    async def mute(self, minutes: int) -> datetime | None:
        """Hold everything but critical alerts for so long; 0: no longer. Until when."""
        until = self._clock.now() + timedelta(minutes=minutes) if minutes > 0 else None
        await self.remember(replace(self.state, muted_until=until))
        return until

    async def remember(self, state: DeskState) -> None:
        """Keep this over a restart; where the database is down it holds until one."""
        self.state = state
        try:
            async with asyncio.timeout(_STORE_WITHIN_S):
                await self._store.save_state(state)
        except (BotError, TimeoutError) as error:
            logger.warning("alerts: mute and digests were not stored: {}", error)

    # ------------------------------------------------------------------------------------------------------- running

    async def load(self) -> None:
        """What was told before a restart, also what only the file has."""
        spooled = self._spool.read()
        try:
            stored = await self._store.since(self._clock.now() - _KEEP)
            self.state = await self._store.state()
        except BotError as error:
            logger.warning("alerts: those of before are not known: {}", error)
            stored = ()
        for each in sorted({each.id: each for each in (*stored, *spooled)}.values(), key=lambda one: one.raised_at):
            self._alerts[each.id] = each
            self._newest[each.key] = each.id
        self._unstored |= {each.id: each for each in spooled}

    async def run(self) -> None:
        """Until cancelled: store what is new, hear of what was acknowledged elsewhere, forget what is old."""
        while True:
            try:
                self._take_in()
                if await self.store():
                    await self._hear_of_acknowledged()
                self._forget()
            except Exception as error:  # the edge: one bad alert must not end the others
                logger.opt(exception=error).error("alerts: a turn of the desk failed")
            await self._clock.sleep(_LOOK_EVERY_S)

    # -------------------------------------------------------------------------------------------------------- inside

    def _take_in(self) -> None:
        while self._notices:
            self._raise(self._notices.popleft())
        if self._dropped:
            count, self._dropped = self._dropped, 0
            lost = f"{count} alerts were dropped: too many at once; ./botctl status, and the journal has all of them"
            self._raise(Notice(key="alerts dropped", severity=Severity.WARNING, title=lost))

    def _raise(self, notice: Notice) -> None:
        now = self._clock.now()
        known = self._alerts.get(self._newest.get(notice.key, ""))
        if known is not None and _is_same(known, now - self._repeat):
            if not _goes_on(known, notice):
                self._put(_again(known, notice, now))
            return
        made = Alert(
            id=alert_id(notice.key, now),
            key=notice.key,
            severity=notice.severity,
            title=notice.title,
            body=notice.body,
            lasts=notice.lasts,
            raised_at=now,
            last_at=now,
        )
        logger.log("ERROR" if made.severity is Severity.CRITICAL else "INFO", "alert {}: {}", made.id, made.title)
        self._newest[notice.key] = made.id
        self._put(made)

    def _put(self, alert: Alert) -> None:
        self._alerts[alert.id] = self._unstored[alert.id] = alert
        self.version += 1

    async def _hear_of_acknowledged(self) -> None:
        waiting = [each.id for each in self._alerts.values() if each.acked_at is None]
        try:
            for name, by, at in await self._store.acknowledged(waiting) if waiting else ():
                self._alerts[name] = replace(self._alerts[name], acked_by=by, acked_at=at)
                self.version += 1
        except BotError as error:
            logger.debug("alerts: what was acknowledged elsewhere is not known: {}", error)

    def _forget(self) -> None:
        spare = len(self._alerts) - _MOST_KEPT
        for each in _forgettable(list(self._alerts.values()), self._clock.now() - _KEEP, spare):
            if each.id not in self._unstored:
                del self._alerts[each.id]
                if self._newest.get(each.key) == each.id:
                    del self._newest[each.key]


def _is_same(known: Alert, since: datetime) -> bool:
    """One that lasts is the same until a while after its end, so that flapping is one alert; another while young.

    What is critical and comes back after its end is told anew: who took note of the first believes that it is over.
    """
    if known.resolved_at is not None:
        return known.lasts and known.severity is not Severity.CRITICAL and known.resolved_at >= since
    return known.lasts or known.last_at >= since


def _goes_on(known: Alert, notice: Notice) -> bool:
    """Nothing new: it was looked at again, and still lasts."""
    return notice.lasts and known.resolved_at is None


def _again(known: Alert, notice: Notice, now: datetime) -> Alert:
    severity = max(known.severity, notice.severity, key=lambda each: each.rank)
    seen = replace(known, last_at=now, count=known.count + 1, severity=severity, resolved_at=None)
    return replace(seen, title=notice.title, body=notice.body)


def _forgettable(alerts: Sequence[Alert], oldest: datetime, spare: int) -> list[Alert]:
    """Those too old, or too many; never what waits for somebody."""
    return [each for place, each in enumerate(alerts) if (each.last_at < oldest or place < spare) and not each.waits]
