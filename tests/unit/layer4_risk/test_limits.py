"""Limits over all that is at stake: each refuses alone, and names value, bound and next step."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from bot.differences import ForeignStake
from bot.instruments import BINANCE, IG, OANDA, BrokerId, Symbol
from bot.layer4_risk.stakes import PastEntry, of_approved
from bot.models import (
    ApprovedOrder,
    Direction,
    OrderRole,
    OrderState,
    Position,
    PositionId,
    Refused,
    Side,
    StrategyName,
    TaskId,
)
from tests.builders import approved_order, at, endorsed, position
from tests.unit.layer4_risk.test_exposure import entry
from tests.unit.layer4_risk.test_manager import manager, view

D = Decimal


def held(number: int, direction: Direction = Direction.LONG, **changes: Any) -> Position:
    """10,000 EUR_USD at 1.10 with 50 USD at risk: 1.1 times the equity of the view."""
    standard: dict[str, Any] = {
        "id": PositionId(f"p{number}"),
        "task_id": TaskId(f"t{number}"),
        "quantity": D(10_000),
        "first_quantity": D(10_000),
        "mark_price": D("1.10"),
        "stop_price": D("1.10") - direction.sign * D("0.005"),
    }
    return position(direction, **{**standard, **changes})


def entries(
    count: int, *, minutes_ago: float = 0.5, notional: int = 1_000, broker_id: BrokerId = OANDA
) -> dict[str, Any]:
    stake = of_approved(approved_order(broker_id=broker_id, quantity=D(notional), decided_price=D(1)))
    return {"entries": (PastEntry(at=at(-minutes_ago), stake=stake),) * count}


def foreign(symbol: str = "EUR_USD", quantity: str = "10000", broker_id: BrokerId = OANDA) -> ForeignStake:
    return ForeignStake(
        broker_id=broker_id,
        symbol=Symbol(symbol),
        direction=Direction.LONG,
        quantity=D(quantity),
        price=D("1.1"),
        value_per_point=D(1),
    )


@pytest.mark.parametrize(
    ("code", "limits", "seen"),
    [
        ("MAX_OPEN_POSITIONS", {"max_open_positions_oanda": 1}, {"positions": (held(1, Direction.SHORT),)}),
        ("MAX_OPEN_POSITIONS", {"max_open_positions_oanda": 1}, {"foreign": (foreign("XAU_USD"),)}),
        ("MAX_OPEN_POSITIONS", {"max_open_positions_oanda": 1}, {"reserved": (approved_order(task_id=TaskId("t")),)}),
        ("CORRELATED_EXPOSURE", {"max_correlated_exposure_oanda": 1}, {"positions": (held(1),)}),
        ("CORRELATED_EXPOSURE", {"max_correlated_exposure": 1}, {"foreign": (foreign("GBP_USD"),)}),
        ("CORRELATED_EVERYWHERE", {"max_correlated_everywhere": 1}, {"positions": (held(1, broker_id=IG),)}),
        ("STRATEGY_POSITIONS", {"max_positions_per_strategy": 1}, {"positions": (held(1, broker_id=IG),)}),
        ("ENTRY_RATE", {"max_entries_per_minute": 2}, entries(2)),
        ("STRATEGY_RATE", {"max_entries_per_minute_strategy": 2}, entries(2, broker_id=BINANCE)),
        ("TURNOVER_HOUR", {"max_turnover_hour": 3}, entries(30, minutes_ago=59)),
        ("TURNOVER_DAY", {"max_turnover_day": 3}, entries(30, minutes_ago=1_439)),
        ("GROSS_LEVERAGE", {"max_gross_leverage": 2}, {"positions": (held(1, Direction.SHORT),)}),
        ("OPEN_RISK", {"max_open_risk_ratio": D("0.014")}, {"positions": (held(1, Direction.SHORT),)}),
        ("CURRENCY_EXPOSURE", {"max_currency_exposure": 2}, {"positions": (held(1, broker_id=IG),)}),
        ("ORDER_NOTIONAL", {"max_order_notional": 2}, {}),
    ],
)
def test_each_limit_refuses_alone_with_value_bound_and_next_step(
    code: str, limits: dict[str, Any], seen: dict[str, Any]
) -> None:
    assert isinstance(manager().decide(endorsed(), view(**seen)), ApprovedOrder)
    refused = manager(**limits).decide(endorsed(), view(**seen))
    assert isinstance(refused, Refused)
    assert [each.code for each in refused.checks if not each.passed] == [code]
    failed = next(each for each in refused.checks if each.code == code and not each.passed)
    assert failed.used > failed.allowed
    assert refused.says == failed.says
    assert any(bound in refused.says for bound in ("of at most", "limit"))
    assert ";" in refused.says, "and what to do"


def test_a_task_waits_until_the_rest_of_its_last_entry_has_ended() -> None:
    closed = held(1, task_id=endorsed().signal.task_id)
    refused = manager().decide(endorsed(), view(orders=(entry(closed, OrderState.CANCEL_PENDING, "10000", "4000"),)))
    assert isinstance(refused, Refused)
    assert refused.code == "TASK_HAS_POSITION"


@pytest.mark.parametrize("minutes", [1, 60, 1_440])
def test_a_window_ends_to_the_moment(minutes: int) -> None:
    limits: dict[str, Any] = {"max_entries_per_minute": 1, "max_turnover_hour": D("2.2"), "max_turnover_day": D("2.2")}
    entry = entries(1, minutes_ago=minutes, notional=5_000)
    code = {1: "ENTRY_RATE", 60: "TURNOVER_HOUR", 1_440: "TURNOVER_DAY"}[minutes]
    refused = manager(**limits).decide(endorsed(), view(**entry))
    told = [each.code for each in refused.checks if not each.passed] if isinstance(refused, Refused) else []
    assert code not in told


def test_an_entry_that_makes_an_exceeded_exposure_smaller_is_not_refused_by_it() -> None:
    many = {"positions": tuple(held(each, broker_id=IG, quantity=D(30_000)) for each in range(3))}
    risk = manager(max_currency_exposure=5)
    assert isinstance(risk.decide(endorsed(Direction.LONG), view(**many)), Refused)
    assert isinstance(risk.decide(endorsed(Direction.SHORT), view(**many)), ApprovedOrder)


def test_an_entry_of_unknown_fate_makes_no_room_and_neither_does_an_exit() -> None:
    waiting = held(2, Direction.SHORT, broker_id=IG, quantity=D(0), first_quantity=D(0))
    short = entry(waiting, OrderState.UNKNOWN, "10000")
    closing = entry(held(1), OrderState.UNKNOWN, "10000", role=OrderRole.EXIT, side=Side.SELL)
    seen = {"positions": (held(1, broker_id=IG), waiting), "orders": (short, closing)}
    risk = manager(max_currency_exposure=3)
    assert isinstance(risk.decide(endorsed(), view()), ApprovedOrder)
    refused = risk.decide(endorsed(), view(**seen))
    assert isinstance(refused, Refused)
    assert refused.code == "CURRENCY_EXPOSURE"
    assert "net EUR long at all: worst case 3.24 x equity of at most 3.00 x equity, open now 1.10 x" in refused.says


def test_a_foreign_order_makes_no_room_and_a_foreign_position_does() -> None:
    there = replace(foreign(broker_id=IG), direction=Direction.SHORT)
    risk, ours = manager(max_currency_exposure=3), {"positions": (held(1, broker_id=IG),)}
    assert isinstance(risk.decide(endorsed(), view(**ours, foreign=(there,))), ApprovedOrder)
    assert isinstance(risk.decide(endorsed(), view(**ours, foreign=(replace(there, is_order=True),))), Refused)


def test_currencies_are_measured_against_the_equity_of_all_brokers() -> None:
    seen = {"positions": (held(1, broker_id=IG),), "total_equity": D(100_000)}
    assert isinstance(manager(max_currency_exposure=2).decide(endorsed(), view(**seen)), ApprovedOrder)


def test_the_currency_of_the_account_is_no_exposure_and_a_stable_coin_is_its_dollar() -> None:
    decided = manager(max_currency_exposure=D("0.001")).decide(endorsed(), view())
    assert isinstance(decided, Refused)
    assert "net EUR" in decided.says
    assert not [each for each in decided.checks if "net USD" in each.says]


def test_entries_on_their_way_take_the_margin_that_they_will_need() -> None:
    waiting = approved_order(
        task_id=TaskId("t"), quantity=D(260_000), decided_price=D("1.1"), strategy=StrategyName("other")
    )
    free, taken = manager().decide(endorsed(), view()), manager().decide(endorsed(), view(reserved=(waiting,)))
    assert isinstance(free, ApprovedOrder)
    assert isinstance(taken, ApprovedOrder)
    left = 10_000 - 260_000 * D("1.1") / 30
    assert taken.quantity * taken.decided_price <= left * 30 < free.quantity * free.decided_price


def test_a_broker_without_limit_of_its_own_for_a_group_has_the_general_one() -> None:
    settings: dict[str, Any] = {"max_correlated_exposure": 1, "max_correlated_exposure_oanda": 2}
    assert isinstance(manager(**settings).decide(endorsed(), view(positions=(held(1),))), ApprovedOrder)
    assert isinstance(manager(max_correlated_exposure=1).decide(endorsed(), view(positions=(held(1),))), Refused)


def test_an_account_that_has_lost_everything_opens_nothing() -> None:
    broke = view()
    assert broke.account is not None
    broke = replace(broke, account=replace(broke.account, equity=D(0)))
    decided = manager().decide(endorsed(), broke)
    assert isinstance(decided, Refused)
