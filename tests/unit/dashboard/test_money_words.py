"""An amount of money reads the same wherever a person meets it."""

from decimal import Decimal

import pytest

from bot.dashboard.views.text import money, signed
from bot.instruments import to_cents


@pytest.mark.parametrize(
    ("amount", "cents"),
    [
        ("10012.4", "10012.40"),
        ("0.125", "0.13"),
        ("-0.125", "-0.13"),
        ("0.135", "0.14"),
        ("-0.004", "0.00"),
        ("100032.0849999999999999", "100032.08"),
        ("123456789012345678901234567890.005", "123456789012345678901234567890.01"),
    ],
)
def test_a_half_cent_goes_away_from_nothing_whatever_digits_a_venue_gives(amount: str, cents: str) -> None:
    assert str(to_cents(Decimal(amount))) == cents


def test_a_result_has_its_sign_unless_it_is_nothing_to_the_cent() -> None:
    assert [signed(Decimal(each)) for each in ("0.125", "-1234.565", "-0.004", "0")] == [
        "+0.13",
        "−1,234.57",
        "0.00",
        "0.00",
    ]
    assert (money(Decimal("-0.004")), money(Decimal("NaN")), money(None)) == ("0.00", "NaN", "–")
