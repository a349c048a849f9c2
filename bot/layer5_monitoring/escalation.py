"""Critical alerts that nobody took note of, by text message: once each, and never more than the budget of a day."""

from datetime import timedelta
from typing import Final, Protocol

from loguru import logger

from bot.alerts import Alert, Channel, Delivery, DeliveryState, Notice, Severity
from bot.errors import AlertFailed, AlertFateUnknown, AlertNotSent, BotError
from bot.interfaces import AlertStore, Clock
from bot.layer5_monitoring.alert_text import sms_text
from bot.layer5_monitoring.alerts import AlertDesk

_LOOK_EVERY_S: Final = 5.0
_FAULT_S: Final = 60.0
_DAY: Final = timedelta(days=1)
_LOOK_UP_AFTER: Final = timedelta(seconds=60)  # the history lags
_LOOK_UP_UNTIL: Final = timedelta(hours=1)
_MARGIN_S: Final = 300


class Texts(Protocol):
    """What is needed of a sender of text messages."""

    async def send(self, to: str, text: str, reference: str) -> str:
        """Send once; the service's id. Raises AlertFailed and its kinds."""

    async def find(self, reference: str, *, since_s: int, until_s: int) -> bool | None:
        """Whether the history has it; None: not known."""


class Escalation:
    """Watches the desk."""

    def __init__(
        self,
        desk: AlertDesk,
        store: AlertStore,
        texts: Texts,
        clock: Clock,
        *,
        numbers: tuple[str, ...],
        after_s: float,
        per_day: int,
        name: str,
    ) -> None:
        self._desk = desk
        self._store = store
        self._texts = texts
        self._clock = clock
        self._numbers = numbers
        self._after_s = after_s
        self._per_day = per_day
        self._name = name

    async def run(self) -> None:
        """Until cancelled. What was being sent when we crashed is looked up first, and never sent again."""
        while True:
            pause_s = _LOOK_EVERY_S
            try:
                pause_s = await self.turn()
            except Exception as error:  # the edge: one bad alert must not end the others
                logger.opt(exception=error).error("alerts: a turn of the text messages failed")
                pause_s = _FAULT_S
            await self._clock.sleep(pause_s)

    async def turn(self) -> float:
        """Send what is due, and look up what has no answer; how long to wait then."""
        for alert in self._desk.alerts():
            for number in self._numbers:
                known = alert.delivery(Channel.SMS, number)
                if known is not None:
                    await self._look_up(alert, known)
                elif self._is_due(alert) and await self._may_send():
                    wait_s = await self._send(alert, number)
                    if wait_s:
                        return wait_s
        return _LOOK_EVERY_S

    def _is_due(self, alert: Alert) -> bool:
        return alert.waits and (self._clock.now() - alert.raised_at).total_seconds() >= self._after_s

    async def _may_send(self) -> bool:
        """Counted by the store and by what it does not have yet, so that a database that is down opens no purse."""
        since = self._clock.now() - _DAY
        ours = [each for alert in self._desk.alerts() for each in alert.deliveries if each.channel is Channel.SMS]
        sent = sum(each.at >= since and each.state is not DeliveryState.FAILED for each in ours)
        try:
            sent = max(sent, await self._store.sms_since(since))
        except BotError as error:
            logger.warning("alerts: text messages are counted from memory: {}", error)
        key = f"sms budget {self._clock.now():%Y-%m-%d}"
        if sent >= self._per_day and not any(each.key == key for each in self._desk.alerts()):
            told = f"{sent} text messages in 24 h, SMS_PER_DAY is {self._per_day}: no more are sent; look at /alerts"
            self._desk.notify(Notice(key=key, severity=Severity.WARNING, title=told))
        return sent < self._per_day

    async def _send(self, alert: Alert, number: str) -> float:
        """Noted before it leaves. 0, or how long the service wants to be left alone."""
        reference = f"{alert.id}-{self._numbers.index(number)}"
        self._note(alert, number, DeliveryState.SENDING, reference)
        await self._desk.store()
        try:
            await self._texts.send(number, sms_text(alert, name=self._name), reference)
        except AlertNotSent as error:
            logger.warning("alerts: {}", error)
            self._desk.withdraw(alert.id, Channel.SMS, number)
            return error.retry_after_s
        except AlertFateUnknown as error:
            logger.warning("alerts: {}; it is looked up", error)
            self._note(alert, number, DeliveryState.UNKNOWN, reference, str(error))
        except AlertFailed as error:
            logger.error("alerts: {}", error)
            self._note(alert, number, DeliveryState.FAILED, reference, str(error))
            key = f"sms refused {number[-4:]}"
            self._desk.notify(Notice(key=key, severity=Severity.WARNING, title=f"no text message: {error}"))
        else:
            self._note(alert, number, DeliveryState.SENT, reference)
        return 0.0

    async def _look_up(self, alert: Alert, known: Delivery) -> None:
        age = self._clock.now() - known.at
        unsure = known.state in (DeliveryState.UNKNOWN, DeliveryState.SENDING)
        if not unsure or not _LOOK_UP_AFTER <= age <= _LOOK_UP_UNTIL:
            return
        sent_s = int(known.at.timestamp())
        found = await self._texts.find(known.reference, since_s=sent_s - _MARGIN_S, until_s=sent_s + _MARGIN_S)
        if found:
            self._note(alert, known.recipient, DeliveryState.SENT, known.reference)

    def _note(self, alert: Alert, number: str, state: DeliveryState, reference: str, says: str = "") -> None:
        now = self._clock.now()
        known = alert.delivery(Channel.SMS, number)
        delivery = Delivery(
            channel=Channel.SMS,
            recipient=number,
            state=state,
            at=known.at if known is not None else now,
            reference=reference,
            says=says,
        )
        self._desk.deliver(alert.id, delivery)
