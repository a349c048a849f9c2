"""`botctl simulate` as a person calls it."""

from pathlib import Path

import orjson
import pytest

from bot.cli import main
from bot.simulation.campaign import INVARIANTS
from bot.simulation.catalogue import FAULTS
from bot.simulation.report_chart import _GROUPS, _INVARIANTS


def test_a_campaign_without_violation_says_so_and_writes_its_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Act
    code = main(["simulate", "--seeds", "1..12", "--jobs", "1", "--json", str(tmp_path / "report.json")])

    # Assert
    out = capsys.readouterr().out
    assert code == 0
    assert out.startswith("seeds 1..12, tier a")
    assert "violations: 0" in out
    figures = orjson.loads((tmp_path / "report.json").read_bytes())
    assert figures["seeds"] == {"first": 1, "last": 12, "run": 12}
    assert figures["violations"] == 0
    assert figures["invariants"]["I1"] > 0
    assert figures["seen"]["entries sent"] > 0


def test_what_is_said_of_processes_is_what_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--seeds", "1..3", "--jobs", "2"]) == 0
    assert capsys.readouterr().out.startswith("seeds 1..3, tier a, processes: 1\n")


def test_a_boundary_that_no_case_has_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--enumerate", "--kinds", "OANDA", "--faults", "none", "--jobs", "1", "--crash-at", "100000"]

    code = main(["simulate", *words])

    assert code == 2
    assert "--crash-at 100000: no case gets that far; without it each says how many" in capsys.readouterr().err


def test_the_counters_are_drawn_into_a_picture(tmp_path: Path) -> None:
    chart = tmp_path / "report.png"

    code = main(["simulate", "--seeds", "1..3", "--jobs", "1", "--chart", str(chart)])

    assert code == 0
    assert chart.read_bytes().startswith(b"\x89PNG")


def test_the_picture_has_words_for_every_fault_and_every_invariant() -> None:
    assert {name[0] for name in FAULTS} <= set(_GROUPS)
    assert set(_INVARIANTS) == set(INVARIANTS)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--seeds", "many"], "is not FROM..TO"),
        (["--seeds", "5..1"], "FROM <= TO"),
        (["--faults", "Q1"], "known: N1"),
        (["--signals", "x"], "is not a list of numbers"),
        (["--tier", "z"], "is not there"),
        (["--chart", "report.svg"], "let its name end in .png"),
        (["--signals=-4"], "--signals '-4' is not a list of numbers, counted from 0"),
        (["--chart", "report.png", "--enumerate"], "leave one of them out"),
        (["--jobs", "0"], "--jobs 0: needs 1 to "),
        (["--jobs=-2"], "leave it out for one per core"),
        (["--jobs", "100000"], "8 per core"),
        (["--crash-at", "5"], "--crash-at goes with --enumerate; add that, or leave --crash-at out"),
        (["--kinds", "OANDA"], "--kinds goes with --enumerate; add that, or leave --kinds out"),
        (["--enumerate", "--crash-at=-1"], "--crash-at -1: boundaries are counted from 1; 0 is the run without a kill"),
        (["--enumerate", "--tier", "c"], "--enumerate is for the tiers a and b"),
        (["--enumerate", "--seeds", "1..5"], "--enumerate runs one seed; name one instead of 1..5"),
        (["--enumerate", "--signals", "4"], "--signals has no effect with --enumerate"),
        (["--enumerate", "--faults", "P1:1,N1:2"], "--enumerate draws no world, so P1 cannot fire"),
        (["--tier", "c", "--signals", "4"], "--signals is not for tier c"),
        (["--faults", "N2,D7"], "tier a does not throw D7; it throws N1,"),
        (["--tier", "c", "--faults", "N2,B4,D1"], "tier c does not throw B4, D1; it throws P1, P2, N1,"),
    ],
)
def test_what_cannot_be_run_is_refused_with_the_reason(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["simulate", *words])

    assert code == 2
    assert says in capsys.readouterr().err
