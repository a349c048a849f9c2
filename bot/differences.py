"""What differs between our record and a venue, and what a person answers to it (docs/reconcile.md)."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final

from bot.instruments import BrokerId, Symbol
from bot.models import Direction

_ID_LETTERS: Final = "23456789abcdefghjkmnpqrstuvwxyz"  # nothing that is read as something else
_ID_LENGTH: Final = 6


class DifferenceKind(StrEnum):
    """The classes of differences."""

    UNKNOWN_FATE = "order of unknown fate"
    LOST_ORDER = "lost order"
    MISSING_FILL = "missing fill"
    ORPHAN_ORDER = "orphan order"
    FOREIGN_ORDER = "foreign order"
    UNKNOWN_POSITION = "unknown position"
    FOREIGN_POSITION = "foreign position"
    QUANTITY_MISMATCH = "quantity mismatch"
    LOST_POSITION = "lost position"

    @property
    def needs_checks(self) -> bool:
        """A fill that is on its way looks the same: it counts only when it survives several checks."""
        return self in (self.UNKNOWN_POSITION, self.QUANTITY_MISMATCH, self.LOST_POSITION)

    @property
    def is_foreign(self) -> bool:
        """Nobody here made it: it is told at once."""
        return self in (self.FOREIGN_ORDER, self.FOREIGN_POSITION)


class AnswerKind(StrEnum):
    """What a person wants done about a difference."""

    ADOPT = "adopt"
    IGNORE = "ignore"
    FLATTEN = "flatten"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One difference as a person sees it.

    `id` names it for as long as it is about the same thing; `fingerprint` also changes with what is to be said about
    it, so that an answer never reaches something that nobody looked at; what changes by itself (the price and the last
    digits of a balance) is not in it. `counts` is False while a fill on its way may
    still explain it. `answers` are what may be answered: none where only evidence helps, and `says` then tells what is
    waited for. `ignored_by` is who has answered "ignore"; empty if nobody has.
    """

    id: str
    fingerprint: str
    broker_id: BrokerId
    kind: DifferenceKind
    symbol: Symbol
    subject: str
    ours: str
    theirs: str
    says: str
    seen_at: datetime
    checks: int
    counts: bool
    answers: tuple[AnswerKind, ...]
    ignored_by: str = ""

    @property
    def is_open(self) -> bool:
        """Nobody has said that it may stay as it is."""
        return not self.ignored_by


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassCounts:
    """How much of each class one comparison found alike here and at the venue. None: that class was not compared.

    `entries` and `exits` are orders that work on both sides, `stops` those that the venue names as resting for what it
    has open and our record has as live, `positions` those of equal quantity. `fills` are those that this comparison
    was the first to read; what was read before is not compared again.
    """

    entries: int | None = None
    exits: int | None = None
    stops: int | None = None
    positions: int | None = None
    fills: int | None = None
    balances: int | None = None

    @property
    def matched(self) -> int:
        """Orders and positions that are alike."""
        return sum(each or 0 for each in (self.entries, self.exits, self.stops, self.positions))

    @property
    def says(self) -> str:
        """Each class for a person."""
        names = ("entries", "exits", "stops", "positions", "fills", "balances")
        told = {each: "not compared" if (count := getattr(self, each)) is None else f"{count}" for each in names}
        alike = ", ".join(f"{each} {told[each]}" for each in names[:4])
        new = "" if self.fills is None else " new"
        return f"{alike}; fills {told['fills']}{new}; balances {told['balances']}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """One venue against our record. `complete` is False while it does not answer: then nothing follows from absence.

    `compared_at` is None before the first answer; `blocked` says why entries wait at the whole account.
    `key_refused`: it does not let our key in, and a person has to act.
    """

    broker_id: BrokerId
    compared_at: datetime | None
    complete: bool
    error: str
    matched: int
    blocked: str
    differences: tuple[Difference, ...]
    key_refused: bool = False
    classes: ClassCounts = ClassCounts()

    @property
    def is_clean(self) -> bool:
        """The venue answered, and nothing waits for anybody."""
        return self.complete and not any(each.is_open for each in self.differences)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignStake:
    """What a venue has open or working and our record has not, ignored or not: counted in full in every limit.

    `price` is that of now where it is known, else the venue's; `value_per_point` as in `Position`. An order `is_order`:
    it may open that, or never fill. `is_unbounded`: no stop limits what it can lose, and nobody has said that it may
    stay so.
    """

    broker_id: BrokerId
    symbol: Symbol
    direction: Direction
    quantity: Decimal
    price: Decimal
    value_per_point: Decimal
    is_order: bool = False
    is_unbounded: bool = False


class AnswerState(StrEnum):
    """How far an answer got. BEGUN survives a crash: what was begun is carried to its end, not judged anew."""

    GIVEN = "given"
    BEGUN = "begun"
    DONE = "done"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A person's answer to one difference; `says` tells what that was, `outcome` what came of the answer.

    `about` and `subject` are what it can be carried on from after a crash. `number` is 0 until it is stored.
    """

    broker_id: BrokerId
    difference_id: str
    fingerprint: str
    kind: AnswerKind
    about: DifferenceKind
    subject: str
    says: str
    by: str
    at: datetime
    number: int = 0
    state: AnswerState = AnswerState.GIVEN
    outcome: str = ""
    ended_at: datetime | None = None


def difference_id(broker_id: BrokerId, kind: DifferenceKind, subject: str) -> str:
    """Six characters that a person can type, the same in every run."""
    bits = int.from_bytes(_digest(broker_id, kind.value, subject)[:8], "big")
    letters = []
    for _ in range(_ID_LENGTH):
        bits, place = divmod(bits, len(_ID_LETTERS))
        letters.append(_ID_LETTERS[place])
    return "".join(letters)


def fingerprint(broker_id: BrokerId, kind: DifferenceKind, subject: str, facts: Sequence[str]) -> str:
    """What an answer was given to: the difference with all that could have been read about it."""
    return _digest(broker_id, kind.value, subject, *facts).hex()[:32]


def _digest(*parts: str) -> bytes:
    return hashlib.sha256("\x1f".join(parts).encode()).digest()
