"""What `simulate --tier c` runs: real daemons that are killed, over one PostgreSQL server of their own."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from bot.simulation.campaign import SeedResult
from bot.simulation.tape import Throws
from bot.simulation.tier_c import Plan

_AT_ONCE: Final = 3  # daemons; a start takes most of a core for some seconds, the rest is waiting


@contextmanager
def seeds_of_processes() -> Iterator[Callable[..., list[SeedResult]]]:
    """What runs seeds at tier C while the block lasts."""
    from bot.wiring.simulate_b import simulation_server

    with simulation_server() as directory:
        yield partial(_run_seeds, directory)


def _run_seeds(
    directory: Path,
    seeds: Sequence[int],
    faults: Throws | None,
    numbers: None,  # its signals come from candles and have none
) -> list[SeedResult]:
    from bot.wiring.simulate_c import run_seeds

    plans = [Plan.drawn(seed, faults=faults) for seed in seeds]
    return asyncio.run(run_seeds(directory, plans, at_once=_AT_ONCE))
