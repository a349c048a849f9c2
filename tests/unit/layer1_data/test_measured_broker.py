"""Every call of the broker contract is timed and named by how it ended; what it answers or raises stays as it is."""

from collections.abc import AsyncIterator, Sequence
from decimal import Decimal

import pytest

from bot.clock import ManualClock
from bot.errors import BrokerUnavailable, OrderFateUnknown
from bot.instruments import BrokerId, Currency, Symbol
from bot.layer1_data.broker_interface import BrokerInterface
from bot.layer1_data.brokers.simulated.adapter import SimulatedBroker
from bot.layer1_data.measured_broker import MeasuredBroker
from bot.layer5_monitoring.metrics_venues import ORDER_CALLS, READ_CALLS
from bot.models import OrderState, Quote
from tests.builders import EUR_USD, START, approved_order, frictionless, quote
from tests.fakes.awkward_broker import AwkwardBroker, Fault
from tests.unit.layer1_data.recording_broker import REQUESTS, Recorded, made, made_up


class Desk:
    """A measured broker over an awkward one."""

    def __init__(self) -> None:
        self.clock = ManualClock(START)
        self.heard: list[tuple[str, str, str, float]] = []
        self.quotes = 0
        venue = SimulatedBroker(
            broker_id=BrokerId("oanda"),
            instruments=[frictionless()],
            clock=self.clock,
            currency=Currency("USD"),
            balance=Decimal(1_000_000),
        )
        venue.observe(EUR_USD, bid=Decimal(100), ask=Decimal(100), at=START, gap=True)
        self.awkward = AwkwardBroker(venue, self.clock)
        self.broker = self.over(self.awkward)

    def over(self, broker: BrokerInterface) -> MeasuredBroker:
        return MeasuredBroker(
            broker, self.clock, heard=lambda *facts: self.heard.append(facts), quoted=self.count_quote
        )

    def count_quote(self) -> None:
        self.quotes += 1


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.mark.parametrize("name", REQUESTS)
async def test_every_request_is_timed_and_goes_through_as_it_is(desk: Desk, name: str) -> None:
    recorded, call = Recorded(), made_up(name)

    answer = await made(desk.over(recorded.broker), call)

    assert recorded.calls[0] == call
    assert answer is recorded.answers[name]
    assert [each[1:3] for each in desk.heard] == [(name, "ok")]


def test_every_request_and_the_stream_have_a_metric() -> None:
    assert {*ORDER_CALLS, *READ_CALLS} == {*REQUESTS, "quotes"}


async def test_an_answer_goes_through_and_its_time_is_told(desk: Desk) -> None:
    async def a_moment_later() -> None:
        desk.clock.advance(0.25)

    desk.awkward.before_placing = a_moment_later

    ack = await desk.broker.place(approved_order())

    assert ack.state is not OrderState.REJECTED
    assert desk.heard == [("oanda", "place", "ok", 0.25)]


@pytest.mark.parametrize(
    ("fault", "raised", "outcome"),
    [(Fault.REPLY_LOST, OrderFateUnknown, "unknown"), (Fault.UNREACHABLE, BrokerUnavailable, "unavailable")],
)
async def test_an_error_goes_through_and_is_told_by_what_it_means(
    desk: Desk, fault: Fault, raised: type[Exception], outcome: str
) -> None:
    desk.awkward.place_faults.append(fault)

    with pytest.raises(raised):
        await desk.broker.place(approved_order())

    assert [each[1:3] for each in desk.heard] == [("place", outcome)]


async def test_a_no_of_the_venue_is_an_answer_and_counts_as_rejected(desk: Desk) -> None:
    desk.awkward.place_faults.append(Fault.REJECTED)

    ack = await desk.broker.place(approved_order())

    assert ack.state is OrderState.REJECTED
    assert [each[1:3] for each in desk.heard] == [("place", "rejected")]


async def test_what_nobody_foresaw_is_an_error(desk: Desk) -> None:
    desk.awkward.place_faults.append(Fault.BROKEN)

    with pytest.raises(KeyError):
        await desk.broker.place(approved_order())

    assert [each[1:3] for each in desk.heard] == [("place", "error")]


class Streaming(AwkwardBroker):
    """Streams two quotes, and knows when its stream was closed."""

    closed = False

    async def quotes(self, symbols: Sequence[Symbol]) -> AsyncIterator[Quote]:
        try:
            yield quote()
            yield quote()
        finally:
            self.closed = True


async def test_each_streamed_quote_is_noted_and_the_stream_is_closed_when_nobody_reads(desk: Desk) -> None:
    streaming = Streaming(desk.awkward.venue, desk.clock)
    broker = desk.over(streaming)

    stream = broker.quotes([EUR_USD])
    await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined]

    assert desk.quotes == 1
    assert streaming.closed
    assert [each[1:3] for each in desk.heard] == [("quotes", "cancelled")]
