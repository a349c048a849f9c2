"""Each fault of the proxy of tier C does at a socket what its name says."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from aiohttp import ClientError, ClientSession, web

from bot.clock import ManualClock
from bot.instruments import OANDA
from bot.simulation.fault_proxy import FaultProxy
from bot.simulation.tape import Tape

WHOLE = b'{"answer": "forty-two"}'
ENTRY = b'{"order": {"stopLossOnFill": {}}}'


@dataclass
class Stand:
    """A venue that counts, a proxy that may fail, and who asks."""

    clock: ManualClock = field(default_factory=ManualClock)
    rates: dict[str, float] = field(default_factory=dict)
    arrived: list[bytes] = field(default_factory=list)
    delivered: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""
    session: ClientSession | None = None
    proxy: FaultProxy | None = None

    def __post_init__(self) -> None:
        self.tape = Tape(1, self.rates)

    async def venue(self, request: web.Request) -> web.Response:
        self.arrived.append(await request.read())
        self.delivered.set()
        return web.Response(body=WHOLE, content_type="application/json")

    async def send(self, method: str = "POST", path: str = "/v3/orders/%40name", body: bytes = ENTRY) -> bytes | str:
        """The body of the answer, its status if that is an error, or "broken" if there was no whole one."""
        assert self.session is not None
        try:
            async with self.session.request(method, f"{self.url}{path}", data=body) as answer:
                return str(answer.status) if answer.status >= 400 else await answer.read()
        except ClientError:
            return "broken"

    def throw(self, *faults: str) -> None:
        """At every occasion."""
        self.rates.update(dict.fromkeys(faults, 1.0))


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    made = Stand()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", made.venue)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.proxy = FaultProxy(OANDA, f"http://127.0.0.1:{runner.addresses[0][1]}", made.tape, made.clock)
    made.url = await made.proxy.start()
    async with ClientSession() as made.session:
        yield made
    await made.proxy.close()
    await runner.cleanup()


async def test_what_does_not_fail_passes_unchanged(stand: Stand) -> None:
    answer = await stand.send()

    assert (answer, stand.arrived) == (WHOLE, [ENTRY])


@pytest.mark.parametrize(
    ("fault", "answer", "deliveries"),
    [
        ("N1", "broken", 0),
        ("N2", "broken", 1),
        ("N3", "broken", 0),
        ("N4", WHOLE, 2),
        ("N5", WHOLE[: len(WHOLE) // 2], 1),
        ("N7", "broken", 1),
        ("N8", "broken", 0),
        ("N13", "429", 0),
    ],
)
async def test_a_fault_of_an_order_request_is_what_its_name_says(
    stand: Stand, fault: str, answer: bytes | str, deliveries: int
) -> None:
    stand.throw(fault)

    told = await stand.send()

    assert (told, len(stand.arrived)) == (answer, deliveries)
    assert stand.proxy is not None
    assert [each.fault for each in stand.proxy.disturbances] == [fault]


async def test_a_late_request_arrives_after_its_sender_has_given_up(stand: Stand) -> None:
    stand.throw("N3")
    assert await stand.send() == "broken"

    await stand.clock.run_for(10.0)
    async with asyncio.timeout(10):
        await stand.delivered.wait()

    assert stand.arrived == [ENTRY]


async def test_questions_meet_no_fault_of_orders(stand: Stand) -> None:
    stand.throw("N1", "N2", "N3", "N4", "N5", "N7")

    assert await stand.send("GET", body=b"") == WHOLE


async def test_a_one_way_partition_lets_pass_either_orders_or_questions(stand: Stand) -> None:
    stand.throw("N9")

    answers = {await stand.send(), await stand.send("GET", body=b"")}

    assert answers == {WHOLE, "broken"}


async def test_a_reduction_is_never_delivered_twice(stand: Stand) -> None:
    stand.throw("N4")

    await stand.send(body=b'{"order": {"positionFill": "REDUCE_ONLY"}}')

    assert len(stand.arrived) == 1


async def test_what_lasts_ends_when_the_line_heals(stand: Stand) -> None:
    stand.throw("N13")
    assert await stand.send() == "429"
    assert stand.proxy is not None

    stand.tape.stop()
    stand.proxy.heal()

    assert await stand.send() == WHOLE


async def test_what_trades_is_counted_whatever_becomes_of_it(stand: Stand) -> None:
    stand.throw("N1")

    await stand.send()
    await stand.send("GET", body=b"")

    assert stand.proxy is not None
    assert (stand.proxy.traded, len(stand.arrived)) == (1, 1)
