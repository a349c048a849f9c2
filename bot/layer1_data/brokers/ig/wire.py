"""The way to IG: one request each, judged by its raw status and body, and counted against its allowances."""

import asyncio
import ssl
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

from bot.errors import BrokerUnavailable
from bot.interfaces import Clock
from bot.layer1_data.broker_interface import LastWord, RateBudget, nothing_against
from bot.layer1_data.brokers.ig.access import Access
from bot.layer1_data.brokers.ig.errors import Fate, Reply, reply_of
from bot.layer1_data.brokers.ig.to_ig import Call, text_of
from bot.layer1_data.brokers.limiter import Priority, RequestLimiter

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession, TraceConfig

_MINUTE_S: Final = 60.0
_HOLD_S: Final = 60.0  # the venue does not say how long to wait after its allowance is spent
_CONNECT_S: Final = 5.0
_LONGEST_BODY: Final = 20_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """Requests a minute: everything but trading, and trading. Bursts are refused earlier than is published."""

    reads: int = 28
    trades: int = 90


@dataclass(slots=True)
class _Seen:
    """What the transport saw of one request."""

    sent: bool = False


_SEEN: ContextVar[_Seen] = ContextVar("ig_request")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A reply, and the headers that tokens come in."""

    reply: Reply
    headers: dict[str, str]


class Wire:
    """Sends each request once. Never raises for what the venue or the network did: the reply says it."""

    def __init__(
        self, access: Access, clock: Clock, *, allowance: Allowance, timeout_s: float, patience_s: float
    ) -> None:
        """`patience_s`: how long a request may wait for its turn in the allowance before it is given up unsent."""
        self._access = access
        self._clock = clock
        self._timeout_s = timeout_s
        self._patience_s = patience_s
        self._reads = RequestLimiter(
            clock,
            name="requests per minute",
            allowed=allowance.reads,
            window_s=_MINUTE_S,
            reserved=allowance.reads // 4,
        )
        self._trades = RequestLimiter(
            clock,
            name="deals per minute",
            allowed=allowance.trades,
            window_s=_MINUTE_S,
            reserved=allowance.trades // 4,
        )
        self._session: ClientSession | None = None
        self._offset = timedelta()
        self._closed = False

    @property
    def budget(self) -> RateBudget:
        """The tighter one of the two."""
        return max(self._reads.budget, self._trades.budget, key=lambda each: each.used / each.allowed)

    @property
    def server_now(self) -> datetime:
        """The venue's clock as its newest answer told it, counted on by ours."""
        return self._clock.now() + self._offset

    async def send(
        self, call: Call, headers: dict[str, str], *, priority: Priority, last_word: LastWord = nothing_against
    ) -> Answer:
        """One request and what became of it. Raises BrokerUnavailable only before anything was sent."""
        limiter = self._trades if call.trades else self._reads
        try:
            async with asyncio.timeout(self._patience_s):
                await limiter.acquire(priority)
        except TimeoutError:
            raise BrokerUnavailable(
                f"ig: {call.method} {_shown(call)} had no turn in the allowance within {self._patience_s:g} s; "
                "nothing was sent"
            ) from None
        await last_word()
        answer = await self._once(call, headers)
        if answer.reply.fate is Fate.BUSY:
            limiter.hold(_HOLD_S)
        return answer

    async def close(self) -> None:
        """Release connections."""
        self._closed = True
        await self._reads.close()
        await self._trades.close()
        if self._session is not None:
            await self._session.close()
            self._session = None

    # -------------------------------------------------------------------------------------------------------- inside

    async def _once(self, call: Call, headers: dict[str, str]) -> Answer:
        if self._closed:
            raise BrokerUnavailable("ig: the connection is closed; nothing was sent")
        seen = _Seen()
        token = _SEEN.set(seen)
        try:
            async with self._opened().request(
                call.method,
                f"{self._access.base}{call.path}",
                data=None if call.body is None else text_of(call.body),
                headers={**self._common(call), **headers},
                allow_redirects=False,  # a redirect would send an order a second time
            ) as response:
                body = await _whole(response)
                told = {name.lower(): value for name, value in response.headers.items()}
                self._note_time(told.get("date", ""))
                return Answer(reply=reply_of(response.status, body), headers=told)
        except Exception as error:  # whatever the library says of it, only one thing matters: did a byte leave
            fate = Fate.AMBIGUOUS if seen.sent else Fate.NOT_SENT
            words = f"no answer ({type(error).__name__} {error})".replace("\n", " ").replace(" )", ")")
            return Answer(reply=Reply(fate=fate, says=words[:200]), headers={})
        finally:
            _SEEN.reset(token)

    def _common(self, call: Call) -> dict[str, str]:
        headers = {
            "X-IG-API-KEY": self._access.key,
            "Content-Type": "application/json",
            "Accept": "application/json; charset=UTF-8",
            "VERSION": str(call.version),
        }
        return {**headers, "_method": "DELETE"} if call.deletes else headers

    def _opened(self) -> "ClientSession":
        if self._session is None:
            import aiohttp

            self._session = aiohttp.ClientSession(
                # A kept connection may be dead without our knowing: then it could not be said that nothing was sent.
                connector=aiohttp.TCPConnector(force_close=True, ssl=ssl.create_default_context()),
                trace_configs=[_trace()],
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=self._timeout_s, sock_connect=min(_CONNECT_S, self._timeout_s)),
            )
        return self._session

    def _note_time(self, date: str) -> None:
        """There is no question about the time: the head of every answer has it, in whole seconds."""
        try:
            told = parsedate_to_datetime(date)
        except ValueError:
            return
        self._offset = told.astimezone(UTC) - self._clock.now()


async def _whole(response: "ClientResponse") -> str:
    """All of an answer, however many pieces it comes in."""
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > _LONGEST_BODY:
            raise ValueError(f"an answer longer than {_LONGEST_BODY:,} bytes")
    return body.decode("utf-8", errors="replace")


def _trace() -> "TraceConfig":
    """Sees whether a byte left, and lets none leave twice: aiohttp repeats GET and PUT on a connection that died."""
    import aiohttp

    async def leaving(*_: object) -> None:
        _SEEN.get().sent = True

    async def connecting(*_: object) -> None:
        if _SEEN.get().sent:
            raise aiohttp.ClientConnectionError("the connection was lost after sending; it is not sent again")

    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(leaving)
    trace.on_connection_create_start.append(connecting)
    return trace


def _shown(call: Call) -> str:
    return call.path.partition("?")[0]
