"""Worlds of virtual time over a real PostgreSQL: repeatable, the same as in memory, killed at every boundary."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from bot.cli import main
from bot.database.memory import MemoryKills, MemoryStores
from bot.database.memory_orders import MemoryOrders
from bot.instruments import BINANCE, BrokerId
from bot.interfaces import Stores
from bot.models import KillCause, KillLevel, KillState
from bot.simulation.campaign import result_of
from bot.simulation.clock import START
from bot.simulation.crash_points import (
    LEG_FAULTS,
    CrashCase,
    killed_everywhere,
    kinds_named,
    seed_with_partial_profit,
    takes_partial_profit,
    unbroken_cases,
)
from bot.simulation.hybrid_loop import RealLoop
from bot.simulation.ports import at_once
from bot.simulation.scenario import KINDS, Scenario, VenueKind
from bot.simulation.tape import parse_faults
from bot.simulation.tier_b import Twins
from bot.wiring.simulate import world_of
from bot.wiring.simulate_b import TierB, simulation_server
from tests.postgres import TEMPLATE, shared_databases

IN_THE_GATE = ("OANDA", "Tradier")  # a stop that is attached and follows, and one of our own; the others on demand
PRESSED = KillState(level=KillLevel.HALT, by="operator", cause=KillCause.COMMAND, reason="drill", at=START)


@pytest.fixture(scope="module")
def tier_b(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TierB]:
    with shared_databases(tmp_path_factory) as databases:
        yield TierB(databases.server, template=TEMPLATE)


def partial_profit(kind: VenueKind) -> CrashCase:
    return CrashCase(seed=seed_with_partial_profit(kind, world_of), kind=kind)


@pytest.mark.long
@pytest.mark.parametrize("kind", kinds_named(",".join(IN_THE_GATE)), ids=lambda each: each.name)
def test_killed_at_every_boundary_over_postgresql_it_finds_its_way_back(tier_b: TierB, kind: VenueKind) -> None:
    case = partial_profit(kind)

    crashes = killed_everywhere(case, tier_b.run)

    assert [(each.boundary, str(result.violation)) for each, result in crashes.broken] == []
    in_memory = killed_everywhere(case, lambda scenario: result_of(world_of(scenario)))
    assert crashes.boundaries > in_memory.boundaries > 60  # the difference: answers inside transactions
    assert crashes.runs == crashes.boundaries + 2  # one without a crash, and the first that came too late for one


@pytest.mark.parametrize("kind", KINDS, ids=lambda each: each.name)
def test_each_request_of_the_scenario_can_be_lost_answered_in_vain_and_late(kind: VenueKind) -> None:
    case = partial_profit(kind)

    cases = list(unbroken_cases(case.seed, kind, lambda scenario: result_of(world_of(scenario))))

    for fault in LEG_FAULTS:
        numbers = [number for each in cases for number in each.faults.get(fault) or ()]
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) >= 3  # entry, target, stop


@pytest.mark.parametrize("seed", [1, 2, 4])
def test_a_seed_makes_the_same_orders_take_the_same_states_in_memory_and_in_postgresql(
    tier_b: TierB, seed: int
) -> None:
    in_memory = world_of(replace(Scenario.drawn(seed), crashes=()))
    expected = result_of(in_memory)

    with tier_b.world(replace(Scenario.drawn(seed), crashes=())) as world:
        found = result_of(world)

    assert found == expected
    assert world.stores.orders._events == in_memory.stores.orders._events  # type: ignore[attr-defined]
    assert found.violation is None
    assert found.seen["orders"] > 0


def test_a_seed_takes_the_same_steps_however_long_the_real_database_takes(tier_b: TierB) -> None:
    case = replace(partial_profit(KINDS[0]), boundary=40)

    results = [tier_b.run(case.scenario) for _ in range(4)]

    assert results[0].seen["crashes"] == 1
    assert all(each == results[0] for each in results)


def test_a_daemon_whose_database_goes_to_another_one_is_replaced_over_postgresql_too(tier_b: TierB) -> None:
    taken_over = (
        result
        for seed in range(1, 60)
        if (result := tier_b.run(Scenario.drawn(seed, faults=parse_faults("D10")))).seen["second daemons"]
    )

    result = next(taken_over)

    assert result.violation is None


def test_the_scenario_takes_half_of_the_position_and_shrinks_the_stop() -> None:
    for kind in KINDS:
        world = world_of(partial_profit(kind).scenario)

        result = result_of(world)

        assert result.violation is None
        assert result.seen["entries sent"] == 1
        assert takes_partial_profit(world)


class ForgetsCursors(MemoryOrders):
    """Where reading stopped is not kept."""

    async def save_fill_cursor(self, broker_id: BrokerId, cursor: str) -> None: ...


class ForgetsKills(MemoryKills):
    """A press is confirmed and not kept."""

    async def set(self, state: KillState) -> bool:
        return True


async def _no_fills() -> list[tuple[object, ...]]:
    return []


async def _nothing(process: int) -> None: ...


@pytest.fixture
def drifted() -> Iterator[tuple[Twins, Stores, list[str]]]:
    """Twins whose database forgets, what process 1 asks, and what is told of it."""
    real, loop, told = MemoryStores(), RealLoop(), list[str]()
    real.orders, real.kills = ForgetsCursors(), ForgetsKills()
    twins = Twins(loop, real=real, fills=_no_fills, cut=_nothing)
    twins.on_difference = told.append
    yield twins, twins.over(real, 1), told
    loop.close()


def test_an_answer_that_is_not_that_of_the_twin_is_told(drifted: tuple[Twins, Stores, list[str]]) -> None:
    _, stores, told = drifted
    at_once(stores.orders.save_fill_cursor(BINANCE, "7"))

    at_once(stores.orders.fill_cursor(BINANCE))

    assert told == [
        "orders.fill_cursor: PostgreSQL says ('', None), memory says ('7', None); asked ('binance',) {}",
    ]


def test_contents_that_are_not_those_of_the_twin_are_told_when_a_process_has_died(
    drifted: tuple[Twins, Stores, list[str]],
) -> None:
    twins, stores, told = drifted
    at_once(stores.kills.set(PRESSED))

    twins.process_died(1)

    assert [each.partition(", in memory")[0] for each in told] == ["kills in PostgreSQL []"]


def test_the_server_of_the_command_is_gone_with_all_its_files_when_it_ends() -> None:
    with simulation_server() as directory:
        served = TierB.at(directory).run(replace(partial_profit(KINDS[0]).scenario, safety_s=5.0))

    assert served.violation is None
    assert not directory.parent.exists()


def test_the_command_kills_where_it_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "report.json"
    words = ["--tier", "b", "--enumerate", "--kinds", "OANDA", "--faults", "N2:1", "--crash-at", "20"]

    code = main(["simulate", *words, "--jobs", "1", "--json", str(report)])

    assert code == 0
    assert "faults N2:1: 20 boundaries, 1 runs" in capsys.readouterr().out
    case = orjson.loads(report.read_bytes())["cases"][0]
    assert (case["boundaries"], case["runs"], case["violations"]) == (20, 1, [])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--kinds", "Mars"], "means 0 venue kinds"),
        (["--faults", "N2"], "needs the throw of each fault"),
    ],
)
def test_what_cannot_be_enumerated_is_refused_with_the_reason(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["simulate", "--enumerate", *words])

    assert code == 2
    assert says in capsys.readouterr().err
