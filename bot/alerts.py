"""What people are told, and how far the telling got."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Final

_ID_LENGTH: Final = 6
_RANKS: Final = {"info": 0, "warning": 1, "critical": 2}


class Severity(StrEnum):
    """How bad it is. Critical: a person must act now."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """Greater is worse."""
        return _RANKS[self.value]


class Channel(StrEnum):
    """The ways to a person."""

    TELEGRAM = "telegram"
    SMS = "sms"


class DeliveryState(StrEnum):
    """SENDING is stored before the request leaves; UNKNOWN: it may have arrived."""

    SENDING = "sending"
    SENT = "sent"
    UNKNOWN = "unknown"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something that a person should know. Notices of one `key` are one alert while it is young or unresolved.

    `title` is the first line and says it all: what, where, how bad, what next. `lasts`: it holds until it is resolved.
    """

    key: str
    severity: Severity
    title: str
    body: str = ""
    lasts: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One alert on its way to one person. `reference` is the service's name of the message, which several alerts may
    share; `shown` tells which text it had last."""

    channel: Channel
    recipient: str
    state: DeliveryState
    at: datetime
    reference: str = ""
    shown: str = ""
    says: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert. `count` is how often it was raised; one that `lasts` holds until `resolved_at`."""

    id: str
    key: str
    severity: Severity
    title: str
    body: str
    raised_at: datetime
    last_at: datetime
    lasts: bool = False
    count: int = 1
    resolved_at: datetime | None = None
    acked_at: datetime | None = None
    acked_by: str = ""
    deliveries: tuple[Delivery, ...] = ()

    def delivery(self, channel: Channel, recipient: str) -> Delivery | None:
        """How far it got on one way to one person."""
        matching = (each for each in self.deliveries if (each.channel, each.recipient) == (channel, recipient))
        return next(matching, None)

    @property
    def waits(self) -> bool:
        """A person must act, nobody took note, and it has not ended."""
        return self.severity is Severity.CRITICAL and self.acked_at is None and self.resolved_at is None

    @property
    def is_unsettled(self) -> bool:
        """It lasts, or it waits for somebody."""
        return self.waits or (self.lasts and self.resolved_at is None)

    @property
    def settled_at(self) -> datetime | None:
        """The last that happened to it; None while it is unsettled."""
        known = [each for each in (self.last_at, self.resolved_at, self.acked_at) if each is not None]
        return None if self.is_unsettled else max(known)


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to people as it is set: `says` who is told, `next_step` how to set it where it is not.

    `channel` is None for the heartbeat, of which no delivery is kept.
    """

    name: str
    channel: Channel | None
    is_set: bool
    says: str
    next_step: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskState:
    """What the alert desk remembers over a restart."""

    muted_until: datetime | None = None
    daily_digest_on: date | None = None
    weekly_digest_on: date | None = None


def alert_id(key: str, raised_at: datetime) -> str:
    """Short enough to be typed; a function of the event, so that storing it twice stores it once."""
    return hashlib.sha256(f"{key}|{raised_at.isoformat()}".encode()).hexdigest()[:_ID_LENGTH]


def delivery_to_json(delivery: Delivery) -> dict[str, str]:
    """As JSON types."""
    return {
        "channel": delivery.channel.value,
        "recipient": delivery.recipient,
        "state": delivery.state.value,
        "at": delivery.at.isoformat(),
        "reference": delivery.reference,
        "shown": delivery.shown,
        "says": delivery.says,
    }


def delivery_from_json(data: Mapping[str, str]) -> Delivery:
    """The delivery that `delivery_to_json` wrote."""
    return Delivery(
        channel=Channel(data["channel"]),
        recipient=data["recipient"],
        state=DeliveryState(data["state"]),
        at=datetime.fromisoformat(data["at"]),
        reference=data["reference"],
        shown=data["shown"],
        says=data["says"],
    )
