"""Our description of an instrument against its venue's (RELIABILITY M5): what is taken over, what keeps entries out."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from bot.entry_gate import EntryGate
from bot.instruments import BINANCE, OANDA, Currency, Instrument, Symbol, default_registry
from bot.layer1_data.broker_interface import VenueTerms
from bot.layer1_data.venue_terms import VenueDescriptions, differences, money_fault, refreshed
from bot.layer3_execution.reconcile_report import ReconcileReport

D = Decimal
BTC = default_registry().get("BTC/USDT")
ETH = default_registry().get("ETH/USDT")


def terms(**changes: Any) -> VenueTerms:
    """As our registry has BTC/USDT."""
    same = VenueTerms(
        symbol=BTC.symbol,
        tick=BTC.tick,
        quantity_step=BTC.quantity_step,
        min_quantity=BTC.min_quantity,
        min_notional=BTC.min_notional,
        contract_size=BTC.contract_size,
        is_open=True,
        says="TRADING",
        quote_currency=BTC.quote_currency,
    )
    return replace(same, **changes)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"contract_size": D(10)}, "BTC/USDT contract size: venue 10, ours 1"),
        ({"contract_size": D("0.1")}, "BTC/USDT contract size: venue 0.1, ours 1"),
        ({"quantity_step": D("0.001")}, "BTC/USDT quantity step: venue 0.001, ours 0.00001"),
        ({"tick": D("0.1")}, "BTC/USDT tick: venue 0.1, ours 0.01"),
        ({"quote_currency": Currency("USDC")}, "BTC/USDT quote currency: venue USDC, ours USDT"),
    ],
)
def test_what_changes_the_worth_of_a_quantity_is_a_fault_with_both_values(changes: dict[str, Any], says: str) -> None:
    assert money_fault(BTC, terms(**changes)) == says
    assert differences(BTC, terms(**changes)) == [says]


@pytest.mark.parametrize(
    "changes",
    [
        {"tick": D("0.05")},
        {"quantity_step": D("0.0001")},
        {"min_quantity": D("0.001")},
        {"min_quantity": D("0.000001")},
        {"min_notional": D(10)},
        {"min_notional": D(1)},
    ],
    ids=str,
)
def test_what_only_changes_precision_is_told_and_taken_over(changes: dict[str, Any]) -> None:
    found = terms(**changes)

    assert money_fault(BTC, found) == ""
    assert len(differences(BTC, found)) == 1
    assert differences(refreshed(BTC, found), found) == []


@pytest.mark.parametrize("changes", [{"tick": D("0.001")}, {"quantity_step": D("0.000001")}, {"tick": D(0)}], ids=str)
def test_a_finer_grid_is_told_and_not_used_because_the_adapter_holds_orders_to_ours(changes: dict[str, Any]) -> None:
    found = terms(**changes)

    assert money_fault(BTC, found) == ""
    assert len(differences(BTC, found)) == 1
    assert refreshed(BTC, found) == BTC


@pytest.mark.parametrize("instrument", default_registry().of_broker(OANDA), ids=lambda each: each.symbol)
def test_an_account_that_deals_in_whole_units_only_is_no_fault(instrument: Instrument) -> None:
    """`tradeUnitsPrecision` is 0 for most instruments of OANDA, and differs by account and division."""
    found = terms(symbol=instrument.symbol, tick=instrument.tick, quantity_step=D(1), min_quantity=D(1))

    assert money_fault(instrument, replace(found, quote_currency=None)) == ""
    assert refreshed(instrument, found).quantity_step == 1


def test_a_venue_that_does_not_tell_its_quote_currency_is_no_fault() -> None:
    assert differences(BTC, terms(quote_currency=None)) == []


def gate(descriptions: VenueDescriptions) -> EntryGate:
    """Every venue agrees with our record."""
    reports = {each: ReconcileReport(each) for each in (BINANCE, OANDA)}
    assert all(each.clean for each in reports.values())
    return EntryGate(reports, descriptions=descriptions)


def test_only_entries_of_the_symbol_at_fault_are_blocked_with_the_next_step() -> None:
    descriptions = VenueDescriptions()
    told = [terms(contract_size=D(10)), terms(symbol=ETH.symbol, tick=ETH.tick, quantity_step=ETH.quantity_step)]

    descriptions.note(BINANCE, [BTC, ETH], told)

    blocked = gate(descriptions).blocked(BINANCE, BTC.symbol)
    assert blocked.startswith("binance: BTC/USDT contract size: venue 10, ours 1: nothing is opened in it, exits go on")
    assert blocked.endswith("correct bot/instruments.py, and start again")
    assert gate(descriptions).blocked(BINANCE) == blocked, "whoever asks about the venue as a whole is told, too"
    assert gate(descriptions).blocked(BINANCE, ETH.symbol) == ""
    assert gate(descriptions).blocked(OANDA, Symbol("EUR_USD")) == ""


def test_nothing_is_opened_at_a_venue_that_has_not_described_its_instruments_until_it_does() -> None:
    descriptions = VenueDescriptions()
    descriptions.expect(BINANCE)
    assert "binance has not described its instruments yet" in gate(descriptions).blocked(BINANCE, BTC.symbol)

    descriptions.note(BINANCE, [BTC], [terms()])

    assert descriptions.silent == frozenset()
    assert gate(descriptions).blocked(BINANCE) == ""


def test_what_a_venue_says_later_counts_instead_of_what_it_said_before() -> None:
    descriptions = VenueDescriptions()
    descriptions.note(BINANCE, [BTC], [terms(contract_size=D(10))])

    descriptions.note(BINANCE, [BTC], [terms()])

    assert gate(descriptions).blocked(BINANCE) == ""


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"tick": D("0.05")}, "tick: venue 0.05, ours 0.01"),
        ({"quantity_step": D("0.0001")}, "quantity step: venue 0.0001, ours 0.00001"),
        ({"min_quantity": D("0.001")}, "least quantity: venue 0.001, ours 0.00001"),
        ({"min_notional": D(10)}, "least notional: venue 10, ours 5"),
    ],
)
def test_what_a_late_description_demands_keeps_entries_out_until_a_start_takes_it_over(
    changes: dict[str, Any], says: str
) -> None:
    """An entry would be taken and its stop refused: the grid of what is traded is known at the start only."""
    descriptions = VenueDescriptions()
    descriptions.expect(BINANCE)

    descriptions.note_late(BINANCE, [BTC], [terms(**changes)])

    blocked = gate(descriptions).blocked(BINANCE, BTC.symbol)
    assert blocked.startswith(f"binance: BTC/USDT {says}: nothing is opened in it, exits go on; start again")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tick": D("0.001")},
        {"quantity_step": D("0.000001")},
        {"min_quantity": D("0.000001")},
        {"min_notional": D(1)},
    ],
    ids=str,
)
def test_a_late_description_that_our_orders_fit_opens_the_venue(changes: dict[str, Any]) -> None:
    descriptions = VenueDescriptions()
    descriptions.expect(BINANCE)

    descriptions.note_late(BINANCE, [BTC], [terms(**changes)])

    assert gate(descriptions).blocked(BINANCE) == ""


def test_a_late_description_tells_each_symbol_once_with_the_step_that_helps_it() -> None:
    descriptions = VenueDescriptions()

    descriptions.note_late(BINANCE, [BTC, ETH], [terms(contract_size=D(10), tick=D("0.05"))])

    assert "correct bot/instruments.py" in descriptions.blocked(BINANCE, BTC.symbol)
    assert "a start" not in descriptions.blocked(BINANCE, BTC.symbol)
    assert descriptions.blocked(BINANCE, ETH.symbol).startswith("binance: ETH/USDT is not offered: nothing is opened")
