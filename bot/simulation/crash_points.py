"""One small scenario, killed at every boundary it has: an entry with its stop, half of it closed at the first target.

A boundary is an entry or exit of a port (an order request, a write) and, over PostgreSQL, each answer of the server
inside a transaction. The same is done with each order request lost, its reply lost, and the request late.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Final, cast

from bot.database.memory_orders import MemoryOrders
from bot.errors import UsageError
from bot.instruments import Symbol
from bot.models import Order, OrderRole, OrderState
from bot.simulation.campaign import SeedResult, result_of
from bot.simulation.scenario import KINDS, Crash, Scenario, VenueKind
from bot.simulation.tape import Tape, Throws
from bot.simulation.world import World

LEG_FAULTS: Final = ("N1", "N2", "N3")  # request lost, reply lost, request late

_SYMBOL: Final = Symbol("BTC/USDT")
_FIRST_MINUTE: Final = frozenset({0})
_SEEDS: Final = range(1, 500)
_SAFETY_S: Final = 90.0
_DOWN_S: Final = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CrashCase:
    """One life of the scenario, ended at its boundary number `boundary`; None: never."""

    seed: int
    kind: VenueKind
    faults: Throws = field(default_factory=dict)
    boundary: int | None = None

    @property
    def scenario(self) -> Scenario:
        """The world of it, in which the throws that `faults` names fire for certain and no others."""
        crash = Crash(step=None, boundary=self.boundary, down_s=_DOWN_S)
        return replace(
            Scenario.drawn(self.seed, faults={}, numbers=_FIRST_MINUTE),
            tape=Tape(self.seed, rates=dict.fromkeys(self.faults, 1.0), only=self.faults),
            symbols=(_SYMBOL,),
            safety_s=_SAFETY_S,
            tick_s=1.0,
            monitor_s=5.0,
            analysis_s=5.0,
            max_positions=1,
            fills_in_parts=False,
            kind=self.kind,
            crashes=() if self.boundary is None else (crash,),
        )


RunScenario = Callable[[Scenario], SeedResult]


@dataclass(frozen=True, slots=True, kw_only=True)
class Crashes:
    """What came of one scenario killed at each of its boundaries. `runs` holds the one without a crash too."""

    unbroken: CrashCase
    boundaries: int
    runs: int
    broken: tuple[tuple[CrashCase, SeedResult], ...]


def kinds_named(text: str | None) -> tuple[VenueKind, ...]:
    """The venue kinds with one of these words, separated by commas, in their names; None: all. Raises UsageError."""
    if text is None:
        return KINDS
    found = []
    for word in text.split(","):
        fitting = [each for each in KINDS if word.strip().lower() in each.name.lower()]
        if len(fitting) != 1:
            known = "; ".join(each.name for each in KINDS)
            raise UsageError(f"--kinds {word!r} means {len(fitting)} venue kinds and must mean one of: {known}")
        found += fitting
    return tuple(found)


def word_for(kind: VenueKind) -> str:
    """A word by which `kinds_named` finds it."""
    return kind.name.partition(":")[0].rpartition(", ")[2]


def seed_with_partial_profit(kind: VenueKind, world_of: Callable[[Scenario], World]) -> int:
    """The first seed whose market takes the scenario all the way. Raises UsageError if none does."""
    for seed in _SEEDS:
        world = world_of(CrashCase(seed=seed, kind=kind).scenario)
        if result_of(world).violation is None and takes_partial_profit(world):
            return seed
    raise UsageError(f"no seed of {_SEEDS.start}..{_SEEDS.stop - 1} takes a partial profit at {kind.name!r}")


def takes_partial_profit(world: World) -> bool:
    """One position: entered, part of it closed at target 1, and a stop of just the rest that rests or was filled."""
    orders = cast(MemoryOrders, world.stores.orders)
    positions = [each for each in orders._positions.values() if each.first_quantity]
    if len(positions) != 1:
        return False
    position = positions[0]
    rows = [orders._orders[each] for each in orders._of_position[position.id]]
    closed = sum(each.filled_quantity for each in rows if each.reason == "TARGET_1")
    rest = position.first_quantity - closed
    return 0 < closed < position.first_quantity and any(_stops(each, rest) for each in rows)


def _stops(order: Order, quantity: object) -> bool:
    is_alive = not order.state.is_terminal
    return order.role is OrderRole.STOP and (
        (is_alive and order.quantity == quantity)
        or (order.state is OrderState.FILLED and order.filled_quantity == quantity)
    )


def unbroken_cases(seed: int, kind: VenueKind, run: RunScenario) -> Iterator[CrashCase]:
    """Without a fault, then with each order request lost, its reply lost, and it late, one at a time."""
    yield CrashCase(seed=seed, kind=kind)
    for fault in LEG_FAULTS:
        number = 1
        while run((case := CrashCase(seed=seed, kind=kind, faults={fault: frozenset({number})})).scenario).thrown:
            yield case
            number += 1


def killed_everywhere(
    unbroken: CrashCase, run: RunScenario, *, only: int | None = None, most_broken: int = 3
) -> Crashes:
    """Run it as it is, then killed at its first boundary, its second, ..., until it ends before it is killed.

    `only`: just that boundary; 0 is the run without a crash. It stops early after `most_broken` violations.
    """
    broken: list[tuple[CrashCase, SeedResult]] = []
    boundaries, runs = 0, 0
    for boundary in count() if only is None else (only,):
        case = replace(unbroken, boundary=boundary or None)
        result = run(case.scenario)
        runs += 1
        if result.violation is not None:
            broken.append((case, result))
        if (boundary and not result.seen["crashes"]) or len(broken) >= most_broken:
            break
        boundaries = boundary
    return Crashes(unbroken=unbroken, boundaries=boundaries, runs=runs, broken=tuple(broken))
