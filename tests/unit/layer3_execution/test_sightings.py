"""What an answer about a balance depends on: its range, the same in every run."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.layer3_execution.sightings import span_of


@pytest.mark.parametrize(
    ("quantity", "span"),
    [
        ("0.00010", "from 0.000076 to 0.00016"),
        ("0.5", "from 0.36 to 0.76"),
        ("0.8", "from 0.76 to 1.6"),
        ("1", "from 0.76 to 1.6"),
        ("9", "from 7.6 to 16"),
        ("15.99", "from 7.6 to 16"),
        ("16", "from 16 to 36"),
        ("1000", "from 760 to 1600"),
    ],
)
def test_a_balance_counts_as_the_same_within_its_range(quantity: str, span: str) -> None:
    assert span_of(Decimal(quantity)) == span


@given(st.decimals(min_value="1e-12", max_value="1e12", allow_nan=False, places=12).filter(lambda each: each > 0))
def test_every_quantity_lies_in_its_range_which_ends_at_about_twice_its_beginning(quantity: Decimal) -> None:
    begin, end = (Decimal(each) for each in span_of(quantity).removeprefix("from ").split(" to "))

    assert begin <= quantity < end
    assert 2 < end / begin < Decimal("2.3")


@given(digit=st.integers(1, 9), exponent=st.integers(-8, 8), dust=st.decimals(0, 5, places=4))
def test_what_fees_leave_behind_carries_no_round_quantity_over_a_border(
    digit: int, exponent: int, dust: Decimal
) -> None:
    quantity = Decimal(digit).scaleb(exponent)

    assert span_of(quantity) == span_of(quantity * (1 + dust / 100))
