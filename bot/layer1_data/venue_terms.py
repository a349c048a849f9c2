"""Our description of an instrument against its venue's: what is taken over, and what must not be traded on (M5)."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Final

from bot.instruments import BrokerId, Instrument, Symbol
from bot.layer1_data.broker_interface import VenueTerms

_OTHER_PRICE_SCALE: Final = 10  # a tick that much coarser is no precision any more: prices in cents, or of a bundle
NEXT_STEP: Final = "compare with the venue's contract specification, correct bot/instruments.py, and start again"


def refreshed(instrument: Instrument, terms: VenueTerms) -> Instrument:
    """`instrument` with the precision that its venue demands today."""
    return replace(
        instrument,
        tick=terms.tick,
        quantity_step=terms.quantity_step,
        min_quantity=terms.min_quantity,
        contract_size=terms.contract_size,
    )


def differences(instrument: Instrument, terms: VenueTerms) -> list[str]:
    """Where the venue's terms are not those of our registry, in words."""
    return [says for says, _ in _compared(instrument, terms)]


def money_fault(instrument: Instrument, terms: VenueTerms) -> str:
    """Why a quantity may be worth something else there than we count; empty if it is not.

    A finer tick or step and another least quantity are harmless: they are taken over.
    """
    return "; ".join(says for says, is_harmless in _compared(instrument, terms) if not is_harmless)


def _compared(instrument: Instrument, terms: VenueTerms) -> Iterator[tuple[str, bool]]:
    """Each difference, and whether it is harmless."""
    coarsest = instrument.tick * _OTHER_PRICE_SCALE
    rows: tuple[tuple[str, Decimal, Decimal, bool], ...] = (
        ("tick", instrument.tick, terms.tick, terms.tick < coarsest),
        (
            "quantity step",
            instrument.quantity_step,
            terms.quantity_step,
            terms.quantity_step < instrument.quantity_step,
        ),
        ("least quantity", instrument.min_quantity, terms.min_quantity, True),
        ("contract size", instrument.contract_size, terms.contract_size, False),
    )
    for name, ours, theirs, is_harmless in rows:
        if ours != theirs:
            yield f"{instrument.symbol} {name}: venue {theirs.normalize():f}, ours {ours.normalize():f}", is_harmless
    if terms.quote_currency not in (None, instrument.quote_currency):
        told = terms.quote_currency
        yield f"{instrument.symbol} quote currency: venue {told}, ours {instrument.quote_currency}", False


class VenueDescriptions:
    """What keeps entries out as far as descriptions go: what a venue counts otherwise, and one that has not said."""

    def __init__(self) -> None:
        self._silent: set[BrokerId] = set()
        self._faults: dict[BrokerId, dict[Symbol, str]] = {}

    @property
    def silent(self) -> frozenset[BrokerId]:
        """Venues that have described nothing yet."""
        return frozenset(self._silent)

    def expect(self, broker_id: BrokerId) -> None:
        """It was asked and has not answered."""
        self._silent.add(broker_id)

    def note(self, broker_id: BrokerId, instruments: Sequence[Instrument], terms: Sequence[VenueTerms]) -> None:
        """What it says of `instruments`, as our registry has them."""
        told = {each.symbol: each for each in terms}
        found = {each.symbol: money_fault(each, told[each.symbol]) for each in instruments if each.symbol in told}
        self._faults[broker_id] = {symbol: fault for symbol, fault in found.items() if fault}
        self._silent.discard(broker_id)

    def blocked(self, broker_id: BrokerId, symbol: Symbol | None = None) -> str:
        """Why nothing of `symbol` (None: of any) is opened there; empty if it may be."""
        if broker_id in self._silent:
            return f"{broker_id} has not described its instruments yet; it is asked again by itself"
        faults = self._faults.get(broker_id, {})
        told = [fault for name, fault in faults.items() if symbol in (None, name)]
        if not told:
            return ""
        return f"{broker_id}: {'; '.join(told)}: nothing is opened in it, exits go on; {NEXT_STEP}"
