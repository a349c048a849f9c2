"""The early port answers from the first moment, survives bad clients, and is handed over without ever being shut."""

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import ClientSession, web

from bot.errors import ConfigError
from bot.layer5_monitoring.health import HealthPort, HealthState

PROJECT = Path(__file__).resolve().parents[3]
HEALTH_REQUEST = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"


@asynccontextmanager
async def serving(state: HealthState, *, timeout_s: float = 2.0) -> AsyncIterator[int]:
    """A port that serves; gives its number."""
    port = HealthPort(state, timeout_s=timeout_s)
    listener = port.bind("127.0.0.1", 0)
    port.serve()
    try:
        yield listener.getsockname()[1]
    finally:
        await port.close()


async def answer(port: int, request: bytes) -> tuple[int, bytes]:
    """Status and body of one raw request; status 0 if the connection was closed without an answer."""
    async with asyncio.timeout(5):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        received = b""
        try:
            await writer.drain()
            received = await reader.read()
        except ConnectionError:
            pass  # closed by the other side before everything was sent: what came so far counts
        finally:
            writer.close()
    head, _, body = received.partition(b"\r\n\r\n")
    return (int(head.split(b" ")[1]) if head else 0), body


async def test_health_answers_200_with_the_present_state() -> None:
    state = HealthState(mode="dev", detail="importing")
    async with serving(state) as port:
        starting = await answer(port, HEALTH_REQUEST)
        state.status = "ok"
        state.last_analysis = datetime(2025, 1, 1, tzinfo=UTC)
        later = await answer(port, HEALTH_REQUEST)

    assert starting[0] == later[0] == 200
    assert json.loads(starting[1]) == {
        "status": "starting",
        "detail": "importing",
        "mode": "dev",
        "started_at": None,
        "last_analysis": None,
    }
    assert json.loads(later[1])["status"] == "ok"
    assert json.loads(later[1])["last_analysis"] == "2025-01-01T00:00:00+00:00"


async def test_any_other_page_says_that_the_daemon_is_starting_and_looks_again() -> None:
    async with serving(HealthState()) as port:
        status, body = await answer(port, b"GET /signals?page=2 HTTP/1.1\r\n\r\n")

    assert status == 503
    assert b'http-equiv="refresh"' in body
    assert b"Starting" in body


async def test_a_request_that_comes_in_pieces_is_answered() -> None:
    async with serving(HealthState()) as port, asyncio.timeout(5):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for piece in (b"GET /hea", b"lth HTTP/1.1\r\nHost:", b" x\r\n", b"\r\n"):
            writer.write(piece)
            await writer.drain()
        received = await reader.read()
        writer.close()

    assert received.startswith(b"HTTP/1.1 200 ")


async def test_a_head_request_gets_no_body() -> None:
    async with serving(HealthState()) as port:
        assert await answer(port, b"HEAD /health HTTP/1.1\r\n\r\n") == (200, b"")


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"POST /health HTTP/1.1\r\n\r\n", 405),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (b"GET /health SPDY/3\r\n\r\n", 400),
        (b"\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nX: " + b"a" * 8_192, 431),
    ],
)
async def test_nonsense_gets_an_error_and_the_port_goes_on(request_bytes: bytes, status: int) -> None:
    async with serving(HealthState()) as port:
        refused = await answer(port, request_bytes)
        well = await answer(port, HEALTH_REQUEST)

    assert refused[0] == status
    assert well[0] == 200


async def test_a_silent_client_is_cut_off_and_delays_nobody() -> None:
    async with serving(HealthState(), timeout_s=0.5) as port, asyncio.timeout(5):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        meanwhile = await answer(port, HEALTH_REQUEST)
        received = await reader.read()
        writer.close()

    assert meanwhile[0] == 200
    assert received == b""


async def test_a_client_that_leaves_before_the_answer_harms_nothing() -> None:
    async with serving(HealthState()) as port:
        for _ in range(3):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /hea")
            writer.close()
        status, _ = await answer(port, HEALTH_REQUEST)

    assert status == 200


async def test_more_clients_than_the_bound_are_closed_until_others_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.layer5_monitoring.health._MAX_CONNECTIONS", 3)
    async with serving(HealthState(), timeout_s=60) as port, asyncio.timeout(5):
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        refused, _ = await answer(port, HEALTH_REQUEST)
        for _, writer in silent:
            writer.close()
        while (await answer(port, HEALTH_REQUEST))[0] != 200:
            pass

    assert refused == 0


def test_a_taken_port_gives_the_next_free_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]

        with HealthPort(HealthState()).bind("127.0.0.1", number) as listener:
            actual = listener.getsockname()[1]

    assert actual != number
    assert actual > 0


def test_when_all_near_ports_are_taken_any_free_one_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.layer5_monitoring.health._FURTHER_PORTS", 0)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]

        with HealthPort(HealthState()).bind("127.0.0.1", number) as listener:
            assert listener.getsockname()[1] != number


def test_an_address_that_is_not_ours_is_a_config_error_that_names_it() -> None:
    with pytest.raises(ConfigError, match=r"192\.0\.2\.1 port 8080 .* HTTP_HOST"):
        HealthPort(HealthState()).bind("192.0.2.1", 8080)


def test_a_socket_is_handed_over_once() -> None:
    with pytest.raises(ValueError, match="bind first"):
        HealthPort(HealthState()).hand_over()


async def test_the_port_is_handed_to_aiohttp_without_a_single_refused_connection() -> None:
    early = HealthPort(HealthState())
    listener = early.bind("127.0.0.1", 0)
    number = listener.getsockname()[1]
    early.serve()
    enough = asyncio.Event()
    bodies: list[bytes] = []

    async def keep_asking() -> None:
        while not enough.is_set():
            bodies.append((await answer(number, b"GET /health HTTP/1.0\r\n\r\n"))[1])

    async def real_health(request: web.Request) -> web.Response:
        return web.Response(text="real")

    application = web.Application()
    application.router.add_get("/health", real_health)
    runner = web.AppRunner(application)
    async with asyncio.timeout(10):
        asking = asyncio.create_task(keep_asking())
        early_status, _ = await answer(number, HEALTH_REQUEST)
        await runner.setup()
        inherited = early.hand_over()
        await web.SockSite(runner, inherited).start()
        async with ClientSession() as session, session.get(f"http://127.0.0.1:{number}/health") as response:
            late = await response.text()
        enough.set()
        await asking
    await early.close()
    await runner.cleanup()

    assert inherited is listener
    assert early_status == 200
    assert late == "real"
    assert b"" not in bodies


async def test_the_early_port_is_not_ready_and_says_what_is_going_on() -> None:
    async with serving(HealthState(detail="importing libraries")) as port:
        status, body = await answer(port, b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n")

    assert (status, json.loads(body)) == (503, {"ready": False, "reason": "starting: importing libraries"})


def test_the_early_port_needs_nothing_but_the_standard_library() -> None:
    code = (
        "import sys, bot.layer5_monitoring.health\n"
        "heavy = {name.partition('.')[0] for name in sys.modules} & "
        "{'aiohttp', 'pydantic', 'numpy', 'talib', 'loguru', 'cyclopts', 'rich', 'apscheduler', 'asyncpg'}\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )

    result = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=False)

    assert (result.returncode, result.stderr) == (0, "")
