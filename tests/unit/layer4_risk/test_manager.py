from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.config import ExitSettings, RiskSettings
from bot.instruments import Currency, InstrumentRegistry, default_registry
from bot.layer3_execution.exit_plans import divergence_plan
from bot.layer4_risk.conversion import Conversion
from bot.layer4_risk.limits import RiskView
from bot.layer4_risk.manager import RiskManager
from bot.models import (
    NOT_KILLED,
    AccountState,
    ApprovedOrder,
    Direction,
    KillCause,
    KillLevel,
    KillState,
    Position,
    PositionId,
    Refused,
    Side,
    TaskId,
)
from tests.builders import START, endorsed, instrument, position, quote, signal


def manager(registry: InstrumentRegistry | None = None, **risk: object) -> RiskManager:
    settings = RiskSettings(**risk)  # type: ignore[arg-type]
    return RiskManager(
        registry=registry or default_registry(),
        settings=settings,
        plan_of=partial(divergence_plan, settings=ExitSettings()),
        environment="d",
    )


def view(**changes: object) -> RiskView:
    account = AccountState(
        broker_id=signal().broker_id,
        currency=Currency("USD"),
        balance=Decimal(10_000),
        equity=Decimal(10_000),
        margin_used=Decimal(0),
        at=START,
    )
    standard = RiskView(
        now=START,
        account=account,
        positions=(),
        realised_today=Decimal(0),
        quote=quote(),
        kill=NOT_KILLED,
        entries_blocked="",
        conversion=Conversion(rate=Decimal(1), at=START, says=""),
    )
    return replace(standard, **changes)  # type: ignore[arg-type]


def other_position(number: int, direction: Direction = Direction.LONG) -> Position:
    return position(direction, id=PositionId(f"p{number}"), task_id=TaskId(f"task-{number}"))


def test_a_preview_is_what_would_be_decided_with_every_limit_and_permits_nothing() -> None:
    risk, refused_by = manager(), replace(NOT_KILLED, level=KillLevel.PAUSE, cause=KillCause.PAGE, by="ada")
    order = risk.decide(endorsed(), view())
    allowed = risk.preview(endorsed().signal, view())
    refused = risk.preview(endorsed().signal, view(kill=refused_by))

    assert isinstance(order, ApprovedOrder)
    assert (allowed.is_allowed, allowed.quantity, allowed.risk_amount) == (True, order.quantity, order.risk_amount)
    assert allowed.notional == order.quantity * order.decided_price * order.value_per_point
    assert all(each.passed for each in allowed.checks)
    assert {each.code for each in allowed.checks} >= {"KILL_SWITCH", "MAX_OPEN_POSITIONS", "GROSS_LEVERAGE"}
    assert (refused.is_allowed, refused.code, refused.quantity) == (False, "KILL_SWITCH", None)


def test_a_sound_signal_is_approved_with_its_stop_targets_and_risk() -> None:
    order = manager().decide(endorsed(), view())
    assert isinstance(order, ApprovedOrder)
    assert order.side is Side.BUY
    assert order.plan.stop == Decimal("1.0950")
    assert [each.fraction for each in order.plan.targets] == [Decimal("0.5"), Decimal("0.5")]
    assert order.risk_amount <= 100


@pytest.mark.parametrize(
    ("direction", "bound"),
    [(Direction.LONG, "1.10137"), (Direction.SHORT, "1.09863")],  # a quarter of 51 pips from 1.1001, or 1.0999
)
def test_an_entry_may_fill_worse_than_decided_by_a_quarter_of_the_way_to_its_stop(
    direction: Direction, bound: str
) -> None:
    order = manager().decide(endorsed(direction), view())
    assert isinstance(order, ApprovedOrder)
    assert order.price_bound == Decimal(bound)


@given(
    direction=st.sampled_from(list(Direction)),
    ticks=st.integers(min_value=109_900, max_value=110_100),
    ratio=st.decimals(min_value="0.001", max_value=1, places=3),
)
def test_the_worst_price_is_on_a_tick_not_before_the_decided_one_and_never_beyond_what_the_setting_allows(
    direction: Direction, ticks: int, ratio: Decimal
) -> None:
    bid = ticks * instrument().tick
    asked = view(quote=quote(str(bid), str(bid + Decimal("0.0001"))))
    order = manager(max_entry_slippage_ratio=ratio).decide(endorsed(direction), asked)

    assert isinstance(order, ApprovedOrder)
    worse = direction.sign * (order.price_bound - order.decided_price)
    assert order.price_bound % instrument().tick == 0
    assert 0 <= worse <= ratio * abs(order.decided_price - order.plan.stop)


def test_a_short_whose_stop_is_far_above_it_still_asks_for_a_price() -> None:
    far = endorsed(Direction.SHORT, stop_loss=Decimal("2.4000"))
    order = manager(max_entry_slippage_ratio=1).decide(far, view())
    assert isinstance(order, ApprovedOrder)
    assert order.price_bound == instrument().tick


def test_the_same_signal_approved_twice_has_the_same_order_id() -> None:
    first, second = manager().decide(endorsed(), view()), manager().decide(endorsed(), view())
    assert isinstance(first, ApprovedOrder)
    assert isinstance(second, ApprovedOrder)
    assert first.client_order_id == second.client_order_id
    assert len(first.client_order_id) <= 24


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("KILL_SWITCH", {"kill": replace(NOT_KILLED, level=KillLevel.PAUSE)}),
        ("RECONCILING", {"entries_blocked": "oanda is not reconciled yet"}),
        ("ACCOUNT", {"account": None}),
        ("CONVERSION", {"conversion": Conversion(rate=None, at=START, says="no price of GBP_USD")}),
        ("STALE_QUOTE", {"quote": None}),
        ("STALE_QUOTE", {"quote": quote(at=START - timedelta(days=1))}),
        ("STALE_SIGNAL", {"now": START + timedelta(days=1), "quote": quote(at=START + timedelta(days=1))}),
        ("CROSSED_QUOTE", {"quote": quote("1.1001", "1.0999")}),
        ("CROSSED_QUOTE", {"quote": quote("0", "1.1001")}),
        ("CROSSED_QUOTE", {"quote": quote("NaN", "1.1001")}),
        ("WIDE_SPREAD", {"quote": quote("1.0980", "1.1020")}),
        ("PRICE_COLLAR", {"quote": quote("11.000", "11.001")}),
        ("PRICE_COLLAR", {"last_close": Decimal("1.2000")}),
        ("PRICE_COLLAR", {"last_close": Decimal(0)}),
        ("TASK_HAS_POSITION", {"positions": (position(),)}),
        ("MAX_OPEN_POSITIONS", {"positions": tuple(other_position(each) for each in range(5))}),
        ("CORRELATED_EXPOSURE", {"positions": tuple(other_position(each) for each in range(3))}),
        ("DAILY_LOSS", {"realised_today": Decimal(-400)}),
    ],
)
def test_each_limit_refuses_alone_and_says_why(code: str, changes: dict[str, object]) -> None:
    refused = manager().decide(endorsed(), view(**changes))
    assert isinstance(refused, Refused)
    assert refused.code == code
    assert refused.says
    assert next(each.code for each in refused.checks if not each.passed) == code
    assert {"KILL_SWITCH", "DAILY_LOSS", "MAX_OPEN_POSITIONS"} <= {each.code for each in refused.checks}


def test_a_venue_that_sells_only_what_is_held_is_not_asked_to_sell_short() -> None:
    spot = view(allows_short=False)
    refused = manager().decide(endorsed(Direction.SHORT), spot)
    assert isinstance(refused, Refused)
    assert (refused.code, refused.says) == (
        "NO_SHORT",
        "oanda sells nothing that is not held; EUR_USD can only be bought there",
    )
    assert isinstance(manager().decide(endorsed(Direction.SHORT), view()), ApprovedOrder)
    assert isinstance(manager().decide(endorsed(Direction.LONG), spot), ApprovedOrder)


def test_a_refusal_by_the_kill_switch_names_level_person_way_and_reason() -> None:
    pressed = KillState(level=KillLevel.HALT, by="ada", cause=KillCause.PAGE, reason="looks wrong", at=START)
    refused = manager().decide(endorsed(), view(kill=pressed))
    assert isinstance(refused, Refused)
    assert refused.says == "HALT by ada (page), 2024-01-02 00:00:00 UTC: looks wrong"


def test_positions_in_the_other_direction_do_not_count_as_correlated() -> None:
    shorts = tuple(other_position(each, Direction.SHORT) for each in range(3))
    assert isinstance(manager().decide(endorsed(), view(positions=shorts)), ApprovedOrder)


def test_a_pending_entry_counts_like_an_open_position() -> None:
    pending = position(first_quantity=Decimal(0), quantity=Decimal(0))
    refused = manager().decide(endorsed(), view(positions=(pending,)))
    assert isinstance(refused, Refused)
    assert refused.code == "TASK_HAS_POSITION"


def test_an_account_too_small_for_the_minimum_is_refused_with_the_minimum() -> None:
    poor = view()
    assert poor.account is not None
    poor = replace(poor, account=replace(poor.account, equity=Decimal("0.001")))
    refused = manager().decide(endorsed(), poor)
    assert isinstance(refused, Refused)
    assert refused.code == "SIZE_BELOW_MINIMUM"
    assert "minimum of 1" in refused.says


def test_a_size_below_the_least_notional_is_refused_with_the_value_the_bound_and_what_to_do() -> None:
    dear = InstrumentRegistry([instrument(min_notional=Decimal(50_000))])
    refused = manager(dear).decide(endorsed(), view())
    assert isinstance(refused, Refused)
    assert refused.code == "SIZE_BELOW_MINIMUM"
    assert "USD, and the venue takes no order below 50000 USD" in refused.says
    assert refused.says.endswith("trade it with a larger account")


@pytest.mark.parametrize("direction", list(Direction))
def test_a_price_that_has_passed_the_stop_is_refused_and_not_sized_by_the_distance_behind_it(
    direction: Direction,
) -> None:
    away = signal(direction).stop_loss
    assert away is not None
    passed = away - direction.sign * Decimal("0.0001")
    refused = manager().decide(endorsed(direction), view(quote=quote(str(passed), str(passed))))
    assert isinstance(refused, Refused)
    assert refused.code == "STOP_PASSED"
