"""Alerts: what people were told, and taking note of one."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Annotated

from pydantic import StringConstraints

from bot.alerts import Alert, Delivery
from bot.dashboard.api.fields import Name, Rows
from bot.dashboard.api.operations import Asked, Body, Call
from bot.dashboard.audit import audit


class AlertsAsked(Rows):
    """How many, and older than which one."""

    older_than: Annotated[str, StringConstraints(max_length=40, pattern=r"^[^\x00-\x1f\x7f]*$")] = ""


class OneAlert(Asked):
    """Which alert."""

    id: Name


class Nothing(Body):
    """Nothing is needed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRow(Alert):
    """One alert. `waits`: a person must act, nobody took note, and it has not ended."""

    deliveries: tuple[Delivery, ...] = ()
    waits: bool = field()

    @classmethod
    def of(cls, alert: Alert) -> "AlertRow":
        """The row of `alert`."""
        return cls(**{each.name: getattr(alert, each.name) for each in fields(cls)})


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertList:
    """Newest first; `next` is the `older_than` of the following page, null where nothing older is left."""

    rows: Sequence[AlertRow]
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledged:
    """Whose note counts: of two the first. `by` is empty only if it was forgotten meanwhile."""

    id: str
    is_new: bool
    by: str


async def alerts(call: Call, asked: AlertsAsked) -> AlertList:
    """What people were told, newest first."""
    found = await call.parts.stores.alerts.recent(asked.limit, older_than=asked.older_than)
    return AlertList(rows=[*map(AlertRow.of, found)], next=found[-1].id if len(found) == asked.limit else None)


async def acknowledge(call: Call, asked: OneAlert, body: Nothing) -> Acknowledged:
    """Take note of an alert: nobody else is called because of it. Of two notes the first counts."""
    audit(call.request, "alert acknowledged", asked.id)
    store = call.parts.stores.alerts
    is_new = await store.acknowledge(asked.id, by=call.who, at=call.parts.clock.now())
    known = await store.acknowledged([asked.id])
    return Acknowledged(id=asked.id, is_new=is_new, by=known[0][1] if known else "")
