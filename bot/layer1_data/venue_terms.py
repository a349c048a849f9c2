"""Our description of an instrument against its venue's: what is taken over, and what must not be traded on (M5)."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Final

from bot.instruments import BrokerId, Instrument, Symbol
from bot.layer1_data.broker_interface import VenueTerms

_OTHER_SCALE: Final = 10  # a tick that much coarser, or a step beyond it, is no precision any more: cents, or a bundle
NEXT_STEP: Final = "compare with the venue's contract specification, correct bot/instruments.py, and start again"
_START_AGAIN: Final = "start again: what the venue demands is taken over by a start"


def refreshed(instrument: Instrument, terms: VenueTerms) -> Instrument:
    """`instrument` with the precision that its venue demands today.

    A finer one is not used: the venue takes ours as well, and its adapter holds orders to ours.
    """
    return replace(
        instrument,
        tick=_common(instrument.tick, terms.tick),
        quantity_step=_common(instrument.quantity_step, terms.quantity_step),
        min_quantity=terms.min_quantity,
        min_notional=terms.min_notional,
        contract_size=terms.contract_size,
    )


def differences(instrument: Instrument, terms: VenueTerms) -> list[str]:
    """Where the venue's terms are not those of our registry, in words."""
    return [says for says, _ in _compared(instrument, terms)]


def money_fault(instrument: Instrument, terms: VenueTerms) -> str:
    """Why a quantity may be worth something else there than we count; empty if it is not.

    Another tick or step of the same scale, another least quantity and another least notional are harmless: what is
    coarser is taken over.
    """
    return "; ".join(says for says, is_harmless in _compared(instrument, terms) if not is_harmless)


def _common(ours: Decimal, theirs: Decimal) -> Decimal:
    """A grid that both take; a venue without one says 0."""
    return ours if not theirs or ours % theirs == 0 else theirs


def _compared(instrument: Instrument, terms: VenueTerms) -> Iterator[tuple[str, bool]]:
    """Each difference, and whether it is harmless."""
    coarsest_tick, coarsest_step = instrument.tick * _OTHER_SCALE, instrument.quantity_step * _OTHER_SCALE
    rows: tuple[tuple[str, Decimal, Decimal, bool], ...] = (
        ("tick", instrument.tick, terms.tick, terms.tick < coarsest_tick),
        ("quantity step", instrument.quantity_step, terms.quantity_step, terms.quantity_step <= coarsest_step),
        ("least quantity", instrument.min_quantity, terms.min_quantity, True),
        ("least notional", instrument.min_notional, terms.min_notional, True),
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
        self._stale: dict[BrokerId, dict[Symbol, str]] = {}

    @property
    def silent(self) -> frozenset[BrokerId]:
        """Venues that have described nothing yet."""
        return frozenset(self._silent)

    def expect(self, broker_id: BrokerId) -> None:
        """It was asked and has not answered."""
        self._silent.add(broker_id)

    def note(self, broker_id: BrokerId, instruments: Sequence[Instrument], terms: Sequence[VenueTerms]) -> None:
        """What it says of `instruments`, as our registry has them; what is harmless is taken over."""
        told = {each.symbol: each for each in terms}
        found = {each.symbol: money_fault(each, told[each.symbol]) for each in instruments if each.symbol in told}
        self._faults[broker_id] = {symbol: fault for symbol, fault in found.items() if fault}
        self._stale.pop(broker_id, None)
        self._silent.discard(broker_id)

    def note_late(self, broker_id: BrokerId, instruments: Sequence[Instrument], terms: Sequence[VenueTerms]) -> None:
        """As `note`, of instruments that trade already: what must be taken over keeps entries out until it can be."""
        self.note(broker_id, instruments, terms)
        told = {each.symbol: each for each in terms}
        found = {each.symbol: _not_taken_over(each, told.get(each.symbol)) for each in instruments}
        faults = self._faults[broker_id]
        self._stale[broker_id] = {symbol: why for symbol, why in found.items() if why and symbol not in faults}

    def blocked(self, broker_id: BrokerId, symbol: Symbol | None = None) -> str:
        """Why nothing of `symbol` (None: of any) is opened there; empty if it may be."""
        if broker_id in self._silent:
            return f"{broker_id} has not described its instruments yet; it is asked again by itself"
        parts = ((self._faults, NEXT_STEP), (self._stale, _START_AGAIN))
        told = [
            f"{'; '.join(found)}: nothing is opened in it, exits go on; {next_step}"
            for known, next_step in parts
            if (found := [why for name, why in known.get(broker_id, {}).items() if symbol in (None, name)])
        ]
        return f"{broker_id}: {'; '.join(told)}" if told else ""


def _not_taken_over(instrument: Instrument, terms: VenueTerms | None) -> str:
    """Why what fits our description would be refused, perhaps the stop of what was bought; empty if it would not."""
    if terms is None:
        return f"{instrument.symbol} is not offered"
    demanded = refreshed(instrument, terms)
    asked = replace(
        terms,
        tick=demanded.tick,
        quantity_step=demanded.quantity_step,
        min_quantity=max(instrument.min_quantity, demanded.min_quantity),
        min_notional=max(instrument.min_notional, demanded.min_notional),
    )
    return "; ".join(differences(instrument, asked))
