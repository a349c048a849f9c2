"""`botctl simulate`: seeds until one of them breaks an invariant; then the smallest command that shows it again."""

import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from bot.clock import SystemClock
from bot.commands.output import ProgressBar, check_writable, write_json
from bot.errors import UsageError
from bot.simulation.campaign import INVARIANTS, Case, Report, SeedResult, smaller
from bot.simulation.catalogue import FAULTS
from bot.simulation.tape import NO_FAULTS, Throws, parse_faults

EXIT_VIOLATION: Final = 4
_BATCH: Final = 20
_MOST_SEEDS: Final = 10_000_000


def simulate(
    *,
    seeds: Annotated[str, Parameter(help="FROM..TO, or one seed")] = "1..200",
    tier: Annotated[str, Parameter(help="a: everything in memory, on virtual time")] = "a",
    json: Annotated[Path | None, Parameter(help="write the report to this file")] = None,
    faults: Annotated[str | None, Parameter(help="only these, such as N2,B4:1+3 (throws 1 and 3 of B4); none")] = None,
    signals: Annotated[str | None, Parameter(help="only these signals, by number; none")] = None,
    jobs: Annotated[int, Parameter(help="processes; 0: one per core")] = 0,
) -> int:
    """Run the order path under a seeded clock, market, faults and crashes, and check all invariants throughout."""
    first, last = _range(seeds)
    if tier != "a":
        raise UsageError(f"--tier {tier!r} is not there yet; use a")
    thrown = None if faults is None else parse_faults(faults)
    numbers = None if signals is None else _numbers(signals)
    check_writable(json)
    workers = jobs if jobs > 0 else (os.cpu_count() or 1)
    print(f"seeds {first}..{last}, tier {tier}, {workers} processes")
    begun_s, report = SystemClock().monotonic(), Report()
    for result in _results(range(first, last + 1), thrown, numbers, workers):
        report.add(result)
        if report.failed:
            break
    seconds = SystemClock().monotonic() - begun_s
    figures = _figures(report, first, last, seconds)
    _show(report, seconds)
    if report.failed:
        figures["violation"] = _told(report.failed[0], thrown is None and numbers is None)
    if json is not None:
        write_json(json, figures)
    return EXIT_VIOLATION if report.failed else 0


def run_seeds(seeds: Sequence[int], faults: Throws | None, numbers: frozenset[int] | None) -> list[SeedResult]:
    """Some seeds in this process, up to the first that fails; the log is silent meanwhile."""
    from loguru import logger

    from bot.wiring.simulate import run_seed

    logger.disable("bot")
    try:
        done = []
        for seed in seeds:
            done.append(run_seed(seed, faults=faults, numbers=numbers))
            if done[-1].violation is not None:
                break
        return done
    finally:
        logger.enable("bot")


def _results(seeds: range, faults: Throws | None, numbers: frozenset[int] | None, workers: int) -> Iterator[SeedResult]:
    """Results in the order of the seeds, whoever computes them."""
    batches = [seeds[start : start + _BATCH] for start in range(0, len(seeds), _BATCH)]
    with ProgressBar("simulate, no violation so far", "seeds", len(seeds)) as bar:
        if workers == 1 or len(batches) == 1:
            yield from _counted((run_seeds(batch, faults, numbers) for batch in batches), bar.done)
            return
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            yield from _counted(_in_order(pool, batches, faults, numbers, workers), bar.done)


def _in_order(
    pool: ProcessPoolExecutor,
    batches: Sequence[Sequence[int]],
    faults: Throws | None,
    numbers: frozenset[int] | None,
    workers: int,
) -> Iterator[list[SeedResult]]:
    """A few batches ahead of what is asked for, so that stopping early wastes little."""
    ahead: deque[Future[list[SeedResult]]] = deque()
    coming = iter(batches)
    try:
        while True:
            while len(ahead) < 2 * workers and (batch := next(coming, None)) is not None:
                ahead.append(pool.submit(run_seeds, batch, faults, numbers))
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


def _told(failed: SeedResult, may_shrink: bool) -> dict[str, object]:
    """Say what broke, and how to see it again."""
    case = Case(failed.seed, dict.fromkeys(failed.thrown), None)
    print(f"\nseed {failed.seed}: {failed.violation}")
    if may_shrink:
        print("making it smaller ...")
        case, failed = smaller(failed, _run_case)
        print(f"smallest: {failed.violation}\nsee it again with: {case.command}")
    return {"seed": failed.seed, "says": str(failed.violation), "command": case.command}


def _run_case(case: Case) -> SeedResult:
    return run_seeds([case.seed], case.faults, case.numbers)[0]


def _range(text: str) -> tuple[int, int]:
    first, dots, last = text.partition("..")
    try:
        found = int(first), int(last if dots else first)
    except ValueError:
        raise UsageError(f"--seeds {text!r} is not FROM..TO or one number, such as 1..1000") from None
    if not 0 <= found[0] <= found[1] or found[1] - found[0] >= _MOST_SEEDS:
        raise UsageError(f"--seeds {text}: needs 0 <= FROM <= TO and at most {_MOST_SEEDS:,} seeds")
    return found


def _numbers(text: str) -> frozenset[int]:
    try:
        return frozenset() if text == NO_FAULTS else frozenset(int(each) for each in text.split(","))
    except ValueError:
        raise UsageError(f"--signals {text!r} is not a list of numbers, such as 4,7") from None


def _figures(report: Report, first: int, last: int, seconds: float) -> dict[str, Any]:
    return {
        "seeds": {"first": first, "last": last, "run": report.seeds},
        "seconds": round(seconds, 1),
        "seeds_per_second": round(report.seeds / seconds, 1) if seconds else None,
        "violations": len(report.failed),
        "faults": {name: report.thrown.get(name, 0) for name in FAULTS},
        "invariants": {name: report.checked.get(name, 0) for name in INVARIANTS},
        "seen": dict(sorted(report.seen.items())),
    }


def _show(report: Report, seconds: float) -> None:
    """Three tables for a person."""
    console = Console(file=sys.stdout)
    faults = Table(title="faults that fired", box=None)
    for column in ("id", "times", "what"):
        faults.add_column(column, justify="right" if column == "times" else "left")
    for name, fault in FAULTS.items():
        faults.add_row(name, f"{report.thrown.get(name, 0):,}", fault.says)
    console.print(faults)
    checked = ", ".join(f"{name} {report.checked.get(name, 0):,}" for name in INVARIANTS)
    seen = ", ".join(f"{name} {count:,}" for name, count in sorted(report.seen.items()))
    console.print(f"invariants checked: {checked}")
    console.print(f"seen: {seen}")
    speed = report.seeds / seconds if seconds else 0.0
    console.print(
        f"{report.seeds:,} seeds in {seconds:.1f} s ({speed:.1f} per second), violations: {len(report.failed)}"
    )
