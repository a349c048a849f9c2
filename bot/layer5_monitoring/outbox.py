"""What of the alerts has not reached anybody, and which ways to people fail. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from bot.alerts import Alert, DeliveryState, Severity

_LATELY: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxState:
    """`waiting` are critical alerts that no way has delivered yet, `oldest_s` how long the first of them has waited.
    `unacknowledged` were delivered or not, and nobody took note. `failing` are the ways whose newest delivery of the
    last hour failed."""

    waiting: int
    oldest_s: float
    unacknowledged: int
    failing: tuple[str, ...]


def outbox_state(alerts: Sequence[Alert], now: datetime, *, has_ways: bool) -> OutboxState:
    """Without a way to anybody nothing waits: alerts are only kept then."""
    critical = [each for each in alerts if each.severity is Severity.CRITICAL and each.waits]
    undelivered = [each for each in critical if not _has_arrived(each)] if has_ways else []
    oldest = min((each.raised_at for each in undelivered), default=now)
    return OutboxState(
        waiting=len(undelivered),
        oldest_s=(now - oldest).total_seconds(),
        unacknowledged=len(critical),
        failing=_failing(alerts, now - _LATELY),
    )


def _has_arrived(alert: Alert) -> bool:
    return any(each.state is DeliveryState.SENT for each in alert.deliveries)


def _failing(alerts: Sequence[Alert], since: datetime) -> tuple[str, ...]:
    newest: dict[str, tuple[datetime, DeliveryState]] = {}
    for delivery in (each for alert in alerts for each in alert.deliveries if each.at >= since):
        known = newest.get(delivery.channel.value)
        if known is None or known[0] <= delivery.at:
            newest[delivery.channel.value] = (delivery.at, delivery.state)
    return tuple(channel for channel, (_, state) in newest.items() if state is DeliveryState.FAILED)
