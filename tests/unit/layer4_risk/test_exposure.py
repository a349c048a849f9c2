"""Limits used and exposure: signs, currencies, and the worst case."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from bot.config import RiskSettings
from bot.differences import ForeignStake
from bot.instruments import BINANCE, OANDA, Currency, Symbol, default_registry
from bot.layer4_risk.exposure import BrokerStake, RiskReport, StakeView, risk_report
from bot.layer4_risk.net_exposure import Exposure
from bot.layer4_risk.stakes import PastEntry, of_stored
from bot.models import (
    AccountState,
    ClientOrderId,
    Direction,
    KillCause,
    KillLevel,
    KillState,
    Order,
    OrderKind,
    OrderRole,
    OrderState,
    PortfolioSnapshot,
    Position,
    PositionId,
    Side,
)
from tests.builders import START, position

D = Decimal


def euro(**changes: Any) -> Position:
    """10,000 EUR_USD at 1.10, stop 50 pips away."""
    standard: dict[str, Any] = {
        "quantity": D(10_000),
        "first_quantity": D(10_000),
        "mark_price": D("1.10"),
        "entry_price": D("1.10"),
        "stop_price": D("1.095"),
    }
    return position(changes.pop("direction", Direction.LONG), **{**standard, **changes})


def bitcoin(**changes: Any) -> Position:
    """A short of 0.1 BTC at 60,000, stop at 61,000."""
    return position(
        Direction.SHORT,
        **{
            "id": PositionId("btc"),
            "symbol": Symbol("BTC/USDT"),
            "broker_id": BINANCE,
            "quantity": D("0.1"),
            "first_quantity": D("0.1"),
            "mark_price": D(60_000),
            "stop_price": D(61_000),
            **changes,
        },
    )


def entry(of: Position, state: OrderState, quantity: str, filled: str = "0", **changes: Any) -> Order:
    standard = Order(
        client_order_id=ClientOrderId(f"entry of {of.id}"),
        position_id=of.id,
        signal_id=of.signal_id,
        task_id=of.task_id,
        broker_id=of.broker_id,
        symbol=of.symbol,
        role=OrderRole.ENTRY,
        side=Side.opening(of.direction),
        kind=OrderKind.MARKET,
        quantity=D(quantity),
        price=None,
        state=state,
        reason="ENTRY",
        created_at=START,
        updated_at=START,
        filled_quantity=D(filled),
    )
    return replace(standard, **changes)


def account(balance: str = "9800") -> AccountState:
    return AccountState(
        broker_id=OANDA,
        currency=Currency("USD"),
        balance=D(balance),
        equity=D(balance),
        margin_used=D(0),
        at=START,
    )


def report(*positions: Position, **changes: Any) -> RiskReport:
    stakes = [
        BrokerStake(broker_id=OANDA, account=account(), realised=D(-200), entries_blocked=""),
        BrokerStake(broker_id=BINANCE, account=None, realised=D(0), entries_blocked="not reconciled"),
    ]
    view = StakeView(
        at=START,
        settings=RiskSettings(),
        positions=positions,
        orders=(),
        reserved=(),
        foreign=(),
        entries=(),
        brokers=stakes,
        latches=(),
        snapshot=None,
        session_day_began_at=START,
    )
    return risk_report(replace(view, **changes), default_registry())


def foreign(**changes: Any) -> ForeignStake:
    """A long of 2 that somebody else opened."""
    standard = ForeignStake(
        broker_id=OANDA,
        symbol=Symbol("XAU_USD"),
        direction=Direction.LONG,
        quantity=D(2),
        price=D(2_300),
        value_per_point=D(1),
        is_unbounded=True,
    )
    return replace(standard, **changes)


def snapshot_of(equity: Decimal) -> PortfolioSnapshot:
    return PortfolioSnapshot(at=START, equity=equity, balance=equity, open_positions=1, peak=D(10_000))


def worst(rows: tuple[Exposure, ...] | Any) -> dict[str, Decimal]:
    return {each.name: each.worst for each in rows}


def test_a_long_pair_is_long_its_base_and_short_its_quote_in_account_currency() -> None:
    found = report(euro())
    assert {each.name: each.open for each in found.currencies} == {"EUR": D(11_000), "USD": D(-11_000)}
    assert (found.gross_open, found.gross_worst) == (D(11_000), D(11_000))


def test_a_short_has_the_other_signs_and_value_per_point_makes_it_account_currency() -> None:
    found = report(bitcoin(value_per_point=D("0.9")))
    assert worst(found.currencies) == {"BTC": D(-5_400), "USDT": D(5_400)}
    assert worst(found.strategies) == {"divergence": D(-5_400)}


def test_opposite_positions_cancel_in_currency_and_group_but_not_in_gross() -> None:
    short = euro(direction=Direction.SHORT, id=PositionId("p2"), stop_price=D("1.105"))
    found = report(euro(), short)
    assert worst(found.currencies) == {"EUR": 0, "USD": 0}
    assert found.gross_open == 22_000
    assert [each.positions for each in found.currencies] == [2, 2]


@pytest.mark.parametrize(
    "state",
    [OrderState.INTENT, OrderState.SENDING, OrderState.UNKNOWN, OrderState.WORKING, OrderState.CANCEL_PENDING],
)
def test_a_pending_entry_counts_whole_in_the_worst_case_and_not_in_what_is_open(state: OrderState) -> None:
    pending = euro(quantity=D(0), first_quantity=D(0))
    found = report(pending, orders=(entry(pending, state, "10000"),))
    assert (found.gross_open, found.gross_worst) == (D(0), D(11_000))
    assert (found.risk_open, found.risk_worst) == (D(0), D(50))


def test_of_a_part_filled_entry_the_rest_is_added() -> None:
    part = euro(quantity=D(4_000), first_quantity=D(4_000))
    found = report(part, orders=(entry(part, OrderState.PARTIAL, "10000", "4000"),))
    assert (found.gross_open, found.gross_worst) == (D(4_400), D(11_000))


@pytest.mark.parametrize(
    "state",
    [OrderState.SENDING, OrderState.UNKNOWN, OrderState.WORKING, OrderState.PARTIAL, OrderState.CANCEL_PENDING],
)
def test_the_rest_of_an_entry_counts_by_what_was_approved_of_it_after_its_position_has_closed(
    state: OrderState,
) -> None:
    closed = euro(quantity=D(0), first_quantity=D(4_000), closed_at=START, risk_amount=D(50))
    rest = entry(closed, state, "10000", "4000")
    approved = PastEntry(at=START, stake=of_stored(rest, closed), position_id=closed.id, quantity=rest.quantity)
    found = report(orders=(rest,), entries=(approved,))
    assert (found.gross_open, found.gross_worst, found.risk_worst) == (D(0), D(6_600), D(30))
    assert next(each.used for each in found.limits if each.name == "positions") == 1
    assert report(orders=(), entries=(approved,)).gross_worst == 0


def test_an_exit_of_unknown_fate_has_closed_nothing_and_is_named() -> None:
    held = euro()
    closing = entry(held, OrderState.UNKNOWN, "10000", role=OrderRole.EXIT, side=Side.SELL)
    found = report(held, orders=(closing,))
    assert found.gross_worst == 11_000
    assert found.unknown_orders == ("EUR_USD exit sell 10000: UNKNOWN",)


def test_a_pending_short_makes_no_worst_case_smaller() -> None:
    waiting = euro(direction=Direction.SHORT, id=PositionId("p2"), quantity=D(0), first_quantity=D(0))
    found = report(euro(), waiting, orders=(entry(waiting, OrderState.UNKNOWN, "10000"),))
    assert worst(found.currencies) == {"EUR": D(11_000), "USD": D(-11_000)}
    assert worst(found.groups) == {"usd": D(11_000)}
    assert worst(found.strategies) == {"divergence": D(11_000)}
    assert [(each.open, each.lowest, each.highest) for each in found.groups] == [(D(11_000), D(0), D(11_000))]


def test_an_exit_of_unknown_fate_makes_no_worst_case_smaller() -> None:
    held = euro()
    closing = entry(held, OrderState.UNKNOWN, "10000", role=OrderRole.EXIT, side=Side.SELL)
    assert report(held, orders=(closing,)).currencies == report(held).currencies


def test_a_limit_in_money_tells_what_of_it_is_open_now() -> None:
    part = euro(quantity=D(4_000), first_quantity=D(4_000))
    seen = {"orders": (entry(part, OrderState.PARTIAL, "10000", "4000"),), "snapshot": snapshot_of(D(10_000))}
    told = {each.name: (each.open, each.used) for each in report(part, **seen).limits if each.scope in (OANDA, "all")}
    assert told["net EUR long"] == (D("0.44"), D("1.1"))
    assert told["gross leverage"] == (D(4_400) / 9_800, D(11_000) / 9_800)
    assert told["risk if all stops are hit"] == (D(20) / 9_800, D(50) / 9_800)
    assert told["positions"] == (None, D(1))


def test_what_is_lost_at_the_stops_is_counted_from_the_price_of_now_and_a_passed_stop_costs_nothing_more() -> None:
    found = report(euro(), bitcoin())
    assert found.risk_open == 50 + 100
    assert report(euro(mark_price=D("1.094"))).risk_open == 0


def test_limits_say_used_against_allowed_for_each_broker() -> None:
    found = report(euro(), euro(id=PositionId("p2")), bitcoin(), snapshot=snapshot_of(D(9_000)))
    told = {(each.name, each.scope): (each.used, each.allowed) for each in found.limits}
    assert told == {
        ("positions", OANDA): (2, 5),
        ("correlated: usd long", OANDA): (2, 3),
        ("gross leverage", OANDA): (D(22_000) / 9_800, 30),
        ("risk if all stops are hit", OANDA): (D(100) / 9_800, D("0.10")),
        ("entries in a minute", OANDA): (0, 10),
        ("turnover in an hour", OANDA): (0, 60),
        ("turnover in 24 h", OANDA): (0, 300),
        ("daily loss", OANDA): (D("0.02"), D("0.03")),
        ("positions", BINANCE): (1, 2),
        ("correlated: crypto short", BINANCE): (1, 3),
        ("gross leverage", BINANCE): (None, 30),
        ("risk if all stops are hit", BINANCE): (None, D("0.10")),
        ("entries in a minute", BINANCE): (0, 10),
        ("turnover in an hour", BINANCE): (0, 60),
        ("turnover in 24 h", BINANCE): (0, 300),
        ("daily loss", BINANCE): (None, D("0.03")),
        ("correlated: crypto short", "all"): (1, 6),
        ("correlated: usd long", "all"): (2, 6),
        ("positions of a strategy", "divergence"): (3, 12),
        ("net BTC short", "all"): (D(6_000) / 9_000, 30),
        ("net EUR long", "all"): (D(22_000) / 9_000, 30),
        ("drawdown", "all"): (D("0.1"), D("0.15")),
    }
    assert {each.share for each in found.limits if each.name == "positions"} == {D("0.4"), D("0.5")}


def test_before_the_first_snapshot_the_drawdown_is_not_known() -> None:
    assert [each.used for each in report().limits if each.name == "drawdown"] == [None]


def test_an_instrument_that_is_no_longer_registered_still_counts() -> None:
    found = report(euro(symbol=Symbol("GONE")))
    assert worst(found.currencies) == worst(found.groups) == {"GONE": D(11_000)}


def test_what_is_pressed_and_blocked_is_part_of_it() -> None:
    weak = KillState(level=KillLevel.PAUSE, by="daemon", cause=KillCause.DRAWDOWN, reason="", at=START)
    strong = replace(weak, level=KillLevel.HALT, cause=KillCause.PAGE, at=START + timedelta(hours=1))
    found = report(latches=(weak, strong))
    assert found.kill == strong
    assert found.latches == (weak, strong)
    assert found.entries_blocked == ("not reconciled",)


def test_what_somebody_else_has_open_is_named_as_a_loss_without_a_bound_and_no_figure_is_made_of_it() -> None:
    found = report(euro(), foreign=(foreign(), foreign(direction=Direction.SHORT, is_order=True)))
    assert found.unbounded == ("long 2 XAU_USD at oanda", "short 2 XAU_USD at oanda, if its order fills")
    assert (found.risk_open, found.risk_worst) == (D(50), D(50)), "that of our own position"


def test_what_a_stop_bounds_or_a_person_leaves_alone_is_not_named() -> None:
    assert report(foreign=(foreign(is_unbounded=False),)).unbounded == ()


def test_where_everything_open_is_ours_no_loss_is_without_a_bound() -> None:
    assert report(euro()).unbounded == ()
