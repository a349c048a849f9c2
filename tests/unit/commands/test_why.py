"""`botctl why`: the rules in order, the first failure, the claim, and what was decided and happened after."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from bot.cli import main
from bot.commands.why import show, show_newest, story_of
from bot.database.memory import MemoryStores
from bot.errors import NotFound
from bot.layer5_monitoring.story import Story
from bot.models import (
    Direction,
    DivergenceClaim,
    DivergenceKind,
    Finding,
    FindingStatus,
    Outcome,
    OutcomeVerdict,
    SignalId,
    SignalRecord,
)
from tests.builders import at, position, signal

FINDINGS = (
    Finding("0", "direction", FindingStatus.PASS, "long", "long or short"),
    Finding("7", "trend strength", FindingStatus.NOT_APPLICABLE, 31.5, ">= 20"),
    Finding("8", "ranging market", FindingStatus.FAIL, 0.25, ">= 0.5 of its median"),
    Finding("E3", "prices", FindingStatus.FAIL, "p1_price", "pivot prices within 0.05 ATR"),
    Finding("E5", "separation", FindingStatus.PASS, float("nan"), "5 to 60 candles"),
)
CLAIM = DivergenceClaim(
    kind=DivergenceKind.HIDDEN,
    oscillators=("cci", "rsi"),
    p1_at=datetime(2024, 1, 1, 3, tzinfo=UTC),
    p2_at=datetime(2024, 1, 1, 19, tzinfo=UTC),
    p1_price=Decimal("1.0950"),
    p2_price=Decimal("1.0970"),
)


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")


def record(name: str = "divergence:EUR_USD:1h/2024-01-02T00:00/0") -> SignalRecord:
    return SignalRecord(
        signal=signal(Direction.LONG, id=SignalId(name), claim=CLAIM),
        findings=FINDINGS,
        score=6.25,
        status="vetoed",
        rejected_by="8",
        reason=FINDINGS[2].says,
        decided_at=at(),
    )


def outcome(name: str) -> Outcome:
    return Outcome(
        signal_id=SignalId(name),
        symbol=signal().symbol,
        timeframe=signal().timeframe,
        direction=Direction.LONG,
        accepted=False,
        paid=Decimal("1.1"),
        stop=Decimal("1.095"),
        target=Decimal("1.111"),
        started_at=at(),
        followed_until=at(600),
        candles=10,
        mfe_r=0.4,
        mae_r=-1.1,
        verdict=OutcomeVerdict.STOP_HIT,
        r=-1.0,
        done=True,
    )


def told(story: Story, capsys: pytest.CaptureFixture[str]) -> str:
    show(story)
    return capsys.readouterr().out


def test_every_rule_is_shown_in_order_with_its_value_limit_and_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    shown = told(Story(record=record(), orders=(), position=None, outcome=None), capsys)
    rows = [line.split() for line in shown.splitlines()]
    places = [next(at for at, row in enumerate(rows) if row[:1] == [each.code]) for each in FINDINGS]
    assert places == sorted(places)
    assert rows[places[1]][-1] == "n/a"
    assert rows[places[2]] == ["8", "ranging", "market", "0.25", ">=", "0.5", "of", "its", "median", "fail", "first"]
    assert "missing" in rows[places[4]]


def test_the_first_failure_is_said_before_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    shown = told(Story(record=record(), orders=(), position=None, outcome=None), capsys)
    first = shown.index("failed first: rule 8 ranging market: 0.25, needs >= 0.5 of its median (fail)")
    assert first < shown.index("rules, in order")


def test_the_claim_stands_beside_what_the_candles_show(capsys: pytest.CaptureFixture[str]) -> None:
    shown = told(Story(record=record(), orders=(), position=None, outcome=None), capsys)
    claim = shown[shown.index("the claim against the candles") :]
    assert "pivot prices 1.0950 and 1.0970" in claim
    assert "not the candles' prices: p1_price" in claim
    assert "nothing could be measured" in claim


def test_what_was_decided_and_what_the_market_did_comes_last(capsys: pytest.CaptureFixture[str]) -> None:
    closed = position(closed_at=at(300), exit_reason="STOP", realised=Decimal(-20), quantity=Decimal(0))
    shown = told(Story(record=record(), orders=(), position=closed, outcome=outcome("x")), capsys)
    assert "decided: vetoed: rule 8" in shown
    assert "closed by STOP: -20.00, -1.00 R after costs" in shown
    assert (
        "the market after it: the stop was reached first, -1.00 R; best +0.40 R, worst -1.10 R in 10 candles" in shown
    )


def test_a_signal_without_claim_or_failure_is_shown_too(capsys: pytest.CaptureFixture[str]) -> None:
    bare = replace(
        record(), signal=signal(None, claim=None), findings=(), rejected_by="", status="refused", reason="R2"
    )
    shown = told(Story(record=bare, orders=(), position=None, outcome=None), capsys)
    assert "no rule failed" in shown
    assert "This signal claims no pivots." in shown
    assert "the market after it: not followed, or not yet" in shown


async def test_a_story_is_found_with_its_outcome() -> None:
    stores, known = MemoryStores(), record()
    await stores.signals.record(known)
    await stores.outcomes.save(outcome(known.signal.id))

    story = await story_of(stores, known.signal.id)
    assert (story.record, story.orders, story.position) == (known, (), None)
    assert story.outcome == outcome(known.signal.id)


async def test_an_unknown_id_is_answered_with_the_nearest_one() -> None:
    stores = MemoryStores()
    await stores.signals.record(record())
    with pytest.raises(NotFound, match="did you mean divergence:EUR_USD:1h/2024-01-02T00:00/0"):
        await story_of(stores, "divergence:EUR_USD:1h/2024-01-02T00:00/1")
    with pytest.raises(NotFound, match="why lists the newest signals"):
        await story_of(stores, "???")


def test_ids_are_listed_one_to_a_line_and_never_broken(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    show_newest([record(), record("another/very/long/id/that/is/wider/than/the/terminal")])
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith("another/very/long/id/that/is/wider/than/the/terminal  vetoed  rule 8")


def test_no_signal_yet_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    show_newest([])
    assert "No signal has been judged yet" in capsys.readouterr().out


def test_without_a_daemon_the_command_says_how_to_start_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".env").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATA_DIRECTORY", str(tmp_path / "data"))
    assert main(["why", "s-1"]) == 1
    assert "no daemon runs here" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()
