"""Which entries would be refused now: what is said must be what the gate does."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from bot.config import RiskSettings
from bot.instruments import OANDA, Currency, Instrument, Symbol, default_registry
from bot.layer4_risk.exposure import BrokerStake, RiskReport, StakeView, risk_report
from bot.layer4_risk.limits import stake_checks
from bot.layer4_risk.outlook import Obstacle, obstacles
from bot.layer4_risk.stakes import Stake, all_stakes
from bot.layer4_risk.usage import Books
from bot.models import (
    AccountState,
    Direction,
    KillCause,
    KillLevel,
    KillState,
    OrderState,
    PortfolioSnapshot,
    Position,
    PositionId,
    TaskId,
)
from tests.builders import START, position
from tests.unit.layer4_risk.test_exposure import entry

D = Decimal
REGISTRY = default_registry()
ACCOUNT = AccountState(
    broker_id=OANDA, currency=Currency("USD"), balance=D(10_000), equity=D(10_000), margin_used=D(0), at=START
)
SNAPSHOT = PortfolioSnapshot(at=START, equity=D(10_000), balance=D(10_000), open_positions=0, peak=D(10_000))


def held(symbol: str, number: int = 1, **changes: Any) -> Position:
    """A small long at OANDA."""
    return position(
        id=PositionId(f"p{number}"),
        task_id=TaskId(f"task-{number}"),
        symbol=Symbol(symbol),
        broker_id=OANDA,
        **{"mark_price": D(1), "entry_price": D(1), "stop_price": D("0.99"), "quantity": D(100), **changes},
    )


def report(*positions: Position, settings: RiskSettings | None = None, **changes: Any) -> RiskReport:
    view = StakeView(
        at=START,
        settings=settings or RiskSettings(),
        positions=positions,
        orders=(),
        reserved=(),
        foreign=(),
        entries=(),
        brokers=[BrokerStake(broker_id=OANDA, account=ACCOUNT, realised=D(0), entries_blocked="")],
        latches=(),
        snapshot=SNAPSHOT,
        session_day_began_at=START,
    )
    return risk_report(replace(view, **changes), REGISTRY)


def found(*positions: Position, **changes: Any) -> Sequence[Obstacle]:
    """All but that each task holds what it holds."""
    told = obstacles(report(*positions, **changes), REGISTRY, positions)
    return [each for each in told if each.code != "TASK_HAS_POSITION"]


def refused_by_gate(code: str, positions: Sequence[Position], settings: RiskSettings) -> set[tuple[str, str]]:
    """(direction, symbol) of every entry at OANDA that the gate refuses because of `code`, before it is sized."""
    books = _books(all_stakes(positions, ()), settings)
    entries = [(direction, each) for each in REGISTRY.of_broker(OANDA) for direction in Direction]
    return {
        (direction.value, each.symbol)
        for direction, each in entries
        if any(
            check.code == code and not check.passed
            for check in stake_checks(books, _unsized(each, direction), sized=False)
        )
    }


def _books(stakes: Sequence[Stake], settings: RiskSettings) -> Books:
    return Books(
        now=START,
        settings=settings,
        registry=REGISTRY,
        currency="USD",
        equity={OANDA: D(10_000)},
        total_equity=D(10_000),
        stakes=stakes,
        entries=(),
    )


def _unsized(instrument: Instrument, direction: Direction) -> Stake:
    nothing = D(0)
    return Stake(
        broker_id=instrument.broker_id,
        symbol=instrument.symbol,
        direction=direction,
        strategy="divergence",
        open=nothing,
        worst=nothing,
        risk_open=nothing,
        risk_worst=nothing,
    )


def test_nothing_stands_in_the_way_where_nothing_is_used() -> None:
    assert found() == []


def test_a_full_broker_refuses_every_entry_there_as_the_gate_does() -> None:
    settings = RiskSettings(max_open_positions_oanda=2)
    positions = (held("EUR_USD", 1), held("XAU_USD", 2))

    (obstacle,) = found(*positions, settings=settings)

    assert (obstacle.code, obstacle.entries, obstacle.is_wide) == ("MAX_OPEN_POSITIONS", "every entry at oanda", True)
    every = {(side.value, each.symbol) for side in Direction for each in REGISTRY.of_broker(OANDA)}
    assert refused_by_gate("MAX_OPEN_POSITIONS", positions, settings) == every


def test_one_place_left_refuses_nothing() -> None:
    assert found(held("EUR_USD"), settings=RiskSettings(max_open_positions_oanda=2)) == []


def test_a_full_group_refuses_its_members_in_that_direction_as_the_gate_does() -> None:
    settings = RiskSettings(max_correlated_exposure=2)
    positions = (held("EUR_USD", 1), held("AUD_USD", 2))

    (obstacle,) = found(*positions, settings=settings)

    direction, _, symbols = obstacle.entries.partition(" ")
    told = {(direction, each) for each in symbols.split(", ")}
    assert told == refused_by_gate("CORRELATED_EXPOSURE", positions, settings)
    assert ("long", "GBP_USD") in told
    assert ("short", "GBP_USD") not in told


def test_a_full_currency_refuses_what_adds_to_it_on_either_side() -> None:
    settings = RiskSettings(max_currency_exposure=D(1))
    long_euro = held("EUR_USD", quantity=D(20_000), stop_price=D("0.9999"))

    told = {each.code: each.entries for each in found(long_euro, settings=settings)}

    longs, _, shorts = told["CURRENCY_EXPOSURE"].partition("; ")
    assert "EUR_USD" in longs
    assert longs.startswith("long ")
    assert "EUR_USD" not in shorts


def test_a_currency_that_may_end_full_on_either_side_refuses_entries_of_both_as_the_gate_does() -> None:
    settings = RiskSettings(max_currency_exposure=D(1))
    long_euro = held("EUR_USD", 1, quantity=D(20_000))
    short_euro = held("EUR_USD", 2, direction=Direction.SHORT, quantity=D(0), first_quantity=D(0))
    waiting = entry(short_euro, OrderState.UNKNOWN, "30000")

    told = found(long_euro, short_euro, settings=settings, orders=(waiting,))

    entries = {each.says.partition(" at ")[0]: each.entries for each in told if each.code == "CURRENCY_EXPOSURE"}
    bases = ", ".join(sorted(each.symbol for each in REGISTRY if each.base_currency == "EUR"))
    quotes = ", ".join(sorted(each.symbol for each in REGISTRY if each.quote_currency == "EUR"))
    assert entries == {
        "net EUR long": f"long {bases}; short {quotes}",
        "net EUR short": f"long {quotes}; short {bases}",
    }
    stakes = all_stakes((long_euro, short_euro), (waiting,))
    for direction in Direction:
        one = replace(_unsized(REGISTRY.get("EUR_USD"), direction), worst=D(direction.sign))
        refusing = [each for each in stake_checks(_books(stakes, settings), one, sized=True) if not each.passed]
        assert [each.code for each in refusing] == ["CURRENCY_EXPOSURE"]
        assert f"net EUR {direction} at all: worst case" in refusing[0].says


def test_what_is_not_known_is_full() -> None:
    silent = [BrokerStake(broker_id=OANDA, account=None, realised=D(0), entries_blocked="")]
    told = {each.code for each in found(held("EUR_USD"), brokers=silent)}
    assert told == {"GROSS_LEVERAGE", "OPEN_RISK", "DAILY_LOSS"}


def test_a_daily_loss_refuses_entries_only_beyond_its_limit() -> None:
    for realised, codes in ((D(-250), []), (D(-350), ["DAILY_LOSS"])):  # of a balance of 10,000 now, limit 3 %
        brokers = [BrokerStake(broker_id=OANDA, account=ACCOUNT, realised=realised, entries_blocked="")]
        assert [each.code for each in found(brokers=brokers)] == codes


def test_a_latch_and_a_difference_come_first_and_a_drawdown_is_told_once() -> None:
    latch = KillState(level=KillLevel.PAUSE, by="daemon", cause=KillCause.DRAWDOWN, reason="15 %", at=START)
    blocked = [BrokerStake(broker_id=OANDA, account=ACCOUNT, realised=D(0), entries_blocked="oanda: 1 difference")]
    fallen = replace(SNAPSHOT, equity=D(8_000))

    told = obstacles(
        report(held("EUR_USD"), latches=[latch], brokers=blocked, snapshot=fallen), REGISTRY, [held("EUR_USD")]
    )

    assert [each.code for each in told] == ["KILL_SWITCH", "RECONCILING", "TASK_HAS_POSITION"]
    assert told[0].entries == "every entry"
    assert "PAUSE" in told[0].says
    assert told[2].entries == "a second entry of task-1"
