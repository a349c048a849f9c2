"""Tier C: what a seed does to a real daemon, and what is asked of venues and database afterwards. Pure.

Nothing here is told by the daemon. `VenueBooks` is what the venues know, `Books` what PostgreSQL holds.
"""

import random
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from bot.instruments import BrokerId
from bot.models import ClientOrderId, entry_of
from bot.simulation.catalogue import FAULTS_OF_PROCESSES
from bot.simulation.fault_proxy import PROXY_FAULTS, Disturbance
from bot.simulation.tape import Throws

TIER_C_FAULTS: Final = ("P1", "P2", *PROXY_FAULTS, *FAULTS_OF_PROCESSES)
PROTECTED_S: Final = 20.0  # from kill -9, or undisturbed, to a stop for all of every position
_NO_TURN: Final = "had no turn in the request budget"
BUDGET_S: Final = 60.0  # a venue counts requests by the minute: several starts within one may use up what it allows
SETTLED_S: Final = 200.0  # an order that never arrived may be presumed absent after two minutes
_ZERO: Final = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """How long one process lives: `after_s` seconds after it is up, or after the next minute's candles closed
    (`after_candle`), or once a venue holds a position (`holding`), or after its start, whatever it does then
    (`in_recovery`)."""

    after_s: float
    after_candle: bool = False
    holding: bool = False
    in_recovery: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The lives of one seed; after the last kill faults end and one process lives on."""

    seed: int
    faults: Throws | None
    lives: tuple[Life, ...]

    @classmethod
    def drawn(cls, seed: int, *, faults: Throws | None = None, candles: int | None = None) -> "Plan":
        """Kills around closing candles, because entries leave then, in recovery, with a position, at any other time."""
        dice = random.Random(f"{seed}/tier c")
        lives: list[Life] = []
        for _ in range(candles or dice.randint(1, 2)):
            lives.append(Life(after_s=dice.uniform(1.0, 12.0), after_candle=True))
            lives += [Life(after_s=dice.uniform(0.5, 6.0), in_recovery=True) for _ in range(dice.randint(0, 2))]
            lives += [Life(after_s=dice.uniform(0.0, 5.0)) for _ in range(dice.randint(0, 1))]
        lives.append(Life(after_s=dice.uniform(0.0, 3.0), holding=True))
        return cls(seed=seed, faults=faults, lives=tuple(lives))


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One entry as a venue knows it, in all its life."""

    broker_id: BrokerId
    entry: str
    opened: Decimal
    closed: Decimal
    held: Decimal
    stopped: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A time; with `broker_id` empty of all venues."""

    broker_id: str
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueBooks:
    """What the venues know at one instant. `naked`: spans in which a position had no stop for all of it, by entry;
    `bare`: entries that have none for all of it now."""

    at: datetime
    entries: Mapping[str, Held]
    executed: Mapping[str, int]
    naked: Sequence[tuple[str, Span]]
    bare: frozenset[str]

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> "VenueBooks":
        """From the JSON of the fakes."""
        at = datetime.fromisoformat(told["at"])
        entries = {
            each["entry"]: Held(
                broker_id=BrokerId(name),
                entry=each["entry"],
                **{field: Decimal(each[field]) for field in ("opened", "closed", "held", "stopped")},
            )
            for name, rows in told["entries"].items()
            for each in rows
        }
        executed = {name: count for of_venue in told["executed"].values() for name, count in of_venue.items()}
        naked = [(each["entry"], _span(each, at)) for each in told["naked"]]
        bare = frozenset(each["entry"] for each in told["naked"] if each["until"] is None)
        return cls(at=at, entries=entries, executed=executed, naked=naked, bare=bare)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One position as the database has it; `opened` and `closed` are the sums of its fills."""

    entry: str
    quantity: Decimal
    opened: Decimal
    closed: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """What the database holds. `broken` has the names of the queries in BOOK_CHECKS that found rows, and those."""

    positions: Mapping[str, Recorded]
    orders: frozenset[str]
    broken: Mapping[str, Sequence[tuple[Any, ...]]] = field(default_factory=dict)


# Each finds the rows that break it.
BOOK_CHECKS: Final[Mapping[str, str]] = {
    "I10 order events form a chain": """
        SELECT client_order_id, sequence FROM (
            SELECT client_order_id, sequence, from_state,
                   coalesce(lag(to_state) OVER (PARTITION BY client_order_id ORDER BY sequence), '') AS before
            FROM order_events
        ) AS chain WHERE from_state <> before""",
    "I10 an order is where its newest event left it": """
        SELECT o.client_order_id FROM orders o
        JOIN LATERAL (SELECT to_state FROM order_events e WHERE e.client_order_id = o.client_order_id
                      ORDER BY sequence DESC LIMIT 1) AS newest ON true
        WHERE o.state <> newest.to_state""",
    "I3 a signal is entered once": """
        SELECT signal_id FROM orders WHERE role = 'entry' AND signal_id IS NOT NULL
        GROUP BY signal_id HAVING count(*) > 1""",
    "I2 no order is filled beyond its quantity": """
        SELECT o.client_order_id FROM orders o JOIN fills f USING (client_order_id)
        GROUP BY o.client_order_id, o.quantity HAVING sum(f.quantity) > o.quantity""",
}
ORDERS: Final = "SELECT client_order_id FROM orders"
RECORDED: Final = """
    SELECT p.entry_order_id, p.quantity,
           coalesce(sum(f.quantity) FILTER (WHERE o.role = 'entry'), 0),
           coalesce(sum(f.quantity) FILTER (WHERE o.role <> 'entry'), 0)
    FROM positions p JOIN orders o ON o.position_id = p.id LEFT JOIN fills f USING (client_order_id)
    GROUP BY p.id, p.entry_order_id, p.quantity
"""


def differences(venues: VenueBooks, books: Books, lost: Collection[str] = ()) -> list[str]:
    """Where venues and database disagree: each a sentence. Empty once everything has settled (I8, I9).

    `lost` are orders that a restored database does not know. Where that is an entry it can have no more than what is
    left of it; where it is a stop or an exit, what was closed.
    """
    return [
        *_of_positions(venues, books, lost),
        *(f"{each.entry}: no stop for all of it" for each in unprotected(venues)),
    ]


def known_spans(naked: Iterable[tuple[str, Span]], lost: Mapping[str, datetime]) -> list[Span]:
    """Those spans as far as the daemon knew of the position: an entry in `lost` waits for a person since then."""
    cut = [replace(span, until=min(span.until, lost.get(entry, span.until))) for entry, span in naked]
    return [each for each in cut if each.until > each.since]


def unprotected(venues: VenueBooks) -> list[Held]:
    """Positions that have no stop for all of them now."""
    return [each for each in venues.entries.values() if each.stopped < each.held]


def _of_positions(venues: VenueBooks, books: Books, lost: Collection[str]) -> Iterator[str]:
    legs_lost = {entry_of(ClientOrderId(each)) for each in lost}
    for name, held in venues.entries.items():
        known = books.positions.get(name)
        if known is None:
            if held.held if name in lost else held.opened:
                yield f"I8 {name}: {held.opened} opened at {held.broker_id}, no position in the database"
            continue
        compared = [("held", held.held, known.quantity)]
        if name not in lost:
            compared.append(("bought or sold short", held.opened, known.opened))
        if name not in legs_lost:
            compared.append(("closed", held.closed, known.closed))
        for what, there, here in compared:
            if there != here:
                yield f"I9 {name}: {what} {there} at {held.broker_id}, {here} in the database"
    for name in books.positions.keys() - venues.entries.keys():
        if books.positions[name].quantity:
            yield f"I8 {name}: {books.positions[name].quantity} in the database, unknown at its venue"


def violations(venues: VenueBooks, books: Books, able: Iterable[float], lost: Collection[str] = ()) -> Iterator[str]:
    """What may never be, whatever has settled. `able` are the seconds of `undisturbed` of each span without a stop,
    `lost` as in `differences`."""
    for name, count in venues.executed.items():
        if count > 1:
            yield f"I2 {name} was executed {count} times"
        if name not in books.orders and name not in lost:
            yield f"I1 {name} was executed and is not in the database"
    for name, rows in books.broken.items():
        yield f"{name}: {rows[:3]}"
    if (worst := max(able, default=0.0)) > PROTECTED_S:
        yield f"I6 a position had no stop for {worst:.1f} s while the daemon could have placed one"


def undisturbed(naked: Span, dead: Sequence[Span], disturbances: Sequence[Disturbance]) -> float:
    """The longest stretch of `naked`, in seconds, in which the daemon lived and nothing kept it from its venue."""
    held_up = [each for each in dead if each.broker_id in ("", naked.broker_id)]
    held_up += [
        Span(broker_id=each.broker_id, since=each.since, until=each.until)
        for each in disturbances
        if each.broker_id == naked.broker_id
    ]
    longest, at = timedelta(0), naked.since
    for each in sorted(held_up, key=lambda span: span.since):
        if each.until <= at:
            continue
        if each.since >= naked.until:
            break
        longest = max(longest, each.since - at)
        at = max(at, each.until)
    return max(longest, naked.until - at).total_seconds()


def waited_for_budget(log: str, since: datetime) -> bool:
    """Whether a daemon's log says, after `since`, that a venue's budget of requests was used up."""
    lines = (line for line in log.splitlines() if _NO_TURN in line and line.startswith('{"at": "'))
    return any(datetime.fromisoformat(line.split('"', 4)[3]) > since for line in lines)


def fired(disturbances: Iterable[Disturbance]) -> Counter[str]:
    """How often each fault happened."""
    return Counter(each.fault for each in disturbances)


def _span(each: Mapping[str, Any], now: datetime) -> Span:
    until = now if each["until"] is None else datetime.fromisoformat(each["until"])
    return Span(broker_id=each["broker_id"], since=datetime.fromisoformat(each["since"]), until=until)
