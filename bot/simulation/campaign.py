"""Many seeds, what came of them, and the smallest form of a failure."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from bot.simulation.checks import Violation
from bot.simulation.tape import Throws, written
from bot.simulation.world import World

INVARIANTS: Final = tuple(f"I{number}" for number in range(1, 18))
_MOST_TRIES: Final = 150
_FEW_THROWS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedResult:
    """One seed. `thrown` is what fired and how often, `spoken` the numbers of the signals."""

    seed: int
    violation: Violation | None
    trace: str
    thrown: Mapping[str, int]
    checked: Mapping[str, int]
    seen: Mapping[str, int]
    spoken: frozenset[int]


def result_of(world: World) -> SeedResult:
    """Run a world to its end."""
    world.run()
    checks = world.checks
    seen = {
        **checks.seen,
        "seeds with a crash": int(world.crashes > 0),
        "crashes": world.crashes,
        "process starts": world.starts,
        "new versions": world.deployments,
        "transactions cut": world.database.cut,
        "second daemons": world.second_starts,
        "steps": world.loop.steps,
        "orders": len(checks.orders._orders),
        "virtual seconds": round(world.loop.time()),
    }
    return SeedResult(
        seed=world.scenario.seed,
        violation=checks.violation,
        trace=world.loop.trace_hash(),
        thrown=_thrown(world),
        checked=dict(checks.checked),
        seen=seen,
        spoken=frozenset(world.spoken),
    )


def _thrown(world: World) -> dict[str, int]:
    """What fired. P1 and P2 count kills that struck: the tape has those too whose step no process ever reached."""
    fired = world.tape.fired
    kills = Counter(P1=min(world.struck, 1), P2=max(world.struck - 1, 0)) & fired
    return {name: count for name, count in fired.items() if name not in ("P1", "P2")} | dict(kills)


@dataclass(slots=True)
class Report:
    """Sums over seeds; `failed` are those with a violation."""

    seeds: int = 0
    thrown: Counter[str] = field(default_factory=Counter)
    checked: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)
    failed: list[SeedResult] = field(default_factory=list)

    def add(self, result: SeedResult) -> None:
        """One more."""
        self.seeds += 1
        self.thrown.update(result.thrown)
        self.checked.update(result.checked)
        self.seen.update(result.seen)
        if result.violation is not None:
            self.failed.append(result)

    def never_fired(self, asked: Iterable[str]) -> list[str]:
        """Faults that were to be thrown and never were: what was found says nothing about them."""
        return [name for name in asked if not self.thrown.get(name)]

    def never_checked(self) -> list[str]:
        """Invariants that nobody looked at."""
        return [name for name in INVARIANTS if not self.checked.get(name)]


@dataclass(frozen=True, slots=True)
class Case:
    """What has to be given to see a failure again."""

    seed: int
    faults: Throws
    numbers: frozenset[int] | None

    @property
    def command(self) -> str:
        """One line for a person."""
        words = [f"./botctl simulate --seeds {self.seed} --faults {written(self.faults) or 'none'}"]
        if self.numbers is not None:
            words.append(f"--signals {','.join(map(str, sorted(self.numbers))) or 'none'}")
        return " ".join(words)


RunCase = Callable[[Case], SeedResult]


def smaller(failed: SeedResult, run: RunCase) -> tuple[Case, SeedResult]:
    """The same invariant broken by fewer faults, fewer throws of them and fewer signals, as far as a few tries find.

    Signals are tried first, then whole fault kinds, then single throws, halving what is taken away. Every step is a run
    that was seen to fail.
    """
    search = _Search(failed, run)
    search.without_signals()
    search.without_kinds()
    search.without_throws()
    return search.best, search.result


class _Search:
    """Delta debugging over the tape: keep whatever still fails the same way."""

    def __init__(self, failed: SeedResult, run: RunCase) -> None:
        self.best = Case(failed.seed, dict.fromkeys(failed.thrown), None)
        self.result = failed
        self._run = run
        self._broken = failed.violation.invariant if failed.violation else ""
        self._left = _MOST_TRIES
        self._fails(self.best)

    def _fails(self, case: Case) -> bool:
        if self._left <= 0:
            return False
        self._left -= 1
        result = self._run(case)
        if result.violation is None or result.violation.invariant != self._broken:
            return False
        self.best, self.result = case, result
        return True

    def without_signals(self) -> None:
        for number in sorted(self.result.spoken):
            now = self.result.spoken if self.best.numbers is None else self.best.numbers
            self._fails(Case(self.best.seed, self.best.faults, now - {number}))

    def without_kinds(self) -> None:
        for name in list(self.best.faults):
            left = {each: throws for each, throws in self.best.faults.items() if each != name}
            self._fails(Case(self.best.seed, left, self.best.numbers))

    def without_throws(self) -> None:
        """Of each kind thrown a few times, leave out ever smaller runs of throws that the failure can spare."""
        for name in list(self.best.faults):
            count = self.result.thrown.get(name, 0)
            if not 1 < count <= _FEW_THROWS:
                continue
            kept = frozenset(range(1, count + 1))
            size = max(1, len(kept) // 2)
            while size:
                for start in range(1, count + 1, size):
                    fewer = kept - frozenset(range(start, start + size))
                    if (
                        fewer
                        and fewer != kept
                        and self._fails(Case(self.best.seed, {**self.best.faults, name: fewer}, self.best.numbers))
                    ):
                        kept = fewer
                size //= 2
