"""`botctl rules report`: counts of rejections, and the worth of each rule from what its own rejections came to."""

import math
from pathlib import Path
from statistics import fmean
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.cli import main
from bot.config import DivergenceSettings, ValidationSettings
from bot.instruments import default_registry
from bot.layer2_intelligence.features import BatchFeatures
from bot.layer2_intelligence.rule_names import RULE_NAMES
from bot.layer2_intelligence.validator import judge
from bot.layer5_monitoring.performance import student
from bot.models import CandleSeries, FindingStatus
from bot.replay.rules_report import (
    FollowedSignal,
    RuleRow,
    Worth,
    read_journal,
    report_json,
    rules_report,
)
from tests.builders import series, signal
from tests.replay.commands import EURO, settle_in


@pytest.fixture(autouse=True)
def quiet_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settle_in(tmp_path, monkeypatch)


def row_of(signals: list[FollowedSignal], code: str) -> RuleRow:
    return next(each for each in rules_report(signals).rules if each.code == code)


def followed(*failed: str, r: float | None = None) -> FollowedSignal:
    return FollowedSignal(failed, r)


MIXED = [
    followed(r=1.0),
    followed(r=-1.0),
    followed("8", r=-1.0),
    followed("8", r=2.0),
    followed("8", "11", r=5.0),
    followed("11", "S", r=-1.0),
    followed("8"),
]


def test_first_any_and_alone_are_counted_apart() -> None:
    eight, eleven = row_of(MIXED, "8"), row_of(MIXED, "11")
    assert (eight.first, eight.any, eight.alone) == (4, 4, 3)
    assert (eleven.first, eleven.any, eleven.alone) == (1, 2, 0)


def test_a_rule_is_worth_what_the_signals_that_it_alone_rejected_came_to() -> None:
    worth = row_of(MIXED, "8").worth
    assert (worth.n, worth.total, worth.mean) == (2, 1.0, 0.5)  # the third has no outcome yet
    assert row_of(MIXED, "11").worth.n == 0


def test_accepted_and_rejected_signals_have_their_own_means() -> None:
    report = rules_report(MIXED)
    assert (report.signals, report.accepted_count, report.rejected_count) == (7, 2, 5)
    assert (report.accepted.mean, report.rejected.mean) == (0.0, 1.25)


def test_rules_stand_in_the_order_in_which_they_judge() -> None:
    codes = [
        each.code for each in rules_report([followed("S", r=1), followed("MTF"), followed("10"), followed("9")]).rules
    ]
    assert codes == ["9", "10", "S", "MTF"]


def test_the_interval_is_students() -> None:
    worth = Worth.of([-1.0, 2.0, -1.0, 2.0, 0.5])
    assert worth.low == pytest.approx(0.5 - 2.776 * 1.5 / math.sqrt(5))
    assert worth.high == pytest.approx(0.5 + 2.776 * 1.5 / math.sqrt(5))


@pytest.mark.parametrize("values", [[], [1.0], [-1.0] * 12])
def test_where_student_says_nothing_there_is_no_interval(values: list[float]) -> None:
    worth = Worth.of(values)
    assert (worth.low, worth.high) == (None, None)
    assert rules_report([followed("8", r=each) for each in values]).rules[:1] == tuple(
        each for each in rules_report([followed("8", r=each) for each in values]).rules if each.verdict == "unclear"
    )


@pytest.mark.parametrize(("freedom", "known"), [(1, 12.706), (30, 2.042), (40, 2.021), (60, 2.000), (120, 1.980)])
def test_the_quantiles_are_those_of_printed_tables(freedom: int, known: float) -> None:
    assert student(freedom) == pytest.approx(known, abs=0.0015)


@pytest.mark.parametrize(("r", "verdict"), [(-1.0, "saved"), (2.2, "cost")])
def test_a_rule_saved_or_cost_only_where_the_interval_excludes_zero(r: float, verdict: str) -> None:
    clear = [followed("8", r=r + 0.01 * each) for each in range(20)]
    unclear = [followed("8", r=r if each % 2 else -r) for each in range(20)]
    assert row_of(clear, "8").verdict == verdict
    assert row_of(unclear, "8").verdict == "unclear"


@settings(deadline=None)
@given(values=st.lists(st.floats(min_value=-10, max_value=10), min_size=1, max_size=50))
def test_the_mean_lies_in_its_interval(values: list[float]) -> None:
    worth = Worth.of(values)
    assert worth.mean == pytest.approx(fmean(values))
    if worth.low is not None and worth.high is not None and worth.mean is not None:
        assert worth.low <= worth.mean <= worth.high


def test_the_names_are_those_that_the_rules_give_themselves() -> None:
    candles: CandleSeries = series([(100, 102, 98, 100)] * 30)
    features = BatchFeatures(candles, DivergenceSettings(), 100).at(29)
    instrument = default_registry().get("EUR_USD")
    findings = judge(signal(), features, None, instrument, ValidationSettings(), DivergenceSettings()).findings
    assert {each.code: each.name for each in findings} | {"MTF": "longer timeframe"} == RULE_NAMES
    assert [*(each.code for each in findings), "MTF"] == list(RULE_NAMES)
    assert FindingStatus.FAIL in {each.status for each in findings}


# ------------------------------------------------------------------------------------------------------- the command


def reported(out: Path, *words: str) -> dict[str, Any]:
    assert main(["rules", "report", "--json", str(out), *words]) == 0
    found: dict[str, Any] = orjson.loads(out.read_bytes())
    return found


def test_a_replay_and_its_journal_give_the_same_report_and_it_adds_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    of_file = ["--candles", str(EURO), "--symbol", "EUR_USD", "--timeframe", "1h"]
    journal = tmp_path / "journal.jsonl"
    summary = tmp_path / "summary.json"
    assert main(["replay", *of_file, "--journal", str(journal), "--json", str(summary)]) == 0
    figures = orjson.loads(summary.read_bytes())

    replayed = reported(tmp_path / "a.json", *of_file)
    read = reported(tmp_path / "b.json", "--journal", str(journal))

    assert replayed == read
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert replayed["signals"] == figures["signals"]
    assert replayed["rejected"]["signals"] == figures["rejected"]
    assert {each["code"]: each["first_failure"] for each in replayed["rules"] if each["first_failure"]} == (
        figures["rejected_by"]
    )
    assert {each["code"]: each["any_failure"] for each in replayed["rules"]} == figures["failed_rules"]
    assert replayed["rejected"]["mean_r"] == pytest.approx(figures["rejected_outcomes"]["mean_r"], abs=1e-5)
    assert "confirmation" in capsys.readouterr().out


SIGNAL = b'{"kind":"signal","signal":"s-1","status":"vetoed","code":"8","failed":["8"]}\n'
OUTCOME = b'{"kind":"outcome","signal":"s-1","r":-1.0}\n'


def test_a_journal_is_read_line_by_line_and_other_entries_are_passed_over() -> None:
    lines = [SIGNAL, b'{"kind":"order","id":"x"}\n', b"\n", OUTCOME]
    assert read_journal(lines, "journal") == [followed("8", r=-1.0)]


def test_a_signal_that_found_no_confirmation_counts_as_rejected_by_it() -> None:
    line = b'{"kind":"signal","signal":"s-1","status":"vetoed","code":"MTF","failed":[]}\n'
    assert read_journal([line, OUTCOME], "journal") == [followed("MTF", r=-1.0)]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b'{"kind":"signal","signal":"s-1","status":"vetoed","code":"8"}', "line 1 has no 'failed'"),
        (b'{"at":1}', "line 1 has no 'kind'"),
        (b"[1]", "line 1 is not a line of a journal"),
        (b"{", "line 1 is not a line of a journal"),
        (b"\xff", "line 1 is not a line of a journal"),
        (b'{"kind":"signal","signal":"s-1","status":"vetoed","code":"8","failed":7}', "is not a line of a journal"),
    ],
)
def test_a_line_that_is_none_of_a_journal_is_named(
    line: bytes, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "journal").write_bytes(line)
    assert main(["rules", "report", "--journal", "journal"]) == 5
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["report"], "needs either --candles with --symbol and --timeframe, or --journal; name one"),
        (["report", "--journal", "x", "--candles", "y"], "name one"),
        (["report", "--candles", str(EURO)], "--candles needs --symbol and --timeframe too"),
        (["report", "--journal", "none"], "none: cannot be read (No such file or directory)"),
        (["repor"], "Invalid value"),
    ],
)
def test_a_wrong_call_exits_2_and_says_what_is_missing(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rules", *words]) == 2
    assert told in capsys.readouterr().err


def test_an_empty_journal_is_an_empty_report(tmp_path: Path) -> None:
    (tmp_path / "journal").write_bytes(b"")
    assert reported(tmp_path / "out.json", "--journal", "journal") == report_json(rules_report([]))
