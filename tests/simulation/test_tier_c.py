"""Tier C: real processes die, and venues and database still agree; and the checks that say so can fail."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from bot.cli import main
from bot.instruments import OANDA
from bot.models import ClientOrderId, leg_of
from bot.simulation.catalogue import FAULTS_OF_PROCESSES
from bot.simulation.fault_proxy import Disturbance
from bot.simulation.tier_c import (
    PROTECTED_S,
    Books,
    Plan,
    Recorded,
    Span,
    VenueBooks,
    differences,
    known_spans,
    undisturbed,
    violations,
    waited_for_budget,
)

START = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
ENTRY = ClientOrderId("TBp0123456789ABCDEFE00")
MISHAPS = ",".join(FAULTS_OF_PROCESSES)
QUICK_FAULTS = "N2,N4,N5,N7,N8,N9,N11,N13"
TOLD: Mapping[str, Any] = {
    "at": START.isoformat(),
    "entries": {"oanda": [{"entry": ENTRY, "symbol": "EUR_USD", "opened": 10, "closed": 4, "held": 6, "stopped": 6}]},
    "executed": {"oanda": {ENTRY: 1}},
    "naked": [],
}
BOOKS = Books(
    positions={ENTRY: Recorded(entry=ENTRY, quantity=Decimal(6), opened=Decimal(10), closed=Decimal(4))},
    orders=frozenset({ENTRY}),
)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def span(since_s: float, until_s: float, broker_id: str = "") -> Span:
    return Span(broker_id=broker_id, since=at(since_s), until=at(until_s))


def told(**changes: Any) -> VenueBooks:
    """The venue's testimony with its one entry changed."""
    return VenueBooks.read({**TOLD, "entries": {"oanda": [{**TOLD["entries"]["oanda"][0], **changes}]}})


Simulate = Callable[[str, str], Mapping[str, Any]]


@pytest.fixture
def simulate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Simulate:
    """Seeds of tier C by the command, with these faults: its report, once nothing broke."""

    def run(seeds: str, faults: str) -> Mapping[str, Any]:
        report = tmp_path / "report.json"
        code = main(["simulate", "--tier", "c", "--seeds", seeds, "--faults", faults, "--json", str(report)])
        assert code == 0, capsys.readouterr().out
        figures: Mapping[str, Any] = orjson.loads(report.read_bytes())
        return figures

    return run


@pytest.mark.long
def test_real_kills_with_faults_on_the_line_leave_venues_and_database_equal(simulate: Simulate) -> None:
    figures = simulate("3..4", QUICK_FAULTS)  # they kill around one candle; nothing has to be presumed absent

    assert figures["seen"]["kills"] >= 4
    assert figures["seen"]["kills with positions"] >= 1, "the kills met no open position: they proved little"


@pytest.mark.long
def test_a_daemon_outlives_another_account_a_restored_and_a_newer_database_and_a_lack_of_files(
    simulate: Simulate,
) -> None:
    figures = simulate("4", MISHAPS)

    assert figures["never_fired"] == []


def test_a_budget_that_was_used_up_is_read_from_what_the_last_daemon_says() -> None:
    said = "binance: account had no turn in the request budget within 10 s; nothing was sent"
    log = f'  mode      paper\n{{"at": "{at(5).isoformat()}", "level": "WARNING", "message": "{said}"}}\nstopped.'

    assert waited_for_budget(log, at(4))
    assert not waited_for_budget(log, at(6)), "a daemon before it said so"
    assert not waited_for_budget("", at(0))


def test_venues_and_database_that_agree_differ_in_nothing() -> None:
    assert differences(told(), BOOKS) == []
    assert list(violations(told(), BOOKS, [])) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"opened": 20}, "bought or sold short 20 at oanda, 10 in the database"),
        ({"closed": 5}, "closed 5 at oanda, 4 in the database"),
        ({"held": 5}, "held 5 at oanda, 6 in the database"),
        ({"stopped": 5}, "no stop for all of it"),
        ({"entry": "TBpZZZZZZZZZZZZZZZZE00"}, "no position in the database"),
    ],
)
def test_each_difference_between_venue_and_database_is_told(change: Mapping[str, Any], says: str) -> None:
    assert any(says in each for each in differences(told(**change), BOOKS))


def test_an_order_executed_twice_or_unknown_to_the_database_is_a_violation() -> None:
    twice = VenueBooks.read({**TOLD, "executed": {"oanda": {ENTRY: 2}}})
    unknown = VenueBooks.read({**TOLD, "executed": {"oanda": {"TBpXXXXXXXXXXXXXXXXE00": 1}}})

    assert list(violations(twice, BOOKS, [])) == [f"I2 {ENTRY} was executed 2 times"]
    assert [each[:2] for each in violations(unknown, BOOKS, [])] == ["I1"]


def test_a_position_without_a_stop_for_longer_than_it_may_be_is_a_violation() -> None:
    assert list(violations(told(), BOOKS, [PROTECTED_S])) == []
    assert [each[:2] for each in violations(told(), BOOKS, [PROTECTED_S + 0.1])] == ["I6"]


@pytest.mark.parametrize(
    ("at_venue", "recorded", "says"),
    [
        ({"held": 0, "stopped": 0}, None, ""),
        ({}, None, "no position in the database"),
        ({}, Recorded(entry=ENTRY, quantity=Decimal(6), opened=Decimal(0), closed=Decimal(0)), ""),
        ({}, Recorded(entry=ENTRY, quantity=Decimal(5), opened=Decimal(0), closed=Decimal(0)), "held 6"),
        ({"stopped": 0}, Recorded(entry=ENTRY, quantity=Decimal(6), opened=Decimal(0), closed=Decimal(0)), "no stop"),
    ],
)
def test_of_what_a_restored_database_has_lost_it_need_only_know_what_is_left(
    at_venue: Mapping[str, Any], recorded: Recorded | None, says: str
) -> None:
    books = Books(positions={} if recorded is None else {ENTRY: recorded}, orders=frozenset())

    found = differences(told(**at_venue), books, lost={ENTRY})

    assert [says in each for each in found] == ([True] if says else [])
    assert list(violations(told(**at_venue), books, [], lost={ENTRY})) == []


@pytest.mark.parametrize(
    ("opened", "closed", "says"),
    [(10, 4, ""), (10, 5, ""), (20, 4, "bought or sold short 20 at oanda, 10 in the database")],
)
def test_where_a_restored_database_has_lost_a_stop_only_what_was_closed_may_differ(
    opened: int, closed: int, says: str
) -> None:
    found = differences(told(opened=opened, closed=closed), BOOKS, lost={leg_of(ENTRY, "S0")})

    assert [says in each for each in found] == ([True] if says else [])


def test_an_entry_that_a_restored_database_has_lost_must_have_had_its_stop_until_then() -> None:
    lost, kept = (ENTRY, span(0, 100, "oanda")), (leg_of(ENTRY, "X0"), span(0, 100, "oanda"))

    assert known_spans([lost], {ENTRY: at(30)}) == [span(0, 30, "oanda")]
    assert known_spans([lost], {ENTRY: at(-1)}) == []
    assert known_spans([kept], {ENTRY: at(30)}) == [span(0, 100, "oanda")]


@pytest.mark.parametrize(
    ("dead", "seconds"),
    [
        ([], 100.0),
        ([span(-10, 30)], 70.0),
        ([span(40, 50)], 50.0),
        ([span(90, 200)], 90.0),
        ([span(0, 60), span(50, 90)], 10.0),
        ([span(200, 300)], 100.0),
        ([span(0, 100)], 0.0),
        ([span(0, 100, "binance")], 100.0),
    ],
)
def test_time_without_a_stop_counts_only_while_a_daemon_lived(dead: list[Span], seconds: float) -> None:
    assert undisturbed(span(0, 100, "oanda"), dead, []) == seconds


def test_time_without_a_stop_does_not_count_while_the_line_was_down() -> None:
    down = Disturbance(broker_id=OANDA, fault="N8", what="GET /", since=at(20), until=at(60))

    assert undisturbed(span(0, 100, "oanda"), [], [down]) == 40.0


def test_a_seed_always_plans_the_same_lives_and_ends_with_all_of_them_killed() -> None:
    assert Plan.drawn(7) == Plan.drawn(7)
    assert Plan.drawn(7).lives != Plan.drawn(8).lives
    assert Plan.drawn(7).lives[0].after_candle
