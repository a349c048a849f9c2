"""Seeds of the real thing: nothing breaks, everything fires, every safeguard is needed."""

from collections import Counter
from dataclasses import replace

import pytest

from bot.simulation.campaign import Case, Report, SeedResult, result_of, smaller
from bot.simulation.catalogue import SIMULATED_FAULTS
from bot.simulation.checks import Violation
from bot.simulation.scenario import KINDS, Crash, Scenario, VenueKind
from bot.simulation.tape import Tape, parse_faults
from bot.wiring.simulate import run_seed, world_of
from tests.simulation.ablations import ABLATIONS, Ablation

CHUNKS = 20
CHUNK_SEEDS = 100
ABLATION_SEEDS = 400
# Some faults need others: a cancel is only sent where a kill meets an entry that has not filled yet.
IN_COMPANY = {
    "B2": "B2,B1",
    "B3": "B3,B1",
    "B5": "B5,B4,O1",
    "B6": "B6,B4,O1",
    "B17": "B17,B4",
    "P2": "P1,P2",
}


def campaign(first: int, count: int) -> Report:
    report = Report()
    for seed in range(first, first + count):
        report.add(run_seed(seed))
    return report


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_nothing_breaks_whatever_the_seed_draws(chunk: int) -> None:
    report = campaign(1 + chunk * CHUNK_SEEDS, CHUNK_SEEDS)

    assert [f"seed {each.seed}: {each.violation}" for each in report.failed] == []
    assert report.seen["entries sent"] > CHUNK_SEEDS
    assert all(report.checked[f"I{number}"] for number in range(1, 18))


@pytest.mark.parametrize("fault", SIMULATED_FAULTS)
def test_every_fault_of_the_catalogue_fires(fault: str) -> None:
    faults = parse_faults(IN_COMPANY.get(fault, fault))

    fired = (run_seed(seed, faults=faults).thrown.get(fault, 0) for seed in range(1, 250))

    assert any(fired)


def test_a_campaign_says_what_it_has_not_tried() -> None:
    report = Report(thrown=Counter({"N2": 3}), checked=Counter({"I1": 1}))

    assert report.never_fired(["N2", "B4"]) == ["B4"]
    assert report.never_checked() == [f"I{number}" for number in range(2, 18)]


@pytest.mark.parametrize("fault", ["D10", "D11"])
def test_without_the_fence_of_the_database_who_is_not_the_writer_sends(fault: str) -> None:
    def violation(seed: int, *, fenced: bool) -> Violation | None:
        world = world_of(Scenario.drawn(seed, faults=parse_faults(fault)))
        world.database.is_fenced = fenced
        return result_of(world).violation

    found = ((seed, violation(seed, fenced=False)) for seed in range(1, ABLATION_SEEDS))
    caught, broken = next((each for each in found if each[1]), (0, None))

    assert broken is not None
    assert broken.invariant == "I13"
    assert violation(caught, fenced=True) is None


@pytest.mark.parametrize("ablation", ABLATIONS, ids=lambda each: each.safeguard)
def test_every_safeguard_is_needed(ablation: Ablation) -> None:
    faults = None if ablation.faults is None else parse_faults(ablation.faults)

    caught = next(
        (
            result
            for seed in range(1, ABLATION_SEEDS)
            if (result := run_seed(seed, faults=faults, seams=ablation.seams, stores=ablation.stores)).violation
        ),
        None,
    )

    assert caught is not None
    assert caught.violation is not None
    assert caught.violation.invariant in ablation.caught_by
    assert run_seed(caught.seed, faults=faults).violation is None  # with the safeguard the same seed holds


def test_the_same_seed_is_the_same_run() -> None:
    for seed in (3, 12, 41):
        assert run_seed(seed) == run_seed(seed)


@pytest.mark.parametrize("kind", KINDS, ids=lambda each: each.name)
def test_killed_at_any_boundary_of_one_life_it_finds_its_way_back(kind: VenueKind) -> None:
    # Arrange: a quiet world with entries, targets and stops; count the boundaries of its whole life
    quiet = replace(Scenario.drawn(5, faults={}), safety_s=90.0, kind=kind)
    world = world_of(quiet)
    world.run()
    boundaries = world.boundaries.passed
    assert boundaries > 60

    # Act
    results = []
    for boundary in range(1, boundaries + 1):
        crash = Crash(step=None, boundary=boundary, down_s=3.0)
        scenario = replace(quiet, tape=Tape.drawn(5, {}), crashes=(crash,))
        results.append((boundary, result_of(world_of(scenario)).violation))

    # Assert
    assert [each for each in results if each[1] is not None] == []


def test_a_failure_is_made_smaller_and_still_fails_the_same_way() -> None:
    ablation = next(each for each in ABLATIONS if each.safeguard == "absence needs three answers")

    def run(case: Case) -> SeedResult:
        return run_seed(case.seed, faults=case.faults, numbers=case.numbers, seams=ablation.seams)

    failed = next(
        each
        for seed in range(1, 100)
        if (each := run_seed(seed, seams=ablation.seams)).violation and len(each.thrown) > 2
    )

    case, result = smaller(failed, run)

    assert failed.violation is not None
    assert result.violation is not None
    assert result.violation.invariant == failed.violation.invariant
    assert len(case.faults) < len(failed.thrown)
    assert run(case) == result
    assert case.command.startswith(f"./botctl simulate --seeds {failed.seed} --faults ")
