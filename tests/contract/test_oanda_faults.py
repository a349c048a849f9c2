"""What the OANDA adapter says when the network or the venue misbehaves, through the real library over a real socket."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import pytest

from bot.clock import ManualClock, SystemClock
from bot.errors import BrokerUnavailable, EntryRefused, KeyRefused, OrderFateUnknown
from bot.instruments import Instrument, Symbol, default_registry
from bot.layer1_data.broker_interface import BrokerInterface
from bot.layer1_data.brokers.oanda.access import Access, Environment, TimeOuts
from bot.layer1_data.brokers.oanda.adapter import OandaBroker
from bot.models import ApprovedOrder, ClientOrderId, OrderKind, OrderState, Side, Timeframe, leg_of
from tests.contract.test_broker_contract import entry, reduction
from tests.fakes.oanda.book import ACCOUNT
from tests.fakes.oanda.desk import close_trade, create_order
from tests.fakes.oanda.faults import Fault
from tests.fakes.oanda.server import TOKEN, FakeOanda
from tests.fakes.venue_market import FakeMarket
from tests.fakes.witness import oanda_executed

D = Decimal
MONDAY: Final = datetime(2024, 3, 4, 12, tzinfo=UTC)
EUR_USD: Final = default_registry().get("EUR_USD")
POST: Final = "POST /v3"
ENTRY: Final = ClientOrderId("entry-1")
SHORT: Final = TimeOuts(silence_s=1.0, whole_s=3.0, stream_s=1.0, joined_s=0.1)


@dataclass
class Desk:
    """The adapter under test and the venue it talks to."""

    broker: BrokerInterface
    venue: FakeOanda
    url: str

    def effects(self) -> int:
        """Orders that the venue has taken."""
        return len(self.venue.book.orders)

    def sent(self) -> int:
        """Requests on the wire that could have made one."""
        return sum(not each.startswith("GET") for each in self.venue.requests)


def other_entry() -> ApprovedOrder:
    name = ClientOrderId("entry-2")
    return entry(client_order_id=name, stop_order_id=leg_of(name, "S0"))


def stop_out(desk: Desk) -> None:
    """The market falls to every stop and comes back."""
    desk.venue.market.pin("EUR_USD", "1.09400", "1.09410")
    desk.venue.book.match()
    desk.venue.market.pin("EUR_USD", "1.10000", "1.10010")


def by_hand(symbol: str, **changes: str) -> dict[str, str]:
    """What a person orders in the venue's app, which gives it no name."""
    return {"type": "MARKET", "instrument": symbol, "units": "1000", "timeInForce": "FOK", **changes}


def asked_for_candles(desk: Desk) -> list[str]:
    return [each for each in desk.venue.requests if each.endswith("/candles")]


def adapter(url: str | None, **changes: Any) -> OandaBroker:
    access = Access(token=TOKEN, account=ACCOUNT, environment=Environment.PRACTICE, url=url)
    instruments: tuple[Instrument, ...] = (EUR_USD,)
    arguments: dict[str, Any] = {
        "instruments": instruments,
        "clock": SystemClock(),
        "time_outs": SHORT,
        "order_id_prefix": "",
    }
    arguments.update({key: value for key, value in changes.items() if key in arguments})
    changes = {key: value for key, value in changes.items() if key not in arguments}
    return OandaBroker(replace(access, **changes), **arguments)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    market = FakeMarket(default_registry())
    market.pin("EUR_USD", "1.10000", "1.10010")
    venue = FakeOanda(market, ManualClock(MONDAY))
    url = await venue.start(by_itself=False)
    broker = adapter(url)
    yield Desk(broker, venue, url)
    venue.faults.release.set()
    await broker.close()
    await venue.close()


# ------------------------------------------------------------------------------------------- one order, one request

LOST_WITH_EFFECT: Final = (
    Fault.LOST_REPLY,
    Fault.HELD_REPLY,
    Fault.DRIPPING_REPLY,
    Fault.TRUNCATED_REPLY,
    Fault.RESET_MID_BODY,
    Fault.HTML_INSTEAD,
    Fault.BAD_GATEWAY_AFTER_EFFECT,
)
LOST_WITHOUT_EFFECT: Final = (Fault.LOST_REQUEST, Fault.BAD_GATEWAY, Fault.TOO_MANY)


@pytest.mark.parametrize("fault", LOST_WITH_EFFECT)
async def test_an_entry_whose_answer_is_lost_is_in_doubt_once_sent_and_found_by_its_id(
    desk: Desk, fault: Fault
) -> None:
    desk.venue.faults.next(fault, POST)

    with pytest.raises(OrderFateUnknown, match="entry-1"):
        await desk.broker.place(entry())

    found = await desk.broker.find_order(ENTRY)
    assert found is not None
    assert (found.state, found.filled_quantity) == (OrderState.FILLED, D(1_000))
    assert desk.sent() == 1


@pytest.mark.parametrize("fault", LOST_WITHOUT_EFFECT)
async def test_an_entry_that_never_took_effect_is_in_doubt_and_then_not_found(desk: Desk, fault: Fault) -> None:
    desk.venue.faults.next(fault, POST)

    with pytest.raises(OrderFateUnknown):
        await desk.broker.place(entry())

    assert await desk.broker.find_order(ENTRY) is None
    assert desk.sent() == 1


async def test_an_answer_that_never_ends_is_given_up_and_the_next_request_is_served(desk: Desk) -> None:
    hurried = adapter(desk.url, time_outs=TimeOuts(silence_s=5, whole_s=0.3))
    desk.venue.faults.next(Fault.DRIPPING_REPLY, POST)

    with pytest.raises(OrderFateUnknown, match="no whole answer"):
        await hurried.place(entry())

    assert len(await hurried.positions()) == 1
    await hurried.close()


async def test_an_entry_that_arrives_late_is_not_found_before_and_found_after(desk: Desk) -> None:
    desk.venue.faults.next(Fault.LATE_REQUEST, POST)
    with pytest.raises(OrderFateUnknown):
        await desk.broker.place(entry())
    assert await desk.broker.find_order(ENTRY) is None

    desk.venue.faults.release.set()
    async with asyncio.timeout(5):
        while (found := await desk.broker.find_order(ENTRY)) is None:
            pass

    assert found.state is OrderState.FILLED


async def test_an_entry_that_a_proxy_delivers_twice_has_one_effect_and_is_told_as_what_it_is(desk: Desk) -> None:
    desk.venue.faults.next(Fault.DUPLICATED, POST)

    ack = await desk.broker.place(entry())

    (position,) = await desk.broker.positions()
    assert (ack.state, position.quantity) == (OrderState.FILLED, D(1_000))


async def test_a_resting_entry_that_is_delivered_twice_is_adopted_not_rejected(desk: Desk) -> None:
    desk.venue.faults.next(Fault.DUPLICATED, POST)

    ack = await desk.broker.place(entry(kind=OrderKind.LIMIT, limit_price=D("1.09000")))

    assert ack.state is OrderState.WORKING
    assert len(await desk.broker.open_orders()) == 1


async def test_a_taken_id_that_cannot_be_looked_up_leaves_the_order_in_doubt(desk: Desk) -> None:
    resting = entry(kind=OrderKind.LIMIT, limit_price=D("1.09000"))
    await desk.broker.place(resting)
    desk.venue.faults.always(Fault.BAD_GATEWAY, "GET")

    with pytest.raises(OrderFateUnknown, match="CLIENT_ORDER_ID_ALREADY_EXISTS"):
        await desk.broker.place(resting)


async def test_nothing_listening_is_proof_that_nothing_was_sent(desk: Desk) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = adapter(f"http://127.0.0.1:{unused.getsockname()[1]}")

        with pytest.raises(BrokerUnavailable, match="not sent"):
            await nobody.place(entry())
        await nobody.close()


async def test_a_name_that_does_not_resolve_is_proof_that_nothing_was_sent(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    lost = adapter("http://localhost:9")
    monkeypatch.setattr("urllib3.util.connection.socket.getaddrinfo", nowhere)

    with pytest.raises(BrokerUnavailable, match="not sent"):
        await lost.place(entry())
    with pytest.raises(BrokerUnavailable):
        await lost.find_order(ENTRY)
    monkeypatch.undo()
    await lost.close()


async def test_a_redirect_does_not_send_an_order_a_second_time(desk: Desk) -> None:
    desk.venue.faults.next(Fault.REDIRECTED, POST)

    with pytest.raises(OrderFateUnknown):
        await desk.broker.place(entry())

    assert desk.sent() == 1


async def test_an_exit_does_not_wait_behind_reads_that_hang(desk: Desk) -> None:
    # Arrange
    await desk.broker.place(entry())
    desk.venue.requests.clear()
    desk.venue.faults.always(Fault.HELD_REPLY, "/summary")
    reads = [asyncio.ensure_future(desk.broker.account()) for _ in range(6)]
    while not desk.venue.requests:
        await ManualClock().sleep(0)

    # Act
    ack = await desk.broker.place(reduction("out", "1000"))

    # Assert
    assert ack.state is OrderState.FILLED
    assert not any(each.done() for each in reads)
    desk.venue.faults.release.set()
    await asyncio.gather(*reads)


async def test_an_exit_does_not_wait_behind_an_order_whose_answer_hangs(desk: Desk) -> None:
    await desk.broker.place(entry())
    before = desk.effects()
    desk.venue.faults.next(Fault.HELD_REPLY, POST)
    held = asyncio.ensure_future(desk.broker.place(entry(client_order_id=ClientOrderId("entry-2"))))
    while desk.effects() == before:
        await ManualClock().sleep(0)

    ack = await desk.broker.place(reduction("out", "1000"))

    assert (ack.state, held.done()) == (OrderState.FILLED, False)
    desk.venue.faults.release.set()
    await held


async def test_exits_do_not_wait_for_a_question_that_they_share_and_that_hangs(desk: Desk) -> None:
    await desk.broker.place(entry())
    await desk.broker.place(other_entry())
    desk.venue.faults.next(Fault.HELD_REPLY, f"GET /v3/accounts/{ACCOUNT}")
    desk.venue.requests.clear()
    held = asyncio.ensure_future(desk.broker.place(reduction("out", "1000")))
    while not desk.venue.requests:
        await ManualClock().sleep(0)

    acks = await asyncio.gather(desk.broker.place(reduction("out-2", "1000", of="entry-2")), held)

    assert [each.state for each in acks] == [OrderState.FILLED] * 2


async def test_of_two_closes_of_one_trade_the_second_leaves_when_the_first_was_answered(desk: Desk) -> None:
    # Arrange: a trade bears the name of its close; the answer to the first one hangs
    for each in (entry(), other_entry()):
        await desk.broker.place(each)
    _, cursor = await desk.broker.fills_since("")
    desk.venue.faults.next(Fault.HELD_REPLY, "/close")
    first = asyncio.ensure_future(desk.broker.place(reduction("first", "500")))
    while not any(each.endswith("/close") for each in desk.venue.requests):
        await ManualClock().sleep(0)

    # Act
    second = asyncio.ensure_future(desk.broker.place(reduction("second", "1000")))
    other = await desk.broker.place(reduction("other", "1000", of="entry-2"))
    named = sum(each.endswith("/clientExtensions") for each in desk.venue.requests)
    desk.venue.faults.release.set()
    await asyncio.gather(first, second)

    # Assert
    fills, _ = await desk.broker.fills_since(cursor)
    assert (other.state, named) == (OrderState.FILLED, 2)  # the first one's name and the other's
    assert sorted((each.client_order_id, each.quantity) for each in fills) == [
        ("first", D(500)),
        ("other", D(1_000)),
        ("second", D(500)),
    ]


async def test_a_caller_that_gives_up_an_answer_without_end_keeps_no_line(desk: Desk) -> None:
    hurried = adapter(desk.url, time_outs=TimeOuts(silence_s=5, whole_s=0.3))
    desk.venue.faults.next(Fault.DRIPPING_REPLY, "/summary", times=2)
    desk.venue.requests.clear()
    reads = [asyncio.ensure_future(hurried.account()) for _ in range(2)]
    while len(desk.venue.requests) < len(reads):
        await ManualClock().sleep(0)
    for each in reads:
        each.cancel()

    async with asyncio.timeout(3):
        assert await hurried.positions() == ()
    await hurried.close()


async def test_where_no_thread_can_be_begun_nothing_was_sent_and_nothing_is_sent_later(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", full)
        for number in range(4):
            with pytest.raises(BrokerUnavailable, match="was not sent"):
                await desk.broker.place(entry(client_order_id=ClientOrderId(f"none-{number}")))

    ack = await desk.broker.place(entry())

    assert (ack.state, desk.sent()) == (OrderState.FILLED, 1)


async def test_an_answer_that_left_the_venue_before_an_order_was_told_is_believed(desk: Desk) -> None:
    desk.venue.faults.next(Fault.HELD_REPLY, "/summary")
    reading = asyncio.ensure_future(desk.broker.account())
    while not desk.venue.requests:
        await ManualClock().sleep(0)
    await desk.broker.place(entry())

    desk.venue.faults.release.set()

    assert (await reading).balance > 0


async def test_neither_an_exit_nor_a_read_of_the_account_waits_behind_history_that_hangs(desk: Desk) -> None:
    await desk.broker.place(entry())
    desk.venue.faults.always(Fault.HELD_REPLY, "/candles")
    history = [asyncio.ensure_future(READS["candles"](desk.broker)) for _ in range(6)]
    while not asked_for_candles(desk):
        await ManualClock().sleep(0)

    ack = await desk.broker.place(reduction("out", "1000"))
    account = await desk.broker.account()

    assert (ack.state, account.balance > 0) == (OrderState.FILLED, True)
    assert not any(each.done() for each in history)
    desk.venue.faults.release.set()
    await asyncio.gather(*history)


async def test_history_opens_one_connection_a_second_and_four_at_most(desk: Desk) -> None:
    clock, counts = ManualClock(MONDAY), []
    broker = adapter(desk.url, clock=clock)
    desk.venue.faults.always(Fault.HELD_REPLY, "/candles")
    history = [asyncio.ensure_future(READS["candles"](broker)) for _ in range(6)]
    for number in (1, 2, 3, 4):
        while len(asked_for_candles(desk)) < number:
            await ManualClock().sleep(0)
        counts.append((len(asked_for_candles(desk)), clock.sleepers))
        clock.advance(1.1)

    desk.venue.faults.release.set()
    await asyncio.gather(*history)
    await broker.close()

    assert counts == [(1, 1), (2, 1), (3, 1), (4, 0)]
    assert len(asked_for_candles(desk)) == 6


async def test_a_caller_that_gives_up_leaves_his_request_to_its_end_and_the_line_to_the_next(desk: Desk) -> None:
    desk.venue.faults.next(Fault.HELD_REPLY, POST)
    placing = asyncio.ensure_future(desk.broker.place(entry()))
    while not desk.effects():
        await ManualClock().sleep(0)
    waiting = [asyncio.ensure_future(desk.broker.account()) for _ in range(2)]
    await ManualClock().sleep(0)

    placing.cancel()
    waiting[0].cancel()
    desk.venue.faults.release.set()

    await waiting[1]
    found = await desk.broker.find_order(ENTRY)
    assert found is not None
    assert (found.state, desk.sent()) == (OrderState.FILLED, 1)


async def keep_lines_busy(desk: Desk) -> list[asyncio.Future[Any]]:
    """A read and an order, whose answers hang: nothing but an exit leaves until they are released."""
    before = desk.effects()
    desk.venue.faults.always(Fault.HELD_REPLY, "/summary")
    desk.venue.faults.next(Fault.HELD_REPLY, POST)
    held: list[asyncio.Future[Any]] = [asyncio.ensure_future(desk.broker.account())]
    held.append(asyncio.ensure_future(desk.broker.place(entry(client_order_id=ClientOrderId("busy")))))
    while not (len(desk.venue.requests) == len(held) and desk.effects() > before):
        await ManualClock().sleep(0)
    return held


@pytest.mark.parametrize("asked", ["place", "positions"])
async def test_what_waits_for_its_turn_when_the_adapter_is_closed_was_surely_not_sent(desk: Desk, asked: str) -> None:
    held = await keep_lines_busy(desk)
    broker = desk.broker
    waiting = [
        asyncio.ensure_future(broker.place(entry()) if asked == "place" else broker.positions()) for _ in range(2)
    ]
    await ManualClock().sleep(0)

    closing = asyncio.ensure_future(broker.close())
    desk.venue.faults.release.set()
    ends = await asyncio.gather(*waiting, closing, return_exceptions=True)
    await asyncio.gather(*held, return_exceptions=True)

    assert [type(each) for each in ends] == [BrokerUnavailable, BrokerUnavailable, type(None)]
    assert (desk.sent(), len(desk.venue.requests)) == (1, 2)


async def test_an_entry_that_was_refused_while_it_waited_for_its_turn_is_not_sent_and_keeps_nobody_waiting(
    desk: Desk,
) -> None:
    # Arrange
    refusals = [""]

    async def last_word() -> None:
        if refusals[-1]:
            raise EntryRefused(refusals[-1])

    held = await keep_lines_busy(desk)
    placing = asyncio.ensure_future(desk.broker.place(entry(), last_word))
    await ManualClock().sleep(0)

    # Act
    refusals.append("kill switch: HALT")
    desk.venue.faults.release.set()
    await asyncio.gather(*held)

    # Assert
    with pytest.raises(EntryRefused, match="HALT"):
        await placing
    assert desk.sent() == 1
    await desk.broker.account()


# ------------------------------------------------------------------------------------------ reads never say "not there"

READS: Final[dict[str, Callable[[BrokerInterface], Coroutine[Any, Any, object]]]] = {
    "find_order": lambda broker: broker.find_order(ENTRY),
    "positions": lambda broker: broker.positions(),
    "open_orders": lambda broker: broker.open_orders(),
    "protective_orders": lambda broker: broker.protective_orders(),
    "fills": lambda broker: broker.fills_since(""),
    "account": lambda broker: broker.account(),
    "quote": lambda broker: broker.quote(EUR_USD.symbol),
    "candles": lambda broker: broker.candles(EUR_USD.symbol, Timeframe.H1, since=None, limit=3),
    "terms": lambda broker: broker.terms([EUR_USD.symbol]),
    "identity": lambda broker: broker.identity(),
    "server_time": lambda broker: broker.server_time(),
    "check": lambda broker: broker.check_connectivity(),
}


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize(
    "fault", [Fault.LOST_REPLY, Fault.TRUNCATED_REPLY, Fault.HTML_INSTEAD, Fault.BAD_GATEWAY, Fault.UNAUTHORISED]
)
async def test_a_read_that_fails_is_unavailable_and_nothing_else(desk: Desk, read: str, fault: Fault) -> None:
    desk.venue.faults.always(fault, "GET")

    with pytest.raises(BrokerUnavailable) as told:
        await READS[read](desk.broker)

    assert TOKEN not in str(told.value)
    assert ACCOUNT not in str(told.value)


async def test_a_budget_that_is_used_up_holds_the_next_read_but_no_exit(desk: Desk) -> None:
    clock = ManualClock(MONDAY)
    broker = adapter(desk.url, clock=clock)
    await broker.place(entry())
    desk.venue.faults.next(Fault.TOO_MANY, "GET")
    with pytest.raises(BrokerUnavailable, match="429"):
        await broker.account()

    waiting = asyncio.ensure_future(broker.account())
    ack = await broker.place(reduction("out", "1000"))
    assert (ack.state, waiting.done()) == (OrderState.FILLED, False)

    await clock.run_for(2)
    await waiting
    await broker.close()


# ------------------------------------------------------------------------------------------------------ venue semantics


async def test_a_list_that_is_cut_into_small_pages_hides_no_order(desk: Desk) -> None:
    desk.venue.page = 2
    for number in range(5):
        await desk.broker.place(entry(f"e{number}", stop_order_id=ClientOrderId(f"s{number}")))
        await desk.broker.place(reduction(f"r{number}", "1000", of=f"e{number}"))

    found = await desk.broker.find_order(ClientOrderId("r0"))
    fills, _ = await desk.broker.fills_since("")

    assert found is not None
    assert found.state is OrderState.FILLED
    assert [each.client_order_id for each in fills] == [f"{kind}{number}" for number in range(5) for kind in "er"]


async def test_an_answer_older_than_what_was_told_before_is_not_believed(desk: Desk) -> None:
    desk.venue.freeze()
    await desk.broker.place(entry())
    desk.venue.faults.next(Fault.STALE, "GET", times=2)

    with pytest.raises(BrokerUnavailable, match="older"):
        await desk.broker.positions()
    with pytest.raises(BrokerUnavailable, match="older"):
        await desk.broker.place(reduction("out", "1000"))

    assert len(await desk.broker.positions()) == 1


async def test_a_cancel_that_the_fill_overtook_tells_the_fill(desk: Desk) -> None:
    await desk.broker.place(entry(kind=OrderKind.LIMIT, limit_price=D("1.09900")))
    desk.venue.market.pin("EUR_USD", "1.09880", "1.09890")
    desk.venue.book.match()

    assert (await desk.broker.cancel(ENTRY)).state is OrderState.FILLED


async def test_a_cancel_whose_answer_is_lost_is_in_doubt(desk: Desk) -> None:
    await desk.broker.place(entry(kind=OrderKind.LIMIT, limit_price=D("1.09000")))
    desk.venue.faults.next(Fault.LOST_REPLY, "PUT")

    with pytest.raises(OrderFateUnknown):
        await desk.broker.cancel(ENTRY)

    found = await desk.broker.find_order(ENTRY)
    assert found is not None
    assert found.state is OrderState.CANCELED


async def test_a_moved_stop_keeps_its_name_while_its_number_changes_and_its_fill_is_found(desk: Desk) -> None:
    await desk.broker.place(entry())
    (before,) = await desk.broker.protective_orders()
    ack = await desk.broker.amend_stop(ENTRY, D("1.09800"))
    (after,) = await desk.broker.protective_orders()

    desk.venue.market.pin("EUR_USD", "1.09700", "1.09710")
    desk.venue.book.match()

    found = await desk.broker.find_order(ClientOrderId("entry-1-s"))
    fills, _ = await desk.broker.fills_since("")
    assert ack.venue_order_id == after.venue_order_id != before.venue_order_id
    assert after.client_order_id == before.client_order_id == fills[-1].client_order_id == "entry-1-s"
    assert found is not None
    assert (found.state, found.filled_quantity) == (OrderState.FILLED, D(1_000))
    assert fills[-1].cause == "stop"


@pytest.mark.parametrize("ends_as", ["MARKET_HALTED", "SOMETHING_NEW"])
async def test_a_moved_stop_that_ended_in_the_same_breath_is_not_told_as_resting(desk: Desk, ends_as: str) -> None:
    await desk.broker.place(entry())
    desk.venue.book.moved_stops_end_as = ends_as

    if ends_as == "MARKET_HALTED":
        assert (await desk.broker.amend_stop(ENTRY, D("1.09700"))).state is OrderState.REJECTED
    else:
        with pytest.raises(OrderFateUnknown, match=ends_as):
            await desk.broker.amend_stop(ENTRY, D("1.09700"))

    (position,) = await desk.broker.positions()
    assert position.stop_price is None


async def test_a_stop_that_a_person_removed_is_seen_and_can_be_rested_again(desk: Desk) -> None:
    await desk.broker.place(entry())
    book = desk.venue.book
    book.end(next(each for each in book.pending() if each["type"] == "STOP_LOSS"), "CLIENT_REQUEST")
    (bare,) = await desk.broker.positions()
    assert bare.stop_price is None

    ack = await desk.broker.place_stop(bare, ClientOrderId("again"), D("1.09600"))

    (position,) = await desk.broker.positions()
    assert (ack.state, position.stop_order_id) == (OrderState.WORKING, "again")


async def test_the_newer_of_two_entries_is_closed_by_its_trade_and_the_older_one_is_left_alone(desk: Desk) -> None:
    await desk.broker.place(entry("old"))
    await desk.broker.place(entry("new"))

    ack = await desk.broker.place(reduction("out", "400", of="new"))

    positions = {each.entry_order_id: each.quantity for each in await desk.broker.positions()}
    fills, _ = await desk.broker.fills_since("")
    assert ack.state is OrderState.FILLED
    assert positions == {"old": D(1_000), "new": D(600)}
    assert fills[-1].client_order_id == "out"


async def test_closes_that_are_wanted_together_read_the_trades_together(desk: Desk) -> None:
    names = [f"entry-{number}" for number in range(1, 6)]
    for name in names:
        await desk.broker.place(entry(name))
    patient = adapter(desk.url, time_outs=TimeOuts())
    desk.venue.requests.clear()

    acks = await asyncio.gather(*(patient.place(reduction(f"out of {name}", "1000", of=name)) for name in names))

    await patient.close()
    reads = [each for each in desk.venue.requests if each.startswith("GET")]
    assert {each.state for each in acks} == {OrderState.FILLED}
    assert len(reads) <= 2, "one that began before the others asked, and theirs"
    assert await desk.broker.positions() == ()


async def test_a_close_of_more_than_a_newer_trade_has_closes_what_it_has(desk: Desk) -> None:
    await desk.broker.place(entry("old"))
    await desk.broker.place(entry("new"))

    ack = await desk.broker.place(reduction("out", "5000", of="new"))

    (left,) = await desk.broker.positions()
    assert (ack.state, left.entry_order_id, left.quantity) == (OrderState.FILLED, "old", D(1_000))


async def test_a_close_of_one_of_two_trades_whose_answer_is_lost_is_told_under_its_name(desk: Desk) -> None:
    await desk.broker.place(entry("old"))
    await desk.broker.place(entry("new"))
    _, cursor = await desk.broker.fills_since("")
    desk.venue.faults.next(Fault.LOST_REPLY, "/close")
    with pytest.raises(OrderFateUnknown):
        await desk.broker.place(reduction("out", "400", of="new"))

    found = await desk.broker.find_order(ClientOrderId("out"))
    told, _ = await desk.broker.fills_since(cursor)

    assert found is not None
    assert (found.client_order_id, found.state, found.filled_quantity) == ("out", OrderState.FILLED, D(400))
    assert [(each.client_order_id, each.quantity) for each in told] == [("out", D(400))]


async def test_a_close_of_one_of_two_trades_that_never_arrived_is_not_found_and_may_come_again(desk: Desk) -> None:
    await desk.broker.place(entry("old"))
    await desk.broker.place(entry("new"))
    desk.venue.faults.next(Fault.LOST_REQUEST, "/close")
    with pytest.raises(OrderFateUnknown):
        await desk.broker.place(reduction("out", "400", of="new"))

    found = await desk.broker.find_order(ClientOrderId("out"))
    await desk.broker.place(reduction("again", "400", of="new"))

    fills, _ = await desk.broker.fills_since("")
    assert found is None
    assert [each.client_order_id for each in fills] == ["old", "new", "again"]


async def test_a_close_between_whose_name_and_effect_a_crash_came_is_told_and_found_under_its_name(desk: Desk) -> None:
    new, out = (leg_of(ClientOrderId("foreign:1"), each) for each in ("E0", "X0"))
    await desk.broker.place(entry("old"))
    await desk.broker.place(entry(new))
    desk.venue.faults.next(Fault.LATE_REQUEST, "/close")
    closing = asyncio.ensure_future(desk.broker.place(reduction(out, "1000", of=new)))
    while not any(each.endswith("/close") for each in desk.venue.requests):
        await ManualClock().sleep(0)
    after_crash = adapter(desk.url)
    early, cursor = await after_crash.fills_since("")

    desk.venue.faults.release.set()
    with pytest.raises(OrderFateUnknown):
        await closing
    told, _ = await after_crash.fills_since(cursor)
    found = await after_crash.find_order(out)
    await after_crash.close()

    assert [each.client_order_id for each in early] == ["old", new]
    assert [(each.client_order_id, each.quantity) for each in told] == [(out, D(1_000))]
    assert found is not None
    assert (found.state, found.filled_quantity) == (OrderState.FILLED, D(1_000))


async def test_what_a_person_closes_of_a_trade_after_our_close_is_not_ours(desk: Desk) -> None:
    await desk.broker.place(entry("old"))
    await desk.broker.place(entry("new"))
    await desk.broker.place(reduction("out", "400", of="new"))
    number = desk.venue.book.open_trades()[1].id

    close_trade(desk.venue.book, number, {"units": "100"})

    fills, _ = await desk.broker.fills_since("")
    assert [(each.client_order_id.partition(":")[0], each.quantity) for each in fills[2:]] == [
        ("out", D(400)),
        ("foreign", D(100)),
    ]


async def test_the_close_of_the_older_of_two_trades_never_reaches_the_newer_one(desk: Desk) -> None:
    await desk.broker.place(entry("old"))
    await desk.broker.place(entry("new"))
    desk.venue.faults.next(Fault.DUPLICATED, "/close")

    await desk.broker.place(reduction("out", "1000", of="old"))

    (left,) = await desk.broker.positions()
    assert (left.entry_order_id, left.quantity) == ("new", D(1_000))


async def test_a_target_that_would_rest_is_refused_even_of_the_only_trade_since_it_might_reduce_a_later_one(
    desk: Desk,
) -> None:
    await desk.broker.place(entry())
    sent = desk.sent()

    ack = await desk.broker.place(reduction("out", "400", price="1.12000"))

    assert (ack.state, ack.reason.partition(":")[0]) == (OrderState.REJECTED, "LIMIT_NOT_POSSIBLE")
    assert desk.sent() == sent


@pytest.mark.parametrize("hedging", [False, True])
async def test_a_close_whose_trade_ends_before_it_leaves_reduces_nothing_of_a_trade_that_is_opened_meanwhile(
    desk: Desk, hedging: bool
) -> None:
    # Arrange
    desk.venue.book.hedging = hedging
    await desk.broker.place(entry())

    async def meanwhile() -> None:
        if len(desk.venue.book.trades) == 1:
            stop_out(desk)
            await desk.broker.place(other_entry())

    # Act
    ack = await desk.broker.place(reduction("out", "1000"), meanwhile)

    # Assert
    (left,) = await desk.broker.positions()
    fills, _ = await desk.broker.fills_since("")
    assert ack.state is OrderState.REJECTED
    assert (left.entry_order_id, left.quantity) == ("entry-2", D(1_000))
    assert [each.client_order_id for each in fills] == ["entry-1", "entry-1-s", "entry-2"]


@pytest.mark.parametrize("hedging", [False, True])
@pytest.mark.parametrize("late", ["/clientExtensions", "/close"])
async def test_a_close_that_arrives_when_its_trade_has_ended_reduces_nothing_of_a_trade_that_was_opened_meanwhile(
    desk: Desk, late: str, hedging: bool
) -> None:
    # Arrange
    desk.venue.book.hedging = hedging
    await desk.broker.place(entry())
    desk.venue.faults.next(Fault.LATE_REQUEST, late)
    with pytest.raises(OrderFateUnknown if late == "/close" else BrokerUnavailable):
        await desk.broker.place(reduction("out", "1000"))
    stop_out(desk)
    await desk.broker.place(other_entry())

    # Act
    desk.venue.faults.release.set()
    while not desk.venue.book.transactions[-1]["type"].endswith("_REJECT"):
        await ManualClock().sleep(0)

    # Assert
    (left,) = await desk.broker.positions()
    assert (left.entry_order_id, left.quantity) == ("entry-2", D(1_000))
    assert await desk.broker.find_order(ClientOrderId("out")) is None


async def test_a_close_of_a_trade_that_was_seen_asks_nothing_first(desk: Desk) -> None:
    await desk.broker.place(entry())
    await desk.broker.positions()
    desk.venue.requests.clear()

    await desk.broker.place(reduction("out", "1000"))

    assert [each.rpartition("/")[2] for each in desk.venue.requests] == ["clientExtensions", "close"]
    assert list(oanda_executed(desk.venue)) == ["entry-1", "out"], "the witness of tier C counts it under its name"


async def test_what_a_person_has_closed_of_a_trade_that_was_seen_before_is_found_by_the_next_close(desk: Desk) -> None:
    await desk.broker.place(entry())
    await desk.broker.positions()
    close_trade(desk.venue.book, desk.venue.book.open_trades()[0].id, {"units": "100"})

    refused = await desk.broker.place(reduction("out", "1000"))
    ack = await desk.broker.place(reduction("again", "1000"))

    fills, _ = await desk.broker.fills_since("")
    assert (refused.reason.split(":")[0], ack.state) == ("CLOSE_TRADE_UNITS_EXCEED_TRADE_SIZE", OrderState.FILLED)
    assert [(each.client_order_id, each.quantity) for each in fills[2:]] == [("again", D(900))]


async def test_a_venue_that_refuses_the_comment_of_a_trade_holds_no_close_up(desk: Desk) -> None:
    desk.venue.book.takes_comments = False
    await desk.broker.place(entry())

    part = await desk.broker.place(reduction("part", "400"))
    rest = await desk.broker.place(reduction("rest", "1000"))

    fills, _ = await desk.broker.fills_since("")
    found = await desk.broker.find_order(ClientOrderId("part"))
    assert (part.state, rest.state) == (OrderState.FILLED, OrderState.FILLED)
    assert [(each.client_order_id, each.quantity) for each in fills[1:]] == [("part", D(400)), ("rest", D(600))]
    assert found is not None
    assert (found.client_order_id, found.filled_quantity) == ("part", D(400))


@pytest.mark.parametrize("fault", [Fault.LOST_REQUEST, Fault.LOST_REPLY, Fault.BAD_GATEWAY, Fault.TOO_MANY])
async def test_a_close_whose_comment_is_not_confirmed_was_surely_not_sent(desk: Desk, fault: Fault) -> None:
    await desk.broker.place(entry())
    desk.venue.faults.next(fault, "/clientExtensions")

    with pytest.raises(BrokerUnavailable, match="was not sent"):
        await desk.broker.place(reduction("out", "1000"))

    assert len(await desk.broker.positions()) == 1
    assert (await desk.broker.place(reduction("again", "1000"))).state is OrderState.FILLED


async def test_the_comment_of_a_close_that_was_given_up_takes_no_later_close_away_from_its_name(desk: Desk) -> None:
    # Arrange
    await desk.broker.place(entry())
    trade = desk.venue.book.open_trades()[0]
    desk.venue.faults.next(Fault.LATE_REQUEST, "/clientExtensions")
    with pytest.raises(BrokerUnavailable):
        await desk.broker.place(reduction("given-up", "400"))

    async def late_comment() -> None:
        if trade.comment is not None:  # the close has its own by now, and is the next to leave
            desk.venue.faults.release.set()
            while not trade.comment.startswith("given-up"):
                await ManualClock().sleep(0)

    # Act
    await desk.broker.place(reduction("out", "400"), late_comment)

    # Assert
    fills, _ = await desk.broker.fills_since("")
    assert [each.client_order_id for each in fills] == ["entry-1", "out"]


async def test_a_close_of_a_trade_that_somebody_else_has_opened_is_found_after_a_lost_answer_and_a_crash(
    desk: Desk,
) -> None:
    # Arrange
    _, told = create_order(desk.venue.book, by_hand(EUR_USD.venue_symbol))
    theirs = ClientOrderId(f"foreign:{told['orderFillTransaction']['id']}")
    ours = adapter(desk.url, order_id_prefix="TB")
    out = leg_of(theirs, "X0")
    desk.venue.faults.next(Fault.LOST_REPLY, "/close")
    with pytest.raises(OrderFateUnknown):
        await ours.place(reduction(out, "1000", of=theirs))
    await ours.close()

    # Act
    after_crash = adapter(desk.url, order_id_prefix="TB")
    found = await after_crash.find_order(out)
    await after_crash.close()

    # Assert
    assert found is not None
    assert (found.client_order_id, found.state, found.filled_quantity) == (out, OrderState.FILLED, D(1_000))


async def test_a_close_is_looked_for_no_further_back_than_its_trade(desk: Desk) -> None:
    # Arrange
    for number in range(10):
        await desk.broker.place(entry(f"old-{number}", kind=OrderKind.LIMIT, limit_price=D("1.09000")))
    name = leg_of(ClientOrderId("of this case"), "E0")
    await desk.broker.place(entry(name))
    await desk.broker.place(reduction(leg_of(name, "X0"), "1000", of=name))
    desk.venue.page = 2
    after_crash = adapter(desk.url)
    desk.venue.requests.clear()

    # Act
    found = await after_crash.find_order(leg_of(name, "X0"))
    absent = await after_crash.find_order(leg_of(name, "X0", 1))
    await after_crash.close()

    # Assert
    pages = sum(each.endswith("/orders") for each in desk.venue.requests)
    assert found is not None
    assert (found.state, absent) == (OrderState.FILLED, None)
    assert pages <= 4


@pytest.mark.parametrize("names_outlive", [False, True])
async def test_an_entry_that_was_sent_again_while_its_trade_is_open_is_told_as_the_fill_that_it_had(
    desk: Desk, names_outlive: bool
) -> None:
    desk.venue.book.names_outlive = names_outlive
    first = await desk.broker.place(entry())

    again = await desk.broker.place(entry())
    found = await desk.broker.find_order(ENTRY)

    (position,) = await desk.broker.positions()
    assert (again.state, again.venue_order_id) == (OrderState.FILLED, first.venue_order_id)
    assert found is not None
    assert (found.state, position.quantity) == (OrderState.FILLED, D(1_000))


async def test_an_entry_against_an_open_position_opens_nothing_and_closes_nothing(desk: Desk) -> None:
    await desk.broker.place(entry())

    ack = await desk.broker.place(entry("other", side=Side.SELL, stop="1.10500"))

    (position,) = await desk.broker.positions()
    assert (ack.state, position.quantity) == (OrderState.REJECTED, D(1_000))


async def test_what_is_not_ours_is_told_by_the_venues_number(desk: Desk) -> None:
    theirs = adapter(desk.url, order_id_prefix="TB")
    await desk.broker.place(entry("somebody"))

    (position,) = await theirs.positions()
    (stop,) = await theirs.protective_orders()
    fills, _ = await theirs.fills_since("")
    await theirs.close()

    assert position.entry_order_id == f"foreign:{fills[0].venue_fill_id.split('/')[1]}"
    assert stop.client_order_id is None
    assert fills[0].client_order_id.startswith("foreign:")


async def test_the_balance_falls_by_the_fees_that_the_fills_tell(desk: Desk) -> None:
    desk.venue.book.charge = D("0.25")
    await desk.broker.place(entry())

    fills, _ = await desk.broker.fills_since("")

    assert (fills[0].fee, (await desk.broker.account()).balance) == (D("0.25"), D("9999.75"))


async def test_a_cursor_of_another_venue_is_refused(desk: Desk) -> None:
    with pytest.raises(BrokerUnavailable, match="not of this venue"):
        await desk.broker.fills_since("BTCUSDT=5")


async def test_a_cursor_from_another_account_reads_everything_again(desk: Desk) -> None:
    await desk.broker.place(entry())

    fills, cursor = await desk.broker.fills_since("999999")

    assert [each.client_order_id for each in fills] == ["entry-1"]
    assert cursor == desk.venue.book.last_id


# ------------------------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"token": "wrong"}, "Insufficient authorization"), ({"account": "101-004-1-002"}, "forbidden")],
)
async def test_a_wrong_key_or_account_is_told_in_the_venues_words(
    desk: Desk, changes: dict[str, str], words: str
) -> None:
    stranger = adapter(desk.url, **changes)

    with pytest.raises(KeyRefused, match=words):
        await stranger.check_connectivity()
    with pytest.raises(KeyRefused, match=words):
        await stranger.place(entry())
    await stranger.close()

    assert desk.effects() == 0


@pytest.mark.parametrize(
    ("fault", "words"), [(Fault.UNAUTHORISED, "Insufficient authorization"), (Fault.FORBIDDEN, "forbidden")]
)
async def test_a_key_that_is_revoked_mid_run_is_told_as_such_surely_did_nothing_and_leaves_positions(
    desk: Desk, fault: Fault, words: str
) -> None:
    await desk.broker.place(entry())
    desk.venue.faults.always(fault)

    with pytest.raises(KeyRefused, match=words):
        await desk.broker.place(entry("second"))
    with pytest.raises(KeyRefused, match=words):
        await desk.broker.amend_stop(ENTRY, D("1.09600"))
    with pytest.raises(KeyRefused, match=words):
        await desk.broker.cancel(ENTRY)
    with pytest.raises(KeyRefused, match=words):
        await desk.broker.positions()

    desk.venue.faults.lift()
    (position,) = await desk.broker.positions()
    assert (position.stop_price, len(desk.venue.book.open_trades())) == (entry().plan.stop, 1)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"quantity": D(10_000_000)}, "INSUFFICIENT_MARGIN"),
        ({"quantity": D("10.5")}, "UNITS_PRECISION_EXCEEDED"),
        ({"stop": "1.0950001"}, "STOP_LOSS_ON_FILL_PRICE_PRECISION_EXCEEDED"),
        ({"stop": "1.10500"}, "STOP_LOSS_ON_FILL_LOSS"),
        ({"price_bound": D("1.10005")}, "BOUNDS_VIOLATION"),
        ({"price_bound": D("1.1013701")}, "PRICE_BOUND_PRECISION_EXCEEDED"),
        ({"kind": OrderKind.LIMIT}, "PRICE_MISSING"),
        ({"symbol": Symbol("NO_SUCH")}, "UNKNOWN_SYMBOL"),
    ],
)
async def test_a_refused_entry_has_the_venues_code(desk: Desk, changes: dict[str, Any], word: str) -> None:
    ack = await desk.broker.place(entry(**changes))

    assert ack.state is OrderState.REJECTED
    assert ack.reason.split(":")[0] == word


async def test_a_closed_market_refuses_an_entry_and_has_no_quote(desk: Desk) -> None:
    desk.venue.market.halt("EUR_USD")

    ack = await desk.broker.place(entry())
    with pytest.raises(BrokerUnavailable, match="halted"):
        await desk.broker.quote(EUR_USD.symbol)
    (terms,) = await desk.broker.terms([EUR_USD.symbol])

    assert (ack.state, ack.reason) == (OrderState.REJECTED, "MARKET_HALTED")
    assert (terms.is_open, terms.says) == (False, "non-tradeable")


# -------------------------------------------------------------------------------------------------------------- streams


async def test_a_stream_that_falls_silent_ends_as_unavailable(desk: Desk) -> None:
    stream = desk.broker.quotes([EUR_USD.symbol])
    first = await anext(stream)

    with pytest.raises(BrokerUnavailable, match="stream"):
        await anext(stream)

    assert first.bid == D("1.10000")


async def test_a_stream_that_is_cut_ends_as_unavailable_and_the_next_one_begins_with_a_snapshot(desk: Desk) -> None:
    stream = desk.broker.quotes([EUR_USD.symbol])
    await anext(stream)
    desk.venue.cut_streams()
    with pytest.raises(BrokerUnavailable, match="stream"):
        await anext(stream)

    again = desk.broker.quotes([EUR_USD.symbol])
    assert (await anext(again)).bid == D("1.10000")
    await again.aclose()  # type: ignore[attr-defined]

    assert desk.venue.streams_opened == 2


async def test_an_instrument_that_the_account_does_not_have_spoils_no_stream_and_no_terms(desk: Desk) -> None:
    desk.venue.book.not_offered.add("GBP_USD")
    registry = default_registry()
    both = adapter(desk.url, instruments=(registry.get("GBP_USD"), EUR_USD))
    symbols = [Symbol("GBP_USD"), EUR_USD.symbol]

    stream = both.quotes(symbols)
    quote = await anext(stream)
    terms = await both.terms(symbols)
    with pytest.raises(BrokerUnavailable, match="offers none"):
        await anext(both.quotes(symbols[:1]))
    await stream.aclose()  # type: ignore[attr-defined]
    await both.close()

    assert quote.symbol == EUR_USD.symbol
    assert [each.symbol for each in terms] == [EUR_USD.symbol]


# ---------------------------------------------------------------------------------------------------------- market data


async def test_days_end_at_17_new_york_and_candles_of_four_hours_lie_on_the_utc_grid(desk: Desk) -> None:
    days = await desk.broker.candles(EUR_USD.symbol, Timeframe.D1, since=None, limit=3)
    hours = await desk.broker.candles(EUR_USD.symbol, Timeframe.H4, since=None, limit=3)

    assert [each.opened_at.hour for each in days] == [22, 22, 22]
    assert [each.closed_at - each.opened_at for each in days] == [Timeframe.D1.duration] * 3
    assert {each.opened_at.hour % 4 for each in hours} == {0}
    assert hours[-1].closed_at == MONDAY


async def test_candles_beyond_one_page_are_read_to_the_end_without_doubles(desk: Desk) -> None:
    patient = adapter(desk.url, time_outs=TimeOuts())
    candles = await patient.candles(EUR_USD.symbol, Timeframe.M1, since=None, limit=5_001)
    await patient.close()

    opened = [each.opened_at for each in candles]
    assert len(opened) == 5_001
    assert opened == sorted(set(opened))
    assert candles[-1].closed_at == MONDAY


async def test_candles_since_a_future_instant_are_none(desk: Desk) -> None:
    future = datetime(2024, 3, 4, 13, tzinfo=UTC)

    assert await desk.broker.candles(EUR_USD.symbol, Timeframe.H1, since=future, limit=3) == ()


async def test_the_account_and_its_terms_are_told_as_the_venue_has_them(desk: Desk) -> None:
    identity = await desk.broker.identity()
    (terms,) = await desk.broker.terms([EUR_USD.symbol, Symbol("NO_SUCH")])

    assert (identity.is_live, identity.currency, identity.may_trade) == (False, "USD", True)
    assert ACCOUNT not in identity.account + identity.fingerprint
    assert (terms.tick, terms.quantity_step, terms.min_quantity) == (D("0.00001"), D(1), D(1))
    assert (terms.is_open, await desk.broker.server_time()) == (True, MONDAY)


async def test_the_fake_fills_a_stop_by_itself_when_its_market_gets_there() -> None:
    market, clock = FakeMarket(default_registry()), ManualClock(MONDAY)
    market.pin("EUR_USD", "1.10000", "1.10010")
    venue = FakeOanda(market, clock)
    broker = adapter(await venue.start())
    await broker.place(entry())
    market.pin("EUR_USD", "1.09000", "1.09010")

    await clock.run_for(0.2)

    assert await broker.positions() == ()
    await broker.close()
    await venue.close()
