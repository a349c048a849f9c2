"""`botctl analyst evaluate` and `botctl analyst replay`, over recordings written by hand and over the fake server."""

import re
from dataclasses import replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest

from bot.cli import main
from bot.clock import SystemClock
from bot.config import AnalystSettings, DivergenceSettings, Settings, ValidationSettings
from bot.errors import UsageError
from bot.instruments import default_registry
from bot.layer2_intelligence.analyst.evaluation.baselines import Detector
from bot.layer2_intelligence.analyst.evaluation.figures import Figures
from bot.layer2_intelligence.analyst.evaluation.marks import Question
from bot.layer2_intelligence.analyst.evaluation.paper import PaperMaker, PaperSize
from bot.layer2_intelligence.analyst.nouns import AnalystGateway
from bot.layer2_intelligence.features import BatchFeatures
from bot.layer2_intelligence.validator import judge
from bot.models import Direction, Endorsed
from bot.replay.analyst.exam import known_r, outcome_on
from bot.replay.analyst.recorded import questions
from bot.wiring.analyst_exam import (
    ExamOrder,
    TrialOrder,
    candles_of,
    exam_items,
    live_gateway,
    recordings_of,
    run_exam,
    run_trial,
    with_rules,
)
from tests.fakes.messages_api import KEY, FakeMessagesApi
from tests.replay.commands import EURO, settle_in
from tests.replay.hand_recordings import NOTHING, as_detector, record_by_hand, silent

MODEL, OTHER = "claude-haiku-5-5", "claude-haiku-4-5-20251001"
CANDLES = f"EUR_USD:1h:{EURO}"
SMALL = PaperSize(planted=4, absent=4, null=4, changed=4, repeated=2, again=2, recorded=0)


@pytest.fixture(autouse=True)
def quiet_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settle_in(tmp_path, monkeypatch)


def paper(size: PaperSize = SMALL) -> list[Question]:
    maker = PaperMaker(default_registry(), DivergenceSettings(), ValidationSettings(), size=size, seed=1)
    return [each.question for each in maker.made()]


def asked_of_euro() -> list[Question]:
    """Every question that a daemon would have asked about the recorded candles."""
    whole = BatchFeatures(candles_of(CANDLES).series, DivergenceSettings(), 100)
    return [each.question for each in questions(whole, default_registry().get("EUR_USD"), always=False)]


def read(path: Path) -> Any:
    return orjson.loads(path.read_bytes())


def row(report: Any, analyst: str) -> Any:
    return next(each for each in report["ranking"] if each["analyst"] == analyst)


def evaluated(directory: Path) -> Any:
    """The report about the detector, and about whoever was recorded in `directory`."""
    kept, report = str(directory / "kept"), directory / "r.json"
    assert main(["analyst", "evaluate", "--analyst", "detector", "--recordings", kept, "--json", str(report)]) == 0
    return read(report)


# ---------------------------------------------------------------------------------------------------------- evaluate


def test_evaluate_ranks_the_baselines_and_says_what_real_candles_are_missing(tmp_path: Path) -> None:
    code = main(["analyst", "evaluate", "--json", str(tmp_path / "r.json"), "--out", str(tmp_path / "r.html")])

    report, page = read(tmp_path / "r.json"), (tmp_path / "r.html").read_text()
    assert code == 0
    assert [each["analyst"] for each in report["ranking"]][:2] == ["perfect", "detector"]
    assert report["gates"] == []
    assert "No real candles" in page


def test_report_is_one_file_without_scripts_and_without_anything_to_fetch(tmp_path: Path) -> None:
    main(["analyst", "evaluate", "--candles", CANDLES, "--questions", "20", "--out", str(tmp_path / "r.html")])

    page = (tmp_path / "r.html").read_text()
    assert "<script" not in page
    assert set(re.findall(r"""(?:src|href)=["'](.{15})""", page)) == {"data:image/png;"}
    assert page.count("<img ") >= 5


def test_name_of_a_file_of_candles_is_text_in_the_report_and_nothing_else(tmp_path: Path) -> None:
    hostile = tmp_path / "<img src=x onerror=alert(1)>.csv.gz"
    hostile.write_bytes(EURO.read_bytes())
    words = ["--candles", f"EUR_USD:1h:{hostile}", "--questions", "4", "--analyst", "detector"]

    main(["analyst", "evaluate", *words, "--out", str(tmp_path / "r.html")])

    page = (tmp_path / "r.html").read_text()
    assert "&lt;img src=x onerror=alert(1)&gt;.csv.gz" in page
    assert "<img src=x" not in page


def test_recorded_answers_leave_the_gates_of_a_daemon_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record_by_hand(tmp_path / "kept", MODEL, paper(), silent)
    words = ["--recordings", str(tmp_path / "kept"), "--analyst", "detector"]

    main(["analyst", "evaluate", *words])
    untouched = capsys.readouterr().out
    main(["analyst", "evaluate", *words, "--open-gates"])

    assert "recorded answers leave the daemon's gates as they are" in untouched
    assert "origin: hand 20" in untouched
    assert "no daemon runs here" in capsys.readouterr().out


def test_recorded_model_that_reads_as_the_detector_is_seen_through_as_made_by_hand(tmp_path: Path) -> None:
    record_by_hand(tmp_path / "kept", MODEL, paper(PaperSize()), as_detector)

    report = evaluated(tmp_path)
    found = row(report, MODEL)
    assert report["subject"] == MODEL
    assert (found["planted_found"]["hits"], found["absent_quiet"]["hits"]) == (40, 40)
    assert found["true_claims"]["hits"] == found["true_claims"]["of"]
    assert found["mirrored"]["hits"] == 40
    assert found["repeated"]["of"] == 0
    assert [each["open"] for each in report["gates"]] == [False, False]
    assert report["gates"][0]["conditions"][0]["holds"] is False


def test_questions_without_a_recording_are_named_and_not_counted(tmp_path: Path) -> None:
    record_by_hand(tmp_path / "kept", MODEL, paper(), silent)

    found = row(evaluated(tmp_path), MODEL)
    assert found["unanswered"]["not_recorded"] == found["asked"] - found["answered"]["hits"]
    assert found["planted_found"] == {"hits": 0, "of": 4, "low": 0.0, "high": pytest.approx(0.4899, abs=1e-3)}


def test_model_that_invents_an_oscillator_value_is_a_fabricator(tmp_path: Path) -> None:
    record_by_hand(tmp_path / "kept", MODEL, paper(), inventing)

    found = row(evaluated(tmp_path), MODEL)
    assert found["fabrication"]["of"] >= 4
    assert found["fabrication"]["hits"] == found["fabrication"]["of"]
    assert found["planted_found"]["hits"] == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--live"], "--budget"),
        (["--live", "--budget", "0"], "--budget"),
        (["--live", "--budget", "1"], "ANTHROPIC_API_KEY"),
        (["--live", "--budget", "1", "--model", "claude-of-tomorrow"], "analyst models"),
        (["--live", "--recordings", "."], "not both"),
        (["--budget", "1"], "belong to --live"),
        (["--recordings", "nowhere"], "nowhere"),
        (["--recordings", "."], "no *.json there"),
        (["--candles", "eurusd.csv"], "SYMBOL:TIMEFRAME:FILE"),
        (["--candles", "EUR_USD:7h:x.csv"], "7h"),
        (["--out", "no/where.html"], "does not exist"),
    ],
)
def test_what_cannot_be_examined_is_refused_with_the_next_step(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["analyst", "evaluate", *words])

    assert code != 0
    assert says in capsys.readouterr().err


def settings_of(fake: FakeMessagesApi) -> Settings:
    return Settings(analyst=AnalystSettings(anthropic_api_key=KEY, anthropic_url=fake.url, analyst_attempts=1))


async def examined(settings: Settings, gateway: AnalystGateway, budget: str | None = None) -> Figures:
    order = ExamOrder(
        baselines=(),
        models=[MODEL],
        candles=(),
        size=SMALL,
        seed=1,
        budget=None if budget is None else Decimal(budget),
    )
    report = await run_exam(settings, order, exam_items(settings, order), gateway, lambda _: lambda _: None)
    return report.ranking[0]


async def test_live_answers_are_recorded_and_examined_again_from_their_recordings(tmp_path: Path) -> None:
    async with FakeMessagesApi(clock=SystemClock(), answer_with=lambda _: NOTHING) as fake:
        settings = settings_of(fake)
        async with live_gateway(settings, Decimal("1.00"), tmp_path / "kept") as gateway:
            live = await examined(settings, gateway, "1.00")
        asked = len(fake.posted)

    kept = recordings_of(tmp_path / "kept")
    again = await examined(settings, kept.gateway)

    assert asked == live.asked == live.answered.hits == 24
    assert live.repeated.of == 4
    assert live.cost > 0
    assert kept.origins == {"fake": 20}
    assert again == replace(
        live,
        repeated=again.repeated,
        cost=again.cost,
        cost_per_answer=again.cost_per_answer,
        latency_median_s=again.latency_median_s,
        latency_p95_s=again.latency_p95_s,
    )
    assert live.live.hits == 0


async def test_a_live_exam_never_reserves_more_than_its_budget(tmp_path: Path) -> None:
    async with FakeMessagesApi(clock=SystemClock(), answer_with=lambda _: NOTHING) as fake:
        settings = settings_of(fake)
        async with live_gateway(settings, Decimal("0.0001"), None) as gateway:
            found = await examined(settings, gateway, "0.0001")

        assert fake.posted == []
    assert found.answered.hits == 0
    assert found.cost == 0


# ------------------------------------------------------------------------------------------------------------ replay


def entries(found: Any, way: str) -> tuple[int, float]:
    return found[way]["entries"], found[way]["total"]


def test_a_stricter_rule_takes_away_exactly_what_it_refuses(tmp_path: Path) -> None:
    record_by_hand(tmp_path / "kept", MODEL, asked_of_euro(), partial(as_detector, confidence=80))
    words = ["--recordings", str(tmp_path / "kept"), "--candles", CANDLES, "--json", str(tmp_path / "r.json")]

    code = main(["analyst", "replay", *words, "--rules", "min_confidence=0.9"])

    found = read(tmp_path / "r.json")
    count, total = entries(found, "before")
    assert code == 0
    assert count > 5
    assert entries(found, "after") == (0, 0.0)
    assert found["difference_r"] == pytest.approx(-total)
    assert {each["after"]["why"] for each in found["changes"]} == {"rule 1"}
    assert found["not_answered"] == 0
    assert set(found["origins"]) == {"hand"}


def test_a_looser_rule_lets_in_what_it_alone_refused(tmp_path: Path) -> None:
    record_by_hand(tmp_path / "kept", MODEL, asked_of_euro(), partial(as_detector, confidence=60))
    words = ["--recordings", str(tmp_path / "kept"), "--candles", CANDLES, "--json", str(tmp_path / "r.json")]

    main(["analyst", "replay", *words, "--rules", "min_confidence=0.6"])

    found = read(tmp_path / "r.json")
    assert entries(found, "before") == (0, 0.0)
    assert len(found["changes"]) == found["after"]["entries"] > 5
    assert {each["before"]["why"] for each in found["changes"]} == {"rule 1"}


def test_the_same_rules_change_nothing(tmp_path: Path) -> None:
    record_by_hand(tmp_path / "kept", MODEL, asked_of_euro(), as_detector)
    words = ["--recordings", str(tmp_path / "kept"), "--candles", CANDLES, "--json", str(tmp_path / "r.json")]

    main(["analyst", "replay", *words, "--rules", "min_confidence=0.7"])

    found = read(tmp_path / "r.json")
    assert (found["changes"], found["difference_r"]) == ([], 0.0)


def test_another_model_that_sees_nothing_costs_what_the_first_one_made(tmp_path: Path) -> None:
    asked = asked_of_euro()
    record_by_hand(tmp_path / "kept", MODEL, asked, as_detector)
    record_by_hand(tmp_path / "kept", OTHER, asked[:10], silent)
    words = ["--recordings", str(tmp_path / "kept"), "--candles", CANDLES, "--json", str(tmp_path / "r.json")]

    main(["analyst", "replay", *words, "--model", OTHER])

    found = read(tmp_path / "r.json")
    assert (found["compared"], found["not_answered"]) == (10, len(asked) - 10)
    assert found["after"]["entries"] == 0
    assert {each["after"]["why"] for each in found["changes"]} <= {"nothing"}


async def test_entries_are_worth_what_the_detector_makes_of_the_same_candles(tmp_path: Path) -> None:
    # Arrange: the model is surer than the detector, but claims the same
    asked = asked_of_euro()
    record_by_hand(tmp_path / "kept", MODEL, asked, partial(as_detector, confidence=100))
    settings, whole = Settings(), BatchFeatures(candles_of(CANDLES).series, DivergenceSettings(), 100)
    detector, expected = Detector(settings.divergence), []
    for item in questions(whole, default_registry().get("EUR_USD"), always=False):
        signal = (await detector.opinion(item.question)).signal
        assert signal is not None
        sure = replace(signal, confidence=1.0)
        verdict = judge(
            sure, item.question.features, None, item.question.instrument, settings.validation, settings.divergence
        )
        if isinstance(verdict, Endorsed):
            expected.append(known_r(outcome_on(item.chart, sure, horizon_candles=100)))

    # Act
    kept = recordings_of(tmp_path / "kept")
    order = TrialOrder(
        candles=[candles_of(CANDLES)], model=MODEL, other_model=MODEL, other_settings=settings, always=False
    )
    found = await run_trial(settings, order, [whole], kept.gateway, lambda _: None)

    # Assert
    assert [each.r for each in found.before if each.enters] == expected
    assert len(expected) > 20


def inventing(asked: Question, payload: Any) -> dict[str, Any]:
    """The detector's reading with values that no oscillator has."""
    said = as_detector(asked, payload)
    for each in said["divergence"]["oscillators"] if said["divergence"] else ():
        each["first"] -= 400
    return said


def test_an_invented_value_is_never_entered_although_no_rule_knows_it(tmp_path: Path) -> None:
    record_by_hand(tmp_path / "kept", MODEL, asked_of_euro(), inventing)
    words = ["--recordings", str(tmp_path / "kept"), "--candles", CANDLES, "--json", str(tmp_path / "r.json")]

    main(["analyst", "replay", *words, "--rules", "min_confidence=0.7"])

    assert entries(read(tmp_path / "r.json"), "before") == (0, 0.0)


async def test_an_entry_is_followed_from_the_price_that_it_really_pays() -> None:
    maker = PaperMaker(default_registry(), DivergenceSettings(), ValidationSettings(), size=SMALL, seed=1)
    item = next(each for each in maker.made() if each.chart.planted is Direction.LONG)
    signal = (await Detector(DivergenceSettings()).opinion(item.question)).signal
    assert signal is not None
    assert signal.entry is not None

    outcome = outcome_on(item.chart, signal, horizon_candles=100)

    assert outcome is not None
    assert outcome.paid == signal.entry + item.chart.instrument.typical_spread.at(signal.entry) / 2


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "nothing to compare"),
        (["--rules", "min_confidence"], "NAME=LIMIT"),
        (["--rules", "min_confidense=1"], "did you mean min_confidence"),
        (["--rules", "min_confidence=high"], "min_confidence"),
        (["--model", "claude-opus-5-5"], "no recording of claude-opus-5-5"),
    ],
)
def test_a_replay_that_cannot_be_done_is_refused_with_the_next_step(
    words: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record_by_hand(tmp_path / "kept", MODEL, paper()[:1], silent)

    code = main(["analyst", "replay", "--recordings", str(tmp_path / "kept"), "--candles", CANDLES, *words])

    assert code != 0
    assert says in capsys.readouterr().err


def test_rules_on_the_command_line_are_checked_against_each_other() -> None:
    with pytest.raises(UsageError, match="NAME=LIMIT"):
        with_rules(Settings(), ["=1"])
    assert with_rules(Settings(), ["MIN_CONFIDENCE=0.5"]).validation.min_confidence == 0.5
