"""A proxy between a daemon and a venue, on loopback, that loses, delays, repeats and cuts what passes through it.

Requests that trade fail in every way a network has (N1 to N7); questions fail while the line is down (N8), half down
(N9) or the venue has had enough (N13); streams stall (N10) or break (N11). The tape of the seed throws all dice.
"""

import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, TCPConnector, web
from yarl import URL

from bot.instruments import BrokerId
from bot.interfaces import Clock
from bot.simulation.tape import Tape

FAULTS_OF_ORDERS: Final = ("N1", "N2", "N3", "N4", "N5", "N6", "N7")
FAULTS_OF_THE_LINE: Final = ("N8", "N9", "N13")
FAULTS_OF_STREAMS: Final = ("N10", "N11")
PROXY_FAULTS: Final = FAULTS_OF_ORDERS + FAULTS_OF_THE_LINE + FAULTS_OF_STREAMS

_ANSWERED_WITHIN: Final = ClientTimeout(total=None, sock_connect=5, sock_read=60)
_HOP_BY_HOP: Final = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "accept-encoding"}
_SECONDS: Final = {  # least and most
    "N3": (2.0, 8.0),  # late
    "N6": (3.0, 22.0),  # slower than any time-out
    "N8": (1.0, 6.0),
    "N9": (2.0, 8.0),
    "N10": (5.0, 20.0),
    "N13": (2.0, 10.0),
}
_STREAM_DICE_EVERY_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Disturbance:
    """What fired, and how long the venue could not be worked with because of it."""

    broker_id: BrokerId
    fault: str
    what: str
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class _Passing:
    """One request, read to its end."""

    request: web.Request
    body: bytes
    trades: bool


@dataclass(slots=True)
class FaultProxy:
    """Passes everything on to `target`. `latency_s` is added to every answer."""

    broker_id: BrokerId
    target: str
    tape: Tape
    clock: Clock
    latency_s: float = 0.0
    disturbances: list[Disturbance] = field(default_factory=list)
    traded: int = 0  # requests that change something at the venue, whatever became of them
    _until: dict[str, datetime] = field(default_factory=dict)
    _late: set[asyncio.Task[None]] = field(default_factory=set)
    _runner: web.AppRunner | None = None
    _session: ClientSession | None = None

    async def start(self) -> str:
        """The address to use instead of the venue's."""
        application = web.Application(client_max_size=2**24)
        application.router.add_route("*", "/{path:.*}", self._pass)
        self._session = ClientSession(
            connector=TCPConnector(limit=0), timeout=_ANSWERED_WITHIN, auto_decompress=False, trust_env=False
        )
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    def heal(self) -> None:
        """What lasts ends. The tape, which is stopped by whoever has it, throws nothing more."""
        self._until.clear()

    async def close(self) -> None:
        """What is still on its way is lost."""
        for each in self._late:
            each.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        passing = _Passing(request, await request.read(), _trades(request))
        self.traded += passing.trades
        if self.latency_s:
            await self.clock.sleep(self.latency_s)
        if refusal := self._refused(passing):
            return refusal
        fault = self._drawn(passing)
        try:
            if request.path.endswith("/stream"):
                return await self._streamed(passing)
            return await self._whole(passing) if fault is None else await self._faulty(fault, passing)
        except (ClientError, TimeoutError):  # one of the two has hung up
            return _cut(request)

    # --------------------------------------------------------------------------------------------- what goes wrong

    def _refused(self, passing: _Passing) -> web.Response | None:
        """While the line is down, or down for this kind of request, or the venue refuses everybody."""
        for fault in FAULTS_OF_THE_LINE:
            if not self._lasts(fault) and self.tape.fires(fault):
                self._begin(fault, passing)
        if self._lasts("N8") or (self._lasts("N9") and passing.trades is self._orders_fail()):
            return _cut(passing.request)
        if not self._lasts("N13"):
            return None
        left_s = (self._until["N13"] - self.clock.now()).total_seconds()
        return web.json_response(
            {"code": -1003, "msg": "Too much request weight used", "errorMessage": "The request rate was exceeded"},
            status=429,
            headers={"Retry-After": str(round(left_s) + 1)},
        )

    def _drawn(self, passing: _Passing) -> str | None:
        """The first fault that fires for a request that trades."""
        if not passing.trades:
            return None
        fitting = [each for each in FAULTS_OF_ORDERS if each != "N4" or _may_come_twice(passing)]
        return next((each for each in fitting if self.tape.fires(each)), None)

    async def _faulty(self, fault: str, passing: _Passing) -> web.StreamResponse:
        wait_s = self._begin(fault, passing)
        if fault == "N1":
            return _cut(passing.request)
        if fault == "N3":
            task = asyncio.create_task(self._late_delivery(passing, wait_s), name="late delivery")
            self._late.add(task)
            task.add_done_callback(self._late.discard)
            return _cut(passing.request)
        answer = await self._whole(passing)
        if fault == "N4":
            await self._whole(passing)
        if fault == "N6":
            await self.clock.sleep(wait_s)
        if fault in ("N5", "N7"):
            return await _halved(passing.request, answer, looks_whole=fault == "N5")
        return _cut(passing.request) if fault == "N2" else answer

    async def _late_delivery(self, passing: _Passing, wait_s: float) -> None:
        await self.clock.sleep(wait_s)
        await self._whole(passing)

    async def _streamed(self, passing: _Passing) -> web.StreamResponse:
        async with self._asked(passing) as answer:
            out = web.StreamResponse(status=answer.status, headers=_kept(answer.headers))
            await out.prepare(passing.request)
            thrown_s = self.clock.monotonic()
            async for chunk in answer.content.iter_any():
                if self.clock.monotonic() >= thrown_s + _STREAM_DICE_EVERY_S:
                    thrown_s = self.clock.monotonic()
                    if self.tape.fires("N11"):
                        self._begin("N11", passing)
                        return _cut(passing.request)
                    if self.tape.fires("N10"):
                        await self.clock.sleep(self._begin("N10", passing))
                await out.write(chunk)
        return out

    def _begin(self, fault: str, passing: _Passing) -> float:
        """Note that it fired; for how many seconds it lasts."""
        lasts_s = self.tape.amount(fault, *_SECONDS[fault]) if fault in _SECONDS else 0.0
        now = self.clock.now()
        self._until[fault] = now + timedelta(seconds=lasts_s)
        what = f"{passing.request.method} {passing.request.path}"
        self.disturbances.append(
            Disturbance(broker_id=self.broker_id, fault=fault, what=what, since=now, until=self._until[fault])
        )
        return lasts_s

    def _lasts(self, fault: str) -> bool:
        return fault in self._until and self.clock.now() < self._until[fault]

    def _orders_fail(self) -> bool:
        """Of a one-way partition; else questions do. Drawn anew for each."""
        begun = sum(each.fault == "N9" for each in self.disturbances)
        return bool((self.tape.seed + begun) % 2)

    # --------------------------------------------------------------------------------------------------- passing on

    async def _whole(self, passing: _Passing) -> web.Response:
        async with self._asked(passing) as answer:
            return web.Response(status=answer.status, headers=_kept(answer.headers), body=await answer.read())

    def _asked(self, passing: _Passing) -> AbstractAsyncContextManager[ClientResponse]:
        assert self._session is not None  # noqa: S101 set by start
        request = passing.request
        return self._session.request(
            request.method,
            URL(self.target + request.raw_path, encoded=True),
            headers=_kept(request.headers),
            data=passing.body,
            allow_redirects=False,
        )


def _trades(request: web.Request) -> bool:
    """It changes something at the venue."""
    return request.method != "GET" and "/session" not in request.path


def _may_come_twice(passing: _Passing) -> bool:
    """Only what the venue knows again, by a name that is still in use or because it is done already.

    Elsewhere a second delivery is a second order, which nothing of ours can tell from the first (docs/simulation.md).
    """
    if passing.request.method in ("PUT", "DELETE"):
        return not passing.request.path.endswith("/close")
    return b"stopLossOnFill" in passing.body or b"STOP_LOSS" in passing.body


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _HOP_BY_HOP}


def _cut(request: web.Request) -> web.Response:
    """Hang up without a word."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _halved(request: web.Request, answer: web.Response, *, looks_whole: bool) -> web.StreamResponse:
    """Half an answer: as if it were all of it, or with the connection reset in the middle."""
    body = bytes(answer.body) if isinstance(answer.body, bytes | bytearray) else b""
    half = body[: len(body) // 2]
    if looks_whole:
        return web.Response(status=answer.status, headers=answer.headers, body=half)
    out = web.StreamResponse(status=answer.status, headers=answer.headers)
    out.content_length = len(body)
    await out.prepare(request)
    await out.write(half)
    return _cut(request)
