"""Net exposure of many stakes: what is open, and how far the entries on their way can take it. Pure.

Each of them may fill whole, in part or never, and nobody knows which do. To one currency (group, strategy) each adds
an amount of one sign. So the net is highest when all that add to it fill and none that take from it, and lowest the
other way round; every other subset ends between the two, and none has to be tried. What is farthest from zero is at one
of the two ends. A stake of the other side nets only as far as it is open. Exits are no stakes: they may fail.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from bot.layer4_risk.stakes import ZERO, Stake
from bot.models import Direction


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """Signed notional in account currency, long positive: open now, and the ends of what it may become.

    `worst` is the end that is farther from zero, the long one of two that are equally far. `positions` are pending too.
    """

    name: str
    open: Decimal
    lowest: Decimal
    highest: Decimal
    positions: int
    worst: Decimal = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "worst", self.highest if self.highest >= -self.lowest else self.lowest)

    def farthest(self, direction: Direction) -> Decimal:
        """How far it may go to that side; 0 if it cannot get there."""
        return max(self.highest if direction is Direction.LONG else -self.lowest, ZERO)


def net_exposures(stakes: Iterable[Stake], weights_of: Callable[[Stake], Mapping[str, int]]) -> tuple[Exposure, ...]:
    """One for each name that a stake has a weight in (1: long it, -1: short it), the farthest from zero first."""
    found: dict[str, list[tuple[Decimal, Decimal]]] = defaultdict(list)
    for stake in stakes:
        for name, weight in weights_of(stake).items():
            found[name].append((weight * stake.open, weight * stake.pending))
    netted = (_netted(name, amounts) for name, amounts in found.items())
    return tuple(sorted(netted, key=lambda each: (-abs(each.worst), each.name)))


def _netted(name: str, amounts: list[tuple[Decimal, Decimal]]) -> Exposure:
    held = sum((held for held, _ in amounts), ZERO)
    return Exposure(
        name=name,
        open=held,
        lowest=held + sum((min(pending, ZERO) for _, pending in amounts), ZERO),
        highest=held + sum((max(pending, ZERO) for _, pending in amounts), ZERO),
        positions=len(amounts),
    )
