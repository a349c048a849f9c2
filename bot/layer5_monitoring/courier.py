"""Brings alerts to one chat: what matters most first, the rest together, and changes into what was sent already.

Each chat has its own courier, so that one that blocks us holds up nobody else.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Final, Protocol
from zoneinfo import ZoneInfo

from loguru import logger

from bot.alerts import Alert, Channel, Delivery, DeliveryState, Severity
from bot.errors import AlertFailed, AlertFateUnknown, AlertNotSent
from bot.interfaces import Clock
from bot.layer5_monitoring.alert_text import LONGEST_CAPTION, LONGEST_MESSAGE, chat_text
from bot.layer5_monitoring.alerts import AlertDesk
from bot.layer5_monitoring.pictures import Pictures

_CHAT_PAUSE_S: Final = 1.1  # about one message a second
_GROUP_PAUSE_S: Final = 3.1  # 20 a minute
_IDLE_S: Final = 0.5
_EDIT_PAUSE: Final = timedelta(seconds=10)  # edits count as messages
_AGAIN_S: Final = 15.0  # after an answer that did not come
_FAULT_S: Final = 30.0
_TOO_OLD: Final = timedelta(hours=12)  # longer than any quiet night: of a chat that was added later
_MOST_TOGETHER: Final = 25
_MOST_ALONE: Final = 3  # with a picture each; of more, all go together as text
_MOST_LATE: Final = 5


class Chats(Protocol):
    """What a courier needs of a messenger. Raises AlertFailed and its kinds."""

    async def send(self, chat: int, text: str, *, silent: bool = False) -> str:
        """Send; the service's name of the message."""

    async def send_photo(self, chat: int, picture: bytes, caption: str, *, silent: bool = False) -> str:
        """Send a PNG with a text of LONGEST_CAPTION at most; the service's name of the message."""

    async def edit(self, chat: int, reference: str, text: str) -> None:
        """Replace the text of a message, or the one under its picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """When a chat may be written to, and what it wants to know."""

    least: Severity
    zone: ZoneInfo
    quiet: tuple[time, time] | None

    def is_quiet(self, at: datetime) -> bool:
        """It is the time in which only critical alerts are sent."""
        if self.quiet is None:
            return False
        now, (begin, end) = at.astimezone(self.zone).time(), self.quiet
        return begin <= now < end if begin <= end else now >= begin or now < end


class Courier:
    """One chat."""

    def __init__(
        self,
        desk: AlertDesk,
        chats: Chats,
        chat: int,
        manners: Manners,
        clock: Clock,
        pictures: Pictures | None = None,
    ) -> None:
        """`pictures`: where alerts have some; a text goes out without its picture rather than late."""
        self._pictures = pictures
        self._late: list[Alert] = []  # sent without the picture, which may still come
        self._desk = desk
        self._chats = chats
        self._chat = chat
        self._manners = manners
        self._clock = clock
        self._settled: int | None = None  # the desk's version at which every message read as it should
        self._pause_s = _GROUP_PAUSE_S if chat < 0 else _CHAT_PAUSE_S

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                pause_s = await self.turn()
            except Exception as error:  # the edge: one bad alert must not end the others
                logger.opt(exception=error).error("alerts: a turn of the courier to {} failed", self._chat)
                pause_s = _FAULT_S
            await self._clock.sleep(pause_s)

    async def turn(self) -> float:
        """Send or change one message, if there is one; how long to wait then."""
        if batch := self._next_batch():
            return await self._send(batch)
        if changed := self._next_change():
            return await self._edit(changed)
        if late := self._next_late():
            return await self._send_late(*late)
        return _IDLE_S

    # -------------------------------------------------------------------------------------------------------- inside

    def _next_batch(self) -> list[Alert]:
        now, muted = self._clock.now(), self._desk.state.muted_until
        held = self._manners.is_quiet(now) or (muted is not None and now < muted)
        due = [each for each in self._desk.alerts() if self._is_due(each, now, held=held)]
        few = len(due) <= _MOST_ALONE
        waiting = [each for each in due if not (few and self._waits_for_picture(each))]
        waiting.sort(key=lambda each: (-each.severity.rank, each.raised_at))
        critical = [each for each in waiting if each.severity is Severity.CRITICAL]
        if few and not critical and any(map(self._picture, waiting)):
            return waiting[:1]
        batch = (critical or waiting)[:_MOST_TOGETHER]
        while len(batch) > 1 and len(chat_text(batch)) >= LONGEST_MESSAGE:
            batch = batch[: len(batch) // 2]
        return batch

    def _is_due(self, alert: Alert, now: datetime, *, held: bool) -> bool:
        known = self._delivery(alert)
        if known is not None:
            return known.state is DeliveryState.UNKNOWN and (now - known.at).total_seconds() >= _AGAIN_S
        if alert.severity is Severity.CRITICAL:
            return alert.waits or now - alert.last_at < _TOO_OLD
        return not held and alert.severity.rank >= self._manners.least.rank and now - alert.last_at < _TOO_OLD

    def _next_change(self) -> Sequence[Alert]:
        """The alerts of one message that reads otherwise by now; changed seldom, because edits count as messages."""
        version = self._desk.version
        if version == self._settled:
            return ()
        waits = False
        sent: dict[str, list[Alert]] = {}
        for alert in self._desk.alerts():
            delivery = self._delivery(alert)
            if delivery is not None and delivery.state is DeliveryState.SENT:
                sent.setdefault(delivery.reference, []).append(alert)
        for alerts in sent.values():
            shown = self._delivery(alerts[0])
            if shown is None or shown.shown == _digest(self._text(alerts)):
                continue
            if self._clock.now() - shown.at >= _EDIT_PAUSE:
                return _in_order(alerts)
            waits = True
        self._settled = None if waits else version
        return ()

    async def _send(self, batch: Sequence[Alert]) -> float:
        """A message of unknown fate is sent again: alerts carry their id, so that a second one does no harm."""
        text, picture = self._text(batch), self._picture(batch[0]) if len(batch) == 1 else None
        silent = all(each.severity is Severity.INFO for each in batch)
        try:
            if picture is None:
                reference = await self._chats.send(self._chat, text, silent=silent)
            else:
                reference = await self._chats.send_photo(self._chat, picture, text, silent=silent)
        except AlertNotSent as error:
            logger.warning("alerts: {}", error)
            return max(error.retry_after_s, self._pause_s)
        except AlertFateUnknown as error:
            self._note(batch, DeliveryState.UNKNOWN, says=str(error))
        except AlertFailed as error:
            logger.error("alerts: {}", error)
            self._note(batch, DeliveryState.FAILED, says=str(error))
        else:
            self._note(batch, DeliveryState.SENT, reference=reference, shown=_digest(text))
            if self._pictures is not None:
                self._late = [*self._late, *filter(self._pictures.comes, batch)][-_MOST_LATE:]
        return self._pause_s

    async def _edit(self, alerts: Sequence[Alert]) -> float:
        text, known = self._text(alerts), self._delivery(alerts[0])
        reference = known.reference if known is not None else ""
        try:
            await self._chats.edit(self._chat, reference, text)
        except AlertNotSent as error:
            return max(error.retry_after_s, self._pause_s)
        except AlertFateUnknown:
            return _AGAIN_S  # the same text twice is no change
        except AlertFailed as error:  # it was removed, say: nothing to be changed any more
            logger.warning("alerts: {}", error)
        self._note(alerts, DeliveryState.SENT, reference=reference, shown=_digest(text))
        return self._pause_s

    def _text(self, alerts: Sequence[Alert]) -> str:
        """An alert that may have a picture is short enough to stand under it, whether or not it does."""
        ordered = _in_order(alerts)
        may_have = len(alerts) == 1 and self._pictures is not None and self._pictures.may_have(alerts[0])
        return chat_text(ordered, LONGEST_CAPTION if may_have else LONGEST_MESSAGE)

    def _picture(self, alert: Alert) -> bytes | None:
        return self._pictures.of(alert) if self._pictures is not None else None

    def _waits_for_picture(self, alert: Alert) -> bool:
        return self._pictures is not None and self._pictures.keeps_waiting(alert)

    def _next_late(self) -> tuple[Alert, bytes] | None:
        """A picture that came after its text."""
        if self._pictures is None or not self._late:
            return None
        self._late = [each for each in self._late if self._pictures.comes(each) or self._pictures.of(each)]
        drawn = ((each, picture) for each in self._late if (picture := self._pictures.of(each)) is not None)
        return next(drawn, None)

    async def _send_late(self, alert: Alert, picture: bytes) -> float:
        """Once: the text is there, and a picture twice is worse than none."""
        self._late.remove(alert)
        try:
            await self._chats.send_photo(self._chat, picture, f"{alert.title}\n{alert.id}", silent=True)
        except AlertNotSent as error:
            return max(error.retry_after_s, self._pause_s)
        except AlertFailed as error:
            logger.info("alerts: {}", error)
        return self._pause_s

    def _note(
        self, batch: Sequence[Alert], state: DeliveryState, *, reference: str = "", shown: str = "", says: str = ""
    ) -> None:
        delivery = Delivery(
            channel=Channel.TELEGRAM,
            recipient=str(self._chat),
            state=state,
            at=self._clock.now(),
            reference=reference,
            shown=shown,
            says=says,
        )
        for alert in batch:
            self._desk.deliver(alert.id, delivery)

    def _delivery(self, alert: Alert) -> Delivery | None:
        return alert.delivery(Channel.TELEGRAM, str(self._chat))


def _in_order(alerts: Sequence[Alert]) -> list[Alert]:
    return sorted(alerts, key=lambda each: (-each.severity.rank, each.raised_at, each.id))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
