"""What one comparison saw, into differences with a history: since when, how often, told, ignored."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from bot.differences import Answer, AnswerKind, Difference, DifferenceKind, difference_id, fingerprint
from bot.instruments import BrokerId, Symbol
from bot.interfaces import Clock
from bot.layer1_data.broker_interface import BrokerCapabilities, BrokerInterface, VenueOrder
from bot.layer3_execution.order_tracker import Recorder
from bot.models import ORDER_ID_PREFIX, ClientOrderId, VenuePosition, leg_of

CHECKS_NEEDED: Final = 3
K = DifferenceKind
# Fast checks alone prove nothing: an answer may be as old as the fills are late. To end a position takes longest.
_LASTING_S: Final = {K.UNKNOWN_POSITION: 5.0, K.QUANTITY_MISMATCH: 5.0, K.LOST_POSITION: 120.0}
# Between these a quantity from 1 to 10 counts as the same: they lie where no round number does, so that what fees leave
# behind does not carry somebody's whole coins over one.
_BORDERS: Final = tuple(map(Decimal, ("0.76", "1.6", "3.6", "7.6", "16")))
_EVERY_ANSWER: Final = (AnswerKind.ADOPT, AnswerKind.IGNORE, AnswerKind.FLATTEN)
_SAYS: Final = {
    K.UNKNOWN_FATE: "the venue is asked for it by its id until it is found, or proven absent",
    K.LOST_ORDER: "works here and is not at the venue; it is asked for until its end is known",
    K.MISSING_FILL: "the venue has filled more than its fills have told so far",
    K.ORPHAN_ORDER: "bears our prefix and was never recorded: a fault of ours; nothing else is done to it",
    K.FOREIGN_ORDER: "made by somebody else; it is counted, and never touched without an answer",
    K.UNKNOWN_POSITION: "opened by an order of ours that our record does not have open",
    K.FOREIGN_POSITION: "opened by somebody else; it is counted, and never touched without an answer",
    K.QUANTITY_MISMATCH: "our fills and the venue disagree",
    K.LOST_POSITION: "the venue does not have it; it is ended when its fills are told, or as closed without them",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """One difference as one comparison saw it, with what the venue said, and how much of it we have.

    `mark`: what an answer to it depends on; empty where that is all that `theirs` says.
    """

    kind: DifferenceKind
    symbol: Symbol
    subject: str
    ours: str
    theirs: str
    position: VenuePosition | None = None
    order: VenueOrder | None = None
    ours_quantity: Decimal = Decimal(0)
    mark: str = ""


@dataclass(frozen=True, slots=True)
class _Known:
    difference: Difference
    first_s: float


class DifferenceLog:
    """Remembers differences from comparison to comparison, and tells of each new one once."""

    def __init__(self, *, broker_of: Callable[[BrokerId], BrokerInterface], clock: Clock, record: Recorder) -> None:
        """`record` must not fail."""
        self._broker_of = broker_of
        self._clock = clock
        self._record = record
        self._known: dict[BrokerId, dict[str, _Known]] = {}
        self._ignored: dict[str, str] = {}

    def ignore(self, answers: Sequence[Answer]) -> None:
        """These are all that people want left alone."""
        self._ignored = {each.fingerprint: f"{each.by}, {each.at:%Y-%m-%d %H:%M} UTC" for each in answers}

    async def note(self, broker_id: BrokerId, sightings: Sequence[Sighting]) -> tuple[Difference, ...]:
        """After a complete comparison: what it saw is all there is. What is new is told, by an incident."""
        before, after = self._known.get(broker_id, {}), {}
        for each in sightings:
            known = self._seen(broker_id, each, before)
            after[known.difference.id] = known
            await self._tell(known.difference, before.get(known.difference.id))
        self._known[broker_id] = after
        return tuple(each.difference for each in after.values())

    def _seen(self, broker_id: BrokerId, seen: Sighting, before: dict[str, _Known]) -> _Known:
        name = difference_id(broker_id, seen.kind, seen.subject)
        mark = fingerprint(broker_id, seen.kind, seen.subject, (seen.symbol, seen.ours, seen.mark or seen.theirs))
        last, now_s = before.get(name), self._clock.monotonic()
        same = last is not None and last.difference.fingerprint == mark
        checks = last.difference.checks + 1 if last is not None and same else 1
        first_s = last.first_s if last is not None and same else now_s
        lasts = checks >= CHECKS_NEEDED and now_s - first_s >= _LASTING_S.get(seen.kind, 0.0)
        counts = lasts or not seen.kind.needs_checks
        difference = Difference(
            id=name,
            fingerprint=mark,
            broker_id=broker_id,
            kind=seen.kind,
            symbol=seen.symbol,
            subject=seen.subject,
            ours=seen.ours,
            theirs=seen.theirs,
            says=_SAYS[seen.kind],
            seen_at=self._since(last),
            checks=checks,
            counts=counts,
            answers=self._answers(broker_id, seen) if counts else (),
            ignored_by=self._ignored.get(mark, ""),
        )
        return _Known(difference, first_s)

    def _since(self, last: _Known | None) -> datetime:
        return self._clock.now() if last is None else last.difference.seen_at

    def _answers(self, broker_id: BrokerId, seen: Sighting) -> tuple[AnswerKind, ...]:
        able = self._broker_of(broker_id).capabilities
        if seen.kind in (K.UNKNOWN_POSITION, K.QUANTITY_MISMATCH):
            return _EVERY_ANSWER
        if seen.kind is K.FOREIGN_POSITION:
            return _EVERY_ANSWER if _can_be_ours(seen, able) else (AnswerKind.IGNORE,)
        if seen.kind is K.ORPHAN_ORDER:
            return _EVERY_ANSWER if is_entry_id(ClientOrderId(seen.subject)) else _EVERY_ANSWER[1:]
        if seen.kind is K.FOREIGN_ORDER:
            return _EVERY_ANSWER[1:]
        return ()

    async def _tell(self, difference: Difference, last: _Known | None) -> None:
        told = last is not None and last.difference.counts and last.difference.fingerprint == difference.fingerprint
        if told or not difference.counts or not difference.is_open:
            return
        if difference.kind in (K.UNKNOWN_FATE, K.LOST_ORDER, K.MISSING_FILL):
            return  # evidence settles it; the journal's `reconcile` entries tell of it
        await self._record("incident", None, {"what": difference.kind.value, **facts_of(difference)})


def facts_of(difference: Difference) -> dict[str, object]:
    """A difference in the journal."""
    return {
        "difference": difference.id,
        "broker": difference.broker_id,
        "symbol": difference.symbol,
        "subject": difference.subject,
        "ours": difference.ours,
        "theirs": difference.theirs,
    }


def is_entry_id(client_order_id: ClientOrderId) -> bool:
    """It bears our prefix and names an entry."""
    return client_order_id.startswith(ORDER_ID_PREFIX) and client_order_id == leg_of(client_order_id, "E0")


def told_position(theirs: VenuePosition) -> str:
    """A position of the venue in words; all that an answer to it depends on."""
    return f"{theirs.direction.value} {theirs.quantity:f} at {theirs.average_price:f}"


def told_balance(theirs: VenuePosition) -> str:
    """What somebody else has of one asset in words; an answer to it depends on its span only."""
    return f"{theirs.direction.value} {theirs.quantity:f} ({span_of(theirs.quantity)} counts as the same)"


def span_of(quantity: Decimal) -> str:
    """The range in which a quantity above zero lies; it ends at about twice its beginning, the same in every run.

    Nothing is remembered for it, so that an answer still holds after a restart.
    """
    borders = [each.scaleb(quantity.adjusted()) for each in _BORDERS]
    begin = max(each for each in borders if each <= quantity)
    end = min(each for each in borders if each > quantity)
    return f"from {begin:f} to {end:f}"


def told_order(theirs: VenueOrder) -> str:
    """An order of the venue in words."""
    price = "" if theirs.price is None else f" at {theirs.price:f}"
    reduces = ", reduce-only" if theirs.reduces_only else ""
    filled = f", {theirs.filled_quantity:f} filled" if theirs.filled_quantity else ""
    return f"{theirs.side.value} {theirs.quantity:f}{price}{filled}{reduces}, {theirs.venue_order_id}"


def _can_be_ours(seen: Sighting, able: BrokerCapabilities) -> bool:
    """Where stops are ours to size, a stop belongs to the entry that its name tells: only ours have such names."""
    return able.keeps_stops and seen.position is not None
