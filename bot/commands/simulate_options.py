"""The words after `simulate`: read, or refused where nothing of the kind can run or what was asked has no effect."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bot.commands.output import check_writable
from bot.errors import UsageError
from bot.simulation.catalogue import FAULTS, SIMULATED_FAULTS
from bot.simulation.tape import NO_FAULTS, Throws, parse_faults
from bot.simulation.tier_c import TIER_C_FAULTS

_MOST_SEEDS: Final = 10_000_000
_JOBS_PER_CORE: Final = 8
_SEEDS: Final = "1..200"
_OF_A_DRAWN_WORLD: Final = ("world", "restart")  # occasions that the one scenario of --enumerate does not have


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is asked for, as it was written; None: not given."""

    seeds: str | None
    tier: str
    json: Path | None
    chart: Path | None
    faults: str | None
    signals: str | None
    jobs: int | None
    every_boundary: bool
    kinds: str | None
    crash_at: int | None

    def check(self) -> None:
        """Raises UsageError for the first word that cannot be meant."""
        for path in (self.json, self.chart):
            check_writable(path)
        if self.chart is not None and self.chart.suffix.lower() != ".png":
            raise UsageError(f"{self.chart}: a chart is a PNG; let its name end in .png")
        most = _JOBS_PER_CORE * _cores()
        if not 1 <= self.workers <= most:
            raise UsageError(
                f"--jobs {self.jobs}: needs 1 to {most} processes, {_JOBS_PER_CORE} per core; "
                "leave it out for one per core"
            )
        known = TIER_C_FAULTS if self.tier == "c" else SIMULATED_FAULTS
        if unknown := [name for name in self.thrown or () if name not in known]:
            raise UsageError(f"tier {self.tier} does not throw {', '.join(unknown)}; it throws {', '.join(known)}")
        if self.every_boundary:
            self._check_enumerated()
        else:
            self._check_seeds()

    def _check_enumerated(self) -> None:
        """What one scenario, killed at each of its boundaries, has no use for."""
        first, last = self.first_and_last
        drawn = [name for name in self.thrown or () if FAULTS[name].at in _OF_A_DRAWN_WORLD]
        if self.tier == "c":
            raise UsageError("--enumerate is for the tiers a and b; nobody counts the boundaries of a real process")
        if self.chart is not None:
            raise UsageError(
                "--chart draws what seeds threw; --enumerate has a table of its own, so leave one of them out"
            )
        if first != last and self.seeds is not None:
            raise UsageError(f"--enumerate runs one seed; name one instead of {self.seeds}, or none")
        if self.signals is not None:
            raise UsageError("--signals has no effect with --enumerate, whose signals are those of the first minute")
        if drawn:
            raise UsageError(f"--enumerate draws no world, so {', '.join(drawn)} cannot fire; leave it out of --faults")
        if self.crash_at is not None and self.crash_at < 0:
            raise UsageError(f"--crash-at {self.crash_at}: boundaries are counted from 1; 0 is the run without a kill")

    def _check_seeds(self) -> None:
        """What seeds, or seeds of this tier, have no use for."""
        for name, value in (("--kinds", self.kinds), ("--crash-at", self.crash_at)):
            if value is not None:
                raise UsageError(f"{name} goes with --enumerate; add that, or leave {name} out")
        if self.tier == "c" and self.signals is not None:
            raise UsageError("--signals is not for tier c: its signals come from candles; leave it out")

    @property
    def workers(self) -> int:
        """Processes; one per core unless a number is given."""
        return _cores() if self.jobs is None else self.jobs

    @property
    def first_and_last(self) -> tuple[int, int]:
        """The seeds. Raises UsageError."""
        text = self.seeds or _SEEDS
        first, dots, last = text.partition("..")
        try:
            found = int(first), int(last if dots else first)
        except ValueError:
            raise UsageError(f"--seeds {text!r} is not FROM..TO or one number, such as 1..1000") from None
        if not 0 <= found[0] <= found[1] or found[1] - found[0] >= _MOST_SEEDS:
            raise UsageError(f"--seeds {text}: needs 0 <= FROM <= TO and at most {_MOST_SEEDS:,} seeds")
        return found

    @property
    def thrown(self) -> Throws | None:
        """The faults; None: as each seed draws them. Raises UsageError."""
        return None if self.faults is None else parse_faults(self.faults)

    @property
    def numbers(self) -> frozenset[int] | None:
        """The signals; None: all. Raises UsageError."""
        if self.signals is None or self.signals == NO_FAULTS:
            return None if self.signals is None else frozenset()
        words = self.signals.split(",")
        if not all(each.strip().isdecimal() for each in words):
            raise UsageError(f"--signals {self.signals!r} is not a list of numbers, counted from 0, such as 4,7")
        return frozenset(map(int, words))


def _cores() -> int:
    return os.cpu_count() or 1
