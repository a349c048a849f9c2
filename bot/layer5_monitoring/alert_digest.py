"""The daily and the weekly digest: what was decided, what came of it, what needed people."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

from loguru import logger

from bot.alerts import Alert, Notice, Severity
from bot.errors import BotError
from bot.instruments import to_cents
from bot.interfaces import Clock, Stores
from bot.layer5_monitoring.alerts import AlertDesk
from bot.models import Position

_LOOK_EVERY_S: Final = 30.0
_MOST: Final = 5_000  # the stores answer the newest, not a span


class Digests:
    """Leaves a notice at the hour, once a day and once a week, also over a restart."""

    def __init__(
        self, desk: AlertDesk, stores: Stores, clock: Clock, *, hour: int, weekday: int, zone: ZoneInfo, currency: str
    ) -> None:
        """`weekday` is 1 Monday to 7 Sunday; 0: no weekly one. `hour` below 0: none at all."""
        self._desk = desk
        self._stores = stores
        self._clock = clock
        self._hour = hour
        self._weekday = weekday
        self._zone = zone
        self._currency = currency

    async def run(self) -> None:
        """Until cancelled."""
        while self._hour >= 0:
            try:
                await self.turn()
            except BotError as error:
                logger.warning("digest: {}; it is tried again", error)
            await self._clock.sleep(_LOOK_EVERY_S)

    async def turn(self) -> None:
        """What is due now. A daemon that was down at the hour tells when it is up again, that day."""
        now = self._clock.now()
        local = now.astimezone(self._zone)
        today, state = local.date(), self._desk.state
        if local.hour < self._hour:
            return
        if state.daily_digest_on != today:
            await self._tell("daily", today, now - timedelta(days=1))
            await self._desk.remember(replace(self._desk.state, daily_digest_on=today))
        if local.isoweekday() == self._weekday and state.weekly_digest_on != today:
            await self._tell("weekly", today, now - timedelta(days=7))
            await self._desk.remember(replace(self._desk.state, weekly_digest_on=today))

    async def _tell(self, name: str, day: date, since: datetime) -> None:
        body = digest_text(
            closed=[each for each in await self._stores.orders.closed_positions(_MOST) if _closed_since(each, since)],
            opened=[each for each in await self._stores.orders.open_positions() if each.is_open],
            signals=[each.status for each in await self._stores.signals.recent(_MOST) if each.decided_at >= since],
            alerts=[each for each in await self._stores.alerts.recent(_MOST) if each.raised_at >= since],
            currency=self._currency,
        )
        title, _, rest = body.partition("\n")
        told = f"{name} digest {day:%Y-%m-%d}: {title}"
        self._desk.notify(Notice(key=f"digest {name} {day}", severity=Severity.INFO, title=told, body=rest))


def digest_text(
    *,
    closed: Sequence[Position],
    opened: Sequence[Position],
    signals: Sequence[str],
    alerts: Sequence[Alert],
    currency: str,
) -> str:
    """What a span brought; the first line says most of it."""
    net = sum((each.net for each in closed), start=Decimal(0))
    won = sum(each.net > 0 for each in closed)
    counts = ", ".join(f"{count} {name}" for name, count in sorted(Counter(signals).items())) or "none"
    waiting = [each for each in alerts if each.waits]
    by_severity = Counter(each.severity for each in alerts if not each.key.startswith("digest "))
    told = ", ".join(f"{by_severity[each]} {each.value}" for each in Severity if by_severity[each]) or "none"
    lines = [
        f"{to_cents(net):+,.2f} {currency} from {len(closed)} closed positions ({won} won), {len(opened)} open",
        f"signals: {counts}",
        f"alerts: {told}",
        *(f"waits for you: {each.title} (/ack {each.id})" for each in waiting),
    ]
    return "\n".join(lines)


def _closed_since(position: Position, since: datetime) -> bool:
    return position.closed_at is not None and position.closed_at >= since
