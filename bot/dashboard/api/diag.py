"""What the daemon depends on and how it is set: health, providers, settings in force, the journal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Final

from pydantic import Field

from bot.alerts import Delivery, Way
from bot.config import SettingInForce
from bot.dashboard.api.fields import DIGITS, Rows
from bot.dashboard.api.operations import Call
from bot.instruments import BrokerId
from bot.layer5_monitoring.checkup import CheckupReport
from bot.models import JournalEntry

_WEEK: Final = timedelta(days=7)
_LAST_NUMBER: Final = 10**15  # no journal gets there, and every JSON reader can write it


@dataclass(frozen=True, slots=True, kw_only=True)
class Venue:
    """One broker: whether it answered last, and why entries wait there; empty if they do not."""

    broker_id: BrokerId
    answers: bool
    compared_at: datetime | None
    error: str
    entries_blocked: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Providers:
    """Everybody outside that the daemon works with. `ways` lead to people: Telegram, text messages, heartbeat.

    `deliveries` are the newest of the last week, one for each way and how it ended.
    """

    venues: Sequence[Venue]
    analyst: Mapping[str, object]
    ways: Sequence[Way]
    deliveries: Sequence[Delivery]


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """Every setting in force, masked where it is secret, and who gave it."""

    settings: Sequence[SettingInForce]


class JournalAsked(Rows):
    """How many, and before which: an answer's `next` has the parameter for its next page."""

    before: Annotated[int, Field(ge=1, le=_LAST_NUMBER), DIGITS] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NextEntries:
    """Parameter of the page that follows."""

    before: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalRows:
    """Newest first, in the order of writing. `next` is null where nothing older is left."""

    rows: Sequence[JournalEntry]
    next: NextEntries | None


async def health(call: Call) -> CheckupReport:
    """Everything that the daemon depends on, asked a few seconds ago at most: what is well, what is not, what next."""
    return await call.parts.checkup.look()


async def providers(call: Call) -> Providers:
    """Brokers, the analyst, and the ways to people, with their state."""
    told = call.parts.health().get("analyst")
    venues = [
        Venue(
            broker_id=each.broker_id,
            answers=each.complete,
            compared_at=each.compared_at,
            error=each.error,
            entries_blocked=each.blocked,
        )
        for each in call.parts.reconciliations()
    ]
    return Providers(
        venues=venues,
        analyst=told if isinstance(told, Mapping) else {},
        ways=call.parts.ways,
        deliveries=await call.parts.stores.alerts.last_deliveries(call.parts.clock.now() - _WEEK),
    )


async def configuration(call: Call) -> Configuration:
    """Every setting with its value (masked where it is secret), its bounds, and where it comes from."""
    return Configuration(settings=call.parts.configuration)


async def journal(call: Call, asked: JournalAsked) -> JournalRows:
    """What was decided and what happened, newest first."""
    found = await call.parts.stores.journal.recent(asked.limit, before=asked.before)
    last = found[-1].number if len(found) == asked.limit else None
    return JournalRows(rows=[each.entry for each in found], next=None if last is None else NextEntries(before=last))
