"""`botctl simulate`: seeds until one of them breaks an invariant; then the smallest command that shows it again."""

import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from bot.clock import SystemClock
from bot.commands.output import ProgressBar, write_json, write_whole
from bot.commands.simulate_b import EXIT_VIOLATION, crash_everywhere, seeds_over_postgres, until_broken
from bot.commands.simulate_c import seeds_of_processes
from bot.commands.simulate_options import Options
from bot.errors import UsageError
from bot.simulation.campaign import INVARIANTS, Case, Report, SeedResult, smaller
from bot.simulation.catalogue import DEFAULT_FAULTS, FAULTS, SIMULATED_FAULTS
from bot.simulation.tape import Throws
from bot.simulation.tier_c import TIER_C_FAULTS

_BATCH: Final = 20


def simulate(
    *,
    seeds: Annotated[str | None, Parameter(help="FROM..TO, or one seed; 1..200 if not given")] = None,
    tier: Annotated[str, Parameter(help="a: all in memory; b: over a real PostgreSQL; c: real processes")] = "a",
    json: Annotated[Path | None, Parameter(help="write the report to this file")] = None,
    chart: Annotated[Path | None, Parameter(help="draw the counters of the report into this PNG")] = None,
    faults: Annotated[str | None, Parameter(help="only these, such as N2,B4:1+3 (throws 1 and 3 of B4); none")] = None,
    signals: Annotated[str | None, Parameter(help="only these signals, by number; none")] = None,
    jobs: Annotated[int | None, Parameter(help="processes; default: one per core")] = None,
    every_boundary: Annotated[
        bool, Parameter(name="--enumerate", negative=(), help="kill one scenario at each of its boundaries")
    ] = False,
    kinds: Annotated[str | None, Parameter(help="with --enumerate: only venues named so, such as OANDA,spot")] = None,
    crash_at: Annotated[int | None, Parameter(help="with --enumerate: only at this boundary; 0: never")] = None,
) -> int:
    """Run the order path under a seeded clock, market, faults and crashes, and check all invariants throughout."""
    options = Options(
        seeds=seeds,
        tier=tier,
        json=json,
        chart=chart,
        faults=faults,
        signals=signals,
        jobs=jobs,
        every_boundary=every_boundary,
        kinds=kinds,
        crash_at=crash_at,
    )
    if tier not in TIERS:
        raise UsageError(f"--tier {tier!r} is not there; use {' or '.join(TIERS)}")
    options.check()
    thrown, numbers, (first, last) = options.thrown, options.numbers, options.first_and_last
    if every_boundary:
        only = None if seeds is None else first
        return crash_everywhere(
            tier=tier, seed=only, kinds=kinds, faults=thrown, crash_at=crash_at, workers=options.workers, json=json
        )
    batches = _batches(range(first, last + 1))
    workers = min(options.workers, len(batches))
    print(f"seeds {first}..{last}, tier {tier}, processes: {workers}")
    begun_s, report = SystemClock().monotonic(), Report()
    with TIERS[tier]() as run_tier:
        for result in _results(batches, partial(run_tier, faults=thrown, numbers=numbers), workers):
            report.add(result)
            if report.failed:
                break
        seconds = SystemClock().monotonic() - begun_s
        asked = tuple(thrown if thrown is not None else TIER_C_FAULTS if tier == "c" else DEFAULT_FAULTS)
        known = TIER_C_FAULTS if tier == "c" else SIMULATED_FAULTS
        figures = _figures(report, first, last, seconds, asked, known)
        _show(report, seconds, asked, known)
        if report.failed:
            can_shrink = thrown is None and numbers is None and tier != "c"  # a run of c takes minutes and varies
            figures["violation"] = _told(report.failed[0], tier, run_tier if can_shrink else None)
    if json is not None:
        write_json(json, figures)
    if chart is not None:
        from bot.simulation.report_chart import draw

        write_whole(chart, draw(figures))
    return EXIT_VIOLATION if report.failed else 0


def run_seeds(seeds: Sequence[int], faults: Throws | None, numbers: frozenset[int] | None) -> list[SeedResult]:
    """Some seeds in this process, up to the first that fails."""
    from bot.wiring.simulate import run_seed

    return until_broken(seeds, partial(run_seed, faults=faults, numbers=numbers))


# What runs some seeds of each tier, in any process, while its block lasts.
TIERS: Final[Mapping[str, Callable[[], AbstractContextManager[Callable[..., list[SeedResult]]]]]] = {
    "a": lambda: nullcontext(run_seeds),
    "b": seeds_over_postgres,
    "c": seeds_of_processes,
}

RunSeeds = Callable[[Sequence[int]], list[SeedResult]]


def _batches(seeds: range) -> list[range]:
    return [seeds[start : start + _BATCH] for start in range(0, len(seeds), _BATCH)]


def _results(batches: Sequence[range], run: RunSeeds, workers: int) -> Iterator[SeedResult]:
    """Results in the order of the seeds, whoever computes them."""
    with ProgressBar("simulate, no violation so far", "seeds", sum(map(len, batches))) as bar:
        if workers == 1:
            yield from _counted(map(run, batches), bar.done)
            return
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            yield from _counted(_in_order(pool, batches, run, workers), bar.done)


def _in_order(
    pool: ProcessPoolExecutor, batches: Sequence[Sequence[int]], run: RunSeeds, workers: int
) -> Iterator[list[SeedResult]]:
    """A few batches ahead of what is asked for, so that stopping early wastes little."""
    ahead: deque[Future[list[SeedResult]]] = deque()
    coming = iter(batches)
    try:
        while True:
            while len(ahead) < 2 * workers and (batch := next(coming, None)) is not None:
                ahead.append(pool.submit(run, batch))
            if not ahead:
                return
            yield ahead.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _counted(batches: Iterator[list[SeedResult]], tell: Callable[[int], None]) -> Iterator[SeedResult]:
    count = 0
    for batch in batches:
        count += len(batch)
        tell(count)
        yield from batch


def _told(failed: SeedResult, tier: str, run: Callable[..., list[SeedResult]] | None) -> dict[str, object]:
    """Say what broke, and how to see it again; made smaller if `run` is given."""
    case = Case(failed.seed, dict.fromkeys(failed.thrown), None)
    print(f"\nseed {failed.seed}: {failed.violation}")
    if run is not None:
        print("making it smaller ...")
        case, failed = smaller(failed, lambda each: run([each.seed], each.faults, each.numbers)[0])
    command = case.command if tier == "a" else f"{case.command} --tier {tier}"
    print(f"smallest: {failed.violation}\nsee it again with: {command}")
    return {"seed": failed.seed, "says": str(failed.violation), "command": command}


def _figures(
    report: Report, first: int, last: int, seconds: float, asked: Sequence[str], known: Sequence[str]
) -> dict[str, Any]:
    return {
        "seeds": {"first": first, "last": last, "run": report.seeds},
        "seconds": round(seconds, 1),
        "seeds_per_second": round(report.seeds / seconds, 1) if seconds else None,
        "violations": len(report.failed),
        "faults": {name: report.thrown.get(name, 0) for name in known},
        "invariants": {name: report.checked.get(name, 0) for name in INVARIANTS},
        "never_fired": report.never_fired(asked),
        "never_checked": report.never_checked(),
        "seen": dict(sorted(report.seen.items())),
    }


def _show(report: Report, seconds: float, asked: Sequence[str], known: Sequence[str]) -> None:
    """Tables for a person; of the faults those that the tier throws."""
    console = Console(file=sys.stdout)
    faults = Table(title="faults that fired", box=None)
    for column in ("id", "times", "what"):
        faults.add_column(column, justify="right" if column == "times" else "left")
    for name in known:
        faults.add_row(name, f"{report.thrown.get(name, 0):,}", FAULTS[name].says)
    console.print(faults)
    checked = ", ".join(f"{name} {report.checked.get(name, 0):,}" for name in INVARIANTS)
    seen = ", ".join(f"{name} {count:,}" for name, count in sorted(report.seen.items()))
    console.print(f"invariants checked: {checked}")
    console.print(f"seen: {seen}")
    console.print(f"faults that never fired: {', '.join(report.never_fired(asked)) or 'none'}")
    console.print(f"invariants that were never checked: {', '.join(report.never_checked()) or 'none'}")
    speed = report.seeds / seconds if seconds else 0.0
    console.print(
        f"{report.seeds:,} seeds in {seconds:.1f} s ({speed:.1f} per second), violations: {len(report.failed)}"
    )
