"""What one comparison of a venue with our record found."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from bot.differences import ClassCounts, Difference, DifferenceKind
from bot.instruments import BrokerId
from bot.layer1_data.broker_interface import VenueOrder
from bot.layer3_execution.sightings import Sighting, facts_of, span_of, told_balance, told_order, told_position
from bot.models import ORDER_ID_PREFIX, Order, Position, VenuePosition

K = DifferenceKind


@dataclass(slots=True)
class ReconcileReport:
    """What was found at one venue. `complete` is False when it did not answer; then nothing follows from absence."""

    broker_id: BrokerId
    complete: bool = True
    classes: ClassCounts = field(default_factory=ClassCounts)
    resolved: list[str] = field(default_factory=list)
    orders: dict[str, Sighting] = field(default_factory=dict)
    positions: list[Sighting] = field(default_factory=list)
    differences: tuple[Difference, ...] = ()
    error: str = ""
    compared_at: datetime | None = None

    def note(self, kind: DifferenceKind, order: Order, theirs: VenueOrder | None = None) -> None:
        """An order of ours about which something is open; what is known of it first counts."""
        ours = f"{order.side.value} {order.quantity:f}, {order.state.value}"
        told = "not shown" if theirs is None else told_order(theirs)
        name = order.client_order_id
        seen = Sighting(kind=kind, symbol=order.symbol, subject=name, ours=ours, theirs=told, order=theirs)
        self.orders.setdefault(name, seen)

    def note_unrecorded(self, kind: DifferenceKind, theirs: VenueOrder) -> None:
        """An order that works at the venue and has no row here."""
        name = theirs.client_order_id or theirs.venue_order_id
        told = told_order(theirs)
        seen = Sighting(kind=kind, symbol=theirs.symbol, subject=name, ours="nothing", theirs=told, order=theirs)
        self.orders.setdefault(name, seen)

    def count(self, **found: int) -> None:
        """What was found alike in a class; a class that is counted again was looked at again."""
        self.classes = replace(self.classes, **found)

    @property
    def matched(self) -> int:
        """Orders and positions that are alike here and at the venue."""
        return self.classes.matched

    @property
    def sightings(self) -> list[Sighting]:
        """Everything that differs."""
        return [*self.orders.values(), *self.positions]

    def find(self, difference_id: str) -> Difference | None:
        """The difference of that name, if it is still there."""
        return next((each for each in self.differences if each.id == difference_id), None)

    @property
    def clean(self) -> bool:
        """The venue answered, and nothing is unexplained that nobody has answered."""
        return self.complete and not any(each.is_open for each in self.differences)


def facts_of_report(report: ReconcileReport) -> dict[str, object]:
    """A comparison in the journal."""
    differences = [{"kind": each.kind.value, **facts_of(each)} for each in report.differences if each.is_open]
    return {
        "broker": report.broker_id,
        "complete": report.complete,
        "differences": differences,
        "error": report.error,
    }


def position_seen(theirs: VenuePosition, ours: Position | None, *, foreign_is_balance: bool = False) -> Sighting:
    """What the venue has open beside what we have of it.

    A balance of somebody else has no price of its own, and grows by what fees leave behind: neither changes the mark.
    """
    entry_id = theirs.entry_order_id
    if ours is not None:
        kind = K.MISSING_FILL if ours.is_pending else K.QUANTITY_MISMATCH
    else:
        kind = K.UNKNOWN_POSITION if entry_id.startswith(ORDER_ID_PREFIX) else K.FOREIGN_POSITION
    is_balance = kind is K.FOREIGN_POSITION and foreign_is_balance
    return Sighting(
        kind=kind,
        symbol=theirs.symbol,
        subject=entry_id,
        ours="nothing" if ours is None else f"{ours.direction.value} {ours.quantity:f}",
        theirs=told_balance(theirs) if is_balance else told_position(theirs),
        mark=f"{theirs.direction.value} {span_of(theirs.quantity)}" if is_balance else "",
        position=theirs,
        ours_quantity=Decimal(0) if ours is None else ours.quantity,
    )


def lost_seen(ours: Position) -> Sighting:
    """A position of ours that the venue does not have."""
    told = f"{ours.direction.value} {ours.quantity:f}"
    return Sighting(kind=K.LOST_POSITION, symbol=ours.symbol, subject=ours.id, ours=told, theirs="nothing")
