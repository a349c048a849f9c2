"""What the IG adapter makes of a bad network and an odd venue: every order is sent once, and silence is never a no."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from bot.clock import ReplayClock
from bot.errors import BrokerUnavailable, ConfigError, KeyRefused, OrderFateUnknown
from bot.instruments import Currency, Symbol, default_registry
from bot.layer1_data.broker_interface import WOULD_TRIGGER
from bot.layer1_data.brokers.ig.access import Access
from bot.layer1_data.brokers.ig.adapter import IGBroker
from bot.layer1_data.brokers.ig.errors import BEYOND_THE_LEVEL
from bot.layer1_data.brokers.ig.wire import Allowance
from bot.models import (
    ApprovedOrder,
    ClientOrderId,
    Direction,
    ExitPlan,
    OrderKind,
    OrderState,
    PositionId,
    ReduceOrder,
    Side,
    SignalId,
    StrategyName,
    TaskId,
    Timeframe,
    VenuePosition,
    leg_of,
)
from tests.contract.stands import START
from tests.contract.stands_ig import PLENTY, AlwaysOpen
from tests.fakes.ig import FakeIg, Fault

D = Decimal
AAPL = default_registry().get("AAPL")
SPX = default_registry().get("SPX500_USD")
ENTRY = ClientOrderId("TBd0123456789ABCDEFE00")
OPEN, CLOSE = "POST /positions/otc", "DELETE /positions/otc"


class Stand:
    """A venue with one share and one index, and the adapter that talks to it."""

    def __init__(self) -> None:
        self.clock = ReplayClock(START)
        self.market = AlwaysOpen(default_registry())
        self.market.pin("AAPL", "200.00", "200.10")
        self.venue = FakeIg(instruments=(AAPL, SPX), market=self.market, clock=self.clock, balance="100000")
        self.brokers: list[IGBroker] = []
        self.url = ""

    def connected(
        self, *, timeout_s: float = 5.0, allowance: Allowance = PLENTY, confirm_tries: int = 6, **access: object
    ) -> IGBroker:
        known = {"environment": "demo", "key": "key", "username": "user", "password": "secret", "url": self.url}
        broker = IGBroker(
            access=Access(**(known | access)),  # type: ignore[arg-type]
            instruments=(AAPL, SPX),
            clock=self.clock,
            allowance=allowance,
            timeout_s=timeout_s,
            confirm_tries=confirm_tries,
            patience_s=0.05,
            quote_fresh_s=-1,
            shared_s=-1,
            account_shared_s=-1,
        )
        self.brokers.append(broker)
        return broker

    def passes(self, seconds: float) -> None:
        self.clock.set_time(self.clock.now() + timedelta(seconds=seconds))

    def fault(self, kind: str, at: str, times: int = 1, status: int = 500, code: str = "") -> None:
        self.venue.faults.append(Fault(kind=kind, at=at, times=times, status=status, code=code))


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    made = Stand()
    made.url = await made.venue.start()
    yield made
    for each in made.brokers:
        await each.close()
    await made.venue.close()


def entry(quantity: str = "10", *, stop: str = "195.00", name: str = ENTRY, side: Side = Side.BUY) -> ApprovedOrder:
    plan = ExitPlan(
        direction=Direction.LONG if side is Side.BUY else Direction.SHORT,
        stop=D(stop),
        targets=(),
        tick=AAPL.tick,
        quantity_step=AAPL.quantity_step,
        min_quantity=AAPL.min_quantity,
    )
    return ApprovedOrder(
        client_order_id=ClientOrderId(name),
        stop_order_id=leg_of(ClientOrderId(name), "S0"),
        position_id=PositionId("p"),
        signal_id=SignalId("s"),
        task_id=TaskId("t"),
        strategy=StrategyName("faults"),
        broker_id=AAPL.broker_id,
        symbol=AAPL.symbol,
        side=side,
        kind=OrderKind.MARKET,
        quantity=D(quantity),
        limit_price=None,
        decided_price=D("200.10"),
        price_bound=D("201.30") if side is Side.BUY else D("198.80"),
        plan=plan,
        risk_amount=D(50),
        value_per_point=D(1),
        valid_until=START + timedelta(hours=1),
    )


def exit_of(quantity: str, leg: str = "X0", entry_order_id: str = ENTRY) -> ReduceOrder:
    return ReduceOrder(
        client_order_id=leg_of(ENTRY, leg),
        position_id=PositionId("p"),
        entry_order_id=ClientOrderId(entry_order_id),
        broker_id=AAPL.broker_id,
        symbol=AAPL.symbol,
        side=Side.SELL,
        kind=OrderKind.MARKET,
        quantity=D(quantity),
        limit_price=None,
        reason="TEST",
    )


async def fills(broker: IGBroker) -> list[tuple[str, Decimal, Decimal]]:
    found, _ = await broker.fills_since("")
    return [(each.client_order_id, each.quantity, each.price) for each in found]


# ---------------------------------------------------------------------------------------------------- N: the network


@pytest.mark.parametrize("kind", ["reply lost", "html", "truncated"])
async def test_an_entry_whose_answer_is_of_no_use_is_unknown_and_found_afterwards(stand: Stand, kind: str) -> None:
    broker = stand.connected()
    stand.fault(kind, OPEN)
    with pytest.raises(OrderFateUnknown):
        await broker.place(entry())

    found = await broker.find_order(ENTRY)
    assert found is not None
    assert (found.state, found.filled_quantity) == (OrderState.FILLED, D(10))
    assert len(stand.venue.sent(OPEN)) == 1


async def test_an_entry_names_the_worst_level_in_the_venues_units_and_is_filled_at_the_price_of_now(
    stand: Stand,
) -> None:
    broker = stand.connected()
    await broker.place(entry())

    (sent,) = stand.venue.sent(OPEN)
    assert (sent.body["orderType"], sent.body["level"], sent.body["timeInForce"]) == ("LIMIT", 20_130, "FILL_OR_KILL")
    assert await fills(broker) == [(ENTRY, D(10), D("200.10"))]


@pytest.mark.parametrize("reason", BEYOND_THE_LEVEL)
async def test_an_entry_whose_level_the_price_has_left_is_refused_in_words(stand: Stand, reason: str) -> None:
    broker = stand.connected()
    stand.venue.book.beyond_level_says = reason

    ack = await broker.place(replace(entry(), price_bound=D("200.05")))

    assert ack.state is OrderState.REJECTED
    assert ack.reason.startswith(f"{reason}: it cannot be bought at 200.05 or less")
    assert await broker.positions() == ()


async def test_a_worst_level_between_two_of_the_venues_is_not_sent(stand: Stand) -> None:
    ack = await stand.connected().place(replace(entry(), price_bound=D("200.125")))

    assert ack.state is OrderState.REJECTED
    assert ack.reason == "PRECISION: bound 200.125 is not above 0 and a multiple of 0.01"
    assert stand.venue.sent(OPEN) == []


async def test_an_answer_that_comes_in_pieces_is_read_to_its_end(stand: Stand) -> None:
    broker = stand.connected()
    stand.fault("pieces", "", times=-1)

    ack = await broker.place(entry())

    (position,) = await broker.positions()
    assert (ack.state, position.quantity, len(await fills(broker))) == (OrderState.FILLED, D(10), 1)


async def test_an_entry_lost_on_its_way_is_unknown_and_found_nowhere(stand: Stand) -> None:
    broker = stand.connected()
    stand.fault("lost", OPEN)
    with pytest.raises(OrderFateUnknown):
        await broker.place(entry())

    assert await broker.find_order(ENTRY) is None
    assert len(stand.venue.sent(OPEN)) == 1


async def test_an_entry_that_arrives_late_is_found_once_it_has(stand: Stand) -> None:
    broker = stand.connected()
    stand.fault("late", OPEN)
    with pytest.raises(OrderFateUnknown):
        await broker.place(entry())
    assert await broker.find_order(ENTRY) is None

    stand.venue.deliver_late()

    (position,) = await broker.positions()
    assert (position.entry_order_id, position.stop_price) == (ENTRY, D("195.00"))


async def test_an_entry_delivered_twice_is_filled_although_its_confirm_tells_of_a_duplicate(stand: Stand) -> None:
    broker = stand.connected()
    stand.fault("twice", OPEN)

    ack = await broker.place(entry())

    assert ack.state is OrderState.FILLED
    assert await fills(broker) == [(ENTRY, D(10), D("200.10"))]


async def test_a_refusal_as_duplicate_without_a_deal_of_that_name_is_unknown_never_rejected(stand: Stand) -> None:
    broker = stand.connected()
    stand.venue.book.reject_next = "DUPLICATE_ORDER_ERROR"

    with pytest.raises(OrderFateUnknown, match="DUPLICATE_ORDER_ERROR"):
        await broker.place(entry())


async def test_an_answer_slower_than_the_time_out_is_unknown_although_the_deal_is_done(stand: Stand) -> None:
    broker = stand.connected(timeout_s=0.3)
    await broker.check_connectivity()
    stand.fault("hang", OPEN)
    with pytest.raises(OrderFateUnknown):
        await broker.place(entry())

    assert len(await broker.positions()) == 1


async def test_a_put_on_a_connection_that_dies_is_not_repeated_by_the_library(stand: Stand) -> None:
    broker = stand.connected()
    await broker.place(entry())
    stand.fault("lost", "PUT")
    with pytest.raises(OrderFateUnknown):
        await broker.amend_stop(ENTRY, D("196.00"))

    assert len(stand.venue.sent("PUT")) == 1


async def test_a_venue_that_cannot_be_reached_is_unavailable_and_nothing_was_sent(stand: Stand) -> None:
    broker = stand.connected(url="http://127.0.0.1:1")
    with pytest.raises(BrokerUnavailable):
        await broker.place(entry())

    assert stand.venue.requests == []


async def test_an_order_is_unavailable_not_unknown_when_the_venue_goes_before_the_connection(stand: Stand) -> None:
    broker = stand.connected()
    await broker.quote(AAPL.symbol)
    await stand.venue.close()
    with pytest.raises(BrokerUnavailable):
        await broker.place(entry())


@pytest.mark.parametrize(
    ("status", "code"), [(500, ""), (503, "system.error"), (403, "error.public-api.exceeded-account-allowance")]
)
async def test_while_questions_fail_no_order_is_called_absent(stand: Stand, status: int, code: str) -> None:
    broker = stand.connected()
    await broker.place(entry())
    stand.fault("no", "GET /history", times=-1, status=status, code=code)
    stand.fault("no", "GET /positions", times=-1, status=status, code=code)

    for question in (broker.find_order(ENTRY), broker.positions(), broker.fills_since("")):
        with pytest.raises(BrokerUnavailable):
            await question


async def test_a_close_whose_answer_is_lost_is_known_by_its_deal_and_size(stand: Stand) -> None:
    broker = stand.connected()
    await broker.place(entry())
    stand.fault("reply lost", CLOSE)
    with pytest.raises(OrderFateUnknown):
        await broker.place(exit_of("4"))

    assert (await fills(broker))[1][:2] == (leg_of(ENTRY, "X0"), D(4))
    assert len(stand.venue.sent(CLOSE)) == 1


@pytest.mark.parametrize("reason", ["", "MARKET_CLOSING"])
async def test_a_close_that_was_taken_is_found_by_its_confirm_before_activity_shows_it(
    stand: Stand, reason: str
) -> None:
    broker = stand.connected(confirm_tries=1)
    await broker.place(entry())
    stand.venue.book.reject_next = reason
    stand.fault("no", "GET /confirms", status=500)
    with pytest.raises(OrderFateUnknown):
        await broker.place(exit_of("4"))
    stand.venue.activity_hidden = 0 if reason else 1

    found = await broker.find_order(leg_of(ENTRY, "X0"))

    assert found is not None
    assert (found.state, found.filled_quantity) == (
        (OrderState.REJECTED, D(0)) if reason else (OrderState.FILLED, D(4))
    )


async def test_a_close_is_claimed_by_the_order_that_is_looked_for_after_a_crash(stand: Stand) -> None:
    first = stand.connected()
    await first.place(entry())
    _, cursor = await first.fills_since("")
    stand.fault("reply lost", CLOSE)
    with pytest.raises(OrderFateUnknown):
        await first.place(exit_of("4"))

    second = stand.connected()
    waiting, kept = await second.fills_since(cursor)
    found = await second.find_order(leg_of(ENTRY, "X0"))
    told, _ = await second.fills_since(kept)

    assert (list(waiting), kept) == ([], cursor)
    assert found is not None
    assert (found.state, found.filled_quantity) == (OrderState.FILLED, D(4))
    assert [(each.client_order_id, each.quantity) for each in told] == [(leg_of(ENTRY, "X0"), D(4))]


async def test_a_close_that_nobody_claims_is_told_as_foreign_after_a_minute(stand: Stand) -> None:
    broker = stand.connected()
    await broker.place(entry())
    (held,) = stand.venue.book.positions.values()
    stand.venue.book.take_off(held, D(3), D(20_000), "OTHERAPI", "PUBLIC_WEB_API")
    first, cursor = await broker.fills_since("")

    stand.passes(61)
    later, _ = await broker.fills_since(cursor)

    assert [each.client_order_id for each in first] == [ENTRY]
    assert [(each.client_order_id, each.quantity) for each in later] == [(f"foreign:{held.deal_id}", D(3))]


# ------------------------------------------------------------------------------------------------------ B: the broker


@pytest.mark.parametrize("status", [404, 405, 500])
async def test_a_confirm_that_never_comes_is_replaced_by_what_the_lists_show(stand: Stand, status: int) -> None:
    broker = stand.connected()
    code = "error.confirms.deal-not-found" if status == 404 else ""
    stand.fault("no", "GET /confirms", times=-1, status=status, code=code)

    ack = await broker.place(entry())

    assert ack.state is OrderState.FILLED
    assert ack.venue_order_id in stand.venue.book.positions


async def test_a_confirm_is_asked_for_until_it_is_there(stand: Stand) -> None:
    broker = stand.connected()
    stand.venue.confirm_misses = 3

    assert (await broker.place(entry())).state is OrderState.FILLED
    assert len(stand.venue.sent("GET /confirms")) == 4


async def test_a_deal_that_neither_confirm_nor_lists_show_yet_is_unknown_and_adopted_later(stand: Stand) -> None:
    broker = stand.connected()
    stand.venue.confirm_misses = 100
    stand.venue.activity_hidden = 1
    stand.venue.book.hide_next_positions = 1
    with pytest.raises(OrderFateUnknown):
        await broker.place(entry())

    found = await broker.find_order(ENTRY)
    assert found is not None
    assert found.state is OrderState.FILLED


async def test_an_order_that_was_confirmed_but_is_not_listed_yet_is_never_absent(stand: Stand) -> None:
    broker = stand.connected()
    stand.venue.book.hide_next_positions = 9
    stand.venue.activity_hidden = 9
    await broker.place(entry())

    with pytest.raises(BrokerUnavailable, match="not shown yet"):
        await broker.find_order(ENTRY)


async def test_activity_is_read_over_all_its_pages(stand: Stand) -> None:
    broker = stand.connected()
    stand.venue.page_size = 1
    await broker.place(entry())
    for leg in ("X0", "X1", "X2"):
        await broker.place(exit_of("2", leg))

    assert [each[:2] for each in await fills(broker)] == [
        (ENTRY, D(10)),
        *((leg_of(ENTRY, leg), D(2)) for leg in ("X0", "X1", "X2")),
    ]


async def test_activity_that_is_more_than_a_minutes_allowance_is_read_over_several(stand: Stand) -> None:
    before = stand.connected()
    stand.venue.page_size = 1
    await before.place(entry())
    for leg in range(8):
        stand.passes(86_400 * 2)
        await before.place(exit_of("1", f"X{leg}"))
    broker = stand.connected(allowance=Allowance(reads=8, trades=100))

    with pytest.raises(BrokerUnavailable, match="no turn"):
        await broker.fills_since("")
    stand.passes(61)
    with suppress(BrokerUnavailable):
        await broker.fills_since("")
    stand.passes(61)

    assert [each[1] for each in await fills(broker)] == [D(10), *[D(1)] * 8]


async def test_two_closes_of_one_position_within_a_second_are_two_fills(stand: Stand) -> None:
    broker = stand.connected()
    stand.venue.book.closes_bear_their_position = True
    await broker.place(entry())
    await broker.place(exit_of("3", "X0"))
    await broker.place(exit_of("4", "X1"))

    assert [each[:2] for each in await fills(broker)] == [
        (ENTRY, D(10)),
        (leg_of(ENTRY, "X0"), D(3)),
        (leg_of(ENTRY, "X1"), D(4)),
    ]


async def test_a_fill_after_the_accounts_clock_was_put_back_is_told(stand: Stand) -> None:
    broker = stand.connected()
    await broker.place(entry())
    _, cursor = await broker.fills_since("")
    stand.passes(60)
    await broker.place(exit_of("4"))
    row = stand.venue.book.activity[-1]
    row["date"] = (datetime.fromisoformat(row["date"]) - timedelta(hours=1)).isoformat()

    told, _ = await broker.fills_since(cursor)

    assert [(each.client_order_id, each.quantity) for each in told] == [(leg_of(ENTRY, "X0"), D(4))]


async def test_a_fill_that_shows_late_with_an_earlier_instant_is_still_told_once(stand: Stand) -> None:
    broker = stand.connected()
    await broker.place(entry())
    stand.passes(5)
    await broker.place(exit_of("4"))
    late = stand.venue.book.activity.pop(0)
    first, cursor = await broker.fills_since("")
    stand.venue.book.activity.insert(0, late)

    second, cursor = await broker.fills_since(cursor)
    third, _ = await broker.fills_since(cursor)

    names = [[each.client_order_id for each in page] for page in (first, second, third)]
    assert names == [[leg_of(ENTRY, "X0")], [ENTRY], []]


async def test_a_stop_beyond_the_price_is_refused_with_the_contracts_word(stand: Stand) -> None:
    broker = stand.connected()
    await broker.place(entry())
    stand.market.pin("AAPL", "197.00", "197.10")

    ack = await broker.amend_stop(ENTRY, D("198.00"))

    assert (ack.state, ack.reason) == (OrderState.REJECTED, WOULD_TRIGGER)


async def test_a_stop_that_fills_by_itself_is_told_under_the_stops_name(stand: Stand) -> None:
    broker = stand.connected()
    await broker.place(entry())
    stand.market.pin("AAPL", "194.00", "194.10")

    told = await fills(broker)

    assert told[-1] == (leg_of(ENTRY, "S0"), D(10), D("194.00"))
    assert await broker.positions() == ()


async def test_a_position_closed_by_hand_is_told_as_foreign(stand: Stand) -> None:
    broker = stand.connected()
    await broker.place(entry())
    (held,) = stand.venue.book.positions.values()
    stand.venue.book.take_off(held, D(10), D(20_000), "BYHAND", "WEB")

    assert (await fills(broker))[-1][0] == f"foreign:{held.deal_id}"


async def test_a_foreign_position_is_shown_and_can_be_protected_and_closed_by_its_deal(stand: Stand) -> None:
    broker = stand.connected()
    stand.venue.book.open({"epic": AAPL.venue_symbol, "direction": "BUY", "size": D(7)}, "somebody")
    (position,) = await broker.positions()
    assert position.entry_order_id.startswith("foreign:")

    stop_name = leg_of(position.entry_order_id, "S0")
    ack = await broker.place_stop(position, stop_name, D("190.00"))
    (protected,) = await broker.positions()
    exit_order = exit_of("7", entry_order_id=position.entry_order_id)
    closed = await broker.place(exit_order)

    assert (ack.state, protected.stop_price, protected.stop_order_id) == (OrderState.WORKING, D("190.00"), stop_name)
    assert closed.state is OrderState.FILLED
    assert [each[0] for each in await fills(broker)] == [exit_order.client_order_id]


async def test_a_limit_of_a_position_stays_when_its_stop_moves(stand: Stand) -> None:
    broker = stand.connected()
    await broker.place(entry())
    (held,) = stand.venue.book.positions.values()
    held.limit = D(21_000)

    await broker.amend_stop(ENTRY, D("196.00"))

    assert (held.stop, held.limit) == (D(19_600), D(21_000))


async def test_numbers_leave_exactly_as_the_decimals_have_them(stand: Stand) -> None:
    broker = stand.connected()
    await broker.place(entry("3", stop="195.01"))

    (request,) = stand.venue.sent(OPEN)
    assert '"size":3,' in request.text
    assert '"stopLevel":19501,' in request.text
    assert request.version == "2"


async def test_two_exits_that_race_never_close_more_than_is_open(stand: Stand) -> None:
    broker = stand.connected()
    await broker.place(entry())
    await broker.place(exit_of("8"))
    await broker.place(exit_of("8", "X1"))
    third = await broker.place(exit_of("8", "X2"))

    assert third.state is OrderState.REJECTED
    assert [each[1] for each in await fills(broker)] == [D(10), D(8), D(2)]


# ----------------------------------------------------------------------------------------------- the login and its end


async def test_a_question_meets_an_ended_token_logs_in_once_and_is_asked_again(stand: Stand) -> None:
    broker = stand.connected()
    await broker.check_connectivity()
    stand.venue.expire_tokens()

    await broker.check_connectivity()

    assert stand.venue.logins == 2


async def test_a_token_that_is_always_refused_is_renewed_once_for_each_question(stand: Stand) -> None:
    broker = stand.connected()
    stand.fault("no", "GET /accounts", times=-1, status=401, code="error.security.account-token-invalid")
    with pytest.raises(BrokerUnavailable, match="account-token-invalid"):
        await broker.account()

    assert (stand.venue.logins, len(stand.venue.sent("GET /accounts"))) == (2, 2)


async def test_a_fresh_token_that_is_refused_too_leads_to_no_login_for_each_question(stand: Stand) -> None:
    """O5: IG suspends those who log in again and again."""
    broker = stand.connected()
    stand.fault("no", "GET /accounts", times=-1, status=401, code="error.security.account-token-invalid")
    for _ in range(5):
        with pytest.raises(BrokerUnavailable):
            await broker.account()
        stand.passes(2)

    assert stand.venue.logins == 2

    stand.venue.faults.clear()
    stand.passes(30)
    await broker.account()
    assert stand.venue.logins == 3


async def test_an_order_that_meets_an_ended_token_is_unknown_and_never_sent_again(stand: Stand) -> None:
    broker = stand.connected()
    await broker.check_connectivity()
    stand.fault("no", OPEN, status=401, code="error.security.client-token-invalid")
    with pytest.raises(OrderFateUnknown):
        await broker.place(entry())

    assert len(stand.venue.sent(OPEN)) == 1
    assert await broker.find_order(ENTRY) is None


async def test_a_token_that_may_have_ended_is_proved_before_an_order_leaves(stand: Stand) -> None:
    broker = stand.connected()
    await broker.quote(AAPL.symbol)
    stand.passes(3_600)
    stand.venue.expire_tokens()

    assert (await broker.place(entry())).state is OrderState.FILLED


@pytest.mark.parametrize("wrong", [{"password": "wrong"}, {"key": "wrong"}, {"account": "NOTOURS"}])
async def test_a_refused_login_is_told_and_never_tried_again(stand: Stand, wrong: dict[str, str]) -> None:
    broker = stand.connected(**wrong)  # type: ignore[arg-type]
    for _ in range(3):
        with pytest.raises(BrokerUnavailable) as told:
            await broker.check_connectivity()
        assert "wrong" not in str(told.value)

    assert len(stand.venue.sent("POST /session")) == 1


async def test_a_key_revoked_meanwhile_stops_every_further_request(stand: Stand) -> None:
    broker = stand.connected()
    await broker.place(entry())
    stand.venue.key = "another"
    with pytest.raises(KeyRefused, match="api-key-invalid"):
        await broker.positions()
    before = len(stand.venue.requests)

    with pytest.raises(KeyRefused, match="not tried again"):
        await broker.place(exit_of("10"))
    assert len(stand.venue.requests) == before


async def test_a_question_that_the_key_may_not_ask_keeps_no_order_from_leaving(stand: Stand) -> None:
    broker = stand.connected()
    await broker.place(entry())
    stand.fault("no", "GET /history/activity", status=403, code="endpoint.unavailable.for.api-key")
    with pytest.raises(BrokerUnavailable, match="not answered"):
        await broker.fills_since("")

    ack = await broker.place(exit_of("10"))

    assert ack.state is OrderState.FILLED


async def test_a_login_that_fails_without_a_reason_waits_before_the_next_one(stand: Stand) -> None:
    broker = stand.connected()
    stand.fault("no", "POST /session", status=503)
    with pytest.raises(BrokerUnavailable):
        await broker.check_connectivity()
    with pytest.raises(BrokerUnavailable, match="next one is tried"):
        await broker.check_connectivity()

    stand.passes(31)
    await broker.check_connectivity()
    assert len(stand.venue.sent("POST /session")) == 2


async def test_the_named_account_is_switched_to(stand: Stand) -> None:
    broker = stand.connected(account="XYZ987")

    identity = await broker.identity()

    assert (identity.account, identity.currency, identity.is_live) == ("demo …987", Currency("USD"), False)
    assert stand.venue.account == "XYZ987"


async def test_short_tokens_are_renewed_before_they_end_without_another_login(stand: Stand) -> None:
    broker = stand.connected(oauth=True)
    for _ in range(4):
        await broker.check_connectivity()
        stand.passes(50)

    assert (stand.venue.logins, len(stand.venue.sent("POST /session/refresh-token"))) == (1, 3)


async def test_a_spent_refresh_token_leads_to_one_login(stand: Stand) -> None:
    broker = stand.connected(oauth=True)
    await broker.check_connectivity()
    stand.passes(50)
    stand.fault("no", "POST /session/refresh-token", status=401, code="error.security.oauth-token-invalid")

    await broker.check_connectivity()

    assert stand.venue.logins == 2


def test_keys_are_sent_to_no_host_but_the_venues_or_this_machine_and_are_never_shown() -> None:
    given = {"environment": "live", "key": "k3y", "username": "us3r", "password": "p4ss", "account": "ACC0UNT"}
    with pytest.raises(ConfigError, match="not an http address of this machine"):
        Access(**given, url="http://example.org")  # type: ignore[arg-type]

    shown = repr(Access(**given))  # type: ignore[arg-type]
    assert not any(each in shown for each in ("k3y", "us3r", "p4ss", "ACC0UNT"))


# ------------------------------------------------------------------------------------------ allowances, bad input


async def test_a_deal_refused_for_the_trading_allowance_was_not_placed(stand: Stand) -> None:
    broker = stand.connected()
    stand.fault("no", OPEN, status=403, code="error.public-api.exceeded-account-trading-allowance")
    with pytest.raises(BrokerUnavailable, match="had no effect"):
        await broker.place(entry())


async def test_history_waits_while_a_close_still_has_its_share_of_the_allowance(stand: Stand) -> None:
    broker = stand.connected(allowance=Allowance(reads=12, trades=12))
    await broker.place(entry())
    asked = await asyncio.gather(*(broker.account() for _ in range(12)), return_exceptions=True)
    assert any("no turn in the allowance" in str(each) for each in asked)

    assert (await broker.place(exit_of("10"))).state is OrderState.FILLED


@pytest.mark.parametrize(
    ("order", "word"),
    [
        (entry("10", stop="200.05"), "ATTACHED_ORDER_LEVEL_ERROR"),
        (entry("100000"), "INSUFFICIENT_FUNDS"),
        (entry("0.5"), "PRECISION"),
        (entry("10", stop="195.001"), "PRECISION"),
        (entry("0"), "PRECISION"),
    ],
)
async def test_a_no_has_the_venues_own_word(stand: Stand, order: ApprovedOrder, word: str) -> None:
    ack = await stand.connected().place(order)

    assert ack.state is OrderState.REJECTED
    assert word in ack.reason
    assert stand.venue.book.positions == {}


@pytest.mark.parametrize(
    ("state", "word"),
    [("CLOSED", "MARKET_CLOSED"), ("EDITS_ONLY", "MARKET_CLOSED_WITH_EDITS"), ("OFFLINE", "MARKET_OFFLINE")],
)
async def test_a_market_that_is_not_open_refuses_orders_and_shows_no_price(stand: Stand, state: str, word: str) -> None:
    broker = stand.connected()
    stand.venue.book.status[AAPL.venue_symbol] = state

    ack = await broker.place(entry())
    (terms,) = await broker.terms([AAPL.symbol])

    assert (ack.state, ack.reason, terms.is_open, terms.says) == (OrderState.REJECTED, word, False, state)
    with pytest.raises(BrokerUnavailable, match=state):
        await broker.quote(AAPL.symbol)


async def test_one_epic_that_the_venue_does_not_know_hides_no_other(stand: Stand) -> None:
    broker = stand.connected()
    del stand.venue.book.terms[SPX.venue_symbol]

    quote = await broker.quote(AAPL.symbol)

    assert (quote.bid, quote.ask) == (D("200.00"), D("200.10"))
    with pytest.raises(BrokerUnavailable, match="does not know"):
        await broker.quote(SPX.symbol)
    assert (await broker.place(entry())).state is OrderState.FILLED


async def test_a_share_in_another_currency_is_not_dealt(stand: Stand) -> None:
    broker = stand.connected()
    object.__setattr__(stand.venue.book.terms[AAPL.venue_symbol], "currency", "GBP")

    ack = await broker.place(entry())

    assert (ack.state, ack.reason.partition(":")[0]) == (OrderState.REJECTED, "CURRENCY")


async def test_candles_are_counted_against_the_weeks_points_and_refused_before_those_are_gone(stand: Stand) -> None:
    broker = stand.connected()
    stand.venue.points_left = 700
    found = await broker.candles(SPX.symbol, Timeframe.H1, since=None, limit=50)
    assert len(found) == 50

    with pytest.raises(BrokerUnavailable, match="649 of the week's"):
        await broker.candles(SPX.symbol, Timeframe.H1, since=None, limit=200)
    newest = await broker.candles(SPX.symbol, Timeframe.H1, since=found[-1].opened_at, limit=5)

    assert newest == found[-1:]
    assert len(stand.venue.sent("GET /prices")) == 2
    assert broker.rate_budget is not None
    assert broker.rate_budget.name == "history points per week"


async def test_a_share_without_data_rights_says_so_in_the_venues_words(stand: Stand) -> None:
    broker = stand.connected()
    stand.venue.no_entitlement.add(AAPL.venue_symbol)

    with pytest.raises(BrokerUnavailable, match=r"unauthorised\.access\.to\.equity\.exception"):
        await broker.candles(AAPL.symbol, Timeframe.H1, since=None, limit=5)


async def test_quiet_bars_with_null_prices_are_left_out(stand: Stand) -> None:
    broker = stand.connected()
    stand.venue.null_bar_every = 3

    found = await broker.candles(SPX.symbol, Timeframe.H1, since=None, limit=5)

    assert len(found) == 4
    assert all(each.low <= each.open <= each.high for each in found)


async def test_a_foreign_symbol_has_no_quote_and_a_gone_position_no_stop(stand: Stand) -> None:
    broker = stand.connected()
    gone = VenuePosition(
        entry_order_id=ENTRY,
        symbol=AAPL.symbol,
        direction=Direction.LONG,
        quantity=D(1),
        average_price=D(1),
        stop_price=None,
        stop_order_id=None,
    )

    assert (await broker.place_stop(gone, leg_of(ENTRY, "S0"), D("190.00"))).state is OrderState.REJECTED
    with pytest.raises(BrokerUnavailable, match="not traded here"):
        await broker.quote(Symbol("BTC/USDT"))
