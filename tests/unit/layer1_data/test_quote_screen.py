"""Quotes against the quotes before them: what one bad tick may not do (fault M1)."""

from datetime import timedelta
from decimal import Decimal

import pytest

from bot.instruments import InstrumentRegistry
from bot.layer1_data.quality import QuoteScreen
from tests.builders import START, instrument, quote


@pytest.fixture
def screen() -> QuoteScreen:
    return QuoteScreen(InstrumentRegistry([instrument()]), max_age=timedelta(seconds=60))


@pytest.mark.parametrize("factor", ["10", "0.1", "0", "-1", "NaN", "Infinity"])
def test_one_bad_tick_is_never_believed(screen: QuoteScreen, factor: str) -> None:
    screen.fault(quote(), now=START)
    wrong = quote(str(Decimal("1.0999") * Decimal(factor)), str(Decimal("1.1001") * Decimal(factor)))

    assert screen.fault(wrong, now=START)
    assert screen.fault(quote(), now=START) == ""


def test_a_gap_is_believed_with_the_second_quote_that_shows_it(screen: QuoteScreen) -> None:
    screen.fault(quote(), now=START)
    gap = quote("0.8000", "0.8002")

    assert "jumps from 1.1000 to 0.8001" in screen.fault(gap, now=START)
    assert screen.fault(gap, now=START) == ""


def test_two_different_bad_ticks_do_not_prove_each_other(screen: QuoteScreen) -> None:
    screen.fault(quote(), now=START)

    assert screen.fault(quote("10.999", "11.001"), now=START)
    assert screen.fault(quote("0.10999", "0.11001"), now=START)


def test_the_first_quote_is_held_against_a_price_that_is_known_from_elsewhere(screen: QuoteScreen) -> None:
    assert "jumps" in screen.fault(quote("10.999", "11.001"), now=START, known=Decimal("1.1"))
    assert screen.fault(quote(), now=START, known=Decimal("1.1")) == ""


def test_a_quote_from_before_the_newest_one_is_not_acted_on(screen: QuoteScreen) -> None:
    screen.fault(quote(at=START), now=START)

    assert "older" in screen.fault(quote(at=START - timedelta(seconds=2)), now=START)
    assert screen.fault(quote(at=START - timedelta(seconds=1)), now=START) == ""
