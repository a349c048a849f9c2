"""An order that is not what it should be is found from the order itself, whoever sized it."""

from decimal import Decimal
from typing import Any

import pytest

from bot.config import RiskSettings
from bot.layer4_risk.order_checks import order_checks
from bot.models import ApprovedOrder
from tests.builders import approved_order, instrument, plan

D = Decimal
FREE = D(10_000)


def euro(quantity: str) -> ApprovedOrder:
    """So many EUR_USD at 1.10 with a stop 50 pips away; 19,800 of them lose the budget of 100 with costs."""
    return approved_order(quantity=D(quantity), decided_price=D("1.10"), plan=plan(stop=D("1.095")))


def failing(order: ApprovedOrder, *, free: Decimal = FREE, **changes: Any) -> list[str]:
    checks = order_checks(order, instrument(**changes), D(10_000), free, D(1), RiskSettings())
    return [each.code for each in checks if not each.passed]


def test_an_order_of_the_right_size_passes_all() -> None:
    assert failing(euro("19800")) == []


@pytest.mark.parametrize(
    ("order", "changes", "codes"),
    [
        (euro("20000"), {}, ["ORDER_RISK"]),
        (euro("19800"), {"contract_size": D(2)}, ["ORDER_RISK"]),
        (euro("19800"), {"contract_size": D(100)}, ["ORDER_NOTIONAL", "LEVERAGE", "ORDER_RISK"]),
        (euro("19800"), {"max_leverage": D(2)}, ["LEVERAGE"]),
        (euro("19800"), {"free": D(700)}, ["LEVERAGE"]),
        (euro("19800"), {"free": D(-1)}, ["LEVERAGE"]),
    ],
)
def test_a_wrong_size_or_contract_size_is_refused(
    order: ApprovedOrder, changes: dict[str, Any], codes: list[str]
) -> None:
    assert failing(order, **changes) == codes


def test_the_refusal_names_what_was_multiplied_the_bound_and_the_next_step() -> None:
    wrong = instrument(contract_size=D(100))
    first = next(iter(order_checks(euro("19800"), wrong, D(10_000), FREE, D(1), RiskSettings())))
    assert first.says == (
        "EUR_USD: 19800 x 1.10 x contract size 100 is 2178000.00, limit 30 x equity 10000.00 (MAX_ORDER_NOTIONAL); "
        "compare the contract size with the venue's"
    )
