"""O5, S28: a key is revoked while a position is open. What rests at the venue protects it, people are told once, other
venues are undisturbed; and when the key is taken again, truth comes before anything else.

The real adapters and the real supervisor over fakes of Binance and OANDA; each job is called by hand.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio

from bot.alerts import Severity
from bot.clock import ManualClock
from bot.config import Settings
from bot.database.memory import MemoryStores
from bot.entry_gate import EntryGate
from bot.errors import KeyRefused
from bot.instruments import BINANCE, OANDA, BrokerId, InstrumentRegistry, Symbol, default_registry
from bot.kill_watch import KillWatch
from bot.layer1_data.broker_interface import BrokerInterface
from bot.layer1_data.broker_router import BrokerRouter
from bot.layer1_data.brokers.binance.adapter import BinanceBroker
from bot.layer1_data.brokers.binance.wire import Access as BinanceAccess
from bot.layer1_data.brokers.oanda.access import Access, Environment
from bot.layer1_data.brokers.oanda.adapter import OandaBroker
from bot.layer1_data.candle_cache import CandleCache
from bot.layer1_data.feeds.candle_feed import CandleFeed
from bot.layer1_data.key_watch import KeyWatch
from bot.layer2_intelligence.features import LiveFeatures
from bot.layer5_monitoring.alert_spool import AlertSpool
from bot.layer5_monitoring.alert_words import conditions_of, notice_of
from bot.layer5_monitoring.alerts import AlertDesk
from bot.models import ApprovedOrder, ExitPlan, JournalEntry, OrderState, Side, Target, client_order_id, leg_of
from bot.supervisor import Supervisor, SupervisorParts
from bot.wiring.core import trading_core
from tests.builders import approved_order, plan
from tests.fakes import binance
from tests.fakes.oanda.book import ACCOUNT
from tests.fakes.oanda.faults import Fault
from tests.fakes.oanda.server import TOKEN
from tests.fakes.street import Street
from tests.unit.test_supervisor import ByHand

D = Decimal
MONDAY: Final = datetime(2026, 3, 2, 12, tzinfo=UTC)
BTC: Final = default_registry().get("BTC/USDT")
EUR: Final = default_registry().get("EUR_USD")


class House:
    """Binance and OANDA, the supervisor over both, and the alert desk that reads its health."""

    def __init__(self, street: Street, clock: ManualClock, directory: Path) -> None:
        self.street, self.clock = street, clock
        registry = InstrumentRegistry([BTC, EUR])
        self.brokers: dict[BrokerId, BrokerInterface] = {
            BINANCE: BinanceBroker(
                access=BinanceAccess(
                    environment="testnet", key=binance.KEY, secret=binance.SECRET, url=street.settings["BINANCE_URL"]
                ),
                instruments=(BTC,),
                clock=clock,
            ),
            OANDA: OandaBroker(
                Access(
                    token=TOKEN,
                    account=ACCOUNT,
                    environment=Environment.PRACTICE,
                    url=street.settings["OANDA_URL"],
                ),
                instruments=(EUR,),
                clock=clock,
            ),
        }
        self.stores, self.journal = MemoryStores(), list[JournalEntry]()
        self.alerts = AlertDesk(self.stores.alerts, AlertSpool(directory), clock, repeat_s=3_600)
        cache, self.gate, settings = CandleCache(registry), EntryGate(), Settings()
        watched = [KeyWatch(each, self.gate.keys, clock) for each in self.brokers.values()]
        self.router = BrokerRouter(watched, registry)
        self.core = trading_core(
            settings=settings,
            registry=registry,
            clock=clock,
            stores=self.stores,
            journal=self,
            candles=cache,
            broker_of=self.router.broker,
            quote_of=lambda symbol: self.supervisor.quote_of(symbol),
            entries_blocked=self.gate.blocked,
            strategies=["divergence"],
            environment="p",
        )
        core = self.core
        self.supervisor = Supervisor(
            SupervisorParts(
                settings=settings,
                registry=registry,
                clock=clock,
                stores=self.stores,
                scheduler=ByHand(),
                router=self.router,
                feed=CandleFeed(self.router, cache, clock),
                cache=cache,
                book=core.book,
                tracker=core.tracker,
                guard=core.guard,
                reconciler=core.reconciler,
                answers=core.answers,
                kill=core.kill,
                kill_watch=KillWatch(
                    switch=core.kill,
                    flattener=core.flattener,
                    news=None,
                    settle=lambda broker_id: self.supervisor.settle(broker_id),
                    clock=clock,
                    record=core.pipeline.record,
                    on_problem=lambda text: self.supervisor.note_problem("kill switch", text),
                ),
                daily_loss=core.daily_loss,
                drawdown=core.drawdown,
                outcomes=core.outcomes,
                pipeline=core.pipeline,
                tasks=(),
                new_features=lambda: LiveFeatures(settings.divergence, settings.validation.bandwidth_lookback),
            ),
            self.gate,
        )

    async def record(self, entry: JournalEntry) -> None:
        """The journal, of which alerts are made."""
        self.journal.append(entry)
        if entry.kind == "key" and (notice := notice_of(entry)) is not None:
            self.alerts.notify(notice)

    async def monitor(self) -> None:
        for broker in self.router:
            await self.supervisor.look_after(broker)
        self.look()

    async def seconds(self, count: int) -> None:
        """So many seconds of protection at all venues, and of a desk that reads the health."""
        for _ in range(count):
            self.clock.advance(1)
            for broker in self.router:
                await self.supervisor.protect(broker)
            self.look()

    def look(self) -> None:
        self.alerts.hold(conditions_of(self.supervisor.health()))

    def told(self) -> list[tuple[Severity, str, bool]]:
        """Each alert: how bad, its title, whether it is over."""
        return [(each.severity, each.title, each.resolved_at is not None) for each in self.alerts.alerts()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One venue whose key is refused, beside another one whose key is not."""

    broker_id: BrokerId
    other: BrokerId
    order: ApprovedOrder
    refuse: Callable[[], None]
    accept: Callable[[], None]
    price: Callable[[str], None]
    asked: Callable[[], int]
    stops: Callable[[], Sequence[Decimal]]
    opened: str
    target: str
    beyond_stop: str


@pytest_asyncio.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    clock = ManualClock(MONDAY)
    street = Street(clock)
    await street.open()
    street.market.pin(BTC.symbol, "50000", "50010")
    street.market.pin(EUR.symbol, "1.10000", "1.10010")
    made = House(street, clock, tmp_path)
    yield made
    await made.router.close()
    await street.close()


@pytest.fixture(params=[BINANCE, OANDA])
def case(request: pytest.FixtureRequest, house: House) -> Case:
    spot, forex = house.street.binance, house.street.oanda
    if request.param == BINANCE:

        def revoke(value: bool) -> None:
            spot.key_is_revoked = value

        return Case(
            broker_id=BINANCE,
            other=OANDA,
            order=_order("BTC/USDT", "0.01", stop="49000", target="52000", price="50010"),
            refuse=lambda: revoke(True),
            accept=lambda: revoke(False),
            price=lambda bid: _move(house, BTC.symbol, bid, str(D(bid) + 10)),
            asked=lambda: sum("signature" in each.parameters for each in spot.requests),
            stops=lambda: [each.stop_price for each in spot.book.orders if each.is_open],
            opened="50000",
            target="52000",
            beyond_stop="48900",
        )
    return Case(
        broker_id=OANDA,
        other=BINANCE,
        order=_order("EUR_USD", "1000", stop="1.09500", target="1.11000", price="1.10010"),
        refuse=lambda: forex.faults.always(Fault.UNAUTHORISED),
        accept=forex.faults.lift,
        price=lambda bid: _move(house, EUR.symbol, bid, str(D(bid) + D("0.0001"))),
        asked=lambda: len(forex.requests),
        stops=lambda: [D(each["price"]) for each in forex.book.pending()],
        opened="1.10000",
        target="1.11000",
        beyond_stop="1.09400",
    )


def _move(house: House, symbol: Symbol, bid: str, ask: str) -> None:
    house.street.market.pin(symbol, bid, ask)
    house.street.binance.book.match()
    house.street.oanda.book.match()


def _order(symbol: str, quantity: str, *, stop: str, target: str, price: str) -> ApprovedOrder:
    instrument = default_registry().get(symbol)
    name = client_order_id(
        environment="p",
        account="1",
        strategy="divergence",
        symbol=symbol,
        timeframe="1h",
        candle_closed_at=MONDAY,
        side=Side.BUY,
        leg="E0",
    )
    exits: ExitPlan = replace(
        plan(),
        stop=D(stop),
        targets=(Target(price=D(target), fraction=D(1)),),
        tick=instrument.tick,
        quantity_step=instrument.quantity_step,
        min_quantity=instrument.min_quantity,
    )
    return approved_order(
        client_order_id=name,
        stop_order_id=leg_of(name, "S0"),
        broker_id=instrument.broker_id,
        symbol=instrument.symbol,
        quantity=D(quantity),
        decided_price=D(price),
        plan=exits,
        valid_until=MONDAY + timedelta(hours=1),
    )


async def opened(house: House, case: Case) -> None:
    """A position with its stop, both venues compared; then the key is refused."""
    await house.monitor()
    order = await house.core.engine.submit(case.order)
    await house.seconds(2)
    assert order.state is OrderState.FILLED
    assert (list(case.stops()), house.told()) == ([case.order.plan.stop], [])
    case.refuse()


async def test_entries_there_are_refused_with_the_reason_within_the_next_look_and_nowhere_else(
    house: House, case: Case
) -> None:
    await opened(house, case)

    await house.seconds(31)

    blocked = house.gate.blocked(case.broker_id, case.order.symbol)
    assert blocked.startswith(f"{case.broker_id} refuses our key: {case.broker_id}: ")
    health = house.supervisor.health()
    assert (health["status"], health["keys_refused"]) == ("degraded", [case.broker_id])
    assert health["entries_blocked"] == [blocked]
    told = {each.broker_id: each.key_refused for each in house.supervisor.reconciliations()}
    assert told == {case.broker_id: True, case.other: False}
    assert house.gate.blocked(case.other) == ""


async def test_an_entry_that_meets_the_refusal_first_is_surely_not_sent(house: House, case: Case) -> None:
    await house.monitor()
    case.refuse()

    order = await house.core.engine.submit(case.order)

    assert order.state is OrderState.DENIED
    assert house.core.book.positions() == ()


async def test_people_are_told_once_and_once_more_when_the_key_is_taken_again(house: House, case: Case) -> None:
    await opened(house, case)
    await house.seconds(150)
    await house.monitor()
    (alert,) = house.told()
    assert alert[0] is Severity.CRITICAL
    assert alert[1].startswith(f"{case.broker_id} refuses our key: nothing can be opened, moved or closed there")

    case.accept()
    await house.seconds(12)
    await house.monitor()

    assert [(severity, over) for severity, _, over in house.told()] == [
        (Severity.CRITICAL, True),
        (Severity.WARNING, False),
    ]
    assert house.told()[1][1].startswith(f"{case.broker_id} takes our key again")
    assert [each.data["what"] for each in house.journal if each.kind == "key"] == ["accepted again"]


async def test_the_venues_own_stop_is_left_alone_also_when_the_target_is_reached(house: House, case: Case) -> None:
    await opened(house, case)
    case.price(case.target)

    await house.monitor()
    with suppress(KeyRefused):
        await house.core.guard.on_price(case.order.symbol, bid=D(case.target), ask=D(case.target))
    await house.seconds(60)

    assert list(case.stops()) == [case.order.plan.stop]
    assert house.core.guard.unprotected.longest_now_s == 0
    assert [each for each in house.journal if each.kind == "incident"] == []


async def test_a_venue_that_refuses_us_is_asked_seldom(house: House, case: Case) -> None:
    """Every ten seconds, not every second: venues suspend who knocks again and again."""
    await opened(house, case)
    await house.seconds(31)
    before = case.asked()

    await house.seconds(100)

    assert 5 <= case.asked() - before <= 10


async def test_what_the_stop_did_meanwhile_is_known_before_entries_may_leave_again(house: House, case: Case) -> None:
    await opened(house, case)
    await house.seconds(31)
    case.price(case.beyond_stop)
    await house.seconds(20)
    assert len(house.core.book.positions()) == 1, "nothing can be known of it yet"
    assert house.gate.blocked(case.broker_id)

    case.accept()
    await house.seconds(11)

    assert house.core.book.positions() == ()
    assert house.gate.blocked(case.broker_id) == ""


async def test_what_was_kept_from_being_done_is_done_when_the_key_is_taken_again(house: House, case: Case) -> None:
    await opened(house, case)
    case.price(case.target)
    await house.seconds(31)

    case.accept()
    await house.seconds(11)
    await house.monitor()

    assert house.core.book.positions() == ()
    assert list(case.stops()) == []


async def test_a_key_that_may_only_read_any_more_is_told_too_and_not_taken_for_a_good_one(house: House) -> None:
    """O5, the permission to trade taken away: questions are answered, so only an order shows it."""
    spot = house.street.binance
    order = _order("BTC/USDT", "0.01", stop="49000", target="52000", price="50010")
    await house.monitor()
    await house.core.engine.submit(order)
    await house.seconds(2)
    for request in ("POST order", "DELETE order"):
        spot.fail(binance.Fault.ERROR, request, times=None, status=401, code=-2015, message="Invalid permissions.")

    _move(house, BTC.symbol, "52000", "52010")
    for _ in range(3):
        await house.monitor()
        await house.seconds(12)
        house.clock.advance(60)  # what is asked each second while a stop is in doubt stays within the request budget

    assert [each.stop_price for each in spot.book.orders if each.is_open] == [D(49_000)]
    assert house.gate.blocked(BINANCE).startswith("binance refuses our key: binance: DELETE of order")
    assert [(severity, over) for severity, _, over in house.told()] == [(Severity.CRITICAL, False)]

    spot.heal()
    await house.monitor()
    await house.seconds(12)
    house.clock.advance(60)
    await house.monitor()
    assert house.core.book.positions() == ()
    assert house.gate.blocked(BINANCE) == ""
    assert [over for _, _, over in house.told()] == [True, False]


async def test_where_only_orders_are_refused_a_stop_that_should_move_is_tried_every_ten_seconds(house: House) -> None:
    """Each second would fill the request budget, and the exits of other symbols would lose their turn."""
    spot = house.street.binance
    await house.monitor()
    await house.core.engine.submit(_order("BTC/USDT", "0.01", stop="49000", target="52000", price="50010"))
    await house.seconds(2)
    for request in ("POST order", "DELETE order"):
        spot.fail(binance.Fault.ERROR, request, times=None, status=401, code=-2015, message="Invalid permissions.")
    _move(house, BTC.symbol, "52000", "52010")
    await house.monitor()
    before = len(spot.requests)

    await house.seconds(50)

    cancels = [each for each in list(spot.requests)[before:] if each.name == "DELETE order"]
    assert 1 <= len(cancels) <= 15, "each attempt asks up to three times"
    assert len(spot.requests) - before <= 100
