"""One seed's world before anything goes wrong: venues, symbols, speeds, and where the process will die."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Final

from bot.instruments import Symbol
from bot.layer1_data.broker_interface import DuplicateIds
from bot.layer1_data.brokers.simulated.traits import VenueTraits
from bot.simulation.clock import BEFORE_MIDNIGHT, START
from bot.simulation.tape import Tape, Throws

LIVENESS_S: Final = 60.0
_MONITOR_S: Final = (3.0, 5.0, 10.0, 120.0)
_ANALYSIS_S: Final = (3.0, 7.0)
_MAX_POSITIONS: Final = (1, 2, 2, 5)
PRESUMED_S: Final = 140.0  # what absence needs, on top, where an order may never have arrived

_SYMBOLS: Final[Mapping[str, tuple[str, ...]]] = {
    "crypto": ("BTC/USDT", "ETH/USDT"),
    "forex": ("EUR_USD", "GBP_USD"),
    "stock": ("AAPL", "MSFT"),
}
PRICES: Final[Mapping[str, Decimal]] = {
    "BTC/USDT": Decimal(60_000),
    "ETH/USDT": Decimal(3_000),
    "EUR_USD": Decimal("1.1"),
    "GBP_USD": Decimal("1.3"),
    "AAPL": Decimal(200),
    "MSFT": Decimal(400),
}


@dataclass(frozen=True, slots=True)
class VenueKind:
    """How the venues of a seed treat stops, names and fills."""

    name: str
    traits: VenueTraits


_OWN_STOPS: Final = VenueTraits(attached_stop=False, stop_follows_position=False, amends_stop=False)

# The classes of docs/order-safety.md.
KINDS: Final = (
    VenueKind("OANDA: attached, follows", VenueTraits(duplicate_ids=DuplicateIds.OPEN_ONLY)),
    VenueKind(
        "IG, MT5: attached, follows, no duplicates known",
        VenueTraits(duplicate_ids=DuplicateIds.NONE, names_stops=False),
    ),
    VenueKind(
        "Binance futures: own stops, changed",
        replace(_OWN_STOPS, duplicate_ids=DuplicateIds.OPEN_ONLY, amends_stop=True, request_expires_after_s=5.0),
    ),
    VenueKind(
        "Binance spot: own stops, which lock",
        replace(_OWN_STOPS, duplicate_ids=DuplicateIds.OPEN_ONLY, stop_reserves=True, request_expires_after_s=5.0),
    ),
    VenueKind("Tradier: own stops, not changed", replace(_OWN_STOPS, duplicate_ids=DuplicateIds.NONE)),
    VenueKind(
        "Coinbase: attached, never shrinks, totals for fills",
        replace(_OWN_STOPS, duplicate_ids=DuplicateIds.PERMANENT, attached_stop=True, cumulative_fills=True),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    """kill -9 at step `step` of the process, or at its port boundary `boundary`; then nothing for `down_s`."""

    step: int | None
    boundary: int | None
    down_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What one seed is about. `crashes` are used up one per process, in order."""

    seed: int
    tape: Tape
    symbols: tuple[Symbol, ...]
    safety_s: float
    tick_s: float
    monitor_s: float
    analysis_s: float
    max_positions: int
    fills_in_parts: bool
    kind: VenueKind
    numbers: frozenset[int] | None
    crashes: tuple[Crash, ...]
    starts_at: datetime = START

    @classmethod
    def drawn(cls, seed: int, *, faults: Throws | None = None, numbers: frozenset[int] | None = None) -> "Scenario":
        """The scenario of a seed; `faults` and `numbers` (of signals) only ever take something away."""
        tape = Tape.drawn(seed, faults)
        dice = tape.dice("scenario")
        venues = dice.sample(sorted(_SYMBOLS), dice.choice((1, 1, 1, 2, 3)))
        many = dice.choice((1, 2, 2))
        return cls(
            seed=seed,
            tape=tape,
            symbols=tuple(Symbol(each) for venue in sorted(venues) for each in _SYMBOLS[venue][:many]),
            safety_s=float(dice.choice((75, 75, 135))),
            tick_s=dice.choice((1.0, 1.9, 3.1)),
            monitor_s=dice.choice(_MONITOR_S),
            analysis_s=dice.choice(_ANALYSIS_S),
            max_positions=dice.choice(_MAX_POSITIONS),
            fills_in_parts=tape.fires("B4"),
            kind=_kind(tape),
            numbers=numbers,
            crashes=_crashes(tape),
            starts_at=BEFORE_MIDNIGHT if tape.fires("C5") else START,
        )

    def with_other_settings(self, dice: random.Random) -> "Scenario":
        """What may be set otherwise in the next life of the process."""
        return replace(
            self,
            monitor_s=dice.choice(_MONITOR_S),
            analysis_s=dice.choice(_ANALYSIS_S),
            max_positions=dice.choice(_MAX_POSITIONS),
        )


def _kind(tape: Tape) -> VenueKind:
    """One of the classes. B15: a spot venue takes its fee in what was bought."""
    kind = tape.dice("venue kind").choice(KINDS)
    if not kind.traits.stop_reserves or not tape.fires("B15"):
        return kind
    withheld = Decimal(str(round(tape.amount("B15", 0.0005, 0.004), 5)))
    return replace(kind, traits=replace(kind.traits, withheld_ratio=withheld))


def _crashes(tape: Tape) -> tuple[Crash, ...]:
    """Up to three: P1 is drawn over the whole life, P2 early in the recovery after it. P3: many, each early."""
    if tape.fires("P3"):
        dice = tape.dice("P3/where")
        return tuple(
            Crash(step=dice.randint(1, 150), boundary=None, down_s=dice.uniform(0.5, 3.0))
            for _ in range(dice.randint(5, 20))
        )
    if not tape.fires("P1"):
        return ()
    found = [_crash(tape, "P1", 2_000, 100)]
    while tape.fires("P2") and len(found) < 3:
        found.append(_crash(tape, "P2", 300, 25))
    return tuple(found)


def _crash(tape: Tape, fault: str, steps: int, boundaries: int) -> Crash:
    dice = tape.dice(f"{fault}/where")
    at_step = dice.random() < 0.5
    return Crash(
        step=dice.randint(1, steps) if at_step else None,
        boundary=None if at_step else dice.randint(1, boundaries),
        down_s=dice.uniform(0.5, 20.0),
    )
