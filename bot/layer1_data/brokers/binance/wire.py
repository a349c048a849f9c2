"""The way to Binance: ccxt signs and sends, one request each; what came back is judged by its raw status and body."""

import asyncio
import hashlib
import ssl
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

from bot.config.section import is_loopback
from bot.errors import BrokerUnavailable, ConfigError
from bot.interfaces import Clock
from bot.layer1_data.broker_interface import LastWord, RateBudget, nothing_against
from bot.layer1_data.brokers.binance.errors import Fate, Reply, reply_of, unanswered
from bot.layer1_data.brokers.limiter import Priority, RequestLimiter

if TYPE_CHECKING:
    from aiohttp import ClientSession, TraceConfig

_WEIGHT_A_MINUTE: Final = 6_000
_WEIGHT_RESERVED: Final = 600  # of it, for exits and protection
_SYNC_EVERY: Final = timedelta(minutes=10)
_HOLD_S: Final = 60.0  # where a 429 does not say how long
_USED: Final = "x-mbx-used-weight-1m"


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Where the account is and how it is reached. Without a key only public data is there.

    `url` is the loopback address of a fake that is asked instead of the venue.
    """

    environment: Literal["demo", "testnet", "live"]
    key: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)
    url: str = ""

    def __post_init__(self) -> None:
        if self.url and not is_loopback(self.url, schemes=("http", "https")):
            raise ConfigError(f"binance: {self.url!r} is not an http address of this machine; keys are not sent there")

    @property
    def has_key(self) -> bool:
        """Orders and account questions can be signed."""
        return bool(self.key and self.secret)

    def fingerprint(self, account: str) -> str:
        """Tells two accounts apart without naming them."""
        return hashlib.sha256(f"binance|{self.environment}|{account}".encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One question or order: path, section of ccxt, method and what it costs of the request budget."""

    path: str
    section: Literal["public", "private", "sapi"]
    method: Literal["GET", "POST", "DELETE"]
    weight: int

    @property
    def is_signed(self) -> bool:
        """It needs the key."""
        return self.section != "public"


TIME: Final = Endpoint("time", "public", "GET", 1)


@dataclass(slots=True)
class _Call:
    """What the transport saw of one request."""

    sent: bool = False
    status: int = 0
    body: str | None = None


_CALL: ContextVar[_Call] = ContextVar("binance_call")


class Wire:
    """Sends each request once. Never raises for what the venue or the network did: the reply says it."""

    def __init__(self, access: Access, clock: Clock, *, timeout_s: float, receive_window_s: float, patience_s: float):
        """`patience_s`: how long a request may wait for its turn in the budget before it is given up unsent."""
        self._access = access
        self._clock = clock
        self._timeout_s = timeout_s
        self._window_s = receive_window_s
        self._patience_s = patience_s
        self._limiter = RequestLimiter(
            clock, name="weight per minute", allowed=_WEIGHT_A_MINUTE, window_s=60.0, reserved=_WEIGHT_RESERVED
        )
        self._library = _library()
        self._session: ClientSession | None = None
        self._exchange: Any = None
        self._offset = timedelta()
        self._synced_at: datetime | None = None
        self._closed = False

    @property
    def budget(self) -> RateBudget:
        """What is used of the request weight."""
        return self._limiter.budget

    @property
    def access(self) -> Access:
        """Where it leads."""
        return self._access

    async def server_now(self) -> datetime:
        """The venue's clock as far as we know it: asked at times, counted on by ours."""
        await self._sync_if_due()
        return self._clock.now() + self._offset

    async def sync(self) -> datetime:
        """Ask the venue's clock and remember how far ours is from it."""
        before = self._clock.now()
        data = await self.ask(TIME, {}, priority=Priority.PROTECTION)
        after = self._clock.now()
        if not isinstance(data, dict) or not isinstance(data.get("serverTime"), int):
            raise BrokerUnavailable(f"binance: the time was answered without serverTime: {data!r:.100}")
        server = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=data["serverTime"])
        self._offset = server - (before + (after - before) / 2)
        self._synced_at = after
        return server

    async def ask(self, endpoint: Endpoint, parameters: dict[str, str], *, priority: Priority = Priority.READ) -> Any:
        """The answer to a question. Raises BrokerUnavailable with the venue's words for anything else."""
        reply = await self.send(endpoint, parameters, priority=priority)
        if reply.fate is not Fate.ACK:
            raise unanswered(f"{endpoint.path} was not answered", reply)
        return reply.data

    async def send(
        self,
        endpoint: Endpoint,
        parameters: dict[str, str],
        *,
        priority: Priority,
        last_word: LastWord = nothing_against,
    ) -> Reply:
        """One request on the wire and what became of it. Raises BrokerUnavailable only before anything was sent."""
        if endpoint.is_signed:
            if not self._access.has_key:
                raise BrokerUnavailable(
                    f"binance: {endpoint.path} needs a key and BINANCE_API_KEY or BINANCE_API_SECRET is not set; "
                    "without them only public data is read"
                )
            await self._sync_if_due()
        await self._turn(priority, endpoint)
        await last_word()
        reply = await self._once(endpoint, parameters)
        if reply.fate is Fate.CLOCK:
            self._synced_at = None  # nothing signed leaves before the venue's clock was asked again
        return reply

    async def close(self) -> None:
        """Release connections."""
        self._closed = True
        await self._limiter.close()
        if self._exchange is not None:
            self._exchange.timeout_on_exit = 0  # its session is ours
            await self._exchange.close()
            self._exchange = None
        if self._session is not None:
            await self._session.close()
            self._session = None

    # -------------------------------------------------------------------------------------------------------- inside

    async def _sync_if_due(self) -> None:
        if self._synced_at is None or self._clock.now() - self._synced_at > _SYNC_EVERY:
            await self.sync()

    async def _turn(self, priority: Priority, endpoint: Endpoint) -> None:
        try:
            async with asyncio.timeout(self._patience_s):
                await self._limiter.acquire(priority, endpoint.weight)
        except TimeoutError:
            raise BrokerUnavailable(
                f"binance: {endpoint.path} had no turn in the request budget within {self._patience_s:g} s; "
                "nothing was sent"
            ) from None

    async def _once(self, endpoint: Endpoint, parameters: dict[str, str]) -> Reply:
        if self._closed:
            raise BrokerUnavailable("binance: the connection is closed; nothing was sent")
        exchange = self._opened()
        call = _Call()
        token = _CALL.set(call)
        silence = ""
        try:
            await exchange.request(endpoint.path, [endpoint.section], endpoint.method, dict(parameters))
        except Exception as error:  # whatever the library says of it: what came back decides, or whether a byte left
            cause = error.__cause__ or error
            silence = f"{type(cause).__name__} {cause}".replace("\n", " ").strip()
        finally:
            _CALL.reset(token)
        if call.body is not None:
            return reply_of(call.status, call.body)
        fate = Fate.AMBIGUOUS if call.sent else Fate.NOT_SENT
        return Reply(fate=fate, says=f"no answer ({_without_query(silence)})")

    def _opened(self) -> Any:
        """ccxt over a session of ours, made at the first request because a session belongs to a loop."""
        if self._exchange is None:
            import aiohttp

            exchange = self._library.binance(
                {
                    "apiKey": self._access.key,
                    "secret": self._access.secret,
                    "timeout": round(self._timeout_s * 1_000),
                    "enableRateLimit": False,
                    "options": {"recvWindow": round(self._window_s * 1_000), "maxRetriesOnFailure": 0},
                }
            )
            if self._access.environment == "demo":
                exchange.enable_demo_trading(True)
            elif self._access.environment == "testnet":
                exchange.set_sandbox_mode(True)
            if self._access.url:
                base = self._access.url.rstrip("/")
                exchange.urls["api"] |= {"public": f"{base}/api/v3", "private": f"{base}/api/v3"}
                exchange.urls["api"]["sapi"] = f"{base}/sapi/v1"
            secure = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=exchange.cafile))
            self._session = aiohttp.ClientSession(connector=secure, trace_configs=[_trace()])
            exchange.session, exchange.own_session = self._session, False
            exchange.nonce = self._stamp
            exchange.on_rest_response = self._heard
            self._exchange = exchange
        return self._exchange

    def _stamp(self) -> int:
        return int((self._clock.now() + self._offset).timestamp() * 1_000)

    def _heard(  # ccxt's hook, called with everything before it judges the answer
        self, status: int, reason: str, url: str, method: str, headers: dict[str, str], body: str, *sent: object
    ) -> str:
        call = _CALL.get()
        call.status, call.body = status, body
        told = {name.lower(): value for name, value in headers.items()}
        if told.get(_USED, "").isdecimal():
            self._limiter.note_used(int(told[_USED]))
        if status in (418, 429):
            wait = told.get("retry-after", "")
            self._limiter.hold(float(wait) if wait.isdecimal() else _HOLD_S)
        return body


def _library() -> Any:
    """ccxt. Importing it takes more than a second: done with the constructor, it can be kept off the event loop."""
    from ccxt import async_support  # type: ignore[import-untyped]

    return async_support


def _trace() -> "TraceConfig":
    """Sees whether a byte left, and lets none leave twice: aiohttp repeats GET and DELETE on a connection that died."""
    import aiohttp

    async def leaving(*_: object) -> None:
        _CALL.get().sent = True

    async def connecting(*_: object) -> None:
        if _CALL.get().sent:
            raise aiohttp.ClientConnectionError("the connection was lost after sending; it is not sent again")

    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(leaving)
    trace.on_connection_create_start.append(connecting)
    trace.on_connection_reuseconn.append(connecting)
    return trace


def _without_query(words: str) -> str:
    """Signatures stand in the query of an address: no error shows one."""
    return " ".join(each.partition("?")[0] for each in words.split())
