"""What a venue says of its instruments (M5: otherwise than our registry does), and the market that asks it first."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from bot.errors import BotError
from bot.instruments import Currency, InstrumentRegistry, Symbol
from bot.interfaces import Clock
from bot.layer1_data.broker_interface import BrokerInterface, VenueTerms
from bot.layer1_data.venue_terms import VenueDescriptions
from bot.simulation.ports import Unforeseen
from bot.simulation.tape import Tape

_ASK_AGAIN_S: Final = 30.0


def _contract(terms: VenueTerms) -> VenueTerms:
    return replace(terms, contract_size=terms.contract_size * 100)


def _share_of_a_contract(terms: VenueTerms) -> VenueTerms:
    return replace(terms, contract_size=terms.contract_size / 10)


def _tick(terms: VenueTerms) -> VenueTerms:
    return replace(terms, tick=terms.tick * 100)


def _step(terms: VenueTerms) -> VenueTerms:
    return replace(terms, quantity_step=terms.quantity_step * 1_000)


def _currency(terms: VenueTerms) -> VenueTerms:
    return replace(terms, quote_currency=Currency("NOK"))


# Each makes a quantity worth something else: another contract, a grid that counts in cents or bundles, other money.
_WAYS: Final = (_contract, _share_of_a_contract, _tick, _step, _currency)


class ToldTerms:
    """The terms that one venue tells, over restarts of the bot. What it trades by does not change."""

    def __init__(self, tape: Tape) -> None:
        self._dice = tape.dice("M5/how")
        self._odd: dict[Symbol, Callable[[VenueTerms], VenueTerms]] = {}

    @property
    def odd(self) -> frozenset[Symbol]:
        """Instruments that it counts otherwise than we do."""
        return frozenset(self._odd)

    def distort(self, symbol: Symbol) -> None:
        """From now on it describes that one otherwise."""
        self._odd.setdefault(symbol, self._dice.choice(_WAYS))

    def told(self, terms: Sequence[VenueTerms]) -> Sequence[VenueTerms]:
        """What it says of what it trades."""
        return [self._odd[each.symbol](each) if each.symbol in self._odd else each for each in terms]


class Inquiry:
    """What a market does at each start, as in the daemon: it asks each venue what it trades, before anything is opened
    there; one that says nothing again every 30 s. What it learns keeps entries out."""

    def __init__(
        self,
        brokers: Sequence[BrokerInterface],
        *,
        registry: InstrumentRegistry,
        descriptions: VenueDescriptions,
        clock: Clock,
    ) -> None:
        self._brokers = brokers
        self._registry = registry
        self._descriptions = descriptions
        self._clock = clock

    async def begin(self) -> None:
        """All venues side by side, once."""
        for broker in self._brokers:
            self._descriptions.expect(broker.broker_id)
        for broker, terms in await self._answers(self._brokers):
            self._descriptions.note(broker.broker_id, self._registry.of_broker(broker.broker_id), terms)

    async def go_on(self) -> None:
        """Until each has answered."""
        while silent := [each for each in self._brokers if each.broker_id in self._descriptions.silent]:
            await self._clock.sleep(_ASK_AGAIN_S)
            for broker, terms in await self._answers(silent):
                self._descriptions.note_late(broker.broker_id, self._registry.of_broker(broker.broker_id), terms)

    async def _answers(
        self, brokers: Sequence[BrokerInterface]
    ) -> Sequence[tuple[BrokerInterface, Sequence[VenueTerms]]]:
        """Of those that answer."""
        told = await asyncio.gather(*map(self._terms, brokers))
        return [(broker, terms) for broker, terms in zip(brokers, told, strict=True) if terms is not None]

    async def _terms(self, broker: BrokerInterface) -> Sequence[VenueTerms] | None:
        try:
            return await broker.terms([each.symbol for each in self._registry.of_broker(broker.broker_id)])
        except (BotError, Unforeseen):
            return None
