"""Quotes against the quotes before them: what one bad tick may not do (fault M1)."""

from datetime import timedelta
from decimal import Decimal

import pytest

from bot.instruments import InstrumentRegistry
from bot.layer1_data.quality import QuoteScreen
from tests.builders import START, instrument, quote

SECOND = timedelta(seconds=1)


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
    gap, again = quote("0.8000", "0.8002"), quote("0.8000", "0.8002", at=START + SECOND)

    assert "jumps from 1.1000 to 0.8001" in screen.fault(gap, now=START)
    assert screen.fault(again, now=START + SECOND) == ""


def test_a_bad_tick_that_is_told_twice_does_not_prove_itself(screen: QuoteScreen) -> None:
    screen.fault(quote(), now=START)
    bad, true = quote("0.8000", "0.8002"), quote(at=START + SECOND)

    assert "jumps" in screen.fault(bad, now=START)
    assert "jumps" in screen.fault(bad, now=START)
    assert screen.fault(true, now=START + SECOND) == ""


@pytest.mark.parametrize("between", [("NaN", "NaN"), ("1.2000", "1.1000")], ids=["no price", "crossed"])
def test_two_bad_ticks_with_another_quote_between_them_do_not_prove_each_other(
    screen: QuoteScreen, between: tuple[str, str]
) -> None:
    screen.fault(quote(), now=START)
    later = [quote("0.8000", "0.8002", at=START + number * SECOND) for number in range(3)]

    assert "jumps" in screen.fault(later[0], now=START)
    assert screen.fault(quote(*between, at=START + SECOND), now=START + SECOND)
    assert "jumps" in screen.fault(later[2], now=START + 2 * SECOND)


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
