"""What the account's activity says: which deal is whose, and every opening and closing as a fill.

IG names neither stops nor closes by an id of ours. A close is ours if its answer's reference was told to us, or if it
came through the programming interface for a deal and size that we sent and never heard of. One that nobody claims is
held back for a while, since after a crash the order that it belongs to is only looked for later (`claim`).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from bot.errors import BrokerUnavailable
from bot.interfaces import Clock
from bot.layer1_data.broker_interface import FOREIGN
from bot.layer1_data.brokers.ig import to_ig
from bot.layer1_data.brokers.ig.errors import Fate, readable, unanswered
from bot.layer1_data.brokers.ig.from_ig import Event, events, is_ours
from bot.layer1_data.brokers.ig.recent import Recent
from bot.layer1_data.brokers.ig.session import Session
from bot.layer1_data.brokers.ig.to_ig import Call
from bot.layer1_data.brokers.ig.wire import Wire
from bot.layer1_data.brokers.limiter import Priority
from bot.models import ClientOrderId, entry_of, leg_of

OPENED: Final = "POSITION_OPENED"
CLOSED: Final = frozenset({"POSITION_CLOSED", "POSITION_PARTIALLY_CLOSED"})
RESTED: Final = "LIMIT_ORDER_OPENED"
WITHDRAWN: Final = frozenset({"LIMIT_ORDER_DELETED", "WORKING_ORDER_DELETED"})
_OUR_CHANNEL: Final = "PUBLIC_WEB_API"
_VENUES_CHANNELS: Final = frozenset({"SYSTEM", "DEALER"})
_FIRST_LOOK: Final = timedelta(days=60)
_OVERLAP: Final = timedelta(days=1)  # whether instants are UTC is not documented, and rows may come late
_CURSOR_OVERLAP: Final = timedelta(hours=2)  # rows may come late, and in local time clocks are put back by an hour
_CLAIM_S: Final = 60.0
_DEALS: Final = CLOSED | {OPENED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Deal:
    """An opening or closing, with the order that did it."""

    event: Event
    name: ClientOrderId
    is_buy: bool
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sent:
    """A close whose reference was never told."""

    name: ClientOrderId
    deal_id: str
    size: Decimal


class Ledger:
    """Activity, read once and then from the newest row on."""

    def __init__(self, session: Session, wire: Wire, clock: Clock, recent: Recent) -> None:
        self._session = session
        self._recent = recent
        self._wire = wire
        self._clock = clock
        self._events: dict[str, Event] = {}
        self._seen_at_s: dict[str, float] = {}
        self._names: dict[str, ClientOrderId] = {}
        self._opened_by_buy: dict[str, bool] = {}
        self._closes: dict[str, ClientOrderId] = {}
        self._sent: list[_Sent] = []
        self._held: set[str] = set()
        self._stops: dict[ClientOrderId, ClientOrderId] = {}
        self._newest: datetime | None = None
        self._cut_short: tuple[Call, tuple[Any, ...]] | None = None

    # --------------------------------------------------------------------------------------------------------- names

    def name_of(self, deal_id: str, reference: str) -> ClientOrderId | None:
        """The entry that a deal belongs to; None if it is not ours."""
        return ClientOrderId(reference) if is_ours(reference) else self._names.get(deal_id)

    def event_of(self, name: ClientOrderId, action: str) -> Event | None:
        """What an order of ours had done by `action`, as of the last look."""
        found = (each for each in self._events.values() if each.action == action and each.accepted)
        return next((each for each in found if self._names.get(each.affected) == name), None)

    def is_of_ours(self, deal: Deal) -> bool:
        """An order of ours did it, or it ended what one had opened."""
        return is_ours(deal.name) or deal.event.affected in self._names

    def stop_of(self, entry: ClientOrderId) -> ClientOrderId:
        """What its stop is called: as it was placed by this process, or as one that came with its entry."""
        return self._stops.get(entry) or leg_of(entry, "S0")

    def note_stop(self, entry: ClientOrderId, name: ClientOrderId) -> None:
        """It was placed under that name."""
        self._stops[entry] = name

    def note_deal(self, name: ClientOrderId, deal_id: str) -> None:
        """A confirm told which deal an order of ours made."""
        self._names[deal_id] = name

    def note_sent(self, name: ClientOrderId, deal_id: str, size: Decimal) -> None:
        """A close is about to leave."""
        self._sent.append(_Sent(name=name, deal_id=deal_id, size=size))

    def note_close(self, name: ClientOrderId, reference: str | None) -> None:
        """It was answered with that reference; None: it surely did nothing."""
        self._sent = [each for each in self._sent if each.name != name]
        if reference is not None:
            self._closes[reference] = name

    def reference_of(self, name: ClientOrderId) -> str | None:
        """What the venue calls a close that it has taken, as far as it was told."""
        return next((reference for reference, each in self._closes.items() if each == name), None)

    def claim(self, name: ClientOrderId) -> None:
        """An order whose fate is sought: a close of its position that nobody knows was made by it."""
        for key in sorted(self._held, key=lambda each: self._events[each].at):
            event = self._events[key]
            if entry_of(self._entry(event)) == entry_of(name):
                self._closes[event.reference] = name
                self._held.discard(key)
                return

    # ------------------------------------------------------------------------------------------------------- reading

    async def refresh(self, priority: Priority = Priority.READ) -> None:
        """Read what is new, all pages of it: nothing counts before the last one. A look cut short is gone on with."""
        before, self._cut_short = self._cut_short, None
        call, rows = before or (self._new_look(), ())
        while True:
            try:
                reply = await self._session.look(call, priority)
            except BrokerUnavailable:
                self._cut_short = (call, rows)
                raise
            if reply.fate is Fate.BUSY:
                self._cut_short = (call, rows)
            if reply.fate is not Fate.ACK:
                raise unanswered("activity was not answered", reply)
            with readable("activity"):
                data: Any = reply.data
                rows = (*rows, *data["activities"])
                following = data["metadata"]["paging"]["next"]
            if not following:
                break
            call = to_ig.next_page(str(following))
        with readable("activity"):
            for event in events(rows):
                self._take(event)
        if before is not None:
            await self.refresh(priority)  # what has happened since that look began

    def _new_look(self) -> Call:
        now = self._wire.server_now
        since = now - _FIRST_LOOK if self._newest is None else self._newest - _OVERLAP
        return to_ig.activity(since, now + _OVERLAP)

    def deals(self) -> list[Deal]:
        """All that is known, oldest first; what waits to be claimed ends the list."""
        found: list[Deal] = []
        for event in sorted(self._events.values(), key=lambda each: each.at):
            if event.action not in _DEALS or not event.accepted:
                continue
            deal = self._deal(event)
            if deal is None:
                break
            found.append(deal)
        return found

    def deals_after(self, cursor: str) -> tuple[Sequence[Deal], str]:
        """Those that the cursor does not know, and the next cursor: the newest instant and what was told around it."""
        since, told = _read_cursor(cursor)
        found: list[Deal] = []
        for event in sorted(self._events.values(), key=lambda each: each.at):
            if event.action not in _DEALS or not event.accepted or _mark(event) in told:
                continue
            if since is not None and event.at < since - _CURSOR_OVERLAP:
                continue
            deal = self._deal(event)
            if deal is None:
                break
            found.append(deal)
        if not found:
            return (), cursor
        newest = max([each.event.at for each in found] + ([] if since is None else [since]))
        near = [each for each in self._events.values() if each.at >= newest - _CURSOR_OVERLAP]
        marks = {_mark(each) for each in near} & (told | {_mark(each.event) for each in found})
        return found, f"{newest.isoformat()}|{','.join(sorted(marks))}"

    # -------------------------------------------------------------------------------------------------------- inside

    def _take(self, event: Event) -> None:
        self._newest = event.at if self._newest is None else max(self._newest, event.at)
        if event.key in self._events:
            return
        self._recent.forget()
        self._events[event.key] = event
        self._seen_at_s[event.key] = self._clock.monotonic()
        if event.action in CLOSED:
            return
        if (name := self.name_of(event.origin, event.reference)) is not None:
            self._names[event.affected] = name
        if event.action == OPENED:
            self._opened_by_buy[event.affected] = event.is_buy

    def _entry(self, event: Event) -> ClientOrderId:
        return self._names.get(event.affected) or ClientOrderId(f"{FOREIGN}{event.affected}")

    def _deal(self, event: Event) -> Deal | None:
        """None: it is held back."""
        entry = self._entry(event)
        if event.action == OPENED:
            return Deal(event=event, name=entry, is_buy=event.is_buy, cause="market")
        # Which side a row of a closing names is not documented: the opening knows.
        is_buy = not self._opened_by_buy.get(event.affected, event.is_buy)
        if event.channel in _VENUES_CHANNELS:
            return Deal(event=event, name=self.stop_of(entry), is_buy=is_buy, cause="stop")
        name = self._closes.get(event.reference) or self._matched(event)
        if name is None and event.channel == _OUR_CHANNEL and is_ours(entry):
            if self._clock.monotonic() - self._seen_at_s[event.key] < _CLAIM_S:
                self._held.add(event.key)
                return None
            self._held.discard(event.key)
        foreign = ClientOrderId(f"{FOREIGN}{event.affected}")
        return Deal(event=event, name=name or foreign, is_buy=is_buy, cause="market")

    def _matched(self, event: Event) -> ClientOrderId | None:
        for each in self._sent:
            if event.channel == _OUR_CHANNEL and (each.deal_id, each.size) == (event.affected, event.size):
                self.note_close(each.name, event.reference)
                return each.name
        return None


def _mark(event: Event) -> str:
    return hashlib.sha256(event.key.encode()).hexdigest()[:12]


def _read_cursor(cursor: str) -> tuple[datetime | None, frozenset[str]]:
    if not cursor:
        return None, frozenset()
    try:
        at, _, marks = cursor.partition("|")
        return datetime.fromisoformat(at), frozenset(marks.split(","))
    except ValueError:
        raise BrokerUnavailable(
            f"ig: fill cursor {cursor!r:.60} is not of this venue (instant|marks); read from the beginning with an "
            "empty cursor"
        ) from None
