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
        (["--chart", "report.png", "--enumerate"], "leave one of them out"),
    ],
)
def test_what_cannot_be_run_is_refused_with_the_reason(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["simulate", *words])

    assert code == 2
    assert says in capsys.readouterr().err
