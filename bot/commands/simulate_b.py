"""What `simulate` runs beside its seeds of tier A: seeds over a PostgreSQL server of its own, and crash points."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager, nullcontext
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

from bot.clock import SystemClock
from bot.commands.output import ProgressBar, write_json
from bot.errors import UsageError
from bot.simulation.campaign import SeedResult, result_of
from bot.simulation.crash_points import (
    CrashCase,
    Crashes,
    killed_everywhere,
    kinds_named,
    seed_with_partial_profit,
    unbroken_cases,
    word_for,
)
from bot.simulation.scenario import Scenario, VenueKind
from bot.simulation.tape import Throws, written

RunSeeds = Callable[[Sequence[int], Throws | None, frozenset[int] | None], list[SeedResult]]

EXIT_VIOLATION: Final = 4


@contextmanager
def seeds_over_postgres() -> Iterator[RunSeeds]:
    """What runs seeds at tier B, in any process, while the block lasts."""
    from bot.wiring.simulate_b import simulation_server

    with simulation_server() as directory:
        yield partial(_run_seeds, directory)


def until_broken(seeds: Sequence[int], run: Callable[[int], SeedResult]) -> list[SeedResult]:
    """Some seeds in this process, up to the first that fails; the log is silent meanwhile."""
    with _silence():
        done = []
        for seed in seeds:
            done.append(run(seed))
            if done[-1].violation is not None:
                break
        return done


def crash_everywhere(
    *,
    tier: str,
    seed: int | None,
    kinds: str | None,
    faults: Throws | None,
    crash_at: int | None,
    workers: int,
    json: Path | None,
) -> int:
    """Kill one scenario at each of its boundaries, for each venue kind and each fault of an order request.

    `faults` None: none, and each one by itself. `crash_at`: only there.
    """
    from bot.wiring.simulate_b import simulation_server

    begun_s = SystemClock().monotonic()
    with _silence():
        cases = [case for kind in kinds_named(kinds) for case in _cases(kind, seed, faults)]
    with simulation_server() if tier == "b" else nullcontext() as directory:
        done = list(_killed(cases, directory, crash_at, workers))
    seconds = SystemClock().monotonic() - begun_s
    broken = [(case, result) for each in done for case, result in each.broken]
    if crash_at and not broken and not any(each.boundaries for each in done):
        raise UsageError(f"--crash-at {crash_at}: no case gets that far; without it each says how many there are")
    for case, result in broken:
        print(f"{result.violation}\nsee it again with: {_command(case, tier)}")
    runs = sum(each.runs for each in done)
    print(f"{runs:,} runs in {seconds:.1f} s, violations: {len(broken)}")
    if json is not None:
        write_json(json, _figures(done, runs, seconds, tier))
    return EXIT_VIOLATION if broken else 0


def _cases(kind: VenueKind, seed: int | None, faults: Throws | None) -> Iterator[CrashCase]:
    from bot.wiring.simulate import world_of

    chosen = seed if seed is not None else seed_with_partial_profit(kind, world_of)
    if faults is None:
        yield from unbroken_cases(chosen, kind, lambda scenario: result_of(world_of(scenario)))
    elif any(throws is None for throws in faults.values()):
        raise UsageError("--enumerate needs the throw of each fault, such as --faults N1:2, the second order request")
    else:
        yield CrashCase(seed=chosen, kind=kind, faults=faults)


def _killed(
    cases: Sequence[CrashCase], directory: Path | None, crash_at: int | None, workers: int
) -> Iterator[Crashes]:
    """Each case as it is done, told in a line."""
    with (
        ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool,
        ProgressBar("simulate, each boundary", "cases", len(cases)) as bar,
    ):
        for number, ended in enumerate(as_completed(pool.submit(_kill, directory, crash_at, each) for each in cases)):
            crashes = ended.result()
            bar.done(number + 1)
            case, told = crashes.unbroken, f"{crashes.boundaries} boundaries, {crashes.runs} runs"
            print(f"{case.kind.name}; seed {case.seed}; faults {written(case.faults) or 'none'}: {told}")
            yield crashes


def _kill(directory: Path | None, crash_at: int | None, case: CrashCase) -> Crashes:
    """One case in this process."""
    run = _runner(directory)
    with _silence():
        return killed_everywhere(case, run, only=crash_at)


def _runner(directory: Path | None) -> Callable[[Scenario], SeedResult]:
    from bot.wiring.simulate import world_of
    from bot.wiring.simulate_b import TierB

    return TierB.at(directory).run if directory is not None else lambda scenario: result_of(world_of(scenario))


def _run_seeds(
    directory: Path, seeds: Sequence[int], faults: Throws | None, numbers: frozenset[int] | None
) -> list[SeedResult]:
    run = _runner(directory)
    return until_broken(seeds, lambda seed: run(Scenario.drawn(seed, faults=faults, numbers=numbers)))


def _command(case: CrashCase, tier: str) -> str:
    """One line that runs exactly this."""
    words = f"./botctl simulate --tier {tier} --enumerate --seeds {case.seed} --kinds '{word_for(case.kind)}'"
    return f"{words} --faults {written(case.faults) or 'none'} --crash-at {case.boundary or 0}"


def _figures(done: Sequence[Crashes], runs: int, seconds: float, tier: str) -> dict[str, Any]:
    cases = [
        {
            "kind": each.unbroken.kind.name,
            "seed": each.unbroken.seed,
            "faults": written(each.unbroken.faults) or "none",
            "boundaries": each.boundaries,
            "runs": each.runs,
            "violations": [
                {"says": str(result.violation), "command": _command(case, tier)} for case, result in each.broken
            ],
        }
        for each in done
    ]
    return {"tier": tier, "runs": runs, "seconds": round(seconds, 1), "cases": cases}


@contextmanager
def _silence() -> Iterator[None]:
    from loguru import logger

    logger.disable("bot")
    try:
        yield
    finally:
        logger.enable("bot")
