"""Live updates: the same messages over a WebSocket and as server-sent events, for whoever may read, and no longer."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from aiohttp import WSCloseCode, WSMsgType

from bot.clock import ManualClock
from bot.dashboard.api.hub import HUB, TICK_S
from bot.instruments import Symbol
from bot.models import JournalEntry, Quote, TaskId
from tests.builders import START
from tests.fakes.dashboard_day import NOW
from tests.integration.api_world import ApiWorld, browsing, day_api

_DEADLINE_S = 10.0
_BITCOIN = Symbol("BTC/USDT")


class Feed:
    """Prices that a test moves."""

    def __init__(self) -> None:
        self.quotes = {_BITCOIN: quote("64000")}


def quote(bid: str) -> Quote:
    return Quote(symbol=_BITCOIN, bid=Decimal(bid), ask=Decimal(bid) + 1, at=NOW)


def entry(number: int) -> JournalEntry:
    return JournalEntry(at=START, kind="signal", task_id=TaskId("t"), data={"number": number})


@pytest.fixture
async def world() -> AsyncIterator[ApiWorld]:
    async with day_api() as served:
        yield served


def clock_of(world: ApiWorld) -> ManualClock:
    assert isinstance(world.parts.clock, ManualClock)
    return world.parts.clock


@asynccontextmanager
async def listening(world: ApiWorld, query: str = "", **options: Any) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    headers = options.pop("headers", world.bearer("reader"))
    async with world.client.ws_connect(f"{world.url}ws{query}", headers=headers, **options) as socket:
        yield socket


async def message(socket: aiohttp.ClientWebSocketResponse, kind: str) -> Mapping[str, Any]:
    """The next message of that kind."""
    async with asyncio.timeout(_DEADLINE_S):
        while True:
            found: Mapping[str, Any] = await socket.receive_json()
            if found["type"] == kind:
                return found


async def closed(socket: aiohttp.ClientWebSocketResponse) -> int | None:
    """The code it is closed with, after whatever still comes."""
    async with asyncio.timeout(_DEADLINE_S):
        while (await socket.receive()).type not in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.CLOSING):
            pass
    return socket.close_code


async def ticks(world: ApiWorld, seconds: float) -> None:
    await clock_of(world).run_for(seconds)


# ------------------------------------------------------------------------------------------------------ what is told


async def test_a_listener_is_greeted_told_how_things_are_and_then_what_happens(world: ApiWorld) -> None:
    async with listening(world) as socket:
        first = [(await socket.receive_json())["type"] for _ in range(4)]
        await ticks(world, TICK_S)
        world.parts.events.publish(entry(7))
        told = await message(socket, "journal")

    assert first == ["hello", "status", "positions", "prices"]
    assert told["entry"]["data"] == {"number": 7}


async def test_a_price_that_moved_is_told_and_at_most_four_times_a_second() -> None:
    feed = Feed()
    async with day_api() as day:
        parts = replace(day.parts, trading=replace(day.parts.trading, quotes=lambda: feed.quotes))
    async with day_api(trading=parts.trading) as world, listening(world, "?topic=prices") as socket:
        await message(socket, "prices")
        await ticks(world, TICK_S)
        for cents in range(100):
            feed.quotes = {_BITCOIN: quote(f"64000.{cents:02}")}
        await ticks(world, TICK_S)
        moved = await message(socket, "prices")
        await ticks(world, 4 * TICK_S)
        feed.quotes = {_BITCOIN: quote("65000")}
        await ticks(world, TICK_S)
        again = await message(socket, "prices")

    assert [each["bid"] for each in moved["quotes"]] == ["64000.99"]
    assert [each["bid"] for each in again["quotes"]] == ["65000"]


async def test_only_what_was_asked_for_is_told(world: ApiWorld) -> None:
    async with listening(world, "?topic=journal") as socket:
        greeting = await socket.receive_json()
        await ticks(world, 3.0)
        world.parts.events.publish(entry(1))
        nxt = await socket.receive_json()

    assert (greeting["topics"], nxt["type"]) == (["journal"], "journal")


async def test_server_sent_events_have_the_same_messages(world: ApiWorld) -> None:
    headers = world.bearer("reader")
    async with world.client.get(f"{world.url}api/events?topic=journal", headers=headers) as stream:
        lines = stream.content
        assert (stream.status, stream.content_type) == (200, "text/event-stream")
        hello = await _event(lines)
        await ticks(world, TICK_S)
        world.parts.events.publish(entry(3))
        told = await _event(lines)

    assert (hello[0], hello[1]["topics"]) == ("hello", ["journal"])
    assert (told[0], told[1]["entry"]["data"]) == ("journal", {"number": 3})


async def _event(lines: aiohttp.StreamReader) -> tuple[str, Mapping[str, Any]]:
    kind = ""
    async with asyncio.timeout(_DEADLINE_S):
        async for line in lines:
            name, _, value = line.decode().strip().partition(": ")
            if name == "event":
                kind = value
            elif name == "data":
                return kind, json.loads(value)
    raise AssertionError("the stream ended")


async def test_while_nobody_listens_nothing_is_read(world: ApiWorld) -> None:
    async with listening(world) as socket:
        await message(socket, "hello")
        await ticks(world, TICK_S)
        assert clock_of(world).sleepers == 2, "one reads, one asks whether the login holds"

        assert len(world.app[HUB]) == 1

    await world.get("/api/orders")  # by then the server has seen the end of the socket
    await ticks(world, 0)
    assert (len(world.app[HUB]), clock_of(world).sleepers) == (0, 0)


# -------------------------------------------------------------------------------------------------------- who listens


async def test_a_page_of_another_site_gets_no_socket(world: ApiWorld) -> None:
    """S12."""
    for headers in (
        {**world.bearer("reader"), "Origin": "https://evil.example"},
        {**world.bearer("reader"), "Origin": "null"},
        {**world.bearer("reader"), "Origin": "http://[broken"},
    ):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with listening(world, headers=headers):
                pass
        assert refused.value.status == 403


async def test_a_stranger_and_a_token_that_may_not_read_get_no_socket(world: ApiWorld) -> None:
    for headers, status in (({}, 401), (world.bearer("killer"), 403), ({"Authorization": "Bearer tb_x_y"}, 401)):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with listening(world, headers=headers):
                pass
        assert refused.value.status == status


async def test_a_socket_is_closed_within_five_seconds_of_the_end_of_its_token(world: ApiWorld) -> None:
    """S12, S20."""
    async with listening(world, "?topic=status") as socket:
        await message(socket, "hello")
        token_id = world.tokens["reader"].split("_")[1]
        assert await world.parts.stores.tokens.revoke(token_id, clock_of(world).now())
        await ticks(world, 5.0)
        code = await closed(socket)

    assert code == WSCloseCode.POLICY_VIOLATION


async def test_a_browser_listens_from_our_own_page_until_it_logs_out(world: ApiWorld) -> None:
    """S12: the session is asked about again during its life; listening is not using."""
    async with browsing(world) as (browser, headers), browser.ws_connect(world.url / "ws", headers=headers) as socket:
        await message(socket, "hello")
        async with browser.post(world.url / "logout", headers=headers) as left:
            assert left.status == 200
        await ticks(world, 5.0)
        code = await closed(socket)

    assert code == WSCloseCode.POLICY_VIOLATION


# ------------------------------------------------------------------------------------------------------ how it ends


async def test_a_reader_that_is_too_slow_is_dropped_and_told_why(world: ApiWorld) -> None:
    async with listening(world, "?topic=journal") as socket:
        await message(socket, "hello")
        await ticks(world, TICK_S)
        for number in range(1_000):  # the stream of the daemon keeps so many; nothing awaits, so nothing is read
            world.parts.events.publish(entry(number))
        code = await closed(socket)

    assert code == WSCloseCode.TRY_AGAIN_LATER


async def test_a_client_that_sends_much_is_cut_off(world: ApiWorld) -> None:
    async with listening(world) as socket:
        await message(socket, "hello")
        await socket.send_str("x" * 5_000)
        code = await closed(socket)

    assert code == WSCloseCode.MESSAGE_TOO_BIG


async def test_what_a_client_says_changes_nothing(world: ApiWorld) -> None:
    async with listening(world, "?topic=journal") as socket:
        await message(socket, "hello")
        await socket.send_str('{"type": "kill", "level": "halt"}')
        await socket.send_bytes(b"\x00\xff")
        await ticks(world, TICK_S)
        world.parts.events.publish(entry(1))
        told = await message(socket, "journal")

    assert told["entry"]["kind"] == "signal"


async def test_both_kinds_of_stream_end_when_the_daemon_stops(world: ApiWorld) -> None:
    headers = world.bearer("reader")
    async with (
        listening(world, "?topic=journal") as socket,
        world.client.get(f"{world.url}api/events?topic=journal", headers=headers) as stream,
    ):
        await message(socket, "hello")
        await _event(stream.content)
        await world.app.shutdown()
        code = await closed(socket)
        ended = await _event(stream.content)
        rest = await stream.content.read()

    assert code == WSCloseCode.GOING_AWAY
    assert (ended[0], "stops" in ended[1]["says"], rest.strip()) == ("ended", True, b"")


async def test_no_more_than_a_hundred_listen_at_once(world: ApiWorld) -> None:
    hub = world.app[HUB]
    held = [hub.listen(frozenset()) for _ in range(100)]
    for each in held:
        each.__enter__()
    answer = await world.get("/api/events")
    for each in held:
        each.__exit__(None, None, None)

    assert answer.status == 503


async def test_a_topic_that_is_none_is_refused(world: ApiWorld) -> None:
    assert (await world.get("/ws?topic=secrets")).status == 400
    assert (await world.get("/api/events?topic=secrets")).status == 400
    assert (await world.get("/ws")).status == 426
