"""A venue that was silent at the start is held to its account once it answers, whatever the database does meanwhile."""

import asyncio
from datetime import datetime
from decimal import Decimal

import pytest

from bot.clock import ManualClock
from bot.database.memory import MemoryStores
from bot.errors import BrokerUnavailable, ConfigError, DatabaseUnavailable
from bot.instruments import BrokerId, Currency
from bot.interfaces import AccountStore
from bot.layer1_data.account_door import ASK_AGAIN_S
from bot.layer1_data.brokers.simulated.adapter import SimulatedBroker
from bot.wiring.market import AccountCheck
from tests.builders import approved_order, frictionless
from tests.fakes.awkward_broker import AwkwardBroker

EUR = frictionless()


class AwayForOneTurn:
    """An account store whose database is away when it is asked first."""

    def __init__(self, inner: AccountStore) -> None:
        self._inner = inner
        self.asked = 0

    async def bind(self, broker_id: BrokerId, *, fingerprint: str, account: str, at: datetime) -> tuple[str, str]:
        """As `inner`, from the second time on."""
        self.asked += 1
        if self.asked == 1:
            raise DatabaseUnavailable("the database does not answer")
        return await self._inner.bind(broker_id, fingerprint=fingerprint, account=account, at=at)


async def test_a_database_that_is_away_when_a_silent_venue_answers_ends_no_check_of_its_account() -> None:
    # Arrange
    clock, bound = ManualClock(), MemoryStores().accounts
    venue = SimulatedBroker(
        broker_id=EUR.broker_id, instruments=[EUR], clock=clock, currency=Currency("USD"), balance=Decimal(1_000)
    )
    broker, accounts = AwkwardBroker(venue, clock), AwayForOneTurn(bound)
    await bound.bind(EUR.broker_id, fingerprint="of another", account="another", at=clock.now())
    broker.failing.add("identity")
    check = AccountCheck([broker], accounts, currency="USD", clock=clock)
    await check.look()
    broker.failing.clear()

    # Act
    watching = asyncio.create_task(check.watch())
    await clock.run_for(10)
    ended_early = watching.done()
    await clock.run_for(10)

    # Assert
    assert (ended_early, accounts.asked) == (False, 2)
    with pytest.raises(ConfigError, match="belongs to account another"):
        await watching


async def test_a_venue_that_was_silent_at_the_start_is_not_traded_at_before_it_has_said_who_it_is() -> None:
    # Arrange: another account than the database's answers questions, but not at once who it is
    clock, bound = ManualClock(), MemoryStores().accounts
    venue = SimulatedBroker(
        broker_id=EUR.broker_id, instruments=[EUR], clock=clock, currency=Currency("USD"), balance=Decimal(1_000)
    )
    broker = AwkwardBroker(venue, clock)
    await bound.bind(EUR.broker_id, fingerprint="of another", account="another", at=clock.now())
    broker.failing.add("identity")
    check = AccountCheck([broker], bound, currency="USD", clock=clock)
    await check.look()
    traded_at = check.brokers[0]

    # Act, assert
    with pytest.raises(BrokerUnavailable, match="identity"):
        await traded_at.positions()
    broker.failing.clear()
    await clock.run_for(ASK_AGAIN_S)
    with pytest.raises(BrokerUnavailable, match=r"nothing is asked or sent: .* belongs to account another"):
        await traded_at.place(approved_order())
