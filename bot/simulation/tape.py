"""What a seed draws: which faults are on, how often each fires, and every single throw.

Each fault throws its own dice, so that taking one away leaves the throws of the others as they were. A tape can be
replayed with throws left out (`only`), which is how a failure is made smaller.
"""

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from bot.errors import UsageError
from bot.simulation.catalogue import FAULTS

ON_CHANCE: Final = 0.3  # of each fault kind; a few at a time find more than all at once

NO_FAULTS: Final = "none"

Throws = Mapping[str, frozenset[int] | None]  # fault id to the throws that may fire; None: all of them


@dataclass(frozen=True, slots=True)
class Tape:
    """The dice of one seed. `fired` counts what really happened."""

    seed: int
    rates: Mapping[str, float]
    only: Throws = field(default_factory=dict)
    fired: Counter[str] = field(default_factory=Counter)
    _thrown: Counter[str] = field(default_factory=Counter)
    _dice: dict[str, random.Random] = field(default_factory=dict)
    _stopped: list[bool] = field(default_factory=list)

    @classmethod
    def drawn(cls, seed: int, faults: Throws | None = None) -> "Tape":
        """Swarm style: the seed draws which kinds are on; `faults` replaces that by exactly these."""
        swarm = random.Random(f"{seed}/swarm")
        rates = {}
        for name, fault in FAULTS.items():
            is_on, share = swarm.random() < ON_CHANCE, swarm.random()
            if (is_on and faults is None and fault.holds) or (faults is not None and name in faults):
                rates[name] = fault.least * (fault.most / fault.least) ** share
        return cls(seed, rates, faults or {})

    def fires(self, fault: str) -> bool:
        """Throw the dice of one fault at an occasion for it."""
        rate = self.rates.get(fault)
        if rate is None or self._stopped or self.dice(fault).random() >= rate:
            return False
        self._thrown[fault] += 1
        allowed = self.only.get(fault)
        if allowed is not None and self._thrown[fault] not in allowed:
            return False
        self.fired[fault] += 1
        return True

    def is_on(self, fault: str) -> bool:
        """The seed has drawn that kind."""
        return fault in self.rates

    def amount(self, fault: str, least: float, most: float) -> float:
        """How much of it, evenly drawn."""
        return self.dice(f"{fault}/amount").uniform(least, most)

    def dice(self, name: str) -> random.Random:
        """The dice of that name, always the same for a seed."""
        found = self._dice.get(name)
        if found is None:
            found = self._dice[name] = random.Random(f"{self.seed}/{name}")
        return found

    def stop(self) -> None:
        """Faults off: from now on nothing fires."""
        self._stopped.append(True)


def parse_faults(text: str) -> dict[str, frozenset[int] | None]:
    """`N2,B4:1+3`: all throws of N2, the first and third of B4. Raises UsageError, listing what is known."""
    if not text:
        raise UsageError(f"{text!r} names no fault; {NO_FAULTS!r} is none")
    found: dict[str, frozenset[int] | None] = {}
    for part in () if text == NO_FAULTS else text.split(","):
        name, _, throws = part.strip().partition(":")
        if name not in FAULTS:
            raise UsageError(f"fault {name!r} is not in the catalogue; known: {', '.join(FAULTS)}")
        if name in found:
            raise UsageError(f"fault {name} stands there twice; join its throws by +, such as {name}:1+3")
        words = throws.split("+") if throws else []
        if not all(each.isdecimal() and int(each) for each in words):
            raise UsageError(f"fault {part!r}: throws are counted from 1 and joined by +, such as {name}:1+3")
        found[name] = frozenset(map(int, words)) if words else None
    return found


def written(faults: Throws) -> str:
    """The text that `parse_faults` reads."""
    return ",".join(
        name if throws is None else f"{name}:{'+'.join(map(str, sorted(throws)))}" for name, throws in faults.items()
    )
