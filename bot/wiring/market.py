"""What a mode trades on: its venues, its clock, its instruments. The daemon sees only this."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from loguru import logger

from bot.clock import SystemClock
from bot.config import Loaded, Settings
from bot.errors import BrokerError, BrokerUnavailable, ConfigError, DatabaseUnavailable
from bot.instruments import InstrumentRegistry, counted_as, default_registry
from bot.interfaces import AccountStore, Clock
from bot.layer1_data.account_door import AccountDoor
from bot.layer1_data.broker_interface import BrokerInterface
from bot.layer1_data.venue_terms import VenueDescriptions
from bot.models import StrategyTask
from bot.wiring.dev_market import DevMarket, dev_settings
from bot.wiring.paper_market import open_paper_market
from bot.wiring.venues import open_venues

_BOUND_WITHIN_S: Final = 10.0
_ASK_AGAIN_S: Final = 10.0


class Market(Protocol):
    """`speed` is market seconds per real second; jobs run at most every `least_interval_s` real seconds.

    `notes`: where the venues describe an instrument otherwise than the registry did, or do not offer it;
    `descriptions`: what of that keeps entries out.
    """

    registry: InstrumentRegistry
    notes: Sequence[str]
    descriptions: VenueDescriptions
    speed: float
    least_interval_s: float

    @property
    def clock(self) -> Clock:
        """Market time."""

    @property
    def brokers(self) -> Sequence[BrokerInterface]:
        """The venues."""

    def tasks(self, settings: Settings) -> list[StrategyTask]:
        """What is traded by default."""

    async def run(self, stop: asyncio.Event) -> None:
        """Play it until told to stop."""

    def save(self) -> None:
        """Keep what the next start needs."""

    def note(self) -> str:
        """What these prices and fills are, in one sentence."""


def market_settings(settings: Settings) -> Settings:
    """The settings as the market of the mode needs them."""
    return dev_settings(settings) if settings.run.mode == "dev" else settings


async def open_market(loaded: Loaded, settings: Settings, data: Path) -> Market:
    """The market of the mode, its venues connected as far as they answer."""
    registry = default_registry()
    if settings.run.mode == "dev":
        return DevMarket(settings, registry, data)
    venues = await asyncio.to_thread(open_venues, loaded, registry, SystemClock())  # imports the venues' libraries
    return await open_paper_market(venues)


class AccountCheck:
    """Holds each venue to the account that the database belongs to: under another one, all that is open would look
    lost, and be traded against. And to the one currency that everything is counted in.

    `brokers` are the venues as they may be traded at: what is not checked yet is checked by whoever comes first.
    """

    def __init__(
        self, brokers: Sequence[BrokerInterface], accounts: AccountStore, *, currency: str, clock: Clock
    ) -> None:
        """`clock` runs in real seconds."""
        self.brokers = [AccountDoor(each, partial(self._verify, each), clock) for each in brokers]
        self._accounts = accounts
        self._currency = currency
        self._clock = clock

    async def look(self) -> None:
        """Check those that were not yet; one that does not answer is left. Raises ConfigError for a wrong account."""
        await asyncio.gather(*(_known_if_it_answers(each) for each in self.brokers))

    async def watch(self) -> None:
        """Until each venue has answered; ends with ConfigError if one of them is another account.

        A database that is away ends it not: a wrong account would be found by nobody.
        """
        while not all(each.is_known for each in self.brokers):
            await self._clock.sleep(_ASK_AGAIN_S)
            try:
                await self.look()
            except DatabaseUnavailable as error:
                logger.warning("accounts are checked again in {:.0f} s: {}", _ASK_AGAIN_S, error)

    async def _verify(self, broker: BrokerInterface) -> None:
        try:
            async with asyncio.timeout(_BOUND_WITHIN_S):
                who = await broker.identity()
        except TimeoutError as error:
            raise BrokerUnavailable(
                f"{broker.broker_id}: whose account it is was not answered within {_BOUND_WITHIN_S:g} s"
            ) from error
        if who.may_withdraw:
            raise ConfigError(
                f"{broker.broker_id}: the key of {who.account} may withdraw money; make one that may read and trade "
                "only: whoever steals it could take everything"
            )
        fingerprint, account = await self._accounts.bind(
            broker.broker_id, fingerprint=who.fingerprint, account=who.account, at=self._clock.now()
        )
        if fingerprint != who.fingerprint:
            raise ConfigError(
                f"{broker.broker_id}: this database belongs to account {account}, but the key leads to {who.account}; "
                "use the key of that account, or another DATA_DIRECTORY or DATABASE_URL"
            )
        if counted_as(who.currency) != counted_as(self._currency):
            raise ConfigError(
                f"{broker.broker_id}: account {who.account} is in {who.currency}, and ACCOUNT_CURRENCY is "
                f"{self._currency}: sums and limits would mix them up; set ACCOUNT_CURRENCY={who.currency}, or use an "
                f"account in {self._currency}"
            )


async def _known_if_it_answers(door: AccountDoor) -> None:
    with suppress(BrokerError):
        await door.know()
